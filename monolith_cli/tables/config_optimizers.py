"""Optimizers of embedding tables.

In the formulas q = g + weight_decay_factor * w, where g is the gradient and w the weight before the step; lr is the learning rate
of the slice. FTRLWithGroupSparsityOptimizer and DynamicWdAdagradOptimizer are configs that no table carries out: opening a table
with one is an error that names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from monolith_cli.tables.config_choice import OneOf


class Optimizer(OneOf):
    """Base of the optimizers. `learning_rate` is what a slice without a rate of its own is trained with."""

    _message = "OptimizerConfig"


@dataclass
class SgdOptimizer(Optimizer):
    """w -= lr * g. Rate 0.01 unless given."""

    _choice: ClassVar[str] = "sgd"
    learning_rate: float | None = None


@dataclass
class AdagradOptimizer(Optimizer):
    """norm += q^2; w -= lr / sqrt(norm) * q with q = g + weight_decay_factor * w.

    Unless given: rate 0.001, initial_accumulator_value (of norm) 0.1. `hessian_compression_times` is kept in the config and
    has no effect. `warmup_steps` > 0 raises the rate from 0 to `learning_rate` over so many steps.
    """

    _choice: ClassVar[str] = "adagrad"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    hessian_compression_times: int = 1
    warmup_steps: int = 0
    weight_decay_factor: float = 0.0


@dataclass
class AdadeltaOptimizer(Optimizer):
    """accum = rho * accum + (1 - rho) * q^2; u = sqrt(update + epsilon) / sqrt(accum + epsilon) * q; w -= lr * u;
    update = rho * update + (1 - rho) * u^2, with rho = averaging_ratio. Rate 0.01 unless given."""

    _choice: ClassVar[str] = "adadelta"
    learning_rate: float | None = None
    weight_decay_factor: float = 0.0
    averaging_ratio: float = 0.9
    epsilon: float = 0.01
    warmup_steps: int = 0


@dataclass
class AdamOptimizer(Optimizer):
    """Adam with a bias correction per key, which starts when the key is first seen. Rate 0.01 unless given.

    `use_beta1_warmup` is kept in the config and has no effect.
    """

    _choice: ClassVar[str] = "adam"
    learning_rate: float | None = None
    beta1: float = 0.9
    beta2: float = 0.99
    use_beta1_warmup: bool = False
    weight_decay_factor: float = 0.0
    use_nesterov: bool = False
    epsilon: float = 0.01
    warmup_steps: int = 0


@dataclass
class AmsgradOptimizer(Optimizer):
    """Adam that divides by the largest second moment a weight had so far. Rate 0.01 unless given."""

    _choice: ClassVar[str] = "amsgrad"
    learning_rate: float | None = None
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay_factor: float = 0.0
    use_nesterov: bool = False
    epsilon: float = 0.01
    warmup_steps: int = 0


@dataclass
class BatchSoftmaxOptimizer(Optimizer):
    """w = (1 - lr) * w + lr * (global step - global step of the key's last update): an estimate of how many steps lie between
    two occurrences of a key. Gradients are ignored; a slice of it has width 1. Rate 0.1 unless given."""

    _choice: ClassVar[str] = "batch_softmax"
    learning_rate: float | None = None


@dataclass
class MomentumOptimizer(Optimizer):
    """n' = momentum * n - lr * q; w += n', or with Nesterov w += (1 + momentum) * n' - momentum * n. Rate 0.01 unless given."""

    _choice: ClassVar[str] = "momentum"
    learning_rate: float | None = None
    weight_decay_factor: float = 0.0
    use_nesterov: bool = False
    momentum: float = 0.9
    warmup_steps: int = 0


@dataclass
class MovingAverageOptimizer(Optimizer):
    """w = momentum * w + (1 - momentum) * g: the gradient is the new observation, there is no learning rate."""

    _choice: ClassVar[str] = "moving_average"
    momentum: float = 0.9


@dataclass
class RmspropOptimizer(Optimizer):
    """n = momentum * n + (1 - momentum) * q^2; w -= lr / (sqrt(n) + 1) * q. Rate 0.01 unless given."""

    _choice: ClassVar[str] = "rmsprop"
    learning_rate: float | None = None
    weight_decay_factor: float = 0.0
    momentum: float = 0.9


@dataclass
class RmspropV2Optimizer(Optimizer):
    """n = momentum * n + q^2; w -= lr / (sqrt(n) + 1) * q. Rate 0.01 unless given."""

    _choice: ClassVar[str] = "rmspropv2"
    learning_rate: float | None = None
    weight_decay_factor: float = 0.0
    momentum: float = 0.9


@dataclass
class FtrlOptimizer(Optimizer):
    """FTRL-proximal. Unless given: rate 0.01, initial_accumulator_value 0.1, beta and both regularizations 0."""

    _choice: ClassVar[str] = "ftrl"
    _renamed: ClassVar[dict[str, str]] = {
        "l1_regularization": "l1_regularization_strength",
        "l2_regularization": "l2_regularization_strength",
    }
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    beta: float | None = None
    warmup_steps: int = 0
    l1_regularization: float | None = None
    l2_regularization: float | None = None


@dataclass
class FTRLWithGroupSparsityOptimizer(FtrlOptimizer):
    """FTRL whose l1 sets whole rows to zero; a config that no table carries out. Unless given: initial_accumulator_value 0,
    beta 1."""

    _choice: ClassVar[str] = "group_ftrl"


@dataclass
class AdaGradWithGroupLassoOptimizer(Optimizer):
    """Adagrad with one accumulator a row, whose l2 sets whole rows to zero.

    s += max(q^2); r = lr / (beta + sqrt(s)); t = q - w / r; w = -r * (1 - l2_regularization / |t|) * t, or 0 where
    |t| < l2_regularization. Unless given: rate 0.01, initial_accumulator_value (of s) 0.1, beta and l2_regularization 0.
    """

    _choice: ClassVar[str] = "group_adagrad"
    _renamed: ClassVar[dict[str, str]] = {"l2_regularization": "l2_regularization_strength"}
    learning_rate: float | None = None
    beta: float | None = None
    initial_accumulator_value: float | None = None
    l2_regularization: float | None = None
    weight_decay_factor: float = 0.0
    warmup_steps: int = 0


@dataclass
class DynamicWdAdagradOptimizer(Optimizer):
    """Adagrad with dynamic weight decay; a config that no table carries out. Rate 0.001 unless given."""

    _choice: ClassVar[str] = "dynamic_wd_adagrad"
    learning_rate: float | None = None
    initial_accumulator_value: float | None = None
    hessian_compression_times: int = 1
    warmup_steps: int = 0
    weight_decay_factor: float = 0.0
    decouple_weight_decay: bool = True
    enable_dynamic_wd: bool = True
    flip_direction: bool = True
    dynamic_wd_temperature: float = 1.0


@dataclass
class StochasticRoundingFloat16OptimizerWrapper(Optimizer):
    """Another optimizer whose weights become float16 values after each step: the one below or above, the nearer the likelier, so
    that steps too small for float16 add up. Beyond its range they become +-65504. Optimizer state keeps its precision, and rows
    their size. Random numbers follow from the seed of the tables, key, place and global step."""

    optimizer: Optimizer

    def as_proto(self) -> Any:
        proto = self.optimizer.as_proto()
        proto.stochastic_rounding_float16 = True
        return proto
