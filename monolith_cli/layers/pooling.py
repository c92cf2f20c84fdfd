"""Pooling of a list of tensors of one shape, element by element."""

from __future__ import annotations

import tensorflow as tf

from monolith_cli.layers.base import MonolithLayer, is_shape, register, shown
from monolith_cli.layers.utils import check_list


class Pooling(MonolithLayer):
    """Base: [tensors of one shape] -> a tensor of that shape; a list of one gives its tensor. TypeError for what is no
    list, ValueError for an empty one, LayerError for different shapes."""

    def pool(self, inputs: list):
        raise NotImplementedError

    def __call__(self, inputs, *args, **kwargs):
        # Keras makes of a list whatever it likes; what the caller gave is judged here.
        check_list(inputs, lambda n: n > 0)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape):
        shapes = [input_shape] if is_shape(input_shape) else [tuple(s) for s in input_shape]
        self.require(len({s[1:] for s in shapes}) == 1, f"all inputs must have the same shape, not {shown(shapes)}")

    def call(self, inputs):
        return inputs[0] if len(inputs) == 1 else self.pool(list(inputs))


@register
class SumPooling(Pooling):
    """The sum."""

    def pool(self, inputs):
        return tf.add_n(inputs)


@register
class AvgPooling(Pooling):
    """The mean."""

    def pool(self, inputs):
        return tf.add_n(inputs) / len(inputs)


@register
class MaxPooling(Pooling):
    """The largest."""

    def pool(self, inputs):
        return tf.reduce_max(tf.stack(inputs), axis=0)
