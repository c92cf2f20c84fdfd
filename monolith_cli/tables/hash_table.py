"""One embedding table in a TensorFlow graph (spec 30, 15.1).

Every function adds ops to the graph that is being built, or runs at once in eager mode. What changes a table returns a copy of it that
is bound to the change: what is read through the copy sees it. A table lives in the process that runs the op, under its name: equal
names are one table.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from monolith_cli import errors
from monolith_cli.tables import config as table_config
from monolith_cli.tables import graph_protos, ops
from monolith_cli.tables.graph import MultiTable, config_dim

SHARED_NAME_PREFIX = "MonolithHashTable_"
_USED_NAMES = "monolith_hash_table_names"
_TEST_FILTER_CAPACITY = 1_000_000


class HashTable:
    """A table of rows of `dim_size` floats. Made by `hash_table_from_config`.

    name: what its files are called; table: resource scalar. extra_restore_names: other names its files may have.
    export_share_embedding: a mark for who exports the graph, kept with the proto; None: not decided.
    """

    def __init__(self, tables: MultiTable, config: table_config.HashTableConfigInstance, saver_parallel: int = -1):
        (self._table,) = tables.names
        self._tables = tables
        self._config = config
        self._saver_parallel = saver_parallel
        self._handle = tables.handle
        self.name = tables.shared_name
        self.dim_size = config_dim(config)
        self.extra_restore_names = list(config.extra_restore_names)
        self.export_share_embedding: bool | None = None

    def to_proto(self, export_scope: str | None = None) -> Any:
        """A HashTableProto that tells this copy of the table by the names of its tensors, relative to `export_scope`; None when it lies
        outside of that. Only in a graph."""
        from monolith_protos.hash_table_ops_pb2 import HashTableProto

        if not graph_protos.in_scope(self._handle, export_scope):
            return None
        with tf.name_scope(f"{export_scope.rstrip('/')}/" if export_scope else ""):
            rates = tf.identity(rates_of(self._config))
        return HashTableProto(
            table_tensor=graph_protos.without_scope(self._handle.name, export_scope),
            dim_size=self.dim_size,
            shared_name=self.name,
            slot_expire_time_config=graph_protos.expire_config(self._config),
            learning_rate_tensor=graph_protos.without_scope(rates.name, export_scope),
            saver_parallel=self._saver_parallel,
            extra_restore_names=self.extra_restore_names,
            export_share_embedding=-1 if self.export_share_embedding is None else int(self.export_share_embedding),
        )

    @classmethod
    def from_proto(cls, proto: Any, import_scope: str | None = None) -> HashTable:
        """The table that a HashTableProto tells of, in the current graph below `import_scope`."""
        config = graph_protos.config_of(
            proto.dim_size,
            proto.slot_expire_time_config,
            graph_protos.tensor_of(proto.learning_rate_tensor, import_scope),
            proto.extra_restore_names,
        )
        handle = graph_protos.tensor_of(proto.table_tensor, import_scope)
        name_suffix = proto.shared_name.removeprefix(SHARED_NAME_PREFIX)
        made = cls(MultiTable.at(handle, proto.shared_name, [name_suffix]), config, proto.saver_parallel)
        shared = proto.export_share_embedding
        made.export_share_embedding = bool(shared) if proto.HasField("export_share_embedding") and shared >= 0 else None
        return made

    @property
    def table(self) -> tf.Tensor:
        return self._handle

    def table_update(self, handle: tf.Tensor) -> HashTable:
        """The same table behind `handle`, the output of an op that changed it."""
        made = copy.copy(self)
        made._handle = handle
        return made

    def as_op(self) -> tf.Operation | None:
        """Does what this copy of the table is bound to."""
        return tf.group(self._handle)

    def lookup(self, ids: tf.Tensor, use_multi_threads: bool = False, enable_dedup: bool = False) -> tf.Tensor:
        """Weights of ids of any shape: float32 [number of ids, dim_size], zeros for an absent one, which is not inserted.

        Ids have no gradient. The gradient for the table, tf.gradients(loss, table.table), is a tf.IndexedSlices: `values` [n,
        dim_size] for `indices` [n], the ids of all lookups through this very copy of the table, as `apply_gradients` takes
        them.
        """
        return ops.library().monolith_tables_lookup_ids(
            handle=self._handle, ids=_vector(ids), table=self._table, dim=self.dim_size, name="lookup"
        )

    def lookup_entry(self, ids: tf.Tensor) -> tf.Tensor:
        """Serialized EntryDump messages without an id, one for each of ids [n]: string [n], empty for an absent one. An error for a
        table made for serving."""
        ids = tf.cast(ids, tf.int64)
        return ops.library().monolith_tables_lookup_entry(handle=self._handle, id=ids, id_split=_split(ids))

    def assign(self, ids: tf.Tensor, values: tf.Tensor, req_time: tf.Tensor | int | None = None) -> HashTable:
        """Overwrites the weights of ids [n] with values [n, dim_size], one after the other; absent ids are inserted.

        req_time: unix seconds, scalar; None: 0.
        """
        return self._assign(ids, values, req_time, add=False)

    def assign_add(self, ids: tf.Tensor, values: tf.Tensor, req_time: tf.Tensor | int | None = None) -> HashTable:
        """Adds values [n, dim_size] to the weights of ids [n]; an absent id starts from its initial value."""
        return self._assign(ids, values, req_time, add=True)

    def apply_gradients(
        self,
        ids: tf.Tensor,
        grads: tf.Tensor,
        global_step: tf.Tensor | int,
        use_multi_threads: bool = False,
        enable_dedup: bool = False,
        req_time: tf.Tensor | int | None = None,
    ) -> HashTable:
        """One optimizer step for each of ids [n] with grads [n, dim_size], or with `enable_dedup` one for each distinct id with the
        sum of its gradients. Rates are those of the table's config. global_step: int64 scalar. use_multi_threads: as in `lookup`.
        req_time: unix seconds; None: 0."""
        ids = tf.cast(ids, tf.int64)
        return self.table_update(
            ops.library().monolith_tables_optimize(
                handle=self._handle,
                id=ids,
                id_split=_split(ids),
                value=tf.cast(grads, tf.float32),
                update_time=update_time(req_time),
                learning_rate=rates_of(self._config),
                global_step=tf.cast(global_step, tf.int64),
                sum_duplicates=enable_dedup,
                name="apply_gradients",
            )
        )

    def reinitialize(self, ids: tf.Tensor) -> tuple[HashTable, tf.Tensor]:
        """Starts ids [n] anew. int32 [n]: 0 for an id that was inserted, 1 for one that was there."""
        handle, status = ops.library().monolith_tables_reinitialize(
            handle=self._handle, table_name=self._table, id=tf.cast(ids, tf.int64)
        )
        return self.table_update(handle), status

    def erase(self, ids: tf.Tensor) -> tuple[HashTable, tf.Tensor]:
        """Takes ids [n] away. int64 scalar: how many were there."""
        handle, erased = ops.library().monolith_tables_erase(
            handle=self._handle, id=tf.cast(ids, tf.int64), table=self._table
        )
        return self.table_update(handle), erased

    def evict(self, time: tf.Tensor | int) -> tuple[HashTable, tf.Tensor]:
        """Takes the rows away that have expired at `time` (unix seconds). int64 scalar: how many."""
        handle, evicted = ops.library().monolith_tables_evict(handle=self._handle, time=tf.cast(time, tf.int64))
        return self.table_update(handle), evicted[0]

    def size(self) -> tf.Tensor:
        """Number of rows: int64 scalar."""
        return ops.library().monolith_tables_sizes(handle=self._handle)[0]

    def save(self, basename: tf.Tensor | str, random_sleep_ms: int = 0) -> HashTable:
        """Writes `<basename>-ddddd-of-ddddd`, all files or none, in as many as `saver_parallel` said (-1: 1 to 4 by size). Rows that
        expired are left out. It begins after a random time below random_sleep_ms, so that many tables do not write all at once."""
        return self.table_update(
            ops.library().monolith_tables_save_table(
                handle=self._handle,
                basename=basename,
                table=self._table,
                shards=self._saver_parallel,
                random_sleep_ms=random_sleep_ms,
            )
        )

    def restore(self, basename: tf.Tensor | str) -> HashTable:
        """Replaces the content by that of files; what was inserted after the save is gone."""
        return self.table_update(
            ops.library().monolith_tables_restore_table(handle=self._handle, basename=basename, table=self._table)
        )

    def save_as_tensor(
        self, shard_idx: tf.Tensor | int, num_shards: tf.Tensor | int, limit: tf.Tensor | int, offset: tf.Tensor | int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """(new_offset, entries): serialized EntryDump messages of `limit` rows at most of one shard from `offset` on, 0 at first. The
        shard is done when fewer come, new_offset is -1 then. A row that is there from the first call to the last comes once, whatever
        is inserted and evicted between them, as it is when it comes. See `entries.iterate_table_and_apply`."""
        return ops.library().monolith_tables_save_as_tensor(
            handle=self._handle,
            shard_idx=tf.cast(shard_idx, tf.int32),
            num_shards=tf.cast(num_shards, tf.int32),
            limit=tf.cast(limit, tf.int64),
            offset=tf.cast(offset, tf.int64),
            table=self._table,
        )

    def _assign(self, ids: tf.Tensor, values: tf.Tensor, req_time: tf.Tensor | int | None, add: bool) -> HashTable:
        ids = tf.cast(ids, tf.int64)
        return self.table_update(
            ops.library().monolith_tables_assign_ragged(
                handle=self._handle,
                id=ids,
                id_split=_split(ids),
                value=tf.cast(values, tf.float32),
                update_time=update_time(req_time),
                add=add,
                name="assign_add" if add else "assign",
            )
        )


def hash_table_from_config(
    config: table_config.HashTableConfigInstance,
    hash_filter: tf.Tensor | None = None,
    name_suffix: str = "",
    sync_client: Any = None,
    saver_parallel: int = -1,
    seed: int = 0,
) -> HashTable:
    """The table `MonolithHashTable_<name_suffix>`. A name can be used once in a graph (else ValueError).

    hash_filter: handle of a filter that keeps rare ids out (`tables.filters`). sync_client: a `TouchedKeySet` that is told the ids
    that change. saver_parallel: files of a save; -1: by size. seed: of random initializers.
    """
    check_config(name_suffix, config)
    name = SHARED_NAME_PREFIX + name_suffix
    if not tf.executing_eagerly():
        used = tf.compat.v1.get_collection_ref(_USED_NAMES)
        if name in used:
            raise ValueError(f"shared_name {name} has already been used.")
        used.append(name)
    tables = MultiTable(name, {name_suffix: config}, seed=seed, hash_filter=hash_filter, touched=sync_client)
    return HashTable(tables, config, saver_parallel)


def vocab_hash_table(vocab_size: int, dim_size: int, enable_hash_filter: bool = False, learning_rate: float = 1.0) -> HashTable:
    """A table to try things with, of one segment trained by SGD; it has no bound, whatever `vocab_size` says."""
    del vocab_size
    return test_hash_table(dim_size, enable_hash_filter, learning_rate=learning_rate)


def test_hash_table(
    dim_size: int,
    enable_hash_filter: bool = False,
    name_suffix: str | None = None,
    learning_rate: float | Callable[[], Any] = 1.0,
    occurrence_threshold: int = 0,
    use_adagrad: bool = False,
    expire_time: int = 36500,
    sync_client: Any = None,
    extra_restore_names: Sequence[str] | None = None,
    use_gpu: bool = False,
) -> HashTable:
    """A table of one segment that starts at zeros, trained by SGD or Adagrad, with a filter of its own. expire_time in days.
    name_suffix: None gives one that nothing else has."""
    from monolith_cli.tables import filters
    from monolith_protos import embedding_hash_table_pb2

    if use_gpu:
        raise errors.ConfigError("tables are in the memory of the host, there are none on a GPU: leave use_gpu out")
    made = embedding_hash_table_pb2.EmbeddingHashTableConfig()
    made.entry_config.segments.append(
        table_config.CombineAsSegment(
            dim_size,
            table_config.ZerosInitializer(),
            table_config.AdagradOptimizer() if use_adagrad else table_config.SgdOptimizer(),
            table_config.Fp32Compressor(),
        )
    )
    made.slot_expire_time_config.default_expire_time = expire_time
    table_config.CuckooHashTableConfig().mutate_table(made)
    name_suffix = f"test_{uuid.uuid4().hex}" if name_suffix is None else name_suffix
    hash_filter = None
    if enable_hash_filter:
        thresholds = embedding_hash_table_pb2.SlotOccurrenceThresholdConfig(
            default_occurrence_threshold=occurrence_threshold
        )
        hash_filter = filters.create_hash_filter(
            _TEST_FILTER_CAPACITY, filters.DEFAULT_SPLIT_NUM, thresholds.SerializeToString(), name_suffix
        )
    config = table_config.HashTableConfigInstance(made, [learning_rate], extra_restore_names)
    return hash_table_from_config(config, hash_filter, name_suffix, sync_client)


test_hash_table.__test__ = False


def fused_lookup(
    tables: Sequence[HashTable],
    ids: tf.Tensor,
    fused_slot_size: tf.Tensor,
    num_of_shards: int,
    req_time: tf.Tensor | int | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Weights of the ids that several shards want of several tables: ids are shard by shard, within a shard table by table;
    fused_slot_size int32 [shards * tables] says how many.

    (embeddings float32 [*], embedding_splits int32 [shards], id_offsets int32 [blocks + 1], embedding_offsets int32 [blocks + 1],
    indices int64 [n]), where a block is one shard's part of one table.
    """
    return fused_lookup_of([t.table for t in tables], ids, fused_slot_size, num_of_shards, req_time)


def fused_apply_gradient(
    tables: Sequence[HashTable],
    ids: tf.Tensor,
    indices: tf.Tensor,
    fused_slot_size: tf.Tensor,
    id_grads: tf.Tensor,
    id_offsets: tf.Tensor,
    grad_offsets: tf.Tensor,
    global_step: tf.Tensor | int,
    num_of_shards: int,
    enable_grad_accumulation: bool = False,
    req_time: tf.Tensor | int | None = None,
) -> list[HashTable]:
    """One optimizer step for each id of each block, laid out as in `fused_lookup`; with enable_grad_accumulation one for each distinct
    id of a block. An id that several shards send is updated once for each."""
    handles = fused_optimize_of(
        [t.table for t in tables],
        tf.concat([rates_of(t._config) for t in tables], axis=0),
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
    return [t.table_update(h) for t, h in zip(tables, handles)]


def fused_lookup_of(handles: Sequence[tf.Tensor], ids, fused_slot_size, num_of_shards: int, req_time=None) -> tuple:
    """`fused_lookup` of the tables behind resource handles."""
    return tuple(
        ops.library().monolith_tables_fused_lookup(
            handles=list(handles),
            ids=tf.cast(ids, tf.int64),
            fused_slot_size=tf.cast(fused_slot_size, tf.int32),
            req_time=update_time(req_time),
            num_of_shards=num_of_shards,
        )
    )


def fused_optimize_of(
    handles: Sequence[tf.Tensor],
    learning_rates: tf.Tensor,
    *,
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
) -> list[tf.Tensor]:
    """`fused_apply_gradient` on the tables behind resource handles; their new handles."""
    return ops.library().monolith_tables_fused_optimize(
        handles=list(handles),
        ids=tf.cast(ids, tf.int64),
        indices=tf.cast(indices, tf.int64),
        fused_slot_size=tf.cast(fused_slot_size, tf.int32),
        id_grads=tf.cast(id_grads, tf.float32),
        id_offsets=tf.cast(id_offsets, tf.int32),
        grad_offsets=tf.cast(grad_offsets, tf.int32),
        learning_rates=learning_rates,
        req_time=update_time(req_time),
        global_step=tf.cast(global_step, tf.int64),
        num_of_shards=num_of_shards,
        enable_grad_accumulation=enable_grad_accumulation,
    )


def check_config(name: str, config: table_config.HashTableConfigInstance) -> None:
    """Raises ConfigError for a config without a table type, ValueError where there is not one learning rate for each segment."""
    if config.table_config.WhichOneof("type") is None:
        raise errors.ConfigError(f"table {name!r}: its config has no type; CuckooHashTableConfig().mutate_table(…) sets it")
    segments, rates = len(config.table_config.entry_config.segments), len(config.learning_rate_fns)
    if segments != rates:
        raise ValueError(f"table {name!r}: there are {rates} learning rates for {segments} segments")


def rates_of(config: table_config.HashTableConfigInstance) -> tf.Tensor:
    """One rate for each segment: float32 [segments]."""
    if config.learning_rate_tensor is not None:
        return tf.cast(config.learning_rate_tensor, tf.float32)
    return config.call_learning_rate_fns()


def _vector(ids: tf.Tensor) -> tf.Tensor:
    return tf.reshape(tf.cast(ids, tf.int64), [-1])


def _split(ids: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.constant(0, tf.int64), tf.size(ids, out_type=tf.int64)])


def update_time(req_time: tf.Tensor | int | None) -> tf.Tensor:
    """The time of an update: int64, 0 where none is given."""
    return tf.constant(0, tf.int64) if req_time is None else tf.cast(req_time, tf.int64)
