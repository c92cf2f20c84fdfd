"""Loads and unloads versions so that there is always one to serve: a new version is AVAILABLE before an old one goes.

What should be served (`set_aspired`) comes from the directories; what is served follows. A version that fails is tried
again after a while, and ends with its error when it has been tried often enough; the others are untouched. A version
goes when its last request is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from monolith_cli.serving.server.saved_model import SavedModel
from monolith_cli.serving.server.status import StatusError, not_found
from monolith_cli.serving.server.versions import ServedVersion, State

# Versions that ended stay visible in the status, the newest so many of a model, and models that ended likewise.
_ENDED_VERSIONS, _ENDED_MODELS = 32, 256


@dataclass(frozen=True)
class LoadPolicy:
    """max_retries: after the first attempt. threads: loads, or unloads, at once; 0 as 1."""

    max_retries: int = 5
    retry_interval_s: float = 60.0
    load_threads: int = 0
    unload_threads: int = 0


class Manager:
    """load(path) -> SavedModel that is ready to serve, or StatusError."""

    def __init__(self, load: Callable[[str, str], SavedModel], policy: LoadPolicy, log, metrics):
        self._load_model, self._policy, self._log, self._metrics = load, policy, log, metrics
        self._changed = threading.Condition()
        self._models: dict[str, dict[int, ServedVersion]] = {}
        self._loaders = ThreadPoolExecutor(max(1, policy.load_threads), "load")
        self._unloaders = ThreadPoolExecutor(max(1, policy.unload_threads), "unload")
        self._stopping = False

    def set_aspired(self, name: str, paths: dict[int, str]) -> None:
        """The versions of a model that should be served, and where they are. None: the model is to go."""
        with self._changed:
            if self._stopping:
                return
            versions = self._models.setdefault(name, {})
            anew = [
                n for n in paths if n not in versions or (versions[n].state == State.END and not versions[n].aspired)
            ]
            for number, version in versions.items():
                version.aspired = number in paths
                if version.aspired and number not in anew and version.path != paths[number]:
                    self._log.warning(
                        f"{version} goes on being served from {version.path}; {paths[number]} has the same number"
                    )
            for number in sorted(anew, reverse=True):
                self._begin(name, number, paths[number])
            self._settle(name)

    def _begin(self, name: str, number: int, path: str) -> None:
        version = self._models[name][number] = ServedVersion(name, number, path)
        self._loaders.submit(self._load, version)
        self._changed.notify_all()

    def _settle(self, name: str) -> None:
        """Sends away what is not wanted any more, if something wanted serves or nothing is wanted."""
        versions = self._models[name].values()
        wanted = [v for v in versions if v.aspired]
        if not wanted or any(v.state == State.AVAILABLE for v in wanted):
            for version in versions:
                if version.state == State.AVAILABLE and not version.aspired:
                    version.enter(State.UNLOADING)
                    if version.holders == 0:
                        self._unloaders.submit(self._unload, version)
        self._forget(name)
        self._changed.notify_all()

    def _forget(self, name: str) -> None:
        ended = sorted(
            (v for v in self._models[name].values() if v.state == State.END and not v.aspired), key=lambda v: v.since
        )
        for version in ended[:-_ENDED_VERSIONS]:
            del self._models[name][version.number]
        idle = [
            n
            for n, versions in self._models.items()
            if all(v.state == State.END and not v.aspired for v in versions.values())
        ]
        for other in idle[:-_ENDED_MODELS]:
            del self._models[other]

    def _load(self, version: ServedVersion) -> None:
        with self._changed:
            if self._stopping or not version.aspired:
                version.enter(State.END, version.error)
                self._changed.notify_all()
                return
            version.enter(State.LOADING, version.error)
            version.loading = True
            self._changed.notify_all()
        began = time.monotonic()
        try:
            model = self._load_model(version.name, version.path)
        except StatusError as e:
            self._failed(version, e)
            return
        seconds = time.monotonic() - began
        self._metrics.count_load(version.name, True, seconds)
        with self._changed:
            version.model, version.loading = model, False
            version.enter(State.AVAILABLE)
            self._settle(version.name)
        self._log.summary(f"{version} is available, loaded from {version.path} in {seconds:.2f} s")

    def _failed(self, version: ServedVersion, error: StatusError) -> None:
        self._metrics.count_load(version.name, False, 0.0)
        with self._changed:
            version.attempts, version.loading = version.attempts + 1, False
            again = version.aspired and not self._stopping and version.attempts <= self._policy.max_retries
            version.enter(State.LOADING if again else State.END, error)
            self._changed.notify_all()
        what = f"tried again in {self._policy.retry_interval_s:g} s" if again else "given up"
        self._log.error(
            f"{version} can not be loaded from {version.path}: {error.code.name}: {error.message}; attempt {version.attempts}, {what}"
        )
        if again:
            timer = threading.Timer(self._policy.retry_interval_s, self._retry, [version])
            timer.daemon = True
            timer.start()

    def _retry(self, version: ServedVersion) -> None:
        with self._changed:
            if not self._stopping:
                self._loaders.submit(self._load, version)

    def _unload(self, version: ServedVersion) -> None:
        version.unload()
        with self._changed:
            version.enter(State.END)
            if version.aspired and not self._stopping:  # wanted again while it went
                self._begin(version.name, version.number, version.path)
            self._settle(version.name)
        self._log.summary(f"{version} is unloaded")

    def acquire(self, name: str, number: int | None = None) -> ServedVersion:
        """The version of that number, or the newest that is available; to be given back by `release`. NOT_FOUND where
        none is."""
        with self._changed:
            versions = self._models.get(name, {})
            if number is None:
                numbers = [n for n, v in versions.items() if v.state == State.AVAILABLE]
                number = max(numbers, default=None)
            version = versions.get(number)
            if version is None or version.state != State.AVAILABLE:
                which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise not_found(f"Servable not found for request: {which}")
            version.holders += 1
            return version

    def release(self, version: ServedVersion) -> None:
        with self._changed:
            version.holders -= 1
            if version.holders == 0 and version.state == State.UNLOADING:
                self._unloaders.submit(self._unload, version)

    def status(self, name: str) -> list[tuple[int, State, StatusError | None]]:
        """Version, state and error of all versions of a model, newest first; empty for a model that is not known."""
        with self._changed:
            return sorted(
                ((v.number, v.state, v.error) for v in self._models.get(name, {}).values()),
                reverse=True,
                key=lambda s: s[0],
            )

    def is_available(self, name: str, number: int) -> bool:
        return any(n == number and state == State.AVAILABLE for n, state, _ in self.status(name))

    def counts(self) -> dict[tuple[str, str], int]:
        """(model, state) -> versions."""
        with self._changed:
            counted: dict[tuple[str, str], int] = {}
            for name, versions in self._models.items():
                for version in versions.values():
                    counted[name, version.state.name] = counted.get((name, version.state.name), 0) + 1
            return counted

    def wait_for(self, names: list[str]) -> dict[str, list[ServedVersion]]:
        """Waits until every wanted version of these models is available or has failed, and of each model one is
        available or all have ended. Returns the models of which none is, with the versions that failed."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or all(self._is_settled(n) for n in names))
            failed = {n: [v for v in self._models.get(n, {}).values() if v.aspired] for n in names}
        return {
            n: versions for n, versions in failed.items() if versions and all(v.state == State.END for v in versions)
        }

    def wait_for_attempts(self, names: list[str]) -> None:
        """Waits until every wanted version of these models is available, or has been tried once."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or all(self._is_tried(n) for n in names))

    def _is_tried(self, name: str) -> bool:
        wanted = [v for v in self._models.get(name, {}).values() if v.aspired]
        return all(v.state in (State.AVAILABLE, State.END) or v.attempts for v in wanted)

    def _is_settled(self, name: str) -> bool:
        wanted = [v for v in self._models.get(name, {}).values() if v.aspired]
        return self._is_tried(name) and (
            any(v.state == State.AVAILABLE for v in wanted) or all(v.state == State.END for v in wanted)
        )

    def stop_loading(self) -> None:
        """Loads nothing more and keeps nobody waiting; what is available is served on."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def stop(self, patience_s: float = 10.0) -> bool:
        """Loads nothing more, and unloads all; whether it was done in time. No request may come any more."""
        self.stop_loading()
        self._loaders.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            for name, versions in list(self._models.items()):
                for version in versions.values():
                    version.aspired = False
                self._settle(name)
            done = self._changed.wait_for(lambda: not self._at_work(), patience_s)
        self._unloaders.shutdown(wait=done, cancel_futures=True)
        return done

    def _at_work(self) -> list[ServedVersion]:
        return [v for versions in self._models.values() for v in versions.values() if v.model is not None or v.loading]
