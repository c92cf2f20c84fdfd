"""Tables for tests of the TensorFlow ops: configurations, names nobody else has, errors of the core."""

import contextlib
import re
import uuid

import numpy as np
import pytest
import tensorflow as tf

from monolith_cli.tables import config
from monolith_cli.tables.graph import unwrap_error
from monolith_cli.tables.multi_hash_table import MultiHashTable


def table_config(dim=1, rate=1.0, initializer=None, optimizer=None, segments=1, serving=False, slot_days=None, days=None):
    """`segments` equal segments of `dim` floats. slot_days: slot -> days it is kept."""
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig, EntryConfig

    made = EmbeddingHashTableConfig()
    for _ in range(segments):
        made.entry_config.segments.append(
            config.CombineAsSegment(dim, initializer or config.ZerosInitializer(), optimizer or config.SgdOptimizer(),
                                    config.Fp32Compressor()))
    if serving:
        made.entry_config.entry_type = EntryConfig.SERVING
    for slot, kept in (slot_days or {}).items():
        made.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=kept)
    if days is not None:
        made.slot_expire_time_config.default_expire_time = days
    config.CuckooHashTableConfig().mutate_table(made)
    rates = rate if isinstance(rate, list) else [rate] * segments
    return config.HashTableConfigInstance(made, rates)


def multi(tables, **kwargs):
    """A MultiHashTable with a name of its own; name -> dim, or -> config."""
    configs = {n: table_config(c) if isinstance(c, int) else c for n, c in tables.items()}
    return MultiHashTable.from_configs(configs, name_suffix=uuid.uuid4().hex, **kwargs)


def ids(*values):
    return tf.constant(values, tf.int64)


def rows(*values):
    return tf.constant(np.float32(values).reshape(len(values), -1))


def listed(tensor):
    """Numbers of a tensor, flat, as the float32 they are."""
    return np.asarray(tensor).reshape(-1).tolist()


@contextlib.contextmanager
def fails(match, literal=True):
    """What fails inside, when the graph is built or when it runs, says so in the words of the core."""
    with pytest.raises(Exception) as caught:
        yield
    text = str(unwrap_error(caught.value) or caught.value)
    assert re.search(re.escape(match) if literal else match, text), text
