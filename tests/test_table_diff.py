"""table-diff: what differs, against what must."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_files import two


def test_diff(run, tmp_path):
    a, b = two(tmp_path, {"t": {1: ([1, 2], 5), 2: ([1, 2], 5), 3: ([1, 2], 5), 4: ([0, 2], 5)}, "u": {1: ([1], 5)}},
               {"t": {1: ([1, 2], 5), 2: ([4, 6], 5), 3: ([1, 2], 6), 9: ([1, 2], 5), 4: ([-0.0, 2], 5)}, "w": {1: ([1], 5)}})
    done = run("table-diff", "--json", a, b, check=False)
    result = json.loads(done.stdout)
    assert done.returncode == 1 and not result["same"]
    t, u, w = result["tables"]
    assert (t["rows_a"], t["rows_b"], t["only_a"], t["only_b"], t["equal"], t["changed"], t["weights"], t["times"], t["state"]) == (4, 5, 0, 1, 2, 2, 1, 1, 0)
    assert t["max_abs"] == 4 and t["mean_l2"] == 5 and t["distances"] == [{"from": 4, "to": 8, "keys": 1}]
    assert (u["missing_in"], u["only_a"], w["missing_in"], w["only_b"]) == ("b", 1, "a", 1)
    found = {(d["table"], d["fid"]): d for d in result["differences"]}
    assert set(found) == {("t", 2), ("t", 3), ("t", 9), ("u", 1), ("w", 1)}
    assert found["t", 2]["l2"] == 5 and found["t", 2]["max_abs"] == 4 and found["t", 3]["last_update"] == [5, 6] and found["t", 9]["what"] == "only_b"
    assert len(json.loads(run("table-diff", "--json", "--limit", 2, a, b, check=False).stdout)["differences"]) == 2
    text = run("table-diff", a, b, check=False).stdout.decode()
    assert "t 2 (slot 0): weights 5 apart, one of them 4" in text and "result      different" in text
    assert run("table-diff", a, a).stdout.decode().endswith("result      no difference\n")
    assert run("table-diff", "-q", a, b, check=False).stdout == b""
    assert run("table-diff", "--table", "x", a, b, check=False).returncode == 2
    for options, code in ((["--tolerance", "3"], 1), (["--tolerance", "4"], 1), (["--tolerance", "4", "--ignore", "time"], 1)):
        assert run("table-diff", "--table", "t", *options, a, b, check=False).returncode == code
    only = json.loads(run("table-diff", "--json", "--table", "t", "--tolerance", "4", "--ignore", "time", a, b, check=False).stdout)["tables"]
    assert [(t["changed"], t["only_b"]) for t in only] == [(0, 1)]


def test_diff_of_state_shapes_and_what_is_not_finite(run, tmp_path):
    a, b = two(tmp_path, {"t": {k: ([1, 2], 5) for k in range(4)}}, {"t": {k: ([1, 2], 5) for k in range(4)}})
    rows = [json.loads(line) for line in run("table-dump", a).stdout.splitlines()]
    rows.sort(key=lambda r: r["fid"])
    rows[0]["optimizer"][0]["adagrad"]["norm"][1] = 7
    rows[1]["weights"][0] = "NaN"
    rows[2]["weights"][0] = "Infinity"
    run("table-load", "-o", tmp_path / "c", stdin="".join(json.dumps(r) + "\n" for r in rows).encode())
    done = json.loads(run("table-diff", "--json", a, tmp_path / "c", check=False).stdout)
    (t,) = done["tables"]
    assert (t["state"], t["weights"], t["infinite"], t["max_abs"], t["equal"]) == (1, 2, 2, "Infinity", 1)
    assert run("table-diff", tmp_path / "c", tmp_path / "c").returncode == 0
    assert json.loads(run("table-diff", "--json", "--ignore", "state", a, tmp_path / "c", check=False).stdout)["tables"][0]["state"] == 0
    other = [r | {"optimizer": [{"sgd": {}}]} for r in rows]
    run("table-load", "-o", tmp_path / "d", stdin="".join(json.dumps(r) + "\n" for r in other).encode())
    assert json.loads(run("table-diff", "--json", tmp_path / "c", tmp_path / "d", check=False).stdout)["tables"][0]["shapes"] == 4
    assert run("table-diff", "--ignore", "state", tmp_path / "c", tmp_path / "d").returncode == 0


@given(st.data())
@settings(max_examples=30)
def test_diff_against_a_model(tmp_path_factory, data):
    from monolith_cli.tables import diff

    rows = st.dictionaries(st.integers(-5, 30), st.tuples(st.lists(st.sampled_from([0.0, 1.0, -2.5]), min_size=2, max_size=2), st.integers(0, 2)), min_size=1)
    contents = data.draw(rows), data.draw(rows)
    a, b = two(tmp_path_factory.mktemp("d"), {"t": contents[0]}, {"t": contents[1]})
    (t,) = diff.diff(str(a), str(b))["tables"]
    x, y = contents
    both = set(x) & set(y)
    assert t["only_a"] == len(set(x) - set(y)) and t["only_b"] == len(set(y) - set(x))
    assert t["weights"] == sum(x[k][0] != y[k][0] for k in both) and t["times"] == sum(x[k][1] != y[k][1] for k in both)
    assert t["equal"] == sum(x[k] == y[k] for k in both) and t["changed"] + t["equal"] == len(both)
    apart = [math.dist(x[k][0], y[k][0]) for k in both if x[k][0] != y[k][0]]
    assert (t["mean_l2"] or 0) == pytest.approx(np.mean(apart) if apart else 0)
