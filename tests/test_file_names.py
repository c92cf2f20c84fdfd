"""Names of files that are no UTF-8: on Unix any bytes are a name, and what is read, written and told has the very ones."""

import json
import os

import pytest
from model_files import COUNTER, items, write_model

ODD = os.fsdecode(b"a\xff \xc3\xa9")  # a byte that is no UTF-8, a blank, and an e with its accent
STRICT = {"PYTHONIOENCODING": "utf-8:strict"}  # as in a locale such as en_US.UTF-8


@pytest.fixture
def records(tmp_path):
    """(a file of such a name, its bytes)."""
    path = tmp_path / (ODD + ".pb")
    path.write_bytes(items(range(20)))
    return path, path.read_bytes()


def test_in_and_out(run, tmp_path, records):
    path, data = records
    for name, *args in (("pb-cat",), ("pb-head", "-n", 20), ("pb-filter", "--where", "uid >= 0"), ("pb-shuffle", "--seed", 1), ("pb-run", "pb-head -n 20"), ("pb-merge",)):
        out = tmp_path / f"{ODD}.{name}"
        run(name, *args, "-o", out, path, env=STRICT)
        assert sorted(out.read_bytes()) == sorted(data), name
    assert run("pb-cat", tmp_path / "a*.pb").stdout == data
    assert json.loads(run("pb-stat", "--json", tmp_path / "a*.pb").stdout)["records"] == 20


def test_flows_counters_and_what_cannot_be_read(run, tmp_path, records):
    path, data = records
    flow, counters, kept = (tmp_path / f"{ODD}.{i}" for i in range(3))
    run("pb-split", "--by", "hash:uid", "--flow", f"x={flow}", "--metrics-file", counters, path)
    assert flow.read_bytes() == data and "monolith_pb_split_records_in 20\n" in counters.read_text()
    path.write_bytes(data + b"\x05\x00\x00\x00\x00\x00\x00\x00xxxxx")
    run("pb-convert", "--from", "instance", "--to", "example", "--on-bad-record", kept, "-o", "/dev/null", path)
    assert kept.read_bytes() == path.read_bytes()[len(data):]


def test_an_error_tells_the_name(run, tmp_path):
    done = run("pb-cat", tmp_path / ODD, check=False)
    assert done.returncode == 66 and "a\\udcff \u00e9: no such file" in done.stderr
    (tmp_path / ODD).write_bytes(b"xxx")
    done = run("pb-cat", tmp_path / ODD, check=False)
    assert done.returncode == 65 and "a\\udcff \u00e9: byte 0: the last record is cut short" in done.stderr


def test_tables_of_a_checkpoint(run, tmp_path, records):
    pytest.importorskip("tensorflow")
    model = tmp_path / (ODD + ".py")
    os.rename(write_model(tmp_path, COUNTER), model)
    run("monolith-train", "--model", f"{model}:Counter", "--model-dir", tmp_path / "m", "--batch-size", 5, "--max-steps", 2, records[0])
    run("monolith-train", "--model", f"{model}:Counter", "--model-dir", tmp_path / "m", "--batch-size", 5, records[0])
    moved = tmp_path / (ODD + ".m")
    os.rename(tmp_path / "m", moved)
    shown = run("table-stat", moved, env=STRICT).stdout
    assert os.fsencode(moved) in shown
    assert len(run("table-dump", moved, env=STRICT).stdout.splitlines()) == 20
    run("table-reshard", moved, "--shards", 3, "-o", tmp_path / (ODD + ".r"))
    assert run("table-dump", tmp_path / (ODD + ".r")).stdout.count(b"\n") == 20
    run("table-dump", moved, "-o", tmp_path / (ODD + ".jsonl"))
    run("table-diff", moved, tmp_path / (ODD + ".r"), env=STRICT)
    done = run("monolith-eval", "--model", f"{model}:Counter", "--model-dir", moved, records[0], check=False)
    assert done.returncode == 2 and "--model-dir" in done.stderr and "is not UTF-8; TensorFlow takes no other names" in done.stderr


def test_a_base_path_that_tensorflow_cannot_open(run, tmp_path):
    done = run("monolith-serve", "--model-base-path", tmp_path / ODD, check=False)
    assert done.returncode == 2 and "is not UTF-8; TensorFlow takes no other names" in done.stderr
