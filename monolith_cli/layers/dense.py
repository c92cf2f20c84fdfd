"""Dense: a matrix product with optional weight normalisation."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from monolith_cli.layers import activations, partition
from monolith_cli.layers.base import MonolithLayer, fresh, get_regularizer, initializer_or, register, serialized, shown

tf1 = tf.compat.v1

# Below this a column's squared norm counts as this.
NORM_EPSILON = 1e-6
MONITOR_NAME = "inactive_relu_count_moving_avg"


@register
class Dense(MonolithLayer):
    """y = activation(x K + b); x [..., m] -> y [..., units].

    With allow_kernel_norm K = W / sqrt(max(column sums of W^2, 1e-6)), columns of length 1; with kernel_norm_trainable
    too K is that times a learned length of each column, which starts as the column's own, so that K starts as W.
    Paper: Salimans and Kingma, Weight Normalization, NIPS 2016.

    units: width of the output.
    activation: a name, function or layer (`layers.activations.get`). Default None: none.
    use_bias: default True.
    kernel_initializer, bias_initializer: default glorot_uniform, zeros.
    kernel_regularizer, bias_regularizer: added to `losses`. Default None.
    partitioner: of the kernel and its norm, as in tf.compat.v1.get_variable; default that of the variable scope at
        hand. With AxisSizePartitioner the config holds it.
    inactive_relu_monitor: with a relu, keeps a moving average of how many rows of a batch leave each unit at 0,
        decaying by inactive_relu_monitor_decay (0.1), and writes its histogram as a summary. Default False.
    optimizer: a tf.compat.v1.train optimizer for the variables of this layer alone; it is not part of the config.

    Variables: kernel [m, units]; trainable_kernel_norm [units]; bias [units]; inactive_relu_count_moving_avg [units].
    Errors: LayerError where m is not known or units is not positive; TypeError for inputs that are no floats.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        allow_kernel_norm: bool = False,
        kernel_norm_trainable: bool = False,
        partitioner: Any = None,
        inactive_relu_monitor: bool = False,
        inactive_relu_monitor_decay: float = 0.1,
        optimizer: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(isinstance(units, int) and units > 0, f"units must be a whole number above 0, not {units!r}")
        self.units = units
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializer_or(kernel_initializer, "glorot_uniform")
        self.bias_initializer = initializer_or(bias_initializer, "zeros")
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)
        self.allow_kernel_norm = allow_kernel_norm
        self.kernel_norm_trainable = kernel_norm_trainable
        self.partitioner = (
            keras.saving.deserialize_keras_object(partitioner) if isinstance(partitioner, dict) else partitioner
        )
        self.inactive_relu_monitor = inactive_relu_monitor
        self.inactive_relu_monitor_decay = inactive_relu_monitor_decay
        self.optimizer = optimizer

    def build(self, input_shape):
        shape = tuple(input_shape)
        self.require(
            bool(shape) and shape[-1] is not None, f"the last dimension of its input must be known, not {shown(shape)}"
        )
        if not tf.as_dtype(self.compute_dtype).is_floating:
            raise TypeError(f"Dense {self.name!r}: dtype {self.compute_dtype} is no float")
        self.input_width = shape[-1]
        with tf.init_scope():
            initial = fresh(self.kernel_initializer)([shape[-1], self.units], dtype=self.variable_dtype)
            initial = tf.convert_to_tensor(initial)
            norm = tf.norm(initial, axis=0)
        partitioner = self.partitioner or tf1.get_variable_scope().partitioner
        self._kernel_parts = partition.add_weight(
            self, "kernel", [shape[-1], self.units], initial, partitioner, self.kernel_regularizer
        )
        self._norm_parts = []
        if self.allow_kernel_norm and self.kernel_norm_trainable:
            self._norm_parts = partition.add_weight(self, "trainable_kernel_norm", [self.units], norm, partitioner)
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=[self.units],
                initializer=fresh(self.bias_initializer),
                regularizer=self.bias_regularizer,
            )
        self._build_monitor()
        if isinstance(self.activation, keras.layers.Layer) and not self.activation.built:
            self.activation.build((*shape[:-1], self.units))
        if self.optimizer is not None:
            for variable in self.trainable_variables:
                variable.value.optimizer = self.optimizer

    def _build_monitor(self) -> None:
        self._inactive = None
        if self.inactive_relu_monitor and _is_relu(self.activation):
            self._inactive = self.add_weight(
                name=MONITOR_NAME, shape=[self.units], initializer="zeros", trainable=False
            )
            if not tf.executing_eagerly():
                tf1.add_to_collection(tf1.GraphKeys.METRIC_VARIABLES, self._inactive.value)

    @property
    def kernel(self):
        """The effective kernel [m, units]: normalised where the layer is asked to."""
        kernel = partition.whole(self._kernel_parts)
        kernel = tf.cast(kernel, self.compute_dtype)
        if not self.allow_kernel_norm:
            return kernel
        kernel = tf.math.l2_normalize(kernel, axis=0, epsilon=NORM_EPSILON)
        return kernel * tf.cast(partition.whole(self._norm_parts), kernel.dtype) if self._norm_parts else kernel

    def call(self, inputs):
        rank = inputs.shape.rank
        self.require(
            inputs.shape[-1] in (None, self.input_width),
            f"was built for inputs of width {self.input_width}, not {shown(inputs.shape)}",
        )
        outputs = tf.matmul(inputs, self.kernel) if rank == 2 else tf.tensordot(inputs, self.kernel, [[rank - 1], [0]])
        if self.bias is not None:
            outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        if self.activation is not None:
            outputs = self.activation(outputs)
        return outputs if self._inactive is None else self._monitored(outputs)

    def _monitored(self, outputs):
        """`outputs` after the moving average has taken in how many rows are 0 in each unit."""
        rows = tf.reshape(outputs, [-1, self.units])
        inactive = tf.reduce_sum(tf.cast(tf.equal(rows, 0), self._inactive.dtype), axis=0)
        decay = self.inactive_relu_monitor_decay
        update = self._inactive.value.assign((1.0 - decay) * self._inactive.value + decay * inactive)
        tf1.summary.histogram(MONITOR_NAME, update)
        with tf.control_dependencies([update]):
            return tf.identity(outputs)

    def compute_output_shape(self, input_shape):
        return (*tuple(input_shape)[:-1], self.units)

    def get_config(self):
        partitioner = self.partitioner
        if partitioner is not None:
            self.require(
                hasattr(partitioner, "get_config"),
                "a partitioner that is a plain function cannot be saved in a config: use layers.AxisSizePartitioner",
            )
            partitioner = keras.saving.serialize_keras_object(partitioner)
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": serialized(self.kernel_initializer, keras.initializers),
            "bias_initializer": serialized(self.bias_initializer, keras.initializers),
            "kernel_regularizer": serialized(self.kernel_regularizer, keras.regularizers),
            "bias_regularizer": serialized(self.bias_regularizer, keras.regularizers),
            "allow_kernel_norm": self.allow_kernel_norm,
            "kernel_norm_trainable": self.kernel_norm_trainable,
            "partitioner": partitioner,
            "inactive_relu_monitor": self.inactive_relu_monitor,
            "inactive_relu_monitor_decay": self.inactive_relu_monitor_decay,
        }


def _is_relu(activation: Any) -> bool:
    return isinstance(activation, activations.ReLU) or getattr(activation, "__name__", "") == "relu"
