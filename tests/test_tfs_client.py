"""tfs-client against a server: status, meta, load, predict with every kind of input, errors and their exit codes."""

import base64
import json
import struct

import grpc
import pytest
from fake_tfs import FakeTfs, Model
from google.protobuf import text_format

from monolith_cli.serving.addresses import free_port
from monolith_cli.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    status_pb2,
    tensor_pb2,
    types_pb2,
)
from monolith_protos import example_pb2, proto_parser_pb2
from monolith_protos.line_id_pb2 import LineId

T11_JSON = '{"fid": [12345], "label": [0, 1], "line_id": {"actions": [1]}}'
T11_BYTES = bytes.fromhex("0a0839300000000000001a08000000000000803f2a03320101")
T11_DUMP = '"root":\n"fid":\n0: 12345\n"label":\n0: 0\n1: 1\n"line_id":\n"actions":\n0: 1\n'
T11_TEXT = "  fid: 12345\n  label: 0\n  label: 1\n  line_id {\n  actions: 1 }\n"


def sizes_of(request):
    """An output with the number of values of the request's first input."""
    reply = predict_pb2.PredictResponse(model_spec=request.model_spec)
    count = len(next(iter(request.inputs.values())).string_val)
    output = reply.outputs["output"]
    output.dtype = types_pb2.DT_FLOAT
    output.tensor_shape.dim.add(size=count)
    output.float_val.extend(0.1 * i for i in range(count))
    return reply


@pytest.fixture
def tfs():
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.inputs["x"].dtype = types_pb2.DT_FLOAT
    signature.inputs["s"].dtype = types_pb2.DT_STRING
    signature.method_name = "tensorflow/serving/predict"
    with FakeTfs([Model("m", data=2)], predict=sizes_of, stock=True, signatures={"m": signatures}) as made:
        yield made.settle()


def sent(tfs, name=None):
    """The values of the only input of the last request."""
    inputs = tfs.calls("Predict")[-1].inputs
    assert list(inputs) == [name or next(iter(inputs))]
    tensor = next(iter(inputs.values()))
    assert tensor.dtype == 7 and [d.size for d in tensor.tensor_shape.dim] == [len(tensor.string_val)]
    return list(tensor.string_val)


def framed(*records, before=b""):
    return b"".join(before + struct.pack("<Q", len(r)) + r for r in records)


# status, meta, load


def test_status_is_the_reply(run, tfs):
    done = run("tfs-client", "status", "--target", tfs.target, "--model-name", "m")
    reply = text_format.Parse(done.stdout.decode(), get_model_status_pb2.GetModelStatusResponse())
    assert [(s.version, s.state) for s in reply.model_version_status] == [(1, 30), (2, 30)]
    assert tfs.calls("GetModelStatus")[-1].model_spec.signature_name == "serving_default"
    shown = json.loads(run("tfs-client", "status", "--target", tfs.target, "--model_name", "m", "--model-version", 2, "--json").stdout)
    assert shown == {"model_version_status": [
        {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}


def test_status_of_an_unknown_model_whichever_way_the_server_says_it(run, tfs):
    done = run("tfs-client", "status", "--target", tfs.target, "--model-name", "other", check=False)
    assert done.returncode == 66 and done.stdout == b"" and "NOT_FOUND" in done.stderr and tfs.target in done.stderr
    tfs.stock = False
    done = run("tfs-client", "status", "--target", tfs.target, "--model-name", "other", check=False)
    assert done.returncode == 66 and b"version: -1" in done.stdout and "other is not found" in done.stderr


def test_cmd_type_is_the_verb_too(run, tfs):
    assert b"AVAILABLE" in run("tfs-client", "--cmd_type=status", "--target", tfs.target, "--model-name", "m").stdout
    assert run("tfs-client", "meta", "--cmd-type", "status", "--target", tfs.target, check=False).returncode == 2


def test_meta_asks_for_signatures_unless_told(run, tfs):
    done = run("tfs-client", "meta", "--target", tfs.target, "--model-name", "m")
    assert b"tensorflow/serving/predict" in done.stdout and b"type.googleapis.com" in done.stdout
    assert list(tfs.calls("GetModelMetadata")[-1].metadata_field) == ["signature_def"]
    shown = json.loads(run("tfs-client", "meta", "--target", tfs.target, "--model-name", "m", "--json").stdout)
    assert shown["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]["x"]["dtype"] == "DT_FLOAT"
    args = ["--metadata-field", "base_path", "--metadata-field", "num_versions"]
    done = run("tfs-client", "meta", "--target", tfs.target, "--model-name", "m", *args, check=False)
    assert done.returncode == 65 and "INVALID_ARGUMENT" in done.stderr
    tfs.stock = False
    shown = json.loads(run("tfs-client", "meta", "--target", tfs.target, "--model-name", "m", *args, "--json").stdout)
    assert shown["metadata"] == {"base_path": "'/models'"}


def test_load_hands_over_the_config_and_shows_the_status(run, tfs, tmp_path):
    path = tmp_path / "models.cfg"
    path.write_text('model_config_list { config { name: "n" base_path: "/n" model_platform: "tensorflow" } }')
    done = run("tfs-client", "load", "--target", tfs.target, "--input-file", path)
    text_format.Parse(done.stdout.decode(), status_pb2.StatusProto())
    tfs.settle()
    assert tfs.models() == ["n"]
    assert json.loads(run("tfs-client", "load", "--target", tfs.target, "--input-file", path, "--json").stdout)["error_code"] == "OK"


@pytest.mark.parametrize("text,code,words", [
    ("", 78, "FAILED_PRECONDITION"),  # the server refuses it
    ("model_config_list { konfig { } }", 78, "models.cfg:1"),
    (None, 66, "models.cfg"),
])
def test_load_of_a_bad_config(run, tfs, tmp_path, text, code, words):
    path = tmp_path / "models.cfg"
    if text is not None:
        path.write_text(text)
    done = run("tfs-client", "load", "--target", tfs.target, "--input-file", path, check=False)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr
    assert run("tfs-client", "load", "--target", tfs.target, check=False).returncode == 2


# predict: inputs


@pytest.mark.parametrize("suffix,content,kind", [
    (".json", T11_JSON, "json"), (".dump", T11_DUMP, "dump"), (".pbtxt", T11_TEXT, "pbtext"), (".bin", T11_BYTES, "binary")])
def test_t11_one_instance_in_every_form(run, tfs, tmp_path, suffix, content, kind):
    path = tmp_path / f"one{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    run("tfs-client", "predict", "--target", tfs.target, "--model-name", "m", "--input-file", path, "--input-type", kind, "--batch-size", 5)
    assert sent(tfs, "instances") == [T11_BYTES] * 5
    if kind != "binary":  # told by the suffix
        run("tfs-client", "predict", "--target", tfs.target, "--model-name", "m", "--input-file", path)
        assert sent(tfs, "instances") == [T11_BYTES] * 8


def test_dump_form_with_features_and_what_comes_after_them(run, tfs, tmp_path):
    path = tmp_path / "one.dump"
    path.write_text('"root":\n"feature":\n0:\n"name": "a"\n"fid":\n0: 7\n1: 8\n1:\n"name": "b"\n"float_value":\n0: 0.5\n"fid":\n0: 9\n'
                    '"fid":\n0: 1\n"line_id":\n"uid": 3\n"user_id": "u"\n"instance_weight": 2\n2:\n"name": "c"\n')
    path.write_text(path.read_text().replace('2:\n"name": "c"\n', ""))
    run("tfs-client", "predict", "--target", tfs.target, "--model-name", "m", "--input-file", path, "--batch-size", 1)
    made = proto_parser_pb2.Instance.FromString(sent(tfs)[0])
    assert [(f.name, list(f.fid), list(f.float_value)) for f in made.feature] == [("a", [7, 8], []), ("b", [9], [0.5])]
    assert list(made.fid) == [1] and made.line_id.uid == 3 and made.line_id.user_id == "u" and made.instance_weight == 2


@pytest.mark.parametrize("text,line", [("fid:\n0: 1\n0: 2\n", 3), ("fidd: 3\n", 1), ("fid: a:b\n", 1), ("fid:\n0: x\n", 2), ("7: 1\n", 1)])
def test_dump_form_with_a_mistake_names_the_line(run, tfs, tmp_path, text, line):
    path = tmp_path / "one.dump"
    path.write_text(text)
    done = run("tfs-client", "predict", "--target", tfs.target, "--input-file", path, check=False)
    assert done.returncode == 65 and f"{path}: line {line}: " in done.stderr and not tfs.calls("Predict")


# Framing, by the bytes of T17 (numbers are 8 bytes, little endian).
Q = struct.Struct("<Q").pack
HELLO = T11_BYTES
FRAMES = {(): b"", ("--lagrangex-header",): Q(99), ("--has-sort-id",): Q(3) + b"abc", ("--has-sort-id", "--kafka-dump"): Q(3) + b"abc" + Q(7),
          ("--kafka-dump-prefix", "--has-sort-id"): Q(3) + b"abc", ("--lagrangex-header", "--has-sort-id"): Q(99)}


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
    run("tfs-client", "predict", "--target", tfs.target, "--model-name", "m", "--input-file", path, "--kafka-dump-prefix", "--has-sort-id")
    assert sent(tfs) == [T11_BYTES]


def test_examples_and_batches_from_every_file_type(run, tfs, tmp_path):
    example = example_pb2.Example(label=[1.0])
    batch = example_pb2.ExampleBatch(batch_size=2)
    for name, message, kind in (("examples", example, "example"), ("example_batch", batch, "example_batch")):
        raw = message.SerializeToString()
        for file_type, content in (("pb", framed(raw, raw)), ("pbtxt", text_format.MessageToString(message).encode()),
                                   ("json", (b'{"label": [1]}\n{\n "label": [1]}' if name == "examples" else b'{"batch_size": 2}'))):
            path = tmp_path / f"{name}.{file_type}"
            path.write_bytes(content)
            run("tfs-client", "predict", "--target", tfs.target, "--model-name", "m", "--input-type", kind, "--file-type", file_type,
                "--input-file", path)
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
    column("d", feature(double_list=example_pb2.DoubleList(value=[1.5])), feature(float_list=example_pb2.FloatList(value=[2.5])))
    column("n", feature(int64_list=example_pb2.Int64List(value=[-4])), feature(bytes_list=example_pb2.BytesList(value=[b"x"])))
    column("__LABEL__", *(feature(float_list=example_pb2.FloatList(value=[v])) for v in (1, 0)))
    column("__LINE_ID__", *(feature(bytes_list=example_pb2.BytesList(value=[LineId(uid=u).SerializeToString()])) for u in (3, 4)))
    path = tmp_path / "batch.pb"
    path.write_bytes(framed(batch.SerializeToString()))
    run("tfs-client", "predict", "--target", tfs.target, "--model-name", "m", "--input-type", "example_batch_to_instance", "--input-file", path)
    rows = [proto_parser_pb2.Instance.FromString(v) for v in sent(tfs, "instances")]
    assert [(list(r.label), r.line_id.uid, list(r.fid)) for r in rows] == [([1], 3, []), ([0], 4, [])]
    assert {f.name: list(f.fid) or list(f.float_value) or list(f.int64_value) for f in rows[0].feature} == {
        "v1": [146369436325841889], "v2": [7 << 48 | 9], "d": [1.5], "n": [-4]}
    assert {f.name: list(f.fid) or list(f.float_value) or list(f.bytes_value) for f in rows[1].feature} == {
        "v2": [7 << 48 | 9], "d": [2.5], "n": [b"x"]}

    del batch.named_feature_list[0].feature[1]
    path.write_bytes(framed(batch.SerializeToString()))
    done = run("tfs-client", "predict", "--target", tfs.target, "--input-type", "example_batch_to_instance", "--input-file", path, check=False)
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
    for content, words in (('{"y": 1}', "no input y"), ('{"x": [[1], [2, 3]]}', "different lengths"), ('{"x": ["a"]}', "DT_FLOAT"), ("[1]", "object")):
        path.write_text(content)
        done = run("tfs-client", "predict", *args, check=False)
        assert done.returncode == 65 and words in done.stderr, (content, done.stderr)


# predict: outputs


def test_outputs_as_text_and_json(run, tfs, tmp_path):
    path = tmp_path / "i.pb"
    path.write_bytes(framed(T11_BYTES, T11_BYTES))
    args = ["--target", tfs.target, "--model-name", "m", "--input-file", path, "--output-filter", "output", "--signature-name", "other"]
    reply = text_format.Parse(run("tfs-client", "predict", *args).stdout.decode(), predict_pb2.PredictResponse())
    assert len(reply.outputs["output"].float_val) == 2
    request = tfs.calls("Predict")[-1]
    assert list(request.output_filter) == ["output"] and request.model_spec.signature_name == "other"
    shown = json.loads(run("tfs-client", "predict", *args, "--json", "--version-label", "stable").stdout)
    assert shown["outputs"] == {"output": [0, 0.1]} and shown["model_spec"]["version_label"] == "stable"


@pytest.mark.parametrize("dtype,fields,value", [
    (types_pb2.DT_DOUBLE, {"double_val": [1.5, float("nan")]}, [1.5, "NaN"]),
    (types_pb2.DT_INT64, {"tensor_content": struct.pack("<2q", -1, 1 << 62)}, [-1, 1 << 62]),
    (types_pb2.DT_HALF, {"half_val": [0x3C00, 0x7C00]}, [1.0, "Infinity"]),
    (types_pb2.DT_BFLOAT16, {"tensor_content": b"\x80\x3f\x00\x40"}, [1.0, 2.0]),
    (types_pb2.DT_BOOL, {"bool_val": [True]}, [True, True]),  # the last value stands for the rest
    (types_pb2.DT_STRING, {"string_val": [b"a", b"\xff"]}, ["a", {"b64": "/w=="}]),
    (types_pb2.DT_INT8, {}, [0, 0]),
    (types_pb2.DT_UINT8, {"tensor_content": b"\x01\xff"}, [1, 255]),
])
def test_outputs_of_every_type(run, tfs, tmp_path, dtype, fields, value):
    path = tmp_path / "i.pb"
    path.write_bytes(framed(T11_BYTES))

    def answer(request):
        reply = predict_pb2.PredictResponse()
        reply.outputs["o"].CopyFrom(tensor_pb2.TensorProto(dtype=dtype, **fields))
        reply.outputs["o"].tensor_shape.dim.add(size=2)
        return reply

    tfs.predict = answer
    shown = json.loads(run("tfs-client", "--target", tfs.target, "--model-name", "m", "--input-file", path, "--json").stdout)
    assert shown["outputs"] == {"o": value}


# Broken things


def test_a_server_that_is_not_there(run, tmp_path):
    target = f"127.0.0.1:{free_port()}"
    for verb in ("status", "meta"):
        done = run("tfs-client", verb, "--target", target, "--model-name", "m", "--timeout", 5, check=False)
        assert done.returncode == 69 and target in done.stderr and "Traceback" not in done.stderr


def test_a_server_that_is_slow(run, tfs):
    tfs.delay("GetModelStatus", 5)
    done = run("tfs-client", "status", "--target", tfs.target, "--model-name", "m", "--timeout", 0.3, check=False)
    assert done.returncode == 69 and "DEADLINE_EXCEEDED" in done.stderr and "--timeout" in done.stderr


@pytest.mark.parametrize("code,exit_code", [(grpc.StatusCode.RESOURCE_EXHAUSTED, 75), (grpc.StatusCode.INTERNAL, 69),
                                            (grpc.StatusCode.FAILED_PRECONDITION, 65), (grpc.StatusCode.UNIMPLEMENTED, 69)])
def test_errors_of_the_server(run, tfs, code, exit_code):
    tfs.fail_call("GetModelStatus", code, "why it is so", times=-1)
    done = run("tfs-client", "status", "--target", tfs.target, check=False)
    assert done.returncode == exit_code and code.name in done.stderr and "why it is so" in done.stderr


@pytest.mark.parametrize("content,words", [
    (framed(T11_BYTES) + Q(50) + b"short", "byte 33: "), (framed(T11_BYTES) + b"\1\2", "byte 33: "), (b"", "holds no record"),
    (framed(T11_BYTES, b"\xff\xff\xff"), "byte 33: "), (Q(1 << 62), "byte 0: ")])
def test_files_that_cannot_be_read_name_the_place(run, tfs, tmp_path, content, words):
    path = tmp_path / "i.pb"
    path.write_bytes(content)
    done = run("tfs-client", "--target", tfs.target, "--input-type", "instance", "--input-file", path, check=False)
    assert done.returncode == 65 and str(path) in done.stderr and words in done.stderr and "--on-bad-record" not in done.stderr
    assert not tfs.calls("Predict")


@pytest.mark.parametrize("kind", ["json", "pbtext", "dump", "binary", "tensors"])
def test_forms_that_are_never_random_need_their_file(run, tfs, tmp_path, kind):
    done = run("tfs-client", "--target", tfs.target, "--input-type", kind, "--input-file", tmp_path / "none", check=False)
    assert done.returncode == 66
    assert run("tfs-client", "--target", tfs.target, "--input-type", kind, check=False).returncode == 2


@pytest.mark.parametrize("target", ["nohost", "a:b", "h:99999", ",", "h:1,nope"])
def test_targets_that_are_none(run, target):
    done = run("tfs-client", "status", "--target", target, check=False)
    assert done.returncode == 2 and "--target" in done.stderr


def test_defaults_come_from_the_agents_configuration(run, tfs, tmp_path):
    conf = tmp_path / "agent.conf"
    conf.write_text("bzid b\nbase_name m\nbase_path /models\ndeploy_type ps\nnum_ps 4\n")
    tfs.load(Model("ps_1"))
    tfs.settle()
    env = {"MY_HOST_IP": "127.0.0.1", "PORT3": str(tfs.port), "SHARD_ID": "1", "MONOLITH_HOST_SHARD_N": "2"}
    assert b"AVAILABLE" in run("tfs-client", "status", "--conf", conf, env=env).stdout
    assert tfs.calls("GetModelStatus")[-1].model_spec.name == "ps_1"
    conf.write_text("bzid b\nbase_name m\nbase_path /models\ndeploy_type dense\ndense_alone true\n")
    tfs.load(Model("dense_0"))
    run("tfs-client", "status", "--conf", conf, env=env)
    assert tfs.calls("GetModelStatus")[-1].model_spec.name == "dense_0"
    assert run("tfs-client", "status", "--conf", tmp_path / "none", check=False).returncode in (66, 78)
