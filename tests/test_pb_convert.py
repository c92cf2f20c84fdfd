"""pb-convert: containers against golden bytes and a slow model, JSON lines, tf.train.Example, broken input."""

import contextlib
import json
import random
import struct

import convert_model as model
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_random import Wire, block, tag, varint

from monolith_cli.errors import BadDataError, UsageError
from monolith_cli.records.convert import convert_records
from monolith_cli.records.messages import message_class

TYPES = ["instance", "example", "example_batch"]
INSTANCE = bytes.fromhex(
    "0a1805000000000080000100000000004000060000000000800012040000003f1a080000803f000000002a091103000000000000004a0d0a01611a08"
    "0000803f000000404a130a0162120801000000000009001a040000e0404a030a0163a00663")
EXAMPLE = bytes.fromhex(
    "0a110a0576616c756512081a060a040000003f0a230a0966635f736c6f745f3212140a120a100500000000008000060000000000800018010a1b0a0966"
    "635f736c6f745f31120c0a0a0a08010000000000400018020a130a0161120c1a0a0a080000803f0000004018030a130a0162120c120a0a080100000000"
    "00090018040a070a016312001805a20609110300000000000000aa06080000803f00000000b5060000803f")
BATCH = bytes.fromhex(
    "0a150a0175120c0a0a0a080900000000004000180120010a1d0a0164120c1a0a0a080000803f0000004012081a060a040000404020020a2b0a0b5f5f4c"
    "494e455f49445f5f120d320b0a09110700000000000000120d320b0a091108000000000000000a1f0a095f5f4c4142454c5f5f12081a060a0400000000"
    "12081a060a040000803f1802")


def framed(*payloads):
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def unframed(stream):
    records, at = [], 0
    while at < len(stream):
        (size,) = struct.unpack_from("<Q", stream, at)
        records.append(stream[at + 8 : at + 8 + size])
        at += 8 + size
    assert at == len(stream)
    return records


def test_instance_to_example_golden(run):
    done = run("pb-convert", "--from", "instance", "--to", "example", stdin=framed(INSTANCE, INSTANCE))
    assert done.stdout == framed(EXAMPLE, EXAMPLE)


def test_batch_to_rows_golden(run):
    rows = unframed(run("pb-convert", "--from", "example_batch", "--to", "example", stdin=framed(BATCH)).stdout)
    examples = [message_class("example").FromString(r) for r in rows]
    assert [[(n.name, n.id) for n in e.named_feature] for e in examples] == [[("u", 1), ("d", 2)]] * 2
    assert [list(e.named_feature[0].feature.fid_v1_list.value) for e in examples] == [[18014398509481993]] * 2
    assert [list(e.named_feature[1].feature.float_list.value) for e in examples] == [[1, 2], [3]]
    assert [(e.line_id.uid, list(e.label), e.instance_weight) for e in examples] == [(7, [0], 0), (8, [1], 0)]
    instance = message_class("instance").FromString(
        unframed(run("pb-convert", "--from", "example_batch", "--to", "instance", stdin=framed(BATCH)).stdout)[1])
    assert list(instance.fid) == [18014398509481993] and list(instance.label) == [1] and instance.line_id.uid == 8
    assert [(c.name, list(c.float_value)) for c in instance.feature] == [("d", [3])]
    assert not instance.HasField("instance_weight")


@pytest.mark.parametrize("record_type", TYPES)
def test_same_type_leaves_every_byte(run, record_type):
    stream = framed(INSTANCE, b"", b"\xff\xff not even a message")
    assert run("pb-convert", "--from", record_type, "--to", record_type, stdin=stream).stdout == stream


# --- against the model -------------------------------------------------------------------------------------------------


def batch_bytes(rng, odd=True):
    """A batch whose columns mostly fit its size."""
    wire, rows = Wire(rng, odd=odd), rng.randint(0, 4)
    feature = message_class("example").DESCRIPTOR.fields_by_name["named_feature"].message_type.fields_by_name["feature"].message_type
    raw = message_class("example").DESCRIPTOR.fields_by_name["named_raw_feature"].message_type.fields_by_name["raw_feature"].message_type
    pieces = []
    for _ in range(rng.randint(0, 4)):
        number, content = rng.choice([(1, feature), (1, feature), (2, raw)])
        name = rng.choice(["a", "b", "a", "__LINE_ID__", "__LABEL__", "instance_weight", "", "fc_slot_1"])
        shared = rng.random() < 0.3
        count = rng.randint(1, 2) if shared else rows
        if rng.random() < 0.03:
            count += rng.choice([-1, 1])
        cells = [wire.message(content, 1) for _ in range(max(count, 0))]
        if name == "__LINE_ID__" and number == 1 and rng.random() < 0.9:
            line_id = message_class("instance").DESCRIPTOR.fields_by_name["line_id"].message_type
            cells = [block(6, block(1, wire.message(line_id, 2))) for _ in cells]
        parts = [block(1, name.encode())] + [block(2, c) for c in cells] + ([tag(3, 0) + b"\1"] if shared else [])
        parts += [tag(4, 0) + varint(rng.choice([0, 1, -3, 1 << 31]))] * (rng.random() < 0.5)
        order = parts if not odd else sorted(parts, key=lambda _: rng.random() if not shared else 0)
        pieces.append(block(number, b"".join(order)))
    pieces.append(tag(3, 0) + varint(rows))
    pieces += [tag(100, 0) + varint(rng.choice([0, 256, -1]))] * (rng.random() < 0.5)
    return b"".join(pieces)


def record_bytes(record_type, rng):
    if record_type == "example_batch":
        return batch_bytes(rng)
    return Wire(rng).message(message_class(record_type).DESCRIPTOR)


def canonical(record_type, payload):
    """The record as protobuf writes it, LineIds inside bytes included."""
    from monolith_protos.line_id_pb2 import LineId

    message = message_class(record_type).FromString(payload)
    for column in message.named_feature_list if record_type == "example_batch" else []:
        for feature in column.feature if column.name == "__LINE_ID__" else []:
            if feature.WhichOneof("type") == "bytes_list":
                for i, value in enumerate(feature.bytes_list.value):
                    with contextlib.suppress(DecodeError):  # bytes that are no LineId pass a copy as they are
                        feature.bytes_list.value[i] = LineId.FromString(value).SerializeToString(deterministic=True)
    return message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("to_type", TYPES)
@pytest.mark.parametrize("from_type", TYPES)
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_conversion_is_what_the_model_says(from_type, to_type, seed):
    rng = random.Random(seed)
    payloads = [record_bytes(from_type, rng) for _ in range(rng.randint(1, 4))]
    pruning = rng.choice(["as_is", "feature", "raw_feature"])
    batch_size = rng.randint(1, 4)
    try:
        messages = [message_class(from_type).FromString(p) for p in payloads]
        expected = model.convert(messages, from_type, to_type, pruning, batch_size)
    except model.Bad:
        with pytest.raises(BadDataError):
            convert_records(payloads, from_type, to_type, pruning=pruning, batch_size=batch_size)
        return
    got = convert_records(payloads, from_type, to_type, pruning=pruning, batch_size=batch_size)
    assert [canonical(to_type, p) for p in got] == [canonical(to_type, m.SerializeToString()) for m in expected]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_broken_records_are_refused_as_protobuf_refuses_them(seed):
    """What protobuf's parser refuses is refused; what it accepts is converted, unless a column does not fit."""
    rng = random.Random(seed)
    from_type, to_type = rng.sample(TYPES, 2)
    payload = bytearray(record_bytes(from_type, rng))
    for _ in range(rng.randint(1, 3)):
        if payload:
            payload[rng.randrange(len(payload))] = rng.randrange(256)
    payload = bytes(payload[: rng.randint(0, len(payload))] if rng.random() < 0.3 else payload)
    try:
        message_class(from_type).FromString(payload)
        good = True
    except DecodeError:
        good = False
    try:
        for made in convert_records([payload], from_type, to_type):
            message_class(to_type).FromString(made)
        converted = True
    except BadDataError as e:
        if good and "field number out of range" in str(e):
            return  # protobuf's parser for Python passes over a field number of 0 in an unknown group, the others do not
        converted = False
    if not good and converted:
        # A part that the conversion leaves out may be broken below its first level: it must not reach the output.
        assert from_type != to_type
    if good and not converted and from_type == "example":
        with pytest.raises(model.Bad):
            model.convert([message_class(from_type).FromString(payload)], from_type, to_type)


def test_a_tag_of_more_than_five_bytes_is_refused_as_protobuf_refuses_it():
    lists = block(11, block(1, b"\x80\x80\x80\x80\x88\x00" + b"\x01"))  # a tag of six bytes in a list of bytes
    example = block(1, block(1, b"f") + block(2, lists + tag(12, 0) + varint(1)))
    with pytest.raises(DecodeError):
        message_class("example").FromString(example)
    for to_type in ("instance", "example_batch"):
        with pytest.raises(BadDataError, match="field number"):
            convert_records([example], "example", to_type)


def test_a_few_bytes_do_not_make_a_billion_rows():
    shared = block(1, block(1, b"f") + block(2, b"") + tag(3, 0) + b"\1")
    with pytest.raises(BadDataError, match="a batch_size of 2000000000"):
        convert_records([shared + tag(3, 0) + varint(2_000_000_000)], "example_batch", "example")
    assert len(convert_records([shared + tag(3, 0) + varint(1 << 16)], "example_batch", "example")) == 1 << 16


def test_a_name_that_is_not_utf8_is_refused():
    column = block(9, block(1, b"\xff"))
    with pytest.raises(BadDataError, match="UTF-8"):
        convert_records([column], "instance", "example")


def test_fields_count_where_reserved_features_are_absent():
    Example = message_class("example")
    example = Example(label=[1], instance_weight=2, data_source_key=256)
    example.line_id.uid = 5
    instance = message_class("instance").FromString(convert_records([example.SerializeToString()], "example", "instance")[0])
    assert (list(instance.label), instance.instance_weight, instance.line_id.uid, instance.data_source_key) == ([1], 2, 5, 256)
    example.named_feature.add(name="__LABEL__").feature.float_list.value.append(0)
    instance = message_class("instance").FromString(convert_records([example.SerializeToString()], "example", "instance")[0])
    assert list(instance.label) == [0]


def test_batch_size_and_leftover(run):
    stream = framed(*[INSTANCE] * 7)
    batches = unframed(run("pb-convert", "--from", "instance", "--to", "example_batch", "--batch-size", 3, stdin=stream).stdout)
    assert [message_class("example_batch").FromString(b).batch_size for b in batches] == [3, 3, 1]
    again = run("pb-convert", "--from", "example_batch", "--to", "example", stdin=framed(*batches)).stdout
    assert [canonical("example", r) for r in unframed(again)] == [canonical("example", EXAMPLE)] * 7


# --- JSON lines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("record_type", TYPES)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_json_lines_bring_back_every_field(record_type, seed):
    from google.protobuf import json_format

    from monolith_cli.records import json_lines

    rng = random.Random(seed)
    payload = batch_bytes(rng, odd=False) if record_type == "example_batch" else Wire(rng, odd=False).message(message_class(record_type).DESCRIPTOR)
    payload = canonical(record_type, payload)
    line = json_lines.to_json(record_type)(payload)
    assert b"\n" not in line
    assert json_lines.from_json(record_type)(line) == payload
    assert json_format.Parse(line, message_class(record_type)()).SerializeToString(deterministic=True) == payload


def test_json_lines_through_the_command(run):
    lines = run("pb-convert", "--from", "instance", "--to", "jsonl", stdin=framed(INSTANCE, INSTANCE)).stdout
    assert len(lines.splitlines()) == 2
    shown = json.loads(lines.splitlines()[0])
    assert shown["fid"] == ["36028797018963973", "18014398509481985", "36028797018963974"]
    assert shown["line_id"] == {"uid": "3"} and shown["data_source_key"] == 99
    back = run("pb-convert", "--from", "jsonl", "--to", "instance", stdin=b"\n" + lines.replace(b"\n", b"\r\n")).stdout
    assert back == framed(INSTANCE, INSTANCE)


def test_json_numbers_may_be_numbers_or_text(run):
    lines = b'{"fid": [18014398509481985, "18446744073709551615"], "label": ["NaN", "-Infinity", 1]}\n'
    (payload,) = unframed(run("pb-convert", "--from", "jsonl", "--to", "instance", stdin=lines).stdout)
    instance = message_class("instance").FromString(payload)
    assert list(instance.fid) == [18014398509481985, 2**64 - 1]
    assert instance.label[0] != instance.label[0] and list(instance.label[1:]) == [float("-inf"), 1]


@pytest.mark.parametrize("line, reason", [
    (b"{", "Expecting"), (b'{"labl": [1]}', "labl"), (b'{"label": ["one"]}', "label"), (b'\xff{"label": []}', "UTF-8"), (b"[1]", ""),
])
def test_a_bad_line_is_named(run, line, reason):
    stdin = b'{"label": [1]}\n\n' + line + b'\n{"label": [2]}\n'
    done = run("pb-convert", "--from", "jsonl", "--to", "instance", stdin=stdin, check=False)
    assert done.returncode == 65 and "stdin: byte 16: line 3: " in done.stderr and reason in done.stderr
    assert "Traceback" not in done.stderr
    assert len(unframed(done.stdout)) == 1
    done = run("pb-convert", "--from", "jsonl", "--to", "instance", "--on-bad-record", "skip", stdin=stdin)
    assert [message_class("instance").FromString(r).label[0] for r in unframed(done.stdout)] == [1, 2]


# --- tf.train.Example ----------------------------------------------------------------------------------------------------


def tf_class():
    """tensorflow.Example without TensorFlow: the published message, made by hand."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    f = descriptor_pb2.FileDescriptorProto(name="tf_example.proto", package="t", syntax="proto3")
    kinds = {"BytesList": 12, "FloatList": 2, "Int64List": 3}
    for name, kind in kinds.items():
        f.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=3)
    feature = f.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for i, (name, field) in enumerate(zip(kinds, ("bytes_list", "float_list", "int64_list")), 1):
        feature.field.add(name=field, number=i, type=11, label=1, type_name=f".t.{name}", oneof_index=0)
    features = f.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=11, label=1, type_name=".t.Feature")
    features.field.add(name="feature", number=1, type=11, label=3, type_name=".t.Features.FeatureEntry")
    f.message_type.add(name="Example").field.add(name="features", number=1, type=11, label=1, type_name=".t.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(f)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


TfExample = tf_class()


def tf_record(**features):
    example = TfExample()
    for name, values in features.items():
        feature = example.features.feature[name]
        kind = feature.int64_list if isinstance(values[0], int) else feature.float_list if isinstance(values[0], float) else feature.bytes_list
        kind.value.extend(values)
    return example.SerializeToString()


def test_tf_example(run):
    records = [tf_record(f=[v], i=[4], d=[1.5, 2.5], n=[7, -8], b=[b"x"], y=[1.0], w=[0.5], rest=[1]) for v in (0.0, -0.5, 1.0, 3.0, -3.0)]
    done = run("pb-convert", "--from", "tf_example", "--format", "pb", "--to", "example", "--sparse", "f=3", "--sparse", "i=2", "--dense", "d",
               "--dense", "n", "--dense", "b", "--label", "y", "--instance-weight", "w", stdin=framed(*records))
    examples = [message_class("example").FromString(r) for r in unframed(done.stdout)]
    features = [{n.name: n for n in e.named_feature} for e in examples]
    base = 844424930131968
    assert [list(f["f"].feature.fid_v2_list.value) for f in features] == [[base], [base], [base + 1], [base + 2], [base + 2]]
    one = features[0]
    assert list(one["i"].feature.fid_v2_list.value) == [562949953421316] and (one["f"].id, one["i"].id, one["d"].id) == (3, 2, 0)
    assert list(one["d"].feature.float_list.value) == [1.5, 2.5] and list(one["n"].feature.int64_list.value) == [7, -8]
    assert list(one["b"].feature.bytes_list.value) == [b"x"] and set(one) == {"f", "i", "d", "n", "b"}
    assert list(examples[0].label) == [1] and examples[0].instance_weight == 0.5


def test_tf_example_without_what_was_asked_for(run):
    records = [tf_record(s=[b"abc"], y=[1], w=[1.0, 2.0]), tf_record(other=[1]), tf_record(s=[float("nan"), float("inf")])]
    args = ["--from", "tf_example", "--format", "pb", "--to", "example", "--sparse", "s=5", "--label", "y", "--instance-weight", "w"]
    done = run("pb-convert", *args, stdin=framed(*records))
    examples = [message_class("example").FromString(r) for r in unframed(done.stdout)]
    assert [list(e.label) for e in examples] == [[]] * 3 and [e.instance_weight for e in examples] == [1.0] * 3
    assert examples[0].named_feature[0].feature.WhichOneof("type") is None and not examples[1].named_feature
    assert list(examples[2].named_feature[0].feature.fid_v2_list.value) == [5 << 48] * 2
    assert "2 records have no feature of the label's name" in done.stderr and "1 records hold a label that is no list" in done.stderr
    assert "--hash-bytes" in done.stderr
    done = run("pb-convert", *args, "--hash-bytes", stdin=framed(records[0]))
    example = message_class("example").FromString(unframed(done.stdout)[0])
    from monolith_cli._native import _core

    assert list(example.named_feature[0].feature.fid_v2_list.value) == [5 << 48 | _core.city_hash64(b"abc") & (1 << 48) - 1]


@pytest.mark.parametrize("args, message", [
    (["--sparse", "a=1", "--dense", "a"], "twice"), (["--sparse", "a=1", "--sparse", "b=1"], "slot 1"), (["--sparse", "a=0"], "1..32767"),
    (["--sparse", "a=32768"], "1..32767"), (["--sparse", "a=1", "--label", "a"], "twice"), (["--sparse", "a"], "NAME=SLOT"),
])
def test_tf_example_mistakes(run, args, message):
    done = run("pb-convert", "--from", "tf_example", "--to", "example", *args, check=False)
    assert done.returncode == 2 and message in done.stderr


def test_tf_example_from_tfrecord_files(run, shared_data):
    """The Chicago taxi trips come as gzipped TFRecord and as CSV."""
    import csv

    def float32(text):
        return struct.unpack("<f", struct.pack("<f", float(text)))[0]

    folder = shared_data / "tfrecord" / "chicago-taxi"
    with open(folder / "data.csv", newline="") as f:
        trips = {(int(t["trip_start_timestamp"]), int(t["trip_start_hour"]), t["payment_type"].encode(), float32(t["fare"]), float32(t["tips"]))
                 for t in csv.DictReader(f)}
    done = run("pb-convert", "--from", "tf_example", "--to", "example", "--sparse", "trip_start_hour=7", "--dense", "fare", "--dense",
               "payment_type", "--dense", "trip_start_timestamp", "--label", "tips", *sorted(folder.glob("*.gz")))
    examples = [message_class("example").FromString(r) for r in unframed(done.stdout)]
    assert len(examples) == 15000
    unknown = 0
    for e in examples:
        named = {n.name: n.feature for n in e.named_feature}
        (hour,) = named["trip_start_hour"].fid_v2_list.value
        assert hour >> 48 == 7
        unknown += (named["trip_start_timestamp"].int64_list.value[0], hour & 0xFFFF, named["payment_type"].bytes_list.value[0],
                    named["fare"].float_list.value[0], e.label[0]) not in trips
    assert unknown == 1  # the files are not quite of the same trips


# --- manners -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_type", TYPES)
def test_garbage_is_named_and_what_came_before_is_passed_on(run, from_type, tmp_path):
    to_type = "instance" if from_type != "instance" else "example"
    good = {"instance": INSTANCE, "example": EXAMPLE, "example_batch": BATCH}[from_type]
    stream = framed(good, b"\x0a\xff", good)
    n = len(convert_records([good], from_type, to_type))
    done = run("pb-convert", "--from", from_type, "--to", to_type, stdin=stream, check=False)
    assert done.returncode == 65 and f"stdin: byte {len(good) + 8}: " in done.stderr and "Traceback" not in done.stderr
    assert len(unframed(done.stdout)) == n
    aside = tmp_path / "bad.pb"
    done = run("pb-convert", "--from", from_type, "--to", to_type, "--on-bad-record", aside, stdin=stream)
    assert len(unframed(done.stdout)) == 2 * n and aside.read_bytes() == framed(b"\x0a\xff")


def test_a_batch_with_a_column_too_short_is_named(run):
    batch = message_class("example_batch")(batch_size=2)
    batch.named_feature_list.add(name="price").feature.add()
    done = run("pb-convert", "--from", "example_batch", "--to", "example", stdin=framed(batch.SerializeToString()), check=False)
    assert done.returncode == 65 and "column price has 1 features, while batch_size is 2" in done.stderr and done.stdout == b""


def test_usage(run):
    assert "--schema" in run("pb-convert", "--from", "csv", "--to", "instance", check=False).stderr
    done = run("pb-convert", "--from", "instance", "--to", "example", "--schema", "x.toml", check=False)
    assert done.returncode == 2 and "--schema" in done.stderr
    done = run("pb-convert", "--from", "tf_example", "--to", "jsonl", check=False)
    assert done.returncode == 2 and "second pb-convert" in done.stderr
    with pytest.raises(UsageError):
        convert_records([], "instance", "tf_example")


def test_a_missing_source_is_66(run, tmp_path):
    done = run("pb-convert", "--from", "jsonl", "--to", "instance", tmp_path / "none", check=False)
    assert done.returncode == 66 and "none" in done.stderr


def test_output_file_appears_whole(run, tmp_path):
    out = tmp_path / "out.jsonl"
    done = run("pb-convert", "--from", "instance", "--to", "jsonl", "-o", out, stdin=framed(INSTANCE, b"\xff"), check=False)
    assert done.returncode == 65 and not out.exists()
    run("pb-convert", "--from", "instance", "--to", "jsonl", "-o", out, stdin=framed(INSTANCE))
    assert json.loads(out.read_text())["label"] == [1.0, 0.0]
