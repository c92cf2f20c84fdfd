"""Sequences of behaviour: DIN, DIEN, DMR_U2I."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.layers import activations
from monolith_cli.layers.agru import AGRUCell, dynamic_rnn_with_attention, static_rnn_with_attention
from monolith_cli.layers.base import MonolithLayer, fresh, get_regularizer, initializer_or, register, shown
from monolith_cli.layers.dense import Dense
from monolith_cli.layers.feature_cross import Configured
from monolith_cli.layers.mlp import MLP

tf1 = tf.compat.v1


@register
class DIN(Configured):
    """Attention of a target over a sequence.

    Call: (queries [B, d], keys [B, T, d]), mask=[B, T] optional.
    w = MLP(hidden_units) of (Q, K, Q - K, Q * K) for each step [B, T, 1]; with decay w / sqrt(d); where mask is below
    1, w is 0.
    There is no softmax over the steps. mode sum: sum over t of w_t K_t [B, d]; any other mode: w * K [B, T, d].

    hidden_units: of the MLP `compress_tower`, the last must be 1. activation: of its hidden layers, default linear.
    initializer: default glorot_normal. regularizer: of its kernels. mode: default sum. decay: default False.
    With a mask and in a graph the weights are written as a histogram `<name>_attention_outputs`.
    Errors: LayerError where hidden_units does not end in 1 or the shapes do not fit.
    Paper: Zhou et al., Deep Interest Network for Click-Through Rate Prediction, KDD 2018.
    """

    plain = ("hidden_units", "mode", "decay")

    def __init__(
        self,
        hidden_units: list[int],
        activation: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        mode: str = "sum",
        decay: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(
            bool(hidden_units) and hidden_units[-1] == 1, f"the last of hidden_units must be 1, not {hidden_units}"
        )
        self.hidden_units, self.mode, self.decay = list(hidden_units), mode, decay
        self.activation = activations.get("linear" if activation is None else activation)
        self.initializer = initializer_or(initializer, "glorot_normal")
        self.regularizer = get_regularizer(regularizer)
        self.supports_masking = True

    def compute_mask(self, inputs, previous_mask=None):
        """None: the steps are not there any more, or weighted."""
        return None

    def build(self, input_shape):
        self.require(len(input_shape) == 2 and not isinstance(input_shape[0], int), "takes (queries, keys)")
        queries, keys = self.matrix_shape(input_shape[0], "queries"), self.matrix_shape(input_shape[1], "keys", rank=3)
        self.require(
            queries[-1] == keys[-1],
            f"queries [batch, d] and keys [batch, time, d] must have the same d, not {shown(queries)} and "
            f"{shown(keys)}",
        )
        self.tower = self.inner(
            MLP,
            self.hidden_units,
            name="compress_tower",
            activations=self.hidden_activations(len(self.hidden_units)),
            initializers=self.initializer,
            kernel_regularizer=self.regularizer,
        )
        self.tower.build((None, keys[1], 4 * keys[-1]))

    def call(self, inputs, mask=None):
        queries, keys = inputs
        if isinstance(mask, (list, tuple)):  # Keras' own masks of the two inputs
            mask = mask[1]
        repeated = tf.broadcast_to(queries[:, tf.newaxis], tf.shape(keys))
        weights = self.tower(tf.concat([repeated, keys, repeated - keys, repeated * keys], axis=-1))
        if self.decay:
            weights = weights / tf.sqrt(tf.cast(keys.shape[-1], weights.dtype))
        if mask is not None:
            weights = tf.where(tf.cast(mask, weights.dtype)[:, :, tf.newaxis] >= 1.0, weights, tf.zeros_like(weights))
            if not tf.executing_eagerly():
                tf1.summary.histogram(f"{self.name}_attention_outputs", weights)
        if self.mode == "sum":
            return tf.squeeze(tf.matmul(weights, keys, transpose_a=True), axis=1)
        return keys * weights


class _GRUWeights(MonolithLayer):
    """The variables of a keras.layers.GRUCell, without the random numbers that it keeps for its dropout: kernel [d,
    3u], recurrent_kernel [u, 3u] orthogonal, bias [2, 3u] zeros."""

    def __init__(self, units: int, initializer, regularizer, **kwargs):
        super().__init__(**kwargs)
        self.units, self.initializer, self.regularizer = units, initializer, regularizer

    def build(self, input_shape):
        u = self.units
        self.kernel = self.add_weight(
            name="kernel", shape=[input_shape[-1], 3 * u], initializer=self.initializer, regularizer=self.regularizer
        )
        self.recurrent_kernel = self.add_weight(name="recurrent_kernel", shape=[u, 3 * u], initializer="orthogonal")
        self.bias = self.add_weight(name="bias", shape=[2, 3 * u], initializer="zeros")


@register
class DIEN(Configured):
    """The evolution of interest towards a target: a GRU over the sequence, then one whose updates attention scales.

    Call: (queries [B, u], keys [B, T, d]); a third entry, a mask, is ignored; or queries with keys=keys.
    O = GRU(keys) [B, T, u]; scores = softmax over t of O_t . (queries W^T); the output [B, u] is the last state of an
    AGRUCell over O with these scores.

    num_units: u. att_type: of the AGRUCell; default AGRU. activation: of both cells, default relu. initializer: default
        he_uniform.
    regularizer: of W, the GRU's kernel and the cell.
    Variables: attention_weight [u, u]; gru_cell/{kernel [d, 3u], recurrent_kernel [u, 3u] orthogonal, bias [2, 3u]
    zeros}; augru_cell/{gates, candidate}/{kernel, bias}.
    Errors: LayerError where queries are not u wide. Paper: as AGRUCell.
    """

    plain = ("num_units", "att_type")

    def __init__(
        self,
        num_units: int,
        att_type: str = "AGRU",
        activation: Any = "relu",
        initializer: Any = "he_uniform",
        regularizer: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(str(att_type).upper() in ("AGRU", "AUGRU"), f"att_type must be AGRU or AUGRU, not {att_type!r}")
        self.num_units, self.att_type = num_units, str(att_type).upper()
        self.activation = activations.get(activation)
        self.initializer = initializer_or(initializer, "he_uniform")
        self.regularizer = get_regularizer(regularizer)

    def build(self, inputs_shape, keys_shape=None):
        queries, keys = tuple(inputs_shape)[:2] if keys_shape is None else (inputs_shape, keys_shape)
        queries, keys = self.matrix_shape(queries, "queries"), self.matrix_shape(keys, "keys", rank=3)
        self.require(
            queries[-1] == self.num_units,
            f"queries must be [batch, {self.num_units}] (num_units wide), not {shown(queries)}",
        )
        u = self.num_units
        self.attention_weight = self.add_weight(
            name="attention_weight", shape=[u, u], initializer=fresh(self.initializer), regularizer=self.regularizer
        )
        self.gru_cell = self.inner(_GRUWeights, u, fresh(self.initializer), self.regularizer, name="gru_cell")
        self.gru_cell.build((None, keys[-1]))
        self.augru_cell = self.inner(
            AGRUCell,
            u,
            self.att_type,
            activation=self.activation,
            initializer=fresh(self.initializer),
            regularizer=self.regularizer,
            name="augru_cell",
        )
        self.augru_cell.build(((None, u), (None, u), (None, 1)))

    def attention(self, queries, keys):
        """(interest states O [B, T, u], scores [B, T])."""
        states = self._gru(keys)
        target = tf.matmul(queries, tf.convert_to_tensor(self.attention_weight), transpose_b=True)
        return states, tf.nn.softmax(tf.squeeze(tf.matmul(states, target[:, :, tf.newaxis]), axis=2), axis=1)

    def _gru(self, keys):
        """The GRU's states [B, T, u] from zeros. The cell's inputs are multiplied for all steps at once."""
        kernel, recurrent = (tf.convert_to_tensor(v) for v in (self.gru_cell.kernel, self.gru_cell.recurrent_kernel))
        bias, recurrent_bias = tf.unstack(tf.convert_to_tensor(self.gru_cell.bias), axis=0)
        projected = tf.transpose(tf.tensordot(keys, kernel, [[2], [0]]) + bias, [1, 0, 2])

        def step(state, x):
            inner = tf.matmul(state, recurrent) + recurrent_bias
            (xz, xr, xh), (hz, hr, hh) = tf.split(x, 3, axis=1), tf.split(inner, 3, axis=1)
            update, reset = tf.sigmoid(xz + hz), tf.sigmoid(xr + hr)
            return update * state + (1.0 - update) * self.activation(xh + reset * hh)

        state = tf.zeros([tf.shape(keys)[0], self.num_units], keys.dtype)
        if keys.shape[1] is not None:
            states = []
            for x in tf.unstack(projected, axis=0):
                state = step(state, x)
                states.append(state)
            return tf.stack(states, axis=1)
        states = tf.scan(step, projected, initializer=state)
        return tf.ensure_shape(tf.transpose(states, [1, 0, 2]), [keys.shape[0], None, self.num_units])

    def call(self, inputs, keys=None):
        queries, keys = (inputs, keys) if keys is not None else inputs[:2]
        states, scores = self.attention(queries, keys)
        run = static_rnn_with_attention if states.shape[1] is not None else dynamic_rnn_with_attention
        return run(self.augru_cell, states, scores)[1]


@register
class DMR_U2I(Configured):
    """The relevance of an item to a user's sequence, element by element, with attention by position.

    Call: (items [B, e], user_seq [B, T, s]) with a known T.
    alpha = softmax over T of ((pos_emb + user_seq emb_weight + bias) z_weight); m = sum of alpha_t user_seq_t [B, s];
    out = Dense(e, activation)(m) * items [B, e].

    cmp_dim: c. activation: default PReLU. initializer: default glorot_uniform. regularizer: of pos_emb, emb_weight, the
        Dense kernel.
    Variables: pos_emb [T, c], emb_weight [s, c], z_weight [c, 1] ones, bias [c] zeros, dense/{kernel [s, e], bias [e]},
    with PReLU dense/p_re_lu/alpha [e].
    Errors: LayerError where T is not known or the batches differ.
    Paper: Lyu et al., Deep Match to Rank Model for Personalized Click-Through Rate Prediction, AAAI 2020.
    """

    plain = ("cmp_dim",)

    def __init__(
        self,
        cmp_dim: int,
        activation: Any = "PReLU",
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.cmp_dim = cmp_dim
        self.activation = activations.get(activation)
        self.initializer = initializer_or(initializer, "glorot_uniform")
        self.regularizer = get_regularizer(regularizer)

    def build(self, input_shape):
        self.require(len(input_shape) == 2 and not isinstance(input_shape[0], int), "takes (items, user_seq)")
        items, steps_shape = (
            self.matrix_shape(input_shape[0], "items"),
            self.matrix_shape(input_shape[1], "user_seq", rank=3),
        )
        batch, steps, s = steps_shape
        self.require(steps is not None, f"the length of user_seq must be known, not {shown(steps_shape)}")
        self.require(
            None in (batch, items[0]) or batch == items[0],
            f"items {shown(items)} and user_seq {shown(steps_shape)} are not of the same batch",
        )
        c = self.cmp_dim

        def weight(name, shape, initializer=None):
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=initializer or fresh(self.initializer),
                regularizer=None if initializer else self.regularizer,
            )

        self.pos_emb, self.emb_weight = weight("pos_emb", [steps, c]), weight("emb_weight", [s, c])
        self.z_weight, self.bias = weight("z_weight", [c, 1], "ones"), weight("bias", [c], "zeros")
        self.dense = self.inner(
            Dense,
            items[-1],
            activation=self.activation,
            kernel_initializer=self.initializer,
            kernel_regularizer=self.regularizer,
            name="dense",
        )
        self.dense.build((batch, s))

    def attention(self, user_seq):
        """alpha [B, T, 1]."""
        hidden = tf.tensordot(user_seq, tf.convert_to_tensor(self.emb_weight), [[2], [0]]) + self.pos_emb + self.bias
        return tf.nn.softmax(tf.tensordot(hidden, tf.convert_to_tensor(self.z_weight), [[2], [0]]), axis=1)

    def call(self, inputs):
        items, user_seq = inputs
        merged = tf.squeeze(tf.matmul(self.attention(user_seq), user_seq, transpose_a=True), axis=1)
        return self.dense(merged) * items
