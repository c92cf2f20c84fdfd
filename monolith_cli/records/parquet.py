"""Parquet files, in and out. A schema (see `csv_schema`) says which column is which field; for writing it is read backwards.

Reading without a schema goes by names and types: `__LABEL__` is the label, `instance_weight` the weight, `__UID__` and the like
the LineId field in lower case, everything else a named feature of integers, floats or bytes. In an Example its id is the number
of the column + 10000.

Nulls count as missing, inside lists too. Lists of lists count as one list; a field of a struct goes by its path, a.b. Times
and dates become seconds since 1970. Memory holds one row group at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from monolith_cli.errors import BadDataError, ConfigError, IoError, NoInputError, UsageError
from monolith_cli.records import csv_schema
from monolith_cli.streams import check_output

_BATCH_ROWS = 4096
_GROUP_ROWS, _GROUP_BYTES = 1 << 16, 64 << 20
_BY_NAME = re.compile(r"__([A-Z_]+)__")


# --- reading --------------------------------------------------------------------------------------------------------------


def file_names(sources) -> list[str]:
    """The files of the sources. Raises UsageError for what is none."""
    from monolith_cli.records.sources import expand

    names = expand(sources)
    for name in names:
        if name == "-" or name.startswith("kafka://"):
            raise UsageError("Parquet is read from files; name them")
    return names


def load_schema(path: str | None, names: list[str], to_type: str):
    """The native schema for reading: of a file, or by names and types of the first Parquet file."""
    if path is not None:
        return csv_schema.load(path, "parquet", to_type)
    from monolith_cli._native import _core

    columns = []
    for i, (column, kind) in enumerate(_leaves_of(_open(names[0]).schema_arrow)):
        more = _by_name(column, kind)
        columns.append({"from": column, **(more or {"to": {"float": "float", "bytes": "bytes"}.get(kind, "int64"), "name": column, "id": 10000 + i})})
    if not columns:
        raise BadDataError(f"{names[0]}: has no columns")
    schema = _core.CsvSchema()
    schema.to, schema.typed = to_type, True
    schema.columns = [_core.CsvColumn(from_=c["from"], to=c["to"], name=c.get("name", ""), id=c.get("id", 0)) for c in columns]
    return schema


def _by_name(column: str, kind: str) -> dict | None:
    if column == "__LABEL__" and kind != "bytes":
        return {"to": "label"}
    if column == "instance_weight" and kind != "bytes":
        return {"to": "weight"}
    found = _BY_NAME.fullmatch(column)
    if found and found[1].lower() in _line_id_fields():
        return {"to": "line_id", "name": found[1].lower()}
    return None


def _line_id_fields() -> set[str]:
    from monolith_protos.line_id_pb2 import LineId

    return {f.name for f in LineId.DESCRIPTOR.fields}


def readers(names: list[str], schema, operator) -> Iterator:
    """Native readers of the rows of all files, each opened when its turn comes; `operator` makes records of them."""
    from monolith_cli._native import _core

    for name in names:
        file = _open(name)
        known = dict(_leaves_of(file.schema_arrow))
        wanted = list(dict.fromkeys(c.source for c in schema.columns))
        for column in schema.columns:
            _check_column(name, known, column)
        operator.begin_typed(wanted, name)
        yield _core.column_reader(_Batches(file, name, wanted).next, name)


def _check_column(name: str, known: dict[str, str], column) -> None:
    if column.source not in known:
        import difflib

        near = difflib.get_close_matches(column.source, known, 1)
        raise BadDataError(f"{name}: has no column '{column.source}'" + (f"; there is '{near[0]}'" if near else ""))
    if known[column.source] == "float" and column.needs_integers:
        raise BadDataError(f"{name}: column {column.source} holds floats, the schema wants integers (value = \"log2\" makes them)")


class _Batches:
    """Batches of columns of one file, as `_core.column_reader` wants them."""

    def __init__(self, file, name: str, wanted: list[str]):
        self._name, self._wanted, self._rows = name, wanted, 0
        roots = {w: _root(file.schema_arrow, w) for w in wanted}
        columns = list(dict.fromkeys(roots.values()))
        # group by group: a batch over two of them would go down with the second
        self._batches = (b for g in range(file.num_row_groups) for b in file.iter_batches(_BATCH_ROWS, row_groups=[g], columns=columns))
        self._roots = roots

    def next(self):
        import pyarrow as pa

        try:
            batch = next(self._batches, None)
            if batch is None:
                return None
            columns = [_column(batch.column(self._roots[w]), w.removeprefix(self._roots[w]).lstrip("."), None) for w in self._wanted]
        except (pa.ArrowException, OSError) as e:
            raise BadDataError(f"{self._name}: cannot be read after row {self._rows}: {e}") from None
        self._rows += batch.num_rows
        return batch.num_rows, columns


def _open(name: str):
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(name, pre_buffer=False, page_checksum_verification=True)
    except pa.ArrowInvalid as e:
        raise BadDataError(f"{name}: is no Parquet file: {e}") from None
    except OSError as e:
        if e.errno is None:
            raise BadDataError(f"{name}: cannot be read: {e}") from None
        raise NoInputError(f"{name}: {e.strerror or e}") from None


def _root(schema, path: str) -> str:
    """The column of the file that a path begins in."""
    return max((n for n in schema.names if path == n or path.startswith(n + ".")), key=len)


def _leaves_of(schema) -> Iterator[tuple[str, str]]:
    """(path, kind) of all columns; kind: int64, uint64, float or bytes. Columns of other types are left out."""
    for field in schema:
        yield from _leaves(field.type, field.name)


def _leaves(kind, path: str) -> Iterator[tuple[str, str]]:
    import pyarrow.types as types

    if types.is_struct(kind):
        for field in kind:
            yield from _leaves(field.type, f"{path}.{field.name}")
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        yield from _leaves(kind.value_type, path)
    elif types.is_dictionary(kind):
        yield from _leaves(kind.value_type, path)
    elif (found := _kind(kind)) is not None:
        yield path, found


def _kind(kind) -> str | None:
    import pyarrow.types as types

    if types.is_uint64(kind):
        return "uint64"
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_timestamp(kind) or types.is_date(kind):
        return "int64"
    if types.is_floating(kind):
        return "float"
    texts = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary, types.is_fixed_size_binary)
    return "bytes" if any(is_one(kind) for is_one in texts) else None


def _column(array, path: str, rows):
    """(kind, valid, values, data, rows, offset, count) of one column; rows: where the values of each row begin."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    kind = array.type
    if types.is_dictionary(kind):
        return _column(array.dictionary_decode(), path, rows)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        begins = np.zeros(len(array) + 1, dtype=np.int64)
        np.cumsum(lengths, out=begins[1:])
        return _column(array.flatten(), path, begins if rows is None else begins[rows])
    if types.is_struct(kind):
        names = [f.name for f in kind]
        here = max((n for n in names if path == n or path.startswith(n + ".")), key=len)
        return _column(array.flatten()[names.index(here)], path.removeprefix(here).lstrip("."), rows)
    name = _kind(kind)
    if name == "bytes":
        if types.is_fixed_size_binary(kind):
            array = array.cast(pa.binary())
        array = array.cast(pa.large_binary())
    elif name == "float":
        array = array.cast(pa.float32(), safe=False)
    elif types.is_timestamp(kind) or types.is_date(kind):
        array = array.cast(pa.timestamp("s", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
    else:
        array = array.cast(pa.uint64() if name == "uint64" else pa.int64())
    buffers = array.buffers()
    data = (buffers[2] if buffers[2] is not None else b"") if name == "bytes" else None
    valid = buffers[0] if array.null_count else None
    return name, valid, buffers[1] if buffers[1] is not None else b"", data, rows, array.offset, len(array)


# --- writing --------------------------------------------------------------------------------------------------------------


class ParquetWriter:
    """Examples into a Parquet file. `operator()` ends a chain whose output `open` makes.

    schema: path of a schema file. codec: none, snappy, gzip, zstd or lz4. Raises ConfigError for a schema that cannot be read
    backwards.
    """

    def __init__(self, schema: str, codec: str = "zstd"):
        from monolith_cli._native import _core

        table = csv_schema.read_toml(schema)
        native = csv_schema.parse(table, schema, "parquet", "example")
        self._columns, plan, labels = table["column"], [], [c for c in table["column"] if c["to"] == "label"]
        seen: set[str] = set()
        for i, (column, made) in enumerate(zip(self._columns, native.columns), 1):
            _check_backwards(column, f"{schema}: column {i}", seen)
            element = labels.index(column) if column in labels else 0
            plan.append((made, _is_list(column, len(labels)), element))
        try:
            self._operator = _core.ColumnWriter(plan, _GROUP_ROWS, _GROUP_BYTES, self._write)
        except ConfigError as e:
            raise ConfigError(f"{schema}: {e}") from None
        self._lists, self._codec = [is_list for _, is_list, _ in plan], codec
        self._writer = None

    def operator(self):
        return self._operator

    @contextmanager
    def open(self, output: str | None = None) -> Iterator:
        """The sink of the chain. output: a path, whose file appears whole, None or `-` for standard output."""
        import os

        import pyarrow as pa
        import pyarrow.parquet as pq

        from monolith_cli._native import _core

        self._schema = pa.schema([(c["from"], self._type(i)) for i, c in enumerate(self._columns)])
        to_file = output not in (None, "-")
        if not to_file:
            check_output()
        file = _core.AtomicFile(output) if to_file else None
        name = output if to_file else "standard output"
        try:
            with os.fdopen(os.dup(file.fileno() if to_file else 1), "wb") as out:
                self._writer = pq.ParquetWriter(out, self._schema, compression=self._codec, write_page_checksum=True)
                yield _core.null_sink()
                self._writer.close()
        except (pa.ArrowException, OSError) as e:
            raise IoError(f"{name}: cannot write: {getattr(e, 'strerror', None) or e}") from None
        if to_file:
            file.commit()

    def _type(self, i: int):
        import pyarrow as pa

        column = self._columns[i]
        of = {"int64": pa.int64(), "uint64": pa.uint64(), "float": pa.float32(), "bytes": pa.binary()}[self._operator.kinds()[i]]
        if column["to"] == "line_id" and of == pa.binary():
            of = pa.string()
        return pa.list_(of) if self._lists[i] else of

    def _write(self, rows: int, columns: list) -> None:
        import pyarrow as pa

        arrays = []
        for column, field, is_list in zip(columns, self._schema, self._lists):
            arrays.append(_array(column, field.type.value_type if is_list else field.type, rows, is_list))
        try:
            self._writer.write_batch(pa.record_batch(arrays, schema=self._schema), row_group_size=rows)
        except pa.ArrowInvalid as e:
            raise BadDataError(f"these rows do not fit into Parquet: {e}") from None


def _array(column, kind, rows: int, is_list: bool):
    import pyarrow as pa

    values, value_offsets, row_offsets, valid, count = column
    bits = None if is_list else pa.py_buffer(valid)
    if value_offsets:
        array = pa.Array.from_buffers(pa.large_binary(), count, [bits, pa.py_buffer(value_offsets), pa.py_buffer(values)]).cast(pa.binary())
        if kind == pa.string():
            array = array.cast(kind)
    else:
        array = pa.Array.from_buffers(kind, count, [bits, pa.py_buffer(values)])
    if not is_list:
        return array
    offsets = pa.Array.from_buffers(pa.int64(), rows + 1, [None, pa.py_buffer(row_offsets)]).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, array)


def _is_list(column: dict, labels: int) -> bool:
    if column["to"] == "weight":
        return False
    if column["to"] == "label":
        return column.get("list", labels == 1)
    if column["to"] == "line_id":
        return column["name"] in ("actions", "pre_actions", "special_strategies")
    return column.get("list", True)


def _check_backwards(column: dict, where: str, seen: set[str]) -> None:
    if column.get("value", "integer") not in ("integer", "fid"):
        raise ConfigError(f"{where}: value: '{column['value']}' cannot be undone for writing; choose integer or fid")
    for key in ("threshold", "map"):
        if key in column:
            raise ConfigError(f"{where}: {key}: cannot be undone for writing")
    if column["from"] in seen:
        raise ConfigError(f"{where}: from: column '{column['from']}' is written twice")
    seen.add(column["from"])
