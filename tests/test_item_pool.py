"""The item pool on disk: which file is chosen, what damage and crashes do, and who may keep a pool."""

import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_protos import example_pb2, proto_parser_pb2

COMMAND = [sys.executable, "-m", "monolith_cli", "pb-negative-gen", "-q", "--neg-num", "1"]


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def place(folder, **values):
    return _core.PoolPlace(os.fsencode(folder), **values)


def pool_with(*ids, channel=3):
    pool = _core.ItemPool()
    for i in ids:
        pool.push(channel, i, struct.pack("<Q", i))
    return pool


def restored(folder, **values):
    """(names of files, items) of a restore."""
    pool = _core.ItemPool()
    names = _core.PoolFolder(place(folder, **values)).restore(pool)
    return names, pool.items()


def spill(folder, name, *ids, age=0):
    _core.PoolFolder(place(folder / "made")).save(pool_with(*ids))
    os.rename(folder / "made" / "model.ckpt-0_item_pool_0_0_1", folder / name)
    shutil.rmtree(folder / "made")
    os.utime(folder / name, (time.time() - age, time.time() - age))


# ------------------------------------------------------------------------------------------------------- choice of a file

def test_largest_step_up_to_the_one_asked_for(tmp_path):
    for step in (5, 9, 10, 100):
        spill(tmp_path, f"model.ckpt-{step}_item_pool_0_0_1", step)
    for asked, found in ((4, None), (5, 5), (9, 9), (11, 10), (99, 10), (100, 100), (1000, 100)):
        names, items = restored(tmp_path, step=asked)
        assert names == ([f"model.ckpt-{found}_item_pool_0_0_1"] if found else [])
        assert [i[1] for i in items] == ([found] if found else [])


def test_leftovers_are_no_pools(tmp_path):
    spill(tmp_path, "model.ckpt-3_item_pool_0_0_1", 3)
    for name in ("model.ckpt-3_item_pool_0_0_1_tmp", "model.ckpt-3_item_pool_0_0_1_old", "model.ckpt-3_item_pool_0_0_0", "item_pool_0_0_1_old",
                 "model.ckpt-03_item_pool_0_0_1", "model.ckpt-3_item_pool_0_0_99999999999", "model.ckpt-x_item_pool_0_0_1", "checkpoint"):
        (tmp_path / name).write_bytes(b"rubbish")
    assert restored(tmp_path, step=3)[0] == ["model.ckpt-3_item_pool_0_0_1"]
    os.remove(tmp_path / "model.ckpt-3_item_pool_0_0_1")
    assert restored(tmp_path, step=3) == ([], [])


def test_old_naming_when_there_is_no_step(tmp_path):
    spill(tmp_path, "item_pool_0_0_2", 1)
    spill(tmp_path, "item_pool_1_0_2", 2)
    assert restored(tmp_path, step=7, index=3, workers=4)[0] == ["item_pool_1_0_2"]
    spill(tmp_path, "model.ckpt-7_item_pool_0_0_1", 3)
    assert restored(tmp_path, step=7, index=3, workers=4)[0] == ["model.ckpt-7_item_pool_0_0_1"]
    assert restored(tmp_path, step=6, index=3, workers=4)[0] == ["item_pool_1_0_2"]


def test_another_number_of_workers(tmp_path):
    for i in range(3):
        spill(tmp_path, f"model.ckpt-8_item_pool_{i}_0_3", i + 10)
        spill(tmp_path, f"model.ckpt-7_item_pool_{i}_0_3", i)
    for index in range(5):
        assert restored(tmp_path, step=8, index=index, workers=5)[0] == [f"model.ckpt-8_item_pool_{index % 3}_0_3"]
    os.remove(tmp_path / "model.ckpt-8_item_pool_1_0_3")  # this worker did not get to save step 8
    assert restored(tmp_path, step=8, index=4, workers=5)[0] == ["model.ckpt-7_item_pool_1_0_3"]


def test_of_several_numbers_the_last_written_counts(tmp_path):
    spill(tmp_path, "model.ckpt-0_item_pool_0_0_2", 1, age=100)
    spill(tmp_path, "model.ckpt-0_item_pool_1_0_2", 2, age=100)
    spill(tmp_path, "model.ckpt-0_item_pool_0_0_1", 3, age=50)
    assert [i[1] for i in restored(tmp_path, index=1, workers=2)[1]] == [3]
    spill(tmp_path, "model.ckpt-0_item_pool_1_0_2", 4, age=10)
    assert [i[1] for i in restored(tmp_path, index=1, workers=2)[1]] == [4]


def test_counts_add_up_and_age_survives(tmp_path):
    pool = _core.ItemPool()
    for i in (5, 1, 9, 5):
        pool.push(3, i, b"", b"\x0a\x03\x0a\x01a", 2, 1)
    _core.PoolFolder(place(tmp_path)).save(pool)
    names, items = restored(tmp_path)
    assert items == pool.items() and [i[1] for i in items] == [5, 1, 9] and items[0][4:] == (4, 2)
    channel = example_pb2.ChannelCache.FromString((tmp_path / names[0]).read_bytes()[12:-4])
    assert [d.gid for d in channel.feature_datas] == [5, 1, 9] and channel.feature_datas[0].feature_columns[0].name == "a"
    again = _core.ItemPool(max_items=2)
    folder = _core.PoolFolder(place(tmp_path))
    folder.restore(again), folder.restore(again)
    assert [i[1] for i in again.items()] == [5, 1] or [i[1] for i in again.items()] == [1, 9]


fids = st.integers(0, (1 << 64) - 1)
item = st.tuples(st.integers(0, 3) | fids, fids, st.lists(fids, max_size=4), st.lists(st.sampled_from("abc"), max_size=2),
                 st.integers(0, 5), st.integers(0, (1 << 33)))


@settings(max_examples=200, deadline=None)
@given(st.lists(item, max_size=12), st.integers(1, 3), st.booleans())
def test_files_of_another_writer(tmp_path_factory, items, shards, unpacked):
    """Files that protobuf wrote, in any order; and what we wrote, read by protobuf."""
    folder = tmp_path_factory.mktemp("pool")
    expected = _core.ItemPool()
    messages = [[] for _ in range(shards)]
    for channel, gid, values, names, origin, sample in items:
        data = example_pb2.FeatureData(gid=gid - (gid >> 63 << 64), origin_cnt=origin, sample_cnt=sample, fids=[f - (f >> 63 << 64) for f in values])
        columns = [example_pb2.NamedFeature(name=n, feature=example_pb2.Feature(fid_v1_list=example_pb2.FidList(value=values))) for n in names]
        data.feature_columns.extend(columns)
        encoded = data.SerializeToString()
        if unpacked:
            encoded = encoded + b"\x10\x07"
            values = [*values, 7]
        head = example_pb2.ChannelCache(channel_id=channel - (channel >> 63 << 64)).SerializeToString()
        messages[channel % shards].append((b"\x12" + varint(len(encoded)) + encoded + head))
        expected.push(channel, gid, struct.pack(f"<{len(values)}Q", *values),
                      b"".join(b"\x0a" + varint(len(c)) + c for c in (x.SerializeToString() for x in columns)), origin, min(sample, 2**32 - 1))
    for shard, parts in enumerate(messages):
        (folder / f"model.ckpt-0_item_pool_0_{shard}_1").write_bytes(b"".join(map(_core.tfrecord, parts)))
    got = restored(folder, shards=shards)[1]
    assert sorted(got) == sorted(expected.items())
    _core.PoolFolder(place(folder, shards=shards)).save(expected)
    ours = []
    for shard in range(shards):
        reader = _core.reader(_core.memory_source((folder / f"model.ckpt-0_item_pool_0_{shard}_1").read_bytes()), _core.FrameOptions(), "tfrecord")
        for message in reader:
            channel = example_pb2.ChannelCache.FromString(message)
            assert channel.channel_id % (1 << 64) % shards == shard
            ours += [(channel.channel_id % (1 << 64), d.gid % (1 << 64), struct.pack(f"<{len(d.fids)}q", *d.fids), d.origin_cnt, d.sample_cnt)
                     for d in channel.feature_datas]
    assert sorted(ours) == sorted((c, g, f, o, s) for c, g, f, _, o, s in expected.items())
    shutil.rmtree(folder)


def varint(v: int) -> bytes:
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7F | 0x80)
        v >>= 7
    return bytes(out) + bytes([v])


# ------------------------------------------------------------------------------------------------------------- damage

def test_every_flipped_byte_and_every_cut(tmp_path):
    _core.PoolFolder(place(tmp_path)).save(pool_with(1, 2, 3))
    path = tmp_path / "model.ckpt-0_item_pool_0_0_1"
    whole = path.read_bytes()
    for i in range(len(whole)):
        for damaged in (whole[:i] + bytes([whole[i] ^ 0x41]) + whole[i + 1:], whole[:i] if i else whole + b"\0"):
            path.write_bytes(damaged)
            with pytest.raises(errors.BadDataError, match=r"model\.ckpt-0_item_pool_0_0_1: byte \d+: "):
                restored(tmp_path)


@pytest.mark.parametrize("message", [b"\x12\x05\x08", b"\x12\x03\x12\x01\x80", b"\x12\x04\x20\xff\xff\xff", b"\x12\x0b\x20" + b"\xff" * 9 + b"\x01",
                                     b"\x12\x03\x1a\x01\x12", b"\x12\x05\x1a\x03\x12\x01\x0a", b"\x08"])
def test_messages_that_do_not_parse(run, tmp_path, message):
    """With checksums that are right: exit 65 with file and byte, before a record is read."""
    good = _core.tfrecord(b"\x08\x03\x12\x02\x08\x01")
    path = tmp_path / "model.ckpt-0_item_pool_0_0_1"
    path.write_bytes(good + _core.tfrecord(message))
    done = run("pb-negative-gen", "--neg-num", 1, "--pool-dir", tmp_path, stdin=frame(b""), check=False)
    assert done.returncode == 65 and done.stdout == b"" and "Traceback" not in done.stderr
    assert f"{path}: byte {len(good)}: " in done.stderr
    assert path.read_bytes() == good + _core.tfrecord(message)


# ------------------------------------------------------------------------------------------------------------- crashes

def record(number: int, channels: int = 7) -> bytes:
    r = proto_parser_pb2.Instance(fid=[3 << 54 | number % channels + 1, 200 << 54 | number], label=[0])
    r.line_id.item_id = number
    return r.SerializeToString()


def whole_pool(folder, shards):
    """Number of records the saved pool has; fails when it is not that of just the first ones."""
    ids = sorted(i[1] for i in restored(folder, shards=shards)[1])
    assert ids == list(range(len(ids)))
    return len(ids)


READING = 200_000  # more than a pipe holds: by then it reads, however long it took to start


@pytest.mark.parametrize("shards", [1, 3])
def test_killed_at_any_moment(tmp_path, shards):
    """A stream that never ends, a save after every tenth record, kill -9 in between: the pool is that of some save, whole, and
    not older than in the run before."""
    chooser = random.Random(shards)
    before = 0
    for turn in range(12):
        process = subprocess.Popen([*COMMAND, "--per-channel", "--item-feature", "200", "--pool-dir", tmp_path, "--pool-shards", str(shards),
                                    "--save-every", "10"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        feed = b"".join(frame(record(i)) for i in range(before, before + 30000))
        os.set_blocking(process.stdin.fileno(), False)
        sent, end = 0, None
        while sent < len(feed) and (end is None or time.monotonic() < end):
            try:
                sent += os.write(process.stdin.fileno(), feed[sent:sent + 65536])
            except BlockingIOError:
                time.sleep(0.001)
            if end is None and sent > READING:
                end = time.monotonic() + chooser.random() * 0.4
        process.kill()
        process.wait()
        process.stdin.close()
        now = whole_pool(tmp_path, shards)
        assert now >= before and now % 10 == 0
        before = now
    assert before > 0


@pytest.mark.parametrize("renamed", range(4))
def test_crash_between_renames(tmp_path, renamed):
    """Three shards: the journal is written, some files have their name, the others are still `_tmp`."""
    old, new = _core.ItemPool(), _core.ItemPool()
    for channel in range(1, 10):
        old.push(channel, 1)
        new.push(channel, 2)
    for name, pool in (("old", old), ("new", new)):
        _core.PoolFolder(place(tmp_path / name, shards=3)).save(pool)
    files = [f"model.ckpt-0_item_pool_0_{s}_1" for s in range(3)]
    lock = tmp_path / "old" / ".item_pool_0_1.lock"
    assert lock.read_bytes() == b""
    for s, name in enumerate(files):
        shutil.copy(tmp_path / "new" / name, tmp_path / "old" / (name if s < renamed else name + "_tmp"))
    if renamed == 0:  # synced, but the journal is not there, or cut off: the save has not happened
        for journal in (b"", b"0", b"0 3"):
            lock.write_bytes(journal)
            assert sorted(restored(tmp_path / "old", shards=3)[1]) == sorted(old.items())
    lock.write_bytes(b"0 3\n")
    assert sorted(restored(tmp_path / "old", shards=3)[1]) == sorted(new.items())
    assert lock.read_bytes() == b"" and sorted(os.listdir(tmp_path / "old")) == [lock.name, *files]


def test_disk_that_fills_up_leaves_the_old_pool(run, tmp_path):
    import resource

    run("pb-negative-gen", "--neg-num", 1, "--pool-dir", tmp_path, stdin=frame(record(0)))
    path = tmp_path / "model.ckpt-0_item_pool_0_0_1"
    before = path.read_bytes()
    done = run("pb-negative-gen", "--neg-num", 1, "--item-feature", 200, "--pool-dir", tmp_path, stdin=frame(*map(record, range(500))),
               check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)))
    assert done.returncode == 74 and "File too large" in done.stderr and "Traceback" not in done.stderr
    assert path.read_bytes() == before and not list(tmp_path.glob("*_tmp"))


# ---------------------------------------------------------------------------------------------------------- who and when

def test_one_run_at_a_time(run, tmp_path):
    held = _core.PoolFolder(place(tmp_path, index=1, workers=2))
    done = run("pb-negative-gen", "--neg-num", 1, "--pool-dir", tmp_path, "--worker-index", 1, "--worker-count", 2, check=False)
    assert done.returncode == 75 and "worker 1" in done.stderr
    assert run("pb-negative-gen", "--neg-num", 1, "--pool-dir", tmp_path, "--worker-index", 0, "--worker-count", 2).returncode == 0
    del held
    run("pb-negative-gen", "--neg-num", 1, "--pool-dir", tmp_path, "--worker-index", 1, "--worker-count", 2)


@pytest.mark.parametrize("how", ["end", "SIGTERM", "SIGINT", "bad record"])
def test_saved_however_the_stream_ends(tmp_path, how):
    process = subprocess.Popen([*COMMAND, "--pool-dir", tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(frame(*map(record, range(5))) + (frame(b"\x0a\xff") if how == "bad record" else b""))
    process.stdin.flush()
    assert process.stdout.read(40)
    if how.startswith("SIG"):
        time.sleep(0.2)
        process.send_signal(getattr(signal, how))
    process.communicate(timeout=300)
    assert process.returncode == {"end": 0, "SIGTERM": 143, "SIGINT": 130, "bad record": 65}[how]
    assert whole_pool(tmp_path, 1) == 5


def test_saved_while_it_runs(tmp_path):
    process = subprocess.Popen([*COMMAND, "--pool-dir", tmp_path, "--save-every", "2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(frame(*map(record, range(5))))
    process.stdin.flush()
    assert process.stdout.read(40)
    path = tmp_path / "model.ckpt-0_item_pool_0_0_1"
    for _ in range(2400):
        items = []
        if path.exists():
            _core.read_pool_file(str(path), items.append)
        if len(items) == 4:
            break
        time.sleep(0.05)
    assert [i[1] for i in items] == [0, 1, 2, 3]
    process.communicate(timeout=300)
    assert whole_pool(tmp_path, 1) == 5


def test_next_run_goes_on_with_the_pool(run, tmp_path):
    positive = proto_parser_pb2.Instance(fid=[1 << 54, 200 << 54 | 77], label=[1])
    positive.line_id.item_id = 77
    options = ["--neg-num", 50, "--start-num", 5, "--item-feature", 200, "--pool-dir", tmp_path, "--throw-origin", "--seed", 1]
    assert run("pb-negative-gen", *options, stdin=frame(*map(record, range(5)))).stdout == b""
    out = run("pb-negative-gen", *options, stdin=frame(positive.SerializeToString())).stdout
    drawn = {proto_parser_pb2.Instance.FromString(p).line_id.item_id for p in _core.MemoryReader(out)}
    assert drawn == {0, 1, 2, 3, 4, 77}
    counts = {i[1]: i[5] for i in restored(tmp_path)[1]}
    assert sum(counts.values()) == 50


@pytest.mark.parametrize(("options", "code", "message"), [
    (["--pool-dir", "/proc/no"], 73, "/proc/no"), (["--save-every", 5], 2, "--pool-dir"),
    (["--pool-dir", "p", "--worker-index", 2, "--worker-count", 2], 2, "--worker-index 2"),
    (["--item-feature", "1024"], 2, "0 to 1023"), (["--item-feature", "fc"], 2, "feature 'fc'"),
    (["--per-channel", "--channel-feature", "x"], 2, "feature 'x'"),
    (["-t", "example", "--per-channel"], 2, "--channel-feature NAME"),
    (["--action-priority", "1,2,1"], 2, "stands there twice"),
    (["--positive-action", "1,2", "--cache-negative-action", "2"], 2, "action 2 is in"),
    (["--neg-num", 0], 2, "--neg-num"), (["--max-item-num", 0], 2, "--max-item-num"), (["--positive-action", "x"], 2, "Invalid integer string: x"),
    (["-t", "example_batch"], 2, "pb-convert --from example_batch"),
])
def test_mistakes(run, tmp_path, options, code, message):
    done = run("pb-negative-gen", "--neg-num", 1, *options, check=False, cwd=tmp_path)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr
