"""Interactions of features: GroupInt (FFM), AllInt, CDot, CAN, CIN. DCN is in dcn.py."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from monolith_cli.layers import activations
from monolith_cli.layers.base import (
    LayerError,
    MonolithLayer,
    fresh,
    get_regularizer,
    initializer_or,
    register,
    serialized,
    shown,
)
from monolith_cli.layers.mlp import MLP
from monolith_cli.layers.utils import merge_tensor_list


class Configured(MonolithLayer):
    """A layer whose config is its arguments: those in `plain` as they are, activation, initializer and regularizer
    serialized."""

    plain: tuple[str, ...] = ()

    def get_config(self):
        config = {**super().get_config(), **{k: getattr(self, k) for k in self.plain}}
        for key, value in (("initializer", keras.initializers), ("regularizer", keras.regularizers)):
            if hasattr(self, key):
                config[key] = serialized(getattr(self, key), value)
        if hasattr(self, "activation"):
            config["activation"] = activations.serialize(self.activation)
        return config

    def hidden_activations(self, count: int) -> list:
        """One activation layer for each of `count` layers but the last: copies of `self.activation`, whose variables
        are not shared."""
        text = activations.serialize(self.activation)
        return [self.activation if text is None else activations.get(text) for _ in range(count - 1)] + [None]


@register
class GroupInt(Configured):
    """All interactions of a group of features on the left with a group on the right.

    Call: ([p tensors [B, d]], [q tensors [B, d]]).
    interaction_type: multiply -> [B, p*q*d], block i*q + j being left_i * right_j; dot -> [B, p*q], their inner
        products.
    use_attention (multiply only): each block times a = MLP(attention_units) of it, whose last unit must be 1;
        `activation` on its hidden layers, default relu.
    initializer: of the MLP, default glorot_normal. regularizer: default None. keep_list: the result in a list. out_type
        is kept for old models and changes nothing.
    Variables: with attention those of the MLP `groupint_attention_mlp`.
    Papers: Juan et al., Field-aware Factorization Machines, RecSys 2016; Xiao et al., Attentional Factorization
    Machines, IJCAI 2017.
    """

    plain = ("interaction_type", "use_attention", "attention_units", "out_type", "keep_list")

    def __init__(
        self,
        interaction_type: str = "multiply",
        use_attention: bool = False,
        attention_units: list[int] | None = None,
        activation: Any = "relu",
        initializer: Any = None,
        regularizer: Any = None,
        out_type: str | None = "concat",
        keep_list: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(
            interaction_type in ("multiply", "dot"),
            f"interaction_type must be multiply or dot, not {interaction_type!r}",
        )
        self.interaction_type, self.use_attention = interaction_type, use_attention
        if use_attention:
            self.require(interaction_type == "multiply", "attention goes with interaction_type multiply alone")
            self.require(
                bool(attention_units) and attention_units[-1] == 1,
                f"the last of attention_units must be 1, not {attention_units}",
            )
        self.attention_units = None if attention_units is None else list(attention_units)
        self.activation = activations.get(activation)
        self.initializer = initializer_or(initializer, "glorot_normal")
        self.regularizer = get_regularizer(regularizer)
        self.out_type, self.keep_list = out_type, keep_list

    def build(self, input_shape):
        self.require(
            len(input_shape) == 2
            and all(len(side) and not isinstance(side[0], int) and side[0] is not None for side in input_shape),
            f"takes two lists of tensors, the left and the right group, not shapes {shown(input_shape)}",
        )
        shapes = [self.matrix_shape(s, "each input") for side in input_shape for s in side]
        widths = {s[-1] for s in shapes}
        self.require(len(widths) == 1, f"all inputs must have the same width, not {shown(input_shape)}")
        self.width = widths.pop()
        if self.use_attention:
            self.attention = self.inner(
                MLP,
                self.attention_units,
                name="groupint_attention_mlp",
                initializers=self.initializer,
                activations=self.hidden_activations(len(self.attention_units)),
                kernel_regularizer=self.regularizer,
            )
            self.attention.build((None, len(input_shape[0]) * len(input_shape[1]), self.width))

    def call(self, inputs):
        left, right = (tf.stack(side, axis=1) for side in inputs)
        pairs = left.shape[1] * right.shape[1]
        if self.interaction_type == "dot":
            out = tf.reshape(tf.matmul(left, right, transpose_b=True), [-1, pairs])
        else:
            stacked = tf.reshape(left[:, :, tf.newaxis] * right[:, tf.newaxis], [-1, pairs, self.width])
            if self.use_attention:
                stacked = stacked * self.attention(stacked)
            out = tf.reshape(stacked, [-1, pairs * self.width])
        return [out] if self.keep_list else out


FFM = GroupInt


def ffm(left, right, dim_size: int, int_type: str = "multiply"):
    """Interactions of blocks of `dim_size` columns: left [B, p*d], right [B, q*d] -> [B, p*q*d], or [B, p*q] for "dot".

    Columns beyond the last whole block are left out. LayerError for what is no matrix.
    """
    left, right = tf.convert_to_tensor(left), tf.convert_to_tensor(right)
    blocks = []
    for side in (left, right):
        if side.shape.rank != 2 or side.shape[1] is None:
            raise LayerError(
                f"ffm: left and right must be matrices of a known width, not {shown(left.shape)} and "
                f"{shown(right.shape)}"
            )
        n = side.shape[1] // dim_size
        blocks.append(tf.reshape(side[:, : n * dim_size], [-1, n, dim_size]))
    p, q = blocks[0].shape[1], blocks[1].shape[1]
    if int_type == "dot":
        return tf.reshape(tf.matmul(blocks[0], blocks[1], transpose_b=True), [-1, p * q])
    return tf.reshape(blocks[0][:, :, tf.newaxis] * blocks[1][:, tf.newaxis], [-1, p * q * dim_size])


@register
class AllInt(Configured):
    """Compressed interactions of all pairs: E [B, n, d] -> E (E^T K + b) [B, n, cmp_dim], merged by out_type.

    cmp_dim: width c of the compression. initializer: of K, default glorot_normal. regularizer: of K. use_bias: default
        True.
    out_type (concat, stack or None), keep_list: as in `utils.merge_tensor_list`.
    Variables: allint_kernel [n, c], allint_bias [c] zeros. Errors: LayerError unless n and d are known.
    """

    plain = ("cmp_dim", "use_bias", "out_type", "keep_list")

    def __init__(
        self,
        cmp_dim: int,
        initializer: Any = None,
        regularizer: Any = None,
        use_bias: bool = True,
        out_type: str | None = "concat",
        keep_list: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.cmp_dim, self.use_bias, self.out_type, self.keep_list = cmp_dim, use_bias, out_type, keep_list
        self.initializer = initializer_or(initializer, "glorot_normal")
        self.regularizer = get_regularizer(regularizer)

    def build(self, input_shape):
        n, _ = self.fields_shape(input_shape)
        self.kernel = self.add_weight(
            name="allint_kernel",
            shape=[n, self.cmp_dim],
            initializer=fresh(self.initializer),
            regularizer=self.regularizer,
        )
        self.bias = (
            self.add_weight(name="allint_bias", shape=[self.cmp_dim], initializer="zeros") if self.use_bias else None
        )

    def call(self, inputs):
        middle = tf.tensordot(tf.transpose(inputs, [0, 2, 1]), tf.convert_to_tensor(self.kernel), [[2], [0]])
        if self.bias is not None:
            middle = middle + self.bias
        return merge_tensor_list(tf.matmul(inputs, middle), self.out_type, keep_list=self.keep_list)


@register
class CDot(Configured):
    """Interactions with a compression that depends on the input: E [B, n, d] -> [B, n*p + d*p].

    P = E^T W [B, d, p]; c = MLP(compress_units + [d*p])(P); out = (E C, c) with C = c as [B, d, p].
    project_dim: p. compress_units: hidden widths of the MLP. activation: of its hidden layers, default relu.
        initializer: default
    glorot_normal. regularizer: of W and of the MLP's kernels.
    Variables: project_weight [n, p], compress_tower/... Errors: LayerError unless n and d are known.
    """

    plain = ("project_dim", "compress_units")

    def __init__(
        self,
        project_dim: int,
        compress_units: list[int],
        activation: Any = "relu",
        initializer: Any = None,
        regularizer: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.project_dim, self.compress_units = project_dim, list(compress_units)
        self.activation = activations.get(activation)
        self.initializer = initializer_or(initializer, "glorot_normal")
        self.regularizer = get_regularizer(regularizer)

    def build(self, input_shape):
        n, d = self.fields_shape(input_shape)
        self.project_weight = self.add_weight(
            name="project_weight",
            shape=[n, self.project_dim],
            initializer=fresh(self.initializer),
            regularizer=self.regularizer,
        )
        dims = [*self.compress_units, d * self.project_dim]
        self.compress_tower = self.inner(
            MLP,
            dims,
            name="compress_tower",
            activations=self.hidden_activations(len(dims)),
            initializers=self.initializer,
            kernel_regularizer=self.regularizer,
        )
        self.compress_tower.build((None, d * self.project_dim))

    def call(self, inputs):
        n, d = inputs.shape[1:]
        p = self.project_dim
        projected = tf.tensordot(tf.transpose(inputs, [0, 2, 1]), tf.convert_to_tensor(self.project_weight), [[2], [0]])
        compressed = self.compress_tower(tf.reshape(projected, [-1, d * p]))
        crossed = tf.matmul(inputs, tf.reshape(compressed, [-1, d, p]))
        return tf.concat([tf.reshape(crossed, [-1, n * p]), compressed], axis=1)


@register
class CAN(Configured):
    """Co-action unit: the item's embedding is the weights of a small MLP that the user's embedding goes through.

    Call: (user, item); e = the last dimension of user, item [B, (e*e + e) * layer_num] as W1 (row by row), b1, W2, b2,
    ...
    Each layer: x = activation(x W + b), the last one too.
    | is_seq | is_stacked | user | output |
    |---|---|---|---|
    | True | True | [B, n, T, e] | sum over T: [B, n, e] |
    | False | True | [B, n, e] | [B, n, e] |
    | True | False | [B, T, e] | sum over T: [B, e] |
    | False | False | [B, e] | [B, e] |

    layer_num: default 2. activation: default relu; None for none. is_seq: default False. is_stacked: default True.
    No variables but those of the activation. Errors: LayerError where the shapes do not fit.
    Paper: Bian et al., CAN: Feature Co-Action for Click-Through Rate Prediction, WSDM 2022.
    """

    plain = ("layer_num", "is_seq", "is_stacked")

    def __init__(
        self, layer_num: int = 2, activation: Any = "relu", is_seq: bool = False, is_stacked: bool = True, **kwargs
    ):
        super().__init__(**kwargs)
        self.layer_num, self.is_seq, self.is_stacked = layer_num, is_seq, is_stacked
        self.activation = activations.get(activation)

    def build(self, input_shape):
        self.require(len(input_shape) == 2 and not isinstance(input_shape[0], int), "takes (user, item)")
        user = self.matrix_shape(input_shape[0], "user", rank=2 + self.is_seq + self.is_stacked)
        item = self.matrix_shape(input_shape[1], "item")
        e = user[-1]
        needed = (e * e + e) * self.layer_num
        self.require(
            item[-1] == needed,
            f"item must be [batch, {needed}] for a user {shown(user)} and layer_num {self.layer_num}: "
            f"(e*e + e) * layer_num with "
            f"e = {e}; not {shown(item)}",
        )

    def call(self, inputs):
        user, item = inputs
        e = user.shape[-1]
        single = user.shape.rank == 2
        x = user[:, tf.newaxis] if single else user
        middle = [1] * (x.shape.rank - 3)
        for part in tf.split(item, self.layer_num, axis=1):
            weight = tf.reshape(part[:, : e * e], [-1, *middle, e, e])
            bias = tf.reshape(part[:, e * e :], [-1, *middle, 1, e])
            x = tf.matmul(x, weight) + bias
            if self.activation is not None:
                x = self.activation(x)
        if single:
            return tf.squeeze(x, axis=1)
        return tf.reduce_sum(x, axis=-2) if self.is_seq else x


@register
class CIN(Configured):
    """Compressed interaction network of xDeepFM: [B, n, d] -> [B, sum of hidden_uints].

    X_i [B, d, h_i] = activation((all products X_(i-1)[., h] * X_0[., m] as [B, d, h*n]) K_i + b_i), the last without
    activation; the output is the sum over d of each, side by side.
    hidden_uints: widths h_i (spelled so for old models). activation: default None. initializer: default glorot_uniform.
    regularizer: of the kernels. Variables: of a keras.layers.Conv1D for each width: kernel [1, h_(i-1)*n, h_i], bias
        [h_i].
    Errors: LayerError unless n and d are known.
    Paper: Lian et al., xDeepFM, KDD 2018.
    """

    plain = ("hidden_uints",)

    def __init__(
        self,
        hidden_uints: list[int],
        activation: Any = None,
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(bool(hidden_uints), "hidden_uints must name at least one width")
        self.hidden_uints = list(hidden_uints)
        self.activation = activations.get(activation)
        self.initializer = initializer_or(initializer, "glorot_uniform")
        self.regularizer = get_regularizer(regularizer)

    def build(self, input_shape):
        n, d = self.fields_shape(input_shape)
        before, self._convolutions = n, []
        for i, (units, activation) in enumerate(
            zip(self.hidden_uints, self.hidden_activations(len(self.hidden_uints)))
        ):
            layer = self.inner(
                keras.layers.Conv1D,
                units,
                1,
                activation=activation,
                kernel_initializer=fresh(self.initializer),
                kernel_regularizer=self.regularizer,
                name="conv1d" if i == 0 else f"conv1d_{i}",
            )
            layer.build((None, d, before * n))
            self._convolutions.append(layer)
            before = units

    def call(self, inputs):
        x0 = tf.transpose(inputs, [0, 2, 1])
        d, n = x0.shape[1:]
        x, found = x0, []
        for layer in self._convolutions:
            products = x[:, :, :, tf.newaxis] * x0[:, :, tf.newaxis, :]
            x = layer(tf.reshape(products, [-1, d, x.shape[-1] * n]))
            found.append(tf.reduce_sum(x, axis=1))
        return tf.concat(found, axis=1)
