"""Agent of version 2: what a person asks for becomes orders, orders become models, models become nodes; with a server
that has no models."""

import json
import threading
import time

import pytest
from agents import ENTRY, PS, SESSION_S, Agent, fake_server, wait_until, zk

from monolith_cli import errors
from monolith_cli.serving.agent.mirror import Mirror
from monolith_cli.serving.agent.scheduler import place
from monolith_cli.serving.zookeeper.records import ModelMeta, PublishMeta, PublishType, ReplicaMeta, ResourceSpec


class Log:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return self.lines.append


def make_export(base, *sub_models, version=100, size=10):
    for name in sub_models:
        (base / name / str(version)).mkdir(parents=True)
        (base / name / str(version) / "saved_model.pb").write_bytes(b"x" * size)
    return base


def conf(folder, bzid, **more):
    return {"bzid": bzid, "deploy_type": "mixed", "agent_version": 2, "tfs_binary": fake_server(folder)} | more


def environment(shard, replica, shards):
    return {
        "SHARD_ID": str(shard),
        "REPLICA_ID": str(replica),
        "MONOLITH_HOST_SHARD_N": str(shards),
        "MY_POD_NAME": f"pod-{shard}-{replica}",
    }


def ask(connection, bzid, model, folder):
    path, data = f"/{bzid}/portal/{model}", ModelMeta(model_name=model, model_dir=str(folder)).to_json()
    connection.set(path, data) if connection.exists(path) else connection.create(path, data)


def orders(connection, bzid):
    return {
        name: json.loads(connection.get(f"/{bzid}/publish/{name}")[0])["sub_models"]
        for name in connection.children(f"/{bzid}/publish")
    }


def test_life_of_a_model_over_two_shards(zookeeper, tmp_path):
    export = make_export(tmp_path / "m", "entry", "ps_0", "ps_1", "ps_2")
    with zk(zookeeper.servers) as connection:
        agents = [
            Agent(
                tmp_path / f"a{i}",
                zookeeper.servers,
                conf(tmp_path, "v2"),
                "--model-root",
                tmp_path,
                **environment(i, 0, 2),
            )
            for i in range(2)
        ]
        with agents[0], agents[1]:
            wait_until(lambda: connection.children("/v2/resource") == ["0:0", "1:0"], what="resources")
            ask(connection, "v2", "m", export)
            for agent in agents:
                wait_until(
                    lambda a=agent: (
                        sorted(a.heart_beat(PS)) == ["m:ps:0", "m:ps:1", "m:ps:2"] and all(a.heart_beat(PS).values())
                    ),
                    what="ps",
                )
                wait_until(lambda a=agent: len(a.heart_beat(ENTRY).get("m:entry:0", [])) == 2, what="entries")
            found = orders(connection, "v2")
            assert sorted(found) == ["0:0:m", "1:0:m"]
            assert sorted(k for o in found.values() for k in o) == ["entry", "entry", "ps_0", "ps_1", "ps_2"]
            assert all(o["entry"] == f"{export}/entry/100" for o in found.values())
            assert agents[0].replicas(PS, 1, "m") == agents[1].replicas(PS, 1, "m") != agents[0].replicas(PS, 0, "m")
            meta = ReplicaMeta.from_json(connection.get("/v2/service/m/ps:0/0")[0])
            assert (meta.model_name, meta.server_type, meta.task, meta.replica, meta.stat) == ("m", "ps", 0, 0, 30)
            assert connection.children("/v2/service/m/entry:0") == ["0", "1"]
            # A new version: asking again is enough.
            make_export(tmp_path / "m", "entry", "ps_0", "ps_1", "ps_2", version=200)
            ask(connection, "v2", "m", export)
            wait_until(
                lambda: all(p.endswith("/200") for o in orders(connection, "v2").values() for p in o.values()),
                what="new orders",
            )
            wait_until(
                lambda: "versions: 200" in (agents[0].folder / "run" / "ps_model_config.pbtxt").read_text(),
                what="new config",
            )
            wait_until(lambda: all(a.heart_beat(PS)["m:ps:2"] for a in agents), what="ps again")
            connection.delete("/v2/portal/m")
            wait_until(
                lambda: connection.children("/v2/publish") == [] and not any(agents[1].heart_beat(PS).values()),
                what="the end",
            )
            wait_until(
                lambda: all(
                    connection.children(f"/v2/service/m/{t}") == [] for t in connection.children("/v2/service/m")
                ),
                what="no node",
            )


def test_another_agent_leads_when_the_leader_is_killed(zookeeper, tmp_path):
    export = make_export(tmp_path / "m", "entry", "ps_0")
    with zk(zookeeper.servers) as connection:
        agents = [
            Agent(
                tmp_path / f"a{i}",
                zookeeper.servers,
                conf(tmp_path, "lead"),
                "--model-root",
                tmp_path,
                session_s=2 * SESSION_S,
                **environment(0, i, 1),
            )
            for i in range(2)
        ]
        with agents[0], agents[1]:
            leader = wait_until(lambda: [a for a in agents if "this agent leads" in a.log.read_text()], what="a leader")
            wait_until(lambda: len(connection.children("/lead/resource")) == 2)
            assert len(leader) == 1
            other = agents[1 - agents.index(leader[0])]
            leader[0].kill()
            wait_until(lambda: "this agent leads" in other.log.read_text(), what="the other to lead")
            # One replica is left; it is asked to serve, and then an added one takes over what it has.
            ask(connection, "lead", "m", export)
            wait_until(lambda: other.heart_beat(PS).get("m:ps:0"), what="ps")
            leader[0].start()
            wait_until(lambda: len(other.heart_beat(PS)["m:ps:0"]) == 2, what="the added replica")


def test_mistakes_of_the_portal(zookeeper, tmp_path):
    export = make_export(tmp_path / "models" / "m", "entry", "ps_0")
    elsewhere = make_export(tmp_path / "elsewhere", "entry")
    with (
        zk(zookeeper.servers) as connection,
        Agent(
            tmp_path / "a",
            zookeeper.servers,
            conf(tmp_path, "wrong"),
            "--model-root",
            tmp_path / "models",
            **environment(0, 0, 1),
        ) as agent,
    ):
        connection.create("/wrong/portal/junk", b"{")
        ask(connection, "wrong", "outside", elsewhere)
        ask(connection, "wrong", "missing", tmp_path / "models" / "none")
        ask(connection, "wrong", "m", export)
        wait_until(lambda: agent.heart_beat(PS).get("m:ps:0"), what="the good one")
        for told in (
            "/wrong/portal/junk: this is no ModelMeta",
            f"model outside waits: model_dir {elsewhere} is outside of what --model-root allows",
            "model missing waits",
        ):
            wait_until(lambda told=told: told in agent.log.read_text(), what=told)
        # Orders that somebody else writes are held to the same folders.
        connection.create(
            "/wrong/publish/0:0:evil", PublishMeta(0, 0, "evil", 1, 1, {"entry": f"{elsewhere}/entry/100"}).to_json()
        )
        told = f"evil:entry: {elsewhere}/entry/100 is no version path within what --model-root allows"
        wait_until(lambda: told in agent.log.read_text(), what=told)
        assert sorted(agent.heart_beat(ENTRY)) == ["m:entry:0"]


def spec(shard, replica):
    return ResourceSpec(f"h{shard}:{replica}", shard, replica, 1000)


@pytest.fixture
def mirror(zookeeper, request):
    """A mirror of shard 1, replica 2, of two shards, and the connection that changes things."""
    bzid, published = request.node.name.replace("_", "-"), threading.Event()
    with zk(zookeeper.servers) as own, zk(zookeeper.servers) as other:
        made = Mirror(own, bzid, 1, 2, 2, Log(), published.set)
        made.published_event, made.other = published, other
        made.watch_service(), made.watch_resource(), made.watch_publish()
        yield made
        made.stop()


def give(mirror, *metas):
    for meta in metas:
        path, data = meta.path(f"{mirror.base}/publish"), meta.to_json()
        mirror.other.set(path, data) if mirror.other.exists(path) else mirror.other.create(path, data)


def test_expected_loading(mirror):
    """60, 3.10: own order; else one of the own shard (a replica that was added); else only the entry; UNLOAD and
    incomplete ones not."""
    sub = {"ps_1": "/a/ps_1/1", "entry": "/a/entry/1"}
    give(mirror, PublishMeta(0, 0, "m", 2, 2, {"entry": "/a/entry/1"}))
    time.sleep(0.3)
    assert mirror.expected_loading() == {} and not mirror.published_event.is_set()
    give(mirror, PublishMeta(1, 0, "m", 2, 2, sub))
    wait_until(mirror.expected_loading)
    assert mirror.published_event.wait(90)
    assert mirror.expected_loading()["m"] == PublishMeta(
        1, 2, "m", 2, 2, sub
    )  # though the order with the fewest sub models is of another shard
    # A model whose name ends alike does not disturb it.
    give(mirror, PublishMeta(0, 0, "xm", 1, 1, {"entry": "/b/entry/1", "ps_0": "/b/ps_0/1"}))
    wait_until(lambda: "xm" in mirror.expected_loading())
    assert mirror.expected_loading()["xm"].sub_models == {"entry": "/b/entry/1"} and set(mirror.expected_loading()) == {
        "m",
        "xm",
    }
    give(mirror, PublishMeta(1, 2, "own", 1, 1, {"ps_9": "/c/ps_9/1"}))
    wait_until(lambda: "own" in mirror.expected_loading())
    assert mirror.expected_loading()["own"].sub_models == {"ps_9": "/c/ps_9/1"}
    give(mirror, PublishMeta(1, 0, "spec", 1, 1, sub, is_spec=True))
    wait_until(lambda: "spec" in mirror.expected_loading())
    assert mirror.expected_loading()["spec"].sub_models == {"entry": "/a/entry/1"}
    # An order that is changed to UNLOAD counts.
    mirror.published_event.clear()
    give(mirror, PublishMeta(1, 2, "own", 1, 1, {"ps_9": "/c/ps_9/1"}, ptype=PublishType.UNLOAD))
    wait_until(lambda: "own" not in mirror.expected_loading())
    assert mirror.published_event.wait(90)


def test_portal_events_and_orders(mirror):
    base = f"{mirror.base}/publish"
    give(
        mirror,
        PublishMeta(0, 0, "gone", 1, 1, {"entry": "/a/entry/1"}),
        PublishMeta(0, 0, "m", 1, 1, {"entry": "/a/entry/1"}),
    )
    ask(mirror.other, mirror.bzid, "m", "/a")
    wait_until(lambda: len(mirror.orders()) == 2)
    mirror.watch_portal()
    wait_until(lambda: mirror.other.children(base) == ["0:0:m"])  # nobody wants the other
    seen = [mirror.portal_events.get(timeout=90)]
    ask(mirror.other, mirror.bzid, "n", "/b")
    seen.append(mirror.portal_events.get(timeout=90))
    ask(mirror.other, mirror.bzid, "n", "/b")  # the same once more is a wish of its own
    seen.append(mirror.portal_events.get(timeout=90))
    mirror.other.delete(f"{mirror.base}/portal/n")
    seen.append(mirror.portal_events.get(timeout=90))
    assert [(e.model_name, e.action) for e in seen] == [
        ("m", "NONE"),
        ("n", "CREATED"),
        ("n", "CHANGED"),
        ("n", "DELETED"),
    ]
    assert seen[1].model_dir == "/b" and seen[3].model_dir is None
    assert mirror.is_newer_than_orders("m")
    metas = [PublishMeta(s, 0, "m", 1, 2, {"entry": f"/a/entry/{s}"}) for s in range(2)]
    mirror.publish("m", metas)
    before = [mirror.other.get(m.path(base))[1].mzxid for m in metas]
    wait_until(lambda: not mirror.is_newer_than_orders("m"))
    metas[1].sub_models = {"entry": "/a/entry/9"}
    mirror.publish("m", metas)
    after = [mirror.other.get(m.path(base))[1].mzxid for m in metas]
    assert after[0] == before[0] and after[1] > before[1]  # what stays is not written
    mirror.publish("m", [])
    assert mirror.other.children(base) == []


def test_number_of_replicas_and_queries(mirror):
    for shard, replica in ((0, 0), (1, 0), (0, 1), (0, -1)):
        mirror.other.create(spec(shard, replica).path(f"{mirror.base}/resource"), spec(shard, replica).to_json())
    wait_until(lambda: len(mirror.resources()) == 4)
    assert mirror.num_replicas() is None  # replica 1 is not in shard 1 yet
    mirror.other.create(spec(1, 1).path(f"{mirror.base}/resource"), spec(1, 1).to_json())
    wait_until(lambda: mirror.num_replicas() == 2)
    for replica, stat in ((0, 30), (1, 20)):
        meta = ReplicaMeta(
            address=f"h:{replica + 1}", stat=stat, model_name="m", server_type="ps", task=3, replica=replica
        )
        mirror.other.create(meta.path(mirror.bzid), meta.to_json())
    wait_until(lambda: mirror.replicas() == {"m:ps:3": ["h:1"]})
    assert mirror.task_replicas("m", "ps", 3) == ["h:1"] and mirror.task_replicas("m", "ps", 4) == []


def test_placing_by_room():
    info = {
        "entry": (10, "/e/1"),
        "ps_0": (50, "/p0/1"),
        "ps_1": (40, "/p1/1"),
        "ps_2": (30, "/p2/1"),
        "dense_0": (5, "/d/1"),
    }
    placed = place(info, 2, {0: 100, 1: 100})
    assert [sorted(p) for p in placed] == [["dense_0", "entry", "ps_0"], ["entry", "ps_1", "ps_2"]]
    assert placed[1]["ps_2"] == "/p2/1"
    assert [sorted(p) for p in place(info, 2, {0: 200, 1: 40})] == [
        ["entry", "ps_0", "ps_1", "ps_2"],
        ["dense_0", "entry"],
    ]
    with pytest.raises(errors.TryAgainError, match="no shard has room for ps_0, 50 bytes; the most is 49"):
        place(info, 2, {0: 59, 1: 20})
    with pytest.raises(errors.TryAgainError, match="shard 1 has no room for the entry"):
        place(info, 2, {0: 1000, 1: 5})
