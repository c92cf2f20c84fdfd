"""The agent's configuration record: what follows from it and from the environment of the container (spec 60, 3.1 and 3.2)."""

import dataclasses
import os
import socket
import socketserver
import subprocess
import sys
from concurrent import futures

import grpc
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from monolith_cli import errors
from monolith_cli.serving.agent.config import FIELDS, PASS_THROUGH, AgentConfig, DeployType, is_absolute, load_config
from monolith_cli.serving.agent.ports import HeldPorts, dense_environments, replica_id_of_pod

MIXED = {
    "PORT": "9000", "PORT3": "8500", "PORT4": "8501", "PORT5": "8600", "PORT6": "8601", "PORT7": "8602", "PORT8": "8700", "PORT9": "8701",
    "PORT10": "8702", "SHARD_ID": "1", "MONOLITH_HOST_SHARD_N": "5", "TCE_PSM": "data.reco.tfs", "TCE_CLUSTER": "default",
    "TCE_INTERNAL_IDC": "LF", "TCE_LOGICAL_CLUSTER": "Default"}


def ports(c):
    return {f.name: getattr(c, f.name) for f in FIELDS if f.name.startswith(("tfs_", "proxy", "agent_p")) and "port" in f.name}


@pytest.mark.parametrize("environ, number", [
    ({"MY_POD_NAME": "pod-abc"}, 294473408336), ({"MY_POD_NAME": "pod_name"}, 403042163166), ({"MY_POD_NAME": ""}, 2986666368), ({}, -1)])
def test_replica_id_of_a_pod(environ, number):
    """T1."""
    assert replica_id_of_pod(environ) == number
    assert AgentConfig(deploy_type="entry", environ=environ).replica_id == number


def test_replica_id_of_a_pod_whose_name_is_no_text():
    assert replica_id_of_pod({"MY_POD_NAME": os.fsdecode(b"pod\xff")}) >= 0


def test_replica_id_by_agent_version():
    environ = {"MY_POD_NAME": "pod-abc", "REPLICA_ID": "7"}
    assert AgentConfig(deploy_type="entry", agent_version=1, environ=environ).replica_id == 294473408336
    assert AgentConfig(deploy_type="unified", agent_version=3, environ=environ).replica_id == 7
    assert AgentConfig(deploy_type="unified", agent_version=3, environ=environ | {"REPLICA_ID": "-1"}).replica_id == 294473408336
    assert AgentConfig(deploy_type="entry", replica_id=3, environ={}).replica_id == -1


def test_a_mixed_container():
    """T7."""
    c = AgentConfig(deploy_type="mixed", base_path="/model/test_model/saved_models", bzid="bzid", base_name="test_model", num_ps=12,
                    dense_alone=True, dc_aware=True, environ=MIXED)
    assert (c.location, c.path_prefix) == ("lf:default", "/bzid/service/test_model/lf:default")
    assert c.container_cluster == "data.reco.tfs;lf;default" and c.ps_tasks == [1, 6, 11]
    assert (c.ports("ps"), c.ports("entry"), c.ports("dense")) == ((8600, 8601, 8602), (8500, 8501, 9000), (8700, 8701, 8702))
    assert [str(t) for t in c.server_types] == ["ps", "dense", "entry"]


FREE = object()


@pytest.mark.parametrize("settings, index, want", [
    ({"deploy_type": "mixed"}, None, {"entry": (3, 4, 0), "ps": (5, 6, 7)}),
    ({"deploy_type": "mixed", "dense_alone": True}, None, {"entry": (3, 4, 0), "ps": (5, 6, 7), "dense": (8, 9, 10)}),
    ({"deploy_type": "mixed", "dense_alone": True}, 1, {"entry": (3, 4, 0), "ps": (5, 6, 7), "dense": FREE}),
    ({"deploy_type": "entry"}, None, {"entry": (3, 4, 0), "ps": FREE}),
    ({"deploy_type": "entry", "dense_alone": True}, None, {"entry": (3, 4, 0), "ps": FREE, "dense": FREE}),
    ({"deploy_type": "ps"}, None, {"entry": FREE, "ps": (3, 4, 0)}),
    ({"deploy_type": "ps", "dense_alone": True}, 2, {"entry": FREE, "ps": (3, 4, 0), "dense": FREE}),
    ({"deploy_type": "dense", "dense_alone": True}, 0, {"entry": FREE, "ps": FREE, "dense": (3, 4, 0)}),
    ({"deploy_type": "dense", "dense_alone": True}, 2, {"entry": FREE, "ps": FREE, "dense": FREE}),
    ({"deploy_type": "unified", "agent_version": 3}, None, {"unified": (3, 4, 0)}),
])
def test_ports_of_each_deploy_type(settings, index, want):
    """gRPC, HTTP and archon port, by the number of their variable."""
    number = {i: 20000 + i for i in range(11)}
    environ = {("PORT" if i == 0 else f"PORT{i}"): str(p) for i, p in number.items()} | ({} if index is None else {"DENSE_SERVICE_IDX": str(index)})
    c = AgentConfig(**settings, environ=environ)
    for kind, expected in want.items():
        if expected is FREE:
            assert not set(c.ports(kind)) & set(number.values())
        else:
            assert c.ports(kind) == tuple(number[i] for i in expected)
    for kind in {"entry", "ps", "dense", "unified"} - want.keys():
        with pytest.raises(errors.ConfigError, match="there are no ports"):
            c.ports(kind)
    assert c.agent_port == number[2] and (c.proxy_port is None) == (settings["deploy_type"] == "unified")
    used = [p for p in ports(c).values() if p]
    assert len(used) == len(set(used))
    c.release_ports()


VARIABLES = ["PORT", *(f"PORT{i}" for i in range(2, 11)), "SHARD_ID", "REPLICA_ID", "MONOLITH_HOST_SHARD_N", "DENSE_SERVICE_IDX", "MY_POD_NAME",
             "MY_HOST_IP", "TCE_INTERNAL_IDC", "TCE_CLUSTER", "TCE_PSM", "MONOLITH_AGENT_RUN_DIR"]


@given(st.sampled_from(list(DeployType)), st.booleans(), st.sampled_from([1, 2, 3]),
       st.dictionaries(st.sampled_from(VARIABLES), st.integers(0, 40000).map(str)), st.integers(1, 65535) | st.none())
def test_ports_are_the_given_ones_and_never_one_for_two(deploy, dense_alone, version, environ, agent_port):
    try:
        c = AgentConfig(deploy_type=deploy, dense_alone=dense_alone, agent_version=version, environ=environ, agent_port=agent_port)
    except errors.ConfigError:
        return
    used = [p for p in ports(c).values() if p]
    assert len(used) == len(set(used)) and all(0 < p < 65536 for p in used)
    given_ports = {int(v) for n, v in environ.items() if n.startswith("PORT")}
    if environ.get("PORT3", "0") != "0" and not (deploy == "dense" and environ.get("DENSE_SERVICE_IDX", "0") != "0"):
        own = "entry" if deploy == "mixed" else deploy
        assert c.ports(own)[0] == int(environ["PORT3"])
    chosen = set(used) - given_ports - {agent_port}
    assert chosen == set(c.held_ports._sockets)
    c.release_ports()


@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(st.characters(exclude_characters="\0"), max_size=12)))
def test_no_environment_makes_a_trace(environ):
    try:
        c = AgentConfig(deploy_type="ps", bzid="b", base_name="m", environ=environ)
        assert (c.path_prefix, c.location is None or ":" in c.location) == ("/b/service/m", True)
        c.container_cluster, c.idc, c.ps_tasks  # noqa: B018
        c.release_ports()
    except errors.Error:
        return


def test_free_ports_are_none_that_somebody_named(monkeypatch):
    seen = []
    monkeypatch.setattr(HeldPorts, "hold", lambda self, avoid: (seen.append(set(avoid)), 30000 + len(seen))[1])
    AgentConfig(deploy_type="ps", agent_port=41, environ={"PORT": "42", "PORT1": "43", "PORT9": "44"})
    assert len(seen) == 6 and all({41, 42, 43, 44} <= s for s in seen)


def test_agent_port_is_kept_if_configured():
    assert AgentConfig(deploy_type="entry", agent_port=7777, environ={"PORT2": "8888"}).agent_port == 7777


@pytest.mark.parametrize("settings, environ, says", [
    ({}, {"PORT": "x"}, "PORT is 'x'"), ({}, {"PORT3": "70000"}, "PORT3 is 70000"), ({}, {"PORT": "81", "PORT4": "81"}, "both port 81"),
    ({"agent_port": 99999}, {}, "agent_port is 99999"), ({"agent_port": 82}, {"PORT": "82"}, "both port 82"),
    ({"num_shard": 3}, {"MONOLITH_HOST_SHARD_N": "5"}, "num_shard is 3"), ({}, {"MONOLITH_HOST_SHARD_N": "0"}, "must be at least 1"),
    ({}, {"SHARD_ID": "2", "MONOLITH_HOST_SHARD_N": "2"}, "SHARD_ID is 2"), ({"deploy_type": None}, {}, "deploy_type is not set"),
    ({"deploy_type": "all"}, {}, "deploy_type is 'all'"), ({"deploy_type": "dense"}, {}, "dense_alone"), ({"num_ps": 0}, {}, "num_ps is 0"),
    ({"tfs_flags": "all"}, {}, "tfs_flags is 'all'"),
])
def test_what_cannot_be(settings, environ, says):
    with pytest.raises(errors.ConfigError, match=says):
        AgentConfig(**{"deploy_type": "entry", **settings}, environ=environ)


def test_shard_of_a_container():
    assert AgentConfig(deploy_type="ps", environ={}).ps_tasks == [0]
    unknown = AgentConfig(deploy_type="ps", num_ps=4, environ={"MONOLITH_HOST_SHARD_N": "2"})
    assert unknown.shard_id == -1
    with pytest.raises(errors.ConfigError, match="SHARD_ID is not set"):
        unknown.ps_tasks  # noqa: B018


@pytest.mark.parametrize("deploy, asked, want", [
    ("mixed", "ps", "ps"), ("ps", None, "ps"), ("ps", "mixed", "ps"), ("unified", None, "unified"), ("ENTRY", "entry", "entry"),
    ("mixed", None, None), ("mixed", "mixed", None), ("entry", "ps", None), ("mixed", "dense", None), ("mixed", "nonsense", None)])
def test_resolution_of_server_types(deploy, asked, want):
    """T9."""
    c = AgentConfig(deploy_type=deploy, environ={})
    if want is None:
        with pytest.raises(errors.ConfigError):
            c.resolve_server_type(asked)
    else:
        assert c.resolve_server_type(asked) == want


def test_zk_servers_of_a_host_with_ipv6_alone():
    """T10."""
    environ = {"MY_HOST_IP": "", "MY_HOST_IPV6": "fe80::2"}
    with pytest.raises(errors.ConfigError, match="ipv6 only"):
        AgentConfig(deploy_type="entry", zk_servers="1.2.3.4:2181", environ=environ)
    c = AgentConfig(deploy_type="entry", zk_servers="[fe80::1]:2181,zk.host:2181", environ=environ)
    assert c.zk_servers == "[fe80::1]:2181,zk.host:2181"
    assert AgentConfig(deploy_type="entry", zk_servers="1.2.3.4:2181", environ={"MY_POD_IP": "10.0.0.1"}).zk_servers == "1.2.3.4:2181"


def test_children_of_a_dense_deployment():
    """T32; each loads its own configuration in its environment."""
    c = AgentConfig(deploy_type="dense", dense_alone=True, agent_version=3, dense_service_num=3, environ={"REPLICA_ID": "2", "PORT2": "8888"})
    children = [AgentConfig(deploy_type="dense", dense_alone=True, agent_version=v, environ=e) for v in (1, 3) for e in dense_environments(c)]
    assert [k.replica_id for k in children] == [6, 7, 8] * 2
    assert [k.agent_port == 8888 for k in children] == [True, False, False] * 2
    unnumbered = AgentConfig(deploy_type="dense", dense_alone=True, environ={})
    assert ["REPLICA_ID" in e for e in dense_environments(unnumbered)] == [False] * 3


def test_locations_and_paths():
    def c(**settings):
        environ = settings.pop("environ", {})
        return AgentConfig(deploy_type="entry", bzid="b", base_name="m", environ=environ, **settings)

    assert (c().location, c().path_prefix, c().container_cluster) == (None, "/b/service/m", "unknown;None;None")
    with pytest.raises(errors.ConfigError, match="TCE_INTERNAL_IDC is not set"):
        c(dc_aware=True).path_prefix  # noqa: B018
    with pytest.raises(errors.ConfigError, match="TCE_LOGICAL_CLUSTER is not set"):
        c(dc_aware=True, environ={"TCE_INTERNAL_IDC": "x"}).location  # noqa: B018
    by_physical = {"TCE_INTERNAL_IDC": "HL", "TCE_LOGICAL_CLUSTER": "", "TCE_PHYSICAL_CLUSTER": "P1"}
    assert c(environ=by_physical).location == "hl:p1"
    assert c(layout_pattern="l").layout_path == "/b/layouts/l" and c(layout_pattern="/x/y").layout_path == "/x/y"
    assert c(environ={"MY_POD_NAME": "pod-7"}).container_id == "pod-7" and c(environ={"MY_HOST_IP": "10.1.1.1"}).container_id == "10.1.1.1"
    assert is_absolute("hdfs:/a") and is_absolute("/a") and not is_absolute("a/b")


@pytest.mark.parametrize("settings, says", [
    ({"agent_version": 4}, "agent_version is 4"), ({"agent_version": 3}, "3 goes with unified"), ({"bzid": None}, "bzid is not set"),
    ({"agent_version": 3, "deploy_type": "unified"}, "layout_pattern"), ({"base_path": None}, "base_path"), ({"dc_aware": True}, "dc_aware"),
    ({"zk_servers": None}, "zk_servers"),
])
def test_what_an_agent_needs(settings, says):
    good = {"deploy_type": "entry", "bzid": "b", "base_name": "m", "base_path": "/m", "zk_servers": "zk:2181", "environ": {}}
    AgentConfig(**good).check()
    with pytest.raises(errors.ConfigError, match=says):
        AgentConfig(**good | settings).check()


def test_run_directory(tmp_path):
    c = AgentConfig(deploy_type="entry", environ={"MONOLITH_AGENT_RUN_DIR": str(tmp_path / "run")})
    assert c.run_path("f") == f"{tmp_path}/run/f" and (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.CannotCreateError, match="run directory"):
        AgentConfig(deploy_type="entry", run_dir=f"{tmp_path}/file/x", environ={}).run_path("f")


def test_a_run_directory_of_its_own_goes_with_the_process(tmp_path):
    program = """if True:
        import os
        from monolith_cli.serving.agent.config import AgentConfig
        c = AgentConfig(deploy_type="entry", environ={})
        path = c.run_path("f")
        open(path, "w").close()
        if (pid := os.fork()) == 0:
            raise SystemExit
        os.waitpid(pid, 0)
        print(path, os.path.exists(path))
    """
    env = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    said = subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True).stdout
    assert said.startswith(f"{tmp_path}/monolith-agent-") and said.endswith("/f True\n") and not list(tmp_path.iterdir())


def test_the_environment_is_read_when_the_record_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("SHARD_ID", "0")
    (tmp_path / "c").write_text("deploy_type ps\n")
    c = load_config(tmp_path / "c", bzid="over")
    monkeypatch.setenv("SHARD_ID", "9")
    assert (c.shard_id, c.bzid) == (0, "over")
    assert dataclasses.fields(AgentConfig)[0].name == PASS_THROUGH[0].name == "enable_batching" and len(PASS_THROUGH) == 25


def test_held_ports_are_given_to_nobody_but_servers_that_name_them():
    held = HeldPorts()
    mine = [held.hold() for _ in range(50)]
    others = [socket.socket() for _ in range(200)]
    for s in others:
        s.bind(("127.0.0.1", 0))
    assert not {s.getsockname()[1] for s in others} & set(mine)
    for s in others:
        s.close()

    class Server(socketserver.TCPServer):
        allow_reuse_address = True

    with Server(("127.0.0.1", mine[0]), socketserver.BaseRequestHandler) as server:
        assert server.server_address[1] == mine[0]
    for address in ("127.0.0.1", "[::]"):
        server = grpc.server(futures.ThreadPoolExecutor(1))
        assert server.add_insecure_port(f"{address}:{mine[1]}") == mine[1]
        server.start()
        grpc.channel_ready_future(grpc.insecure_channel(f"127.0.0.1:{mine[1]}")).result(10)
        server.stop(0).wait()
    held.close()


@given(st.sets(st.integers(1, 65535), max_size=30))
def test_a_held_port_is_none_of_those_to_avoid(avoid):
    held = HeldPorts()
    found = [held.hold(avoid) for _ in range(5)]
    assert len(set(found)) == 5 and not set(found) & avoid
    held.close()
