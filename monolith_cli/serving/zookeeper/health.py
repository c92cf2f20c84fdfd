"""Health of an ensemble: what each server says of itself by four-letter words, or, where they are off, whether it
gives a session."""

from __future__ import annotations

import dataclasses
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.serving.addresses import join_host_port
from monolith_cli.serving.zookeeper.client import ZkConfig, open_socket, server_list, tls_context
from monolith_cli.serving.zookeeper.connection import connect

_MAX_ANSWER = 1 << 20
# Modes in which a server answers clients. `serving` is one whose words are off, and that gave a session.
_SERVING = ("leader", "follower", "observer", "standalone", "serving", "read-only")


@dataclass
class Server:
    """One server. mode: leader, follower, observer, standalone; `serving` where it would not say; `down`, with the
    error. Latencies in ms."""

    address: str
    mode: str = "down"
    version: str | None = None
    latency_min_ms: float | None = None
    latency_avg_ms: float | None = None
    latency_max_ms: float | None = None
    connections: int | None = None
    outstanding: int | None = None
    znodes: int | None = None
    ephemerals: int | None = None
    watches: int | None = None
    zxid: str | None = None
    synced_followers: int | None = None
    answer_ms: float | None = None
    error: str | None = None

    @property
    def serves(self) -> bool:
        return self.mode in _SERVING


@dataclass
class Health:
    servers: list[Server]
    leader: str | None
    quorum: bool
    problems: list[str]

    @property
    def status(self) -> str:
        """`healthy`; `degraded`: it serves, and something is wrong; `down`: it does not serve."""
        return "down" if not self.quorum else "degraded" if self.problems else "healthy"

    def as_json(self) -> dict:
        return {
            "status": self.status,
            "leader": self.leader,
            "quorum": self.quorum,
            "problems": self.problems,
            "servers": [dataclasses.asdict(s) for s in self.servers],
        }


def check(config: ZkConfig) -> Health:
    """Asks all servers of the list at once; takes about connect_timeout_s at most, twice that where words are off."""
    hosts = server_list(config.servers)
    with ThreadPoolExecutor(max_workers=min(32, len(hosts))) as pool:
        servers = list(pool.map(lambda h: _ask(config, *h), hosts))
    return judge(servers)


def judge(servers: list[Server]) -> Health:
    """What the answers mean together. A follower follows a leader that has a quorum, be it in the list or not."""
    problems = [f"{s.address} is down: {s.error}" for s in servers if not s.serves]
    leaders = [s for s in servers if s.mode == "leader"]
    alone = [s.address for s in servers if s.mode == "standalone"]
    quorum = any(s.serves and s.mode != "read-only" for s in servers)
    problems += [f"{s.address} is read-only: it has lost its quorum" for s in servers if s.mode == "read-only"]
    if len(leaders) > 1:
        problems.append("several servers say they lead: " + ", ".join(s.address for s in leaders))
    if alone and len(servers) > 1:
        problems.append(f"{', '.join(alone)} stands alone and belongs to no ensemble")
    if not leaders and not alone and quorum and all(s.mode in ("follower", "observer") for s in servers):
        problems.append("the leader is none of the servers that are named")
    for s in leaders:
        voters = sum(1 for o in servers if o.mode in ("leader", "follower"))
        if s.synced_followers is not None and s.synced_followers < voters - 1:
            problems.append(f"{s.address} leads {s.synced_followers} followers in sync, {voters - 1} say they follow")
    leader = leaders[0].address if leaders else alone[0] if alone and len(servers) == 1 else None
    return Health(servers, leader, quorum, problems)


def _ask(config: ZkConfig, host: str, port: int) -> Server:
    server = Server(join_host_port(host, port))
    try:
        started = time.monotonic()
        answer = _word(config, host, port, "srvr")
        server.answer_ms = round((time.monotonic() - started) * 1000, 1)
        if "is not executed because it is not in the whitelist" in answer:
            return _by_session(config, server)
        _read_srvr(server, answer)
        if server.serves:
            _read_mntr(server, _word(config, host, port, "mntr"))
    except OSError as e:
        server.error = e.strerror or str(e) or type(e).__name__
        if isinstance(e, TimeoutError):
            server.error = f"no answer within {config.connect_timeout_s:g} s"
    return server


def _word(config: ZkConfig, host: str, port: int, word: str) -> str:
    until = time.monotonic() + config.connect_timeout_s
    with open_socket((host, port), host, config.connect_timeout_s, tls_context(config) if config.tls else None) as s:
        s.sendall(word.encode())
        answer = b""
        while len(answer) < _MAX_ANSWER:
            s.settimeout(max(0.01, until - time.monotonic()))
            chunk = s.recv(65536)
            if not chunk:
                break
            answer += chunk
    return answer.decode("utf-8", "replace")


def _read_srvr(server: Server, answer: str) -> None:
    found = dict(re.findall(r"^([A-Za-z /]+): (.*)$", answer, re.M))
    if "Mode" not in found:
        server.error = answer.strip() or "the answer is empty"
        return
    server.mode = found["Mode"].strip()
    server.version = found.get("Zookeeper version", "").split(",")[0].split("-")[0] or None
    latencies = found.get("Latency min/avg/max", "").split("/")
    if len(latencies) == 3:
        server.latency_min_ms, server.latency_avg_ms, server.latency_max_ms = (_number(x) for x in latencies)
    server.connections, server.outstanding = _number(found.get("Connections")), _number(found.get("Outstanding"))
    server.znodes, server.zxid = _number(found.get("Node count")), found.get("Zxid")


def _read_mntr(server: Server, answer: str) -> None:
    found = dict(line.split("\t", 1) for line in answer.splitlines() if "\t" in line)
    server.ephemerals, server.watches = _number(found.get("zk_ephemerals_count")), _number(found.get("zk_watch_count"))
    server.synced_followers = _number(found.get("zk_synced_followers"))


def _number(text: str | None):
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return int(value) if value.is_integer() else value


def _by_session(config: ZkConfig, server: Server) -> Server:
    try:
        with connect(dataclasses.replace(config, servers=server.address)):
            server.mode = "serving"
    except errors.Error as e:
        server.error = str(e)
    return server


_COLUMNS = (
    ("server", "address"),
    ("mode", "mode"),
    ("version", "version"),
    ("latency ms", None),
    ("connections", "connections"),
    ("outstanding", "outstanding"),
    ("znodes", "znodes"),
    ("ephemerals", "ephemerals"),
    ("watches", "watches"),
    ("zxid", "zxid"),
)


def table(health: Health) -> str:
    """The servers as columns, then the verdict and each problem on a line."""
    rows = [[title for title, _ in _COLUMNS]]
    for s in health.servers:
        latency = "-" if s.latency_avg_ms is None else f"{s.latency_min_ms:g}/{s.latency_avg_ms:g}/{s.latency_max_ms:g}"
        rows.append(
            [
                latency if name is None else "-" if getattr(s, name) is None else str(getattr(s, name))
                for _, name in _COLUMNS
            ]
        )
    widths = [max(len(r[i]) for r in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(w.ljust(n) for w, n in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [
            *lines,
            f"{health.status}: leader {health.leader or 'not known'}, quorum {'yes' if health.quorum else 'no'}",
            *health.problems,
        ]
    )
