"""The table commands on chains of a base and deltas."""

import json
import math
import os

import pytest
from table_files import ADAGRAD
from test_table_tools import NOW, assign, config, model, rows_of, save, tables_of  # noqa: F401

from monolith_cli.tables import tools
from monolith_cli.tables.config import SgdOptimizer


@pytest.fixture
def chain(tmp_path):
    """A model directory whose newest checkpoint is a delta of a delta; and what it stands for, saved whole."""
    t = tables_of(a=config((2, ADAGRAD)), b=config((1, SgdOptimizer())))
    bases = [tmp_path / "m" / f"model.ckpt-{step}.assets" / "MonolithMultiHashTable_0" for step in (1, 2, 3)]
    assign(t, "a", {k: [k, 1] for k in range(50)}, NOW - 100)
    assign(t, "b", {k: [k] for k in range(20)}, NOW - 100)
    t.save_base(str(bases[0]), 2)
    assign(t, "a", {k: [k, 2] for k in range(45, 60)}, NOW - 50)
    t.save_delta(str(bases[1]), 1)
    assign(t, "b", {7: [-1], 99: [99]}, NOW)
    t.save_delta(str(bases[2]), 2)
    (tmp_path / "m" / "checkpoint").write_text("".join(f'all_model_checkpoint_paths: "model.ckpt-{s}"\n' for s in (1, 2, 3)))
    t.save(str(tmp_path / "whole" / "MonolithMultiHashTable_0"), 1)
    yield tmp_path / "m", tmp_path / "whole", bases
    t.close()


def test_a_chain_is_read_as_the_state_it_stands_for(chain, run, tmp_path):
    model_dir, whole, bases = chain
    assert sorted(json.dumps(r) for r in rows_of(model_dir)) == sorted(json.dumps(r) for r in rows_of(whole))
    for path in (model_dir, bases[2], bases[2].parent):
        assert run("table-diff", path, whole).returncode == 0
    assert run("table-verify", model_dir).stderr == ""
    assert [t["keys"] for t in json.loads(run("table-stat", "--json", model_dir).stdout)["tables"]] == [60, 21]
    assert run("table-get", model_dir, "99").stdout.count(b"\n") == 1
    for args in (["table-reshard", model_dir, "--shards", 2], ["table-reshard", model_dir, "--parts", 2], ["table-merge", model_dir],
                 ["table-merge", model_dir, whole], ["table-evict", model_dir, "--slots", 9]):
        out = tmp_path / f"out{len(os.listdir(tmp_path))}"
        run(*args, "-o", out)
        assert run("table-diff", out, whole).returncode == 0, args
        assert run("table-verify", out).stderr == ""
        assert all((out / f"{s}.manifest").exists() for s in tools.sets_in(str(out)))
    differs = json.loads(run("table-diff", "--json", "--limit", 0, model_dir / "model.ckpt-1", model_dir, check=False).stdout)
    assert [(t["only_b"], t["changed"]) for t in differs["tables"]] == [(10, 5), (1, 1)]


def test_eviction_in_place_of_a_chain(chain, run):
    model_dir, _, bases = chain
    for step in (1, 2):
        before = bases[step - 1].parent
        held = {p: p.read_bytes() for p in before.iterdir()}
        done = run("table-evict", model_dir, "--checkpoint", step, "--in-place", "--min-norm", "3", check=False)
        assert done.returncode == 73 and f"{bases[step]} continues it" in done.stderr
        assert {p: p.read_bytes() for p in before.iterdir()} == held
    run("table-evict", model_dir, "--in-place", "--min-norm", "3")
    assert min(math.hypot(*r["weights"]) for r in rows_of(model_dir)) >= 3
    assert not [n for n in os.listdir(bases[2].parent) if ".delta." in n]
    assert run("table-verify", model_dir).stderr == ""
    whole = tables_of(a=config((2, ADAGRAD)), b=config((1, SgdOptimizer())))
    whole.restore(str(bases[2]))
    assert sum(whole.sizes().values()) == len(rows_of(model_dir))
    whole.close()


def test_a_flipped_bit_under_a_valid_frame(run, tmp_path, model):  # noqa: F811
    """The manifest's checksum of the whole file."""
    run("table-load", "-o", tmp_path / "x", stdin=run("table-dump", model[1]).stdout)
    run("table-load", "-o", tmp_path / "y", stdin=run("table-dump", model[1]).stdout.replace(b"[20, 0, 0]", b"[21, 0, 0]"))
    name = "MonolithMultiHashTable_0-00000-of-00001"
    (tmp_path / "x" / name).write_bytes((tmp_path / "y" / name).read_bytes())
    done = run("table-reshard", tmp_path / "x", "--shards", 2, "-o", tmp_path / "z", check=False)
    assert done.returncode == 65 and str(tmp_path / "x" / name) in done.stderr and not (tmp_path / "z").exists()
