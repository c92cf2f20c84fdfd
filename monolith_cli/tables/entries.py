"""Rows of a table as serialized EntryDump messages, and gradients of sparse ids, in a TensorFlow graph or eagerly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from monolith_cli.tables import ops
from monolith_cli.tables.hash_table import HashTable


def lookup_gradient(id_indices: tf.Tensor, id_values: tf.Tensor, input_grads: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(ids [n], grads [n, d]) of the ids of a sparse tensor, indices [n, k] and values [n], whose rows have the gradients input_grads
    [b, d]: what `HashTable.apply_gradients` takes."""
    return ops.library().monolith_tables_lookup_gradient(
        id_indices=tf.cast(id_indices, tf.int64), id_values=tf.cast(id_values, tf.int64), input_grads=input_grads
    )


def extract_slot_from_entry(entry: tf.Tensor, fid_v2: bool = True) -> tf.Tensor:
    """The slots, int32 [n], of the ids of serialized EntryDump messages [n]; bytes that are none are an error."""
    return ops.library().monolith_extract_slot_from_entry(entry=entry, fid_v2=fid_v2)


def append_entries(path: tf.Tensor | str, item_id: tf.Tensor, bias: tf.Tensor, embedding: tf.Tensor) -> tf.Operation | None:
    """Appends TFRecords of EntryDump{id, num = [bias, embedding…]} to a file, one for each of item_id [n]; bias [n] or [n, b], embedding
    [n, dim]. No items are an error."""
    return ops.library().monolith_entry_file_append(
        path=path,
        item_id=tf.cast(item_id, tf.int64),
        bias=tf.cast(bias, tf.float32),
        embedding=tf.cast(embedding, tf.float32),
    )


def iterate_table_and_apply(
    table: HashTable, fn: Callable[[tf.Tensor], Any], limit: int = 1000, nshards: int = 4
) -> tf.Operation | None:
    """Calls fn(entries) with all rows of the table in pieces of at most `limit`, as serialized EntryDump messages (string [n])."""

    def step(shard: tf.Tensor, offset: tf.Tensor) -> list[tf.Tensor]:
        new_offset, entries = table.save_as_tensor(shard, nshards, limit, offset)
        applied = [done for done in tf.nest.flatten(fn(entries)) if done is not None]
        with tf.control_dependencies(applied):
            more = tf.not_equal(new_offset, -1)
            return [tf.where(more, shard, shard + 1), tf.where(more, new_offset, 0)]

    start = [tf.constant(0), tf.constant(0, tf.int64)]
    return tf.group(*tf.while_loop(lambda shard, _: shard < nshards, step, start, parallel_iterations=1))
