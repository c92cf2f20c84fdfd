"""Activations as layers, and between names, dicts and layers: `get`, `serialize`, `deserialize`."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import keras
import tensorflow as tf

from monolith_cli.layers.base import MonolithLayer, get_regularizer, register


def _function_layer(name: str, fn, formula: str) -> type:
    def call(self, inputs):
        return fn(inputs)

    made = type(name, (MonolithLayer,), {"call": call, "__doc__": formula, "__module__": __name__})
    return register(made)


Tanh = _function_layer("Tanh", tf.tanh, "tanh(x), element by element.")
Sigmoid = _function_layer("Sigmoid", tf.sigmoid, "1 / (1 + e^-x), element by element.")
Sigmoid2 = _function_layer(
    "Sigmoid2", lambda x: 2.0 * tf.sigmoid(x), "2 / (1 + e^-x), element by element: gates around 1."
)
Linear = _function_layer("Linear", tf.identity, "x.")
Gelu = _function_layer(
    "Gelu",
    lambda x: tf.nn.gelu(x, approximate=False),
    "x / 2 * (1 + erf(x / sqrt 2)). Paper: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.",
)
Selu = _function_layer(
    "Selu",
    tf.nn.selu,
    "1.0507 * (x if x > 0 else 1.6733 * (e^x - 1)). "
    "Paper: Klambauer et al., Self-Normalizing Neural Networks, NIPS 2017.",
)
Softsign = _function_layer("Softsign", tf.nn.softsign, "x / (1 + |x|), element by element.")
Softplus = _function_layer("Softplus", tf.nn.softplus, "log(1 + e^x), element by element.")
Exponential = _function_layer("Exponential", tf.exp, "e^x, element by element.")
HardSigmoid = _function_layer(
    "HardSigmoid",
    lambda x: tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0),
    "clip(0.2 x + 0.5, 0, 1); Keras 3's own has another slope.",
)
Swish = _function_layer(
    "Swish", tf.nn.silu, "x / (1 + e^-x). Paper: Ramachandran et al., Searching for Activation Functions, 2017."
)


class _Parametric(MonolithLayer):
    """An activation with parameters: what `serialize` writes is `arguments()`."""

    def arguments(self) -> dict[str, Any]:
        raise NotImplementedError

    def get_config(self):
        return {**super().get_config(), **self.arguments()}


@register
class ReLU(_Parametric):
    """max(0, x); with max_value cut there; below threshold negative_slope * (x - threshold).

    max_value: None or >= 0. negative_slope, threshold: >= 0. Others are a LayerError.
    """

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        for what, value in (("max_value", max_value), ("negative_slope", negative_slope), ("threshold", threshold)):
            self.require(
                value is None and what == "max_value" or value is not None and value >= 0,
                f"{what} must be 0 or more, not {value}",
            )
        self.max_value = None if max_value is None else float(max_value)
        self.negative_slope, self.threshold = float(negative_slope), float(threshold)

    def call(self, inputs):
        return keras.activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)

    def arguments(self):
        return {"max_value": self.max_value, "negative_slope": self.negative_slope, "threshold": self.threshold}


@register
class LeakyReLU(_Parametric):
    """x if x > 0 else alpha * x. alpha: >= 0, default 0.3."""

    def __init__(self, alpha: float = 0.3, **kwargs):
        super().__init__(**kwargs)
        self.require(alpha is not None and alpha >= 0, f"alpha must be 0 or more, not {alpha}")
        self.alpha = float(alpha)

    def call(self, inputs):
        return tf.nn.leaky_relu(inputs, alpha=self.alpha)

    def arguments(self):
        return {"alpha": self.alpha}


@register
class ELU(_Parametric):
    """x if x > 0 else alpha * (e^x - 1). Paper: Clevert et al., Exponential Linear Units, ICLR 2016."""

    def __init__(self, alpha: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = float(alpha)

    def call(self, inputs):
        return keras.activations.elu(inputs, alpha=self.alpha)

    def arguments(self):
        return {"alpha": self.alpha}


@register
class Softmax(_Parametric):
    """Softmax along `axis` (a number or a list of them), default the last."""

    def __init__(self, axis: int | list[int] = -1, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis

    def call(self, inputs):
        if isinstance(self.axis, int):
            return tf.nn.softmax(inputs, axis=self.axis)
        return tf.exp(inputs - tf.reduce_logsumexp(inputs, axis=self.axis, keepdims=True))

    def arguments(self):
        return {"axis": self.axis}


@register
class ThresholdedReLU(_Parametric):
    """x if x > theta else 0. theta: >= 0, default 1."""

    def __init__(self, theta: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.require(theta is not None and theta >= 0, f"theta must be 0 or more, not {theta}")
        self.theta = float(theta)

    def call(self, inputs):
        return inputs * tf.cast(inputs > self.theta, inputs.dtype)

    def arguments(self):
        return {"theta": self.theta}


@register
class PReLU(_Parametric):
    """max(0, x) + alpha * min(0, x), alpha learned. Variable `alpha`: the input's shape without the batch, 1 on
    shared_axes.

    alpha_initializer: default zeros. Paper: He et al., Delving Deep into Rectifiers, ICCV 2015.
    """

    def __init__(
        self, alpha_initializer="zeros", alpha_regularizer=None, alpha_constraint=None, shared_axes=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.alpha_initializer = keras.initializers.get(alpha_initializer)
        self.alpha_regularizer = get_regularizer(alpha_regularizer)
        self.alpha_constraint = keras.constraints.get(alpha_constraint)
        self.shared_axes = [shared_axes] if isinstance(shared_axes, int) else shared_axes and list(shared_axes)

    def build(self, input_shape):
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            shape[axis - 1] = 1
        self.require(
            None not in shape, f"input {input_shape} must be known but for the batch, or its axis be in shared_axes"
        )
        self.alpha = self.add_weight(
            name="alpha",
            shape=shape,
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )

    def call(self, inputs):
        return tf.nn.relu(inputs) + self.alpha * tf.minimum(inputs, 0.0)

    def arguments(self):
        return {
            "alpha_initializer": _plain(self.alpha_initializer),
            "alpha_regularizer": _plain(self.alpha_regularizer),
            "alpha_constraint": _plain(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


def _plain(thing) -> dict | None:
    return None if thing is None else {"class_name": type(thing).__name__, "config": thing.get_config()}


_BY_KEY = {
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "sigmoid2": Sigmoid2,
    "linear": Linear,
    "gelu": Gelu,
    "selu": Selu,
    "softsign": Softsign,
    "softplus": Softplus,
    "exponential": Exponential,
    "hard_sigmoid": HardSigmoid,
    "hardsigmoid": HardSigmoid,
    "swish": Swish,
    "relu": ReLU,
    "leakyrelu": LeakyReLU,
    "elu": ELU,
    "softmax": Softmax,
    "thresholdedrelu": ThresholdedReLU,
    "prelu": PReLU,
}
ALL_ACTIVATION_NAMES = tuple(_BY_KEY)

__all__ = [c.__name__ for c in dict.fromkeys(_BY_KEY.values())]


def get(identifier: Any) -> Any:
    """The activation of an identifier: None; a key of ALL_ACTIVATION_NAMES in any case, or a function of Keras by name;
    a dict
    `{"name": "LeakyReLU", "alpha": 0.1}`, or its text; a layer class; a layer, which is returned as it is; a function,
    which becomes the layer of its name where there is one (tf.nn.relu -> ReLU), else stays. TypeError for anything
    else."""
    if identifier is None:
        return None
    if isinstance(identifier, str):
        return _from_text(identifier)
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if inspect.isclass(identifier) and issubclass(identifier, keras.layers.Layer):
        return identifier()
    if isinstance(identifier, keras.layers.Layer):
        return identifier
    if callable(identifier):
        known = _BY_KEY.get(getattr(identifier, "__name__", "").lower())
        return known() if known else identifier
    raise TypeError(_unknown(identifier))


def _unknown(identifier: Any) -> str:
    return (
        f"Could not interpret activation function identifier: {identifier!r}; use a function, a layer, "
        f"{{'name': ..., ...}} or one of {', '.join(ALL_ACTIVATION_NAMES)}"
    )


def _from_text(text: str) -> Any:
    if text.lower() in _BY_KEY:
        return _BY_KEY[text.lower()]()
    function = _keras_function(text)
    if function is not None:
        return function
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    if not isinstance(value, dict):
        raise TypeError(_unknown(text))
    return deserialize(value)


def _keras_function(name: str):
    found = getattr(keras.activations, name, None)
    return found if inspect.isfunction(found) and name not in ("get", "serialize", "deserialize") else None


def serialize(activation: Any) -> str | None:
    """The text of a dict `{'name': <class>, <argument>: <value>, ...}` that `deserialize` reads. A function of Keras
    has its name alone. None for None, and for functions and layers that are not of this table."""
    if isinstance(activation, _Parametric):
        return repr({"name": type(activation).__name__, **activation.arguments()})
    if isinstance(activation, MonolithLayer) and type(activation).__name__.lower() in _BY_KEY:
        return repr({"name": type(activation).__name__})
    name = getattr(activation, "__name__", "")
    return repr({"name": name}) if _keras_function(name) is activation and activation is not None else None


def deserialize(config: str | dict) -> Any:
    """What `serialize` wrote, or such a dict, which is not changed. AssertionError for a name that is not in the
    table."""
    arguments = dict(ast.literal_eval(config) if isinstance(config, str) else config)
    name = str(arguments.pop("name", ""))
    if name.lower() not in _BY_KEY and not arguments:
        function = _keras_function(name)
        if function is not None:
            return function
    assert name.lower() in _BY_KEY, _unknown(name)
    return _BY_KEY[name.lower()](**arguments)
