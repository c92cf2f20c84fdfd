"""Schema files: how the columns of a delimited text or a Parquet file become fields of a record.

A schema is TOML. At the top, for text only:
    separator   text between cells, one character or more. Default "," for csv, a tab for tsv.
    header      true: the first line names the columns. Default true.
    quote       true: cells may be quoted as RFC 4180 says. Default true for csv, false for tsv and longer separators.
    encoding    "utf-8" (default) or "latin-1".
    null        list of texts that mean "missing", beside the empty cell. Default none.
    skip_empty  true: empty lines are left out. Default true.
    short_rows  true: cells a row does not have are missing; false (default): such a row is bad.
and a table [[column]] for each use of a column; a column may be used several times:
    from        name in the header, or number from 0.
    to          fid | float | int64 | bytes | label | weight | line_id.
    name        of the LineId field or of the feature. Default: fc_slot_<slot> for v1 ids, else `from` where that is a name.
    slot        of a fid; 0..1023 for version 1, 0..32767 for version 2.
    version     of a fid: 1, which an Instance keeps in its flat list, or 2 (default).
    value       of fid, int64 and integer LineId fields: integer (default), hash (CityHash64 of the text), log2 (of a number
                v: trunc(log2(|v| + 1))) or time (ISO 8601, to seconds since 1970). A fid keeps the low 48 (v1: 54) bits.
                fid: of fids, the number is the whole fid with its slot; `slot` may be left out then.
    separator   between several values in one cell. Default: one value. Empty values are left out. Text only.
    list        Parquet only, for writing: true: a list, false: one value or null. Default: true for features, repeated LineId
                fields and a label column that is the only one.
    missing     skip (default), error (default of labels), or default with
    default     the text that stands for a missing cell.
    threshold   of a label: numbers from here on are 1, others 0.
    map         of a label: text = number.
Columns of one kind with one feature name are joined in that feature. Labels stand in the order of the file.
"""

from __future__ import annotations

import difflib

from monolith_cli.errors import ConfigError, NoInputError

_KINDS = ("fid", "float", "int64", "bytes", "label", "weight", "line_id")
_TOP = {"separator": str, "header": bool, "quote": bool, "encoding": str, "null": list, "skip_empty": bool,
        "short_rows": bool, "column": list}
_COLUMN = {"from": (str, int), "to": str, "name": str, "slot": int, "version": int, "value": str, "separator": str,
           "missing": str, "default": (str, int, float), "threshold": (int, float), "map": dict, "list": bool}
_ONLY = {"slot": ("fid",), "version": ("fid",), "value": ("fid", "int64", "line_id"), "threshold": ("label",), "map": ("label",),
         "name": ("fid", "float", "int64", "bytes", "line_id"), "separator": ("fid", "float", "int64", "bytes", "label", "line_id")}
_WORDS = {str: "text", bool: "true or false", list: "a list", int: "an integer", dict: "a table", (str, int): "text or an integer",
          (str, int, float): "text or a number", (int, float): "a number"}


def load(path: str, kind: str, to_type: str):
    """The native schema of a TOML file. kind: csv or tsv, for the defaults; to_type: instance or example.

    Raises NoInputError when the file cannot be read, ConfigError naming file, column and key for any mistake in it.
    """
    return parse(read_toml(path), path, kind, to_type)


def read_toml(path: str) -> dict:
    """The table of a TOML file. Raises NoInputError, ConfigError."""
    import tomllib

    try:
        with open(path, "rb") as f:
            return tomllib.load(f)
    except OSError as e:
        raise NoInputError(f"{path}: {e.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: this is no TOML: {e}") from None


def parse(table: dict, path: str, kind: str = "csv", to_type: str = "instance"):
    """As `load`, of a table already read; `path` is for messages."""
    from monolith_cli._native import _core

    _check_keys(table, _TOP if kind != "parquet" else {"column": list}, path)
    columns = table.get("column", [])
    if not columns or not all(isinstance(c, dict) for c in columns):
        raise ConfigError(f"{path}: no [[column]] table")
    if table.get("encoding", "utf-8").lower() not in ("utf-8", "utf8", "latin-1", "latin1", "iso-8859-1"):
        raise ConfigError(f"{path}: encoding: '{table['encoding']}': choose utf-8 or latin-1")
    if not all(isinstance(text, str) for text in table.get("null", [])):
        raise ConfigError(f"{path}: null: must be a list of texts")
    schema = _core.CsvSchema()
    schema.to = to_type
    schema.separator = table.get("separator", "," if kind == "csv" else "\t")
    schema.header = table.get("header", True)
    schema.quote = table.get("quote", kind == "csv" and len(schema.separator) == 1)
    schema.latin1 = table.get("encoding", "utf-8").lower() not in ("utf-8", "utf8")
    schema.skip_empty = table.get("skip_empty", True)
    schema.short_rows = table.get("short_rows", False)
    schema.null_texts = table.get("null", [])
    schema.columns = [_column(c, f"{path}: column {i}", schema.header, kind) for i, c in enumerate(columns, 1)]
    schema.typed = kind == "parquet"
    try:
        _core.CsvOperator(schema)
    except ConfigError as e:
        raise ConfigError(f"{path}: {e}") from None
    return schema


def _check_keys(table: dict, known: dict, where: str) -> None:
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise ConfigError(f"{where}: unknown key '{key}'" + (f", did you mean '{near[0]}'?" if near else ""))
        wanted = known[key]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise ConfigError(f"{where}: {key}: must be {_WORDS[wanted]}")


def _column(column: dict, where: str, header: bool, kind: str):
    from monolith_cli._native import _core

    _check_keys(column, _COLUMN, where)
    _check_kind(column, where, kind)
    for key in ("from", "to"):
        if key not in column:
            raise ConfigError(f"{where}: key '{key}' is missing")
    source, to = column["from"], column["to"]
    if to not in _KINDS:
        raise ConfigError(f"{where}: to: '{to}': choose one of {', '.join(_KINDS)}")
    for key, kinds in _ONLY.items():
        if key in column and to not in kinds:
            raise ConfigError(f"{where}: {key}: has no meaning with to = '{to}'")
    if isinstance(source, int) and source < 0:
        raise ConfigError(f"{where}: from: columns are numbered from 0, not {source}")
    if isinstance(source, str) and not (source and header):
        raise ConfigError(f"{where}: from: the name '{source}' needs header = true; without a header give the number of the column, from 0")
    if to == "fid" and "slot" not in column and column.get("value") != "fid":
        raise ConfigError(f"{where}: key 'slot' is missing, the slot of the fids")
    if column.get("slot", 0) < 0:
        raise ConfigError(f"{where}: slot: must not be negative")
    if "threshold" in column and "map" in column:
        raise ConfigError(f"{where}: threshold and map do not go together")
    missing = _missing(column, where)
    try:
        return _core.CsvColumn(
            from_=source if isinstance(source, str) else "", index=source if isinstance(source, int) else 0, to=to,
            name=_name(column, where), version=column.get("version", 2), slot=column.get("slot", 0),
            value=column.get("value", "integer"), separator=column.get("separator", ""), missing=missing,
            default=str(column.get("default", "")), threshold=column.get("threshold"), map=_map(column, where))
    except ConfigError as e:
        raise ConfigError(f"{where}: {e}") from None


def _check_kind(column: dict, where: str, kind: str) -> None:
    if kind != "parquet" and "list" in column:
        raise ConfigError(f"{where}: list: is for Parquet; a cell of text has several values with a separator")
    if kind == "parquet" and "separator" in column:
        raise ConfigError(f"{where}: separator: a Parquet column has lists, not texts to take apart")
    if kind == "parquet" and isinstance(column.get("from"), int):
        raise ConfigError(f"{where}: from: a Parquet column goes by its name")


def _name(column: dict, where: str) -> str:
    if "name" in column or column["to"] in ("label", "weight"):
        return column.get("name", "")
    if column["to"] == "fid" and column.get("version") == 1 and "slot" in column:
        return f"fc_slot_{column['slot']}"
    if column["to"] != "line_id" and isinstance(column["from"], str):
        return column["from"]
    raise ConfigError(f"{where}: key 'name' is missing, the {'LineId field' if column['to'] == 'line_id' else 'name of the feature'}")


def _missing(column: dict, where: str) -> str:
    missing = column.get("missing", "default" if "default" in column else "error" if column["to"] == "label" else "skip")
    if missing not in ("skip", "default", "error"):
        raise ConfigError(f"{where}: missing: '{missing}': choose skip, default or error")
    if (missing == "default") != ("default" in column):
        raise ConfigError(f"{where}: missing = 'default' and the key 'default' go together")
    return missing


def _map(column: dict, where: str) -> dict[str, float]:
    for text, number in column.get("map", {}).items():
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ConfigError(f"{where}: map: the label of '{text}' must be a number")
    return column.get("map", {})
