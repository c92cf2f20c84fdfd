"""A GRU cell with attention, and running it over a sequence; DIEN is built of it."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.layers import activations
from monolith_cli.layers.base import get_regularizer, initializer_or, register, shown
from monolith_cli.layers.dense import Dense
from monolith_cli.layers.feature_cross import Configured


@register
class AGRUCell(Configured):
    """One step of a GRU whose update is scaled by attention.

    Call: (x [B, m], h [B, u], a [B, 1] or None) -> (h', h').
    [r, z] = sigmoid([x, h] Gk + Gb); c = activation([x, r * h] Ck + Cb)
    a None: h' = (1 - z) h + z c. AGRU: h' = (1 - a) h + a c. AUGRU: z' = (1 - a) z, h' = z' h + (1 - z') c.

    units: u. att_type: AGRU or AUGRU, in any case; default AGRU. activation: default tanh. initializer: of the kernels,
        default
    he_normal. regularizer: of all four variables.
    Variables: gates/kernel [m+u, 2u], gates/bias [2u] ones, candidate/kernel [m+u, u], candidate/bias [u] ones.
    Errors: LayerError for another att_type, and for a state that is not u wide.
    Paper: Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, AAAI 2019.
    """

    plain = ("units", "att_type")

    def __init__(
        self,
        units: int,
        att_type: str = "AGRU",
        activation: Any = None,
        initializer: Any = None,
        regularizer: Any = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(str(att_type).upper() in ("AGRU", "AUGRU"), f"att_type must be AGRU or AUGRU, not {att_type!r}")
        self.units, self.att_type = units, str(att_type).upper()
        self.activation = activations.get("tanh" if activation is None else activation)
        self.initializer = initializer_or(initializer, "he_normal")
        self.regularizer = get_regularizer(regularizer)

    @property
    def state_size(self) -> int:
        return self.units

    @property
    def output_size(self) -> int:
        return self.units

    def zero_state(self, batch_size, dtype=None):
        """Zeros [batch_size, units]."""
        return tf.zeros([batch_size, self.units], dtype or self.compute_dtype)

    def build(self, input_shape):
        x, state = (self.matrix_shape(s, what) for s, what in zip(input_shape, ("input", "state")))
        self.require(state[-1] == self.units, f"the state must be [batch, {self.units}], not {shown(state)}")
        rows = x[-1] + self.units
        self._gates = self._product("gates", 2 * self.units, "sigmoid")
        self._candidate = self._product("candidate", self.units, self.activation)
        self._gates.build((None, rows))
        self._candidate.build((None, rows))

    def _product(self, name: str, width: int, activation) -> Dense:
        return self.inner(
            Dense,
            width,
            activation,
            kernel_initializer=self.initializer,
            bias_initializer="ones",
            kernel_regularizer=self.regularizer,
            bias_regularizer=self.regularizer,
            name=name,
        )

    def call(self, inputs):
        x, state, attention = (*inputs, None) if len(inputs) == 2 else inputs
        reset, update = tf.split(self._gates.call(tf.concat([x, state], axis=1)), 2, axis=1)
        candidate = self._candidate.call(tf.concat([x, reset * state], axis=1))
        if attention is None:
            new = (1.0 - update) * state + update * candidate
        elif self.att_type == "AGRU":
            new = (1.0 - attention) * state + attention * candidate
        else:
            kept = (1.0 - attention) * update
            new = kept * state + (1.0 - kept) * candidate
        return new, new


def _checked(cell, inputs, attention, init_state):
    """The first state. LayerError where cell or shapes do not fit."""
    cell_is_agru = isinstance(cell, AGRUCell)
    if not cell_is_agru:
        raise TypeError(f"an AGRUCell is needed, not {type(cell).__name__}")
    cell.require(
        inputs.shape.rank == 3 and attention.shape.rank == 2,
        f"inputs must be [batch, time, width] and attention [batch, time], not {shown(inputs.shape)} and "
        f"{shown(attention.shape)}",
    )
    state = cell.zero_state(tf.shape(inputs)[0], inputs.dtype) if init_state is None else init_state
    if not cell.built:
        cell.build((tuple(inputs.shape)[::2], (None, cell.units), (None, 1)))
    return tf.ensure_shape(state, [inputs.shape[0], cell.units])


def static_rnn_with_attention(cell: AGRUCell, inputs, att_scores, init_state=None):
    """(outputs [B, T, u], last state [B, u]) of a cell over inputs [B, T, m] with attention [B, T], the graph unrolled:
    T must be
    known. init_state: default zeros. No row is masked."""
    state = _checked(cell, inputs, att_scores, init_state)
    cell.require(inputs.shape[1] is not None, f"a static rnn needs a known number of steps, not {shown(inputs.shape)}")
    outputs = []
    for x, a in zip(tf.unstack(inputs, axis=1), tf.unstack(att_scores, num=inputs.shape[1], axis=1)):
        output, state = cell((x, state, a[:, tf.newaxis]))
        outputs.append(output)
    return tf.stack(outputs, axis=1), state


def dynamic_rnn_with_attention(
    cell: AGRUCell, inputs, att_scores, parallel_iterations: int = 1, swap_memory: bool = True, init_state=None
):
    """As static_rnn_with_attention, with a loop in the graph: T may differ from batch to batch."""
    state = _checked(cell, inputs, att_scores, init_state)
    steps = tf.shape(inputs)[1]
    xs = create_ta("inputs", steps, inputs.dtype).unstack(tf.transpose(inputs, [1, 0, 2]))
    scores = create_ta("scores", steps, att_scores.dtype).unstack(tf.transpose(att_scores)[:, :, tf.newaxis])
    outputs = create_ta("outputs", steps, inputs.dtype)

    def step(t, state, outputs):
        # The layer's own call: Keras keeps no state of a call that a loop could leak.
        output, state = cell.call((xs.read(t), state, scores.read(t)))
        return t + 1, tf.ensure_shape(state, [inputs.shape[0], cell.units]), outputs.write(t, output)

    _, state, outputs = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (tf.constant(0), state, outputs),
        parallel_iterations=parallel_iterations,
        swap_memory=swap_memory,
    )
    stacked = tf.transpose(outputs.stack(), [1, 0, 2])
    return tf.ensure_shape(stacked, [inputs.shape[0], inputs.shape[1], cell.units]), state


def create_ta(name: str, size, dtype) -> tf.TensorArray:
    """A tf.TensorArray that is read more than once."""
    return tf.TensorArray(dtype, size=size, name=name, clear_after_read=False)
