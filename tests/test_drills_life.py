"""The whole life of a model with real model servers and a real ensemble, for agents of all versions: declared,
published, loaded, served, a new version rolled in, unloaded; two replicas, and a client that predicts all the while
and must not notice. Then a server that crashes and an agent that is killed, with a model that takes its time to
load."""

import os
import signal

import pytest
import saved_models
from agents import SESSION_S, wait_until, zk
from fleets import Fleet

LOAD_S = 180.0  # TensorFlow's start, twice, on a busy machine
SLACK_S = 15.0  # beyond a session's time-out


@pytest.mark.parametrize("version", [1, 2, 3], ids=lambda v: f"v{v}")
def test_life_of_a_model(version, zookeeper_ensemble, tmp_path):
    models = tmp_path / "models"
    saved_models.constant(models / "ps_0", 1)
    with (
        zk(zookeeper_ensemble.servers, 30.0) as connection,
        Fleet(version, tmp_path, zookeeper_ensemble.servers, connection, models) as fleet,
    ):
        if version != 1:
            for agent in fleet.agents:
                wait_until(lambda a=agent: a.heart_beat() == {}, LOAD_S, "the agent")
            wait_until(fleet.containers_are_known, LOAD_S, "the containers")
            assert fleet.listed() == [] if connection.exists(fleet.root) else True
        fleet.ask()
        fleet.wait_whole(LOAD_S)
        with fleet.client as client:
            fleet.check_client()
            assert client.values == {1.0}
            # A new version is rolled in.
            saved_models.constant(models / "ps_0", 2)
            if version == 2:
                fleet.ask()
            wait_until(lambda: 2.0 in client.values, LOAD_S, "the new version")
            wait_until(lambda: client.seen_within(0.5) == {2.0}, LOAD_S, "the old version's end")
            fleet.wait_whole(LOAD_S)
            # A server crashes, and comes back with its models.
            agent = fleet.agents[0]
            ((_, pid),) = agent.server_pids().items()
            before = fleet.registrations()
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(fleet.registrations() & before) == 1, 30, "its being struck off")
            fleet.check_client()
            fleet.wait_whole(LOAD_S)
            # An agent is killed, its servers with it; the next run takes its place.
            agent.kill()
            wait_until(lambda: len(fleet.listed()) == 1, SESSION_S + SLACK_S, "the stale registration's end")
            fleet.check_client()
            agent.start()
            fleet.wait_whole(LOAD_S)
            fleet.check_client()
            assert client.values == {1.0, 2.0}
            if version == 1:
                # An orderly end takes nobody's answers away either.
                assert agent.stop() == 143
                wait_until(lambda: len(fleet.listed()) == 1, SLACK_S, "what another server of the ensemble knows")
                fleet.check_client()
                return
        fleet.take_back()
        wait_until(lambda: fleet.addresses() == [] == fleet.listed(), 60, "its being unloaded")
        assert all(fleet.agents[i].process.poll() is None for i in range(2))
