"""Metrics of heads, summed up in the graph as a part of each training step.

A head has one local variable of float64: sums, then for a binary head a histogram of its predictions by their logit, negatives first.
An update adds a batch's rows to it, and costs next to nothing; the host reads it when it has something to tell. Each batch is
predicted before it is trained on, so that these are metrics of rows the model has not seen.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from monolith_cli.model.errors import ModelError, short_message
from monolith_cli.model.spec import BINARY, CLASSES, Head
from monolith_cli.training.metrics import _CLIP, _VALID, Metrics, binary_result, regression_result

tf1 = tf.compat.v1

BUCKETS = 1 << 13  # of logits from -REACH to REACH: 0.004 apart
REACH = 16.5  # a little more than the logit of _CLIP
_SUMS = {BINARY: 6, CLASSES: 3}  # rows, weight, then what the result is made of; a regression has 6


class GraphMetrics:
    """`update`: the op that adds the batch at hand. `read(session)` -> sums so far; `results(now, before)` -> head -> metrics."""

    def __init__(self, heads: list[Head]):
        self._heads = heads
        self._scopes, updates, self._values = [], [], []
        for head in heads:
            with tf1.name_scope("metrics_of_head") as scope:
                state, update = _accumulator(head)
                self._scopes.append(scope)
                updates.append(update)
                self._values.append(state.read_value())
        self.update = tf.group(*updates)

    def explain(self, error: tf.errors.OpError) -> None:
        """Raises ModelError that names the head where `error` came of its metrics: of a batch with unlike rows of label and pred."""
        for head, scope in zip(self._heads, self._scopes):
            if f"{{{{node {scope}" in error.message:
                raise ModelError(f"head {head.name!r}: its pred, label, mask and weights differ in rows: {short_message(error)}") from error

    def misjudged(self, now: list[np.ndarray]) -> list[str]:
        """Binary heads whose predictions are no probabilities."""
        return [h.name for h, sums in zip(self._heads, now) if h.kind == BINARY and sums[5]]

    def read(self, session) -> list[np.ndarray]:
        return session.run(self._values)

    def results(self, now: list[np.ndarray], before: list[np.ndarray] | None = None) -> dict[str, Metrics]:
        """Head -> rows (those with a valid label) and metrics, of what came between two readings; before None: of all."""
        out = {}
        for i, head in enumerate(self._heads):
            sums = now[i] if before is None else now[i] - before[i]
            rows, sums = int(sums[0]), sums[1:]
            if head.kind == BINARY:
                result = binary_result(sums[5:].reshape(2, BUCKETS), sums[:4])
                if sums[4]:
                    result = dict.fromkeys(result)  # they are no probabilities
            elif head.kind == CLASSES:
                result = {"accuracy": float(sums[1] / sums[0]) if sums[0] else None}
            else:
                result = regression_result(sums)
            out[head.name] = {"rows": rows, **result}
        return out


def _accumulator(head: Head):
    """(variable, op that adds a batch to it)."""
    label = tf.cast(tf.reshape(head.label, [-1]), tf.float32)
    pred = tf.cast(tf.reshape(head.pred, [-1]), tf.float32)
    valid = tf.abs(label) < -_VALID  # neither INVALID_LABEL nor infinite nor NaN
    if head.mask is not None:
        valid = tf.logical_and(valid, tf.cast(tf.reshape(head.mask, [-1]), tf.bool))
    counted = tf.cast(valid, tf.float32)
    weight = counted
    if head.sample_weight is not None:
        weight = weight * tf.cast(tf.reshape(head.sample_weight, [-1]), tf.float32)
    label = tf.where(valid, label, tf.zeros_like(label))
    columns, histogram = _terms(head.kind, label, pred)
    terms = tf.stack([counted, weight, *[weight * c for c in columns]])
    sums = tf.reduce_sum(tf.cast(terms, tf.float64), axis=1)
    size = _SUMS.get(head.kind, 6)
    state = tf1.Variable(tf.zeros([size + (2 * BUCKETS if histogram is not None else 0)], tf.float64), trainable=False,
                         collections=[tf1.GraphKeys.LOCAL_VARIABLES], name="sums", use_resource=True)  # fmt: skip
    places, values = tf.range(size), sums
    if histogram is not None:
        places, values = tf.concat([places, histogram + size], 0), tf.concat([values, tf.cast(weight, tf.float64)], 0)
    return state, tf.raw_ops.ResourceScatterAdd(resource=state.handle, indices=places, updates=values)


def _terms(kind: str, label, pred) -> tuple[list, tf.Tensor | None]:
    """What is summed of each row, beside its weight; and the place of a row in the histogram of a binary head."""
    if kind == CLASSES:
        return [tf.cast(tf.equal(label, pred), tf.float32)], None
    if kind != BINARY:
        error = pred - label
        return [label, pred, error * error, tf.abs(error)], None
    positive = label > 0.5
    p = tf.clip_by_value(pred, _CLIP, 1 - _CLIP)
    log_p, log_q = tf.math.log(p), tf.math.log1p(-p)
    bucket = tf.cast((log_p - log_q + REACH) * (BUCKETS / (2 * REACH)), tf.int32) + BUCKETS * tf.cast(positive, tf.int32)
    outside = tf.logical_not(tf.logical_and(pred >= 0, pred <= 1))
    return [tf.cast(positive, tf.float32), pred, -tf.where(positive, log_p, log_q), tf.cast(outside, tf.float32)], bucket
