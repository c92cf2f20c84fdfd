"""Weights of pairs and items that bring a ranking loss closer to a metric. Labels [B, L] come sorted by their logits,
rank 1 first; labels
below 0 pad. Paper: Wang et al., The LambdaLoss Framework for Ranking Metric Optimization, CIKM 2018."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from monolith_cli.losses.ranking import exponential_gain, inverse_max_dcg, is_label_valid, log_discount, ranks_like


class LambdaWeight:
    """Base: what a metric gives to pairs, to items, or to both."""

    def pair_weights(self, sorted_labels):
        """[B, L, L]."""
        raise NotImplementedError(f"{type(self).__name__} has no weights of pairs: it does not go with pairwise losses")

    def individual_weights(self, sorted_labels):
        """[B, L]."""
        raise NotImplementedError(f"{type(self).__name__} has no weights of items: it goes with pairwise losses alone")


def _pairs(values):
    """values_i - values_j [B, L, L]."""
    return values[:, :, tf.newaxis] - values[:, tf.newaxis, :]


def _valid_pairs(labels):
    valid = is_label_valid(labels)
    return tf.logical_and(valid[:, :, tf.newaxis], valid[:, tf.newaxis, :])


def _without_padding(labels):
    return tf.where(is_label_valid(labels), labels, tf.zeros_like(labels))


class DCGLambdaWeight(LambdaWeight):
    """By how much DCG changes when two items change places.

    Pairs: |G_i - G_j| * ((1 - s) u_ij + s v_ij), G the gain of the label; u_ij = |D(d) - D(d + 1)| with d = |rank_i -
    rank_j| (0 where d is 0; ranks beyond topn count as topn + 1), v_ij = |D(rank_i) - D(rank_j)| (D 0 beyond topn), s =
    smooth_fraction; 0 where neither is
    among the first topn. Items: G_i D(rank_i).

    topn: default None, all. gain_fn: default the label. rank_discount_fn D: default 1 / rank. normalized: G times
    inverse_max_dcg. AssertionError for a smooth_fraction outside of [0, 1].
    """

    def __init__(
        self,
        topn: int | None = None,
        gain_fn: Callable = lambda label: label,
        rank_discount_fn: Callable = lambda rank: 1.0 / rank,
        normalized: bool = False,
        smooth_fraction: float = 0.0,
    ):
        assert 0 <= smooth_fraction <= 1, f"smooth_fraction must lie in [0, 1], not {smooth_fraction}"
        self.topn, self.gain_fn, self.rank_discount_fn = topn, gain_fn, rank_discount_fn
        self.normalized, self.smooth_fraction = normalized, smooth_fraction

    def _gains(self, labels):
        gain = self.gain_fn(labels)
        if self.normalized:
            gain = gain * inverse_max_dcg(labels, self.gain_fn, self.rank_discount_fn, self.topn)
        return gain

    def pair_weights(self, sorted_labels):
        valid = _valid_pairs(sorted_labels)
        labels = _without_padding(sorted_labels)
        gain = tf.abs(_pairs(self._gains(labels)))
        ranks = ranks_like(labels)
        near = tf.ones_like(ranks, tf.bool) if self.topn is None else ranks <= self.topn
        capped = (
            ranks
            if self.topn is None
            else tf.where(near, ranks, tf.fill(tf.shape(ranks), tf.cast(self.topn + 1, ranks.dtype)))
        )
        apart = tf.abs(_pairs(capped))
        # Where the distance is 0 the discount is not asked: it may not be there.
        safe = tf.where(apart > 0, apart, tf.ones_like(apart))
        relative = tf.where(
            apart > 0, tf.abs(self.rank_discount_fn(safe) - self.rank_discount_fn(safe + 1.0)), tf.zeros_like(apart)
        )
        discount = tf.where(near, self.rank_discount_fn(ranks), tf.zeros_like(ranks))
        s = self.smooth_fraction
        weights = gain * ((1.0 - s) * relative + s * tf.abs(_pairs(discount)))
        counted = tf.logical_and(valid, tf.logical_or(near[:, :, tf.newaxis], near[:, tf.newaxis, :]))
        return tf.where(counted, weights, tf.zeros_like(weights))

    def individual_weights(self, sorted_labels):
        labels = _without_padding(sorted_labels)
        return self._gains(labels) * self.rank_discount_fn(ranks_like(labels))


class PrecisionLambdaWeight(LambdaWeight):
    """1 for the pairs of which one is positive, the other is not, and one alone is among the first topn.

    positive_fn: labels -> booleans; default label >= 1.
    """

    def __init__(self, topn: int, positive_fn: Callable = lambda label: tf.greater_equal(label, 1.0)):
        self.topn, self.positive_fn = topn, positive_fn

    def pair_weights(self, sorted_labels):
        positive = tf.cast(self.positive_fn(_without_padding(sorted_labels)), sorted_labels.dtype)
        near = tf.cast(ranks_like(sorted_labels) <= self.topn, sorted_labels.dtype)
        changes = tf.abs(_pairs(positive)) * tf.abs(_pairs(near))
        return tf.where(_valid_pairs(sorted_labels), changes, tf.zeros_like(changes))


class IdentityLambdaWeight(LambdaWeight):
    """1 for everything."""

    def pair_weights(self, sorted_labels):
        return tf.ones_like(_pairs(sorted_labels))

    def individual_weights(self, sorted_labels):
        return tf.ones_like(sorted_labels)


class ListMLELambdaWeight(LambdaWeight):
    """rank_discount_fn(rank) for items, in the order of the labels."""

    def __init__(self, rank_discount_fn: Callable):
        self.rank_discount_fn = rank_discount_fn

    def individual_weights(self, sorted_labels):
        return tf.ones_like(sorted_labels) * self.rank_discount_fn(ranks_like(sorted_labels))


def create_ndcg_lambda_weight(topn: int | None = None, smooth_fraction: float = 0.0) -> DCGLambdaWeight:
    """Of NDCG: gain 2^label - 1, discount 1 / log(1 + rank), normalized."""
    return DCGLambdaWeight(topn, exponential_gain, log_discount, normalized=True, smooth_fraction=smooth_fraction)


def create_reciprocal_rank_lambda_weight(topn: int | None = None, smooth_fraction: float = 0.0) -> DCGLambdaWeight:
    """Of the mean reciprocal rank: gain label, discount 1 / rank, normalized."""
    return DCGLambdaWeight(topn, normalized=True, smooth_fraction=smooth_fraction)


def create_p_list_mle_lambda_weight(list_size: int) -> ListMLELambdaWeight:
    """2^(list_size - rank) - 1. Paper: Lan et al., Position-Aware ListMLE, UAI 2014."""
    return ListMLELambdaWeight(lambda rank: tf.pow(tf.cast(2.0, rank.dtype), list_size - rank) - 1.0)
