"""table-evict: which rows go."""

import json
import os

import pytest
from table_files import ADAGRAD, messages
from test_table_tools import NOW, assign, config, rows_of, save, tables_of

from monolith_cli.tables.config import SgdOptimizer


DAY = 86400


@pytest.fixture
def aged(tmp_path):
    """Slot 1: fids of ages 0 to 9 days; slot 2 the same; slot 3: norms 0 to 4, never updated. Other: one row, 100 days older."""
    t = tables_of(main=config((1, ADAGRAD)), other=config((1, SgdOptimizer())))
    for slot in (1, 2):
        for age in range(10):
            assign(t, "main", {slot << 48 | age: [9]}, NOW - age * DAY)
    assign(t, "main", {3 << 48 | k: [k] for k in range(5)}, 0)
    assign(t, "other", {1 << 48 | 77: [1]}, NOW - 100 * DAY)
    (tmp_path / "m").mkdir()
    base = save(t, tmp_path / "m")
    t.close()
    return tmp_path / "m", base


def kept(place):
    return {(r["table"], r["slot"], r["fid"] & 0xFF) for r in rows_of(place)}


MAIN = {("main", s, k) for s in (1, 2) for k in range(10)} | {("main", 3, k) for k in range(5)}
OTHER = {("other", 1, 77)}


@pytest.mark.parametrize(("options", "left"), [
    (["--expire-days", "5"], {r for r in MAIN if r[1] < 3 and r[2] < 5} | OTHER),
    (["--expire-days", "0"], set()),
    (["--slot-expire", "1:3", "--slot-expire", "3:36500"], {r for r in MAIN if r[1] > 1 or r[2] < 3} | OTHER),
    (["--slot-expire", "1:3", "--expire-days", "9"], {r for r in MAIN if r[2] < 3 or r[1] == 2 and r[2] < 9} - {("main", 3, k) for k in range(5)} | OTHER),
    (["--before", str(NOW - 2 * DAY)], {r for r in MAIN if r[1] < 3 and r[2] <= 2}),
    (["--min-norm", "2"], {r for r in MAIN if r[1] < 3 or r[2] >= 2}),
    (["--slots", "1, 3"], {r for r in MAIN if r[1] == 2}),
    (["--keys", "KEYS"], (MAIN | OTHER) - {("main", 1, 0), ("main", 2, 5), ("other", 1, 77)}),
    (["--slots", "1", "--table", "main"], {r for r in MAIN if r[1] != 1} | OTHER),
])
def test_evict(aged, run, tmp_path, options, left):
    model_dir, base = aged
    (tmp_path / "keys").write_text(f"1:0  # the first\n\n0x{2 << 48 | 5:x}\n{1 << 48 | 77}\n3:99\n")
    options = [str(tmp_path / "keys") if o == "KEYS" else o for o in options]
    if options == ["--slot-expire", "1:3", "--slot-expire", "3:36500"]:  # 36500 days are not since 1970
        options[-1] = "3:4294967295"
    before = {p: p.read_bytes() for p in model_dir.rglob("*") if p.is_file()}
    dry = json.loads(run("table-evict", model_dir, "--dry-run", "--json", *options).stdout)
    run("table-evict", model_dir, "-o", tmp_path / "e", *options)
    assert kept(tmp_path / "e") == left and dry["rows"] == 26 and dry["evicted"] == 26 - len(left)
    gone = {(t["table"], int(s)): n["evicted"] for t in dry["tables"] for s, n in t["slots"].items() if n["evicted"]}
    assert gone == {key: n for key in {(r[0], r[1]) for r in MAIN | OTHER}
                    if (n := len([r for r in (MAIN | OTHER) - left if r[:2] == key]))}
    assert {p: p.read_bytes() for p in model_dir.rglob("*") if p.is_file()} == before
    was = messages(model_dir)
    assert all(was[k] == v for k, v in messages(tmp_path / "e").items())
    assert run("table-verify", tmp_path / "e").stderr == ""
    run("table-evict", model_dir, "--in-place", *options)
    assert kept(model_dir) == left
    assert sorted(os.listdir(base.parent)) == sorted(os.path.basename(p) for p in before if p.parent == base.parent)
    again = run("table-evict", model_dir, "--in-place", "--skip-exit-code", "9", *options, check=False)
    assert again.returncode == 9 or options[0] == "--expire-days" and again.returncode == 0


def test_what_eviction_must_be_told(aged, run, tmp_path):
    for options in ([], ["--dry-run"], ["--expire-days", "1"], ["--expire-days", "1", "--dry-run", "--in-place"], ["--slots", "x", "--dry-run"],
                    ["--slot-expire", "1", "--dry-run"], ["--slot-expire", "32768:1", "--dry-run"], ["--before", "soon", "--dry-run"],
                    ["--slots", "1", "--table", "none", "--dry-run"]):
        assert run("table-evict", aged[0], *options, check=False).returncode == 2, options
    assert run("table-evict", aged[0], "--keys", tmp_path / "none", "--dry-run", check=False).returncode == 66
    (tmp_path / "keys").write_text("1\nx\n")
    done = run("table-evict", aged[0], "--keys", tmp_path / "keys", "--dry-run", check=False)
    assert done.returncode == 2 and "line 2" in done.stderr
