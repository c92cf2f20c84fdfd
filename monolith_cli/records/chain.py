"""Runs sources through operators into an output: the body of every stream command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from monolith_cli.records import summaries
from monolith_cli.records.framing import Framing
from monolith_cli.records.sinks import open_sink
from monolith_cli.records.sources import open_readers


def run_chain(sources: Iterable[str], operators: Iterable = (), *, framing: Framing | None = None, output: str | None = None,
              limit_in: int | None = None, limit_out: int | None = None, on_bad_record: str = "fail",
              shard: str | None = None, repeat: int = 1, run=None, readers: Iterable | None = None,
              open_output=open_sink, stats: str | None = None, record_type: str | None = None, time_operators: bool = False,
              stages: Sequence[dict] = (), report=None) -> dict:
    """Passes all records of the sources through native operators and writes the bare wire.

    limit_in, limit_out: end after that many records read or written. on_bad_record: fail, skip, or the path of a file
    that keeps the bytes. shard, repeat: as `open_readers`. readers: take their records instead of the sources'; then
    sources, framing, shard and repeat count for nothing. open_output: makes the sink of `output`, as `open_sink` does.
    run: the Run of a command; gets warnings, progress and counters. stats: file for what `report` makes of the counters.
    record_type: what the operators take records for; a source of another type raises BadDataError. None: any will do.
    time_operators: measure each operator (slower).
    stages: for each operator a dict of stage (a number) and command, which messages and counters name it by.
    report: called with the counters at the end, after an error too.
    Returns records_in, records_out, bytes_in, bytes_out, bad_records, dropped (reason -> records, as "operator.reason")
    and operators (a list of name, in, out, bad, dropped, counts, seconds, what `stages` says, and of a transform its steps).
    A stop request (SIGINT, SIGTERM) ends it at a record boundary; `output` then holds what was read so far.
    Raises the errors of `monolith_cli.errors`; what came before a bad record has been written to standard output then.
    """
    from monolith_cli._native import _core

    _core.install_stop_handlers()
    operators = list(operators)
    if readers is None:
        readers = open_readers(sources, framing, shard=shard, repeat=repeat)
    readers = iter(readers)
    with open_output(output) as sink:
        chain = _core.Chain(operators, sink, limit_in=limit_in, limit_out=limit_out, on_bad_record=on_bad_record,
                            warn=run.log.warning if run else None, type=record_type, time_operators=time_operators,
                            stages=[f"stage {s['stage']} ({s['command']})" for s in stages])
        try:
            if run is None:
                _drain(chain, readers)
            else:
                with run.watch(lambda: _progress(chain)), summaries.logged(operators, run.log):
                    _drain(chain, readers)
        finally:
            counters = _counters(chain, operators, stages)
            if report is not None:
                report(counters)
            if run is not None:
                run.metrics.update(_flat(counters))
                if stats:
                    run.write_stats(stats, counters)
    if run is not None:
        run.nothing_to_do = counters["records_out"] == 0
        run.stats(_flat(counters), size=counters["bytes_in"])
    return counters


def _counters(chain, natives, stages) -> dict:
    operators = chain.operators()
    for i, operator in enumerate(operators):
        operator |= stages[i] if stages else {}
        operator |= summaries.counts(natives[i])
    dropped = {}
    for operator in operators:
        for reason, records in operator["dropped"].items():
            key = f"{operator['name']}.{reason}"
            dropped[key] = dropped.get(key, 0) + records
    return {**chain.stats(), "dropped": dropped, "operators": operators}


def _flat(counters: dict) -> dict:
    """Numbers only, with names a metric can have."""
    numbers = {k: v for k, v in counters.items() if isinstance(v, int)}
    numbers |= {k.replace(".", "_"): v for k, v in counters["dropped"].items()}
    return numbers | {re.sub(r"\W", "_", f"{o['name']}_{k}"): v for o in counters["operators"] for k, v in o["counts"].items()}


def _drain(chain, readers) -> None:
    readers = iter(readers)
    while True:
        try:
            reader = next(readers, None)
        except Exception:
            chain.finish()  # a source that cannot be opened takes nothing along that came before
            raise
        if reader is None or not chain.run(reader):
            break
    chain.finish()


def _progress(chain) -> dict:
    stats = chain.stats()
    return {"records": stats["records_in"], "bytes": stats["bytes_in"]}
