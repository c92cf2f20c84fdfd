"""Transformations of embeddings: AutoInt, iRazor, SeNet."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from monolith_cli.layers.base import fresh, get_regularizer, initializer_or, is_shape, register, shown
from monolith_cli.layers.feature_cross import Configured
from monolith_cli.layers.mlp import MLP
from monolith_cli.layers.utils import add_layer_loss, merge_tensor_list

tf1 = tf.compat.v1


@register
class AutoInt(Configured):
    """Self-attention without parameters: E [B, n, d] <- softmax(E E^T) E, layer_num times (default 1), merged by
    out_type.

    There is neither scaling nor projection. out_type, keep_list: as in `utils.merge_tensor_list`.
    Errors: LayerError for an input that is not [batch, features, width]. Paper: Song et al., AutoInt, CIKM 2019.
    """

    plain = ("layer_num", "out_type", "keep_list")

    def __init__(self, layer_num: int = 1, out_type: str | None = "concat", keep_list: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.layer_num, self.out_type, self.keep_list = layer_num, out_type, keep_list

    def build(self, input_shape):
        self.fields_shape(input_shape)

    def call(self, inputs):
        x = inputs
        for _ in range(self.layer_num):
            x = tf.matmul(tf.nn.softmax(tf.matmul(x, x, transpose_b=True), axis=-1), x)
        return merge_tensor_list(x, self.out_type, keep_list=self.keep_list)


@register
class iRazor(Configured):
    """Learns which columns of each feature's embedding to keep: E [B, n, d] -> E * S, merged by out_type.

    P = softmax(nas_weight / t) [n, K]: how likely each choice is; choice i keeps the columns nas_space[i-1] ..
    nas_space[i] - 1, choice 0 none. S = P mask [n, d], mask row i being 1 on the columns of choice i.

    nas_space: choices of a width, ascending from 0 to d. t: temperature, default 0.05; the smaller, the closer to one
        choice.
    initializer: of nas_weight, default glorot_uniform. regularizer: default None.
    feature_weight: what each column of a feature costs (n numbers or a tensor); adds the layer loss
        (`utils.get_layer_loss`) named
        after the layer: sum over features of feature_weight * (sum of S over its columns). Default None.
    out_type, keep_list: as in `utils.merge_tensor_list`. In a graph P is written as a histogram `nas_weight`.
    Variable: nas_weight [n, K]. Errors: LayerError where nas_space does not ascend from 0 to d.
    Paper: Yao et al., i-Razor: A Differentiable Neural Input Razor for Feature Selection and Dimension Search, 2022.
    """

    plain = ("nas_space", "t", "out_type", "keep_list")

    def __init__(
        self,
        nas_space: list[int],
        t: float = 0.05,
        initializer: Any = None,
        regularizer: Any = None,
        feature_weight: Any = None,
        out_type: str | None = "concat",
        keep_list: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        space = list(nas_space)
        ascending = len(space) > 1 and space[0] == 0 and all(a < b for a, b in zip(space, space[1:]))
        self.require(ascending, f"nas_space must ascend from 0 to the width of the embeddings, not {nas_space}")
        self.nas_space, self.t = space, t
        self.initializer = initializer_or(initializer, "glorot_uniform")
        self.regularizer = get_regularizer(regularizer)
        self.feature_weight, self.out_type, self.keep_list = feature_weight, out_type, keep_list

    def build(self, input_shape):
        n, d = self.fields_shape(input_shape)
        self.require(
            d == self.nas_space[-1],
            f"nas_space {self.nas_space} must end at the width {d} of its input {shown(input_shape)}",
        )
        if isinstance(self.feature_weight, (list, tuple)):
            self.require(len(self.feature_weight) == n, f"{len(self.feature_weight)} feature weights for {n} features")
        self.nas_weight = self.add_weight(
            name="nas_weight",
            shape=[n, len(self.nas_space)],
            initializer=fresh(self.initializer),
            regularizer=self.regularizer,
        )
        mask = np.zeros([len(self.nas_space), d])
        for i, (low, high) in enumerate(zip(self.nas_space, self.nas_space[1:])):
            mask[i + 1, low:high] = 1
        self._mask = mask

    def probabilities(self):
        """P [n, K]."""
        return tf.nn.softmax(tf.convert_to_tensor(self.nas_weight) / self.t, axis=1)

    def call(self, inputs):
        chosen = self.probabilities()
        kept = tf.matmul(chosen, tf.constant(self._mask, chosen.dtype))
        if not tf.executing_eagerly():
            tf1.summary.histogram("nas_weight", chosen)
        if self.feature_weight is not None:
            cost = tf.reshape(tf.cast(tf.convert_to_tensor(self.feature_weight), kept.dtype), [-1])
            add_layer_loss(self.name, tf.reduce_sum(cost * tf.reduce_sum(kept, axis=1)))
        return merge_tensor_list(inputs * kept, self.out_type, keep_list=self.keep_list)

    def get_config(self):
        weight = self.feature_weight
        weight = list(weight) if isinstance(weight, (list, tuple, np.ndarray)) else weight
        self.require(
            weight is None or isinstance(weight, list),
            "a feature_weight that is a tensor cannot be saved in a config: give a list",
        )
        return {**super().get_config(), "feature_weight": None if weight is None else [float(w) for w in weight]}


@register
class SeNet(Configured):
    """A gate for each feature: w = MLP([cmp_dim, n], relu, sigmoid) of the mean of each feature, out = w_i E_i, merged
    by out_type.

    Input: one tensor [B, n, d], or a list of n tensors [B, d_i].
    num_feature: n. cmp_dim: width of the squeeze; None: the means themselves are the gates. initializer, regularizer:
        of the MLP
    `cmp_tower`. on_gpu is kept for old models and changes nothing. out_type, keep_list: as in
    `utils.merge_tensor_list`.
    Errors: LayerError for another number of features. Paper: Huang et al., FiBiNET, RecSys 2019.
    """

    plain = ("num_feature", "cmp_dim", "on_gpu", "out_type", "keep_list")

    def __init__(
        self,
        num_feature: int,
        cmp_dim: int | None,
        initializer: Any = None,
        regularizer: Any = None,
        on_gpu: bool = False,
        out_type: str | None = "concat",
        keep_list: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_feature, self.cmp_dim, self.on_gpu = num_feature, cmp_dim, on_gpu
        self.initializer = initializer_or(initializer, "glorot_uniform")
        self.regularizer = get_regularizer(regularizer)
        self.out_type, self.keep_list = out_type, keep_list

    def build(self, input_shape):
        found = self.fields_shape(input_shape)[0] if is_shape(input_shape) else len(input_shape)
        self.require(
            found == self.num_feature,
            f"was made for {self.num_feature} features, its input has {found}: {shown(input_shape)}",
        )
        self.tower = None
        if self.cmp_dim is not None:
            self.tower = self.inner(
                MLP,
                [self.cmp_dim, self.num_feature],
                activations=["relu", "sigmoid"],
                initializers=self.initializer,
                kernel_regularizer=self.regularizer,
                name="cmp_tower",
            )
            self.tower.build((None, self.num_feature))

    def gates(self, inputs):
        """w [B, n]."""
        if isinstance(inputs, (list, tuple)):
            means = tf.stack([tf.reduce_mean(x, axis=1) for x in inputs], axis=1)
        else:
            means = tf.reduce_mean(inputs, axis=2)
        return means if self.tower is None else self.tower(means)

    def call(self, inputs):
        gates = self.gates(inputs)
        if isinstance(inputs, (list, tuple)):
            gated = [x * gates[:, i : i + 1] for i, x in enumerate(inputs)]
        else:
            gated = inputs * gates[:, :, tf.newaxis]
        return merge_tensor_list(gated, self.out_type, num_feature=self.num_feature, keep_list=self.keep_list)
