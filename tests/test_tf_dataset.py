"""Record streams as a tf.data source in v1 sessions: order, end, errors, cancellation."""

import os
import struct
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

tf = pytest.importorskip("tensorflow")

from monolith_cli._native import _core  # noqa: E402
from monolith_cli.errors import BadDataError, ConfigError, Error, NoInputError  # noqa: E402
from monolith_cli.model.parsers import parse_examples, parse_instances  # noqa: E402
from monolith_cli.tables import graph  # noqa: E402

tf1 = tf.compat.v1


def framed(payload):
    return struct.pack("<Q", len(payload)) + payload


def instance(uid):
    from monolith_protos.proto_parser_pb2 import Instance

    made = Instance(fid=[1 << 54 | uid])
    made.line_id.uid = uid
    return made.SerializeToString()


def file_of(uids):
    return b"".join(framed(instance(uid)) for uid in uids)


class Reading:
    """One stream, its graph and its session. `sources`: bytes, file descriptors, or exceptions to raise on opening."""

    def __init__(self, sources, batch_size=3, record_type="instance", make=None):
        self.name = f"test_{uuid.uuid4().hex}"
        self._sources = iter(list(enumerate(sources)))
        stream = _core.RecordStream(record_type, batch_size, self._next_reader)
        _core.register_stream(self.name, stream)
        with tf.Graph().as_default():
            iterator = tf1.data.make_initializable_iterator((make or uids_of)(graph.record_dataset(self.name)))
            self.next = iterator.get_next()
            self.session = tf1.Session()
            self.session.run(iterator.initializer)

    def _next_reader(self):
        for i, source in self._sources:
            if isinstance(source, Exception):
                raise source
            if isinstance(source, int):
                return _core.FdReader(source, "pipe")
            return _core.MemoryReader(source, name=f"source_{i}")
        return None

    def batch(self):
        try:
            return self.session.run(self.next)
        except tf.errors.OutOfRangeError:
            return None
        except tf.errors.OpError as e:
            raise graph.unwrap_error(e) or e from None

    def all(self):
        batches = []
        while (batch := self.batch()) is not None:
            batches.append(batch)
        return batches

    def close(self):
        self.session.close()
        _core.unregister_stream(self.name)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def uids_of(dataset):
    def parse(records):
        uid = parse_instances(records, extra_features=["uid"], extra_feature_shapes=[1])["uid"]
        first, size = graph.batch_position(records)
        return {"uid": uid[:, 0], "first": first, "size": size}

    return dataset.map(parse).prefetch(2)


def test_batches_of_many_sources_in_order():
    with Reading([file_of(range(4)), b"", file_of(range(4, 11))]) as reading:
        batches = reading.all()
    assert [b["uid"].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]
    assert [(int(b["first"]), int(b["size"])) for b in batches] == [(0, 3), (3, 3), (6, 3), (9, 2)]


def test_the_end_stays_the_end():
    with Reading([file_of([1])]) as reading:
        assert len(reading.all()) == 1
        assert reading.batch() is None and reading.batch() is None


def test_no_records_at_all():
    with Reading([]) as reading:
        assert reading.all() == []


def test_parallel_map_keeps_the_order():
    def make(dataset):
        return uids_of_parallel(dataset).prefetch(tf.data.AUTOTUNE)

    def uids_of_parallel(dataset):
        return dataset.map(lambda r: parse_instances(r, extra_features=["uid"], extra_feature_shapes=[1])["uid"][:, 0],
                           num_parallel_calls=4)

    with Reading([file_of(range(1000))], batch_size=7, make=make) as reading:
        assert [uid for batch in reading.all() for uid in batch.tolist()] == list(range(1000))


def test_ragged_features_through_the_pipeline():
    with Reading([file_of(range(5))], batch_size=2, make=lambda d: d.map(lambda r: parse_instances(r, [1]))) as reading:
        assert [b["slot_1"].to_list() for b in reading.all()] == [
            [[1 << 54], [1 << 54 | 1]], [[1 << 54 | 2], [1 << 54 | 3]], [[1 << 54 | 4]]]


def test_a_variant_survives_serialization():
    """What tf.data does to elements that leave the process."""
    def make(dataset):
        def parse(records):
            moved = tf.io.parse_tensor(tf.io.serialize_tensor(records), tf.variant)
            uid = parse_instances(moved, extra_features=["uid"], extra_feature_shapes=[1])["uid"][:, 0]
            return uid, *graph.batch_position(moved)

        return dataset.map(parse)

    with Reading([file_of(range(5))], make=make) as reading:
        batches = [(uid.tolist(), int(first), int(size)) for uid, first, size in reading.all()]
    assert batches == [([0, 1, 2], 0, 3), ([3, 4], 3, 2)]


# --- errors -----------------------------------------------------------------------------------------------------------


def test_good_batches_come_before_the_error():
    broken = file_of(range(7)) + framed(instance(7))[:-1]
    with Reading([broken]) as reading:
        seen = []
        with pytest.raises(BadDataError) as failed:
            while (batch := reading.batch()) is not None:
                seen += batch["uid"].tolist()
    assert seen[:6] == [0, 1, 2, 3, 4, 5] and seen == list(range(len(seen)))
    message = str(failed.value)
    assert message.startswith("source_0") and str(len(file_of(range(7)))) in message
    assert "[exit" not in message and "node" not in message and "\n" not in message


def test_a_source_that_cannot_be_opened():
    with Reading([file_of(range(3)), NoInputError("there is no file x.pb")]) as reading:
        assert reading.batch()["uid"].tolist() == [0, 1, 2]
        with pytest.raises(NoInputError, match="^there is no file x.pb$"):
            reading.batch()


def test_a_broken_record_names_its_place():
    with Reading([file_of(range(4)) + framed(b"\x0a\xff\xff\xff")]) as reading:
        assert reading.batch()["uid"].tolist() == [0, 1, 2]
        with pytest.raises(BadDataError, match="^source_0: byte 116: a number is cut short at byte 1 of the record"):
            reading.batch()


def test_records_of_another_type_are_refused():
    with Reading([file_of(range(3))], make=lambda d: d.map(lambda r: parse_examples(r, ["f"]))) as reading:
        with pytest.raises(ConfigError, match="instance.*example"):
            reading.batch()


def test_unknown_stream():
    with tf.Graph().as_default(), tf1.Session() as session:
        iterator = tf1.data.make_initializable_iterator(graph.record_dataset("nobody"))
        with pytest.raises(tf.errors.OpError) as failed:
            session.run(iterator.initializer)
            session.run(iterator.get_next())
    assert "nobody" in str(graph.unwrap_error(failed.value))


@pytest.mark.parametrize("message, code, text", [
    ("[exit 65] a.pb: byte 7: bad\n", 65, "a.pb: byte 7: bad"),
    ("{{function_node __wrapped__X}} Error in user-defined function passed to MapDataset:1 transformation with "
     "iterator: Iterator::Root::Map: [exit 66] no file 'x'\n\n\t [[{{node IteratorGetNext}}]]", 66, "no file 'x'"),
    ("{{function_node a}} [exit 78] there is no table 'x'\n [Op:MonolithTablesClear] name: ",
     78, "there is no table 'x'"),
])
def test_unwrap_error(message, code, text):
    error = graph.unwrap_error(tf.errors.DataLossError(None, None, message))
    assert type(error) is not Error and error.exit_code == code and str(error) == text


def test_errors_of_tensorflow_are_left_alone():
    assert graph.unwrap_error(tf.errors.InvalidArgumentError(None, None, "shapes do not match")) is None
    assert graph.unwrap_error(ValueError("x")) is None


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [uids_of, lambda d: d.map(lambda r: graph.batch_position(r)[0])],
                         ids=["prefetch", "no_prefetch"])
def test_closing_a_session_that_waits_for_input(make):
    """A pipe that says nothing more: the session in the middle of a step is closed by another thread."""
    reader, writer = os.pipe()
    os.write(writer, file_of(range(3)))
    reading = Reading([reader], make=make)
    assert reading.batch() is not None
    outcome = []

    def wait():
        try:
            reading.session.run(reading.next)
        except tf.errors.OpError as e:
            outcome.append(e)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    reading.close()
    waiting.join(120)
    assert not waiting.is_alive()
    assert isinstance(outcome[0], (tf.errors.CancelledError, tf.errors.OutOfRangeError))
    os.close(writer)
    os.close(reader)


LEAK = """
import os, sys, gc, time
sys.path.insert(0, sys.argv[1])
import test_tf_dataset as t

def once(i):
    reader, writer = os.pipe()
    os.write(writer, t.file_of(range(30)))
    reading = t.Reading([reader])
    assert reading.batch()["uid"].tolist() == [0, 1, 2]
    reading.close()
    del reading
    gc.collect()
    os.close(writer)
    os.close(reader)

for i in range(3):
    once(i)
before = len(os.listdir("/proc/self/task"))
for i in range(12):
    once(i)
for _ in range(600):  # threads that were told to end may take a moment
    if len(os.listdir("/proc/self/task")) - before < 6:
        break
    time.sleep(0.1)
print(len(os.listdir("/proc/self/task")) - before)
"""


def test_no_thread_stays_behind_and_exit_does_not_hang():
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", LEAK, str(Path(__file__).parent)], env=env,
                          capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) < 6


ABANDON = """
import os, sys
sys.path.insert(0, sys.argv[1])
import test_tf_dataset as t
reader, writer = os.pipe()
os.write(writer, t.file_of(range(30)))
reading = t.Reading([reader])
print(reading.batch()["uid"].tolist(), flush=True)
"""


def test_a_process_that_leaves_in_the_middle_of_a_stream_ends():
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", ABANDON, str(Path(__file__).parent)], env=env,
                          capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"[0, 1, 2]\n"
