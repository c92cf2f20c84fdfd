"""The features of a model: its slots and columns, and what one lookup of a feature gives.

A slot is one embedding table (`slots.py`). A slice is a range of its columns with its own initializer, optimizer and
learning rate. A column is a feature looked up in a slot (`columns.py`). A `FeatureFactory` holds those of one model; while a
graph is built it also holds what was looked up for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from monolith_cli.model import lookups as lookup_forms
from monolith_cli.model.columns import FeatureColumn
from monolith_cli.model.combiners import Combiner, make_combiner
from monolith_cli.model.errors import ModelError, suggestion
from monolith_cli.model.parsers import current_context
from monolith_cli.model.slots import DEFAULT_EXPIRE_DAYS, FeatureSlice, FeatureSlot, FeatureSlotConfig
from monolith_cli.tables.layouts import Layout, LayoutFeature, LayoutPlan

__all__ = [
    "DEFAULT_EXPIRE_DAYS",
    "FeatureColumn",
    "FeatureFactory",
    "FeatureSlice",
    "FeatureSlot",
    "FeatureSlotConfig",
    "Features",
    "source_name",
    "switch_slot",
]


class Features(dict):
    """The features of a batch by name; asking for one that is not there tells which are."""

    def __missing__(self, name):
        hint = suggestion(name, self) or "; parse_fn must ask for it"
        raise ModelError(f"unknown feature {name!r}: the input has {', '.join(sorted(self)) or 'none'}{hint}")


@dataclass(frozen=True)
class LayoutRequest:
    """What one lookup of model_fn makes: `slices` are (column, start, end); `out_type` none, concat, stack or addn."""

    name: str
    out_type: str
    slices: tuple[tuple[str, int, int], ...]


class FeatureFactory:
    """The slots and columns of one model, and their embeddings in the graph that is being built.

    Three phases: free (columns may be made), collecting (`begin_collect`: model_fn runs on placeholders and its slices
    are noted), bound (`bind`: model_fn runs on what was looked up, slices of columns or whole layouts).
    """

    def __init__(self):
        self.slots: dict[str, FeatureSlot] = {}
        self.columns: dict[str, FeatureColumn] = {}
        self.slot_ids: dict[str, int] = {}
        self.requests: dict[str, LayoutRequest] = {}
        self._made: set[str] = set()  # slots that this run of model_fn has made
        self._sequence = 0
        self._features: Features | None = None
        self._lookups: dict[str, list[tf.Tensor]] | None = None
        self._layouts: dict[str, Any] | None = None
        self._collecting = False
        self._placeholders: dict[tuple[str, int], tf.Tensor] = {}

    @property
    def features(self) -> Features:
        """The features of the batch at hand."""
        return Features(self._features or {})

    # --- names -------------------------------------------------------------------------------------------------------

    def resolve_name(self, feature_name: str | int) -> tuple[str, int | None]:
        """(name, slot): N -> what the feature list calls that slot, else `fc_slot_N` (`slot_N` where the input calls it so);
        a name of the feature list -> its slot; `slot_N`, `fc_slot_N` -> N; any other name -> None (its ids carry their slot
        themselves)."""
        listed = current_context().feature_list
        if isinstance(feature_name, int):
            for name, slot in listed.items():
                if slot == feature_name:
                    return name, slot
            names = (f"fc_slot_{feature_name}", f"slot_{feature_name}")
            return next((n for n in names if self._features and n in self._features), names[0]), feature_name
        if not isinstance(feature_name, str):
            raise ModelError(f"a feature is named by a string or a slot number, not by {type(feature_name).__name__}")
        if feature_name in listed:
            return feature_name, listed[feature_name]
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
        """A new table. model_fn, which runs for several graphs, is given the same one in each."""
        known = self.slots.get(config.name)
        if known is not None and known.frozen and config.name not in self._made:
            self._made.add(config.name)
            return known
        if known is not None:
            raise ModelError(f"slot {config.name!r} exists already: create the base column before those that share it")
        self._made.add(config.name)
        slot = FeatureSlot(config)
        self.slots[config.name] = slot
        return slot

    def create_column(
        self, name: str, slot: FeatureSlot, combiner: str | Combiner | None, max_seq_length: int
    ) -> FeatureColumn:
        """The column of a feature; it has one."""
        if slot is not self.slots.get(slot.name):
            raise ModelError(
                f"column {name!r}: slot {slot.name!r} is of another model: make it with create_feature_slot"
            )
        known = self.columns.get(name)
        if known is not None:
            if known.feature_slot.name != slot.name:
                raise ModelError(
                    f"feature {name!r} is in two tables: slot {known.feature_slot.name!r} and slot {slot.name!r}"
                )
            return known
        column = FeatureColumn(self, slot, name, make_combiner(combiner, max_seq_length))
        self.columns[name] = column
        return column

    # --- phases ------------------------------------------------------------------------------------------------------

    def begin_collect(self, features: dict[str, Any]) -> Features:
        """Starts the phase in which lookups give placeholders; `features` are those of one parsed batch."""
        self._features, self._collecting, self._lookups = Features(features), True, None
        self._placeholders, self.requests = {}, {}
        return self._features

    def end_collect(self) -> None:
        """Freezes the slots. Raises ModelError for a column without a slice."""
        for column in self.columns.values():
            if not column.feature_slot.slices:
                raise ModelError(
                    f"feature column {column.feature_name!r} has no slice: look it up with lookup_embedding_slice, "
                    "or drop it"
                )
        for slot in self.slots.values():
            if not slot.slices:
                raise ModelError(
                    f"slot {slot.name!r} has no slice, so that it is no table: look up one of its features, or drop it"
                )
            slot.frozen = True
        self._collecting = False

    def adopt(self, other: "FeatureFactory") -> None:
        """Takes over the slots and columns that another object of the same model has collected."""
        for name, slot in other.slots.items():
            own = self.slots.setdefault(name, FeatureSlot(slot.config))
            own.adopt(slot)
        for name, column in other.columns.items():
            if name not in self.columns:
                self.columns[name] = FeatureColumn(self, self.slots[column.feature_slot.name], name, column.combiner)
        self.slot_ids, self.requests = dict(other.slot_ids), dict(other.requests)

    def bind(
        self, features: dict[str, Any], lookups: dict[str, list[tf.Tensor]], layouts: dict[str, Any] | None = None
    ) -> Features:
        """Starts the phase in which lookups give `lookups`: column name -> one tensor per slice of its slot; or, where they
        are there, `layouts`: name of a request -> tensor or list of tensors."""
        self._features, self._lookups, self._layouts = Features(features), lookups, layouts
        for column in self.columns.values():
            column.forget_sizes()
        return self._features

    def present_columns(self, features: dict[str, Any]) -> list[FeatureColumn]:
        """The columns whose feature the input has."""
        return [c for c in self.columns.values() if source_name(c.feature_name, features) is not None]

    # --- lookups -----------------------------------------------------------------------------------------------------

    def ragged(self, column: FeatureColumn, features: dict[str, Any] | None = None) -> tf.RaggedTensor:
        """The ids of a column in the batch at hand, or in `features`. Raises ModelError when the input lacks it or has it
        dense."""
        features = self._features if features is None else Features(features)
        if features is None:
            raise ModelError(f"column {column.feature_name!r} is looked up outside model_fn")
        name = source_name(column.feature_name, features)
        value = features[column.feature_name if name is None else name]
        if not isinstance(value, tf.RaggedTensor):
            raise ModelError(
                f"feature {name!r} is dense ({value.dtype.name} {value.shape}): an embedding needs a sparse feature, "
                "a ragged tensor of int64 ids"
            )
        if value.ragged_rank != 1 or value.flat_values.shape.rank not in (1, None) or value.dtype != tf.int64:
            raise ModelError(
                f"feature {name!r} has the shape {value.shape} of {value.dtype.name}: an embedding needs a sparse feature "
                "of rank 2, int64 ids [B, None]"
            )
        return value

    def lookup(self, column: FeatureColumn, s: FeatureSlice) -> tf.Tensor:
        """The embedding of one slice."""
        (found,) = self.layout(f"{column.feature_name}:{s.start}_{s.end}", "none", [(column, s)])
        return found

    def layout(self, name: str, out_type: str, cells: list[lookup_forms.Cell]):
        """Embeddings as one tensor, or for the out type `none` a list. The layout op makes it where there is one, and not of
        sequences, which it puts side by side on another axis than a model file expects."""
        for column, _ in cells:
            self.ragged(column)
        fused = out_type if not any(column.combiner.max_seq_length for column, _ in cells) else "none"
        made_name = self._request(name, fused, cells)
        if self._layouts is None:
            return lookup_forms.merge([self._slice(column, s) for column, s in cells], out_type, name)
        if made_name not in self._layouts:
            raise _not_in_training(cells[0][0])
        made = self._layouts[made_name]
        return made if fused == out_type else lookup_forms.merge(made, out_type)

    def _request(self, name: str, out_type: str, cells: list[lookup_forms.Cell]) -> str:
        """Notes what is made; the same thing under another name is made once, another thing of one name gets a number."""
        slices = tuple((column.feature_name, s.start, s.end) for column, s in cells)
        for known in self.requests.values():
            if (known.out_type, known.slices) == (out_type, slices):
                return known.name
        unique, n = name, 1
        while unique in self.requests:
            n += 1
            unique = f"{name}_{n}"
        self.requests[unique] = LayoutRequest(unique, out_type, slices)
        return unique

    def layout_plan(self, features: dict[str, Any]) -> LayoutPlan | None:
        """All that was requested while collecting of the features that the input has; None where that is nothing."""
        present = {c.feature_name: c for c in self.present_columns(features)}
        wanted = [r for r in self.requests.values() if all(name in present for name, _, _ in r.slices)]
        layouts = [Layout(r.name, r.out_type, r.slices) for r in wanted]
        if not layouts:
            return None
        used = sorted({name for layout in layouts for name, _, _ in layout.slices})
        return LayoutPlan([_layout_feature(present[name]) for name in used], layouts)

    def _slice(self, column: FeatureColumn, s: FeatureSlice) -> tf.Tensor:
        if self._collecting:
            key = (column.feature_name, s.index)
            if key not in self._placeholders:
                shape = column.combiner.output_shape(s.dim)
                name = f"{column.feature_name}_{s.start}"
                self._placeholders[key] = tf.compat.v1.placeholder(tf.float32, shape, name)
            return self._placeholders[key]
        if self._lookups is None or column.feature_name not in self._lookups:
            raise _not_in_training(column)
        return self._lookups[column.feature_name][s.index]


def _not_in_training(column: FeatureColumn) -> ModelError:
    return ModelError(f"feature {column.feature_name!r} is looked up here, but not by model_fn in mode 'train'")


def _layout_feature(column: FeatureColumn) -> LayoutFeature:
    slot, combiner = column.feature_slot, column.combiner
    return LayoutFeature(column.feature_name, slot.name, tuple(slot.slice_dims), combiner.name, combiner.max_seq_length)


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
