"""Mistakes in model files: one message that names file, line and thing; the exit code of a configuration; no trace."""

import subprocess
import sys
import textwrap

import pytest
from model_files import COUNTER, items, write_model

tf = pytest.importorskip("tensorflow")

from monolith_cli.errors import Error  # noqa: E402
from monolith_cli.model.loader import load_model  # noqa: E402
from monolith_cli.training import runtime  # noqa: E402
from monolith_cli.training.graph import TRAIN, build  # noqa: E402
from monolith_cli.training.session import make_session, running  # noqa: E402

MODEL = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Model(MonolithModel):
        def input_fn(self, mode):
            ids = tf.ragged.constant([[1], [2, 3]], dtype=tf.int64, row_splits_dtype=tf.int64)
            return tf.data.Dataset.from_tensors({"user": ids, "label": [[1.0], [0.0]], "x": [[1.0, 2.0], [3.0, 4.0]]})

        def model_fn(self, features, mode):
            user, = self.lookup_embedding_slice(["user"], "vec", 4)
            pred = tf.keras.layers.Dense(1)(user)
            loss = tf.reduce_mean(tf.square(pred - features["label"]))
            return EstimatorSpec(features["label"], pred, "h", loss, tf.compat.v1.train.AdagradOptimizer(0.1), False)
"""


def message_of(tmp_path, old: str, new: str) -> tuple[str, Error]:
    """The error of the model with `old` replaced by `new`, from loading to the first step."""
    text = textwrap.dedent(MODEL)
    assert old in text
    path = tmp_path / "model.py"
    path.write_text(text.replace(old, new))
    runtime.import_tensorflow()
    with pytest.raises(Error) as caught:
        built = build(load_model(f"{path}:Model"), TRAIN, seed=1)
        with make_session(built.graph) as session, running(str(path)):
            session.run(built.init)
            session.run(built.iterator_init)
            session.run(built.train_op)
    return str(caught.value), caught.value


@pytest.mark.parametrize(
    "old, new, line, parts",
    [
        ('["user"], "vec"', '["usr"], "vec"', 11, ["unknown feature 'usr'", "did you mean 'user'"]),
        ('["user"], "vec"', '["x"], "vec"', 11, ["feature 'x' is dense"]),
        ('pred - features["label"]', 'pred - features["lable"]', 13, ["unknown feature 'lable'", "did you mean 'label'"]),
        ("(features[\"label\"], pred", "(None, pred", 0, ["head 'h' has no label"]),
        ('"h", loss,', '"h", None,', 0, ["no loss"]),
        ("tf.compat.v1.train.AdagradOptimizer(0.1)", '"adagrad"', 0, ["unknown optimizer 'adagrad'", "tf.compat.v1.train"]),
        ("tf.compat.v1.train.AdagradOptimizer(0.1)", "None", 0, ["no optimizer for its 2 dense variables"]),
        ("Dense(1)(user)", "Dense(1)(tf.matmul(user, features['x']))", 12, ["Dimensions must be equal"]),
        ("Dense(1)(user)", "Dense(3)(user)", 0, ["pred has shape (None, 3)", "label (2, 1)"]),
        ("tf.reduce_mean(tf.square(pred - features[\"label\"]))", "tf.square(pred - features['label'])", 0, ["loss must be one number"]),
        ("Dense(1)(user)", "Dense(1)(undefined)", 12, ["NameError", "undefined"]),
        ("Dense(1)(user)", "Dense(1)(tf.stop_gradient(user)) * 0 + tf.reshape(tf.reduce_sum(user), [7])", 12, []),
        ('["user"], "vec", 4', '["user"], "vec"', 11, ["lookup_embedding_slice takes"]),
        ('["user"], "vec", 4', '["user"], "vec", 4, optimizer=tf.compat.v1.train.AdagradOptimizer(0.1)', 0, ["slices take"]),
        ("user, = self", "self.create_embedding_feature_column('label'); user, = self", 0, ["column 'label' has no slice"]),
        ("return EstimatorSpec(", "return dict(a=", 0, []),
    ],
)
def test_the_message_names_what_is_wrong(tmp_path, old, new, line, parts):
    message, error = message_of(tmp_path, old, new)
    assert error.exit_code == 78
    assert message.startswith(f"{tmp_path}/model.py:{line}:" if line else f"{tmp_path}/model.py"), message
    for part in parts:
        assert part in message
    assert "\n" not in message and "Traceback" not in message


@pytest.mark.parametrize(
    "spec, text, code, parts",
    [
        ("{}:Modell", MODEL, 2, ["no class Modell", "did you mean 'Model'"]),
        ("{}:tf", MODEL, 2, ["not a subclass of MonolithModel"]),
        ("model.txt", MODEL, 2, ["FILE.py:CLASS"]),
        ("/nowhere/model.py:Model", MODEL, 66, ["no such file"]),
        ("{}:Model", MODEL.replace("pred =", "pred = ="), 78, [":12: SyntaxError"]),
        ("{}:Model", MODEL.replace("import tensorflow as tf", "import tensorflov as tf"), 78, [":2: ModuleNotFoundError", "tensorflov"]),
        ("{}:Model", MODEL + "        def __init__(self):\n            self.x = 1\n", 78, ["super().__init__()"]),
        ("{}", MODEL + "    class Other(Model):\n        pass\n", 2, ["name one class", "Model, Other"]),
    ],
)
def test_model_files_that_do_not_load(tmp_path, spec, text, code, parts):
    path = write_model(tmp_path, text)
    with pytest.raises(Error) as caught:
        load_model(spec.format(path))
    assert caught.value.exit_code == code
    for part in parts:
        assert part in str(caught.value)


def test_the_command_says_it_in_one_line(run, tmp_path):
    """A mistake that shows only while training, and an unknown type of record, through the command."""
    text = COUNTER.replace('dense_features=["label"]', 'dense_features=["label", "x"]').replace("shapes=[1]", "shapes=[1, 0]")
    done = run("monolith-train", "--model", write_model(tmp_path, text), "--model-dir", tmp_path / "m", stdin=items([1]), check=False)
    assert done.returncode == 78
    assert len(done.stderr.splitlines()) == 1 and "model.py:9: dense feature 'x'" in done.stderr


def test_help_needs_no_tensorflow():
    code = "import sys; from monolith_cli.commands import monolith_train, monolith_eval, monolith_predict; sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
