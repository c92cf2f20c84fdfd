"""The fake TensorFlow Serving of the tests (spec 60, 3.17, T29): other tests rely on what it does."""

import time

import grpc
import pytest
from fake_tfs import FakeTfs, Model
from google.protobuf import text_format

from monolith_cli.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


def status(tfs, name, version=None, label=None):
    with grpc.insecure_channel(tfs.target) as channel:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        reply = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, timeout=90)
    return [(s.version, s.state, s.status.error_code, s.status.error_message) for s in reply.model_version_status]


def reload(tfs, text):
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    with grpc.insecure_channel(tfs.target) as channel:
        return model_service_pb2_grpc.ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=90).status


def test_t29_states_of_latest_two():
    with FakeTfs([Model("m", data=2)], manual=True) as tfs:
        assert status(tfs, "m") == [(1, 0, 0, ""), (2, 0, 0, "")]
        tfs.step()
        assert status(tfs, "m") == [(1, 10, 0, ""), (2, 0, 0, "")]
        tfs.settle()
        assert status(tfs, "m") == [(1, 30, 0, ""), (2, 30, 0, "")]
        assert status(tfs, "m", version=9) == [(-1, 0, 5, "m is not found")]
        assert status(tfs, "m", version=2) == [(2, 30, 0, "")]
        assert status(tfs, "other") == [(-1, 0, 5, "other is not found")]


@pytest.mark.parametrize(
    "policy,data,first",
    [("latest", 3, [1, 2, 3]), ("all", None, [1]), ("specific", (7, 5), [5, 7]), ("specific", 4, [4])],
)
def test_first_versions_by_policy_become_available(policy, data, first):
    with FakeTfs([Model("m", policy=policy, data=data)]) as tfs:
        tfs.settle()
        assert tfs.states("m") == dict.fromkeys(first, tfs.AVAILABLE)


def test_a_new_version_drives_the_lowest_out():
    with FakeTfs([Model("m", data=1)], manual=True) as tfs:
        tfs.settle()
        tfs.add_version("m")
        assert tfs.states("m") == {1: tfs.UNLOADING, 2: tfs.UNKNOWN}
        tfs.settle()
        assert tfs.states("m") == {2: tfs.AVAILABLE}


def test_a_version_that_fails_ends_with_its_status_and_the_good_one_stays():
    with FakeTfs([Model("m", policy="specific", data=(1,))], manual=True) as tfs:
        tfs.settle()
        tfs.fail_version("m", 2, 3, "broken graph")
        tfs.add_version("m", 2)
        tfs.settle()
        assert status(tfs, "m") == [(1, 30, 0, ""), (2, 50, 3, "broken graph")]


def test_reload_removes_adds_and_leaves_alone():
    with FakeTfs([Model("a"), Model("b", data=2)]) as tfs:
        tfs.settle()
        tfs.set_state("b", 2, tfs.START)
        done = reload(
            tfs,
            'model_config_list { config { name: "b" } '
            'config { name: "c" model_version_policy { specific { versions: 9 } } } }',
        )
        assert done.error_code == 0
        tfs.settle()
        assert tfs.models() == ["b", "c"]
        assert tfs.states("b") == {1: 30, 2: 10}  # untouched
        assert tfs.states("c") == {9: 30}
        assert reload(tfs, "").error_code == 9


def test_metadata_as_python_writes_it_and_signatures_for_those_who_ask():
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signatures.signature_def["serving_default"].method_name = "tensorflow/serving/predict"
    model = Model("m", "/models/m", "specific", (3, 4), labels={"stable": 3})
    with FakeTfs([model], signatures={"m": signatures}) as tfs, grpc.insecure_channel(tfs.target) as channel:
        tfs.settle()
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            metadata_field=[
                "base_path",
                "version_data",
                "version",
                "version_label",
                "state",
                "num_versions",
                "signature_def",
            ]
        )
        request.model_spec.name = "m"
        assert dict_of(stub.GetModelMetadata(request)) == {"base_path": b"'/models/m'", "version_data": b"(3, 4)"}
        request.model_spec.version_label = "stable"
        reply = stub.GetModelMetadata(request)
        assert dict_of(reply) == {
            "base_path": b"'/models/m'",
            "version_data": b"(3, 4)",
            "version": b"3",
            "version_label": b"'stable'",
            "state": b"30",
        }
        unpacked = get_model_metadata_pb2.SignatureDefMap()
        assert reply.metadata["signature_def"].Unpack(unpacked) and unpacked == signatures


def dict_of(reply):
    return {
        name: any_.value for name, any_ in reply.metadata.items() if name != "signature_def" and any_.type_url == ""
    }


def test_predict_errors_and_delays():
    with FakeTfs([Model("m")]) as tfs, grpc.insecure_channel(tfs.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as e:
            stub.Predict(predict_pb2.PredictRequest(), timeout=90)
        assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
        tfs.predict = lambda request: predict_pb2.PredictResponse()
        tfs.fail_call("Predict", grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        with pytest.raises(grpc.RpcError) as e:
            stub.Predict(predict_pb2.PredictRequest(), timeout=90)
        assert e.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.Predict(predict_pb2.PredictRequest(), timeout=90) == predict_pb2.PredictResponse()
        tfs.delay("Predict", 600)
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as e:
            stub.Predict(predict_pb2.PredictRequest(), timeout=2)
        assert e.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED and time.monotonic() - began < 60
        assert len(tfs.calls("Predict")) == 4


def test_stock_manner_and_random_versions_and_a_file(tmp_path):
    with FakeTfs(stock=True) as tfs, pytest.raises(grpc.RpcError) as e:
        status(tfs, "m")
    assert e.value.code() == grpc.StatusCode.NOT_FOUND
    path = tmp_path / "models.cfg"
    path.write_text(
        'model_config_list { config { name: "m" model_version_policy { latest { num_versions: 2 } } '
        'version_labels { key: "x" value: 2 } } }'
    )
    with FakeTfs(path, bump_every_s=0.05) as tfs:
        deadline = time.monotonic() + 120
        while max(tfs.states("m")) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert max(tfs.states("m")) >= 4
    config = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    with FakeTfs(config) as tfs:
        tfs.settle()
        assert status(tfs, "m", label="x") == [(2, 30, 0, "")]
