"""zk health: an ensemble that is well, one that limps, one that is down, and servers that do not say."""

import json
import socket
import threading

from test_zk_connection import eventually

from monolith_cli.serving.zookeeper.health import Server, judge


def health(run, servers, *args, **more):
    done = run(
        "zk", "health", "--zk-servers", servers, "--zk-connect-timeout", "3", "--json", *args, check=False, **more
    )
    return done.returncode, json.loads(done.stdout)


def settled(run, servers, code, status):
    """What health says as soon as it has this exit code and status: servers that were just started have yet to meet."""

    def look():
        now, found = health(run, servers)
        return found if (now, found["status"]) == (code, status) else None

    return eventually(look, f"never {status}")


def test_an_ensemble_that_is_well_limps_and_is_down(run, zookeeper_ensemble):
    e = zookeeper_ensemble
    found = settled(run, e.servers, 0, "healthy")
    assert (found["quorum"], found["problems"]) == (True, [])
    leader = e.leader()
    assert found["leader"] == e.addresses[leader] and sorted(s["mode"] for s in found["servers"]) == [
        "follower",
        "follower",
        "leader",
    ]
    for s in found["servers"]:
        assert (
            s["version"] == "3.8.0"
            and s["znodes"] >= 3
            and s["connections"] >= 1
            and s["outstanding"] == 0
            and s["zxid"].startswith("0x")
        )
        assert (
            s["latency_min_ms"] <= s["latency_avg_ms"] <= s["latency_max_ms"]
            and s["watches"] is not None
            and s["answer_ms"] > 0
        )
    text = run("zk", "health", "--zk-servers", e.servers).stdout.decode()
    assert text.splitlines()[0].split() == [
        "server",
        "mode",
        "version",
        "latency",
        "ms",
        "connections",
        "outstanding",
        "znodes",
        "ephemerals",
        "watches",
        "zxid",
    ]
    assert text.splitlines()[-1] == f"healthy: leader {e.addresses[leader]}, quorum yes"
    only = e.followers()[0]
    found = settled(run, e.addresses[only], 1, "degraded")
    assert "the leader is none of the servers" in found["problems"][0]

    gone = e.followers()[0]
    e.kill(gone)
    found = settled(run, e.servers, 1, "degraded")
    assert found["quorum"] and f"{e.addresses[gone]} is down: Connection refused" in found["problems"]
    other = e.followers()[0]
    e.stall(other)
    eventually(lambda: any("no answer within 3 s" in p for p in health(run, e.servers)[1]["problems"]))
    e.kill(other)
    found = settled(run, e.servers, 69, "down")
    assert found["leader"] is None and not found["quorum"]
    e.restart(gone, wait=False)
    e.restart(other, wait=False)
    e.wait()
    settled(run, e.servers, 0, "healthy")


class Wordless:
    """In front of a server: answers every four-letter word as one does whose whitelist has it not, and hands all
    else on."""

    def __init__(self, port):
        self._listener, self._port = socket.create_server(("127.0.0.1", 0)), port
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            first = client.recv(65536)
            if first.isalpha():
                client.sendall(first + b" is not executed because it is not in the whitelist.\n")
                return
            server.sendall(first)
            threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
            self._pump(client, server)

    @staticmethod
    def _pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass

    def close(self):
        self._listener.close()


def test_servers_whose_words_are_off(run, zookeeper):
    quiet = Wordless(zookeeper.ports[0])
    (server,) = settled(run, quiet.address, 0, "healthy")["servers"]
    assert (server["mode"], server["error"]) == ("serving", None)
    quiet.close()


def test_what_answers_mean_together():
    def status(*modes, **more):
        return judge([Server(f"s{i}:1", m, **more) for i, m in enumerate(modes)])

    assert status("standalone").status == "healthy" and status("standalone").leader == "s0:1"
    assert status("leader", "leader", "follower").status == "degraded"
    assert status("standalone", "follower", "leader").status == "degraded"
    assert status("read-only", "down", "down").status == "down"
    assert status("down", "down").status == "down"
    assert status("serving", "serving").status == "healthy"
    behind = judge([Server("a:1", "leader", synced_followers=1), Server("b:1", "follower"), Server("c:1", "follower")])
    assert behind.status == "degraded" and "1 followers in sync, 2 say they follow" in behind.problems[0]


def test_nobody_there(run):
    code, found = health(run, "127.0.0.1:1,no.such.host.invalid:2181")
    assert (
        code == 69
        and [s["mode"] for s in found["servers"]] == ["down", "down"]
        and all(s["error"] for s in found["servers"])
    )
