"""Models for the tests of dumps, a comparison of model directories, and a run of everything by code and by dump."""

import json
from pathlib import Path

# All that a dump has to keep: shared tables, sequences, a bias, groups of features, rates that follow the step, thresholds, expiry, parts of a
# variable, an optimizer of a variable's own, gradients that TensorFlow does not derive, dropout, moving averages, summaries, extra outputs.
RICH = """
    import keras
    import tensorflow as tf
    from monolith_cli import layers, optimizers
    from monolith_cli.model import *

    tf1 = tf.compat.v1

    @tf.custom_gradient
    def doubled_gradient(x):
        return x * 1.0, lambda dy: 2.0 * dy

    class Rich(MonolithModel):
        clip_norm = 0.5
        filter_capacity = 3000
        dense_moving_average = AVERAGE
        enable_fused_layout = FUSED

        def parse_fn(self, records, mode):
            features = parse_instances(records, fidv1_features=[1, 2, 3, 4, 5, 6], dense_features=["label", "price"], dense_feature_shapes=[1, 3],
                                       extra_features=["uid", "req_time"], extra_feature_shapes=[1, 1])
            return self.share_slot(features, {"slot_6": (False, 60)})

        def model_fn(self, features, mode):
            training = mode == TRAIN
            self.create_embedding_feature_column("slot_1", occurrence_threshold=1, expire_time=7)
            self.create_embedding_feature_column("slot_3", shared_name="slot_1", max_seq_length=2)
            self.create_embedding_feature_column("slot_2", combiner="reduce_mean", slot_config=FeatureSlotConfig(
                has_bias=True, hashtable_config=CuckooHashTableConfig(initial_capacity=64)))
            rows = {"initializer": RandomUniformInitializer(-.5, .5), "optimizer": AdagradOptimizer(learning_rate=.1, initial_accumulator_value=.01)}
            one, past, two = self.lookup_embedding_slice(["slot_1", "slot_3", "slot_2"], "vec", 4, **rows)
            group, single = self.lookup_embedding_slice([["slot_4", "slot_5"], ["slot_6_share"]], "group", 3, learning_rate_fn=PolynomialDecay(.2, 10, .01),
                                                        optimizer=AdamOptimizer(learning_rate=.01, warmup_steps=5), initializer=ZerosInitializer())
            wide = self.lookup_embedding_slice(["slot_4", "slot_5"], "wide", 1, ZerosInitializer(), FtrlOptimizer(learning_rate=.05), out_type="add_n",
                                               learning_rate_fn=.03)
            bias = self.create_embedding_feature_column("slot_2").get_bias()
            mask = tf.cast(self.create_embedding_feature_column("slot_3").get_size_tensor(), tf.float32)
            past = tf.reduce_sum(past * mask[:, :, None], axis=1)
            x = tf.concat([one, past, two, group, single, features["price"]], axis=1)
            with tf1.variable_scope("parted", partitioner=PARTS):
                parted = tf.convert_to_tensor(tf1.get_variable("w", [21, 6], initializer=tf1.truncated_normal_initializer(0.0, 0.1)))
            x = tf.matmul(x, parted)
            x = keras.layers.BatchNormalization()(doubled_gradient(x), training=training)
            x = layers.Dropout(0.3)(tf.nn.silu(layers.MLP([8], activations="relu")(x)), training=training)
            own = tf1.get_variable("own", initializer=0.1)
            own.optimizer = tf1.train.MomentumOptimizer(0.05, 0.9)
            logit = keras.layers.Dense(1)(x) + wide + bias + own
            tf1.summary.scalar("mean_logit", tf.reduce_mean(logit))
            self.add_extra_output("logits", {"logit": logit})
            self.add_loss(1e-3 * tf.reduce_sum(tf.square(parted)))
            rate = tf1.train.exponential_decay(0.05, tf1.train.get_global_step(), 5, 0.9)
            label = None if mode == PREDICT else features["label"]
            tasks = [Task("click", logit, label, sample_weight=features["price"][:, :1]), Task("price", x[:, :1], label, kind="regression", weight=0.1)]
            return multi_task_spec(tasks, optimizers.AdamomOptimizer(rate), mode)
"""

# Checkpoints of averages of parts of a variable cannot be restored, with code or without: each kind has one of the two.
PLAIN = RICH.replace("FUSED", "False").replace("AVERAGE", "None").replace("PARTS", "tf1.fixed_size_partitioner(2)")
FUSED = RICH.replace("FUSED", "True").replace("AVERAGE", "0.9").replace("PARTS", "None")


def different_files(one: Path, other: Path) -> list[str]:
    """Names of the files of two model directories that differ; what has the path of the directory or times in it does not count."""
    names = {p.relative_to(d).as_posix() for d in (one, other) for p in d.rglob("*") if p.is_file()}
    names = {n for n in names if "events" not in n and n not in ("checkpoint", "monolith_checkpoint", "model_dump")}
    assert any(n.endswith(".index") for n in names)
    return sorted(n for n in names if not all((d / n).exists() for d in (one, other)) or (one / n).read_bytes() != (other / n).read_bytes())


STEPS = ["--batch-size", 64, "--seed", 5, "--json", "--save-every-steps", 7]


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
