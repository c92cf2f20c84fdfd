"""One run of a command: messages to people, progress, counters, metrics."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager, suppress

from monolith_cli.whole_file import write_whole


class Log:
    """Messages on stderr, as text or as one JSON object a line. Levels: info needs -v, warning is silenced by -q."""

    def __init__(self, prog: str, verbosity: int = 0, as_json: bool = False):
        self.prog, self.verbosity, self.as_json = prog, verbosity, as_json

    def info(self, message: str, **fields) -> None:
        if self.verbosity > 0:
            self._write("info", message, fields)

    def warning(self, message: str, **fields) -> None:
        if self.verbosity >= 0:
            self._write("warning", message, fields)

    def error(self, message: str, **fields) -> None:
        self._write("error", message, fields)

    def summary(self, message: str, **fields) -> None:
        """What a command says of itself at the end; silenced by -q."""
        if self.verbosity >= 0:
            self._write("summary", message, fields)

    def _write(self, level: str, message: str, fields: dict) -> None:
        if self.as_json:
            import json

            line = json.dumps({"time": round(time.time(), 3), "level": level, "command": self.prog, "message": message, **fields})
        else:
            line = f"{self.prog}: {'' if level in ('error', 'summary') else level + ': '}{message}"
        with suppress(BrokenPipeError):  # nobody reads what is said; the work goes on
            sys.stderr.write(line + "\n")


class Run:
    """Handed to every command as `run`."""

    debugging = False  # -v was given: errors show their trace

    def __init__(self, prog: str, log: Log, progress: bool):
        self.prog, self.log, self.progress = prog, log, progress
        self.quiet, self.verbose = log.verbosity < 0, log.verbosity > 0
        self.metrics: dict[str, float] = {}
        self.nothing_to_do = False
        self.started = time.monotonic()

    def stats(self, counters: dict, size: int | None = None) -> None:
        """Reports counters at the end of a run: on stderr unless -q, and in --metrics-file.

        size: bytes read, of which the rate is shown too.
        """
        self.metrics.update({k: v for k, v in counters.items() if isinstance(v, (int, float))})
        seconds = time.monotonic() - self.started
        text = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in counters.items() if v is not None)
        rate = {} if size is None else {"mb_per_second": round(size / seconds / 1e6, 1)}
        text += f", seconds {seconds:.2f}" + (f", MB/s {rate['mb_per_second']}" if rate else "")
        self.log.summary(text, **counters, seconds=round(seconds, 3), **rate)

    def write_stats(self, path: str, counters: dict) -> None:
        """Writes counters as one JSON object, with `command`, `seconds` and `mb_per_second`; the file appears whole."""
        import json

        seconds = time.monotonic() - self.started
        rate = round(counters.get("bytes_in", 0) / seconds / 1e6, 3)
        write_whole(path, json.dumps({"command": self.prog, **counters, "seconds": round(seconds, 3), "mb_per_second": rate}) + "\n")

    def stop_requested(self) -> int:
        """Number of the signal that asked the command to end, or 0."""
        core = sys.modules.get("monolith_cli._native._core")
        return core.stop_requested() if core else 0

    @contextmanager
    def watch(self, read):
        """While inside, shows `read()` (a dict with records and bytes) on stderr once a second if progress is on."""
        if not self.progress:
            yield
            return
        done = threading.Event()

        def show():
            before, at = read(), time.monotonic()
            while not done.wait(1.0):
                now, t = read(), time.monotonic()
                records, size = now.get("records", 0), now.get("bytes", 0)
                rate = (records - before.get("records", 0)) / (t - at)
                mb = (size - before.get("bytes", 0)) / (t - at) / 1e6
                sys.stderr.write(f"\r{self.prog}: {records:,} records, {size / 1e6:,.0f} MB, {rate:,.0f} records/s, {mb:,.1f} MB/s \033[K")
                before, at = now, t
            sys.stderr.write("\r\033[K")

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def write_metrics(self, path: str, exit_code: int) -> None:
        """Writes the metrics for a node_exporter textfile collector; the file appears whole."""
        base = "monolith_" + self.prog.split()[-1].removeprefix("monolith-").replace("-", "_")
        values = {f"{base}_{name}": value for name, value in self.metrics.items()}
        values |= {f"{base}_duration_seconds": round(time.monotonic() - self.started, 3), f"{base}_exit_code": exit_code,
                   f"{base}_finished_timestamp_seconds": round(time.time(), 3)}
        write_whole(path, "".join(f"# TYPE {name} gauge\n{name} {value}\n" for name, value in values.items()))
