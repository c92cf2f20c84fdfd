"""monolith-train where its checkpoints find no room: a limit on the size of files stands for a full disk."""

import os
import random
import subprocess

import pytest
from conftest import ROOT
from model_files import COUNTER, fid, instance, wire, write_model

pytest.importorskip("tensorflow")

FILTERED = COUNTER.replace("class Counter(MonolithModel):", "class Counter(MonolithModel):\n        filter_capacity = 300_000\n").replace(
    "def model_fn(self, features, mode):", 'def model_fn(self, features, mode):\n            self.create_embedding_feature_column("item", occurrence_threshold=1)')


def train(folder, model, data, *args, kilobytes=None):
    limit = f'trap "" XFSZ; ulimit -f {kilobytes}; ' if kilobytes else ""
    command = ["bash", "-c", limit + 'exec "$@"', "-", str(ROOT / "bin/monolith-train"), "--model", model, "--model-dir", str(folder),
               "--batch-size", "100", "--seed", "1", *args, str(data)]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})


def prefixes(folder):
    return sorted({p.name.split(".")[1] for p in folder.glob("model.ckpt-*")})


@pytest.fixture
def data(tmp_path):
    """4,000 items, each once: the table grows with every step, to 100 KB."""
    rng, path = random.Random(1), tmp_path / "data.pb"
    path.write_bytes(wire(instance(uid=i, item=[fid(1, rng.getrandbits(40))]) for i in range(4000)))
    return path


def test_the_checkpoint_before_stays_and_training_goes_on_from_it(run, tmp_path, data):
    model = write_model(tmp_path, COUNTER)
    full, whole = tmp_path / "full", tmp_path / "whole"
    done = train(full, model, data, "--save-every-steps", "10", kilobytes=48)
    assert done.returncode == 74, done.stderr
    last = int(prefixes(full)[-1].removeprefix("ckpt-"))
    assert done.stderr.startswith(f"monolith-train: {full}: the checkpoint of step {last + 10} could not be written: ")
    assert done.stderr.endswith(f": cannot write: File too large; that of step {last} is the newest\n") and done.stderr.count("\n") == 1
    assert not [p.name for p in full.rglob("*tmp*")] and not (full / f"ckpt.info-{last + 10}").exists()
    for folder in (full, whole):
        done = train(folder, model, data)
        assert done.returncode == 0, done.stderr
        scores = run("monolith-predict", "-q", "--model", model, "--model-dir", folder, data).stdout.split()
        assert len(scores) == 4000 and {float(s) for s in scores} == {1.0}


def test_a_filter_without_room_leaves_no_checkpoint(tmp_path, data):
    model, folder = write_model(tmp_path, FILTERED), tmp_path / "m"
    done = train(folder, model, data, kilobytes=100)
    assert (done.returncode, prefixes(folder)) == (74, [])
    assert "hash_filter_0-" in done.stderr and done.stderr.endswith(": cannot write: File too large; there is none before it\n")
    assert done.stderr.count("\n") == 1


def test_no_room_from_the_first_byte(tmp_path, data):
    folder = tmp_path / "m"
    done = subprocess.run(["bash", "-c", 'trap "" XFSZ; ulimit -f 0; exec "$@"', "-", str(ROOT / "bin/monolith-train"), "--model",
                           write_model(tmp_path, COUNTER), "--model-dir", str(folder), str(data)], stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert (done.returncode, done.stderr) == (74, f"monolith-train: {folder}/monolith_checkpoint: cannot write: File too large\n")
