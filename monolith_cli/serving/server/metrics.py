"""Counters and histograms for Prometheus, under the stock server's names, which its dashboards know."""

from __future__ import annotations

import bisect
import threading
import time

# Microseconds; the stock server's buckets grow by 1.8 from 10 on.
_BUCKETS = tuple(round(10 * 1.8**i, 1) for i in range(33))
_MAX_SERIES = 10_000
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Histogram:
    def __init__(self):
        self.counts, self.sum = [0] * (len(_BUCKETS) + 1), 0.0

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(_BUCKETS, value)] += 1
        self.sum += value


class Metrics:
    """versions: () -> {(model, state): count}, asked when the text is made. Model names of requests are only taken as
    labels where `knows` says so: a client must not make series as it likes."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counters: dict[tuple, float] = {}
        self._histograms: dict[tuple, _Histogram] = {}
        self._started = time.time()
        self.versions = dict
        self.knows = lambda name: False

    def count_request(self, model: str, api: str, entrypoint: str, status: str, seconds: float) -> None:
        model = model if self.knows(model) else ""
        with self._lock:
            self._add((":tensorflow:serving:request_count", ("model_name", model), ("status", status)), 1)
            self._observe(
                (
                    ":tensorflow:serving:request_latency",
                    ("model_name", model),
                    ("API", api),
                    ("entrypoint", entrypoint),
                ),
                seconds * 1e6,
            )

    def count_load(self, model: str, good: bool, seconds: float) -> None:
        with self._lock:
            self._add(
                (
                    ":tensorflow:cc:saved_model:load_attempt_count",
                    ("model_path", model),
                    ("status", "success" if good else "fail"),
                ),
                1,
            )
            if good:
                self._add((":tensorflow:cc:saved_model:load_latency", ("model_path", model)), round(seconds * 1e6))

    def count_batch(self, rows: int, padded: int) -> None:
        with self._lock:
            self._observe((":tensorflow:serving:batching_session:processed_batch_size",), rows)
            self._add((":tensorflow:serving:batching_session:padding_rows",), padded)

    def count_warmup(self, model: str, records: int, seconds: float) -> None:
        with self._lock:
            self._add((":tensorflow:serving:model_warmup_records", ("model_name", model)), records)
            self._observe(
                (":tensorflow:serving:model_warmup_latency", ("model_path", model), ("status", "OK")), seconds * 1e6
            )

    def _add(self, key: tuple, value: float) -> None:
        if key in self._counters or len(self._counters) < _MAX_SERIES:
            self._counters[key] = self._counters.get(key, 0) + value

    def _observe(self, key: tuple, value: float) -> None:
        found = self._histograms.get(key)
        if found is None and len(self._histograms) < _MAX_SERIES:
            found = self._histograms[key] = _Histogram()
        if found is not None:
            found.add(value)

    def text(self) -> str:
        """Prometheus' text format."""
        gauges = {
            ("monolith_serve_versions", ("model_name", m), ("state", s)): n for (m, s), n in self.versions().items()
        }
        gauges[("process_start_time_seconds",)] = round(self._started, 3)
        with self._lock:
            counters = dict(self._counters)
            histograms = {key: (list(h.counts), h.sum) for key, h in self._histograms.items()}
        lines: list[str] = []
        for kind, series in (("counter", counters), ("gauge", gauges)):
            last = None
            for key in sorted(series):
                if key[0] != last:
                    lines.append(f"# TYPE {key[0]} {kind}")
                last = key[0]
                lines.append(f"{key[0]}{_labels(key[1:])} {_number(series[key])}")
        last = None
        for key in sorted(histograms):
            if key[0] != last:
                lines.append(f"# TYPE {key[0]} histogram")
            last = key[0]
            lines.extend(_histogram_lines(key, *histograms[key]))
        return "\n".join(lines) + "\n"


def _histogram_lines(key: tuple, counts: list[int], total: float) -> list[str]:
    lines, seen = [], 0
    for bound, count in zip((*_BUCKETS, float("inf")), counts):
        seen += count
        edge = "+Inf" if bound == float("inf") else _number(bound)
        lines.append(f"{key[0]}_bucket{_labels((*key[1:], ('le', edge)))} {seen}")
    return [*lines, f"{key[0]}_sum{_labels(key[1:])} {_number(total)}", f"{key[0]}_count{_labels(key[1:])} {seen}"]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _labels(labels: tuple) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}" if labels else ""
