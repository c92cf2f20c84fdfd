"""monolith-top beside real agents of versions 1 and 3: what they registered in ZooKeeper, what they answer, what their servers say."""

import json

import pytest
from agents import SESSION_S, fake_server, wait_until, zk
from fleets import Fleet


@pytest.mark.parametrize("version", [1, 3])
def test_replicas_of_two_agents(version, run, zookeeper, tmp_path):
    made = tmp_path / "models" / "ps_0" / "1"
    made.mkdir(parents=True)
    (made / "saved_model.pb").write_bytes(b"")
    with zk(zookeeper.servers, 30.0) as connection:
        fleet = Fleet(version, tmp_path, zookeeper.servers, connection, tmp_path / "models", fake_server(tmp_path))
        with fleet:
            fleet.ask()
            fleet.wait_whole()

            def rows():
                done = run("monolith-top", "--once", "--json", "--timeout", 30, "--zk-servers", zookeeper.servers, "--bzid", fleet.bzid,
                           *(x for a in fleet.agents for x in ("--agent", f"127.0.0.1:{a.port}")))  # fmt: skip
                return json.loads(done.stdout)

            def complete():
                seen = rows()
                served = [r for r in seen["rows"] if r["state"] == "AVAILABLE" and fleet.told(fleet.agents[0])]
                return seen if len({r["server"] for r in served}) == 2 else None

            seen = wait_until(complete, what="two replicas on the screen")
            assert {r["server"] for r in seen["rows"]} == set(fleet.told(fleet.agents[0]))
            fleet.agents[1].kill()
            wait_until(lambda: len(fleet.listed()) == 1, SESSION_S + 15, "the dead agent's end")
            assert [s["up"] for s in rows()["sources"] if s["kind"] == "agent"].count(False) == 1
