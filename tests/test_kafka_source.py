"""Topics of a real Kafka broker as sources."""

import os
import signal
import threading
import time

import pytest

from kafka_helpers import committed, frame, numbered, produce, records, start, stream, topic_of, wait_for_members
from monolith_cli._native import _core
from monolith_cli.errors import UsageError
from monolith_cli.records.kafka_url import parse
from processes import wait_until_caught


@pytest.fixture(scope="module")
def timed(broker):
    """Two partitions; record i has time 1000 i and stands in partition i % 2, at offset i // 2."""
    topic = topic_of(broker, 2)
    produce(broker, topic, numbered(20), timestamps=[1000 * i + 1 for i in range(20)])
    return f"kafka://{broker.address}/{topic}"


@pytest.mark.parametrize(("query", "wanted"), [
    ("", range(20)),
    ("&offset=beginning", range(20)),
    ("&offset=end", []),
    ("&offset=7", range(14, 20)),
    ("&offset=-3", range(14, 20)),
    ("&offset=-300", range(20)),
    ("&offset=s@9001", range(9, 20)),
    ("&offset=s@99999999", []),
    ("&until=e@9001", range(9)),
    ("&offset=s@4001&until=e@9001", range(4, 9)),
    ("&partition=1", range(1, 20, 2)),
    ("&group=new{}&offset=s@9001", range(9, 20)),
    ("&group=new{}&offset=end", []),
    ("&group=new{}&until=e@9001", range(9)),
    ("&group=new{}&partition.assignment.strategy=cooperative-sticky", range(20)),
])
def test_where_reading_begins_and_ends(run, timed, query, wanted):
    until = "" if "until" in query else "?until=end"
    url = timed + (until + query if until else "?" + query.removeprefix("&")).format(os.urandom(3).hex())
    found = records(run("pb-cat", url).stdout)
    assert sorted(found) == sorted(b"record %d" % i for i in wanted)
    for part in (0, 1):  # in order within a partition
        assert [r for r in found if int(r.split()[1]) % 2 == part] == [b"record %d" % i for i in wanted if i % 2 == part]


def test_offset_out_of_reach_is_moved_and_said(run, timed):
    done = run("pb-cat", f"{timed}?until=end&offset=100")
    assert done.stdout == b"" and "offsets 0 to 10, not 100" in done.stderr


def test_a_group_goes_on_where_it_was(run, broker):
    topic = topic_of(broker, 3)
    url = f"kafka://{broker.address}/{topic}?group=g&until=end"
    produce(broker, topic, numbered(30))
    assert sorted(records(run("pb-cat", url).stdout)) == sorted(numbered(30))
    assert sum(committed(broker, topic, "g").values()) == 30
    assert run("pb-cat", url + "&offset=beginning").stdout == b""
    produce(broker, topic, numbered(5, 30))
    assert run("pb-filter", "--where", "uid == 0", url, check=False).returncode == 65  # they are no Instances: they stay in the group
    assert sorted(records(run("pb-cat", url).stdout)) == sorted(numbered(5, 30))
    assert sorted(records(run("pb-cat", url.replace("=g&", "=h&")).stdout)) == sorted(numbered(35))


@pytest.mark.parametrize("command", [["pb-cat", "--limit", 7], ["pb-head", "-n", 7]])
def test_what_a_limit_leaves_stays_in_the_group(run, broker, command):
    topic = topic_of(broker)
    url = f"kafka://{broker.address}/{topic}?group=g&until=end"
    produce(broker, topic, numbered(20))
    assert records(run(*command, url).stdout) == numbered(7)
    assert records(run("pb-cat", url).stdout) == numbered(13, 7)


def test_a_limit_behind_an_operator(run, broker):
    """Records that were read and not wanted any more are not taken for delivered."""
    topic = topic_of(broker)
    url = f"kafka://{broker.address}/{topic}?group=g&until=end"
    produce(broker, topic, [b""] * 20)
    run("pb-show", "--limit", 7, url)
    assert committed(broker, topic, "g") == {0: 7}


def test_several_topics_and_silence(run, broker):
    one, two = topic_of(broker), topic_of(broker)
    produce(broker, one, numbered(3))
    produce(broker, two, numbered(3, 3))
    began = time.monotonic()
    found = records(run("pb-cat", f"kafka://{broker.address}/{one},{two}?timeout=6").stdout)
    assert sorted(found) == numbered(6) and time.monotonic() - began >= 6


def test_tombstones_and_empty_messages(run, broker):
    topic = topic_of(broker)
    produce(broker, topic, [b"a", None, b"", b"b"])
    done = run("pb-cat", f"kafka://{broker.address}/{topic}?until=end&group=g")
    assert records(done.stdout) == [b"a", b"", b"b"] and "1 messages without a value" in done.stderr
    assert committed(broker, topic, "g") == {0: 4}


def test_live_messages_are_not_held_back_and_sigterm_commits(broker):
    topic = topic_of(broker)
    child = start("pb-cat", "-q", f"kafka://{broker.address}/{topic}?group=g")
    for i in range(3):
        produce(broker, topic, [b"%d" % i])
        assert child.stdout.read(9) == frame(b"%d" % i)
    child.terminate()
    assert child.stdout.read() == b"" and child.wait(120) == 143
    assert committed(broker, topic, "g") == {0: 3}


def test_sigterm_while_no_server_is_there():
    child = start("pb-cat", "kafka://127.0.0.1:9/none?wait=60")
    wait_until_caught(child, signal.SIGTERM)
    child.terminate()
    assert child.wait(120) == 143


# --- framed messages ------------------------------------------------------------------------------------------------------

PARTS = [(), ("has_sort_id",), ("kafka_dump",), ("has_sort_id", "kafka_dump_prefix"), ("has_sort_id", "kafka_dump", "kafka_dump_prefix"),
         ("lagrangex_header",)]


@pytest.mark.parametrize("parts", PARTS, ids="+".join)
def test_framed_messages(run, broker, parts):
    topic = topic_of(broker)
    options = _core.FrameOptions(**dict.fromkeys(parts, True))
    payloads = [b"", b"a", b"bb" * 100] if "lagrangex_header" not in parts else [b"", b"\x1a\x04\0\0\x80\x3f"]
    messages = [b"".join(_core.frame(p, options) for p in payloads), _core.frame(payloads[1], options), b""]
    produce(broker, topic, messages)
    flags = ["--" + p.replace("_", "-") for p in parts]
    done = run("pb-cat", *flags, f"kafka://{broker.address}/{topic}?until=end&messages=framed")
    wanted = records(run("pb-cat", *flags, stdin=b"".join(messages)).stdout)
    assert records(done.stdout) == wanted and len(wanted) == len(payloads) + 1
    if flags:
        assert run("pb-cat", *flags, f"kafka://{broker.address}/{topic}?until=end").stdout == done.stdout


@pytest.mark.parametrize(("rest", "reason"), [
    (frame(b"cut")[:-1], "cut short"), (b"\xff" * 8, "over the limit"), (b"\xfe\xfe\xfe\xfe" + bytes(4), "reserved marker"), (b"123", "cut short")])
def test_a_broken_message(run, broker, tmp_path, rest, reason):
    topic = topic_of(broker)
    url = f"kafka://{broker.address}/{topic}?until=end&messages=framed&group={{}}"
    produce(broker, topic, [frame(b"a"), frame(b"b") + rest, frame(b"c")])
    done = run("pb-cat", url.format("fail"), check=False)
    assert done.returncode == 65 and records(done.stdout) == [b"a", b"b"]
    assert "partition 0, offset 1: " in done.stderr and reason in done.stderr
    assert committed(broker, topic, "fail") == {0: 1}  # what was not passed on whole comes again
    done = run("pb-cat", "--on-bad-record", "skip", url.format("skip"))
    assert records(done.stdout) == [b"a", b"b", b"c"] and "bad records 1" in done.stderr
    run("pb-cat", "--on-bad-record", tmp_path / "bad", url.format("path"))
    assert records((tmp_path / "bad").read_bytes()) == [rest]
    assert committed(broker, topic, "skip") == committed(broker, topic, "path") == {0: 3}


# --- nothing is lost ------------------------------------------------------------------------------------------------------


def read_until(child, wanted: int) -> bytes:
    data = b""
    while data.count(b"record ") < wanted:
        piece = os.read(child.stdout.fileno(), 65536)
        assert piece, child.stderr.read()
        data += piece
    return data


def whole(data: bytes) -> list[bytes]:
    """Records of a stream that may have been cut off."""
    found, at = [], 0
    while at + 8 <= len(data) and at + 8 + (n := int.from_bytes(data[at:at + 8], "little")) <= len(data):
        found.append(data[at + 8:at + 8 + n])
        at += 8 + n
    return found


def test_kill_9_of_the_consumer(run, broker):
    """Killed again and again while it reads: all records come, again only such as came since the last commit."""
    topic, total = topic_of(broker, 2), 60_000
    produce(broker, topic, numbered(total))
    url = f"kafka://{broker.address}/{topic}?group=g&session.timeout.ms=1000&heartbeat.interval.ms=300"
    found = []
    for n in (1, 20_000, 30_000):
        child = start("pb-cat", "-q", url)
        data = read_until(child, n)
        time.sleep(0.2)
        before = committed(broker, topic, "g")
        child.kill()
        found += whole(data + child.stdout.read())
        after = committed(broker, topic, "g")
        assert sum(after.values()) <= len(set(found)), "a record counts as delivered that was not"
        assert all(after[p] >= before[p] for p in before)
        child.wait()
    found += records(run("pb-cat", "-q", url + "&until=end").stdout)
    assert set(found) == set(numbered(total))


def test_a_file_that_did_not_appear_counts_for_nothing(run, broker, tmp_path):
    topic = topic_of(broker)
    url = f"kafka://{broker.address}/{topic}?group=g&session.timeout.ms=1000&heartbeat.interval.ms=300"
    produce(broker, topic, numbered(100))
    child = start("pb-cat", "-o", tmp_path / "out", url)
    time.sleep(3)
    child.kill()
    child.wait()
    assert not (tmp_path / "out").exists() and committed(broker, topic, "g") == {}
    run("pb-cat", "-o", tmp_path / "out", url + "&until=end")
    assert records((tmp_path / "out").read_bytes()) == numbered(100) and committed(broker, topic, "g") == {0: 100}


def test_what_an_operator_holds_back_is_not_committed(run, broker):
    topic = topic_of(broker)
    url = f"kafka://{broker.address}/{topic}?group=g&session.timeout.ms=1000&heartbeat.interval.ms=300"
    produce(broker, topic, numbered(100))
    child = start("pb-shuffle", "-q", url)
    time.sleep(3)
    child.kill()
    child.wait()
    assert committed(broker, topic, "g") == {}
    found = records(run("pb-shuffle", "-q", "--seed", 1, url + "&until=end").stdout)
    assert sorted(found) == sorted(numbered(100)) and committed(broker, topic, "g") == {0: 100}


def test_two_members_share_and_one_takes_over(broker):
    topic, total = topic_of(broker, 4), 400
    url = f"kafka://{broker.address}/{topic}?group=g&session.timeout.ms=6000&heartbeat.interval.ms=1000"
    children, found, threads = [start("pb-cat", "-q", url) for _ in range(2)], [bytearray(), bytearray()], []
    for child, data in zip(children, found):
        threads.append(threading.Thread(target=lambda c=child, d=data: [d.extend(p) for p in iter(lambda: os.read(c.stdout.fileno(), 65536), b"")]))
        threads[-1].start()

    def wait_for(count):
        limit = time.monotonic() + 120
        while len({r for data in found for r in whole(bytes(data))}) < count:
            assert time.monotonic() < limit
            time.sleep(0.1)

    produce(broker, topic, numbered(4))
    wait_for(4)
    wait_for_members(broker, "g", 2)
    produce(broker, topic, numbered(total, 4))
    wait_for(4 + total)
    assert all(len(whole(bytes(data))) > 50 for data in found), "one did all the work"
    children[0].kill()
    produce(broker, topic, numbered(total, 4 + total))
    wait_for(4 + 2 * total)
    children[1].terminate()
    assert children[1].wait(120) == 143
    children[0].wait()
    for thread in threads:
        thread.join(120)
    assert sum(committed(broker, topic, "g").values()) == 4 + 2 * total


# --- mistakes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("url", "why", "mark"), [
    ("kafka://h:1/", "a topic is missing", "kafka"),
    ("kafka://h:x/t", "write HOST:PORT", "h:x"),
    ("kafka://h:1/a b", "letters, digits", "a b"),
    ("kafka://h:1/t,t", "twice", "t,t"),
    ("kafka://h:1/t?grup=x", "did you mean group", "grup"),
    ("kafka://h:1/t?group=", "no name", "group="),
    ("kafka://h:1/t?offset=first", "choose beginning", "offset"),
    ("kafka://h:1/t?offset=stored", "add group=NAME", "offset"),
    ("kafka://h:1/t?until=now", "choose end or e@MS", "until"),
    ("kafka://h:1/t?timeout=-1", "above 0", "timeout"),
    ("kafka://h:1/t?timeout=5&timeout=6", "given twice", "timeout=6"),
    ("kafka://h:1/t?group=g&partition=0", "by itself", "partition"),
    ("kafka://h:1/t?partition=a", "numbers with commas", "partition"),
    ("kafka://h:1/t?messages=json", "plain or framed", "messages"),
    ("kafka://h:1/t?group", "KEY=VALUE", "group"),
])
def test_a_mistake_in_the_name_is_marked(run, url, why, mark):
    done = run("pb-cat", url, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 2 and why in lines[0] and lines[1].strip() == url
    assert lines[2].index("^") - 2 == url.index(mark)


@pytest.mark.parametrize("url", ["kafka://me:pass1@h:1/t", "kafka://h:1/t?sasl.password=pass1", "kafka://h:1/t?ssl.key.pem=pass1"])
def test_secrets_are_not_taken_from_a_name_nor_shown(run, url):
    done = run("pb-cat", url, check=False)
    assert done.returncode == 2 and "pass1" not in done.stderr and "config=FILE" in done.stderr


def test_a_name_taken_apart(monkeypatch):
    monkeypatch.delenv("MONOLITH_KAFKA_CONFIG", raising=False)
    url = parse("kafka://a:1,[::1]:2/x.y,z?group=a%20b&offset=-5&timeout=1.5&until=e@7&wait=3&fetch.min.bytes=9&config=/c")
    assert (url.servers, url.topics, url.group, url.offset, url.timeout) == ("a:1,[::1]:2", ("x.y", "z"), "a b", "-5", 1.5)
    assert (url.until, url.wait, url.properties, url.config) == ("e@7", 3.0, {"fetch.min.bytes": "9"}, "/c")
    assert parse("kafka:///t").servers == "" and parse("kafka://h/t?group=g").offset == "stored"
    with pytest.raises(UsageError):
        parse("kafka://h/t?partition=")


def test_missing_things(run, broker, tmp_path):
    topic = topic_of(broker)
    for url, code, text in [(f"kafka://{broker.address}/{topic}x", 66, f"there is {topic}"), ("kafka://127.0.0.1:9/t?wait=1", 69, "within 1 s"),
                            (f"kafka://{broker.address}/{topic}?config={tmp_path}/none", 66, "No such file"),
                            (f"kafka://{broker.address}/{topic}?partition=5", 66, "no partition 5"),
                            (f"kafka://{broker.address}/{topic}?no.such=1", 2, "no.such"),
                            (f"kafka://{broker.address}/{topic}?enable.auto.commit=true", 2, "not to be set"), ("kafka:///t", 2, "no server")]:
        done = run("pb-cat", url, check=False)
        assert done.returncode == code and text in done.stderr and "Traceback" not in done.stderr, done.stderr
    done = run("pb-cat", "--repeat", 2, f"kafka://{broker.address}/{topic}", check=False)
    assert done.returncode == 2 and "only once" in done.stderr
    done = run("pb-convert", "--from", "jsonl", "--to", "instance", f"kafka://{broker.address}/{topic}", check=False)
    assert done.returncode == 2 and "pb-cat" in done.stderr


def test_mistakes_in_the_file(run, broker, tmp_path):
    topic, file = topic_of(broker), tmp_path / "kafka.conf"
    for text, where in [("security.protocol", "line 1: write name=value"), ("# x\n\nenable.auto.commit=true", "line 3: enable.auto.commit"),
                        ("no.such.property=1", "no.such.property"), ("security.protocol=none", "security.protocol")]:
        file.write_text(text)
        done = run("pb-cat", f"kafka://{broker.address}/{topic}?config={file}", check=False)
        assert done.returncode == 78 and where in done.stderr and str(file) in done.stderr


def test_credentials_and_tls_from_a_file(run, broker, tmp_path):
    import kafka_broker

    topic, file = topic_of(broker), tmp_path / "kafka.conf"
    lines = (f"bootstrap.servers={broker.secure_address}\nsecurity.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username={kafka_broker.USER}\n"
             f"ssl.ca.location={broker.certificate}\nsasl.password=")
    file.write_text(lines + kafka_broker.PASSWORD)
    run("pb-publish", f"kafka:///{topic}?config={file}", stdin=stream(numbered(5)))
    assert records(run("pb-cat", f"kafka://{broker.secure_address}/{topic}?until=end&config={file}").stdout) == numbered(5)
    assert records(run("pb-cat", f"kafka:///{topic}?until=end&group=s", env={"MONOLITH_KAFKA_CONFIG": str(file)}).stdout) == numbered(5)
    file.write_text(lines + "wrong")
    for command in (["pb-cat", f"kafka:///{topic}?config={file}"], ["pb-publish", f"kafka:///{topic}?config={file}"]):
        done = run(*command, check=False)
        assert done.returncode == 78 and "refuses the credentials" in done.stderr and "wrong" not in done.stderr
    file.write_text((lines + kafka_broker.PASSWORD).replace(f"ssl.ca.location={broker.certificate}\n", ""))
    done = run("pb-cat", f"kafka:///{topic}?config={file}&wait=6", check=False)
    assert done.returncode == 69 and "certificate" in done.stderr


def test_partitions_that_are_added_are_read(broker, monkeypatch):
    """By a group after the client has looked again; without one by our own look."""
    from confluent_kafka.admin import AdminClient, NewPartitions

    from monolith_cli.records import kafka_source
    from monolith_cli.records.delivery import Delivery

    monkeypatch.setattr(kafka_source, "_REFRESH", 0.5)
    topic = topic_of(broker)
    produce(broker, topic, [b"old"])
    url = f"kafka://{broker.address}/{topic}"
    alone = kafka_source.KafkaSource(parse(url + "?timeout=120"), Delivery())
    assert alone.next_batch() == [b"old"]
    member = start("pb-cat", "-q", url + "?group=g&topic.metadata.refresh.interval.ms=500")
    assert member.stdout.read(11) == frame(b"old")
    client = AdminClient({"bootstrap.servers": broker.address})
    client.create_partitions([NewPartitions(topic, 2)])[topic].result(120)
    produce(broker, topic, [b"new"], partition=1)
    assert alone.next_batch() == [b"new"]
    alone.close(True)
    assert member.stdout.read(11) == frame(b"new")
    member.terminate()
    assert member.wait(120) == 143
    assert committed(broker, topic, "g") == {0: 1, 1: 1}
