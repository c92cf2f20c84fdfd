"""pb-publish: records to a topic of a real Kafka broker."""

import shutil
import signal
import subprocess
import time

import pytest

from kafka_helpers import committed, consume, frame, numbered, produce, records, start, stream, topic_of
from monolith_cli._native import _core
from processes import wait_until_read


def instance(uid: int, chnid: int = 0, key: int | None = None) -> bytes:
    from monolith_protos.proto_parser_pb2 import Instance

    made = Instance(label=[1.0])
    made.line_id.uid, made.line_id.chnid, made.line_id.user_id = uid, chnid, f"u{uid}" if uid else ""
    if key is not None:
        made.data_source_key = key
    return made.SerializeToString()


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_any_records_arrive(run, broker, codec):
    topic = topic_of(broker, 3)
    payloads = [*numbered(500), b"", b"x" * 200_000]
    done = run("pb-publish", "-z", codec, f"kafka://{broker.address}/{topic}", stdin=stream(payloads))
    assert done.stdout == b"" and "records out 502" in done.stderr
    assert sorted(m.value() for m in consume(broker, topic)) == sorted(payloads)
    assert sorted(records(run("pb-cat", f"kafka://{broker.address}/{topic}?until=end").stdout)) == sorted(payloads)


def test_keys_choose_the_partition_as_other_clients_do(run, broker):
    from kafka.partitioner.default import murmur2

    topic = topic_of(broker, 5)
    run("pb-publish", "--key", "uid", f"kafka://{broker.address}/{topic}", stdin=stream(instance(i) for i in range(50)))
    messages = consume(broker, topic)
    assert sorted(m.key() for m in messages if m.key()) == sorted(b"%d" % i for i in range(1, 50))
    assert [m.value() for m in messages if m.key() is None] == [instance(0)]
    for m in messages:
        assert m.key() is None or ((murmur2(m.key()) & 0x7FFFFFFF) % 5 == m.partition() and m.value() == instance(int(m.key())))
    run("pb-publish", "--key", "user_id", "-p", 2, "-H", "from=test", "-H", "x=a=b", f"kafka://{broker.address}/{topic}", stdin=frame(instance(7)))
    last = consume(broker, topic)
    (new,) = [m for m in last if m.headers()]
    assert (new.partition(), new.key(), new.headers()) == (2, b"u7", [("from", b"test"), ("x", b"a=b")])


@pytest.mark.parametrize("field", ["uid", "item_id", "req_time", "chnid", "rank", "cid", "user_id", "device_type", "data_source_name"])
@pytest.mark.parametrize("kind", ["instance", "example"])
def test_every_key_reads_as_the_library_reads_it(field, kind):
    from monolith_protos.example_pb2 import Example
    from monolith_protos.proto_parser_pb2 import Instance

    for value in ("", "ä", "text") if field in ("cid", "user_id", "device_type", "data_source_name") else (0, 5, 2**31 - 1, -1):
        made = (Instance if kind == "instance" else Example)()
        if value == -1 and field in ("uid", "item_id"):
            value = 2**64 - 1
        setattr(made.line_id, field, value)
        sent = []
        sink = _core.MessageSink(lambda values, keys: sent.extend(zip(values, keys)), kind, field)
        _core.apply(sink.operator(), made.SerializeToString())
        sink.flush()
        assert sent == [(made.SerializeToString(), str(value).encode() if value else None)]


@pytest.mark.parametrize("parts", [[], ["sort-id"], ["kafka-dump"], ["sort-id", "kafka-dump", "kafka-dump-prefix"], ["lagrangex"]], ids="+".join)
def test_framed_messages_come_back(run, broker, parts):
    topic = topic_of(broker)
    payloads = [instance(i, key=256 * i) for i in range(25)]
    url = f"kafka://{broker.address}/{topic}"
    run("pb-publish", "--messages", "framed", "--records-per-message", 10, *[a for p in parts for a in ("--frame-part", p)], url,
        stdin=stream(payloads))
    messages = consume(broker, topic)
    flags = {"lagrangex": "--lagrangex-header"}
    back = [flags.get(p, f"--{'has-' if p == 'sort-id' else ''}{p}") for p in parts]
    assert [len(records(run("pb-cat", *back, stdin=m.value()).stdout)) for m in messages] == [10, 10, 5]
    assert records(run("pb-cat", *back, f"{url}?until=end&messages=framed").stdout) == payloads


def test_framed_messages_hold_one_key():
    sent = []
    sink = _core.MessageSink(lambda values, keys: sent.extend(zip(values, keys)), "instance", "uid", _core.FrameOptions(), 100)
    for uid in (1, 1, 2, 1):
        _core.apply(sink.operator(), instance(uid))
    sink.flush()
    assert [(k, len(records(v))) for v, k in sent] == [(b"1", 2), (b"2", 1), (b"1", 1)]


def test_a_record_that_does_not_fit(run, broker, tmp_path):
    topic = topic_of(broker)
    url, data = f"kafka://{broker.address}/{topic}", frame(b"a") + frame(b"x" * 2000) + frame(b"b")
    done = run("pb-publish", "-X", "message.max.bytes=1500", url, stdin=data, check=False)
    assert done.returncode == 65 and "stdin: byte 9: " in done.stderr and "message.max.bytes" in done.stderr
    run("pb-publish", "-X", "message.max.bytes=1500", "--on-bad-record", tmp_path / "bad", url, stdin=data)
    assert [m.value() for m in consume(broker, topic)] == [b"a", b"a", b"b"]
    assert records((tmp_path / "bad").read_bytes()) == [b"x" * 2000]
    done = run("pb-publish", "-X", "message.max.bytes=9000000", url, stdin=frame(b"x" * 3_000_000), check=False)
    assert done.returncode == 74 and "0 messages are confirmed, 1 are not" in done.stderr


@pytest.mark.parametrize("data", [frame(b"a") + frame(b"cut")[:-1], frame(b"a") + b"\xff" * 9, frame(b"a") + b"123"])
def test_broken_input(run, broker, data):
    topic = topic_of(broker)
    done = run("pb-publish", f"kafka://{broker.address}/{topic}", stdin=data, check=False)
    assert done.returncode == 65 and "stdin: byte 9: " in done.stderr
    assert [m.value() for m in consume(broker, topic)] == [b"a"]
    run("pb-publish", "--on-bad-record", "skip", f"kafka://{broker.address}/{topic}", stdin=data)
    assert [m.value() for m in consume(broker, topic)] == [b"a", b"a"]


def test_a_key_that_cannot_be_read(run, broker):
    topic = topic_of(broker)
    done = run("pb-publish", "--key", "uid", f"kafka://{broker.address}/{topic}", stdin=frame(instance(1)) + frame(b"\x2a\xff"), check=False)
    assert done.returncode == 65 and f"stdin: byte {8 + len(instance(1))}: " in done.stderr
    assert [m.key() for m in consume(broker, topic)] == [b"1"]


def test_mistakes(run, broker):
    topic = topic_of(broker)
    url = f"kafka://{broker.address}/{topic}"
    for args, code, text in [(["clicks.pb"], 2, "kafka://HOST:PORT/TOPIC"), ([f"{url},b"], 2, "one topic"), ([f"{url}?group=g"], 2, "for reading"),
                             ([f"{url}x"], 73, "no such topic"), (["-p", 9, url], 73, "no partition 9"), (["--key", "actions", url], 2, "uid"),
                             (["--key", "ui", url], 2, "uid"), (["-X", "sasl.password=pass1", url], 2, "config=FILE"), (["-X", "acks", url], 2, "NAME=VALUE"),
                             (["-X", "no.such=1", url], 2, "no.such"), (["--frame-part", "sort-id", url], 2, "framed"), (["--key", "uid", "-t", "example_batch", url], 2, "pb-convert"),
                             (["kafka://127.0.0.1:9/t?wait=1"], 69, "within 1 s"), ([url, "none.pb"], 66, "none.pb")]:
        done = run("pb-publish", *args, check=False)
        assert done.returncode == code and text in done.stderr and "Traceback" not in done.stderr and "pass1" not in done.stderr, (args, done.stderr)


# --- other clients --------------------------------------------------------------------------------------------------------


def test_kcat_reads_and_writes_the_same(run, broker, tmp_path):
    if not shutil.which("kcat"):
        pytest.skip("kcat is not installed (Debian: kcat)")
    topic = topic_of(broker)
    url, payloads = f"kafka://{broker.address}/{topic}", [instance(i) for i in range(1, 20)]
    run("pb-publish", "--key", "uid", url, stdin=stream(payloads))
    shown = subprocess.run(["kcat", "-q", "-C", "-b", broker.address, "-t", topic, "-e", "-f", "%k %S\\n%s"], capture_output=True, check=True).stdout
    assert shown == b"".join(b"%d %d\n%s" % (i, len(p), p) for i, p in enumerate(payloads, 1))
    back = topic_of(broker)
    files = []
    for i, payload in enumerate(payloads):
        files.append(tmp_path / str(i))
        files[-1].write_bytes(payload)
    subprocess.run(["kcat", "-P", "-b", broker.address, "-t", back, *files], check=True)
    assert records(run("pb-cat", f"kafka://{broker.address}/{back}?until=end").stdout) == payloads


def test_kafka_python_reads_and_writes_the_same(run, broker):
    kafka = pytest.importorskip("kafka")
    topic, payloads = topic_of(broker), [instance(i) for i in range(1, 20)]
    run("pb-publish", "--key", "uid", "-z", "gzip", f"kafka://{broker.address}/{topic}", stdin=stream(payloads))
    consumer = kafka.KafkaConsumer(topic, bootstrap_servers=broker.address, auto_offset_reset="earliest", consumer_timeout_ms=120_000)
    found = [(m.key, m.value) for _, m in zip(payloads, consumer)]
    consumer.close()
    assert found == [(b"%d" % i, p) for i, p in enumerate(payloads, 1)]
    back = topic_of(broker)
    producer = kafka.KafkaProducer(bootstrap_servers=broker.address, compression_type="gzip")
    for payload in payloads:
        producer.send(back, payload)
    producer.flush()
    producer.close()
    assert records(run("pb-cat", f"kafka://{broker.address}/{back}?until=end").stdout) == payloads


# --- nothing is lost ------------------------------------------------------------------------------------------------------


def test_from_topic_to_topic(run, broker):
    """An offset of the one is committed when its record is confirmed in the other."""
    one, two = topic_of(broker), topic_of(broker, 2)
    produce(broker, one, numbered(1000))
    run("pb-publish", f"kafka://{broker.address}/{two}", f"kafka://{broker.address}/{one}?group=g&until=end")
    assert sorted(m.value() for m in consume(broker, two)) == sorted(numbered(1000)) and committed(broker, one, "g") == {0: 1000}


def test_sigterm_sends_what_was_read(broker):
    topic = topic_of(broker)
    child = start("pb-publish", f"kafka://{broker.address}/{topic}", stdin=subprocess.PIPE)
    child.stdin.write(stream(numbered(5000)) + frame(b"cut")[:-1])
    child.stdin.flush()
    wait_until_read(child.stdin)
    child.send_signal(signal.SIGTERM)
    assert child.wait(120) == 143
    assert [m.value() for m in consume(broker, topic)] == numbered(5000)


def test_kill_9_of_the_producer(run, broker):
    """What was sent is there whole and in order; a second run doubles that and loses nothing."""
    topic, payloads = topic_of(broker), numbered(100_000)
    child = start("pb-publish", f"kafka://{broker.address}/{topic}", stdin=subprocess.PIPE)
    child.stdin.write(stream(payloads[:60_000]))
    child.stdin.flush()
    while not consume(broker, topic):
        time.sleep(0.05)
    child.kill()
    child.wait()
    there = [m.value() for m in consume(broker, topic)]
    assert there == payloads[:len(there)] and there
    run("pb-publish", f"kafka://{broker.address}/{topic}", stdin=stream(payloads))
    assert [m.value() for m in consume(broker, topic)] == there + payloads


def test_kill_9_of_the_broker(broker):
    """A reader and a publisher that wait live through it, each record once; those that do not leave with 69."""
    from_topic, to_topic, short = topic_of(broker), topic_of(broker), topic_of(broker)
    produce(broker, from_topic, numbered(1000))
    reader = start("pb-cat", "-q", f"kafka://{broker.address}/{from_topic}?group=g")
    publisher = start("pb-publish", "-q", f"kafka://{broker.address}/{to_topic}", stdin=subprocess.PIPE)
    hasty_reader = start("pb-cat", f"kafka://{broker.address}/{from_topic}?wait=10&timeout=600")
    hasty = start("pb-publish", "--timeout", 10, f"kafka://{broker.address}/{short}", stdin=subprocess.PIPE)
    for child in (publisher, hasty):
        child.stdin.write(stream(numbered(1000)))
        child.stdin.flush()
    size = len(stream(numbered(1000)))
    assert reader.stdout.read(size) == hasty_reader.stdout.read(size) == stream(numbered(1000))
    while len(consume(broker, to_topic)) < 1000 or len(consume(broker, short)) < 1000:
        time.sleep(0.1)
    broker.kill()
    try:
        for child in (publisher, hasty):
            child.stdin.write(stream(numbered(1000, 1000)))
            child.stdin.flush()
        assert hasty_reader.wait(120) == 69 and b"no server can be reached within 10 s" in hasty_reader.stderr.read()
        hasty.stdin.close()
        assert hasty.wait(120) == 69 and b"1000 messages are confirmed, 1000 are not" in hasty.stderr.read()
    finally:
        broker.start()
    produce(broker, from_topic, numbered(1000, 1000))
    publisher.stdin.write(stream(numbered(1000, 2000)))
    publisher.stdin.close()
    assert publisher.wait(180) == 0
    assert [m.value() for m in consume(broker, to_topic)] == numbered(3000)
    assert reader.stdout.read(len(stream(numbered(1000, 1000)))) == stream(numbered(1000, 1000))
    reader.terminate()
    assert reader.stdout.read() == b"" and reader.wait(120) == 143
    assert committed(broker, from_topic, "g") == {0: 2000}
