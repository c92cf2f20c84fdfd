"""`make bench-checkpoint`: saving and restoring an embedding table, beside the disk and beside TFRA.

One table of KEYS rows, DIM floats with Adagrad accumulators, all values different. In turn, several rounds in one run: ours saves
(to the disk: synced) and restores; `dd` copies the very files that were saved, synced too (`conv=fsync`), and reads them. TFRA
saves and loads the same rows with its file-system saver, once; it does not sync. Medians are compared. Prints a table and one
JSON object per subject. Without TFRA's environment (ENVS/tfra/bin/python) it is left out. The default needs 6 GB of memory, 8 GB of
disk and about three minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AIM = 0.7
OURS, TFRA, DISK = "monolith_core", "tfra", "dd"


def run_ours(program: Path, keys: int, dim: int, folder: Path, shards: int) -> dict:
    for old in folder.glob("table*"):
        old.unlink()
    return run([str(program), str(keys), str(dim), str(folder), str(shards)])


def run(line: list[str], env: dict | None = None) -> dict:
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=env)
    if done.returncode or not done.stdout.strip():
        sys.exit(f"{' '.join(line)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run_dd(folder: Path) -> dict:
    """Seconds to copy the saved files, synced, and to read them."""
    files = sorted(folder.glob("table-*"))
    copy = folder / "copy"
    seconds = {"save_s": 0.0, "restore_s": 0.0}
    start = time.perf_counter()
    subprocess.run(f"cat {' '.join(map(str, files))} | dd of={copy} bs=1M iflag=fullblock conv=fsync 2>/dev/null", shell=True, check=True)
    seconds["save_s"] = time.perf_counter() - start
    start = time.perf_counter()
    subprocess.run(["dd", f"if={copy}", "of=/dev/null", "bs=1M"], check=True, stderr=subprocess.DEVNULL)
    seconds["restore_s"] = time.perf_counter() - start
    size = copy.stat().st_size
    copy.unlink()
    return {"subject": DISK, "bytes": size, **{k: round(v, 3) for k, v in seconds.items()}}


def tfra(keys: int, dim: int, folder: str) -> dict:
    """Runs in TFRA's environment: this file is started there with --tfra-child."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tensorflow as tf
    import tensorflow_recommenders_addons as addons

    rng = np.random.default_rng(7)
    names = ("weights", "accumulators")
    tables = [addons.dynamic_embedding.get_variable(n, dim=dim, initializer=0.0, init_size=keys) for n in names]
    ids = ((np.arange(keys, dtype=np.int64) % 26 + 1) << 48) | rng.integers(0, 1 << 48, keys, dtype=np.int64)
    for i in range(0, keys, 65536):
        k = tf.constant(ids[i : i + 65536])
        for t in tables:
            t.upsert(k, tf.random.uniform([k.shape[0], dim]))
    start, cpu = time.perf_counter(), time.process_time()
    for n, t in zip(names, tables):
        t.save_to_file_system(os.path.join(folder, n))
    result = {"save_s": time.perf_counter() - start, "save_cpu_s": time.process_time() - cpu}
    size = sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())
    del tables, t
    tables = [addons.dynamic_embedding.get_variable(n + "_back", dim=dim, initializer=0.0, init_size=keys) for n in names]
    start, cpu = time.perf_counter(), time.process_time()
    for n, t in zip(names, tables):
        back = os.path.join(folder, n)
        files = sorted({f.name.rsplit("-", 1)[0] for f in Path(back).iterdir()})
        t.load_from_file_system(back, file_name_list=files, load_entire_dir=False) if files else sys.exit("TFRA wrote no files")
    result |= {"restore_s": time.perf_counter() - start, "restore_cpu_s": time.process_time() - cpu}
    loaded = min(int(t.size()) for t in tables)
    if loaded != len(np.unique(ids)):
        sys.exit(f"TFRA loaded {loaded} rows")
    return {"subject": TFRA, "keys": keys, "dim": dim, "bytes": size, **{k: round(v, 3) for k, v in result.items()}}


def run_tfra(envs: Path | None, keys: int, dim: int, folder: Path) -> dict | None:
    python = envs / "tfra" / "bin" / "python" if envs else None
    if not python or not python.exists():
        print("tfra: left out, its libraries are not here (--envs)")
        return None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return run([str(python), __file__, "--tfra-child", place, "--keys", str(keys), "--dim", str(dim)])


def medians(rounds: list[dict]) -> dict:
    return {k: round(statistics.median(r[k] for r in rounds), 3) if isinstance(v, float) else v for k, v in rounds[0].items()}


def show(results: list[dict]) -> None:
    by = {r["subject"]: r for r in results}
    ours, disk = by[OURS], by[DISK]
    print(f"{ours['keys']:,} keys x {ours['dim']}: {ours['bytes'] / 1e9:.2f} GB\n")
    print(f"{'subject':<16}{'save s':>9}{'MB/s':>8}{'cpu s':>8}{'restore s':>11}{'MB/s':>8}{'cpu s':>8}")
    for r in results:
        cpu = [f"{r[k]:.2f}" if k in r else "-" for k in ("save_cpu_s", "restore_cpu_s")]
        rate = [r["bytes"] / r[k] / 1e6 for k in ("save_s", "restore_s")]
        print(f"{r['subject']:<16}{r['save_s']:>9.2f}{rate[0]:>8.0f}{cpu[0]:>8}{r['restore_s']:>11.2f}{rate[1]:>8.0f}{cpu[1]:>8}")
    print(f"\nsave, of dd synced       {disk['save_s'] / ours['save_s']:.2f}   aim {AIM}")
    print(f"restore, of dd synced    {disk['save_s'] / ours['restore_s']:.2f}   aim {AIM}")
    if TFRA in by:
        print(f"save, x TFRA             {by[TFRA]['save_s'] / ours['save_s']:.2f}   aim 1")
        print(f"restore, x TFRA          {by[TFRA]['restore_s'] / ours['restore_s']:.2f}   aim 1")
    for r in results:
        print(json.dumps(r))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--envs", type=Path, default=os.environ.get("MONOLITH_PEER_ENVS"), help="folder of the peers' environments")
    parser.add_argument("--dir", type=Path, help="where to save; decides about the disk [a temporary directory]")
    parser.add_argument("--keys", type=int, default=10_000_000)
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--shards", type=int, default=-1, help="-1: by size, as a training does")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tfra-child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.tfra_child:
        print(json.dumps(tfra(args.keys, args.dim, args.tfra_child)))
        return
    program = args.build / "native" / "bench" / "checkpoint_bench"
    with tempfile.TemporaryDirectory(prefix="monolith-bench-", dir=args.dir) as folder:
        place = Path(folder)
        ours, disk = [], []
        for _ in range(args.rounds):
            ours.append(run_ours(program, args.keys, args.dim, place, args.shards))
            disk.append(run_dd(place))
        results = [medians(ours), medians(disk)]
        for old in place.glob("table*"):
            old.unlink()
        peer = run_tfra(Path(args.envs) if args.envs else None, args.keys, args.dim, place)
        show(results + ([peer] if peer else []))


if __name__ == "__main__":
    main()
