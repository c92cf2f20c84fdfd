"""Readers of messages without a server: what they take apart, and what they say was delivered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_helpers import frame, records
from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, UsageError
from monolith_cli.records.delivery import Delivery
from monolith_cli.records.kafka_url import parse


class Messages:
    """Batches for a reader; remembers how many messages of which batch have been passed on, and have left."""

    def __init__(self, *batches):
        self.batches, self.at, self.calls, self.end = list(batches), -1, [], None

    def next_batch(self):
        self.at += 1
        return self.batches[self.at] if self.at < len(self.batches) else None

    def passed(self, messages, left):
        self.calls.append((self.at, messages, left))

    def place(self, i):
        return f"batch {self.at}, message {i}"

    def cancel(self):
        pass


class Hold(list):
    """A sink into a file, whose content is at hand."""

    def __init__(self, tmp_path):
        self.path = tmp_path / "out"
        self.file = open(self.path, "wb")
        self.sink = _core.FdSink(self.file.fileno(), "out")

    def read(self):
        return records(self.path.read_bytes())


@pytest.fixture
def out(tmp_path):
    return Hold(tmp_path)


def test_passed_is_said_before_more_is_asked_for(out):
    source = Messages([b"a", b"b"], [b"c"], [], [b"d"])
    asked = []
    inner = source.next_batch
    source.next_batch = lambda: asked.append((out.read(), list(source.calls))) or inner()
    chain = _core.Chain([], out.sink)
    assert chain.run(_core.message_reader(source, "q"))
    assert asked[1][0] == [b"a", b"b"] and asked[1][1][-1] == (0, 2, True)
    assert asked[2][0] == [b"a", b"b", b"c"] and asked[2][1][-1] == (1, 1, True)
    assert out.read() == [b"a", b"b", b"c", b"d"] and source.calls[-1][1:] == (1, True)


def test_a_limit_passes_no_more_than_was_written(out):
    for operators in ([], [_core.callback_operator(lambda r: r, "same")]):
        source = Messages([b"a", b"b", b"c"], [b"d"])
        chain = _core.Chain(operators, out.sink, limit_out=2)
        assert not chain.run(_core.message_reader(source, "q"))
        assert source.calls[-1] == (0, 2, True)


def test_what_is_held_back_has_not_left(out):
    source = Messages([b"a", b"b"], [b"c"])
    chain = _core.Chain([_core.shuffle_operator(1, 10, 1 << 20)], out.sink)
    chain.run(_core.message_reader(source, "q"))
    assert {left for _, messages, left in source.calls if messages} == {False} and out.read() == []
    batch = _core.convert_operator("example", "example_batch", "as_is", 10)
    source = Messages([b"", b""])
    _core.Chain([batch], out.sink).run(_core.message_reader(source, "q"))
    assert {left for _, messages, left in source.calls if messages} == {False}


def test_a_broken_message_is_named_and_not_passed(out):
    source = Messages([frame(b"a"), frame(b"b") + b"123", frame(b"c")])
    with pytest.raises(BadDataError, match="q: batch 0, message 1: .*cut short"):
        _core.Chain([], out.sink).run(_core.message_reader(source, "q", _core.FrameOptions()))
    assert source.calls[-1] == (0, 1, True) and out.read() == [b"a", b"b"]
    source = Messages([frame(b"a") + b"1", b"2", frame(b"c")])
    warned = []
    chain = _core.Chain([], out.sink, on_bad_record="skip", warn=warned.append)
    chain.run(_core.message_reader(source, "q", _core.FrameOptions()))
    assert source.calls[-1][1] == 3 and len(warned) == 2 and chain.stats()["bad_records"] == 2


@given(st.lists(st.lists(st.lists(st.binary(max_size=9), max_size=3), max_size=4), max_size=4), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_messages(batches, framed, sort_id, operator):
    """Records in the order of the messages, whatever they are cut into."""
    options = _core.FrameOptions(has_sort_id=sort_id) if framed else None
    messages = [[b"".join(_core.frame(r, options) for r in m) for m in batch] for batch in batches] if framed else [
        [r for m in batch for r in m] for batch in batches]
    source = Messages(*messages)
    reader = _core.message_reader(source, "q", options)
    assert list(reader) == [r for batch in batches for m in batch for r in m]


def test_the_next_message_after_an_error_of_the_source():
    class Broken(Messages):
        def next_batch(self):
            raise UsageError("no more")

    with pytest.raises(UsageError, match="no more"):
        next(_core.message_reader(Broken(), "q"))


def test_delivery_closes_its_sources():
    closed = []

    class Source:
        def close(self, delivered):
            closed.append(delivered)

    with Delivery() as delivery:
        delivery.add(Source())
    with pytest.raises(ValueError), Delivery() as delivery:
        delivery.add(Source())
        raise ValueError
    assert closed == [True, False]


@given(st.text(max_size=40) | st.lists(st.sampled_from(["kafka://", "h", ":1", "/", "t", "?", "&", "=", "group", "offset", "s@5", "-3", "until", "end", "%41",
                                                        "partition", "0,1", "timeout", "1.5", "messages", "framed", "a.b", ",", "wait", "\n"]), max_size=14).map("".join))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_topic_or_a_mistake(text):
    """The parser of names ends with a name or a message that has a mark under the text."""
    try:
        url = parse("kafka://" + text.removeprefix("kafka://"))
        assert url.topics and all(url.topics)
    except UsageError as e:
        assert "^" in str(e).splitlines()[-1]
