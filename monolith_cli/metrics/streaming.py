"""Metrics that a graph keeps over its batches, in local variables."""

from __future__ import annotations

import tensorflow as tf

tf1 = tf.compat.v1


def streaming_auc(name: str, label, pred, num_thresholds: int = 200):
    """(value, update): the area under the ROC curve over all batches so far, by the trapezoids between num_thresholds
    thresholds.

    label: 0 or 1; pred: probabilities of the same number. A scalar summary `<name>_auc` is written. Local variables
        must be initialised.
    """
    label, pred = tf.reshape(tf.cast(label, tf.float32), [-1]), tf.reshape(pred, [-1])
    value, update = tf1.metrics.auc(label, pred, num_thresholds=num_thresholds, name=f"{name}_auc_metric")
    tf1.summary.scalar(f"{name}_auc", value)
    return value, update


def streaming_mse(name: str, label, pred):
    """(value, update): the mean squared error over all batches so far; written as the scalar summary `<name>_mse`."""
    label, pred = tf.reshape(tf.cast(label, tf.float32), [-1]), tf.reshape(pred, [-1])
    value, update = tf1.metrics.mean_squared_error(label, pred, name=f"{name}_mse_metric")
    tf1.summary.scalar(f"{name}_mse", value)
    return value, update


def streaming_metric(name: str, label, pred, classification: bool):
    """(name of the metric, value, update): AUC of a classification, MSE of anything else."""
    made = streaming_auc if classification else streaming_mse
    return (f"{name}_{'auc' if classification else 'mse'}", *made(name, label, pred))
