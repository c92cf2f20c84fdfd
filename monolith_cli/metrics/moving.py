"""Statistics over the last minutes of a number, and timers emitted from inside a graph."""

from __future__ import annotations

import collections
import logging
import math
import threading
import time
from collections.abc import Callable

from monolith_cli.metrics.emit import get_cli

log = logging.getLogger("monolith.metrics")

WINDOWS = {"last_1_min": 60, "last_5_min": 300, "last_15_min": 900}
LOG_EVERY = 600


class MovingStatistics:
    """min, max, avg and p99 of the values of the last 1, 5 and 15 minutes; logs them every 600 seconds. p99 is the
    value at place floor(0.99 n) of the n sorted ones; all are 0 for an empty window. clock: seconds; tests set it."""

    def __init__(self, key: str, clock: Callable[[], float] = time.monotonic):
        self.key, self._clock = key, clock
        self._values: dict[str, collections.deque] = {name: collections.deque() for name in WINDOWS}
        self._logged = clock()
        self._lock = threading.Lock()

    def push(self, value: float) -> None:
        """Takes a value in; drops what is older than its window."""
        now = self._clock()
        with self._lock:
            for name, seconds in WINDOWS.items():
                values = self._values[name]
                values.append((now, value))
                while int(now - values[0][0]) > seconds:
                    values.popleft()
            due = now - self._logged >= LOG_EVERY
            if due:
                self._logged = now
        if due:
            for name in WINDOWS:
                s = self.statistics(name)
                log.info(
                    "%s %s: min: %f, max: %f, avg: %f, p99: %f", self.key, name, s["min"], s["max"], s["avg"], s["p99"]
                )

    def statistics(self, window: str) -> dict[str, float]:
        """min, max, avg, p99 of last_1_min, last_5_min or last_15_min."""
        with self._lock:
            values = sorted(v for _, v in self._values[window])
        if not values:
            return dict.fromkeys(("min", "max", "avg", "p99"), 0.0)
        return {
            "min": values[0],
            "max": values[-1],
            "avg": math.fsum(values) / len(values),
            "p99": values[math.floor(0.99 * len(values))],
        }


_moving: dict[str, MovingStatistics] = {}


def emit_timer(key: str, value, tags: dict | None = None):
    """An op that emits a scalar as a timer and takes it into the moving statistics of `key`; run it, or make it a
    control dependency."""
    import tensorflow as tf

    client, statistics = get_cli(), _moving.setdefault(key, MovingStatistics(key))

    def emit(number) -> None:
        client.emit_timer(key, float(number), tags)
        statistics.push(float(number))

    return tf.numpy_function(emit, [tf.cast(value, tf.float32)], [], name="emit_timer", stateful=True)
