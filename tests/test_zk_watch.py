"""zk watch: a line an event, through a stalled server and lost sessions, to a signal."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import ROOT
from test_zk_connection import eventually

from monolith_cli.serving.zookeeper.connection import ZkConfig, connect
from monolith_cli.serving.zookeeper.records import ReplicaMeta, State


@pytest.fixture
def session(zookeeper):
    with connect(ZkConfig(zookeeper.servers, session_timeout_s=30, connect_timeout_s=30)) as c:
        yield c
        if c.exists("/w"):
            c.delete("/w", recursive=True)


class Watching:
    """A running `zk watch`; `.lines` fills as it prints."""

    def __init__(self, zookeeper, *args, session_s=30):
        command = [
            sys.executable,
            "-m",
            "monolith_cli",
            "zk",
            "watch",
            *args,
            "--zk-servers",
            zookeeper.servers,
            "--zk-session-timeout",
            str(session_s),
        ]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            text=True,
        )
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def events(self):
        return [(e["event"], e.get("path", e.get("state"))) for e in map(json.loads, list(self.lines))]


def test_events_of_a_node(zookeeper, session):
    session.create("/w/n", b"1")
    with Watching(zookeeper, "/w/n", "--json") as w:
        eventually(lambda: w.events() == [("now", "/w/n")])
        session.set("/w/n", b"2")
        eventually(lambda: w.events()[-1] == ("changed", "/w/n"))
        session.create("/w/n/c")
        eventually(lambda: w.events()[-1] == ("child-added", "/w/n/c"))
        session.delete("/w/n/c")
        eventually(lambda: w.events()[-1] == ("child-removed", "/w/n/c"))
        session.delete("/w/n")
        eventually(lambda: w.events()[-1] == ("deleted", "/w/n"))
        session.create("/w/n", b"3")
        eventually(lambda: w.events()[-1] == ("created", "/w/n"))
        assert [json.loads(line).get("text") for line in w.lines] == ["1", "2", None, None, None, "3"]
        w.process.send_signal(signal.SIGTERM)
        assert w.process.wait(90) == 143 and w.process.stderr.read() == ""


def test_a_tree_through_a_stalled_server(zookeeper, session):
    session.create("/w/a", b"1")
    with Watching(zookeeper, "-r", "/w", "--json", session_s=2) as w:
        eventually(lambda: ("now", "/w/a") in w.events())
        session.create("/w/service/b/c", b"2")
        eventually(lambda: ("created", "/w/service/b/c") in w.events())
        zookeeper.stall(0)
        try:
            eventually(lambda: ("session", "suspended") in w.events())
        finally:
            zookeeper.resume(0)
        eventually(lambda: ("session", "connected") in w.events())
        eventually(lambda: session.set("/w/a", b"3") and True)
        eventually(lambda: ("changed", "/w/a") in w.events())
        session.delete("/w/service", recursive=True)
        eventually(lambda: ("deleted", "/w/service/b/c") in w.events() and ("deleted", "/w/service") in w.events())
        session.create("/w/service/b/c", b"4")
        eventually(lambda: w.events().count(("created", "/w/service/b/c")) == 2)
        assert not [e for e in w.events() if e[0].startswith("child-")]
        w.process.send_signal(signal.SIGINT)
        assert w.process.wait(90) == 130


def test_text_and_limits(run, zookeeper, session):
    session.create("/w/service/m/ps:0/7", ReplicaMeta(address="h:1", stat=State.AVAILABLE).to_json())
    text = run("zk", "watch", "-r", "/w", "--count", "5", "--zk-servers", zookeeper.servers).stdout.decode()
    assert len(text.splitlines()) == 5 and text.splitlines()[-1].endswith(
        "  now  /w/service/m/ps:0/7  ReplicaMeta AVAILABLE address=h:1"
    )
    started = time.monotonic()
    assert (
        run("zk", "watch", "/w/none", "--for", "4", "--zk-servers", zookeeper.servers)
        .stdout.decode()
        .endswith("now  /w/none  no such node\n")
    )
    assert time.monotonic() - started < 90


def test_what_changed_while_the_session_was_lost_is_told(zookeeper, session):
    from monolith_cli.serving.zookeeper.follow import Follower

    session.create("/w/a", b"1")
    with connect(ZkConfig(zookeeper.servers, session_timeout_s=2)) as followed:
        events = []
        Follower(followed, "/w", True, lambda *event: events.append(event))
        eventually(lambda: ("now", "/w/a", b"1") in events)
        for i in range(5):
            del events[:]
            zookeeper.expire_client(followed)
            session.set("/w/a", f"{i}".encode())
            session.create(f"/w/b{i}", b"new")
            eventually(lambda: ("session", "", "lost") in events)  # noqa: B023 - called at once
            eventually(
                lambda i=i: ("changed", "/w/a", f"{i}".encode()) in events and ("created", f"/w/b{i}", b"new") in events
            )
            assert [e for e in events if e[0] == "now"] == []
