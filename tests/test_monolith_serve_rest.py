"""monolith-serve's REST API, as curl sees it; what is too large, malformed or no HTTP."""

import base64
import gzip
import json
import math
import socket
import struct
import time

import numpy as np
import pytest
import saved_models
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import ModelServer, model, write_config

LIMIT = 200_000


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rest")
    for build in (
        saved_models.double,
        saved_models.two_inputs,
        saved_models.strings,
        saved_models.ragged,
        saved_models.busy,
    ):
        build(folder / build.__name__)
    for version in (1, 2):
        saved_models.constant(folder / "constant", version)
    config = write_config(
        folder / "models.conf",
        *(model(n, folder / n) for n in ("double", "strings", "two_inputs", "ragged", "busy")),
        model("m:constant", folder / "constant", all_versions=True, labels={"stable": 1}),
    )
    made = ModelServer(folder, f"--model_config_file={config}", f"--max_message_bytes={LIMIT}")
    yield made
    made.stop()


def test_status(server):
    ok = {"error_code": "OK", "error_message": ""}
    assert server.curl("/v1/models/double") == (
        200,
        {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": ok}]},
    )
    status, answer = server.curl("/v1/models/m%3Aconstant")
    assert status == 200 and [s["version"] for s in answer["model_version_status"]] == ["2", "1"]
    for path in ("/versions/1", "/labels/stable"):
        status, answer = server.curl("/v1/models/m%3Aconstant" + path)
        assert status == 200 and [s["version"] for s in answer["model_version_status"]] == ["1"]


def test_metadata(server):
    status, answer = server.curl("/v1/models/two_inputs/versions/1/metadata")
    assert status == 200 and answer["model_spec"] == {"name": "two_inputs", "signature_name": "", "version": "1"}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert set(signature["inputs"]) == {"a", "b"} and signature["inputs"]["a"]["dtype"] == "DT_FLOAT"
    assert signature["outputs"]["sum"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]


@pytest.mark.parametrize("path,body,expected", [
    ("double", {"instances": [1, 2.5]}, {"predictions": [2, 5]}),
    ("double", {"instances": [{"x": 1}, {"x": 2.5}]}, {"predictions": [2, 5]}),
    ("double", {"inputs": [1, 2.5]}, {"outputs": [2, 5]}),
    ("double", {"inputs": {"x": [1, 2.5]}}, {"outputs": [2, 5]}),
    ("double", {"inputs": []}, {"outputs": []}),
    ("two_inputs", {"instances": [{"a": 1, "b": 2}, {"b": 3, "a": 4}]}, {"predictions": [{"product": 2, "sum": 3}, {"product": 12, "sum": 7}]}),
    ("two_inputs", {"inputs": {"a": [1, 4], "b": [2, 3]}}, {"outputs": {"product": [2, 12], "sum": [3, 7]}}),
    ("two_inputs", {"signature_name": "difference", "instances": [{"a": 1, "b": 2}]}, {"predictions": [-1]}),
    ("ragged", {"instances": [[1, 2], [3, 4]]}, {"predictions": [{"total": 3, "y": [1, 2]}, {"total": 7, "y": [3, 4]}]}),
    ("strings", {"instances": ["ü", {"b64": base64.b64encode(b"\xff\x00").decode()}]},
     {"predictions": [{"echo": "ü", "length": 2}, {"echo": {"b64": "/wA="}, "length": 2}]}),
    ("strings", {"inputs": {"instances": [{"b64": "YQ=="}]}}, {"outputs": {"echo": ["a"], "length": [1]}}),
    ("busy", {"instances": [1]}, {"predictions": [1]}),
    ("m%3Aconstant", {"instances": [0]}, {"predictions": [2]}),
    ("m%3Aconstant/versions/1", {"instances": [0]}, {"predictions": [1]}),
    ("m%3Aconstant/labels/stable", {"instances": [0]}, {"predictions": [1]}),
])  # fmt: skip
def test_predict(server, path, body, expected):
    assert server.curl(f"/v1/models/{path}:predict", body) == (200, expected)


def test_numbers_that_are_none(server):
    status, answer = server.curl("/v1/models/double:predict", b'{"instances": [NaN, Infinity, -1e999]}')
    assert status == 200 and math.isnan(answer["predictions"][0]) and answer["predictions"][1:] == [math.inf, -math.inf]


@pytest.mark.parametrize("path,body,status,words", [
    ("double:predict", b"{", 400, "JSON Parse error"),
    ("double:predict", b"\xff\xfe\x00", 400, "JSON Parse error"),
    ("double:predict", b"[" * 100_000, 400, "JSON Parse error"),
    ("double:predict", b"[1]", 400, "JSON object"),
    ("double:predict", b"", 400, "JSON Parse error"),
    ("double:predict", {}, 400, "instances"),
    ("double:predict", {"instances": [1], "inputs": [1]}, 400, "one of"),
    ("double:predict", {"instances": []}, 400, "at least one row"),
    ("double:predict", {"instances": 1}, 400, "list"),
    ("double:predict", {"instances": ["a"]}, 400, "expected type float"),
    ("double:predict", {"instances": [True]}, 400, "expected type float"),
    ("double:predict", {"instances": [None]}, 400, "expected type float"),
    ("double:predict", {"instances": [[1], [1, 2]]}, 400, "differ in shape"),
    ("double:predict", {"instances": [[1]]}, 400, "shape"),
    ("double:predict", {"instances": [{"y": 1}]}, 400, "sent extra: {y}, missing but required: {x}"),
    ("double:predict", {"instances": [{"x": 1}, 2]}, 400, "same inputs"),
    ("double:predict", {"instances": [1], "signature_name": 3}, 400, "string"),
    ("double:predict", {"instances": [1], "signature_name": "nosuch"}, 400, "nosuch"),
    ("two_inputs:predict", {"instances": [1]}, 400, "must be named"),
    ("busy:predict", {"instances": [1.5]}, 400, "expected type int32"),
    ("busy:predict", {"instances": [2**31]}, 400, "out of range"),
    ("busy:predict", {"instances": [10**30]}, 400, "expected type int32"),
    ("strings:predict", {"instances": [1]}, 400, "neither a string"),
    ("strings:predict", {"instances": [{"b64": "*"}]}, 400, "base64"),
    ("strings:predict", {"instances": [["a"], "b"]}, 400, "differ in shape"),
    ("nobody:predict", {"instances": [1]}, 404, "nobody"),
    ("double/versions/9:predict", {"instances": [1]}, 404, "9"),
    ("double/versions/9999999999999999999:predict", {"instances": [1]}, 400, "Malformed"),
    ("double/labels/beta:predict", {"instances": [1]}, 404, "beta"),
    ("double:classify", {"examples": []}, 501, "classify"),
    ("double:explain", {"instances": [1]}, 501, "explain"),
    ("double", {"instances": [1]}, 400, "Malformed request: POST"),
    ("m:constant:predict", {"instances": [1]}, 400, "Malformed"),
    ("%ff:predict", {"instances": [1]}, 400, "UTF-8"),
])  # fmt: skip
def test_errors_have_a_status_and_say_what_is_wrong(server, path, body, status, words):
    got, answer = server.curl(f"/v1/models/{path}", body)
    assert (got, list(answer)) == (status, ["error"]) and words in answer["error"]


@pytest.mark.parametrize("path,status", [
    ("/", 400), ("/v1/models", 400), ("/v1/models/", 400), ("/v1/models/double/", 400), ("/v1/models/nobody", 404), ("/v1/models/double:predict", 400),
    ("/v1/models/double/versions/x", 400), ("/v1/models/../../etc/passwd", 400), ("/v1/models/..%2f..%2fetc", 404), ("/v2/models/double", 400),
])  # fmt: skip
def test_paths_that_lead_nowhere(server, path, status):
    got, answer = server.curl(path, None, "--path-as-is")
    assert got == status and answer["error"]


def test_other_methods(server):
    assert server.curl("/v1/models/double", None, "-X", "DELETE")[0] == 400
    assert server.curl("/v1/models/double", None, "-X", "BREW")[0] == 501
    assert server.curl("/v1/models/double", None, "-I")[0] == 200


def test_a_body_beyond_the_limit(server):
    body = b'{"instances": [' + b"1," * LIMIT + b"1]}"
    assert server.curl("/v1/models/double:predict", body)[0] == 413
    assert server.curl("/v1/models/double:predict", body, "-H", "Transfer-Encoding: chunked")[0] == 413
    assert server.curl("/v1/models/double:predict", {"instances": [1]}, "-H", "Transfer-Encoding: chunked") == (
        200,
        {"predictions": [2]},
    )


GZIP = "-H", "Content-Encoding: gzip"


def test_a_gzip_body(server):
    body = gzip.compress(b'{"instances": [1, 2]}')
    answer = 200, {"predictions": [2, 4]}
    assert server.curl("/v1/models/double:predict", body, *GZIP) == answer
    assert server.curl("/v1/models/double:predict", body, *GZIP, "-H", "Transfer-Encoding: chunked") == answer


WHOLE = gzip.compress(b'{"instances": [1]}', mtime=0)


@pytest.mark.parametrize("body,status,words", [
    (gzip.compress(b'{"instances": [1]}' + b" " * LIMIT, mtime=0), 413, "larger than"),
    (WHOLE[:-9], 400, "not one whole gzip"),
    (WHOLE + b"{}", 400, "not one whole gzip"),
    (b'{"instances": [1]}', 400, "no gzip"),
], ids=["too large", "cut off", "with more behind it", "plain"])  # fmt: skip
def test_a_gzip_body_that_is_none(server, body, status, words):
    got, answer = server.curl("/v1/models/double:predict", body, *GZIP)
    assert got == status and words in answer["error"]


def exchange(server, data):
    with socket.create_connection(("127.0.0.1", server.rest_port), 120) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = b""
        while chunk := s.recv(65536):
            got += chunk
        return got


POST = b"POST /v1/models/double:predict HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize("data,status", [
    (b"garbage\r\n\r\n", b""),
    (b"GET / HTTP/9.9\r\n\r\n", b"HTTP/1.1 505"),
    (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"HTTP/1.1 414"),
    (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"HTTP/1.1 431"),
    (POST + b"\r\n", b"HTTP/1.1 400"),
    (POST + b"Content-Length: -1\r\n\r\n", b"HTTP/1.1 400"),
    (POST + b"Content-Length: 9999999999999999999999\r\n\r\n", b"HTTP/1.1 400"),
    (POST + b"Content-Length: 999999999\r\n\r\n", b"HTTP/1.1 413"),
    (POST + b"Content-Length: 50\r\n\r\n{}", b"HTTP/1.1 400"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 400"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffff\r\n", b"HTTP/1.1 413"),
    (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 400"),
    (POST + b"Transfer-Encoding: gzip\r\n\r\n", b"HTTP/1.1 400"),
    (POST + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 400"),
])  # fmt: skip
def test_what_is_no_request(server, data, status):
    got = exchange(server, data)
    assert got.startswith(status) and b"Traceback" not in got
    assert server.curl("/healthz")[0] == 200


def test_an_unread_body_is_not_taken_for_the_next_request(server):
    smuggled = b"GET /healthz HTTP/1.1\r\n\r\n"
    request = b"GET /v1/models/double HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(smuggled), smuggled)
    assert exchange(server, request).count(b"HTTP/1.1 ") == 1


def test_requests_one_after_the_other_on_a_connection(server):
    body = json.dumps({"instances": [1]}).encode()
    request = POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    assert exchange(server, request * 3).count(b"HTTP/1.1 200") == 3


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({"b64": "YQ=="}),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "b64", "instances"]), inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.sampled_from(["instances", "inputs"]), json_values, st.sampled_from(["double", "strings", "busy"]))
def test_any_json_is_read_or_refused(key, value, which):
    from monolith_cli.serving.protos import meta_graph_pb2, types_pb2
    from monolith_cli.serving.server import rest_json
    from monolith_cli.serving.server.saved_model import Signature
    from monolith_cli.serving.server.status import StatusError

    proto = meta_graph_pb2.SignatureDef()
    proto.inputs["x"].dtype = {
        "double": types_pb2.DT_FLOAT,
        "strings": types_pb2.DT_STRING,
        "busy": types_pb2.DT_INT32,
    }[which]
    proto.inputs["x"].tensor_shape.unknown_rank = True
    try:
        request = rest_json.parse_body(json.dumps({key: value}).encode())
        given_ = rest_json.read_inputs(request, Signature("s", proto))
    except StatusError as e:
        assert e.http == 400
    else:
        assert isinstance(given_["x"][0], np.ndarray)


def test_metrics_have_the_stock_names(server):
    server.curl("/v1/models/double:predict", {"instances": [1]})
    server.curl("/v1/models/secret-name-of-a-client:predict", {"instances": [1]})
    status, text = server.curl("/monitoring/prometheus/metrics")
    assert status == 200
    assert ':tensorflow:serving:request_count{model_name="double",status="OK"}' in text
    assert ':tensorflow:serving:request_latency_count{model_name="double",API="Predict",entrypoint="REST"}' in text
    assert 'monolith_serve_versions{model="m:constant",state="AVAILABLE"} 2' in text.replace("model_name", "model")
    assert "secret-name" not in text
    from prometheus_client.parser import text_string_to_metric_families

    assert len(list(text_string_to_metric_families(text))) >= 5


def test_a_client_that_leaves_in_the_middle_of_an_answer_harms_nobody(server):
    body = json.dumps({"instances": [0.5] * 40_000}).encode()
    head = f"POST /v1/models/double:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for wait_s in (0.0, 0.02, 0.1, 0.3):
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", server.rest_port))
            client.sendall(head + body)
            time.sleep(wait_s)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a goodbye
    assert server.curl("/healthz")[0] == 200
