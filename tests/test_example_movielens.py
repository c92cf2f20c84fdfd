"""The MovieLens example: its three forms of input, the whole pipeline, and the error on the real data."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "movielens"
BATCH = 512
BOUND = 1.0195
MODEL = f"{EXAMPLE}/model.py:MovieRanking"


def test_the_three_forms_give_the_same_records(run, tmp_path):
    rows = [(1, 10, 4, 100), (2, 10, 3, 101), (1, 11, 5, 102)]
    forms = {
        "ratings_dat.toml": ("::", ""),
        "u_data.toml": ("\t", ""),
        "ratings_csv.toml": (",", "userId,movieId,rating,timestamp\n"),
    }
    outputs = set()
    for schema, (separator, header) in forms.items():
        text = header + "".join(separator.join(map(str, row)) + "\n" for row in rows)
        args = ["--from", "csv", "--to", "instance", "--schema", EXAMPLE / schema]
        outputs.add(run("pb-convert", *args, stdin=text.encode()).stdout)
    assert len(outputs) == 1
    shown = json.loads(run("pb-show", stdin=outputs.pop()).stdout.splitlines()[0])
    assert shown["label"] == [4] and shown["line_id"]["req_time"] in (100, "100")


def test_the_whole_pipeline(tmp_path):
    """On made-up ratings, as `make demo` runs it: what can be learned is learned."""
    ratings = tmp_path / "ratings.dat"
    subprocess.run([sys.executable, EXAMPLE / "generate.py", ratings, "40000"], check=True)
    env = os.environ | {"MONOLITH_PYTHON": sys.executable}
    done = subprocess.run([EXAMPLE / "run.sh", ratings, tmp_path / "work"], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = {line.split()[1] if line.startswith(("rank", "click")) else "": line.split()[-1] for line in done.stdout.splitlines() if line}
    assert float(figures["rmse"]) < 1.0  # 1.07 is the spread of the stars
    assert float(figures["auc"]) > 0.6
    missing = subprocess.run([EXAMPLE / "run.sh", tmp_path / "none", tmp_path / "work"], env=env, capture_output=True, text=True, check=False)
    assert missing.returncode == 66 and "cannot read" in missing.stderr


def test_error_on_movielens_100k(run, tmp_path, shared_data):
    """One pass in the order of time over the whole batches of 512, as the peers of the benchmark train, the last tenth as
    test: the bound holds for the median of three seeds."""
    ratings = shared_data / "ml-100k" / "u.data"
    if not ratings.exists():
        pytest.skip(f"{ratings} is not here")
    rows = sorted(ratings.read_text().splitlines(), key=lambda line: int(line.split("\t")[3]))
    cut = len(rows) * 9 // 10
    for name, part in (("train", rows[: cut // BATCH * BATCH]), ("test", rows[cut:])):
        args = ["--from", "csv", "--to", "instance", "--schema", EXAMPLE / "u_data.toml"]
        data = run("pb-convert", *args, stdin=("\n".join(part) + "\n").encode()).stdout
        (tmp_path / f"{name}.pb").write_bytes(data)
    errors = []
    for seed in (1, 2, 3):
        args = ["--model", MODEL, "--model-dir", tmp_path / f"m{seed}"]
        run("monolith-train", *args, "--seed", seed, tmp_path / "train.pb")
        errors.append(json.loads(run("monolith-eval", *args, "--json", tmp_path / "test.pb").stdout)["rmse"])
    assert statistics.median(errors) <= BOUND, errors
