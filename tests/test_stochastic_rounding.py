"""Stochastic rounding to float16 after a step: which values, how often, and that nothing else is touched."""

import itertools

import numpy as np
import pytest

from monolith_cli._native import _core
from monolith_cli.tables.config import (
    AdagradOptimizer,
    BatchSoftmaxOptimizer,
    CombineAsSegment,
    CuckooHashTableConfig,
    Fp32Compressor,
    FtrlOptimizer,
    OneBitCompressor,
    RandomUniformInitializer,
    SgdOptimizer,
    StochasticRoundingFloat16OptimizerWrapper,
    ZerosInitializer,
)

_numbers = itertools.count()
Rounded = StochasticRoundingFloat16OptimizerWrapper


@pytest.fixture
def tables():
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    opened = []

    def make(*segments):
        """A segment is (dim, optimizer), (dim, optimizer, compressor) or (dim, optimizer, compressor, initializer)."""
        proto = EmbeddingHashTableConfig()
        for dim, optimizer, *rest in segments:
            compressor = rest[0] if rest else Fp32Compressor()
            initializer = rest[1] if len(rest) > 1 else ZerosInitializer()
            proto.entry_config.segments.append(CombineAsSegment(dim, initializer, optimizer, compressor))
        CuckooHashTableConfig().mutate_table(proto)
        t = _core.MultiTable(f"test_stochastic_rounding_{next(_numbers)}", {"t": proto.SerializeToString()})
        opened.append(t)
        return t

    yield make
    for t in opened:
        t.close()


def keys_of(n):
    return np.arange(n, dtype=np.int64) * 7919 - 5


def rounded(t, values, rate=0.0, global_step=0, keys=None):
    """The weights after a step that leaves `values` [n, dim] where they are but for the rounding."""
    values = np.asarray(values, np.float32)
    keys = keys_of(len(values)) if keys is None else keys
    t.assign("t", keys, values)
    t.optimize("t", keys, np.zeros_like(values), [rate], global_step=global_step)
    return t.lookup("t", keys)


def neighbours(x):
    """(below, above) in float16 of values within its range, as float64; the same where it holds the value."""
    x = np.asarray(x, np.float64)
    near = x.astype(np.float16)
    below = np.where(near.astype(np.float64) > x, np.nextafter(near, np.float16(-np.inf)), near)
    above = np.where(near.astype(np.float64) < x, np.nextafter(near, np.float16(np.inf)), near)
    return below.astype(np.float64), above.astype(np.float64)


def test_out_of_range(tables):  # V4.27
    t = tables((1, Rounded(SgdOptimizer())))
    values = [70000, -70000, 65504, -65504, 65504.004, 1e38, -1e38, np.inf, -np.inf, np.nan]
    got = rounded(t, np.array(values)[:, None])[:, 0]
    np.testing.assert_array_equal(got, [65504, -65504, 65504, -65504, 65504, 65504, -65504, 65504, -65504, np.nan])


def test_every_float16_value_stays(tables):
    halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    halves = halves[np.isfinite(halves)].reshape(-1, 8)
    assert rounded(tables((8, Rounded(SgdOptimizer()))), halves).tobytes() == halves.tobytes()


def test_only_neighbours_and_both(tables):
    rng = np.random.default_rng(1)
    values = (np.exp2(rng.uniform(-28, 15.9, size=(20000, 3))) * rng.choice([-1, 1], size=(20000, 3))).astype(np.float32)
    got = rounded(tables((3, Rounded(SgdOptimizer()))), values).astype(np.float64)
    below, above = neighbours(values)
    assert ((got == below) | (got == above)).all()
    assert 0.4 < (got == below)[below != above].mean() < 0.6


@pytest.mark.parametrize("scale", [1.0, -1.0, 2.0**-20, -(2.0**-20), 3e-8, 1000.0])
@pytest.mark.parametrize("fraction", [0.0625, 0.2747, 0.5, 0.9, 0.99])
def test_the_mean_is_the_weight(tables, scale, fraction):
    """100,000 keys: the share that went up is the place of the weight between its neighbours, by 5 deviations."""
    below, above = neighbours(scale * 1.00001)
    value = np.float32(below + fraction * (above - below))
    place = (float(value) - below) / (above - below)
    got = rounded(tables((1, Rounded(SgdOptimizer()))), np.full((100_000, 1), value))[:, 0].astype(np.float64)
    assert set(got.tolist()) == {float(below), float(above)}
    share = (got == above).mean()
    assert abs(share - place) < 5 * np.sqrt(place * (1 - place) / 100_000)


def test_steps_too_small_for_float16_add_up(tables):
    """A thousand sgd steps of 1e-4 round 1.0, whose neighbours are 5e-4 and 1e-3 away."""
    t = tables((4, Rounded(SgdOptimizer())))
    keys = keys_of(500)
    t.assign("t", keys, np.ones((500, 4), np.float32))
    for i in range(1000):
        t.optimize("t", keys, np.full((500, 4), 0.01, np.float32), [0.01], global_step=i)
    got = t.lookup("t", keys)
    np.testing.assert_array_equal(got, got.astype(np.float16).astype(np.float32))
    assert abs(got.mean() - 0.9) < 1e-3
    assert 1e-3 < got.std() < 0.03  # places and keys do not go together


def test_each_weight_draws_for_itself(tables):
    """Over keys, over places, over steps and over times the choices are independent of each other."""
    t = tables((8, Rounded(SgdOptimizer())))
    value = np.full((2000, 8), 1 + 2.0**-11, np.float32)  # half way

    def ups(global_step, req_time):
        keys = keys_of(2000)
        t.assign("t", keys, value)
        t.optimize("t", keys, np.zeros_like(value), [0.0], req_time, global_step)
        return (t.lookup("t", keys) > 1.0001).astype(np.float64)

    first = ups(1, 100)
    assert np.array_equal(ups(1, 100), first)
    for other in (ups(2, 100), ups(1, 101), np.roll(first, 1, axis=0), np.roll(first, 1, axis=1)):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.05


def test_order_and_batches_do_not_matter(tables):
    rng = np.random.default_rng(5)
    keys, rows = keys_of(300), []
    batches = [(rng.normal(size=(300, 6)).astype(np.float32), rng.permutation(300)) for _ in range(20)]
    for shuffled in (False, True):
        t = tables((6, Rounded(AdagradOptimizer(0.1)), Fp32Compressor(), RandomUniformInitializer()))
        for i, (grads, order) in enumerate(batches):
            parts = np.array_split(order, 7) if shuffled else [np.arange(300)]
            for part in parts:
                t.optimize("t", keys[part], grads[part], [0.1], 50 + i, i)
        rows.append([t.row("t", int(k)) for k in keys])
    assert rows[0] == rows[1]


def test_this_segment_alone(tables):
    """Upstream rounded everything behind it too, and dropped the global step."""
    segments = [
        (2, AdagradOptimizer()),
        (3, Rounded(AdagradOptimizer())),
        (1, Rounded(BatchSoftmaxOptimizer())),
        (4, Rounded(FtrlOptimizer()), OneBitCompressor()),
        (3, AdagradOptimizer()),
    ]
    plain = [(dim, getattr(o, "optimizer", o), *rest) for dim, o, *rest in segments]
    t, same = tables(*segments), tables(*plain)
    rng = np.random.default_rng(8)
    keys = keys_of(50)
    start = rng.normal(size=(50, 13)).astype(np.float32)
    grads = rng.normal(size=(50, 13)).astype(np.float32)
    for each in (t, same):
        each.assign("t", keys, start)
        each.optimize("t", keys, grads, [0.1] * 5, 9, 1000)
    got, exact = ([np.array(each.row("t", int(k))[0], np.float32) for k in keys] for each in (t, same))
    got, exact = np.array(got), np.array(exact)
    rounds = np.r_[2:10]
    others = np.setdiff1d(np.arange(got.shape[1]), rounds)
    assert got[:, others].tobytes() == exact[:, others].tobytes()  # weights of the others, and all state
    below, above = neighbours(exact[:, rounds])
    assert ((got[:, rounds] == below) | (got[:, rounds] == above)).all()
    assert (got[:, rounds] != exact[:, rounds]).any()
    # batch_softmax saw step 1000: its weight moved by a tenth of that.
    np.testing.assert_allclose(got[:, 5], 0.9 * start[:, 5] + 100, atol=0.1)


def test_initial_values_and_assigned_ones_are_not_rounded(tables):
    t = tables((3, Rounded(SgdOptimizer())))
    t.assign("t", keys_of(1), np.array([[0.1, 0.2, 0.3]], np.float32))
    t.assign_add("t", keys_of(1), np.array([[0.0, 0.001, 0.0]], np.float32))
    np.testing.assert_array_equal(t.lookup("t", keys_of(1))[0], np.float32([0.1, np.float32(0.2) + np.float32(0.001), 0.3]))
