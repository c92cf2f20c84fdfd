"""A topic of Kafka as the end of a chain: every record is confirmed by the server before the run ends in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from monolith_cli.errors import CannotCreateError, Error, IoError, NoInputError, UnavailableError, UsageError
from monolith_cli.records import kafka_url
from monolith_cli.records.kafka_client import Client, as_error

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
FRAME_PARTS = ("sort-id", "kafka-dump", "kafka-dump-prefix", "lagrangex")
_READING = ("group", "offset", "until", "timeout", "partition", "messages")


@dataclass(frozen=True)
class PublishConfig:
    """How records become messages.

    target: kafka://HOST:PORT/TOPIC, with config, wait and properties as in `kafka_url`. record_type: for keys and
    lagrangex headers. key: field of LineId that is the key as text, "" for none. partition: None for the client's choice: by
    key as Java's client has it, else at random. headers: (name, value) of each message. codec: see CODECS. framed: messages hold
    at most `max_records` records, in frames with the parts of FRAME_PARTS. timeout: seconds a message may wait for its
    confirmation. properties: (name, value) of librdkafka.
    """

    target: str
    record_type: str = "instance"
    key: str = ""
    partition: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    codec: str = "none"
    framed: bool = False
    frame_parts: tuple[str, ...] = ()
    max_records: int = 100
    timeout: float = 120.0
    properties: tuple[tuple[str, str], ...] = field(default_factory=tuple)


def publish(sources, config: PublishConfig, *, framing, operators=(), on_bad_record: str = "fail", stats: str | None = None, run=None) -> dict:
    """The body of pb-publish: passes the records of all sources to a topic. Returns the counters of the chain and
    `messages_confirmed`.

    Raises UnavailableError or IoError, with the number of messages that are confirmed, when not all are.
    """
    from monolith_cli.records.chain import run_chain

    topic = KafkaSink(config, run.log if run else None)
    counters = run_chain(sources, [*operators, topic.native.operator()], framing=framing, on_bad_record=on_bad_record,
                         stats=stats, run=run, open_output=topic.open, confirm=topic.confirm,
                         record_type=config.record_type if config.key or "lagrangex" in config.frame_parts else None)
    if run is not None:
        run.metrics["messages_confirmed"] = topic.confirmed
    return {**counters, "messages_confirmed": topic.confirmed}


class KafkaSink:
    """Messages on their way to one topic. `native` is the sink of a chain that ends with its operator."""

    def __init__(self, config: PublishConfig, log=None):
        from confluent_kafka import Producer

        from monolith_cli._native import _core

        url = _target(config.target)
        self._name, self._topic, self._log = url.name, url.topics[0], log
        self._sent = self._failed = 0
        self._error = None
        user = {**url.properties, **dict(config.properties)}
        defaults = {"client.id": "monolith-cli", "enable.idempotence": True, "partitioner": "murmur2_random",
                    "queue.buffering.max.kbytes": "65536", "compression.codec": config.codec}
        fixed = {"bootstrap.servers": url.servers, "acks": "all", "delivery.report.only.error": True,
                 "message.timeout.ms": int(config.timeout * 1000), "on_delivery": self._on_failure}
        self._client = Client(Producer, defaults, url.config, user, fixed, where=url.name, wait=url.wait, log=log)
        self._producer = self._client.library
        self._arguments: dict = {"headers": list(config.headers)} if config.headers else {}
        if config.partition is not None:
            self._arguments["partition"] = config.partition
        options = None
        if config.framed:
            options = _core.FrameOptions(has_sort_id="sort-id" in config.frame_parts, kafka_dump="kafka-dump" in config.frame_parts,
                                         kafka_dump_prefix="kafka-dump-prefix" in config.frame_parts,
                                         lagrangex_header="lagrangex" in config.frame_parts, type=config.record_type)
        limit = int(self._client.properties.get("message.max.bytes", 1_000_000))
        limit -= sum(len(n.encode()) + len(v.encode()) for n, v in config.headers)
        self.native = _core.MessageSink(self._send, config.record_type, config.key, options, config.max_records if config.framed else 1,
                                        max(limit, 0))
        self._partition = config.partition

    def send(self, values: list[bytes], keys: list[bytes | None]) -> None:
        """Hands messages to the client, while `open`; `confirm` waits for them. Raises UnavailableError or IoError."""
        self._send(values, keys)

    @property
    def confirmed(self) -> int:
        """Messages the server has."""
        return self._sent - self._failed - len(self._producer)

    @contextmanager
    def open(self, output: str | None = None) -> Iterator:
        """The native sink; when the block ends without an error, all messages are confirmed."""
        try:
            self._look_up()
            yield self.native
            self.native.flush()
            self.confirm()
        except BaseException:
            self._send_rest()
            raise

    def _send_rest(self) -> None:
        """After an error elsewhere: what came before it is sent."""
        if self._error is None and not self._client.refused:
            try:
                self.confirm()
                return
            except Error as e:
                if self._log:
                    self._log.warning(str(e))
        self._producer.purge()
        self._producer.flush(0)

    def _look_up(self) -> None:
        from monolith_cli._native import _core

        def stopped():
            if _core.stop_requested():
                raise _core.Interrupted

        try:
            partitions = self._client.topics([self._topic], stopped)[self._topic]
        except NoInputError as e:
            raise CannotCreateError(f"{e} (create it first, for example with kafka-topics --create)") from None
        if self._partition is not None and self._partition not in partitions:
            raise CannotCreateError(f"{self._name}: no partition {self._partition}; there are 0 to {len(partitions) - 1}")

    def _on_failure(self, error, message) -> None:
        if error is not None:
            self._failed += 1
            self._error = self._error or error

    def _send(self, values: list[bytes], keys: list[bytes | None]) -> None:
        from confluent_kafka import KafkaException

        produce, topic, arguments = self._producer.produce, self._topic, self._arguments
        for value, key in zip(values, keys):
            while True:
                try:
                    produce(topic, value, key, **arguments)
                    break
                except BufferError:
                    self._producer.poll(0.1)
                    self._check()
                except KafkaException as e:
                    raise self._failure(as_error(e, self._name), str(e.args[0].str())) from None
            self._sent += 1
        self._producer.poll(0)
        self._check()

    def confirm(self) -> bool:
        """Waits until the server has all messages that were sent."""
        while len(self._producer):
            self._producer.flush(0.5)
            self._check()
        self._check()
        return True

    def _check(self) -> None:
        if self._client.refused:
            raise self._failure(self._client.unreachable(), self._client.refused)
        if self._error is not None:
            raise self._failure(_kind_of(self._error), self._error.str())

    def _failure(self, kind: Error, reason: str) -> Error:
        lost = self._sent - self.confirmed
        return type(kind)(f"{self._name}: {reason}: {self.confirmed} messages are confirmed, {lost} are not")


def _kind_of(error) -> Error:
    from confluent_kafka import KafkaError, KafkaException

    if error.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN):
        return UnavailableError("")
    known = as_error(KafkaException(error), "")
    return known if not isinstance(known, (UnavailableError, NoInputError)) else IoError("")


def _target(target: str) -> kafka_url.KafkaUrl:
    if not kafka_url.is_kafka(target):
        raise UsageError(f"{target}: the target is a topic: kafka://HOST:PORT/TOPIC")
    url = kafka_url.parse(target)
    if len(url.topics) > 1:
        raise UsageError(f"{target}: publish to one topic at a time")
    for key in _READING:
        if re.search(rf"[?&]{key}=", target):
            raise UsageError(f"{target}: {key} is for reading")
    return url
