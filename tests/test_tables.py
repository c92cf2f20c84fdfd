"""Embedding tables through the Python extension: what they do to rows, against models that are plain and slow."""

import itertools
import math
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monolith_cli._native import _core
from monolith_cli.errors import ConfigError, UsageError
from monolith_cli.tables.config import (
    AdagradOptimizer,
    AdamOptimizer,
    CombineAsSegment,
    ConstantsInitializer,
    CuckooHashTableConfig,
    Fp32Compressor,
    FtrlOptimizer,
    RandomUniformInitializer,
    SgdOptimizer,
    ZerosInitializer,
)

_numbers = itertools.count()


def config(*segments):
    """Serialized config of (dim, initializer, optimizer) segments."""
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    proto = EmbeddingHashTableConfig()
    proto.entry_config.segments.extend(CombineAsSegment(d, i, o, Fp32Compressor()) for d, i, o in segments)
    CuckooHashTableConfig().mutate_table(proto)
    return proto.SerializeToString()


@pytest.fixture
def tables():
    opened = []

    def make(*segments):
        t = _core.MultiTable(f"test_tables_{next(_numbers)}", {"t": config(*segments)})
        opened.append(t)
        return t

    yield make
    for t in opened:
        t.close()


def ids(*keys):
    return np.array(keys, np.int64)


def column(*values):
    return np.array(values, np.float32).reshape(-1, 1)


def test_lookup_assign_optimize(tables):  # V7.1, V7.2
    t = tables((1, ZerosInitializer(), SgdOptimizer()))
    assert t.lookup("t", ids(5)).tolist() == [[0]]
    t.assign_add("t", ids(-10), column(2.5))
    assert t.lookup("t", ids(-10)).tolist() == [[2.5]]
    t.optimize("t", ids(13), column(1), [0.01])
    assert t.lookup("t", ids(13))[0, 0] == pytest.approx(-0.01)
    t.assign("t", ids(-10, 13, 100), column(1, 2, 3))
    out = t.lookup("t", ids(5, -10, 13, 100))
    assert out.dtype == np.float32 and out.tolist() == [[0], [1], [2], [3]]
    assert t.contains("t", ids(5, -10)) == [False, True]
    assert t.sizes() == {"t": 3}
    assert t.row("t", 5) is None
    t.clear("t")
    assert t.sizes() == {"t": 0} and t.lookup("t", ids(13)).tolist() == [[0]]


def test_duplicates(tables):  # V7.3
    t = tables((1, ZerosInitializer(), SgdOptimizer()))
    t.optimize("t", ids(0, 0, 1), column(-1, -1, -1), [0.1])
    np.testing.assert_allclose(t.lookup("t", ids(0, 1)), column(0.2, 0.1), rtol=1e-6)


def test_assign_keeps_optimizer_state(tables):  # V7.9
    t = tables((1, ConstantsInitializer(0.5), AdagradOptimizer(0.1, 0.1)))
    t.assign_add("t", ids(1), column(2))
    assert t.lookup("t", ids(1)).tolist() == [[2.5]]
    t.optimize("t", ids(1), column(3), [0.1], req_time=77)
    norm = t.row("t", 1)[0][1]
    t.assign("t", ids(1), column(9), req_time=99)
    assert t.row("t", 1) == ([9.0, norm], 99)
    assert norm == pytest.approx(9.1)


def test_random_start_depends_on_the_key_alone(tables):
    segment = (20, RandomUniformInitializer(-0.5, 0.25), SgdOptimizer())
    keys = np.arange(3000, dtype=np.int64)
    zeros = np.zeros((3000, 20), np.float32)
    a, b = tables(segment), tables(segment)
    a.assign_add("t", keys, zeros)
    halves = [threading.Thread(target=b.assign_add, args=("t", k, zeros[: len(k)])) for k in (keys[:1000][::-1].copy(), keys[500:].copy())]
    for thread in halves:
        thread.start()
    for thread in halves:
        thread.join()
    rows = a.lookup("t", keys)
    assert np.array_equal(rows, b.lookup("t", keys))
    assert rows.min() >= -0.5 and rows.max() < 0.25
    assert abs(rows.mean() + 0.125) < 0.005
    assert len(np.unique(rows)) > 0.99 * rows.size


def sgd(w, s, g, lr, c):
    return w - lr * g


def adagrad(w, s, g, lr, c):
    q = g + c["decay"] * w
    s["norm"] = s.get("norm", c["initial"]) + q * q
    return w - lr / math.sqrt(s["norm"]) * q


def ftrl(w, s, g, lr, c):
    n0, z0 = s.get("n", c["initial"]), s.get("z", 0.0)
    n = n0 + g * g
    z = z0 + g - (math.sqrt(n) - math.sqrt(n0)) / lr * w
    s["n"], s["z"] = n, z
    if abs(z) <= c["l1"]:
        return 0.0
    return lr * (math.copysign(c["l1"], z) - z) / (math.sqrt(n) + c["beta"] + c["l2"] * lr)


def adam(w, s, g, lr, c):
    m, v = s.get("m", 0.0), s.get("v", 0.0)
    b1p, b2p = s.get("b1p", c["b1"]), s.get("b2p", c["b2"])
    rate = lr * math.sqrt(1 - b2p) / (1 - b1p)
    q = g + c["decay"] * w
    m += (q - m) * (1 - c["b1"])
    v += (q * q - v) * (1 - c["b2"])
    s.update(m=m, v=v, b1p=b1p * c["b1"], b2p=b2p * c["b2"])
    top = (1 - c["b1"]) * q + c["b1"] * m if c["nesterov"] else m
    return w - rate * top / (math.sqrt(v) + c["eps"])


@pytest.mark.parametrize(
    "optimizer, model, constants",
    [
        (SgdOptimizer(), sgd, {}),
        (AdagradOptimizer(0.1, 0.1), adagrad, dict(initial=0.1, decay=0.0)),
        (AdagradOptimizer(0.1, 1.0, weight_decay_factor=0.05), adagrad, dict(initial=1.0, decay=0.05)),
        (FtrlOptimizer(), ftrl, dict(initial=0.1, beta=0.0, l1=0.0, l2=0.0)),
        (
            FtrlOptimizer(initial_accumulator_value=0.2, beta=1.0, l1_regularization=0.05, l2_regularization=0.1),
            ftrl,
            dict(initial=0.2, beta=1.0, l1=0.05, l2=0.1),
        ),
        (AdamOptimizer(), adam, dict(b1=0.9, b2=0.99, eps=0.01, decay=0.0, nesterov=False)),
        (
            AdamOptimizer(beta1=0.8, beta2=0.95, epsilon=0.1, weight_decay_factor=0.01, use_nesterov=True),
            adam,
            dict(b1=0.8, b2=0.95, eps=0.1, decay=0.01, nesterov=True),
        ),
    ],
    ids=["sgd", "adagrad", "adagrad-decay", "ftrl", "ftrl-regularized", "adam", "adam-nesterov-decay"],
)
@pytest.mark.parametrize("dim", [3, 16])
def test_optimizers_for_hundreds_of_steps(tables, optimizer, model, constants, dim):
    rng = np.random.default_rng(dim)
    t = tables((dim, ConstantsInitializer(0.25), optimizer))
    keys = ids(-3, 1 << 50)
    weights, states = np.full((2, dim), 0.25), [[{} for _ in range(dim)] for _ in keys]
    for step in range(400):
        grads = rng.normal(size=(2, dim)).astype(np.float32)
        rate = 0.05 / (1 + step / 200)
        t.optimize("t", keys, grads, [rate])
        for k, d in itertools.product(range(2), range(dim)):
            weights[k, d] = model(weights[k, d], states[k][d], float(grads[k, d]), float(np.float32(rate)), constants)
    np.testing.assert_allclose(t.lookup("t", keys), weights, rtol=2e-4, atol=2e-5)


def test_segments_have_their_own_rates(tables):  # V4.23
    t = tables((1, ZerosInitializer(), AdagradOptimizer(0.1, 1.0)), (2, ZerosInitializer(), AdagradOptimizer(0.1, 2.0)))
    t.optimize("t", ids(7), np.array([[1, 2, 3]], np.float32), [1, 2])
    np.testing.assert_allclose(t.lookup("t", ids(7)), [[-0.70710677, -1.6329931, -1.8090681]], rtol=1e-6)


KEYS = st.one_of(st.integers(-5, 20), st.sampled_from([-(2**63), 2**63 - 1, 1 << 48, (1 << 62) + 5]), st.integers(-(2**63), 2**63 - 1))
VALUES = st.integers(-64, 64).map(lambda i: i / 8)  # sums stay exact in float32
OPERATION = st.tuples(st.sampled_from(["assign", "assign_add", "optimize", "clear"]), st.lists(st.tuples(KEYS, VALUES), max_size=40))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(operations=st.lists(OPERATION, max_size=12))
def test_against_a_dict(tables, operations):
    t = tables((2, ConstantsInitializer(1.0), SgdOptimizer()))
    model = {}
    for name, pairs in operations:
        if name == "clear":
            t.clear("t")
            model.clear()
            continue
        keys = ids(*(k for k, _ in pairs))
        values = np.array([[v, 2 * v] for _, v in pairs], np.float32).reshape(-1, 2)
        if name == "optimize":
            t.optimize("t", keys, values, [0.5])
        else:
            getattr(t, name)("t", keys, values)
        for k, v in pairs:
            a, b = model.get(k, (1.0, 1.0))
            model[k] = {"assign": (v, 2 * v), "assign_add": (a + v, b + 2 * v), "optimize": (a - v / 2, b - v)}[name]
    keys = ids(*model, 4711)
    expected = [list(v) for v in model.values()] + ([[0, 0]] if 4711 not in model else [list(model[4711])])
    assert t.lookup("t", keys).tolist() == expected
    assert t.sizes() == {"t": len(model)}


def test_many_keys_in_little_memory(tables):
    t = tables((16, ConstantsInitializer(0.01), AdagradOptimizer(0.01, 0.1)))
    rng = np.random.default_rng(1)
    keys = np.unique(rng.integers(-(2**63), 2**63 - 1, 600_000))
    useful = 8 + 64 + 64 + 4
    for part in np.array_split(rng.permutation(keys), 12):
        t.assign_add("t", part, np.zeros((len(part), 16), np.float32))
        assert t.memory() <= 1.12 * useful * t.sizes()["t"] + 4096
    assert t.sizes()["t"] == len(keys)
    assert np.all(t.lookup("t", keys) == np.float32(0.01))


def test_one_object_for_one_name():
    a = _core.MultiTable("test_tables_shared", {"t": config((1, ZerosInitializer(), SgdOptimizer()))})
    b = _core.MultiTable("test_tables_shared", {"t": config((1, ZerosInitializer(), SgdOptimizer()))})
    try:
        a.assign("t", ids(1), column(4))
        assert b.lookup("t", ids(1)).tolist() == [[4]]
        with pytest.raises(ConfigError, match="test_tables_shared"):
            _core.MultiTable("test_tables_shared", {"t": config((2, ZerosInitializer(), SgdOptimizer()))})
    finally:
        a.close()


def test_mistakes_are_named(tables):
    t = tables((2, ZerosInitializer(), SgdOptimizer()))
    with pytest.raises(UsageError, match="'movies'.*there are: t"):
        t.lookup("movies", ids(1))
    with pytest.raises(UsageError, match=r"\[1, 2\], not \[1, 1\]"):
        t.assign("t", ids(1), column(1))
    with pytest.raises(UsageError, match="1 segments but 2 learning rates"):
        t.optimize("t", ids(1), np.zeros((1, 2), np.float32), [1, 2])
