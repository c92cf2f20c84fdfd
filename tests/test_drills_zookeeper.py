"""Drills against a real ensemble of three, for agents of all versions: two replicas, and a client that predicts all
the while and must not notice. Model servers are stand-ins; test_drills_life.py has real ones."""

import contextlib
import os
import signal
import time

import pytest
from agents import SESSION_S, fake_server, wait_until, zk
from fleets import Fleet

# Beyond the session's time-out: a server's tick or two, the poll of the test, a busy machine.
SLACK_S = 15.0


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda v: f"v{v}")
def fleet(request, zookeeper_ensemble, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"v{request.param}")
    version = folder / "models" / "ps_0" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"")
    with zk(zookeeper_ensemble.servers, 30.0) as connection:
        with Fleet(
            request.param, folder, zookeeper_ensemble.servers, connection, folder / "models", fake_server(folder)
        ) as made:
            wait_until(made.containers_are_known, what="containers")
            made.ask()
            made.wait_whole()
            with made.client:
                yield made


@pytest.fixture(autouse=True)
def unharmed(fleet):
    """Before and after each drill all is well, and the client has not noticed."""
    fleet.wait_whole()
    fleet.check_client()
    yield
    fleet.wait_whole()
    fleet.prove_watches()
    fleet.check_client()


@contextlib.contextmanager
def held_still(ensemble, seconds):
    """All servers stand still for a while: connections stay open and nothing answers."""
    for i in range(ensemble.n):
        ensemble.stall(i)
    try:
        time.sleep(seconds)
        yield
    finally:
        for i in range(ensemble.n):
            ensemble.resume(i)


def test_a_follower_is_killed(fleet, zookeeper_ensemble):
    follower = zookeeper_ensemble.followers()[0]
    zookeeper_ensemble.kill(follower)
    fleet.check_client(100)
    fleet.wait_whole(SESSION_S + SLACK_S)
    zookeeper_ensemble.restart(follower)


def test_the_leader_is_killed(fleet, zookeeper_ensemble):
    leader = zookeeper_ensemble.leader()
    zookeeper_ensemble.kill(leader)
    fleet.check_client(100)
    fleet.wait_whole(60)
    fleet.prove_watches()
    zookeeper_ensemble.restart(leader)


def test_the_network_stalls_shortly(fleet, zookeeper_ensemble):
    with held_still(zookeeper_ensemble, SESSION_S / 2):
        fleet.check_client(20)
        assert all(len(fleet.told(a)) == 2 for a in fleet.agents)


def test_the_network_stalls_for_longer_than_a_session(fleet, zookeeper_ensemble):
    with held_still(zookeeper_ensemble, 2 * SESSION_S):
        fleet.check_client(50)
        # Agents that hear nothing go on with what they knew.
        assert all(len(fleet.told(a)) == 2 for a in fleet.agents)
    fleet.wait_whole(60)


def test_a_session_expires(fleet):
    """An agent stands still for longer than its session; its server goes on. The others strike it off in time, and it
    comes back."""
    still, other = fleet.agents
    still.pause()
    begun = time.monotonic()
    try:
        wait_until(lambda: len(fleet.listed()) == 1, SESSION_S + SLACK_S, "the stale registration's end")
        wait_until(lambda: len(fleet.told(other)) == 1, SLACK_S, "one address")
        time.sleep(max(0, SESSION_S + 1 - (time.monotonic() - begun)))
    finally:
        still.resume()
    fleet.wait_whole(60)


def test_an_agent_is_killed(fleet):
    killed, other = fleet.agents[::-1]
    pids = list(killed.server_pids().values())
    killed.kill()
    wait_until(lambda: len(fleet.listed()) == 1, SESSION_S + SLACK_S, "the stale registration's end")
    wait_until(lambda: len(fleet.told(other)) == 1, SLACK_S, "one address")
    import psutil

    wait_until(lambda: not any(psutil.pid_exists(p) for p in pids), SLACK_S, "the end of its servers")
    killed.start()
    fleet.wait_whole()


def test_an_agent_is_killed_and_started_at_once(fleet):
    """The nodes of the run before are still there when it registers; they must not take its own along when their
    session ends."""
    agent, before = fleet.agents[0], fleet.owners()
    assert len(before) == 2
    agent.kill()
    agent.start()

    def registered_anew():
        owners = fleet.owners()
        return len(owners) == 2 and len(owners & before) < 2

    wait_until(registered_anew, what="registrations of the new run")
    lost, end = fleet.lost_sessions(), time.monotonic() + SESSION_S + 3
    while time.monotonic() < end:
        if len(fleet.listed()) < 2:
            # On a machine that stood still a living session may end. No other reason counts.
            wait_until(lambda: fleet.lost_sessions() > lost, SLACK_S, "the loss of a session, as a registration is gone")
            break
        time.sleep(0.2)


def test_a_server_crashes(fleet):
    agent = fleet.agents[0]
    ((port, pid),) = agent.server_pids().items()
    before = fleet.registrations()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(fleet.registrations() & before) == 1, SLACK_S, "the dead server's being struck off")
    wait_until(lambda: len(fleet.listed()) == 2, 60, "its return")
    assert list(agent.server_pids()) == [port] and agent.server_pids()[port] != pid
