"""Rmsprop with momentum over the scaled steps."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.optimizers.base import DenseOptimizer


class RmspropOptimizer(DenseOptimizer):
    """g' = g + weight_decay * var; v = beta2 * v + (1 - beta2) * g'^2; m = beta1 * m + learning_rate * g' / sqrt(v +
    epsilon); var -= m. With use_v2: v = beta2 * v + g'^2; m = beta1 * m + learning_rate * g' / (sqrt(v) + epsilon).

    learning_rate: default 5e-6. beta1, beta2: default 0.99, 0.999. epsilon: default 1e-8. weight_decay: default 0.
    Slots: m, v, each of the variable's shape. Errors: as DenseOptimizer.
    Paper: Tieleman and Hinton, Lecture 6.5 of Neural Networks for Machine Learning, 2012.
    """

    slots = ("m", "v")

    def __init__(
        self,
        learning_rate: Any = 5e-6,
        beta1: float = 0.99,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        use_locking: bool = False,
        use_v2: bool = False,
        name: str = "Rmsprop",
    ):
        super().__init__(learning_rate, use_locking, name)
        self._beta1, self._beta2, self._epsilon = beta1, beta2, epsilon
        self._weight_decay, self._use_v2 = weight_decay, use_v2

    def _resource_apply_dense(self, grad, handle):
        m, v = (self.get_slot(handle, slot) for slot in self.slots)
        grad = self._decayed(grad, handle, self._weight_decay)
        rate = self._rate_for(handle)
        if self._use_v2:
            new_v = self._beta2 * v + tf.square(grad)
            scaled = grad / (tf.sqrt(new_v) + self._epsilon)
        else:
            new_v = v + (tf.square(grad) - v) * (1.0 - self._beta2)
            scaled = grad * tf.math.rsqrt(new_v + self._epsilon)
        new_m = self._beta1 * m + rate * scaled
        return self._assign((m, new_m), (v, new_v), (handle, handle - new_m))
