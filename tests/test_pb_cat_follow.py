"""pb-cat --follow: files that grow and folders that fill."""

import os
import signal
import time

import pytest
import zstandard

from kafka_helpers import frame, numbered, records, start, stream
from monolith_cli._native import _core


def follow(*args):
    return start("pb-cat", "--follow", "--follow-interval", "0.05", *args)


def take(child, count: int) -> list[bytes]:
    """Waits for so many records."""
    found = []
    for _ in range(count):
        size = int.from_bytes(child.stdout.read(8), "little")
        found.append(child.stdout.read(size))
    return found


def end(child, code=143, number=signal.SIGTERM) -> str:
    """Ends it, checks that nothing more came, gives its messages."""
    child.send_signal(number)
    rest, said = child.communicate(timeout=180)
    assert (rest, child.returncode) == (b"", code), said
    return said.decode()


def told(child, words: str) -> str:
    """Its messages up to one with these words."""
    said = ""
    while words not in said:
        line = child.stderr.readline().decode()
        assert line, said
        said += line
    return said


def append(path, data: bytes) -> None:
    with open(path, "ab") as f:
        f.write(data)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_growing_file(tmp_path, number, code):
    path = tmp_path / "log"
    append(path, stream(numbered(3)))
    child = follow(path)
    assert take(child, 3) == numbered(3)
    for i in range(3, 6):
        append(path, frame(b"record %d" % i))
        assert take(child, 1) == [b"record %d" % i]
    end(child, code, number)


def test_a_record_written_byte_by_byte_is_waited_for(tmp_path):
    path = tmp_path / "log"
    child = follow(path)
    time.sleep(0.3)
    for byte in frame(b"slow"):
        append(path, bytes([byte]))
        time.sleep(0.07)
    assert take(child, 1) == [b"slow"]
    append(path, frame(b"next") + frame(b"half")[:-2])
    assert take(child, 1) == [b"next"]
    time.sleep(0.2)
    assert "10 bytes of an incomplete record" in end(child)


def test_new_files_in_folders_and_globs(tmp_path):
    (tmp_path / "a").mkdir()
    child = follow(tmp_path / "a", tmp_path / "b-*")
    time.sleep(0.3)
    append(tmp_path / "a" / "1", frame(b"a1"))
    assert take(child, 1) == [b"a1"]
    append(tmp_path / "b-1", frame(b"b1"))
    assert take(child, 1) == [b"b1"]
    (tmp_path / "a" / "deep").mkdir()
    append(tmp_path / "a" / "deep" / "2", frame(b"a2"))
    assert take(child, 1) == [b"a2"]
    append(tmp_path / "a" / "3.tmp-0a", frame(b"a3"))  # a writer of ours has not renamed it yet
    append(tmp_path / "a" / ".hidden", frame(b"no"))
    time.sleep(0.2)
    os.rename(tmp_path / "a" / "3.tmp-0a", tmp_path / "a" / "3")
    assert take(child, 1) == [b"a3"]
    append(tmp_path / "a" / "1", frame(b"a1 again"))
    assert take(child, 1) == [b"a1 again"]
    assert "nothing is there yet" in end(child)


def test_rotation_loses_nothing(tmp_path):
    path = tmp_path / "log"
    append(path, frame(b"old"))
    child = follow(path)
    assert take(child, 1) == [b"old"]
    append(path, frame(b"last of old"))
    os.rename(path, tmp_path / "rotated")
    append(path, frame(b"new"))
    assert take(child, 2) == [b"last of old", b"new"]
    path.write_bytes(b"")
    said = told(child, "was truncated")  # else it could not be told from a file that grew
    append(path, frame(b"after truncation"))
    assert take(child, 1) == [b"after truncation"]
    append(path, frame(b"last"))
    path.unlink()
    time.sleep(0.3)
    append(path, frame(b"back"))
    assert take(child, 2)[-1] == b"back"
    assert "was replaced" in said + end(child)


def test_a_cut_off_record_of_a_file_that_is_gone(tmp_path):
    path = tmp_path / "log"
    append(path, frame(b"a") + frame(b"cut")[:-1])
    child = follow(path)
    assert take(child, 1) == [b"a"]
    time.sleep(0.2)
    path.unlink()
    _, said = child.communicate(timeout=180)
    assert child.returncode == 65 and f"{path}: byte 9: the last record is cut short" in said.decode()
    append(path, frame(b"a") + frame(b"cut")[:-1])
    child = follow("--on-bad-record", "skip", path)
    assert take(child, 1) == [b"a"]
    time.sleep(0.2)
    path.unlink()
    time.sleep(0.3)
    append(path, frame(b"new"))
    assert take(child, 1) == [b"new"]
    assert "bad records 1" in end(child)


def test_broken_framing_ends_that_file_alone(tmp_path):
    (tmp_path / "d").mkdir()
    append(tmp_path / "d" / "1", frame(b"a") + b"\xff" * 20)
    append(tmp_path / "d" / "2", frame(b"b"))
    child = follow(tmp_path / "d")
    out, said = child.communicate(timeout=180)
    assert (records(out), child.returncode) == ([b"a"], 65) and "byte 9: " in said.decode()
    for policy in ("skip", tmp_path / "bad"):
        child = follow("--on-bad-record", policy, tmp_path / "d")
        assert take(child, 2) == [b"a", b"b"]
        append(tmp_path / "d" / "1", frame(b"lost"))
        append(tmp_path / "d" / "2", frame(b"c"))
        assert take(child, 1) == [b"c"]
        assert "bad records 1" in end(child)
        (tmp_path / "d" / "2").write_bytes(frame(b"b"))
    assert b"\xff" * 20 in (tmp_path / "bad").read_bytes()


def test_silence_ends_it(tmp_path, run):
    path = tmp_path / "log"
    append(path, stream(numbered(5)))
    began = time.monotonic()
    done = run("pb-cat", "--follow", "--follow-timeout", "0.5", path)
    assert records(done.stdout) == numbered(5) and time.monotonic() - began > 0.5
    assert records(run("pb-cat", "--follow", "--limit", 2, path).stdout) == numbered(2)


def test_packed_files_and_tfrecords(tmp_path, run):
    (tmp_path / "d").mkdir()
    append(tmp_path / "d" / "1.zst", zstandard.compress(stream(numbered(3))))
    append(tmp_path / "d" / "2", stream(numbered(3)))
    child = follow(tmp_path / "d")
    assert take(child, 6) == numbered(3) * 2
    append(tmp_path / "3.zst", zstandard.compress(frame(b"x")))
    os.rename(tmp_path / "3.zst", tmp_path / "d" / "3.zst")
    assert take(child, 1) == [b"x"]
    end(child)
    path = tmp_path / "tf"
    whole = _core.tfrecord(b"one")
    append(path, whole + whole[:7])
    child = follow("--format", "tfrecord", path)
    assert take(child, 1) == [b"one"]
    append(path, whole[7:] + whole[:-1])
    assert take(child, 1) == [b"one"]
    end(child)


def test_mistakes(run, tmp_path):
    for args in (["--follow"], ["--follow", "-"], ["--follow", "kafka://h/t"], ["--follow", "--shard", "0/2", "x"], ["--follow", "/dev/null"]):
        done = run("pb-cat", *args, check=False)
        assert done.returncode == 2 and "--follow" in done.stderr
