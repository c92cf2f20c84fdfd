"""Copies rough-sort models, delivered by a peer-to-peer downloader, to where a model server loads them from.

    <source>/<model>@<version>/<model>/<sub model>/<version>/…    delivered
    <source>/<model>@<version>.write.done                         it is whole
    <source>/<model>@<version>.read.lock                          somebody reads it
    <receive>/<model>/<sub model>/<version>                       copied, renamed from the same name with -temp
    <receive>/.lock                                               held by the one process of a container that copies
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge

from monolith_cli import errors

WRITE_DONE, READ_LOCK, TEMP, LOCK = ".write.done", ".read.lock", "-temp", ".lock"
REMAIN_VERSIONS = 5
_COPIED = b"copied\n"  # what the lock file says once the first model is there
_DELIVERED = re.compile(r"([^@/]+)@([0-9]{1,19})")


@dataclass(frozen=True)
class Delivery:
    """One version of one model in the source: sub model -> folder."""

    model: str
    version: int
    sub_models: dict[str, str]


@dataclass
class _Copied:
    """What was copied of one model, oldest first: (version, folders)."""

    versions: list[tuple[int, list[str]]] = field(default_factory=list)
    updated: float = 0.0

    @property
    def last(self) -> int:
        return self.versions[-1][0] if self.versions else -1


class ModelManager:
    """Copies the newest version of every model in `source` to `receive`, and keeps the last five of each.

    model_name: the model without which `start` does not succeed; None: there is nothing to do. log: told what
    happens; the metrics `monolith_rough_sort_…` go into `registry`. Of several processes with one `receive`, as dense
    deployments have, one copies; the others wait for what it copies, and take over when it ends.
    """

    def __init__(self, model_name: str | None, source: str | None, receive: str | None, *,
                 log: Callable[[str], object] | None = None, registry: CollectorRegistry | None = None,
                 interval_s: float = 30.0, retry_s: float = 10.0, wait_s: float = 1200.0):
        self.model_name = model_name
        self._log = log or (lambda message: None)
        self._interval_s, self._retry_s, self._wait_s = interval_s, retry_s, wait_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._copied: dict[str, _Copied] = {}
        self._lock: int | None = None
        if model_name is None:
            return
        if not source or not receive:
            missing = "rough_sort_model_p2p_path" if not source else "rough_sort_model_local_path"
            raise errors.ConfigError(f"rough_sort_model_name is set, but {missing} is not")
        self.source, self.receive = os.path.realpath(source), os.path.realpath(receive)
        _check_apart(self.source, self.receive)
        self._metrics = _Metrics(registry, model_name)

    def start(self) -> bool:
        """Empties `receive`, waits until the model is delivered and copied, and goes on copying on a thread of its
        own. False where the model did not come within 20 minutes, or after `stop`. CannotCreateError where `receive`
        cannot be emptied or made."""
        if self.model_name is None:
            return True
        deadline = time.monotonic() + self._wait_s
        while not (self._first_round() if self._copies() else self._copied_elsewhere()):
            if time.monotonic() >= deadline:
                self._log(f"model {self.model_name} did not come into {self.source} within {self._wait_s:g} s")
                return False
            if self._stopped.wait(self._retry_s):
                return False
        self._thread = threading.Thread(target=self._run, name="model-manager", daemon=True)
        self._thread.start()
        return True

    def stop(self) -> None:
        """Ends the thread; a copy under way is given up."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _copies(self) -> bool:
        """Whether this process is the one that copies; the first time that it is, `receive` is emptied unless another
        copied before."""
        if self._lock is not None:
            return True
        lock = _open_lock(os.path.join(self.receive, LOCK))
        try:
            # Whoever finds the lock taken must not read what an earlier holder has written.
            with _flocked(self.receive):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(lock)
                    return False
                if self._thread is None:
                    os.ftruncate(lock, 0)
            if self._thread is None:
                _empty(self.receive)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock
        return True

    def _first_round(self) -> bool:
        if not (self.loop_once() and self.model_name in self._copied):
            return False
        os.pwrite(self._lock, _COPIED, 0)
        return True

    def _copied_elsewhere(self) -> bool:
        with contextlib.suppress(OSError), open(os.path.join(self.receive, LOCK), "rb") as f:
            return f.read(len(_COPIED)) == _COPIED
        return False

    def loop_once(self) -> bool:
        """One look at the source. False where something could not be copied; the rest is."""
        locks: list[str] = []
        try:
            done = [self._take(d) for d in self._newest(locks)]
        except OSError as e:
            self._log(f"{self.source}: {e}")
            done = [False]
        finally:
            self._remove_locks(locks)
        if not all(done):
            self._metrics.failed.inc()
        return all(done)

    def remove_old(self) -> None:
        """Deletes the oldest version of each model that has more than five, one of each."""
        for model, copied in self._copied.items():
            if len(copied.versions) > REMAIN_VERSIONS:
                version, folders = copied.versions.pop(0)
                for folder in folders:
                    self._remove(folder)
                self._log(f"model {model}: version {version} is removed")

    def versions(self, model: str) -> list[int]:
        """Versions that are kept, oldest first."""
        return [v for v, _ in self._copied[model].versions] if model in self._copied else []

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            if self._copies():
                self.remove_old()
                self.loop_once()

    def _newest(self, locks: list[str]) -> list[Delivery]:
        """The newest whole delivery of each model. A lock comes first: the downloader must not take away what is
        being read."""
        newest: dict[str, Delivery] = {}
        for name in _names(self.source):
            match, folder = _DELIVERED.fullmatch(name), os.path.join(self.source, name)
            if match is None or not os.path.isdir(folder):
                continue
            lock = folder + READ_LOCK
            with open(lock, "ab"):
                locks.append(lock)
            if not os.path.exists(folder + WRITE_DONE):
                continue
            model, version = match.group(1), match.group(2)
            sub_models = self._sub_models(os.path.join(folder, model), version)
            if sub_models and (model not in newest or int(version) > newest[model].version):
                newest[model] = Delivery(model, int(version), sub_models)
        return list(newest.values())

    def _sub_models(self, folder: str, version: str) -> dict[str, str]:
        """Sub model -> its folder of this version; empty unless all have one."""
        found = {n: os.path.join(folder, n, version) for n in _names(folder) if not n.startswith(".")}
        lacking = [n for n, path in found.items() if not os.path.isdir(path)]
        if lacking:
            self._log(f"{folder}: {', '.join(sorted(lacking))} has no version {version}: the delivery is left out")
        return {} if lacking else found

    def _take(self, delivery: Delivery) -> bool:
        """Copies a delivery if it is newer than what was copied last."""
        copied = self._copied.get(delivery.model, _Copied())
        if delivery.version <= copied.last:
            return True
        model, version = delivery.model, str(delivery.version)
        targets = {n: os.path.join(self.receive, model, n, version) for n in delivery.sub_models}
        try:
            for name, target in targets.items():
                if not os.path.isdir(target):
                    self._copy(delivery.sub_models[name], target + TEMP)
            for target in targets.values():
                if not os.path.isdir(target):
                    os.rename(target + TEMP, target)
        except (OSError, errors.Error) as e:
            self._log(f"model {model}: version {version} cannot be copied: {e}")
            for target in targets.values():
                self._remove(target + TEMP)
            return False
        copied.versions.append((delivery.version, list(targets.values())))
        copied.updated = time.time()
        self._copied[model] = copied
        self._metrics.updated(model, delivery.version, copied)
        self._log(f"model {model}: version {version} is copied")
        return True

    def _copy(self, source: str, target: str) -> None:
        """A tree of plain files and folders; what is left of an earlier try goes first."""
        self._remove(target)
        os.makedirs(target)
        for name in os.listdir(source):
            if self._stopped.is_set():
                raise errors.TryAgainError("the agent is ending")
            path, to = os.path.join(source, name), os.path.join(target, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode):
                self._copy(path, to)
            elif stat.S_ISREG(mode):
                shutil.copyfile(path, to, follow_symlinks=False)
            else:
                raise errors.BadDataError(f"{path} is neither a file nor a folder")

    def _remove(self, folder: str) -> None:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as e:
            self._log(f"{folder} cannot be removed: {e}")

    def _remove_locks(self, own: list[str]) -> None:
        """Own locks, and those that an agent left which was killed."""
        strays = [os.path.join(self.source, n) for n in _names(self.source) if n.endswith(READ_LOCK)]
        for path in {*own, *strays}:
            with contextlib.suppress(OSError):
                os.unlink(path)


class _Metrics:
    """Of the rounds, and of each model how old its version and its last copy are."""

    def __init__(self, registry: CollectorRegistry | None, model_name: str):
        registry = registry or CollectorRegistry()
        prefix = "monolith_rough_sort"
        labels = {"labelnames": ["model"], "registry": registry}
        failures = Counter(f"{prefix}_loop_once_failed", "Rounds in which something could not be copied.", **labels)
        self.failed = failures.labels(model_name)
        self._version = Gauge(
            f"{prefix}_version_delay_seconds", "Now less the version, where versions are Unix times.", **labels)
        self._update = Gauge(f"{prefix}_update_delay_seconds", "Since a version was last copied.", **labels)

    def updated(self, model: str, version: int, copied: _Copied) -> None:
        self._version.labels(model).set_function(lambda: time.time() - version)
        self._update.labels(model).set_function(lambda: time.time() - copied.updated)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _open_lock(path: str) -> int:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as e:
        raise errors.CannotCreateError(f"{path}: {e.strerror}") from None


@contextlib.contextmanager
def _flocked(folder: str):
    """One at a time, of all processes."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _check_apart(source: str, receive: str) -> None:
    """`receive` is emptied at the start: it must be a folder of its own."""
    inside = os.path.commonpath([source, receive])
    if inside in (source, receive):
        raise errors.ConfigError(
            f"rough_sort_model_local_path {receive} and rough_sort_model_p2p_path {source} lie in each other")
    if receive in ("/", os.path.realpath(os.path.expanduser("~"))):
        raise errors.ConfigError(
            f"rough_sort_model_local_path is {receive}, which would be emptied: give it a folder of its own")


def _empty(folder: str) -> None:
    """Takes away the models of an earlier run. What does not look like one makes the folder somebody else's."""
    try:
        models = [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n != LOCK]
        for path in [*models, *(os.path.join(m, n) for m in models if os.path.isdir(m) for n in sorted(os.listdir(m)))]:
            if os.path.islink(path) or not os.path.isdir(path):
                raise errors.ConfigError(
                    f"rough_sort_model_local_path {folder} would be emptied, but {path} is no model: "
                    "give it a folder of its own")
        for model in models:
            shutil.rmtree(model)
    except OSError as e:
        raise errors.CannotCreateError(f"rough_sort_model_local_path {folder}: {e.strerror}") from None
