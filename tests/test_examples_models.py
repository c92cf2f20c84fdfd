"""The examples of models: each pipeline as it is shown, on the first rows of its real data, and the size of its model file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
# Example -> its files with how many lines are taken of each (0: all), and the heads that are judged.
CASES = {
    "deepfm": ({"frappe/frappe.validation.libfm": 600, "frappe/frappe.test.libfm": 200}, ["used"]),
    "dcn": ({"avazu/train.csv": 500, "avazu/dev.csv": 50, "avazu/test.csv": 50}, ["click"]),
    "dlrm": ({f"criteo/wide-resdnn/{part}.tsv": n for part, n in (("train", 500), ("dev", 50), ("test", 50))}, ["click"]),
    "din": ({"amazon-grocery/train.csv": 4000, "amazon-grocery/item_meta.csv": 0}, ["bought"]),
    "mmoe": ({"ml-100k/u.data": 1000, "ml-100k/u.user": 0}, ["liked", "loved"]),
}


def shell(example: str, args: list, **more: str) -> subprocess.CompletedProcess:
    env = {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")}
    env |= {"MONOLITH_PYTHON": sys.executable, "TF_CPP_MIN_LOG_LEVEL": "3"} | more
    return subprocess.run([EXAMPLES / example / "run.sh", *args], env=env, capture_output=True, text=True, timeout=1500, check=False)


@pytest.mark.parametrize("example", CASES)
def test_pipeline(example, tmp_path, shared_data):
    files, heads = CASES[example]
    args = []
    for name, count in files.items():
        source = shared_data / name
        if not source.exists():
            pytest.skip(f"{source} is not here")
        lines = source.read_bytes().splitlines(keepends=True)
        args.append(tmp_path / name.replace("/", "_"))
        args[-1].write_bytes(b"".join(lines[: count or None]))
    done = shell(example, [*args, tmp_path / "work"], SEEDS="1", EPOCHS="1")
    assert done.returncode == 0, done.stderr[-3000:]
    summary = done.stdout[done.stdout.index("mean [lowest, highest]") :]
    found = {head: float(value) for head, value in re.findall(r"^(\w+) auc ([\d.]+) \[", summary, re.M)}
    assert list(found) == heads and all(0 < v < 1 for v in found.values()), done.stdout
    assert f"head {heads[0]}: auc" in done.stderr
    assert re.search(rf"^{heads[0]} rows [1-9]\d+$", done.stdout, re.M), done.stdout


@pytest.mark.parametrize("example", CASES)
def test_model_file_is_short(example):
    lines = (EXAMPLES / example / "model.py").read_text().splitlines()
    assert len(lines) < 80 and max(map(len, lines)) <= 150


def test_mistakes_are_told_before_anything_runs(tmp_path):
    done = shell("dcn", ["one"])
    assert done.returncode == 2 and "usage: run.sh TRAIN.csv DEV.csv TEST.csv WORKDIR" in done.stderr
    done = shell("deepfm", [tmp_path / "none", tmp_path / "none", tmp_path / "work"])
    assert done.returncode == 66 and "cannot read" in done.stderr and not (tmp_path / "work").exists()
