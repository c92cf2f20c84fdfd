"""A model trained, judged and used out of its dump, in processes that have no code of it: the same losses, checkpoints and predictions, bit for bit."""

import json
from pathlib import Path

import pytest
from model_files import instance, wire, write_model
from replay_models import FUSED, PLAIN, different_files

tf = pytest.importorskip("tensorflow")

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
STEPS = ["--batch-size", 64, "--seed", 5, "--json", "--save-every-steps", 7]


def sequences(n: int) -> bytes:
    """Examples for the DIN example."""
    from monolith_protos.example_pb2 import Example

    records = []
    for i in range(n):
        record = Example(label=[float(i * i % 3 == 0)])
        past = range(i % 30)
        ids = {"user": [i % 50], "item": [i % 17], "category": [i % 5], "items_before": [j % 17 for j in past], "categories_before": [j % 5 for j in past]}
        for slot, (name, values) in enumerate(ids.items(), 1):
            record.named_feature.add(name=name).feature.fid_v2_list.value.extend(slot << 48 | v for v in values)
        records.append(record.SerializeToString())
    return wire(records)


def result(done) -> dict:
    """The JSON of a command, without what depends on the clock."""
    return {k: v for k, v in json.loads(done.stdout).items() if k not in ("seconds", "examples_per_second")}


def same_by_both(run, tmp_path, model, record_type, records, more=()):
    """Trains by code, writing a dump; then everything by code and by the dump, from which the code is hidden."""
    data, common = tmp_path / "train.pb", ["-t", record_type]
    data.write_bytes(records)
    kept = tmp_path / "the.dump"
    trained = run("monolith-train", *common, "--model", model, "--model-dir", tmp_path / "code", "--model-dump", *STEPS, *more, data)
    (tmp_path / "code/model_dump").rename(kept)
    told = [result(trained)]
    for name, *options in (("monolith-eval", "--json"), ("monolith-predict", "--json", "--id-fields", "")):
        told.append(run(name, *common, "--model", model, "--model-dir", tmp_path / "code", *options, data).stdout)
    file = Path(model.rpartition(":")[0])
    if tmp_path in file.parents:
        file.rename(tmp_path / "hidden")
    replayed = run("monolith-train", *common, "--model", kept, "--model-dir", tmp_path / "dump", *STEPS, *more, data)
    assert result(replayed) == told[0] and told[0]["steps"] > 6
    assert different_files(tmp_path / "code", tmp_path / "dump") == []
    for before, (name, *options) in zip(told[1:], (("monolith-eval", "--json"), ("monolith-predict", "--json", "--id-fields", ""))):
        assert run(name, *common, "--model", kept, "--model-dir", tmp_path / "code", *options, data).stdout == before
    return kept


def rich_records(run, n=900):
    return run("pb-gen", "-n", n, "--seed", 3, "--learnable", "--slots", "1-6", "--vocab", 60, "--fids-per-slot", "1-3", "--dense", "price:3").stdout


@pytest.mark.parametrize("text", [PLAIN, FUSED], ids=["plain", "fused"])
def test_everything_a_dump_keeps(run, tmp_path, text):
    model = write_model(tmp_path, text) + ":Rich"
    same_by_both(run, tmp_path, model, "instance", rich_records(run))


@pytest.mark.parametrize("example, slots, labels", [("deepfm", "1-10", 1), ("mmoe", "1-5", 2)])
def test_examples(run, tmp_path, example, slots, labels):
    records = run("pb-gen", "-n", 900, "--slots", slots, "--labels", labels, "--vocab", 50).stdout
    name = {"deepfm": "DeepFM", "mmoe": "Ratings"}[example]
    same_by_both(run, tmp_path, f"{EXAMPLES / example / 'model.py'}:{name}", "instance", records)


def test_example_with_sequences_in_shared_tables(run, tmp_path):
    same_by_both(run, tmp_path, f"{EXAMPLES / 'din/model.py'}:Interest", "example", sequences(900))


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
