"""Adamom: momentum over gradients that are divided by the root of the mean of all squares so far."""

from __future__ import annotations

from typing import Any

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
        self.numbers = {
            "ada_decay": ada_decay,
            "mom_decay": mom_decay,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
        }

    def _resource_apply_dense(self, grad, handle):
        return self._apply("monolith_resource_apply_adamom", grad, handle, self.numbers)
