"""pb-split: the vectors of spec 20, TV-H, and readers that are slow, late, or leave."""

import os
import signal
import struct
import subprocess
import sys
import threading

import pytest

from monolith_cli._native import _core
from monolith_cli.records.framing import data_source_key
from monolith_protos import example_pb2, proto_parser_pb2

COMMAND = [sys.executable, "-m", "monolith_cli", "pb-split", "-q"]


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def unframe(stream: bytes) -> list[bytes]:
    return list(_core.MemoryReader(stream))


def record(flow: str | None = None, **line_id) -> bytes:
    r = proto_parser_pb2.Instance()
    for name, value in line_id.items():
        setattr(r.line_id, name, value)
    if flow is not None:
        r.data_source_key = data_source_key(flow)
    return r.SerializeToString()


# ------------------------------------------------------------------------------------------------------ what goes where

def test_codes():
    assert [data_source_key(n) for n in ("pc", "mobile", "cloud")] == [914176, 1250992640, 2782803200]  # H2
    assert (data_source_key("datasource_inst"), data_source_key("")) == ((-1487072768 << 8) & 0xFFFFFFFF, 0)  # H4


FLOWS = [record(f, uid=i) for i, f in enumerate(["pc", "cloud", "pc", "mobile", None, "cloud", "tv", "pc"])]


def test_by_flow(run, tmp_path):
    done = run("pb-split", "--flow", f"pc={tmp_path}/pc", "--flow", "mobile=-", "--flow", f"cloud={tmp_path}/cloud", "--unmatched",
               tmp_path / "rest", stdin=frame(*FLOWS))
    assert unframe(done.stdout) == [FLOWS[3]]
    assert unframe((tmp_path / "pc").read_bytes()) == [FLOWS[0], FLOWS[2], FLOWS[7]]
    assert unframe((tmp_path / "cloud").read_bytes()) == [FLOWS[1], FLOWS[5]]
    assert unframe((tmp_path / "rest").read_bytes()) == [FLOWS[4], FLOWS[6]]
    for part in ("split pc 3", "split mobile 1", "split cloud 2", "split unmatched 2"):
        assert part in done.stderr


def test_examples_and_the_last_of_several_keys(run, tmp_path):
    one = example_pb2.Example(data_source_key=data_source_key("tv")).SerializeToString()
    two = one + example_pb2.Example(data_source_key=data_source_key("pc")).SerializeToString()
    run("pb-split", "-t", "example", "--flow", f"pc={tmp_path}/pc", "--flow", f"tv={tmp_path}/tv", stdin=frame(one, two))
    assert unframe((tmp_path / "pc").read_bytes()) == [two] and unframe((tmp_path / "tv").read_bytes()) == [one]


def test_headers_of_flows(run, tmp_path):
    """H3, H5: 4096 records whose flow stands in the header before each, split in three and merged."""
    headers = {"pc": "00f30d0000000000", "cloud": "0035dea500000000", "mobile": None}
    assert struct.pack("<Q", data_source_key("pc")).hex() == headers["pc"]
    assert struct.pack("<Q", data_source_key("cloud")).hex() == headers["cloud"]
    names = list(headers)
    stream = b"".join(struct.pack("<Q", data_source_key(names[i % 3])) + frame(record(uid=i)) for i in range(4096))
    run("pb-split", "--lagrangex-header", *(a for n in names for a in ("--flow", f"{n}={tmp_path}/{n}")), stdin=stream)
    merged = run("pb-merge", *(tmp_path / n for n in names)).stdout
    assert sorted(proto_parser_pb2.Instance.FromString(p).line_id.uid for p in unframe(merged)) == list(range(4096))


def test_unmatched(run, tmp_path):
    done = run("pb-split", "--flow", f"pc={tmp_path}/pc", "--unmatched", "drop", stdin=frame(*FLOWS))
    assert "split unmatched 5" in done.stderr
    assert unframe((tmp_path / "pc").read_bytes()) == [FLOWS[0], FLOWS[2], FLOWS[7]]
    os.remove(tmp_path / "pc")
    done = run("pb-split", "--flow", f"pc={tmp_path}/pc", "--flow", "x=-", stdin=frame(*FLOWS), check=False)
    assert done.returncode == 65 and f"byte {len(frame(FLOWS[0]))}" in done.stderr and "data_source_key 2782803200" in done.stderr
    assert list(tmp_path.iterdir()) == []  # after an error no file appears
    aside = tmp_path / "aside"
    run("pb-split", "--flow", f"pc={tmp_path}/pc", "--on-bad-record", aside, stdin=frame(*FLOWS))
    assert len(unframe(aside.read_bytes())) == 5 and len(unframe((tmp_path / "pc").read_bytes())) == 3


def test_by_field(run, tmp_path):
    records = [record(chnid=c, user_id=u) for c, u in [(1, "a"), (-2, "b"), (1, "b"), (3, "a")]]
    run("pb-split", "--by", "chnid", "--flow", f"1={tmp_path}/1", "--flow", f"-2={tmp_path}/2", "--unmatched", "drop", stdin=frame(*records))
    assert unframe((tmp_path / "1").read_bytes()) == [records[0], records[2]]
    assert unframe((tmp_path / "2").read_bytes()) == [records[1]]
    done = run("pb-split", "--by", "user_id", "--flow", "b=-", "--flow", f"a={tmp_path}/a", stdin=frame(*records))
    assert unframe(done.stdout) == records[1:3] and unframe((tmp_path / "a").read_bytes()) == [records[0], records[3]]


def test_by_turn_and_by_hash(run, tmp_path):
    records = [record(uid=i % 50, item_id=i) for i in range(1000)]
    flows = [a for n in "abc" for a in ("--flow", f"{n}={tmp_path}/{n}")]
    run("pb-split", "--by", "turn", *flows, stdin=frame(*records))
    assert [unframe((tmp_path / n).read_bytes()) for n in "abc"] == [records[i::3] for i in range(3)]
    run("pb-split", "--by", "hash:uid", *flows, stdin=frame(*records))
    parts = [unframe((tmp_path / n).read_bytes()) for n in "abc"]
    users = [{proto_parser_pb2.Instance.FromString(p).line_id.uid for p in part} for part in parts]
    assert sum(map(len, parts)) == 1000 and sum(map(len, users)) == 50 and min(map(len, users)) > 5


def test_flows_may_share_a_place(run, tmp_path):
    done = run("pb-split", "--flow", "pc=-", "--flow", "cloud=-", "--unmatched", "drop", stdin=frame(*FLOWS))
    assert unframe(done.stdout) == [FLOWS[i] for i in (0, 1, 2, 5, 7)]


@pytest.mark.parametrize(("options", "code", "message"), [
    (["--flow", "pc"], 2, "write NAME=PATH"), (["--flow", "pc="], 2, "write NAME=PATH"),
    (["--flow", "pc=a", "--flow", "pc=b"], 2, "a flow has one place"),
    # "Aa" and "BB" have the same Java hash
    (["--flow", "Aa=a", "--flow", "BB=b"], 2, "cannot be told apart"),
    (["--by", "chnid", "--flow", "x=a"], 2, "an integer"), (["--by", "chnid", "--flow", "1=a", "--flow", "01=b"], 2, "one value"),
    (["--by", "uid", "--flow", "-1=a"], 2, "an integer"),
    (["--by", "usr_id", "--flow", "x=a"], 2, "did you mean user_id?"), (["--by", "actions", "--flow", "x=a"], 2, "no field"),
    (["--by", "hash:nope", "--flow", "x=a"], 2, "no field"),
    (["--flow", "pc=/nowhere/at/all"], 73, "/nowhere/at/all"), ([], 2, "--flow"),
    (["-t", "example_batch", "--flow", "pc=a"], 2, "pb-convert --from example_batch"),
])
def test_mistakes(run, tmp_path, options, code, message):
    done = run("pb-split", *options, stdin=frame(*FLOWS), check=False, cwd=tmp_path)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_broken_record(run, tmp_path):
    done = run("pb-split", "--flow", "pc=-", stdin=frame(FLOWS[0], b"\x2a\x05\x01"), check=False)
    assert done.returncode == 65 and done.stdout == frame(FLOWS[0]) and f"byte {len(frame(FLOWS[0]))}" in done.stderr
    done = run("pb-split", "--flow", "pc=-", stdin=frame(FLOWS[0]) + b"\x01", check=False)
    assert done.returncode == 65 and done.stdout == frame(FLOWS[0])


# ---------------------------------------------------------------------------------------------------------------- pipes

class Reader(threading.Thread):
    """Reads a FIFO to its end, in its own time."""

    def __init__(self, path, wait=None, most=None):
        super().__init__(daemon=True)
        self.path, self.wait, self.most, self.data = path, wait, most, b""
        self.start()

    def run(self):
        if self.wait:
            self.wait.wait(60)
        with open(self.path, "rb", buffering=0) as f:
            while self.most is None or len(self.data) < self.most:
                piece = f.read(1 << 16)
                if not piece:
                    return
                self.data += piece


@pytest.fixture
def fifos(tmp_path):
    paths = [tmp_path / n for n in ("pc", "cloud")]
    for path in paths:
        os.mkfifo(path)
    return paths


def start(*options, **popen):
    return subprocess.Popen([*COMMAND, *map(str, options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **popen)


MANY = [record("pc" if i % 2 else "cloud", uid=i, user_id="x" * 1000) for i in range(8000)]


def test_late_readers_in_any_order(fifos):
    """One process may open its inputs in another order than the flows stand: that must not lock both up."""
    process = start("--flow", f"pc={fifos[0]}", "--flow", f"cloud={fifos[1]}")
    go = threading.Event()
    second, first = Reader(fifos[1]), Reader(fifos[0], wait=go)
    threading.Timer(0.5, go.set).start()
    _, errors = process.communicate(frame(*MANY), timeout=300)
    assert process.returncode == 0, errors
    first.join(180), second.join(180)
    assert unframe(first.data) == MANY[1::2] and unframe(second.data) == MANY[0::2]


def test_reader_of_an_empty_flow_finds_its_end(fifos):
    reader = Reader(fifos[0])
    process = start("--flow", f"pc={fifos[0]}", "--flow", "cloud=-")
    out, _ = process.communicate(frame(MANY[0]), timeout=300)
    reader.join(180)
    assert not reader.is_alive() and reader.data == b"" and process.returncode == 0 and out == frame(MANY[0])


def test_slow_reader_holds_up_in_bounded_memory(fifos):
    """Nobody reads one flow at first: pb-split takes in no more than its buffers hold, and loses nothing."""
    go = threading.Event()
    reader = Reader(fifos[1])
    held = os.open(fifos[0], os.O_RDONLY | os.O_NONBLOCK)  # a reader that does not read
    process = start("--flow", f"pc={fifos[0]}", "--flow", f"cloud={fifos[1]}")
    taken, data = 0, frame(*MANY)
    os.set_blocking(process.stdin.fileno(), False)
    import select
    while taken < len(data) and select.select([], [process.stdin], [], 2)[1]:
        taken += os.write(process.stdin.fileno(), data[taken:taken + 65536])
    assert taken < len(data) - 1_000_000
    with open(f"/proc/{process.pid}/status") as f:
        assert int(f.read().split("VmHWM:")[1].split()[0]) < 150_000
    os.set_blocking(held, True)
    os.set_blocking(process.stdin.fileno(), True)
    rest = []
    drain = threading.Thread(target=lambda: rest.extend(iter(lambda: os.read(held, 1 << 16), b"")))
    drain.start()
    process.stdin.write(data[taken:])
    process.stdin.close()
    assert process.wait(180) == 0
    drain.join(180), reader.join(180), go.set()
    os.close(held)
    assert unframe(b"".join(rest)) == MANY[1::2] and unframe(reader.data) == MANY[0::2]


def test_reader_that_leaves_early(fifos, tmp_path):
    """The other flow is served on, and the end says what was missed."""
    Reader(fifos[0], most=100_000)
    reader = Reader(fifos[1])
    process = start("--flow", f"pc={fifos[0]}", "--flow", f"cloud={fifos[1]}", "--stats", tmp_path / "stats")
    _, errors = process.communicate(frame(*MANY), timeout=300)
    reader.join(180)
    assert process.returncode == 0, errors
    assert unframe(reader.data) == MANY[0::2]
    import json
    missed = json.loads((tmp_path / "stats").read_text())["dropped"]["split.reader_gone"]
    assert 1000 < missed <= 4000


def test_reader_of_standard_output_that_leaves(fifos):
    reader = Reader(fifos[1])
    process = start("--flow", "pc=-", "--flow", f"cloud={fifos[1]}")
    process.stdout.close()
    process.stdin.write(frame(*MANY))
    process.stdin.close()
    assert process.wait(180) == 0, process.stderr.read()
    reader.join(180)
    assert unframe(reader.data) == MANY[0::2]


def test_all_readers_gone_ends_by_sigpipe(fifos):
    for path in fifos:
        Reader(path, most=1000)
    process = start("--flow", f"pc={fifos[0]}", "--flow", f"cloud={fifos[1]}")
    try:
        process.stdin.write(frame(*MANY * 3))
        process.stdin.close()
    except BrokenPipeError:
        pass
    assert process.wait(180) == -signal.SIGPIPE
    assert process.stderr.read() == b""


def test_terminated_while_it_waits_for_a_reader(fifos):
    process = start("--flow", f"pc={fifos[0]}")
    process.stdin.write(frame(MANY[1]))
    process.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.7)
    process.terminate()
    assert process.wait(180) == 143


def test_live_stream_is_not_held_back(fifos):
    process = start("--flow", f"pc={fifos[0]}", "--flow", "cloud=-")
    process.stdin.write(frame(MANY[1], MANY[0]))
    process.stdin.flush()
    with open(fifos[0], "rb", buffering=0) as f:
        assert f.read(len(frame(MANY[1]))) == frame(MANY[1])
        assert process.stdout.read(len(frame(MANY[0]))) == frame(MANY[0])
        process.stdin.close()
        assert process.wait(180) == 0
