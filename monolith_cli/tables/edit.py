"""New checkpoints out of old ones: other files (`reshard`), fewer rows (`evict`), several into one (`merge`). Rows go through as they
stand, in bounded memory; the new files appear whole, and an older checkpoint is never overwritten without being asked to."""

from __future__ import annotations

import os

from monolith_cli.errors import NoInputError, UsageError
from monolith_cli.tables import outputs, tools

MEMORY = 256 << 20


@outputs.stoppable
def reshard(path: str, output: str, *, checkpoint: str | None = None, shards: int = 0, parts: int | None = None, force: bool = False,
            spool: str | None = None, memory: int = MEMORY, warn=print) -> dict | None:
    """Writes the tables of a checkpoint to the folder `output` in `shards` files each (0: as before), for `parts` parameter servers
    (None: as before). Returns {checkpoint, output, sets: [name], rows}, None after a signal.

    Raises BadDataError for damage, CannotCreateError when something is there already.
    """
    place = outputs.not_empty(tools.locate(path, checkpoint))
    units = [outputs.Group(os.path.basename(b), [b]) for b in place.basenames] if parts is None else outputs.groups(place.basenames)
    named = [(unit, unit.names(parts or 1)) for unit in units]
    folder = outputs.folder_of(place)
    same_parts = parts is None or all(len(unit.inputs) == parts for unit in units)
    if not same_parts and outputs.filters_in(folder):
        warn(f"{folder}: the hash filters know no keys, so they cannot be parted anew; training begins with empty ones")
    with outputs.directory(output, force=force) as to:
        outputs.refuse_leftovers(to, [n for _, names in named for n in names])
        jobs = [_copy(unit.inputs, [os.path.join(to, n) for n in names], shards, {}, spool, memory) for unit, names in named]
        _publish(jobs)
        if same_parts:
            outputs.carry_filters(folder, to)
    return {"checkpoint": place.name, "output": output, "sets": [n for _, names in named for n in names],
            "rows": sum(t["rows"] for job in jobs for t in job.counts())}


@outputs.stoppable
def evict(path: str, output: str | None, *, rules: dict, checkpoint: str | None = None, in_place: bool = False, dry_run: bool = False,
          shards: int = 0, force: bool = False, spool: str | None = None, memory: int = MEMORY) -> dict | None:
    """Leaves rows out. rules: expire_days, slot_expire_days {slot: days}, before (unix seconds), min_norm, slots, keys, table: see
    native/core/tables/row_rules.h. Returns {checkpoint, output, rows, evicted, tables: [{table, rows, evicted, slots: {slot: {rows,
    evicted}}}]}, None after a signal. dry_run: only counts.
    """
    place = outputs.not_empty(tools.locate(path, checkpoint))
    folder = outputs.folder_of(place)
    if rules.get("table") is not None:
        tools.check_table(place, rules["table"])
    if dry_run:
        jobs = [_copy([base], [], 0, rules, spool, memory) for base in place.basenames]
        for job in jobs:
            outputs.work_through(job)
    elif in_place:
        outputs.refuse_continued(place)
        jobs = [_copy([base], [base], shards, rules, spool, memory) for base in place.basenames]
        _publish(jobs)
    else:
        names = [os.path.basename(base) for base in place.basenames]
        with outputs.directory(output, force=force) as to:
            outputs.refuse_leftovers(to, names)
            jobs = [_copy([base], [os.path.join(to, n)], shards, rules, spool, memory) for base, n in zip(place.basenames, names)]
            _publish(jobs)
            outputs.carry_filters(folder, to)
    tables = [_evicted(t) for job in jobs for t in job.counts()]
    return {"checkpoint": place.name, "output": None if dry_run else folder if in_place else output, "rows": sum(t["rows"] for t in tables),
            "evicted": sum(t["evicted"] for t in tables), "tables": tables}


def _evicted(t: dict) -> dict:
    slots = {str(slot): {"rows": rows, "evicted": gone} for slot, (rows, gone) in t["slots"].items()}
    return {"table": tools.text_of(t["table"]), "rows": t["rows"], "evicted": t["gone"], "slots": slots}


@outputs.stoppable
def merge(paths: list[str], output: str, *, on_duplicate: str = "newest", shards: int = 0, parts: int | None = None, force: bool = False,
          spool: str | None = None, memory: int = MEMORY, warn=print) -> dict | None:
    """The union of the tables of several checkpoints. on_duplicate: which row a key gets that is in several of them: newest, first,
    last, sum, mean or fail. parts: of parameter servers; None: as all of them have. Returns {output, sets: [name], tables: [{table,
    rows, duplicates}]}, None after a signal.
    """
    places = [outputs.not_empty(tools.locate(p)) for p in paths]
    multi, single = _units(places)
    counts = {len(unit.inputs) for units in multi for unit in units}
    if parts is None and len(counts) > 1:
        raise UsageError(f"the checkpoints are of {' and '.join(map(str, sorted(counts)))} parameter servers; say how many the result is for: --parts N")
    parts = parts or max(counts, default=1)
    if any(outputs.filters_in(outputs.folder_of(p)) for p in places):
        warn("hash filters cannot be merged; training begins with empty ones")
    wanted: list[tuple[list[str], list[str]]] = []  # inputs, names
    if multi:
        stem = multi[0][0].stem
        wanted.append(([base for units in multi for unit in units for base in unit.inputs], [f"{stem}{i}" for i in range(parts)]))
    wanted += [(bases, [name]) for name, bases in single.items()]
    with outputs.directory(output, force=force) as to:
        outputs.refuse_leftovers(to, [n for _, names in wanted for n in names])
        jobs = [_merge(bases, [os.path.join(to, n) for n in names], shards, on_duplicate, spool, memory) for bases, names in wanted]
        _publish(jobs)
    tables = [{**t, "table": tools.text_of(t["table"])} for job in jobs for t in job.counts()]
    return {"output": output, "sets": [n for _, names in wanted for n in names], "tables": tables}


def _units(places: list[tools.Location]):
    """(of each checkpoint with multi tables their groups, {name of a single table: base names})."""
    multi, single = [], {}
    for place in places:
        several = [b for b in place.basenames if outputs.is_multi(b)]
        if several:
            multi.append(outputs.groups(several))
        for base in place.basenames:
            if base not in several:
                single.setdefault(os.path.basename(base), []).append(base)
    return multi, single


def _copy(inputs: list[str], names: list[str], shards: int, rules: dict, spool: str | None, memory: int):
    from monolith_cli._native import _core

    return _core.TableCopy(inputs, names, shards, rules, spool or "", memory)


def _merge(inputs: list[str], names: list[str], shards: int, on_duplicate: str, spool: str | None, memory: int):
    from monolith_cli._native import _core

    return _core.TableMerge(inputs, names, shards, on_duplicate, spool or "", memory)


def _publish(jobs: list) -> None:
    """Every set is written and synced before the first one becomes visible."""
    for job in jobs:
        outputs.write(job)
    for job in jobs:
        job.publish()


def read_keys(path: str) -> list[int]:
    """Fids of a file, one a line, as `tools.parse_fid` takes them; empty lines and what follows # are passed over.

    Raises NoInputError, UsageError naming file and line.
    """
    keys = []
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            for number, line in enumerate(f, 1):
                if text := line.partition("#")[0].strip():
                    try:
                        keys.append(tools.parse_fid(text))
                    except UsageError as e:
                        raise UsageError(f"{path}: line {number}: {e}") from None
    except OSError as e:
        raise NoInputError(f"{path}: {e.strerror}") from None
    return keys


def parse_time(text: str) -> int:
    """Unix seconds of a number, a date (2026-01-31) or a date and time (2026-01-31T12:00:00, UTC unless it names a zone).

    Raises UsageError.
    """
    from datetime import datetime, timezone

    if text.isdigit():
        return int(text)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"TIME {text}: give unix seconds, a date like 2026-01-31 or a time like 2026-01-31T12:00:00") from None
    return int((time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp())
