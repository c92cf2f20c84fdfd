"""Small functions of tensors that model files use beside layers: masks of sequences, combiners of ragged ids,
counters."""

from __future__ import annotations

import tensorflow as tf

from monolith_cli.layers.base import LayerError, shown


def gen_seq_mask(splits, max_seq_length: int):
    """[B, max_seq_length] of ones and zeros: row i begins with as many ones as it is long.

    splits: row splits [B+1], int32 or int64, or a tf.RaggedTensor; the mask has their type. In a graph, splits that
    fall or are empty are an InvalidArgumentError when it runs.
    """
    splits = splits.row_splits if isinstance(splits, tf.RaggedTensor) else tf.convert_to_tensor(splits)
    if splits.shape.rank != 1 or splits.dtype not in (tf.int32, tf.int64):
        raise LayerError(
            f"gen_seq_mask: row splits are a vector of int32 or int64, not {splits.dtype.name} {shown(splits.shape)}"
        )
    lengths = splits[1:] - splits[:-1]
    checks = [
        tf.debugging.assert_positive(tf.size(splits), message="gen_seq_mask: row splits are empty"),
        tf.debugging.assert_non_negative(lengths, message="gen_seq_mask: row splits fall"),
    ]
    with tf.control_dependencies([c for c in checks if c is not None]):
        return tf.sequence_mask(lengths, max_seq_length, dtype=splits.dtype)


_ROW_IDS = "_monolith_value_rowids"


def fused_value_rowids(ragged):
    """The row of each value of a tf.RaggedTensor; the same tensor for the same ragged one. ValueError for anything
    else."""
    if not isinstance(ragged, tf.RaggedTensor):
        raise ValueError(f"a RaggedTensor is needed, not {type(ragged).__name__}")
    if not hasattr(ragged, _ROW_IDS):
        setattr(ragged, _ROW_IDS, ragged.value_rowids())
    return getattr(ragged, _ROW_IDS)


def reduce_sum(ids, embeddings):
    """[B, d]: the sum of the embeddings [n, d] of the ids [B, None] of each row; zeros for an empty one."""
    return tf.math.unsorted_segment_sum(embeddings, fused_value_rowids(ids), ids.nrows())


def reduce_mean(ids, embeddings):
    """[B, d]: the mean of the embeddings [n, d] of the ids [B, None] of each row; zeros for an empty one."""
    counts = tf.cast(tf.maximum(ids.row_lengths(), 1), embeddings.dtype)
    return reduce_sum(ids, embeddings) / counts[:, tf.newaxis]


def reduce_sqrtn(ids, embeddings):
    """[B, d]: the root of the sum of the squares of the embeddings of each row; its gradient is x / y, and 0 where y is
    0."""
    squares = reduce_sum(ids, tf.square(embeddings))
    found = squares > 0
    return tf.where(found, tf.sqrt(tf.where(found, squares, tf.ones_like(squares))), tf.zeros_like(squares))


def first_n(ids, embeddings, seq_length: int):
    """[B, seq_length, d]: the embeddings of the first ids of each row, padded with zeros."""
    if seq_length <= 0:
        raise LayerError(f"first_n: seq_length must be above 0, not {seq_length}")
    rows = tf.RaggedTensor.from_row_splits(embeddings, ids.row_splits, validate=False)
    return rows[:, :seq_length].to_tensor(shape=[None, seq_length, embeddings.shape[-1]])


def fid_counter(counter, counter_threshold: float, step: float = 1.0):
    """min(counter + step, counter_threshold), for a slice of width 1 that counts how often an id occurs.

    Its gradient is -step whatever comes in, and 0 where counter has reached the threshold: with SGD at rate 1 the
    stored counter grows by step per use. The slice starts from a constant; with float16 the threshold must not be above
    60000.
    """

    @tf.custom_gradient
    def count(x):
        full = x >= counter_threshold
        return tf.minimum(x + step, counter_threshold), lambda _: tf.where(
            full, tf.zeros_like(x), tf.fill(tf.shape(x), tf.cast(-step, x.dtype))
        )

    return count(tf.convert_to_tensor(counter))
