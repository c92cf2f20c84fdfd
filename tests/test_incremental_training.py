"""monolith-train with deltas between its whole checkpoints, and with a model that is not that of the checkpoint."""

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from model_files import COUNTER, items, write_model

pytest.importorskip("tensorflow")


def files_of(model_dir: Path, step: int) -> list[str]:
    return os.listdir(model_dir / f"model.ckpt-{step}.assets")


def listed(model_dir: Path) -> list[int]:
    from monolith_cli.training.checkpoint_store import CheckpointStore, step_of

    return [step_of(p) for p in CheckpointStore(str(model_dir)).prefixes()]


def counts(run, model, model_dir, step=None) -> list[int]:
    chosen = [] if step is None else ["--checkpoint", str(step)]
    out = run("monolith-predict", "-q", "--model", model, "--model-dir", model_dir, *chosen, stdin=items(range(60))).stdout
    return [int(float(v)) for v in out.decode().split()]


@pytest.fixture
def trained(run, tmp_path):
    """(model, directory, ids): 8 steps of 100 records, a checkpoint at each, deltas between, the newest three kept."""
    rng = random.Random(3)
    ids = [i % 60 for i in range(100)] + [rng.randrange(8) for _ in range(700)]
    model, model_dir = write_model(tmp_path, COUNTER), tmp_path / "m"
    run("monolith-train", "-q", "--model", model, "--model-dir", model_dir, "--batch-size", "100", "--save-every-steps", "1",
        "--incremental-checkpoints", "3", "--max-to-keep", "2", stdin=items(ids))  # fmt: skip
    return model, model_dir, ids


def test_deltas_restore_and_keep_what_they_need(run, trained):
    model, model_dir, ids = trained
    kept = listed(model_dir)
    assert kept[-1] == 8 and len(kept) >= 2
    assert any(".delta." in n for step in kept for n in files_of(model_dir, step))
    from monolith_cli.training.checkpoint_store import CheckpointStore, step_of

    store = CheckpointStore(str(model_dir))
    for prefix in store.prefixes():
        assert {step_of(p) for p in store.needs(prefix)} <= set(kept)
    for step in (kept[0], kept[-1]):
        seen = Counter(ids[: 100 * step])
        assert counts(run, model, model_dir, step) == [seen[i] for i in range(60)]
    on_disk = {int(p.name.partition("-")[2].partition(".")[0]) for p in model_dir.glob("model.ckpt-*.assets")}
    assert on_disk == set(kept), "what is not listed is gone"


def test_a_damaged_checkpoint_ends_with_65_and_use_previous_goes_behind_it(run, trained):
    model, model_dir, ids = trained
    victim = next(p for p in sorted((model_dir / "model.ckpt-8.assets").iterdir()) if ".manifest" not in p.name and ".meta" not in p.name)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 4
    victim.write_bytes(bytes(data))
    line = ["monolith-train", "--model", model, "--model-dir", model_dir, "--batch-size", "100", "--incremental-checkpoints", "3"]
    done = run(*line, stdin=items([1]), check=False)
    assert done.returncode == 65 and victim.name in done.stderr and "at byte" in done.stderr and "--use-previous" in done.stderr
    done = run(*line, "--use-previous", stdin=items([1]))
    assert "going back to the checkpoint before it" in done.stderr
    seen = Counter([*ids[:700], 1])
    assert counts(run, model, model_dir) == [seen[i] for i in range(60)]


def test_restore_modes(run, trained, tmp_path):
    model, model_dir, ids = trained
    line = ["monolith-train", "--model-dir", model_dir, "--batch-size", "100"]
    ada = write_model(tmp_path, COUNTER.replace("SgdOptimizer(learning_rate=1.0)", "AdagradOptimizer(learning_rate=0.0)"), "ada.py")
    done = run(*line, "--model", ada, stdin=items([1]), check=False)
    assert done.returncode == 78 and "sgd state of 0 numbers" in done.stderr and "--restore-mode" in done.stderr, done.stderr
    done = run(*line, "--model", ada, "--restore-mode", "reset-state", stdin=items([1]))
    assert "rows of tables were of another shape and were adapted" in done.stderr
    seen = Counter(ids)
    assert counts(run, ada, model_dir) == [seen[i] for i in range(60)]  # at a rate of 0 nothing moved
