"""Variables that model_fn reads and assigns itself: what a step reads does not depend on threads."""

import pytest
from model_files import fid, instance, wire, write_model

pytest.importorskip("tensorflow")

# A read that comes late, though it was made before the assignment; and one layer whose random state advances between two calls.
STATEFUL = """
    import sys
    import time

    import keras
    import tensorflow as tf
    from monolith_cli.model import *

    tf1 = tf.compat.v1

    def late(x):
        time.sleep(0.1)
        return x

    class Told(tf1.train.SessionRunHook):
        def __init__(self, told):
            self.told = told
        def before_run(self, context):
            return tf1.train.SessionRunArgs(self.told)
        def after_run(self, context, values):
            print("told", *(int(v) for v in values.results), file=sys.stderr)

    class Stateful(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["user"], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            self.create_embedding_feature_column("user")
            user, = self.lookup_embedding_slice(["user"], "vec", 2)
            steps = tf1.get_variable("steps", initializer=0.0, trainable=False)
            with tf.control_dependencies([tf.numpy_function(late, [1.0], tf.float32)]):
                before = steps.read_value()
            steps.assign_add(1.0)
            after = steps.read_value()
            dropout = keras.layers.Dropout(0.5, seed=7)
            ones = tf.ones([64])
            masks = [dropout(ones, training=mode == TRAIN) for _ in range(2)]
            if mode == TRAIN:
                self.add_training_hook(Told([before, after, tf.reduce_any(masks[0] != masks[1])]))
            label = None if mode == PREDICT else features["label"]
            return multi_task_spec([Task("y", keras.layers.Dense(1)(user), label)], tf1.train.AdamOptimizer(0.01), mode)
"""


def test_reads_and_assignments_run_in_the_order_they_were_made(run, tmp_path):
    model = write_model(tmp_path, STATEFUL)
    data = tmp_path / "data.pb"
    data.write_bytes(wire(instance(label=i % 2, uid=i, user=[fid(1, i)]) for i in range(24)))
    common = ["--batch-size", 8, "--seed", 2, data]
    told = "told 0 1 1", "told 1 2 1", "told 2 3 1"
    done = run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", *common)
    assert [line for line in done.stderr.splitlines() if line.startswith("told")] == list(told)
