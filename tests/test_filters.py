"""Occurrence filters through the extension, against models in plain Python, and in front of tables."""

import itertools
import resource
import struct
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, ConfigError, IoError, NoInputError, UsageError
from monolith_cli.tables.config import (
    AdagradOptimizer,
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


def thresholds(default=0, **slots):
    """SlotOccurrenceThresholdConfig: s3=5 is the threshold 5 of slot 3."""
    from monolith_protos.embedding_hash_table_pb2 import SlotOccurrenceThresholdConfig

    made = SlotOccurrenceThresholdConfig(default_occurrence_threshold=default)
    for slot, threshold in slots.items():
        made.slot_occurrence_thresholds.add(slot=int(slot[1:]), occurrence_threshold=threshold)
    return made.SerializeToString()


# --- the model: the spec's words, one id at a time, without positions (spec 30, 8.2 and 8.3) ---------------------------------


class SlidingModel:
    """A sliding filter whose splits never run out of cells near a position: dicts in place of cells."""

    def __init__(self, capacity, split_num):
        self.n = max(5, split_num)
        self.capacity = max(capacity, 300) // (self.n - 1)
        self.splits = [{} for _ in range(self.n)]
        self.head = self.increment = 0

    def add(self, key, count=1):
        count = min(15, count)
        newest = self.splits[self.head]
        if key in newest:
            old = newest[key]
            newest[key] = min(15, old + count)
            return old
        old = 0
        for back in range(1, min(self.increment, self.n - 2) + 1):
            split = self.splits[(self.head - back) % self.n]
            if key in split:
                old = split[key]
                break
        newest[key] = min(15, old + count)
        if len(newest) >= self.capacity - 1:
            self.head = (self.head + 1) % self.n
            self.increment += 1
            self.splits[(self.head + 1) % self.n] = {}
        return old


# 2^17 ids apart: their signatures differ, so that none is taken for another.
keys = st.integers(0, 40).map(lambda k: k << 17)


@settings(max_examples=60)
@given(st.lists(st.tuples(keys, st.integers(1, 20)), max_size=400), st.integers(5, 160), st.lists(st.integers(1, 90), min_size=1))
def test_sliding_filter_as_the_model(adds, split_num, sizes):
    """Any order of ids, counts and batch sizes; capacities of 1 to 75 ids a split, so that the ring turns many times."""
    model, core = SlidingModel(300, split_num), _core.SlidingFilter(300, split_num)
    expected, got = [], []
    for size in itertools.cycle(sizes):
        batch, adds = adds[:size], adds[size:]
        if not batch:
            break
        expected += [model.add(*a) for a in batch]
        got += core.add(ids(*[k for k, _ in batch]), [c for _, c in batch])
    info = core.info()
    assert got == expected
    assert info["failure_count"] == 0
    assert (info["head"], info["head_increment"]) == (model.head, model.increment)
    assert [s["num_elements"] for s in info["splits"]] == [min(len(s), model.capacity) for s in model.splits]
    for key in range(41):
        behind = [model.splits[(model.head - b) % model.n] for b in range(min(model.increment, model.n - 2) + 1)]
        assert core.get(key << 17) == next((s[key << 17] for s in behind if key << 17 in s), 0)


@settings(max_examples=40)
@given(st.lists(st.tuples(keys, st.integers(1, 20)), max_size=200))
def test_counting_filter_as_the_model(adds):
    core, counts = _core.CountingFilter(1000), {}
    for key, count in adds:
        assert core.add(ids(key), [count]) == [counts.get(key, 0)]
        counts[key] = min(15, counts.get(key, 0) + count)
    assert all(core.get(k) == c for k, c in counts.items())
    assert core.info()["num_elements"] == len(counts)


@pytest.mark.parametrize("make", [lambda: _core.CountingFilter(1000), lambda: _core.SlidingFilter(1000, 7)])
def test_counts_up_to_15(make):  # V9.1
    core = make()
    assert [core.add(ids(1))[0] for _ in range(20)] == [*range(16), 15, 15, 15, 15]
    again = make()
    for k in range(1, 20):
        again.add(ids(1))
        assert again.get(1) == min(k, 15)
    assert again.get(5 << 17) == 0
    again.add(ids(7 << 17), [20])
    assert again.get(7 << 17) == 15


def test_counting_filter_without_a_free_cell():
    """One position and 64 cells behind it: the 65th signature has no cell, counts as 15 and is a failure."""
    core = _core.CountingFilter(1, 1.0)
    assert core.add(ids(*[k << 17 for k in range(64)])) == [0] * 64
    assert core.add(ids(64 << 17)) == [15] and core.get(64 << 17) == 15
    assert core.info()["failure_count"] == 1 and core.info()["num_elements"] == 1  # never above the capacity


def test_geometry():  # V9.5
    for (capacity, splits), expected in {
        (300000000, 7): (50000000, 60000000, 60000064, 5),
        (1000000, 10): (111111, 133333, 133397, 8),
        (100, 7): (50, 60, 124, 5),
    }.items():
        info = _core.SlidingFilter(capacity, splits).info()
        split = info["splits"][0]
        assert (split["capacity"], split["total_size"], split["cells"], info["max_backward_step"]) == expected
        assert split["fill_rate"] == 1.2 and len(info["splits"]) == splits
    few = _core.SlidingFilter(300, 3)
    assert few.split_num == 5 and len(few.info()["splits"]) == 5


def test_the_ring_turns_when_a_split_is_full():  # V9.5: full at capacity - 1
    core = _core.SlidingFilter(300, 7)
    core.add(ids(*[k << 17 for k in range(48)]))
    assert core.info()["head"] == 0
    core.add(ids(48 << 17))
    assert core.info()["head"] == 1


def test_signatures():  # V9.6: at one position, ids are the same or not by bits 17..28
    for one, other, same in [(1, 2, True), (3 << 17, 3 << 29 | 3 << 17, True), (3 << 17, 4 << 17, False), (1 << 17, 1 << 29, False)]:
        core = _core.CountingFilter(1, 1.0)
        core.add(ids(one))
        assert core.add(ids(other)) == [1 if same else 0]
    core = _core.CountingFilter(1, 1.0)
    core.add(ids(2663 << 17))
    assert core.get(10000002961562801052 - 2**64) == 1


def test_wrong_arguments():
    with pytest.raises(ConfigError, match="filter_split_num must be 1..99999, not 0"):
        _core.SlidingFilter(300, 0)
    with pytest.raises(ConfigError, match="filter_capacity of 300 is too small for filter_split_num 400: it must be 399"):
        _core.SlidingFilter(300, 400)
    with pytest.raises(ConfigError, match="no size"):
        _core.CountingFilter(0)
    with pytest.raises(ConfigError, match="memory|no size"):
        _core.SlidingFilter(1 << 60, 7)
    core = _core.SlidingFilter(300, 7)
    with pytest.raises(UsageError, match="2 ids but 1 counts"):
        core.add(ids(1, 2), [1])
    with pytest.raises(UsageError, match="above 0"):
        core.add(ids(1), [0])


def test_many_threads_lose_no_count():
    """Few ids, many threads, and a ring that turns: what all adds together report is what they would one after the other."""
    core = _core.SlidingFilter(5900, 60)  # splits of 100 ids; none is forgotten before all threads have added it
    shared = ids(*[k << 17 for k in range(300)])
    seen = [[] for _ in range(4)]

    def work(t):
        for _ in range(3):
            seen[t] += zip(shared.tolist(), core.add(shared))

    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    by_key = {}
    for key, old in itertools.chain(*seen):
        by_key.setdefault(key, []).append(old)
    assert all(sorted(olds) == list(range(12)) for olds in by_key.values())
    assert all(core.get(k) == 12 for k in by_key)
    assert core.info()["head_increment"] >= 2


# --- gates ---------------------------------------------------------------------------------------------------------------


def test_the_first_occurrences_stay_out():
    gate = _core.OccurrenceGate(_core.SlidingFilter(300, 7), thresholds(3))
    assert [gate.decide(ids(5))[0] for _ in range(5)] == [True, True, True, False, False]


def test_thresholds_by_slot():
    gate = _core.OccurrenceGate(_core.SlidingFilter(300, 7), thresholds(1, s0=0, s5=2, s32767=3))
    batch = ids(7 << 17, 5 << 48 | 1 << 17, -1, 9 << 48)
    assert [gate.decide(batch) for _ in range(4)] == [
        [False, True, True, True],
        [False, True, True, False],
        [False, False, True, False],
        [False, False, False, False],
    ]


def test_ids_without_a_threshold_are_not_counted():
    core = _core.SlidingFilter(300, 7)
    gate = _core.OccurrenceGate(core, thresholds(0, s1=2))
    gate.decide(ids(1 << 48, 3, 3, 3))
    assert core.get(3) == 0 and core.get(1 << 48) == 1
    assert _core.OccurrenceGate(core, b"").idle and _core.OccurrenceGate(core, thresholds(0, s1=0)).idle
    assert _core.OccurrenceGate(_core.PassAllFilter(), thresholds(3)).idle and not gate.idle


def test_counts_of_one_batch_count_at_once():
    gate = _core.OccurrenceGate(_core.SlidingFilter(300, 7), thresholds(3))
    assert gate.decide(ids(5), [4]) == [True]
    assert gate.decide(ids(5)) == [False]


def test_configs_of_thresholds():  # V1.12
    assert thresholds(3) == bytes.fromhex("1003")
    assert _core.OccurrenceGate(_core.SlidingFilter(300, 7), b"\x10\x03").decide(ids(1)) == [True]
    with pytest.raises(ConfigError, match="slot 32768 is above 32767"):
        _core.OccurrenceGate(_core.PassAllFilter(), thresholds(0, s32768=1))
    with pytest.raises(ConfigError, match="no SlotOccurrenceThresholdConfig"):
        _core.OccurrenceGate(_core.PassAllFilter(), b"\x0a\xff")
    with pytest.raises(ConfigError, match="16 is above 15.*lower it, or take filter_type probabilistic_filter"):
        _core.OccurrenceGate(_core.SlidingFilter(300, 7), thresholds(16))
    _core.OccurrenceGate(_core.SlidingFilter(300, 7), thresholds(15))
    _core.OccurrenceGate(_core.ProbabilisticFilter(), thresholds(1000))
    _core.OccurrenceGate(_core.PassAllFilter(), thresholds(1000))


@pytest.mark.parametrize(
    ("threshold", "count", "unequal", "equal"),
    [(7, 1, 0.142857, 0.348164), (7, 2, 0.285714, 0.575109), (3, 5, 1, 0.993214), (0, 1, 1, 1)],
)
def test_insert_probabilities(threshold, count, unequal, equal):  # V9.7
    chance = _core.ProbabilisticFilter.insert_probability
    assert chance(threshold, count) == pytest.approx(unequal, rel=1e-5)
    assert chance(threshold, count, True) == pytest.approx(equal, rel=1e-5)
    n = 20000
    for mode, expected in ((False, unequal), (True, equal)):
        gate = _core.OccurrenceGate(_core.ProbabilisticFilter(mode, 7), thresholds(threshold))
        dropped = sum(gate.decide(np.full(n, 5, np.int64), [count] * n))
        assert 1 - dropped / n == pytest.approx(expected, abs=0.015)
        dropped = sum(gate.decide(np.arange(n), [count] * n, 3))  # by id, at one step
        assert 1 - dropped / n == pytest.approx(expected, abs=0.015)


def test_draws_follow_seed_step_and_id():
    def draws(seed, step, batch):
        return _core.OccurrenceGate(_core.ProbabilisticFilter(False, seed), thresholds(2)).decide(batch, [1] * len(batch), step)

    batch = np.arange(200)
    assert draws(1, 5, batch) == draws(1, 5, batch[::-1].copy())[::-1]
    assert draws(1, 5, batch) != draws(1, 6, batch) and draws(1, 5, batch) != draws(2, 5, batch)
    gate = _core.OccurrenceGate(_core.ProbabilisticFilter(), thresholds(2))
    assert 0 < sum(gate.decide(np.full(200, 9), None, 5)) < 200  # copies of an id draw apart
    assert gate.decide(batch) != gate.decide(batch)  # without a step each call draws anew


# --- in front of tables --------------------------------------------------------------------------------------------------


@pytest.fixture
def tables():
    opened = []

    def make(initializer=None, optimizer=None, names=("t",)):
        from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

        proto = EmbeddingHashTableConfig()
        segment = CombineAsSegment(1, initializer or ZerosInitializer(), optimizer or SgdOptimizer(), Fp32Compressor())
        proto.entry_config.segments.append(segment)
        CuckooHashTableConfig().mutate_table(proto)
        t = _core.MultiTable(f"test_filters_{next(_numbers)}", {name: proto.SerializeToString() for name in names})
        opened.append(t)
        return t

    yield make
    for t in opened:
        t.close()


def guard(t, threshold, core=None, table=None):
    core = core or _core.SlidingFilter(30000, 7)
    t.set_gate(_core.OccurrenceGate(core, thresholds(threshold)), table)
    return core


def values(t, *keys, table="t"):
    return [round(float(v), 5) for v in t.lookup(table, ids(*keys))[:, 0]]


def test_gradients_of_rare_ids(tables):  # V7.4
    t = tables()
    guard(t, 3)
    seen = []
    for _ in range(4):
        t.optimize("t", ids(0, 0, 1), column(-1, -1, -1), [0.1])
        seen.append(tuple(values(t, 0, 1)))
    assert seen == [(0, 0), (0.1, 0), (0.3, 0), (0.5, 0.1)]


def test_duplicates_without_a_gate(tables):  # V7.3
    for batch, dedup, expected in [
        ([0, 0, 1], False, [0.2, 0.1]),
        ([0, 1, 0, 1, 0], True, [0.3, 0.2]),
        ([1, 0, 1], False, [0.1, 0.2]),
    ]:
        t = tables()
        t.optimize("t", ids(*batch), column(*[-1] * len(batch)), [0.1], dedup=dedup)
        assert values(t, 0, 1) == expected
    t = tables(optimizer=AdagradOptimizer(initial_accumulator_value=1.0))
    t.optimize("t", ids(4, 4), column(1, 2), [0.1], dedup=True)
    assert t.row("t", 4)[0] == pytest.approx([-0.1 * 3 / 10**0.5, 10])  # one step of the sum


def test_summed_gradients_and_their_counts(tables):  # V7.5
    t = tables()
    guard(t, 3)
    t.optimize("t", ids(0, 0, 0, 0), column(-1, -1, -1, -1), [0.1], dedup=True)
    assert t.sizes() == {"t": 0}
    t.optimize("t", ids(0), column(-1), [0.1], dedup=True)
    assert values(t, 0) == [0.1]


def test_assign_asks_for_absent_keys_alone(tables):
    t = tables(initializer=ConstantsInitializer(10.0))
    core = guard(t, 2)
    known, new = 1 << 17, 2 << 17
    t.set_gate(None)
    t.assign("t", ids(known), column(5))
    t.set_gate(_core.OccurrenceGate(core, thresholds(2)))
    t.assign("t", ids(known, new), column(6, 7))
    assert values(t, known, new) == [6, 0] and core.get(known) == 0 and core.get(new) == 1
    t.assign_add("t", ids(known, new), column(1, 1))  # of the second occurrence too
    assert values(t, known, new) == [7, 0] and core.get(known) == 0 and core.get(new) == 2
    t.assign_add("t", ids(new), column(1))
    assert values(t, new) == [11]
    t.assign("t", ids(new), column(3))
    assert values(t, new) == [3] and core.get(new) == 3


def test_all_is_decided_before_anything_is_inserted(tables):
    """Two copies of a new id past its threshold: both are counted, both are applied."""
    t = tables()
    core = guard(t, 1)
    t.optimize("t", ids(3 << 17, 3 << 17, 3 << 17), column(-1, -1, -1), [0.1])
    assert values(t, 3 << 17) == [0.2] and core.get(3 << 17) == 3


def test_a_filtered_update_still_moves_the_time(tables, tmp_path):
    """The newest time a table knows is that of the update, whether or not it kept anything: expiry goes by it."""
    t = tables()
    t.assign("t", ids(1), column(1), req_time=100)
    guard(t, 3)
    t.assign("t", ids(2 << 17), column(1), req_time=100 + 36500 * 86400)
    t.save(str(tmp_path / "t"))
    t.restore(str(tmp_path / "t"))
    assert t.sizes() == {"t": 0}


def test_tables_share_counts(tables):
    t = tables(names=("a", "b"))
    core = _core.SlidingFilter(30000, 7)
    t.set_gate(_core.OccurrenceGate(core, thresholds(2)))
    for name in ("a", "b", "a"):
        t.assign(name, ids(5 << 17), column(1))
    assert t.sizes() == {"a": 1, "b": 0} and core.get(5 << 17) == 3


def test_a_gate_of_its_own_for_each_table(tables):
    t = tables(names=("a", "b"))
    core = guard(t, 2, table="b")
    t.assign("a", ids(5 << 17), column(1))
    t.assign("b", ids(5 << 17), column(1))
    assert t.sizes() == {"a": 1, "b": 0} and core.get(5 << 17) == 1
    t.set_gate(None, "b")
    t.assign("b", ids(5 << 17), column(1))
    assert t.sizes() == {"a": 1, "b": 1}


def test_probabilistic_filter_never_asks_for_known_keys(tables):
    t = tables()
    t.assign("t", np.arange(100), column(*range(100)))
    guard(t, 10**9, core=_core.ProbabilisticFilter())
    t.assign("t", np.arange(200), column(*[7] * 200))
    assert t.sizes() == {"t": 100} and values(t, *range(100)) == [7] * 100


batches = st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 12).map(lambda k: k << 17), min_size=1, max_size=8)), max_size=25)


@settings(max_examples=60)
@given(batches, st.integers(0, 6))
def test_updates_behind_a_gate_as_the_model(batches, threshold):
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    proto = EmbeddingHashTableConfig()
    proto.entry_config.segments.append(CombineAsSegment(1, ZerosInitializer(), SgdOptimizer(), Fp32Compressor()))
    CuckooHashTableConfig().mutate_table(proto)
    t = _core.MultiTable(f"test_filters_{next(_numbers)}", {"t": proto.SerializeToString()})
    guard(t, threshold)
    counts, rows = {}, {}
    for dedup, batch in batches:
        t.optimize("t", ids(*batch), column(*[-1.0] * len(batch)), [1.0], dedup=dedup)
        asked = list(dict.fromkeys(batch)) if dedup else batch
        passed = []
        for key in asked:
            count = batch.count(key) if dedup else 1
            if key not in rows and threshold:
                old = counts.get(key, 0)
                counts[key] = min(15, old + min(15, count))
                if old < threshold:
                    continue
            passed.append((key, count))
        for key, count in passed:
            rows[key] = rows.get(key, 0) + count
    assert t.sizes() == {"t": len(rows)}
    every = [k << 17 for k in range(13)]
    assert values(t, *every) == [rows.get(k, 0) for k in every]
    t.close()


# --- files ---------------------------------------------------------------------------------------------------------------


def records(path):
    data, at, out = path.read_bytes(), 0, []
    while at < len(data):
        (n,) = struct.unpack_from("<Q", data, at)
        out.append(data[at + 12 : at + 12 + n])
        at += 16 + n
    assert at == len(data)
    return out


def test_intercepted_runs(tmp_path):  # V9.3, V9.4, V1.8
    core = _core.SlidingFilter(300, 100)
    gate = _core.OccurrenceGate(core, thresholds(2))
    batch = ids(1, 1 << 17, 2 << 17, 1)
    base = tmp_path / "hash_filter_0"
    core.save(str(base))
    assert len(list(tmp_path.iterdir())) == 100
    first = records(tmp_path / "hash_filter_0-00000-of-00100")
    assert first[0] == bytes.fromhex("080010031800" + "21333333333333f33f" + "2a0e" + "0864100218622010280030003800")
    assert gate.decide(batch) == [True] * 4
    assert gate.decide(batch) == [False, True, True, False]
    info = core.info()
    assert (info["head"], info["head_increment"]) == (4, 4)
    assert [s["num_elements"] for s in info["splits"]] == [2] * 4 + [0] * 96
    core.save(str(base))
    saved = records(tmp_path / "hash_filter_0-00003-of-00100")[0]
    assert saved == bytes.fromhex("080010031802" + "21333333333333f33f" + "2a0e" + "0864100218622010280430043800")
    again = _core.SlidingFilter(300, 100)
    again.restore(str(base))
    assert again.info() == info
    assert _core.OccurrenceGate(again, thresholds(2)).decide(batch) == [False] * 4
    plain = _core.SlidingFilter(300, 100)
    assert [plain.add(batch) for _ in range(3)] == [[0, 0, 0, 1], [2, 1, 1, 3], [4, 2, 2, 5]]


def test_cells_on_disk(tmp_path):  # V1.9 and 13.3: cells by position, 10,000 to a record
    from monolith_protos.embedding_hash_table_pb2 import HashFilterSplitDataDump, HashFilterSplitMetaDump

    core = _core.SlidingFilter(100000, 5)
    core.add(np.arange(1000, dtype=np.int64) << 17)
    core.save(str(tmp_path / "f"))
    meta, *data = records(tmp_path / "f-00000-of-00005")
    meta = HashFilterSplitMetaDump.FromString(meta)
    assert (meta.total_size, meta.num_elements, meta.sliding_hash_filter_meta.split_num) == (30000, 1000, 5)
    cells = []
    for dump in map(HashFilterSplitDataDump.FromString, data):
        assert dump.offset == len(cells) and len(dump.data) == min(10000, 30064 - len(cells))
        cells += dump.data
    assert len(cells) == 30064
    assert sorted(c for c in cells if c) == sorted(k % 4096 << 4 | 1 for k in range(1000))
    assert data[-1] == HashFilterSplitDataDump(offset=30000, data=cells[30000:]).SerializeToString()
    assert data[0] == HashFilterSplitDataDump(offset=0, data=cells[:10000]).SerializeToString()


@settings(max_examples=25)
@given(st.lists(st.integers(0, 2000).map(lambda k: k << 17), max_size=600), st.integers(1, 12))
def test_save_and_restore(tmp_path_factory, added, split_num):
    base = str(tmp_path_factory.mktemp("filter") / "f")
    core = _core.SlidingFilter(700, split_num)
    core.add(ids(*added))
    core.save(base)
    again = _core.SlidingFilter(700, split_num)
    again.add(ids(*[k + (1 << 17) for k in added]))  # replaced by what is in the files
    again.restore(base)
    assert again.info() == core.info()
    assert [again.get(k) for k in added] == [core.get(k) for k in added]
    more = ids(*reversed(added), *range(0, 1 << 20, 1 << 17))
    assert again.add(more) == core.add(more)


def test_capacity_may_change(tmp_path):
    """What is on disk keeps its size; when it is full is what the live filter says."""
    core = _core.SlidingFilter(3000, 7)
    core.add(ids(*[k << 17 for k in range(400)]))
    core.save(str(tmp_path / "f"))
    small = _core.SlidingFilter(300, 7)
    small.restore(str(tmp_path / "f"))
    assert small.info()["splits"][0]["total_size"] == 600 and small.info()["splits"][0]["capacity"] == 50
    assert small.get(399 << 17) == 1
    small.add(ids(1000 << 17))
    assert small.info()["head"] == 1


@pytest.fixture
def saved(tmp_path):
    core = _core.SlidingFilter(300, 7)
    core.add(ids(*[k << 17 for k in range(100)]))
    core.save(str(tmp_path / "f"))
    return tmp_path / "f"


def damaged(base, error, match):
    core = _core.SlidingFilter(300, 7)
    core.add(ids(7 << 17))
    before = core.info()
    with pytest.raises(error, match=match):
        core.restore(str(base))
    assert core.info() == before and core.get(7 << 17) == 1  # as it was


def test_damage_is_named(saved):
    path = saved.parent / "f-00002-of-00007"
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :])
        damaged(saved, BadDataError, r"f-00002-of-00007: at byte \d+: ")
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        damaged(saved, BadDataError, r"f-00002-of-00007: (at byte \d+: )")
    path.unlink()
    damaged(saved, BadDataError, "f-00002-of-00007 is missing")


def framed(*payloads):
    return b"".join(_frame(p) for p in payloads)


def _frame(payload):
    def masked(data):
        crc = _crc32c(data)
        return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)

    head = struct.pack("<Q", len(payload))
    return head + masked(head) + payload + masked(payload)


def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_whole_records_that_make_no_sense(saved):
    from monolith_protos.embedding_hash_table_pb2 import HashFilterSplitDataDump, HashFilterSplitMetaDump

    path = saved.parent / "f-00003-of-00007"
    meta, data = records(path)

    def changed(**fields):
        made = HashFilterSplitMetaDump.FromString(meta)
        for name, value in fields.items():
            target = made if hasattr(made, name) else made.sliding_hash_filter_meta
            setattr(target, name, value)
        return made.SerializeToString()

    def cells(values, offset=0):
        return HashFilterSplitDataDump(offset=offset, data=values).SerializeToString()

    one = HashFilterSplitDataDump.FromString(data)
    for payloads, match in [
        ([], "at byte 0: a split of a filter has no records"),
        ([meta], "total_size of 60 does not fit a file of 47 bytes"),
        ([meta, data, cells([1], 124)], "more cells than the metadata tells of"),
        ([meta, cells(list(one.data)[:-1])], "ends after 123 of 124 cells"),
        ([meta, cells([0] * 10), cells([0] * 114, 11)], "begin at 11, those before it end at 10"),
        ([meta, cells([0] * 60 + [70000])], "70000 does not fit into 16 bits"),
        ([meta, cells([0] * 60), cells([], 60)], "without cells"),
        ([meta, cells([0] * 60), b"\xff\xff"], "at byte"),
        ([b"\x12\x01"], "at byte 0"),
        ([cells([1])], "no metadata of a sliding filter|wrong wire type"),
        ([changed(total_size=1 << 40), data], "does not fit a file of"),
        ([changed(total_size=0), data], "total_size of 0"),
        ([changed(head=7), data], "cannot be number 7"),
        ([changed(head=3), data], "of another save than .*f-00000-of-00007: head 3, not 1"),
    ]:
        path.write_bytes(framed(*payloads))
        damaged(saved, BadDataError, match)
    for field, value in [("split_num", 8), ("max_forward_step", 3), ("max_backward_step", 4), ("max_step", 17)]:
        path.write_bytes(framed(changed(**{field: value}), data))
        damaged(saved, ConfigError, f"filter whose {field} was {value}, but is now")


def test_files_of_another_number_of_splits(saved):
    core = _core.SlidingFilter(300, 8)
    with pytest.raises(ConfigError, match="split_num was 7, but is now 8; set filter_split_num as it was"):
        core.restore(str(saved))


def test_files_that_are_not_there(tmp_path):
    core = _core.SlidingFilter(300, 7)
    core.add(ids(1))
    with pytest.raises(NoInputError):
        core.restore(str(tmp_path / "f"))
    assert core.get(1) == 1
    assert core.restore_if_there(str(tmp_path / "f")) is False
    assert core.get(1) == 0 and core.info() == _core.SlidingFilter(300, 7).info()


def test_filters_without_files(tmp_path):  # V9.8
    for core in (_core.PassAllFilter(), _core.ProbabilisticFilter()):
        core.save(str(tmp_path / "f"))
        assert core.split_num == 0 and not list(tmp_path.iterdir())
        with pytest.raises(NoInputError):
            core.restore(str(tmp_path / "f"))
        assert core.restore_if_there(str(tmp_path / "f")) is False


def test_a_save_that_fails_leaves_the_old_files(saved):
    before = {p.name: p.read_bytes() for p in saved.parent.iterdir()}
    core = _core.SlidingFilter(300, 7)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))  # Python ignores the signal, so that write() fails
    try:
        with pytest.raises(IoError, match="f-00000-of-00007"):
            core.save(str(saved))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {p.name: p.read_bytes() for p in saved.parent.iterdir()} == before


def test_filter_and_table_come_back_together(tables, tmp_path):  # V9.9
    t = tables()
    core = guard(t, 2)

    def add():
        t.assign_add("t", ids(5), column(1))
        return values(t, 5)[0]

    assert add() == 0
    t.save(str(tmp_path / "t"))
    core.save(str(tmp_path / "f"))
    assert add() == 0 and add() == 1
    t.restore(str(tmp_path / "t"))
    core.restore(str(tmp_path / "f"))
    assert values(t, 5) == [0]
    assert add() == 0 and add() == 1
