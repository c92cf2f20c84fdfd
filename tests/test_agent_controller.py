"""agent-controller with a real ZooKeeper: declarations, layouts, what is asked before deleting, and mistakes."""

import json
import os
import pty
import subprocess
import sys

import pytest
from agents import wait_until
from conftest import ROOT

from monolith_cli import errors
from monolith_cli.serving.controller.backends import ZKBackend
from monolith_cli.serving.controller.declare import find_model_name
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.connection import EphemeralNodes, ZkConfig, connect
from monolith_cli.serving.zookeeper.paths import Container, SavedModel
from monolith_cli.serving.zookeeper.records import ContainerServiceInfo, SavedModelDeployConfig


def saved_model_bytes(model_name, in_function=False):
    from monolith_cli.serving.protos import saved_model_pb2

    made = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    graph = made.meta_graphs.add().graph_def
    graph.node.add(name="x", op="Placeholder")
    if model_name:
        nodes = graph.library.function.add().node_def if in_function else graph.node
        nodes.add(name="call", op="TfServingRemotePredict").attr["model_name"].s = model_name.encode()
    return made.SerializeToString()


def make_export(base, model_name="ffm:ps_0", ps=5, versions=("99", "100"), newest="100", **more):
    for sub in ["entry", *(f"ps_{i}" for i in range(ps))]:
        for v in versions:
            (base / sub / v).mkdir(parents=True)
            (base / sub / v / "saved_model.pb").write_bytes(
                saved_model_bytes(model_name if v == newest else "old:ps_0", **more)
            )
    (base / "entry" / "checkpoint").write_text("no folder")
    (base / "entry" / "temp-300").mkdir()
    (base / "README").write_text("no folder")
    (base / ".hidden").mkdir()
    return base


@pytest.fixture
def session(zookeeper):
    with connect(ZkConfig(zookeeper.servers)) as c:
        yield c
        for bzid in c.children("/"):
            if bzid != "zookeeper":
                c.delete(f"/{bzid}", recursive=True)


@pytest.fixture
def controller(run, zookeeper):
    def call(*args, **more):
        return run("agent-controller", "--zk-servers", zookeeper.servers, *args, **more)

    return call


def test_declare_publish_unpublish_t22(controller, session, tmp_path):
    export = make_export(tmp_path / "ffm")
    done = controller("--cmd=decl", "--export_base", export, "--bzid", "gip")
    lines = done.stdout.decode().splitlines()
    assert (
        lines[0] == ""
        and lines[1] == f"ffm:entry\t{export}/entry\tlatest"
        and lines[2] == f"ffm:ps_0\t{export}/ps_0\tlatest_once"
        and len(lines) == 7
    )
    assert session.children("/gip/saved_models/ffm") == ["entry", "ps_0", "ps_1", "ps_2", "ps_3", "ps_4"]
    assert (
        session.get("/gip/saved_models/ffm/ps_3")[0]
        == json.dumps({"model_base_path": f"{export}/ps_3", "version_policy": "latest_once"}).encode()
    )

    def layout():
        return session.children("/gip/layouts/main")

    controller("pub", "--bzid", "gip", "--model-name", "ffm:entry", "--layout", "main")
    assert layout() == ["ffm:entry"] and session.get("/gip/layouts/main/ffm:entry")[0] == b""
    controller("--cmd", "pub", "--bzid", "gip", "--model_name=ffm:ps_*", "--layout", "/gip/layouts/main")
    assert layout() == ["ffm:entry", *(f"ffm:ps_{i}" for i in range(5))]
    out = controller("unpub", "--bzid", "gip", "--model-name", "ffm:ps_*", "--layout", "main", "--yes", "--json")
    assert json.loads(out.stdout) == {
        "layout": "/gip/layouts/main",
        "action": "unpub",
        "changed": [f"ffm:ps_{i}" for i in range(5)],
        "dry_run": False,
        "saved_models": ["ffm:entry"],
    }
    controller("unpub", "--bzid", "gip", "--model-name", "ffm:entry", "--layout", "main", "-y")
    assert layout() == []
    again = controller(
        "unpub", "--bzid", "gip", "--model-name", "ffm:entry", "--layout", "main", "--skip-exit-code", "9", check=False
    )
    assert again.returncode == 9  # nothing to take out: nothing to ask, and nothing done


def test_what_deletes_asks(controller, session, zookeeper):
    backend = ZKBackend("b", session)
    backend.decl_saved_model(SavedModel("m", "ps_0"), SavedModelDeployConfig("/x", "latest"))
    backend.add_to_layout("/b/layouts/l", SavedModel("m", "ps_0"))
    words = ("unpub", "--bzid", "b", "--model-name", "m:*", "--layout", "l")
    done = controller(*words, check=False)
    assert done.returncode == 2 and "--yes" in done.stderr and "m:ps_0" in done.stderr
    assert controller(*words, "--dry-run").stdout.decode().split() == ["m:ps_0"]
    assert session.children("/b/layouts/l") == ["m:ps_0"]
    for answer, left in ((b"n\n", ["m:ps_0"]), (b"y\n", [])):
        master, slave = pty.openpty()
        os.write(master, answer)
        command = [sys.executable, "-m", "monolith_cli", "agent-controller", "--zk-servers", zookeeper.servers, *words]
        asked = subprocess.run(
            command,
            stdin=slave,
            capture_output=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            timeout=300,
            check=False,
        )
        assert asked.returncode == 0 and b"Take m:ps_0 out of the layout /b/layouts/l? [y/N]" in asked.stderr, (
            asked.stderr
        )
        os.close(master)
        os.close(slave)
        assert session.children("/b/layouts/l") == left


def test_bzid_info(controller, session):
    backend, nodes = ZKBackend("gip", session), EphemeralNodes(session)
    assert json.loads(controller("--bzid", "gip").stdout) == {"model_info": {}, "container_info": {}, "layout_info": {}}
    pod, ipv6 = Container("psm;lf;default", "pod-7"), Container("psm;lf;default", "fe80::1")
    for sub in ("entry", "ps_0"):
        backend.decl_saved_model(SavedModel("ffm", sub), SavedModelDeployConfig(f"/a/{sub}", "latest"))
        backend.add_to_layout("/gip/layouts/l", SavedModel("ffm", sub))
    backend.decl_saved_model(SavedModel("idle", "entry"), SavedModelDeployConfig("/i/entry", "latest"))
    info = ContainerServiceInfo(grpc="1.1.1.1:1")
    for c in (pod, ipv6):
        nodes.publish(paths.container_path("gip", c), info.to_json())
        nodes.publish(paths.binding_path("gip", SavedModel("ffm", "ps_0"), c), b"")
    done = controller("bzid_info", "--bzid", "gip")
    assert done.stdout.startswith(b'\n{\n  "model_info": {\n    "ffm": {\n      "entry"')
    found = json.loads(done.stdout)
    config = {s: f'{{"model_base_path": "/a/{s}", "version_policy": "latest"}}' for s in ("entry", "ps_0")}
    assert list(found["model_info"]["ffm"]) == ["entry", "ps_0", "sub_graphs_available", "sub_graphs_total"]
    bindings = found["model_info"]["ffm"]["ps_0"].pop("bindings")
    assert sorted(bindings) == ["psm;lf;default:fe80::1", "psm;lf;default:pod-7"]
    assert found == {
        "model_info": {
            "ffm": {
                "entry": {"deploy_config": config["entry"]},
                "ps_0": {"deploy_config": config["ps_0"]},
                "sub_graphs_available": 1,
                "sub_graphs_total": 2,
            },
            "idle": {
                "entry": {"deploy_config": '{"model_base_path": "/i/entry", "version_policy": "latest"}'},
                "sub_graphs_total": 1,
            },
        },
        "container_info": {
            "psm;lf;default": {
                i: {"service_info": info.to_json().decode(), "saved_models": ["ffm:ps_0"]} for i in ("fe80::1", "pod-7")
            }
        },
        "layout_info": {"l": ["ffm:entry", "ffm:ps_0"]},
    }
    assert controller("bzid_info", "--bzid", "gip", "--json").stdout.count(b"\n") == 1
    nodes.close()


def test_sync_targets(session, zookeeper):
    backend, nodes, pod = ZKBackend("gip", session), EphemeralNodes(session), Container("c", "fe80::1")
    with pytest.raises(errors.UsageError):
        backend.get_sync_targets("ps_0")
    backend.subscribe_model("m")
    backend.subscribe_model("m")
    with pytest.raises(errors.UsageError, match="one model a backend"):
        backend.subscribe_model("other")
    assert backend.get_sync_targets("ps_9") == ("m:ps_9", [])
    nodes.publish(paths.container_path("gip", pod), ContainerServiceInfo(grpc="[fe80::1]:1").to_json())
    nodes.publish(paths.binding_path("gip", SavedModel("m", "ps_0"), pod), b"")
    one, there = session.session_id, ("m:ps_0", ["[fe80::1]:1"])
    wait_until(lambda: backend.get_sync_targets("ps_0") == there)
    zookeeper.expire_client(session)
    wait_until(lambda: session.state == "connected" and session.session_id != one)
    wait_until(lambda: backend.get_sync_targets("ps_0") == there)
    backend.stop()
    nodes.close()


def test_the_model_is_named_by_the_newest_version(tmp_path):
    assert (
        find_model_name(make_export(tmp_path / "a", ps=0)) == "ffm"
    )  # 100 is newer than 99, though "99" sorts behind it
    assert find_model_name(make_export(tmp_path / "b", "m", ps=0, in_function=True)) == "m"
    assert find_model_name(make_export(tmp_path / "c", None, ps=0)) is None


def test_declaring_again_and_under_another_name(controller, session, tmp_path):
    export = make_export(tmp_path / "e", ps=1)
    controller("decl", "--export-base", export)
    done = controller("decl", "--export-base", export, check=False)
    assert done.returncode == 73 and "--overwrite" in done.stderr
    moved = make_export(tmp_path / "moved", ps=2)
    assert controller("decl", "--overwrite=1", "--export-base", moved, "--json").returncode == 0
    assert session.get("/test/saved_models/ffm/ps_0")[0].decode().startswith(f'{{"model_base_path": "{moved}/ps_0"')
    named = controller("decl", "--export-base", export, "--model-name", "mine", "--dry-run")
    assert "the export is of the model ffm" in named.stderr and b"mine:entry" in named.stdout
    assert session.exists("/test/saved_models/mine") is None


@pytest.mark.parametrize(
    "args,code,part",
    [
        (["decl"], 2, "--export-base"),
        (["pub", "--model-name", "m:*"], 2, "--layout"),
        (["pub", "--layout", "l"], 2, "MODEL:PATTERN"),
        (["pub", "--layout", "l", "--model-name", "m"], 2, "MODEL:PATTERN"),
        (["pub", "--layout", "l", "--model-name", "m:*"], 66, "nothing of m is declared"),
        (["decl", "--export-base", "/no/such"], 66, "/no/such"),
        (["--bzid", "a/b"], 2, "--bzid"),
        (["--cmd", "list"], 2, "list"),
        (["--arch", "other"], 2, "entry_ps"),
        (["decl", "--export-base", "empty"], 66, "no version"),
        (["decl", "--export-base", "broken"], 65, "no SavedModel"),
        (["decl", "--export-base", "nameless"], 2, "--model-name"),
    ],
)
def test_mistakes(controller, tmp_path, args, code, part):
    (tmp_path / "empty" / "entry").mkdir(parents=True)
    (tmp_path / "broken" / "entry" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "entry" / "1" / "saved_model.pb").write_bytes(b"\xff\xff\xff")
    make_export(tmp_path / "nameless", None, ps=0)
    done = controller(*args, check=False, cwd=tmp_path)
    assert done.returncode == code and part in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == b""


def test_nobody_there(run):
    done = run("agent-controller", "--zk-servers", "127.0.0.1:1", "--zk-connect-timeout", "0.5", check=False)
    assert done.returncode == 69 and "127.0.0.1:1: cannot be reached" in done.stderr
    assert run("agent-controller", check=False).returncode == 2
