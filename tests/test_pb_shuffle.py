"""pb-shuffle: the same records in another order, in bounded memory."""

import struct

from monolith_cli._native import _core


def frame(payload: bytes) -> bytes:
    return struct.pack("<Q", len(payload)) + payload


RECORDS = [b"%d" % i for i in range(1000)]
DATA = b"".join(map(frame, RECORDS))


def shuffled(run, *args):
    return list(_core.MemoryReader(run("pb-shuffle", *args, stdin=DATA).stdout))


def test_every_record_once_in_another_order(run):
    out = shuffled(run, "--seed", "1")
    assert out != RECORDS and sorted(out) == sorted(RECORDS)
    assert out == shuffled(run, "--seed", "1")
    assert out != shuffled(run, "--seed", "2")
    assert shuffled(run) != shuffled(run)


def test_evenly_mixed(run):
    """With room for all, a record is as likely at one end as at the other."""
    out = [int(r) for r in shuffled(run, "--seed", "3")]
    first, last = out[:500], out[500:]
    assert abs(sum(first) / 500 - sum(last) / 500) < 60
    assert sum(a == b for a, b in enumerate(out)) < 10


def test_small_buffer_moves_records_forward_by_no_more(run):
    out = shuffled(run, "--seed", "4", "--buffer", "50")
    assert sorted(out) == sorted(RECORDS)
    assert all(int(r) <= i + 50 for i, r in enumerate(out))
    assert shuffled(run, "--buffer", "1") == RECORDS


def test_memory_is_bounded_by_bytes(run):
    out = shuffled(run, "--seed", "4", "--max-bytes", "4000")
    assert sorted(out) == sorted(RECORDS) and out != RECORDS
    assert all(int(r) <= i + 200 for i, r in enumerate(out))


def test_what_is_held_leaves_before_an_error(run):
    done = run("pb-shuffle", stdin=DATA + b"\x01", check=False)
    assert done.returncode == 65
    assert sorted(_core.MemoryReader(done.stdout)) == sorted(RECORDS)
