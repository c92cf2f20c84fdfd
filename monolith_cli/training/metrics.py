"""Metrics of heads over any number of examples, in bounded memory."""

from __future__ import annotations

import math

import numpy as np

from monolith_cli.errors import ConfigError

AUC_BUCKETS = 1 << 20
_CLIP = 1e-7  # of probabilities, so that one sure mistake does not make the log loss infinite


class ClassificationMetrics:
    """AUC and log loss of probabilities.

    The AUC comes from a histogram of 2^20 equal buckets over [0, 1]; two predictions in one bucket count as a tie.
    `auc_error` bounds what that can change. Memory: 16 MB.
    """

    def __init__(self, name: str):
        self.name = name
        self._counts = np.zeros((2, AUC_BUCKETS), np.int64)
        self._log_loss = 0.0
        self._n = 0

    def update(self, labels: np.ndarray, preds: np.ndarray) -> None:
        """Adds [n] labels (0 or 1; above 0.5 counts as 1) and [n] probabilities."""
        p = preds.astype(np.float64)
        if p.size and not (p.min() >= 0 and p.max() <= 1):
            raise ConfigError(
                f"head {self.name!r}: predictions reach from {p.min():g} to {p.max():g}, so they are no probabilities; "
                "return tf.sigmoid(logit) as pred, or classification=False"
            )
        positive = labels > 0.5
        buckets = np.minimum((p * AUC_BUCKETS).astype(np.int64), AUC_BUCKETS - 1)
        np.add.at(self._counts[1], buckets[positive], 1)
        np.add.at(self._counts[0], buckets[~positive], 1)
        p = np.clip(p, _CLIP, 1 - _CLIP)
        self._log_loss -= float(np.sum(np.where(positive, np.log(p), np.log1p(-p))))
        self._n += p.size

    def result(self) -> dict[str, float | None]:
        """auc (None while only one class has been seen), auc_error, log_loss."""
        negatives, positives = self._counts
        pairs = float(negatives.sum()) * float(positives.sum())
        out: dict[str, float | None] = {"auc": None, "auc_error": None, "log_loss": self._log_loss / self._n if self._n else None}
        if pairs:
            below = np.cumsum(negatives) - negatives
            ties = float(np.dot(positives.astype(np.float64), negatives.astype(np.float64)))
            won = float(np.dot(positives.astype(np.float64), below.astype(np.float64)))
            out["auc"] = (won + ties / 2) / pairs
            out["auc_error"] = ties / 2 / pairs
        return out


class RegressionMetrics:
    """RMSE and MAE."""

    def __init__(self, name: str):
        self.name = name
        self._squares = self._absolutes = 0.0
        self._n = 0

    def update(self, labels: np.ndarray, preds: np.ndarray) -> None:
        """Adds [n] labels and [n] predictions."""
        error = preds.astype(np.float64) - labels.astype(np.float64)
        self._squares += float(np.dot(error, error))
        self._absolutes += float(np.abs(error).sum())
        self._n += error.size

    def result(self) -> dict[str, float | None]:
        """rmse, mae."""
        if not self._n:
            return {"rmse": None, "mae": None}
        return {"rmse": math.sqrt(self._squares / self._n), "mae": self._absolutes / self._n}


def metrics_of(head):
    return (ClassificationMetrics if head.classification else RegressionMetrics)(head.name)
