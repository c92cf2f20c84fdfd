"""`make bench-layouts`: the op that makes all layouts beside the same made of TensorFlow's own ops, forward and with gradients.

Both start from rows that were looked up, one for each distinct id of a feature, and end with the tensors of a network like DLRM's: a stack
of single ids, a concat of pooled lists, a sum of biases. The peer gathers the rows, pools them with segment_sum, and puts them together
with concat, stack and add_n, in one compiled graph (tf.function), as a careful writer would. Medians of rounds in turn in one
process; prints a table and one JSON object per case.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from monolith_cli.tables.layouts import Layout, LayoutFeature, LayoutPlan, embedding_to_layout, shard_fids  # noqa: E402

SINGLE, LISTS, DIM, LENGTH = 26, 6, 16, 10


def model() -> LayoutPlan:
    single, lists = [f"s{i:02}" for i in range(SINGLE)], [f"l{i}" for i in range(LISTS)]
    features = [LayoutFeature(n, f"t_{n}", (1, DIM)) for n in single]
    features += [LayoutFeature(n, f"t_{n}", (1, DIM), "reduce_mean" if i % 2 else "reduce_sum") for i, n in enumerate(lists)]
    vector = lambda names: tuple((n, 1, 1 + DIM) for n in names)  # noqa: E731
    layouts = [
        Layout("stack", "stack", vector(single)),
        Layout("concat", "concat", vector(lists)),
        Layout("bias", "addn", tuple((n, 0, 1) for n in single + lists)),
    ]
    return LayoutPlan(features, layouts)


def batch(plan: LayoutPlan, rows: int, seed: int) -> dict[str, tf.RaggedTensor]:
    """Ids as they come: some often, most seldom."""
    rng = np.random.default_rng(seed)
    out = {}
    for name in plan.features:
        lengths = np.ones(rows, np.int64) if name[0] == "s" else rng.integers(0, 2 * LENGTH + 1, rows)
        ids = (100_000 * rng.random(lengths.sum()) ** 3).astype(np.int64)
        out[name] = tf.RaggedTensor.from_row_lengths(ids, lengths)
    return out


def peer(plan: LayoutPlan, rows: dict, places: dict, ids: dict) -> dict[str, tf.Tensor]:
    """rows: feature -> [n, dim]; places: the row of each id."""
    pooled = {}
    for name, feature in plan.features.items():
        found, row_ids = tf.gather(rows[name], places[name]), ids[name].value_rowids()
        if name[0] == "s":
            pooled[name] = found
            continue
        count = ids[name].nrows()
        pooled[name] = tf.math.segment_sum(found, row_ids) if feature.combiner == "reduce_sum" else tf.math.segment_mean(found, row_ids)
        # segment_sum ends with the last row that has an id.
        pooled[name] = tf.pad(pooled[name], [[0, count - tf.shape(pooled[name], tf.int64)[0]], [0, 0]])
    cells = {layout.name: [pooled[n][:, a:b] for n, a, b in layout.slices] for layout in plan.layouts.values()}
    return {"stack": tf.stack(cells["stack"], 1), "concat": tf.concat(cells["concat"], 1), "bias": tf.add_n(cells["bias"])}


class Case:
    """One batch, as both subjects take it."""

    def __init__(self, rows: int):
        self.plan = model()
        self.ids = batch(self.plan, rows, seed=1)
        self.sharded = shard_fids(self.ids, self.plan)
        rng = np.random.default_rng(2)
        self.lists = [tf.constant(rng.standard_normal(int(n)), tf.float32) for n in self.sharded.emb_size.numpy()]
        of_table = dict(zip(self.plan.tables, self.lists))
        self.rows = {n: tf.reshape(of_table[f.table], [-1, 1 + DIM]) for n, f in self.plan.features.items()}
        self.places = {n: tf.unique(self.ids[n].values)[1] for n in self.plan.features}
        self.fids = sum(int(ids.values.shape[0]) for ids in self.ids.values())

    def subjects(self) -> dict:
        ours = lambda: embedding_to_layout(self.lists, self.sharded, self.plan)  # noqa: E731
        theirs = lambda: peer(self.plan, self.rows, self.places, self.ids)  # noqa: E731
        return {
            "forward": (tf.function(ours), tf.function(theirs)),
            "forward and gradient": (_with_gradient(ours, self.lists), _with_gradient(theirs, list(self.rows.values()))),
        }


def _with_gradient(function, variables):
    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch(variables)
            loss = tf.add_n([tf.reduce_sum(tf.square(t)) for t in function().values()])
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]

    return run


def check(case: Case) -> None:
    ours, theirs = case.subjects()["forward"]
    for name, value in theirs().items():
        np.testing.assert_allclose(ours()[name], value, rtol=1e-4, atol=1e-4)


def milliseconds(function, repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - begin) / repeats * 1000


def measure(case: Case, what: str, rounds: int, repeats: int) -> dict:
    ours, theirs = case.subjects()[what]
    ours(), theirs()
    times = [(milliseconds(ours, repeats), milliseconds(theirs, repeats)) for _ in range(rounds)]
    fused, ops = (statistics.median(t[i] for t in times) for i in (0, 1))
    return {"fused_ms": round(fused, 3), "tf_ops_ms": round(ops, 3), "times_as_fast": round(ops / fused, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[512, 4096], help="rows of a batch")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print(f"{'rows':>6} {'fids':>8}  {'what':22} {'fused ms':>9} {'tf ops ms':>9} {'times as fast':>14}")
    results = []
    for rows in args.rows:
        case = Case(rows)
        check(case)
        for what in case.subjects():
            result = {"rows": rows, "fids": case.fids, "what": what} | measure(case, what, args.rounds, max(1, 20_000 // rows))
            results.append(result)
            print(f"{rows:6} {case.fids:8}  {what:22} {result['fused_ms']:9} {result['tf_ops_ms']:9} {result['times_as_fast']:14}")
    for result in results:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
