"""Building layers, losses and optimizers in a graph of their own, as a model file does, and reading what comes out."""

import contextlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

tf1 = tf.compat.v1


def W(shape, s=0):
    """The specification's filler of variables: (((s + 3k) mod 7) - 3) / 10 by flat index k."""
    k = np.arange(int(np.prod(shape)))
    return ((((s + 3 * k) % 7) - 3) / 10).reshape(shape)


def X(shape, s=0):
    """The specification's filler of inputs: (((s + 5k) mod 11) - 5) / 5."""
    k = np.arange(int(np.prod(shape)))
    return ((((s + 5 * k) % 11) - 5) / 5).reshape(shape)


@contextlib.contextmanager
def graph(dtype="float64", seed=3):
    """A graph and a session, with Keras in `dtype`."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    try:
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.set_random_seed(seed)
            yield session
    finally:
        keras.config.set_floatx(before)


def tensors(inputs):
    """The same structure with arrays as constants."""
    if isinstance(inputs, (list, tuple)):
        return type(inputs)(tensors(i) for i in inputs)
    return inputs if tf.is_tensor(inputs) or inputs is None else tf.constant(np.asarray(inputs))


def fill(session, values, variables=None):
    """Runs the initializers, then sets the variables in the order of their making. values: an int s for W@s, or arrays (None: as it is)."""
    session.run(tf1.global_variables_initializer())
    variables = tf1.global_variables() if variables is None else variables
    if isinstance(values, int):
        values = [W(v.shape.as_list(), values + i) for i, v in enumerate(variables)]
    assert len(values) == len(variables), [v.name for v in variables]
    for variable, value in zip(variables, values):
        if value is not None:
            assert tuple(np.shape(value)) == tuple(variable.shape.as_list()), (variable.name, np.shape(value))
            session.run(variable.assign(np.asarray(value, variable.dtype.as_numpy_dtype)))


def evaluate(fn, *inputs, vars=0, dtype="float64"):
    """What fn(*tensors) gives in a graph whose variables are set as `fill` says."""
    with graph(dtype) as session:
        out = fn(
            *tensors([np.asarray(i, dtype) if not isinstance(i, (list, tuple)) else cast(i, dtype) for i in inputs])
        )
        fill(session, vars)
        return session.run(out)


def cast(inputs, dtype):
    if isinstance(inputs, (list, tuple)) and inputs and isinstance(inputs[0], (np.ndarray, list, tuple)):
        return type(inputs)(cast(i, dtype) for i in inputs)
    return np.asarray(inputs, dtype)


def close(found, expected):
    """The specification's tolerance: 1e-5, and 1e-4 of values above 10."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    allowed = np.where(np.abs(expected) > 10, 1e-4 * np.abs(expected), 1.05e-5)
    np.testing.assert_array_less(np.abs(found - expected), allowed)


def variable_names():
    return [v.op.name for v in tf1.global_variables()]


def check_gradients(fn, *inputs, vars=None, tolerance=1e-5, skip=()):
    """The gradients of a weighted sum of fn(*tensors) with respect to all variables and inputs, against central differences in float64.

    vars: arrays or W@s; default random numbers. skip: parts of names of variables whose gradient is not the derivative. Returns how many
    numbers were compared.
    """
    rng = np.random.default_rng(5)
    with graph("float64") as session:
        flat = tf.nest.flatten(inputs)
        places = [tf1.placeholder(tf.float64, np.shape(i)) for i in flat]
        outputs = [o for o in tf.nest.flatten(fn(*tf.nest.pack_sequence_as(inputs, places))) if o is not None]
        loss = tf.add_n([tf.reduce_sum(o * rng.normal(size=o.shape.as_list())) for o in outputs])
        variables = [v for v in tf1.trainable_variables() if not any(s in v.name for s in skip)]
        # Before anything runs: a loop in the graph gets more outputs for its gradient.
        grads = tf1.gradients(loss, [v for v in variables] + places)
        start = [rng.normal(scale=0.5, size=v.shape.as_list()) for v in variables] if vars is None else None
        session.run(tf1.global_variables_initializer())
        if start is None:
            fill(session, vars)
            start = session.run(variables)
        values = [np.array(i, np.float64) for i in flat]
        setters = [tf1.placeholder(tf.float64, v.shape) for v in variables]
        assign = tf.group(*[v.assign(s) for v, s in zip(variables, setters)])

        def at(fetch):
            session.run(assign, dict(zip(setters, start)))
            return session.run(fetch, dict(zip(places, values)))

        known = [g if g is not None else tf.zeros(t.shape, tf.float64) for g, t in zip(grads, [*variables, *places])]
        analytic = at([tf.convert_to_tensor(g) for g in known])
        compared, h = 0, 1e-6
        for array, gradient in zip(start + values, analytic):
            for index in np.ndindex(array.shape):
                kept = array[index]
                array[index] = kept + h
                above = at(loss)
                array[index] = kept - h
                below = at(loss)
                array[index] = kept
                numeric = (above - below) / (2 * h)
                assert abs(numeric - gradient[index]) <= tolerance * max(1.0, abs(numeric)), (
                    index,
                    numeric,
                    gradient[index],
                )
                compared += 1
        return compared
