"""agent-client: what it asks an agent, and what it reads, prints and deletes in ZooKeeper, byte for byte."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from monolith_protos import agent_service_pb2 as pb

from monolith_cli.serving import agent_rpc
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.connection import ZkConfig, connect
from monolith_cli.serving.zookeeper.records import PublishMeta, ReplicaMeta, ResourceSpec, State


def test_messages_t12():
    assert pb.HeartBeatRequest(server_type=pb.PS).SerializeToString() == b""
    assert pb.HeartBeatRequest(server_type=pb.DENSE).SerializeToString().hex() == "0802"
    reply = pb.HeartBeatResponse(addresses={"ps:0": pb.AddressList(address=["1.1.1.1:1", "1.1.1.2:1"])})
    assert reply.SerializeToString().hex() == "0a1e0a0470733a3012160a09312e312e312e313a310a09312e312e312e323a31"
    assert (
        pb.GetReplicasRequest(server_type=pb.ENTRY, task=3, model_name="m").SerializeToString().hex()
        == "080110031a016d"
    )
    fields = [(f.number, f.name, f.type) for f in pb.GetResourceResponse.DESCRIPTOR.fields]
    string, int32, int64, float_ = 9, 5, 3, 2
    assert fields == [
        (1, "address", string),
        (2, "shard_id", int32),
        (3, "replica_id", int32),
        (4, "memory", int64),
        (5, "cpu", float_),
        (6, "network", float_),
        (7, "work_load", float_),
    ]
    assert pb.DESCRIPTOR.package == "monolith.serving.agent_service"


class Agent(agent_rpc.AgentServiceServicer):
    def __init__(self):
        self.asked = []

    def HeartBeat(self, request, context):
        self.asked.append(request)
        reply = pb.HeartBeatResponse()
        reply.addresses["ps:1"].address.extend([])
        reply.addresses["ps:0"].address.extend(["1.1.1.1:1", "1.1.1.2:1"])
        return reply

    def GetReplicas(self, request, context):
        self.asked.append(request)
        return pb.GetReplicasResponse(address_list=pb.AddressList(address=[f"{request.model_name}:{request.task}"]))


@pytest.fixture(scope="module")
def agent():
    server, servicer = grpc.server(ThreadPoolExecutor(2)), Agent()
    agent_rpc.add_servicer(servicer, server)
    servicer.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield servicer
    server.stop(0)


def test_heart_beat_and_replicas(run, agent):
    done = run("agent-client", "hb", "--target", agent.target, "--server_type", "dense")
    assert done.stdout.decode() == 'ps:0  -> (2) \n\taddress: "1.1.1.1:1"\n\taddress: "1.1.1.2:1"\nps:1  -> (0) \n\t\n'
    assert agent.asked[-1].server_type == pb.DENSE
    assert json.loads(run("agent-client", "--cmd_type=hb", "--target", agent.target, "--json").stdout) == {
        "ps:0": ["1.1.1.1:1", "1.1.1.2:1"],
        "ps:1": [],
    }
    done = run(
        "agent-client", "gr", "--target", agent.target, "--task", "3", "--model-name", "m", "--server-type", "entry"
    )
    assert done.stdout == b"ENTRY 3  =>  ['m:3']\n"
    assert run("serving-client", "heartbeat", "--target", agent.target, "--json").returncode == 0
    done = run("serving-client", "replicas", "--target", agent.target, "--model-name", "m", "--task", "2")
    assert done.stdout == b"PS 2  =>  ['m:2']\n"


def test_the_agent_of_this_host(run, agent, tmp_path):
    host, _, port = agent.target.partition(":")
    conf = tmp_path / "agent.conf"
    conf.write_text(f"deploy_type entry\nbzid b\nbase_name from_conf\nagent_port {port}\n")
    done = run("agent-client", "gr", "--conf", conf, "--model-name", "ignored", env={"MY_HOST_IP": host})
    assert done.stdout == b"PS 0  =>  ['from_conf:0']\n"
    assert run("agent-client", "hb", "--port", port, env={"MY_HOST_IP": host}).stdout.startswith(b"ps:0")


def test_agents_that_do_not_answer(run, agent):
    done = run("agent-client", "hb", "--target", "127.0.0.1:1", "--timeout", "2", check=False)
    assert done.returncode == 69 and "127.0.0.1:1" in done.stderr
    assert run("agent-client", check=False).returncode == 2
    assert "--model-name" in run("agent-client", "gr", "--target", agent.target, check=False).stderr
    assert run("agent-client", "hb", "--target", "nonsense", check=False).returncode == 2


@pytest.fixture
def session(zookeeper):
    with connect(ZkConfig(zookeeper.servers)) as c:
        yield c
        if c.exists("/b"):
            c.delete("/b", recursive=True)


@pytest.fixture
def client(run, zookeeper):
    def call(*args, program="agent-client", **more):
        return run(program, *args, "--zk-servers", zookeeper.servers, "--bzid", "b", **more)

    return call


def test_addresses_with_and_without_location(client, session):
    assert client("addr", "--model-name", "m").stdout == b"m has not load !\n"
    first = ReplicaMeta(address="1.1.1.1:1", archon_address="1.1.1.1:2", stat=State.AVAILABLE)
    session.create(paths.replica_path("b", "m", "ps", 1, 7, "lf:default"), first.to_json())
    session.create(
        paths.replica_path("b", "m", "entry", 0, 3), ReplicaMeta(address="2:1", stat=State.LOADING).to_json()
    )
    session.create(paths.task_path("b", "m", "ps", 0), b"")
    lines = client("--cmd_type", "get", "--args", "addr", "--model_name", "m").stdout.decode().splitlines()
    assert lines == [
        "/b/service/m/entry:0/00000000003\tarchon_address: None\taddress: 2:1\tstate: LOADING",
        "/b/service/m/lf:default/ps:1/7\tarchon_address: 1.1.1.1:2\taddress: 1.1.1.1:1\tstate: AVAILABLE",
    ]
    found = json.loads(client("addresses", "--model-name", "m", "--json", program="serving-client").stdout)
    assert [(r["path"], r["state"], r["task"]) for r in found] == [
        ("/b/service/m/entry:0/00000000003", "LOADING", -1),
        ("/b/service/m/lf:default/ps:1/7", "AVAILABLE", -1),
    ]
    session.set(paths.replica_path("b", "m", "entry", 0, 3), b"{")
    done = client("addr", "--model-name", "m", check=False)
    assert done.returncode == 65 and "/b/service/m/entry:0/00000000003" in done.stderr


def test_listings(client, session):
    for what in ("res", "pub", "portal", "lock", "elect"):
        assert client("get", "--args", what).stdout.decode() == f"no {what} found !\n"
    session.create("/b/portal")
    assert client("get", "--args", "portal").stdout == b"{}\n"
    specs = [ResourceSpec(address="h:1", shard_id=s, replica_id=0) for s in (1, 0)]
    for spec in specs:
        session.create(spec.path(paths.resource_root("b")), spec.to_json())
    lines = client("get", "--args", "res").stdout.decode().splitlines()
    assert lines == [f"0:0 {specs[1].to_json()!r}", f"1:0 {specs[0].to_json()!r}"]
    session.create("/b/locks/x", b"\x00")
    assert client("get", "--args", "lock").stdout == b"x b'\\x00'\n"
    assert json.loads(client("get", "--args", "res", "--json").stdout)["1:0"]["shard_id"] == 1


def test_load_and_unload(client, session):
    client("load", "--model-name", "m", "--model_dir", "/d", "--ckpt", "model.ckpt-1", "--num_shard", "2")
    meta = (
        b'{"model_name": "m", "model_dir": "/d", "ckpt": "model.ckpt-1", "num_shard": 2, '
        b'"action": "NONE", "spec_replicas": []}'
    )
    assert session.get("/b/portal/m")[0] == meta
    client("load", "--model-name", "m", "--model-dir", "/e")  # written over
    assert b'"/e"' in session.get("/b/portal/m")[0]
    done = client("unload", "--model-name", "m", check=False)
    assert done.returncode == 2 and "--yes" in done.stderr
    assert client("unload", "--model-name", "m", "--dry-run").stdout == b"/b/portal/m\n"
    assert session.exists("/b/portal/m")
    client("unload", "--model-name", "m", "--yes")
    assert session.exists("/b/portal/m") is None
    again = client("unload", "--model-name", "m")  # nothing is there, so nobody is asked
    assert again.returncode == 0 and "nothing to unload" in again.stderr


def test_clean(client, session):
    session.create("/b/service/m/ps:0/1", b"{}")
    session.create("/b/publish/0:0:m", PublishMeta().to_json())
    assert client("clean", "--args", "addr", check=False).returncode == 2
    assert client("clean", "--dry-run").stdout == b"/b/service/m\n"  # service is what clean means by default
    assert session.exists("/b/service/m/ps:0/1")
    assert client("clean", "--args", "pub", "--yes").stdout == b"/b/publish/0:0:m\n"
    assert session.children("/b/publish") == [] and session.exists("/b/service/m/ps:0/1")
    assert json.loads(client("clean", "addr", "--yes", "--json", program="serving-client").stdout) == {
        "removed": ["/b/service/m"],
        "dry_run": False,
    }
    assert session.children("/b/service") == []
    assert client("clean", "--args", "lock", "-y", check=False).returncode == 2


def test_model_info(run, tmp_path):
    for sub in ("entry", "ps_0"):
        for version in ("100", "200"):
            (tmp_path / "exported" / sub / version).mkdir(parents=True)
            (tmp_path / "exported" / sub / version / "saved_model.pb").write_bytes(b"x" * 15)
    done = run("agent-client", "get", "--args", "info", "--model-dir", tmp_path / "exported")
    assert (
        done.stdout.decode()
        == f"{{'entry': (15, '{tmp_path}/exported/entry/200'), 'ps_0': (15, '{tmp_path}/exported/ps_0/200')}}\n"
    )
    assert (
        json.loads(run("agent-client", "get", "--args", "info", "--model-dir", tmp_path / "exported", "--json").stdout)[
            "ps_0"
        ]["bytes"]
        == 15
    )
    assert run("agent-client", "get", "--args", "info", check=False).returncode == 2


def test_what_is_asked_of_a_model_server_goes_through_tfs_client(run):
    done = run("agent-client", "status", "--target", "127.0.0.1:1", "--model-name", "m", check=False)
    assert done.returncode == 69 and "127.0.0.1:1" in done.stderr
