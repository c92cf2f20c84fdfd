"""Broken input: the exit code and the message of the manners, never a trace, nothing lost that came before."""

import gzip
import os
import signal
import struct
import subprocess
import sys

import pytest

from monolith_cli._native import _core

COMMANDS = ["pb-cat", "pb-head", "pb-shuffle"]


def frame(payload: bytes) -> bytes:
    return struct.pack("<Q", len(payload)) + payload


GOOD = frame(b"\x0a\x01a") + frame(b"\x0a\x01b")
BROKEN = {
    "cut in the length": (b"\x05\x00\x00", 22, "cut short"),
    "cut in the record": (struct.pack("<Q", 9) + b"abc", 22, "cut short"),
    "absurd length": (b"\xff" * 8 + b"rest", 22, "18446744073709551615"),
    "length over the limit": (struct.pack("<Q", 1 << 40) + b"rest", 22, str(1 << 40)),
    "reserved marker": (bytes.fromhex("fefefefe00000000"), 22, "reserved"),
    "text": (b"this is some text, not records\n", 22, "framing options"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("what", BROKEN)
def test_after_good_records(run, tmp_path, command, what):
    tail, offset, word = BROKEN[what]
    path = tmp_path / "clicks.pb"
    path.write_bytes(GOOD + tail)
    for source, stdin in ((path, b""), ("-", GOOD + tail)):
        done = run(command, source, stdin=stdin, check=False)
        name = path if source == path else "stdin"
        assert done.returncode == 65
        assert done.stderr.startswith(f"{command}: {name}: byte {offset}: ") and word in done.stderr
        assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) == 1
        assert sorted(_core.MemoryReader(done.stdout)) == [b"\x0a\x01a", b"\x0a\x01b"]


@pytest.mark.parametrize("what", BROKEN)
def test_skip_and_keep(run, tmp_path, what):
    path, aside, more = tmp_path / "clicks.pb", tmp_path / "bad.pb", tmp_path / "more.pb"
    path.write_bytes(GOOD + BROKEN[what][0])
    more.write_bytes(GOOD)
    done = run("pb-cat", "--on-bad-record", "skip", path, more)
    assert done.stdout == GOOD * 2
    assert "warning" in done.stderr and "byte 22" in done.stderr and "bad records 1" in done.stderr
    assert run("pb-cat", "--on-bad-record", aside, path, more).stdout == GOOD * 2
    assert aside.read_bytes() == frame(BROKEN[what][0])
    assert run("pb-cat", "-q", "--on-bad-record", "skip", path).stderr == ""


def test_set_aside_cannot_be_made(run, tmp_path):
    assert run("pb-cat", "--on-bad-record", tmp_path / "no" / "bad", check=False).returncode == 73


def test_wrong_framing_names_the_right_one(run):
    stream = b"".join(frame(b"test_1") + frame(b"\x0a\x04abcd") for _ in range(5))
    cut = run("pb-cat", "--kafka-dump", stdin=stream, check=False)
    assert cut.returncode == 65
    message = run("pb-cat", "--kafka-dump-prefix", stdin=stream, check=False).stderr
    assert "--has-sort-id" in message


def test_absurd_length_takes_no_memory(run):
    """A length just under the limit, and nothing behind it."""
    code = ("import sys; from monolith_cli.commands.pb_cat import main\n"
            "try: main(['-q'], prog_name='pb-cat')\n"
            "finally: sys.stderr.write('\\n' + open('/proc/self/status').read().split('VmHWM:')[1].split()[0])")
    done = subprocess.run([sys.executable, "-c", code], input=struct.pack("<Q", (1 << 30) - 1) + b"x", capture_output=True, check=False)
    assert done.returncode == 65
    assert int(done.stderr.split()[-1]) < 200_000


@pytest.mark.parametrize("command", COMMANDS)
def test_empty_input_is_no_error(run, tmp_path, command):
    (tmp_path / "empty").touch()
    assert run(command, tmp_path / "empty").stdout == b""
    assert run(command).stdout == b""


@pytest.mark.parametrize("command", COMMANDS)
def test_missing(run, tmp_path, command):
    for source in (tmp_path / "none", tmp_path, tmp_path / "*.pb"):
        done = run(command, source, check=False)
        assert done.returncode == 66 and str(source) in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_cut_gzip(run, command):
    data = b"".join(frame(b"%08d" % i) for i in range(2000))
    whole = gzip.compress(data)
    done = run(command, *(["-n", "5000"] if command == "pb-head" else []), stdin=whole[:len(whole) // 2], check=False)
    assert done.returncode == 65 and "cut short" in done.stderr and "Traceback" not in done.stderr
    assert len(list(_core.MemoryReader(done.stdout))) > 500


@pytest.mark.parametrize("command", COMMANDS)
def test_full_device(run, command):
    with open("/dev/full", "wb") as full:
        done = run(command, stdin=GOOD, stdout=full, check=False)
    assert done.returncode == 74 and "standard output" in done.stderr and "No space left" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_reader_that_went_away(command):
    r, w = os.pipe()
    os.close(r)
    done = subprocess.run([sys.executable, "-m", "monolith_cli", command], input=GOOD * 1000, stdout=w, stderr=subprocess.PIPE, check=False)
    os.close(w)
    assert done.returncode == -signal.SIGPIPE and done.stderr == b""


def test_input_that_cannot_be_read(run):
    """Reading process memory at 0 is EIO."""
    with open("/proc/self/mem", "rb") as memory:
        done = run("pb-cat", stdin=memory, check=False)
    assert done.returncode == 74 and "stdin: cannot read: Input/output error" in done.stderr


@pytest.mark.parametrize(("redirect", "code"), [("<&-", 66), ("</dev/null >&-", 74)])
def test_closed_standard_descriptors(redirect, code):
    done = subprocess.run(["bash", "-c", f"exec {sys.executable} -m monolith_cli pb-cat {redirect}"], capture_output=True, check=False, timeout=300)
    assert done.returncode == code and b"is closed" in done.stderr and b"Traceback" not in done.stderr


def test_closed_standard_output_is_told_by_who_prints(run, tmp_path):
    """Commands that print text with Python, not records."""
    (tmp_path / "in.pb").write_bytes(GOOD)
    for command in ("pb-stat IN", "pb-stat --json IN", "pb-show IN", "pb-cat --help", "monolith --version"):
        line = f"exec {sys.executable} -m monolith_cli {command.replace('IN', str(tmp_path / 'in.pb'))} >&-"
        done = subprocess.run(["bash", "-c", line], capture_output=True, check=False, timeout=300)
        assert done.returncode == 74 and done.stderr.count(b"standard output: ") == 1 and b"internal" not in done.stderr, command


def test_without_standard_error_commands_work(tmp_path):
    """What would go there is lost, and never ends in a file that was opened in its place."""
    bad = GOOD + b"\xff" * 20
    (tmp_path / "in.pb").write_bytes(bad)
    line = f"exec {sys.executable} -m monolith_cli pb-cat --on-bad-record {tmp_path}/bad.pb -o {tmp_path}/out.pb {tmp_path}/in.pb <&- >&- 2>&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=False, timeout=300)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "out.pb").read_bytes() == GOOD
    assert (tmp_path / "bad.pb").read_bytes() == (20).to_bytes(8, "little") + b"\xff" * 20
