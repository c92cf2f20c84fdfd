"""Every optimizer of the tables against its formula in float64, over many steps; what is saved comes back bit for bit."""

import itertools
import math

import numpy as np
import pytest

from monolith_cli._native import _core
from monolith_cli.errors import ConfigError, UsageError
from monolith_cli.tables.config import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    AmsgradOptimizer,
    BatchSoftmaxOptimizer,
    CombineAsSegment,
    ConstantsInitializer,
    CuckooHashTableConfig,
    Fp32Compressor,
    FtrlOptimizer,
    MomentumOptimizer,
    MovingAverageOptimizer,
    RandomUniformInitializer,
    RmspropOptimizer,
    RmspropV2Optimizer,
    SgdOptimizer,
    ZerosInitializer,
)

_numbers = itertools.count()


@pytest.fixture
def tables():
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    opened = []

    def make(*segments):
        proto = EmbeddingHashTableConfig()
        proto.entry_config.segments.extend(CombineAsSegment(d, i, o, Fp32Compressor()) for d, i, o in segments)
        CuckooHashTableConfig().mutate_table(proto)
        t = _core.MultiTable(f"test_optimizers_{next(_numbers)}", {"t": proto.SerializeToString()})
        opened.append(t)
        return t

    yield make
    for t in opened:
        t.close()


KEY = np.array([11], np.int64)


def step(t, grads, rates, global_step=0):
    t.optimize("t", KEY, np.array([grads], np.float32), rates, global_step=global_step)
    return t.lookup("t", KEY)[0]


def opt_dump(t, folder):
    """The `opt` message of KEY as a saved file has it."""
    tf = pytest.importorskip("tensorflow")
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    t.save_table("t", str(folder / "t"), 1)
    entries = [EntryDump.FromString(r) for r in tf.compat.v1.io.tf_record_iterator(str(folder / "t-00000-of-00001"))]
    return next(e for e in entries if e.id == KEY[0]).opt


def again(t, tables, folder, *segments):
    """Another table with what `t` saved."""
    t.save_table("t", str(folder / "again"), 1)
    other = tables(*segments)
    other.restore_table("t", str(folder / "again"))
    return other


def close(rows, expected, tolerance=2e-6):
    np.testing.assert_allclose(rows, expected, rtol=2e-5, atol=tolerance)


# --- vectors of the contract


@pytest.mark.parametrize(
    "optimizer, rate, grads, expected",
    [
        pytest.param(SgdOptimizer(), 0.1, [[1]], [[-0.1]], id="V4.1"),
        pytest.param(AdagradOptimizer(initial_accumulator_value=1), 0.1, [[1, 2]], [[-0.07071067, -0.08944272]], id="V4.2"),
        pytest.param(
            AdagradOptimizer(initial_accumulator_value=1, weight_decay_factor=0.1),
            0.1,
            [[1, 2]] * 3,
            [[-0.07071067, -0.08944272], [-0.128173, -0.155943], [-0.1777776, -0.2111890]],
            id="V4.3",
        ),
        pytest.param(
            AdagradOptimizer(initial_accumulator_value=0.1), 1, [[1]] * 3, [[-0.95346254], [-1.643528], [-2.2114902]], id="V4.4"
        ),
        pytest.param(
            AdadeltaOptimizer(), 0.01, [[10, 1]] * 2, [[-0.0031607, -0.0030151], [-0.0064035, -0.0061047]], id="V4.7"
        ),
        pytest.param(
            AdamOptimizer(), 0.01, [[10, 1]] * 2, [[-0.00990099, -0.00909091], [-0.01983060, -0.01842895]], id="V4.8"
        ),
        pytest.param(
            AmsgradOptimizer(), 0.01, [[10, 1]] * 2, [[-0.00990099, -0.00909091], [-0.01983060, -0.01842895]], id="V4.10"
        ),
        pytest.param(FtrlOptimizer(), 0.01, [[10, 1]] * 2, [[-0.009995, -0.00953463], [-0.0170643, -0.0164353]], id="V4.11"),
        pytest.param(
            FtrlOptimizer(initial_accumulator_value=0.1, beta=1, l1_regularization=0.5, l2_regularization=0.2),
            0.1,
            [[1, 0.2], [-3, 0.2], [0.5, 0.2]],
            [[-0.02416850, 0], [0.02347267, 0], [0.01167226, -0.006715731]],
            id="V4.12",
        ),
        pytest.param(
            AdaGradWithGroupLassoOptimizer(beta=1, initial_accumulator_value=0, l2_regularization=0.5),
            0.01,
            [[10, 1], [1, 5]],
            [[-0.008639, -0.000864], [-0.009096, -0.004778]],
            id="V4.15",
        ),
        pytest.param(
            AdaGradWithGroupLassoOptimizer(beta=1, initial_accumulator_value=0),
            0.01,
            [[10, 1]],
            [[-0.009091, -0.000909]],
            id="V4.16",
        ),
        pytest.param(
            AdaGradWithGroupLassoOptimizer(beta=1, initial_accumulator_value=0, l2_regularization=1000),
            0.01,
            [[10, 1]],
            [[0, 0]],
            id="V4.16-lasso",
        ),
        pytest.param(MomentumOptimizer(), 0.01, [[10, 1]] * 2, [[-0.1, -0.01], [-0.29, -0.029]], id="V4.17"),
        pytest.param(MovingAverageOptimizer(), 0, [[10, 1]] * 2, [[1, 0.1], [1.9, 0.19]], id="V4.18"),
        pytest.param(RmspropOptimizer(), 0.01, [[10]] * 2, [[-0.024025], [-0.042686]], id="V4.19"),
        pytest.param(
            RmspropV2Optimizer(), 0.01, [[10, 1]] * 2, [[-0.0090909, -0.005], [-0.0158549, -0.0092045]], id="V4.20"
        ),
    ],
)
def test_vectors(tables, optimizer, rate, grads, expected):
    t = tables((len(grads[0]), ZerosInitializer(), optimizer))
    for g, row in zip(grads, expected, strict=True):
        close(step(t, g, [rate]), row, 1e-6)


def test_adagrad_decay_in_every_dim(tables):  # V4.5
    t = tables((8, ConstantsInitializer(1), AdagradOptimizer(initial_accumulator_value=0.1, weight_decay_factor=0.1)))
    grads = [(i + 1) / 10 for i in range(8)]
    close(step(t, grads, [0.1]), [0.9465477, 0.9311753, 0.9215536, 0.9154845, 0.9115348, 0.9088678, 0.9070019, 0.9056544])
    close(step(t, grads, [0.1]), [0.9003959, 0.8753730, 0.8605900, 0.8515781, 0.8458293, 0.8419936, 0.8393294, 0.8374134])


def test_adam_goes_on_after_a_restore(tables, tmp_path):  # V4.9
    segment = (2, ZerosInitializer(), AdamOptimizer(weight_decay_factor=0.01))
    t = tables(segment)
    t.assign("t", KEY, np.array([[1, -0.5]], np.float32))
    close(step(t, [0.5, -1], [0.1]), [0.9163935, -0.4090498])
    close(step(t, [-0.25, 2], [0.1]), [0.8919142, -0.4437921])
    t = again(t, tables, tmp_path, segment)
    close(step(t, [0.1, 0.1], [0.1]), [0.8629132, -0.4732953])
    close(t.row("t", 11)[0][-2:], [0.6561, 0.960596])


def test_group_adagrad_goes_on_after_a_restore(tables, tmp_path):  # V4.14
    optimizer = AdaGradWithGroupLassoOptimizer(beta=1, initial_accumulator_value=0, l2_regularization=1)
    t = tables((1, ZerosInitializer(), optimizer))
    close(step(t, [10], [0.01]), [-0.008182], 1e-6)
    assert opt_dump(t, tmp_path).dump[0].group_adagrad.grad_square_sum == 100
    t = again(t, tables, tmp_path, (1, ZerosInitializer(), optimizer))
    close(step(t, [10], [0.01]), [-0.014125], 1e-6)
    assert t.row("t", 11)[0][1] == 200


def test_batch_softmax(tables, tmp_path):  # V4.21, V4.22
    t = tables((1, ZerosInitializer(), BatchSoftmaxOptimizer()))
    assert step(t, [5], [0.1], global_step=1) == pytest.approx(0.1)
    assert opt_dump(t, tmp_path).dump[0].batch_softmax.global_step == 1
    t = tables((1, ZerosInitializer(), BatchSoftmaxOptimizer()))
    for global_step in range(0, 1000, 5):
        keys = np.array([0, 1] if global_step % 10 == 0 else [0], np.int64)
        t.optimize("t", keys, np.zeros((len(keys), 1), np.float32), [0.1], global_step=global_step)
    close(t.lookup("t", np.array([0, 1], np.int64)), [[4.999997], [9.999702]])


def test_batch_softmax_refuses_a_negative_step(tables):
    t = tables((1, ZerosInitializer(), BatchSoftmaxOptimizer()))
    step(t, [0], [0.1], global_step=2**40)
    before = t.row("t", 11)
    with pytest.raises(UsageError, match="'t'.*batch_softmax.*-1"):
        step(t, [0], [0.1], global_step=-1)
    assert t.row("t", 11) == before
    sgd = tables((1, ZerosInitializer(), SgdOptimizer()))
    assert step(sgd, [1], [0.5], global_step=-1) == [-0.5]


def test_segments(tables, tmp_path):  # V4.23, V4.24
    segments = [
        (1, ZerosInitializer(), AdagradOptimizer(initial_accumulator_value=1)),
        (2, ZerosInitializer(), AdagradOptimizer(initial_accumulator_value=2)),
    ]
    t = tables(*segments)
    close(step(t, [1, 2, 3], [1, 2]), [-0.70710677, -1.6329931, -1.8090681])
    t = again(t, tables, tmp_path, *segments)
    t.assign("t", KEY, np.zeros((1, 3), np.float32))
    close(step(t, [1, 2, 3], [1, 2]), [-0.57735026, -1.264911, -1.3416407])
    t = tables((1, ZerosInitializer(), SgdOptimizer()), (2, ZerosInitializer(), SgdOptimizer()))
    assert step(t, [1, 2, 3], [1, 2]).tolist() == [-1, -4, -6]
    assert len(t.row("t", 11)[0]) == 3


# --- models: (weights, state, gradients, rate, constants) of a row in float64 -> weights


def adadelta(w, s, g, lr, c):
    q = g + c["decay"] * w
    a = c["ratio"] * s.get("a", 0 * w) + (1 - c["ratio"]) * q**2
    u = np.sqrt(s.get("u", 0 * w) + c["eps"]) / np.sqrt(a + c["eps"]) * q
    s["a"], s["u"] = a, c["ratio"] * s.get("u", 0 * w) + (1 - c["ratio"]) * u**2
    return w - lr * u


def amsgrad(w, s, g, lr, c):
    t = s["t"] = s.get("t", 0) + 1
    q = g + c["decay"] * w
    m = s["m"] = s.get("m", 0 * w) * c["b1"] + q * (1 - c["b1"])
    v = s["v"] = s.get("v", 0 * w) * c["b2"] + q**2 * (1 - c["b2"])
    s["vhat"] = np.maximum(s.get("vhat", 0 * w), v)
    top = (1 - c["b1"]) * q + c["b1"] * m if c["nesterov"] else m
    return w - lr * math.sqrt(1 - c["b2"] ** t) / (1 - c["b1"] ** t) * top / (np.sqrt(s["vhat"]) + c["eps"])


def momentum(w, s, g, lr, c):
    old = s.get("n", 0 * w)
    new = s["n"] = c["mu"] * old - lr * (g + c["decay"] * w)
    return w - c["mu"] * old + (1 + c["mu"]) * new if c["nesterov"] else w + new


def moving_average(w, s, g, lr, c):
    return c["mu"] * w + (1 - c["mu"]) * g


def rmsprop(w, s, g, lr, c):
    x = g + c["decay"] * w
    s["n"] = c["mu"] * s.get("n", 0 * w) + (1 - c["mu"] if c["average"] else 1) * x**2
    return w - lr / (np.sqrt(s["n"]) + 1) * x


def group_adagrad(w, s, g, lr, c):
    q = g + c["decay"] * w
    s["s"] = s.get("s", c["initial"]) + np.max(q**2)
    r = lr / (c["beta"] + math.sqrt(s["s"]))
    t = q - w / r
    norm = math.sqrt(np.sum(t**2))
    return 0 * w if norm < c["l2"] else -r * ((norm - c["l2"]) / norm) * t


MODELS = [
    pytest.param(AdadeltaOptimizer(), adadelta, dict(decay=0, ratio=0.9, eps=0.01), id="adadelta"),
    pytest.param(
        AdadeltaOptimizer(weight_decay_factor=0.05, averaging_ratio=0.8, epsilon=0.1),
        adadelta,
        dict(decay=0.05, ratio=0.8, eps=0.1),
        id="adadelta-decay",
    ),
    pytest.param(AmsgradOptimizer(), amsgrad, dict(decay=0, b1=0.9, b2=0.99, eps=0.01, nesterov=False), id="amsgrad"),
    pytest.param(
        AmsgradOptimizer(beta1=0.8, beta2=0.95, epsilon=0.1, weight_decay_factor=0.01, use_nesterov=True),
        amsgrad,
        dict(decay=0.01, b1=0.8, b2=0.95, eps=0.1, nesterov=True),
        id="amsgrad-nesterov-decay",
    ),
    pytest.param(MomentumOptimizer(), momentum, dict(decay=0, mu=0.9, nesterov=False), id="momentum"),
    pytest.param(
        MomentumOptimizer(weight_decay_factor=0.05, use_nesterov=True, momentum=0.8),
        momentum,
        dict(decay=0.05, mu=0.8, nesterov=True),
        id="momentum-nesterov-decay",
    ),
    pytest.param(MovingAverageOptimizer(), moving_average, dict(mu=0.9), id="moving_average"),
    pytest.param(MovingAverageOptimizer(0.6), moving_average, dict(mu=0.6), id="moving_average-fast"),
    pytest.param(RmspropOptimizer(), rmsprop, dict(decay=0, mu=0.9, average=True), id="rmsprop"),
    pytest.param(
        RmspropOptimizer(weight_decay_factor=0.05, momentum=0.7),
        rmsprop,
        dict(decay=0.05, mu=0.7, average=True),
        id="rmsprop-decay",
    ),
    pytest.param(RmspropV2Optimizer(), rmsprop, dict(decay=0, mu=0.9, average=False), id="rmspropv2"),
    pytest.param(
        RmspropV2Optimizer(weight_decay_factor=0.05, momentum=0.7),
        rmsprop,
        dict(decay=0.05, mu=0.7, average=False),
        id="rmspropv2-decay",
    ),
    pytest.param(
        AdaGradWithGroupLassoOptimizer(), group_adagrad, dict(decay=0, initial=0.1, beta=0, l2=0), id="group_adagrad"
    ),
    pytest.param(
        AdaGradWithGroupLassoOptimizer(
            beta=1, initial_accumulator_value=0.5, l2_regularization=1.5, weight_decay_factor=0.05
        ),
        group_adagrad,
        dict(decay=0.05, initial=0.5, beta=1, l2=1.5),
        id="group_adagrad-lasso-decay",
    ),
]


@pytest.mark.parametrize("optimizer, model, constants", MODELS)
@pytest.mark.parametrize("dim", [1, 8, 16, 17])
def test_many_steps(tables, optimizer, model, constants, dim):
    """The optimizer stands between two others, whose rows it must leave alone."""
    rng = np.random.default_rng(dim)
    t = tables(
        (3, ZerosInitializer(), SgdOptimizer()),
        (dim, ConstantsInitializer(0.25), optimizer),
        (2, ZerosInitializer(), SgdOptimizer()),
    )
    keys = np.array([-3, 1 << 50], np.int64)
    rows, states, sums = np.full((2, dim), 0.25), [{}, {}], np.zeros((2, 5))
    for i in range(300):
        grads = (rng.normal(size=(2, dim + 5)) + 0.1).astype(np.float32)
        rate = np.float32(0.05 / (1 + i / 200))
        t.optimize("t", keys, grads, [0.5, rate, 0.25])
        for k in range(2):
            rows[k] = model(rows[k], states[k], grads[k, 3 : 3 + dim].astype(np.float64), float(rate), constants)
        sums += np.delete(grads, np.s_[3 : 3 + dim], axis=1) * np.array([0.5] * 3 + [0.25] * 2)
    out = t.lookup("t", keys)
    np.testing.assert_allclose(out[:, 3 : 3 + dim], rows, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(np.delete(out, np.s_[3 : 3 + dim], axis=1), -sums, rtol=1e-4, atol=1e-4)


def test_batch_softmax_for_many_steps(tables):
    rng = np.random.default_rng(5)
    t = tables((2, ZerosInitializer(), SgdOptimizer()), (1, ConstantsInitializer(7), BatchSoftmaxOptimizer()))
    weights, last = np.full(20, 7.0), np.zeros(20)
    for global_step in np.cumsum(rng.integers(0, 9, 300)):
        keys = np.unique(rng.integers(0, 20, 6))
        t.optimize("t", keys, np.ones((len(keys), 3), np.float32), [1, 0.05], global_step=int(global_step))
        weights[keys] = 0.95 * weights[keys] + 0.05 * (global_step - last[keys])
        last[keys] = global_step
    np.testing.assert_allclose(t.lookup("t", np.arange(20))[:, 2], weights, rtol=1e-4)


ALL = [
    SgdOptimizer(),
    AdagradOptimizer(),
    FtrlOptimizer(),
    AdamOptimizer(),
    AdadeltaOptimizer(),
    AmsgradOptimizer(),
    MomentumOptimizer(),
    MovingAverageOptimizer(),
    RmspropOptimizer(),
    RmspropV2Optimizer(),
    AdaGradWithGroupLassoOptimizer(),
    BatchSoftmaxOptimizer(),
]


def trained(tables, segments, steps, rng):
    t = tables(*segments)
    keys = np.arange(-50, 50, dtype=np.int64) << 40
    width = sum(d for d, _, _ in segments)
    for i in range(steps):
        t.optimize("t", keys, rng.normal(size=(100, width)).astype(np.float32), [0.05] * len(segments), 1000 + i, 300 * (i + 1))
    return t, keys


def rows_of(t, keys):
    rows = [t.row("t", int(k)) for k in keys]
    return [(np.array(floats, np.float32).tobytes(), ts) for floats, ts in rows]


@pytest.mark.parametrize("whole", [True, False], ids=["all tables", "one table"])
@pytest.mark.parametrize("optimizer", [*ALL, None], ids=lambda o: o._choice if o else "all")
def test_save_and_restore_bit_by_bit(tables, tmp_path, optimizer, whole):
    def segment(o, dim):
        return (1 if isinstance(o, BatchSoftmaxOptimizer) else dim, RandomUniformInitializer(), o)

    segments = [segment(o, 3 + i) for i, o in enumerate(ALL)] if optimizer is None else [segment(optimizer, 17)]
    rng = np.random.default_rng(3)
    t, keys = trained(tables, segments, 5, rng)
    other = tables(*segments)
    base = str(tmp_path / "t")
    if whole:
        t.save(base, 2)
        other.restore(base)
    else:
        t.save_table("t", base, 2)
        other.restore_table("t", base)
    assert rows_of(other, keys) == rows_of(t, keys)
    # And both go on alike.
    grads = rng.normal(size=(100, sum(d for d, _, _ in segments))).astype(np.float32)
    for each in (t, other):
        each.optimize("t", keys, grads, [0.05] * len(segments), 2000, 70000)
    assert rows_of(other, keys) == rows_of(t, keys)


def test_dumps_as_protobuf_reads_them(tables, tmp_path):
    t = tables(*((1 if isinstance(o, BatchSoftmaxOptimizer) else 2, ZerosInitializer(), o) for o in ALL))
    t.optimize("t", KEY, np.ones((1, 23), np.float32), [0.1] * len(ALL), global_step=995)
    floats = t.row("t", 11)[0]
    opt = opt_dump(t, tmp_path)
    assert [d.WhichOneof("type") for d in opt.dump] == [o._choice for o in ALL if o._choice != "moving_average"]
    sgd, adagrad, ftrl, adam, adadelta, amsgrad, momentum, rmsprop, rmspropv2, group, softmax = opt.dump
    assert not sgd.sgd.ListFields()
    state = [
        *adagrad.adagrad.norm,
        *ftrl.ftrl.norm,
        *ftrl.ftrl.zero,
        *(*adam.adam.m, *adam.adam.v, adam.adam.beta1_power, adam.adam.beta2_power),
        *(*adadelta.adadelta.accum, *adadelta.adadelta.accum_update),
        *(*amsgrad.amsgrad.m, *amsgrad.amsgrad.v, *amsgrad.amsgrad.vhat),
        *(amsgrad.amsgrad.beta1_power, amsgrad.amsgrad.beta2_power),
        *momentum.momentum.n,
        *rmsprop.rmsprop.n,
        *rmspropv2.rmspropv2.n,
        group.group_adagrad.grad_square_sum,
    ]
    assert floats[23:-2] == state
    assert softmax.batch_softmax.global_step == 995 == np.array(floats[-2:], np.float32).view(np.int64)[0]


def test_another_optimizer_is_named(tables, tmp_path):
    """Every pair of optimizers whose states differ is refused, and the table stays empty."""
    for o in ALL:
        t = tables((1, ZerosInitializer(), o))
        step(t, [1], [0.1], global_step=3)
        t.save_table("t", str(tmp_path / o._choice), 1)
    for saved, opened in itertools.permutations(ALL, 2):
        t = tables((1, ZerosInitializer(), opened))
        if (saved._choice, opened._choice) == ("moving_average", "sgd"):
            continue  # neither has state, and nothing in the file tells whose it is
        with pytest.raises(ConfigError, match=rf"'t', key 11: .*configured with dim 1, {opened._choice} state"):
            t.restore_table("t", str(tmp_path / saved._choice))
        assert t.sizes() == {"t": 0}
