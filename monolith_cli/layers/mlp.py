"""MLP: a stack of Dense layers with batch normalisation and activations; most other layers are built of it."""

from __future__ import annotations

import re
from typing import Any

import keras
import tensorflow as tf

from monolith_cli.layers import activations
from monolith_cli.layers.base import (
    MonolithLayer,
    get_regularizer,
    initializer_or,
    register,
    serialized,
    variable_scope,
)
from monolith_cli.layers.dense import Dense
from monolith_cli.layers.insight import feature_insight_data
from monolith_cli.layers.utils import extend_as_list

tf1 = tf.compat.v1

# The arguments of the batch normalisation, and their defaults. Keras 3 has no renormalisation.
BATCH_NORM_DEFAULTS = {
    "enable_batch_normalization": False,
    "batch_normalization_momentum": 0.99,
    "batch_normalization_renorm": False,
    "batch_normalization_renorm_clipping": None,
    "batch_normalization_renorm_momentum": 0.99,
}


def activation_list(activation: Any, count: int) -> list:
    """One activation for each of `count` layers: None -> relu on all but the last; a list as it is; anything else on
    all but the last. AssertionError for a list of another length."""
    if isinstance(activation, (list, tuple)):
        assert len(activation) == count, (
            f"{len(activation)} activations for {count} layers: give one per layer, None for none"
        )
        return [activations.get(a) for a in activation]
    each = "relu" if activation is None else activation
    return [activations.get(each) if i < count - 1 else None for i in range(count)]


class BatchNormArguments:
    """What layers with batch normalisation inside have in common: its five arguments."""

    def take_batch_norm(
        self, enable: bool, momentum: float, renorm: bool, renorm_clipping, renorm_momentum: float
    ) -> None:
        """Keeps the arguments; LayerError where renormalisation is asked for."""
        self.require(not renorm, "batch_normalization_renorm is not there in Keras 3: leave it False")
        self.enable_batch_normalization = enable
        self.batch_normalization_momentum = momentum
        self.batch_normalization_renorm = renorm
        self.batch_normalization_renorm_clipping = renorm_clipping
        self.batch_normalization_renorm_momentum = renorm_momentum

    def batch_norm_config(self) -> dict:
        return {k: getattr(self, k) for k in BATCH_NORM_DEFAULTS}

    def batch_norm(self, name: str):
        """keras.layers.BatchNormalization with epsilon 0.001."""
        return self.inner(
            keras.layers.BatchNormalization, momentum=self.batch_normalization_momentum, epsilon=1e-3, name=name
        )


@register
class MLP(BatchNormArguments, MonolithLayer):
    """[B, ..., m] -> [B, ..., output_dims[-1]]: for each width a Dense, then batch normalisation, then the activation.

    output_dims: widths of the layers, at least one.
    activations: None -> relu on all but the last layer; a list with one entry per layer; else one for all but the last.
    initializers: of the kernels, one or a list (a short one is filled up). Default glorot_uniform.
    use_weight_norm, use_learnable_weight_norm: allow_kernel_norm and kernel_norm_trainable of `Dense`. Default True.
    use_bias, kernel_regularizer, bias_regularizer: of `Dense`.
    enable_batch_normalization: on the input, and after each Dense but the last. Default False. Its moving statistics
        are updated where the call says training=True. batch_normalization_momentum: default 0.99. The renorm arguments
        are kept for old models; Keras 3 has no renormalisation and True is refused.
    Call: `mlp(x, training=...)`; with segment_names and segment_sizes (of the columns of x) the contribution of each
    segment to the first Dense is written as a summary (`insight.feature_insight_data`), by group_info and label.

    Variables: dense_i/{kernel, trainable_kernel_norm, bias}, BatchNorm/{in, out, out_1, ...}/{gamma, beta, moving_mean,
    moving_variance}.
    Errors: LayerError without output_dims, AssertionError for a list of activations of another length.
    """

    def __init__(
        self,
        output_dims: list[int],
        activations: Any = None,
        initializers: Any = None,
        kernel_regularizer: Any = None,
        use_weight_norm: bool = True,
        use_learnable_weight_norm: bool = True,
        use_bias: bool = True,
        bias_regularizer: Any = None,
        enable_batch_normalization: bool = False,
        batch_normalization_momentum: float = 0.99,
        batch_normalization_renorm: bool = False,
        batch_normalization_renorm_clipping: Any = None,
        batch_normalization_renorm_momentum: float = 0.99,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(bool(output_dims), f"output_dims must name at least one width, not {output_dims!r}")
        self.output_dims = list(output_dims)
        count = len(self.output_dims)
        self.activations = activation_list(activations, count)
        given = extend_as_list(list(initializers) if isinstance(initializers, tuple) else initializers, count)
        self.initializers = [initializer_or(i, "glorot_uniform") for i in given[:count]]
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)
        self.use_weight_norm, self.use_learnable_weight_norm = use_weight_norm, use_learnable_weight_norm
        self.use_bias = use_bias
        self.take_batch_norm(
            enable_batch_normalization,
            batch_normalization_momentum,
            batch_normalization_renorm,
            batch_normalization_renorm_clipping,
            batch_normalization_renorm_momentum,
        )
        self._stacked_layers = self._stack()

    def _stack(self) -> list:
        stack = [self.batch_norm("in")] if self.enable_batch_normalization else []
        count = len(self.output_dims)
        for i, (units, activation) in enumerate(zip(self.output_dims, self.activations)):
            stack.append(
                self.inner(
                    Dense,
                    units,
                    name=f"dense_{i}",
                    use_bias=self.use_bias,
                    kernel_initializer=self.initializers[i],
                    kernel_regularizer=self.kernel_regularizer,
                    bias_regularizer=self.bias_regularizer,
                    allow_kernel_norm=self.use_weight_norm,
                    kernel_norm_trainable=self.use_learnable_weight_norm,
                )
            )
            if self.enable_batch_normalization and i < count - 1:
                stack.append(self.batch_norm("out" if i == 0 else f"out_{i}"))
            if activation is not None:
                stack.append(activation)
        return stack

    def get_layer(self, index: int):
        """A layer of the stack, from the input on. AssertionError beyond its end."""
        assert index < len(self._stacked_layers), (
            f"MLP {self.name!r} has {len(self._stacked_layers)} layers, not {index + 1}"
        )
        return self._stacked_layers[index]

    def build(self, input_shape):
        shape = tuple(input_shape)
        for layer in self._stacked_layers:
            if not isinstance(layer, keras.layers.Layer):
                continue
            if isinstance(layer, keras.layers.BatchNormalization):
                with variable_scope("BatchNorm"):
                    layer.build(shape)
            elif not layer.built:
                layer.build(shape)
            if isinstance(layer, Dense):
                shape = (*shape[:-1], layer.units)

    def call(self, inputs, training=None, segment_names=None, segment_sizes=None, group_info=None, label=None):
        for layer in self._stacked_layers:
            outputs = (
                layer(inputs, training=training)
                if isinstance(layer, keras.layers.BatchNormalization)
                else layer(inputs)
            )
            if segment_names and segment_sizes and getattr(layer, "name", "") == "dense_0":
                with tf.name_scope(self._own_scope()):
                    feature_insight_data(inputs, segment_names, segment_sizes, layer.kernel, group_info, label)
            inputs = outputs
        return inputs

    def _own_scope(self) -> str:
        """The name scope at hand, to be entered as it is, with this layer's own name in place of `<name>_1` at its
        end."""
        outer, _, last = tf1.get_default_graph().get_name_scope().rpartition("/")
        last = self.name if re.fullmatch(re.escape(self.name) + r"_\d+", last) else last
        return "/".join(part for part in (outer, last) if part) + "/"

    def compute_output_shape(self, input_shape, **kwargs):
        return (*tuple(input_shape)[:-1], self.output_dims[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "output_dims": self.output_dims,
            "activations": [activations.serialize(a) for a in self.activations],
            "initializers": [serialized(i, keras.initializers) for i in self.initializers],
            "kernel_regularizer": serialized(self.kernel_regularizer, keras.regularizers),
            "use_weight_norm": self.use_weight_norm,
            "use_learnable_weight_norm": self.use_learnable_weight_norm,
            "use_bias": self.use_bias,
            "bias_regularizer": serialized(self.bias_regularizer, keras.regularizers),
            **self.batch_norm_config(),
        }
