"""`make bench-optimizers`: one step of the dense optimizers beside TensorFlow's own fused Adam, on variables of several sizes.

Every subject is a graph of one variable, its slots and a gradient that is already there, in a session of its own with all threads; a
round runs each in turn. Times are medians of rounds in one process; prints a table and one JSON object per size.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf  # noqa: E402

from monolith_cli.optimizers import AdamomOptimizer, RmspropOptimizer  # noqa: E402

tf1 = tf.compat.v1
PEER = "tf adam"
SUBJECTS = {
    PEER: lambda: tf1.train.AdamOptimizer(1e-3),
    "adamom": lambda: AdamomOptimizer(1e-3, weight_decay=1e-4),
    "rmsprop": lambda: RmspropOptimizer(1e-3, weight_decay=1e-4),
    "rmsprop v2": lambda: RmspropOptimizer(1e-3, weight_decay=1e-4, use_v2=True),
}


def stepper(make, size: int, threads: int):
    """A function that runs one step on a variable of `size` floats."""
    graph = tf1.Graph()
    with graph.as_default():
        variable = tf1.get_variable("v", [size], initializer=tf1.random_normal_initializer(seed=1), use_resource=True)
        grad = tf1.get_variable("g", [size], initializer=tf1.random_normal_initializer(seed=2), use_resource=True, trainable=False)
        update = make().apply_gradients([(grad.read_value(), variable)])
        session = tf1.Session(config=tf1.ConfigProto(intra_op_parallelism_threads=threads))
        session.run(tf1.global_variables_initializer())
        return session.make_callable(update)


def milliseconds(function, repeats: int) -> float:
    begin = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - begin) / repeats * 1000


def measure(size: int, rounds: int, threads: int) -> dict:
    steps = {name: stepper(make, size, threads) for name, make in SUBJECTS.items()}
    repeats = max(2, min(300, 10_000_000 // size))
    for step in steps.values():
        step(), step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(milliseconds(step, repeats))
    return {name: round(statistics.median(t), 4) for name, t in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 100_000, 1_000_000, 16_000_000], help="floats of a variable")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0, help="threads of an op (default 0: one for each core)")
    args = parser.parse_args()
    print(f"{'floats':>9}  " + "  ".join(f"{name + ' ms':>13}" for name in SUBJECTS) + "   of adam's time")
    results = []
    for size in args.sizes:
        found = measure(size, args.rounds, args.threads)
        shares = {name: round(found[name] / found[PEER], 2) for name in SUBJECTS if name != PEER}
        results.append({"floats": size, "ms": found, "share_of_adam": shares})
        print(f"{size:9}  " + "  ".join(f"{found[n]:13}" for n in SUBJECTS) + "   " + ", ".join(f"{n} {s}" for n, s in shares.items()))
    for result in results:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
