"""The dense optimizer of a model as data: its class, one of those that are known here, and the arguments it was made with."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from monolith_cli.model.errors import ModelError

tf1 = tf.compat.v1

_ATTRIBUTES = {"learning_rate": ("_lr", "_learning_rate"), "eigen_head": ("_head",), "eigen_tail": ("_tail",), "damping_epsilon": ("_damping",)}


def known() -> dict[str, type]:
    """Class name -> class, of tf.compat.v1.train and of monolith_cli.optimizers."""
    from monolith_cli import optimizers

    found = {}
    for module in (tf1.train, optimizers):
        for name in dir(module):
            cls = getattr(module, name)
            if isinstance(cls, type) and issubclass(cls, tf1.train.Optimizer) and cls is not tf1.train.Optimizer:
                found[name] = cls
    return found


def encode(optimizer: Any) -> bytes:
    """JSON: {"class", "arguments"}; {} for None. An argument that is a tensor, a variable or a function, such as a learning rate that decays, is
    {"tensor": its name in the graph at hand}. Raises ModelError for an optimizer that cannot be made again."""
    if optimizer is None:
        return b"{}"
    cls = type(optimizer)
    if known().get(cls.__name__) is not cls:
        raise ModelError(f"optimizer {cls.__name__} cannot be written into a dump: it is neither of tf.compat.v1.train nor of monolith_cli.optimizers")
    arguments = {name: _argument(optimizer, name) for name in list(inspect.signature(cls.__init__).parameters)[1:]}
    return json.dumps({"class": cls.__name__, "arguments": arguments}).encode()


def _argument(optimizer: Any, name: str) -> Any:
    held = vars(optimizer) | getattr(optimizer, "numbers", {})
    attribute = next((a for a in (*_ATTRIBUTES.get(name, ()), f"_{name}", name) if a in held), None)
    if attribute is None:
        raise ModelError(f"optimizer {type(optimizer).__name__} cannot be written into a dump: it does not tell its argument {name}")
    value = held[attribute]
    value = value() if callable(value) else value
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if isinstance(value, (tf.Tensor, tf.Variable)):
        return {"tensor": tf.convert_to_tensor(value).name}
    raise ModelError(f"optimizer {type(optimizer).__name__} cannot be written into a dump: its argument {name} is a {type(value).__name__}")


def tensors_of(data: bytes) -> list[str]:
    """Names of the tensors among its arguments."""
    arguments = json.loads(data).get("arguments", {}) if data else {}
    return [value["tensor"] for value in arguments.values() if isinstance(value, dict)]


def decode(data: bytes, tensor: Callable[[str], Any]) -> Any:
    """The optimizer that `encode` was given; tensor(name) is one of its arguments. Raises KeyError, TypeError for what `encode` did not write."""
    told = json.loads(data) if data else {}
    if not told:
        return None
    arguments = {k: tensor(v["tensor"]) if isinstance(v, dict) else v for k, v in told["arguments"].items()}
    return known()[told["class"]](**arguments)
