"""Losses that learn to rank lists: labels and logits [B, L], labels below 0 being padding.

Each takes weights: None, a number, [B, 1] or [B, L] where it says so; reduction: one of `Reduction`; name: of the op's
scope. The maths are computed in the dtype of logits.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from monolith_cli.losses.ranking import (
    LossError,
    Reduction,
    approx_ranks,
    exponential_gain,
    inverse_max_dcg,
    is_label_valid,
    log_discount,
    organize_valid_indices,
    reduce_weighted,
    sort_by_scores,
    sort_key,
)

NZ = Reduction.SUM_BY_NONZERO_WEIGHTS
_NO_LOGIT = math.log(1e-10)


def _lists(what: str, labels, logits):
    logits = tf.convert_to_tensor(logits)
    labels = tf.cast(labels, logits.dtype)
    if logits.shape.rank != 2 or not labels.shape.is_compatible_with(logits.shape):
        raise LossError(
            f"{what}: labels {labels.shape} and logits {logits.shape} must have the same shape [batch, list]"
        )
    return labels, logits


def _item_weights(weights, labels):
    """[B, L]."""
    weights = tf.cast(1.0 if weights is None else weights, labels.dtype)
    return tf.broadcast_to(weights, tf.shape(labels))


def _list_weights(what: str, weights, labels):
    """[B]; LossError for weights of items."""
    weights = tf.cast(1.0 if weights is None else weights, labels.dtype)
    if weights.shape.rank == 2 and weights.shape[1] != 1:
        raise LossError(f"{what}: weights must be a number or [batch, 1], one for each list, not {weights.shape}")
    return tf.broadcast_to(tf.reshape(weights, [-1]), [tf.shape(labels)[0]])


def _pairwise(
    what: str, penalty: Callable, labels, logits, weights, lambda_weight, lambda_scale: bool, reduction: str, name
):
    with tf.name_scope(name or what):
        labels, logits = _lists(what, labels, logits)
        items = _item_weights(weights, labels)
        labels, logits, items = sort_by_scores(sort_key(labels, logits), [labels, logits, items])
        valid = is_label_valid(labels)
        apart = labels[:, :, tf.newaxis] - labels[:, tf.newaxis, :]
        counted = tf.logical_and(apart > 0, tf.logical_and(valid[:, :, tf.newaxis], valid[:, tf.newaxis, :]))
        pairs = tf.abs(apart) if lambda_weight is None else tf.cast(lambda_weight.pair_weights(labels), logits.dtype)
        if lambda_weight is not None and lambda_scale:
            pairs = pairs * tf.cast(tf.shape(labels)[1], logits.dtype)
        pairs = tf.where(counted, pairs * items[:, :, tf.newaxis], tf.zeros_like(pairs))
        difference = logits[:, :, tf.newaxis] - logits[:, tf.newaxis, :]
        return reduce_weighted(penalty(difference), tf.stop_gradient(pairs), reduction)


def pairwise_hinge_loss(
    labels, logits, weights=None, lambda_weight=None, lambda_scale: bool = True, reduction: str = NZ, name=None
):
    """max(0, 1 - (s_i - s_j)) over the pairs with label_i > label_j, weighted by weight_i * (label_i - label_j), or
    with lambda_weight weight_i * its pair weight, times L with lambda_scale. weights: of items or lists.

    Paper: Herbrich et al., Support Vector Learning for Ordinal Regression, 1999.
    """
    return _pairwise(
        "pairwise_hinge_loss",
        lambda d: tf.nn.relu(1.0 - d),
        labels,
        logits,
        weights,
        lambda_weight,
        lambda_scale,
        reduction,
        name,
    )


def pairwise_logistic_loss(
    labels, logits, weights=None, lambda_weight=None, lambda_scale: bool = True, reduction: str = NZ, name=None
):
    """log(1 + e^-(s_i - s_j)) over the same pairs with the same weights as pairwise_hinge_loss.

    Papers: Burges et al., RankNet, ICML 2005; with lambda_weight LambdaRank.
    """
    return _pairwise(
        "pairwise_logistic_loss",
        lambda d: tf.math.softplus(-d),
        labels,
        logits,
        weights,
        lambda_weight,
        lambda_scale,
        reduction,
        name,
    )


def pairwise_soft_zero_one_loss(labels, logits, weights=None, lambda_weight=None, reduction: str = NZ, name=None):
    """sigmoid(-(s_i - s_j)) over the same pairs with the same weights as pairwise_hinge_loss, with lambda_weight times
    L."""
    return _pairwise(
        "pairwise_soft_zero_one_loss",
        lambda d: tf.sigmoid(-d),
        labels,
        logits,
        weights,
        lambda_weight,
        True,
        reduction,
        name,
    )


def softmax_loss(labels, logits, weights=None, lambda_weight=None, reduction: str = NZ, name=None):
    """Cross entropy of y / sum(y) and softmax(logits) for each list, weighted by sum(y); y = label * weight, or with
    lambda_weight its item weight * weight. Lists without a y above 0 are left out. weights: of items or lists.

    Paper: Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007.
    """
    with tf.name_scope(name or "softmax_loss"):
        labels, logits = _lists("softmax_loss", labels, logits)
        items = _item_weights(weights, labels)
        if lambda_weight is not None:
            labels, logits, items = sort_by_scores(sort_key(labels, logits), [labels, logits, items])
        valid = is_label_valid(labels)
        if lambda_weight is not None:
            labels = tf.where(
                valid,
                tf.cast(lambda_weight.individual_weights(labels), logits.dtype),
                tf.fill(tf.shape(labels), tf.cast(-1.0, labels.dtype)),
            )
        targets = tf.where(valid, labels, tf.zeros_like(labels)) * items
        logits = tf.where(valid, logits, tf.fill(tf.shape(logits), tf.cast(_NO_LOGIT, logits.dtype)))
        total = tf.reduce_sum(targets, axis=1)
        kept = total > 0
        targets, logits, total = (tf.boolean_mask(t, kept) for t in (targets, logits, total))
        losses = tf.nn.softmax_cross_entropy_with_logits(labels=targets / total[:, tf.newaxis], logits=logits)
        return reduce_weighted(losses, total, reduction)


def _valid_items(what: str, labels, logits, weights):
    labels, logits = _lists(what, labels, logits)
    valid = is_label_valid(labels)
    return [tf.boolean_mask(t, valid) for t in (labels, logits, _item_weights(weights, labels))]


def sigmoid_cross_entropy_loss(labels, logits, weights=None, reduction: str = NZ, name=None):
    """Cross entropy of label and sigmoid(logit) over all items. weights: of items or lists."""
    with tf.name_scope(name or "sigmoid_cross_entropy_loss"):
        labels, logits, weights = _valid_items("sigmoid_cross_entropy_loss", labels, logits, weights)
        return reduce_weighted(
            tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits), weights, reduction
        )


def mean_squared_loss(labels, logits, weights=None, reduction: str = NZ, name=None):
    """(label - logit)^2 over all items. weights: of items or lists."""
    with tf.name_scope(name or "mean_squared_loss"):
        labels, logits, weights = _valid_items("mean_squared_loss", labels, logits, weights)
        return reduce_weighted(tf.math.squared_difference(labels, logits), weights, reduction)


def list_mle_loss(
    labels, logits, weights=None, lambda_weight=None, reduction: str = NZ, name=None, seed: int | None = None
):
    """Minus the log likelihood of the order by labels: sum over i of log(sum over j >= i of e^s_j) - s_i, times the
    item weights of lambda_weight. Items of equal labels are ordered at random, by seed. weights: a number or of lists
        [B, 1].

    Paper: Xia et al., Listwise Approach to Learning to Rank, ICML 2008.
    """
    with tf.name_scope(name or "list_mle_loss"):
        labels, logits = _lists("list_mle_loss", labels, logits)
        lists = _list_weights("list_mle_loss", weights, labels)
        valid = is_label_valid(labels)
        labels = tf.where(valid, labels, tf.zeros_like(labels))
        logits = tf.where(valid, logits, tf.fill(tf.shape(logits), tf.cast(_NO_LOGIT, logits.dtype)))
        order = organize_valid_indices(valid, seed=seed)
        labels, logits = tf.gather_nd(labels, order), tf.gather_nd(logits, order)
        labels, logits = sort_by_scores(labels, [labels, logits])
        logits = logits - tf.stop_gradient(tf.reduce_max(logits, axis=1, keepdims=True))
        terms = tf.math.log(tf.cumsum(tf.exp(logits), axis=1, reverse=True)) - logits
        if lambda_weight is not None:
            terms = terms * tf.cast(lambda_weight.individual_weights(labels), terms.dtype)
        return reduce_weighted(tf.reduce_sum(terms, axis=1), lists, reduction)


def approx_ndcg_loss(labels, logits, weights=None, reduction: str = Reduction.SUM, name=None, alpha: float = 10.0):
    """-NDCG with smooth ranks (`approx_ranks`): -sum of (2^label - 1) / log(1 + rank) * inverse_max_dcg for each list
    with a label above
    0. weights: a number or of lists [B, 1]. reduction: default weighted_sum. alpha: the larger, the closer to true
    ranks.

    Paper: Bruch et al., Revisiting Approximate Metric Optimization in the Age of Deep Neural Networks, SIGIR 2019.
    """
    with tf.name_scope(name or "approx_ndcg_loss"):
        labels, logits = _lists("approx_ndcg_loss", labels, logits)
        lists = _list_weights("approx_ndcg_loss", weights, labels)
        valid = is_label_valid(labels)
        labels = tf.where(valid, labels, tf.zeros_like(labels))
        logits = tf.where(valid, logits, tf.reduce_min(logits, axis=1, keepdims=True) - 1000.0)
        kept = tf.reduce_sum(labels, axis=1) > 0
        labels, logits, lists = (tf.boolean_mask(t, kept) for t in (labels, logits, lists))
        gain = exponential_gain(labels) * log_discount(approx_ranks(logits, alpha))
        costs = -tf.reduce_sum(gain, axis=1) * inverse_max_dcg(labels)[:, 0]
        return reduce_weighted(costs, lists, reduction)


LOSSES: dict[str, Callable] = {
    fn.__name__: fn
    for fn in (
        pairwise_hinge_loss,
        pairwise_logistic_loss,
        pairwise_soft_zero_one_loss,
        softmax_loss,
        sigmoid_cross_entropy_loss,
        mean_squared_loss,
        list_mle_loss,
        approx_ndcg_loss,
    )
}


def make_loss_fn(
    loss_keys: str | list[str],
    loss_weights: list[float] | None = None,
    weights_feature_name: str | None = None,
    lambda_weight: Any = None,
    reduction: str = NZ,
    name: str | None = None,
    seed: int | None = None,
    extra_args: dict | None = None,
) -> Callable:
    """fn(labels, logits, features) -> the sum of the losses of `loss_keys` (names of the functions here), each times
    its loss weight.

    weights_feature_name: features[...] are the weights. lambda_weight goes to the losses that take one, seed to
    list_mle_loss, reduction to all, extra_args to all that take them.
    LossError (a ValueError): Invalid reduction (none too), no keys, another number of loss_weights, and Invalid
    loss_key when the function is called.
    """
    if reduction not in Reduction.ALL or reduction == Reduction.NONE:
        raise LossError(f"Invalid reduction {reduction!r}: use one of {', '.join(Reduction.ALL[1:])}")
    keys = list(loss_keys) if isinstance(loss_keys, list) else [loss_keys]
    if not keys or not loss_keys:
        raise LossError("make_loss_fn: loss_keys is empty")
    if loss_weights is not None and len(loss_weights) != len(keys):
        raise LossError(f"make_loss_fn: {len(loss_weights)} loss_weights for {len(keys)} loss_keys")

    def loss_fn(labels, logits, features: dict):
        weights = features[weights_feature_name] if weights_feature_name else None
        shared = {
            "weights": weights,
            "lambda_weight": lambda_weight,
            "reduction": reduction,
            "name": name,
            "seed": seed,
            **(extra_args or {}),
        }
        found = []
        for key in keys:
            if key not in LOSSES:
                raise LossError(f"Invalid loss_key {key!r}: use one of {', '.join(LOSSES)}")
            taken = inspect.signature(LOSSES[key]).parameters
            found.append(LOSSES[key](labels, logits, **{k: v for k, v in shared.items() if k in taken}))
        return tf.add_n([loss * weight for loss, weight in zip(found, loss_weights or [1.0] * len(keys))])

    return loss_fn
