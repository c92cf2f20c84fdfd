"""DCN: deep & cross, with a vector, a matrix or a mixture of low-rank matrices."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from monolith_cli.layers.base import fresh, get_regularizer, initializer_or, register, shown, variable_scope
from monolith_cli.layers.dense import NORM_EPSILON
from monolith_cli.layers.feature_cross import Configured
from monolith_cli.layers.utils import DCNType


@register
class DCN(Configured):
    """Cross layers on the last axis: x [B, D] or [B, n, D], x_0 = x, the output of the same shape.

    dcn_type vector: x <- x_0 * (x k) + b + x, k [D, 1]; matrix: x <- x_0 * (x K + b) + x, K [D, D]; mixed: x <- x + the
    sum over experts of x_0 * (tanh(tanh(x V) C) U^T + b), U, V [D, r], C [r, r].
    layer_num: default 1. num_experts, low_rank: of mixed; default 1, 0 (low_rank must be set).
    gate: of mixed. "sum" (default): every expert counts 1, as the softmax of a single gate does; "softmax": experts are
        weighted by softmax over experts of x G.
    allow_kernel_norm: each variable is divided by the length of its columns (as in `Dense`) and multiplied by a learned
        length,
        `<variable>/trainable_norm`. Biases start at 0 and then stay there: their length is 0, and its gradient too.
    use_dropout: after each layer, dropping 1 - keep_prob (0.05) of the elements, where mode is train or the call says
        training=True.
    initializer: default glorot_normal. regularizer: of all but the biases.

    Variables, layer by layer: kernel_i; or all U_i_j, V_i_j, C_i_j, G_i_j [D, 1]; then bias_i [1, D].
    Errors: LayerError for an unknown dcn_type, for mixed without low_rank, and where D is not known.
    Papers: Wang et al., Deep & Cross Network, ADKDD 2017; DCN V2, WWW 2021.
    """

    plain = (
        "layer_num",
        "dcn_type",
        "num_experts",
        "low_rank",
        "allow_kernel_norm",
        "use_dropout",
        "keep_prob",
        "mode",
        "gate",
    )

    def __init__(
        self,
        layer_num: int = 1,
        dcn_type: str = DCNType.Matrix,
        initializer: Any = None,
        regularizer: Any = None,
        num_experts: int = 1,
        low_rank: int = 0,
        allow_kernel_norm: bool = False,
        use_dropout: bool = False,
        keep_prob: float = 0.95,
        mode: str = "train",
        gate: str = "sum",
        **kwargs,
    ):
        super().__init__(**kwargs)
        types = (DCNType.Vector, DCNType.Matrix, DCNType.Mixed)
        self.require(dcn_type in types, f"dcn_type must be one of {', '.join(types)}, not {dcn_type!r}")
        self.require(
            dcn_type != DCNType.Mixed or low_rank > 0, f"low_rank must be above 0 with dcn_type mixed, not {low_rank}"
        )
        self.require(gate in ("sum", "softmax"), f"gate must be sum or softmax, not {gate!r}")
        self.require(0 < keep_prob <= 1, f"keep_prob must lie above 0 and not above 1, not {keep_prob}")
        self.layer_num, self.dcn_type = layer_num, dcn_type
        self.initializer = initializer_or(initializer, "glorot_normal")
        self.regularizer = get_regularizer(regularizer)
        self.num_experts, self.low_rank, self.allow_kernel_norm = num_experts, low_rank, allow_kernel_norm
        self.use_dropout, self.keep_prob, self.mode, self.gate = use_dropout, keep_prob, mode, gate

    def build(self, input_shape):
        shape = tuple(input_shape)
        self.require(
            len(shape) >= 2 and shape[-1] is not None,
            f"the last dimension of its input must be known, not {shown(shape)}",
        )
        d, r = shape[-1], self.low_rank
        self._norms: dict[str, Any] = {}
        layers, experts = range(self.layer_num), range(self.num_experts)
        if self.dcn_type == DCNType.Mixed:
            shapes = {"U": [d, r], "V": [d, r], "C": [r, r], "G": [d, 1]}
            for letter, size in shapes.items():
                made = [[self._weight(f"{letter}_{i}_{j}", size) for j in experts] for i in layers]
                setattr(self, f"_{letter.lower()}", made)
        else:
            size = [d, 1] if self.dcn_type == DCNType.Vector else [d, d]
            self._kernels = [self._weight(f"kernel_{i}", size) for i in layers]
        self._biases = [self._weight(f"bias_{i}", [1, d], "zeros") for i in layers]

    def _weight(self, name: str, shape: list[int], initializer: Any = None):
        regularizer = None if initializer else self.regularizer
        if not self.allow_kernel_norm:
            start = fresh(self.initializer) if initializer is None else initializer
            return self.add_weight(name=name, shape=shape, initializer=start, regularizer=regularizer)
        with tf.init_scope():
            start = keras.initializers.get(initializer) if initializer else fresh(self.initializer)
            initial = tf.convert_to_tensor(start(shape, dtype=self.variable_dtype))
            norm = tf.norm(initial, axis=0)
        weight = self.add_weight(name=name, shape=shape, initializer=lambda *_, **__: initial, regularizer=regularizer)
        with variable_scope(name):
            self._norms[name] = keras.Variable(
                lambda *_, **__: norm,
                shape=[shape[-1]],
                dtype=self.variable_dtype,
                trainable=self.trainable,
                name="trainable_norm",
            )
        return weight

    def _value(self, weight):
        value = tf.convert_to_tensor(weight)
        norm = self._norms.get(weight.name)
        return value if norm is None else tf.math.l2_normalize(value, axis=0, epsilon=NORM_EPSILON) * norm

    def call(self, inputs, training=None):
        x = inputs
        for i in range(self.layer_num):
            bias = tf.squeeze(self._value(self._biases[i]), axis=0)
            if self.dcn_type == DCNType.Vector:
                x = inputs * _product(x, self._value(self._kernels[i])) + bias + x
            elif self.dcn_type == DCNType.Matrix:
                x = inputs * (_product(x, self._value(self._kernels[i])) + bias) + x
            else:
                x = x + self._mixture(inputs, x, i, bias)
            if self.use_dropout and (self.mode == "train" if training is None else training):
                x = tf.nn.dropout(x, rate=1.0 - self.keep_prob)
        return x

    def _mixture(self, x0, x, i: int, bias):
        found = []
        for j in range(self.num_experts):
            low = tf.tanh(_product(x, self._value(self._v[i][j])))
            low = tf.tanh(_product(low, self._value(self._c[i][j])))
            found.append(x0 * (_product(low, tf.transpose(self._value(self._u[i][j]))) + bias))
        if self.gate == "sum":
            return tf.add_n(found)
        gates = tf.concat([_product(x, self._value(g)) for g in self._g[i]], axis=-1)
        return tf.reduce_sum(tf.stack(found, axis=-1) * tf.nn.softmax(gates, axis=-1)[..., tf.newaxis, :], axis=-1)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


def _product(x, kernel):
    """x [..., m] with a kernel [m, n] -> [..., n]."""
    return tf.matmul(x, kernel) if x.shape.rank == 2 else tf.tensordot(x, kernel, [[x.shape.rank - 1], [0]])
