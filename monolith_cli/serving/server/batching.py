"""Requests of many callers in one call of the graph.

A `BatchScheduler` has the threads, shared by all models; a `BatchQueue` is one kind of call of one model version: a
signature, what is fetched, and, unless inputs are padded, the shapes behind dimension 0. A batch closes when it is full
or when its oldest piece has waited `timeout_s`; a thread that is free takes what is there. Rows are concatenated,
computed, and cut apart again: a caller gets its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

import grpc
import numpy as np

from monolith_cli.errors import ConfigError
from monolith_cli.serving.server import padding
from monolith_cli.serving.server.status import StatusError, deadline_exceeded, failed_precondition, invalid, unavailable


@dataclass(frozen=True)
class BatchConfig:
    """BatchingParameters, with the stock server's defaults.

    max_batch_size: rows of a batch. timeout_s: how long a batch that is not full waits for more. max_enqueued_batches:
    full batches that may wait, per queue, before requests are refused with UNAVAILABLE. num_threads: batches computed
    at once. allowed_sizes: batches are padded to one of them. pad_variable_length: inputs of different shapes share a
    batch, padded. split_large: a request larger than a batch is cut. max_execution_size: rows computed at once where
    requests are cut. diff_dim_sizes: inputs may differ in dimension 0; the batch size is then the value of the input
    whose name contains `batch_size`.
    """

    max_batch_size: int = 1000
    timeout_s: float = 0.0
    max_enqueued_batches: int = 10
    num_threads: int = 2
    allowed_sizes: tuple[int, ...] = ()
    pad_variable_length: bool = False
    split_large: bool = False
    max_execution_size: int = 0
    diff_dim_sizes: bool = False

    def __post_init__(self):
        if self.max_batch_size < 1 or self.num_threads < 1 or self.max_enqueued_batches < 1 or self.timeout_s < 0:
            raise ConfigError(
                "batching: max_batch_size, num_batch_threads and max_enqueued_batches must be at least 1, batch_timeout_micros at least 0"
            )
        if self.max_execution_size and not self.split_large:
            raise ConfigError("batching: max_execution_batch_size goes with enable_large_batch_splitting")
        if self.max_execution_size > self.max_batch_size:
            raise ConfigError("batching: max_execution_batch_size must be no more than max_batch_size")
        if self.allowed_sizes and (
            list(self.allowed_sizes) != sorted(set(self.allowed_sizes)) or self.allowed_sizes[0] < 1
        ):
            raise ConfigError("batching: allowed_batch_sizes must ascend, from 1 on")
        if self.allowed_sizes and self.allowed_sizes[-1] != self.rows_at_once:
            name = "max_execution_batch_size" if self.max_execution_size else "max_batch_size"
            raise ConfigError(f"batching: the last of allowed_batch_sizes must be {name}, {self.rows_at_once}")

    @property
    def rows_at_once(self) -> int:
        return self.max_execution_size or self.max_batch_size


class _Piece:
    """Rows of one request, or a part of them, that go into one batch together."""

    __slots__ = ("arrived", "deadline", "done", "error", "inputs", "outputs", "rows")

    def __init__(self, inputs, rows, deadline):
        self.inputs, self.rows, self.deadline = inputs, rows, deadline
        self.arrived = time.monotonic()
        self.done = threading.Lock()
        self.done.acquire()
        self.outputs = self.error = None

    def finish(self, outputs=None, error=None):
        self.outputs, self.error = outputs, error
        self.done.release()

    def wait(self) -> list[np.ndarray]:
        # The thread that has it finishes it in any case; what waits longer than its deadline is not waited for.
        left = -1 if self.deadline is None else max(0.0, self.deadline - time.monotonic())
        if not self.done.acquire(timeout=min(left, threading.TIMEOUT_MAX)):
            raise deadline_exceeded("the request's time was up while it was in a batch")
        if self.error is not None:
            raise self.error
        return self.outputs


class BatchQueue:
    """Calls that may share a batch. call(inputs) -> outputs, lists of arrays; names: of the inputs, in order."""

    def __init__(self, call, names: list[str]):
        self.call, self.names = call, names
        self.pieces: deque[_Piece] = deque()
        self.rows = 0

    def take(self, limit: int) -> list[_Piece]:
        """The pieces of the next batch, oldest first."""
        taken, rows = [], 0
        while self.pieces and (not taken or rows + self.pieces[0].rows <= limit):
            piece = self.pieces.popleft()
            taken.append(piece)
            rows += piece.rows
        self.rows -= rows
        return taken


class BatchScheduler:
    """Threads that compute batches. metrics: called with (rows, padded rows) of each batch."""

    def __init__(self, config: BatchConfig, observe=lambda rows, padded: None):
        self.config, self._observe = config, observe
        self._changed = threading.Condition()
        self._waiting: OrderedDict[int, BatchQueue] = OrderedDict()  # queues with pieces, in the order of their turn
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{i}", daemon=True) for i in range(config.num_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, queue: BatchQueue, inputs: list[np.ndarray], deadline: float | None) -> list[np.ndarray]:
        """The outputs of these inputs, computed with others'. deadline: time.monotonic() after which nobody waits, or
        None."""
        rows = self._rows(queue, inputs)
        limit = self.config.rows_at_once
        if rows > limit and (not self.config.split_large or self.config.diff_dim_sizes):
            raise invalid(f"a request of {rows} rows is larger than a batch, {limit} (max_batch_size)")
        cuts = range(0, rows, limit) if rows > limit else (0,)
        whole = len(cuts) == 1
        pieces = [
            _Piece(inputs if whole else [x[at : at + limit] for x in inputs], min(limit, rows - at), deadline)
            for at in cuts
        ]
        self._enqueue(queue, pieces, rows)
        parts = [piece.wait() for piece in pieces]
        # Parts that were padded in different batches may have come out in different shapes.
        return parts[0] if whole else [np.concatenate(padding.to_same_shape(list(column))) for column in zip(*parts)]

    def _rows(self, queue: BatchQueue, inputs) -> int:
        sizes = {x.shape[0] if x.ndim else None for x in inputs}
        if None in sizes:
            raise invalid("with batching every input needs a dimension 0, of rows; a scalar has none")
        if len(sizes) == 1:
            return sizes.pop()
        if not self.config.diff_dim_sizes:
            raise invalid(f"with batching all inputs must have equal dimension 0, here {sorted(sizes)}")
        for name, x in zip(queue.names, inputs):
            if "batch_size" in name and x.dtype == np.int32 and x.shape == (1,):
                if x[0] < 0:
                    raise invalid(f"input {name} says {x[0]} rows")
                return int(x[0])
        raise invalid(
            "inputs differ in dimension 0, and none whose name contains batch_size is an int32 vector of length 1"
        )

    def _enqueue(self, queue: BatchQueue, pieces: list[_Piece], rows: int) -> None:
        with self._changed:
            if self._stopping:
                raise unavailable("the server is stopping")
            if queue.rows + rows > self.config.max_enqueued_batches * self.config.max_batch_size:
                raise unavailable("the batch scheduling queue to which this request was submitted is full")
            queue.pieces.extend(pieces)
            queue.rows += rows
            self._waiting.setdefault(id(queue), queue)
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                queue = self._next()
                if queue is None:
                    return
                pieces = queue.take(self.config.rows_at_once)
                if queue.pieces:
                    self._waiting.move_to_end(id(queue))  # others' turn comes first
                    self._changed.notify()
                else:
                    self._waiting.pop(id(queue), None)
            self._compute(queue, pieces)

    def _next(self) -> BatchQueue | None:
        """The queue whose batch is due, waited for; None when the scheduler has stopped and nothing is left."""
        while True:
            now, soonest = time.monotonic(), None
            for queue in self._waiting.values():
                due = queue.pieces[0].arrived + self.config.timeout_s
                if self._stopping or due <= now or queue.rows >= self.config.rows_at_once:
                    return queue
                soonest = due if soonest is None else min(soonest, due)
            if self._stopping:
                return None
            self._changed.wait(None if soonest is None else soonest - now)

    def _compute(self, queue: BatchQueue, pieces: list[_Piece]) -> None:
        now, live = time.monotonic(), []
        for piece in pieces:
            if piece.deadline is not None and piece.deadline <= now:
                piece.finish(error=deadline_exceeded("the request's time was up before its batch began"))
            else:
                live.append(piece)
        if not live:
            return
        try:
            outputs = self._call(queue, live)
        except StatusError as e:
            self._compute_apart(queue, live, e)
        except Exception as e:  # noqa: BLE001 - a thread that computes for others must not die of one batch
            for piece in live:
                piece.finish(error=StatusError(grpc.StatusCode.INTERNAL, f"{type(e).__name__}: {e}"))
        else:
            at = 0
            for piece in live:
                piece.finish([x[at : at + piece.rows] for x in outputs] if len(live) > 1 else outputs)
                at += piece.rows

    def _compute_apart(self, queue: BatchQueue, pieces: list[_Piece], error: StatusError) -> None:
        """A batch that failed: one request's rows must not fail the others', so each is computed alone."""
        if len(pieces) == 1:
            pieces[0].finish(error=error)
            return
        for piece in pieces:
            self._compute(queue, [piece])

    def _call(self, queue: BatchQueue, pieces: list[_Piece]) -> list[np.ndarray]:
        columns = [list(column) for column in zip(*(piece.inputs for piece in pieces))]
        if self.config.pad_variable_length:
            columns = [padding.to_same_shape(column) for column in columns]
        inputs = [column[0] if len(column) == 1 else np.concatenate(column) for column in columns]
        rows = sum(piece.rows for piece in pieces)
        target = next((size for size in self.config.allowed_sizes if size >= rows), rows)
        if target > rows and not self.config.diff_dim_sizes:
            inputs = [padding.to_rows(x, target) for x in inputs]
        else:
            target = rows
        self._observe(rows, target - rows)
        outputs = queue.call(inputs)
        if any(x.ndim == 0 or x.shape[0] != target for x in outputs):
            raise failed_precondition(f"with batching every output must have dimension 0 of the batch's {target} rows")
        return [x[:rows] for x in outputs] if target > rows else outputs

    def stop(self) -> None:
        """Computes what is queued and ends the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
