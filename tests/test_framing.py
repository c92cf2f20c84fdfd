"""Frames: the bytes of the format description, every combination of options, TFRecord against TensorFlow's own."""

import itertools
import struct

import pytest

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.records.framing import Framing, data_source_key, lagrangex_header, sort_header

PLAIN = bytes.fromhex("0300000000000000616263")


def flags(lagrangex=False, prefix=False, sort_id=False, dump=False):
    names = {"--lagrangex-header": lagrangex, "--kafka-dump-prefix": prefix, "--has-sort-id": sort_id, "--kafka-dump": dump}
    return [flag for flag, on in names.items() if on]


GOLDEN = [
    ("0300000000000000616263", flags()),
    ("00000000000000000300000000000000616263", flags(sort_id=True)),
    ("000000000000000000000000000000000300000000000000616263", flags(sort_id=True, dump=True)),
    ("0000000000000000000000000000000000000000000000000300000000000000616263", flags(prefix=True, sort_id=True)),
    ("00000000000000000000000000000000000000000000000000000000000000000300000000000000616263",
     flags(prefix=True, sort_id=True, dump=True)),
    ("0600000000000000746573745f310300000000000000616263", flags(sort_id=True)),
    ("020000000000000078790300000000000000616263", flags(prefix=True, sort_id=True)),
]


@pytest.mark.parametrize(("stream", "options"), GOLDEN)
def test_golden_streams_become_the_bare_wire(run, stream, options):
    assert run("pb-cat", *options, stdin=bytes.fromhex(stream)).stdout == PLAIN


@pytest.mark.parametrize(("prefix", "sort_id", "dump"), list(itertools.product([False, True], repeat=3)))
def test_headers_written_by_hand_are_read(run, prefix, sort_id, dump):
    payloads = [b"a" * i for i in range(16)]
    stream = b"".join(sort_header(sort_id, dump, prefix) + struct.pack("<Q", len(p)) + p for p in payloads)
    options = _core.FrameOptions(kafka_dump_prefix=prefix, has_sort_id=sort_id, kafka_dump=dump)
    assert list(_core.MemoryReader(stream, options)) == payloads
    assert b"".join(_core.frame(p, options) for p in payloads) == stream
    bare = b"".join(struct.pack("<Q", len(p)) + p for p in payloads)
    assert run("pb-cat", *flags(prefix=prefix, sort_id=sort_id, dump=dump), stdin=stream).stdout == bare


@pytest.mark.parametrize(("prefix", "sort_id", "dump"), list(itertools.product([False, True], repeat=3)))
def test_lagrangex_goes_before_the_other_options(run, prefix, sort_id, dump):
    stream = bytes(8) + struct.pack("<Q", 0)
    done = run("pb-cat", "-t", "example", *flags(True, prefix, sort_id, dump), stdin=stream)
    assert done.stdout == struct.pack("<Q", 0)


def test_names_of_data_flows():
    assert {name: data_source_key(name) for name in ("", "pc", "mobile", "datasource_inst")} == {
        "": 0, "pc": 914176, "mobile": 1250992640, "datasource_inst": 1561460736}
    assert lagrangex_header("").hex() == "0000000000000000"
    assert lagrangex_header("pc").hex() == "00f30d0000000000"
    assert lagrangex_header("mobile").hex() == "00a2904a00000000"
    assert lagrangex_header("datasource_inst").hex() == "0000125d00000000"


@pytest.mark.parametrize("record_type", ["instance", "example", "example_batch"])
def test_key_of_the_header_is_found_by_protobuf(run, record_type):
    from monolith_protos import example_pb2, proto_parser_pb2

    make = {"instance": proto_parser_pb2.Instance, "example": example_pb2.Example, "example_batch": example_pb2.ExampleBatch}[record_type]
    message = make(data_source_key=7)
    if record_type == "instance":
        message.fid.append(12)
    payload = message.SerializeToString()
    frame = struct.pack("<Q", len(payload)) + payload
    out = run("pb-cat", "-t", record_type, "--lagrangex-header", stdin=lagrangex_header("mobile") + frame + lagrangex_header() + frame).stdout
    first, second = (make.FromString(p) for p in _core.MemoryReader(out))
    assert first.data_source_key == 1250992640
    assert second.data_source_key == 0
    message.data_source_key = 1250992640
    assert first == message


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
def test_tfrecord_of_tensorflow_is_read(run, tmp_path, kind):
    tf = pytest.importorskip("tensorflow")
    records = [b"", b"abc", bytes(range(256)) * 1000]
    path = str(tmp_path / "data.tfrecord")
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type=kind)) as writer:
        for record in records:
            writer.write(record)
    assert list(_core.MemoryReader(run("pb-cat", "--format", "tfrecord", path).stdout)) == records


def test_tfrecord_of_ours_is_read_by_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    records = [b"", b"abc", bytes(range(256)) * 1000]
    path = tmp_path / "data.tfrecord"
    path.write_bytes(b"".join(_core.tfrecord(r) for r in records))
    assert [r.numpy() for r in tf.data.TFRecordDataset(str(path))] == records


def test_tfrecord_with_a_flipped_bit(run):
    stream = bytearray(_core.tfrecord(b"first") + _core.tfrecord(b"second") + _core.tfrecord(b"third"))
    stream[21 + 12] ^= 1
    done = run("pb-cat", "--format", "tfrecord", stdin=bytes(stream), check=False)
    assert done.returncode == 65 and "stdin: byte 21: the checksum of the record is wrong" in done.stderr
    assert list(_core.MemoryReader(done.stdout)) == [b"first"]
    done = run("pb-cat", "--format", "tfrecord", "--on-bad-record", "skip", stdin=bytes(stream))
    assert list(_core.MemoryReader(done.stdout)) == [b"first", b"third"]


def test_tfrecord_excludes_framing_options(run):
    assert run("pb-cat", "--format", "tfrecord", "--has-sort-id", check=False).returncode == 2
    with pytest.raises(errors.UsageError):
        Framing(format="parquet")


def test_prefix_with_a_sort_id_that_was_not_announced(run):
    done = run("pb-cat", "--kafka-dump-prefix", stdin=bytes.fromhex("020000000000000078790300000000000000616263"), check=False)
    assert done.returncode == 65 and "--has-sort-id" in done.stderr
