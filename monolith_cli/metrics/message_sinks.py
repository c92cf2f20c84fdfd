"""Where per-sample messages go from a session: a Kafka topic, or files in folders by key."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from monolith_cli.metrics.deep_insight import COLLECTION

tf1 = tf.compat.v1
log = logging.getLogger("monolith.metrics")

IDLE_SECONDS = 24 * 3600
SWEEP_SECONDS = 600


class KProducer:
    """Sends messages to a Kafka topic. brokers: HOST:PORT,...; the client's own threads deliver."""

    def __init__(self, brokers: str, topic: str):
        from confluent_kafka import Producer

        self._producer = Producer({"bootstrap.servers": brokers})
        self._topic, self._lock = topic, threading.Lock()
        self._total = self._success = self._failed = 0

    def send(self, messages: Any) -> None:
        """A text or bytes, or several; None and empty ones are left out. A full queue makes it wait."""
        if messages is None:
            return
        batch = [messages] if isinstance(messages, (str, bytes)) else list(messages)
        for message in filter(None, batch):
            if self._total < 10:
                log.info("message to %s: %r", self._topic, message)
            self._total += 1
            self._produce(message)
        self._producer.poll(0)

    def _produce(self, message) -> None:
        while True:
            try:
                return self._producer.produce(self._topic, message, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(0.1)

    def _delivered(self, error, _message) -> None:
        with self._lock:
            if error is None:
                self._success += 1
            else:
                self._failed += 1
                log.warning("a message to %s was not delivered: %s", self._topic, error)

    def close(self, timeout: float = 10.0) -> None:
        """Waits up to timeout seconds for what is under way; what is left then counts as failed."""
        left = self._producer.flush(timeout)
        if left:
            with self._lock:
                self._failed += left
            log.warning("%d messages to %s were not delivered within %s s", left, self._topic, timeout)

    def total(self) -> int:
        return self._total

    def success(self) -> int:
        return self._success

    def failed(self) -> int:
        return self._failed


class _MessageHook(tf1.train.SessionRunHook):
    """Fetches the messages of each step. op: default the first of the collection deep_insight_op."""

    def __init__(self, deep_insight_op=None):
        collected = tf1.get_collection(COLLECTION)
        self._op = collected[0] if deep_insight_op is None and collected else deep_insight_op

    def before_run(self, run_context):
        return None if self._op is None else tf1.train.SessionRunArgs(self._op)

    def after_run(self, run_context, run_values):
        if run_values.results is not None:
            self.take([m for m in run_values.results if m])

    def take(self, messages: list[bytes]) -> None:
        raise NotImplementedError


class KafkaMetricHook(_MessageHook):
    """Sends the messages of each step to the topic KAFKA_TOPIC_NAME at KAFKA_BROKER_LIST of the environment; without
    both it does nothing but say so once."""

    def __init__(self, deep_insight_op=None):
        super().__init__(deep_insight_op)
        self._brokers, self._topic = os.environ.get("KAFKA_BROKER_LIST"), os.environ.get("KAFKA_TOPIC_NAME")
        self._producer: KProducer | None = None
        if not (self._brokers and self._topic):
            log.warning("no messages go to Kafka: set KAFKA_BROKER_LIST and KAFKA_TOPIC_NAME")
            self._op = None

    def take(self, messages):
        # Made where it is needed: after the end of one session the next one connects again.
        self._producer = self._producer or KProducer(self._brokers, self._topic)
        self._producer.send(messages)

    def end(self, session):
        if self._producer is not None:
            self._producer.close()
            log.info("Kafka: %d messages delivered, %d failed", self._producer.success(), self._producer.failed())
            self._producer = None


class WriteOnlyFileAndStat:
    """Lines in files `<key>/part_000000.<ext>`, `part_000001.<ext>`, ...: a buffer of batch_size lines is flushed when
    one more comes; after a flush that brings a file to partition_size lines or more the next file begins. The folder is
    made at the first flush; numbering begins
    behind the files that are there. layout_fn: object -> line, default `default_layout`; None objects are left out."""

    def __init__(
        self,
        key: str,
        layout_fn: Callable | None = None,
        batch_size: int = 1024,
        partition_size: int = 1_000_000,
        file_ext: str = "txt",
    ):
        self._key, self._layout = key, layout_fn or default_layout
        self._batch_size, self._partition_size, self._ext = batch_size, partition_size, file_ext
        self._buffer: list[str] = []
        self._file = None
        self._lines, self._part = 0, None
        self.last_used = time.monotonic()

    def write(self, item: Any) -> None:
        if item is None:
            return
        self.last_used = time.monotonic()
        line = self._layout(item)
        if len(self._buffer) >= self._batch_size:
            self.flush()
        self._buffer.append(line)

    def flush(self) -> None:
        if not self._buffer:
            return
        if self._file is None:
            self._open()
        self._file.write("\n".join(self._buffer) + "\n")
        self._file.flush()
        self._lines += len(self._buffer)
        self._buffer = []
        if self._lines >= self._partition_size:
            self._close_file()

    def close(self) -> None:
        """Flushes and closes."""
        self.flush()
        self._close_file()

    def _open(self) -> None:
        os.makedirs(self._key, exist_ok=True)
        self._part = self._next_part() if self._part is None else self._part + 1
        self._file = open(os.path.join(self._key, f"part_{self._part:06d}.{self._ext}"), "w", encoding="utf-8")

    def _next_part(self) -> int:
        numbers = [int(n[5:11]) for n in os.listdir(self._key) if n.startswith("part_") and n[5:11].isdigit()]
        return max(numbers, default=-1) + 1

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file, self._lines = None, 0


def default_layout(item: Any) -> str:
    """A text as it is, else its JSON, else its repr."""
    if isinstance(item, str):
        return item
    try:
        return json.dumps(item)
    except (TypeError, ValueError):
        return repr(item)


def _first(item: dict, *names: str, default: Any = None) -> Any:
    return next((item[n] for n in names if n in item), default)


def vepfs_layout_fn(item: dict) -> str:
    """`<req_time>;<gid>;<uid>;<JSON of predict>;<JSON of label>`; a missing predict or label is None."""
    parts = [
        _first(item, "__REQ_TIME__", "req_time"),
        _first(item, "__FEED_ID__", "feedid", "gid", default="gid"),
        _first(item, "__UID__", "userid", "uid", default="uid"),
        *(json.dumps(item[k]) if k in item else None for k in ("predict", "label")),
    ]
    return ";".join(str(p) for p in parts)


def vepfs_key_fn(item: dict, worker_id: int, base_name: str) -> str:
    """`<base_name>/<model_name>/<req_time>/worker_<id>`; what would lead out of base_name is made harmless."""
    parts = (
        str(_first(item, "model_name", default="model_name")),
        str(_first(item, "__REQ_TIME__", "req_time", default="req_time")),
    )
    safe = [p.replace(os.sep, "_").replace("\0", "_") for p in parts]
    return os.path.join(base_name, *("_" if p in ("", ".", "..") else p for p in safe), f"worker_{worker_id}")


class FileMetricHook(_MessageHook):
    """Writes the messages of each step into files by key, by a thread of its own; a message that cannot be parsed or
    written is logged and dropped.

    parse_fn: bytes -> object, default JSON. key_fn(object, worker_id, base_name) -> folder, default `vepfs_key_fn`.
        layout_fn, batch_size,
    partition_size, file_ext: of `WriteOnlyFileAndStat`; layout_fn defaults to `vepfs_layout_fn`. Files that were idle
        for a day are closed.
    """

    def __init__(
        self,
        deep_insight_op=None,
        *,
        worker_id: int | None = None,
        parse_fn: Callable | None = None,
        key_fn: Callable | None = None,
        layout_fn: Callable | None = None,
        batch_size: int = 1024,
        partition_size: int | None = None,
        base_name: str = "/vepfs/jaguar_deepinsight_results",
        file_ext: str = "txt",
    ):
        super().__init__(deep_insight_op)
        self._worker_id = worker_id or 0
        self._parse, self._key, self._base = parse_fn or _parse, key_fn or vepfs_key_fn, base_name
        self._file_arguments = (layout_fn or vepfs_layout_fn, batch_size, partition_size or 1_000_000, file_ext)
        self._files: dict[str, WriteOnlyFileAndStat] = {}
        self._queue: queue.Queue = queue.Queue(65536)
        self._thread: threading.Thread | None = None
        self._swept = time.monotonic()

    def take(self, messages):
        if self._thread is None:
            self._thread = threading.Thread(target=self._drain, name="file-metric-hook", daemon=True)
            self._thread.start()
        for message in messages:
            self._queue.put(message)

    def end(self, session):
        """Waits until all is written, and closes the files."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _drain(self) -> None:
        while (message := self._queue.get()) is not None:
            try:
                self._write(message)
            except Exception as e:  # whatever a function of the user's raises: one message is lost, the others are not
                log.warning("a message was dropped: %s: %s", type(e).__name__, e)
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _write(self, message: bytes) -> None:
        item = self._parse(message)
        key = self._key(item, self._worker_id, self._base)
        if key not in self._files:
            self._files[key] = WriteOnlyFileAndStat(key, *self._file_arguments)
        self._files[key].write(item)
        now = time.monotonic()
        if now - self._swept > SWEEP_SECONDS:
            self._swept = now
            for idle in [k for k, f in self._files.items() if now - f.last_used > IDLE_SECONDS]:
                self._files.pop(idle).close()


def _parse(message: Any) -> Any:
    return json.loads(message) if isinstance(message, (str, bytes)) else message
