"""zk: trees, nodes, copies and removals, against a real ZooKeeper."""

import json
import os
import pty
import subprocess
import sys

import pytest
from conftest import ROOT

from monolith_cli.serving.zookeeper.connection import ZkConfig, connect
from monolith_cli.serving.zookeeper.paths import Container, SavedModel, binding_path, container_path
from monolith_cli.serving.zookeeper.records import (
    ContainerServiceInfo,
    ModelMeta,
    PublishMeta,
    PublishType,
    ReplicaMeta,
    ResourceSpec,
    SavedModelDeployConfig,
    State,
)


@pytest.fixture
def session(zookeeper):
    with connect(ZkConfig(zookeeper.servers)) as c:
        yield c
        for name in c.children("/"):
            if name != "zookeeper":
                c.delete(f"/{name}", recursive=True)


@pytest.fixture
def zk(run, zookeeper):
    def call(verb, *args, **more):
        return run("zk", verb, *args, "--zk-servers", zookeeper.servers, **more)

    return call


def make_every_kind(c):
    pod = Container("psm;lf;default", "fe80::1")
    made = [
        ("/b/portal/m", ModelMeta("m", "/d").to_json()),
        ("/b/resource/0:1", ResourceSpec("h:1", 0, 1, 5).to_json()),
        ("/b/publish/0:1:m", PublishMeta(0, 1, "m", 1, 1, {"entry": "/d/entry/1"}, PublishType.UNLOAD).to_json()),
        ("/b/service/m/ps:0/7", ReplicaMeta("h:1", stat=State.LOADING).to_json()),
        ("/b/service/m/lf:default/entry:0/00000000003", ReplicaMeta("h:2", stat=State.AVAILABLE).to_json()),
        ("/b/saved_models/m/ps_0", SavedModelDeployConfig("/d/ps_0", "latest_once").to_json()),
        ("/b/layouts/main/m:ps_0", b""),
        (container_path("b", pod), ContainerServiceInfo(grpc="h:3", debug_info="{}").to_json()),
        (binding_path("b", SavedModel("m", "ps_0"), pod), b""),
    ]
    for path, data in made:
        c.create(path, data, ephemeral=path.startswith("/b/service/m/ps"))
    return made


TREE = """\
/b
  binding
    m
      ps_0:psm;lf;default:fe80%3A%3A1
  container_service
    psm;lf;default:fe80%3A%3A1  ContainerServiceInfo grpc=h:3 debug_info={}
  layouts
    main
      m:ps_0
  portal
    m  ModelMeta model_name=m model_dir=/d
  publish
    0:1:m  PublishMeta UNLOAD shard_id=0 replica_id=1 model_name=m num_ps=1 sub_models={"entry": "/d/entry/1"}
  resource
    0:1  ResourceSpec address=h:1 shard_id=0 replica_id=1 memory=5
  saved_models
    m
      ps_0  SavedModelDeployConfig model_base_path=/d/ps_0 version_policy=latest_once
  service
    m
      lf:default
        entry:0
          00000000003  ReplicaMeta AVAILABLE address=h:2
      ps:0
        7  (ephemeral)  ReplicaMeta LOADING address=h:1
"""


def test_tree_decodes_every_kind_of_node(zk, session):
    made = dict(make_every_kind(session))
    assert zk("tree", "/b").stdout.decode() == TREE
    lines = [json.loads(line) for line in zk("tree", "/b", "--json").stdout.decode().splitlines()]
    assert len(lines) == len(TREE.splitlines())
    found = {line["path"]: line for line in lines}
    assert {path: found[path]["text"].encode() for path in made} == made
    kinds = {line["kind"] for line in lines}
    assert kinds == {
        None,
        "ModelMeta",
        "ResourceSpec",
        "PublishMeta",
        "ReplicaMeta",
        "SavedModelDeployConfig",
        "LayoutEntry",
        "ContainerServiceInfo",
        "Binding",
    }
    binding = found["/b/binding/m/ps_0:psm;lf;default:fe80%3A%3A1"]
    assert binding["value"] == {"model_name": "m", "sub_graph": "ps_0", "cluster": "psm;lf;default", "id": "fe80::1"}
    assert (
        found["/b/service/m/ps:0/7"]["ephemeral_owner"] == f"0x{session.session_id & (2**64 - 1):x}"
        and binding["ephemeral_owner"] is None
    )
    assert zk("tree", "/b/portal").stdout.decode() == "/b/portal\n  m  ModelMeta model_name=m model_dir=/d\n"
    assert zk("tree", "/b", "-L", "1").stdout.decode().count("\n") == 9
    assert zk("tree").stdout.decode().startswith("/\n  b\n    binding\n")


def test_what_cannot_be_read_is_marked(zk, session):
    session.create("/b/portal/m", b"{oops")
    session.create("/b/raw", b"\x00\xff")
    session.create("/b/long", b"x" * 300)
    session.create("/b/text", "zwei\nZeilen".encode())
    text = zk("tree", "/b").stdout.decode()
    assert (
        "m  !! this is no ModelMeta" in text
        and "raw  <2 bytes>" in text
        and "(300 bytes)" in text
        and "text  zwei⏎Zeilen" in text
    )
    found = [json.loads(line) for line in zk("tree", "/b", "--json").stdout.decode().splitlines()]
    assert [(n["base64"]) for n in found if "base64" in n] == ["AP8="]
    assert any("/b/portal/m: this is no ModelMeta" in n.get("error", "") for n in found)


def test_get_prints_the_bytes(zk, session):
    session.create("/b/raw", bytes(range(256)))
    session.create("/b/portal/m", ModelMeta("m").to_json())
    assert zk("get", "/b/raw").stdout == bytes(range(256))
    assert json.loads(zk("get", "/b/portal/m", "--decode").stdout)["model_name"] == "m"
    assert json.loads(zk("get", "/b/portal/m/", "--json").stdout)["value"]["num_shard"] == -1
    assert zk("get", "/b/raw", "--decode", check=False).returncode == 65
    done = zk("get", "/b/none", check=False)
    assert done.returncode == 66 and "/b/none: no such node" in done.stderr
    assert zk("get", "b", check=False).returncode == 2


def test_set(zk, session, tmp_path):
    done = zk("set", "/b/x", "1", check=False)
    assert done.returncode == 66 and "--create" in done.stderr and session.exists("/b/x") is None
    assert json.loads(zk("set", "/b/x", "1", "--create", "--json").stdout)["done"] == "created"
    zk("set", "/b/x", "--file", "-", stdin=b"\x00\x01")
    assert session.get("/b/x")[0] == b"\x00\x01"
    (tmp_path / "f").write_bytes(b"from file")
    zk("set", "/b/x", "-f", tmp_path / "f", "--at-version", "1")
    assert session.get("/b/x")[0] == b"from file"
    assert zk("set", "/b/x", "2", "--at-version", "1", check=False).returncode == 75
    zk("set", "/b/x", "3", "--dry-run")
    zk("set", "/b/y", "3", "--dry-run", "--create")
    assert session.get("/b/x")[0] == b"from file" and session.exists("/b/y") is None
    assert zk("set", "/b/x", check=False).returncode == 2
    assert zk("set", "/b/x", "--file", "/no/such", check=False).returncode == 66
    assert zk("set", "/b/x", "-f", "-", stdin=b"x" * (1 << 20) + b"y", check=False).returncode == 2
    done = zk("set", "/b/portal/m", "{", "--create", check=False)
    assert done.returncode == 65 and "ModelMeta" in done.stderr and session.exists("/b/portal/m") is None
    zk("set", "/b/portal/m", "{", "--create", "--no-check")
    assert session.get("/b/portal/m")[0] == b"{"


def test_rm_asks(zk, session, zookeeper):
    session.create("/b/x/y")
    session.create("/b/z", ephemeral=True)
    done = zk("rm", "/b/x", check=False)
    assert done.returncode == 73 and "-r" in done.stderr
    done = zk("rm", "-r", "/b/x", "/b/z", check=False)
    assert (
        done.returncode == 2
        and "remove /b/x, /b/z (3 nodes)" in done.stderr
        and "1 of the nodes are ephemeral" in done.stderr
    )
    assert json.loads(zk("rm", "-r", "/b/x", "--dry-run", "--json").stdout) == {
        "removed": ["/b/x"],
        "nodes": 2,
        "dry_run": True,
    }
    assert session.exists("/b/x/y")
    for answer, there in ((b"n\n", True), (b"y\n", False)):
        master, slave = pty.openpty()
        os.write(master, answer)
        command = [sys.executable, "-m", "monolith_cli", "zk", "rm", "-r", "/b/x", "--zk-servers", zookeeper.servers]
        asked = subprocess.run(
            command,
            stdin=slave,
            capture_output=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            timeout=300,
            check=False,
        )
        os.close(master)
        os.close(slave)
        assert asked.returncode == 0 and b"Remove /b/x (2 nodes)? [y/N]" in asked.stderr
        assert bool(session.exists("/b/x")) == there
    assert zk("rm", "/b/x", "-y", check=False).returncode == 66
    assert zk("rm", "/b/x", "-y", "-f", "--skip-exit-code", "9", check=False).returncode == 9
    for holy in ("/", "/zookeeper/config"):
        assert zk("rm", "-r", "-y", holy, check=False).returncode == 2


def test_cp_between_paths_and_files(zk, session, tmp_path):
    session.create("/b/a/x", b"1")
    session.create("/b/a/e", b"2", ephemeral=True)
    zk("cp", "/b/a/x", "/b/c")
    assert session.get("/b/c")[0] == b"1"
    assert zk("cp", "/b/a/x", "-").stdout == b"1"
    zk("cp", "/b/a/x", f"file:{tmp_path}/x")
    assert (tmp_path / "x").read_bytes() == b"1"
    (tmp_path / "y").write_bytes(b"from file")
    assert zk("cp", "./y", "/b/c", cwd=tmp_path, check=False).returncode == 73
    zk("cp", "./y", "/b/c", "--on-exists", "skip", cwd=tmp_path)
    assert session.get("/b/c")[0] == b"1"
    zk("cp", "./y", "/b/c", "--on-exists", "overwrite", cwd=tmp_path)
    assert session.get("/b/c")[0] == b"from file"
    counts = json.loads(zk("cp", "-r", "/b/a", "/d", "--json").stdout)
    assert counts == {"created": 2, "overwritten": 0, "skipped": 0, "ephemeral": 1, "dry_run": False}
    assert session.children("/d") == ["x"] and session.get("/d/x")[0] == b"1"
    done = zk("cp", "-r", "/b", "/b/a/deeper", check=False)
    assert done.returncode == 2 and "into itself" in done.stderr
    zk("cp", "-r", "/d", "./tree", cwd=tmp_path)
    zk("cp", "-r", "./tree", "/back", cwd=tmp_path)
    assert session.get("/back/x")[0] == b"1"
    assert zk("cp", "./a", "./b", check=False).returncode == 2
    assert zk("cp", "no-colon/x", "/b", check=False).returncode == 2


def test_cp_to_another_ensemble(run, zk, session, tmp_path_factory):
    import zookeeper_ensemble as z

    other = z.Ensemble(1, tmp_path_factory.mktemp("other")).start()
    try:
        session.create("/b/a/x", b"1")
        zk("cp", "-r", "/b/a", f"{other.servers}/moved")
        with connect(ZkConfig(other.servers)) as c:
            assert c.get("/moved/x")[0] == b"1"
            c.set("/moved/x", b"2")
        done = run("zk", "cp", f"{other.servers}/moved/x", "-")  # --zk-servers is not needed
        assert done.stdout == b"2"
        zk("cp", f"{other.servers}/moved/x", "/b/a/x", "--on-exists", "overwrite")
        assert session.get("/b/a/x")[0] == b"2"
    finally:
        other.stop()


def test_zkcli_reads_what_we_write(session, zookeeper):
    made = make_every_kind(session)
    script = "".join(f"get {path}\n" for path, data in made if data) + "ls /b/service/m\nquit\n"
    if not os.path.exists("/usr/share/zookeeper/bin/zkCli.sh"):
        pytest.skip("zkCli.sh is not installed")
    done = subprocess.run(
        ["/usr/share/zookeeper/bin/zkCli.sh", "-server", zookeeper.servers],
        input=script,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    for _, data in made:
        if data:
            assert data.decode() in done.stdout, done.stdout[-2000:]
    assert "[lf:default, ps:0]" in done.stdout


def test_a_path_at_the_end_of_the_servers(run, session, zookeeper):
    session.create("/b/portal/m", ModelMeta("m").to_json())
    done = run("zk", "tree", "/portal", "--zk-servers", f"{zookeeper.servers}/b")
    assert done.stdout.decode().splitlines()[0] == "/portal"


def test_nobody_there(run):
    done = run("zk", "tree", "--zk-servers", "127.0.0.1:1", "--zk-connect-timeout", "3", check=False)
    assert done.returncode == 69 and done.stderr.startswith(
        "zk: ZooKeeper 127.0.0.1:1: cannot be reached within 3 s: Connection refused"
    )
    assert "Traceback" not in done.stderr and done.stdout == b""


def test_reader_that_leaves_ends_it_silently(session, zookeeper):
    for i in range(1500):
        session.create(f"/many/{'x' * 80}{i}")
    line = f"zk tree /many --zk-servers {zookeeper.servers} | head -c 10 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, check=True)
    assert (done.stdout.strip(), done.stderr) == ("141", "")
