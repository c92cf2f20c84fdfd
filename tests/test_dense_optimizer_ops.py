"""The native steps of Adamom and Rmsprop: a float64 model over many steps and odd sizes, checkpoints of before, locks and refusals."""

import threading

import numpy as np
import pytest
from layer_graph import graph, tf, tf1

from monolith_cli.optimizers import AdamomOptimizer, RmspropOptimizer
from monolith_cli.tables import ops

RATE, DECAY = 0.01, 0.02


def adamom(state, grad, v2=False, ada=0.99, mom=0.9, epsilon=1e-6):
    var, m, v, c = state
    g = grad + DECAY * var
    m, v, c = mom * m + (1 - mom) * g, ada * v + g * g, ada * c + 1
    root = np.sqrt(v / c) + epsilon if v2 else np.sqrt(v / c + epsilon)
    return [var - RATE * m / root, m, v, c]


def rmsprop(state, grad, v2=False, beta1=0.9, beta2=0.999, epsilon=1e-8):
    var, m, v = state
    g = grad + DECAY * var
    v = beta2 * v + g * g if v2 else v + (g * g - v) * (1 - beta2)
    m = beta1 * m + RATE * g / (np.sqrt(v) + epsilon if v2 else np.sqrt(v + epsilon))
    return [var - m, m, v]


CASES = {
    "adamom": (adamom, lambda **more: AdamomOptimizer(RATE, ada_decay=0.99, mom_decay=0.9, weight_decay=DECAY, **more), {}),
    "rmsprop": (rmsprop, lambda **more: RmspropOptimizer(RATE, beta1=0.9, weight_decay=DECAY, **more), {}),
    "rmsprop v2": (rmsprop, lambda **more: RmspropOptimizer(RATE, beta1=0.9, weight_decay=DECAY, use_v2=True, **more), {"v2": True}),
}
case = pytest.mark.parametrize("name", CASES)


def slots_of(optimizer, variable):
    return [optimizer.get_slot(variable, slot) for slot in optimizer.slots]


def start_of(size):
    return np.random.default_rng(size).standard_normal(size)


def grads_of(size, steps):
    rng = np.random.default_rng([size, 5])
    return [rng.standard_normal(size) * 10.0 ** rng.integers(-3, 2) for _ in range(steps)]


def run(make, start, grads, dtype="float32", threads=0):
    """The variable and its slots after a step for each gradient."""
    with tf.Graph().as_default(), tf1.Session(config=tf1.ConfigProto(intra_op_parallelism_threads=threads)) as session:
        variable = tf1.get_variable("v", initializer=np.asarray(start, dtype), use_resource=True)
        grad = tf1.placeholder(dtype, np.shape(start))
        optimizer = make()
        update = optimizer.apply_gradients([(grad, variable)])
        session.run(tf1.global_variables_initializer())
        for g in grads:
            session.run(update, {grad: g})
        return session.run([variable, *slots_of(optimizer, variable)])


@case
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 31, 1025])
def test_many_steps_beside_a_float64_model(name, size):
    model, make, more = CASES[name]
    grads = grads_of(size, 200)
    state = [start_of(size), *[np.zeros(size)] * len(make().slots)]
    for g in grads:
        state = model(state, g, **more)
    for dtype, tolerance in (("float32", 2e-5), ("float64", 1e-12)):
        for found, expected in zip(run(make, start_of(size), grads, dtype), state, strict=True):
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@case
def test_large_variables_are_stepped_by_threads_with_equal_bits(name):
    """1024 elements are a block; from 131,072 on there are threads. The last block is not full."""
    model, make, more = CASES[name]
    size, grads = 300_001, grads_of(300_001, 3)
    one, four = (run(make, start_of(size), grads, threads=threads) for threads in (1, 4))
    state = [start_of(size), *[np.zeros(size)] * (len(one) - 1)]
    for g in grads:
        state = model(state, g, **more)
    for a, b, expected in zip(one, four, state, strict=True):
        assert np.array_equal(a, b)
        np.testing.assert_allclose(a, expected, rtol=2e-5, atol=2e-5)


def test_a_matrix_keeps_its_shape():
    start, grads = start_of(35).reshape(5, 7), [g.reshape(5, 7) for g in grads_of(35, 4)]
    flat = run(CASES["adamom"][1], start.reshape(-1), [g.reshape(-1) for g in grads])
    for found, expected in zip(run(CASES["adamom"][1], start, grads), flat, strict=True):
        assert found.shape == (5, 7) and np.array_equal(found.reshape(-1), expected)


def op_of(name, variables, grad, numbers, **attributes):
    names = ("learning_rate", "ada_decay", "mom_decay", "epsilon", "weight_decay") if name == "adamom" else (
        "learning_rate", "beta1", "beta2", "epsilon", "weight_decay")  # fmt: skip
    handles = {role: v.handle for role, v in zip(("var", "m", "v", "c"), variables)}
    step = getattr(ops.library(), f"monolith_resource_apply_{name}")
    return step(**handles, **dict(zip(names, numbers)), grad=grad, **attributes)


NUMBERS = {"adamom": [RATE, 0.99, 0.9, 1e-6, DECAY], "rmsprop": [RATE, 0.9, 0.999, 1e-8, DECAY]}
MODELS = {"adamom": adamom, "rmsprop": rmsprop}
op_case = pytest.mark.parametrize("name", NUMBERS)


def variables_of(name, shape=(3,), dtype="float32"):
    values = [np.full(shape, value, dtype) for value in ((0.5, 0.1, 0.4, 1.5) if name == "adamom" else (0.5, 0.1, 0.4))]
    return [tf1.get_variable(f"x{i}", initializer=value, use_resource=True) for i, value in enumerate(values)], values


class TestOps:
    """What the Python classes do not show."""

    @op_case
    @pytest.mark.parametrize("use_v2", [False, True])
    @pytest.mark.parametrize("update_slots", [False, True])
    def test_attributes(self, name, use_v2, update_slots):
        grad = np.array([0.3, -0.2, 0.0], np.float32)
        with graph("float32") as session:
            variables, before = variables_of(name)
            step = op_of(name, variables, grad, NUMBERS[name], use_v2=use_v2, update_slots=update_slots)
            session.run(tf1.global_variables_initializer())
            session.run(step)
            after = session.run(variables)
        expected = MODELS[name]([b.astype(np.float64) for b in before], grad.astype(np.float64), v2=use_v2)
        np.testing.assert_allclose(after[0], expected[0], rtol=1e-6)
        for found, old, new in zip(after[1:], before[1:], expected[1:], strict=True):
            if update_slots:
                np.testing.assert_allclose(found, new, rtol=1e-6)
            else:
                assert np.array_equal(found, old)

    @op_case
    def test_who_read_the_variable_before_keeps_what_he_read(self, name):
        with graph("float32") as session:
            variables, before = variables_of(name)
            read = variables[0].read_value()
            with tf.control_dependencies([read]):
                step = op_of(name, variables, tf.ones([3]), NUMBERS[name])
            with tf.control_dependencies([step]):
                late = tf.identity(read)
                now = variables[0].read_value()
            session.run(tf1.global_variables_initializer())
            old, new = session.run([late, now])
        assert np.array_equal(old, before[0]) and not np.array_equal(new, old)

    @op_case
    @pytest.mark.parametrize("missing", [0, 2])
    def test_what_is_not_initialised(self, name, missing):
        with graph("float32") as session:
            variables, _ = variables_of(name)
            step = op_of(name, variables, tf.ones([3]), NUMBERS[name])
            session.run([v.initializer for i, v in enumerate(variables) if i != missing])
            role = ("var", "m", "v")[missing]
            with pytest.raises(tf.errors.FailedPreconditionError, match=rf"{role} \('x{missing}'\) is not initialised"):
                session.run(step)

    @op_case
    def test_numbers_that_are_no_scalars(self, name):
        with graph("float32") as session:
            variables, _ = variables_of(name)
            session.run(tf1.global_variables_initializer())
            for i, argument in ((0, "learning_rate"), (3, "epsilon")):
                numbers = list(NUMBERS[name])
                numbers[i] = tf.constant([0.1, 0.2], tf.float64)
                with pytest.raises(ValueError, match=rf"{argument} must have rank 0, not the shape \[2\]"):
                    op_of(name, variables, tf.ones([3]), numbers)
                numbers[i] = tf1.placeholder(tf.float64, None)
                step = op_of(name, variables, tf.ones([3]), numbers)
                with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{argument} must have rank 0, not the shape \[1\]"):
                    session.run(step, {numbers[i]: [0.5]})

    @op_case
    def test_shapes_that_differ(self, name):
        with graph("float32") as session:
            variables, _ = variables_of(name)
            other = tf1.get_variable("other", initializer=np.ones(4, np.float32), use_resource=True)
            unknown = tf1.placeholder(tf.float32, None)
            session.run(tf1.global_variables_initializer())
            with pytest.raises(ValueError, match=r"grad has the shape \[4\], but var \[3\]"):
                op_of(name, variables, tf.ones([4]), NUMBERS[name])
            with pytest.raises(ValueError, match=r"v has the shape \[4\], but var \[3\]"):
                op_of(name, [*variables[:2], other, *variables[3:]], tf.ones([3]), NUMBERS[name])
            step = op_of(name, variables, unknown, NUMBERS[name])
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"grad has the shape \[3,1\], but var \('x0'\) \[3\]"):
                session.run(step, {unknown: np.ones((3, 1))})
            assert np.array_equal(session.run(variables[0]), [0.5] * 3)

    @op_case
    def test_a_slot_of_another_shape_or_type_when_it_runs(self, name):
        with graph("float32") as session:
            variables, _ = variables_of(name)
            session.run(tf1.global_variables_initializer())
            loose = tf1.get_variable("loose", initializer=tf1.placeholder_with_default(np.ones(2, np.float32), None), validate_shape=False,
                                     use_resource=True)  # fmt: skip
            double = tf1.get_variable("double", initializer=np.ones(3), use_resource=True)
            session.run([loose.initializer, double.initializer])
            step = op_of(name, [variables[0], loose, *variables[2:]], tf.ones([3]), NUMBERS[name])
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"m \('loose'\) has the shape \[2\], but var \('x0'\) \[3\]"):
                session.run(step)
            step = op_of(name, [variables[0], double, *variables[2:]], tf.ones([3]), NUMBERS[name])
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"m \('double'\) is of double, but grad of float"):
                session.run(step)


@case
def test_with_use_locking_no_step_is_lost(name):
    """Without the locks, steps that run side by side write over each other's slots."""
    _, make, _ = CASES[name]
    size, steps, threads = 100_000, 40, 4
    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", initializer=np.ones(size, np.float32), use_resource=True)
        optimizer = make(use_locking=True)
        update = optimizer.apply_gradients([(tf.ones([size]), variable)])
        session.run(tf1.global_variables_initializer())
        work = session.make_callable(update)
        workers = [threading.Thread(target=lambda: [work() for _ in range(steps)]) for _ in range(threads)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        together = session.run([variable, *slots_of(optimizer, variable)])
    alone = run(make, np.ones(size), [np.ones(size)] * (steps * threads))
    for found, expected in zip(together, alone, strict=True):
        assert np.array_equal(found, expected)


def composed(name, state, grad):
    """The step put together of TensorFlow's ops, as earlier releases had it."""
    var, m, v = state[:3]
    g = grad + DECAY * var
    if name == "adamom":
        c = state[3]
        new = [0.9 * m + (1.0 - 0.9) * g, 0.99 * v + tf.square(g), 0.99 * c + 1.0]
        step = RATE * new[0] * tf.math.rsqrt(new[1] / new[2] + 1e-6)
    else:
        new_v = v + (tf.square(g) - v) * (1.0 - 0.999)
        new = [0.9 * m + RATE * (g * tf.math.rsqrt(new_v + 1e-8)), new_v]
        step = new[0]
    return tf.group(*[old.assign(value, read_value=False) for old, value in zip(state, [var - step, *new], strict=True)])


@pytest.mark.parametrize("name", ["adamom", "rmsprop"])
def test_training_goes_on_from_a_checkpoint_of_an_earlier_release(name, tmp_path):
    _, make, _ = CASES[name]
    size, grads = 1000, grads_of(1000, 40)
    slots = [f"v/{name.capitalize()}/{slot}" for slot in make().slots]

    with tf.Graph().as_default(), tf1.Session() as session:
        state = [tf1.get_variable("v", initializer=start_of(size).astype(np.float32), use_resource=True)]
        state += [tf1.get_variable(slot, [size], initializer=tf1.zeros_initializer(), use_resource=True) for slot in slots]
        grad = tf1.placeholder(tf.float32, [size])
        step = composed(name, state, grad)
        session.run(tf1.global_variables_initializer())
        for g in grads[:20]:
            session.run(step, {grad: g})
        tf1.train.Saver().save(session, str(tmp_path / "m"))
        for g in grads[20:]:
            session.run(step, {grad: g})
        expected = session.run(state)

    with tf.Graph().as_default(), tf1.Session() as session:
        variable = tf1.get_variable("v", [size], use_resource=True)
        grad = tf1.placeholder(tf.float32, [size])
        optimizer = make()
        update = optimizer.apply_gradients([(grad, variable)])
        tf1.train.Saver().restore(session, str(tmp_path / "m"))
        for g in grads[20:]:
            session.run(update, {grad: g})
        for found, old in zip(session.run([variable, *slots_of(optimizer, variable)]), expected, strict=True):
            np.testing.assert_allclose(found, old, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", [AdamomOptimizer, RmspropOptimizer])
def test_other_types_are_refused_by_name(make):
    with graph("float32"):
        half = tf.Variable([1.0, 2.0], dtype=tf.float16, name="half")
        with pytest.raises(NotImplementedError, match="steps float32 and float64 variables; half:0 is float16"):
            make().apply_gradients([(tf.ones([2], tf.float16), half)])
