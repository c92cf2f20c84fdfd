"""Runs sources through operators into an output: the body of every stream command."""

from __future__ import annotations

from collections.abc import Iterable

from monolith_cli.records.framing import Framing
from monolith_cli.records.sinks import open_sink
from monolith_cli.records.sources import open_readers


def run_chain(sources: Iterable[str], operators: Iterable = (), *, framing: Framing | None = None, output: str | None = None,
              limit_in: int | None = None, limit_out: int | None = None, on_bad_record: str = "fail",
              shard: str | None = None, repeat: int = 1, run=None, readers: Iterable | None = None,
              open_output=open_sink) -> dict:
    """Passes all records of the sources through native operators and writes the bare wire.

    limit_in, limit_out: end after that many records read or written. on_bad_record: fail, skip, or the path of a file
    that keeps the bytes. shard, repeat: as `open_readers`. readers: take their records instead of the sources'; then
    sources, framing, shard and repeat count for nothing. open_output: makes the sink of `output`, as `open_sink` does.
    run: the Run of a command; gets warnings, progress and counters.
    Returns records_in, records_out, bytes_in, bytes_out, bad_records and what operators count.
    A stop request (SIGINT, SIGTERM) ends it at a record boundary; `output` then holds what was read so far.
    Raises the errors of `monolith_cli.errors`; what came before a bad record has been written to standard output then.
    """
    from monolith_cli._native import _core

    _core.install_stop_handlers()
    if readers is None:
        readers = open_readers(sources, framing, shard=shard, repeat=repeat)
    readers = iter(readers)
    with open_output(output) as sink:
        chain = _core.Chain(list(operators), sink, limit_in=limit_in, limit_out=limit_out, on_bad_record=on_bad_record,
                            warn=run.log.warning if run else None)
        try:
            if run is None:
                _drain(chain, readers)
            else:
                with run.watch(lambda: _progress(chain)):
                    _drain(chain, readers)
        finally:
            counters = {**chain.stats(), **chain.dropped_by()}
            if run is not None:
                run.metrics.update({k.replace(".", "_"): v for k, v in counters.items()})
    if run is not None:
        run.nothing_to_do = counters["records_out"] == 0
        run.stats({k.replace(".", "_"): v for k, v in counters.items()})
    return counters


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
