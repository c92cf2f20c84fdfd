"""monolith-eval: metrics against plain definitions."""

import json
import math
import random

import pytest
from model_files import fid, instance, wire, write_model

np = pytest.importorskip("numpy")
pytest.importorskip("tensorflow")

from monolith_cli.training.metrics import ClassificationMetrics, RegressionMetrics  # noqa: E402

TWO_HEADS = """
    import tensorflow as tf
    from monolith_cli.model import *

    class TwoHeads(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label", "x"], dense_feature_shapes=[1, 1])

        def model_fn(self, features, mode):
            vec, = self.lookup_embedding_slice(["item"], "v", 1, initializer=ZerosInitializer(), optimizer=SgdOptimizer(0.0))
            stars = features["x"] + vec
            loss, click = self.get_sigmoid_loss_and_pred("click", features["x"], features["label"] >= 1)
            if mode != PREDICT:
                loss += tf.reduce_sum(tf.square(vec))
            return EstimatorSpec([features["label"] >= 1, features["label"]], [click, stars], ["click", "stars"], loss,
                                 None, [True, False])
"""


def pairwise_auc(labels, scores):
    pairs = [(p, n) for p, a in zip(scores, labels) if a for n, b in zip(scores, labels) if not b]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def test_metrics_of_two_heads(run, tmp_path):
    rng = random.Random(1)
    rows = [(float(rng.randrange(3)), round(rng.gauss(0, 2), 1)) for _ in range(301)]
    data = wire(instance(label=y, uid=i, item=[fid(1, i)], x=[x]) for i, (y, x) in enumerate(rows))
    model = write_model(tmp_path, TWO_HEADS)
    args = ["--model", model, "--model-dir", tmp_path / "m", "--batch-size", "64"]
    run("monolith-train", *args, stdin=data)
    result = json.loads(run("monolith-eval", *args, "--json", stdin=data).stdout)
    assert result["examples"] == 301 and result["global_step"] == 5
    labels, x = [y >= 1 for y, _ in rows], [v for _, v in rows]
    p = [1 / (1 + math.exp(-v)) for v in x]
    assert result["heads"]["click"]["auc"] == pytest.approx(pairwise_auc(labels, x), abs=1e-4)
    log_loss = -sum(math.log(q if y else 1 - q) for q, y in zip(p, labels)) / len(p)
    assert result["heads"]["click"]["log_loss"] == pytest.approx(log_loss, rel=1e-4)
    errors = [v - y for y, v in rows]
    assert result["heads"]["stars"]["rmse"] == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(errors)), rel=1e-4)
    assert result["heads"]["stars"]["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors), rel=1e-4)
    text = run("monolith-eval", *args, stdin=data).stdout.decode()
    assert "examples 301\n" in text and "click auc 0." in text and "stars rmse " in text
    lines = run("monolith-predict", *args, "--json", "--id-fields", "uid", stdin=data).stdout.decode().splitlines()
    assert [json.loads(line)["uid"] for line in lines] == list(range(301))
    assert json.loads(lines[7])["pred"] == {"click": pytest.approx(p[7], rel=1e-5), "stars": pytest.approx(x[7], rel=1e-5)}
    columns = run("monolith-predict", *args, stdin=data).stdout.decode().splitlines()[7].split("\t")
    assert [float(c) for c in columns] == pytest.approx([p[7], x[7]], rel=1e-5)
    empty = run("monolith-eval", *args, "--json", "--skip-exit-code", "4", check=False)
    assert empty.returncode == 4 and json.loads(empty.stdout)["heads"]["click"]["auc"] is None
    nothing = run("monolith-eval", "--model", model, "--model-dir", tmp_path / "no", stdin=data, check=False)
    assert nothing.returncode == 66 and "no checkpoint" in nothing.stderr


def test_auc_of_a_histogram_is_within_its_bound():
    rng = np.random.default_rng(2)
    labels = rng.random(4000) < 0.3
    scores = np.clip(rng.normal(0.5 + 1e-7 * labels, 1e-6), 0, 1)  # crowded into a few buckets
    metrics = ClassificationMetrics("h")
    for part in range(0, 4000, 700):
        metrics.update(labels[part : part + 700].astype(np.float32), scores[part : part + 700])
    result = metrics.result()
    assert result["auc_error"] > 1e-3
    assert abs(result["auc"] - pairwise_auc(labels, scores)) <= result["auc_error"]


def test_metrics_without_both_classes_or_rows():
    metrics = ClassificationMetrics("h")
    assert metrics.result() == dict.fromkeys(["auc", "auc_error", "log_loss", "copc", "label_mean", "pred_mean"])
    metrics.update(np.ones(3, np.float32), np.array([0.0, 0.5, 1.0], np.float32))
    assert metrics.result()["auc"] is None and metrics.result()["log_loss"] > 0
    assert RegressionMetrics("h").result() == dict.fromkeys(["rmse", "mse", "mae", "copc", "label_mean", "pred_mean"])


def test_logits_are_not_taken_for_probabilities():
    from monolith_cli.errors import ConfigError

    with pytest.raises(ConfigError, match="head 'h': predictions reach from -1 to 3"):
        ClassificationMetrics("h").update(np.zeros(2), np.array([-1.0, 3.0]))
