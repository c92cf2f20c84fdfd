"""`make experiment-collision`: one model, its ids kept apart or hashed into fewer rows; AUC by training progress.

Every variant is trained by monolith-train on the same records in the same order; a pb-run chain in front of it maps the ids (MD5
modulo the rows) or leaves them. Writes collision.csv, collision.jsonl and collision.png to --output, and prints a table.
collision.jsonl grows as trials end. --tune judges other settings of the model on the validation part instead, every variant alike.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from fractions import Fraction
from pathlib import Path

import ratings
import report
from trial import HERE, ROOT, Trial, perform, shell

NO_INPUT, UNAVAILABLE, CANNOT_CREATE, INTERRUPTED, TERMINATED = 66, 69, 73, 130, 143
NAMES = ("learning_rate", "accumulator")  # of the embeddings; the gradient of a batch is a mean, so accumulators matter at 1e-6
TUNED = ((0.05, 0.1), (0.1, 0.1), (0.3, 0.1), (1.0, 0.1), (0.1, 1e-4), (0.05, 1e-6))


def prepare(name: str, source: ratings.Source, rows: list, folder: Path) -> Path:
    """The parts as records: train.pb, valid.pb, test.pb in a folder of their own."""
    made = folder / name
    made.mkdir()
    for part, its in ratings.split(rows).items():
        (made / f"{part}.txt").write_text("".join(f"{user}\t{item}\t{liked}\n" for user, item, liked in its))
        shell(f"pb-convert -q --from csv --to instance --schema {HERE / 'ratings.toml'} {made}/{part}.txt -o {made}/{part}.pb")
        (made / f"{part}.txt").unlink()
    return made


def trials(args, name: str, rows: list, folder: Path) -> list[Trial]:
    """All variants for the first seed, then for the next; with --tune all settings of the grid, judged at the end alone."""
    total = len(ratings.split(rows)["train"]) * args.passes // args.batch_size
    points = 1 if args.tune else args.points
    steps = total // points
    if not steps:
        sys.exit(f"run.py: {name}: {total} steps are fewer than {points} points; lower --points or --batch-size")
    judged = tuple(steps * (n + 1) for n in range(points))
    settings = [dict(zip(NAMES, values)) for values in TUNED] if args.tune else [{}]
    return [
        Trial(source=name, folder=str(folder), share=share, seed=seed, chain=ratings.chain(rows, share, seed), passes=args.passes,
              batch_size=args.batch_size, steps=steps, judged=judged,
              part="valid" if args.tune else "test", settings=chosen)
        for seed in range(1, (1 if args.tune else args.seeds) + 1) for chosen in settings for share in (None, *args.share)
    ]  # fmt: skip


def perform_all(work: list[Trial], jobs: int, finished) -> list[dict]:
    """The results in the order of `work`, whichever ends first; `finished(result)` is called as each ends."""
    results: dict[int, dict] = {}
    # A process each: TensorFlow keeps threads and memory of every graph it has run.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = {pool.submit(perform, trial): i for i, trial in enumerate(work)}
        try:
            for future in as_completed(futures):
                result = results[futures[future]] = future.result()
                print(f"[{len(results)}/{len(work)}] {result['data']}, {result['variant']}, seed {result['seed']}: "
                      f"AUC {result['points'][-1]['auc']:.4f}", file=sys.stderr, flush=True)
                finished(result)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [results[i] for i in sorted(results)]


def kept_in(path: Path):
    """Writes each result to `path` as it comes, so that a run that is cut off leaves what it has."""
    path.write_text("")

    def keep(result: dict) -> None:
        with open(path, "a", encoding="ascii") as f:
            f.write(json.dumps(result) + "\n")

    return keep


def tuned(results: list[dict]) -> str:
    """AUC on the validation part by settings and variant; the last column is what the settings are chosen by."""
    lines = []
    for data in dict.fromkeys(r["data"] for r in results):
        mine = [r for r in results if r["data"] == data]
        variants = list(dict.fromkeys(r["variant"] for r in mine))
        lines.append(f"{data + ': ' + ', '.join(NAMES):<38}" + "".join(f"{v:>15}" for v in variants) + f"{'mean':>10}")
        for settings in dict.fromkeys(json.dumps(r["settings"]) for r in mine):
            auc = {r["variant"]: r["points"][-1]["auc"] for r in mine if json.dumps(r["settings"]) == settings}
            values = ", ".join(map(str, json.loads(settings).values()))
            lines.append(f"{values:<38}" + "".join(f"{auc[v]:>15.4f}" for v in variants) + f"{sum(auc.values()) / len(auc):>10.4f}")
    return "\n".join(lines)


def main() -> None:
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that the temporary folder goes
    missing = [str(args.shared / ratings.SOURCES[name].path) for name in args.data if not (args.shared / ratings.SOURCES[name].path).is_file()]
    if missing:
        print(f"run.py: no ratings at {', '.join(missing)}; name the folder of the data sets by --shared or MONOLITH_SHARED_DATA", file=sys.stderr)
        sys.exit(NO_INPUT)
    if not args.tune and importlib.util.find_spec("matplotlib") is None:
        print("run.py: the plot needs matplotlib: pip install 'matplotlib>=3.8,<4'", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    if not args.tune:
        try:
            args.output.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            print(f"run.py: --output {args.output}: {e.strerror}", file=sys.stderr)
            sys.exit(CANNOT_CREATE)
    with tempfile.TemporaryDirectory(prefix="monolith-collision-") as folder:
        work = []
        for name in args.data:
            rows = ratings.read(ratings.SOURCES[name], args.shared, args.limit)
            work += trials(args, name, rows, prepare(name, ratings.SOURCES[name], rows, Path(folder)))
        try:
            results = perform_all(work, args.jobs, (lambda result: None) if args.tune else kept_in(args.output / "collision.jsonl"))
        except RuntimeError as e:
            sys.exit(f"run.py: {e}")
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
    if args.tune:
        print(tuned(results))
        return
    table = report.summarize(results)
    report.write_csv(results, args.output / "collision.csv")
    (args.output / "collision.jsonl").write_text("".join(json.dumps(r) + "\n" for r in results))
    report.plot(table, args.output / "collision.png")
    print(report.text(table))
    print(f"{args.output}/collision.png, .csv, .jsonl", file=sys.stderr)


def arguments():
    def whole(text: str) -> int:
        value = int(text)
        if value < 1:
            raise argparse.ArgumentTypeError("must be 1 or more")
        return value

    def rows_over_ids(text: str) -> float:
        value = float(Fraction(text))
        if value <= 0:
            raise argparse.ArgumentTypeError("must be above 0")
        return value

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=os.environ.get("MONOLITH_SHARED_DATA", ROOT.parent / "shared" / "data"),
                        help="folder of the data sets [MONOLITH_SHARED_DATA, else ../shared/data]")
    parser.add_argument("--data", action="append", choices=list(ratings.SOURCES), help="data set; may be repeated [all]")
    parser.add_argument("--share", action="append", type=rows_over_ids, help="rows over distinct ids of a variant, as 1/5; may be repeated [1/2, 1/5, 1/20]")
    parser.add_argument("--seeds", type=whole, default=3, help="trials of each variant [3]")
    parser.add_argument("--passes", type=whole, default=4, help="passes over the training part [4]")
    parser.add_argument("--points", type=whole, default=5, help="points of the training at which a model is judged [5]")
    parser.add_argument("--batch-size", type=whole, default=512, help="records in a batch [512]")
    parser.add_argument("--limit", type=whole, help="use the first ratings alone [all]")
    parser.add_argument("--jobs", type=whole, default=2, help="trials at a time [2]")
    parser.add_argument("--tune", action="store_true", help="compare settings of the model on the validation part, one seed")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "experiment-collision", help="folder of the results [build/experiment-collision]")
    args = parser.parse_args()
    args.shared, args.data, args.share = Path(args.shared), args.data or list(ratings.SOURCES), args.share or [1 / 2, 1 / 5, 1 / 20]
    return args


if __name__ == "__main__":
    main()
