"""table-load and table-dump: rows come back bit by bit, and what cannot be taken is told by file and row."""

import gzip
import json
import os
import re
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_files import ADAGRAD, GOOD, messages, records, two
from test_table_tools import assign, config, model, rows_of, save, single, tables_of  # noqa: F401

from monolith_cli.tables import tools
from monolith_cli.tables.config import AdamOptimizer, FtrlOptimizer, SgdOptimizer


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
