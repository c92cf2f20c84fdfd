"""zk backup and restore: random trees there and back, and files that are cut or damaged."""

import base64
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli import errors
from monolith_cli.serving.zookeeper import backup as b
from monolith_cli.serving.zookeeper.connection import NodeExists, ZkConfig, connect

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/", max_codepoint=0xFFEF),
    min_size=1,
    max_size=8,
).filter(lambda n: n not in (".", ".."))
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.tuples(st.binary(max_size=50) | st.text(max_size=20).map(lambda t: t.encode("utf-8", "replace")), st.booleans()),
    max_size=12,
)


@pytest.fixture(scope="module")
def session(zookeeper):
    with connect(ZkConfig(zookeeper.servers)) as c:
        yield c


@pytest.fixture(autouse=True)
def clean(session):
    yield
    for name in session.children("/"):
        if name != "zookeeper":
            session.delete(f"/{name}", recursive=True)


def model_of(tree):
    """What a tree of random paths is: parents exist and are empty unless named; an ephemeral node has nothing below
    it."""
    made = {"": (b"", False)}
    for path, (data, ephemeral) in sorted(tree.items()):
        parts = path.split("/")
        parents = ["/".join(parts[:i]) for i in range(1, len(parts))]
        if any(made.get(p, (b"", False))[1] for p in parents):
            continue
        for p in parents:
            made.setdefault(p, (b"", False))
        inner = any(other.startswith(path + "/") for other in tree)
        made[path] = (data, ephemeral and not inner)
    return made


def read_back(c, root):
    found = {}

    def go(path):
        data, stat = c.get(path)
        found[path.removeprefix(root)] = (data, stat.owner_session_id is not None)
        for name in c.children(path):
            go(f"{path}/{name}")

    go(root)
    return found


@given(TREES)
@settings(max_examples=40)
def test_random_trees_there_and_back(session, tmp_path_factory, tree):
    model = model_of(tree)
    try:
        for path, (data, ephemeral) in sorted(model.items()):
            session.create("/r" + path, data, ephemeral=ephemeral)
        assert read_back(session, "/r") == model
        file = str(tmp_path_factory.getbasetemp() / "backup")
        counts = b.backup(session, "/r", file)
        assert counts == {"nodes": len(model), "ephemeral": sum(e for _, e in model.values())}
        source = b.BackupFile(file)
        assert {p: (d, e) for p, d, e, _ in source.nodes()} == model
        lasting = {p: (d, False) for p, (d, e) in model.items() if not e}
        done = b.restore(session, source, "/copy")
        assert read_back(session, "/copy") == lasting
        assert done == {"created": len(lasting), "overwritten": 0, "skipped": 0, "ephemeral": len(model) - len(lasting)}
        assert b.restore(session, source, "/copy")["skipped"] == len(lasting)  # once more changes nothing
    finally:
        for root in ("/r", "/copy"):
            if session.exists(root):
                session.delete(root, recursive=True)


def make_backup(session, path):
    for i in range(20):
        session.create(f"/r/n{i}", f"data {i}".encode())
    b.backup(session, "/r", str(path))
    return path.read_bytes()


def test_half_a_file_is_refused_wherever_it_is_cut(run, zookeeper, session, tmp_path):
    whole = make_backup(session, tmp_path / "whole")
    for cut in [*range(0, len(whole), 37), len(whole) - 1]:
        (tmp_path / "half").write_bytes(whole[:cut])
        with pytest.raises(errors.BadDataError, match="half"):
            b.BackupFile(str(tmp_path / "half"))
    (tmp_path / "half").write_bytes(whole[:300])
    done = run("zk", "restore", tmp_path / "half", "--to", "/copy", "--zk-servers", zookeeper.servers, check=False)
    assert done.returncode == 65 and "not a whole backup" in done.stderr and session.exists("/copy") is None


def test_a_flipped_bit_is_found_wherever_it_is(session, tmp_path):
    whole = make_backup(session, tmp_path / "whole")
    for at in range(0, len(whole), 13):
        broken = bytearray(whole)
        broken[at] ^= 1 << (at % 8)
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(errors.Error) as e:
            b.BackupFile(str(tmp_path / "broken"))
        assert e.value.exit_code in (2, 65)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"hello\n", b"{}\n", b'{"nodes": 0, "sha256": ""}\n', os.urandom(1000)]
)
def test_what_is_no_backup(tmp_path, content):
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(errors.BadDataError, match="backup"):
        b.BackupFile(str(tmp_path / "f"))


def test_lines_that_are_no_nodes(session, tmp_path):
    lines = [json.dumps({"format": b.FORMAT, "version": 1, "root": "/r"}), '{"path": "/x", "base64": "*"}']
    body = "".join(line + "\n" for line in lines).encode()
    (tmp_path / "f").write_bytes(
        body + json.dumps({"nodes": 1, "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"
    )
    with pytest.raises(errors.BadDataError, match="line 2 is no node"):
        b.restore(session, b.BackupFile(str(tmp_path / "f")))
    assert base64.b64decode("AA==") == b"\0"


def test_nodes_that_are_there(session, tmp_path):
    make_backup(session, tmp_path / "f")
    source = b.BackupFile(str(tmp_path / "f"))
    session.set("/r/n7", b"mine")
    session.delete("/r/n8")
    with pytest.raises(NodeExists, match="/r/n7"):
        b.restore(session, source)
    assert session.exists("/r/n8") is None  # nothing was written
    assert (
        b.restore(session, source, on_exists="skip", dry_run=True)["created"] == 1 and session.exists("/r/n8") is None
    )
    assert b.restore(session, source, on_exists="skip") == {
        "created": 1,
        "overwritten": 0,
        "skipped": 20,
        "ephemeral": 0,
    }
    assert session.get("/r/n7")[0] == b"mine"
    assert b.restore(session, source, on_exists="overwrite")["overwritten"] == 1
    assert session.get("/r/n7")[0] == b"data 7"


def test_commands(run, zookeeper, session, tmp_path):
    zk = ["--zk-servers", zookeeper.servers]
    make_backup(session, tmp_path / "f")
    done = run("zk", "backup", "/r", tmp_path / "g", "--json", *zk)
    assert (
        json.loads(done.stdout) == {"nodes": 21, "ephemeral": 0, "dry_run": False}
        and (tmp_path / "g").stat().st_mode & 0o777 == 0o600
    )
    piped = run("zk", "backup", "/r", "-", *zk).stdout
    done = run("zk", "restore", "-", "--to", "/copy", "--json", *zk, stdin=piped)
    assert json.loads(done.stdout)["created"] == 21 and session.get("/copy/n3")[0] == b"data 3"
    assert (
        run("zk", "backup", "/none", tmp_path / "h", *zk, check=False).returncode == 66
        and not (tmp_path / "h").exists()
    )
    assert run("zk", "backup", "/r", "/no/such/folder/f", *zk, check=False).returncode == 73
    assert run("zk", "restore", "/no/such", *zk, check=False).returncode == 66
    full = run("zk", "backup", "/r", "-", *zk, stdout=open("/dev/full", "wb"), check=False)
    assert full.returncode == 74
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "g"]


def test_a_killed_backup_leaves_the_file_as_it_was(zookeeper, session, tmp_path):
    for i in range(400):
        session.create(f"/r/n{i}", b"x" * 100)
    file = tmp_path / "f"
    b.backup(session, "/r", str(file))
    before = file.read_bytes()
    for delay in (0.25, 0.35, 0.45):
        command = [
            sys.executable,
            "-m",
            "monolith_cli",
            "zk",
            "backup",
            "/r",
            str(file),
            "-q",
            "--zk-servers",
            zookeeper.servers,
        ]
        with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}) as p:
            time.sleep(delay)
            p.send_signal(signal.SIGKILL)
        found = file.read_bytes()
        assert found == before or b.BackupFile(str(file)).count == 401
