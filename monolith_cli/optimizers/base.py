"""What the optimizers share: tf.compat.v1.train.Optimizer over dense float32 resource variables."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

tf1 = tf.compat.v1


class DenseOptimizer(tf1.train.Optimizer):
    """Base. A step reads the gradient and the slots of a variable and assigns all of them; slots start at 0 and are
    named
    `<variable>/<optimizer>/<slot>`.

    learning_rate: a number, a scalar tensor, or a function without arguments that gives one (`LearningRateFunction`),
    which is asked when the step is built. Sparse gradients and variables that are no resources raise
    NotImplementedError.
    """

    slots: tuple[str, ...] = ()

    def __init__(self, learning_rate: Any, use_locking: bool, name: str):
        super().__init__(use_locking, name)
        self._learning_rate = learning_rate
        self._rate = None

    def _create_slots(self, var_list):
        for variable in var_list:
            for slot in self.slots:
                self._zeros_slot(variable, slot, f"{self._name}/{slot}")

    def _prepare(self):
        rate = self._learning_rate() if callable(self._learning_rate) else self._learning_rate
        self._rate = tf.convert_to_tensor(rate, tf.float32, name="learning_rate")

    def _rate_for(self, variable):
        return tf.cast(self._rate, variable.dtype.base_dtype)

    def _decayed(self, grad, variable, weight_decay: float):
        """g + weight_decay * variable."""
        return grad + weight_decay * variable if weight_decay else grad

    def _assign(self, *pairs):
        """One op that assigns each (variable, value)."""
        return tf.group(
            *[variable.assign(value, use_locking=self._use_locking, read_value=False) for variable, value in pairs]
        )

    def _apply_dense(self, grad, var):
        raise NotImplementedError(
            f"{type(self).__name__}: {var.name} is no resource variable; make it with use_resource=True "
            f"(tf.compat.v1.disable_eager_execution "
            "keeps resource variables, disable_v2_behavior does not)"
        )

    def _apply_sparse(self, grad, var):
        raise NotImplementedError(
            f"{type(self).__name__} has no sparse updates, which {var.name} asks for: put it in an embedding table"
        )

    def _resource_apply_sparse(self, grad, handle, indices):
        raise NotImplementedError(
            f"{type(self).__name__} has no sparse updates, which {handle.name} asks for: put it in an embedding table"
        )
