"""Sessions with a real ZooKeeper: operations, watches and ephemeral nodes, and what becomes of them when sessions
and servers go."""

import threading
import time

import pytest

from monolith_cli import errors
from monolith_cli.serving.zookeeper.connection import (
    BadVersion,
    EphemeralNodes,
    NodeExists,
    NoNode,
    NotAllowed,
    NotEmpty,
    ZkConfig,
    connect,
)

# No drill may take longer than this to heal: session time-out, election, and a machine with much else to do.
BOUND_S = 90


def eventually(check, why="", bound_s=BOUND_S):
    """Waits until check() is true; its last value. What ZooKeeper has not, or does not say, counts as not yet."""
    until, value, error = time.monotonic() + bound_s, None, ""
    while not value:
        assert time.monotonic() < until, why or error or "did not happen in time"
        try:
            value = check()
        except (errors.NoInputError, errors.UnavailableError) as e:
            error = str(e)
        if not value:
            time.sleep(0.02)
    return value


def open_session(ensemble, **more):
    return connect(ZkConfig(ensemble.servers, **({"session_timeout_s": 30, "connect_timeout_s": 30} | more)))


def data_at(session, path):
    """Data of a node, None where there is none now."""
    try:
        return session.get(path)[0]
    except NoNode:
        return None


@pytest.fixture
def session(zookeeper):
    with open_session(zookeeper) as c:
        yield c
        if c.exists("/t"):
            c.delete("/t", recursive=True)


def test_operations(session):
    assert session.state == "connected"
    assert session.create("/t/a/b", b"1") == "/t/a/b"
    data, stat = session.get("/t/a/b")
    assert (data, stat.version, stat.owner_session_id) == (b"1", 0, None)
    with pytest.raises(NodeExists, match="/t/a/b"):
        session.create("/t/a/b")
    with pytest.raises(NoNode, match="/t/x: no such node"):
        session.get("/t/x")
    with pytest.raises(NoNode):
        session.create("/t/x/y", makepath=False)
    assert session.set("/t/a/b", b"2", version=0).version == 1
    with pytest.raises(BadVersion):
        session.set("/t/a/b", b"3", version=0)
    with pytest.raises(NotEmpty):
        session.delete("/t/a")
    session.create("/t/a/a")
    assert session.children("/t/a") == ["a", "b"]
    session.delete("/t", recursive=True)
    assert session.exists("/t") is None
    with pytest.raises(errors.UsageError):
        session.get("no/slash")
    assert session.create("/t/s-", sequence=True) == "/t/s-0000000000"


def test_a_watch_hears_every_state(session):
    heard, names = [], []
    watch = session.watch_data("/t/n", lambda data, stat: heard.append((data, stat and stat.version)))
    children = session.watch_children("/t", lambda found: names.append(found))
    eventually(lambda: heard and names)
    session.create("/t/n", b"1")
    eventually(lambda: heard[-1] == (b"1", 0))
    session.set("/t/n", b"1")
    eventually(lambda: heard[-1] == (b"1", 1))
    session.delete("/t/n")
    eventually(lambda: heard[-1] == (None, None) and names[-1] == [])
    watch.stop()
    children.stop()
    count = len(heard)
    session.create("/t/n", b"2")
    time.sleep(0.3)
    assert heard[0] == (None, None) and names[0] == [] and ["n"] in names and len(heard) == count


def test_a_slow_or_failing_function_keeps_nobody_waiting(session):
    began, go_on, others = threading.Event(), threading.Event(), []

    def slow(names):
        began.set()
        go_on.wait(BOUND_S)

    session.watch_children("/t", slow)
    assert began.wait(BOUND_S)
    nodes = EphemeralNodes(session)
    nodes.publish("/t/e", b"1")  # kazoo's threads answer, and ephemeral nodes are kept
    assert session.get("/t/e")[0] == b"1"
    session.watch_children("/t", lambda names: 1 / 0)
    session.watch_children("/t", others.append)
    go_on.set()
    eventually(lambda: others == [["e"]])
    nodes.close()


def test_a_function_may_use_the_session(session):
    heard = []
    session.create("/t/x", b"1")
    session.watch_children("/t", lambda names: heard.extend(session.get(f"/t/{n}")[0] for n in names))
    eventually(lambda: heard == [b"1"])


def test_watches_and_nodes_come_back_after_a_lost_session(zookeeper, session):
    with open_session(zookeeper) as other:
        nodes, states, data, names = EphemeralNodes(other), [], [], []
        other.on_state(states.append)
        nodes.publish("/t/e/1", b"old")
        numbered = nodes.publish("/t/e/0", b"n", sequence=True)
        assert numbered == "/t/e/00000000000" or numbered.startswith("/t/e/0000")
        other.watch_data("/t/d", lambda d, s: data.append(d))
        other.watch_children("/t/e", names.append)
        nodes.update("/t/e/1", b"new")
        eventually(lambda: data == [None] and names)
        first = other.session_id
        del names[:]
        zookeeper.expire_client(other)
        eventually(lambda: states[-1:] == ["connected"] and "lost" in states)
        eventually(lambda: session.exists("/t/e/1") and session.exists(numbered))
        assert other.session_id != first
        assert session.get("/t/e/1")[0] == b"new" and session.get(numbered)[0] == b"n"
        assert session.get("/t/e/1")[1].owner_session_id == other.session_id
        eventually(lambda: len(data) >= 2 and names)  # told again, though nothing changed
        session.create("/t/d", b"x")
        eventually(lambda: data[-1] == b"x")
        nodes.close()
        assert session.children("/t/e") == []


def test_a_node_that_somebody_deletes_comes_back(session, zookeeper):
    with open_session(zookeeper) as other:
        nodes = EphemeralNodes(other)
        nodes.publish("/t/e", b"1")
        for _ in range(20):
            made = session.get("/t/e")[1].czxid
            session.delete("/t/e")
            eventually(lambda made=made: (s := session.exists("/t/e")) and s.czxid != made)
        eventually(lambda: nodes.paths() == {"/t/e": "published"})
        nodes.withdraw("/t/e")
        time.sleep(0.2)
        assert session.exists("/t/e") is None and nodes.paths() == {}
        nodes.publish("/t/e", b"2")
        assert session.get("/t/e")[0] == b"2"


def test_a_node_of_a_dead_session_is_replaced_not_written_over(zookeeper, session):
    with open_session(zookeeper) as dead, open_session(zookeeper) as living:
        dead.create("/t/e", b"dead", ephemeral=True)
        old = session.exists("/t/e")
        nodes = EphemeralNodes(living)
        nodes.publish("/t/e", b"alive")
        data, stat = session.get("/t/e")
        assert data == b"alive" and stat.owner_session_id == living.session_id and stat.czxid != old.czxid
        dead.close()
        assert session.get("/t/e")[0] == b"alive"


def test_a_server_that_goes_on_with_a_session_that_has_ended_is_left(zookeeper, session):
    """Such a server reads and pings, and gives the same error to every write."""
    from kazoo.exceptions import SessionExpiredError

    with open_session(zookeeper) as other:
        client, one, told = other.client, other.session_id, []
        make = client.create_async

        def create_async(*args, **more):
            if other.session_id != one:
                return make(*args, **more)
            refused = client.handler.async_result()
            refused.set_exception(SessionExpiredError())
            return refused

        client.create_async = create_async
        other.watch_data("/t/w", lambda data, stat: told.append(data))
        eventually(lambda: told == [None])
        nodes = EphemeralNodes(other)
        assert nodes.publish("/t/e", b"1") == "/t/e"
        eventually(lambda: data_at(session, "/t/e") == b"1")
        assert other.session_id != one and session.exists("/t/e").owner_session_id == other.session_id
        eventually(lambda: told == [None, None])  # as after every lost session
        nodes.close()


def test_two_processes_with_one_name_do_not_fight(zookeeper, session):
    with open_session(zookeeper) as a, open_session(zookeeper) as b:
        first, second = EphemeralNodes(a), EphemeralNodes(b)
        first.publish("/t/e", b"a")
        second.publish("/t/e", b"b")
        eventually(lambda: first.paths() == {"/t/e": "taken"})
        ended = a.session_id
        zookeeper.expire_client(a)
        eventually(lambda: a.state == "connected" and a.session_id != ended)
        time.sleep(0.5)
        data, stat = session.get("/t/e")
        assert (data, stat.owner_session_id) == (b"b", b.session_id)
        eventually(lambda: second.paths() == {"/t/e": "published"})
        first.update("/t/e", b"a2")
        second.close()
        eventually(lambda: data_at(session, "/t/e") == b"a2")
        eventually(lambda: first.paths() == {"/t/e": "published"})  # known to it when it has looked again


def test_what_fails_while_it_closes_leaves_no_node_behind(zookeeper, session, monkeypatch):
    with open_session(zookeeper) as other:
        nodes, began, go_on = EphemeralNodes(other), threading.Event(), threading.Event()
        nodes.publish("/t/e", b"1")

        def fails(path, watch=None):
            monkeypatch.undo()
            began.set()
            go_on.wait(BOUND_S)
            raise errors.UnavailableError("no answer")

        monkeypatch.setattr(other, "_exists", fails)
        updating = threading.Thread(target=nodes.update, args=("/t/e", b"2"))
        updating.start()
        assert began.wait(BOUND_S)
        closing = threading.Thread(target=nodes.close)
        closing.start()
        eventually(lambda: nodes.paths() == {})
        go_on.set()
        closing.join()
        assert session.exists("/t/e") is None
        updating.join()


def test_nodes_that_are_closed_while_no_server_answers_go_when_one_does(zookeeper, session):
    with open_session(zookeeper, session_timeout_s=60) as other:
        nodes, one = EphemeralNodes(other), other.session_id
        nodes.publish("/t/e", b"1")
        zookeeper.kill(0)
        eventually(lambda: other.state != "connected")
        nodes.close()
        zookeeper.restart(0)
        eventually(lambda: session.state == "connected" and session.exists("/t/e") is None)
        eventually(lambda: other.session_id == one)  # none while it is about to connect again


def test_nobody_there():
    import socket

    with socket.socket() as s:  # bound and not listening: refused
        s.bind(("127.0.0.1", 0))
        servers = f"127.0.0.1:{s.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(
            errors.UnavailableError, match=f"{servers}: cannot be reached within 3 s: Connection refused"
        ):
            connect(ZkConfig(servers, connect_timeout_s=3))
        s.listen()  # takes connections and says nothing
        with pytest.raises(errors.UnavailableError, match="cannot be reached within 0.5 s"):
            connect(ZkConfig(servers, connect_timeout_s=0.5))
        assert time.monotonic() - started < 60


@pytest.mark.parametrize("servers", ["", "host:x", "host:0", "a:1,,b:2", ":1"])
def test_servers_that_are_none(servers):
    with pytest.raises(errors.UsageError):
        ZkConfig(servers)


def test_an_ephemeral_node_cannot_have_children(session):
    nodes = EphemeralNodes(session)
    nodes.publish("/t/e", b"")
    with pytest.raises(errors.CannotCreateError, match="/t/e/x"):
        nodes.publish("/t/e/x", b"")
    with pytest.raises(errors.CannotCreateError):
        nodes.publish("/t/e/x", b"", sequence=True)
    eventually(lambda: nodes.paths() == {"/t/e": "published"})
    nodes.close()
    assert NotAllowed.exit_code == 73
