"""Topics of Kafka as a source of records; see `kafka_url` for the names.

Offsets of a group are committed when all records of a message have been delivered, as `delivery.Delivery` says, at most a
second later and at the end. What was delivered and not committed when a process is killed comes again: at least once.
"""

from __future__ import annotations

import time

from monolith_cli.errors import NoInputError
from monolith_cli.records.delivery import Delivery
from monolith_cli.records.framing import Framing
from monolith_cli.records.kafka_client import Client, as_error
from monolith_cli.records.kafka_url import KafkaUrl, parse

_AT_ONCE = 1000  # messages of one batch
_WAIT = 0.2  # seconds between looks at the stop flag
_REFRESH = 30.0  # seconds between looks for new partitions


def open_reader(source: str, framing: Framing, delivery: Delivery, log=None):
    """A native reader of the records of a topic. Raises UsageError, NoInputError, UnavailableError, ConfigError."""
    from monolith_cli._native import _core

    url = parse(source)
    options = framing.options()
    if framing.format != "pb" or framing.compression not in ("auto", "none"):
        from monolith_cli.errors import UsageError

        raise UsageError(f"{url.name}: messages hold records or frames; --format and --compression are for files")
    framed = url.framed
    if framed is None:
        framed = framing.has_sort_id or framing.kafka_dump or framing.kafka_dump_prefix or framing.lagrangex_header
    messages = KafkaSource(url, delivery, log)
    delivery.add(messages)
    return _core.message_reader(messages, url.name, options if framed else None, framing.max_record_size)


class KafkaSource:
    """Batches of messages, as `_core.message_reader` asks for them."""

    def __init__(self, url: KafkaUrl, delivery: Delivery, log=None):
        from confluent_kafka import Consumer

        self._url, self._delivery, self._log = url, delivery, log
        self._cancelled = self._ended = self._closed = False
        self._batch: list = []  # messages in the hands of the reader
        self._ends: dict[tuple[str, int], int] = {}  # next offset after them
        self._passed: dict[tuple[str, int], int] = {}  # next offset after what the chain has passed on …
        self._delivered: dict[tuple[str, int], int] = {}  # … and after what has left it
        self._committed: dict[tuple[str, int], int] = {}
        self._committed_at = time.monotonic()
        self._assigned: set[tuple[str, int]] | None = None
        self._at_end: set[tuple[str, int]] = set()
        self._stop_at: dict[tuple[str, int], int] = {}
        self._refreshed = time.monotonic()
        self._nulls = 0
        defaults = {"auto.offset.reset": "earliest", "queued.max.messages.kbytes": "16384",
                    "topic.metadata.refresh.interval.ms": "30000", "client.id": "monolith-cli"}
        if url.until:
            defaults["fetch.wait.max.ms"] = "50"  # the end is seen when a fetch comes back empty
        fixed = {"bootstrap.servers": url.servers, "group.id": url.group or "monolith-cli", "enable.auto.commit": False,
                 "enable.auto.offset.store": False, "enable.partition.eof": True}
        self._client = Client(Consumer, defaults, url.config, url.properties, fixed, where=url.name, wait=url.wait, log=log)
        self._consumer = self._client.library
        self._cooperative = "cooperative" in self._client.properties.get("partition.assignment.strategy", "")
        self._known = self._client.topics(url.topics, self._look_for_stop)
        if url.group:
            self._consumer.subscribe(list(url.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        else:
            self._assign_all()

    # --- where to begin and to end ---------------------------------------------------------------------------------------

    def _assign_all(self) -> None:
        wanted = [(t, p) for t, partitions in self._known.items() for p in partitions]
        if self._url.partitions is not None:
            for number in self._url.partitions:
                if all(p != number for _, p in wanted):
                    raise NoInputError(f"{self._url.name}: no partition {number}")
            wanted = [(t, p) for t, p in wanted if p in self._url.partitions]
        self._consumer.assign(self._begin(wanted))
        self._assigned = set(wanted)

    def _begin(self, partitions: list[tuple[str, int]]) -> list:
        from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaException, TopicPartition

        word = self._url.offset
        try:
            if self._url.until and self._url.until != "end":
                self._stop_at |= self._at_time(partitions, int(self._url.until[2:]))
            if word in ("beginning", "stored"):
                return [TopicPartition(t, p, OFFSET_BEGINNING) for t, p in partitions]
            if word == "end":
                return [TopicPartition(t, p, self._watermarks(t, p)[1] if self._stop_at else OFFSET_END) for t, p in partitions]
            if word.startswith("s@"):
                return [TopicPartition(t, p, at) for (t, p), at in self._at_time(partitions, int(word[2:])).items()]
            return [TopicPartition(t, p, self._numbered(t, p, int(word))) for t, p in partitions]
        except KafkaException as e:
            raise as_error(e, self._url.name) from None

    def _watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        from confluent_kafka import TopicPartition

        return self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=self._url.wait)

    def _numbered(self, topic: str, partition: int, offset: int) -> int:
        low, high = self._watermarks(topic, partition)
        if self._url.offset.startswith("-"):
            return max(low, high + offset)
        if not low <= offset <= high:
            self._warn(f"{topic}, partition {partition} has the offsets {low} to {high}, not {offset}: begins at {min(max(offset, low), high)}")
        return min(max(offset, low), high)

    def _at_time(self, partitions: list[tuple[str, int]], ms: int) -> dict[tuple[str, int], int]:
        """Offset of the first message of that time or later, of each partition; its end when there is none."""
        from confluent_kafka import TopicPartition

        found = self._consumer.offsets_for_times([TopicPartition(t, p, ms) for t, p in partitions], timeout=self._url.wait)
        return {(f.topic, f.partition): f.offset if f.offset >= 0 else self._watermarks(f.topic, f.partition)[1] for f in found}

    def _look_for_partitions(self) -> None:
        """Without a group nobody tells of partitions that are new; they are read from the beginning."""
        from confluent_kafka import OFFSET_BEGINNING, KafkaException, TopicPartition

        if self._url.group or self._url.partitions is not None or time.monotonic() - self._refreshed < _REFRESH:
            return
        self._refreshed = time.monotonic()
        try:
            topics = self._consumer.list_topics(timeout=1).topics
        except KafkaException:
            return
        new = [(t, p) for t in self._url.topics if t in topics for p in topics[t].partitions if (t, p) not in self._assigned]
        if new:
            self._consumer.incremental_assign([TopicPartition(t, p, OFFSET_BEGINNING) for t, p in new])
            self._assigned |= set(new)

    # --- the group -------------------------------------------------------------------------------------------------------

    def _on_assign(self, consumer, partitions) -> None:
        from confluent_kafka import KafkaException

        try:
            stored = consumer.committed(partitions, timeout=self._url.wait) if partitions else []
        except KafkaException as e:
            raise as_error(e, self._url.name) from None
        begin = [p for p in stored if p.offset >= 0]
        begin += self._begin([(p.topic, p.partition) for p in stored if p.offset < 0])
        for p in begin:
            self._warn_of_gap(p)
        (consumer.incremental_assign if self._cooperative else consumer.assign)(begin)
        mine = {(p.topic, p.partition) for p in begin}
        self._assigned = (self._assigned or set()) | mine if self._cooperative else mine
        self._at_end -= mine

    def _warn_of_gap(self, partition) -> None:
        from confluent_kafka import KafkaException

        if partition.offset <= 0:
            return
        try:
            low, _ = self._watermarks(partition.topic, partition.partition)
        except KafkaException:
            return
        if partition.offset < low:
            self._warn(f"{partition.topic}, partition {partition.partition}: {low - partition.offset} messages were deleted "
                       "by the server before the group read them")

    def _on_revoke(self, consumer, partitions) -> None:
        self._commit(always=True)
        self._forget(partitions)
        if self._cooperative:
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def _on_lost(self, consumer, partitions) -> None:
        self._warn("the group went on without this reader; records that were read and not committed come again")
        self._forget(partitions)

    def _forget(self, partitions) -> None:
        gone = {(p.topic, p.partition) for p in partitions}
        self._assigned = (self._assigned or set()) - gone
        for marks in (self._passed, self._delivered, self._committed):
            for key in gone:
                marks.pop(key, None)

    # --- delivery --------------------------------------------------------------------------------------------------------

    def passed(self, messages: int, left: bool) -> None:
        """The chain passed on the first `messages` of the batch; `left`: they have also left it."""
        ends = self._ends if messages >= len(self._batch) else {(m.topic(), m.partition()): m.offset() + 1 for m in self._batch[:messages]}
        self._passed.update((key, at) for key, at in ends.items() if key in self._assigned)
        if left:
            self._delivered.update(self._passed)

    def _commit(self, always: bool = False) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        if not self._url.group or not (always or time.monotonic() - self._committed_at >= 1):
            return
        new = {key: at for key, at in self._delivered.items() if key in self._assigned and self._committed.get(key) != at}
        if not new or not self._delivery.confirm():
            return
        self._committed_at = time.monotonic()
        try:
            self._consumer.commit(offsets=[TopicPartition(t, p, at) for (t, p), at in new.items()], asynchronous=not always)
            self._committed.update(new)
        except KafkaException as e:
            self._warn(f"the offsets were not committed: {e.args[0].str()}; records since the last time come again")

    def close(self, delivered: bool) -> None:
        """The run has ended; delivered: everything passed on is in its place."""
        if self._closed:
            return
        self._closed = True
        if delivered:
            self._delivered.update(self._passed)
            self._delivery.confirm = lambda: True
        self._commit(always=True)
        if self._nulls:
            self._warn(f"{self._nulls} messages without a value (tombstones) were left out")
        self._consumer.close()

    # --- messages --------------------------------------------------------------------------------------------------------

    def next_batch(self) -> list[bytes] | None:
        """Values of the next messages, at least one; None at the end."""
        self._commit()
        silent_since = None
        while not self._ended:
            self._look_for_stop()
            values = self._collect()
            if values:
                return values
            if self._ended or self._finished():
                break
            self._client.check()
            self._commit()
            self._look_for_partitions()
            if self._assigned is None or self._client.down():
                silent_since = None
            else:
                silent_since = silent_since or time.monotonic()
                if self._url.timeout and time.monotonic() - silent_since >= self._url.timeout:
                    break
        return None

    def _collect(self) -> list[bytes]:
        first = self._consumer.poll(_WAIT)
        if first is None:
            return []
        self._batch, self._ends = [], {}
        values: list[bytes] = []
        self._sort([first, *self._consumer.consume(_AT_ONCE - 1, 0)], values)
        if values:
            self._client.alive()
        self._ended = self._finished()
        return values

    def _sort(self, messages: list, values: list[bytes]) -> None:
        """Takes what is wanted of the messages; runs of one partition are looked at once."""
        run, wanted, last = None, True, None
        for m in messages:
            if m.error() is not None:
                self._on_message_error(m, m.error())
                continue
            key = (m.topic(), m.partition())
            if key != run:
                if last is not None:
                    self._ends[run] = last.offset() + 1
                run, last, wanted = key, None, key in self._assigned
            if not wanted or (self._stop_at and m.offset() >= self._stop_at.get(key, m.offset() + 1)):
                self._at_end.add(key)
                continue
            last, value = m, m.value()
            if value is None:
                self._nulls += 1
            else:
                self._batch.append(m)
                values.append(value)
        if last is not None:
            self._ends[run] = last.offset() + 1

    def _finished(self) -> bool:
        return bool(self._url.until) and self._assigned is not None and self._assigned <= self._at_end

    def _on_message_error(self, message, error) -> None:
        from confluent_kafka import KafkaError, KafkaException

        if error.code() == KafkaError._PARTITION_EOF:
            self._at_end.add((message.topic(), message.partition()))
        elif error.fatal() or error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED,
                                               KafkaError.GROUP_AUTHORIZATION_FAILED):
            raise as_error(KafkaException(error), self._url.name)
        else:
            self._warn(error.str())

    def place(self, i: int) -> str:
        m = self._batch[i]
        topic = f"topic {m.topic()}, " if len(self._url.topics) > 1 else ""
        return f"{topic}partition {m.partition()}, offset {m.offset()}"

    def cancel(self) -> None:
        self._cancelled = True

    def _look_for_stop(self) -> None:
        from monolith_cli._native import _core

        if self._cancelled or _core.stop_requested():
            raise _core.Interrupted

    def _warn(self, message: str) -> None:
        if self._log:
            self._log.warning(f"{self._url.name}: {message}")
