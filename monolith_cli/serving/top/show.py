"""monolith-top in its three forms: once, a JSON object a line, the live screen."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import sys
import threading

from monolith_cli import errors
from monolith_cli.serving.top import table
from monolith_cli.serving.top.collector import Collector, Sources
from monolith_cli.serving.top.facts import Snapshot


def show(
    sources: Sources,
    *,
    once: bool,
    as_json: bool,
    patterns=(),
    sort: str = "model",
    reverse: bool = False,
    count: int | None = None,
    run=None,
) -> int:
    """The exit code. count: pictures in JSON until it ends; None: until a signal. UnavailableError (69) from `once`
    when no source answers."""
    if not (sources.zookeeper or sources.agents or sources.servers):
        raise errors.UsageError("nothing to look at: give --zk-servers and --bzid, --agent or --server")
    logging.getLogger().setLevel(logging.CRITICAL)  # what clients log of a lost connection is on the screen already
    if not once and not as_json:
        from monolith_cli.serving.top.screen import Screen, check_terminal

        check_terminal()
        collector = Collector(sources)
        collector.start()
        try:
            return Screen(collector, tuple(patterns), sort, reverse, sources.interval_s).run()
        finally:
            collector.close()
    collector = Collector(sources)
    try:
        if once:
            return _once(collector, as_json, patterns, sort, reverse, run)
        return _stream(collector, sources.interval_s, patterns, sort, reverse, count)
    finally:
        collector.close()


def _once(collector: Collector, as_json: bool, patterns, sort: str, reverse: bool, run) -> int:
    whole = collector.look_twice()
    shown = whole.chosen(patterns, sort, reverse)
    if as_json:
        print(json.dumps(shown.to_dict()))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(
            "\n".join(
                [table.summary(shown), *table.source_lines(shown.sources, width), *table.table(shown.rows, width)]
            )
        )
    if run is not None:
        run.nothing_to_do = not shown.rows
    _raise_if_all_down(whole)
    return 0


def _raise_if_all_down(shown: Snapshot) -> None:
    if not any(s.up for s in shown.sources):
        raise errors.UnavailableError(
            "no source answers: " + "; ".join(f"{s.kind} {s.name}: {s.error or 'no answer'}" for s in shown.sources)
        )


def _stream(collector: Collector, interval_s: float, patterns, sort: str, reverse: bool, count: int | None) -> int:
    stop, seen = threading.Event(), []

    def handle(number, frame):
        seen.append(number)
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    collector.start()
    while (count is None or count > 0) and not stop.wait(interval_s):
        print(json.dumps(collector.snapshot().chosen(patterns, sort, reverse).to_dict()), flush=True)
        count = None if count is None else count - 1
    return 128 + seen[0] if seen else 0
