"""Reading a TransformConfig from a file: text form of protobuf, JSON, or serialized."""

from __future__ import annotations

from monolith_cli import errors

FORMATS = ("auto", "text", "json", "binary")


def load(path: str, form: str = "auto"):
    """The message of a file. form: text, json, binary, or auto, which tells it by content.

    Raises NoInputError for a file that cannot be read, ConfigError for one with a mistake: text and JSON with line and column.
    """
    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError as e:
        raise errors.NoInputError(f"{path}: {e.strerror}") from None
    return parse(data, form, path)


def operator(path: str, form: str = "auto", record_type: str = "instance", seed: int | None = None):
    """The native operator of a file; see `load` and `transform.operator`, whose errors it raises."""
    from monolith_cli.operators import transform

    config = load(path, form)
    try:
        return transform.operator(config, record_type, seed)
    except errors.ConfigError as e:
        raise errors.ConfigError(f"{path}: {e}") from None


def parse(data: bytes, form: str, name: str):
    """The message that `data` holds; `name` is what messages name it by. Raises ConfigError."""
    if form == "auto":
        form = told(data)
    made = {"text": _text, "json": _json, "binary": _binary}[form](data, name)
    missing = made.FindInitializationErrors()
    if missing:
        raise errors.ConfigError(f"{name}: {', '.join(missing)}: required, and not there")
    return made


def told(data: bytes) -> str:
    """The form of some content. Serialized messages hold bytes that no text has: lengths and tags below a blank."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "binary"
    if any(c < " " and c not in "\t\n\r\f\v" for c in text):
        return "binary"
    return "json" if text.lstrip().startswith("{") else "text"


def _message():
    from monolith_protos.transform_config_pb2 import TransformConfig

    return TransformConfig()


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise errors.ConfigError(f"{name}: byte {e.start}: not UTF-8") from None


def _text(data: bytes, name: str):
    from google.protobuf import text_format

    text = _decoded(data, name)
    try:
        return text_format.Parse(text, _message())
    except text_format.ParseError as e:
        line, column = e.GetLine(), e.GetColumn()
        what = str(e).removeprefix(f"{line}:{column} : ")
        raise _mistake(name, text, line, column, what) from None


def _json(data: bytes, name: str):
    import json

    from google.protobuf import json_format

    text = _decoded(data, name)
    try:
        return json_format.ParseDict(json.loads(text), _message())
    except json.JSONDecodeError as e:
        raise _mistake(name, text, e.lineno, e.colno, e.msg) from None
    except (json_format.ParseError, RecursionError) as e:
        raise errors.ConfigError(f"{name}: {e or 'nested too deep'}") from None


def _binary(data: bytes, name: str):
    from google.protobuf.message import DecodeError

    try:
        made = _message()
        made.MergeFromString(data)
        return made
    except DecodeError:
        raise errors.ConfigError(f"{name}: no serialized TransformConfig") from None


def _mistake(name: str, text: str, line: int | None, column: int | None, what: str) -> errors.ConfigError:
    if not line or not column:
        return errors.ConfigError(f"{name}: {what}")
    lines = text.split("\n")
    shown = lines[line - 1].rstrip("\r") if line <= len(lines) else ""
    pad = "".join("\t" if c == "\t" else " " for c in shown[:column - 1])
    return errors.ConfigError(f"{name}: line {line}, column {column}: {what}\n  {shown}\n  {pad}^")
