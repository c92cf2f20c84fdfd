"""Columns: a feature looked up in a slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from monolith_cli.model.combiners import Combiner, ReduceSum
from monolith_cli.model.errors import ModelError
from monolith_cli.model.slots import FeatureSlice, FeatureSlot

if TYPE_CHECKING:
    from monolith_cli.model.feature import FeatureFactory


class FeatureColumn:
    """A feature looked up in a slot; several columns may be of one slot, and so share its table."""

    def __init__(self, factory: FeatureFactory, slot: FeatureSlot, feature_name: str, combiner: Combiner | None = None):
        self._factory = factory
        self.feature_slot = slot
        self.feature_name = feature_name
        self.combiner = combiner or ReduceSum()
        self._lengths: tf.Tensor | None = None

    def __str__(self) -> str:
        return self.feature_name

    def embedding_lookup(self, s: FeatureSlice) -> tf.Tensor:
        """[B, dim] of one slice; [B, max_seq_length, dim] with the combiner FirstN. The same tensor each time."""
        if s.slot.name != self.feature_slot.name:
            raise ModelError(
                f"column {self.feature_name!r} is of slot {self.feature_slot.name!r}, the slice of {s.slot.name!r}"
            )
        return self._factory.lookup(self, s)

    def get_all_embeddings_concat(self) -> tf.Tensor:
        """Every slice side by side: [B, sum of dims]; [B, max_seq_length, sum of dims] with FirstN."""
        return tf.concat([self.embedding_lookup(s) for s in self.feature_slot.slices], axis=-1)

    def get_bias(self) -> tf.Tensor:
        """[B, 1]: the bias slice of a slot that was made with has_bias; [B, max_seq_length, 1] with FirstN."""
        return self.embedding_lookup(self.feature_slot.get_bias_slice())

    def get_lengths(self) -> tf.Tensor:
        """int32 [B]: how many ids of each row are kept, up to max_seq_length. For FirstN alone."""
        self._check_sequence()
        lengths = self._factory.ragged(self).row_lengths() if self._lengths is None else self._lengths
        return tf.minimum(tf.cast(lengths, tf.int32), self.combiner.max_seq_length)

    def get_size_tensor(self) -> tf.Tensor:
        """int32 [B, max_seq_length]: 1 where the sequence has an id, 0 where it is padding. For FirstN alone."""
        return tf.sequence_mask(self.get_lengths(), self.combiner.max_seq_length, dtype=tf.int32)

    def set_size_tensor(self, row_lengths: tf.Tensor) -> None:
        """Takes these lengths [B] for the mask, in place of those of the input. For FirstN alone."""
        self._check_sequence()
        self._lengths = tf.reshape(tf.convert_to_tensor(row_lengths), [-1])

    def forget_sizes(self) -> None:
        """Drops the lengths that were set: they belong to the graph before."""
        self._lengths = None

    def _check_sequence(self) -> None:
        if not self.combiner.max_seq_length:
            raise ModelError(f"column {self.feature_name!r} keeps no sequence: give it max_seq_length")
