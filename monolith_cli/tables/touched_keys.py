"""Sets of keys that changed, in a TensorFlow graph: what a push of parameters to serving has to send."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.tables import ops

DEFAULT_CAPACITY = 2_097_152
DEFAULT_CONCURRENCY_LEVEL = 1024


class TouchedKeySet:
    """The ids that changed since the last `steal`. Equal name suffixes share one set.

    capacity: ids, less one, that it holds at most; before it would hold more it drops all. concurrency_level: threads that hardly
    ever wait for each other.
    """

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        concurrency_level: int = DEFAULT_CONCURRENCY_LEVEL,
        name_suffix: str = "",
    ):
        self.capacity = capacity
        self.concurrency_level = concurrency_level
        self._name = "MonolithTouchedKeySet" + name_suffix
        self._handles: dict[Any, tf.Tensor] = {}

    @property
    def handle(self) -> tf.Tensor:
        """Resource scalar; one op in each graph."""
        key = "eager" if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        if key not in self._handles:
            with tf.control_dependencies(None):
                self._handles[key] = ops.library().monolith_touched_key_set(
                    capacity=self.capacity, concurrency_level=self.concurrency_level, shared_name=self._name
                )
        return self._handles[key]

    def insert(self, ids: tf.Tensor) -> tf.Tensor:
        """Inserts ids [n] (int64). int64 [1]: how many ids were dropped to make room."""
        return ops.library().monolith_touched_key_set_insert(handle=self.handle, ids=tf.cast(ids, tf.int64))

    def steal(self) -> tf.Tensor:
        """int64 [k]: all ids, each once and in no order; the set is empty then."""
        return ops.library().monolith_touched_key_set_steal(handle=self.handle)
