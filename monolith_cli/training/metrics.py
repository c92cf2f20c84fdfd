"""Metrics of heads over any number of examples, in bounded memory: on the host (evaluation) and in the graph (training).

Both keep sums that add up over batches, so that the metrics of a stretch are those of (sums at its end - sums at its start). A row
counts `sample_weight`, and nothing where its head has no valid label for it.

| kind | metrics |
|---|---|
| binary | auc, auc_error (what the buckets can have changed of it), log_loss, copc, label_mean, pred_mean |
| regression | rmse, mse, mae, copc, label_mean, pred_mean |
| classes | accuracy |

copc, "clicks over predicted clicks", is sum(label) / sum(pred): 1 where predictions are calibrated.
"""

from __future__ import annotations

import math

import numpy as np

from monolith_cli.errors import ConfigError
from monolith_cli.model.spec import BINARY, CLASSES, REGRESSION

AUC_BUCKETS = 1 << 20
_CLIP = 1e-7  # of probabilities, so that one sure mistake does not make the log loss infinite
_VALID = -3.4e38  # labels below are INVALID_LABEL

Metrics = dict[str, float | None]


def _ratio(a: float, b: float) -> float | None:
    return a / b if b else None


def auc_of(negatives: np.ndarray, positives: np.ndarray) -> tuple[float | None, float | None]:
    """(AUC, the most it can be off) of two histograms over the same buckets; None while one of them is empty."""
    pairs = float(negatives.sum()) * float(positives.sum())
    if not pairs:
        return None, None
    below = np.cumsum(negatives) - negatives
    ties = float(np.dot(positives.astype(np.float64), negatives.astype(np.float64)))
    won = float(np.dot(positives.astype(np.float64), below.astype(np.float64)))
    return (won + ties / 2) / pairs, ties / 2 / pairs


def binary_result(counts: np.ndarray, sums) -> Metrics:
    """Metrics of two histograms [2, buckets], negatives first, and the sums of weight, label, pred and log loss."""
    weight, labels, preds, log_loss = map(float, sums)
    auc, error = auc_of(*counts)
    return {"auc": auc, "auc_error": error, "log_loss": _ratio(log_loss, weight), **_calibration(weight, labels, preds)}


def regression_result(sums) -> Metrics:
    """Metrics of the sums of weight, label, pred, squared and absolute error."""
    weight, labels, preds, squares, absolutes = map(float, sums)
    mse = _ratio(squares, weight)
    return {"rmse": None if mse is None else math.sqrt(mse), "mse": mse, "mae": _ratio(absolutes, weight),
            **_calibration(weight, labels, preds)}  # fmt: skip


def _calibration(weight: float, labels: float, preds: float) -> Metrics:
    return {"copc": _ratio(labels, preds), "label_mean": _ratio(labels, weight), "pred_mean": _ratio(preds, weight)}


def check_probabilities(name: str, low: float, high: float) -> None:
    """Raises ConfigError where predictions of a binary head, from `low` to `high`, are no probabilities."""
    if not (low >= 0 and high <= 1):
        raise ConfigError(
            f"head {name!r}: predictions reach from {low:g} to {high:g}, so they are no probabilities; "
            "return tf.sigmoid(logit) as pred, or classification=False"
        )


class HeadMetrics:
    """Base of the host's metrics of one head."""

    def __init__(self, name: str):
        self.name, self.rows = name, 0

    def update(self, labels: np.ndarray, preds: np.ndarray, weights: np.ndarray | None = None, mask: np.ndarray | None = None) -> None:
        """Adds [n] labels and predictions; weights: of the rows, default 1; mask: false for rows that do not count."""
        valid = np.isfinite(labels) & (labels > _VALID) if labels.dtype.kind == "f" else np.ones(labels.shape, bool)
        if mask is not None:
            valid = valid & mask.astype(bool)
        if not valid.all():
            labels, preds, weights = labels[valid], preds[valid], None if weights is None else weights[valid]
        self.rows += labels.size
        weights = np.ones(labels.size) if weights is None else weights.astype(np.float64)
        self._add(labels.astype(np.float64), preds.astype(np.float64), weights)

    def _add(self, labels: np.ndarray, preds: np.ndarray, weights: np.ndarray) -> None:
        raise NotImplementedError

    def result(self) -> Metrics:
        raise NotImplementedError


class ClassificationMetrics(HeadMetrics):
    """Of probabilities. Labels above 0.5 are positive.

    The AUC comes from a histogram of 2^20 equal buckets over [0, 1]; two predictions in one bucket count as a tie.
    `auc_error` bounds what that can change. Memory: 16 MB.
    """

    def __init__(self, name: str):
        super().__init__(name)
        self._counts = np.zeros((2, AUC_BUCKETS))
        self._sums = np.zeros(4)

    def _add(self, labels, preds, weights):
        if preds.size:
            check_probabilities(self.name, preds.min(), preds.max())
        positive = labels > 0.5
        buckets = np.minimum((preds * AUC_BUCKETS).astype(np.int64), AUC_BUCKETS - 1)
        np.add.at(self._counts[1], buckets[positive], weights[positive])
        np.add.at(self._counts[0], buckets[~positive], weights[~positive])
        p = np.clip(preds, _CLIP, 1 - _CLIP)
        losses = -np.where(positive, np.log(p), np.log1p(-p))
        self._sums += [weights.sum(), weights[positive].sum(), np.dot(weights, preds), np.dot(weights, losses)]

    def result(self):
        return binary_result(self._counts, self._sums)


class RegressionMetrics(HeadMetrics):
    """Of values."""

    def __init__(self, name: str):
        super().__init__(name)
        self._sums = np.zeros(5)

    def _add(self, labels, preds, weights):
        error = preds - labels
        self._sums += [np.dot(weights, v) for v in (np.ones_like(labels), labels, preds, error * error, np.abs(error))]

    def result(self):
        return regression_result(self._sums)


class ClassesMetrics(HeadMetrics):
    """Of the numbers of classes."""

    def __init__(self, name: str):
        super().__init__(name)
        self._weight = self._hits = 0.0

    def _add(self, labels, preds, weights):
        self._weight += float(weights.sum())
        self._hits += float(weights[labels == preds].sum())

    def result(self):
        return {"accuracy": _ratio(self._hits, self._weight)}


def metrics_of(head) -> HeadMetrics:
    return {BINARY: ClassificationMetrics, REGRESSION: RegressionMetrics, CLASSES: ClassesMetrics}[head.kind](head.name)


def text_of(heads: dict[str, Metrics], names=("auc", "rmse", "accuracy", "log_loss", "copc")) -> str:
    """`click auc 0.71, copc 1.02; stars rmse 0.93`: what a log line says of the heads; "" where there is nothing yet."""
    parts = []
    for head, metrics in heads.items():
        found = [f"{n} {metrics[n]:.4g}" for n in names if metrics.get(n) is not None]
        if found:
            parts.append(f"{head} {', '.join(found)}")
    return "; ".join(parts)
