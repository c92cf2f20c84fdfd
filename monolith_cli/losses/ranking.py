"""What losses over lists are made of: sorting, ranks, reductions, and lists out of a flat batch."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from monolith_cli.errors import ConfigError


class LossError(ConfigError, ValueError):
    """A loss that is asked for what it cannot do; the message names the loss and the shapes."""


class Reduction:
    """How losses and their weights become one number."""

    NONE = "none"
    SUM = "weighted_sum"
    MEAN = "weighted_mean"
    SUM_OVER_BATCH_SIZE = "weighted_sum_over_batch_size"
    SUM_BY_NONZERO_WEIGHTS = "weighted_sum_by_nonzero_weights"
    ALL = (NONE, SUM, MEAN, SUM_OVER_BATCH_SIZE, SUM_BY_NONZERO_WEIGHTS)


def reduce_weighted(losses, weights, reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS):
    """The sum of weights * losses; divided by the sum of the weights (weighted_mean), the number of losses
    (weighted_sum_over_batch_size) or of weights that are not 0 (weighted_sum_by_nonzero_weights; 0 where there are
    none). `none`: the products themselves. LossError for another reduction."""
    if reduction not in Reduction.ALL:
        raise LossError(f"Invalid reduction {reduction!r}: use one of {', '.join(Reduction.ALL)}")
    weights = tf.broadcast_to(tf.cast(weights, losses.dtype), tf.shape(losses))
    weighted = losses * weights
    if reduction == Reduction.NONE:
        return weighted
    total = tf.reduce_sum(weighted)
    if reduction == Reduction.SUM:
        return total
    if reduction == Reduction.MEAN:
        return tf.math.divide_no_nan(total, tf.reduce_sum(weights))
    if reduction == Reduction.SUM_OVER_BATCH_SIZE:
        return tf.math.divide_no_nan(total, tf.cast(tf.size(losses), losses.dtype))
    return tf.math.divide_no_nan(total, tf.cast(tf.math.count_nonzero(weights), losses.dtype))


def is_label_valid(labels):
    """Labels below 0 pad a list."""
    return tf.greater_equal(labels, 0.0)


def sort_by_scores(scores, features: list, topn: int | None = None) -> list:
    """Each of `features` [B, L] in the order of descending scores [B, L], the first topn; equal scores keep their
    order."""
    order = tf.argsort(scores, axis=1, direction="DESCENDING", stable=True)
    order = order if topn is None else order[:, :topn]
    return [tf.gather(f, order, batch_dims=1) for f in features]


def sort_key(labels, logits):
    """Logits, with -inf where a label pads: what is no item of a list comes last, however far its logits go."""
    return tf.where(is_label_valid(labels), logits, tf.fill(tf.shape(logits), tf.constant(float("-inf"), logits.dtype)))


def ranks_like(tensor):
    """[1, L] of 1, 2, ... for a tensor [B, L]."""
    return tf.cast(tf.range(1, tf.shape(tensor)[1] + 1), tensor.dtype)[tf.newaxis]


def approx_ranks(logits, alpha: float = 10.0):
    """A smooth rank of each score [B, L]: 0.5 + sum over j of sigmoid(alpha (s_j - s_i)), j = i included.

    Paper: Qin et al., A General Approximation Framework for Direct Optimization of IR Measures, 2010.
    """
    return 0.5 + tf.reduce_sum(tf.sigmoid(alpha * (logits[:, tf.newaxis, :] - logits[:, :, tf.newaxis])), axis=2)


def exponential_gain(labels):
    """2^label - 1."""
    return tf.pow(tf.cast(2.0, labels.dtype), labels) - 1.0


def log_discount(ranks):
    """1 / log(1 + rank), natural."""
    return 1.0 / tf.math.log1p(ranks)


def inverse_max_dcg(
    labels, gain_fn: Callable = exponential_gain, rank_discount_fn: Callable = log_discount, topn: int | None = None
):
    """[B, 1]: 1 / (sum of gain(label) * discount(rank) in the best order, of the first topn); 0 where that sum is 0."""
    (ideal,) = sort_by_scores(labels, [labels], topn)
    total = tf.reduce_sum(gain_fn(ideal) * rank_discount_fn(ranks_like(ideal)), axis=1, keepdims=True)
    return tf.math.divide_no_nan(tf.ones_like(total), total)


def organize_valid_indices(is_valid, shuffle: bool = True, seed: int | None = None):
    """[B, L, 2] of (row, column): the valid entries of [B, L] first, in a random order or, without shuffle, in their
    own."""
    is_valid = tf.convert_to_tensor(is_valid)
    shape = tf.shape(is_valid)
    order = (
        tf.random.uniform(shape, seed=seed)
        if shuffle
        else -tf.broadcast_to(tf.cast(tf.range(shape[1]), tf.float32), shape)
    )
    key = tf.where(is_valid, order, tf.fill(shape, float("-inf")) if shuffle else order - tf.cast(shape[1], tf.float32))
    columns = tf.argsort(key, axis=1, direction="DESCENDING", stable=True)
    rows = tf.broadcast_to(tf.range(shape[0])[:, tf.newaxis], shape)
    return tf.stack([rows, columns], axis=2)


def reshape_first_ndims(tensor, first_ndims: int, new_shape):
    """A dense or sparse tensor whose first dimensions are replaced by new_shape. LossError where there are fewer."""
    rank = tensor.shape.rank
    if rank is None or rank < first_ndims:
        raise LossError(f"reshape_first_ndims: a tensor of shape {tensor.shape} has no {first_ndims} first dimensions")
    sparse = isinstance(tensor, tf.SparseTensor)
    shape = tensor.dense_shape if sparse else tf.shape(tensor)
    whole = tf.concat([tf.cast(new_shape, shape.dtype), shape[first_ndims:]], axis=0)
    if sparse:
        return tf.sparse.reshape(tensor, whole)
    reshaped = tf.reshape(tensor, whole)
    return tf.ensure_shape(
        reshaped, [*([None] * (reshaped.shape.rank - (rank - first_ndims))), *tensor.shape[first_ndims:]]
    )


def get_batch_idx_size(logits, labels, rank_id, prefix: str = ""):
    """Lists out of a flat batch of B: entries with the same rank_id are one list, lists in the order of their first
    entries.

    Returns logits [G, M] padded with 0, labels [G, M] less 1e-6 (padding is then -1e-6, below 0; so is a label 0: tell
    them apart by the mask), mask [B, B] with ones at the cells that are taken, and the place of the first entry of each
    list [G]. prefix: of op names.
    """
    with tf.name_scope(f"{prefix}batch_lists"):
        logits, labels = tf.reshape(logits, [-1]), tf.reshape(labels, [-1])
        rank_id = tf.reshape(rank_id, [-1])
        _, group, sizes = tf.unique_with_counts(rank_id)
        batch = tf.size(group)
        same = tf.linalg.band_part(tf.cast(tf.equal(group[:, tf.newaxis], group[tf.newaxis]), tf.int32), -1, 0)
        place = tf.reduce_sum(same, axis=1) - 1
        cells = tf.stack([group, place], axis=1)
        shape = tf.stack([tf.size(sizes), tf.reduce_max(tf.concat([sizes, [0]], axis=0))])
        listed = [tf.scatter_nd(cells, values, shape) for values in (logits, labels)]
        mask = tf.scatter_nd(cells, tf.ones([batch], logits.dtype), tf.stack([batch, batch]))
        return listed[0], listed[1] - 1e-6, mask, tf.where(tf.equal(place, 0))[:, 0]
