"""Rows of tables out of checkpoints and into them: JSON lines and Parquet."""

from __future__ import annotations

import os

from monolith_cli.errors import BadDataError, IoError, NoInputError, UsageError
from monolith_cli.streams import check_output
from monolith_cli.tables import outputs, tools

_LISTS = {"weights": "float32", "state": "float32", "state_sizes": "int32", "state_steps": "int64"}
_STATE = ("optimizer", "state", "state_sizes", "state_steps")
_BATCH_ROWS = 16384


# --- out ------------------------------------------------------------------------------------------------------------------


@outputs.stoppable
def _dump_to_file(path: str, output: str, checkpoint: str | None, table: str | None) -> int:
    from monolith_cli._native import _core

    file = _core.AtomicFile(output)
    with os.fdopen(os.dup(file.fileno()), "wb", buffering=0) as out:
        lines = _write_lines(path, checkpoint, table, out, output)
    outputs.check_stop()
    file.commit()
    return lines


def dump_lines(path: str, output: str | None = None, checkpoint: str | None = None, *, table: str | None = None) -> int:
    """Writes the rows of a checkpoint as JSON lines; returns how many. output: a path, whose file appears whole; None or `-`: standard
    output. Raises BadDataError after the rows before the damage are written, UsageError, IoError."""
    import sys

    if output not in (None, "-"):
        return _dump_to_file(path, output, checkpoint, table) or 0
    check_output()
    try:
        return _write_lines(path, checkpoint, table, sys.stdout.buffer, "standard output")
    finally:
        sys.stdout.buffer.flush()


def _write_lines(path: str, checkpoint: str | None, table: str | None, out, name: str) -> int:
    lines = 0

    def write(text: bytes) -> None:
        nonlocal lines
        lines += text.count(b"\n")
        view = memoryview(text)
        try:
            while view:
                view = view[out.write(view):]
        except OSError as e:
            raise IoError(f"{name}: {e.strerror}") from None
        outputs.check_stop()

    tools.json_lines(path, checkpoint, table=table, write=write)
    return lines


def dump_parquet(path: str, output: str | None = None, checkpoint: str | None = None, *, table: str | None = None, codec: str = "zstd") -> int:
    """Writes the rows of a checkpoint as one Parquet file; returns how many. output: a path, whose file appears whole; None or `-`:
    standard output. codec: none, snappy, gzip, zstd or lz4. Columns: see `parquet_schema`. Raises BadDataError, UsageError, IoError.
    """
    from monolith_cli._native import _core

    place = tools.locate(path, checkpoint)
    if table is not None:
        tools.check_table(place, table)
    _core.install_stop_handlers()
    file = _core.AtomicFile(output) if output not in (None, "-") else None
    rows = 0
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with (os.fdopen(os.dup(file.fileno() if file else 1), "wb") as out,
              pq.ParquetWriter(out, parquet_schema(), compression=codec, use_dictionary=["table", "optimizer.list.element"]) as writer):
            for base in place.basenames:
                columns = _core.TableColumns(base, table or "")
                while not _core.stop_requested() and (batch := columns.next()) is not None:
                    writer.write_batch(_record_batch(batch))
                    rows += batch["rows"]
    except pa.ArrowException as e:
        raise IoError(f"{output or 'standard output'}: {e}") from None
    except OSError as e:
        raise IoError(f"{output or 'standard output'}: {e.strerror or e}") from None
    if file and not _core.stop_requested():
        file.commit()
    return rows


def parquet_schema():
    """table, fid, slot, last_update, weights; and the optimizer state: optimizer names the segments', state has the floats of all
    their fields one after the other, state_sizes how many each field has, state_steps the fields that are integers."""
    import pyarrow as pa

    lists = {name: pa.list_(pa.field("element", pa.type_for_alias(kind), nullable=False)) for name, kind in _LISTS.items()}
    types = {"table": pa.string(), "fid": pa.uint64(), "slot": pa.int32(), "last_update": pa.int64(), "weights": lists["weights"],
             "optimizer": pa.list_(pa.field("element", pa.string(), nullable=False)), **{n: lists[n] for n in _STATE[1:]}}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


def _record_batch(batch: dict):
    import pyarrow as pa

    n, schema = batch["rows"], parquet_schema()

    def text(offsets: bytes, data: bytes):
        return pa.StringArray.from_buffers(len(offsets) // 4 - 1, pa.py_buffer(offsets), pa.py_buffer(data))

    def listed(name: str, offsets: bytes, values):
        return pa.Array.from_buffers(schema.field(name).type, n, [None, pa.py_buffer(offsets)], children=[values])

    arrays = []
    for field in schema:
        name = field.name
        if name == "table":
            arrays.append(text(*batch[name]))
        elif name == "optimizer":
            arrays.append(listed(name, batch[name], text(*batch["names"])))
        elif name in _LISTS:
            offsets, data = batch[name]
            kind = pa.type_for_alias(_LISTS[name])
            arrays.append(listed(name, offsets, pa.Array.from_buffers(kind, len(data) * 8 // kind.bit_width, [None, pa.py_buffer(data)])))
        else:
            arrays.append(pa.Array.from_buffers(field.type, n, [None, pa.py_buffer(batch[name])]))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


# --- in -------------------------------------------------------------------------------------------------------------------


@outputs.stoppable
def load(files: list[str], output: str, *, file_format: str | None = None, name: str | None = None, single: bool = False, shards: int = 0,
         table: str | None = None, last_update: int | None = None, optimizers=(), force: bool = False, spool: str | None = None,
         memory: int = 256 << 20) -> dict | None:
    """Writes rows to table files in the folder `output`. Returns {output, tables: [{table, rows}]}, None after a signal.

    files: paths, globs, `-`; none: standard input. file_format: jsonl or parquet; None: by the name. name: of the set of files,
    MonolithMultiHashTable_0 by default; with `single`, each table is a set of its own and named as the table. table, last_update
    (unix seconds), optimizers (see `parse_optimizer`): for rows that do not say. Raises BadDataError naming file and row.
    """
    from monolith_cli._native import _core
    from monolith_cli.records import sources

    starts = [parse_optimizer(text) for text in optimizers]
    if sum(dim < 0 for _, dim, _ in starts) > 1:
        raise UsageError("--optimizer: of several, all but one need the number of their weights: adagrad/8")
    base = name or ("" if single else "MonolithMultiHashTable_0")
    if "/" in base or base.startswith("."):
        raise UsageError(f"--name {base}: is no name of a file")
    names = sources.expand(files)
    with outputs.directory(output, force=force) as to:
        job = _core.TableLoad(to, base, single, shards, table or "", last_update, starts, spool or "", memory)
        for source in names:
            kind = file_format or ("parquet" if source.endswith(".parquet") else "jsonl")
            (_load_parquet if kind == "parquet" else _load_lines)(job, source)
        outputs.finish(job)
        rows = [(tools.text_of(t), n) for t, n in job.rows()]
        outputs.refuse_leftovers(to, [base] if base else [t for t, _ in rows])
        job.publish()
    return {"output": output, "tables": [{"table": t, "rows": n} for t, n in rows]}


def _load_lines(job, source: str) -> None:
    from monolith_cli._native import _core
    from monolith_cli.records import sources

    stream, buffer = sources.open_bytes(source), bytearray(1 << 20)
    view = memoryview(buffer)
    try:
        while n := stream.readinto(buffer):
            job.lines(source, view[:n])
            outputs.check_stop()
    except _core.Interrupted:
        raise outputs.Stopped from None
    job.end_lines(source)
    outputs.check_stop()


def _load_parquet(job, source: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if source == "-":
        raise UsageError("Parquet is read from files; name them")
    rows = 0
    try:
        with pq.ParquetFile(source, pre_buffer=False, page_checksum_verification=True) as file:
            present = _columns_of(file.schema_arrow, source)
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=present):
                    job.columns(source, rows, batch.num_rows, _given(batch, source, rows))
                    rows += batch.num_rows
                    outputs.check_stop()
    except pa.ArrowException as e:
        raise BadDataError(f"{source}: cannot be read after row {rows}: {e}") from None
    except OSError as e:
        if e.errno is None:
            raise BadDataError(f"{source}: cannot be read after row {rows}: {e}") from None
        raise NoInputError(f"{source}: {e.strerror or e}") from None


def _columns_of(schema, source: str) -> list[str]:
    known = parquet_schema().names
    if unknown := [n for n in schema.names if n not in known]:
        raise BadDataError(f"{source}: unknown column '{unknown[0]}'; a file of rows has {', '.join(known)}")
    if missing := [n for n in ("fid", "weights") if n not in schema.names]:
        raise BadDataError(f"{source}: has no column '{missing[0]}'")
    if 0 < len(part := [n for n in _STATE if n in schema.names]) < len(_STATE):
        raise BadDataError(f"{source}: has no column '{next(n for n in _STATE if n not in part)}', which goes with '{part[0]}'")
    return list(schema.names)


def _given(batch, source: str, before: int) -> dict:
    """The buffers of a batch, as _core.TableLoad.columns takes them."""
    import pyarrow as pa

    given: dict = {}
    for name, array in zip(batch.schema.names, batch.columns):
        array.validate(full=True)
        if array.null_count:
            row = next(i for i, v in enumerate(array.is_null()) if v.as_py())
            raise BadDataError(f"{source}: row {before + row + 1}: {name} is null")
        try:
            if name == "fid":
                given[name] = _fixed(array if pa.types.is_int64(array.type) else array.cast(pa.uint64()))
            elif name in ("slot", "last_update"):
                given[name] = _fixed(array.cast(pa.int64()))
            elif name == "table":
                given[name] = _texts(array)
            else:
                offsets, values = _list(array, source, before, name)
                if name == "optimizer":
                    given[name], given["names"], given["names_count"] = offsets, _texts(values), len(values)
                else:
                    given[name] = offsets, _fixed(values.cast(pa.type_for_alias(_LISTS[name]), safe=_LISTS[name] != "float32"))
        except pa.ArrowException as e:
            raise BadDataError(f"{source}: column {name} after row {before}: {e}") from None
    return given


def _fixed(array):
    import pyarrow as pa

    width = array.type.bit_width // 8
    return array.buffers()[1].slice(array.offset * width, len(array) * width) if len(array) else pa.py_buffer(b"")


def _texts(array):
    """(offsets, bytes) of texts."""
    import pyarrow as pa

    array = array.cast(pa.string())
    _, offsets, data = array.buffers()
    empty = pa.py_buffer(bytes(4))
    return offsets.slice(4 * array.offset, 4 * (len(array) + 1)) if len(array) else empty, data if data is not None else pa.py_buffer(b"")


def _list(array, source: str, before: int, name: str):
    """(offsets, values) of lists; offsets count from the first value."""
    import pyarrow as pa
    import pyarrow.types as types

    if not (types.is_list(array.type) or types.is_large_list(array.type) or types.is_fixed_size_list(array.type)):
        raise BadDataError(f"{source}: column {name} is {array.type} where a list should be")
    array = array.cast(pa.list_(array.type.value_type))
    if array.values.null_count:
        raise BadDataError(f"{source}: column {name} after row {before}: a value in a list is null")
    offsets = array.buffers()[1]
    return offsets.slice(4 * array.offset, 4 * (len(array) + 1)) if len(array) else pa.py_buffer(bytes(4)), array.values


_STARTS = {"adagrad": {"norm": 0.1}, "ftrl": {"norm": 0.1}, "group_adagrad": {"grad_square_sum": 0.1},
           "adam": {"beta1_power": 0.9, "beta2_power": 0.99}, "amsgrad": {"beta1_power": 0.9, "beta2_power": 0.99}}


def parse_optimizer(text: str) -> tuple[str, int, dict[str, float]]:
    """NAME[/DIM][:STATE=VALUE,…] as (name, dim or -1, {state: value}); what is not named starts as the configurations' defaults
    have it (spec 30, section 3). `none` is an optimizer that checkpoints know nothing of. Raises UsageError."""
    head, _, rest = text.partition(":")
    name, slash, dim = head.partition("/")
    try:
        count = int(dim) if slash else -1
        values = {k: float(v) for k, _, v in (item.partition("=") for item in rest.split(",") if item)}
    except ValueError:
        raise UsageError(f"--optimizer {text}: give NAME, NAME/DIM or NAME/DIM:STATE=VALUE,…") from None
    if slash and count < 0:
        raise UsageError(f"--optimizer {text}: a number of weights is not negative")
    return name, count, _STARTS.get(name, {}) | values
