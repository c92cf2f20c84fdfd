"""Checkpoint files of tables: exact bytes, independent readers, and what a kill in the middle of a save leaves."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, ConfigError, NoInputError
from monolith_cli.tables.config import (
    AdagradOptimizer,
    AdamOptimizer,
    CombineAsSegment,
    CuckooHashTableConfig,
    Fp32Compressor,
    FtrlOptimizer,
    SgdOptimizer,
    ZerosInitializer,
)

_numbers = itertools.count()


def config(*segments, expire_days=None):
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    proto = EmbeddingHashTableConfig()
    proto.entry_config.segments.extend(CombineAsSegment(d, ZerosInitializer(), o, Fp32Compressor()) for d, o in segments)
    CuckooHashTableConfig().mutate_table(proto)
    if expire_days is not None:
        proto.slot_expire_time_config.default_expire_time = expire_days
    return proto.SerializeToString()


@pytest.fixture
def open_tables():
    opened = []

    def make(**configs):
        t = _core.MultiTable(f"test_checkpoint_{next(_numbers)}", configs)
        opened.append(t)
        return t

    yield make
    for t in opened:
        t.close()


def put(t, table, rows, req_time=0):
    keys = np.array(list(rows), np.int64)
    t.assign(table, keys, np.array(list(rows.values()), np.float32).reshape(len(keys), -1), req_time)


def records_of(path):
    """Records of a plain file, by TensorFlow's reader."""
    tf = pytest.importorskip("tensorflow")
    return list(tf.compat.v1.io.tf_record_iterator(str(path)))


def entries_of(path):
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    return [EntryDump.FromString(r) for r in records_of(path)]


def test_plain_file_bytes(open_tables, tmp_path):  # V2.6
    t = open_tables(t=config((2, AdagradOptimizer(0.1, 0.1))))
    golden = bytes.fromhex(
        "290000000000000037ff5f00097b00000000000100150000803f15000020c01a0e0a0c0a0a0dcdcccc3d0dcdcc4c3e2080e2cfaa066b350d6d"
    )
    (tmp_path / "t-00000-of-00001").write_bytes(golden)
    t.restore_table("t", str(tmp_path / "t"))
    weights, ts = t.row("t", (1 << 48) + 123)
    assert weights == pytest.approx([1, -2.5, 0.1, 0.2]) and ts == 1700000000
    t.save_table("t", str(tmp_path / "again"), 1)
    assert (tmp_path / "again-00000-of-00001").read_bytes() == golden


def test_tensorflow_and_protobuf_read_plain_files(open_tables, tmp_path):
    t = open_tables(t=config((1, FtrlOptimizer()), (2, AdamOptimizer()), (1, SgdOptimizer())))
    keys = np.array([5, -7, 1 << 60], np.int64)
    t.optimize("t", keys, np.ones((3, 4), np.float32), [0.1, 0.1, 0.1], req_time=1234)
    t.save_table("t", str(tmp_path / "t"), 2)
    files = sorted(tmp_path.glob("*-of-*"))
    assert [f.name for f in files] == ["t-00000-of-00002", "t-00001-of-00002"]
    entries = {e.id: e for f in files for e in entries_of(f)}
    assert sorted(entries) == sorted(keys.tolist())
    for key, e in entries.items():
        row, ts = t.row("t", key)
        assert list(e.num) == row[:4] and e.last_update_ts_sec == ts == 1234
        ftrl, adam, sgd = e.opt.dump
        assert [ftrl.WhichOneof("type"), adam.WhichOneof("type"), sgd.WhichOneof("type")] == ["ftrl", "adam", "sgd"]
        assert list(ftrl.ftrl.norm) + list(ftrl.ftrl.zero) == row[4:6]
        assert list(adam.adam.m) + list(adam.adam.v) + [adam.adam.beta1_power, adam.adam.beta2_power] == row[6:12]
    # Field order and unpacked floats are as protobuf itself writes them.
    records = [r for f in files for r in records_of(f)]
    assert sorted(records) == sorted(e.SerializeToString() for e in entries.values())


@pytest.mark.parametrize("noise", [True, False])
def test_tensorflow_reads_snappy_files(open_tables, tmp_path, noise):
    """Its reader has room for blocks of 256 KiB, before and after; noise does not shrink."""
    pytest.importorskip("tensorflow")
    from tensorflow.python.lib.io import _pywrap_record_io

    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    t = open_tables(t=config((64, SgdOptimizer())))
    keys = np.arange(9000, dtype=np.int64) * 977
    values = np.random.default_rng(1).integers(0, 1 << 32, (9000, 64), dtype=np.uint32).view(np.float32) if noise else np.ones((9000, 64), np.float32)
    t.assign("t", keys, np.nan_to_num(values))
    t.save(str(tmp_path / "m"), 1)
    path = tmp_path / "m-00000-of-00001"
    assert path.stat().st_size > 10 << 18 if noise else path.stat().st_size < 1 << 20
    entries = [EntryDump.FromString(r) for r in _pywrap_record_io.RecordIterator(str(path), "SNAPPY")]
    assert sorted(e.id for e in entries) == keys.tolist()
    assert all(list(e.num) == t.row("t", e.id)[0][:64] for e in entries[::500])


def test_other_dims_and_optimizers_are_refused(open_tables, tmp_path):
    a = open_tables(movie=config((2, AdagradOptimizer())))
    put(a, "movie", {42: [1, 2]})
    a.save(str(tmp_path / "m"))
    for other, shape in [(config((3, AdagradOptimizer())), "dim 3"), (config((2, SgdOptimizer())), "sgd")]:
        b = open_tables(movie=other)
        with pytest.raises(ConfigError, match=rf"m-00000-of-00001.*'movie', key 42.*dim 2, adagrad state of 2.*{shape}"):
            b.restore(str(tmp_path / "m"))
        assert b.sizes() == {"movie": 0}


def test_sets_that_are_not_whole(open_tables, tmp_path):
    t = open_tables(a=config((1, SgdOptimizer())))
    put(t, "a", {k: [k] for k in range(20)})
    base = str(tmp_path / "m")
    with pytest.raises(NoInputError, match="no checkpoint files"):
        t.restore(base)
    t.save(base, 2)
    (tmp_path / "m-00000-of-00003-tmp-77").write_bytes(b"left by a crash")
    t.restore(base)
    assert t.sizes() == {"a": 20}
    os.rename(tmp_path / "m-00001-of-00002", tmp_path / "gone")
    with pytest.raises(BadDataError, match="m-00001-of-00002 is missing"):
        t.restore(base)
    os.rename(tmp_path / "gone", tmp_path / "m-00001-of-00002")
    os.unlink(tmp_path / "m.meta-00000-of-00002")
    with pytest.raises(BadDataError, match="m.meta-00000-of-00002 is missing"):
        t.restore(base)


def test_a_full_disk_is_an_error_and_leaves_the_old_files(open_tables, tmp_path):
    t = open_tables(a=config((64, SgdOptimizer())))
    put(t, "a", {1: np.ones(64)})
    base = str(tmp_path / "m")
    t.save(base, 1)
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    rng = np.random.default_rng(0)
    keys = np.arange(20000, dtype=np.int64)
    import resource

    t.assign("a", keys, rng.normal(size=(20000, 64)).astype(np.float32))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Exception, match="cannot write") as error:
            t.save(base, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert error.value.exit_code == 74
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before


SAVER = """
import sys
import numpy as np
from monolith_cli._native import _core
base, config = sys.argv[1], bytes.fromhex(sys.argv[2])
t = _core.MultiTable("saver", {"a": config, "b": config})
keys = np.arange(4000, dtype=np.int64)
print("ready", flush=True)
generation = int(sys.argv[3])
while True:
    generation += 1
    for name in "ab":
        t.assign(name, keys, np.full((4000, 8), generation, np.float32))
    t.save(base, 1 + generation % 3)
"""


def test_kill_at_any_moment_leaves_a_whole_checkpoint(open_tables, tmp_path):
    table = config((8, AdagradOptimizer()))
    base = str(tmp_path / "m")
    t = open_tables(a=table, b=table)
    keys = np.arange(4000, dtype=np.int64)
    rng = random.Random(4)
    generation, loaded = 0, set()
    for turn in range(12):
        with subprocess.Popen([sys.executable, "-c", SAVER, base, table.hex(), str(generation)], stdout=subprocess.PIPE) as p:
            assert p.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 0.15) * (1 if loaded else 1 + turn))  # longer and longer, until one save has ended
            p.send_signal(signal.SIGKILL)
        try:
            t.restore(base)
        except NoInputError:
            assert not loaded  # killed before the first save ended, and never after one did
            continue
        rows = np.concatenate([t.lookup("a", keys), t.lookup("b", keys)])
        assert len(np.unique(rows)) == 1, "two saves are mixed"
        assert rows[0, 0] >= generation, "an older checkpoint came back"
        assert t.sizes() == {"a": 4000, "b": 4000}
        generation = int(rows[0, 0])
        loaded.add(generation)
    assert loaded, "no save ended in any round"
