"""Updates one step later and lookups ahead: what each step sees, and that nothing is lost. The last rows of TV6 of the specification."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from conftest import ROOT
from model_files import COUNTER, items, write_model

tf = pytest.importorskip("tensorflow")
tf1 = tf.compat.v1

from monolith_cli.model.loader import load_model  # noqa: E402
from monolith_cli.training import graph, plan, runtime  # noqa: E402
from monolith_cli.training.overlap import Overlap  # noqa: E402
from monolith_cli.training.session import make_session  # noqa: E402
from monolith_cli.training.stepping import Stepper  # noqa: E402

HEAD = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Base(MonolithModel):
        enable_fused_layout = FUSED

        def input_fn(self, mode):
            def batch(i):
                with tf.control_dependencies([tf.debugging.assert_less(i, tf.constant(BROKEN, tf.int64), message="broken record")]):
                    ids = tf.RaggedTensor.from_row_lengths(tf.constant([7], tf.int64), tf.constant([1], tf.int64))
                return {"item": ids, "label": tf.ones([1, 1]), "number": tf.reshape(i, [1, 1])}
            return tf.data.Dataset.range(STEPS).map(batch)
"""

# TV6: an embedding row [1, 1, 1, 1], a slice of 3 of it, a variable v of 1; SGD with rate 1.
TV6 = """
    class Model(Base):
        def model_fn(self, features, mode):
            slot = self.create_feature_slot(FeatureSlotConfig(name="t", default_vec_initializer=ConstantsInitializer(1.0),
                                                              default_vec_optimizer=SgdOptimizer(learning_rate=1.0)))
            column = self.create_feature_column(slot, "item")
            first, rest = slot.add_feature_slice(3), slot.add_feature_slice(1)
            v = tf.compat.v1.get_variable("v", initializer=1.0)
            loss = tf.reduce_sum(column.embedding_lookup(first)) + v
            tf.identity(column.embedding_lookup(rest), "rest")
            return EstimatorSpec(features["label"], loss + 0 * features["label"], "h", loss, tf.compat.v1.train.GradientDescentOptimizer(1.0), False)
"""

# Each step takes 1 off `seen`, what the table has, and off v; their rates follow the global step: 1, 2, 3, ...
WATCHED = """
    class Model(Base):
        def model_fn(self, features, mode):
            rate = PolynomialDecay(1.0, 10, 11.0)
            (seen,) = self.lookup_embedding_slice(["item"], "s", 1, ZerosInitializer(), SgdOptimizer(), learning_rate_fn=rate)
            v = tf.compat.v1.get_variable("v", initializer=0.0)
            seen, now = tf.identity(seen, "seen"), tf.identity(v, "now")
            tf.identity(features["number"], "number")
            loss = -tf.reduce_sum(seen) - now
            return EstimatorSpec(features["label"], seen, "h", loss, tf.compat.v1.train.GradientDescentOptimizer(rate), False)
"""
SERIAL = itertools.count()


class Session:
    """A model in a session, run by a Stepper: `step()`, `table()`, `value(variable)`."""

    def __init__(self, tmp_path, text, overlap, fetch=(), fused=False, steps=100, broken=1000):
        path = tmp_path / "model.py"
        head = textwrap.dedent(HEAD).replace("FUSED", str(fused)).replace("STEPS", str(steps)).replace("BROKEN", str(broken))
        path.write_text(head + textwrap.dedent(text))
        runtime.import_tensorflow()
        graph.TABLES_NAME = f"overlap_{next(SERIAL)}"  # tables live as long as any session of this process
        self.built = graph.build(load_model(f"{path}:Model"), graph.TRAIN, 3, overlap=overlap)
        with self.built.graph.as_default():
            (name,) = plan.table_configs(self.built.model._factory)
            tables = graph.MultiTable(graph.TABLES_NAME, plan.table_configs(self.built.model._factory), seed=3)
            self._row = tables.lookup_ids(name, tf.constant([7], tf.int64))
        self.session = make_session(self.built.graph)
        self.session.run([self.built.init, self.built.iterator_init])
        named = [self.built.graph.get_tensor_by_name(f"{n}:0") for n in fetch]
        self.stepper = Stepper(self.session, self.built, [self.built.train_op, *named], [])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stepper.close()
        self.session.close()

    def step(self):
        return [np.ravel(x)[0].item() for x in self.stepper.step()[1:] if x is not None]

    def table(self):
        return self.session.run(self._row)[0].tolist()

    def value(self, name):
        with self.built.graph.as_default():
            (found,) = [v.read_value() for v in tf1.global_variables() if v.op.name == name]
        return self.session.run(found)


BOTH = pytest.mark.parametrize("fused", [False, True], ids=["direct", "fused"])


@BOTH
@pytest.mark.parametrize("overlap, v, row", [
    (Overlap(), -2, [-2, -2, -2, 1]), (Overlap(variable_postpush=True), -1, [-2, -2, -2, 1]),
    (Overlap(embedding_postpush=True), -2, [-1, -1, -1, 1]), (Overlap(True, True), -1, [-1, -1, -1, 1]),
])  # fmt: skip
def test_tv6_three_steps_before_and_after_the_close(tmp_path, overlap, v, row, fused):
    with Session(tmp_path, TV6, overlap, fused=fused) as s:
        for _ in range(3):
            s.stepper.step()
        assert (s.value("v"), s.table()) == (v, row)
        assert s.value("global_step") == (2 if overlap.variable_postpush else 3)
        for _ in range(2):  # a second time changes nothing
            s.stepper.settle()
            assert (s.value("v"), s.table(), s.value("global_step")) == (-2, [-2, -2, -2, 1], 3)
        s.stepper.step()  # and training goes on from there
        s.stepper.settle()
        assert (s.value("v"), s.table(), s.value("global_step")) == (-3, [-3, -3, -3, 1], 4)


@pytest.mark.parametrize("capacity, dense, sparse, fused", [
    (0, 0, 0, False), (0, 1, 1, True), (0, 0, 1, False), (1, 0, 0, True), (1, 1, 0, False), (3, 0, 0, False), (3, 1, 1, True)])  # fmt: skip
def test_what_a_step_reads(tmp_path, capacity, dense, sparse, fused):
    """Step t (from 0) reads the table as it was after t - capacity steps, one less with post-push: at step t - capacity - 1 or later."""
    steps = 7
    overlap = Overlap(bool(dense), bool(sparse), capacity)
    # The global step that step t sees; a rate is one more. Dense updates that come later bring their own along.
    seen_steps = [max(0, t - dense) for t in range(steps)]
    table = [sum(1 + s for s in seen_steps[: max(0, n)]) for n in range(steps + 1)]
    variable = [n * (n + 1) / 2 for n in range(steps + 1)]
    with Session(tmp_path, WATCHED, overlap, ["number", "seen", "now"], fused, steps=steps) as s:
        for t in range(steps):
            assert s.step() == [t, table[max(0, t - capacity - sparse)], variable[max(0, t - dense)]], t
        for _ in range(2):  # the input has ended
            with pytest.raises(tf.errors.OutOfRangeError):
                s.step()
        s.stepper.settle()
        assert (s.table(), s.value("v"), s.value("global_step")) == ([table[steps]], variable[steps], steps)


@pytest.mark.parametrize("overlap", [Overlap(), Overlap(True, True), Overlap(False, False, 2), Overlap(True, True, 2)])
def test_a_broken_record_ends_training_after_all_before_it(tmp_path, overlap):
    with Session(tmp_path, WATCHED, overlap, ["number"], steps=9, broken=5) as s:
        assert [s.step()[0] for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(tf.errors.InvalidArgumentError, match="broken record"):
            s.step()
        s.stepper.settle()
        rates = [1, 1, 2, 3, 4] if overlap.variable_postpush else [1, 2, 3, 4, 5]  # of the table: they follow the global step
        assert (s.table(), s.value("v"), s.value("global_step")) == ([sum(rates)], 15, 5)


@pytest.mark.parametrize("options", [["--variable-postpush", "--embedding-postpush"], ["--embedding-prefetch-capacity", "2"],
                                     ["--variable-postpush", "--embedding-postpush", "--embedding-prefetch-capacity", "1"]])  # fmt: skip
def test_checkpoints_have_every_update(run, tmp_path, options):
    """A save between steps, a step limit, an end of the input and a start from there: each id counts as often as it came."""
    model = write_model(tmp_path, COUNTER)
    (tmp_path / "d.pb").write_bytes(items([i % 3 for i in range(50)]))
    line = ["--model", f"{model}:Counter", "--model-dir", tmp_path / "m", "--batch-size", "2", "--json", "--seed", "1", *options]
    done = run("monolith-train", *line, "--max-steps", "11", "--save-every-steps", "4", tmp_path / "d.pb")
    summary = json.loads(done.stdout)
    assert (summary["steps"], summary["global_step"], summary["records_trained"]) == (11, 11, 22)
    for step, limit in ((4, 8), (8, 16), (11, 22)):
        prefix = tmp_path / "m" / f"model.ckpt-{step}"
        rows = [json.loads(line) for line in run("table-get", prefix, "1:0", "1:1", "1:2").stdout.splitlines()]
        assert {r["fid"] & 15: r["weights"] for r in rows} == {k: [len(range(k, limit, 3))] for k in range(3)}
        reader = tf.train.load_checkpoint(str(prefix))
        assert reader.get_tensor("steps") == step and reader.get_tensor("global_step") == step
    summary = json.loads(run("monolith-train", *line, tmp_path / "d.pb").stdout)
    assert (summary["steps"], summary["global_step"], summary["records_trained"]) == (14, 25, 50)
    rows = [json.loads(line) for line in run("table-get", tmp_path / "m", "1:0", "1:1", "1:2").stdout.splitlines()]
    assert {r["fid"] & 15: r["weights"] for r in rows} == {0: [17], 1: [17], 2: [16]}


def test_a_stopped_run_keeps_what_was_due(tmp_path):
    model = write_model(tmp_path, COUNTER)
    line = [sys.executable, "-m", "monolith_cli", "monolith-train", "--model", f"{model}:Counter", "--model-dir", tmp_path / "m", "--batch-size", "2",
            "--variable-postpush", "--embedding-postpush", "--embedding-prefetch-capacity", "2", "--log-every-steps", "1"]  # fmt: skip
    process = subprocess.Popen([str(a) for a in line], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    process.stdin.write(items([1] * 20))
    process.stdin.flush()
    for told in process.stderr:
        if b"step 5," in told:
            break
    process.send_signal(signal.SIGTERM)
    _, rest = process.communicate(timeout=300)
    assert process.returncode == 143, rest.decode()
    checkpoint = tf.train.latest_checkpoint(str(tmp_path / "m"))
    steps = int(checkpoint.rsplit("-", 1)[1])
    reader = tf.train.load_checkpoint(checkpoint)
    assert steps >= 5 and reader.get_tensor("steps") == steps and reader.get_tensor("global_step") == steps
