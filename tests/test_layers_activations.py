"""The vectors TV-A of the specification: activations, and between names, dicts and layers."""

import keras
import numpy as np
import pytest
from layer_graph import close, evaluate, graph, tf

from monolith_cli import layers
from monolith_cli.layers import activations

POINTS = np.array([[-4, -2, -0.5, 0, 0.5, 2, 4]])
TABLE = {
    "tanh": [-0.999329, -0.964028, -0.462117, 0, 0.462117, 0.964028, 0.999329],
    "sigmoid": [0.017986, 0.119203, 0.377541, 0.5, 0.622459, 0.880797, 0.982014],
    "sigmoid2": [0.035972, 0.238406, 0.755081, 1, 1.244919, 1.761594, 1.964028],
    "gelu": [-0.000127, -0.0455, -0.154269, 0, 0.345731, 1.9545, 3.999873],
    "selu": [-1.725899, -1.520167, -0.691758, 0, 0.525351, 2.101402, 4.202804],
    "hard_sigmoid": [0, 0.1, 0.4, 0.5, 0.6, 0.9, 1],
    "hardsigmoid": [0, 0.1, 0.4, 0.5, 0.6, 0.9, 1],
    "softplus": [0.01815, 0.126928, 0.474077, 0.693147, 0.974077, 2.126928, 4.01815],
    "swish": [-0.071945, -0.238406, -0.18877, 0, 0.31123, 1.761594, 3.928055],
    "elu": [-0.981684, -0.864665, -0.393469, 0, 0.5, 2, 4],
    "leakyrelu": [-1.2, -0.6, -0.15, 0, 0.5, 2, 4],
    "thresholdedrelu": [0, 0, 0, 0, 0, 2, 4],
    "prelu": [0, 0, 0, 0, 0.5, 2, 4],
    "softmax": [0.00028, 0.002069, 0.009275, 0.015291, 0.025211, 0.112989, 0.834884],
    "relu": [0, 0, 0, 0, 0.5, 2, 4],
    "linear": list(POINTS[0]),
    "softsign": list(POINTS[0] / (1 + np.abs(POINTS[0]))),
    "exponential": list(np.exp(POINTS[0])),
}


def test_tva_the_table_is_whole():
    assert sorted(TABLE) == sorted(activations.ALL_ACTIVATION_NAMES)
    assert len(activations.__all__) == 17 and all(
        issubclass(getattr(layers, n), keras.layers.Layer) for n in activations.__all__
    )


def test_tva_values():
    def call(x):
        made = {name: activations.get(name.upper())(x) for name in TABLE}
        rebuilt = {n: activations.get(activations.serialize(activations.get(n)))(x) for n in TABLE}
        configured = {n: (c := activations.get(n)).from_config(c.get_config())(x) for n in TABLE}
        from_params = {n: type(activations.get(n)).params().instantiate()(x) for n in TABLE}
        return made, rebuilt, configured, from_params

    with graph() as session:
        found = call(tf.constant(POINTS, tf.float64))
        session.run(tf.compat.v1.global_variables_initializer())
        for results in session.run(found):
            for name, expected in TABLE.items():
                close(results[name][0], expected)


@pytest.mark.parametrize("name, text", [
    ("relu", "{'name': 'ReLU', 'max_value': None, 'negative_slope': 0.0, 'threshold': 0.0}"),
    ("tanh", "{'name': 'Tanh'}"),
    ("elu", "{'name': 'ELU', 'alpha': 1.0}"),
    ("softmax", "{'name': 'Softmax', 'axis': -1}"),
    ("thresholdedrelu", "{'name': 'ThresholdedReLU', 'theta': 1.0}"),
    ("leakyrelu", "{'name': 'LeakyReLU', 'alpha': 0.3}"),
    ("sigmoid2", "{'name': 'Sigmoid2'}"),
    ("prelu", "{'name': 'PReLU', 'alpha_initializer': {'class_name': 'Zeros', 'config': {}}, 'alpha_regularizer': None, "
              "'alpha_constraint': None, 'shared_axes': None}"),
])  # fmt: skip
def test_tva_serialize(name, text):
    assert activations.serialize(activations.get(name)) == text


def test_tva_get():
    assert activations.get(None) is None and activations.serialize(None) is None
    leaky = activations.get("{'name':'LeakyReLU','alpha':0.1}")
    assert isinstance(leaky, layers.LeakyReLU) and leaky.alpha == 0.1
    assert isinstance(activations.get(keras.activations.relu), layers.ReLU) and isinstance(
        activations.get(tf.nn.relu), layers.ReLU
    )
    assert (
        activations.get(tf.nn.relu6) is tf.nn.relu6
        and activations.get(keras.activations.relu6) is keras.activations.relu6
    )
    assert isinstance(activations.get(layers.Tanh), layers.Tanh)
    assert activations.get(leaky) is leaky
    for wrong in (3, "[1]", "no_such", "1 +", ["relu"]):
        with pytest.raises(TypeError, match="Could not interpret activation function identifier"):
            activations.get(wrong)
    with pytest.raises(AssertionError, match="Nonsense"):
        activations.get({"name": "Nonsense"})


def test_functions_of_keras_survive_their_text():
    assert activations.serialize(keras.activations.relu6) == "{'name': 'relu6'}"
    assert (
        activations.get("{'name': 'relu6'}") is keras.activations.relu6
        and activations.get("mish") is keras.activations.mish
    )
    assert activations.serialize(lambda x: x) is None


def test_a_cut_relu_survives_its_text():
    text = activations.serialize(layers.ReLU(max_value=np.float32(6), negative_slope=0.5, threshold=1))
    again = activations.deserialize(text)
    assert (again.max_value, again.negative_slope, again.threshold) == (6, 0.5, 1)
    close(evaluate(lambda x: again(x), np.array([[-1.0, 1, 2, 7]])), [[-1, 0, 2, 6]])


def test_deserialize_leaves_the_dict_alone():
    config = {"name": "elu", "alpha": 0.5}
    assert activations.deserialize(config).alpha == 0.5 and config == {"name": "elu", "alpha": 0.5}


@pytest.mark.parametrize("make", [lambda: layers.LeakyReLU(-1), lambda: layers.ThresholdedReLU(-1), lambda: layers.ReLU(threshold=-1),
                                  lambda: layers.ReLU(max_value=-1)])  # fmt: skip
def test_arguments_out_of_range(make):
    with pytest.raises(layers.LayerError, match="0 or more, not -1"):
        make()


def test_softmax_over_two_axes_and_prelu_over_shared_ones():
    x = np.arange(12.0).reshape(2, 3, 2) / 5 - 1
    found = evaluate(lambda x: layers.Softmax(axis=[1, 2])(x), x)
    np.testing.assert_allclose(found, np.exp(x) / np.exp(x).sum(axis=(1, 2), keepdims=True))

    def call(x):
        layer = layers.PReLU(shared_axes=[1])
        out = layer(x)
        assert layer.alpha.shape == (1, 2)
        return out

    np.testing.assert_allclose(evaluate(call, x, vars=[[[0.5, 2]]]), np.where(x > 0, x, x * [0.5, 2]), atol=1e-12)
