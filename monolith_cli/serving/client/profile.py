"""A load generator for Predict: closed loop at a concurrency, or open loop at an arrival rate."""

from __future__ import annotations

import random
import threading
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field

import grpc

from monolith_cli.serving import channel
from monolith_cli.serving.client.calls import PREDICT_METHOD

PERCENTILES = (50.0, 90.0, 99.0, 99.9)


@dataclass(frozen=True)
class ProfileConfig:
    """targets: host:port each; a request goes to one of them by chance. parallel_num: requests under way at most. rate:
    requests per second that fall due, however fast the servers answer; None: each thread sends its next request when it
    has an answer. duration_s, warm_up_s: seconds measured, and before them not measured. timeout_s: of a request."""

    targets: tuple[str, ...]
    parallel_num: int = 1
    rate: float | None = None
    duration_s: float = 600.0
    warm_up_s: float = 0.0
    timeout_s: float = 30.0
    seed: int | None = None
    tls: channel.Tls | None = None


@dataclass
class Profile:
    """What was measured. latencies_s: of answers, sorted; with a rate from the moment the request fell due. errors:
    status code -> count. unsent: requests that fell due and were still waiting for a free thread at the end."""

    elapsed_s: float = 0.0
    latencies_s: array = field(default_factory=lambda: array("d"))
    errors: Counter = field(default_factory=Counter)
    last_error: grpc.RpcError | None = None
    unsent: int = 0
    max_lag_s: float = 0.0

    @property
    def count(self) -> int:
        return len(self.latencies_s)

    def rate(self) -> float:
        """Answers per second."""
        return self.count / self.elapsed_s if self.count and self.elapsed_s else 0.0

    def mean_ms(self) -> float:
        return sum(self.latencies_s) / self.count * 1e3 if self.count else 0.0

    def percentile_ms(self, percent: float) -> float:
        return self.latencies_s[percentile_index(self.count, percent)] * 1e3 if self.count else 0.0

    def line(self) -> str:
        """The line of the result, in milliseconds and answers per second."""
        return (
            f"[Profile] Count: {self.count}, Avg Latency: {_number(self.mean_ms())}, "
            f"P99 Latency: {_number(self.percentile_ms(99))}, QPS: {_number(self.rate())}"
        )

    def to_dict(self) -> dict:
        """Stable names, milliseconds and seconds."""
        named = {f"p{percent:g}_ms": round(self.percentile_ms(percent), 3) for percent in PERCENTILES}
        return {
            "count": self.count,
            "errors": dict(sorted(self.errors.items())),
            "error_count": self.errors.total(),
            "unsent": self.unsent,
            "elapsed_s": round(self.elapsed_s, 3),
            "qps": round(self.rate(), 3),
            "mean_ms": round(self.mean_ms(), 3),
            "min_ms": round(self.latencies_s[0] * 1e3, 3) if self.count else 0.0,
            **named,
            "max_ms": round(self.latencies_s[-1] * 1e3, 3) if self.count else 0.0,
            "max_lag_ms": round(self.max_lag_s * 1e3, 3),
        }


def percentile_index(count: int, percent: float) -> int:
    """Place of a percentile among `count` sorted values: round((count - 1) * percent / 100), half to even (spec 60,
    T28)."""
    return round((count - 1) * percent / 100)


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.3f}"


class Profiler:
    """Sends serialized PredictRequests until the duration is over or `stop()`."""

    def __init__(self, config: ProfileConfig, requests: list[bytes]):
        self._config, self._requests = config, requests
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._next_ticket = 0
        self._begin = self._end = 0.0  # of what is measured, on the monotonic clock
        self._workers = [_Worker(self, i) for i in range(config.parallel_num)]
        self._channels = [channel.open_channel(target, config.tls, reconnect_s=1.0) for target in config.targets]
        self._calls = [
            c.unary_unary(PREDICT_METHOD, request_serializer=None, response_deserializer=None) for c in self._channels
        ]

    def stop(self) -> None:
        """Ends the run; what was measured so far counts."""
        self._stop.set()

    def progress(self) -> tuple[int, int, float]:
        """(answers, errors, seconds measured) up to now."""
        return (
            sum(len(w.latencies_s) for w in self._workers),
            sum(w.errors.total() for w in self._workers),
            max(0.0, min(time.monotonic(), self._end) - self._begin),
        )

    def run(self, tick=None, tick_s: float = 1.0) -> Profile:
        """tick: called about every tick_s seconds on the calling thread, while requests go."""
        started = time.monotonic()
        self._begin = started + self._config.warm_up_s
        self._end = self._begin + self._config.duration_s
        for worker in self._workers:
            worker.thread.start()
        try:
            while (
                not self._stop.wait(min(tick_s, max(0.0, self._end - time.monotonic())))
                and time.monotonic() < self._end
            ):
                if tick:
                    tick()
        finally:
            stopped = self._stop.is_set()
            self._end = min(self._end, time.monotonic())
            self._stop.set()
            if stopped:
                self._close()  # asked to end: requests under way are called off
            for worker in self._workers:
                worker.thread.join()
            self._close()
        return self._profile()

    def _close(self) -> None:
        for open_channel in self._channels:
            open_channel.close()

    def _profile(self) -> Profile:
        profile = Profile(elapsed_s=max(0.0, self._end - self._begin))
        for worker in self._workers:
            profile.latencies_s.extend(worker.latencies_s)
            profile.errors.update(worker.errors)
            profile.last_error = worker.last_error or profile.last_error
            profile.max_lag_s = max(profile.max_lag_s, worker.max_lag_s)
            profile.elapsed_s = max(profile.elapsed_s, worker.last_done - self._begin)
        profile.latencies_s = array("d", sorted(profile.latencies_s))
        if self._config.rate:
            profile.unsent = self._due_before(self._end) - self._next_ticket
        return profile

    def _due_before(self, at: float) -> int:
        """How many requests have fallen due by then, and are due no later than the end."""
        start = self._begin - self._config.warm_up_s
        return max(self._next_ticket, int((at - start) * self._config.rate))

    def _take_turn(self) -> float | None:
        """Waits for the next request to fall due; when that was, or None at the end."""
        if not self._config.rate:
            now = time.monotonic()
            return None if self._stop.is_set() or now >= self._end else now
        with self._lock:
            due = self._begin - self._config.warm_up_s + self._next_ticket / self._config.rate
            if due >= self._end or self._stop.is_set() or time.monotonic() >= self._end:
                return None
            self._next_ticket += 1
        wait = due - time.monotonic()
        if wait > 0 and self._stop.wait(wait):
            return None
        return due


class _Worker:
    """One thread with one request under way."""

    def __init__(self, profiler: Profiler, index: int):
        seed = profiler._config.seed
        self._profiler, self._random = profiler, random.Random(None if seed is None else f"{seed}/{index}")
        self.latencies_s, self.errors = array("d"), Counter()
        self.last_error: grpc.RpcError | None = None
        self.max_lag_s = self.last_done = 0.0
        self.thread = threading.Thread(target=self._work, name=f"profile-{index}", daemon=True)

    def _work(self) -> None:
        while (due := self._profiler._take_turn()) is not None:
            self._send(due)

    def _send(self, due: float) -> None:
        profiler, config = self._profiler, self._profiler._config
        call, request = self._random.choice(profiler._calls), self._random.choice(profiler._requests)
        lag = time.monotonic() - due
        try:
            call(request, timeout=config.timeout_s)
            error = None
        except grpc.RpcError as e:
            error = e
        except ValueError:  # the channel was closed: the run was asked to end
            return
        done = time.monotonic()
        if due < profiler._begin or (
            error is not None and profiler._stop.is_set() and error.code() == grpc.StatusCode.CANCELLED
        ):
            return
        self.max_lag_s, self.last_done = max(self.max_lag_s, lag), done
        if error is None:
            self.latencies_s.append(done - due)
        else:
            self.errors[error.code().name] += 1
            self.last_error = error
