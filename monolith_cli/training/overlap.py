"""Work of neighbouring steps that is done at the same time: updates that come a step later, tables that are read ahead.

Both are queues in the graph; `stepping.Stepper` runs what fills and empties them. In what order tables are read and written does not
depend on threads, so that the same seed gives the same model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from monolith_cli.training.tensor_queue import TensorQueue

tf1 = tf.compat.v1


@dataclass(frozen=True)
class Overlap:
    """What may lag. variable_postpush: updates of dense variables, and with them the global step, come one step later;
    embedding_postpush: those of the tables. embedding_prefetch_capacity: for how many batches ahead embeddings are looked up; 0: none."""

    variable_postpush: bool = False
    embedding_postpush: bool = False
    embedding_prefetch_capacity: int = 0


class Tickets:
    """A signal from one op to another that does not make it run: what waits takes a ticket that was put before or meanwhile."""

    def __init__(self, name: str):
        self._queue = tf1.FIFOQueue(2, [tf.bool], shapes=[[]], name=name)
        self.put_now, self.size = self._queue.enqueue(True), self._queue.size()

    def put(self, after: list) -> tf.Operation:
        """Puts a ticket once these are there."""
        with tf.control_dependencies(after):
            return self._queue.enqueue(tf.constant(True))

    def take(self) -> tf.Operation:
        return self._queue.dequeue().op


@dataclass
class Postpush:
    """Functions that are called on what the step before put into their queues.

    After `finish`: `push` calls them all, once the tensors it was given are there, which is the part of a step before its updates;
    `tickets.put_now` lets it go without a step. `waiting`: calls that are due.
    """

    _functions: list[tuple[TensorQueue, Callable]] = field(default_factory=list)
    tickets: Tickets | None = None
    push: tf.Operation | None = None
    put: tf.Operation | None = None
    take: tf.Operation | None = None
    waiting: tf.Tensor | None = None

    def call(self, function: Callable[[Any], tf.Operation], arguments: Any, later: bool) -> tf.Operation:
        """function(arguments) now; or, later, the op that puts them into a queue. `function` makes ops of its own for each call."""
        if not later:
            return function(arguments)
        queue = TensorQueue(arguments, 2, "postpush_queue")
        self._functions.append((queue, function))
        return queue.enqueue

    def finish(self, after: list) -> "Postpush | None":
        """Makes the ops; None where everything was called at once."""
        if not self._functions:
            return None
        self.tickets = Tickets("postpush_tickets")
        self.put, self.take = self.tickets.put(after), self.tickets.take()
        with tf.control_dependencies([self.tickets.take()]):
            self.push = tf.group(*[function(queue.dequeue()) for queue, function in self._functions])
        self.waiting = tf.reduce_max(tf.stack([queue.size for queue, _ in self._functions]))
        return self


class Prefetch:
    """Batches with what was looked up for them, in a queue of `capacity`.

    fill: reads the next batch, looks it up, puts it in, and then a ticket; prime: the same without a ticket. `wait`: takes a ticket;
    whatever writes to the tables comes after it, so that batch t + capacity is looked up before the tables have batch t, and
    after they have the batch before it.
    """

    def __init__(self, batch: Any, capacity: int):
        self.capacity = capacity
        # One more, for the batch that comes while the oldest is still inside.
        self._queue = TensorQueue(batch, capacity + 1, "prefetch_queue")
        self._tickets = Tickets("prefetch_tickets")
        self.prime, self.fill = self._queue.enqueue, self._tickets.put([self._queue.enqueue])
        self.batch, self.wait = self._queue.dequeue(), self._tickets.take()
        self.close, self.put_ticket = self._queue.close, self._tickets.put_now
