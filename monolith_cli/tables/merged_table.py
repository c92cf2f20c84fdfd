"""Slots of equal configuration in one table (spec 30, 15.4), so that a graph has fewer tables to ask.

Ids of the slots that share a table must differ; of an id that two of them update at once both updates are applied.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from monolith_cli import errors
from monolith_cli.tables.config import HashTableConfigInstance
from monolith_cli.tables.multi_hash_table import MultiHashTable
from monolith_cli.tables.names import merged_table_name


def merge_configs(
    slot_to_config: Mapping[str, HashTableConfigInstance],
) -> tuple[dict[str, HashTableConfigInstance], dict[str, str]]:
    """(merged name -> config, slot -> merged name): slots whose configs have the same text share a table, named by the md5 of their
    names. The configs given are left as they are."""
    groups: dict[str, list[str]] = {}
    for slot in sorted(slot_to_config):
        groups.setdefault(str(slot_to_config[slot]), []).append(slot)
    configs, mapping = {}, {}
    for slots in groups.values():
        name, old_names = merged_table_name(slots)
        first = slot_to_config[slots[0]]
        config = copy.copy(first)
        config.extra_restore_names = list(dict.fromkeys([*first.extra_restore_names, *old_names]))
        configs[name] = config
        mapping.update(dict.fromkeys(slots, name))
    return configs, mapping


class MergedMultiTypeHashTable:
    """Tables by slot, some of which are one table underneath.

    factory: makes the tables from merged name -> config, as `MultiHashTable.from_configs` does, which is the default.
    """

    def __init__(
        self,
        slot_to_config: Mapping[str, HashTableConfigInstance],
        factory: Callable[[dict[str, HashTableConfigInstance]], Any] = MultiHashTable.from_configs,
    ):
        configs, self._slot_mapping = merge_configs(slot_to_config)
        self._table = factory(configs)

    @property
    def slot_mapping(self) -> dict[str, str]:
        """Slot -> name of the table it is in."""
        return dict(self._slot_mapping)

    @property
    def table(self) -> Any:
        """What the factory made."""
        return self._table

    def lookup(self, slot_to_ids: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """slot -> ids [n] to slot -> weights [n, dim]."""
        groups = self._group(slot_to_ids)
        ids = {slot: tf.reshape(tf.cast(slot_to_ids[slot], tf.int64), [-1]) for slot in slot_to_ids}
        rows = self._table.lookup({name: tf.concat([ids[s] for s in slots], axis=0) for name, slots in groups.items()})
        out = {}
        for name, slots in groups.items():
            parts = tf.split(rows[name], tf.stack([tf.size(ids[s]) for s in slots]), num=len(slots))
            for slot, part in zip(slots, parts):
                out[slot] = tf.ensure_shape(part, [ids[slot].shape[0], rows[name].shape[1]])
        return {slot: out[slot] for slot in slot_to_ids}

    def assign(self, slot_to_ids_and_values: Mapping[str, tuple], req_time: tf.Tensor | int | None = None):
        """slot -> (ids [n], values [n, dim]): overwrites weights. req_time: unix seconds; None: 0."""
        return self._update(self._table.assign(self._merge(slot_to_ids_and_values), req_time))

    def assign_add(self, slot_to_ids_and_values: Mapping[str, tuple], req_time: tf.Tensor | int | None = None):
        """The same, adding to the weights."""
        return self._update(self._table.assign_add(self._merge(slot_to_ids_and_values), req_time))

    def apply_gradients(
        self,
        slot_to_ids_and_grads: Mapping[str, tuple],
        global_step: tf.Tensor | int,
        req_time: tf.Tensor | int | None = None,
    ):
        """slot -> (ids [n], grads [n, dim]): one optimizer step for each."""
        return self._update(self._table.apply_gradients(self._merge(slot_to_ids_and_grads), global_step, req_time))

    def reinitialize(self, slot: str, ids: tf.Tensor):
        """Not to be had: the ids of other slots are in the same table."""
        raise NotImplementedError(f"slot {slot!r} shares table {self._slot_mapping.get(slot)!r}: it cannot be reinitialized by itself")

    def get_table_dim_sizes(self) -> list[int]:
        """Floats in a row of each table, tables in sorted order of their merged names."""
        return self._table.get_table_dim_sizes()

    def as_op(self) -> tf.Operation | None:
        """Does what these tables are bound to."""
        return self._table.as_op()

    def save(self, basename: tf.Tensor | str):
        """Writes the checkpoint files of all tables."""
        return self._update(self._table.save(basename))

    def restore(self, basename: tf.Tensor | str):
        """Replaces the content of all tables by that of files, which may have a table under an older name."""
        return self._update(self._table.restore(basename))

    def _group(self, slots: Mapping[str, Any]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for slot in sorted(slots):
            if slot not in self._slot_mapping:
                raise errors.ConfigError(f"there is no slot {slot!r}; there are {', '.join(sorted(self._slot_mapping))}")
            groups.setdefault(self._slot_mapping[slot], []).append(slot)
        return groups

    def _merge(self, slot_to_pair: Mapping[str, tuple]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        def joined(slots: list[str], part: int, dtype: tf.DType) -> tf.Tensor:
            return tf.concat([tf.cast(slot_to_pair[s][part], dtype) for s in slots], axis=0)

        return {
            name: (joined(slots, 0, tf.int64), joined(slots, 1, tf.float32))
            for name, slots in self._group(slot_to_pair).items()
        }

    def _update(self, table: Any) -> MergedMultiTypeHashTable:
        made = copy.copy(self)
        made._table = table
        return made
