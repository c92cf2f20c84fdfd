"""What the optimizers share: tf.compat.v1.train.Optimizer over dense float32 resource variables."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.tables import ops

tf1 = tf.compat.v1


class DenseOptimizer(tf1.train.Optimizer):
    """Base. A step of a variable is one op; slots start at 0 and are named `<variable>/<optimizer>/<slot>`.

    learning_rate: a number, a scalar tensor, or a function without arguments that gives one (`LearningRateFunction`),
    which is asked when the step is built. A subclass whose step is a native op keeps its hyper-parameters beside the rate in
    `numbers`, by the names of the constructor's arguments. Sparse gradients and variables that are no resources raise
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
        is_tensor = tf.is_tensor(rate)
        self._rate = tf.cast(rate, tf.float64) if is_tensor else tf.constant(rate, tf.float64, name="learning_rate")

    def _apply(self, step: str, grad, var, numbers: dict[str, Any], **attributes: bool):
        """The native op `step` over a variable and its slots. numbers: its hyper-parameters beside learning_rate."""
        if var.dtype.base_dtype not in (tf.float32, tf.float64):
            raise NotImplementedError(
                f"{type(self).__name__} steps float32 and float64 variables; {var.name} is {var.dtype.base_dtype.name}"
            )
        handles = {slot: self.get_slot(var, slot).handle for slot in self.slots}
        scalars = {name: tf.constant(value, tf.float64, name=name) for name, value in numbers.items()}
        return getattr(ops.library(), step)(
            var=var.handle,
            **handles,
            learning_rate=self._rate,
            **scalars,
            grad=grad,
            use_locking=self._use_locking,
            **attributes,
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
