"""tfs-client and monolith-top with a real server: monolith-serve over real SavedModels, with and without TLS."""

import json
import re
import signal
import struct

import grpc
import numpy as np
import pytest
import saved_models
from certificates import make_certificates
from fake_tfs import FakeTfs, Model
from kafka_helpers import start
from model_server import ModelServer, model, write_config
from saved_models import predict_request

from monolith_cli.serving.channel import Tls, server_credentials
from monolith_cli.serving.protos import predict_pb2


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    saved_models.strings(folder / "strings")
    saved_models.two_inputs(folder / "two", 3)
    for version in (1, 2):
        saved_models.constant(folder / "constant", version)
    saved_models.broken(folder / "constant", 5)
    config = write_config(
        folder / "models.conf",
        model("strings", folder / "strings"),
        model("m:two", folder / "two"),
        model("constant", folder / "constant", all_versions=True),
    )
    made = ModelServer(folder, f"--model_config_file={config}", "--max-num-load-retries=0", f"--model-root={folder}")
    made.target = f"127.0.0.1:{made.port}"
    made.wait_until(lambda: made.states("constant").get(5) == "END")
    yield made
    made.stop()


def test_status_and_why_a_version_ended(run, server):
    shown = json.loads(
        run("tfs-client", "status", "--target", server.target, "--model-name", "constant", "--json").stdout
    )
    found = {v["version"]: v for v in shown["model_version_status"]}
    assert {v: s["state"] for v, s in found.items()} == {"1": "AVAILABLE", "2": "AVAILABLE", "5": "END"}
    assert found["5"]["status"]["error_code"] != "OK" and found["5"]["status"]["error_message"]
    done = run("tfs-client", "status", "--target", server.target, "--model-name", "none", check=False)
    assert done.returncode == 66 and "NOT_FOUND" in done.stderr


def test_signatures(run, server):
    shown = json.loads(run("tfs-client", "meta", "--target", server.target, "--model-name", "m:two", "--json").stdout)
    assert set(shown["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]) == {"a", "b"}
    done = run(
        "tfs-client",
        "meta",
        "--target",
        server.target,
        "--model-name",
        "m:two",
        "--metadata-field",
        "base_path",
        check=False,
    )
    assert done.returncode == 65 and "INVALID_ARGUMENT" in done.stderr


def test_instances_arrive_as_they_are(run, server, tmp_path):
    path = tmp_path / "i.pb"
    run("pb-gen", "-q", "-n", 20, "-o", path)
    data, records = path.read_bytes(), []
    while data:
        size = struct.unpack_from("<Q", data)[0]
        records.append(data[8 : 8 + size])
        data = data[8 + size :]
    out = run(
        "tfs-client",
        "predict",
        "--target",
        server.target,
        "--model-name",
        "strings",
        "--input-file",
        path,
        "--batch-size",
        16,
    ).stdout
    from google.protobuf import text_format

    reply = text_format.Parse(out.decode(), predict_pb2.PredictResponse())
    assert list(reply.outputs["echo"].string_val) == records[:16]
    shown = json.loads(
        run(
            "tfs-client",
            "--target",
            server.target,
            "--model-name",
            "strings",
            "--input-file",
            path,
            "--output-filter",
            "length",
            "--json",
        ).stdout
    )
    assert shown["outputs"] == {"length": [len(r) for r in records[:8]]}


def test_plain_tensors_signature_and_version(run, server, tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": [1, 2.5], "b": [3, -1]}')
    args = [
        "--target",
        server.target,
        "--model-name",
        "m:two",
        "--input-type",
        "tensors",
        "--input-file",
        path,
        "--json",
    ]
    assert json.loads(run("tfs-client", *args).stdout)["outputs"] == {"sum": [4, 1.5], "product": [3, -2.5]}
    assert json.loads(run("tfs-client", *args, "--signature-name", "difference").stdout)["outputs"] == {
        "difference": [-2, 3.5]
    }
    done = run("tfs-client", *args, "--signature-name", "none", check=False)
    assert done.returncode == 65 and "difference" in done.stderr
    path.write_text('{"x": [0, 0]}')
    args[3] = "constant"
    assert json.loads(run("tfs-client", *args, "--model-version", 1).stdout)["outputs"] == {"y": [1, 1]}
    assert json.loads(run("tfs-client", *args).stdout)["outputs"] == {"y": [2, 2]}
    done = run("tfs-client", *args, "--model-version", 9, check=False)
    assert done.returncode == 66


def test_profile_and_what_the_monitor_sees_of_it(run, server):
    """The load goes on until the monitor has looked twice."""

    def answered():
        page = server.curl("/monitoring/prometheus/metrics")[1]
        return re.findall(r':tensorflow:serving:request_count\{model_name="strings",status="OK"\} (.*)', page)

    before = answered()
    load = start(
        *("tfs-client", "profile", "--target", server.target, "--model-name", "strings", "--input-type", "instance"),
        *("--samples", 20, "--parallel-num", 2, "--rate", 50, "--duration", 3600, "--json"),
    )
    try:
        server.wait_until(lambda: answered() != before)
        shown = run(
            *("monolith-top", "--once", "--json", "--interval", 3, "--timeout", 60),
            *("--server", f"{server.target}/{server.rest_port}", "--model-name", "constant"),
        )
    finally:
        load.send_signal(signal.SIGINT)
        out, _ = load.communicate(timeout=300)
    made, top = json.loads(out), json.loads(shown.stdout)
    assert load.returncode == 130
    fell_due = made["count"] + made["unsent"] + made["error_count"]
    assert fell_due > 0.9 * 50 * made["elapsed_s"] - 5
    assert made["count"] > 0 and made["error_count"] == 0 and 0 < made["p50_ms"] <= made["p99_ms"]
    rows = {(r["model"], r["version"]): r for r in top["rows"]}
    assert rows["strings", 1]["state"] == "AVAILABLE" and rows["strings", 1]["rate"] > 0
    assert rows["strings", 1]["error_rate"] == 0 and rows["strings", 1]["p99_ms"] > 0
    assert rows["constant", 5]["state"] == "END" and rows["constant", 5]["note"]


def test_load_takes_a_new_list_of_models(run, server, tmp_path):
    def names():
        shown = run("tfs-client", "status", "--target", server.target, "--model-name", "extra", "--json", check=False)
        return shown.returncode == 0 and [v["state"] for v in json.loads(shown.stdout)["model_version_status"]]

    base = server.folder
    whole = [
        model("strings", base / "strings"),
        model("m:two", base / "two"),
        model("constant", base / "constant", specific=[1, 2]),
    ]
    config = write_config(tmp_path / "models.cfg", *whole, model("extra", base / "two"))
    done = run("tfs-client", "load", "--target", server.target, "--input-file", config, "--json")
    assert json.loads(done.stdout)["error_code"] == "OK" and names() == ["AVAILABLE"]
    config = write_config(tmp_path / "models.cfg", *whole, model("extra", "/etc"))
    done = run("tfs-client", "load", "--target", server.target, "--input-file", config, check=False)
    assert done.returncode == 78 and "/etc" in done.stderr and "Traceback" not in done.stderr


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Folder with ca.pem, and server and client each with .pem and .key, which ca signed."""
    folder = tmp_path_factory.mktemp("tls")
    return make_certificates(folder, names="DNS:serving.example,DNS:localhost")


@pytest.mark.parametrize("mutual", [False, True])
def test_tls_and_mutual_tls(run, certificates, mutual):
    files = {
        name: str(certificates / name) for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    }
    tls = Tls(files["ca.pem"] if mutual else None, files["server.pem"], files["server.key"])
    mine = ["--tls-ca", files["ca.pem"], "--tls-server-name", "serving.example"]
    mine += ["--tls-cert", files["client.pem"], "--tls-key", files["client.key"]] if mutual else []
    with FakeTfs(
        [Model("m")], credentials=server_credentials(tls), predict=lambda r: predict_pb2.PredictResponse()
    ) as tfs:
        tfs.settle()
        args = ["--target", tfs.target, "--model-name", "m", "--timeout", 60]
        assert b"AVAILABLE" in run("tfs-client", "status", *args, *mine).stdout
        made = json.loads(
            run("tfs-client", "profile", *args, *mine, "--duration", 2, "--samples", 1, "--json").stdout
        )
        assert made["count"] > 0 and made["error_count"] == 0
        top = json.loads(
            run("monolith-top", "--once", "--json", "--timeout", 60, "--server", tfs.target, "--model-name", "m", *mine).stdout
        )
        assert top["rows"][0]["state"] == "AVAILABLE"
        refused = [args, [*args, *mine[:2]]]  # plain text; the name does not fit
        refused += [[*args, *mine[:4]]] if mutual else []  # no certificate of its own
        for wrong in refused:
            done = run("tfs-client", "status", *wrong, check=False)
            assert done.returncode == 69 and tfs.target in done.stderr, wrong
    done = run("tfs-client", "status", "--target", "h:1", "--tls-cert", files["client.pem"], check=False)
    assert done.returncode == 2 and "--tls-key" in done.stderr
    assert (
        run("tfs-client", "status", "--target", "h:1", "--tls-ca", certificates / "none", check=False).returncode == 66
    )


def test_the_monitor_reads_the_page_of_a_server_with_mutual_tls(run, certificates, tmp_path):
    saved_models.double(tmp_path / "double")
    files = {name: (certificates / name) for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")}
    credentials = grpc.ssl_channel_credentials(
        files["ca.pem"].read_bytes(), files["client.key"].read_bytes(), files["client.pem"].read_bytes()
    )
    curl = ["--cacert", files["ca.pem"], "--cert", files["client.pem"], "--key", files["client.key"]]
    server = ModelServer(
        tmp_path,
        f"--model-base-path={tmp_path / 'double'}",
        "--model-name=double",
        f"--tls-ca={files['ca.pem']}",
        f"--tls-cert={files['server.pem']}",
        f"--tls-key={files['server.key']}",
        credentials=credentials,
        curl_options=map(str, curl),
        host="localhost",
    )
    try:
        server.wait_until(lambda: server.states("double") == {1: "AVAILABLE"})
        server.predict(predict_request("double", x=np.float32([1.0])))
        mine = ["--tls-ca", files["ca.pem"], "--tls-cert", files["client.pem"], "--tls-key", files["client.key"]]
        top = json.loads(
            run(
                "monolith-top",
                "--once",
                "--json",
                "--interval",
                0.3,
                "--timeout",
                60,
                "--server",
                f"localhost:{server.port}/{server.rest_port}",
                *mine,
            ).stdout
        )
        assert [(r["model"], r["state"], r["rate"]) for r in top["rows"]] == [("double", "AVAILABLE", 0)]
        top = json.loads(
            run(
                "monolith-top",
                "--once",
                "--json",
                "--timeout",
                1,
                "--server",
                f"localhost:{server.port}/{server.rest_port}",
                "--model-name",
                "double",
                check=False,
            ).stdout
        )
        assert top["sources"][0]["up"] is False and top["rows"][0]["state"] == "DOWN"
    finally:
        server.stop()
