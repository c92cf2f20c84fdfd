"""Packed sources: vectors, detection by content, damage."""

import gzip
import io
import struct
import subprocess
import sys
import zlib

import pytest

from monolith_cli._native import _core
from monolith_cli.records.compression import detect

PLAIN = bytes.fromhex("03000000000000006162630300000000000000646566")
SNAPPY = ["0000001600000015160403000901346162630300000000000000646566",
          "000000160000000d0b2803000000000000006162630000000d0b280300000000000000646566"]
ZLIB = "789c63668080c4a46466283325350d0011c1025c"
ZSTD = "28b52ffd20169500005003006162630300646566020060e8016001"


def frame(payload: bytes) -> bytes:
    return struct.pack("<Q", len(payload)) + payload


def records(count, size=100):
    """Records that do not shrink to nothing."""
    import random

    source = random.Random(5)
    return b"".join(frame(b"%06d" % i + bytes(source.choices(b"abcdefgh", k=size))) for i in range(count))


def packed(kind: str, data: bytes) -> bytes:
    if kind == "gzip":
        return gzip.compress(data)
    if kind == "zlib":
        return zlib.compress(data)
    if kind == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(write_checksum=True).compress(data)
    out = b""
    for at in range(0, len(data), 1 << 18):
        block = data[at:at + (1 << 18)]
        chunks = [_core.snappy_compress(block[i:i + (1 << 16)]) for i in range(0, len(block), 1 << 16)]
        out += struct.pack(">I", len(block)) + b"".join(struct.pack(">I", len(c)) + c for c in chunks)
    return out


@pytest.mark.parametrize(("kind", "stream"), [("zlib", ZLIB), ("zstd", ZSTD), ("snappy", SNAPPY[0]), ("snappy", SNAPPY[1])])
def test_vectors(run, kind, stream):
    assert run("pb-cat", "--compression", kind, stdin=bytes.fromhex(stream)).stdout == PLAIN
    if kind != "snappy":
        assert run("pb-cat", stdin=bytes.fromhex(stream)).stdout == PLAIN


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd", "snappy"])
def test_files_are_told_by_content_or_suffix(run, tmp_path, kind):
    path = tmp_path / ("part.snappy" if kind == "snappy" else "part")
    data = records(20_000)
    path.write_bytes(packed(kind, data))
    assert run("pb-cat", path).stdout == data
    assert run("pb-cat", "--compression", kind, path).stdout == data
    if kind != "snappy":
        with open(path, "rb") as f:
            assert run("pb-cat", stdin=f).stdout == data


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_members_one_after_the_other(run, kind):
    parts = [records(3), b"", records(500), records(1)]
    assert run("pb-cat", stdin=b"".join(packed(kind, p) for p in parts)).stdout == b"".join(parts)


def test_frame_reaches_over_members(run):
    data = records(10)
    assert run("pb-cat", stdin=packed("gzip", data[:57]) + packed("gzip", data[57:])).stdout == data


def test_gzip_with_padding_and_with_rubbish_behind(run):
    data = packed("gzip", records(5))
    assert run("pb-cat", stdin=data + bytes(100_000)).stdout == records(5)
    done = run("pb-cat", stdin=data + b"rubbish", check=False)
    assert done.returncode == 65 and done.stdout == records(5)


def test_zstd_skippable_frames(run):
    data = packed("zstd", records(5))
    skip = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello"
    assert run("pb-cat", stdin=skip + data + skip + data).stdout == records(5) * 2


def test_other_writers(run, tmp_path):
    import zstandard

    data = records(3000)
    stream = io.BytesIO()
    with zstandard.ZstdCompressor(level=19).stream_writer(stream, closefd=False) as writer:
        for at in range(0, len(data), 1000):
            writer.write(data[at:at + 1000])
            writer.flush(zstandard.FLUSH_BLOCK)
    assert run("pb-cat", stdin=stream.getvalue()).stdout == data
    command = subprocess.run(["gzip", "-1"], input=data, capture_output=True, check=True).stdout
    assert run("pb-cat", stdin=command).stdout == data
    assert run("pb-cat", stdin=zstandard.ZstdCompressor().compress(bytes(8 * 100_000))).stdout == bytes(8 * 100_000)


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd", "snappy"])
def test_cut_anywhere(run, kind):
    data = records(3000)
    whole = packed(kind, data)
    for n in [1, 4, 9, 11, 13, len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 4, len(whole) - 1]:
        done = run("pb-cat", "--compression", kind, stdin=whole[:n], check=False)
        assert done.returncode == 65, n
        assert "stdin: byte " in done.stderr and "cut short" in done.stderr and "Traceback" not in done.stderr
        assert data.startswith(done.stdout)
        at_hand = _decoded(kind, whole[:n])
        assert len(done.stdout) >= (len(at_hand) // 114 - 1) * 114
        done = run("pb-cat", "--compression", kind, "--on-bad-record", "skip", stdin=whole[:n])
        assert data.startswith(done.stdout) and "cut short" in done.stderr


def _decoded(kind, data):
    """What another reader gets out of cut-off data."""
    if kind in ("gzip", "zlib"):
        return zlib.decompressobj(31 if kind == "gzip" else 15).decompress(data)
    return b""


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd"])  # raw snappy has no checksum
def test_flipped_bits_lose_nothing_before_them(run, kind):
    data = records(5000)
    whole = bytearray(packed(kind, data))
    good = len(run("pb-cat", "--compression", kind, stdin=bytes(whole[:len(whole) // 2]), check=False).stdout)
    whole[len(whole) // 2] ^= 0x10
    done = run("pb-cat", "--compression", kind, stdin=bytes(whole), check=False)
    assert done.returncode == 65 and "Traceback" not in done.stderr
    assert "stdin: byte " in done.stderr
    before = good - (140_000 if kind == "zstd" else 2000)  # the broken block
    assert done.stdout[:max(before, 0)] == data[:max(before, 0)]


def test_wrong_kind(run):
    for kind in ("gzip", "zlib", "zstd", "snappy"):
        done = run("pb-cat", "--compression", kind, stdin=b"\xff" * 100, check=False)
        assert done.returncode == 65 and done.stderr.startswith("pb-cat: stdin: byte ")


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd", "snappy"])
def test_empty_content(run, kind):
    data = packed(kind, b"")
    assert run("pb-cat", "--compression", kind, stdin=data).stdout == b""


def test_records_are_not_mistaken_for_packed_ones(run):
    for length in [0x088B1F, 0x9C78, 0x78, 0x28, 0x1F, 0x5E78]:
        data = frame(b"\x0a" + b"x" * (length - 1)) * 2
        assert detect(data[:10]) == "none"
        assert run("pb-cat", stdin=data).stdout == data
    assert detect(b"") == "none" and detect(b"\x1f\x8b") == "none"


def test_a_slow_pipe_is_looked_at_no_longer_than_needed(run):
    """One small record must come through before the writer ends."""
    child = subprocess.Popen([sys.executable, "-m", "monolith_cli", "pb-cat", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdin.write(frame(b"ab"))
    child.stdin.flush()
    assert child.stdout.read(10) == frame(b"ab")
    child.stdin.close()
    assert child.wait(120) == 0


def test_bomb_stays_small(run):
    """Half a gigabyte of zeros in a few kilobytes is unpacked piece by piece."""
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(bytes(8 << 26))
    code = ("from monolith_cli.records.sources import open_bytes\n"
            "s = open_bytes('-'); b = bytearray(1 << 20); n = 0\n"
            "while (got := s.readinto(b)): n += got\n"
            "print(n, open('/proc/self/status').read().split('VmHWM:')[1].split()[0])")
    for stream in (bomb, gzip.compress(bytes(1 << 28), 9)):
        out = subprocess.run([sys.executable, "-c", code], input=stream, capture_output=True, check=True).stdout.split()
        assert int(out[0]) in (8 << 26, 1 << 28)
        assert int(out[1]) < 100_000  # KiB
