"""`make bench-layers`: one training step of DLRM, DCN and DIN with this library's layers, beside plain Keras 3 and
PyTorch of the same maths.

The embeddings of the batch are synthetic vectors, as tables would give them: a step computes the loss, the gradients of
all dense variables and of these vectors, and an Adagrad update of the dense variables. Each subject runs in a process
    of its own, out of layers_subjects.py:
`monolith` (a graph and a session, as monolith-train runs it), `keras` (keras.layers, a tf.function), `keras-jit` (the
same compiled by XLA, Keras' default), `torch` (where `--envs` has an environment of that name, ENVS/torch/bin/python).
Rounds alternate; medians of the time of a step are compared. Prints a table, and one JSON object for each model.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from train import peer_python  # noqa: E402

MODELS = ("dlrm", "dcn", "din")
SUBJECTS = ("monolith", "keras", "keras-jit", "torch")


def run_subject(python: str, subject: str, model: str, batch: int, steps: int) -> dict:
    """{"ms": median time of a step, "loss_first", "loss_last"} of one process."""
    command = [python, str(HERE / "layers_subjects.py"), subject, model, str(batch), str(steps)]
    env = os.environ | {"PYTHONPATH": str(HERE.parent) if subject == "monolith" else "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        sys.exit(f"{subject}, {model}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--envs", type=Path, default=os.environ.get("MONOLITH_PEER_ENVS"), help="folder of the peers' environments"
    )
    parser.add_argument("--model", action="append", choices=MODELS, help="may be repeated [all]")
    parser.add_argument("--subject", action="append", choices=SUBJECTS, help="may be repeated [all that are there]")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=100, help="timed steps in a process, after 20 untimed ones")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    pythons = {s: peer_python("torch" if s == "torch" else "tf", args.envs) for s in args.subject or SUBJECTS}
    for model in args.model or MODELS:
        runs = {s: [] for s, python in pythons.items() if python}
        for _ in range(args.rounds):
            for subject, found in runs.items():
                found.append(run_subject(pythons[subject], subject, model, args.batch, args.steps))
        result = {
            "model": model,
            "batch": args.batch,
            "ms": {s: round(statistics.median(r["ms"] for r in f), 3) for s, f in runs.items()},
        }
        peers = [ms for s, ms in result["ms"].items() if s != "monolith"]
        if peers and "monolith" in result["ms"]:
            result["fastest_peer_over_ours"] = round(min(peers) / result["ms"]["monolith"], 2)
        for subject, found in runs.items():
            losses = f"loss {found[0]['loss_first']:.4f} -> {found[0]['loss_last']:.4f}"
            print(f"{model:5} {subject:10} {result['ms'][subject]:8.2f} ms a step   {losses}")
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
