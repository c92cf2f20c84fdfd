"""Work that is done again and again, on a thread of its own, and can be told to hurry or to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Rounds:
    """Calls `work()` at once and then every `interval_s` seconds, or sooner after wake(). An error of a round is
    logged, each one once until a round succeeds, and the next round comes as ever.

    stop() ends it without waiting for the interval.
    """

    def __init__(self, name: str, work: Callable[[], None], interval_s: float, log):
        self._name, self._work, self._interval, self._log = name, work, interval_s, log
        self._wake, self._stopping = threading.Event(), False
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.last_success = 0.0

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self, timeout_s: float = 5.0) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self._work()
                self._complaint, self.last_success = "", time.monotonic()
            except Exception as e:  # noqa: BLE001 - whatever a round trips over, the next one may not
                complaint = f"{self._name}: {type(e).__name__}: {e}"
                if complaint != self._complaint and not self._stopping:
                    self._log.warning(complaint)
                self._complaint = complaint
            self._wake.wait(self._interval)
