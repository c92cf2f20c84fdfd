"""A queue in a graph whose elements are structures of tensors."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

tf1 = tf.compat.v1


class TensorQueue:
    """First in, first out. `like`: a nest of tensors, ragged and sparse tensors and IndexedSlices; leaves that are no tensors (None,
    numbers) are the same in every element.

    capacity: elements. `enqueue`: the op that puts `like` in; it waits while the queue is full.
    """

    def __init__(self, like: Any, capacity: int, name: str):
        self._like = like
        self._leaves = tf.nest.flatten(like, expand_composites=True)
        tensors = [t for t in self._leaves if tf.is_tensor(t)]
        with tf.control_dependencies(None):  # what waits is the op that puts in, not whoever takes out
            self._queue = tf1.FIFOQueue(capacity, [t.dtype for t in tensors], name=name)
            self.size, self.close = self._queue.size(), self._queue.close()
        self.enqueue = self._queue.enqueue(tensors)

    def dequeue(self) -> Any:
        """The oldest element, in the structure and with the static shapes of `like`. OutOfRangeError where the queue is closed and empty."""
        out = self._queue.dequeue()
        found = iter(out if isinstance(out, list) else [out])
        return tf.nest.pack_sequence_as(self._like, [_shaped(next(found), t) if tf.is_tensor(t) else t for t in self._leaves],
                                        expand_composites=True)  # fmt: skip


def _shaped(tensor: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    tensor.set_shape(like.shape)
    return tensor
