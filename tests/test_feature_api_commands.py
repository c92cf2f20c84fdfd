"""A model with every kind of feature through the commands: trained, evaluated and predicted with both ways of looking up."""

import json

import numpy as np
import pytest
from model_files import fid, instance, wire, write_model

pytest.importorskip("tensorflow")

MODEL = """
    import os
    import keras
    import tensorflow as tf
    from monolith_cli.model import *

    class Model(MonolithModel):
        enable_fused_layout = os.environ.get("FUSED") == "1"
        head_name = "click"

        def parse_fn(self, records, mode):
            # Only training has the features of the moment, and what nobody looks up where it is not.
            now = ["now"] if mode == TRAIN else []
            return parse_instances(records, fidv1_features=[3], fidv2_features=["user", "item", "hist", *now], dense_features=["label"],
                                   dense_feature_shapes=[1], extra_features=["req_time"], extra_feature_shapes=[1])

        def model_fn(self, features, mode):
            slot = self.create_feature_slot(FeatureSlotConfig(name="people", has_bias=True))
            user = self.create_feature_column(slot, "user", "reduce_mean")
            self.create_embedding_feature_column("item")
            hist = self.create_embedding_feature_column("hist", max_seq_length=3, shared_name="item")
            adagrad = AdagradOptimizer(learning_rate=0.1, initial_accumulator_value=0.1)
            total = self.lookup_embedding_slice(["item", 3], "wide", 1, ZerosInitializer(), adagrad, out_type="add_n") + user.get_bias()
            if mode == TRAIN:
                total += self.lookup_embedding_slice(["now"], "wide", 1, ZerosInitializer(), adagrad)[0]
            deep = slot.add_feature_slice(4, RandomUniformInitializer(-0.5, 0.5), adagrad)
            item, old = self.lookup_embedding_slice(["item", "hist"], "deep", 4, RandomUniformInitializer(-0.5, 0.5), adagrad)
            mask = tf.cast(hist.get_size_tensor(), tf.float32)[:, :, tf.newaxis]
            both = tf.concat([user.embedding_lookup(deep), item, tf.reduce_sum(old * mask, 1)], axis=1)
            logits = total + keras.layers.Dense(1, kernel_initializer="ones")(both)
            loss, pred = self.get_sigmoid_loss_and_pred("click", logits, features["label"], mode=mode)
            return EstimatorSpec(features["label"], pred, "click", loss, tf.compat.v1.train.AdagradOptimizer(0.1))
"""


def records(count, seed):
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        item, user = int(rng.integers(1, 30)), int(rng.integers(1, 20))
        hist = [fid(2, int(h)) for h in rng.integers(1, 30, rng.integers(0, 6))]
        record = {"user": [fid(1, user), fid(1, user + 1)], "item": [fid(2, item)], "hist": hist, "now": [fid(4, int(rng.integers(3)))]}
        out.append(instance(float(item % 3 == 0), **record))
    return wire(out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    write_model(folder, MODEL)
    (folder / "train.pb").write_bytes(records(3000, 1))
    (folder / "test.pb").write_bytes(records(300, 2))
    return folder


def command(run, folder, name, fused, model_dir, *args):
    line = ["--model", "model.py:Model", "--model-dir", model_dir, *args]
    return run(name, *line, cwd=folder, env={"FUSED": str(int(fused))})


def test_both_ways_train_evaluate_and_predict_the_same(run, folder):
    results, predictions = [], []
    for fused in (False, True):
        trained = json.loads(command(run, folder, "monolith-train", fused, f"m{fused}", "--seed", "5", "--batch-size", "64", "--json", "train.pb").stdout)
        tested = json.loads(command(run, folder, "monolith-eval", fused, f"m{fused}", "--json", "test.pb").stdout)
        results.append((trained["loss"], tested["click"]["auc"] if "click" in tested else tested["heads"]["click"]["auc"], trained["tables"]))
    (loss, auc, tables), (fused_loss, fused_auc, fused_tables) = results
    assert fused_loss == pytest.approx(loss, rel=1e-3) and fused_auc == pytest.approx(auc, abs=1e-3)
    assert auc > 0.8 and tables == fused_tables and tables["people"] > 15
    for fused in (False, True):
        predictions.append(command(run, folder, "monolith-predict", fused, "mTrue", "test.pb").stdout.split())
    direct, other = (np.array([float(cell) for cell in lines[-300:]]) for lines in predictions)
    np.testing.assert_allclose(direct, other, rtol=1e-5)
