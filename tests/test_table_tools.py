"""table-verify, table-stat, table-get and table-dump over checkpoints, whole and damaged."""

import itertools
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, NoInputError, UsageError
from monolith_cli.tables import tools
from monolith_cli.tables.config import (
    AdagradOptimizer,
    AdamOptimizer,
    CombineAsSegment,
    CuckooHashTableConfig,
    Fp32Compressor,
    FtrlOptimizer,
    SgdOptimizer,
    ZerosInitializer,
)

_numbers = itertools.count()
NOW = int(time.time())
V1_1 = "097b00000000000100150000803f15000020c01a0e0a0c0a0a0dcdcccc3d0dcdcc4c3e2080e2cfaa06"
V1_4 = (
    "092a00000000000000150000003f150000803e15000000be1a300a0c1a0a0d0000403f150000803f"
    "0a203a1e0d0000003f0d0000803e150000803f15000000401d295c4f3f25d5e77a3f2064"
)


def config(*segments):
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    proto = EmbeddingHashTableConfig()
    proto.entry_config.segments.extend(CombineAsSegment(d, ZerosInitializer(), o, Fp32Compressor()) for d, o in segments)
    CuckooHashTableConfig().mutate_table(proto)
    return proto.SerializeToString()


def tables_of(**configs):
    return _core.MultiTable(f"test_table_tools_{next(_numbers)}", configs)


def assign(t, table, rows, at=0):
    t.assign(table, np.array(list(rows), np.int64), np.array(list(rows.values()), np.float32), at)


def save(t, model_dir, step=7, shards=2):
    """As the trainer leaves a model directory, as far as tables go."""
    base = model_dir / f"model.ckpt-{step}.assets" / "MonolithMultiHashTable_0"
    t.save(str(base), shards)
    lines = [f'model_checkpoint_path: "model.ckpt-{step}"', f'all_model_checkpoint_paths: "model.ckpt-{step}"']
    (model_dir / "checkpoint").write_text("\n".join(lines) + "\n")
    for name in ("index", "data-00000-of-00001", "input.json"):
        (model_dir / f"model.ckpt-{step}.{name}").write_bytes(b"variables, which are none of the tables' files")
    return base


@pytest.fixture
def model(tmp_path):
    t = tables_of(movie=config((2, AdagradOptimizer(0.1, 0.1)), (1, SgdOptimizer())), user=config((1, FtrlOptimizer()), (2, AdamOptimizer())),
                  void=config((4, SgdOptimizer())))
    assign(t, "movie", {2 << 48 | k: [k, 0, 0] for k in range(1, 21)}, NOW - 100)
    assign(t, "movie", {5 << 48 | 1: [0, 0, 0]}, NOW - 40 * 86400)
    keys = np.array([1, -2, 1 << 40], np.int64)
    t.optimize("user", keys, np.ones((3, 3), np.float32), [0.1, 0.1], 0)
    model_dir = tmp_path / "m"
    model_dir.mkdir()
    base = save(t, model_dir)
    yield t, model_dir, base
    t.close()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def framed(payload):
    def masked(data):
        c = crc32c(data)
        return struct.pack("<I", ((c >> 15 | c << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(payload))
    return length + masked(length) + payload + masked(payload)


def single(folder, *payloads, name="MonolithHashTable_t"):
    (folder / f"{name}-00000-of-00001").write_bytes(b"".join(map(framed, payloads)))
    return str(folder / name)


def rows_of(path, **options):
    out = []
    tools.json_lines(str(path), write=out.append, **options)
    return [json.loads(line) for line in b"".join(out).splitlines()]


# --- rows ----------------------------------------------------------------------------------------------------------------


def test_vectors_as_json(tmp_path, run):  # V1.1 to V1.6
    others = ["09ffffffffffffffff150000803f1a040a0212002000", "09070000000000000015000040401a002005",
              "09070000000000000015000040401a070a05720308e3072000"]
    base = single(tmp_path, *map(bytes.fromhex, [V1_1, V1_4, *others]))
    rows = [json.loads(line) for line in run("table-dump", base).stdout.splitlines()]
    f = np.float32
    assert [r["table"] for r in rows] == ["MonolithHashTable_t"] * 5
    assert [r["fid"] for r in rows] == [(1 << 48) + 123, 42, (1 << 64) - 1, 7, 7]
    assert [r["slot"] for r in rows] == [1, 0, 32767, 0, 0]
    assert [r["last_update"] for r in rows] == [1700000000, 100, 0, 5, 0]
    assert [r["weights"] for r in rows] == [[1, -2.5], [0.5, 0.25, -0.125], [1], [3], [3]]
    assert rows[0]["optimizer"] == [{"adagrad": {"norm": [0.1, 0.2]}}]
    assert rows[1]["optimizer"] == [{"ftrl": {"zero": [0.75], "norm": [1]}},
                                    {"adam": {"m": [0.5, 0.25], "v": [1, 2], "beta1_power": 0.81, "beta2_power": 0.9801}}]
    assert [r["optimizer"] for r in rows[2:]] == [[{"sgd": {}}], [], [{"batch_softmax": {"global_step": 995}}]]
    assert f(rows[0]["optimizer"][0]["adagrad"]["norm"][0]) == f(0.1)


def test_entries_in_other_encodings(tmp_path):
    """What protobuf's parser takes: packed floats, an `opt` in two pieces, unknown fields, another order."""
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    packed = bytes.fromhex("2005") + b"\x12\x08" + struct.pack("<2f", 1, 2) + b"\x7a\x01x" + bytes.fromhex("090900000000000000")
    dump = b"\x0a\x0c\x0a\x0a" + b"\x0a\x08" + struct.pack("<2f", 3, 4)
    split = packed + b"\x1a\x0e" + dump
    assert EntryDump.FromString(split).opt.dump[0].adagrad.norm == [3, 4]
    (row,) = rows_of(single(tmp_path, split))
    assert row["fid"] == 9 and row["weights"] == [1, 2] and row["optimizer"] == [{"adagrad": {"norm": [3, 4]}}] and row["last_update"] == 5


def test_dump_is_what_the_tables_hold(model, run):
    t, model_dir, _ = model
    rows = [json.loads(line) for line in run("table-dump", model_dir).stdout.splitlines()]
    assert len(rows) == 24 and {r["table"] for r in rows} == {"movie", "user"}
    for r in rows:
        key = r["fid"] - (1 << 64) if r["fid"] >> 63 else r["fid"]
        floats, ts = t.row(r["table"], key)
        assert r["last_update"] == ts
        if r["table"] == "movie":
            state = r["optimizer"][0]["adagrad"]["norm"]
            assert r["optimizer"][1] == {"sgd": {}}
        else:
            ftrl, adam = r["optimizer"][0]["ftrl"], r["optimizer"][1]["adam"]
            state = ftrl["norm"] + ftrl["zero"] + adam["m"] + adam["v"] + [adam["beta1_power"], adam["beta2_power"]]
        assert [np.float32(v) for v in r["weights"] + state] == [np.float32(v) for v in floats]
    assert len(run("table-dump", model_dir, "--table", "user").stdout.splitlines()) == 3
    assert run("table-dump", model_dir, "--table", "void").stdout == b""
    wrong = run("table-dump", model_dir, "--table", "users", check=False)
    assert wrong.returncode == 2 and "--table users: not in" in wrong.stderr and "movie, user, void" in wrong.stderr


def test_get(model, run):
    _, model_dir, _ = model
    done = run("table-get", model_dir, "2:3", "0x0005000000000001", "1", str((1 << 64) - 2), "77", "3:4")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted((r["table"], r["fid"]) for r in rows) == [("movie", 2 << 48 | 3), ("movie", 5 << 48 | 1), ("user", 1), ("user", (1 << 64) - 2)]
    assert done.stderr == "table-get: warning: not in any table: 77, 3:4\n"
    done = run("table-get", "--table", "movie", model_dir, "--", "-2")
    assert done.stdout == b"" and "not in table movie: -2" in done.stderr
    assert run("table-get", "--skip-exit-code", "9", model_dir, "77", check=False).returncode == 9


@pytest.mark.parametrize("text", ["", "x", "1:", ":1", "32768:1", f"1:{1 << 48}", str(1 << 64), str(-(1 << 63) - 1), "0x", "-1:2"])
def test_a_fid_that_is_none(text, model, run):
    with pytest.raises(UsageError, match="FID"):
        tools.parse_fid(text)
    assert run("table-get", model[1], "--", text, check=False).returncode == 2


def test_names_and_numbers_that_json_must_escape(tmp_path):
    t = tables_of(**{'a"\\\n\u00e9\u4e2d': config((3, SgdOptimizer()))})
    assign(t, 'a"\\\n\u00e9\u4e2d', {1: [float("nan"), float("inf"), float("-inf")]})
    t.save(str(tmp_path / "x"), 1)
    (row,) = rows_of(tmp_path / "x")
    assert row["table"] == 'a"\\\n\u00e9\u4e2d' and row["weights"] == ["NaN", "Infinity", "-Infinity"]
    t.close()


# --- statistics ----------------------------------------------------------------------------------------------------------


def test_stat(model, run):
    _, model_dir, _ = model
    result = json.loads(run("table-stat", "--json", model_dir).stdout)
    movie, user, void = result["tables"]
    assert [t["table"] for t in result["tables"]] == ["movie", "user", "void"]
    assert (movie["keys"], user["keys"], void["keys"]) == (21, 3, 0)
    assert movie["dim"] == 3 and movie["segments"] == [{"optimizer": "adagrad", "dim": 2}, {"optimizer": "sgd", "dim": 1}]
    assert user["segments"] == [{"optimizer": "ftrl", "dim": 1}, {"optimizer": "adam", "dim": 2}]
    assert movie["slots"] == {"2": 20, "5": 1} and user["slots"] == {"0": 2, "32767": 1}
    assert {k: n for k, n in movie["ages"].items() if n} == {"under 1 hour": 20, "under 90 days": 1}
    assert movie["newest"] == NOW - 100 and movie["oldest"] == NOW - 40 * 86400 and movie["never_updated"] == 0
    assert user["never_updated"] == 3 and user["newest"] is None and sum(user["ages"].values()) == 0
    assert movie["zero_norms"] == 1 and movie["max_norm"] == 20 and movie["mean_norm"] == 10
    bins = {(b["from"], b["to"]): b["keys"] for b in movie["norms"]}
    assert bins == {(1, 2): 1, (2, 4): 2, (4, 8): 4, (8, 16): 8, (16, 32): 5}
    dumped = sum(len(json.dumps(r)) > 0 for r in rows_of(model_dir))
    assert dumped == 24 and movie["bytes"] == 21 * (9 + 3 * 5 + 2 + 2 + 2 + 2 * 5 + 2 + 2 + 6)


def test_stat_text(model, run):
    text = run("table-stat", model[1], "--table", "movie").stdout.decode()
    assert "dim         3 (adagrad 2 + sgd 1)" in text and re.search(r"slot\n  2 +20 +95.2%  █+\n  5 +1 +4.8%  ███\n", text) and "user" not in text
    assert re.search(r"8 to 16 +8 +38.1%  █{57}\n", text) and re.search(r"1 to 2 +1 +4.8%  ███████▏\n", text)


def test_ages(tmp_path):
    t = tables_of(a=config((1, SgdOptimizer())))
    hour, day = 3600, 86400
    ages = [0, hour - 1, hour, day, 7 * day, 30 * day, 90 * day, 365 * day]
    for k, age in enumerate(ages):
        assign(t, "a", {k: [1]}, NOW - age)
    assign(t, "a", {100: [1]}, NOW + 1000)
    t.save(str(tmp_path / "x"), 1)
    (a,) = tools.statistics(str(tmp_path / "x"), now=NOW)["tables"]
    assert list(a["ages"].values()) == [3, 1, 1, 1, 1, 1, 1]
    t.close()


# --- which checkpoint ----------------------------------------------------------------------------------------------------


def test_choosing_a_checkpoint(model, run):
    t, model_dir, base = model
    assign(t, "void", {1: [1, 1, 1, 1]})
    save(t, model_dir, 9)
    (model_dir / "checkpoint").write_text("".join(f'all_model_checkpoint_paths: "model.ckpt-{s}"\n' for s in (7, 9)))

    def count(*args):
        return len(run("table-dump", *args).stdout.splitlines())

    assert count(model_dir) == count(model_dir, "--checkpoint", "9") == count(model_dir, "--checkpoint", "model.ckpt-9") == 25
    assert count(model_dir, "--checkpoint", "7") == count(model_dir / "model.ckpt-7") == count(base) == count(base.parent) == 24
    wrong = run("table-dump", model_dir, "--checkpoint", "8", check=False)
    assert wrong.returncode == 66 and "model.ckpt-7, model.ckpt-9" in wrong.stderr
    assert run("table-dump", base, "--checkpoint", "7", check=False).returncode == 2
    (model_dir / "checkpoint").write_text("what?")
    assert run("table-dump", model_dir, check=False).returncode == 65
    assert run("table-dump", model_dir / "nothing", check=False).returncode == 66
    os.unlink(model_dir / "checkpoint")
    none = run("table-verify", model_dir, check=False)
    assert none.returncode == 66 and "model.ckpt-7: not in the list" in none.stderr


def test_no_tensorflow_and_no_numpy(model):
    code = ("import sys\nfrom monolith_cli.tables import tools, report\nd=sys.argv[1]\nreport.verify_text(tools.verify(d))\n"
            "report.statistics_text(tools.statistics(d))\ntools.json_lines(d, write=len)\n"
            "print([m for m in ('tensorflow', 'numpy', 'google.protobuf', 'pyarrow') if m in sys.modules])")
    assert subprocess.check_output([sys.executable, "-c", code, str(model[1])]) == b"[]\n"


# --- damage --------------------------------------------------------------------------------------------------------------


def test_a_whole_checkpoint(model, run):
    _, model_dir, _ = model
    before = {p: p.read_bytes() for p in model_dir.rglob("*") if p.is_file()}
    done = run("table-verify", model_dir)
    assert done.stderr == "" and "result      whole" in done.stdout.decode()
    result = json.loads(run("table-verify", "--json", model_dir).stdout)
    assert result["damages"] == 0 and result["findings"] == result["unfinished"] == []
    assert [(t["table"], t["keys"], t["duplicates"], t["non_finite"]) for t in result["tables"]] == [
        ("movie", 21, 0, 0), ("user", 3, 0, 0), ("void", 0, 0, 0)]
    assert {p: p.read_bytes() for p in model_dir.rglob("*") if p.is_file()} == before


def small(tmp_path):
    t = tables_of(a=config((1, AdagradOptimizer(0.1, 0.1))), b=config((2, SgdOptimizer())))
    assign(t, "a", {1: [1], 2: [2]}, 50)
    assign(t, "b", {3: [1, 2]}, 60)
    base = tmp_path / "m" / "MonolithMultiHashTable_0"
    t.save(str(base), 1)
    t.save_table("a", str(tmp_path / "s" / "MonolithHashTable_a"), 1)
    t.close()
    return sorted(p for p in tmp_path.rglob("*-of-*")), rows_of(base)


def outcome(path):
    """(rows or None, findings) of a file's set; the tools never disagree about damage."""
    base = str(path).rpartition("-00000-of")[0].removesuffix(".meta")
    found = tools.verify(base)["findings"]
    try:
        rows = rows_of(base)
    except BadDataError as e:
        rows = None
        assert found and "at byte" in str(e) or "missing" in str(e)
    assert all(re.search(r"-00000-of-00001: .*byte \d+", f) for f in found), found
    return rows, found


def test_every_byte_flipped(tmp_path):
    files, _ = small(tmp_path)
    assert len(files) == 3
    for path in files:
        whole = path.read_bytes()
        good, none = outcome(path)
        assert good and not none
        damaged = 0
        for i in range(len(whole)):
            for bit in (0x01, 0x80):
                path.write_bytes(whole[:i] + bytes([whole[i] ^ bit]) + whole[i + 1:])
                rows, found = outcome(path)
                assert bool(found) == (rows is None), (path, i, found)
                assert found or rows == good, (path, i)
                damaged += bool(found)
        assert damaged > len(whole)
        path.write_bytes(whole)


def test_cut_at_every_length(tmp_path):
    files, _ = small(tmp_path)
    for path in files:
        whole = path.read_bytes()
        for n in range(len(whole)):
            path.write_bytes(whole[:n])
            rows, found = outcome(path)
            assert found, (path, n)
        path.write_bytes(whole)


def test_damage_is_reported_and_the_rest_is_read(model, run):
    t, model_dir, base = model
    assign(t, "void", {k: [1, 1, 1, 1] for k in range(5000)})
    save(t, model_dir)
    first = base.parent / (base.name + "-00000-of-00002")
    first.write_bytes(first.read_bytes()[:-3])
    done = run("table-verify", "--json", model_dir, check=False)
    assert done.returncode == 65
    assert re.fullmatch(rf"table-verify: {re.escape(str(first))}: at byte 0: .*\n", done.stderr)
    result = json.loads(done.stdout)
    assert result["damages"] == 1 and 1000 < sum(t["keys"] for t in result["tables"]) < 4000
    for name in ("table-dump", "table-stat"):
        done = run(name, model_dir, check=False)
        assert done.returncode == 65 and f"{first}: at byte 0" in done.stderr
    assert run("table-get", model_dir, "1", check=False).returncode == 65


def test_rows_before_the_damage_are_printed(tmp_path, run):
    base = single(tmp_path, bytes.fromhex(V1_1), bytes.fromhex(V1_1)[:-4], bytes.fromhex(V1_1))
    done = run("table-dump", base, check=False)
    assert done.returncode == 65 and len(done.stdout.splitlines()) == 1
    assert f"{base}-00000-of-00001: at byte 57: " in done.stderr
    done = run("table-verify", "--json", base, check=False)
    result = json.loads(done.stdout)
    assert result["tables"][0]["keys"] == 2 and result["damages"] == 2 and result["tables"][0]["duplicates"] == 1
    assert "table-verify: " in done.stderr and "1 keys that were there before" in done.stderr


@pytest.mark.parametrize(("payload", "what"), [
    ("150000803f", "the entry has no id"),
    (V1_4, r"dim 3: ftrl 1 \+ adam 2 where the rows before have dim 2: adagrad 2"),
    ("090100000000000000150000803f1a0e0a0c0a0a0dcdcccc3d0dcdcc4c3e", "1 weights but optimizer state for 2"),
    ("090100000000000000150000803f1a060a047a020800", "unknown|wrong wire|values of"),
    ("090100000000000000150000807f150000803f1a0e0a0c0a0a0dcdcccc3d0dcdcc4c3e", "key 1: a value is not finite"),
    ("090100000000000000150000803f150000803f1a0e0a0c0a0a0d0000c07f0dcdcc4c3e", "key 1: a value is not finite"),
])
def test_rows_that_cannot_be(payload, what, tmp_path, run):
    base = single(tmp_path, bytes.fromhex(V1_1), bytes.fromhex(payload))
    done = run("table-verify", base, check=False)
    assert done.returncode == 65 and re.search(rf"{re.escape(base)}-00000-of-00001: at byte 57: .*({what})", done.stderr), done.stderr


def test_many_findings_are_counted(tmp_path):
    result = tools.verify(single(tmp_path, *[b"\x15"] * 150))
    assert result["damages"] == 150 and len(result["findings"]) == 100


def test_half_written(model, run):
    t, model_dir, base = model
    left = [base.parent / (base.name + "-00000-of-00003-tmp-77"), model_dir / "checkpoint.tmp-12"]
    for path in left:
        path.write_bytes(b"cut off")
    shutil.copytree(base.parent, model_dir / "model.ckpt-8.assets")
    done = run("table-verify", model_dir)
    for path in [*left, model_dir / "model.ckpt-8"]:
        assert f"warning: {path}: " in done.stderr
    assert len(done.stderr.splitlines()) == 3
    for name in os.listdir(base.parent):
        path = base.parent / name
        if "-tmp-" in name or name.endswith(".manifest"):
            continue
        path.rename(model_dir / "aside")
        done = run("table-verify", model_dir, check=False)
        assert done.returncode == 65 and f"{name} is missing: the checkpoint is not whole" in done.stderr
        (model_dir / "aside").rename(path)
    both = [base.parent / f"{base.name}-0000{i}-of-00002" for i in (0, 1)]
    for path in both:
        os.unlink(path)
    assert run("table-verify", model_dir, check=False).returncode == 65
    shutil.rmtree(base.parent)
    assert run("table-verify", model_dir, check=False).returncode == 65
    with pytest.raises(NoInputError):
        tools.locate(str(base))


def test_an_interrupted_replacement(model, run):
    _, model_dir, base = model
    journal = base.parent / (base.name + ".publish")
    journal.write_bytes(b"")
    done = run("table-verify", model_dir, check=False)
    assert done.returncode == 65 and f"{journal}: a save was interrupted" in done.stderr
    assert journal.exists()


def test_extra_rows_and_other_tables_in_a_shard(tmp_path):
    t = tables_of(a=config((1, SgdOptimizer())))
    base = str(tmp_path / "x")
    assign(t, "a", {k: [k] for k in range(50)})
    t.save(base, 1)
    (tmp_path / "x.manifest").unlink()  # which would tell first
    meta = tmp_path / "x.meta-00000-of-00001"
    whole = meta.read_bytes()
    meta.write_bytes(framed(b"\x0a\x01a\x10\x31"))
    assert whole == framed(b"\x0a\x01a\x10\x32")
    assert "more entries than" in tools.verify(base)["findings"][0]
    meta.write_bytes(framed(b"\x0a\x01a\x10\x33"))
    assert "ends after 50 of the 51 entries" in tools.verify(base)["findings"][0]
    t.save(base, 2)
    (tmp_path / "x.manifest").unlink()
    (tmp_path / "x.meta-00001-of-00002").write_bytes(framed(b"\x0a\x01b\x10\x01"))
    assert "the tables are not those of" in tools.verify(base)["findings"][0]
    t.close()
