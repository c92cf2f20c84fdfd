"""The native record parser against a slow model of spec 10, section 7, over protobuf's own classes."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mangled

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_protos import example_pb2, line_id_pb2, proto_parser_pb2

INVALID_LABEL, EMPTY = float(np.finfo(np.float32).min), float(np.finfo(np.float32).tiny)
EXTRA = [("uid", 1), ("req_time", 2), ("actions", 2), ("special_strategies", 1), ("sample_rate", 1), ("user_id", 1), ("rank", 1)]


class Broken(Exception):
    pass


def signed(v: int) -> int:
    return v - (1 << 64) if v >= 1 << 63 else v


def to_v2(f: int) -> int:
    return signed(f >> 54 << 48 | f & (1 << 48) - 1)


def padded(values, width, fill=0):
    return (list(values) + [fill] * width)[:width]


def extras(line_id) -> dict:
    out = {}
    for name, width in EXTRA:
        value = getattr(line_id, name)
        if name == "user_id":
            value = value.encode()
        scalar = not hasattr(value, "append")
        out[name] = padded([signed(value) if isinstance(value, int) else value] if scalar else value, width, b"" if name == "user_id" else 0)
    return out


def half(bits: int, corrected: bool) -> float:
    value, exponent = float(np.frombuffer(struct.pack("<H", bits), np.float16)[0]), bits >> 10 & 31
    if not corrected or value == 0:
        return 0.0 if corrected else value
    sign = -1.0 if bits & 0x8000 else 1.0
    return (sign * 65504 if abs(value) == float("inf") else value) + sign * 2.0 ** (exponent - 26)


def dequantise(data: bytes) -> list[float]:
    if len(data) <= 8:
        if len(data) % 2:
            raise Broken
        return [half(h, True) for h in struct.unpack(f"<{len(data) // 2}H", data)]
    low, high = (np.float32(half(h, False)) for h in struct.unpack("<HH", data[:4]))
    step = (high - low) / np.float32(255)
    return [float(low + step * np.float32(q)) for q in data[4:]]


SLOTS = [(0, "s0"), (1, "s1"), (511, "s511"), (1023, "s1023")]
INSTANCE_DENSE = [("abc", (2, "float")), ("hell", (1, "float")), ("hello1", (5, "float")), ("hello", (1, "int64")), ("zz", (1, "string")),
                  ("label", (2, "float")), ("instance_weight", (1, "float"))]


def model_instance(payload: bytes, fidv2) -> dict:
    record = proto_parser_pb2.Instance.FromString(payload)
    row = extras(record.line_id)
    for slot, name in SLOTS:
        row[name] = [to_v2(f) if fidv2 else signed(f) for f in record.fid if f >> 54 == slot]
    for name in fidv2:
        row[name] = [signed(f) for c in record.feature if c.name == name for f in [*c.fid, *(f for part in c.fid_list for f in part.value)]]
    for name, (width, kind) in INSTANCE_DENSE:
        value = [b"" if kind == "string" else 0] * width
        for c in record.feature:
            if c.name != name:
                continue
            values = {"float": c.float_value, "int64": c.int64_value, "string": c.bytes_value}[kind]
            marked = [b[6:] for b in c.bytes_value if b.startswith(b"UE_QTZ")]
            if kind == "float" and marked and marked[-1]:
                values = dequantise(marked[-1])
                if len(values) != width:
                    raise Broken
            value = list(values) if len(values) == width else [b"" if kind == "string" else 0] * width
        row[name] = value
    row["label"] = padded(record.label, 2)
    row["instance_weight"] = [record.instance_weight if record.HasField("instance_weight") else 1.0]
    return row


def sparse_of(feature) -> list[int]:
    kind = feature.WhichOneof("type")
    if kind in ("float_list", "double_list", "int64_list", "bytes_list"):
        raise Broken
    return [to_v2(f) for f in feature.fid_v1_list.value] + [signed(f) for f in feature.fid_v2_list.value]


def dense_of(feature, width: int, wanted: str) -> list:
    kind = feature.WhichOneof("type")
    if kind not in ("fid_v1_list", "fid_v2_list", "float_list", "double_list", "int64_list", "bytes_list"):
        return [b"" if wanted == "string" else 0] * width
    if kind not in {"float": ("float_list", "double_list"), "int64": ("int64_list",), "string": ("bytes_list",)}[wanted]:
        raise Broken
    values = getattr(feature, kind).value
    if width == 1 and not values:
        if wanted == "float":
            return [EMPTY]
        raise Broken
    return padded(values, width)


def model_example(payload: bytes, sparse, dense) -> dict:
    record = example_pb2.Example.FromString(payload)
    # A name that comes twice is checked each time; the last one counts.
    for n in record.named_feature:
        if n.name in sparse:
            sparse_of(n.feature)
        if n.name in dict(dense):
            dense_of(n.feature, *dict(dense)[n.name])
    last = {n.name: n.feature for n in record.named_feature}
    line_id, labels = record.line_id, list(record.label)
    if "__LINE_ID__" in last:
        if not last["__LINE_ID__"].bytes_list.value:
            raise Broken
        line_id = line_id_pb2.LineId.FromString(last["__LINE_ID__"].bytes_list.value[0])
    if "__LABEL__" in last and last["__LABEL__"].WhichOneof("type") == "float_list":
        labels = list(last["__LABEL__"].float_list.value)
    row = extras(line_id)
    for name in sparse:
        row[name] = sparse_of(last[name]) if name in last else []
    for name, (width, kind) in dense:
        if name in last:
            row[name] = dense_of(last[name], width, kind)
        elif name == "label":
            row[name] = padded(labels, width, INVALID_LABEL)
        elif name == "instance_weight":
            row[name] = padded([record.instance_weight if record.instance_weight > 0 else 1.0], width)
        else:
            row[name] = [b"" if kind == "string" else 0] * width
    return row


def check(parse, rows, sparse) -> None:
    """`rows`: one function a record, that gives its columns or raises Broken."""
    try:
        expected = [row() for row in rows]
    except Broken:
        with pytest.raises(errors.BadDataError, match="^record [0-9]+: "):
            parse()
        return
    columns = parse()
    for name, column in columns.items():
        if name in sparse:
            splits, values = column
            assert [values[a:b] for a, b in zip(splits, splits[1:])] == [row[name] for row in expected], name
        else:
            flat = [v for row in expected for v in row[name]]
            assert len(column) == len(flat)
            if any(isinstance(v, float) for v in column):
                # The dequantised one is computed with or without fused multiply-add, as the machine can.
                finite = [abs(v) for v in flat if np.isfinite(v)]
                loose = 1e-6 * max(finite, default=0) if name == "hello1" else 0
                np.testing.assert_allclose(np.float32(column), np.float32(flat), rtol=0, atol=loose, err_msg=name)
            else:
                assert column == flat, name


@settings(max_examples=300, deadline=None)
@given(st.lists(mangled.instance, max_size=4), st.sampled_from([[], ["a", "ab"]]))
def test_instances(payloads, fidv2):
    sparse = [name for _, name in SLOTS] + fidv2
    check(lambda: _core.RecordParser("instance", SLOTS, fidv2, INSTANCE_DENSE, EXTRA).parse(payloads),
          [lambda p=p: model_instance(p, fidv2) for p in payloads], sparse)


@settings(max_examples=300, deadline=None)
@given(st.lists(mangled.example, max_size=4),
       st.sampled_from([["a"], ["a", "b"], []]),
       st.sampled_from([[("label", (3, "float")), ("instance_weight", (1, "float"))], [("i", (2, "float")), ("label", (1, "float"))],
                        [("i", (1, "int64")), ("instance_weight", (2, "float"))], [("i", (1, "string"))]]))
def test_examples(payloads, sparse, dense):
    check(lambda: _core.RecordParser("example", [], sparse, dense, EXTRA).parse(payloads),
          [lambda p=p: model_example(p, sparse, dense) for p in payloads], sparse)


@st.composite
def batches(draw):
    batch = example_pb2.ExampleBatch(batch_size=draw(st.integers(0, 3)))
    for name in draw(st.lists(st.sampled_from(["a", "b", "i", "__LABEL__", "instance_weight", "__LINE_ID__"]), unique=True)):
        column = batch.named_feature_list.add(name=name, type=draw(st.integers(0, 1)))
        for _ in range(draw(st.sampled_from([1, batch.batch_size])) if column.type else batch.batch_size):
            feature = column.feature.add()
            if name == "__LINE_ID__":
                feature.bytes_list.value.append(draw(mangled.line_id))
            elif name in ("a", "b"):
                getattr(feature, draw(st.sampled_from(["fid_v1_list", "fid_v2_list"]))).value.extend(draw(st.lists(mangled.v1_fids | mangled.v2_fids, max_size=3)))
            else:
                feature.float_list.value.extend(draw(st.lists(mangled.floats, min_size=name == "__LABEL__", max_size=3)))
    return batch


def batch_rows(batch):
    """One Example a row, as spec 10, 7.4 sees it."""
    for i in range(batch.batch_size):
        row = {c.name: c.feature[0 if c.type == 1 else i] for c in batch.named_feature_list if c.feature}
        line_id = line_id_pb2.LineId.FromString(row["__LINE_ID__"].bytes_list.value[0]) if "__LINE_ID__" in row else line_id_pb2.LineId()
        weight = row["instance_weight"].float_list.value if "instance_weight" in row else []
        yield {**extras(line_id), "a": sparse_of(row["a"]) if "a" in row else [], "b": sparse_of(row["b"]) if "b" in row else [],
               "i": dense_of(row["i"], 2, "float") if "i" in row else [0, 0],
               "label": padded(row["__LABEL__"].float_list.value if "__LABEL__" in row else [], 2),
               "instance_weight": [weight[0] if weight and weight[0] > 0 else 1.0]}


@settings(max_examples=250, deadline=None)
@given(st.lists(batches(), max_size=3))
def test_batches(made):
    made = [b for b in made if all(c.feature or not c.type for c in b.named_feature_list)]
    dense = [("i", (2, "float")), ("label", (2, "float")), ("instance_weight", (1, "float"))]
    check(lambda: _core.RecordParser("example_batch", [], ["a", "b"], dense, EXTRA).parse([b.SerializeToString() for b in made]),
          [lambda r=r: r for b in made for r in batch_rows(b)], ["a", "b"])


def test_errors_name_record_and_feature():
    record = example_pb2.Example()
    record.named_feature.add(name="a").feature.float_list.value.append(1)
    with pytest.raises(errors.BadDataError, match="^record 1: feature a: holds float_list, wanted are fids$"):
        _core.RecordParser("example", fidv2=["a"]).parse([b"", record.SerializeToString()])
    with pytest.raises(errors.ConfigError, match="extra feature did is not in line id"):
        _core.RecordParser("instance", extra=[("did", 1)])
