"""monolith-serve's gRPC API, as tensorflow-serving-api's stubs, a health check and a reflection client see it."""

import numpy as np
import pytest
import saved_models
from model_server import ModelServer, code_of, model, write_config
from saved_models import predict_request

from monolith_cli.serving.protos import get_model_metadata_pb2, tensor_pb2, types_pb2


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    models = ("double", "two_inputs", "strings", "failing", "module", "busy")
    for build in (getattr(saved_models, name) for name in models):
        build(folder / build.__name__)
    for version in (1, 2, 7):
        saved_models.constant(folder / "constant", version)
    config = write_config(
        folder / "models.conf",
        *(model(n, folder / n) for n in ("double", "strings", "failing", "module", "busy")),
        model("m:two", folder / "two_inputs"),
        model("constant", folder / "constant", specific=[1, 7], labels={"stable": 1, "canary": 7}),
    )
    made = ModelServer(folder, f"--model_config_file={config}", "--archon_port=1", "--max-message-bytes=1000000")
    yield made
    made.stop()


def values(response, name="y"):
    return list(response.outputs[name].float_val)


def test_predict_answers_in_typed_fields_with_name_version_and_signature(server):
    response = server.predict(predict_request("double", x=np.array([1, 2.5], np.float32)))
    assert values(response) == [2, 5]
    assert [d.size for d in response.outputs["y"].tensor_shape.dim] == [2]
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("double", 1, "serving_default")


@pytest.mark.parametrize("version,expected", [(None, 7), (1, 1), (7, 7), ("stable", 1), ("canary", 7)])
def test_version_by_number_by_label_or_the_newest(server, version, expected):
    response = server.predict(predict_request("constant", version=version, x=np.zeros(3, np.float32)))
    assert values(response) == [expected] * 3
    assert response.model_spec.version.value == expected


def test_a_saved_model_of_tensorflow_2(server):
    assert values(server.predict(predict_request("module", x=np.array([1, 2], np.float32)))) == [3, 6]


def test_strings_go_in_and_out(server):
    response = server.predict(predict_request("strings", instances=[b"\xff\x00ab", b"", "ü"]))
    assert list(response.outputs["echo"].string_val) == [b"\xff\x00ab", b"", "ü".encode()]
    assert list(response.outputs["length"].int64_val) == [4, 0, 2]


def test_values_in_either_form_and_a_last_value_that_repeats(server):
    request = predict_request("double")
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1, 2])
    tensor.tensor_shape.dim.add(size=4)
    request.inputs["x"].CopyFrom(tensor)
    assert values(server.predict(request)) == [2, 4, 4, 4]


def test_no_rows(server):
    response = server.predict(predict_request("double", x=np.zeros(0, np.float32)))
    assert values(response) == [] and [d.size for d in response.outputs["y"].tensor_shape.dim] == [0]


def test_signature_and_output_filter(server):
    a, b = np.array([3], np.float32), np.array([2], np.float32)
    assert values(server.predict(predict_request("m:two", "difference", a=a, b=b)), "difference") == [1]
    request = predict_request("m:two", a=a, b=b)
    assert set(server.predict(request).outputs) == {"sum", "product"}
    request.output_filter.append("product")
    response = server.predict(request)
    assert set(response.outputs) == {"product"} and values(response, "product") == [6]


ONE = np.ones(1, np.float32)


@pytest.mark.parametrize("request_,code,words", [
    (lambda: predict_request("", x=ONE), "INVALID_ARGUMENT", "Missing ModelSpec"),
    (lambda: predict_request("nobody", x=ONE), "NOT_FOUND", "nobody"),
    (lambda: predict_request("double", version=9, x=ONE), "NOT_FOUND", "Specific(double, 9)"),
    (lambda: predict_request("constant", version=2, x=ONE), "NOT_FOUND", "Specific(constant, 2)"),
    (lambda: predict_request("constant", version="beta", x=ONE), "NOT_FOUND", "beta"),
    (lambda: predict_request("double", "nosuch", x=ONE), "FAILED_PRECONDITION", 'Serving signature key "nosuch" not found'),
    (lambda: predict_request("m:two", a=ONE), "INVALID_ARGUMENT", "missing but required: {b}"),
    (lambda: predict_request("m:two", a=ONE, b=ONE, c=ONE), "INVALID_ARGUMENT", "sent extra: {c}"),
    (lambda: predict_request("double", x=["a"]), "INVALID_ARGUMENT", "float but is string"),
    (lambda: predict_request("double", x=np.ones((1, 1), np.float32)), "INVALID_ARGUMENT", "shape [1, 1] where [?]"),
    (lambda: predict_request("failing", x=np.array([np.nan], np.float32)), "INVALID_ARGUMENT", "x is no number"),
])  # fmt: skip
def test_errors_have_the_stock_servers_codes(server, request_, code, words):
    got, message = code_of(server.predict, request_())
    assert got == code and words in message


@pytest.mark.parametrize("filter_,words", [(["zz"], "not found in signature: zz"), (["sum", "sum"], "duplicate")])
def test_a_wrong_output_filter(server, filter_, words):
    request = predict_request("m:two", a=ONE, b=ONE)
    request.output_filter.extend(filter_)
    code, message = code_of(server.predict, request)
    assert code == "INVALID_ARGUMENT" and words in message


def tensor(dtype, dims, **fields):
    made = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in dims:
        made.tensor_shape.dim.add(size=size)
    return made


@pytest.mark.parametrize("proto,code", [
    (tensor(types_pb2.DT_FLOAT, [3], tensor_content=b"12345678"), "INVALID_ARGUMENT"),
    (tensor(types_pb2.DT_FLOAT, [-1], float_val=[1]), "INVALID_ARGUMENT"),
    (tensor(types_pb2.DT_FLOAT, [2], float_val=[1, 2, 3]), "INVALID_ARGUMENT"),
    (tensor(types_pb2.DT_FLOAT, [2]), "INVALID_ARGUMENT"),
    (tensor(types_pb2.DT_RESOURCE, [1]), "INVALID_ARGUMENT"),
    (tensor(99, [1], float_val=[1]), "INVALID_ARGUMENT"),
    (tensor(types_pb2.DT_FLOAT, [1 << 40], float_val=[1]), "RESOURCE_EXHAUSTED"),
    (tensor(types_pb2.DT_FLOAT, [1 << 40, 1 << 40], float_val=[1]), "RESOURCE_EXHAUSTED"),
    (tensor(types_pb2.DT_STRING, [1], tensor_content=b"12345678"), "INVALID_ARGUMENT"),
])  # fmt: skip
def test_tensors_that_are_none(server, proto, code):
    request = predict_request("double")
    request.inputs["x"].CopyFrom(proto)
    assert code_of(server.predict, request)[0] == code


def test_bytes_that_are_no_request(server):
    for service, method in (
        ("PredictionService", "Predict"),
        ("PredictionService", "GetModelMetadata"),
        ("ModelService", "GetModelStatus"),
        ("ModelService", "HandleReloadConfigRequest"),
    ):
        call = server.channel.unary_unary(f"/tensorflow.serving.{service}/{method}")
        assert code_of(call, b"\xff\xff\xff garbage")[0] == "INVALID_ARGUMENT"
    assert server.predict(predict_request("double", x=ONE))


def test_a_message_beyond_the_limit(server):
    assert (
        code_of(server.predict, predict_request("double", x=np.zeros(300_000, np.float32)))[0] == "RESOURCE_EXHAUSTED"
    )
    assert len(values(server.predict(predict_request("double", x=np.zeros(200_000, np.float32))))) == 200_000


@pytest.mark.parametrize("method", ["Classify", "Regress", "MultiInference"])
def test_what_is_not_built_says_so(server, method):
    assert (
        code_of(server.channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}"), b"")[0]
        == "UNIMPLEMENTED"
    )


def test_metadata_has_the_signatures(server):
    response = server.metadata("m:two", "signature_def")
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {"serving_default", "difference"}
    assert signatures.signature_def["difference"].inputs["a"].dtype == types_pb2.DT_FLOAT
    assert (response.model_spec.name, response.model_spec.version.value) == ("m:two", 1)
    assert code_of(server.metadata, "m:two", "base_path")[0] == "INVALID_ARGUMENT"
    assert code_of(server.metadata, "m:two")[0] == "INVALID_ARGUMENT"
    assert code_of(server.metadata, "nobody", "signature_def")[0] == "NOT_FOUND"


def test_status_of_all_versions_of_one_and_of_a_label(server):
    assert server.status("constant") == [(7, "AVAILABLE", 0), (1, "AVAILABLE", 0)]
    assert server.status("constant", 1) == [(1, "AVAILABLE", 0)]
    assert server.status("constant", label="canary") == [(7, "AVAILABLE", 0)]
    for bad in ({"name": "nobody"}, {"name": "constant", "version": 2}, {"name": "constant", "label": "beta"}):
        assert code_of(server.status, **bad)[0] == "NOT_FOUND"


def test_health_and_reflection(server):
    from google.protobuf.descriptor_pool import DescriptorPool
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    health = health_pb2_grpc.HealthStub(server.channel)
    for name in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
        assert (
            health.Check(health_pb2.HealthCheckRequest(service=name)).status == health_pb2.HealthCheckResponse.SERVING
        )
    assert code_of(health.Check, health_pb2.HealthCheckRequest(service="nobody"))[0] == "NOT_FOUND"
    database = ProtoReflectionDescriptorDatabase(server.channel)
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", "grpc.health.v1.Health"} <= set(
        database.get_services()
    )
    service = DescriptorPool(database).FindServiceByName("tensorflow.serving.PredictionService")
    assert service.FindMethodByName("Predict").input_type.full_name == "tensorflow.serving.PredictRequest"


def test_a_deadline_is_the_clients(server):
    slow = predict_request("busy", x=np.array([500], np.int32))
    assert code_of(server.predict, slow, timeout=0.05)[0] == "DEADLINE_EXCEEDED"


def test_listens_on_loopback_alone(server):
    from monolith_cli.serving import addresses

    ip = addresses.local_ip()
    if ip.startswith("127.") or ip == "localhost":
        pytest.skip("this host has no other address")
    assert not addresses.port_is_open(server.port, ip) and not addresses.port_is_open(server.rest_port, ip)


def test_a_second_server_on_the_port_does_not_start(server, run, tmp_path):
    saved_models.double(tmp_path / "double")
    done = run("monolith-serve", f"--port={server.port}", "--model-base-path", tmp_path / "double", check=False)
    assert done.returncode == 73 and str(server.port) in done.stderr
