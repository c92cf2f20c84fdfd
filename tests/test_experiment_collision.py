"""The collision experiment: its outputs on made-up ratings, that hashing makes ids share rows, the direction on real data."""

import csv
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "experiments" / "collision" / "run.py"


def experiment(*args, check=True):
    env = {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")} | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, SCRIPT, *map(str, args)], capture_output=True, text=True, env=env, timeout=1500, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done


def row_of(key: int, rows: int, seed: int) -> int:
    return int(hashlib.md5(f"{seed}:{key}".encode()).hexdigest(), 16) % rows


def test_outputs_and_rows(tmp_path):
    """2,560 made-up ratings in the order of time: the first 2,048 are the training part, eight batches."""
    rng = random.Random(5)
    ratings = [(rng.randrange(1, 200), rng.randrange(1, 120), rng.randint(1, 5), 1000 + n) for n in range(2560)]
    shuffled = rng.sample(ratings, len(ratings))
    (tmp_path / "ml-100k").mkdir()
    (tmp_path / "ml-100k" / "u.data").write_text("".join("\t".join(map(str, r)) + "\n" for r in shuffled))
    out = tmp_path / "out"
    done = experiment("--shared", tmp_path, "--data", "ml-100k", "--share", "1/5", "--seeds", 1, "--passes", 1, "--points", 2,
                      "--batch-size", 256, "--output", out)  # fmt: skip
    lines = list(csv.DictReader((out / "collision.csv").open()))
    assert [(r["variant"], r["step"], r["progress"]) for r in lines] == [
        (v, s, p) for v in ("collisionless", "rows 1/5") for s, p in (("4", "0.5"), ("8", "1.0"))
    ]
    assert all(0 < float(r["auc"]) < 1 and float(r["log_loss"]) > 0 for r in lines)

    for column, name in ((0, "user_rows"), (1, "item_rows")):
        trained, all_ids = {r[column] for r in ratings[:2048]}, {r[column] for r in ratings}
        rows = round(len(all_ids) / 5)
        assert {int(r[name]) for r in lines if r["variant"] == "collisionless"} == {len(trained)}
        assert {int(r[name]) for r in lines if r["variant"] == "rows 1/5"} == {len({row_of(key, rows, 1) for key in trained})}

    results = [json.loads(line) for line in (out / "collision.jsonl").read_text().splitlines()]
    assert [r["points"][-1]["auc"] for r in results] == [float(r["auc"]) for r in lines if r["step"] == "8"]
    assert (out / "collision.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    shown = [line.split() for line in done.stdout.splitlines()]
    assert ["variant", "users", "items", "50%", "100%", "behind"] in shown
    last = [float(r["auc"]) for r in lines if r["step"] == "8"]
    assert ["rows", "1/5"] in [line[:2] for line in shown] and f"{last[0] - last[1]:.4f}" in done.stdout


def test_fewer_rows_are_worse_on_movielens(tmp_path, shared_data):
    if not (shared_data / "ml-100k" / "u.data").exists():
        pytest.skip("ml-100k is not here")
    experiment("--shared", shared_data, "--data", "ml-100k", "--share", "1/20", "--seeds", 1, "--points", 1, "--output", tmp_path)
    better, worse = [float(r["auc"]) for r in csv.DictReader((tmp_path / "collision.csv").open())]
    assert better > worse + 0.03 and better > 0.65


def test_mistakes_are_found_at_the_start(tmp_path):
    missing = experiment("--shared", tmp_path, check=False)
    assert missing.returncode == 66 and "ml-100k/u.data" in missing.stderr and "MONOLITH_SHARED_DATA" in missing.stderr
    assert not missing.stdout
    usage = experiment("--share", "0", check=False)
    assert usage.returncode == 2 and "--share" in usage.stderr
