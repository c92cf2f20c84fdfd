"""Heads of several tasks: losses, masks, weights and metrics, in graphs and through monolith-train and monolith-eval."""

import json
import math

import numpy as np
import pytest
from model_files import fid, instance, wire, write_model

tf = pytest.importorskip("tensorflow")

from monolith_cli.model import INVALID_LABEL, PREDICT, EstimatorSpec, ModelError, Task, multi_task_spec  # noqa: E402
from monolith_cli.model.spec import normalize  # noqa: E402
from monolith_cli.training.graph_metrics import GraphMetrics  # noqa: E402

tf1 = tf.compat.v1


def run_graph(make):
    with tf1.Graph().as_default(), tf1.Session() as session:
        tensors = make()
        session.run([tf1.global_variables_initializer(), tf1.local_variables_initializer()])
        return session.run(tensors)


def cross_entropy(y, z):
    p = 1 / (1 + np.exp(-np.asarray(z)))
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


# --- the loss of a task


def test_loss_is_the_weighted_mean_over_valid_rows():
    z, y = np.array([0.5, -1.0, 2.0, 0.3], np.float32), np.array([1, 0, INVALID_LABEL, np.nan], np.float32)
    w = np.array([2.0, 1.0, 9.0, 9.0], np.float32)
    loss = run_graph(lambda: Task("t", z[:, None], y, weight=0.5, sample_weight=w).total_loss())
    assert loss == pytest.approx(0.5 * (2 * cross_entropy(1, 0.5) + cross_entropy(0, -1.0)) / 2, rel=1e-5)
    mask = np.array([False, True, True, True])
    assert run_graph(lambda: Task("t", z, y, mask=mask).total_loss()) == pytest.approx(cross_entropy(0, -1.0), rel=1e-5)
    assert run_graph(lambda: Task("t", z, y, mask=np.zeros(4, bool)).total_loss()) == 0


def test_invalid_rows_have_no_gradient():
    def make():
        z = tf.constant([0.5, 1.0, 2.0])
        label = tf.constant([1.0, INVALID_LABEL, np.nan])
        return tf1.gradients(Task("t", z, label).total_loss(), z)[0], tf1.gradients(Task("r", z, label, kind="regression").total_loss(), z)[0]

    binary, regression = run_graph(make)
    assert binary == pytest.approx([1 / (1 + math.exp(-0.5)) - 1, 0, 0], rel=1e-5) and regression == pytest.approx([-1.0, 0, 0])


def test_kinds_of_tasks():
    z = np.array([[1.0, 3.0, 2.0], [0.0, 0.0, 1.0]], np.float32)
    soft = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    wanted = -np.log([soft[0, 1], soft[1, 0]]).mean()
    numbers = run_graph(lambda: Task("c", z, np.array([1, 0]), kind="classes").total_loss())
    one_hot = run_graph(lambda: Task("c", z, np.array([[0, 1, 0], [1, 0, 0]], np.float32), kind="classes").total_loss())
    assert numbers == pytest.approx(wanted, rel=1e-5) and one_hot == pytest.approx(wanted, rel=1e-5)
    assert run_graph(lambda: Task("c", z, kind="classes").preds()[0]).tolist() == [1, 2]
    assert run_graph(lambda: Task("r", z[:, :1], np.array([3.0, 0.5]), kind="regression").total_loss()) == pytest.approx((4 + 0.25) / 2)
    absolute = run_graph(lambda: Task("r", z[:, 0], np.array([3.0, 0.5]), kind="regression", loss=lambda y, x: tf.abs(y - x)).total_loss())
    assert absolute == pytest.approx((2 + 0.5) / 2)


def test_sample_rate_moves_the_logit_of_the_loss_and_not_the_prediction():
    z, rates = np.array([0.2, -0.4], np.float32), np.array([1.0, 0.1], np.float32)
    task = lambda: Task("t", z, np.array([1.0, 0.0]), sample_rate=rates)  # noqa: E731
    loss = run_graph(lambda: task().total_loss())
    assert loss == pytest.approx((cross_entropy(1, 0.2) + cross_entropy(0, -0.4 - math.log(0.1))) / 2, rel=1e-5)
    assert run_graph(lambda: task().preds()[0]) == pytest.approx(1 / (1 + np.exp(-z)), rel=1e-5)


def test_a_task_of_several_labels_is_a_head_each():
    z = np.array([[1.0, -1.0], [0.0, 2.0]], np.float32)
    y = np.array([[1.0, INVALID_LABEL], [0.0, 1.0]], np.float32)

    def make():
        spec = multi_task_spec([Task("share", z, y, labels=["week", "month"]), Task("stars", z[:, 0], y[:, 0], kind="regression")])
        heads = normalize(spec, "unused").heads
        assert [(h.name, h.kind) for h in heads] == [("share_week", "binary"), ("share_month", "binary"), ("stars", "regression")]
        return spec.loss, [h.pred for h in heads], [h.mask for h in heads]

    loss, preds, masks = run_graph(make)
    ce = (cross_entropy(1, 1.0) + cross_entropy(0, 0.0) + cross_entropy(1, 2.0)) / 3
    assert loss == pytest.approx(ce + 0, rel=1e-5)
    assert preds[1] == pytest.approx(1 / (1 + np.exp([1.0, -2.0])), rel=1e-5) and masks[1].tolist() == [False, True]


def test_prediction_needs_no_labels():
    with tf1.Graph().as_default():
        spec = multi_task_spec([Task("a", tf.zeros([3])), Task("b", tf.zeros([3, 4]), kind="classes")], mode=PREDICT)
        heads = normalize(spec, "x").heads
        assert spec.loss is None and [(h.name, h.kind, h.label) for h in heads] == [("a", "binary", None), ("b", "classes", None)]


@pytest.mark.parametrize("make,words", [
    (lambda: Task("click", tf.zeros([5, 3]), tf.zeros([5, 1])), ["task 'click'", "logits has shape (5, 3)", "[B] or [B, 1]"]),
    (lambda: Task("click", tf.zeros([5, 1]), tf.zeros([5, 2])), ["task 'click'", "label has shape (5, 2)", "logits have shape (5, 1)"]),
    (lambda: Task("s", tf.zeros([5, 2]), tf.zeros([5, 3]), labels=["x", "y"]), ["task 's' with the heads s_x, s_y", "label has shape (5, 3)", "[B, 2]"]),
    (lambda: Task("c", tf.zeros([5, 4]), tf.zeros([5, 3]), kind="classes"), ["task 'c'", "label has shape (5, 3)", "[B, 4]"]),
    (lambda: Task("t", tf.zeros([5]), tf.zeros([5]), mask=tf.zeros([5, 7])), ["task 't'", "mask has shape (5, 7)"]),
    (lambda: Task("t", tf.zeros([5]), tf.zeros([5]), sample_weight=tf.zeros([5, 2])), ["task 't'", "sample_weight has shape (5, 2)"]),
    (lambda: Task("t", tf.zeros([5]), kind="binery"), ["task 't'", "kind 'binery'", "binary, regression, classes"]),
    (lambda: Task("t", tf.zeros([5]), sample_rate=0), ["task 't'", "sample_rate"]),
    (lambda: Task("t", tf.zeros([5]), weight=-1), ["task 't'", "weight"]),
    (lambda: multi_task_spec([Task("t", tf.zeros([5]))]), ["task 't' has no label"]),
    (lambda: multi_task_spec([Task("t", tf.zeros([5]), tf.zeros([5]))] * 2), ["different names", "t, t"]),
    (lambda: normalize(EstimatorSpec([1, 2], ["p", "q"], ["a", "b"], mask=["m"]), "x"), ["2 pred but 1 mask"]),
    (lambda: normalize(EstimatorSpec({"a": 1}, {"a": 1}, sample_weight={"b": 1}), "x"), ["sample_weight has heads", "b"]),
    (lambda: normalize(EstimatorSpec(1, 2, "a", classification="soft"), "x"), ["head 'a'", "'soft'"]),
])  # fmt: skip
def test_mistakes_name_task_head_and_shapes(make, words):
    with tf1.Graph().as_default(), pytest.raises(ModelError) as e:
        make()
    assert all(w in str(e.value) for w in words), str(e.value)


# --- metrics in the graph


def pairwise_auc(y, p, w=None):
    w = np.ones(len(y)) if w is None else w
    a, b = p[y > 0.5], p[y <= 0.5]
    wins = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    weights = w[y > 0.5][:, None] * w[y <= 0.5]
    return (wins * weights).sum() / weights.sum()


def test_metrics_add_up_over_batches_and_stretches():
    rng = np.random.default_rng(5)
    y = (rng.random(600) < 0.2).astype(np.float32)
    p = np.clip(0.1 + 0.3 * y + rng.normal(0, 0.15, 600), 0.001, 0.999).astype(np.float32)
    w, m = rng.random(600).astype(np.float32) * 3, rng.random(600) < 0.7
    with tf1.Graph().as_default(), tf1.Session() as session:
        fed = [tf1.placeholder(t, [None]) for t in (tf.float32, tf.float32, tf.float32, tf.bool)]
        spec = EstimatorSpec([fed[0], fed[0], tf.cast(fed[0], tf.int64)], [fed[1], fed[1], tf.cast(fed[1] > 0.3, tf.int64)], ["c", "r", "k"],
                             classification=[True, False, "classes"], mask=[fed[3], None, None], sample_weight=[fed[2], None, fed[2]])  # fmt: skip
        metrics = GraphMetrics(normalize(spec, "x").heads)
        session.run(tf1.local_variables_initializer())
        readings = []
        for start in range(0, 600, 150):
            session.run(metrics.update, dict(zip(fed, (v[start : start + 150] for v in (y, p, w, m)))))
            readings.append(metrics.read(session))
        everything, second_half = metrics.results(readings[-1]), metrics.results(readings[-1], readings[1])
    for got, part in ((everything, slice(None)), (second_half, slice(300, None))):
        yy, pp, ww, mm = y[part], p[part], w[part], m[part]
        c = got["c"]
        assert c["rows"] == mm.sum() and got["r"]["rows"] == len(yy)
        assert c["auc"] == pytest.approx(pairwise_auc(yy[mm], pp[mm], ww[mm]), abs=c["auc_error"] + 1e-6) and c["auc_error"] < 2e-3
        assert c["log_loss"] == pytest.approx(-(ww * np.where(yy > 0.5, np.log(pp), np.log1p(-pp)))[mm].sum() / ww[mm].sum(), rel=1e-4)
        assert c["copc"] == pytest.approx((ww * yy)[mm].sum() / (ww * pp)[mm].sum(), rel=1e-4)
        assert got["r"]["rmse"] == pytest.approx(np.sqrt(((yy - pp) ** 2).mean()), rel=1e-4)
        assert got["r"]["mae"] == pytest.approx(np.abs(yy - pp).mean(), rel=1e-4)
        assert got["k"]["accuracy"] == pytest.approx((ww * ((pp > 0.3) == (yy > 0.5))).sum() / ww.sum(), rel=1e-4)


def test_auc_and_mse_of_the_format():
    y, p = np.array([1, 0, 1, 0], np.float32), np.array([0.9, 0.2, 0.6, 0.7], np.float32)
    with tf1.Graph().as_default(), tf1.Session() as session:
        metrics = GraphMetrics(normalize(EstimatorSpec([y, y], [p, p], ["a", "b"], classification=[True, False]), "x").heads)
        session.run(tf1.local_variables_initializer())
        session.run(metrics.update)
        result = metrics.results(metrics.read(session))
    assert result["a"]["auc"] == 0.75 and result["b"]["mse"] == pytest.approx(0.175)


def test_logits_in_place_of_probabilities_have_no_auc():
    with tf1.Graph().as_default(), tf1.Session() as session:
        metrics = GraphMetrics(normalize(EstimatorSpec(tf.constant([1.0, 0.0]), tf.constant([3.0, 0.5]), "h"), "x").heads)
        session.run(tf1.local_variables_initializer())
        session.run(metrics.update)
        sums = metrics.read(session)
        assert metrics.misjudged(sums) == ["h"] and metrics.results(sums)["h"]["auc"] is None


# --- through the commands

MODEL = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Shop(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label", "instance_weight"], dense_feature_shapes=[2, 1])

        def model_fn(self, features, mode):
            z, = self.lookup_embedding_slice(["item"], "z", 2, initializer=ZerosInitializer(), optimizer=SgdOptimizer(learning_rate=0.5))
            tf.compat.v1.summary.scalar("mean_logit", tf.reduce_mean(z))
            label = None if mode == PREDICT else features["label"]
            tasks = [Task("click", z[:, 0], None if label is None else label[:, 0], sample_weight=features["instance_weight"]),
                     Task("stars", z[:, 1], None if label is None else label[:, 1], kind="regression", weight=0.1)]
            return multi_task_spec(tasks, mode=mode)
"""


def test_training_tells_of_each_head_and_evaluation_agrees(run, tmp_path):
    rng = np.random.default_rng(1)
    rows = []
    for i in range(640):
        item = int(rng.integers(8))
        click, stars = float(rng.random() < item / 8), item / 2 if i % 4 else INVALID_LABEL
        from monolith_protos.proto_parser_pb2 import Instance

        record = Instance.FromString(instance(uid=i, item=[fid(1, item)]))
        record.label[:] = [click, stars]
        record.instance_weight = 1 + i % 3
        rows.append(record.SerializeToString())
    (tmp_path / "data.pb").write_bytes(wire(rows))
    job = ["--model", write_model(tmp_path, MODEL) + ":Shop", "--model-dir", tmp_path / "m", tmp_path / "data.pb", "--batch-size", "64"]
    done = run("monolith-train", *job, "--json", "--log-every-steps", "4", "--summary-every-steps", "5", "--metrics-file", tmp_path / "x.prom")
    heads = json.loads(done.stdout)["heads"]
    assert heads["click"]["rows"] == 640 and heads["stars"]["rows"] == 480 and heads["click"]["auc"] > 0.6
    assert "step 4, 256 examples" in done.stderr and "click auc 0." in done.stderr and "stars rmse" in done.stderr
    assert "head click: auc 0." in done.stderr and "head stars: rmse" in done.stderr and "of 480 rows" in done.stderr
    prom = (tmp_path / "x.prom").read_text()
    assert f"monolith_train_head_click_auc {heads['click']['auc']}" in prom and "monolith_train_head_stars_rows 480" in prom
    seen = {}
    for event in tf1.train.summary_iterator(str(next((tmp_path / "m").glob("events.out.*")))):
        for v in event.summary.value:
            seen.setdefault(v.tag, {})[event.step] = v.simple_value
    assert set(seen["click/auc"]) == {5, 10} and {"stars/rmse", "click/copc", "loss", "mean_logit"} <= set(seen)
    assert seen["click/rows"] == {5: 320.0, 10: 320.0}  # of the stretch since the last summary
    # Evaluation of what was trained: weights and masks count there in the same way.
    result = json.loads(run("monolith-eval", *job, "--json").stdout)["heads"]
    predicted = [json.loads(line)["pred"] for line in run("monolith-predict", *job, "--json").stdout.splitlines()]
    p, s = (np.array([r[h] for r in predicted]) for h in ("click", "stars"))
    labels = np.array([list(Instance.FromString(r).label) for r in rows])
    weights = np.array([Instance.FromString(r).instance_weight for r in rows])
    valid = labels[:, 1] > -1e30
    assert result["stars"]["rows"] == 480 and result["stars"]["rmse"] == pytest.approx(np.sqrt(((labels[:, 1] - s)[valid] ** 2).mean()), rel=1e-5)
    assert result["click"]["auc"] == pytest.approx(pairwise_auc(labels[:, 0], p, weights), abs=1e-4)
    assert result["click"]["copc"] == pytest.approx((weights * labels[:, 0]).sum() / (weights * p).sum(), rel=1e-5)


def test_unlike_rows_are_told_with_the_head(run, tmp_path):
    text = MODEL.replace("return multi_task_spec(tasks, mode=mode)",
                         "s = multi_task_spec(tasks, mode=mode)\n            return s._replace(label=[tf.boolean_mask(s.label[0], s.label[0] > 0), s.label[1]])")  # fmt: skip
    (tmp_path / "data.pb").write_bytes(wire([instance(label=float(i % 2), uid=i, item=[fid(1, i)]) for i in range(64)]))
    done = run("monolith-train", "--model", write_model(tmp_path, text) + ":Shop", "--model-dir", tmp_path / "m", tmp_path / "data.pb", check=False)
    assert done.returncode == 78 and "head 'click'" in done.stderr and "rows" in done.stderr
