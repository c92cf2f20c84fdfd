"""tfs-client predict with every kind of input: forms of one Instance, framed, text and JSON records, rows, tensors."""

import base64
import json
import struct

import pytest
from google.protobuf import text_format
from tfs_client_helpers import T11_BYTES, T11_DUMP, T11_JSON, T11_TEXT, framed, sent, tfs  # noqa: F401 - a fixture

from monolith_cli.serving.protos import types_pb2
from monolith_protos import example_pb2, proto_parser_pb2
from monolith_protos.line_id_pb2 import LineId

Q = struct.Struct("<Q").pack


@pytest.mark.parametrize(
    "suffix,content,kind",
    [
        (".json", T11_JSON, "json"),
        (".dump", T11_DUMP, "dump"),
        (".pbtxt", T11_TEXT, "pbtext"),
        (".bin", T11_BYTES, "binary"),
    ],
)
def test_t11_one_instance_in_every_form(run, tfs, tmp_path, suffix, content, kind):
    path = tmp_path / f"one{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    run(
        "tfs-client",
        "predict",
        "--target",
        tfs.target,
        "--model-name",
        "m",
        "--input-file",
        path,
        "--input-type",
        kind,
        "--batch-size",
        5,
    )
    assert sent(tfs, "instances") == [T11_BYTES] * 5
    if kind != "binary":  # told by the suffix
        run("tfs-client", "predict", "--target", tfs.target, "--model-name", "m", "--input-file", path)
        assert sent(tfs, "instances") == [T11_BYTES] * 8


def test_dump_form_with_features_and_what_comes_after_them(run, tfs, tmp_path):
    path = tmp_path / "one.dump"
    path.write_text(
        '"root":\n"feature":\n0:\n"name": "a"\n"fid":\n0: 7\n1: 8\n'
        '1:\n"name": "b"\n"float_value":\n0: 0.5\n"fid":\n0: 9\n'
        '"fid":\n0: 1\n"line_id":\n"uid": 3\n"user_id": "u"\n"instance_weight": 2\n2:\n"name": "c"\n'
    )
    path.write_text(path.read_text().replace('2:\n"name": "c"\n', ""))
    run("tfs-client", "predict", "--target", tfs.target, "--model-name", "m", "--input-file", path, "--batch-size", 1)
    made = proto_parser_pb2.Instance.FromString(sent(tfs)[0])
    assert [(f.name, list(f.fid), list(f.float_value)) for f in made.feature] == [("a", [7, 8], []), ("b", [9], [0.5])]
    assert list(made.fid) == [1] and made.line_id.uid == 3 and made.line_id.user_id == "u" and made.instance_weight == 2


@pytest.mark.parametrize(
    "text,line", [("fid:\n0: 1\n0: 2\n", 3), ("fidd: 3\n", 1), ("fid: a:b\n", 1), ("fid:\n0: x\n", 2), ("7: 1\n", 1)]
)
def test_dump_form_with_a_mistake_names_the_line(run, tfs, tmp_path, text, line):
    path = tmp_path / "one.dump"
    path.write_text(text)
    done = run("tfs-client", "predict", "--target", tfs.target, "--input-file", path, check=False)
    assert done.returncode == 65 and f"{path}: line {line}: " in done.stderr and not tfs.calls("Predict")


# Framing, by the bytes of T17 (numbers are 8 bytes, little endian).
FRAMES = {
    (): b"",
    ("--lagrangex-header",): Q(99),
    ("--has-sort-id",): Q(3) + b"abc",
    ("--has-sort-id", "--kafka-dump"): Q(3) + b"abc" + Q(7),
    ("--kafka-dump-prefix", "--has-sort-id"): Q(3) + b"abc",
    ("--lagrangex-header", "--has-sort-id"): Q(99),
}


@pytest.mark.parametrize("flags", FRAMES, ids=" ".join)
def test_t17_framed_instances(run, tfs, tmp_path, flags):
    path = tmp_path / "i.pb"
    path.write_bytes(framed(*[T11_BYTES] * 3, before=FRAMES[flags]))
    args = ["--target", tfs.target, "--model-name", "m", "--input-type", "instance", "--input-file", path, *flags]
    run("tfs-client", "predict", *args, "--batch-size", 2)
    assert sent(tfs, "instances") == [T11_BYTES] * 2
    run("tfs-client", "predict", *args)
    assert len(sent(tfs)) == 3  # fewer are there than asked for


def test_t17_prefix_of_two_numbers(run, tfs, tmp_path):
    path = tmp_path / "i.pb"
    path.write_bytes(framed(T11_BYTES, before=Q(0) + Q(11) + Q(3) + b"abc"))
    run(
        "tfs-client",
        "predict",
        "--target",
        tfs.target,
        "--model-name",
        "m",
        "--input-file",
        path,
        "--kafka-dump-prefix",
        "--has-sort-id",
    )
    assert sent(tfs) == [T11_BYTES]


def test_examples_and_batches_from_every_file_type(run, tfs, tmp_path):
    example = example_pb2.Example(label=[1.0])
    batch = example_pb2.ExampleBatch(batch_size=2)
    for name, message, kind in (("examples", example, "example"), ("example_batch", batch, "example_batch")):
        raw = message.SerializeToString()
        for file_type, content in (
            ("pb", framed(raw, raw)),
            ("pbtxt", text_format.MessageToString(message).encode()),
            ("json", (b'{"label": [1]}\n{\n "label": [1]}' if name == "examples" else b'{"batch_size": 2}')),
        ):
            path = tmp_path / f"{name}.{file_type}"
            path.write_bytes(content)
            run(
                "tfs-client",
                "predict",
                "--target",
                tfs.target,
                "--model-name",
                "m",
                "--input-type",
                kind,
                "--file-type",
                file_type,
                "--input-file",
                path,
            )
            values = sent(tfs, name)
            assert values == [raw] * (2 if name == "examples" and file_type != "pbtxt" else 1)


def test_rows_of_a_batch_as_instances(run, tfs, tmp_path):
    batch = example_pb2.ExampleBatch(batch_size=2)

    def column(name, *features, shared=False):
        made = batch.named_feature_list.add(name=name, type=int(shared))
        for f in features:
            made.feature.add().CopyFrom(f)

    feature = example_pb2.Feature
    column("v1", feature(fid_v1_list=example_pb2.FidList(value=[9376215397644962785])), feature())  # T19
    column("v2", feature(fid_v2_list=example_pb2.FidList(value=[7 << 48 | 9])), shared=True)
    column(
        "d",
        feature(double_list=example_pb2.DoubleList(value=[1.5])),
        feature(float_list=example_pb2.FloatList(value=[2.5])),
    )
    column(
        "n",
        feature(int64_list=example_pb2.Int64List(value=[-4])),
        feature(bytes_list=example_pb2.BytesList(value=[b"x"])),
    )
    column("__LABEL__", *(feature(float_list=example_pb2.FloatList(value=[v])) for v in (1, 0)))
    column(
        "__LINE_ID__",
        *(feature(bytes_list=example_pb2.BytesList(value=[LineId(uid=u).SerializeToString()])) for u in (3, 4)),
    )
    path = tmp_path / "batch.pb"
    path.write_bytes(framed(batch.SerializeToString()))
    run(
        "tfs-client",
        "predict",
        "--target",
        tfs.target,
        "--model-name",
        "m",
        "--input-type",
        "example_batch_to_instance",
        "--input-file",
        path,
    )
    rows = [proto_parser_pb2.Instance.FromString(v) for v in sent(tfs, "instances")]
    assert [(list(r.label), r.line_id.uid, list(r.fid)) for r in rows] == [([1], 3, []), ([0], 4, [])]
    assert {f.name: list(f.fid) or list(f.float_value) or list(f.int64_value) for f in rows[0].feature} == {
        "v1": [146369436325841889],
        "v2": [7 << 48 | 9],
        "d": [1.5],
        "n": [-4],
    }
    assert {f.name: list(f.fid) or list(f.float_value) or list(f.bytes_value) for f in rows[1].feature} == {
        "v2": [7 << 48 | 9],
        "d": [2.5],
        "n": [b"x"],
    }

    del batch.named_feature_list[0].feature[1]
    path.write_bytes(framed(batch.SerializeToString()))
    done = run(
        "tfs-client",
        "predict",
        "--target",
        tfs.target,
        "--input-type",
        "example_batch_to_instance",
        "--input-file",
        path,
        check=False,
    )
    assert done.returncode == 65 and "v1 has no row 1" in done.stderr


def test_plain_tensors_take_their_types_from_the_signature(run, tfs, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"x": [[1, 2.5], [3, 4]], "s": ["a", {"b64": base64.b64encode(b"\xff").decode()}]}))
    args = ["--target", tfs.target, "--model-name", "m", "--input-type", "tensors", "--input-file", path]
    run("tfs-client", "predict", *args)
    inputs = tfs.calls("Predict")[-1].inputs
    assert inputs["x"].dtype == types_pb2.DT_FLOAT and [d.size for d in inputs["x"].tensor_shape.dim] == [2, 2]
    assert struct.unpack("<4f", inputs["x"].tensor_content) == (1, 2.5, 3, 4)
    assert list(inputs["s"].string_val) == [b"a", b"\xff"]
    for content, words in (
        ('{"y": 1}', "no input y"),
        ('{"x": [[1], [2, 3]]}', "different lengths"),
        ('{"x": ["a"]}', "DT_FLOAT"),
        ("[1]", "object"),
    ):
        path.write_text(content)
        done = run("tfs-client", "predict", *args, check=False)
        assert done.returncode == 65 and words in done.stderr, (content, done.stderr)
