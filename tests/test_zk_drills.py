"""Drills with an ensemble of three: servers killed and held still, sessions ended, by chance and on purpose. Every
drill has a bound."""

import random
import time

import pytest
from test_zk_connection import BOUND_S, eventually

from monolith_cli import errors
from monolith_cli.serving.zookeeper.connection import EphemeralNodes, ZkConfig, connect

SESSION_S = 2


def session_of(ensemble):
    return connect(ZkConfig(ensemble.servers, session_timeout_s=SESSION_S))


@pytest.fixture
def observer(zookeeper_ensemble):
    """A session that waits long for a server."""
    with connect(ZkConfig(zookeeper_ensemble.servers, session_timeout_s=10, connect_timeout_s=BOUND_S)) as c:
        yield c
        c.create("/d/last")
        c.delete("/d", recursive=True)


@pytest.fixture
def whole(zookeeper_ensemble):
    yield zookeeper_ensemble
    for i, process in enumerate(zookeeper_ensemble._processes):
        if process is None:
            zookeeper_ensemble.restart(i, wait=False)
        else:
            zookeeper_ensemble.resume(i)
    zookeeper_ensemble.wait()


def held_by(observer, path, connection, data):
    """Whether a node is there, of this session, with these data."""
    stat = observer.exists(path)
    return stat is not None and stat.owner_session_id == connection.session_id and observer.get(path)[0] == data


@pytest.mark.parametrize("what", ["kill", "stall"])
@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_server_goes(whole, observer, what, who):
    with session_of(whole) as c:
        nodes, heard = EphemeralNodes(c), []
        nodes.publish("/d/e", b"0")
        observer.create("/d/w", b"0")
        c.watch_data("/d/w", lambda data, stat: heard.append(data))
        gone = whole.leader() if who == "leader" else whole.followers()[0]
        getattr(whole, what)(gone)
        started = time.monotonic()
        nodes.update("/d/e", b"1")
        eventually(lambda: held_by(observer, "/d/e", c, b"1"), "the node has not its data")
        observer.set("/d/w", b"1")
        eventually(lambda: heard[-1:] == [b"1"], "the watch does not hear")
        assert time.monotonic() - started < BOUND_S
        whole.restart(gone) if what == "kill" else whole.resume(gone)
        nodes.update("/d/e", b"2")
        eventually(lambda: held_by(observer, "/d/e", c, b"2"))
        nodes.close()


def test_no_stale_node_outlives_its_session(whole, observer):
    """A process that is gone without a word is off the list when its session time-out is over (and what ticks round
    it up to)."""
    import os
    import subprocess
    import sys

    from conftest import ROOT

    code = (
        "import sys, time\nfrom monolith_cli.serving.zookeeper.connection import *\n"
        f"n = EphemeralNodes(connect(ZkConfig(sys.argv[1], session_timeout_s={SESSION_S})))\n"
        "n.publish('/d/gone', b'')\nprint(1, flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, whole.servers], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as p:
        assert p.stdout.readline() == b"1\n"
        eventually(lambda: observer.exists("/d/gone"))
        p.kill()
    killed = time.monotonic()
    eventually(lambda: observer.exists("/d/gone") is None)
    assert time.monotonic() - killed < 2 * SESSION_S + 25


def test_the_whole_ensemble_goes_and_comes_back(whole, observer):
    with session_of(whole) as c:
        nodes, states = EphemeralNodes(c), []
        c.on_state(states.append)
        nodes.publish("/d/e", b"0")
        for i in range(3):
            whole.kill(i)
        eventually(lambda: c.state != "connected")
        c.timeout_s = 60.0
        started = time.monotonic()
        nodes.update("/d/e", b"1")  # does not wait
        nodes.publish("/d/later", b"2")
        with pytest.raises(errors.UnavailableError):
            nodes.publish("/d/n-", b"", sequence=True)
        assert time.monotonic() - started < 30 and nodes.paths() == {"/d/e": "pending", "/d/later": "pending"}
        c.timeout_s = 0.5
        with pytest.raises(errors.UnavailableError, match="does not answer within 0.5 s"):
            c.get("/d/e")
        c.timeout_s = 10.0
        for i in range(3):
            whole.restart(i, wait=False)
        whole.wait()
        eventually(lambda: held_by(observer, "/d/e", c, b"1") and held_by(observer, "/d/later", c, b"2"))
        assert "n-" not in "".join(observer.children("/d"))
        eventually(lambda: states[:1] == ["suspended"] and states[-1] == "connected")
        nodes.close()
        eventually(lambda: observer.children("/d") == [])  # its server may hear of it later than the one of c


@pytest.mark.parametrize("seed", range(2))
def test_nodes_against_a_model_under_random_blows(whole, observer, seed):
    """Publishes, updates and withdrawals between ends of sessions, dead servers and deleted nodes: in the end all is
    as was asked last."""
    rng, model = random.Random(seed), {}
    with session_of(whole) as c:
        nodes, numbered = EphemeralNodes(c), {}
        for step in range(60):
            blow = rng.random()
            if blow < 0.08:
                if c.session_id:
                    whole.expire_client(c)
            elif blow < 0.12 and sum(p is None for p in whole._processes) == 0:
                whole.kill(rng.randrange(3))
            elif blow < 0.2:
                for i, process in enumerate(whole._processes):
                    if process is None:
                        whole.restart(i, wait=False)
            elif blow < 0.3 and model:
                try:
                    observer.delete(rng.choice(sorted(model)))
                except errors.Error:
                    pass
            path, data = f"/d/m/{rng.randrange(6)}", f"{step}".encode()
            action = rng.random()
            if action < 0.15 and path in model:
                nodes.withdraw(path)
                del model[path]
            elif action < 0.85:
                nodes.publish(path, data)
                model[path] = data
            elif len(numbered) < 5:
                try:
                    made = nodes.publish("/d/m/n", data, sequence=True)
                    model[made] = numbered[made] = data
                except errors.UnavailableError:
                    pass
            elif numbered:
                made = rng.choice(sorted(numbered))
                nodes.update(made, data)
                model[made] = data
        for i, process in enumerate(whole._processes):
            if process is None:
                whole.restart(i, wait=False)
        whole.wait()

        def found():
            return {f"/d/m/{n}": observer.get(f"/d/m/{n}")[0] for n in observer.children("/d/m")}

        eventually(lambda: _same(found, model), f"{model}")
        eventually(lambda: all(held_by(observer, p, c, d) for p, d in model.items()))
        eventually(lambda: nodes.paths() == dict.fromkeys(model, "published"))
        nodes.close()
        eventually(lambda: observer.children("/d/m") == [])


def _same(found, model):
    try:
        return found() == model
    except errors.NoInputError:
        return False
