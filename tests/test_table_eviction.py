"""Keys that leave a table: erased, expired, evicted in the background's way, and what a delta says of them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli._native import _core
from monolith_cli.tables.config import (
    AdagradOptimizer,
    CombineAsSegment,
    CuckooHashTableConfig,
    Fp32Compressor,
    HashTableConfigInstance,
    ZerosInitializer,
)
from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

DAY = 86400


def open_table(expire=None, default=36500, dim=2):
    proto = EmbeddingHashTableConfig()
    proto.entry_config.segments.append(CombineAsSegment(dim, ZerosInitializer(), AdagradOptimizer(0.1), Fp32Compressor()))
    CuckooHashTableConfig().mutate_table(proto)
    proto.slot_expire_time_config.default_expire_time = default
    for slot, days in (expire or {}).items():
        proto.slot_expire_time_config.slot_expire_times.add(slot=slot, expire_time=days)
    config = HashTableConfigInstance(proto, [0.1]).table_config.SerializeToString()
    return _core.MultiTable(f"eviction{os.urandom(8).hex()}", {"t": config})


@pytest.fixture
def table(request):
    opened = []

    def make(**options):
        opened.append(open_table(**options))
        return opened[-1]

    yield make
    for t in opened:
        t.close()


def fid(slot, n=1):
    return (slot << 48) + n


def put(t, ids, value=1.0, now=0, dim=2):
    ids = np.array(ids, np.int64)
    t.assign("t", ids, np.full((len(ids), dim), value, np.float32), now)


def there(t, *ids):
    return t.contains("t", np.array(ids, np.int64))


def test_eviction_by_slot(table):  # V8.1
    t = table(expire={1: 5, 2: 6}, default=14)
    put(t, [fid(1), fid(2), fid(3)], now=1234)
    assert t.evict("t", 1234 + 5 * DAY + 60) == 1
    assert there(t, fid(1), fid(2), fid(3)) == [False, True, True]


def test_the_boundary_of_eviction(table):  # V8.6
    t = table(default=5)
    put(t, [7], now=1234)
    assert t.evict("t", 1234 + 5 * DAY - 1) == 0
    assert t.evict("t", 1234 + 5 * DAY) == 1
    assert t.sizes() == {"t": 0}


def test_eviction_is_measured_against_the_newest_time(table):
    t = table(default=1)
    put(t, [1], now=1000)
    put(t, [2], now=1000 + DAY)
    assert t.evict("t") == 1
    assert there(t, 1, 2) == [False, True]


def test_a_key_that_comes_back_starts_anew(table):
    t = table()
    t.optimize("t", np.array([5]), np.ones((1, 2), np.float32), [0.1], 1, 0)
    state = t.row("t", 5)
    assert t.erase("t", np.array([5, 6])) == 1
    assert t.row("t", 5) is None
    t.optimize("t", np.array([5]), np.ones((1, 2), np.float32), [0.1], 1, 0)
    assert t.row("t", 5) == state


def test_a_delta_has_what_changed_and_what_left(table, tmp_path):
    t = table()
    put(t, range(100), 1.0)
    t.save_base(str(tmp_path / "g1"), 2)
    put(t, [3, 200], 2.0)
    assert t.erase("t", np.array([4, 5, 3])) == 3
    put(t, [5], 5.0)
    assert t.save_delta(str(tmp_path / "g2"), 2)
    assert os.path.getsize(tmp_path / "g2.manifest") > 0
    delta = sum(p.stat().st_size for p in tmp_path.glob("g2.delta*"))
    base = sum(p.stat().st_size for p in tmp_path.glob("g1-0*"))
    assert delta < base / 5, "a delta holds what changed alone"
    again = table()
    again.restore(str(tmp_path / "g2"))
    assert again.sizes() == {"t": 99}
    assert there(again, 3, 4, 5, 200) == [False, False, True, True]
    assert again.lookup("t", np.array([5, 6])).tolist() == [[5, 5], [1, 1]]


def test_memory_that_tables_may_take():
    """In a process of its own: the limit holds for all tables, what was there stays, and the account is right within 5 %."""
    code = """
import numpy as np
from test_table_eviction import open_table, put
from monolith_cli import errors
from monolith_cli._native import _core
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
t, ids = open_table(), np.arange(400_000)
before = resident()
put(t, ids)
taken = resident() - before
assert abs(t.memory() - taken) < 0.05 * taken + (2 << 20), (t.memory(), taken)
assert t.memory() <= _core.table_memory()
# A segment was split just now: what it took is kept for the rows to come, and counts.
wide, ids16, held, before = open_table(dim=16), np.arange(254_000), _core.table_memory(), resident()
put(wide, ids16, dim=16)
taken, counted = resident() - before, _core.table_memory() - held
assert abs(counted - taken) < 0.05 * taken + (2 << 20), (counted, taken)
_core.set_table_memory(_core.table_memory() + (4 << 20))
try:
    put(t, ids + 1_000_000, 2.0)
    raise SystemExit("no error")
except errors.UnavailableError as e:
    assert "MiB of memory they may take" in str(e)
assert 400_000 < t.sizes()["t"] < 800_000
assert t.lookup("t", ids).min() == 1
_core.set_table_memory(0)
put(t, ids + 1_000_000, 2.0)
assert t.sizes() == {"t": 800_000}
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), os.path.dirname(os.path.dirname(__file__))])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.returncode == 0, done.stderr


steps = st.lists(
    st.tuples(st.sampled_from(["put", "erase", "evict", "save"]), st.lists(st.integers(0, 30), max_size=8), st.integers(0, 20)),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_against_a_dictionary(steps):
    """Any order of writing, erasing, evicting and saving deltas, against a dict of key -> (value, day)."""
    import tempfile

    t, model, newest = open_table(default=10), {}, 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            saved = None
            for number, (what, ids, day) in enumerate(steps):
                if what == "put":
                    put(t, ids, float(number), now=day * DAY)
                    newest = max(newest, day)
                    model.update(dict.fromkeys(ids, (float(number), day)))
                elif what == "erase":
                    assert t.erase("t", np.array(ids, np.int64)) == len({i for i in ids if i in model})
                    model = {k: v for k, v in model.items() if k not in ids}
                elif what == "evict":
                    gone = {k for k, (_, written) in model.items() if newest - written >= 10}
                    assert t.evict("t") == len(gone)
                    model = {k: v for k, v in model.items() if k not in gone}
                else:
                    kept = {k for k, (_, written) in model.items() if newest - written < 10}
                    saved = (os.path.join(folder, f"g{number}"), kept, set(model))
                    (t.save_delta if os.listdir(folder) else t.save_base)(saved[0], 1)
                assert t.sizes() == {"t": len(model)}
            everything = np.arange(31)
            expected = [[model.get(k, (0.0,))[0]] * 2 for k in range(31)]
            np.testing.assert_array_equal(t.lookup("t", everything), expected)
            if saved:
                t.restore(saved[0])
                restored = {k for k, found in enumerate(t.contains("t", everything)) if found}
                # What expired and was not written since the base goes with the next whole checkpoint, or with an eviction.
                assert saved[1] <= restored <= saved[2]
        finally:
            t.close()
