"""Conditions of pb-filter on single values: LineId fields and named features, every operator on every type, with operands on the
command line or in a file. Spec 20, section 2 and TV-B."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mangled
from record_model import Facts, compare, compare_list

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.filter import FilterConfig, ValueCondition
from monolith_protos import example_pb2, line_id_pb2, proto_parser_pb2


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def line_id_record(record_type="instance", **fields) -> bytes:
    record = (proto_parser_pb2.Instance if record_type == "instance" else example_pb2.Example)()
    for name, value in fields.items():
        getattr(record.line_id, name).extend(value) if isinstance(value, list) else setattr(record.line_id, name, value)
    return record.SerializeToString()


def feature_record(*features) -> bytes:
    """An Example of (name, member, value or values)."""
    record = example_pb2.Example()
    for name, member, value in features:
        feature = record.named_feature.add(name=name).feature
        if member is None:
            continue
        if member.endswith("_list"):
            getattr(feature, member).SetInParent()
            getattr(feature, member).value.extend(value)
        else:
            setattr(feature, member, value)
    return record.SerializeToString()


def keeps(payload, record_type="example", **config) -> bool:
    return bool(_core.apply(FilterConfig(record_type=record_type, **config).operator(), payload))


# --------------------------------------------------------------------------------------------------------- TV-B, LineId

LINE_ID_VECTORS = [
    ("B1", {"uid": 2}, "uid", "eq", ["2"], True), ("B1", {"uid": 2}, "uid", "neq", ["2"], False), ("B1", {"uid": 2}, "uid", "le", ["3"], True),
    ("B1", {"uid": 2}, "uid", "ge", ["1"], True), ("B2", {"uid": 2}, "uid", "between", ["1,3"], True),
    ("B2", {"uid": 2}, "uid", "between", ["2", "3"], True), ("B2", {"uid": 2}, "uid", "between", ["1", "2"], False),
    ("B3", {"uid": 2}, "uid", "in", ["1,2,3"], True), ("B3", {"uid": 2}, "uid", "not-in", ["1,2,3"], False),
    ("B4", {"actions": [2, 3]}, "actions", "any", ["1,2"], True), ("B4", {"actions": [2, 3]}, "actions", "any", ["1,4"], False),
    ("B5", {"actions": [2, 3]}, "actions", "all", ["2,3"], True), ("B5", {"actions": [2, 3]}, "actions", "all", ["2,3,4"], False),
    ("B6", {"actions": [2, 3]}, "actions", "diff", ["1,4"], True), ("B6", {"actions": [2, 3]}, "actions", "diff", ["1,2,4"], False),
    ("B8", {"sample_rate": 2.0}, "sample_rate", "eq", ["2"], True), ("B8", {"sample_rate": 2.0}, "sample_rate", "neq", ["2"], False),
    ("B8", {"sample_rate": 2.0}, "sample_rate", "le", ["3"], True), ("B8", {"sample_rate": 2.0}, "sample_rate", "ge", ["1"], True),
    ("B8", {"sample_rate": 2.0}, "sample_rate", "between", ["1,3"], True), ("B9", {"user_id": "hello"}, "user_id", "eq", ["hello"], True),
    ("B9", {"user_id": "hello"}, "user_id", "neq", ["hello"], False), ("B9", {"user_id": "hello"}, "user_id", "le", ["hello1"], True),
    ("B9", {"user_id": "hello"}, "user_id", "ge", ["hell"], True),
    ("B10", {"user_id": "hello"}, "user_id", "between", ["hell", "hello1"], True),
    ("B10", {"user_id": "hello"}, "user_id", "in", ["hello", "world"], True),
    ("B10", {"user_id": "hello"}, "user_id", "not-in", ["hello", "world"], False),
    ("B11", {"user_id": "hello"}, "user_id", "startswith", ["hell"], True), ("B11", {"user_id": "hello"}, "user_id", "endswith", ["llo"], True),
    ("B11", {"user_id": "hello"}, "user_id", "endswith", ["xhello"], False),
    ("B11", {"user_id": "hello"}, "user_id", "startswith", ["zz", "h"], True),
    ("B12", {}, "sample_rate", "eq", ["1"], True), ("B12", {}, "chnid", "in", ["0"], True), ("B12", {}, "user_id", "eq", [""], True),
    ("B13", {"actions": [3, 2]}, "actions", "any", ["2"], True), ("B13", {"actions": [3, 2]}, "actions", "all", ["2,3"], True),
    ("B13", {"actions": [3, 2]}, "actions", "diff", ["2"], False), ("B14", {"actions": [1, 1, 2]}, "actions", "all", ["1,1"], True),
    ("B15", {"special_strategies": [5]}, "special_strategies", "any", ["5"], True),
    ("B15", {"special_strategies": [5]}, "special_strategies", "any", ["4,5"], True),
    ("B29", {"actions": [2]}, "actions", "any", [""], False), ("B29", {"actions": [2]}, "actions", "all", [""], True),
    ("B29", {"actions": [2]}, "actions", "diff", [""], True),
    ("gt", {"req_time": 5}, "req_time", "gt", ["4"], True), ("gt", {"req_time": 5}, "req_time", "gt", ["5"], False),
    ("lt", {"req_time": 5}, "req_time", "lt", ["5"], False), ("sign", {"uid": (1 << 64) - 1}, "uid", "eq", ["-1"], True),
    ("sign", {"chnid": -1}, "chnid", "lt", ["0"], True), ("float in", {"sample_rate": 0.1}, "sample_rate", "in", ["0.1,7"], True),
]


@pytest.mark.parametrize("record_type", ["instance", "example"])
@pytest.mark.parametrize(("vector", "fields", "field", "op", "values", "kept"), LINE_ID_VECTORS)
def test_vectors_of_line_id(vector, fields, field, op, values, kept, record_type):
    payload = line_id_record(record_type, **fields)
    for invert in (False, True):
        assert keeps(payload, record_type, value=ValueCondition(field=field, op=op, values=tuple(values)), invert=invert) == (kept != invert)


def test_vectors_of_empty_lists_and_unset_fields():
    b7 = ValueCondition(field="actions", op="any", values=("1",))
    assert not keeps(line_id_record(), "instance", value=b7)
    assert keeps(line_id_record(), "instance", value=b7, keep_empty=True)
    assert keeps(line_id_record(), "instance", value=ValueCondition(field="chnid", op="eq", values=(0,)), keep_empty=True)
    assert not keeps(line_id_record(), "instance", value=ValueCondition(field="chnid", op="eq", values=(1,)), keep_empty=True)


# -------------------------------------------------------------------------------------------------- TV-B, named features

FEATURE_VECTORS = [
    ("B16", "bytes_list", [b"abckjhfjh"], "bytes", "endswith", ["kjhfjh", "huggfyfi"], False, True),
    ("B17", "bytes_list", [b"huggfyfixyz"], "bytes", "endswith", ["kjhfjh", "huggfyfi"], False, False),
    ("B17", "bytes_list", [b""], "bytes", "endswith", ["kjhfjh", "huggfyfi"], False, False),
    ("B18", "float_list", [3.0], "float", "gt", ["2.5"], False, True), ("B18", "float_list", [2.0], "float", "gt", ["2.5"], False, False),
    ("B19", "float_list", [3.0, 4.0], "float", "gt", ["2.5"], False, False), ("B19", "float_list", [3.0, 4.0], "float", "gt", ["2.5"], True, True),
    ("B20", "float_list", [3.0], "int64", "gt", ["2"], False, False), ("B20", "float_list", [3.0], "int64", "gt", ["2"], True, True),
    ("B21", "int64_list", [20, 30, 666], "int64", "all", ["20,30,666"], False, True),
    ("B21", "int64_list", [20, 30], "int64", "all", ["20,30,666"], False, False),
    ("B21", "int64_list", [666], "int64", "all", ["20,30,666"], False, False),
    ("B22", "int64_list", [], "int64", "any", ["1"], True, True), ("B22", "int64_list", [], "int64", "any", ["1"], False, False),
    ("B23", "double_list", [0.1], "double", "eq", ["0.1"], False, False), ("B23", "double_list", [0.1], "double", "in", ["0.1"], False, True),
    ("B24", None, None, "int64", "eq", ["1"], False, False), ("B24", None, None, "int64", "eq", ["1"], True, True),
    ("scalar member", "int64_value", 1, "int64", "eq", ["1"], False, False), ("scalar member", "int64_value", 1, "int64", "eq", ["1"], True, True),
    ("fids", "fid_v1_list", [1], "int64", "eq", ["1"], False, False), ("bytes in", "bytes_list", [b"\xff,"], "bytes", "in", [b"\xff,"], False, True),
]


@pytest.mark.parametrize(("vector", "member", "value", "feature_type", "op", "values", "keep_empty", "kept"), FEATURE_VECTORS)
def test_vectors_of_features(vector, member, value, feature_type, op, values, keep_empty, kept):
    condition = ValueCondition(feature="f", feature_type=feature_type, op=op, values=tuple(values))
    others = [("g", "int64_list", [1]), ("f2", "float_list", [9.0])]
    for payload in [feature_record(("f", member, value), *others), feature_record(*others, ("f", member, value))]:
        assert keeps(payload, value=condition, keep_empty=keep_empty) == kept
        assert keeps(payload, value=condition, keep_empty=keep_empty, invert=True) != kept
    if member is None:
        assert keeps(feature_record(*others), value=condition, keep_empty=keep_empty) == kept


def test_the_last_feature_of_a_name_counts():
    condition = ValueCondition(feature="f", feature_type="int64", op="eq", values=("1",))
    assert keeps(feature_record(("f", "int64_list", [2]), ("g", "int64_list", [2]), ("f", "int64_list", [1])), value=condition)
    assert not keeps(feature_record(("f", "int64_list", [1]), ("f", "int64_list", [2])), value=condition)
    assert not keeps(feature_record(("f", "int64_list", [1]), ("f", None, None)), value=condition)


# ---------------------------------------------------------------------------------------------------------- operand files

BYTES_FILE = bytes.fromhex("1a180a0568656c6c6f0a05776f726c640a086578636c75646564")
INTS_FILE = bytes.fromhex("12060a04141e9a05")
STREAM = [line_id_record(chnid=c, user_id=u) for c, u in [(10, "hello"), (20, "world"), (30, "excluded"), (40, "300"), (666, "400")]]


def kept_of_stream(run, *options, check=True, stream=STREAM):
    done = run("pb-filter", *options, stdin=frame(*stream), check=check)
    return done, [i for i, r in enumerate(stream) if frame(r) in done.stdout]


def test_vectors_b25_to_b28(run, tmp_path):
    (tmp_path / "bytes").write_bytes(BYTES_FILE)
    (tmp_path / "ints").write_bytes(INTS_FILE)
    (tmp_path / "text").write_text("hello\r\nworld\n\nexcluded")
    assert kept_of_stream(run, "--field", "user_id", "--op", "not-in", "--value", "hello", "--value", "world")[1] == [2, 3, 4]
    for name in ("bytes", "text"):
        assert kept_of_stream(run, "--field", "user_id", "--op", "not-in", "--values-file", tmp_path / name)[1] == [3, 4]
        assert kept_of_stream(run, "--where", f"user_id not in @{tmp_path / name}")[1] == [3, 4]
        assert kept_of_stream(run, "--where", f"(not user_id in @\"{tmp_path / name}\")and chnid>40")[1] == [4]
    assert kept_of_stream(run, "--field", "chnid", "--op", "in", "--values-file", tmp_path / "ints")[1] == [1, 2, 4]
    assert kept_of_stream(run, "--where", f"(chnid in @{tmp_path / 'ints'})")[1] == [1, 2, 4]
    done, kept = kept_of_stream(run, "--field", "chnid", "--op", "in", "--values-file", tmp_path / "bytes", check=False)
    assert done.returncode == 2 and not kept and "holds a bytes_list, and an int64_list is needed" in done.stderr
    expression = f"chnid in @{tmp_path / 'bytes'}"
    done, kept = kept_of_stream(run, "--where", expression, check=False)
    assert done.returncode == 2 and not kept
    assert done.stderr.splitlines()[1:] == ["  " + expression, "           ^" + "~" * len(str(tmp_path / "bytes"))]


def test_operand_files_of_every_type(tmp_path):
    path = tmp_path / "operands"

    def keeps_with(content, payload, record_type="example", **where):
        path.write_bytes(content)
        return keeps(payload, record_type, value=ValueCondition(op="in", values_file=str(path), **where))

    def values(**lists):
        message = example_pb2.FilterValues()
        for name, value in lists.items():
            getattr(message, name).SetInParent()
            getattr(message, name).value.extend(value)
        return message.SerializeToString()

    uid = line_id_record(uid=(1 << 64) - 5)
    for content in (values(int64_list=[1, -5]), b"-5\n", b"18446744073709551611", b"0xfffffffffffffffb, 3\n\n"):
        assert keeps_with(content, uid, "instance", field="uid")
        assert not keeps_with(content, line_id_record(uid=5), "instance", field="uid")
    rate = line_id_record(sample_rate=0.1)
    for content in (values(float_list=[0.1]), b"7\n 0.1 \n", b"1e-1"):
        assert keeps_with(content, rate, "instance", field="sample_rate")
        assert not keeps_with(content, line_id_record(), "instance", field="sample_rate")
    for content in (values(float_list=[0.5]), b"0.5"):
        assert keeps_with(content, feature_record(("f", "float_list", [0.5])), feature="f", feature_type="float")
    for content in (values(int64_list=[-7]), b"-7"):
        assert keeps_with(content, feature_record(("f", "int64_list", [-7])), feature="f", feature_type="int64")
    for content in (values(bytes_list=[b"\xff a"]), b"\xff a\n"):
        assert keeps_with(content, feature_record(("f", "bytes_list", [b"\xff a"])), feature="f", feature_type="bytes")
    unpacked = mangled.field(2, mangled.BYTES, mangled.field(1, mangled.VARINT, 3)) + mangled.field(2, mangled.BYTES, mangled.field(1, mangled.VARINT, 4))
    assert example_pb2.FilterValues.FromString(unpacked).int64_list.value == [3, 4]
    assert all(keeps_with(unpacked, line_id_record(chnid=c), "instance", field="chnid") for c in (3, 4))
    last = values(bytes_list=[b"4"]) + values(int64_list=[3])
    assert keeps_with(last, line_id_record(chnid=3), "instance", field="chnid")
    for nothing in (values(int64_list=[]), b"\n"):
        assert not keeps_with(nothing, line_id_record(), "instance", field="chnid")


@pytest.mark.parametrize(("content", "message"), [
    (b"", "an empty file"), (b"1\nx\n", "line 2: Invalid integer string: \"x\""), (b"\x12\x06\x0a\x04\x14", "neither a FilterValues message nor text"),
    (b"9223372036854775808", "does not fit"), (b"1\x002", "neither"), (b"1.5", "Invalid integer"), (None, "No such file"),
])
def test_broken_operand_files(run, tmp_path, content, message):
    path = tmp_path / "operands"
    if content is not None:
        path.write_bytes(content)
    code = 66 if content is None else 2
    for options in (["--field", "chnid", "--op", "in", "--values-file", path], ["--where", f"chnid not in @{path}"]):
        done = run("pb-filter", *options, stdin=frame(*STREAM), check=False)
        assert (done.returncode, done.stdout) == (code, b"") and message in done.stderr and "Traceback" not in done.stderr
    assert "^~~~" in done.stderr


@pytest.mark.parametrize(("options", "message"), [
    (["--field", "chnd", "--op", "eq", "--value", "1"], '--field: unknown field "chnd"; did you mean chnid?'),
    (["--field", "is_draw", "--op", "eq", "--value", "1"], "use --where is_draw"),
    (["--field", "chnid", "--value", "1"], "--op: say how to compare"),
    (["--field", "chnid", "--op", "eq"], "--value: give the operands"),
    (["--field", "chnid", "--op", "eq", "--value", ""], "eq needs 1 operand, got 0"),
    (["--field", "chnid", "--op", "between", "--value", "1"], "between needs 2 operands, got 1"),
    (["--field", "chnid", "--op", "any", "--value", "1"], "any does not work on a value of type int"),
    (["--field", "chnid", "--op", "startswith", "--value", "1"], "startswith does not work on a value of type int"),
    (["--field", "actions", "--op", "in", "--value", "1"], "in does not work on a value of type list of int"),
    (["--field", "user_id", "--op", "all", "--value", "1"], "all does not work on a value of type string"),
    (["--field", "chnid", "--op", "eq", "--value", "1.5"], "Invalid integer string"),
    (["--field", "sample_rate", "--op", "eq", "--value", "x"], "Invalid float string"),
    (["--field", "chnid", "--op", "gt", "--values-file", "f"], "--values-file: goes with --op in or not-in"),
    (["--field", "chnid", "--op", "in", "--values-file", "f", "--value", "1"], "give one of the two"),
    (["--field", "chnid", "--feature", "f", "--feature-type", "int64", "--op", "eq", "--value", "1"], "give one of the two"),
    (["--feature", "f", "--op", "eq", "--value", "1"], "--feature-type"),
    (["--field", "chnid", "--feature-type", "int64", "--op", "eq", "--value", "1"], "--feature-type: goes with --feature"),
    (["--feature", "f", "--feature-type", "int64", "--op", "eq", "--value", "1"], "in an example alone"),
    (["-t", "example", "--feature", "f", "--feature-type", "bytes", "--op", "any", "--value", "1"], "any does not work"),
    (["-t", "example", "--feature", "f", "--feature-type", "float", "--op", "startswith", "--value", "1"], "startswith does not work"),
    (["-t", "example", "--feature", "f", "--feature-type", "double", "--op", "in", "--values-file", "f"], "type double"),
    (["--op", "eq"], "--op: goes with --field or --feature"), (["--value", "1"], "--value: goes with"), (["--values-file", "f"], "--values-file: goes"),
])
def test_mistakes(run, options, message):
    done = run("pb-filter", *options, stdin=b"", check=False)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_fields_that_are_known_are_those_of_the_message():
    known = [(f.name, f.number, f.is_repeated) for f in line_id_pb2.LineId.DESCRIPTOR.fields]
    assert _core.line_id_fields() == known


def test_statistics_count_the_condition(run):
    done = run("pb-filter", "--field", "chnid", "--op", "ge", "--value", "30", stdin=frame(*STREAM))
    assert done.stdout == frame(*STREAM[2:]) and "filter value 2" in done.stderr


# ------------------------------------------------------------------------------------------------------ against the model

OPS = {"gt": 1, "ge": 1, "eq": 1, "lt": 1, "le": 1, "neq": 1, "between": 2, "in": None, "not-in": None}
MEMBERS = {"int64": "int64_list", "float": "float_list", "double": "double_list", "bytes": "bytes_list"}
ints = st.sampled_from([-1, 0, 1, 2, 3, 7, -(1 << 63), (1 << 63) - 1])
reals = st.sampled_from([0.0, -1.0, 0.1, 0.5, 2.5, 3.0])
strings = st.sampled_from([b"", b"a", b"ab", b"\xff", b"hello", b"abc"])
VALUES = {"int64": ints, "float": reals, "double": reals, "bytes": strings}


def ops_of(feature_type):
    return [*OPS, *(["startswith", "endswith"] if feature_type == "bytes" else []), *(["any", "all", "diff"] if feature_type == "int64" else [])]


def compare_feature(feature_type, op, value, operands) -> bool:
    """One value; a double against single precision operands."""
    if feature_type == "double":
        operands = [float(np.float32(o)) for o in operands]
        if op in ("in", "not-in"):
            value = float(np.float32(value))
            return (value in operands) == (op == "in")
        return {"gt": value > operands[0], "ge": value >= operands[0], "eq": value == operands[0], "lt": value < operands[0],
                "le": value <= operands[0], "neq": value != operands[0],
                "between": operands[0] <= value < operands[-1]}[op]
    if feature_type == "bytes":
        value, operands = value.decode("latin-1"), [o.decode("latin-1") for o in operands]
    return compare(op.replace("-", " "), value, operands)


def model_feature(record: example_pb2.Example, name, feature_type, op, operands, keep_empty) -> bool:
    features = [f.feature for f in record.named_feature if f.name == name]
    if not features or features[-1].WhichOneof("type") != MEMBERS[feature_type]:
        return keep_empty
    values = list(getattr(features[-1], MEMBERS[feature_type]).value)
    if op in ("any", "all", "diff"):
        return compare_list(op, values, operands, keep_empty)
    return compare_feature(feature_type, op, values[0], operands) if len(values) == 1 else keep_empty


@st.composite
def feature_conditions(draw):
    feature_type = draw(st.sampled_from(list(VALUES)))
    op = draw(st.sampled_from(ops_of(feature_type)))
    n = OPS.get(op)
    operands = draw(st.lists(VALUES[feature_type], min_size=n or 0, max_size=n or 4))
    return draw(st.sampled_from(["f", "a"])), feature_type, op, operands


def packed_or_not(number, fmt, wire, values):
    return (st.lists(values, max_size=3).map(lambda vs: mangled.field(1, mangled.BYTES, b"".join(struct.pack(fmt, v) for v in vs)))
            | values.map(lambda v: mangled.field(1, wire, struct.unpack({"<f": "<I", "<d": "<Q"}[fmt], struct.pack(fmt, v))[0]))).map(
                lambda v: mangled.field(number, mangled.BYTES, v))


FEATURE = mangled.pieces(
    packed_or_not(3, "<f", mangled.FIXED32, reals), packed_or_not(4, "<d", mangled.FIXED64, reals),
    mangled.repeated_varints(1, ints).map(lambda v: mangled.field(5, mangled.BYTES, v)),
    mangled.repeated_varints(1, ints).map(lambda v: mangled.field(5, mangled.BYTES, v)),
    strings.map(lambda v: mangled.field(6, mangled.BYTES, mangled.field(1, mangled.BYTES, v))),
    st.sampled_from([mangled.field(3, mangled.BYTES, b""), mangled.field(5, mangled.BYTES, b""), mangled.field(12, mangled.VARINT, 1),
                     mangled.field(14, mangled.FIXED64, 0), mangled.field(70, mangled.VARINT, 1), mangled.field(5, mangled.VARINT, 1)]), max_size=2)
NAMED = st.lists(st.one_of(st.sampled_from([b"f", b"f", b"a"]).map(lambda n: mangled.field(1, mangled.BYTES, n)),
                           FEATURE.map(lambda v: mangled.field(2, mangled.BYTES, v)),
                           FEATURE.map(lambda v: mangled.field(2, mangled.BYTES, v))), max_size=4).map(b"".join)
EXAMPLE = st.lists(NAMED.map(lambda v: mangled.field(1, mangled.BYTES, v)) | st.sampled_from([mangled.field(77, mangled.VARINT, 3)]), max_size=3).map(
    b"".join)
TYPED = st.sampled_from(list(VALUES)).flatmap(lambda t: st.tuples(st.just(t), st.lists(VALUES[t], min_size=1, max_size=2)))


def as_text(feature_type, operands):
    """In a text file and on a command line."""
    return tuple(o if isinstance(o, bytes) else repr(o) for o in operands)


@settings(max_examples=1500, deadline=None)
@given(st.data(), feature_conditions(), st.booleans())
def test_features_agree_with_the_model(data, condition, keep_empty):
    name, feature_type, op, operands = condition
    fitting = st.lists(VALUES[feature_type], min_size=1, max_size=1 if op in OPS else 3).map(
        lambda v: feature_record(("f", "int64_list", [4]), ("f", MEMBERS[feature_type], v)))
    payload = data.draw(fitting | EXAMPLE)
    expected = model_feature(example_pb2.Example.FromString(payload), name, feature_type, op, operands, keep_empty)
    assert keeps(payload, value=ValueCondition(feature=name, feature_type=feature_type, op=op, values=as_text(feature_type, operands)),
                 keep_empty=keep_empty) == expected
    assert keeps(payload, where=where_of(name, feature_type, op, operands), keep_empty=keep_empty) == expected


def where_of(name, feature_type, op, operands):
    def literal(v):
        return '"' + "".join(f"\\x{b:02x}" for b in v) + '"' if isinstance(v, bytes) else repr(v)

    right = literal(operands[0]) if OPS.get(op) == 1 else "[" + ", ".join(map(literal, operands)) + "]"
    return f'feature("{name}", {feature_type}) {op} {right}'


LINE_ID = {"uid": st.integers(0, 3), "req_time": ints, "chnid": ints, "rank": st.integers(-2, 2), "sample_rate": reals,
           "user_id": st.sampled_from(["", "a", "ab", "hello"]), "actions": st.integers(1, 3), "special_strategies": st.integers(1, 3)}


@st.composite
def field_conditions(draw):
    field = draw(st.sampled_from(list(LINE_ID)))
    is_list, is_text = field in ("actions", "special_strategies"), field == "user_id"
    op = draw(st.sampled_from(["any", "all", "diff"] if is_list else [*OPS, *(["startswith", "endswith"] if is_text else [])]))
    n = OPS.get(op)
    return field, op, draw(st.lists(LINE_ID[field], min_size=n or 0, max_size=n or 6))


@settings(max_examples=800, deadline=None)
@given(st.data(), field_conditions(), st.booleans(), st.sampled_from(["instance", "example"]))
def test_fields_agree_with_the_model(data, condition, keep_empty, record_type):
    field, op, operands = condition
    payload = data.draw(getattr(mangled, record_type))
    value = getattr(Facts(record_type, payload).line_id, field)
    if op in ("any", "all", "diff"):
        expected = compare_list(op, value, operands, keep_empty)
    else:
        expected = compare(op.replace("-", " "), value, operands)
    values = tuple(operands)
    assert keeps(payload, record_type, value=ValueCondition(field=field, op=op, values=values), keep_empty=keep_empty) == expected


# ------------------------------------------------------------------------------------------------ named features in --where

@pytest.mark.parametrize(("expression", "kept"), [
    ('feature("n") > 3', True), ('feature("n") > 4', False), ('feature("n") > 3.0', False), ('feature("x") > 3.0', True),
    ('feature("x") > 3', False), ('feature("x", float) > 3', True), ('feature("d", double) == 0.1', False), ('feature("d", double) in [0.1]', True),
    ('feature("s") == "ab"', True), ('feature("s") startswith ["q", "a"]', True), ('feature("s", bytes) in []', False),
    ('feature("l") any [5, 9]', True), ('feature("l") all [5, 6]', True), ('feature("l") diff 7', True), ('feature("l") == 5', False),
    ('not feature("absent") == 1', True), ('feature("n") in [1, 4.5]', False), ('feature("x") in [4, 3.5]', True),
    ('feature("n") between 4 and 5 and feature(\'s\') != "b"', True), ('chnid == 0 and (feature("n") == 3 or feature("n") == 4)', True),
    ('feature("__LABEL__") > 0.5 and label > 0.5', True),
])
def test_where_on_features(expression, kept):
    payload = feature_record(("n", "int64_list", [4]), ("x", "float_list", [3.5]), ("d", "double_list", [0.1]), ("s", "bytes_list", [b"ab"]),
                             ("l", "int64_list", [5, 6]), ("__LABEL__", "float_list", [1.0]))
    assert keeps(payload, where=expression) == kept


@pytest.mark.parametrize(("record_type", "expression", "message", "spot"), [
    ("instance", 'chnid == 1 and feature("a") > 3', "in an example alone", "feature"),
    ("example", 'feature(a) > 3', "expected the name of a feature", "a)"),
    ("example", 'feature("a", int) > 3', "expected int64, float, double or bytes", "int)"),
    ("example", 'feature("a") in []', 'write feature("a", int64)', 'feature("a")'),
    ("example", 'feature("a") in @nowhere', 'write feature("a", int64)', 'feature("a")'),
    ("example", 'feature("a", double) in @nowhere', "type double", "@nowhere"),
    ("example", 'feature("a", int64) in @nowhere', "No such file", "@nowhere"),
    ("example", 'feature("a") == @nowhere', "a file goes with in and not in", "@nowhere"),
    ("example", 'feature("a") > "x" or feature("a") in [1, "x"]', "is taken for a string", "1, "),
    ("example", 'feature("a", float) any [1]', "any is for features of type int64", "any"),
    ("example", 'feature("a", int64) startswith "x"', "startswith is for features of type bytes", "startswith"),
    ("example", 'feature("a", int64) > 1.5', "is taken for an integer, not a float", "1.5"),
    ("example", 'feature("a") any [1.5]', "is taken for an integer, not a float", "1.5"),
    ("example", 'featur("a") > 1', "did you mean feature?", "featur"), ("example", "chnid in @", "a file without a name", "@"),
])
def test_mistakes_in_where_on_features(record_type, expression, message, spot):
    with pytest.raises(errors.Error) as error:
        FilterConfig(record_type=record_type, where=expression).operator()
    first, line, caret = str(error.value).split("\n")
    assert message in first and line == "  " + expression
    at = expression.rindex(spot) if spot == "any" else expression.index(spot)
    assert caret.index("^") == 2 + at


# ------------------------------------------------------------------------------------------------------------ broken input

GOOD = feature_record(("f", "int64_list", [7]))
BROKEN = {
    "named feature cut short": b"\x0a\x09\x0a\x01f\x12\x05",
    "feature cut short": b"\x0a\x08\x0a\x01f\x12\x03\x2a\x09\x0a",
    "list cut short": b"\x0a\x09\x0a\x01f\x12\x04\x2a\x02\x0a\x05",
    "number cut short": b"\x0a\x0a\x0a\x01f\x12\x05\x2a\x03\x0a\x01\x80",
    "odd floats": b"\x0a\x0b\x0a\x01f\x12\x06\x1a\x04\x0a\x02ab",
    "garbage": bytes(range(1, 60)),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("options", [["--feature", "f", "--feature-type", "int64", "--op", "eq", "--value", "7"], ["--where", 'feature("f") == 7'],
                                     ["--where", 'feature("f", float) > 7 or feature("f") any [7]']])
def test_broken_features(run, tmp_path, what, options):
    (tmp_path / "in.pb").write_bytes(frame(GOOD, BROKEN[what], GOOD))
    done = run("pb-filter", "-t", "example", *options, tmp_path / "in.pb", check=False)
    float_asked = "float" in options[-1]
    if what == "odd floats" and not float_asked:
        assert done.stdout == frame(GOOD, GOOD)  # a list of another type is not looked into
        return
    assert (done.returncode, done.stdout) == (65, frame(GOOD))
    assert f"in.pb: byte {len(frame(GOOD))}: " in done.stderr and " of the record" in done.stderr and "Traceback" not in done.stderr
    assert run("pb-filter", "-t", "example", *options, "--on-bad-record", "skip", tmp_path / "in.pb").stdout == frame(GOOD, GOOD)
    aside = tmp_path / "aside.pb"
    run("pb-filter", "-t", "example", *options, "--on-bad-record", aside, tmp_path / "in.pb")
    assert aside.read_bytes() == frame(BROKEN[what])
