"""What every layer of the library has: its name, `.params()`, messages that name it, and how it takes what Keras
takes."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from monolith_cli.errors import ConfigError
from monolith_cli.layers.utils import to_snake_case

tf1 = tf.compat.v1

PACKAGE = "monolith"
register = keras.saving.register_keras_serializable(package=PACKAGE)


class LayerError(ConfigError, ValueError):
    """A layer that is asked for what it cannot do; the message names the layer and the shapes."""

    # Keras writes the arguments of the call around messages that lack this; ours say what is needed.
    _keras_call_info_injected = True


class MonolithLayer(keras.layers.Layer):
    """Base of the layers. In a graph, layers that act otherwise in training take `training=mode == TRAIN` in their
    call; the layers inside them hear it too. Without it they act as in inference.

    name: default: the snake case of the class name (`dmr__u2i`), with `_1`, `_2`, ... for the next ones. Variables are
        named
    `<name>/<variable>`, and checkpoints know them by that.
    Keywords of keras.layers.Layer (trainable, dtype, activity_regularizer, ...) are handed on; the variables of a layer
    that is not trainable are no trainable variables of the graph either.
    """

    def __init__(self, name: str | None = None, **kwargs):
        super().__init__(name=name or unique_name(type(self)), **kwargs)

    def __call__(self, *args, **kwargs):
        outputs = super().__call__(*args, **kwargs)
        if not self.trainable and not tf.executing_eagerly():
            self._keep_out_of_training()
        return outputs

    def _keep_out_of_training(self) -> None:
        """What trains in a graph looks at its collection, not at what Keras thinks of the layer."""
        trained = tf1.get_collection_ref(tf1.GraphKeys.TRAINABLE_VARIABLES)
        own = {id(v.value) for v in self.variables}
        trained[:] = [v for v in trained if id(v) not in own]

    @classmethod
    def params(cls):
        """InstantiableParams with all arguments of the class: `p = Dense.params(); p.units = 4; p.instantiate()`."""
        from monolith_cli.model.params import params_of

        return params_of(cls)

    def require(self, condition: bool, message: str) -> None:
        """Raises LayerError with the layer's class and name before `message`, unless `condition`."""
        if not condition:
            raise LayerError(f"{type(self).__name__} {self.name!r}: {message}")

    def inner(self, cls: type, *args, **kwargs) -> Any:
        """A layer inside this one: of the same dtype, trainable if this one is."""
        return cls(*args, dtype=self.dtype_policy, trainable=self.trainable, **kwargs)

    def matrix_shape(self, shape, what: str = "input", rank: int = 2) -> tuple:
        """`shape` as a tuple, when it has this rank and a known last dimension; else LayerError."""
        shape = tuple(shape)
        self.require(
            len(shape) == rank and shape[-1] is not None,
            f"{what} must have {rank} dimensions and a known last one, not {shown(shape)}",
        )
        return shape

    def fields_shape(self, shape, what: str = "input") -> tuple[int, int]:
        """(n, d) of a shape [B, n, d] with known n and d; else LayerError."""
        shape = tuple(shape)
        self.require(
            len(shape) == 3 and shape[1] is not None and shape[2] is not None,
            f"{what} must be [batch, features, width] with known features and width, not {shown(shape)}",
        )
        return shape[1], shape[2]


@contextlib.contextmanager
def variable_scope(name: str):
    """Variables made inside are named `<scope>/<name>/...`, whether or not ops or an earlier scope have that name."""
    outer = tf.get_current_name_scope()
    with keras.name_scope(name), tf.name_scope(f"{outer}/{name}/" if outer else f"{name}/"):
        yield


def unique_name(cls: type) -> str:
    """Snake case of the class name, with `_n` when n layers of this name have been made since the last
    clear_session."""
    base = to_snake_case(cls.__name__)
    used = keras.backend.get_uid(base)
    return base if used == 1 else f"{base}_{used - 1}"


def shown(shape) -> str:
    """A shape as people write it: `[?, 3, 4]`; lists of shapes as lists."""
    if isinstance(shape, dict):
        return "{" + ", ".join(f"{k}: {shown(v)}" for k, v in shape.items()) + "}"
    if isinstance(shape, (list, tuple)) and any(isinstance(s, (list, tuple, tf.TensorShape)) for s in shape):
        return "(" + ", ".join(shown(s) for s in shape) + ")"
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def initializer_or(identifier, default: str):
    """The Keras initializer of a name, dict, object or function; the default for None."""
    return keras.initializers.get(default if identifier is None else identifier)


def get_regularizer(identifier):
    """The Keras regularizer of a name, dict, object or function; None for None.

    Keras keeps its factors as tensors, which in a graph are the graph's and have no place in a config: they become
    numbers.
    """
    regularizer = keras.regularizers.get(identifier)
    for factor in ("l1", "l2"):
        value = getattr(regularizer, factor, None)
        if tf.is_tensor(value):
            setattr(regularizer, factor, float(str(tf.get_static_value(value))))
    return regularizer


def fresh(initializer):
    """The initializer for one more variable: without a seed of its own it draws other numbers than for the last one."""
    clone = getattr(initializer, "clone", None)
    return clone() if clone else initializer


def serialized(thing: Any, kind: Any) -> Any:
    """Of a get_config: None stays None; kind is keras.initializers or keras.regularizers."""
    return None if thing is None else kind.serialize(thing)


def is_shape(shape: Any) -> bool:
    """Whether this is one shape, not a structure of shapes."""
    return isinstance(shape, (tuple, list, tf.TensorShape)) and all(d is None or isinstance(d, int) for d in shape)


def own_keywords(fn: Callable) -> list[str]:
    """Names of the arguments of a constructor, without self and **kwargs."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [n for n, p in inspect.signature(fn).parameters.items() if p.kind in named and n != "self"]
