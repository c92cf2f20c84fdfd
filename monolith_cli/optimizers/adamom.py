"""Adamom: momentum over gradients that are divided by the root of the mean of all squares so far."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.optimizers.base import DenseOptimizer


class AdamomOptimizer(DenseOptimizer):
    """g' = g + weight_decay * var; m = mom_decay * m + (1 - mom_decay) * g'; v = ada_decay * v + g'^2; c = ada_decay *
    c + 1; var -= learning_rate * m / sqrt(v / c + epsilon).

    learning_rate: default 5e-6. ada_decay, mom_decay: default 0.9999, 0.99. epsilon: default 1e-6. weight_decay:
        default 0.
    Slots: m, v, c, each of the variable's shape. Errors: as DenseOptimizer.
    """

    slots = ("m", "v", "c")

    def __init__(
        self,
        learning_rate: Any = 5e-6,
        ada_decay: float = 0.9999,
        mom_decay: float = 0.99,
        epsilon: float = 1e-6,
        weight_decay: float = 0.0,
        use_locking: bool = False,
        name: str = "Adamom",
    ):
        super().__init__(learning_rate, use_locking, name)
        self._ada_decay, self._mom_decay, self._epsilon, self._weight_decay = (
            ada_decay,
            mom_decay,
            epsilon,
            weight_decay,
        )

    def _resource_apply_dense(self, grad, handle):
        m, v, c = (self.get_slot(handle, slot) for slot in self.slots)
        grad = self._decayed(grad, handle, self._weight_decay)
        new_m = self._mom_decay * m + (1.0 - self._mom_decay) * grad
        new_v = self._ada_decay * v + tf.square(grad)
        new_c = self._ada_decay * c + 1.0
        step = self._rate_for(handle) * new_m * tf.math.rsqrt(new_v / new_c + self._epsilon)
        return self._assign((m, new_m), (v, new_v), (c, new_c), (handle, handle - step))
