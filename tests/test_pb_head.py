"""pb-head: the first records, and no more than needed."""

import struct
import subprocess
import sys


def frame(payload: bytes) -> bytes:
    return struct.pack("<Q", len(payload)) + payload


def test_first_records(run, tmp_path):
    data = b"".join(frame(b"%d" % i) for i in range(100))
    assert run("pb-head", stdin=data).stdout == data[:10 * 9]
    assert run("pb-head", "-n", "3", stdin=data).stdout == data[:27]
    assert run("pb-head", "-n", "0", stdin=data).stdout == b""
    assert run("pb-head", "-n", "1000", stdin=data).stdout == data
    path = tmp_path / "x"
    path.write_bytes(data[:18])
    assert run("pb-head", "-n", "3", path, path).stdout == data[:18] + data[:9]


def test_what_is_broken_behind_does_not_matter(run):
    assert run("pb-head", "-n", "2", stdin=frame(b"a") + frame(b"b") + b"\xff" * 20).stdout == frame(b"a") + frame(b"b")


def test_leaves_while_the_writer_goes_on():
    with subprocess.Popen([sys.executable, "-m", "monolith_cli", "pb-head", "-q", "-n", "1"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        child.stdin.write(frame(b"a"))
        child.stdin.flush()
        assert child.wait(120) == 0
        assert child.stdout.read() == frame(b"a")
