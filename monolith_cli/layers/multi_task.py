"""Several tasks over shared experts: MMoE, SNR."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from monolith_cli.layers import activations
from monolith_cli.layers.base import (
    MonolithLayer,
    fresh,
    get_regularizer,
    initializer_or,
    is_shape,
    register,
    serialized,
    shown,
)
from monolith_cli.layers.feature_cross import Configured
from monolith_cli.layers.mlp import MLP, BatchNormArguments

_MLP_FLAGS = ("use_weight_norm", "use_learnable_weight_norm", "use_bias")


@register
class MMoE(BatchNormArguments, MonolithLayer):
    """Multi-gate mixture of experts: for each task the mean of the experts' outputs, weighted by the task's gates.

    Input: one tensor [B, m] for experts and gates, or (expert_input [B, m], gate_input [B, g]). Output: num_tasks
    tensors [B, out]. gates [B, task, expert] = softmax over experts of gate_input gate_weight; noise_topk adds noise
    N(0, 1) * softplus(gate_input gate_noise), in inference too. topk and noise_topk keep the top_k largest gates of a
    task (and those equal to the smallest of them) and bring their sum to 1.

    num_tasks. expert_output_dims: widths of the experts' MLPs, or a list of them, whose last widths are the same.
    expert_activations, expert_initializers: one, or a list with one for each expert; on all but the last layer of an
        expert. Initializers default to glorot_uniform.
    gate_type: softmax (default), topk, noise_topk. top_k: default 1.
    num_experts: default: as many as there are lists of widths, else activations, else initializers.
    kernel_regularizer, use_weight_norm, use_learnable_weight_norm, use_bias, bias_regularizer, batch normalisation: of
        the MLPs.
    With topk and noise_topk `losses` has a vector [num_tasks] for a call: (standard deviation / mean)^2 over experts of
    the sum of their gates over the batch, for an even load.

    Variables: gate_weight [g, num_experts * num_tasks] zeros (column task * num_experts + expert); with noise_topk
    gate_noise, of the same shape, glorot_normal; expert_i/....
    Errors: LayerError where numbers do not fit.
    Papers: Ma et al., Multi-gate Mixture-of-Experts, KDD 2018; Shazeer et al., Sparsely-Gated Mixture-of-Experts, ICLR
    2017.
    """

    def __init__(
        self,
        num_tasks: int,
        expert_output_dims: list,
        expert_activations: Any,
        expert_initializers: Any = "glorot_uniform",
        gate_type: str = "softmax",
        top_k: int = 1,
        num_experts: int | None = None,
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
        kinds = ("softmax", "topk", "noise_topk")
        self.require(gate_type in kinds, f"gate_type must be one of {', '.join(kinds)}, not {gate_type!r}")
        self.num_tasks, self.gate_type, self.top_k = num_tasks, gate_type, top_k
        many = [isinstance(x, (list, tuple)) for x in (expert_activations, expert_initializers)]
        lists = bool(expert_output_dims) and all(isinstance(d, (list, tuple)) for d in expert_output_dims)
        if num_experts is None:
            candidates = zip((lists, *many), (expert_output_dims, expert_activations, expert_initializers))
            num_experts = next((len(x) for is_list, x in candidates if is_list), None)
        self.require(bool(num_experts), "num_experts not set")
        self.num_experts = num_experts
        self.require(0 < top_k <= num_experts, f"top_k must be 1 to {num_experts} (num_experts), not {top_k}")
        self.expert_output_dims = (
            [list(d) for d in expert_output_dims] if lists else [list(expert_output_dims)] * num_experts
        )
        self._check_dims()
        self.expert_activations = [activations.get(a) for a in self._each("expert_activations", expert_activations)]
        initializers = self._each("expert_initializers", expert_initializers)
        self.expert_initializers = [initializer_or(i, "glorot_uniform") for i in initializers]
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)
        self.use_weight_norm, self.use_learnable_weight_norm, self.use_bias = (
            use_weight_norm,
            use_learnable_weight_norm,
            use_bias,
        )
        self.take_batch_norm(
            enable_batch_normalization,
            batch_normalization_momentum,
            batch_normalization_renorm,
            batch_normalization_renorm_clipping,
            batch_normalization_renorm_momentum,
        )

    def _check_dims(self) -> None:
        dims = self.expert_output_dims
        self.require(
            len(dims) == self.num_experts, f"expert_output_dims has {len(dims)} lists for {self.num_experts} experts"
        )
        self.require(all(dims), "expert_output_dims must name at least one width for each expert")
        last = {d[-1] for d in dims}
        self.require(len(last) == 1, f"the last widths of expert_output_dims must be the same, not {sorted(last)}")

    def _each(self, what: str, given: Any) -> list:
        """One for each expert; copies, where one is given for all."""
        if isinstance(given, (list, tuple)):
            self.require(
                len(given) == self.num_experts, f"{what} has {len(given)} entries for {self.num_experts} experts"
            )
            return list(given)
        text = activations.serialize(given) if isinstance(given, keras.layers.Layer) else None
        return [given if text is None else text] * self.num_experts

    def build(self, input_shape):
        experts, gates = (input_shape, input_shape) if is_shape(input_shape) else self._two(input_shape)
        experts, gates = self.matrix_shape(experts, "expert_input"), self.matrix_shape(gates, "gate_input")
        shape = [gates[-1], self.num_experts * self.num_tasks]
        self.gate_weight = self.add_weight(name="gate_weight", shape=shape, initializer="zeros")
        self.gate_noise = None
        if self.gate_type == "noise_topk":
            self.gate_noise = self.add_weight(name="gate_noise", shape=shape, initializer="glorot_normal")
        self.experts = []
        for i, dims in enumerate(self.expert_output_dims):
            expert = self.inner(
                MLP,
                dims,
                name=f"expert_{i}",
                activations=self._expert_activations(i),
                initializers=self.expert_initializers[i],
                kernel_regularizer=self.kernel_regularizer,
                bias_regularizer=self.bias_regularizer,
                **{k: getattr(self, k) for k in _MLP_FLAGS},
                **self.batch_norm_config(),
            )
            expert.build(experts)
            self.experts.append(expert)

    def _two(self, shapes):
        self.require(
            len(shapes) == 2, f"takes one tensor or (expert_input, gate_input), not {len(shapes)}: {shown(shapes)}"
        )
        return shapes

    def _expert_activations(self, i: int) -> list:
        activation, count = self.expert_activations[i], len(self.expert_output_dims[i])
        text = activations.serialize(activation)
        return [activation if text is None else text for _ in range(count - 1)] + [None]

    def gates(self, gate_input):
        """(gates [B, task, expert], the loss [num_tasks] or None)."""
        logits = tf.matmul(gate_input, tf.convert_to_tensor(self.gate_weight))
        if self.gate_noise is not None:
            deviation = tf.math.softplus(tf.matmul(gate_input, tf.convert_to_tensor(self.gate_noise)))
            logits = logits + tf.random.normal(tf.shape(logits), dtype=logits.dtype) * deviation
        gates = tf.nn.softmax(tf.reshape(logits, [-1, self.num_tasks, self.num_experts]), axis=-1)
        if self.gate_type == "softmax":
            return gates, None
        threshold = tf.math.top_k(gates, k=self.top_k).values[..., -1:]
        gates = tf.where(gates < threshold, tf.zeros_like(gates), gates)
        gates = gates / tf.reduce_sum(gates, axis=-1, keepdims=True)
        mean, variance = tf.nn.moments(tf.reduce_sum(gates, axis=0), axes=[1])
        return gates, variance / tf.square(mean)

    def call(self, inputs, training=None):
        expert_input, gate_input = inputs if isinstance(inputs, (list, tuple)) else (inputs, inputs)
        outputs = tf.stack([expert(expert_input, training=training) for expert in self.experts], axis=1)
        gates, loss = self.gates(gate_input)
        if loss is not None:
            self.add_loss(loss)
        return tf.unstack(tf.matmul(gates, outputs), num=self.num_tasks, axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_experts": self.num_experts,
            "expert_output_dims": self.expert_output_dims,
            "expert_activations": [activations.serialize(a) for a in self.expert_activations],
            "expert_initializers": [serialized(i, keras.initializers) for i in self.expert_initializers],
            "gate_type": self.gate_type,
            "top_k": self.top_k,
            "kernel_regularizer": serialized(self.kernel_regularizer, keras.regularizers),
            "bias_regularizer": serialized(self.bias_regularizer, keras.regularizers),
            **{k: getattr(self, k) for k in _MLP_FLAGS},
            **self.batch_norm_config(),
        }


class _ExpectedGates(keras.regularizers.Regularizer):
    """How many of the hard concrete gates are expected to be open: sum of sigmoid(log_alpha - beta * log(-gamma /
    zeta))."""

    def __init__(self, zeta: float, gamma: float, beta: float):
        self.shift = beta * math.log(-gamma / zeta)

    def __call__(self, log_alpha):
        return tf.reduce_sum(tf.sigmoid(tf.convert_to_tensor(log_alpha) - self.shift))


@register
class SNR(Configured):
    """Sub-network routing: each output is a sum over inputs, through matrices that hard concrete gates switch on and
    off.

    Input: N tensors [B, di]. Output: num_out_subnet tensors [B, out_subnet_dim]: out_j = sum over i of x_i (z_ij W_ij).
    Gates: s = sigmoid((log U - log(1 - U) + log_alpha) / beta), U uniform on (0, 1), for each route; with mode infer,
    or training=False in the call, s = sigmoid(log_alpha) without noise. z = clip(s * (zeta - gamma) + gamma, 0, 1).
    Mode eval has noise too.

    snr_type: trans (default), W_ij learned; aver, W_ij the identity, which needs di = out_subnet_dim.
    zeta, gamma, beta: default 1.1, -0.1, 0.5. use_ste: the gradient of the clipping is taken as 1. Default False.
    mode: default train. initializer: of weight, default glorot_uniform. regularizer: of weight.
    `losses` has the expected number of open gates: sum of sigmoid(log_alpha - beta * log(-gamma / zeta)).

    Variables (routes R = N * num_out_subnet, input by input): log_alpha [R, 1] zeros, weight [R, di * out_subnet_dim].
    Errors: LayerError where widths do not fit. Papers: Ma et al., SNR, AAAI 2019; Louizos et al., Learning Sparse
    Neural Networks through L0 Regularization, ICLR 2018.
    """

    plain = ("num_out_subnet", "out_subnet_dim", "snr_type", "zeta", "gamma", "beta", "use_ste", "mode")

    def __init__(
        self,
        num_out_subnet: int,
        out_subnet_dim: int,
        snr_type: str = "trans",
        zeta: float = 1.1,
        gamma: float = -0.1,
        beta: float = 0.5,
        use_ste: bool = False,
        mode: str = "train",
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(snr_type in ("trans", "aver"), f"snr_type must be trans or aver, not {snr_type!r}")
        self.require(
            gamma < 0 < zeta and beta > 0, f"gamma < 0, zeta > 0 and beta > 0 are needed, not {gamma}, {zeta}, {beta}"
        )
        self.num_out_subnet, self.out_subnet_dim, self.snr_type = num_out_subnet, out_subnet_dim, snr_type
        self.zeta, self.gamma, self.beta, self.use_ste, self.mode = zeta, gamma, beta, use_ste, mode
        self.initializer = initializer_or(initializer, "glorot_uniform")
        self.regularizer = get_regularizer(regularizer)

    def build(self, input_shape):
        self.require(not is_shape(input_shape), f"takes a list of tensors, not one of shape {shown(input_shape)}")
        shapes = [self.matrix_shape(s, "each input") for s in input_shape]
        widths = {s[-1] for s in shapes}
        self.require(len(widths) == 1, f"all inputs must have the same width, not {shown(shapes)}")
        self.width, self.num_inputs = widths.pop(), len(shapes)
        self.require(
            self.snr_type != "aver" or self.width == self.out_subnet_dim,
            f"snr_type aver needs inputs of the width of the output, {self.out_subnet_dim}, not {shown(shapes)}",
        )
        routes = self.num_inputs * self.num_out_subnet
        self.log_alpha = self.add_weight(
            name="log_alpha",
            shape=[routes, 1],
            initializer="zeros",
            regularizer=_ExpectedGates(self.zeta, self.gamma, self.beta),
        )
        self.weight = None
        if self.snr_type == "trans":
            self.weight = self.add_weight(
                name="weight",
                shape=[routes, self.width * self.out_subnet_dim],
                initializer=fresh(self.initializer),
                regularizer=self.regularizer,
            )

    def gates(self, training=None):
        """z [R, 1]."""
        log_alpha = tf.convert_to_tensor(self.log_alpha)
        if self.mode == "infer" or training is False:
            s = tf.sigmoid(log_alpha)
        else:
            u = tf.random.uniform(log_alpha.shape, minval=1e-7, maxval=1.0 - 1e-7, dtype=log_alpha.dtype)
            s = tf.sigmoid((tf.math.log(u) - tf.math.log1p(-u) + log_alpha) / self.beta)
        stretched = s * (self.zeta - self.gamma) + self.gamma
        clipped = tf.clip_by_value(stretched, 0.0, 1.0)
        return stretched + tf.stop_gradient(clipped - stretched) if self.use_ste else clipped

    def call(self, inputs, training=None):
        gates = self.gates(training)
        if self.weight is None:
            mix = tf.reshape(gates, [self.num_inputs, self.num_out_subnet])
            out = tf.einsum("nbd,no->obd", tf.stack(inputs), mix)
            return tf.unstack(out, num=self.num_out_subnet)
        routes = tf.reshape(
            gates * tf.convert_to_tensor(self.weight),
            [self.num_inputs, self.num_out_subnet, self.width, self.out_subnet_dim],
        )
        kernel = tf.reshape(
            tf.transpose(routes, [0, 2, 1, 3]),
            [self.num_inputs * self.width, self.num_out_subnet * self.out_subnet_dim],
        )
        return tf.split(tf.matmul(tf.concat(inputs, axis=1), kernel), self.num_out_subnet, axis=1)
