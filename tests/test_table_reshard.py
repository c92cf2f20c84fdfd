"""table-reshard: the same rows in other files."""

import os

from table_files import ADAGRAD, messages, unsnapped
from test_table_tools import assign, config, model, save, tables_of  # noqa: F401

from monolith_cli.tables import tools
from monolith_cli.tables.config import SgdOptimizer


def test_reshard_files(model, run, tmp_path):  # noqa: F811
    t, model_dir, base = model
    for n in (1, 5, 2):
        run("table-reshard", model_dir, "--shards", n, "-o", tmp_path / str(n))
        assert len(os.listdir(tmp_path / str(n))) == 2 * n + 1
        assert messages(tmp_path / str(n)) == messages(model_dir)
        assert run("table-verify", tmp_path / str(n)).stderr == ""
    # As many files as before: rows stay where they were.
    for name in set(os.listdir(tmp_path / "2")) - {base.name + ".manifest"}:
        data, was = (tmp_path / "2" / name).read_bytes(), (base.parent / name).read_bytes()
        assert data == was if ".meta" in name else unsnapped(data) == unsnapped(was)


def test_reshard_servers(run, tmp_path):
    keys = [*range(-40, 40), 2**63 - 1, -2**63, 7 << 48 | 5]
    t = tables_of(a=config((1, ADAGRAD)), b=config((2, SgdOptimizer())))
    assign(t, "a", {k: [k % 97] for k in keys}, 5)
    assign(t, "b", {k: [1, 2] for k in keys[:9]}, 6)
    t.save(str(tmp_path / "one" / "MonolithMultiHashTable_0"), 3)
    before = messages(tmp_path / "one")
    previous = tmp_path / "one"
    for parts in (3, 2, 7, 1):
        run("table-reshard", previous, "--parts", parts, "-o", tmp_path / f"p{parts}")
        assert tools.sets_in(str(tmp_path / f"p{parts}")) == [f"MonolithMultiHashTable_{i}" for i in range(parts)]
        for i in range(parts):
            for (_, key) in messages(tmp_path / f"p{parts}" / f"MonolithMultiHashTable_{i}"):
                assert key % parts == i  # Python's modulo is the floor modulo
        previous = tmp_path / f"p{parts}"
        assert messages(previous) == before
    t.close()
    os.unlink(tmp_path / "p3" / "MonolithMultiHashTable_1-00000-of-00001")
    os.unlink(tmp_path / "p3" / "MonolithMultiHashTable_1.meta-00000-of-00001")
    done = run("table-reshard", tmp_path / "p3", "--parts", 2, "-o", tmp_path / "x", check=False)
    assert done.returncode == 65 and "MonolithMultiHashTable_1-00000-of-00001 or alike is missing" in done.stderr
    os.unlink(tmp_path / "p3" / "MonolithMultiHashTable_1.manifest")
    done = run("table-reshard", tmp_path / "p3", "--parts", 2, "-o", tmp_path / "x", check=False)
    assert done.returncode == 65 and "part 1 of 3 is missing" in done.stderr
    os.unlink(tmp_path / "p3" / "MonolithMultiHashTable_2.manifest")
    for part in ("", ".meta"):
        os.rename(tmp_path / "p3" / f"MonolithMultiHashTable_2{part}-00000-of-00001", tmp_path / "p3" / f"MonolithMultiHashTable_1{part}-00000-of-00001")
    done = run("table-reshard", tmp_path / "p3", "--parts", 5, "-o", tmp_path / "x", check=False)
    assert done.returncode == 65 and "these are not the files of so many parameter servers" in done.stderr and not (tmp_path / "x").exists()
    assert run("table-reshard", tmp_path / "p2", "-o", tmp_path / "x", check=False).returncode == 2


def test_filters_go_along(model, run, tmp_path):  # noqa: F811
    _, model_dir, base = model
    (base.parent / "hash_filter_0-00000-of-00001").write_bytes(b"cells")
    run("table-reshard", model_dir, "--shards", 3, "-o", tmp_path / "x")
    assert (tmp_path / "x" / "hash_filter_0-00000-of-00001").read_bytes() == b"cells"
    done = run("table-reshard", model_dir, "--parts", 3, "-o", tmp_path / "y")
    assert "hash filters" in done.stderr and not (tmp_path / "y" / "hash_filter_0-00000-of-00001").exists()
    assert "hash filters" in run("table-merge", model_dir, "-o", tmp_path / "z").stderr
