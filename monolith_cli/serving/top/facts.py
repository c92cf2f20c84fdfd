"""What sources tell, and the rows that are shown of it."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import asdict, dataclass, field

STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
SORTS = ("model", "server", "state", "version", "rate", "errors", "latency")
_TASK = re.compile(r"(ps|entry|dense):(\d+)")
# Worst first.
_STATE_ORDER = (
    "DOWN",
    "BAD NODE",
    "NOT FOUND",
    "ERROR",
    "UNBOUND",
    "END",
    "UNKNOWN",
    "START",
    "LOADING",
    "UNLOADING",
    "AVAILABLE",
)


@dataclass(frozen=True)
class Replica:
    """A served model at a place. served: its name on the server (`ps_0`, `m:ps_0`); task: `ps:0` or a sub graph;
    replica: id or container; registered: its state as ZooKeeper has it. problem: BAD NODE or UNBOUND where no server
    can be asked, and error says why."""

    served: str
    model: str
    task: str = ""
    replica: str = ""
    location: str = ""
    grpc: str | None = None
    http: str | None = None
    registered: str | None = None
    problem: str = ""
    error: str = ""


def served_name(server_type: str, task: str, model: str | None = None) -> str:
    """The name on the server of a task: `ps_3`, `entry`, `dense_0`; with a model `m:ps_3`."""
    name = "entry" if server_type == "entry" else f"{server_type}_{task}"
    return f"{model}:{name}" if model else name


def replica_of_key(key: str, address: str) -> Replica:
    """Of a key of an agent's heartbeat: `ps:0`, `<model>:ps:0` or `<model>:<sub graph>`."""
    name = key.rpartition("/")[2]
    if found := _TASK.fullmatch(name):
        return Replica(served_name(*found.groups()), "", name, grpc=address)
    model, _, rest = name.partition(":")
    if found := _TASK.fullmatch(rest):
        return Replica(served_name(*found.groups(), model), model, rest, grpc=address)
    return Replica(name, model, rest, grpc=address)


@dataclass(frozen=True)
class Rates:
    """Of one model on one server between two looks: answers and errors per second, percentiles in milliseconds (None
    without traffic)."""

    rate: float
    error_rate: float
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True)
class Source:
    """Where facts come from: kind (zookeeper, agent, server), name, whether it answers, why not, and what else it
    tells."""

    kind: str
    name: str
    up: bool | None
    error: str = ""
    age_s: float | None = None
    more: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A version of a served model at a server; state is the server's, registered that of ZooKeeper."""

    model: str
    task: str
    replica: str
    location: str
    server: str
    version: int | None
    state: str
    registered: str | None
    rate: float | None = None
    error_rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Snapshot:
    """All that is known at one moment; time in seconds since 1970."""

    time: float
    sources: tuple[Source, ...]
    rows: tuple[Row, ...]

    def to_dict(self) -> dict:
        return {
            "time": round(self.time, 3),
            "sources": [asdict(s) for s in self.sources],
            "rows": [asdict(r) for r in self.rows],
        }

    def chosen(self, patterns=(), sort: str = "model", reverse: bool = False) -> Snapshot:
        """Rows whose model or task fits one of the globs, sorted."""
        rows = [r for r in self.rows if not patterns or any(_fits(r, p) for p in patterns)]
        return Snapshot(self.time, self.sources, tuple(sorted(rows, key=_KEYS[sort], reverse=reverse)))


def _fits(row: Row, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for name in (row.model, f"{row.model}:{row.task}", row.task))


def _by_name(row: Row) -> tuple:
    numbered = [
        (0, int(p), "") if p.isdecimal() else (1, 0, p)
        for p in re.split(r"(\d+)", f"{row.model}\0{row.task}\0{row.replica}\0{row.server}")
    ]
    return numbered, -(row.version or 0)


def _state_rank(state: str) -> int:
    return _STATE_ORDER.index(state) if state in _STATE_ORDER else 3


# Numbers: the largest first; names upwards; states: the worst first.
_KEYS = {
    "model": _by_name,
    "server": lambda r: (r.server, _by_name(r)),
    "state": lambda r: (_state_rank(r.state), _by_name(r)),
    "version": lambda r: (-(r.version or 0), _by_name(r)),
    "rate": lambda r: (-(r.rate or 0), _by_name(r)),
    "errors": lambda r: (-(r.error_rate or 0), _by_name(r)),
    "latency": lambda r: (-(r.p99_ms or 0), _by_name(r)),
}
