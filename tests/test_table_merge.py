"""table-merge: whose row a key gets."""

import json

import pytest
from table_files import ADAGRAD, GOOD, table_rows, two
from test_table_tools import assign, config, rows_of, save, single, tables_of

from monolith_cli.tables import tools
from monolith_cli.tables.config import SgdOptimizer


MERGED = {"newest": [7, 0], "first": [1, 0], "last": [2, 4], "sum": [10, 4], "mean": [10 / 3, 4 / 3]}


@pytest.mark.parametrize("how", [*MERGED, "fail"])
def test_merge(run, tmp_path, how):
    places = []
    for name, (weights, at) in {"x": ([1, 0], 5), "y": ([7, 0], 9), "z": ([2, 4], 8)}.items():
        t = tables_of(t=config((2, ADAGRAD)), **{f"only_{name}": config((1, SgdOptimizer()))})
        assign(t, "t", {1: weights, 100 + at: [at, at]}, at)
        assign(t, f"only_{name}", {1: [3]}, at)
        places.append(tmp_path / name)
        t.save(str(places[-1] / "MonolithMultiHashTable_0"), 2)
        t.close()
    done = run("table-merge", *places, "-o", tmp_path / "m", "--on-duplicate", how, "--json", check=False)
    if how == "fail":
        assert done.returncode == 65 and "table 't', key 1 is in" in done.stderr and not (tmp_path / "m").exists()
        return
    assert done.returncode == 0, done.stderr
    rows = table_rows(tmp_path / "m")
    assert len(rows) == 7 and rows["only_y", 1]["weights"] == [3]
    assert rows["t", 1]["weights"] == pytest.approx(MERGED[how])
    assert rows["t", 1]["last_update"] == {"first": 5, "last": 8}.get(how, 9)
    counts = {t["table"]: (t["rows"], t["duplicates"]) for t in json.loads(done.stdout)["tables"]}
    assert counts == {"only_x": (1, 0), "only_y": (1, 0), "only_z": (1, 0), "t": (4, 3)}
    other = tables_of(t=config((2, ADAGRAD)))
    other.restore(str(tmp_path / "m" / "MonolithMultiHashTable_0"))
    assert other.sizes() == {"t": 4}
    other.close()


def test_merge_of_what_does_not_fit(run, tmp_path):
    a, b = two(tmp_path, {"t": {1: ([1, 2], 5)}}, {"t": {2: ([1], 5)}})
    done = run("table-merge", a, b, "-o", tmp_path / "m", check=False)
    assert done.returncode == 65 and "dim 1: adagrad 1 where the rows before have dim 2: adagrad 2" in done.stderr and "b/MonolithMulti" in done.stderr
    run("table-reshard", a, "--parts", 2, "-o", tmp_path / "a2")
    done = run("table-merge", tmp_path / "a2", b, "-o", tmp_path / "m", check=False)
    assert done.returncode == 2 and "--parts N" in done.stderr


def test_merge_of_single_tables(run, tmp_path):
    rows = [GOOD, GOOD | {"fid": 2}]
    for i, row in enumerate(rows):
        run("table-load", "-o", tmp_path / str(i), "--single", stdin=json.dumps(row).encode())
    run("table-merge", tmp_path / "0", tmp_path / "1", "-o", tmp_path / "m")
    assert sorted(r["fid"] for r in rows_of(tmp_path / "m")) == [1, 2] and tools.sets_in(str(tmp_path / "m")) == ["a"]
