"""`make bench-logistic`: logistic regression on Criteo-shaped rows (label, 13 integers in buckets, 26 hashes), monolith-train from a pipe
beside Vowpal Wabbit on the same rows.

Both make one pass with a log loss; both are timed as whole processes, reading text (vw) or records (monolith-train); the start of
each program on 1,000 rows is measured apart and its rate is given with and without it. Rounds alternate. Prints a table and one JSON object per subject.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "examples" / "criteo" / "criteo.toml"
MODEL = f"{ROOT / 'examples' / 'criteo' / 'model.py'}:LogisticRegression"


def make_rows(path: Path, vw_path: Path, rows: int, seed: int = 5) -> None:
    """The same rows as Criteo's tab-separated text and as Vowpal Wabbit's; ids are zipf-like, one in eight is missing."""
    rng = random.Random(seed)
    sizes = [1000, 500, 200_000, 60_000, 300, 20, 12_000, 600, 3, 50_000, 5_000, 200_000, 3_000, 26, 10_000, 150_000, 10, 4_000, 2_000, 4,
             180_000, 18, 15, 60_000, 100, 40_000]
    with open(path, "w", encoding="ascii") as tsv, open(vw_path, "w", encoding="ascii") as vw:
        for _ in range(rows):
            ids = [int(n * rng.random() ** 3) for n in sizes]
            integers = [int(rng.expovariate(0.15)) for _ in range(13)]
            label = int(rng.random() < 1 / (1 + 2.718 ** (1.2 + 0.3 * (ids[5] % 5) - 0.1 * integers[0] - 0.4 * (ids[8] % 3))))
            fields = [str(v) if rng.random() > 0.125 else "" for v in integers]
            fields += [f"{(v * 2654435761 + i * 97) & 0xffffffff:08x}" if rng.random() > 0.125 else "" for i, v in enumerate(ids)]
            tsv.write(f"{label}\t" + "\t".join(fields) + "\n")
            vw.write(f"{label * 2 - 1} |f " + " ".join(f"{i}={v}" for i, v in enumerate(fields) if v) + "\n")


def seconds(argv: list[str], stdin: Path | None = None) -> float:
    env = os.environ | {"MONOLITH_PYTHON": sys.executable, "PATH": f"{ROOT / 'bin'}:{os.environ['PATH']}"}
    start = time.perf_counter()
    done = subprocess.run(argv, stdin=open(stdin, "rb") if stdin else subprocess.DEVNULL, capture_output=True, env=env, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr.decode(errors='replace')[-2000:]}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_500_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--vw-python", default=os.environ.get("MONOLITH_VW_PYTHON", sys.executable),
                        help="a Python that has vowpalwabbit (pip install vowpalwabbit==9.11.9)")
    args = parser.parse_args()
    have_vw = subprocess.run([args.vw_python, "-c", "import vowpalwabbit"], capture_output=True, check=False).returncode == 0
    if not have_vw:
        print(f"vw: left out, {args.vw_python} has no vowpalwabbit (pip install vowpalwabbit==9.11.9, then --vw-python)")
    with tempfile.TemporaryDirectory(prefix="monolith-bench-") as folder:
        run(Path(folder), args, have_vw)


def run(folder: Path, args, have_vw: bool) -> None:
    sizes = {"full": args.rows, "start": 1000}
    for name, rows in sizes.items():
        make_rows(folder / f"{name}.tsv", folder / f"{name}.vw", rows)
        seconds([str(ROOT / "bin/pb-convert"), "-q", "--from", "csv", "--to", "instance", "--schema", str(SCHEMA),
                 str(folder / f"{name}.tsv"), "-o", str(folder / f"{name}.pb")])

    def vw(name: str) -> float:
        return seconds([args.vw_python, "-m", "vowpalwabbit", "-d", str(folder / f"{name}.vw"), "--loss_function", "logistic", "-b", "22",
                        "--quiet", "-f", str(folder / "vw.model")])

    def ours(name: str) -> float:
        model_dir = tempfile.mkdtemp(dir=folder)
        script = f"pb-cat -q {folder / name}.pb | monolith-train -q --model {MODEL} --model-dir {model_dir} --batch-size {args.batch_size}"
        return seconds(["bash", "-o", "pipefail", "-c", script])

    subjects = {"monolith-train": ours} | ({"vw": vw} if have_vw else {})
    times = {name: {size: [] for size in sizes} for name in subjects}
    for _ in range(args.rounds):
        for name, subject in subjects.items():
            for size in sizes:
                times[name][size].append(subject(size))
    results = []
    for name, by_size in times.items():
        full, start = (statistics.median(by_size[s]) for s in ("full", "start"))
        rate = (args.rows - sizes["start"]) / max(full - start, 1e-9)
        results.append({"subject": name, "rows": args.rows, "examples_s": round(rate), "examples_s_with_start": round(args.rows / full),
                        "seconds": round(full, 2), "start_seconds": round(start, 2)})
    print(f"{'subject':<16}{'rows/s':>12}{'with start':>12}{'start s':>9}   aim 1.0 of vw")
    for r in results:
        print(f"{r['subject']:<16}{r['examples_s']:>12,}{r['examples_s_with_start']:>12,}{r['start_seconds']:>9.2f}")
    if have_vw:
        print(f"monolith-train / vw = {results[0]['examples_s'] / results[1]['examples_s']:.2f}")
    for r in results:
        print(json.dumps(r))


if __name__ == "__main__":
    main()
