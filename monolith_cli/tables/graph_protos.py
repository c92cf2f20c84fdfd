"""Tables of a graph as protos, by the names of their tensors: what a graph that was exported needs to be given its tables back."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli import errors
from monolith_cli.tables.config import HashTableConfigInstance


def in_scope(tensor: tf.Tensor, scope: str | None) -> bool:
    """Whether a tensor of a graph lies in a name scope; None or "" is the whole graph. Eager tensors have no names: ConfigError."""
    if tf.executing_eagerly():
        raise errors.ConfigError("a table is told by the names of tensors: to_proto and from_proto need a graph")
    return not scope or tensor.name.startswith(_prefix(scope))


def without_scope(name: str, scope: str | None) -> str:
    return name.removeprefix(_prefix(scope)) if scope else name


def tensor_of(name: str, scope: str | None) -> tf.Tensor:
    """The tensor of the current graph whose name in `scope` it is; KeyError when there is none."""
    if tf.executing_eagerly():
        raise errors.ConfigError("a table is told by the names of tensors: to_proto and from_proto need a graph")
    return tf.compat.v1.get_default_graph().get_tensor_by_name((_prefix(scope) if scope else "") + name)


def expire_config(config: HashTableConfigInstance) -> bytes:
    """The serialized SlotExpireTimeConfig of a table; empty when it has none."""
    made = config.table_config
    return made.slot_expire_time_config.SerializeToString() if made.HasField("slot_expire_time_config") else b""


def config_of(dim: int, expire: bytes, rates: tf.Tensor | None = None, extra_restore_names: Any = ()) -> HashTableConfigInstance:
    """The config of a table that is there already, as far as a proto tells it."""
    from monolith_protos import embedding_hash_table_pb2

    made = embedding_hash_table_pb2.EmbeddingHashTableConfig()
    made.entry_config.segments.add(dim_size=dim)
    if expire:
        made.slot_expire_time_config.ParseFromString(expire)
    config = HashTableConfigInstance(made, [], extra_restore_names)
    config.set_learning_rate_tensor(rates)
    return config


def _prefix(scope: str) -> str:
    return scope.rstrip("/") + "/"
