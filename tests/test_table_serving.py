"""Serving tables: compressed rows that are assigned or restored, never trained; and the summary of a table."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli._native import _core
from monolith_cli.errors import ConfigError, UsageError
from monolith_cli.tables.config import (
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    BatchSoftmaxInitializer,
    BatchSoftmaxOptimizer,
    CombineAsSegment,
    ConstantsInitializer,
    CuckooHashTableConfig,
    FixedR8Compressor,
    Fp16Compressor,
    Fp32Compressor,
    FtrlOptimizer,
    MovingAverageOptimizer,
    OneBitCompressor,
    RandomUniformInitializer,
    RmspropV2Optimizer,
    SgdOptimizer,
    ZerosInitializer,
)

_numbers = itertools.count()
TRAINING, SERVING = 1, 2
# A segment is (dim, initializer, optimizer, compressor).
SEGMENTS = [
    (1, ZerosInitializer(), FtrlOptimizer(), Fp32Compressor()),
    (3, RandomUniformInitializer(), AdamOptimizer(), Fp16Compressor()),
    (1, ConstantsInitializer(2.0), BatchSoftmaxOptimizer(), Fp32Compressor()),
    (5, RandomUniformInitializer(), MovingAverageOptimizer(), FixedR8Compressor(2.0)),
    (2, RandomUniformInitializer(), AdagradOptimizer(), OneBitCompressor()),
    (8, RandomUniformInitializer(), AdaGradWithGroupLassoOptimizer(), Fp16Compressor()),
]
WIDTH = sum(s[0] for s in SEGMENTS)


def open_table(segments, entry_type=SERVING, **fields):
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    proto = EmbeddingHashTableConfig()
    CuckooHashTableConfig().mutate_table(proto)
    for name, value in fields.items():
        setattr(proto, name, value)
    proto.entry_config.segments.extend(CombineAsSegment(*s) for s in segments)
    proto.entry_config.entry_type = entry_type
    return _core.MultiTable(f"test_table_serving_{next(_numbers)}", {"movie": proto.SerializeToString()})


@pytest.fixture
def tables():
    opened = []

    def make(*segments, entry_type=SERVING, **fields):
        opened.append(open_table(segments, entry_type, **fields))
        return opened[-1]

    yield make
    for t in opened:
        t.close()


def one(compressor, dim=1):
    return (dim, ZerosInitializer(), SgdOptimizer(), compressor)


def floats(*rows):
    return np.array(rows, np.float32)


def ids(*keys):
    return np.array(keys, np.int64)


def encoded(rows):
    """What a serving table of SEGMENTS gives for weights [n, WIDTH]."""
    x = np.asarray(rows, np.float32).copy()
    half = np.r_[1:4, 12:20]
    with np.errstate(over="ignore"):
        x[:, half] = x[:, half].astype(np.float16)
    step = np.float32(2.0) / np.float32(128)
    q = np.trunc((x[:, 5:10] + np.where(x[:, 5:10] >= 0, step / 2, -step / 2)) / step)
    x[:, 5:10] = np.clip(q, -128, 127) * step
    x[:, 10:12] = np.where(np.float32(0.05) * np.tanh(x[:, 10:12]) > 0, np.float32(0.05), -np.float32(0.05))
    return x


def test_optimize_is_refused(tables):
    t = tables(one(Fp16Compressor()))
    with pytest.raises(UsageError, match="table 'movie' is for serving.*TRAINING"):
        t.optimize("movie", ids(1), floats([1]), [0.1])
    assert t.sizes() == {"movie": 0}


@pytest.mark.parametrize("rows", [0, 3])
def test_save_is_refused(tables, tmp_path, rows):
    t = tables(one(Fp16Compressor()))
    t.assign("movie", np.arange(rows, dtype=np.int64), np.ones((rows, 1), np.float32))
    with pytest.raises(UsageError, match="table 'movie' is for serving"):
        t.save(str(tmp_path / "a"))
    with pytest.raises(UsageError, match="table 'movie' is for serving"):
        t.save_table("movie", str(tmp_path / "a"))
    assert not list(tmp_path.iterdir())
    # And the table works on: no lock is left.
    t.assign("movie", ids(77), floats([2]))
    assert t.lookup("movie", ids(77)).tolist() == [[2]]


@pytest.mark.parametrize(
    "compressor, first, second",
    [
        (Fp32Compressor(), 0.3, 0.6),
        (Fp16Compressor(), np.float16(0.3), np.float16(np.float32(np.float16(0.3)) + np.float32(0.3))),
        (FixedR8Compressor(1.0), 38 / 128, 76 / 128),  # 38.4 steps, then 38 + 38.4
        (OneBitCompressor(amplitude=0.5), 0.5, 0.5),
    ],
)
def test_assign_add(tables, compressor, first, second):
    """A key that is not there starts as zeros, whatever its initializer; then values are decoded, added and encoded."""
    t = tables((1, ConstantsInitializer(9.0), SgdOptimizer(), compressor))
    t.assign_add("movie", ids(4), floats([0.3]), 50)
    np.testing.assert_allclose(t.lookup("movie", ids(4)), [[first]], rtol=1e-7)
    t.assign_add("movie", ids(4), floats([0.3]), 60)
    np.testing.assert_allclose(t.lookup("movie", ids(4)), [[second]], rtol=1e-7)
    assert t.row("movie", 4) == ([pytest.approx(float(second))], 60)
    assert t.lookup("movie", ids(5)).tolist() == [[0]]


def test_assign_add_of_a_wide_row_is_done_in_parts(tables):
    t = tables(one(FixedR8Compressor(4.0), 700), one(Fp16Compressor(), 300))
    rng = np.random.default_rng(1)
    a, b = rng.integers(-60, 60, (2, 5, 1000)).astype(np.float32) / 32  # exact in both
    keys = np.arange(5, dtype=np.int64)
    t.assign("movie", keys, a)
    t.assign_add("movie", keys, b)
    np.testing.assert_array_equal(t.lookup("movie", keys), np.clip(a + b, -4, np.r_[[127 / 32] * 700, [9] * 300]))


weights = st.floats(-3, 3, width=32)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["assign", "assign_add"]),
            st.lists(st.integers(-3, 3), min_size=1, max_size=6),
            st.lists(weights, min_size=WIDTH, max_size=WIDTH),
            st.integers(0, 2**32 - 1),
        ),
        max_size=12,
    )
)
def test_against_a_dictionary(writes):
    """Any sequence of writes, duplicates within one included, against rows kept in a dict."""
    t, model = open_table(SEGMENTS), {}
    try:
        for op, keys, row, now in writes:
            values = np.outer(np.arange(1, len(keys) + 1), np.array(row, np.float32)).astype(np.float32)
            getattr(t, op)("movie", np.array(keys, np.int64), values, now)
            for key, value in zip(keys, values, strict=True):
                old = model[key][0] if op == "assign_add" and key in model else np.zeros(WIDTH, np.float32)
                model[key] = (encoded((old + value)[None, :])[0] if op == "assign_add" else encoded(value[None, :])[0], now)
        assert t.sizes() == {"movie": len(model)}
        for key in range(-4, 5):
            if key in model:
                np.testing.assert_array_equal(t.lookup("movie", ids(key))[0], model[key][0])
                assert t.row("movie", key) == (model[key][0].tolist(), model[key][1])
            else:
                assert t.row("movie", key) is None
    finally:
        t.close()


def trained(tables, segments, n=300):
    t = tables(*segments, entry_type=TRAINING)
    rng = np.random.default_rng(7)
    keys = (np.arange(n, dtype=np.int64) - 100) << 40
    width = sum(s[0] for s in segments)
    for i in range(3):
        t.optimize("movie", keys, rng.normal(size=(n, width)).astype(np.float32), [0.3] * len(segments), 0, 10 * i)
    for k, key in enumerate(keys):
        t.assign_add("movie", ids(key), np.zeros((1, width), np.float32), 1000 + k)
    raw = np.array([t.row("movie", int(k))[0][:width] for k in keys], np.float32)
    return t, keys, raw


@pytest.mark.parametrize("whole", [True, False], ids=["all tables", "one table"])
def test_restore_of_a_training_checkpoint(tables, tmp_path, whole):
    t, keys, raw = trained(tables, SEGMENTS)
    serving = tables(*SEGMENTS)
    serving.assign("movie", ids(999), np.ones((1, WIDTH), np.float32))
    if whole:
        t.save(str(tmp_path / "t"), 2)
        serving.restore(str(tmp_path / "t"))
    else:
        t.save_table("movie", str(tmp_path / "t"), 2)
        serving.restore_table("movie", str(tmp_path / "t"))
    assert serving.sizes() == {"movie": len(keys)}
    np.testing.assert_array_equal(serving.lookup("movie", keys), encoded(raw))
    # The time of a row's last update comes along; upstream left 0 and would then evict everything.
    assert [serving.row("movie", int(k))[1] for k in keys] == list(range(1000, 1000 + len(keys)))


def test_restore_of_entries_in_another_form(tables, tmp_path):
    """Fields in another order, without state or without a time: `num` alone counts."""
    tf = pytest.importorskip("tensorflow")
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    plain = EntryDump(id=1, num=[0.5, 1.5])
    with_state = EntryDump(id=2, num=[2.5, 3.5], last_update_ts_sec=70)
    with_state.opt.dump.add().adagrad.norm.extend([1, 2])
    backwards = EntryDump(last_update_ts_sec=90).SerializeToString() + EntryDump(num=[4.5, 5.5], id=3).SerializeToString()
    with tf.io.TFRecordWriter(str(tmp_path / "t-00000-of-00001")) as out:
        for message in (plain.SerializeToString(), with_state.SerializeToString(), backwards):
            out.write(message)
    t = tables(one(Fp16Compressor(), 2))
    t.restore_table("movie", str(tmp_path / "t"))
    assert t.lookup("movie", ids(1, 2, 3)).tolist() == [[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]]
    assert [t.row("movie", k)[1] for k in (1, 2, 3)] == [0, 70, 90]


@pytest.mark.parametrize("dim", [1, 3])
def test_restore_of_another_width(tables, tmp_path, dim):
    t = tables(one(Fp32Compressor(), 2), entry_type=TRAINING)
    t.assign("movie", ids(11), floats([1, 2]))
    t.save(str(tmp_path / "t"))
    serving = tables(one(Fp16Compressor(), dim))
    with pytest.raises(ConfigError, match=f"'movie', key 11: the checkpoint has dim 2.*configured with dim {dim}"):
        serving.restore(str(tmp_path / "t"))
    assert serving.sizes() == {"movie": 0}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_entries_never_crash(data, tmp_path_factory):
    """Any bytes for an entry: restored, or refused with file and offset."""
    tf = pytest.importorskip("tensorflow")
    from google.protobuf.message import DecodeError

    from monolith_cli.errors import BadDataError
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    good = EntryDump(id=1, num=[0.5, 1.5], last_update_ts_sec=300)
    good.opt.dump.add().adagrad.norm.extend([1, 2])
    message = bytearray(good.SerializeToString())
    for at in data.draw(st.lists(st.integers(0, len(message) - 1), min_size=1, max_size=3)):
        message[at] = data.draw(st.integers(0, 255))
    message = bytes(message[: data.draw(st.integers(0, len(message)))])
    path = tmp_path_factory.mktemp("damaged") / "t"
    with tf.io.TFRecordWriter(f"{path}-00000-of-00001") as out:
        out.write(message)
    t = open_table([one(FixedR8Compressor(), 2)])
    try:
        t.restore_table("movie", str(path))
    except (BadDataError, ConfigError) as e:
        assert "t-00000-of-00001" in str(e)
    else:
        try:
            parsed = EntryDump.FromString(message)
        except DecodeError:  # in the state, which is not looked at
            assert t.sizes() == {"movie": 1}
        else:
            assert t.row("movie", parsed.id)[1] == parsed.last_update_ts_sec % 2**32
    finally:
        t.close()


# --- memory and summaries


def summary(t):
    text = t.summary("movie")
    return text, json.loads(text)


def test_summary(tables):  # V7.8
    t = tables(one(Fp32Compressor()), entry_type=TRAINING)
    t.assign("movie", ids(1, 2), floats([1], [2]))
    assert t.summary("movie") == (
        '{"accessor": {"initializer": "Constants(D=1, C=0.000000)", "optimizer": "Sgd(D=1)", "retriever": "Raw(D=1)"}, '
        '"size": 2, "memory": 24, "memory_if_not_compressed": 24, "load_factor": 0.500000}'
    )


@pytest.mark.parametrize("keys, capacity, load", [(4, 1, 1), (5, 1, 0.625), (0, 9, 0), (2, 9, 0.125), (9, 5, 0.5625)])
def test_load_factor(tables, keys, capacity, load):
    t = tables(one(Fp32Compressor()), initial_capacity=capacity)
    t.assign("movie", np.arange(keys, dtype=np.int64), np.zeros((keys, 1), np.float32))
    assert summary(t)[1]["load_factor"] == load


def test_summary_of_segments(tables):
    t = tables(*SEGMENTS, (16, ConstantsInitializer(-0.5), RmspropV2Optimizer(), Fp32Compressor()), entry_type=TRAINING)
    t.assign("movie", ids(1), np.zeros((1, WIDTH + 16), np.float32))
    s = summary(t)[1]
    assert s["accessor"] == {
        "initializer": "Constants(D=1, C=0.000000)|RandomUniform(D=3, min=-0.050000, max=0.050000)|"
        "Constants(D=1, C=2.000000)|RandomUniform(D=5, min=-0.050000, max=0.050000)|"
        "RandomUniform(D=2, min=-0.050000, max=0.050000)|RandomUniform(D=8, min=-0.050000, max=0.050000)|"
        "Constants(D=16, C=-0.500000)",
        "optimizer": "Ftrl(D=1)|Adam(D=3)|BatchSoftmax(D=1)|MovingAverage(D=5)|Adagrad(D=2)|GroupAdaGrad(D=8)|RmspropV2(D=16)",
        "retriever": "Raw(D=1)|Raw(D=3)|Raw(D=1)|FakeQuant(D=5)|HashNet(D=2)|Raw(D=8)|Raw(D=16)",
    }
    # 36 weights and the states 8 + 32 + 8 + 0 + 8 + 4 + 64, a key; group_adagrad tells of 4 bytes for each of its 8 dims.
    assert s["memory"] == 36 * 4 + 124 + 8
    assert s["memory_if_not_compressed"] == s["memory"] + 28


def test_summary_of_a_serving_table(tables):
    t = tables(*SEGMENTS, initial_capacity=100)
    t.assign("movie", np.arange(16, dtype=np.int64), np.zeros((16, WIDTH), np.float32))
    text, s = summary(t)
    assert text.startswith(
        '{"accessor": {"compressor": "Fp32(D=1)|Fp16(D=3)|Fp32(D=1)|FixedR8(D=5)|OneBit(D=2)|Fp16(D=8)", '
        '"size_bytes": 37, "uncompressed_size_bytes": 80}, "size": 16, '
    )
    assert (s["memory"], s["memory_if_not_compressed"], s["load_factor"]) == (16 * 45, 16 * 88, 0.125)


@pytest.mark.parametrize(
    "segments, sizes",
    [
        ([(8, AdamOptimizer())], 4 * 8 + 72),
        ([(1, FtrlOptimizer()), (32, SgdOptimizer())], 140),
        ([(16, AdaGradWithGroupLassoOptimizer())], 68),
    ],
)
def test_sizes_of_rows(tables, segments, sizes):
    t = tables(*((d, ZerosInitializer(), o, Fp32Compressor()) for d, o in segments), entry_type=TRAINING)
    t.assign("movie", ids(1), np.zeros((1, sum(d for d, _ in segments)), np.float32))
    assert summary(t)[1]["memory"] == sizes + 8


def test_a_compressed_table_is_smaller(tables):
    n = 300_000
    keys = np.arange(n, dtype=np.int64)
    memory = {}
    for compressor in (Fp32Compressor(), Fp16Compressor(), FixedR8Compressor(), OneBitCompressor()):
        t = tables(one(compressor, 64))
        t.assign("movie", keys, np.ones((n, 64), np.float32))
        memory[type(compressor)] = t.memory()
    assert memory[Fp16Compressor] < 0.62 * memory[Fp32Compressor]
    assert memory[FixedR8Compressor] == memory[OneBitCompressor] < 0.42 * memory[Fp32Compressor]


# --- what stays with training tables


def test_assign_keeps_the_state(tables):  # V7.9
    t = tables((1, ConstantsInitializer(0.5), AdagradOptimizer(initial_accumulator_value=1), Fp32Compressor()), entry_type=TRAINING)
    t.assign_add("movie", ids(3), floats([2]))
    assert t.lookup("movie", ids(3)).tolist() == [[2.5]]
    t.optimize("movie", ids(3), floats([2]), [0.1])
    t.assign("movie", ids(3), floats([7]))
    assert t.row("movie", 3)[0] == [7, 5]


def test_batch_softmax_initializer(tables):
    t = tables((1, BatchSoftmaxInitializer(4.0), BatchSoftmaxOptimizer(), Fp32Compressor()), entry_type=TRAINING)
    t.optimize("movie", ids(3), floats([0]), [0.5], global_step=10)
    assert t.row("movie", 3)[0][0] == 7


# --- skip_zero_embedding


def test_zero_rows_are_not_kept(tables):  # V7.7
    t = tables(one(Fp32Compressor()), skip_zero_embedding=True)
    keys = np.arange(3000, dtype=np.int64)
    t.assign("movie", keys, (keys % 2).astype(np.float32)[:, None])
    assert t.contains("movie", keys) == [bool(k % 2) for k in keys]
    small = ids(-1, -2, -3, -4)
    t.assign("movie", small, floats([1e-20], [1.08e-19], [1.085e-19], [1.1e-19]))
    assert t.contains("movie", small) == [False, False, True, True]
    assert t.sizes() == {"movie": 1502}
    # Keys that are there leave when they become zeros.
    t.assign("movie", keys, ((keys + 1) % 2).astype(np.float32)[:, None])
    assert t.contains("movie", keys) == [bool((k + 1) % 2) for k in keys]
    assert t.sizes() == {"movie": 1502}
    # Without the setting they stay.
    t = tables(one(Fp32Compressor()))
    t.assign("movie", ids(1), floats([0]))
    assert t.contains("movie", ids(1)) == [True]


def test_assign_add_never_erases(tables):
    t = tables(one(Fp32Compressor(), 2), skip_zero_embedding=True)
    t.assign_add("movie", ids(1, 2), floats([1, 2], [0, 0]))
    t.assign_add("movie", ids(1), floats([-1, -2]))
    assert t.contains("movie", ids(1, 2)) == [True, True]


def test_the_weights_count_before_they_are_compressed(tables):
    t = tables(one(FixedR8Compressor(1.0), 2), skip_zero_embedding=True)
    t.assign("movie", ids(1), floats([1e-3, -1e-3]))  # zeros in 8 bits
    assert t.contains("movie", ids(1)) == [True]
    assert t.lookup("movie", ids(1)).tolist() == [[0, 0]]
    t.assign("movie", ids(1), floats([np.nan, 0]))
    assert t.contains("movie", ids(1)) == [True]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.0, 1.0, 2.0])), max_size=12), max_size=5))
def test_the_last_of_equal_keys_decides(batches):
    t, model = open_table([one(Fp16Compressor())], skip_zero_embedding=True), {}
    try:
        for batch in batches:
            values = np.array([v for _, v in batch], np.float32)[:, None]
            t.assign("movie", np.array([k for k, _ in batch], np.int64), values)
            for key, value in batch:
                model[key] = value
        assert t.sizes()["movie"] == len([v for v in model.values() if v])
        np.testing.assert_array_equal(t.lookup("movie", np.arange(6)), [[model.get(k, 0)] for k in range(6)])
    finally:
        t.close()


@pytest.mark.parametrize("whole", [True, False], ids=["all tables", "one table"])
def test_restore_passes_over_zero_rows(tables, tmp_path, whole):
    t = tables(one(Fp32Compressor(), 2), entry_type=TRAINING)
    t.assign("movie", ids(1, 2, 3), floats([0, 0], [1, 0], [1e-20, 0]), 10)
    (t.save if whole else lambda base: t.save_table("movie", base))(str(tmp_path / "t"))
    serving = tables(one(Fp16Compressor(), 2), skip_zero_embedding=True)
    serving.assign("movie", ids(3), floats([5, 5]))
    (serving.restore if whole else lambda base: serving.restore_table("movie", base))(str(tmp_path / "t"))
    assert serving.contains("movie", ids(1, 2, 3)) == [False, True, False]
    assert serving.row("movie", 2) == ([1, 0], 10)


def test_restore_modes_pass_over_optimizer_state(tables, tmp_path):
    """Rows of another shape: only weights count, whatever optimizer the checkpoint was trained with."""
    trained = tables((2, ZerosInitializer(), AdamOptimizer(), Fp32Compressor()), (3, ZerosInitializer(), FtrlOptimizer(), Fp32Compressor()),
                     entry_type=TRAINING)
    keys = np.arange(300, dtype=np.int64)
    weights = np.arange(1500, dtype=np.float32).reshape(300, 5)
    trained.assign("movie", keys, weights, 10)
    trained.save(str(tmp_path / "t"))
    wide = tables((4, ConstantsInitializer(7.0), AdagradOptimizer(), Fp32Compressor()), (3, ZerosInitializer(), FtrlOptimizer(), Fp32Compressor()))
    with pytest.raises(ConfigError, match="checkpoint has dim 5.*configured with dim 7, made for serving"):
        wide.restore(str(tmp_path / "t"))
    assert wide.restore(str(tmp_path / "t"), modes=["pad"])["adapted_rows"] == 300
    zeros = np.zeros((300, 2), np.float32)
    np.testing.assert_array_equal(wide.lookup("movie", keys), np.hstack([weights[:, :2], zeros, weights[:, 2:]]))
    narrow = tables((2, ZerosInitializer(), SgdOptimizer(), Fp32Compressor()), (1, ZerosInitializer(), FtrlOptimizer(), Fp32Compressor()))
    narrow.restore(str(tmp_path / "t"), modes=["truncate"])
    np.testing.assert_array_equal(narrow.lookup("movie", keys), weights[:, :3])
