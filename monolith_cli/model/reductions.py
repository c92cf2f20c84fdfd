"""Rows of ids -> one row: what combiners are made of, and model files may use on tensors of their own (spec 40, 9).

`ids` names the row of each value: int64 [n] or [n, 1]. Rows that no value names are zeros, in every reduction. All have
gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from monolith_cli.model.errors import ModelError


def reduce_sum(ids, values, rows) -> tf.Tensor:
    """[rows, d]: sum of values [n, d]."""
    return tf.math.unsorted_segment_sum(values, _flat(ids), _count(rows))


def reduce_mean(ids, values, rows) -> tf.Tensor:
    """[rows, d]: sum of values [n, d], times 1 / their number."""
    ids, rows = _flat(ids), _count(rows)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(ids, values.dtype), ids, rows)
    return reduce_sum(ids, values, rows) * tf.expand_dims(tf.math.divide_no_nan(tf.ones_like(counts), counts), -1)


def reduce_sqrtn(ids, values, rows) -> tf.Tensor:
    """[rows, d]: root of the sum of the squares of values [n, d]. The gradient of x is x / root, 0 where that is 0."""
    ids, rows = _flat(ids), _count(rows)

    @tf.custom_gradient
    def norm(x):
        root = tf.sqrt(reduce_sum(ids, tf.square(x), rows))

        def gradient(upstream):
            return tf.math.divide_no_nan(x, tf.gather(root, ids)) * tf.gather(upstream, ids)

        return root, gradient

    return norm(tf.convert_to_tensor(values))


def fused_reduce_sum_and_split(ids, values, rows, split_dims: Sequence[int]) -> list[tf.Tensor]:
    """`reduce_sum` of values [n, D], cut into one [rows, dim] for each of split_dims, which add up to D."""
    width = values.shape[-1]
    if width is not None and width != sum(split_dims):
        raise ModelError(
            f"values of {width} floats cannot be split into {list(split_dims)}: they add up to {sum(split_dims)}"
        )
    return tf.split(reduce_sum(ids, values, rows), list(split_dims), axis=-1)


def fused_sorted_segment_sum(ids: Sequence, values: Sequence, shapes: Sequence) -> list[tf.Tensor]:
    """Several sums at once: the values of each added up in a tensor of its shape."""
    if not len(ids) == len(values) == len(shapes):
        raise ModelError(f"{len(ids)} ids, {len(values)} values and {len(shapes)} shapes: they must be equally many")
    return [tf.reshape(reduce_sum(i, v, s[0]), s) for i, v, s in zip(ids, values, shapes)]


def gen_seq_mask(splits, max_seq_length: int) -> tf.Tensor:
    """[B, max_seq_length]: 1 where a row has a value, 0 where it is padding. splits: row splits [B + 1] (int32 or int64: the
    type of the mask), or a RaggedTensor."""
    if max_seq_length < 1:
        raise ModelError(f"gen_seq_mask: max_seq_length must be above 0, not {max_seq_length}")
    splits = tf.convert_to_tensor(splits.row_splits if isinstance(splits, tf.RaggedTensor) else splits)
    return tf.sequence_mask(splits[1:] - splits[:-1], max_seq_length, dtype=splits.dtype)


def fused_value_rowids(ragged: tf.RaggedTensor) -> tf.Tensor:
    """int64 [n]: the row of each value. A second call with the same object returns the same tensor."""
    if not isinstance(ragged, tf.RaggedTensor):
        raise ValueError(f"fused_value_rowids takes a RaggedTensor, not {type(ragged).__name__}")
    if not hasattr(ragged, "_monolith_value_rowids"):
        ragged._monolith_value_rowids = ragged.value_rowids()
    return ragged._monolith_value_rowids


def _flat(ids) -> tf.Tensor:
    return tf.reshape(tf.convert_to_tensor(ids), [-1])


def _count(rows) -> tf.Tensor:
    """Number of rows: a number, or a shape [rows]."""
    return tf.reshape(tf.convert_to_tensor(rows), [-1])[0]
