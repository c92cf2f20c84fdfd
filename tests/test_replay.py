"""A model trained, judged and used out of its dump, in processes that have no code of it: the same losses, checkpoints and predictions, bit for bit."""

import json

import pytest
from model_files import instance, wire, write_model
from replay_models import FUSED, PLAIN, STEPS, different_files, same_by_both

tf = pytest.importorskip("tensorflow")


def rich_records(run, n=900):
    return run("pb-gen", "-n", n, "--seed", 3, "--learnable", "--slots", "1-6", "--vocab", 60, "--fids-per-slot", "1-3", "--dense", "price:3").stdout


@pytest.mark.parametrize("text", [PLAIN, FUSED], ids=["plain", "fused"])
def test_everything_a_dump_keeps(run, tmp_path, text):
    model = write_model(tmp_path, text) + ":Rich"
    same_by_both(run, tmp_path, model, "instance", rich_records(run))


def test_one_goes_on_where_the_other_stopped(run, tmp_path):
    """Code, dump, code: as code alone. Dropout, moving averages and rates that decay would tell."""
    model = write_model(tmp_path, PLAIN) + ":Rich"
    data, dump = tmp_path / "train.pb", tmp_path / "the.dump"
    data.write_bytes(rich_records(run))
    run("model-show", "-q", model, "--dump", dump, "--seed", 5)
    for folder, sources in (("mixed", (model, dump, model)), ("alone", (model, model, model))):
        for i, source in enumerate(sources):
            limit = ["--max-steps", 5 * (i + 1)] if i < 2 else []
            run("monolith-train", "--model", source, "--model-dir", tmp_path / folder, *STEPS, *limit, data)
    assert different_files(tmp_path / "mixed", tmp_path / "alone") == []


INPUT = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Own(MonolithModel):
        def input_fn(self, mode):
            def parse(records):
                features = parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])
                return {**features, "half": features["label"] * 0.5}
            return self.records().map(parse).enumerate().map(lambda i, features: {**features, "number": tf.cast(i, tf.float32)})

        def model_fn(self, features, mode):
            (vec,) = self.lookup_embedding_slice(["item"], "vec", 2, RandomUniformInitializer(-.5, .5), AdagradOptimizer(learning_rate=0.1))
            w = tf.compat.v1.get_variable("w", [2, 1], initializer=tf.compat.v1.random_normal_initializer())
            pred = tf.matmul(vec, w)
            loss = tf.reduce_mean(tf.square(pred - features["half"])) + 0.01 * features["number"] * tf.reduce_sum(w)
            return EstimatorSpec(features["label"], pred, "x", loss, tf.compat.v1.train.MomentumOptimizer(0.1, 0.9), classification=False)
"""


def test_input_of_its_own(run, tmp_path):
    """A model with an input_fn: its dataset is replayed."""
    records = wire([instance(float(i % 3), item=[1 << 48 | i % 30]) for i in range(400)])
    kept = same_by_both(run, tmp_path, write_model(tmp_path, INPUT) + ":Own", "instance", records)
    assert json.loads(run("model-show", kept, "--json").stdout)["model"]["name"] == "Own"


def test_another_seed_gives_what_the_code_gives(run, tmp_path):
    """Operations of TensorFlow and tables draw by the seed of the run, not by that of the dump."""
    model, dump, data = write_model(tmp_path, INPUT), tmp_path / "the.dump", tmp_path / "train.pb"
    data.write_bytes(wire([instance(float(i % 3), item=[1 << 48 | i % 30]) for i in range(400)]))
    run("model-show", "-q", model, "--dump", dump, "--seed", 5)
    for seed in (6, 7):
        for source, folder in ((model, f"code{seed}"), (dump, f"dump{seed}")):
            run("monolith-train", "--model", source, "--model-dir", tmp_path / folder, "--batch-size", 64, "--seed", seed, data)
        assert different_files(tmp_path / f"code{seed}", tmp_path / f"dump{seed}") == []
    assert "model.ckpt-7.data-00000-of-00001" in different_files(tmp_path / "dump6", tmp_path / "dump7")


def test_a_dump_beside_a_training_from_a_dump_is_that_dump(run, tmp_path):
    model, dump = write_model(tmp_path, INPUT), tmp_path / "the.dump"
    run("model-show", "-q", model, "--dump", dump)
    run("monolith-train", "--model", dump, "--model-dir", tmp_path / "m", "--model-dump", stdin=wire([instance(1.0, item=[1 << 48])]))
    assert (tmp_path / "m/model_dump").read_bytes() == dump.read_bytes()


LEFT = """
    import tensorflow as tf
    from monolith_cli import layers
    from monolith_cli.model import *

    class Left(MonolithModel):
        add_layer_losses = True

        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            (vec,) = self.lookup_embedding_slice(["item"], "vec", 2, RandomUniformInitializer(-.5, .5), AdagradOptimizer(learning_rate=0.1))
            v = tf.compat.v1.get_variable("v", initializer=1.0)
            layers.add_layer_loss("a", tf.square(v - 3.0))
            self.add_loss(0.5 * tf.reduce_mean(tf.square(vec)))
            pred = tf.reduce_sum(vec, axis=1, keepdims=True) * v
            loss = tf.reduce_mean(tf.square(pred - features["label"]))
            return EstimatorSpec(features["label"], pred, "x", loss, tf.compat.v1.train.GradientDescentOptimizer(0.05), False)
"""


@pytest.mark.parametrize("more", [[], ["--variable-postpush", "--embedding-postpush", "--embedding-prefetch-capacity", 2]], ids=["plain", "overlapping"])
def test_losses_of_layers_and_steps_that_overlap(run, tmp_path, more):
    records = wire([instance(float(i % 3), item=[1 << 48 | i % 30]) for i in range(600)])
    same_by_both(run, tmp_path, write_model(tmp_path, LEFT) + ":Left", "instance", records, more)
