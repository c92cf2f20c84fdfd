"""Compressors of serving tables, and what they make of lookups and gradients in training: vectors of the contract, then models
in numpy over all float16 patterns and over random values."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli._native import _core
from monolith_cli.errors import UsageError
from monolith_cli.tables.config import (
    AdagradOptimizer,
    CombineAsSegment,
    CuckooHashTableConfig,
    FixedR8Compressor,
    Fp16Compressor,
    Fp32Compressor,
    OneBitCompressor,
    SgdOptimizer,
    ZerosInitializer,
)

_numbers = itertools.count()
TRAINING, SERVING = 1, 2


def open_table(*segments, entry_type=SERVING):
    """A set with one table "t"; a segment is (dim, compressor) or (dim, compressor, optimizer)."""
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    proto = EmbeddingHashTableConfig()
    for dim, compressor, *optimizer in segments:
        optimizer = optimizer[0] if optimizer else SgdOptimizer()
        proto.entry_config.segments.append(CombineAsSegment(dim, ZerosInitializer(), optimizer, compressor))
    proto.entry_config.entry_type = entry_type
    CuckooHashTableConfig().mutate_table(proto)
    return _core.MultiTable(f"test_compressors_{next(_numbers)}", {"t": proto.SerializeToString()})


@pytest.fixture
def tables():
    opened = []

    def make(*segments, **entry_type):
        opened.append(open_table(*segments, **entry_type))
        return opened[-1]

    yield make
    for t in opened:
        t.close()


def served(t, rows):
    """What a serving table gives for rows [n, dim] that it was given."""
    rows = np.asarray(rows, np.float32)
    keys = np.arange(len(rows), dtype=np.int64) << 32
    t.assign("t", keys, rows)
    return t.lookup("t", keys)


def served_one(t, values):
    return served(t, np.array(values, np.float32)[:, None])[:, 0]


def one_bit(step_size=200, amplitude=0.1, **other):
    """The compressor with the defaults of its message where the class has others."""
    proto = OneBitCompressor(step_size, amplitude).as_proto()
    for name, value in other.items():
        setattr(proto.one_bit, name, value)
    return proto


def fixed_r8_model(x, r):
    """(quantized, decoded) of float32 values; every operation in float32."""
    x = np.asarray(x, np.float32)
    step = np.float32(r) / np.float32(128)
    half = step / np.float32(2)
    with np.errstate(invalid="ignore", over="ignore"):
        q = np.trunc((x + np.where(x >= 0, half, -half)) / step)
    q = np.where(np.isnan(x), 0, np.clip(q, -128, 127)).astype(np.int8)
    return q, q.astype(np.float32) * step


# --- vectors


@pytest.mark.parametrize(
    "value, bits",
    [
        (0.1, 0x2E66),
        (0.2, 0x3266),
        (10000, 0x70E2),
        (65504, 0x7BFF),
        (65519, 0x7BFF),
        (65520, 0x7C00),
        (5.9604645e-8, 0x0001),
        (2.9802322e-8, 0x0000),
        (2.99e-8, 0x0001),
        (1.00048828125, 0x3C00),
        (1.00146484375, 0x3C02),
        (-0.0, 0x8000),
    ],
)
@pytest.mark.parametrize("dim", [1, 8], ids=["one", "eight"])
def test_fp16_vectors(tables, value, bits, dim):  # V6.1
    got = served(tables((dim, Fp16Compressor())), [[value] * dim])[0]
    assert got.tobytes() == np.full(dim, bits, np.uint16).view(np.float16).astype(np.float32).tobytes()


def test_fixed_r8_vectors(tables):  # V6.2
    t = tables((1, FixedR8Compressor(1.0)))
    cases = {0: 0, 0.5: 0.5, 1: 0.9921875, -1: -1, -2: -1, 0.00390625: 0.0078125, 0.0039: 0, -0.00390625: -0.0078125}
    cases |= {0.01171875: 0.015625, 0.1: 0.1015625, math.nan: 0}
    np.testing.assert_array_equal(served_one(t, list(cases)), list(cases.values()))


def test_fixed_r8_of_another_range(tables):  # V6.3
    t = tables((1, FixedR8Compressor(5.0)))
    s = 0.0390625
    given_ = [1.4 * s, 1.6 * s, -1.4 * s, -1.6 * s, 100, -100, 3.5]
    np.testing.assert_array_equal(served_one(t, given_), [s, 2 * s, -s, -2 * s, 4.9609375, -5, 3.515625])


def test_fixed_r8_holds_what_no_integer_would(tables):
    got = served_one(tables((1, FixedR8Compressor(1.0))), [1e30, -1e30, math.inf, -math.inf, 3e9])
    np.testing.assert_array_equal(got, [127 / 128, -1, 127 / 128, -1, 127 / 128])


def test_one_bit_vectors(tables):  # V6.4
    t = tables((1, one_bit(amplitude=1)))
    np.testing.assert_array_equal(served_one(t, [100, 0.1, 1e-5, 0, -1e-5, -0.1, -100, math.nan]), [1, 1, 1, -1, -1, -1, -1, -1])


def test_combined(tables):  # V6.7
    t = tables((1, Fp16Compressor()), (2, Fp16Compressor()))
    np.testing.assert_array_equal(served(t, [[1, 2, 3]]), [[1, 2, 3]])
    for width in (2, 4):  # a value too few or too many has no place
        with pytest.raises(UsageError, match=rf"'t'.*\[1, 3\], not \[1, {width}\]"):
            served(t, [[1] * width])


KEY = np.array([5], np.int64)


def step(t, grads, rate=1.0, global_step=0, key=KEY):
    """The gradient that the optimizer saw, by what sgd took from the weights."""
    before = np.array(t.row("t", int(key[0]))[0], np.float64)
    t.optimize("t", key, np.array([grads], np.float32), [rate], global_step=global_step)
    return (before - np.array(t.row("t", int(key[0]))[0], np.float64)) / rate


def test_hashnet_vectors(tables):  # V6.5, V6.6
    def backward(w, g, global_step):
        t.assign("t", KEY, np.array([[w]], np.float32))
        return step(t, [g], 64, global_step)[0]

    def forward(w):
        t.assign("t", KEY, np.array([[w]], np.float32))
        return t.lookup("t", KEY)[0, 0]

    t = tables((1, one_bit(1000)), entry_type=TRAINING)
    assert forward(1) == pytest.approx(0.07615941, abs=1e-6)
    assert forward(2) == pytest.approx(0.09640275, abs=1e-6)
    fine = dict(abs=1e-7, rel=1e-6)
    assert backward(2, 1, 0) == pytest.approx(0.00706508, **fine)
    assert backward(2, 2, 999) == pytest.approx(0.01413016, **fine)
    assert backward(2, 100, 1000) == pytest.approx(0.005442613, **fine)
    assert backward(2, 200, 1001) == pytest.approx(0.01088523, **fine)
    assert forward(2) == pytest.approx(0.09998888, abs=1e-6)
    t = tables((1, one_bit(100)), entry_type=TRAINING)
    assert backward(1, 1, 100) == pytest.approx(0.35840667 * 0.1, **fine)


def test_training_with_fixed_r8(tables):  # V6.8
    t = tables((1, FixedR8Compressor(1.0), SgdOptimizer(1.0)), entry_type=TRAINING)
    t.optimize("t", KEY, np.array([[0.3]], np.float32), [-1.0])
    assert t.row("t", 5)[0] == [np.float32(0.3)]
    assert t.lookup("t", KEY)[0, 0] == 0.296875


# --- models


def all_halves_and_what_lies_between():
    """Every float16 value, every midpoint of neighbours, and the floats next to a midpoint."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    finite = np.sort(halves[np.isfinite(halves)]).astype(np.float64)
    mid = ((finite[1:] + finite[:-1]) / 2).astype(np.float32)  # exact: one bit more than a float16 has
    edge = np.array([65519.996, 65520, 65520.004, 1e38, -1e38, 1e-45, -1e-45], np.float32)
    return np.concatenate([halves, mid, np.nextafter(mid, np.float32(np.inf)), np.nextafter(mid, np.float32(-np.inf)), edge])


@pytest.mark.parametrize("dim", [1, 13, 64])
def test_all_of_fp16(tables, dim):
    """dim 1 goes by the portable code, 64 by the CPU's instructions, 13 by both."""
    values = all_halves_and_what_lies_between()
    values = np.concatenate([values, np.zeros(-len(values) % dim, np.float32)]).reshape(-1, dim)
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
    got = served(tables((dim, Fp16Compressor())), values)
    nan = np.isnan(expected)
    assert nan.any() and np.isnan(got[nan]).all()
    assert got[~nan].tobytes() == expected[~nan].tobytes()  # signs of zeros too


floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=200, deadline=None)
@given(st.lists(floats, min_size=1, max_size=40), st.sampled_from([0.01, 0.5, 1.0, 3.0, 1e6]))
def test_any_float_in_every_compressor(values, r):
    """Segments side by side, none at an even address: each as its own model has it, and bits as they are in fp32."""
    x = np.array(values, np.float32)
    n = len(x)
    t = open_table((n, one_bit()), (n, Fp16Compressor()), (n, FixedR8Compressor(r)), (n, Fp32Compressor()))
    try:
        got = served(t, np.tile(x, 4)[None, :])[0].reshape(4, n)
    finally:
        t.close()
    with np.errstate(over="ignore", invalid="ignore"):
        np.testing.assert_array_equal(got[0], np.where(np.float32(0.1) * np.tanh(x) > 0, np.float32(0.1), np.float32(-0.1)))
        np.testing.assert_array_equal(got[1], x.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(got[2], fixed_r8_model(x, r)[1])
    assert got[3].tobytes() == x.tobytes()


@pytest.mark.parametrize("r", [0.1, 1.0, 5.0, 7.3])
def test_fixed_r8_training_reads_what_serving_will(tables, r):
    values = np.random.default_rng(1).normal(size=(500, 9)).astype(np.float32) * np.float32(r)
    expected = fixed_r8_model(values, r)[1]
    keys = np.arange(500, dtype=np.int64) << 32
    t = tables((9, FixedR8Compressor(r)), entry_type=TRAINING)
    t.assign("t", keys, values)
    np.testing.assert_array_equal(t.lookup("t", keys), expected)
    np.testing.assert_array_equal(served(tables((9, FixedR8Compressor(r))), values), expected)
    # The gradient passes as it is, and goes to the weights themselves.
    t.optimize("t", keys, np.ones((500, 9), np.float32), [0.25])
    np.testing.assert_array_equal(t.lookup("t", keys), fixed_r8_model(values - np.float32(0.25), r)[1])


@pytest.mark.parametrize("init_scale, max_scale", [(1.0, 10000.0), (0.5, 0.8)])
def test_hashnet_many_steps(tables, init_scale, max_scale):
    """HashNet between two plain segments, under adagrad, against float64."""
    compressor = one_bit(10, 0.3, init_scale=init_scale, max_scale=max_scale)
    optimizer = AdagradOptimizer(initial_accumulator_value=0.1)
    t = tables((2, Fp32Compressor()), (5, compressor, optimizer), (3, Fp16Compressor()), entry_type=TRAINING)
    rng = np.random.default_rng(4)
    keys = np.array([-9, 1 << 50, 3], np.int64)
    start = rng.normal(size=(3, 10)).astype(np.float32)
    t.assign("t", keys, start)
    weights, norm, plain, scale = start[:, 2:7].astype(np.float64), np.full((3, 5), 0.1), start.astype(np.float64), init_scale
    for i in range(100):
        grads = rng.normal(size=(3, 10)).astype(np.float32)
        sent = grads.copy()
        t.optimize("t", keys, grads, [0.1, 0.2, 0.3], global_step=i)
        np.testing.assert_array_equal(grads, sent)  # the caller's stay as they were
        if i % 10 == 0:
            scale = min(init_scale * math.sqrt(1 + 0.005 * i), max_scale)
        g = grads[:, 2:7] * 0.3 * scale * (1 - np.tanh(scale * weights) ** 2)
        norm += g**2
        weights -= 0.2 / np.sqrt(norm) * g
        plain[:, :2] -= 0.1 * grads[:, :2]
        plain[:, 7:] -= 0.3 * grads[:, 7:]
        got = t.lookup("t", keys)
        np.testing.assert_allclose(got[:, 2:7], 0.3 * np.tanh(scale * weights), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(got[:, :2], plain[:, :2], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(got[:, 7:], plain[:, 7:], rtol=1e-4, atol=1e-5)


def test_the_scale_is_of_the_segment_and_of_no_checkpoint(tables, tmp_path):
    t = tables((1, one_bit(10)), (1, one_bit(7)), entry_type=TRAINING)
    other = np.array([6], np.int64)
    t.assign("t", np.array([5, 6], np.int64), np.ones((2, 2), np.float32))
    t.optimize("t", KEY, np.zeros((1, 2), np.float32), [1.0, 1.0], global_step=10)
    expected = [0.1 * math.tanh(math.sqrt(1.05)), 0.1 * math.tanh(1)]
    np.testing.assert_allclose(t.lookup("t", other)[0], expected, rtol=1e-6)
    t.optimize("t", KEY, np.zeros((1, 2), np.float32), [1.0, 1.0], global_step=14)
    expected[1] = 0.1 * math.tanh(math.sqrt(1.07))
    np.testing.assert_allclose(t.lookup("t", other)[0], expected, rtol=1e-6)
    t.save(str(tmp_path / "t"))
    again = tables((1, one_bit(10)), (1, one_bit(7)), entry_type=TRAINING)
    again.restore(str(tmp_path / "t"))
    np.testing.assert_allclose(again.lookup("t", other)[0], [0.1 * math.tanh(1)] * 2, rtol=1e-6)
    # What is saved is the weights, whatever lookups give.
    assert again.row("t", 6)[0] == [1, 1]


def test_one_bit_refuses_a_negative_step(tables):
    t = tables((1, one_bit()), entry_type=TRAINING)
    with pytest.raises(UsageError, match="'t'.*one_bit.*-200"):
        t.optimize("t", KEY, np.zeros((1, 1), np.float32), [1.0], global_step=-200)
    assert t.sizes() == {"t": 0}


def test_fp16_and_fp32_leave_training_alone(tables):
    t = tables((1, Fp16Compressor()), (1, Fp32Compressor()), entry_type=TRAINING)
    t.assign("t", KEY, np.array([[0.1, 0.1]], np.float32))
    assert t.lookup("t", KEY)[0].tolist() == [np.float32(0.1)] * 2


def test_a_row_wider_than_any_buffer(tables):
    values = np.random.default_rng(2).normal(size=(3, 70001)).astype(np.float32)
    got = served(tables((70000, Fp16Compressor()), (1, Fp32Compressor())), values)
    np.testing.assert_array_equal(got[:, :-1], values[:, :-1].astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(got[:, -1], values[:, -1])
