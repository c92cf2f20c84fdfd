"""Sets of touched keys: what they hold and drop, alone and behind tables; and reinitialised rows."""

import itertools
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monolith_cli._native import _core
from monolith_cli.errors import ConfigError
from monolith_cli.tables.config import (
    AdagradOptimizer,
    BatchSoftmaxOptimizer,
    CombineAsSegment,
    ConstantsInitializer,
    CuckooHashTableConfig,
    Fp32Compressor,
    SgdOptimizer,
    ZerosInitializer,
)

_numbers = itertools.count()


def ids(*values):
    return np.array(values, np.int64)


def column(*values):
    return np.array(values, np.float32).reshape(-1, 1)


def test_up_to_the_capacity():  # V10.1
    touched = _core.TouchedKeySet(1000)
    assert touched.insert(np.arange(1000)) == 0 and len(touched) == 1000
    stolen = touched.steal()
    assert stolen.dtype == np.int64 and sorted(stolen.tolist()) == list(range(1000))
    assert len(touched) == 0 and touched.steal().tolist() == []


def test_more_than_the_capacity():  # V10.2
    touched = _core.TouchedKeySet(1000)
    assert touched.insert(np.arange(1005)) == 1001
    assert sorted(touched.steal().tolist()) == [1001, 1002, 1003, 1004]


def test_dropped_twenty_times():  # V10.3
    capacity = 2097152
    touched, dropped = _core.TouchedKeySet(), []
    assert touched.capacity == capacity
    n = 20 * capacity + 10000
    for begin in range(0, n, 1 << 20):
        dropped.append(touched.insert(np.arange(begin, min(n, begin + (1 << 20)))))
    assert sum(dropped) == 20 * (capacity + 1)
    assert len(touched) == n - 20 * (capacity + 1)


def test_before_the_first_insert():
    assert _core.TouchedKeySet().steal().shape == (0,)


def test_capacity_of_none_holds_one():
    touched = _core.TouchedKeySet(0)
    assert [touched.insert(ids(k)) for k in (7, 7, 8)] == [0, 1, 1]  # dropped before it is looked for
    assert touched.steal().tolist() == [8]


@given(st.integers(0, 40), st.integers(1, 2000), st.lists(st.lists(st.integers(-30, 30), max_size=60), max_size=8))
def test_as_the_model(capacity, concurrency, batches):
    touched, model = _core.TouchedKeySet(capacity, concurrency), set()
    for batch in batches:
        dropped = 0
        for key in batch:
            if len(model) > capacity:
                dropped += len(model)
                model.clear()
            model.add(key)
        assert touched.insert(ids(*batch)) == dropped and len(touched) == len(model)
    assert sorted(touched.steal().tolist()) == sorted(model)


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="capacity .* must not be negative"):
        _core.TouchedKeySet(-1)
    with pytest.raises(ConfigError, match="concurrency_level .* above 0"):
        _core.TouchedKeySet(10, 0)


def test_threads_lose_nothing():
    touched, out = _core.TouchedKeySet(100000), []
    threads = [threading.Thread(target=lambda t=t: out.append(touched.insert(np.arange(t * 1000, t * 1000 + 5000)))) for t in range(8)]
    for t in threads:
        t.start()
    stolen = []
    while any(t.is_alive() for t in threads):
        stolen += touched.steal().tolist()
    for t in threads:
        t.join()
    stolen += touched.steal().tolist()
    assert set(stolen) == set(range(12000)) and sum(out) == 0


# --- tables --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tables():
    opened = []

    def make(*segments, names=("t",)):
        from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

        proto = EmbeddingHashTableConfig()
        segments = segments or [(1, ZerosInitializer(), SgdOptimizer())]
        proto.entry_config.segments.extend(CombineAsSegment(d, i, o, Fp32Compressor()) for d, i, o in segments)
        CuckooHashTableConfig().mutate_table(proto)
        t = _core.MultiTable(f"test_touched_{next(_numbers)}", {name: proto.SerializeToString() for name in names})
        opened.append(t)
        return t

    yield make
    for t in opened:
        t.close()


def test_what_updates_touch(tables):
    t = tables(names=("a", "b"))
    touched = _core.TouchedKeySet()
    t.set_touched(touched)
    t.assign("a", ids(1), column(1))
    t.assign_add("a", ids(2), column(1))
    t.lookup("a", ids(3))
    assert t.steal_touched(touched) == {}
    t.optimize("a", ids(4, 5, 4), column(1, 1, 1), [0.1])
    t.optimize("b", ids(4), column(1), [0.1], dedup=True)
    t.reinitialize("b", ids(9))
    stolen = t.steal_touched(touched)
    assert {name: sorted(keys) for name, keys in stolen.items()} == {"a": [4, 5], "b": [4, 9]}
    t.set_touched(None)
    t.optimize("a", ids(4), column(1), [0.1])
    assert t.steal_touched(touched) == {}


def test_filtered_keys_are_not_touched(tables):
    t = tables()
    touched = _core.TouchedKeySet()
    t.set_touched(touched)
    t.set_gate(_core.OccurrenceGate(_core.SlidingFilter(300, 7), b"\x10\x01"))
    t.optimize("t", ids(1 << 17, 2 << 17, 1 << 17), column(1, 1, 1), [0.1])
    assert t.steal_touched(touched) == {"t": [1 << 17]}


def test_reinitialize(tables):  # V7.6
    t = tables()
    t.assign("t", ids(2, 3), column(5, 6))
    assert t.reinitialize("t", ids(1, 2, 3)) == [0, 1, 1]
    assert t.lookup("t", ids(1, 2, 3))[:, 0].tolist() == [0, 0, 0]
    assert t.reinitialize("none", ids(1, 2, 3)) == [-1, -1, -1]
    assert t.sizes() == {"t": 3}


def test_reinitialize_weights_and_state(tables):
    t = tables((2, ConstantsInitializer(3.0), AdagradOptimizer(initial_accumulator_value=0.5)), (1, ZerosInitializer(), BatchSoftmaxOptimizer()))
    grads = np.ones((1, 3), np.float32)
    t.optimize("t", ids(7), grads, [0.1, 0.1], req_time=5, global_step=12)
    t.optimize("t", ids(7), grads, [0.1, 0.1], req_time=5, global_step=13)
    assert t.reinitialize("t", ids(7, 8), now=1000) == [1, 0]
    fresh = t.row("t", 8)
    assert t.row("t", 7) == fresh and fresh[1] == 1000
    assert fresh[0] == pytest.approx([3, 3, 0, 0.5, 0.5, 0, 0])


def test_reinitialize_stamps_the_clock_and_asks_no_gate(tables, tmp_path):  # V8.6
    t = tables()
    t.set_gate(_core.OccurrenceGate(_core.SlidingFilter(300, 7), b"\x10\x05"))
    before = int(time.time())
    assert t.reinitialize("t", ids(5)) == [0]
    assert before <= t.row("t", 5)[1] <= time.time() + 1
    # The newest time of the table stays 0, which no row newer than it can be past.
    t.save(str(tmp_path / "t"))
    t.restore(str(tmp_path / "t"))
    assert t.sizes() == {"t": 1}
