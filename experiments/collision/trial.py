"""One trial: a variant trained with one seed by the commands, and its AUC at every checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODEL = f"{HERE / 'model.py'}:Liking"
_BUFFER = 10_000_000  # records pb-shuffle may hold: all of them, so that the order is evenly random


@dataclass(frozen=True)
class Trial:
    """folder: has train.pb and the judged part as `<part>.pb`. steps: those between two checkpoints. judged: the steps at
    which it is judged. settings: of the model file."""

    source: str
    folder: str
    share: float | None
    seed: int
    chain: str
    passes: int
    batch_size: int
    steps: int
    judged: tuple[int, ...]
    part: str = "test"
    settings: dict = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "collisionless" if self.share is None else f"rows {Fraction(self.share).limit_denominator(1000)}"


def shell(script: str, **more: str) -> str:
    """Runs it with the commands of this checkout; raises RuntimeError with what it said."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")}
    env |= {"MONOLITH_PYTHON": sys.executable, "PATH": f"{ROOT / 'bin'}:{os.environ['PATH']}", "TF_CPP_MIN_LOG_LEVEL": "3"} | more
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def perform(trial: Trial) -> dict:
    """Trains and judges. The result: who it is, `auc` and `log_loss` by step, `rows` of the two tables at the end."""
    folder = Path(trial.folder)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        work = Path(name)
        (work / "ids.chain").write_text(trial.chain + "\n")
        settings = json.dumps(trial.settings)
        _train(trial, folder, work, settings)
        shell(f"pb-run -q {work}/ids.chain {folder}/{trial.part}.pb -o {work}/judged.pb")
        stat = json.loads(shell(f"table-stat -q --json {work}/model"))
        rows = {t["table"].split("/")[-1]: t["keys"] for t in stat["tables"]}
        os.environ["COLLISION_SETTINGS"] = settings
        points = [_judge(work, step) for step in trial.judged]
    return {"data": trial.source, "variant": trial.name, "share": trial.share, "seed": trial.seed, "part": trial.part,
            "settings": trial.settings, "rows": rows, "points": points}


def _train(trial: Trial, folder: Path, work: Path, settings: str) -> None:
    """Every pass has an order of its own, by the seed; all variants of a seed see the same one."""
    passes = "; ".join(f"pb-shuffle -q --buffer {_BUFFER} --seed {trial.seed * 1000 + n} {folder}/train.pb" for n in range(trial.passes))
    shell(f"({passes}) | pb-run -q {work}/ids.chain | monolith-train -q --model {MODEL} --model-dir {work}/model --seed {trial.seed}"
          f" --batch-size {trial.batch_size} --drop-remainder --save-every-steps {trial.steps} --max-to-keep 0 --summary-every-steps 0",
          COLLISION_SETTINGS=settings)


def _judge(work: Path, step: int) -> dict:
    """What monolith-eval prints for a checkpoint, without starting TensorFlow for each."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from monolith_cli.commands.run import Log, Run
    from monolith_cli.training.evaluator import evaluate
    from monolith_cli.training.reading import ReadConfig

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    config = ReadConfig(model=MODEL, model_dir=str(work / "model"), sources=(str(work / "judged.pb"),), batch_size=8192, step=step)
    run = Run("collision", Log("collision", -1), False)
    result = evaluate(config, run)
    if run.stop_requested():
        raise KeyboardInterrupt
    return {"step": step, "auc": result["auc"], "log_loss": result["log_loss"]}
