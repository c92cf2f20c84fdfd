"""`make bench-train`: the demo rating model (two embeddings of 32, MLP 256-64-1, Adagrad), monolith-train from a pipe beside what a
user would pick instead, trained from memory.

Peers run out of PEERS/train_peers.py: `tf` in this environment, the others where `--envs` has an environment of their name
(ENVS/torch/bin/python, ENVS/fbgemm/…, ENVS/tfra/…). Rounds alternate; medians are compared. Prints a table and one JSON object per
subject and batch size, with the keys of train_peers.py.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "movielens"
AIM = 1.25
PEERS = ("tf", "torch", "fbgemm", "tfra")


def peer_python(peer: str, envs: Path | None) -> str | None:
    """The Python that has the peer's libraries; None where there is none."""
    own = envs / peer / "bin" / "python" if envs else None
    if own and own.exists():
        return str(own)
    module = {"tf": "tensorflow", "torch": "torch", "fbgemm": "fbgemm_gpu", "tfra": "tensorflow_recommenders_addons"}[peer]
    found = subprocess.run([sys.executable, "-c", f"import importlib.util,sys; sys.exit(importlib.util.find_spec('{module}') is None)"],
                           check=False)
    return sys.executable if found.returncode == 0 else None


def run_peer(python: str, script: Path, peer: str, ratings: Path, batch: int, passes: int) -> dict:
    done = subprocess.run([python, str(script), peer, str(ratings), str(batch), str(passes)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{peer}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def prepare(ratings: Path, folder: Path) -> None:
    """train.pb and test.pb: the order and the split of train_peers.py."""
    with open(ratings, encoding="latin-1") as f:
        rows = [line.strip().replace("::", "\t").replace(",", "\t").split("\t") for line in f if line[0].isdigit()]
    rows.sort(key=lambda row: float(row[3]))
    cut = len(rows) * 9 // 10
    for name, part in (("train", rows[:cut]), ("test", rows[cut:])):
        (folder / f"{name}.txt").write_text("".join("\t".join(row[:4]) + "\n" for row in part))
        shell(f"pb-convert -q --from csv --to instance --schema {EXAMPLE / 'u_data.toml'} {folder / name}.txt > {folder / name}.pb")


def shell(script: str) -> str:
    env = os.environ | {"MONOLITH_PYTHON": sys.executable, "PATH": f"{ROOT / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        sys.exit(f"{script}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def run_ours(folder: Path, batch: int, passes: int, round_number: int) -> dict:
    model = f"--model {EXAMPLE / 'model.py'}:MovieRanking --model-dir {folder}/m-{batch}-{round_number}"
    out = shell(f"pb-cat -q --repeat {passes} {folder}/train.pb | monolith-train -q {model} --batch-size {batch} --json")
    trained = json.loads(out.splitlines()[-1])
    judged = json.loads(shell(f"monolith-eval -q {model} --json {folder}/test.pb"))
    return {"subject": "monolith-train", "batch": batch, "passes": passes, "examples_s": round(trained["examples_per_second"]),
            "seconds": round(trained["seconds"], 2), "test_rmse": round(judged["rmse"], 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "bench", help="folder of train_peers.py")
    parser.add_argument("--envs", type=Path, default=os.environ.get("MONOLITH_PEER_ENVS"), help="folder of the peers' environments")
    parser.add_argument("--ratings", type=Path, default=ROOT.parent / "shared" / "data" / "ml-100k" / "u.data")
    parser.add_argument("--batch", type=int, action="append", help="batch size; may be repeated [512, 4096]")
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    args.envs = Path(args.envs) if args.envs else None
    with tempfile.TemporaryDirectory(prefix="monolith-bench-") as folder:
        if not args.ratings.exists():
            print(f"{args.ratings} is not there: made-up ratings in its place")
            args.ratings = Path(folder) / "ratings.dat"
            subprocess.run([sys.executable, str(EXAMPLE / "generate.py"), str(args.ratings), "100000"], check=True)
        measure(args, Path(folder))


def measure(args, folder: Path) -> None:
    script = args.peers / "train_peers.py"
    pythons = {}
    for peer in PEERS:
        python = peer_python(peer, args.envs) if script.exists() else None
        if python:
            pythons[peer] = python
        else:
            print(f"{peer}: left out, " + ("its libraries are not here (--envs)" if script.exists() else f"{script} is missing"))
    prepare(args.ratings, folder)
    results = []
    for batch in args.batch or [512, 4096]:
        rounds: dict[str, list[dict]] = {}
        for i in range(args.rounds):
            for peer, python in pythons.items():
                rounds.setdefault(peer, []).append(run_peer(python, script, peer, args.ratings, batch, args.passes))
            rounds.setdefault("monolith-train", []).append(run_ours(folder, batch, args.passes, i))
        results += [_median(r) for r in rounds.values()]
    report(results)


def _median(rounds: list[dict]) -> dict:
    middle = statistics.median_low([r["examples_s"] for r in rounds])
    return next(r for r in rounds if r["examples_s"] == middle)


def report(results: list[dict]) -> None:
    print(f"{'subject':<16}{'batch':>6}{'examples/s':>12}{'test RMSE':>11}{'x fastest peer':>16}   aim {AIM}")
    for r in results:
        peers = [o["examples_s"] for o in results if o["batch"] == r["batch"] and o["subject"] != "monolith-train"]
        ratio = f"{r['examples_s'] / max(peers):.2f}" if peers else "-"
        print(f"{r['subject']:<16}{r['batch']:>6}{r['examples_s']:>12,}{r['test_rmse']:>11.4f}{ratio:>16}")
    for r in results:
        print(json.dumps(r))


if __name__ == "__main__":
    main()
