"""AddBias: a learned bias of the whole shape of a sample."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from monolith_cli.layers.base import MonolithLayer, get_regularizer, initializer_or, register, serialized, shown


@register
class AddBias(MonolithLayer):
    """y = x + b; x [B, ...], b of x's shape without the batch.

    initializer: default zeros. regularizer: default None.
    Call: `layer(x, data_format="channels_last")`; channels_first is accepted and gives the same, b having the shape of
    x.
    Variable: bias. Errors: LayerError for an input of fewer than 2 dimensions or one that is not known but for the
    batch; ValueError for another data_format.
    """

    def __init__(self, initializer: Any = None, regularizer: Any = None, **kwargs):
        super().__init__(**kwargs)
        self.initializer = initializer_or(initializer, "zeros")
        self.regularizer = get_regularizer(regularizer)

    def build(self, input_shape):
        shape = tuple(input_shape)
        self.require(
            len(shape) >= 2 and None not in shape[1:],
            f"the input must have a batch and dimensions that are known, not {shown(shape)}",
        )
        self.bias = self.add_weight(
            name="bias", shape=shape[1:], initializer=self.initializer, regularizer=self.regularizer
        )

    def call(self, inputs, data_format: str = "channels_last"):
        if data_format not in ("channels_last", "channels_first"):
            raise ValueError(f"Unknown data_format: {data_format}; use channels_last or channels_first")
        bias = tf.convert_to_tensor(self.bias)
        return tf.nn.bias_add(inputs, bias) if inputs.shape.rank == 2 else inputs + bias[tf.newaxis]

    def get_config(self):
        return {
            **super().get_config(),
            "initializer": serialized(self.initializer, keras.initializers),
            "regularizer": serialized(self.regularizer, keras.regularizers),
        }
