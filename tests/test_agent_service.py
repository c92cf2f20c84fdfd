"""AgentService on the wire: bytes, health, reflection, TLS; and the replica watcher behind version 1 (T12, T20,
T30)."""

import subprocess

import grpc
import pytest
from agents import Agent, fake_server, wait_until, zk
from certificates import make_certificates
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from monolith_cli import errors
from monolith_cli.serving import agent_rpc, channel
from monolith_cli.serving.agent.config import AgentConfig
from monolith_cli.serving.agent.replica_watcher import ReplicaWatcher, TargetExtraInfo
from monolith_cli.serving.agent.service import AgentService
from monolith_cli.serving.zookeeper.records import ReplicaMeta
from monolith_protos import agent_service_pb2 as pb

AVAILABLE, LOADING = 30, 20


class Provider:
    """Answers with what it was asked."""

    def replicas(self, server_type, task, model_name):
        if server_type == "dense":
            raise NotImplementedError("no dense here")
        return [f"{server_type}/{task}/{model_name}"]

    def heart_beat(self, server_type):
        return {"ps:0": ["1.1.1.1:1", "1.1.1.2:1"]} if server_type == "ps" else {}

    def resource(self):
        return pb.GetResourceResponse(address="h:1", memory=1 << 40, cpu=-1.0)


@pytest.fixture
def service():
    made = AgentService(Provider(), 0)
    made.start()
    yield made
    made.stop(0)


@pytest.fixture
def to(service):
    with grpc.insecure_channel(f"127.0.0.1:{service.port}") as made:
        yield made


def test_bytes_on_the_wire(to):
    """T12. Raw bytes go in and come out, so that no message class of ours hides a mistake."""

    def call(method, request):
        return to.unary_unary(f"/monolith.serving.agent_service.AgentService/{method}")(request, timeout=60)

    assert call("HeartBeat", b"").hex() == "0a1e0a0470733a3012160a09312e312e312e313a310a09312e312e312e323a31"
    assert call("HeartBeat", bytes.fromhex("0802")) == b""
    assert call("GetReplicas", bytes.fromhex("080110031a016d")) == b"\x0a\x0b\x0a\x09entry/3/m"
    assert pb.GetResourceResponse.FromString(call("GetResource", b"")) == Provider().resource()


def test_errors(to):
    stub = agent_rpc.AgentServiceStub(to)
    for request, code in (
        (pb.GetReplicasRequest(server_type=2), grpc.StatusCode.UNIMPLEMENTED),
        (pb.GetReplicasRequest(server_type=3), grpc.StatusCode.INVALID_ARGUMENT),
        (pb.GetReplicasRequest(model_name="m" * (1 << 17)), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ):
        with pytest.raises(grpc.RpcError) as e:
            stub.GetReplicas(request, timeout=60)
        assert e.value.code() == code, request
    assert stub.GetReplicas(pb.GetReplicasRequest(model_name="m"), timeout=60).address_list.address == ["ps/0/m"]


def test_health_and_reflection(service, to):
    health = health_pb2_grpc.HealthStub(to)
    for name in ("", "monolith.serving.agent_service.AgentService"):
        assert (
            health.Check(health_pb2.HealthCheckRequest(service=name), timeout=60).status
            == health_pb2.HealthCheckResponse.SERVING
        )
    found = ProtoReflectionDescriptorDatabase(to)
    assert "monolith.serving.agent_service.AgentService" in found.get_services()
    described = found.FindFileContainingSymbol("monolith.serving.agent_service.AgentService")
    assert [m.name for m in described.service[0].method] == ["GetReplicas", "GetResource", "HeartBeat"]
    service.set_healthy(False)
    assert health.Check(health_pb2.HealthCheckRequest(), timeout=60).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_port_that_is_taken_and_one_that_is_loopback_alone(service):
    with pytest.raises(errors.UnavailableError, match=f"cannot listen on 127.0.0.1:{service.port}"):
        AgentService(Provider(), service.port)
    listening = subprocess.run(
        ["ss", "-ltnH", f"sport = :{service.port}"], capture_output=True, text=True, check=False
    ).stdout
    if listening:  # where there is `ss`
        assert f"127.0.0.1]:{service.port}" in listening or f"127.0.0.1:{service.port}" in listening


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    return make_certificates(folder, {"server": "ca", "client": "ca", "stranger": "other"})


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(certificates, mutual):
    at = {n: str(certificates / n) for n in ("ca.pem", "other.pem", "server.pem", "server.key")}
    service = AgentService(
        Provider(), 0, tls=channel.Tls(ca=at["ca.pem"] if mutual else None, cert=at["server.pem"], key=at["server.key"])
    )
    service.start()

    def beats(tls):
        with channel.open_channel(f"127.0.0.1:{service.port}", tls) as to:
            try:
                return bool(agent_rpc.AgentServiceStub(to).HeartBeat(pb.HeartBeatRequest(), timeout=60).addresses)
            except grpc.RpcError as e:
                assert e.code() == grpc.StatusCode.UNAVAILABLE
                return False

    def client(name, ca="ca.pem"):
        return channel.Tls(at[ca], str(certificates / f"{name}.pem"), str(certificates / f"{name}.key"))

    try:
        assert beats(client("client"))
        assert beats(channel.Tls(at["ca.pem"])) is not mutual
        assert beats(client("stranger")) is not mutual
        assert not beats(None) and not beats(client("client", "other.pem"))
    finally:
        service.stop(0)


def test_an_agent_with_tls_before_and_behind_it(certificates, zookeeper, tmp_path):
    """Its own service by --tls-*, its model servers by ssl_config_file and --server-tls-ca."""
    text = {n: (certificates / f"server.{n}").read_text().replace("\n", "\\n") for n in ("key", "pem")}
    (tmp_path / "ssl.txt").write_text(f'server_key: "{text["key"]}"\nserver_cert: "{text["pem"]}"\n')
    conf = {"bzid": "tls", "base_name": "m", "base_path": "/models", "deploy_type": "ps", "tfs_binary": fake_server(tmp_path)}
    conf["ssl_config_file"] = tmp_path / "ssl.txt"
    flags = ("--tls-cert", certificates / "server.pem", "--tls-key", certificates / "server.key")
    with Agent(tmp_path, zookeeper.servers, conf, *flags, "--server-tls-ca", certificates / "ca.pem", MY_POD_NAME="p") as agent:
        with channel.open_channel(f"127.0.0.1:{agent.port}", channel.Tls(str(certificates / "ca.pem"))) as to:
            stub = agent_rpc.AgentServiceStub(to)
            wait_until(lambda: stub.HeartBeat(pb.HeartBeatRequest(), timeout=60).addresses["ps:0"].address, what="ps")
        with pytest.raises(grpc.RpcError):
            agent.heart_beat()


@pytest.fixture
def watcher(zookeeper, request):
    """A started watcher of a dc_aware tree; `.put(node, address, stat)` and `.connection` change the tree."""
    config = AgentConfig(
        bzid=request.node.name,
        base_name="m",
        deploy_type="ps",
        dc_aware=True,
        environ={"TCE_INTERNAL_IDC": "lf", "TCE_LOGICAL_CLUSTER": "default", "MY_HOST_IP": "1.2.3.4"},
    )
    with zk(zookeeper.servers) as own, zk(zookeeper.servers) as other:
        made = ReplicaWatcher(own, config)

        def put(node, address, stat=AVAILABLE):
            path, data = f"/{config.bzid}/service/m/{node}", ReplicaMeta(address=address, stat=stat).to_json()
            other.set(path, data) if other.exists(path) else other.create(path, data, ephemeral=True)

        made.put, made.connection, made.root = put, other, f"/{config.bzid}/service/m"
        yield made
        made.stop()


T20 = {
    "lf:default/ps:0/0": ("1.1.1.1:1", AVAILABLE),
    "lf:default/ps:0/00000000007": ("1.1.1.2:1", AVAILABLE),
    "lf:default/ps:1/0": ("1.1.1.3:1", LOADING),
    "hl:default/ps:0/0": ("2.1.1.1:1", AVAILABLE),
}


def test_watcher_queries(watcher):
    """T20, the nodes there before the watcher starts."""
    for node, (address, stat) in T20.items():
        watcher.put(node, address, stat)
    watcher.start()
    ps0, ps1 = "lf:default/ps:0", "lf:default/ps:1"
    here = {ps0: ["1.1.1.1:1", "1.1.1.2:1"], ps1: []}
    assert watcher.all_replicas("ps") == here | {"hl:default/ps:0": ["2.1.1.1:1"]}
    assert watcher.all_replicas("ps", "lf", "default") == here
    assert watcher.all_replicas("entry") == {}
    assert sorted(watcher.replicas("ps", 0)) == ["1.1.1.1:1", "1.1.1.2:1", "2.1.1.1:1"]
    assert watcher.replicas("ps", 0, "lf", "default") == ["1.1.1.1:1", "1.1.1.2:1"]
    assert watcher.replica("ps", 0, 7) == "1.1.1.2:1"
    assert sorted(watcher.replica("ps", 0, 0)) == ["1.1.1.1:1", "2.1.1.1:1"]
    assert watcher.replica("ps", 0, 0, "hl", "default") == "2.1.1.1:1"
    assert watcher.replica("ps", 0, 9) is None and watcher.replica("ps", 1, 0) is None
    assert watcher.with_extra_info("ps", 0, "lf", "default") == {
        "1.1.1.1:1": TargetExtraInfo("lf", "default", 0),
        "1.1.1.2:1": TargetExtraInfo("lf", "default", 7),
    }


def test_watcher_follows_changes(watcher):
    watcher.start()  # there is nothing yet, not even the root
    assert watcher.all_replicas("ps") == {}
    for node, (address, stat) in T20.items():
        watcher.put(node, address, stat)
    wait_until(lambda: len(watcher.all_replicas("ps")) == 3 and len(watcher.replicas("ps", 0)) == 3)
    watcher.put("lf:default/ps:1/0", "1.1.1.3:1", AVAILABLE)
    wait_until(lambda: watcher.replicas("ps", 1) == ["1.1.1.3:1"])
    watcher.connection.delete(f"{watcher.root}/hl:default/ps:0/0")
    wait_until(lambda: "hl:default/ps:0" not in watcher.all_replicas("ps"))  # a task without any replica is none
    # Without content a replica that is known is in no state, and one that is not is not there.
    watcher.connection.set(f"{watcher.root}/lf:default/ps:1/0", b"")
    wait_until(lambda: watcher.all_replicas("ps")["lf:default/ps:1"] == [])
    watcher.connection.create(f"{watcher.root}/lf:default/ps:5/0", b"")
    watcher.connection.create(f"{watcher.root}/nonsense/ps:9/0", b"{}")
    watcher.put("ps:3/0", "3.3.3.3:1")  # another agent, without locations
    wait_until(lambda: watcher.replicas("ps", 3) == ["3.3.3.3:1"])
    assert sorted(watcher.all_replicas("ps")) == ["lf:default/ps:0", "lf:default/ps:1", "ps:3"]
    watcher.rescan()
    wait_until(lambda: watcher.replicas("ps", 0) == ["1.1.1.1:1", "1.1.1.2:1"])


def test_keys_of_a_heart_beat(watcher):
    """T20, T30: keys without the location, from which clients tell an agent of version 1 (no `:ps` in any key)."""
    for node, (address, stat) in T20.items():
        watcher.put(node, address, stat)
    watcher.start()
    assert watcher.own_location("ps") == {"ps:0": ["1.1.1.1:1", "1.1.1.2:1"], "ps:1": []}
    assert not any(":ps" in key for key in watcher.own_location("ps"))
