"""Slots, slices and columns: which tables a model has, and what one lookup of a feature gives.

A slot is one embedding table. A slice is a range of its columns with its own initializer, optimizer and learning rate. A
column is a feature looked up in a slot. A `FeatureFactory` holds those of one model; while a graph is built it also holds
what the fused lookup gave for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from monolith_cli.model.combiners import Combiner, ReduceSum, make_combiner
from monolith_cli.model.errors import ModelError, suggestion
from monolith_cli.tables import config as table_config

DEFAULT_EXPIRE_DAYS = 36500


@dataclass
class FeatureSlotConfig:
    """Definition of a table; what a slice leaves out falls back to `default_vec_*`.

    occurrence_threshold: occurrences of an id that are kept out of the table before it gets a row; 0: none.
    expire_time: days without an update after which an id is dropped when a table is saved or evicted.
    """

    name: str | None = None
    slot_id: int | None = None
    has_bias: bool = False
    bias_initializer: Any = field(default_factory=table_config.ZerosInitializer)
    bias_optimizer: Any = field(
        default_factory=lambda: table_config.FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0)
    )
    bias_compressor: Any = field(default_factory=table_config.Fp32Compressor)
    bias_learning_rate_fn: Any = None
    default_vec_initializer: Any = field(default_factory=table_config.RandomUniformInitializer)
    default_vec_optimizer: Any = field(
        default_factory=lambda: table_config.AdagradOptimizer(initial_accumulator_value=1.0)
    )
    default_vec_compressor: Any = field(default_factory=table_config.Fp16Compressor)
    default_vec_learning_rate_fn: Any = None
    hashtable_config: Any = field(default_factory=table_config.CuckooHashTableConfig)
    occurrence_threshold: int = 0
    expire_time: int = DEFAULT_EXPIRE_DAYS

    def __post_init__(self):
        if self.name is None:
            self.name = str(self.slot_id)


@dataclass(eq=False)
class FeatureSlice:
    """Columns [start, end) of a slot's embedding."""

    slot: "FeatureSlot"
    index: int
    start: int
    end: int
    initializer: Any
    optimizer: Any
    compressor: Any
    learning_rate_fn: Any

    @property
    def dim(self) -> int:
        return self.end - self.start


class FeatureSlot:
    """One embedding table and its slices."""

    def __init__(self, config: FeatureSlotConfig):
        self.config = config
        self.name = config.name
        self.slices: list[FeatureSlice] = []
        self.frozen = False
        if config.has_bias:
            self.add_feature_slice(
                1,
                config.bias_initializer,
                config.bias_optimizer,
                config.bias_compressor,
                config.bias_learning_rate_fn,
            )

    def add_feature_slice(
        self, dim: int, initializer=None, optimizer=None, compressor=None, learning_rate_fn=None
    ) -> FeatureSlice:
        """The next `dim` columns. What is None comes from the slot's `default_vec_*`."""
        if not isinstance(dim, int) or dim <= 0:
            raise ModelError(f"slot {self.name!r}: the width of a slice must be a positive number, not {dim!r}")
        if self.frozen:
            raise ModelError(
                f"slot {self.name!r}: a slice of {dim} floats is looked up that model_fn does not look up in mode 'train'"
            )
        c = self.config
        start = self.slices[-1].end if self.slices else 0
        made = FeatureSlice(
            self,
            len(self.slices),
            start,
            start + dim,
            c.default_vec_initializer if initializer is None else initializer,
            c.default_vec_optimizer if optimizer is None else optimizer,
            c.default_vec_compressor if compressor is None else compressor,
            c.default_vec_learning_rate_fn if learning_rate_fn is None else learning_rate_fn,
        )
        self.slices.append(made)
        return made

    def get_bias_slice(self) -> FeatureSlice:
        if not self.config.has_bias:
            raise ModelError(f"slot {self.name!r} has no bias: make it with has_bias=True")
        return self.slices[0]

    @property
    def dim(self) -> int:
        return self.slices[-1].end if self.slices else 0

    @property
    def slice_dims(self) -> list[int]:
        return [s.dim for s in self.slices]


class FeatureColumn:
    """A feature looked up in a slot."""

    def __init__(self, factory: "FeatureFactory", slot: FeatureSlot, feature_name: str, combiner: Combiner | None = None):
        self._factory = factory
        self.feature_slot = slot
        self.feature_name = feature_name
        self.combiner = combiner or ReduceSum()

    def __str__(self) -> str:
        return self.feature_name

    def embedding_lookup(self, s: FeatureSlice) -> tf.Tensor:
        """[B, dim] of one slice; [B, max_seq_length, dim] with the combiner FirstN."""
        if s.slot.name != self.feature_slot.name:
            raise ModelError(
                f"column {self.feature_name!r} is of slot {self.feature_slot.name!r}, the slice of {s.slot.name!r}"
            )
        return self._factory.lookup(self, s)

    def get_all_embeddings_concat(self) -> tf.Tensor:
        """Every slice side by side: [B, sum of dims]."""
        return tf.concat([self.embedding_lookup(s) for s in self.feature_slot.slices], axis=-1)

    def get_bias(self) -> tf.Tensor:
        """[B, 1]: the bias slice of a slot that was made with has_bias."""
        return self.embedding_lookup(self.feature_slot.get_bias_slice())

    def get_size_tensor(self) -> tf.Tensor:
        """int32 [B, max_seq_length]: 1 where the sequence has an id, 0 where it is padding. For FirstN alone."""
        if not self.combiner.max_seq_length:
            raise ModelError(f"column {self.feature_name!r} keeps no sequence: give it max_seq_length")
        lengths = self._factory.ragged(self).row_lengths()
        return tf.sequence_mask(lengths, self.combiner.max_seq_length, dtype=tf.int32)


class Features(dict):
    """The features of a batch by name; asking for one that is not there tells which are."""

    def __missing__(self, name):
        raise ModelError(f"unknown feature {name!r}: the input has {', '.join(sorted(self))}" + suggestion(name, self))


class FeatureFactory:
    """The slots and columns of one model, and their embeddings in the graph that is being built.

    Three phases: free (columns may be made), collecting (`begin_collect`: model_fn runs on placeholders and its slices
    are noted), bound (`bind`: model_fn runs on what the fused lookup gave).
    """

    def __init__(self):
        self.slots: dict[str, FeatureSlot] = {}
        self.columns: dict[str, FeatureColumn] = {}
        self.slot_ids: dict[str, int] = {}
        self._sequence = 0
        self._features: Features | None = None
        self._lookups: dict[str, list[tf.Tensor]] | None = None
        self._collecting = False
        self._placeholders: dict[tuple[str, int], tf.Tensor] = {}

    # --- names -------------------------------------------------------------------------------------------------------

    def resolve_name(self, feature_name: str | int) -> tuple[str, int | None]:
        """(name, slot): N -> `fc_slot_N` (`slot_N` where the input calls it so); `slot_N`, `fc_slot_N` -> N; any other
        name -> None (its ids carry their slot themselves)."""
        if isinstance(feature_name, int):
            names = (f"fc_slot_{feature_name}", f"slot_{feature_name}")
            return next((n for n in names if self._features and n in self._features), names[0]), feature_name
        if not isinstance(feature_name, str):
            raise ModelError(f"a feature is named by a string or a slot number, not by {type(feature_name).__name__}")
        if feature_name in self.slot_ids:
            return feature_name, self.slot_ids[feature_name]
        if feature_name.startswith(("slot_", "fc_slot_")):
            digits = feature_name.rpartition("_")[2]
            return feature_name, int(digits) if digits.isdigit() else None
        return feature_name, None

    def sequential_slot(self, feature_name: str) -> int:
        """A number for a feature that has no slot of its own: 1, 2, … in order of first use."""
        if feature_name not in self.slot_ids:
            self._sequence += 1
            self.slot_ids[feature_name] = self._sequence
        return self.slot_ids[feature_name]

    # --- definitions -------------------------------------------------------------------------------------------------

    def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
        if config.name in self.slots:
            raise ModelError(f"slot {config.name!r} exists already: create the base column before those that share it")
        slot = FeatureSlot(config)
        self.slots[config.name] = slot
        return slot

    def create_column(
        self, name: str, slot: FeatureSlot, combiner: str | Combiner | None, max_seq_length: int
    ) -> FeatureColumn:
        column = FeatureColumn(self, slot, name, make_combiner(combiner, max_seq_length))
        self.columns[name] = column
        return column

    # --- phases ------------------------------------------------------------------------------------------------------

    def begin_collect(self, features: dict[str, Any]) -> Features:
        """Starts the phase in which lookups give placeholders; `features` are those of one parsed batch."""
        self._features, self._collecting, self._lookups = Features(features), True, None
        self._placeholders = {}
        return self._features

    def end_collect(self) -> None:
        """Freezes the slots. Raises ModelError for a column without a slice."""
        for column in self.columns.values():
            if not column.feature_slot.slices:
                raise ModelError(
                    f"feature column {column.feature_name!r} has no slice: look it up with lookup_embedding_slice, or drop it"
                )
        for slot in self.slots.values():
            slot.frozen = True
        self._collecting = False

    def adopt(self, other: "FeatureFactory") -> None:
        """Takes over the slots and columns that another object of the same model has collected."""
        for name, slot in other.slots.items():
            own = self.slots.setdefault(name, slot)
            own.slices, own.frozen = slot.slices, True
        for name, column in other.columns.items():
            if name not in self.columns:
                self.columns[name] = FeatureColumn(self, self.slots[column.feature_slot.name], name, column.combiner)
        self.slot_ids = dict(other.slot_ids)

    def bind(self, features: dict[str, Any], lookups: dict[str, list[tf.Tensor]]) -> Features:
        """Starts the phase in which lookups give `lookups`: column name -> one tensor per slice of its slot."""
        self._features, self._lookups = Features(features), lookups
        return self._features

    def present_columns(self, features: dict[str, Any]) -> list[FeatureColumn]:
        """The columns whose feature the input has."""
        return [c for c in self.columns.values() if source_name(c.feature_name, features) is not None]

    # --- lookups -----------------------------------------------------------------------------------------------------

    def ragged(self, column: FeatureColumn) -> tf.RaggedTensor:
        """The ids of a column in the batch at hand. Raises ModelError when the input lacks it or has it dense."""
        if self._features is None:
            raise ModelError(f"column {column.feature_name!r} is looked up outside model_fn")
        name = source_name(column.feature_name, self._features)
        value = self._features[column.feature_name if name is None else name]
        if not isinstance(value, tf.RaggedTensor):
            raise ModelError(
                f"feature {name!r} is dense ({value.dtype.name} {value.shape}): an embedding needs a sparse feature, "
                "a ragged tensor of int64 ids"
            )
        return value

    def lookup(self, column: FeatureColumn, s: FeatureSlice) -> tf.Tensor:
        self.ragged(column)
        if self._collecting:
            key = (column.feature_name, s.index)
            if key not in self._placeholders:
                shape = column.combiner.output_shape(s.dim)
                self._placeholders[key] = tf.compat.v1.placeholder(tf.float32, shape, f"{column.feature_name}_{s.start}")
            return self._placeholders[key]
        if self._lookups is None or column.feature_name not in self._lookups:
            raise ModelError(f"feature {column.feature_name!r} is looked up here, but not by model_fn in mode 'train'")
        return self._lookups[column.feature_name][s.index]


def source_name(name: str, features: Iterable[str]) -> str | None:
    """The key under which `features` has a column: its name, or the other spelling of `slot_N` and `fc_slot_N`."""
    if name in features:
        return name
    other = name[3:] if name.startswith("fc_slot_") else "fc_" + name if name.startswith("slot_") else None
    return other if other is not None and other in features else None


def switch_slot(ids: tf.RaggedTensor, slot: int) -> tf.RaggedTensor:
    """The same ids (v2) under another slot."""
    if not 0 <= slot < 32768:
        raise ModelError(f"slot {slot} does not fit: slots are 0..32767")
    mask = tf.constant((1 << 48) - 1, tf.int64)
    return ids.with_flat_values(tf.bitwise.bitwise_or(tf.bitwise.bitwise_and(ids.flat_values, mask), slot << 48))
