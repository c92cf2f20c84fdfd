"""Tables and record streams inside a TensorFlow graph.

Everything here adds ops to the graph that is being built (or runs at once in eager mode). Errors that the core meets
while the graph runs come out of `session.run` as tf.errors.OpError; `unwrap_error` turns them back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.data.ops import dataset_ops

from monolith_cli import errors
from monolith_cli.tables import ops

COMBINERS = ("reduce_sum", "reduce_mean", "first_n")

_EXIT = re.compile(r"\[exit (\d+)\] ([^\n]*)")
_OP_SUFFIX = re.compile(r" \[Op:\w+\].*$")


def unwrap_error(error: BaseException) -> errors.Error | None:
    """The error of the core inside a TensorFlow error, without names of nodes; None when there is none in it."""
    text = getattr(error, "message", None) or str(error)
    found = _EXIT.search(text)
    if not found:
        return None
    return errors.from_code(int(found[1]), _OP_SUFFIX.sub("", found[2]).strip())


class _RecordDataset(dataset_ops.DatasetSource):
    def __init__(self, stream_name: str):
        super().__init__(ops.library().monolith_record_dataset(stream_name=stream_name))

    @property
    def element_spec(self):
        return tf.TensorSpec([], tf.variant)


def record_dataset(stream_name: str) -> tf.data.Dataset:
    """Dataset of variant scalars, one batch of records each, of the stream registered as `stream_name` (see
    `_core.register_stream`). It can be read once. Its end is the end of the stream; an error of the input comes after
    all batches before it. When the session ends, or the iterator is cancelled, the stream is stopped."""
    return _RecordDataset(stream_name)


def batch_position(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(first, size) of one batch of a record dataset: int64 scalars, the number of its first record over the whole
    stream (from 0) and how many it holds."""
    info = ops.library().monolith_record_batch_info(records=records)
    return info.first, info.size


def batch_end(records: tf.Tensor) -> tf.Tensor:
    """int64 scalar: the number of the record that follows a batch of a record dataset in the stream. Records that were left out
    count, so that it may be more than the first one's and their number together."""
    return ops.library().monolith_record_batch_info(records=records).end


@dataclass(frozen=True)
class FeaturePlan:
    """How one feature reads its table.

    feature: key of the feature dict.
    table: name of the table.
    slice_dims: widths of the slices the embedding is cut into; together the width of the table.
    combiner: reduce_sum, reduce_mean or first_n.
    max_seq_length: for first_n, how many fids of a row count (> 0).
    """

    feature: str
    table: str
    slice_dims: tuple[int, ...]
    combiner: str = "reduce_sum"
    max_seq_length: int = 0

    def __post_init__(self):
        object.__setattr__(self, "slice_dims", tuple(int(d) for d in self.slice_dims))
        if not self.slice_dims or min(self.slice_dims) < 1:
            raise errors.ConfigError(f"feature {self.feature!r}: slice_dims {self.slice_dims} must all be above 0")
        if self.combiner not in COMBINERS:
            raise errors.ConfigError(
                f"feature {self.feature!r}: there is no combiner {self.combiner!r}; choose {', '.join(COMBINERS)}"
            )
        if self.combiner == "first_n" and self.max_seq_length < 1:
            raise errors.ConfigError(f"feature {self.feature!r}: first_n needs a max_seq_length above 0")


class RestoreReport(NamedTuple):
    """What a restore did, as tensors: rows put into tables, those of them that were of another shape, rows left out because
    their keys are of another part; names of tables of the checkpoint that are not here, and of tables that it does not have."""

    rows: Any
    adapted_rows: Any
    other_parts: Any
    unknown_tables: Any
    missing_tables: Any


class MultiTable:
    """All tables of a model, in one resource.

    Tables live in the process that runs the op, under `shared_name`: every session, and the Python extension through
    `_core`, sees the same ones. `configs` maps the name of a table to its HashTableConfigInstance (or to the serialized
    EmbeddingHashTableConfig); `seed` is that of the random initializers.

    hash_filter: handle of a filter (`tables.filters`) that keeps rare ids out, with its own thresholds, or with those of
    `thresholds`: name of a table -> serialized SlotOccurrenceThresholdConfig (a table it leaves out lets every id in). touched:
    a `TouchedKeySet` that is told the ids that change. Default: neither.
    """

    def __init__(
        self,
        shared_name: str,
        configs: Mapping[str, Any],
        seed: int = 0,
        hash_filter: tf.Tensor | None = None,
        thresholds: Mapping[str, bytes] | None = None,
        touched: Any = None,
    ):
        if not configs:
            raise errors.ConfigError("a model without tables has no MultiTable")
        self.shared_name = shared_name
        self.names = sorted(configs)
        self._configs = configs
        self._seed = seed
        self._filters = [] if hash_filter is None else [hash_filter]
        self._thresholds = [] if thresholds is None else [thresholds.get(name, b"") for name in self.names]
        self._touched = [] if touched is None else [touched.handle]
        self._handles: dict[Any, tf.Tensor] = {}

    @classmethod
    def at(cls, handle: tf.Tensor, shared_name: str, names: Sequence[str]) -> MultiTable:
        """The tables that the current graph has behind `handle` already."""
        made = cls(shared_name, dict.fromkeys(names, b""))
        made._handles[tf.compat.v1.get_default_graph()] = handle
        return made

    @property
    def handle(self) -> tf.Tensor:
        """Resource scalar; one op in each graph."""
        key = "eager" if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if key not in self._handles:
            with tf.control_dependencies(None):
                self._handles[key] = ops.library().monolith_tables(
                    filters=self._filters,
                    touched=self._touched,
                    thresholds=self._thresholds,
                    names=self.names,
                    configs=[serialized_config(self._configs[name]) for name in self.names],
                    seed=self._seed,
                    shared_name=self.shared_name,
                    name="tables",
                )
        return self._handles[key]

    def lookup(
        self, features: Mapping[str, tf.RaggedTensor], plan: Sequence[FeaturePlan], insert_missing: bool = False
    ) -> dict[str, list[tf.Tensor]]:
        """Embeddings of all features of `plan`, in one op.

        features: name -> RaggedTensor of int64 fids [B, None].
        Returns name -> one float32 tensor per slice: [B, dim], or [B, max_seq_length, dim] for first_n. An empty row is
        zeros, and so is a fid that the table does not hold; with `insert_missing` such a fid starts its row from the
        initializer here, else it does at its first gradient.
        """
        if not plan:
            return {}
        self._check_tables(plan)
        out = ops.library().monolith_tables_lookup(
            handle=self.handle,
            num_slices=sum(len(p.slice_dims) for p in plan),
            insert_missing=insert_missing,
            name="lookup",
            **_ids(features, plan),
            **_plan_attributes(plan),
        )
        out = iter(out)
        return {p.feature: [next(out) for _ in p.slice_dims] for p in plan}

    def apply_gradients(
        self,
        features: Mapping[str, tf.RaggedTensor],
        plan: Sequence[FeaturePlan],
        grads: Mapping[str, Sequence[tf.Tensor | None]],
        learning_rates: Mapping[str, Sequence[Any]] | tf.Tensor,
        global_step: tf.Tensor | int,
        req_time: tf.Tensor | None = None,
    ) -> tf.Operation:
        """One optimizer step for every fid of the batch, in one op. Gradients of equal fids in a table are summed.

        grads: as the result of `lookup`; None for a slice without a gradient (its gradient is zeros; a feature with
          None for all its slices, or that is missing here, is left alone).
        learning_rates: name of a table -> one rate per segment, numbers or float32 scalars; or one float32 vector of
          all segments, tables in sorted order.
        global_step: int64 scalar, before it is advanced.
        req_time: int64 [B], [B, 1] or scalar, seconds; the largest becomes the time of the update. None: 0.
        """
        self._check_tables(plan)
        plan = [p for p in plan if any(g is not None for g in grads.get(p.feature, ()))]
        if not plan:
            return tf.no_op()
        for p in plan:
            if len(grads[p.feature]) != len(p.slice_dims):
                raise errors.ConfigError(
                    f"feature {p.feature!r} has {len(p.slice_dims)} slices, but {len(grads[p.feature])} gradients"
                )
        flat = [g for p in plan for g in grads[p.feature]]
        present = [tf.convert_to_tensor(g) for g in flat if g is not None]
        return ops.library().monolith_tables_apply_gradients(
            handle=self.handle,
            grads=present,
            has_grad=[g is not None for g in flat],
            learning_rates=self._learning_rates(learning_rates),
            global_step=tf.cast(global_step, tf.int64),
            req_time=tf.zeros([0], tf.int64) if req_time is None else tf.cast(req_time, tf.int64),
            name="apply_gradients",
            **_ids(features, plan),
            **_plan_attributes(plan),
        )

    def lookup_rows(self, ids: Mapping[str, tf.Tensor], insert_missing: bool = False) -> dict[str, tf.Tensor]:
        """name of a table -> ids [n] (int64) to name -> their weights, row after row: float32 [n * dim]. An absent id is zeros;
        with `insert_missing` it starts its row from the initializer here."""
        for name in ids:
            self._check_table(name)
        names = list(ids)
        rows = ops.library().monolith_tables_lookup_rows(
            handle=self.handle, ids=[ids[n] for n in names], tables=names, insert_missing=insert_missing, name="lookup_rows"
        )
        return dict(zip(names, rows))

    def optimize_rows(
        self,
        ids: Mapping[str, tf.Tensor],
        grads: Mapping[str, tf.Tensor],
        learning_rates: Mapping[str, Sequence[Any]] | tf.Tensor,
        global_step: tf.Tensor | int,
        req_time: tf.Tensor | None = None,
    ) -> tf.Operation:
        """One optimizer step for each id with its gradients summed; ids and gradients as `lookup_rows` takes and gives them, the
        rest as in `apply_gradients`."""
        for name in ids:
            self._check_table(name)
        return ops.library().monolith_tables_optimize_rows(
            handle=self.handle,
            ids=list(ids.values()),
            grads=[grads[name] for name in ids],
            tables=list(ids),
            learning_rates=self._learning_rates(learning_rates),
            global_step=tf.cast(global_step, tf.int64),
            req_time=tf.zeros([0], tf.int64) if req_time is None else tf.cast(req_time, tf.int64),
            name="optimize_rows",
        )

    def lookup_ids(self, table: str, ids: tf.Tensor) -> tf.Tensor:
        """Weights of ids [n] (int64) of one table: float32 [n, dim], zeros for an absent one."""
        self._check_table(table)
        return ops.library().monolith_tables_lookup_ids(
            handle=self.handle, ids=tf.cast(ids, tf.int64), table=table, dim=config_dim(self._configs[table])
        )

    def assign(self, table: str, ids: tf.Tensor, values: tf.Tensor, req_time: tf.Tensor | int = 0) -> tf.Operation:
        """Overwrites the weights of ids [n] with values [n, dim]; absent ones are inserted. req_time in seconds."""
        return self._assign(table, ids, values, req_time, add=False)

    def assign_add(self, table: str, ids: tf.Tensor, values: tf.Tensor, req_time: tf.Tensor | int = 0) -> tf.Operation:
        """Adds values [n, dim] to the weights of ids [n]; an absent one starts from its initial value."""
        return self._assign(table, ids, values, req_time, add=True)

    def sizes(self) -> tf.Tensor:
        """Rows of each table: int64 [number of tables], in the order of `names` (sorted)."""
        return tf.ensure_shape(ops.library().monolith_tables_sizes(handle=self.handle), [len(self.names)])

    def clear(self, *tables: str) -> tf.Operation:
        """Empties the named tables, or all."""
        for table in tables:
            self._check_table(table)
        return ops.library().monolith_tables_clear(handle=self.handle, tables=list(tables or self.names))

    def save(self, basename: tf.Tensor | str, shards: int = -1, kind: tf.Tensor | str = "whole") -> tf.Operation:
        """Writes the checkpoint files `<basename>-…`; `shards` files, or as many as the size asks for (1 to 4).

        kind: "whole"; "base", the same, which deltas can follow; or "delta", what changed since the last base or delta (a base
          where there was none, as after a restore). `restore` of a delta reads it together with those before it.
        """
        return ops.library().monolith_tables_save(handle=self.handle, basename=basename, kind=kind, shards=shards)

    def restore(
        self, basenames: tf.Tensor | str | Sequence[str], modes: tf.Tensor | Sequence[str] = (), part: int = 0, parts: int = 1
    ) -> RestoreReport:
        """Replaces the content of all tables by that of the checkpoint files `<basename>-…`, of one basename or of several.

        A row must have the dim and the optimizers of its table, else ConfigError names table, key and both shapes. `modes` (a
        string vector) allows more: "pad" (the table has more weights or segments; they start from the initializer), "truncate"
        (it has fewer), "reset-state" (another optimizer, whose state starts afresh). "known-tables" makes a table of the
        checkpoint that is not here an error; it is left out otherwise. A table that is not in the checkpoint under its own name
        is looked for under the `extra_restore_names` of its config, in order, and else left empty.
        part, parts: only keys with floormod(key, parts) == part are kept, as when `parts` servers share them.
        """
        names = {n: getattr(self._configs[n], "extra_restore_names", None) or [] for n in self.names}
        counts, unknown, missing = ops.library().monolith_tables_restore(
            handle=self.handle,
            basenames=tf.reshape(tf.convert_to_tensor(basenames, tf.string), [-1]),
            modes=tf.reshape(tf.convert_to_tensor(modes, tf.string), [-1]),
            renamed=[n for n in self.names for _ in names[n]],
            old_names=[old for n in self.names for old in names[n]],
            part=part,
            parts=parts,
        )
        return RestoreReport(counts[0], counts[1], counts[2], unknown, missing)

    def _assign(self, table: str, ids, values, req_time, add: bool) -> tf.Operation:
        self._check_table(table)
        return ops.library().monolith_tables_assign(
            handle=self.handle,
            ids=tf.cast(ids, tf.int64),
            values=tf.cast(values, tf.float32),
            req_time=tf.cast(req_time, tf.int64),
            table=table,
            add=add,
        )

    def _learning_rates(self, rates: Mapping[str, Sequence[Any]] | tf.Tensor) -> tf.Tensor:
        if not isinstance(rates, Mapping):
            return tf.cast(rates, tf.float32)
        missing = [name for name in self.names if name not in rates]
        if missing:
            raise errors.ConfigError(f"no learning rates for table {missing[0]!r}")
        flat = [rate for name in self.names for rate in _as_list(rates[name])]
        if not any(tf.is_tensor(rate) for rate in flat):
            return tf.constant(flat, tf.float32)
        return tf.concat([tf.reshape(tf.cast(rate, tf.float32), [-1]) for rate in flat], axis=0)

    def _check_tables(self, plan: Sequence[FeaturePlan]) -> None:
        for p in plan:
            self._check_table(p.table, f"feature {p.feature!r}: ")

    def _check_table(self, table: str, where: str = "") -> None:
        if table not in self._configs:
            raise errors.ConfigError(f"{where}there is no table {table!r}; there are {', '.join(self.names)}")


def serialized_config(config: Any) -> bytes:
    """EmbeddingHashTableConfig of a HashTableConfigInstance, of the message itself, or of its bytes."""
    if isinstance(config, bytes):
        return config
    return getattr(config, "table_config", config).SerializeToString()


def config_dim(config: Any) -> int:
    """Floats in one row of the table."""
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    proto = EmbeddingHashTableConfig.FromString(serialized_config(config))
    return sum(segment.dim_size for segment in proto.entry_config.segments)


def _as_list(rates: Any) -> list:
    return [rates] if tf.is_tensor(rates) or not isinstance(rates, Sequence) else list(rates)


def _ids(features: Mapping[str, tf.RaggedTensor], plan: Sequence[FeaturePlan]) -> dict[str, list[tf.Tensor]]:
    values, row_splits = [], []
    for p in plan:
        if p.feature not in features:
            raise errors.ConfigError(f"feature {p.feature!r} is not parsed; there are {', '.join(sorted(features))}")
        ids = features[p.feature]
        if not isinstance(ids, tf.RaggedTensor) or ids.dtype != tf.int64 or ids.ragged_rank != 1:
            raise errors.ConfigError(
                f"feature {p.feature!r} cannot be looked up: it is no RaggedTensor of int64 fids [B, None]"
            )
        values.append(ids.values)
        row_splits.append(tf.cast(ids.row_splits, tf.int64))
    return {"values": values, "row_splits": row_splits}


def _plan_attributes(plan: Sequence[FeaturePlan]) -> dict[str, list]:
    return {
        "features": [p.feature for p in plan],
        "tables": [p.table for p in plan],
        "combiners": [p.combiner for p in plan],
        "slice_counts": [len(p.slice_dims) for p in plan],
        "slice_dims": [d for p in plan for d in p.slice_dims],
        "max_lengths": [p.max_seq_length for p in plan],
    }
