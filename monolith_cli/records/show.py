"""Records for people: one line of JSON each, or protobuf's text format."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monolith_cli.errors import UsageError
from monolith_cli.records import fid, messages
from monolith_cli.records.framing import Framing

LINE_ID = "__LINE_ID__"
# The fields that hold fids, by message and field name; of lists-of-lists the inner list.
_FIDS_OF = {"fid_v1_list": 1, "fid_v1_lists": 1, "fid_v2_list": 2, "fid_v2_lists": 2}


def show(sources, *, record_type: str = "instance", framing: Framing | None = None, text: bool = False,
         fields: Iterable[str] = (), fids: str = "raw", limit: int | None = None, output: str | None = None,
         on_bad_record: str = "fail", run=None) -> dict:
    """The body of pb-show. fields: paths such as `line_id.uid`; none for all. fids: raw or decoded (version, slot and
    signature as text). limit: records. Returns the counters of the chain."""
    from monolith_cli._native import _core
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.json_lines import open_lines

    line = text_formatter(record_type, fids) if text else json_formatter(record_type, fields, fids)
    return run_chain(sources, [_core.callback_operator(line, "show")], framing=framing, limit_out=limit, output=output,
                     on_bad_record=on_bad_record, record_type=record_type, run=run, open_output=open_lines)


def json_formatter(record_type: str, fields: Iterable[str] = (), fids: str = "raw") -> Callable[[bytes], bytes]:
    """A function from a serialized record to a line of JSON: protobuf's, with original field names, where the bytes of a
    `__LINE_ID__` feature are shown as the LineId they are. Raises ValueError for what is no record."""
    import json

    make = messages.message_class(record_type)
    dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    wanted = field_tree(make.DESCRIPTOR, fields)
    to_dict = _Shower(fids == "decoded").message

    def line(payload: bytes) -> bytes:
        shown = to_dict(messages.parse(make(), payload))
        return dumps(_pick(shown, wanted) if wanted else shown).encode()

    return line


def text_formatter(record_type: str, fids: str = "raw") -> Callable[[bytes], bytes]:
    """A function from a serialized record to its text format, with an empty line behind it."""
    from google.protobuf import text_format

    if fids == "decoded":
        raise UsageError("--fids decoded goes with JSON, not with --text")
    make = messages.message_class(record_type)
    return lambda payload: text_format.MessageToString(messages.parse(make(), payload), as_utf8=True).encode()


def field_tree(descriptor, paths: Iterable[str]) -> dict:
    """Nested dict of field paths. Raises UsageError naming a field that does not exist, and what there is."""
    tree: dict = {}
    for path in paths:
        message, node, names = descriptor, tree, path.split(".")
        for i, name in enumerate(names):
            known = message.fields_by_name if message is not None else {}
            if name not in known:
                raise UsageError(_no_field(path, names[:i], name, message))
            message = known[name].message_type
            whole = node.get(name) == {} and name in node
            if i == len(names) - 1:
                node[name] = {}
            elif whole:
                break
            else:
                node = node.setdefault(name, {})
    return tree


def _no_field(path: str, before: list[str], name: str, message) -> str:
    if message is None:
        return f"--fields {path}: {'.'.join(before)} has no fields"
    return f"--fields {path}: {message.name} has no field '{name}'; it has {', '.join(f.name for f in message.fields)}"


def _pick(value, tree: dict):
    if isinstance(value, list):
        return [_pick(v, tree) for v in value]
    if not isinstance(value, dict) or not tree:
        return value
    return {name: _pick(value[name], below) for name, below in tree.items() if name in value}


class _Shower:
    """Messages as dicts, as protobuf's JSON has them, with fids and LineIds made readable."""

    def __init__(self, decode_fids: bool):
        from google.protobuf.internal import type_checkers

        self._decode = decode_fids
        self._writers: dict[str, dict[int, Callable]] = {}
        self._short = type_checkers.ToShortestFloat

    def message(self, message, version: int = 0) -> dict:
        """version: of the fids in a list message, 0 when they are none."""
        key = message.DESCRIPTOR.full_name
        writers = self._writers.get(key)
        if writers is None:
            writers = self._writers[key] = {f.number: self._writer(f) for f in message.DESCRIPTOR.fields}
        out = {f.name: writers[f.number](value, version) for f, value in message.ListFields()}
        if out.get("name") == LINE_ID and message.DESCRIPTOR.name in ("NamedFeature", "NamedFeatureList"):
            self._open_line_ids(message, out)
        return out

    def _writer(self, field) -> Callable:
        one = self._scalar(field)
        if field.message_type is None:
            version = self._own_version(field)
            if version is not None:
                return lambda values, v: [fid.decoded(x, version or v) if version or v else str(x) for x in values]
        else:
            below = _FIDS_OF.get(field.name, 0) if self._decode else 0
            one = (lambda m, v: self.message(m, below)) if below else (lambda m, v: self.message(m, v if field.name == "list" else 0))
            if field.is_repeated:
                return lambda messages, v: [one(m, v) for m in messages]
            return one
        if field.is_repeated:
            return lambda values, v: [one(x) for x in values]
        return lambda value, v: one(value)

    def _own_version(self, field) -> int | None:
        """The version of the fids a field holds; 0: that of the list it is in; None: it holds none."""
        if not self._decode or field.type != field.TYPE_FIXED64 or not field.is_repeated:
            return None
        owner = field.containing_type.full_name
        known = {("parser.proto.Instance", "fid"): 1, ("parser.proto.Instance", "next_fid"): 1,
                 ("idl.matrix.proto.Feature", "fid"): 2, ("idl.matrix.proto.Fixed64List", "value"): 2,
                 ("monolith.io.proto.FidList", "value"): 0}
        return known.get((owner, field.name))

    def _scalar(self, field) -> Callable:
        if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
            return str
        if field.cpp_type == field.CPPTYPE_FLOAT:
            return lambda x: _finite(x) or self._short(x)
        if field.cpp_type == field.CPPTYPE_DOUBLE:
            return lambda x: _finite(x) or x
        if field.type == field.TYPE_BYTES:
            from base64 import b64encode

            return lambda x: b64encode(x).decode()
        if field.cpp_type == field.CPPTYPE_ENUM:
            names = {n: v.name for n, v in field.enum_type.values_by_number.items()}
            return lambda x: names.get(x, x)
        return lambda x: x

    def _open_line_ids(self, message, out: dict) -> None:
        """The one value of each bytes_list is a LineId: shows it in place of the list."""
        from monolith_protos.line_id_pb2 import LineId

        column = message.DESCRIPTOR.name == "NamedFeatureList"
        features = message.feature if column else [message.feature]
        shown = out.get("feature", []) if column else [out.get("feature", {})]
        for feature, made in zip(features, shown):
            values = feature.bytes_list.value if feature.WhichOneof("type") == "bytes_list" else ()
            if len(values) != 1:
                continue
            try:
                made["bytes_list"]["value"] = self.message(messages.parse(LineId(), values[0]))
            except ValueError:
                pass  # what is no LineId stays bytes


def _finite(x: float) -> str | None:
    """The text for a number JSON does not know."""
    if x != x:
        return "NaN"
    return None if -1e400 < x < 1e400 else "Infinity" if x > 0 else "-Infinity"
