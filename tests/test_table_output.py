"""What the table commands that write have in common: nothing is overwritten, left behind or half done."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from random import Random

import numpy as np
import pytest
from table_files import ADAGRAD, GOOD, messages
from test_table_tools import assign, config, model, save, tables_of  # noqa: F401

from monolith_cli.tables.config import SgdOptimizer


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
    random = Random(1)  # numbers that no format makes small
    assign(t, "void", {k: [random.random() for _ in range(4)] for k in range(3000)})
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
    room = ("--memory", "1M", "-T", tmp_path / "spool")
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
        _, err = child.communicate(timeout=300)
    assert child.returncode == 128 + number and err == b""
    assert os.listdir(tmp_path) == ["pipe"]
