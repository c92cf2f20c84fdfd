"""Nobody without rights gets in: TLS and mutual TLS on gRPC and REST, folders that are not allowed."""

import grpc
import numpy as np
import pytest
import saved_models
from certificates import make_certificates
from model_server import ModelServer, code_of, model, write_config
from saved_models import predict_request

ONE = np.ones(1, np.float32)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return make_certificates(folder, {"server": "ca", "client": "ca", "stranger": "other"})


def credentials(keys, client=None, ca="ca"):
    pair = [(keys / f"{client}.{kind}").read_bytes() for kind in ("key", "pem")] if client else [None, None]
    return grpc.ssl_channel_credentials((keys / f"{ca}.pem").read_bytes(), *pair)


def curl_options(keys, client=None):
    own = ["--cert", str(keys / f"{client}.pem"), "--key", str(keys / f"{client}.key")] if client else []
    return ["--cacert", str(keys / "ca.pem"), *own]


def asks(server, grpc_credentials):
    """The answer of a new client of gRPC, or the code it is refused with."""
    from monolith_cli.serving.protos import prediction_service_pb2_grpc

    target = f"localhost:{server.port}"
    with (
        grpc.secure_channel(target, grpc_credentials) if grpc_credentials else grpc.insecure_channel(target) as channel
    ):
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            return list(stub.Predict(predict_request("double", x=ONE), timeout=90).outputs["y"].float_val)
        except grpc.RpcError as e:
            return e.code().name


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    base = tmp_path_factory.mktemp("models") / "double"
    saved_models.double(base)
    return base


def test_tls(keys, base, tmp_path):
    server = ModelServer(
        tmp_path,
        f"--model_base_path={base}",
        "--model_name=double",
        f"--tls-cert={keys}/server.pem",
        f"--tls-key={keys}/server.key",
        credentials=credentials(keys),
        curl_options=curl_options(keys),
    )
    try:
        assert asks(server, credentials(keys)) == [2]
        assert asks(server, credentials(keys, ca="other")) == "UNAVAILABLE"
        assert asks(server, None) == "UNAVAILABLE"
        assert server.curl("/v1/models/double:predict", {"instances": [1]}) == (200, {"predictions": [2]})
        server.curl_options = ["--cacert", str(keys / "other.pem")]
        assert server.curl("/healthz")[0] == 0
        server.scheme = "http"
        assert server.curl("/healthz")[0] == 0
    finally:
        assert server.stop() == 143


@pytest.fixture(scope="module")
def mutual(keys, base, tmp_path_factory):
    """Mutual TLS as the stock server's SSLConfig has it: the texts themselves in one file."""
    folder = tmp_path_factory.mktemp("mutual")
    fields = {"server_key": "server.key", "server_cert": "server.pem", "custom_ca": "ca.pem"}
    lines = [f"{name}: {(keys / file).read_text()!r}" for name, file in fields.items()]
    (folder / "ssl.conf").write_text("\n".join([*lines, "client_verify: true"]))
    made = ModelServer(
        folder,
        f"--model_base_path={base}",
        "--model_name=double",
        f"--ssl_config_file={folder}/ssl.conf",
        credentials=credentials(keys, "client"),
        curl_options=curl_options(keys, "client"),
    )
    yield made
    made.stop()


def test_mutual_tls_takes_its_own_clients_alone(mutual, keys):
    assert asks(mutual, credentials(keys, "client")) == [2]
    assert asks(mutual, credentials(keys)) == "UNAVAILABLE"
    assert asks(mutual, credentials(keys, "stranger")) == "UNAVAILABLE"
    assert asks(mutual, None) == "UNAVAILABLE"
    assert mutual.curl("/v1/models/double:predict", {"instances": [1]}) == (200, {"predictions": [2]})


def test_mutual_tls_of_rest_refuses_others(mutual, keys):
    own, mutual.curl_options = mutual.curl_options, []
    try:
        for options in (curl_options(keys), curl_options(keys, "stranger"), ["-k"]):
            assert mutual.curl("/v1/models/double", None, *options)[0] == 0
    finally:
        mutual.curl_options = own
    assert mutual.curl("/healthz")[0] == 200


def test_half_a_handshake_holds_nobody_up(mutual):
    import socket

    silent = [
        socket.create_connection(("127.0.0.1", port)) for port in (mutual.rest_port, mutual.port) for _ in range(10)
    ]
    assert mutual.curl("/healthz")[0] == 200
    for s in silent:
        s.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Serves m out of <folder>/allowed/m, without --model-root: what its configuration names is allowed."""
    folder = tmp_path_factory.mktemp("guarded")
    for place in ("allowed/m", "allowed-not/m", "outside/m"):
        saved_models.constant(folder / place, 1)
    config = write_config(folder / "models.conf", model("m", folder / "allowed" / "m"))
    made = ModelServer(folder, f"--model_config_file={config}", "--file_system_poll_wait_seconds=0.05")
    yield made
    made.stop()


@pytest.mark.parametrize(
    "path",
    [
        "/outside/m",
        "/allowed/m/../../outside/m",
        "/allowed-not/m",
        "/allowed",
        "/",
        "/allowed/m/link",
        "/allowed/m/1/../../..",
    ],
)
def test_a_reload_cannot_point_elsewhere(guarded, path):
    link = guarded.folder / "allowed" / "m" / "link"
    if not link.is_symlink():
        link.symlink_to(guarded.folder / "outside" / "m")
    code, message = code_of(
        guarded.reload, model("m", guarded.folder / "allowed" / "m"), model("evil", f"{guarded.folder}{path}")
    )
    assert code == "PERMISSION_DENIED" and "--model-root" in message
    assert guarded.status("m") == [(1, "AVAILABLE", 0)]
    assert code_of(guarded.status, "evil")[0] == "NOT_FOUND"


@pytest.mark.parametrize("path", ["hdfs://somewhere/m", "file:///etc", "relative/m", "", "/etc\0/x"])
def test_nor_at_anything_that_is_no_folder_of_the_operator(guarded, path):
    assert code_of(guarded.reload, model("evil", path))[0] in ("PERMISSION_DENIED", "INVALID_ARGUMENT")


def test_a_version_that_is_a_link_to_elsewhere_is_not_loaded(guarded):
    (guarded.folder / "allowed" / "m" / "2").symlink_to(guarded.folder / "outside" / "m" / "1")
    saved_models.constant(guarded.folder / "allowed" / "m" / "inner", 3)
    (guarded.folder / "allowed" / "m" / "3").symlink_to(guarded.folder / "allowed" / "m" / "inner" / "3")
    guarded.reload(model("m", guarded.folder / "allowed" / "m", all_versions=True))
    guarded.wait_until(lambda: guarded.states("m") == {3: "AVAILABLE", 1: "AVAILABLE"})
    assert "outside of the folders" in guarded.log.read_text()


def test_a_reload_of_what_is_allowed(guarded):
    saved_models.constant(guarded.folder / "allowed" / "m" / "sub", 8)
    guarded.reload(model("m", guarded.folder / "allowed" / "m"), model("sub", guarded.folder / "allowed" / "m" / "sub"))
    assert guarded.status("sub") == [(8, "AVAILABLE", 0)]
