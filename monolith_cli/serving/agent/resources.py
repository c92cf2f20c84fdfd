"""What this container may use and uses, memory and processors, and how large exported models are."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psutil

from monolith_cli import errors
from monolith_cli.serving.agent.config import is_absolute
from monolith_cli.serving.agent.model_config import is_version, versions_of
from monolith_cli.serving.agent.ports import env_int

STATE_FILE = "ExportSaverListenerState"
_ASSET = re.compile(r"^.+_(\d+)-\d+-of-\d+$")
_LATEST = re.compile(r'^\s*model_checkpoint_path:\s*("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')', re.MULTILINE)
_MAX_SMALL_FILE = 16 << 20


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    total: int
    available: int


@dataclass
class Cgroup:
    """Limits and counters of the control group this process is in, version 2 or 1; root: where the file system is,
    for tests.

    A limit of the nearest group above counts too. None wherever there is no limit, or no such file.
    """

    root: str = "/"
    _places: dict[str, list[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._places = {}
        for line in self._lines("proc/self/cgroup"):
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            for name in controllers.split(",") if controllers else ["unified"] if number == "0" else []:
                self._places[name] = self._folders(name, path)

    def _folders(self, controller: str, path: str) -> list[str]:
        """Folders of a group and those above it, nearest first; in a container the group itself may be out of sight."""
        base = os.path.join(self.root, "sys/fs/cgroup")
        mounts = [base, os.path.join(base, "unified")] if controller == "unified" else [os.path.join(base, controller)]
        parts = [p for p in path.split("/") if p and p != ".."]
        return [os.path.join(m, *parts[:n]) for m in mounts for n in range(len(parts), -1, -1)]

    def _lines(self, *path: str) -> list[str]:
        try:
            with open(os.path.join(self.root, *path), encoding="utf-8", errors="replace") as f:
                return f.read(1 << 20).splitlines()
        except OSError:
            return []

    def _values(self, controller: str, name: str) -> list[list[str]]:
        """Words of the first line of one file, of each group that has it."""
        found = [self._lines(folder, name) for folder in self._places.get(controller, ())]
        return [lines[0].split() for lines in found if lines and lines[0].split()]

    def _counter(self, controller: str, name: str, key: str) -> int | None:
        """A `key value` line of the nearest group."""
        for folder in self._places.get(controller, ()):
            for line in self._lines(folder, name):
                words = line.split()
                if len(words) == 2 and words[0] == key and words[1].isdigit():
                    return int(words[1])
        return None

    def memory_limit(self) -> int | None:
        values = [*self._values("unified", "memory.max"), *self._values("memory", "memory.limit_in_bytes")]
        return min((int(v[0]) for v in values if v[0].isdigit()), default=None)

    def memory_used(self) -> int | None:
        """Bytes in use, without file pages that can be dropped at once."""
        for controller, name, key in (("unified", "memory.current", "inactive_file"),
                                      ("memory", "memory.usage_in_bytes", "total_inactive_file")):
            values = self._values(controller, name)
            if values and values[0][0].isdigit():
                return max(0, int(values[0][0]) - (self._counter(controller, "memory.stat", key) or 0))
        return None

    def processors(self) -> float | None:
        """Processors that may be used at the same time, by the quota."""
        found = [v for v in self._values("unified", "cpu.max") if len(v) == 2]
        quotas = self._values("cpu", "cpu.cfs_quota_us")
        periods = self._values("cpu", "cpu.cfs_period_us")
        found += [[q[0], p[0]] for q, p in zip(quotas, periods, strict=False)]
        limited = [(int(q), int(p)) for q, p in found if q.isdigit() and p.isdigit()]
        return min((q / p for q, p in limited if q and p), default=None)

    def processor_seconds(self) -> float | None:
        """Processor time used so far."""
        used = self._counter("unified", "cpu.stat", "usage_usec")
        if used is not None:
            return used / 1e6
        values = self._values("cpuacct", "cpuacct.usage")
        return int(values[0][0]) / 1e9 if values and values[0][0].isdigit() else None


def memory(environ: Mapping[str, str] = os.environ, cgroup: Cgroup | None = None) -> Memory:
    """Memory of this container: the limit of its control group, else MY_MEM_LIMIT (bytes), else all of the host's."""
    cgroup, host = cgroup or Cgroup(), psutil.virtual_memory()
    limit = cgroup.memory_limit()
    if limit is None or limit >= host.total:
        limit = env_int(environ, "MY_MEM_LIMIT", 0)
    if not 0 < limit < host.total:
        return Memory(host.total, host.available)
    used = cgroup.memory_used()
    free = limit - used if used is not None else limit
    return Memory(limit, max(0, min(free, host.available)))


def processors(environ: Mapping[str, str] = os.environ, cgroup: Cgroup | None = None) -> float:
    """Processors of this container: the quota of its control group, else MY_CPU_LIMIT, else the host's."""
    host = float(psutil.cpu_count() or 1)
    quota = (cgroup or Cgroup()).processors() or float(env_int(environ, "MY_CPU_LIMIT", 0))
    return min(quota, host) if quota > 0 else host


class CpuUsage:
    """Processor use of this container between two readings, in percent of what it may use; of the host where the
    control group does not count it. The first reading is of the time since the object was made."""

    def __init__(self, environ: Mapping[str, str] = os.environ, cgroup: Cgroup | None = None):
        self._cgroup, self._environ = cgroup or Cgroup(), environ
        self._before = (time.monotonic(), self._cgroup.processor_seconds())
        psutil.cpu_percent()

    def percent(self) -> float:
        (then, before), now = self._before, (time.monotonic(), self._cgroup.processor_seconds())
        self._before = now
        if before is None or now[1] is None:
            return min(100.0, psutil.cpu_percent())
        elapsed = max(now[0] - then, 1e-9)
        return min(100.0, max(0.0, 100.0 * (now[1] - before) / elapsed / processors(self._environ, self._cgroup)))


def model_info(export_root: str, ckpt: str | None = None, version: int | None = None) -> dict[str, tuple[int, str]]:
    """Sub model -> (bytes, path of its version). The bytes are those of the version's files, and for `ps_<n>` of the
    table files of checkpoint `ckpt` too.

    ckpt: None is the latest one that the directory above records; version: None is the one exported at the step of
    `ckpt`, else the newest that all sub models have. NoInputError, BadDataError.
    """
    root = export_root if is_absolute(export_root) else os.path.abspath(export_root)
    root = root.rstrip("/") or "/"
    if not os.path.isdir(root):
        raise errors.NoInputError(f"{export_root}: no such directory of exported models")
    sub_models = sorted(n for n in os.listdir(root) if not n.startswith(".") and os.path.isdir(os.path.join(root, n)))
    if not sub_models:
        raise errors.NoInputError(f"{export_root}: there are no exported models")
    parent = os.path.dirname(root)
    ckpt = ckpt or _latest_checkpoint(parent)
    if version is None:
        version = _common_version(root, sub_models, _step_of(ckpt) if ckpt else -1)
    paths = {n: os.path.join(root, n, str(version)) for n in sub_models}
    for path in paths.values():
        if not os.path.isdir(path):
            raise errors.NoInputError(f"{path}: no such version")
    sizes = {n: _bytes_below(p) for n, p in paths.items()}
    for name, size in _table_bytes(os.path.join(parent, f"{ckpt}.assets") if ckpt else None).items():
        if name in sizes:
            sizes[name] += size
    return {n: (sizes[n], paths[n]) for n in sub_models}


def _read_small(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read(_MAX_SMALL_FILE)
    except FileNotFoundError:
        return None
    except OSError as e:
        raise errors.IoError(f"{path}: {e.strerror}") from None


def _latest_checkpoint(folder: str) -> str | None:
    from google.protobuf import text_encoding

    match = _LATEST.search(_read_small(os.path.join(folder, "checkpoint")) or "")
    return os.path.basename(text_encoding.CUnescape(match.group(1)[1:-1]).decode()) if match else None


def _step_of(ckpt: str) -> int:
    step = ckpt.rpartition("-")[2]
    if not (step.isascii() and step.isdigit()):
        raise errors.BadDataError(f"checkpoint {ckpt!r}: its name must end in -<step>")
    return int(step)


def _common_version(root: str, sub_models: list[str], step: int) -> int:
    chosen, common = {}, None
    for name in sub_models:
        found, versions = _exported(os.path.join(root, name), step)
        if found is not None:
            chosen[name] = found
        common = set(versions) if common is None else common & set(versions)
    if len(set(chosen.values())) > 1:
        told = ", ".join(f"{n} has {v}" for n, v in chosen.items())
        raise errors.BadDataError(f"{root}: sub models were exported as different versions at step {step}: {told}")
    if chosen:
        return next(iter(chosen.values()))
    if not common:
        raise errors.NoInputError(f"{root}: there is no version that all sub models have")
    return max(common)


def _exported(folder: str, step: int) -> tuple[int | None, list[int]]:
    """(the version exported at `step`, or None; versions there are)."""
    text = _read_small(os.path.join(folder, STATE_FILE)) if step >= 0 else None
    if text is None:
        return None, versions_of(folder)
    from google.protobuf import text_format

    from monolith_protos import export_pb2

    try:
        entries = text_format.Parse(text, export_pb2.ServingModelState()).entries
    except text_format.ParseError as e:
        raise errors.BadDataError(f"{os.path.join(folder, STATE_FILE)}: {e}") from None
    versions = []
    for entry in entries:
        name = os.path.basename(entry.export_dir.rstrip("/"))
        if is_version(name):
            versions.append(int(name))
            if entry.global_step == step:
                return versions[-1], versions
    return None, versions


def _bytes_below(folder: str) -> int:
    return sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(folder) for name in names)


def _table_bytes(folder: str | None) -> dict[str, int]:
    sizes: dict[str, int] = {}
    if folder and os.path.isdir(folder):
        with os.scandir(folder) as entries:
            for entry in entries:
                if (match := _ASSET.match(entry.name)) and entry.is_file():
                    sizes[f"ps_{match.group(1)}"] = sizes.get(f"ps_{match.group(1)}", 0) + entry.stat().st_size
    return sizes
