"""The vectors TV-L and M of the specification: dense optimizers, learning rates, clipping."""

import math

import numpy as np
import pytest
from layer_graph import W, X, close, graph, tf, tf1

from monolith_cli.model import PolynomialDecay
from monolith_cli.optimizers import AdamomOptimizer, RmspropOptimizer, ShampooOptimizer, clip_by_global_norm


def train(optimizer, start, grads, dtype="float64", global_step=False):
    """The variable after each gradient, and the slots at the end."""
    with graph(dtype) as session:
        variable = tf.Variable(np.asarray(start, dtype), name="v", dtype=dtype)
        grad = tf1.placeholder(dtype, np.shape(start))
        step = tf1.train.get_or_create_global_step() if global_step else None
        update = optimizer.apply_gradients([(grad, variable)], global_step=step)
        session.run(tf1.global_variables_initializer())
        after = []
        for g in grads:
            session.run(update, {grad: g})
            after.append(session.run(variable))
        return after, session.run({name: optimizer.get_slot(variable, name) for name in optimizer.get_slot_names()})


def ADAMOM(lr=0.1):
    return AdamomOptimizer(lr, ada_decay=0.99, mom_decay=0.9, epsilon=1e-6, weight_decay=0.01)


def RMSPROP(v2):
    return RmspropOptimizer(0.1, beta1=0.9, beta2=0.9, epsilon=0.1, weight_decay=1, use_v2=v2)


GROWING = [np.array([0.12, -0.3]) * k for k in (1, 2, 3)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tvl_of_record(dtype):
    (var,), slots = train(ADAMOM(), [0.1], [[0.12]], dtype)
    close([var[0], slots["m"][0], slots["c"][0], slots["v"][0]], [0.090000336, 0.0121, 1, 0.014641])
    for v2, expected in ((False, [0.06794526, 0.00484, 0.03205474]), (True, [0.06875, 0.0484, 0.03125])):
        (var,), slots = train(RMSPROP(v2), [0.1], [[0.12]], dtype)
        close([slots["m"][0], slots["v"][0], var[0]], expected)


def test_tvl_three_steps():
    after, slots = train(ADAMOM(), [0.1, -0.2], GROWING)
    close(after, [[0.09000034, -0.19000005], [0.07167765, -0.17167934], [0.0457691, -0.14577412]])
    close([slots["m"], slots["v"], slots["c"]], [[0.06755368, -0.16880468], [0.20191872, 1.26114299], [2.9701] * 2])
    close(train(RMSPROP(False), [.1, -.2], GROWING)[0],
          [[0.03205474, -0.05857864], [-0.11047609, 0.23040442], [-0.31176279, 0.63869613]])  # fmt: skip
    close(
        train(RMSPROP(True), [0.1, -0.2], GROWING)[0],
        [[0.03125, -0.11666667], [-0.09195878, 0.03303086], [-0.25429085, 0.2349593]],
    )


@pytest.mark.parametrize("make, expected", [
    (AdamomOptimizer, [0.49999995, 0.4999998505]), (RmspropOptimizer, [0.4998419059, 0.4995735683]),
    (lambda: RmspropOptimizer(use_v2=True), [0.499995, 0.4999865136]),
])  # fmt: skip
def test_tvl_defaults(make, expected):
    np.testing.assert_allclose([v[0] for v in train(make(), [0.5], [[0.2]] * 2)[0]], expected, atol=2e-10)


def test_tvl_shampoo_a():
    after, _ = train(
        ShampooOptimizer(warmup=2, tau_1=1, tau_2=1), W((2, 3)), [X((2, 3), k) for k in range(6)], global_step=True
    )
    close([a.reshape(-1) for a in after], [
        [-.297, 0, .297, -.097, .197, -.197], [-0.292426, -0.003, 0.296421, -0.0943, 0.191957, -0.192958],
        [-0.287036, -0.008383, 0.297378, -0.093991, 0.189265, -0.189321], [-0.282776, -0.013907, 0.300586, -0.096632, 0.192082, -0.18864],
        [-0.280785, -0.019833, 0.304805, -0.101846, 0.198538, -0.190765], [-0.280156, -0.02783, 0.307989, -0.109082, 0.203796, -0.194565],
    ])  # fmt: skip


def test_tvl_shampoo_b_and_c():
    optimizer = ShampooOptimizer(warmup=1, tau_1=2, tau_2=2, beta_2=0.9)
    after, slots = train(optimizer, W((4,)), [X((4,), k) for k in range(5)], global_step=True)
    close(after[-1], [-0.28645, -0.022364, 0.301249, -0.108596])
    assert sorted(slots) == sorted(["s0", "g0", "pvec0", "pval0", "o0", "d", "m", "pm"])
    cut = ShampooOptimizer(warmup=1, tau_1=1, tau_2=1, eigen_head=1, eigen_tail=1)
    after, slots = train(cut, W((4, 3), 2), [X((4, 3), 2 + k) for k in range(5)], global_step=True)
    close(after[-1].reshape(-1), [-0.09538, 0.184163, -0.192919, 0.078613, -0.303922, -0.013427, 0.313806, -0.083875, 0.212918, -0.188025,
                                  0.105792, -0.284846])  # fmt: skip
    assert slots["pvec0"].shape == (4, 2) and slots["pval1"].shape == (2,)


def test_shampoo_without_a_global_step():
    with graph():
        with pytest.raises(ValueError, match="global step"):
            v = tf.Variable([1.0])
            ShampooOptimizer().apply_gradients([(tf.constant([1.0]), v)])


def test_slots_have_their_names_and_come_back(tmp_path):
    def build():
        v = tf.Variable([1.0, 2.0], name="v")
        optimizer = AdamomOptimizer(0.1)
        return v, optimizer.minimize(tf.reduce_sum(tf.square(v)))

    with graph("float32") as session:
        v, step = build()
        session.run(tf1.global_variables_initializer())
        session.run(step), session.run(step)
        tf1.train.Saver().save(session, str(tmp_path / "m"))
        session.run(step)
        expected = session.run(v)
    names = [n for n, _ in tf.train.list_variables(str(tmp_path / "m"))]
    assert names == ["v", "v/Adamom/c", "v/Adamom/m", "v/Adamom/v"]
    with graph("float32") as session:
        v, step = build()
        tf1.train.Saver().restore(session, str(tmp_path / "m"))
        session.run(step)
        np.testing.assert_array_equal(session.run(v), expected)


def test_sparse_gradients_are_refused_by_name():
    with graph("float32"):
        for optimizer in (AdamomOptimizer(), RmspropOptimizer(), ShampooOptimizer()):
            v = tf.Variable([[1.0], [2.0]], name="table")
            with pytest.raises(NotImplementedError, match="table"):
                optimizer.minimize(tf.reduce_sum(tf.gather(v, [0])))


@pytest.mark.parametrize("arguments, step, expected", [
    ((.01, 10, .11), 1, .02), ((.01, 10, .11), 2, .03), ((.1, 10, .01, 2), 5, .0325), ((.1, 10, .01), 15, .01),
    ((.1, 10, .01, 1, True), 15, .0325), ((.1, 10, .01, 1, True), 0, .1),
])  # fmt: skip
def test_tvl_polynomial_decay(arguments, step, expected):
    with graph("float32") as session:
        rate = PolynomialDecay(*arguments)()
        session.run(tf1.global_variables_initializer())
        session.run(tf1.train.get_global_step().assign(step))
        close(session.run(rate), expected)


def test_tvl_schedules_train_and_have_a_text():
    schedule = PolynomialDecay(0.01, 10, 0.11)
    assert str(schedule) == ('LearningRateFunction("PolynomialDecay",Params:cycle=False,decay_steps=10,end_learning_rate=0.11,'
                             'initial_learning_rate=0.01,name=None,power=1.0)')  # fmt: skip
    with graph("float32") as session:
        variables = [tf.Variable([1.0, 2]), tf.Variable([3.0, 4])]
        optimizer = tf1.train.AdagradOptimizer(PolynomialDecay(3, 10, 11), initial_accumulator_value=0.1)
        update = optimizer.apply_gradients(
            [(tf.constant([0.1, 0.1]), variables[0]), (tf.constant([0.01, 0.01]), variables[1])]
        )
        session.run(tf1.global_variables_initializer())
        for _ in range(3):
            session.run(update)
        close(session.run(variables), [[-1.60261, -0.60261], [2.715679, 3.715679]])


@pytest.mark.parametrize("make", [AdamomOptimizer, RmspropOptimizer, ShampooOptimizer])
def test_a_schedule_is_asked_in_each_step(make):
    with graph("float32") as session:
        step = tf1.train.get_or_create_global_step()
        v = tf.Variable([[1.0, 2], [3, 4]])
        update = make(PolynomialDecay(0.0, 1, 0.1)).apply_gradients([(tf.ones([2, 2]), v)], global_step=step)
        session.run(tf1.global_variables_initializer())
        session.run(update)
        np.testing.assert_array_equal(session.run(v), [[1, 2], [3, 4]])
        session.run(update)
        assert (session.run(v) < [[1, 2], [3, 4]]).all()


INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("given, limit, expected, norm", [
    ([[-3, 0, 0], [4, 0, 0]], 4, [[-2.4, 0, 0], [3.2, 0, 0]], 5),
    ([[-3, 0, 0], [4, 0, 0, 0]], 4, [[-2.4, 0, 0], [3.2, 0, 0, 0]], 5),
    ([[-3, 0, 0], [4, 0, 0]], 6, [[-3, 0, 0], [4, 0, 0]], 5), ([[0], [0]], 4, [[0], [0]], 0), ([[0], [0]], 0, [[0], [0]], 0),
    ([[INF], [INF, INF]], 4, [[NAN], [NAN, NAN]], INF), ([[INF, 1], [2]], 4, [[NAN, 0], [0]], INF), ([[NAN, 1]], 4, [[NAN, 1]], NAN),
])  # fmt: skip
def test_tvm_clipping(given, limit, expected, norm):
    with graph("float32") as session:
        inputs = [tf.constant(g, tf.float32) for g in given]
        clipped, found = session.run(clip_by_global_norm(inputs, limit))
        for c, e in zip(clipped, expected, strict=True):
            np.testing.assert_allclose(c, np.array(e, np.float32), rtol=1e-6)
        np.testing.assert_allclose(found, norm)


def test_clipping_of_sparse_gradients_and_by_another_norm():
    with pytest.raises(TypeError, match="t_list should be a list"):
        clip_by_global_norm((tf.constant([1.0]),), 1)
    assert clip_by_global_norm([], 1)[0] == [] and float(clip_by_global_norm([], 1)[1]) == 0
    with graph("float32") as session:
        rows = tf.IndexedSlices(tf.constant([[3.0], [4]]), tf.constant([5, 2]), tf.constant([9, 1]))
        (clipped, none), norm = clip_by_global_norm([rows, None], 1)
        assert none is None
        np.testing.assert_allclose(session.run(clipped.values), [[0.6], [0.8]], rtol=1e-6)
        assert session.run(norm) == 5
        (given,), norm = clip_by_global_norm([tf.constant([3.0])], 1, use_norm=tf.constant(6.0))
        np.testing.assert_allclose(session.run(given), [0.5], rtol=1e-6)
