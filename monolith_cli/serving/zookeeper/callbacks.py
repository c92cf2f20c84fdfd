"""One thread that runs the functions of users, so that kazoo's own are never kept waiting by them."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Task(Protocol):
    def run(self) -> None: ...


class CallbackThread:
    """Runs tasks one after the other in the order in which they were first put. A task that is waiting already is
    not put twice, so there are never more than there are tasks, however many events come while a function is slow."""

    def __init__(self, name: str, log):
        self._log, self._wake = log, threading.Condition()
        self._waiting: dict[Task, None] = {}
        self._later: dict[Task, float] = {}
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def put(self, task: Task) -> None:
        with self._wake:
            if not self._stopped:
                self._waiting[task] = None
                self._later.pop(task, None)
                self._wake.notify()

    def put_later(self, task: Task, delay_s: float) -> None:
        """Puts it in delay_s seconds, unless it is put before."""
        with self._wake:
            if not self._stopped and task not in self._waiting:
                self._later[task] = time.monotonic() + delay_s
                self._wake.notify()

    def stop(self, timeout_s: float = 5.0) -> None:
        """No task starts any more; waits for the one that runs."""
        with self._wake:
            self._stopped = True
            self._waiting.clear()
            self._later.clear()
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _next(self) -> Task | None:
        with self._wake:
            while not self._stopped:
                now = time.monotonic()
                for task in [t for t, due in self._later.items() if due <= now]:
                    del self._later[task]
                    self._waiting[task] = None
                if self._waiting:
                    task = next(iter(self._waiting))
                    del self._waiting[task]
                    return task
                self._wake.wait(min(self._later.values()) - now if self._later else None)
        return None

    def _loop(self) -> None:
        while (task := self._next()) is not None:
            try:
                task.run()
            except Exception as e:  # noqa: BLE001 - one user's mistake must not end the others' callbacks
                self._log.error(f"a callback of ZooKeeper failed: {type(e).__name__}: {e}")
