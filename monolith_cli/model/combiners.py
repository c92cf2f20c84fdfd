"""How the embeddings of one row of a feature become one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from monolith_cli.model import reductions
from monolith_cli.model.errors import ModelError, suggestion


class Combiner:
    """Base of the combiners. `name` is what the lookup op knows; `max_seq_length` is 0 unless a sequence is kept."""

    name = ""
    max_seq_length = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def output_shape(self, dim: int) -> tuple[int | None, ...]:
        """Static shape of a slice of `dim` floats; the first entry is the batch."""
        return (None, dim)

    def combine(self, key: tf.RaggedTensor, embedding: tf.Tensor, name: str | None = None) -> tf.Tensor:
        """Embeddings [n, d], one for each of the n ids of `key` [B, None], as one tensor for each of the B rows. Looked-up
        features come combined; this is for tensors of one's own. Raises ModelError when the two do not fit."""
        key, embedding = self._checked(key, embedding)
        return tf.identity(self._combine(key, embedding), name=name)

    def _combine(self, key: tf.RaggedTensor, embedding: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError

    def _checked(self, key, embedding):
        if not isinstance(key, tf.RaggedTensor):
            raise ModelError(f"{self!r}: the ids must be a ragged tensor [B, None], not {type(key).__name__}")
        embedding = tf.convert_to_tensor(embedding)
        if embedding.shape.rank not in (2, None):
            raise ModelError(f"{self!r}: embeddings must have the shape [ids, dim], not {embedding.shape}")
        ids = key.values.shape[0]
        if None not in (ids, embedding.shape[0]) and ids != embedding.shape[0]:
            raise ModelError(f"{self!r}: there are {ids} ids, but embeddings of the shape {embedding.shape}")
        return key, embedding


class ReduceSum(Combiner):
    """Sum over the ids of a row: [B, dim], zeros for an empty row."""

    name = "reduce_sum"

    def _combine(self, key, embedding):
        return reductions.reduce_sum(reductions.fused_value_rowids(key), embedding, key.nrows())


class ReduceMean(Combiner):
    """Mean over the ids of a row: [B, dim], zeros for an empty row."""

    name = "reduce_mean"

    def _combine(self, key, embedding):
        return reductions.reduce_mean(reductions.fused_value_rowids(key), embedding, key.nrows())


class FirstN(Combiner):
    """The first `max_seq_length` ids of a row: [B, max_seq_length, dim], padded with zeros, further ids dropped."""

    name = "first_n"

    def __init__(self, max_seq_length: int):
        if max_seq_length <= 0:
            raise ModelError(f"FirstN needs max_seq_length > 0, not {max_seq_length}")
        self.max_seq_length = int(max_seq_length)

    def __repr__(self) -> str:
        return f"FirstN({self.max_seq_length})"

    def output_shape(self, dim: int) -> tuple[int | None, ...]:
        return (None, self.max_seq_length, dim)

    def _combine(self, key, embedding):
        dim = embedding.shape[-1]
        if dim is None:
            raise ModelError(
                f"{self!r}: the width of the embeddings must be known, but their shape is {embedding.shape}"
            )
        rows = tf.RaggedTensor.from_row_splits(embedding, key.row_splits, validate=False)
        padded = rows.to_tensor(shape=[None, self.max_seq_length, dim])
        return tf.ensure_shape(padded, [None, self.max_seq_length, dim])


def combine_and_split(
    key: tf.RaggedTensor, embedding: tf.Tensor, combiner: Combiner, slice_dims: Sequence[int]
) -> list[tf.Tensor]:
    """Whole embeddings [n, D], one for each id of `key`, as the slices of one feature: combined, then cut on the last axis
    into widths that add up to D."""
    width = tf.convert_to_tensor(embedding).shape[-1]
    if width is not None and width != sum(slice_dims):
        total = sum(slice_dims)
        raise ModelError(
            f"embeddings of {width} floats cannot be cut into slices of {list(slice_dims)}: they add up to {total}"
        )
    return tf.split(combiner.combine(key, embedding), list(slice_dims), axis=-1)


def make_combiner(combiner: str | Combiner | None, max_seq_length: int = 0) -> Combiner:
    """The combiner of a column: an object as it is, a name, or None (FirstN with max_seq_length > 0, else ReduceSum)."""
    if isinstance(combiner, Combiner):
        return combiner
    if combiner is None:
        return FirstN(max_seq_length) if max_seq_length > 0 else ReduceSum()
    if combiner == "first_n":
        return FirstN(max_seq_length)
    if combiner == "reduce_sum":
        return ReduceSum()
    if combiner == "reduce_mean":
        return ReduceMean()
    raise ModelError(
        f"unknown combiner {combiner!r}: use reduce_sum, reduce_mean, first_n or a combiner object"
        + suggestion(str(combiner), ["reduce_sum", "reduce_mean", "first_n"])
    )
