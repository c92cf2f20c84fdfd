"""The monitor of a container's model servers, against a fake TensorFlow Serving (spec 60, 3.11)."""

import subprocess

import grpc
import pytest
from fake_tfs import FakeTfs, Model
from google.protobuf import text_format
from ports import free_port

from monolith_cli import errors
from monolith_cli.serving.agent.config import AgentConfig
from monolith_cli.serving.agent.model_config import model_entry, server_config
from monolith_cli.serving.agent.tfs_monitor import TfsMonitor, model_spec, newest, version_status
from monolith_cli.serving.channel import Tls, server_credentials
from monolith_cli.serving.zookeeper.records import PublishMeta

S = FakeTfs


def config(entry=1, ps=2, dense=3, **settings):
    environ = {"PORT3": str(entry), "PORT5": str(ps), "PORT8": str(dense)}
    return AgentConfig(**{"deploy_type": "mixed", "environ": environ, **settings})


def publish(model="t", ptype=1, **sub_models):
    return PublishMeta(0, 0, model, 1, 1, {n: f"/e/{n}/{v}" for n, v in sub_models.items()}, ptype)


@pytest.fixture
def servers():
    """(monitor of a mixed container, its entry, ps and dense server)."""
    fakes = [FakeTfs().start() for _ in range(3)]
    c = config(*(f.port for f in fakes), dense_alone=True)
    monitor = TfsMonitor(c)
    yield monitor, *fakes
    monitor.close()
    c.release_ports()
    for f in fakes:
        f.stop()


def entries(configs):
    return {str(kind): [(m.name, m.base_path, text_format.MessageToString(m.model_version_policy, as_one_line=True))
                        for m in c.model_config_list.config] for kind, c in configs.items()}


def test_configurations_of_publish_records():
    """T23."""
    monitor = TfsMonitor(config())
    meta = PublishMeta(model_name="t", sub_models={
        "entry": "/e/entry/1634631496", "ps_0": "/e/ps_0/1634631496", "dense_0": "/e/dense_0/77"})
    want = {
        "entry": [("t:entry", "/e/entry", "latest { num_versions: 1 }")],
        "ps": [("t:ps_0", "/e/ps_0", "specific { versions: 1634631496 }")],
        "dense": [("t:dense_0", "/e/dense_0", "specific { versions: 77 }")]}
    assert entries(monitor.model_configs([meta])) == want
    want["entry"] = [("t:entry", "/e/entry", "specific { versions: 1634631496 }")]
    assert entries(monitor.model_configs([meta], fix_dense_version=True)) == want


def test_a_dense_part_served_alone_follows_the_newest_version():
    monitor = TfsMonitor(config(dense_alone=True))
    found = entries(monitor.model_configs([publish(entry=5, dense_0=7), publish("u", dense_0=8), publish("v", 2, entry=1)]))
    assert found["entry"] == [("t:entry", "/e/entry", "specific { versions: 5 }")]
    assert [e[2] for e in found["dense"]] == ["latest { num_versions: 1 }"] * 2 and [e[0] for e in found["dense"]] == ["t:dense_0", "u:dense_0"]


@pytest.mark.parametrize("deploy, settings, served", [
    ("mixed", {}, {"entry": "entry", "t:ps_3": "ps", "dense_0": "dense", "other": None}),
    ("entry", {}, {"entry": "entry", "m:entry_item": "entry", "ps_0": None, "dense_0": None}),
    ("ps", {}, {"entry": None, "ps_0": "ps", "ps_item_embedding_0": "ps", "dense_0": None}),
    ("dense", {"dense_alone": True}, {"entry": None, "dense_0": "dense"}),
    ("unified", {"agent_version": 3}, {"m:entry": "unified", "m:anything": "unified"})])
def test_which_server_a_sub_model_belongs_to(deploy, settings, served):
    monitor = TfsMonitor(AgentConfig(deploy_type=deploy, environ={}, **settings))
    assert {n: monitor.server_type(n) for n in served} == served
    assert all((monitor.address(n) is None) == (kind is None or (deploy == "mixed" and kind == "dense")) for n, kind in served.items())


def test_status_of_a_publish_record(servers):
    monitor, entry, ps, dense = servers
    entry.load(Model("t:entry", policy="specific", data=5))
    ps.load(Model("t:ps_0", policy="specific", data=(4, 5)))
    dense.load(Model("t:dense_0", policy="latest", data=2))
    for fake in (entry, ps, dense):
        fake.settle()
    ps.set_state("t:ps_0", 5, S.LOADING)
    meta = publish(entry=5, ps_0=5, ps_1=5, dense_0=1, other=3)
    found = monitor.publish_status(meta)
    assert {n: (p, s.version, s.state, s.status.error_code) for n, (p, s) in found.items()} == {
        "t:entry": ("/e/entry/5", 5, S.AVAILABLE, 0), "t:ps_0": ("/e/ps_0/5", 5, S.LOADING, 0),
        "t:ps_1": ("/e/ps_1/5", -1, S.UNKNOWN, 5), "t:dense_0": ("/e/dense_0/1", 2, S.AVAILABLE, 0)}
    assert monitor.publish_status(meta, fix_dense_version=True)["t:dense_0"][1].version == 1
    asked = {r.model_spec.name: r.model_spec.WhichOneof("version_choice") for r in dense.calls("GetModelStatus")[:1] + ps.calls("GetModelStatus")}
    assert asked == {"t:dense_0": None, "t:ps_0": "version", "t:ps_1": "version"}


def test_status_that_cannot_be_had(servers):
    monitor, entry, ps, _ = servers
    entry.fail_call("GetModelStatus", grpc.StatusCode.NOT_FOUND, "no such servable", times=-1)
    ps.stop()
    found = {n: s for n, (_, s) in monitor.publish_status(publish(entry=5, ps_0=6)).items()}
    assert (found["t:entry"].version, found["t:entry"].state, found["t:entry"].status.error_message) == (5, S.UNKNOWN, "no such servable")
    assert [found[n].status.error_code for n in ("t:entry", "t:ps_0")] == [5, 14] and found["t:ps_0"].state == S.UNKNOWN
    with pytest.raises(grpc.RpcError):
        monitor.status("ps_0")
    unserved = TfsMonitor(AgentConfig(deploy_type="entry", environ={}))
    assert unserved.status("ps_0") == [] and unserved.publish_status(publish(ps_0=1)) == {}
    alone = TfsMonitor(config()).publish_status(publish(dense_0=4))["t:dense_0"][1]
    assert (alone.version, alone.state, alone.status.error_code, alone.status.error_message) == (4, S.UNKNOWN, 5, "t:dense_0 not found")


def test_status_by_name_version_and_signature(servers):
    monitor, entry, *_ = servers
    entry.load(Model("entry", policy="latest", data=3))
    entry.settle()
    assert [s.version for s in monitor.status("entry")] == [1, 2, 3] and [s.version for s in monitor.status("entry", 2, "sig")] == [2]
    spec = entry.calls("GetModelStatus")[-1].model_spec
    assert (spec.version.value, spec.signature_name) == (2, "sig")
    assert model_spec("m", "stable").version_label == "stable" and not model_spec("m").HasField("version")


def test_reload_and_removal(servers):
    monitor, entry, ps, dense = servers
    metas = [publish(m, entry=3, ps_0=3, ps_1=3, dense_0=3) for m in ("t", "u")]
    for kind, wanted in monitor.model_configs(metas).items():
        assert monitor.reload(kind, wanted).error_code == 0
    assert (set(entry.models()), set(dense.models())) == ({"t:entry", "u:entry"}, {"t:dense_0", "u:dense_0"})
    assert set(ps.settle().models()) == {"t:ps_0", "t:ps_1", "u:ps_0", "u:ps_1"}
    monitor.reload("ps", monitor.model_configs(metas[1:])["ps"])
    assert set(ps.settle().models()) == {"u:ps_0", "u:ps_1"}
    ps.fail_call("HandleReloadConfigRequest", grpc.StatusCode.UNKNOWN, "u:ps_0 cannot be loaded")
    with pytest.raises(grpc.RpcError, match="cannot be loaded"):
        monitor.reload("ps", server_config([]))
    with pytest.raises(errors.ConfigError, match="no ports of a server"):
        TfsMonitor(config()).reload("dense", server_config([]))


def test_a_default_model_stays_where_there_is_one(servers):
    monitor, entry, *_ = servers
    monitor.config.default_model_base_path = "/d"
    given = server_config([model_entry("a", "/a")])
    monitor.reload("entry", given)
    assert set(entry.models()) == {"a", "default"} and len(given.model_config_list.config) == 1
    monitor.reload("entry", server_config([model_entry("default", "/other")]))
    sent = entry.calls("HandleReloadConfigRequest")[-1].config.model_config_list.config
    assert [(m.name, m.base_path) for m in sent] == [("default", "/other")]


@pytest.mark.parametrize("path", ["/e/entry/latest", "/e/entry/", "", "/e/entry/²"])
def test_paths_that_end_in_no_version(path):
    with pytest.raises(errors.BadDataError, match="no path of a version"):
        TfsMonitor(config()).model_configs([PublishMeta(model_name="t", sub_models={"entry": path})])


def test_which_version_counts():
    def of(*pairs):
        found = newest(version_status(v, s) for v, s in pairs)
        return found and found.version

    assert of((3, S.AVAILABLE), (5, S.LOADING), (4, S.AVAILABLE)) == 4
    assert of((3, S.END), (5, S.START)) == 5 and of((9, S.LOADING)) == 9 and of() is None


def test_servers_with_mutual_tls(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=serving",
                    "-addext", "subjectAltName=DNS:serving"], check=True, capture_output=True)
    own = Tls(str(cert), str(cert), str(key))
    with FakeTfs([Model("entry")], credentials=server_credentials(own)) as fake:
        fake.settle()
        c = config(entry=fake.port, ps=free_port(), dense=free_port())
        assert TfsMonitor(c, tls=Tls(str(cert), str(cert), str(key), "serving")).status("entry")[0].state == S.AVAILABLE
        for tls in (None, Tls(str(cert), server_name="serving")):
            with pytest.raises(grpc.RpcError):
                TfsMonitor(c, tls=tls).status("entry")
