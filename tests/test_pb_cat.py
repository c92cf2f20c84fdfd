"""pb-cat: records in, the bare wire out."""

import os
import signal
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli._native import _core
from processes import wait_until_delivered

COMMAND = [sys.executable, "-m", "monolith_cli"]


def frame(payload: bytes) -> bytes:
    return struct.pack("<Q", len(payload)) + payload


def payloads(stream: bytes) -> list[bytes]:
    return list(_core.MemoryReader(stream))


def numbered(count: int) -> bytes:
    return b"".join(frame(b"record %d" % i) for i in range(count))


@given(st.lists(st.binary(max_size=300), max_size=50), st.integers(1, 64))
@settings(max_examples=100, deadline=None)
def test_any_payloads_survive(records, step):
    """Unknown bytes, empty records and all leave as they came, whatever pieces they arrive in."""

    class Drip:
        def __init__(self, data):
            self.data = data

        def readinto(self, buffer):
            n = min(step, len(buffer), len(self.data))
            buffer[:n], self.data = self.data[:n], self.data[n:]
            return n

    stream = b"".join(frame(r) for r in records)
    assert list(_core.CallbackReader(Drip(stream), "drip")) == records
    r, w = os.pipe()
    sink = _core.FdSink(w, "pipe", True)
    chain = _core.Chain([], sink)
    assert chain.run(_core.CallbackReader(Drip(stream), "drip"))
    chain.finish()
    os.set_blocking(r, False)
    got = b""
    while len(got) < len(stream):
        got += os.read(r, 1 << 20)
    os.close(r)
    assert got == stream
    stats = chain.stats()
    assert (stats["records_in"], stats["bytes_out"]) == (len(records), len(stream))


def test_sources_in_the_order_given(run, tmp_path):
    for name in "abc":
        (tmp_path / name).write_bytes(frame(name.encode()))
    done = run("pb-cat", tmp_path / "c", "-", tmp_path / "a", stdin=frame(b"stdin"))
    assert payloads(done.stdout) == [b"c", b"stdin", b"a"]


def test_limit_repeat_shard(run, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(numbered(10))
    assert run("pb-cat", "--limit", "3", path).stdout == numbered(3)
    assert run("pb-cat", "--limit", "0", path).stdout == b""
    assert run("pb-cat", "--repeat", "3", path).stdout == numbered(10) * 3
    assert run("pb-cat", "--repeat", "0", "--limit", "25", path).stdout == numbered(10) * 2 + numbered(5)
    shares = [payloads(run("pb-cat", "--shard", f"{i}/3", path).stdout) for i in range(3)]
    assert shares == [payloads(numbered(10))[i::3] for i in range(3)]
    done = run("pb-cat", "--repeat", "2", stdin=numbered(1), check=False)
    assert done.returncode == 2 and "--repeat" in done.stderr


def test_output_appears_whole(run, tmp_path):
    out = tmp_path / "out"
    run("pb-cat", "-o", out, stdin=numbered(10))
    assert out.read_bytes() == numbered(10)
    done = run("pb-cat", "-o", out, stdin=numbered(20)[:-1], check=False)
    assert done.returncode == 65
    assert out.read_bytes() == numbered(10)
    assert os.listdir(tmp_path) == ["out"]
    assert run("pb-cat", "-o", tmp_path / "none" / "out", stdin=b"", check=False).returncode == 73
    assert run("pb-cat", "-o", "/dev/full", stdin=numbered(1), check=False).returncode == 74


def test_counters_and_nothing_to_do(run):
    done = run("pb-cat", "--log-format", "json", stdin=numbered(3))
    assert '"records_in": 3' in done.stderr and '"bytes_out": 48' in done.stderr
    assert run("pb-cat", "--skip-exit-code", "99", stdin=b"", check=False).returncode == 99
    assert run("pb-cat", "--skip-exit-code", "99", stdin=numbered(1)).returncode == 0


def test_verb(run):
    assert run("monolith", "read-instances", stdin=numbered(2)).stdout == numbered(2)


def test_memory_stays_flat(tmp_path):
    """300 MB pass through in far less memory than they are."""
    path = tmp_path / "block"
    path.write_bytes(frame(os.urandom(1000)) * 10_000)
    code = ("import sys; from monolith_cli.commands.pb_cat import main\n"
            "try: main(['-q', '--repeat', sys.argv[1], sys.argv[2]], prog_name='pb-cat')\n"
            "finally: sys.stderr.write(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])")

    def peak(repeat):
        done = subprocess.run([sys.executable, "-c", code, str(repeat), str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        return int(done.stderr)

    assert peak(30) < peak(1) + 2000  # KiB


def test_live_records_are_not_held_back():
    with subprocess.Popen([*COMMAND, "pb-cat", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        for i in range(5):
            child.stdin.write(frame(b"%d" % i))
            child.stdin.flush()
            assert child.stdout.read(9) == frame(b"%d" % i)
        child.stdin.close()
        assert child.wait(120) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_at_a_record_boundary(number, code):
    with subprocess.Popen([*COMMAND, "pb-cat", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdin.write(numbered(100) + frame(b"cut")[:-1])
        child.stdin.flush()
        assert child.stdout.read(len(numbered(100))) == numbered(100)
        child.send_signal(number)
        assert child.wait(120) == code
        assert child.stdout.read() == b""
        child.stdin.close()


def test_signal_during_an_endless_run(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(numbered(1000))
    with subprocess.Popen([*COMMAND, "pb-cat", "-q", "--repeat", "0", path], stdout=subprocess.PIPE) as child:
        child.stdout.read(100_000)
        child.terminate()
        whole = 100_000 + len(child.stdout.read())
        assert child.wait(120) == 143
    ends = {len(numbered(i)) for i in range(1000)}
    assert whole % len(numbered(1000)) in ends


def test_second_signal_leaves_at_once(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(numbered(1000))
    with subprocess.Popen([*COMMAND, "pb-cat", "-q", "--repeat", "0", path], stdout=subprocess.PIPE) as child:
        child.stdout.read(1)  # and no more: it hangs in write(2), which a first signal does not break off
        time.sleep(0.5)
        child.terminate()
        wait_until_delivered(child, signal.SIGTERM)
        time.sleep(0.3)
        assert child.poll() is None
        child.terminate()
        assert child.wait(120) == 143


def test_start_is_light(run):
    code = "import sys, monolith_cli.records.chain, monolith_cli._native._core; print([m for m in ('numpy', 'zstandard', 'google.protobuf', 'tensorflow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
