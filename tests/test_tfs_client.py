"""tfs-client against a server: status, meta, load, outputs of predict, errors and their exit codes."""

import json
import struct
import subprocess
import sys

import grpc
import pytest
from conftest import ROOT
from fake_tfs import Model
from google.protobuf import text_format
from ports import free_port
from tfs_client_helpers import T11_BYTES, framed, tfs  # noqa: F401 - a fixture

from monolith_cli.serving.protos import get_model_status_pb2, predict_pb2, status_pb2, tensor_pb2, types_pb2

Q = struct.Struct("<Q").pack


# status, meta, load


def test_status_is_the_reply(run, tfs):
    done = run("tfs-client", "status", "--target", tfs.target, "--model-name", "m")
    reply = text_format.Parse(done.stdout.decode(), get_model_status_pb2.GetModelStatusResponse())
    assert [(s.version, s.state) for s in reply.model_version_status] == [(1, 30), (2, 30)]
    assert tfs.calls("GetModelStatus")[-1].model_spec.signature_name == "serving_default"
    shown = json.loads(
        run("tfs-client", "status", "--target", tfs.target, "--model_name", "m", "--model-version", 2, "--json").stdout
    )
    assert shown == {
        "model_version_status": [
            {"version": "2", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }


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
    assert (
        json.loads(run("tfs-client", "load", "--target", tfs.target, "--input-file", path, "--json").stdout)[
            "error_code"
        ]
        == "OK"
    )


@pytest.mark.parametrize(
    "text,code,words",
    [
        ("", 78, "FAILED_PRECONDITION"),  # the server refuses it
        ("model_config_list { konfig { } }", 78, "models.cfg:1"),
        (None, 66, "models.cfg"),
    ],
)
def test_load_of_a_bad_config(run, tfs, tmp_path, text, code, words):
    path = tmp_path / "models.cfg"
    if text is not None:
        path.write_text(text)
    done = run("tfs-client", "load", "--target", tfs.target, "--input-file", path, check=False)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr
    assert run("tfs-client", "load", "--target", tfs.target, check=False).returncode == 2


# predict: outputs


def test_outputs_as_text_and_json(run, tfs, tmp_path):
    path = tmp_path / "i.pb"
    path.write_bytes(framed(T11_BYTES, T11_BYTES))
    args = [
        "--target",
        tfs.target,
        "--model-name",
        "m",
        "--input-file",
        path,
        "--output-filter",
        "output",
        "--signature-name",
        "other",
    ]
    reply = text_format.Parse(run("tfs-client", "predict", *args).stdout.decode(), predict_pb2.PredictResponse())
    assert len(reply.outputs["output"].float_val) == 2
    request = tfs.calls("Predict")[-1]
    assert list(request.output_filter) == ["output"] and request.model_spec.signature_name == "other"
    shown = json.loads(run("tfs-client", "predict", *args, "--json", "--version-label", "stable").stdout)
    assert shown["outputs"] == {"output": [0, 0.1]} and shown["model_spec"]["version_label"] == "stable"


@pytest.mark.parametrize(
    "dtype,fields,value",
    [
        (types_pb2.DT_DOUBLE, {"double_val": [1.5, float("nan")]}, [1.5, "NaN"]),
        (types_pb2.DT_INT64, {"tensor_content": struct.pack("<2q", -1, 1 << 62)}, [-1, 1 << 62]),
        (types_pb2.DT_HALF, {"half_val": [0x3C00, 0x7C00]}, [1.0, "Infinity"]),
        (types_pb2.DT_BFLOAT16, {"tensor_content": b"\x80\x3f\x00\x40"}, [1.0, 2.0]),
        (types_pb2.DT_BOOL, {"bool_val": [True]}, [True, True]),  # the last value stands for the rest
        (types_pb2.DT_STRING, {"string_val": [b"a", b"\xff"]}, ["a", {"b64": "/w=="}]),
        (types_pb2.DT_INT8, {}, [0, 0]),
        (types_pb2.DT_UINT8, {"tensor_content": b"\x01\xff"}, [1, 255]),
    ],
)
def test_outputs_of_every_type(run, tfs, tmp_path, dtype, fields, value):
    path = tmp_path / "i.pb"
    path.write_bytes(framed(T11_BYTES))

    def answer(request):
        reply = predict_pb2.PredictResponse()
        reply.outputs["o"].CopyFrom(tensor_pb2.TensorProto(dtype=dtype, **fields))
        reply.outputs["o"].tensor_shape.dim.add(size=2)
        return reply

    tfs.predict = answer
    shown = json.loads(
        run("tfs-client", "--target", tfs.target, "--model-name", "m", "--input-file", path, "--json").stdout
    )
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


@pytest.mark.parametrize(
    "code,exit_code",
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 75),
        (grpc.StatusCode.INTERNAL, 69),
        (grpc.StatusCode.FAILED_PRECONDITION, 65),
        (grpc.StatusCode.UNIMPLEMENTED, 69),
    ],
)
def test_errors_of_the_server(run, tfs, code, exit_code):
    tfs.fail_call("GetModelStatus", code, "why it is so", times=-1)
    done = run("tfs-client", "status", "--target", tfs.target, check=False)
    assert done.returncode == exit_code and code.name in done.stderr and "why it is so" in done.stderr


@pytest.mark.parametrize(
    "content,words",
    [
        (framed(T11_BYTES) + Q(50) + b"short", "byte 33: "),
        (framed(T11_BYTES) + b"\1\2", "byte 33: "),
        (b"", "holds no record"),
        (framed(T11_BYTES, b"\xff\xff\xff"), "byte 33: "),
        (Q(1 << 62), "byte 0: "),
    ],
)
def test_files_that_cannot_be_read_name_the_place(run, tfs, tmp_path, content, words):
    path = tmp_path / "i.pb"
    path.write_bytes(content)
    done = run("tfs-client", "--target", tfs.target, "--input-type", "instance", "--input-file", path, check=False)
    assert (
        done.returncode == 65
        and str(path) in done.stderr
        and words in done.stderr
        and "--on-bad-record" not in done.stderr
    )
    assert not tfs.calls("Predict")


@pytest.mark.parametrize("kind", ["json", "pbtext", "dump", "binary", "tensors"])
def test_forms_that_are_never_random_need_their_file(run, tfs, tmp_path, kind):
    done = run(
        "tfs-client", "--target", tfs.target, "--input-type", kind, "--input-file", tmp_path / "none", check=False
    )
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


@pytest.mark.parametrize(
    "command",
    [
        ["tfs-client", "status", "--target"],
        ["tfs-client", "profile", "--duration", "0.1", "--target"],
        ["monolith-top", "--once", "--server"],
    ],
)
def test_tensorflow_is_not_started(tfs, command):
    args = [*command[1:], tfs.target, "--model-name", "m"]
    code = (
        "import sys\nfrom monolith_cli.commands import load\n"
        f"try: load({command[0]!r}).main({args!r}, prog_name={command[0]!r})\n"
        "except SystemExit as e: assert e.code == 0, e.code\n"
        "assert not {'tensorflow', 'tensorflow.python', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
