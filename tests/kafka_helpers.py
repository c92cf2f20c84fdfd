"""What the tests around Kafka share: messages in and out by other clients, and commands that run on."""

import itertools
import os
import struct
import subprocess
import sys
from pathlib import Path

from processes import wait_until

ROOT = Path(__file__).resolve().parent.parent
_numbers = itertools.count()


def frame(payload: bytes) -> bytes:
    return struct.pack("<Q", len(payload)) + payload


def stream(payloads) -> bytes:
    return b"".join(map(frame, payloads))


def records(data: bytes) -> list[bytes]:
    """Payloads of a bare stream; fails when it does not end at a record."""
    found, at = [], 0
    while at < len(data):
        n = struct.unpack_from("<Q", data, at)[0]
        assert at + 8 + n <= len(data), "the stream ends inside a record"
        found.append(data[at + 8:at + 8 + n])
        at += 8 + n
    return found


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"record %d" % i for i in range(start, start + count)]


def topic_of(broker, partitions=1) -> str:
    return broker.create_topic(f"t{os.getpid()}-{next(_numbers)}", partitions)


def produce(broker, topic, payloads, *, partition=None, timestamps=None) -> None:
    """By confluent-kafka; without a partition in turn."""
    from confluent_kafka import Producer

    producer, failed = Producer({"bootstrap.servers": broker.address}), []

    def known():
        return len(producer.list_topics(topic, timeout=60).topics[topic].partitions)

    wait_until(lambda: known() > (partition or 0), f"partition {partition} of {topic}")
    partitions = known()
    for i, payload in enumerate(payloads):
        more = {"timestamp": timestamps[i]} if timestamps else {}
        more["on_delivery"] = lambda error, _: failed.append(error) if error else None
        while True:
            try:
                producer.produce(topic, payload, partition=i % partitions if partition is None else partition, **more)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(120) == 0 and not failed, failed


def consume(broker, topic, count=None) -> list:
    """All messages of a topic by confluent-kafka, in the order of their partitions."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "check", "enable.auto.commit": False,
                         "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    found, ends = [], 0
    while ends < len(partitions):
        for message in consumer.consume(1000, 1):
            if message.error():
                ends += message.error().code() == KafkaError._PARTITION_EOF
            else:
                found.append(message)
    consumer.close()
    return sorted(found, key=lambda m: (m.partition(), m.offset()))


def committed(broker, topic, group) -> dict[int, int]:
    """Offsets that a group has stored."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": group})
    partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
    found = {p.partition: p.offset for p in consumer.committed([TopicPartition(topic, p) for p in partitions], timeout=60)}
    consumer.close()
    return {p: at for p, at in found.items() if at >= 0}


def wait_for_members(broker, group, count) -> None:
    """Until so many members of a group have partitions."""
    from confluent_kafka.admin import AdminClient

    client = AdminClient({"bootstrap.servers": broker.address})

    def shared():
        members = client.describe_consumer_groups([group], request_timeout=60)[group].result(60).members
        return sum(bool(m.assignment.topic_partitions) for m in members) == count

    wait_until(shared, f"{count} members of {group}")


def start(name, *args, **popen) -> subprocess.Popen:
    """A command that runs on."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")} | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "monolith_cli", name, *map(str, args)], env=environment,
                            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | popen)
