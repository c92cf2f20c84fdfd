"""model-show: what it finds out about a model, counted by hand, and its dump, picture and mistakes."""

import json
import types

import numpy as np
import pytest
from model_files import write_model

tf = pytest.importorskip("tensorflow")

from monolith_cli.errors import UsageError  # noqa: E402
from monolith_cli.model.errors import ModelError  # noqa: E402
from monolith_cli.training import drawing, flops  # noqa: E402
from monolith_cli.training.show import ShowConfig, show  # noqa: E402

tf1 = tf.compat.v1

MODEL = """
    import keras
    import tensorflow as tf
    from monolith_cli.model import *

    class Shop(MonolithModel):
        '''Clicks of a shop.

        More is not shown.'''

        def parse_fn(self, records, mode):
            return parse_instances(records, fidv1_features=[1, 2, 3], fidv2_features=["past", "rest"], dense_features=["label", "price"],
                                   dense_feature_shapes=[1, 4], extra_features=["uid"], extra_feature_shapes=[1])

        def model_fn(self, features, mode):
            self.create_embedding_feature_column("slot_1", occurrence_threshold=3, expire_time=7)
            self.create_embedding_feature_column("past", shared_name="slot_1", max_seq_length=5)
            wide = self.lookup_embedding_slice(["slot_2", "slot_3"], "wide", 1, ZerosInitializer(), FtrlOptimizer(learning_rate=0.05), out_type="add_n")
            item, past = self.lookup_embedding_slice(["slot_1", "past"], "vec", 6, compressor=FixedR8Compressor(1.0), optimizer=AdamOptimizer(learning_rate=0.01))
            both = tf.concat([item, tf.reduce_sum(past, axis=1), features["price"]], axis=1)
            hidden = keras.layers.Dense(8, activation="relu", name="tower")(both)
            logit = keras.layers.Dense(1, name="top")(hidden) + wide
            stars = keras.layers.Dense(1, use_bias=False, name="stars_out")(hidden)
            label = None if mode == PREDICT else features["label"]
            return multi_task_spec([Task("click", logit, label), Task("stars", stars, label, kind="regression")],
                                   tf.compat.v1.train.AdamOptimizer(0.01), mode)
"""


class Run:
    log = types.SimpleNamespace(verbosity=0, warning=lambda *_: None)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """(model, description, folder with its dump and picture)."""
    folder = tmp_path_factory.mktemp("shop")
    model = write_model(folder, MODEL) + ":Shop"
    found = json.loads(show(ShowConfig(model, dump=str(folder / "dump"), plot=str(folder / "shop.png"), as_json=True), Run()))
    return model, found, folder


def test_features_and_tables(shop):
    _, found, _ = shop
    assert found["model"] == {"name": "Shop", "file": "model.py", "about": "Clicks of a shop."}
    inputs = {i["input"]: i for i in found["inputs"]}
    assert inputs["price"] == {"input": "price", "kind": "dense", "type": "float32", "shape": ["B", 4]}
    assert inputs["rest"]["looked_up"] is False and inputs["past"]["looked_up"] and inputs["uid"]["type"] == "int64"
    features = {f["feature"]: f for f in found["features"]}
    assert features["past"] == {"feature": "past", "table": "slot_1", "combiner": "first_n", "max_seq_length": 5, "floats": 6, "bytes_per_example": 120}
    assert features["slot_2"]["table"] == "slot_2" and features["slot_2"]["bytes_per_example"] == 4
    tables = {t["table"]: t for t in found["tables"]}
    assert set(tables) == {"slot_1", "slot_2", "slot_3"}
    one, two = tables["slot_1"], tables["slot_2"]
    assert (one["slot"], one["shared_by"], one["floats"], one["occurrence_threshold"], one["expire_days"]) == (1, ["past", "slot_1"], 6, 3, 7)
    (vec,), (wide,) = one["slices"], two["slices"]
    assert (vec["slice"], vec["optimizer"], vec["learning_rate"], vec["compressor"], vec["initializer"]) == ("vec", "adam", 0.01, "fixed_r8", "random_uniform")
    assert (wide["slice"], wide["optimizer"], wide["compressor"], wide["initializer"]) == ("wide", "ftrl", "fp16", "zeros")
    # Key and time are 12 bytes; Adam keeps two floats for each and its two powers, FTRL two floats.
    assert (one["bytes_of_a_key"], one["bytes_of_a_key_in_serving"]) == (12 + 24 + 56, 12 + 6)
    assert (two["bytes_of_a_key"], two["bytes_of_a_key_in_serving"]) == (12 + 4 + 8, 12 + 2)


def test_parameters_and_work(shop):
    _, found, _ = shop
    layers = {n["layer"]: n for n in found["layers"]}
    assert layers["tower"]["parameters"] == 16 * 8 + 8 and layers["top"]["parameters"] == 9 and layers["stars_out"]["parameters"] == 8
    assert found["parameters"]["dense"] == 136 + 9 + 8 and found["parameters"]["of_a_key_in_all_tables"] == 8
    assert layers["tower"]["flops"] == 2 * 16 * 8 + 8 + 8  # product, bias, relu
    assert layers["top"]["flops"] == 2 * 8 + 1 and layers["stars_out"]["flops"] == 2 * 8
    rest = 5 * 6 + 1 + 1 + 1  # sum of the past, wide of two, wide + logit, sigmoid
    assert found["per_example"]["flops"] == 272 + 17 + 16 + rest and found["per_example"]["flops_not_counted"] == {}
    assert found["per_example"]["bytes_of_embeddings"] == 4 * (6 + 5 * 6 + 1 + 1)
    assert found["heads"] == [
        {"head": "click", "kind": "binary", "pred": ["B"], "label": ["B"], "masked": True, "weighted": False},
        {"head": "stars", "kind": "regression", "pred": ["B"], "label": ["B"], "masked": True, "weighted": False}]  # fmt: skip


def test_flow_and_picture(shop):
    _, found, folder = shop
    edges = {tuple(e) for e in found["flow"]["edges"]}
    assert {("layer:tower", "layer:top"), ("layer:tower", "layer:stars_out"), ("layer:top", "head:click"), ("layer:stars_out", "head:stars"),
            ("feature:slot_1", "layer:tower"), ("feature:past", "layer:tower"), ("dense:price", "layer:tower"), ("feature:slot_2", "head:click")} == edges  # fmt: skip
    ranks = drawing.ranks(found["flow"])
    assert ranks["feature:slot_1"] == ranks["dense:price"] == 0 and ranks["layer:tower"] == 1 and ranks["layer:top"] == 2
    assert ranks["head:click"] == ranks["head:stars"] == 3
    assert len(set(drawing.places(found["flow"]).values())) == len(found["flow"]["nodes"])
    assert (folder / "shop.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_text(shop):
    model, found, folder = shop
    text = show(ShowConfig(str(folder / "dump")), Run())
    for words in ("Shop in model.py: Clicks of a shop.", "slot_2, slot_3", "first_n 5", "adam", "fixed_r8", "7 d", "tower      [B, 8]",
                  "Dense parameters: 153; AdamOptimizer", "Tables: 3, 8 floats", "338 FLOPs, 152 B of embeddings"):  # fmt: skip
        assert words in text, text
    assert max(map(len, text.splitlines())) <= 140


@pytest.mark.parametrize("make", [
    lambda: tf.matmul(tf.zeros([3, 4]), tf.zeros([5, 4]), transpose_b=True),
    lambda: tf.nn.bias_add(tf.matmul(tf.zeros([3, 4]), tf.zeros([4, 5])), tf.zeros([5])),
])
def test_counts_agree_with_tensorflows_profiler(make):
    with tf1.Graph().as_default() as graph:
        make()
        options = tf1.profiler.ProfileOptionBuilder.float_operation() | {"output": "none"}
        assert flops.count(graph.get_operations()).total == tf1.profiler.profile(graph, options=options).total_float_ops


def test_counts_of_operations():
    with tf1.Graph().as_default() as graph:
        x = tf1.placeholder(tf.float32, [None, 6, 4])
        w = tf.constant(np.zeros([4, 3], np.float32))
        tf.einsum("bnd,de->bne", x, w, name="einsum")
        tf.matmul(x, x, transpose_b=True, name="pairs")
        tf.nn.softmax(x[:, :, 0], name="soft")
        tf.math.lgamma(x, name="lgamma")
        tf.reduce_sum(tf1.placeholder(tf.float32, None, "blind"), name="blind_sum")
    counted = flops.count(flops.one_example(graph).get_operations())
    found = {name.split("/")[0]: 0 for name in counted.by_op}
    for name, n in counted.by_op.items():
        found[name.split("/")[0]] += n
    assert found == {"einsum": 2 * 6 * 4 * 3, "pairs": 2 * 6 * 6 * 4, "soft": 30}
    assert counted.uncounted == {"Lgamma": 1} and counted.unknown == ["blind_sum"]


def test_mistakes(shop, tmp_path):
    model, _, folder = shop
    with pytest.raises(UsageError, match="png"):
        show(ShowConfig(model, plot="x.jpeg"), Run())
    with pytest.raises(ModelError, match=r"model.py:\d+: .*slot_9"):
        show(ShowConfig(write_model(tmp_path, MODEL.replace('["slot_2", "slot_3"]', '["slot_9"]'))), Run())


def test_the_command(shop, run, tmp_path):
    model, found, _ = shop
    done = run("model-show", model, "--plot", tmp_path / "x.svg")
    assert b"Shop in model.py" in done.stdout and b"<svg" in (tmp_path / "x.svg").read_bytes() and done.stderr == ""
    bad = run("model-show", check=False)
    assert bad.returncode == 2 and "FILE.py:CLASS" in bad.stderr
