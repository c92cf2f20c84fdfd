"""Agent of version 3: layouts, filters, bindings, containers; with a model server that has no models."""

import json
import os
import signal

import grpc
import pytest
from agents import AT_ONCE_S, PS, SESSION_S, Agent, fake_server, wait_until, zk

from monolith_cli.serving.zookeeper.records import ContainerServiceInfo, SavedModelDeployConfig

MODEL = "m"
PAUSE_S = 8.0  # before a crashed server is started again: time enough to see that it is unbound


def conf(folder, bzid, **more):
    return {
        "bzid": bzid,
        "deploy_type": "unified",
        "agent_version": 3,
        "layout_pattern": f"/{bzid}/layout",
        "tfs_binary": fake_server(folder),
    } | more


def declare(connection, bzid, *sub_graphs, model=MODEL, base="/models", policy="latest"):
    for name in sub_graphs:
        connection.create(
            f"/{bzid}/saved_models/{model}/{name}", SavedModelDeployConfig(f"{base}/{name}", policy).to_json()
        )


def publish(connection, bzid, *sub_graphs, model=MODEL):
    for name in sub_graphs:
        connection.create(f"/{bzid}/layout/{model}:{name}")


def config_text(agent):
    return (agent.folder / "run" / "model_config.pbtxt").read_text()


def names(agent):
    return [line.split('"')[1] for line in config_text(agent).splitlines() if "name:" in line]


FLAGS = ("--model-root", "/models")


def test_layout_with_filters_to_bindings(zookeeper, tmp_path):
    """T21."""
    filters = ["entry;True", "ps_{i};i % ${shard_num} == ${shard_id}"]
    with (
        zk(zookeeper.servers) as connection,
        Agent(
            tmp_path,
            zookeeper.servers,
            conf(tmp_path, "gip", layout_filters=filters),
            *FLAGS,
            MY_POD_NAME="pod-7",
            TCE_PSM="data.reco.tfs",
            TCE_INTERNAL_IDC="LF",
            TCE_CLUSTER="default",
        ) as agent,
    ):
        container = "data.reco.tfs;lf;default:pod-7"
        info = ContainerServiceInfo.from_json(
            wait_until(lambda: connection.get(f"/gip/container_service/{container}")[0])
        )
        assert json.loads(info.debug_info) == {
            "layout_path": "/gip/layout",
            "layout_filters": ["entry;True", r"ps_(?P<i>\d+);i % 1 == 0"],
        }
        assert info.agent == f"127.0.0.1:{agent.port}" and info.idc == "lf"
        wait_until(lambda: agent.heart_beat() == {}, what="the service")
        assert config_text(agent) == "model_config_list {\n}\n"
        declare(connection, "gip", "entry", "ps_0", "ps_1", "dense_0")
        publish(connection, "gip", "ps_1", "entry", "ps_0", "dense_0")
        expected = {f"m:{name}": [info.grpc] for name in ("entry", "ps_0", "ps_1")}
        wait_until(lambda: agent.heart_beat() == expected, what="three sub graphs")
        assert names(agent) == ["m:entry", "m:ps_0", "m:ps_1"]
        assert connection.children("/gip/binding/m") == [f"{name}:{container}" for name in ("entry", "ps_0", "ps_1")]
        connection.delete("/gip/layout/m:ps_0")
        wait_until(lambda: sorted(agent.heart_beat()) == ["m:entry", "m:ps_1"], what="two")
        # A model that leaves and comes back has its bindings at once.
        for name in ("entry", "ps_1", "dense_0"):
            connection.delete(f"/gip/layout/m:{name}")
        wait_until(lambda: agent.heart_beat() == {} and config_text(agent) == "model_config_list {\n}\n", what="nothing")
        publish(connection, "gip", "entry")
        wait_until(lambda: agent.heart_beat() == {"m:entry": [info.grpc]}, what="the entry again")
        with agent.stub() as stub:
            from monolith_protos import agent_service_pb2 as pb

            own = stub.GetResource(pb.GetResourceRequest(), timeout=30)
            assert own.address == info.agent and own.memory > 0 and own.replica_id == -1 and own.cpu == -1.0
        with pytest.raises(grpc.RpcError) as e:
            agent.replicas(PS)
        assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
        assert agent.stop() == 143
        nodes = ("/gip/binding/m", "/gip/container_service")
        wait_until(lambda: not any(map(connection.children, nodes)), AT_ONCE_S, "its withdrawing")


def test_two_containers_part_the_sub_graphs_and_know_of_each_other(zookeeper, tmp_path):
    filters = ["entry; True", "ps_{i}; i % ${shard_num} == ${shard_id}"]
    with zk(zookeeper.servers) as connection:
        declare(connection, "two", "entry", *(f"ps_{i}" for i in range(4)))
        publish(connection, "two", "entry", *(f"ps_{i}" for i in range(4)))
        agents = [
            Agent(
                tmp_path / f"a{i}",
                zookeeper.servers,
                conf(tmp_path, "two", layout_filters=filters),
                *FLAGS,
                session_s=SESSION_S,
                MY_POD_NAME=f"pod-{i}",
                SHARD_ID=str(i),
                MONOLITH_HOST_SHARD_N="2",
            )
            for i in range(2)
        ]
        with agents[0], agents[1]:
            for agent in agents:
                found = wait_until(
                    lambda a=agent: (f := a.heart_beat()) and len(f) == 5 and len(f["m:entry"]) == 2 and f,
                    what="all sub graphs",
                )
                assert found["m:ps_0"] == found["m:ps_2"] != found["m:ps_1"] == found["m:ps_3"]
                assert sorted(found["m:entry"]) == sorted(found["m:ps_0"] + found["m:ps_1"])
            assert names(agents[1]) == ["m:entry", "m:ps_1", "m:ps_3"]
            agents[1].kill()
            wait_until(
                lambda: sorted(agents[0].heart_beat()) == ["m:entry", "m:ps_0", "m:ps_2"], SESSION_S + 15, "the session's end"
            )


def test_a_server_that_crashes_is_unbound_and_comes_back_with_its_models(zookeeper, tmp_path):
    with (
        zk(zookeeper.servers) as connection,
        Agent(
            tmp_path, zookeeper.servers, conf(tmp_path, "crash"), *FLAGS, "--restart-pause", str(PAUSE_S), MY_POD_NAME="p"
        ) as agent,
    ):
        declare(connection, "crash", "entry")
        publish(connection, "crash", "entry")
        wait_until(lambda: agent.heart_beat().get("m:entry"), what="the entry")
        (pid,) = agent.server_pids().values()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: connection.children("/crash/binding/m") == [], PAUSE_S, "no binding")
        wait_until(lambda: agent.heart_beat().get("m:entry"), what="the entry again")
        assert list(agent.server_pids().values()) != [pid]


def test_what_cannot_be_served_is_named_and_takes_nothing_else_along(zookeeper, tmp_path):
    with (
        zk(zookeeper.servers) as connection,
        Agent(tmp_path, zookeeper.servers, conf(tmp_path, "bad"), *FLAGS, MY_POD_NAME="p") as agent,
    ):
        declare(connection, "bad", "entry")
        declare(connection, "bad", "outside", base="/models/../etc")
        connection.create("/bad/saved_models/m/broken", b"{")
        declare(connection, "bad", "odd", policy="newest")
        publish(connection, "bad", "entry", "outside", "broken", "odd", "late")
        connection.create("/bad/layout/nonsense")
        wait_until(lambda: agent.heart_beat().get("m:entry"), what="the entry")
        for told in (
            "m:outside: /bad/saved_models/m/outside: base path /models/../etc/outside is outside of what --model-root allows",
            "m:broken: /bad/saved_models/m/broken: this is no SavedModelDeployConfig",
            "version_policy newest is none of latest, latest_once, all",
            "m:late: not declared, there is no /bad/saved_models/m/late",
        ):
            wait_until(lambda told=told: told in agent.log.read_text(), what=told)
        assert names(agent) == ["m:entry"]
        # Declared afterwards, it is taken up; a declaration that is spoilt changes nothing for what is served.
        declare(connection, "bad", "late")
        connection.set("/bad/saved_models/m/entry", b"")
        wait_until(lambda: sorted(agent.heart_beat()) == ["m:entry", "m:late"], what="both")


def test_latest_once_keeps_the_version_that_was_there(zookeeper, tmp_path):
    base = tmp_path / "models"
    (base / "ps_0" / "7").mkdir(parents=True)
    (base / "ps_0" / "12").mkdir()
    with (
        zk(zookeeper.servers) as connection,
        Agent(tmp_path, zookeeper.servers, conf(tmp_path, "once"), "--model-root", base, MY_POD_NAME="p") as agent,
    ):
        declare(connection, "once", "ps_0", base=base, policy="latest_once")
        publish(connection, "once", "ps_0")
        wait_until(lambda: agent.heart_beat().get("m:ps_0"), what="ps_0")
        assert "specific {\n        versions: 12\n" in config_text(agent)
        (base / "ps_0" / "20").mkdir()
        declare(connection, "once", "entry", base=base)
        publish(connection, "once", "entry")
        wait_until(lambda: names(agent) == ["m:entry", "m:ps_0"])
        assert "versions: 12\n" in config_text(agent)
        connection.delete("/once/layout/m:ps_0")
        wait_until(lambda: names(agent) == ["m:entry"])
        publish(connection, "once", "ps_0")
        wait_until(lambda: "versions: 20\n" in config_text(agent), what="the newest")


def test_mistakes_at_the_start(zookeeper, tmp_path):
    for number, (change, flags, message) in enumerate(
        [
            ({}, (), "say where they may lie by --model-root DIR"),
            ({"layout_filters": "ps_{i}"}, FLAGS, "must be match;condition"),
            ({"layout_filters": "ps_{i}; __import__('os')"}, FLAGS, "condition"),
            ({"tfs_binary": "/no/such"}, FLAGS, "/no/such: there is no such program"),
            ({"deploy_type": "mixed"}, FLAGS, "3 goes with unified alone"),
        ]
    ):
        with Agent(tmp_path / str(number), zookeeper.servers, conf(tmp_path, "no") | change, *flags) as agent:
            assert agent.process.wait(90) == 78, agent.log.read_text()
            assert message in agent.log.read_text()
