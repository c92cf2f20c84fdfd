"""Records as lines of JSON, both ways: protobuf's JSON with original field names, one compact object a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from monolith_cli.records import messages
from monolith_cli.streams import check_output

# The largest float (labels use its negative for "unknown") has a shortest text that, read as a double, is above it: the JSON
# library writes that text and then refuses to read it. We write all digits and read both.
_MAX_FLOAT, _SHORT = 3.4028234663852886e38, 3.4028235e38
_SHORT_TEXT = "3.4028235e+38"


def _exact(value):
    if isinstance(value, dict):
        return {k: _exact(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_exact(v) for v in value]
    return _as_float(value) if isinstance(value, float) else value


def _as_float(value: float) -> float:
    return value if abs(value) != _SHORT else _MAX_FLOAT if value > 0 else -_MAX_FLOAT


def to_json(record_type: str) -> Callable[[bytes], bytes]:
    """A function from a serialized record to its line. 64-bit integers become strings, bytes base64, NaN and infinities
    "NaN", "Infinity", "-Infinity". Unknown fields have no place in JSON. Raises ValueError for what is no record."""
    import json

    from google.protobuf.json_format import MessageToDict

    make, dumps = messages.message_class(record_type), json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

    def line(payload: bytes) -> bytes:
        message = messages.parse(make(), payload)
        shown = MessageToDict(message, preserving_proto_field_name=True)
        text = dumps(shown)
        return (dumps(_exact(shown)) if _SHORT_TEXT in text else text).encode()

    return line


def from_json(record_type: str) -> Callable[[bytes], bytes]:
    """A function from a line to a serialized record. 64-bit integers may be numbers or strings, field names the original
    or the camel-case ones. Raises ValueError naming what is wrong."""
    import json

    from google.protobuf.json_format import Parse, ParseDict, ParseError

    make = messages.message_class(record_type)

    def parsed(text: str):
        try:
            return Parse(text, make())
        except ParseError as e:
            if "Float value too" not in str(e):
                raise
        return ParseDict(json.loads(text, parse_float=lambda number: _as_float(float(number))), make())

    def record(line: bytes) -> bytes:
        try:
            return parsed(line.decode()).SerializeToString(deterministic=True)
        except UnicodeDecodeError as e:
            raise ValueError(f"the line is not UTF-8 (at its byte {e.start})") from None
        except ParseError as e:
            raise ValueError(f"{e}".removeprefix("Failed to load JSON: ")) from None

    return record


@contextmanager
def open_lines(output: str | None = None) -> Iterator:
    """A sink of text lines. output: a path, whose file appears whole, None or `-` for standard output."""
    from monolith_cli._native import _core

    if output in (None, "-"):
        check_output()
        yield _core.LineSink(1, "standard output")
        return
    file = _core.AtomicFile(output)
    sink = _core.LineSink(file.fileno(), output)
    yield sink
    sink.flush()
    file.commit()


def line_readers(sources, compression: str = "auto", *, current: list, schema=None, begin=None) -> Iterator:
    """Readers of the lines (with `schema` the rows) of all sources. The one that is being read is current[0].

    begin: called with each reader before its first row.
    """
    from monolith_cli._native import _core
    from monolith_cli.records.sources import expand, open_bytes

    if schema is None:
        schema = _core.CsvSchema()
        schema.quote = schema.header = False
    names = expand(sources)

    def readers():
        for name in names:
            current[:] = [_core.RowReader(open_bytes(name, compression), schema)]
            if begin:
                begin(current[0])
            yield current[0]

    return readers()
