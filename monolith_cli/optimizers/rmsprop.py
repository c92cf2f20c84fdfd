"""Rmsprop with momentum over the scaled steps."""

from __future__ import annotations

from typing import Any

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
        self.numbers = {"beta1": beta1, "beta2": beta2, "epsilon": epsilon, "weight_decay": weight_decay}
        self._use_v2 = use_v2

    def _resource_apply_dense(self, grad, handle):
        return self._apply("monolith_resource_apply_rmsprop", grad, handle, self.numbers, use_v2=self._use_v2)
