"""table-load, table-diff, table-merge, table-reshard and table-evict: what goes in comes out, bit by bit, and what is broken is told."""

import gzip
import json
import math
import os
import resource
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_table_tools import NOW, assign, config, framed, model, rows_of, save, single, tables_of  # noqa: F401

from monolith_cli._native import _core
from monolith_cli.tables import tools
from monolith_cli.tables.config import AdagradOptimizer, AdamOptimizer, FtrlOptimizer, SgdOptimizer

ADAGRAD = AdagradOptimizer(0.1, 0.1)
SMALL = ("--memory", "1M")


def signed(fid):
    return fid - (1 << 64) if fid >> 63 else fid


def table_rows(path):
    """{(table, fid): row} of a checkpoint, as table-dump tells them."""
    rows = {(r["table"], r["fid"]): r for r in rows_of(path)}
    assert len(rows) == len(rows_of(path))
    return rows


def messages(path):
    """{(table, key): bytes of the EntryDump}: read with TensorFlow's framing undone by hand and protobuf's parser."""
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    found = {}
    for base in tools.locate(str(path)).basenames:
        lines = _core.TableLines(base, "", None)
        names = [n.decode() for n in lines.tables()]
        for shard in sorted(os.listdir(os.path.dirname(base))):
            if not shard.startswith(os.path.basename(base) + "-"):
                continue
            data = open(os.path.join(os.path.dirname(base), shard), "rb").read()
            meta = os.path.join(os.path.dirname(base), shard.replace("-", ".meta-", 1))
            order = names[:1] * 10**6
            if os.path.exists(meta):
                data = unsnapped(data)
                order = [t for t, n in metadata(open(meta, "rb").read()) for _ in range(n)]
            for name, payload in zip(order, records(data), strict=False):
                found[name, EntryDump.FromString(payload).id] = payload
    return found


def records(data):
    at = 0
    while at < len(data):
        n = struct.unpack_from("<Q", data, at)[0]
        yield data[at + 12:at + 12 + n]
        at += 16 + n


def metadata(data):
    """MultiHashTableMetadata: table_name = 1, num_entries = 2."""
    def one(r):
        name = r[2:2 + r[1]]
        n = sum((b & 127) << 7 * i for i, b in enumerate(r[3 + r[1]:]))
        return name.decode(), n

    return [one(r) for r in records(data)]


def unsnapped(data):
    import pyarrow as pa

    out, at = [], 0
    while at < len(data):
        n = struct.unpack_from(">I", data, at)[0]
        block = data[at + 4:at + 4 + n]
        size, shift, i = 0, 0, 0
        while True:
            size |= (block[i] & 127) << shift
            if block[i] < 128:
                break
            i, shift = i + 1, shift + 7
        out.append(pa.Codec("snappy").decompress(block, size, asbytes=True))
        at += 4 + n
    return b"".join(out)


# --- there and back -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("single_form", [False, True])
def test_there_and_back(model, run, tmp_path, form, single_form):  # noqa: F811
    t, model_dir, base = model
    rows = tmp_path / f"rows.{form}"
    run("table-dump", model_dir, "--format", form, "-o", rows)
    done = run("table-load", rows, "-o", tmp_path / "c", "--json", *["--single"] * single_form)
    assert json.loads(done.stdout)["tables"] == [{"table": "movie", "rows": 21}, {"table": "user", "rows": 3}]
    sets = {"movie", "user"} if single_form else {"MonolithMultiHashTable_0"}
    assert set(tools.sets_in(str(tmp_path / "c"))) == sets
    assert messages(tmp_path / "c") == messages(model_dir) and len(messages(model_dir)) == 24
    assert run("table-verify", tmp_path / "c").stderr == ""
    assert run("table-diff", model_dir, tmp_path / "c").returncode == 0


def test_loaded_files_restore(model, run, tmp_path):  # noqa: F811
    t, model_dir, base = model
    run("table-load", "-o", tmp_path / "c", "--shards", "3", stdin=run("table-dump", model_dir).stdout)
    run("table-load", "-o", tmp_path / "s", "--single", stdin=run("table-dump", model_dir, "--table", "user").stdout)
    other = tables_of(movie=config((2, ADAGRAD), (1, SgdOptimizer())), user=config((1, FtrlOptimizer()), (2, AdamOptimizer())))
    other.restore(str(tmp_path / "c" / "MonolithMultiHashTable_0"))
    assert other.sizes() == {"movie": 21, "user": 3}
    for (table, key), _ in messages(model_dir).items():
        assert other.row(table, key) == t.row(table, key)
    other.clear("user")
    other.restore_table("user", str(tmp_path / "s" / "user"))
    assert other.row("user", -2) == t.row("user", -2)
    other.close()


floats = st.one_of(st.floats(width=32), st.integers(0, 2**32 - 1).map(lambda b: struct.unpack("<f", struct.pack("<I", b))[0]))


@st.composite
def entries(draw):
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    dims = draw(st.lists(st.tuples(st.sampled_from(["adagrad", "sgd", "ftrl", "adam", "amsgrad", "group_adagrad", "batch_softmax",
                                                    "dynamic_wd_adagrad", "rmsprop"]), st.integers(1, 4)), min_size=1, max_size=3))
    keys = draw(st.lists(st.integers(-2**63, 2**63 - 1), min_size=1, max_size=8, unique=True))
    out = []
    for key in keys:
        e = EntryDump(id=key, last_update_ts_sec=draw(st.integers(0, 2**32 - 1)))
        e.opt.SetInParent()
        for kind, d in dims:
            d = 1 if kind == "batch_softmax" else d
            e.num.extend(draw(st.lists(floats, min_size=d, max_size=d)))
            dump = getattr(e.opt.dump.add(), kind)
            dump.SetInParent()
            for field in dump.DESCRIPTOR.fields:
                if field.cpp_type == field.CPPTYPE_INT64:
                    setattr(dump, field.name, draw(st.integers(-2**63, 2**63 - 1)))
                elif field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED:
                    getattr(dump, field.name).extend(draw(st.lists(floats, min_size=d, max_size=d)))
                else:
                    setattr(dump, field.name, draw(floats))
        out.append(e.SerializeToString(deterministic=True))
    return out


@given(entries())
@settings(max_examples=60)
def test_any_rows_there_and_back(tmp_path_factory, payloads):
    """Every optimizer, every float there is with its bits, every fid: protobuf's own bytes come back."""
    from monolith_cli.tables import rows_io

    tmp = tmp_path_factory.mktemp("x")
    base = single(tmp, *payloads)
    want = sorted(payloads)
    for form in ("jsonl", "parquet"):
        dump = rows_io.dump_lines if form == "jsonl" else rows_io.dump_parquet
        assert dump(base, str(tmp / f"rows.{form}")) == len(payloads)
        rows_io.load([str(tmp / f"rows.{form}")], str(tmp / form), single=True)
        data = (tmp / form / "MonolithHashTable_t-00000-of-00001").read_bytes()
        assert sorted(records(data)) == want, form


def test_other_forms_of_json(run, tmp_path):
    line = ('\t{ "weights" : [ 1 , -2.5e0,"NaN", "-Infinity",0.1] ,"optimizer":[{ "adagrad":{"norm":[1E2,0.5]} } , {"sgd":{}} ],"table":'
            '"a\\u00e9\\ud83d\\ude00\\n\\"", "last_update":5,"fid":-2, "slot":32767 } \r\n\n  \n'
            '{"fid":"18446744073709551615","table":"a\\u00e9\\ud83d\\ude00\\n\\"","last_update":0,"weights":[0,0,0,0,1e-46],'
            '"optimizer":[{"adagrad":{"norm":[0,0]}},{"sgd":{}}]}')
    run("table-load", "-o", tmp_path / "x", stdin=line.encode())
    rows = rows_of(tmp_path / "x")
    by_fid = {r["fid"]: r for r in rows}
    name = 'aé😀\n"'
    assert {r["table"] for r in rows} == {name}
    assert by_fid[2**64 - 2]["weights"] == [1, -2.5, "NaN", "-Infinity", 0.1] and by_fid[2**64 - 2]["last_update"] == 5
    assert by_fid[2**64 - 1]["weights"] == [0, 0, 0, 0, 0]
    packed = tmp_path / "x.jsonl.gz"
    packed.write_bytes(gzip.compress(line.encode()))
    run("table-load", packed, "-o", tmp_path / "y")
    assert rows_of(tmp_path / "y") == rows


GOOD = {"table": "a", "fid": 1, "last_update": 5, "weights": [1, 2], "optimizer": [{"adagrad": {"norm": [1, 2]}}]}


@pytest.mark.parametrize(("line", "what"), [
    ('{"table": "a"', "the line ends where '}' should be"),
    ("[1]", "column 1: '{' should be here"),
    (json.dumps(GOOD | {"colour": 3}), f"column {len(json.dumps(GOOD)) + 2}: unknown field 'colour'"),
    (json.dumps(GOOD)[:-1] + ', "fid": 2}', "'fid' comes twice"),
    *[(json.dumps({k: v for k, v in GOOD.items() if k != left}), f"the row has no '{left}'") for left in GOOD],
    (json.dumps(GOOD | {"slot": 3}), "slot 3 is not that of the fid, 0"),
    (json.dumps(GOOD | {"fid": 2**64}), "fid is beyond 64 bits"),
    (json.dumps(GOOD | {"fid": 1.5}), "fid should be an integer"),
    (json.dumps(GOOD | {"fid": None}), "fid should be an integer"),
    (json.dumps(GOOD | {"last_update": -1}), "no time that a table can hold"),
    (json.dumps(GOOD | {"last_update": 2**32}), "no time that a table can hold"),
    (json.dumps(GOOD | {"weights": [1, "two"]}), 'a number, "NaN"'),
    (json.dumps(GOOD | {"weights": [1, "NaN(0x1)"]}), 'a number, "NaN"'),
    (json.dumps(GOOD | {"weights": [1, 1e39]}), "beyond the range of float32"),
    (json.dumps(GOOD | {"weights": [1, None]}), "a number should be here"),
    (json.dumps(GOOD).replace("[1, 2]", "[1, 2,]", 1), "a number should be here"),
    (json.dumps(GOOD).replace("[1, 2]", "[1 2]", 1), "']' should be here"),
    (json.dumps(GOOD).replace("[1, 2]", "[+1, 2]", 1), "a number should be here"),
    (json.dumps(GOOD).replace("[1, 2]", "[NaN, 2]", 1), "a number should be here"),
    (json.dumps(GOOD | {"weights": [1]}), "1 weights but optimizer state for 2"),
    (json.dumps(GOOD | {"weights": [1, 2, 3]}), r"dim 3: adagrad 2 \+ none 1 where the rows before have dim 2: adagrad 2"),
    (json.dumps(GOOD | {"optimizer": [{"adagard": {}}]}), "no optimizer 'adagard'"),
    (json.dumps(GOOD | {"optimizer": [{"adagrad": {}}]}), "the state of adagrad has no 'norm'"),
    (json.dumps(GOOD | {"optimizer": [{"adagrad": {"norm": [1, 2], "n": 1}}]}), "adagrad has no state 'n'"),
    (json.dumps(GOOD | {"optimizer": [{"adagrad": {"norm": [1, 2]}, "sgd": {}}]}), "a segment has one optimizer"),
    (json.dumps(GOOD) + " x", "there is more after the row"),
    ('{"table": "a\\x"}', "no such escape"),
    ('{"table": "\\ud800"}', "half a surrogate pair"),
    (json.dumps(GOOD | {"table": ""}), "must have a name"),
    (json.dumps(GOOD), "fid 1 of table 'a' has come before, as row 1"),
])
def test_rows_that_cannot_be_taken(run, tmp_path, line, what):
    import re

    first = json.dumps(GOOD)
    (tmp_path / "rows.jsonl").write_text(first + "\n" + line + "\n")
    done = run("table-load", tmp_path / "rows.jsonl", "-o", tmp_path / "x", check=False)
    assert done.returncode == 65 and re.search(what, done.stderr), done.stderr
    where = "row 2" if "has come before" in what else f"line 2 at byte {len(first) + 1}: "
    assert f"{tmp_path / 'rows.jsonl'}: {where}" in done.stderr
    assert os.listdir(tmp_path) == ["rows.jsonl"]


def test_rows_that_leave_something_out(run, tmp_path):
    lines = b'{"fid": 7, "weights": [0.5, 1, 2]}\n'
    run("table-load", "-o", tmp_path / "x", "--table", "t", "--last-update", "2026-01-01", "--optimizer", "ftrl/1:norm=0.5", "--optimizer", "adam",
        stdin=lines)
    (row,) = rows_of(tmp_path / "x")
    assert row == {"table": "t", "fid": 7, "slot": 0, "last_update": 1767225600, "weights": [0.5, 1, 2], "optimizer": [
        {"ftrl": {"zero": [0], "norm": [0.5]}}, {"adam": {"m": [0, 0], "v": [0, 0], "beta1_power": 0.9, "beta2_power": 0.99}}]}
    fresh = tables_of(t=config((1, FtrlOptimizer(initial_accumulator_value=0.5)), (2, AdamOptimizer())))
    assign(fresh, "t", {7: [0.5, 1, 2]}, 1767225600)
    fresh.save(str(tmp_path / "fresh" / "MonolithMultiHashTable_0"), 1)
    assert messages(tmp_path / "fresh") == messages(tmp_path / "x")
    fresh.close()
    for wrong in (["--optimizer", "adagard"], ["--optimizer", "adagrad/x"], ["--optimizer", "adagrad:n=1"], ["--optimizer", "adam", "--optimizer", "sgd"],
                  ["--name", "a/b"], ["--last-update", "yesterday"]):
        assert run("table-load", "-o", tmp_path / "y", *wrong, stdin=lines, check=False).returncode == 2, wrong
    done = run("table-load", "-o", tmp_path / "y", "--table", "t", "--last-update", "0", "--optimizer", "ftrl/1", stdin=lines, check=False)
    assert done.returncode == 65 and "3 weights, which the dims of --optimizer do not sum up to" in done.stderr
    assert not (tmp_path / "y").exists()


def test_parquet_that_cannot_be_taken(run, tmp_path, model):  # noqa: F811
    import pyarrow as pa
    import pyarrow.parquet as pq

    good = tmp_path / "good.parquet"
    run("table-dump", model[1], "--format", "parquet", "-o", good)
    table = pq.read_table(good)
    assert table.num_rows == 24 and table["slot"].to_pylist() == [f >> 48 & 0x7FFF for f in table["fid"].to_pylist()]

    def refused(changed, what):
        pq.write_table(changed, tmp_path / "bad.parquet")
        done = run("table-load", tmp_path / "bad.parquet", "-o", tmp_path / "x", check=False)
        assert done.returncode == 65 and what in done.stderr and str(tmp_path / "bad.parquet") in done.stderr, done.stderr
        assert not (tmp_path / "x").exists()

    weights = table["weights"].to_pylist()
    where = table.schema.get_field_index("weights")
    refused(table.append_column("colour", pa.array([1] * 24)), "unknown column 'colour'")
    refused(table.drop_columns("weights"), "has no column 'weights'")
    refused(table.drop_columns("state"), "has no column 'state'")
    refused(table.drop_columns(["table"]), "row 1: the row has no 'table'")
    refused(table.set_column(where, "weights", pa.array(weights[:5] + [None] + weights[6:])), "row 6: weights is null")
    refused(table.set_column(where, "weights", pa.array(weights[:5] + [[1.0]] + weights[6:])), "row 6: ")
    refused(table.set_column(where, "weights", pa.array(["x"] * 24)), "column weights is string where a list should be")
    refused(table.set_column(table.schema.get_field_index("state_sizes"), "state_sizes", pa.array([[9]] * 24)), "state has fewer values")
    refused(pa.concat_tables([table, table]), "has come before")
    data = good.read_bytes()
    (tmp_path / "bad.parquet").write_bytes(data[:-10])
    assert run("table-load", tmp_path / "bad.parquet", "-o", tmp_path / "x", check=False).returncode == 65
    (tmp_path / "bad.parquet").write_bytes(data[:200] + bytes([data[200] ^ 255]) + data[201:])
    assert run("table-load", tmp_path / "bad.parquet", "-o", tmp_path / "x", check=False).returncode == 65
    assert run("table-load", tmp_path / "none.parquet", "-o", tmp_path / "x", check=False).returncode == 66


def test_parquet_of_other_tools(run, tmp_path):
    """float64 lists, int64 fids and no state, as pandas writes them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"fid": pa.array([-1, 5]), "weights": pa.array([[0.1, 2.0], [3.0, 4.0]])}), tmp_path / "x.parquet")
    run("table-load", tmp_path / "x.parquet", "-o", tmp_path / "x", "--table", "t", "--last-update", "9", "--optimizer", "sgd")
    rows = {r["fid"]: r["weights"] for r in rows_of(tmp_path / "x")}
    assert rows == {2**64 - 1: [0.1, 2], 5: [3, 4]}


# --- differences ----------------------------------------------------------------------------------------------------------


def two(tmp_path, a, b, optimizer=ADAGRAD):
    """Checkpoints of {table: {fid: (weights, time)}}."""
    out = []
    for name, content in (("a", a), ("b", b)):
        dims = {t: len(next(iter(rows.values()))[0]) for t, rows in content.items()}
        t = tables_of(**{n: config((d, optimizer)) for n, d in dims.items()})
        for table, rows in content.items():
            for fid, (weights, at) in rows.items():
                assign(t, table, {fid: weights}, at)
        (tmp_path / name).mkdir()
        out.append(tmp_path / name / "MonolithMultiHashTable_0")
        t.save(str(out[-1]), len(out))
        t.close()
    return out


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


# --- several into one -----------------------------------------------------------------------------------------------------


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


# --- files and servers ----------------------------------------------------------------------------------------------------


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


# --- fewer rows -----------------------------------------------------------------------------------------------------------


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


# --- chains of a base and deltas --------------------------------------------------------------------------------------------


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


# --- where things are written -----------------------------------------------------------------------------------------------


WRITERS = {"table-load": ["ROWS"], "table-merge": ["DIR"], "table-reshard": ["DIR", "--shards", "2"], "table-evict": ["DIR", "--slots", "9"]}


def writer(name, model_dir, tmp_path, run):
    if not (tmp_path / "rows").exists():
        (tmp_path / "rows").write_bytes(run("table-dump", model_dir).stdout)
    return [{"ROWS": tmp_path / "rows", "DIR": model_dir}.get(a, a) for a in WRITERS[name]]


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_overwritten_unasked(name, model, run, tmp_path):  # noqa: F811
    args = writer(name, model[1], tmp_path, run)
    out = tmp_path / "out"
    run(name, *args, "-o", out)
    before = messages(out)
    done = run(name, *args, "-o", out, check=False)
    assert done.returncode == 73 and "--force" in done.stderr and messages(out) == before
    run(name, *args, "-o", out, "--force")
    assert messages(out) == before and not [n for n in os.listdir(out) if "tmp" in n or "publish" in n]
    (out / "other-00000-of-00001").write_bytes(b"")
    done = run(name, *args, "-o", out, "--force", check=False)
    assert done.returncode == 73 and "other would be left beside" in done.stderr
    (tmp_path / "file").write_text("")
    assert run(name, *args, "-o", tmp_path / "file", check=False).returncode in (2, 73)
    assert run(name, *args, "-o", "/proc/none/x", check=False).returncode == 73


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(name, model, run, tmp_path):  # noqa: F811
    t, model_dir, base = model
    assign(t, "void", {k: [1, k, k, 1] for k in range(3000)})
    save(t, model_dir)
    args = writer(name, model_dir, tmp_path, run)
    before = set(os.listdir(tmp_path))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))  # noqa: E731
    done = run(name, *args, "-o", tmp_path / "out", check=False, preexec_fn=limit)
    assert done.returncode == 74 and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert set(os.listdir(tmp_path)) == before
    assert run("table-dump", model_dir, "--format", "parquet", "-o", tmp_path / "x.parquet", check=False, preexec_fn=limit).returncode == 74
    with open("/dev/full", "wb") as full:
        for form in ("jsonl", "parquet"):
            done = run("table-dump", model_dir, "--format", form, check=False, stdout=full)
            assert done.returncode == 74 and "No space left" in done.stderr
    assert set(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("args", [["table-merge", "DIR", "-o", "OUT"], ["table-reshard", "DIR", "--shards", "2", "-o", "OUT"],
                                  ["table-reshard", "DIR", "--parts", "2", "-o", "OUT"], ["table-evict", "DIR", "--slots", "9", "-o", "OUT"],
                                  ["table-evict", "DIR", "--expire-days", "9", "--dry-run"], ["table-diff", "DIR", "DIR"]])
def test_damage(args, model, run, tmp_path):  # noqa: F811
    _, model_dir, base = model
    path = base.parent / (base.name + "-00000-of-00002")
    path.write_bytes(path.read_bytes()[:-5])
    done = run(*[{"DIR": model_dir, "OUT": tmp_path / "out"}.get(a, a) for a in args], check=False)
    assert done.returncode == 65 and f"{path}: at byte " in done.stderr and not (tmp_path / "out").exists()


def test_rows_beyond_memory(run, tmp_path):
    """What waits in a temporary file comes back: 30 MB through 1 MB, with every command that lets rows wait."""
    n = 60_000
    keys = np.arange(n, dtype=np.int64) * 7919 - 5
    rng = np.random.default_rng(1)
    t = tables_of(a=config((48, SgdOptimizer())), b=config((8, ADAGRAD)))
    t.assign("a", keys, rng.standard_normal((n, 48)).astype(np.float32), 5)
    t.assign("b", keys[:5000], rng.standard_normal((5000, 8)).astype(np.float32), 6)
    base = tmp_path / "m" / "MonolithMultiHashTable_0"
    t.save(str(base), 2)
    (tmp_path / "spool").mkdir()
    room = (*SMALL, "-T", tmp_path / "spool")
    run("table-reshard", base, "--parts", 3, "-o", tmp_path / "p3", *room)
    run("table-merge", tmp_path / "p3", base, "-o", tmp_path / "m1", "--parts", 1, "--on-duplicate", "first", *room)
    run("table-load", "-o", tmp_path / "l", *room, stdin=run("table-dump", tmp_path / "m1").stdout)
    for copy in ("p3", "m1", "l"):
        result = json.loads(run("table-diff", "--json", base, tmp_path / copy, *room).stdout)
        assert [(t["rows_a"], t["rows_b"], t["equal"]) for t in result["tables"]] == [(n, n, n), (5000, 5000, 5000)]
    other = tables_of(a=config((48, SgdOptimizer())), b=config((8, ADAGRAD)))
    other.restore(str(tmp_path / "l" / "MonolithMultiHashTable_0"))
    assert np.array_equal(other.lookup("a", keys), t.lookup("a", keys)) and other.sizes() == t.sizes()
    assert os.listdir(tmp_path / "spool") == []
    # The file that rows wait in has a bound too: one that may not grow is told.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))  # noqa: E731
    done = run("table-diff", base, tmp_path / "l", *room, check=False, preexec_fn=limit)
    assert done.returncode == 74 and str(tmp_path / "spool") in done.stderr
    t.close()
    other.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(number, tmp_path):
    rows = tmp_path / "pipe"
    os.mkfifo(rows)
    child = subprocess.Popen([sys.executable, "-m", "monolith_cli", "table-load", rows, "-o", tmp_path / "out"], stderr=subprocess.PIPE)
    with open(rows, "wb", buffering=0) as pipe:
        pipe.write(json.dumps(GOOD).encode() + b"\n")
        while not any(n.startswith("out.tmp-") for n in os.listdir(tmp_path)):
            time.sleep(0.01)
        time.sleep(0.2)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number and err == b""
    assert os.listdir(tmp_path) == ["pipe"]


def test_pictures(model, run, tmp_path):  # noqa: F811
    pytest.importorskip("matplotlib")
    run("table-stat", model[1], "--plot", tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82") and len(data) > 10000
    assert run("table-stat", model[1], "--plot", "/proc/none/x.png", check=False).returncode == 73


def test_pictures_without_matplotlib(model, run, tmp_path):  # noqa: F811
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['matplotlib'] = None\n")
    from conftest import ROOT

    done = run("table-stat", model[1], "--plot", tmp_path / "x.png", check=False, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert done.returncode == 69 and "pip install 'monolith-cli[plot]'" in done.stderr and not (tmp_path / "x.png").exists()


def test_bars_fit_the_terminal(model, run):  # noqa: F811
    for columns in (60, 100, 200):
        text = run("table-stat", model[1], env={"COLUMNS": str(columns)}).stdout.decode()
        bars = [line for line in text.splitlines() if "█" in line]
        assert bars and max(map(len, bars)) <= columns
