"""SIGTERM, SIGINT and SIGHUP as a request to end in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


class StopSignal:
    """From install() on the first of them calls `asked()` and is kept in `number`; a second one ends the
    process at once, after `at_once()`. For the main thread."""

    def __init__(self, asked: Callable[[], None] = lambda: None, at_once: Callable[[], None] = lambda: None):
        self.number, self.asked, self.at_once = 0, asked, at_once

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup(1)
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame) -> None:
        if self.number:
            self.at_once()
            os._exit(128 + number)
        self.number = number
        self.asked()
