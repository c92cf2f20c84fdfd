"""`make bench-table-op`: lookups and Adagrad updates through the TensorFlow ops beside the same in the core, one thread each.

KEYS keys of 16 floats, batches of 65,536 of them drawn uniformly. Rounds of the ops alternate with runs of build/native/bench/table_bench;
printed is the median, over the rounds, of the ops' rate as a part of the core's, one JSON object at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import tensorflow as tf

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from monolith_protos import embedding_hash_table_pb2

from monolith_cli.tables import config as table_config
from monolith_cli.tables.hash_table import hash_table_from_config

BATCH, BATCHES, DIM = 65536, 32, 16


def draw(n: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """n distinct fids of 26 slots, and batches of them."""
    rng = np.random.default_rng(7)
    keys = ((np.arange(n, dtype=np.int64) % 26 + 1) << 48) | rng.integers(0, 1 << 48, n, dtype=np.int64)
    return keys, [keys[rng.integers(0, n, BATCH)] for _ in range(BATCHES)]


class Ops:
    """A table of n keys behind the ops. Rates in million keys a second."""

    def __init__(self, n: int):
        keys, batches = draw(n)
        made = embedding_hash_table_pb2.EmbeddingHashTableConfig()
        made.entry_config.segments.append(
            table_config.CombineAsSegment(
                DIM,
                table_config.ConstantsInitializer(0.01),
                table_config.AdagradOptimizer(0.01, 0.1),
                table_config.Fp32Compressor(),
            )
        )
        table_config.CuckooHashTableConfig().mutate_table(made)
        config = table_config.HashTableConfigInstance(made, [0.01])
        self.table = hash_table_from_config(config, name_suffix=f"bench_{n}")
        zeros = tf.zeros([BATCH, DIM])
        for i in range(0, n, BATCH):
            part = keys[i : i + BATCH]
            self.table.assign_add(tf.constant(part), zeros[: len(part)])
        self.batches = [tf.constant(b) for b in batches]
        self.grads = tf.random.uniform([BATCH, DIM], maxval=0.01)
        self.lookup = tf.function(lambda ids: self.table.lookup(ids))
        self.update = tf.function(lambda ids: self.table.apply_gradients(ids, self.grads, 0).table)

    def rate(self, step) -> float:
        step(self.batches[0])
        begin = time.perf_counter()
        for ids in self.batches:
            step(ids)
        return BATCH * BATCHES / (time.perf_counter() - begin) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where table_bench was built (default: build)")
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000_000, 10_000_000], help="sizes (default: 1 M and 10 M)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    core = args.build.resolve() / "native" / "bench" / "table_bench"
    print(f"{'keys':>12} {'':8}{'ops M/s':>9}{'core M/s':>10}{'of core':>9}")
    for n in args.keys:
        ops = Ops(n)
        rounds = []
        for _ in range(args.rounds):
            done = subprocess.run([core, str(n), str(DIM), "1"], capture_output=True, text=True, check=True)
            rounds.append((ops.rate(ops.lookup), ops.rate(ops.update), json.loads(done.stdout)))
        result = {"subject": "tensorflow_ops", "keys": n, "dim": DIM}
        for i, what in enumerate(("lookup", "update")):
            mine, theirs = [r[i] for r in rounds], [r[2][f"{what}_mkeys_s"] for r in rounds]
            of_core = statistics.median(m / t for m, t in zip(mine, theirs, strict=True))
            result |= {f"{what}_mkeys_s": round(statistics.median(mine), 2), f"{what}_of_core": round(of_core, 3)}
            print(f"{n:12,} {what:8}{statistics.median(mine):9.2f}{statistics.median(theirs):10.2f}{of_core:9.2f}")
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
