"""Mistakes of model engineers, through monolith-train: one line that names file, feature, layer and shapes; exit code 78; no trace."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from model_files import fid, instance, wire

pytest.importorskip("tensorflow")

HERE = Path(__file__).resolve().parent

MODEL = """
    import keras
    import tensorflow as tf
    from monolith_cli.model import *

    class Model(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["user", "item", "tags"], dense_features=["label", "price"],
                                   dense_feature_shapes=[1, 2])

        def model_fn(self, features, mode):
            self.create_embedding_feature_column("tags", max_seq_length=3)
            user, item = self.lookup_embedding_slice(["user", "item"], "vec", 4)
            (tags,) = self.lookup_embedding_slice(["tags"], "vec", 4)
            joined = tf.concat([user, item, tf.reduce_sum(tags, 1), features["price"]], axis=1)
            pred = keras.layers.Dense(1, name="top")(joined)
            loss = tf.reduce_mean(tf.square(pred - features["label"]))
            return EstimatorSpec(features["label"], pred, "h", loss, tf.compat.v1.train.AdagradOptimizer(0.1), False)
"""
USER = 'user, item = self.lookup_embedding_slice(["user", "item"], "vec", 4)'
LINE = 13  # of that lookup
OWN = USER + '; slot = self.create_feature_slot(FeatureSlotConfig(name="own"))'
LOOK = "self.lookup_embedding_slice"

# name: (old, new, parts of the message), the parts of a warning where it is only that
MISTAKES = {
    "nothing": ("", "", None, []),
    "unknown feature": ('["user", "item"]', '["user", "itm"]', LINE, ["unknown feature 'itm'", "item, label", "did you mean 'item'"]),
    "not asked for": ('"item", "tags"]', '"tags"]', LINE, ["unknown feature 'item': the input has label, price, tags, user"]),
    "no label": ('["label", "price"]', '["price", "prise"]', 17, ["unknown feature 'label': the input has item, price, prise", "parse_fn must ask for it"]),
    "dense feature": ('["user", "item"]', '["user", "price"]', LINE, ["feature 'price' is dense (float32 (None, 2))", "ragged tensor of int64 ids"]),
    "rank of a sparse feature": (
        "def model_fn(self, features, mode):",
        'def model_fn(self, features, mode):\n        features["user"] = tf.RaggedTensor.from_row_splits(features["user"], [0, 1])',
        14, ["feature 'user' has the shape (1, None, None) of int64", "[B, None]"],
    ),
    "another width": (USER, f'{USER}; {LOOK}(["item"], "vec", 8)', LINE,
                      ["slice 'vec' of slot 'item' is 4 floats wide", "feature 'item' asks for 8"]),
    "another width by sharing": (
        USER, f'{USER}; self.create_embedding_feature_column("tags2", shared_name="user"); features["tags2"] = features["item"]; '
        f'{LOOK}(["tags2"], "vec", 2)', LINE, ["slice 'vec' of slot 'user' is 4 floats wide", "feature 'tags2' asks for 2"],
    ),
    "sequence beside sum": (USER, f'{USER}; {LOOK}(["user", "tags"], "vec", 4, out_type="concat")', LINE,
                            ["slice 'vec': embeddings of unequal shapes cannot be put side by side: 'user' [B, 4], 'tags' [B, 3, 4]"]),
    "stack of widths": (USER, f'{USER}; {LOOK}([("user", 2), ("item", 3)], "w", out_type="stack")', LINE,
                        ["slice 'w'", "cannot be stacked: 'user' [B, 2], 'item' [B, 3]"]),
    "sum of widths": (USER, f'{USER}; {LOOK}({{"user": 2, "item": 3}}, "w", out_type="add_n")', LINE, ["cannot be added up: 'user' [B, 2], 'item' [B, 3]"]),
    "sum in a group": (USER, f'{USER}; {LOOK}([["user", "tags"]], "vec", 4)', LINE, ["cannot be added up: 'user' [B, 4], 'tags' [B, 3, 4]"]),
    "groups of unequal shapes": (
        USER, f'{USER}; {LOOK}([["user", "item"], ["user"]], "vec", 4, group_out_type="concat", out_type="stack")', LINE,
        ["slice 'vec': groups of unequal shapes cannot become one tensor (stack): (None, 8), (None, 4)"]),
    "out type": (USER, f'{USER}; {LOOK}(["user"], "vec", 4, out_type="contact")', LINE, ["unknown out_type 'contact'", "did you mean 'concat'"]),
    "combiner": ("max_seq_length=3", 'combiner="reduce_men"', 12, ["unknown combiner 'reduce_men'", "did you mean 'reduce_mean'"]),
    "length of a sequence": ("max_seq_length=3", 'combiner="first_n"', 12, ["FirstN needs max_seq_length > 0, not 0"]),
    "layer of another width": (
        "pred = keras", 'keras.layers.Dense(1, name="top2").build([None, 3]); bad = keras.layers.Dense(1, name="two")\n'
        "        bad.build([None, 3]); pred = bad(joined) + keras", 17, ["layer 'two'", "axis -1", "value 3", "(None, 14)"]),
    "concat of the wrong rank": ("tf.reduce_sum(tags, 1)", "tags", 15, ["rank 2 but is rank 3", "user_0, item_0, tags_0", "[?,4], [?,4], [?,3,4]"]),
    "label of another shape": ("Dense(1, name", "Dense(2, name", 0, ["head 'h': pred has shape (None, 2), but its label (None, 1)"]),
    "no mask": (USER, USER + '; self.create_embedding_feature_column("user").get_size_tensor()', LINE, ["column 'user' keeps no sequence"]),
    "no bias": (USER, USER + '; self.create_embedding_feature_column("user").get_bias()', LINE, ["slot 'user' has no bias", "has_bias=True"]),
    "slice of another slot": (
        USER, USER + '; c = self.create_embedding_feature_column; c("user").embedding_lookup(c("item").feature_slot.slices[0])', LINE,
        ["column 'user' is of slot 'user', the slice of 'item'"]),
    "slot without slices": (USER, OWN, 0, ["slot 'own' has no slice, so that it is no table"]),
    "slot twice": (USER, OWN + OWN[len(USER):], LINE, ["slot 'own' exists already"]),
    "feature in two tables": (USER, OWN + '; self.create_feature_column(slot, "user")', LINE, ["feature 'user' is in two tables: slot 'user' and slot 'own'"]),
    "column without a slice": ("joined =", 'self.create_embedding_feature_column("price2"); joined =', 0, ["column 'price2' has no slice"]),
    "optimizer of tables for dense variables": ("tf.compat.v1.train.AdagradOptimizer(0.1)", "AdagradOptimizer()", 0,
                                                ["unknown optimizer", "tf.compat.v1.train optimizer"]),
    "optimizer of dense variables for tables": ('"vec", 4)\n        (tags', '"vec", 4, optimizer=tf.compat.v1.train.AdagradOptimizer(0.1))\n        (tags', 0,
                                                ["slot", "slices take the initializers, optimizers and compressors of monolith_cli.model"]),
}
WARNINGS = {
    "feature that no record has": ('"tags"]', '"tags", "uzer"]', "joined =", f'{LOOK}(["uzer"], "vec", 4); joined =',
                                   ["table 'uzer' is empty: no record had an id of feature 'uzer'"]),
    "combiner that comes too late": ("", "", "joined =", 'self.create_embedding_feature_column("user", combiner="reduce_mean"); joined =',
                                     ["column 'user': combiner ReduceMean() has no effect, the column was made with ReduceSum()"]),
    "optimizer that comes too late": ("", "", "joined =", f'{LOOK}(["user"], "vec", 4, optimizer=SgdOptimizer()); joined =',
                                      ["slice 'vec' of slot 'user': the optimizer given for feature 'user' has no effect"]),
    "slot that nobody looks into": ("", "", USER, OWN + "; slot.add_feature_slice(2)", ["slot 'own': no feature is looked up in it"]),
}


def write(folder, *replacements):
    folder.mkdir()
    text = textwrap.dedent(MODEL)
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "model.py"
    path.write_text(text)
    return str(path)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """name of a mistake -> (model file, exit code, stderr)."""
    folder = tmp_path_factory.mktemp("mistakes")
    data = folder / "data.pb"
    data.write_bytes(wire(instance(i % 2, user=[fid(1, i)], item=[fid(2, 5 * i)], tags=[fid(3, i), fid(3, 9)], price=[0.5, i]) for i in range(20)))
    models = {name: write(folder / f"m{i}", (old, new)) for i, (name, (old, new, *_)) in enumerate(MISTAKES.items())}
    models |= {name: write(folder / f"w{i}", (a, b), (c, d)) for i, (name, (a, b, c, d, _)) in enumerate(WARNINGS.items())}
    lines = "".join(json.dumps([path, path + ".out", str(data)]) + "\n" for path in models.values())
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")}
    environment |= {"PYTHONPATH": str(HERE.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, HERE / "train_many.py"], input=lines, env=environment, capture_output=True, text=True, timeout=900, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(models), done.stderr
    return {name: (path, *answer) for (name, path), answer in zip(models.items(), answers)}


@pytest.mark.parametrize("name", list(MISTAKES))
def test_the_line_names_what_is_wrong(said, name):
    path, code, stderr = said[name]
    line, parts = MISTAKES[name][2:]
    if line is None:
        assert code == 0 and "warning" not in stderr, stderr
        return
    assert code == 78, stderr
    message = stderr.splitlines()[-1]
    assert message.startswith(f"monolith-train: {path}:{line}: " if line else f"monolith-train: {path}"), message
    for part in parts:
        assert part in message, message
    assert len(stderr.splitlines()) == 1 and "Traceback" not in stderr


@pytest.mark.parametrize("name", list(WARNINGS))
def test_what_trains_all_the_same_is_a_warning(said, name):
    _, code, stderr = said[name]
    assert code == 0, stderr
    warnings = [line for line in stderr.splitlines() if "warning" in line.lower()]
    assert len(warnings) == 1, stderr
    for part in WARNINGS[name][-1]:
        assert part in warnings[0]
