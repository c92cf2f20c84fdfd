"""All embedding tables of a model in a TensorFlow graph as one resource, asked by dicts (spec 30, 15.2).

What changes tables returns a copy of this object that is bound to the change, as with `HashTable`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from monolith_cli import errors
from monolith_cli.tables import graph_protos, hash_table, ops
from monolith_cli.tables.config import HashTableConfigInstance
from monolith_cli.tables.graph import MultiTable, RestoreReport, config_dim

SHARED_NAME_PREFIX = "MonolithMultiHashTable_"


class MultiHashTable:
    """Tables by name. `table_names` are sorted, and so is everything that is laid out table by table."""

    def __init__(
        self, tables: MultiTable, configs: Mapping[str, HashTableConfigInstance], saver_parallel: int = -1
    ):
        self._tables = tables
        self._configs = dict(configs)
        self._saver_parallel = saver_parallel
        self._handle = tables.handle
        self._dims = {name: config_dim(configs[name]) for name in tables.names}
        self._rates_given: tf.Tensor | None = None

    @classmethod
    def from_configs(
        cls,
        configs: Mapping[str, HashTableConfigInstance],
        hash_filter: tf.Tensor | None = None,
        sync_client: Any = None,
        name_suffix: str = "",
        saver_parallel: int = -1,
        seed: int = 0,
    ) -> MultiHashTable:
        """The tables of `configs` under the shared name MonolithMultiHashTable_<name_suffix>.

        hash_filter: handle of a filter that keeps rare ids out (`tables.filters`). sync_client: a `TouchedKeySet` that is told the
        ids that change. saver_parallel: files of a save; -1: by size. seed: of random initializers.
        """
        for name in sorted(configs):
            hash_table.check_config(name, configs[name])
        tables = MultiTable(SHARED_NAME_PREFIX + name_suffix, configs, seed=seed, hash_filter=hash_filter, touched=sync_client)
        return cls(tables, configs, saver_parallel)

    def to_proto(self, export_scope: str | None = None) -> Any:
        """A MultiHashTableProto that tells this copy of the tables by the names of its tensors, relative to `export_scope`; None when it
        lies outside of that. Only in a graph."""
        from monolith_protos.hash_table_ops_pb2 import MultiHashTableProto

        if not graph_protos.in_scope(self._handle, export_scope):
            return None
        with tf.name_scope(f"{export_scope.rstrip('/')}/" if export_scope else ""):
            rates = tf.identity(self._rates())
        expire = [graph_protos.expire_config(self._configs[name]) for name in self.table_names]
        return MultiHashTableProto(
            dims=self.get_table_dim_sizes(),
            slot_expire_time_config=next(filter(None, expire), b""),
            table_names=self.table_names,
            learning_rate_tensor=graph_protos.without_scope(rates.name, export_scope),
            shared_name=self.shared_name,
            saver_parallel=self._saver_parallel,
            initializer_op=graph_protos.without_scope(self.initializer.name, export_scope),
            handle_tensor=graph_protos.without_scope(self._handle.name, export_scope),
        )

    @classmethod
    def from_proto(cls, proto: Any, import_scope: str | None = None) -> MultiHashTable:
        """The tables that a MultiHashTableProto tells of, in the current graph below `import_scope`."""
        expire = proto.slot_expire_time_config
        configs = {name: graph_protos.config_of(dim, expire) for name, dim in zip(proto.table_names, proto.dims, strict=True)}
        made_by = graph_protos.tensor_of(f"{proto.initializer_op}:0", import_scope)
        made = cls(MultiTable.at(made_by, proto.shared_name, proto.table_names), configs, proto.saver_parallel)
        made._rates_given = graph_protos.tensor_of(proto.learning_rate_tensor, import_scope)
        return made.table_update(graph_protos.tensor_of(proto.handle_tensor, import_scope))

    @property
    def table_names(self) -> list[str]:
        return list(self._tables.names)

    @property
    def handle(self) -> tf.Tensor:
        """Resource scalar."""
        return self._handle

    @property
    def shared_name(self) -> str:
        return self._tables.shared_name

    @property
    def initializer(self) -> tf.Operation | None:
        """Makes the tables; every other op does so too. None in eager mode."""
        return None if tf.executing_eagerly() else self._tables.handle.op

    def get_table_dim_sizes(self) -> list[int]:
        """Floats in a row of each table."""
        return [self._dims[name] for name in self.table_names]

    def table_update(self, handle: tf.Tensor) -> MultiHashTable:
        """The same tables behind `handle`, the output of an op that changed them."""
        made = copy.copy(self)
        made._handle = handle
        return made

    def as_op(self) -> tf.Operation | None:
        """Does what this copy of the tables is bound to."""
        return tf.group(self._handle)

    def lookup(self, slot_to_ids: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """name -> ids [n] to name -> weights [n, dim], zeros for an absent id. Neither ids nor tables have a gradient here: take that of
        the weights, and give it to `apply_gradients` with the ids."""
        ids = self.get_ragged_id(slot_to_ids)
        rows = self.get_embeddings(ids, self.raw_lookup(ids))
        out = {}
        for name in slot_to_ids:
            n = tf.convert_to_tensor(slot_to_ids[name]).shape.num_elements()
            out[name] = tf.ensure_shape(rows[name], [n, self._dims[name]])
        return out

    def lookup_entry(self, slot_to_ids: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """name -> ids [n] to name -> string [n], serialized EntryDump messages without an id, empty for an absent one."""
        ids = self.get_ragged_id(slot_to_ids)
        entries = ops.library().monolith_tables_lookup_entry(handle=self._handle, id=ids.values, id_split=ids.row_splits)
        parts = tf.split(entries, ids.row_lengths(), num=len(self.table_names))
        return {name: part for name, part in zip(self.table_names, parts) if name in slot_to_ids}

    def assign(
        self, slot_to_ids_and_values: Mapping[str, tuple[tf.Tensor, tf.Tensor]], req_time: tf.Tensor | int | None = None
    ) -> MultiHashTable:
        """name -> (ids [n], values [n, dim]): overwrites weights. req_time: unix seconds; None: 0."""
        return self.raw_assign(*self._flat(slot_to_ids_and_values), req_time)

    def assign_add(
        self, slot_to_ids_and_values: Mapping[str, tuple[tf.Tensor, tf.Tensor]], req_time: tf.Tensor | int | None = None
    ) -> MultiHashTable:
        """The same, adding to the weights; an absent id starts from its initial value."""
        return self._assign(*self._flat(slot_to_ids_and_values), req_time, add=True)

    def apply_gradients(
        self,
        slot_to_ids_and_grads: Mapping[str, tuple[tf.Tensor, tf.Tensor]],
        global_step: tf.Tensor | int,
        req_time: tf.Tensor | int | None = None,
    ) -> MultiHashTable:
        """name -> (ids [n], grads [n, dim]): one optimizer step for each, of an id that is there twice one after the other. Rates are
        those of the configs."""
        return self.raw_apply_gradients(*self._flat(slot_to_ids_and_grads), global_step, req_time)

    def reinitialize(self, slot: str, ids: tf.Tensor) -> tuple[MultiHashTable, tf.Tensor]:
        """Starts ids [n] of one table anew. int32 [n]: 0 for an id that was inserted, 1 for one that was there, -1 for all where there
        is no such table."""
        handle, status = ops.library().monolith_tables_reinitialize(
            handle=self._handle, table_name=slot, id=tf.cast(ids, tf.int64)
        )
        return self.table_update(handle), status

    def erase(self, slot: str, ids: tf.Tensor) -> tuple[MultiHashTable, tf.Tensor]:
        """Takes ids [n] of one table away. int64 scalar: how many were there."""
        self._check(slot)
        handle, erased = ops.library().monolith_tables_erase(handle=self._handle, id=tf.cast(ids, tf.int64), table=slot)
        return self.table_update(handle), erased

    def evict(self, time: tf.Tensor | int) -> tuple[MultiHashTable, tf.Tensor]:
        """Takes the rows away that have expired at `time` (unix seconds). int64 [tables]: how many of each."""
        handle, evicted = ops.library().monolith_tables_evict(handle=self._handle, time=tf.cast(time, tf.int64))
        return self.table_update(handle), tf.ensure_shape(evicted, [len(self.table_names)])

    def size(self) -> tf.Tensor:
        """Rows of each table: int64 [tables]."""
        return tf.ensure_shape(ops.library().monolith_tables_sizes(handle=self._handle), [len(self.table_names)])

    def save(self, basename: tf.Tensor | str) -> MultiHashTable:
        """Writes the checkpoint files `<basename>-…` and `<basename>.meta-…`, all or none."""
        return self._after(
            ops.library().monolith_tables_save(
                handle=self._handle, basename=basename, kind="whole", shards=self._saver_parallel
            )
        )

    def restore(self, basename: tf.Tensor | str) -> MultiHashTable:
        """Replaces the content of all tables by that of files. See `graph.MultiTable.restore` for what may differ."""
        with tf.control_dependencies(None if tf.executing_eagerly() else [self._handle]):
            report: RestoreReport = self._tables.restore(basename)
        return self._after(report.rows)

    @staticmethod
    def feature_stat(basename: tf.Tensor | str) -> tuple[tf.Tensor, tf.Tensor]:
        """(names string [m], rows uint64 [m]) of the tables in a checkpoint."""
        return ops.library().monolith_tables_feature_stat(basename=basename)

    def fused_lookup(self, ids, fused_slot_size, num_of_shards: int, req_time=None) -> tuple:
        """See `hash_table.fused_lookup`; tables in the order of `table_names`."""
        return hash_table.fused_lookup_of([self._handle], ids, fused_slot_size, num_of_shards, req_time)

    def fused_apply_gradient(
        self,
        ids,
        indices,
        fused_slot_size,
        id_grads,
        id_offsets,
        grad_offsets,
        global_step,
        num_of_shards: int,
        enable_grad_accumulation: bool = False,
        req_time=None,
    ) -> MultiHashTable:
        """See `hash_table.fused_apply_gradient`."""
        (handle,) = hash_table.fused_optimize_of(
            [self._handle],
            self._rates(),
            ids=ids,
            indices=indices,
            fused_slot_size=fused_slot_size,
            id_grads=id_grads,
            id_offsets=id_offsets,
            grad_offsets=grad_offsets,
            global_step=global_step,
            num_of_shards=num_of_shards,
            enable_grad_accumulation=enable_grad_accumulation,
            req_time=req_time,
        )
        return self.table_update(handle)

    def raw_lookup(self, ragged_id: tf.RaggedTensor) -> tf.Tensor:
        """ragged_id: ids of one table after the other [tables, None]; several requests may follow one another. The rows of all, float32
        [*]."""
        return ops.library().monolith_tables_lookup_ragged(
            handle=self._handle, id=tf.cast(ragged_id.values, tf.int64), id_split=tf.cast(ragged_id.row_splits, tf.int64)
        )

    def raw_assign(self, ragged_id: tf.RaggedTensor, flat_value: tf.Tensor, req_time=None) -> MultiHashTable:
        """`assign` of ids [tables, None] and the rows of all, float32 [*]."""
        return self._assign(ragged_id, flat_value, req_time, add=False)

    def raw_apply_gradients(
        self, ragged_id: tf.RaggedTensor, flat_grad: tf.Tensor, global_step: tf.Tensor | int, req_time=None
    ) -> MultiHashTable:
        """`apply_gradients` of ids [tables, None] and the gradients of all, float32 [*]."""
        return self.table_update(
            ops.library().monolith_tables_optimize(
                handle=self._handle,
                id=tf.cast(ragged_id.values, tf.int64),
                id_split=tf.cast(ragged_id.row_splits, tf.int64),
                value=tf.cast(flat_grad, tf.float32),
                update_time=hash_table.update_time(req_time),
                learning_rate=self._rates(),
                global_step=tf.cast(global_step, tf.int64),
            )
        )

    def get_ragged_id(self, slot_to_ids: Mapping[str, tf.Tensor]) -> tf.RaggedTensor:
        """name -> ids to ids [tables, None]; a table without any is an empty row."""
        self._check(*slot_to_ids)
        ids = [tf.reshape(tf.cast(slot_to_ids.get(name, ()), tf.int64), [-1]) for name in self.table_names]
        lengths = tf.stack([tf.size(i, out_type=tf.int64) for i in ids])
        return tf.RaggedTensor.from_row_lengths(tf.concat(ids, axis=0), lengths, validate=False)

    def get_flat_value(self, slot_to_value: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """name -> rows to the rows of all, float32 [*]."""
        self._check(*slot_to_value)
        values = [tf.reshape(tf.cast(slot_to_value.get(name, ()), tf.float32), [-1]) for name in self.table_names]
        return tf.concat(values, axis=0)

    def get_embeddings(self, ragged_id: tf.RaggedTensor, flat_value: tf.Tensor) -> dict[str, tf.Tensor]:
        """The rows of all as name -> rows [n, dim]."""
        dims = tf.constant(self.get_table_dim_sizes(), tf.int64)
        parts = tf.split(flat_value, tf.cast(ragged_id.row_lengths(), tf.int64) * dims, num=len(self.table_names))
        return {name: tf.reshape(part, [-1, self._dims[name]]) for name, part in zip(self.table_names, parts)}

    def _assign(self, ragged_id: tf.RaggedTensor, flat_value: tf.Tensor, req_time, add: bool) -> MultiHashTable:
        return self.table_update(
            ops.library().monolith_tables_assign_ragged(
                handle=self._handle,
                id=tf.cast(ragged_id.values, tf.int64),
                id_split=tf.cast(ragged_id.row_splits, tf.int64),
                value=tf.cast(flat_value, tf.float32),
                update_time=hash_table.update_time(req_time),
                add=add,
            )
        )

    def _flat(self, slot_to_pair: Mapping[str, tuple[tf.Tensor, tf.Tensor]]) -> tuple[tf.RaggedTensor, tf.Tensor]:
        return (
            self.get_ragged_id({name: ids for name, (ids, _) in slot_to_pair.items()}),
            self.get_flat_value({name: values for name, (_, values) in slot_to_pair.items()}),
        )

    def _rates(self) -> tf.Tensor:
        if self._rates_given is not None:
            return self._rates_given
        return tf.concat([hash_table.rates_of(self._configs[name]) for name in self.table_names], axis=0)

    def _after(self, done: tf.Operation | tf.Tensor | None) -> MultiHashTable:
        if tf.executing_eagerly():
            return self
        with tf.control_dependencies([done]):
            return self.table_update(tf.identity(self._handle))

    def _check(self, *slots: str) -> None:
        for slot in slots:
            if slot not in self._dims:
                raise errors.ConfigError(f"there is no table {slot!r}; there are {', '.join(self.table_names)}")
