"""What differs between two checkpoints, in bounded memory."""

from __future__ import annotations

import math

from monolith_cli.tables import outputs, tools


@outputs.stoppable
def diff(a: str, b: str, *, table: str | None = None, tolerance: float = 0, ignore=(), limit: int = 10, spool: str | None = None,
         memory: int = 256 << 20) -> dict | None:
    """Compares checkpoints row by row. Returns {a, b, same, tables: [{table, same, rows_a, rows_b, only_a, only_b, equal, changed,
    shapes, weights, state, times, max_abs, mean_l2, infinite, distances: [{from, to, keys}]}], differences: [{table, fid, slot, what,
    …}]}, None after a signal.

    tolerance: values no further apart are equal. ignore: "state", "time". limit: of the differences listed. weights, state, times:
    rows in which these differ; shapes: rows whose dims or optimizers do. Raises BadDataError for damage.
    """
    from monolith_cli._native import _core

    places = [outputs.not_empty(tools.locate(p)) for p in (a, b)]
    if table is not None:
        tools.check_table(places[0], table, *places[1:])
    job = _core.TableDiff(places[0].basenames, places[1].basenames, table or "", tolerance, "state" in ignore, "time" in ignore, limit, spool or "", memory)
    outputs.work_through(job)
    tables = [_readable(t) for t in job.tables() if table is None or tools.text_of(t["table"]) == table]
    rows = [{**d, "table": tools.text_of(d["table"]), "slot": d["fid"] >> 48 & 0x7FFF} for d in job.differences()]
    return {"a": places[0].name, "b": places[1].name, "same": all(t["same"] for t in tables), "tables": tables,
            "differences": [{k: _finite(v) for k, v in d.items()} for d in rows]}


def _readable(t: dict) -> dict:
    moved = t["weights"] - t["infinite"]
    distances = [{"from": 2.0**i, "to": 2.0 ** (i + 1), "keys": n} for i, n in sorted(t["distances"].items())]
    return {k: v for k, v in t.items() if k not in ("l2_sum", "in_a", "in_b")} | {
        "table": tools.text_of(t["table"]), "max_abs": _finite(t["max_abs"]), "mean_l2": t["l2_sum"] / moved if moved else None,
        "distances": distances, "missing_in": None if t["in_a"] and t["in_b"] else "b" if t["in_a"] else "a"}


def _finite(v):
    """JSON has no infinity."""
    return "Infinity" if isinstance(v, float) and math.isinf(v) else v
