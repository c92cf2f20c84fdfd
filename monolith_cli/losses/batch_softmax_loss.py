"""In-batch sampled softmax, for retrieval with two towers."""

from __future__ import annotations

import tensorflow as tf

from monolith_cli.losses.ranking import LossError


def batch_softmax_loss(query, item, item_step_interval, r, normalize: bool = True, temperature: float = 1.0):
    """-sum over i of r_i log(S_ii / sum over j of S_ij), S_ij = exp(query_i . item_j / temperature) / f_j: a scalar.

    The other items of the batch are the negatives; f_j = 1 / max(item_step_interval_j, 1) corrects for how often item j
    is drawn.

    query, item: [B, k]. item_step_interval: [B], steps between two occurrences of the item. r: [B], reward of each
        pair.
    normalize: rows are brought to length 1 first. Default True. temperature: above 0, else LossError (a ValueError).
        Default 1.
    LossError where the shapes do not fit. Paper: Yi et al., Sampling-Bias-Corrected Neural Modeling, RecSys 2019.
    """
    if temperature <= 0:
        raise LossError(f"batch_softmax_loss: temperature must be above 0, not {temperature}")
    query, item = tf.convert_to_tensor(query), tf.convert_to_tensor(item)
    if query.shape.rank != 2 or item.shape.rank != 2 or not query.shape.is_compatible_with(item.shape):
        raise LossError(
            f"batch_softmax_loss: query {query.shape} and item {item.shape} must be matrices of the same shape"
        )
    if normalize:
        query, item = tf.math.l2_normalize(query, axis=1), tf.math.l2_normalize(item, axis=1)
    interval = tf.reshape(tf.cast(item_step_interval, query.dtype), [-1])
    scores = tf.matmul(query, item, transpose_b=True) / temperature + tf.math.log(tf.maximum(interval, 1.0))
    chosen = tf.linalg.diag_part(scores) - tf.reduce_logsumexp(scores, axis=1)
    return -tf.reduce_sum(tf.reshape(tf.cast(r, query.dtype), [-1]) * chosen)
