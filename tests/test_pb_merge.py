"""pb-merge: records in turn, --tag (spec 20, H6), and inputs that are slow, dead or broken."""

import gzip
import os
import struct
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mangled
from record_model import Facts

from monolith_cli._native import _core
from monolith_protos import example_pb2, proto_parser_pb2

COMMAND = [sys.executable, "-m", "monolith_cli", "pb-merge", "-q"]


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def unframe(stream: bytes) -> list[bytes]:
    return list(_core.MemoryReader(stream))


def numbered(name: str, n: int, size: int = 0) -> list[bytes]:
    return [f"{name}{i}".encode() + b"." * size for i in range(n)]


def parts_of(merged: list[bytes], *names: str) -> list[list[bytes]]:
    return [[r for r in merged if r.startswith(n.encode())] for n in names]


# ---------------------------------------------------------------------------------------------------------------- files

def test_in_turn(run, tmp_path):
    for name, n in (("a", 2), ("b", 4), ("c", 1)):
        (tmp_path / name).write_bytes(frame(*numbered(name, n)))
    done = run("pb-merge", tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert unframe(done.stdout) == [b"a0", b"b0", b"c0", b"a1", b"b1", b"b2", b"b3"]
    assert unframe(run("pb-merge", tmp_path).stdout) == unframe(done.stdout)
    assert "records in 7, records out 7" in done.stderr


def test_large_files_of_many_kinds(run, tmp_path):
    """More than a buffer of each: a plain file, a packed one, TFRecord is another run."""
    a, b = numbered("a", 5000, 700), numbered("b", 3000, 300)
    (tmp_path / "a").write_bytes(frame(*a))
    (tmp_path / "b").write_bytes(gzip.compress(frame(*b)))
    once = run("pb-merge", tmp_path / "a", tmp_path / "b").stdout
    assert parts_of(unframe(once), "a", "b") == [a, b]
    assert unframe(once)[:4] == [a[0], b[0], a[1], b[1]]
    assert run("pb-merge", tmp_path / "a", tmp_path / "b").stdout == once
    for name, records in (("t", a), ("u", b)):
        (tmp_path / name).write_bytes(b"".join(map(_core.tfrecord, records)))
    assert parts_of(unframe(run("pb-merge", "--format", "tfrecord", tmp_path / "t", tmp_path / "u").stdout), "a", "b") == [a, b]
    packed = gzip.compress(frame(*b))
    assert parts_of(unframe(run("pb-merge", tmp_path / "a", "-", stdin=packed).stdout), "a", "b") == [a, b]
    sorted_ids = b"".join(bytes(8) + frame(r) for r in a)
    assert unframe(run("pb-merge", "--has-sort-id", "-", stdin=sorted_ids).stdout) == a


def test_one_source_and_none(run, tmp_path):
    (tmp_path / "empty").touch()
    assert run("pb-merge", tmp_path / "empty", tmp_path / "empty").stdout == b""
    assert run("pb-merge", stdin=frame(b"a")).stdout == frame(b"a")
    done = run("pb-merge", tmp_path / "none", check=False)
    assert done.returncode == 66 and "none: no such file" in done.stderr


# ----------------------------------------------------------------------------------------------------------------- --tag

def test_tag_vector(run):
    payload = bytes.fromhex("2a09110500000000000000a00680e637")
    expected = "2a1d110500000000000000da0e11646174615f736f75726365393134313736a00680e637"
    assert unframe(run("pb-merge", "--tag", stdin=frame(payload)).stdout)[0].hex() == expected
    example = example_pb2.Example(data_source_key=914176)
    tagged = example_pb2.Example.FromString(unframe(run("pb-merge", "--tag", "-t", "example", stdin=frame(example.SerializeToString())).stdout)[0])
    assert tagged.line_id.data_source_name == "data_source914176"
    assert run("pb-merge", "--tag", "-t", "example_batch", check=False).returncode == 2


KEYS = st.lists(st.builds(lambda n, v: mangled.field(n, mangled.VARINT, v), st.sampled_from([100, 103]), st.integers(0, (1 << 40) - 1)), max_size=3).map(b"".join)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["instance", "example"]), st.data(), KEYS)
def test_tag_against_protobuf(record_type, data, keys):
    payload = data.draw(getattr(mangled, record_type)) + keys
    message = (proto_parser_pb2.Instance if record_type == "instance" else example_pb2.Example)
    try:
        before = message.FromString(payload)
        facts = Facts(record_type, payload)
    except Exception:
        return  # not a record for protobuf either
    (out,) = _core.apply(_core.Tag(record_type), payload)
    line_id = Facts(record_type, out).line_id
    facts.line_id.data_source_name = f"data_source{before.data_source_key}"
    assert line_id == facts.line_id
    after = message.FromString(out)
    for other in (before, after):
        other.ClearField("line_id")
        if record_type == "example":
            kept = [n for n in other.named_feature if n.name != "__LINE_ID__"]
            del other.named_feature[:]
            other.named_feature.extend(kept)
    assert after == before or str(after) == str(before)  # NaN is not equal to itself


# ---------------------------------------------------------------------------------------------------------------- pipes

@pytest.fixture
def fifos(tmp_path):
    paths = [tmp_path / n for n in "abc"]
    for path in paths:
        os.mkfifo(path)
    return paths


def start(*options, **popen):
    return subprocess.Popen([*COMMAND, *map(str, options)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)


def test_input_without_writer_holds_up_nobody(fifos):
    """b has no writer for a while, c none at all until a has been read to its end."""
    a, b, c = numbered("a", 3000, 500), numbered("b", 100), numbered("c", 10)
    process = start(*fifos)
    with open(fifos[0], "wb") as f:
        f.write(frame(*a))
    wanted = len(frame(*a))
    got = process.stdout.read(wanted)
    assert unframe(got) == a
    for path, records in ((fifos[1], b), (fifos[2], c)):
        with open(path, "wb") as f:
            f.write(frame(*records))
    rest, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert parts_of(unframe(rest), "b", "c") == [b, c]


def test_many_at_once_lose_nothing(fifos):
    all_records = {n: numbered(n, 20000, 100) for n in "abc"}

    def write(path):
        with open(path, "wb") as f:
            f.write(frame(*all_records[path.name]))

    process = start(*fifos)
    writers = [threading.Thread(target=write, args=(p,), daemon=True) for p in fifos]
    for w in writers:
        w.start()
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert parts_of(unframe(out), *"abc") == list(all_records.values())


def test_records_leave_when_they_come(fifos):
    process = start(*fifos[:2])
    with open(fifos[0], "wb", buffering=0) as a, open(fifos[1], "wb", buffering=0) as b:
        for f, name in ((a, b"a1"), (b, b"b1"), (b, b"b2"), (a, b"a2")):
            f.write(frame(name))
            assert process.stdout.read(10) == frame(name)
    assert process.wait(180) == 0


def test_dead_writer_ends_its_input(fifos):
    """Between two records: nothing else. Within one: the others go on, and the end is 65."""
    for cut, code in ((0, 0), (3, 65)):
        process = start(*fifos[:2])
        one = frame(b"a1", b"a2")
        writer = subprocess.Popen([sys.executable, "-c", "import sys, time; f = open(sys.argv[1], 'wb', 0); f.write(sys.stdin.buffer.read()); time.sleep(60)",
                                   str(fifos[0])], stdin=subprocess.PIPE)
        writer.stdin.write(one + frame(b"a3")[:len(frame(b"a3")) - cut] if cut else one)
        writer.stdin.close()
        with open(fifos[1], "wb", buffering=0) as f:
            assert process.stdout.read(len(one)) == one
            writer.kill()
            writer.wait()
            f.write(frame(b"b1"))
            assert process.stdout.read(10) == frame(b"b1")
        out, errors = process.communicate(timeout=300)
        assert process.returncode == code and out == b""
        if cut:
            assert f"{fifos[0]}: byte {len(one)}: the last record is cut short" in errors.decode() and b"Traceback" not in errors


def test_memory_is_bounded_when_the_reader_is_slow(fifos):
    process = start(fifos[0])
    data = frame(*numbered("a", 9000, 4000))
    import select

    with open(fifos[0], "wb", buffering=0) as f:
        os.set_blocking(f.fileno(), False)
        taken = 0
        while taken < len(data) and select.select([], [f], [], 2)[1]:
            taken += os.write(f.fileno(), data[taken:taken + 65536])
        assert taken < len(data) / 2
        with open(f"/proc/{process.pid}/status") as status:
            assert int(status.read().split("VmHWM:")[1].split()[0]) < 150_000
        os.set_blocking(f.fileno(), True)
        writer = threading.Thread(target=lambda: (f.write(data[taken:]), f.close()))
        writer.start()
        out, _ = process.communicate(timeout=300)
        writer.join(180)
    assert out == data


def test_stop_passes_on_what_is_at_hand(fifos):
    process = start(*fifos[:2])
    with open(fifos[0], "wb", buffering=0) as a, open(fifos[1], "wb", buffering=0):
        a.write(frame(b"a1") + b"\x09")
        assert process.stdout.read(10) == frame(b"a1")
        process.terminate()
        out, errors = process.communicate(timeout=300)
    assert process.returncode == 143 and out == b"" and errors == b""


def test_reader_that_leaves(fifos):
    process = start(fifos[0])
    process.stdout.close()
    with pytest.raises(BrokenPipeError), open(fifos[0], "wb", buffering=0) as f:
        while True:
            f.write(frame(b"x" * 1000))
    assert process.wait(180) == -13


def test_limits_of_broken_inputs(run, tmp_path):
    (tmp_path / "a").write_bytes(frame(b"a0", b"a1") + b"\xff" * 8 + b"rest")
    (tmp_path / "b").write_bytes(frame(*numbered("b", 4)))
    done = run("pb-merge", tmp_path / "a", tmp_path / "b", check=False)
    assert done.returncode == 65 and parts_of(unframe(done.stdout), "a", "b") == [[b"a0", b"a1"], numbered("b", 4)]
    lines = done.stderr.splitlines()
    assert "warning" in lines[0] and "the others go on" in lines[0] and f"{tmp_path}/a: byte 20: a record length" in lines[-1]
    aside = tmp_path / "aside"
    for option in ("skip", aside):
        done = run("pb-merge", "--on-bad-record", option, tmp_path / "a", tmp_path / "b")
        assert len(unframe(done.stdout)) == 6 and f"{tmp_path}/a: byte 20: a record length" in done.stderr
        assert "bad records" in done.stderr
    assert b"".join(unframe(aside.read_bytes())) == b"\xff" * 8 + b"rest"


def test_more_files_than_a_shell_lets_be_open(tmp_path):
    """Split in 100 and merged again under a limit of 40, where more can be had; without, the one that is too many is named."""
    flows = [f"--flow={i}={tmp_path / f'{i:03}.pb'}" for i in range(100)]
    (tmp_path / "in.pb").write_bytes(frame(*numbered("x", 1000)))
    monolith = [sys.executable, "-m", "monolith_cli"]
    split, together = [*monolith, "pb-split", "--by", "turn", *flows, tmp_path / "in.pb"], [*monolith, "pb-merge", tmp_path / "[0-9]*.pb"]
    for command in (split, together):
        done = subprocess.run(["bash", "-c", 'ulimit -n 40 && exec "$@"', "-", *command], capture_output=True)
        assert done.returncode in (66, 73) and b".pb: " in done.stderr and b"Too many open files\n" in done.stderr
        done = subprocess.run(["bash", "-c", 'ulimit -S -n 40 && exec "$@"', "-", *command], capture_output=True)
        assert done.returncode == 0, done.stderr
    assert unframe(done.stdout) == numbered("x", 1000)
