"""Training that is stopped and started again: every record once, whatever stopped it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from model_files import COUNTER, items, write_model
from processes import wait_until_locked

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path, COUNTER)


def start(*args, **popen):
    env = os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen([sys.executable, "-m", "monolith_cli", "monolith-train", *map(str, args)], env=env,
                            stderr=subprocess.PIPE, stdout=subprocess.PIPE, **popen)  # fmt: skip


def counts(run, model, model_dir, ids) -> dict[int, int]:
    out = run("monolith-predict", "-q", "--model", model, "--model-dir", model_dir, stdin=items(ids)).stdout.decode().split()
    return {i: int(float(v)) for i, v in zip(ids, out)}


def wait_for(path, seconds=180):
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.02)


def sample(n, seed=0):
    rng = random.Random(seed)
    return [rng.randrange(50) for _ in range(n)]


def test_sigterm_saves_and_the_same_line_goes_on(run, tmp_path, model):
    """From a pipe that stays open: the signal arrives while training waits for records."""
    values = sample(1000)
    data = items(values)
    args = ["--model", model, "--model-dir", tmp_path / "m", "--batch-size", "64", "--skip-consumed", "--json", "--save-every-steps", "5"]
    process = start(*args, stdin=subprocess.PIPE)
    cut = len(data) * 2 // 3  # in the middle of a record
    process.stdin.write(data[:cut])
    process.stdin.flush()
    wait_for(tmp_path / "m/model.ckpt-10.index")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 143, err
    first = json.loads(out)
    assert 600 < first["examples"] < 700
    done = run("monolith-train", *args, stdin=data)
    second = json.loads(done.stdout)
    assert first["examples"] + second["examples"] == 1000
    assert counts(run, model, tmp_path / "m", range(50)) == {i: Counter(values)[i] for i in range(50)}
    # Once more: everything was trained on.
    third = run("monolith-train", *args, stdin=data)
    assert json.loads(third.stdout)["examples"] == 0 and "nothing to train" in third.stderr
    # Fewer records than were trained on cannot be the same input.
    other = run("monolith-train", *args, stdin=items(values[:100]), check=False)
    assert other.returncode == 65 and "is it another one" in other.stderr
    # Without the flag, what is given is trained on.
    more = run("monolith-train", *[a for a in args if a != "--skip-consumed"], stdin=items([49]))
    assert json.loads(more.stdout)["records_trained"] == 1001


def test_kill_at_any_moment_then_go_on_from_files(run, tmp_path, model):
    """kill -9 while checkpoints are written all the time; three files, one of them compressed."""
    import gzip

    values = sample(60_000, seed=1)
    parts = [values[:21_000], values[21_000:36_000], values[36_000:]]
    files = [tmp_path / "a.pb", tmp_path / "b.pb.gz", tmp_path / "c.pb"]
    for i, (file, part) in enumerate(zip(files, parts)):
        data = items(part)
        file.write_bytes(gzip.compress(data, 1) if i == 1 else data)
    args = ["--model", model, "--model-dir", tmp_path / "m", "--batch-size", "64", "--save-every-steps", "29", "--json", *files]
    rng = random.Random(5)
    kills = 0
    for _ in range(3):
        process = start(*args)
        state = tmp_path / "m/checkpoint"
        before = state.stat().st_mtime_ns if state.exists() else 0
        end = time.monotonic() + 180
        while process.poll() is None and time.monotonic() < end and not (state.exists() and state.stat().st_mtime_ns != before):
            time.sleep(0.005)
        time.sleep(rng.random() * 0.4)
        if process.poll() is None:
            kills += 1
        process.kill()
        process.communicate()
    assert kills >= 1, "training ended before it could be killed"
    done = run("monolith-train", *args)
    assert json.loads(done.stdout)["records_trained"] == len(values)
    assert counts(run, model, tmp_path / "m", range(50)) == {i: Counter(values)[i] for i in range(50)}
    # A file that follows is trained on; what came before is not again.
    later = tmp_path / "d.pb"
    later.write_bytes(items([0, 0, 1]))
    more = run("monolith-train", *args, later)
    assert json.loads(more.stdout)["examples"] == 3
    # The old ones may go once they are done with.
    last = tmp_path / "e.pb"
    last.write_bytes(items([2]))
    assert json.loads(run("monolith-train", *args[:9], last).stdout)["examples"] == 1
    again = json.loads(run("monolith-train", *args[:9], "--from-start", last).stdout)
    assert again["examples"] == 1


def test_sources_that_do_not_fit_are_named(run, tmp_path, model):
    first, second = tmp_path / "1.pb", tmp_path / "2.pb"
    first.write_bytes(items([1, 2, 3, 4]))
    second.write_bytes(items([5, 6]))
    args = ["--model", model, "--model-dir", tmp_path / "m", "--batch-size", "2", "--json"]
    assert json.loads(run("monolith-train", *args, "--max-steps", "1", second).stdout)["global_step"] == 1
    early = run("monolith-train", *args, first, second, check=False)
    assert early.returncode == 65 and "1.pb: comes before" in early.stderr
    gone = run("monolith-train", *args, first, check=False)
    assert gone.returncode == 65 and "2.pb: training stopped at byte" in gone.stderr and "--from-start" in gone.stderr
    second.write_bytes(items([5]))
    shorter = run("monolith-train", *args, second, check=False)
    assert shorter.returncode == 65 and "it is another file" in shorter.stderr


def test_damaged_checkpoints(run, tmp_path, model):
    data = items(sample(40))
    args = ["--model", model, "--model-dir", tmp_path / "m", "--batch-size", "10", "--save-every-steps", "2", "--json", "--skip-consumed"]
    run("monolith-train", *args, stdin=data)
    table = next((tmp_path / "m/model.ckpt-4.assets").glob("MonolithMultiHashTable_0-*"))
    content = table.read_bytes()
    table.write_bytes(content[: len(content) // 2])
    done = run("monolith-train", *args, stdin=data, check=False)
    assert done.returncode == 65
    assert "model.ckpt-4" in done.stderr and "damaged" in done.stderr and "--use-previous" in done.stderr
    done = run("monolith-train", *args, "--use-previous", stdin=data)
    assert "model.ckpt-4" in done.stderr
    assert json.loads(done.stdout)["examples"] == 20  # those after the checkpoint of step 2
    assert counts(run, model, tmp_path / "m", range(50)) == {i: Counter(sample(40))[i] for i in range(50)}
    older = run("monolith-predict", "--model", model, "--model-dir", tmp_path / "m", "--checkpoint", "2", stdin=items(range(50)))
    assert sum(float(v) for v in older.stdout.split()) == 20
    none = run("monolith-predict", "--model", model, "--model-dir", tmp_path / "m", "--checkpoint", "3", stdin=items([1]), check=False)
    assert none.returncode == 66 and "step 3" in none.stderr and "2, 4" in none.stderr


def test_one_training_at_a_time(run, tmp_path, model):
    process = start("--model", model, "--model-dir", tmp_path / "m", stdin=subprocess.PIPE)
    wait_for(tmp_path / "m/.lock")
    wait_until_locked(tmp_path / "m/.lock")
    second = run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", stdin=items([1]), check=False)
    process.stdin.close()
    process.wait(timeout=300)
    process.stdout.close()
    process.stderr.close()
    assert second.returncode == 75 and "another training" in second.stderr
