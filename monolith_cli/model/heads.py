"""Loss helpers of the usual heads."""

from __future__ import annotations

import math

import tensorflow as tf

from monolith_cli.model.errors import ModelError
from monolith_cli.model.modes import PREDICT


def sigmoid_loss_and_pred(
    name: str,
    logits,
    label,
    batch_size=None,
    sample_rate=1.0,
    sample_bias: bool = False,
    mode: str | None = None,
    instance_weight=None,
    mask=None,
    logit_clip_threshold: float | None = None,
    predict_before_correction: bool = True,
):
    """(loss, pred) of a binary head over B logits.

    loss is the weighted sum of the cross entropies of the rows where `mask` is true, taken after the correction for
    sampling: logits (through log-sigmoid first with `sample_bias`) minus ln(sample_rate), clipped to where the probability
    lies in [logit_clip_threshold, 1 - logit_clip_threshold]. pred is the probability [B], before that correction unless
    predict_before_correction is False. In mode "predict" loss is None. `batch_size` is not needed and kept for old models.
    """
    z = tf.reshape(logits, [-1], name=f"{name}_logits")
    if mode == PREDICT:
        return None, tf.sigmoid(z, name=f"{name}_sigmoid_pred")
    biased = tf.math.log_sigmoid(z) if sample_bias else z
    if isinstance(sample_rate, (int, float)):
        if sample_rate <= 0:
            raise ModelError(f"head {name!r}: sample_rate must be positive, not {sample_rate}")
        if sample_rate != 1.0:
            biased = biased - math.log(sample_rate)
    elif sample_rate is not None:
        biased = biased - tf.math.log(tf.reshape(tf.cast(sample_rate, z.dtype), [-1]))
    pred = tf.sigmoid(z if predict_before_correction else biased, name=f"{name}_sigmoid_pred")
    if logit_clip_threshold is not None:
        if not 0 < logit_clip_threshold < 1:
            raise ModelError(f"head {name!r}: logit_clip_threshold must lie between 0 and 1, not {logit_clip_threshold}")
        limit = math.log((1 - logit_clip_threshold) / logit_clip_threshold)
        low, high = min(-limit, limit), max(-limit, limit)
        biased = tf.clip_by_value(biased, low, high)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.reshape(tf.cast(label, z.dtype), [-1]), logits=biased)
    if instance_weight is not None:
        losses = losses * tf.reshape(tf.cast(instance_weight, z.dtype), [-1])
    if mask is not None:
        losses = tf.boolean_mask(losses, tf.reshape(tf.cast(mask, tf.bool), [-1]))
    return tf.reduce_sum(losses, name=f"{name}_loss"), pred


def softmax_loss_and_pred(name: str, logits, label, mode: str | None = None):
    """(loss, pred) of a head with classes: logits and one-hot labels [B, classes].

    pred [B] is the most probable class; loss [B] the cross entropy of each row, not reduced. In mode "predict" it is None.
    """
    pred = tf.argmax(logits, axis=1, name=f"{name}_softmax_pred")
    if mode == PREDICT:
        return None, pred
    return tf.nn.softmax_cross_entropy_with_logits(labels=label, logits=logits, name=f"{name}_loss"), pred
