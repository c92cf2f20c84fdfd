"""Agent of version 1: registration, the gate of the entry, restarts, orderly end; with a model server that has no
models."""

import json
import signal

import grpc
import pytest
from agents import AT_ONCE_S, DENSE, ENTRY, PS, Agent, fake_server, wait_until, zk

POD = {"MY_POD_NAME": "pod-abc"}  # replica 294473408336 (T1)
REPLICA = "294473408336"
PAUSE_S = 8.0  # before a crashed server is started again: time enough to look at what is told meanwhile


def conf(folder, **more):
    return {
        "bzid": "gip",
        "base_name": "movie",
        "base_path": "/models",
        "num_ps": 2,
        "deploy_type": "mixed",
        "tfs_binary": fake_server(folder),
    } | more


def state(connection, path):
    return json.loads(connection.get(path)[0])["stat"]


def test_mixed_container_from_start_to_end(zookeeper, tmp_path):
    with zk(zookeeper.servers) as connection, Agent(tmp_path, zookeeper.servers, conf(tmp_path), **POD) as agent:
        wait_until(lambda: agent.heart_beat(ENTRY).get("entry:0"), what="the entry")
        root = "/gip/service/movie"
        assert connection.children(root) == ["entry:0", "ps:0", "ps:1"]
        nodes = {task: connection.children(f"{root}/{task}") for task in connection.children(root)}
        assert nodes == {"entry:0": ["294473408336".zfill(11)], "ps:0": [REPLICA], "ps:1": [REPLICA]}
        data, stat = connection.get(f"{root}/ps:1/{REPLICA}")
        assert stat.ephemeralOwner
        ps = agent.heart_beat(PS)
        assert list(ps) == ["ps:0", "ps:1"] and ps["ps:0"] == ps["ps:1"] == agent.replicas(PS, 1)
        meta = json.loads(data)
        archon = meta["archon_address"]
        assert data.decode() == (
            f'{{"address": "{ps["ps:1"][0]}", "address_ipv6": "[::]:{ps["ps:1"][0].split(":")[1]}", "stat": 30, "model_name": null, '
            f'"server_type": null, "task": -1, "replica": -1, "archon_address": "{archon}", '
            f'"archon_address_ipv6": "[::]:{archon.split(":")[1]}"}}'
        )
        assert agent.heart_beat(DENSE) == {}
        ready = {"ps": "ready", "entry": "ready"}
        wait_until(lambda: json.loads(agent.http("/healthz")[1])["servers"] == ready, what="ready servers")
        assert agent.http("/healthz")[0] == 200
        told = (
            'monolith_agent_server_running{server="ps"} 1.0',
            "monolith_agent_zookeeper_connected 1.0",
            'monolith_agent_nodes{state="published"} 3.0',
        )
        wait_until(lambda: (body := agent.http("/metrics")[1]) and all(line in body for line in told), what="metrics")
        assert agent.stop() == 143
        tasks = [f"{root}/ps:0", f"{root}/ps:1", f"{root}/entry:0"]
        wait_until(lambda: not any(map(connection.children, tasks)), AT_ONCE_S, "its withdrawing")
    # The log of each server, and its flags.
    assert "--file_system_poll_wait_seconds=0" in (tmp_path / "ps_tfs.log").read_text()
    assert (tmp_path / "entry_tfs.log").exists()


def test_entry_waits_for_parameter_servers(zookeeper, tmp_path):
    base = conf(tmp_path, bzid="gate", num_ps=2)
    with (
        zk(zookeeper.servers) as connection,
        Agent(tmp_path / "e", zookeeper.servers, base | {"deploy_type": "entry"}, **POD) as entry,
    ):
        wait_until(
            lambda: connection.exists(f"/gate/service/movie/entry:0/{REPLICA}".replace(REPLICA, REPLICA.zfill(11))),
            what="registration",
        )
        wait_until(lambda: "the entry waits for ps:0, ps:1" in entry.log.read_text())
        assert not entry.server_pids()
        shards = [
            Agent(
                tmp_path / f"s{i}",
                zookeeper.servers,
                base | {"deploy_type": "ps", "num_shard": 2},
                MY_POD_NAME=f"ps-{i}",
                SHARD_ID=str(i),
                MONOLITH_HOST_SHARD_N="2",
            )
            for i in range(2)
        ]
        with shards[0], shards[1]:
            wait_until(lambda: entry.heart_beat(ENTRY).get("entry:0"), what="the entry")
            found = entry.heart_beat(PS)
            assert [len(found[f"ps:{i}"]) for i in range(2)] == [1, 1] and found["ps:0"] != found["ps:1"]


def test_without_pod_name_the_entry_draws_a_number_and_lends_it(zookeeper, tmp_path):
    with zk(zookeeper.servers) as connection:
        for number in range(2):
            with Agent(tmp_path / str(number), zookeeper.servers, conf(tmp_path, bzid="draw", num_ps=1)) as agent:
                wait_until(lambda: agent.heart_beat(ENTRY).get("entry:0"), what="the entry")
                assert connection.children("/draw/service/movie/entry:0") == [f"{number:011d}"]
                assert connection.children("/draw/service/movie/ps:0") == [str(number)]
    with Agent(
        tmp_path / "ps", zookeeper.servers, conf(tmp_path, bzid="draw", deploy_type="ps"), SHARD_ID="0"
    ) as alone:
        assert alone.process.wait(90) == 78
        assert "set MY_POD_NAME" in alone.log.read_text()


def test_a_crashed_server_is_started_again_and_listed_meanwhile_as_unknown(zookeeper, tmp_path):
    import os

    with (
        zk(zookeeper.servers) as connection,
        Agent(
            tmp_path, zookeeper.servers, conf(tmp_path, bzid="crash", num_ps=1), "--restart-pause", str(PAUSE_S), **POD
        ) as agent,
    ):
        path = f"/crash/service/movie/ps:0/{REPLICA}"
        wait_until(lambda: state(connection, path) == 30, what="ps")
        wait_until(lambda: len(agent.server_pids()) == 2)
        port = agent.heart_beat(PS)["ps:0"][0].rpartition(":")[2]
        os.kill(agent.server_pids()[port], signal.SIGKILL)
        wait_until(lambda: state(connection, path) == 0, PAUSE_S, "UNKNOWN")
        wait_until(lambda: agent.heart_beat(PS) == {"ps:0": []}, PAUSE_S, "no address")
        wait_until(lambda: agent.http("/healthz")[0] == 503, PAUSE_S, "the supervisor to notice")
        wait_until(lambda: state(connection, path) == 30, what="AVAILABLE again")
        wait_until(lambda: agent.http("/healthz")[0] == 200, what="health")
        assert 'monolith_agent_server_restarts_total{server="ps"} 1.0' in agent.http("/metrics")[1]


def test_a_server_that_keeps_ending_ends_the_agent(zookeeper, tmp_path):
    binary = tmp_path / "ends"
    binary.write_text("#!/bin/sh\nexit 3\n")
    binary.chmod(0o755)
    with zk(zookeeper.servers) as connection:
        with Agent(
            tmp_path,
            zookeeper.servers,
            conf(tmp_path, bzid="ends", tfs_binary=str(binary)),
            "--max-restarts",
            "1",
            **POD,
        ) as agent:
            assert agent.process.wait(90) == 69
            assert "exit 3, after 1 new starts in a row" in agent.log.read_text()
        wait_until(lambda: connection.children("/ends/service/movie/ps:0") == [], AT_ONCE_S, "its withdrawing")


def test_a_deleted_node_comes_back(zookeeper, tmp_path):
    with (
        zk(zookeeper.servers) as connection,
        Agent(tmp_path, zookeeper.servers, conf(tmp_path, bzid="clean", num_ps=1), **POD) as agent,
    ):
        wait_until(lambda: agent.heart_beat(PS).get("ps:0"), what="ps")
        connection.delete("/clean/service", recursive=True)
        wait_until(lambda: state(connection, f"/clean/service/movie/ps:0/{REPLICA}") == 30, what="the node")
        wait_until(lambda: agent.heart_beat(PS).get("ps:0"), what="the address")


def test_locations(zookeeper, tmp_path):
    """dc_aware: own idc and cluster alone are handed out, and their nodes lie a level deeper."""
    base = conf(tmp_path, bzid="dc", num_ps=1, deploy_type="ps", dc_aware="true")
    here = {"TCE_INTERNAL_IDC": "LF", "TCE_LOGICAL_CLUSTER": "Default", "SHARD_ID": "0"}
    with (
        zk(zookeeper.servers) as connection,
        Agent(tmp_path / "a", zookeeper.servers, base, MY_POD_NAME="a", **here) as a,
        Agent(tmp_path / "b", zookeeper.servers, base, MY_POD_NAME="b", **here | {"TCE_INTERNAL_IDC": "HL"}) as b,
    ):
        wait_until(lambda: a.heart_beat(PS).get("ps:0") and b.heart_beat(PS).get("ps:0"), what="both")
        assert connection.children("/dc/service/movie") == ["hl:default", "lf:default"]
        assert a.heart_beat(PS) != b.heart_beat(PS) and len(a.replicas(PS)) == 1 == len(b.replicas(PS))
        a.process.send_signal(signal.SIGHUP)  # its terminal went away
        assert a.process.wait(90) == 129
        wait_until(lambda: connection.children("/dc/service/movie/lf:default/ps:0") == [], AT_ONCE_S, "its withdrawing")


def test_dense_processes(zookeeper, tmp_path):
    """A dense deployment is several agents, each with a replica id of its own (T32); one that ends takes the others
    along."""
    base = conf(tmp_path, bzid="mps", deploy_type="dense", dense_alone="true", dense_service_num=2)
    with zk(zookeeper.servers) as connection, Agent(tmp_path, zookeeper.servers, base, **POD) as agent:
        first = int(REPLICA) * 2
        wait_until(
            lambda: connection.children("/mps/service/movie/dense:0") == [str(first), str(first + 1)],
            what="two replicas",
        )
        for i in range(2):
            wait_until(lambda i=i: state(connection, f"/mps/service/movie/dense:0/{first + i}") == 30, what="AVAILABLE")
        assert (tmp_path / "dense_tfs.log.mps0").exists() and (tmp_path / "dense_tfs.log.mps1").exists()
        assert agent.stop() == 143
        wait_until(lambda: connection.children("/mps/service/movie/dense:0") == [], AT_ONCE_S, "their withdrawing")


def test_a_second_signal_ends_at_once(zookeeper, tmp_path):
    with (
        zk(zookeeper.servers) as connection,
        Agent(tmp_path, zookeeper.servers, conf(tmp_path, bzid="twice", num_ps=1), "--drain", "600", **POD) as agent,
    ):
        wait_until(lambda: agent.heart_beat(PS).get("ps:0"), what="ps")
        pids = agent.server_pids().values()
        agent.process.terminate()
        wait_until(lambda: connection.children("/twice/service/movie/ps:0") == [], what="its withdrawing")
        agent.process.terminate()
        assert agent.process.wait(180) == 143
        import psutil

        wait_until(lambda: not any(psutil.pid_exists(p) for p in pids), what="the end of the servers")


@pytest.mark.parametrize("method", ["replicas", "heart_beat"])
def test_unknown_server_type_is_refused(zookeeper, tmp_path, method):
    with Agent(tmp_path, zookeeper.servers, conf(tmp_path, bzid="wrong", num_ps=1), **POD) as agent:
        wait_until(lambda: agent.heart_beat(PS) or True)
        with pytest.raises(grpc.RpcError) as e:
            getattr(agent, method)(7)
        assert e.value.code() == grpc.StatusCode.INVALID_ARGUMENT
