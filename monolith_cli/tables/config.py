"""What an embedding table is made of, as a model file says it: optimizers, initializers, compressors, table types.

Every class holds its arguments as attributes; `as_proto()` gives the message with each argument that is not None set, defaults
included. No TensorFlow; the message classes are imported when a message is made.

A table of the core takes all optimizers but FTRLWithGroupSparsityOptimizer, DynamicWdAdagradOptimizer and
StochasticRoundingFloat16OptimizerWrapper, all initializers, and the compressors Fp32Compressor and Fp16Compressor. Opening a
table with another one is an error that names it.

In the formulas below q = g + weight_decay_factor * w, where g is the gradient and w the weight before the step; lr is the
learning rate of the slice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class _OneOf:
    """An object that is one choice of the oneof `type` of a message."""

    _message: ClassVar[str]  # the message that has the oneof
    _choice: ClassVar[str]  # the field of this class
    _renamed: ClassVar[dict[str, str]] = {}  # attribute -> field, where they differ
    _hidden: ClassVar[tuple[str, ...]] = ()  # attributes that are no field

    def as_proto(self) -> Any:
        """The message, e.g. OptimizerConfig, with this choice made."""
        from monolith_protos import embedding_hash_table_pb2

        proto = getattr(embedding_hash_table_pb2, self._message)()
        choice = getattr(proto, self._choice)
        choice.SetInParent()
        for name, value in vars(self).items():
            if value is not None and name not in self._hidden:
                setattr(choice, self._renamed.get(name, name), value)
        return proto


class Optimizer(_OneOf):
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


class StochasticRoundingFloat16OptimizerWrapper(Optimizer):
    """Another optimizer whose weights are rounded to float16 values at random after each step."""

    def __init__(self, optimizer: Optimizer):
        self._optimizer = optimizer

    def as_proto(self) -> Any:
        proto = self._optimizer.as_proto()
        proto.stochastic_rounding_float16 = True
        return proto


class Initializer(_OneOf):
    """Base of the initializers: the weights of a key that is seen for the first time."""

    _message = "InitializerConfig"


@dataclass
class ZerosInitializer(Initializer):
    """All 0."""

    _choice: ClassVar[str] = "zeros"


@dataclass
class ConstantsInitializer(Initializer):
    """All `constant`."""

    _choice: ClassVar[str] = "constants"
    constant: float


@dataclass
class RandomUniformInitializer(Initializer):
    """Evenly in [minval, maxval), by default [-0.05, 0.05); the same key starts the same in every run and thread."""

    _choice: ClassVar[str] = "random_uniform"
    minval: float | None = None
    maxval: float | None = None


@dataclass
class BatchSoftmaxInitializer(Initializer):
    """All `init_step_interval`, which is at least 1 (ValueError otherwise)."""

    _choice: ClassVar[str] = "constants"
    _renamed: ClassVar[dict[str, str]] = {"init_step_interval": "constant"}
    init_step_interval: float

    def __post_init__(self):
        if self.init_step_interval < 1:
            raise ValueError(f"init_step_interval must be at least 1, not {self.init_step_interval}")


class Compressor(_OneOf):
    """Base of the compressors: how serving stores weights."""

    _message = "FloatCompressorConfig"


@dataclass
class Fp32Compressor(Compressor):
    """Weights as they are."""

    _choice: ClassVar[str] = "fp32"


@dataclass
class Fp16Compressor(Compressor):
    """Half precision in serving; training keeps float32."""

    _choice: ClassVar[str] = "fp16"


@dataclass
class FixedR8Compressor(Compressor):
    """8 bits over [-fixed_range, fixed_range)."""

    _choice: ClassVar[str] = "fixed_r8"
    _renamed: ClassVar[dict[str, str]] = {"fixed_range": "r"}
    fixed_range: float = 1.0


@dataclass
class OneBitCompressor(Compressor):
    """The sign of a weight, times `amplitude`; the training function sharpens every `step_size` steps."""

    _choice: ClassVar[str] = "one_bit"
    step_size: int = 200
    amplitude: float = 0.05


def _proto_of(config: Any) -> Any:
    return config.as_proto() if hasattr(config, "as_proto") else config


def CombineAsSegment(dim_size: int, initializer: Any, optimizer: Any, compressor: Any) -> Any:  # noqa: N802
    """The message EntryConfig.Segment of `dim_size` floats. The three others are objects of this module or their messages."""
    from monolith_protos import embedding_hash_table_pb2

    segment = embedding_hash_table_pb2.EntryConfig.Segment()
    segment.dim_size = dim_size
    segment.init_config.CopyFrom(_proto_of(initializer))
    segment.opt_config.CopyFrom(_proto_of(optimizer))
    segment.comp_config.CopyFrom(_proto_of(compressor))
    return segment


@dataclass
class CuckooHashTableConfig:
    """The table itself: room for `initial_capacity` rows from the start; eviction in the background every
    `feature_evict_every_n_hours` hours (0: never)."""

    initial_capacity: int = 1
    feature_evict_every_n_hours: int = 0

    def mutate_table(self, table_config: Any) -> None:
        """Writes these settings into an EmbeddingHashTableConfig."""
        table_config.initial_capacity = self.initial_capacity
        table_config.cuckoo.SetInParent()
        if self.feature_evict_every_n_hours > 0:
            table_config.enable_feature_eviction = True
            table_config.feature_evict_every_n_hours = self.feature_evict_every_n_hours


class HashTableConfigInstance:
    """One table to be made: `table_config` (EmbeddingHashTableConfig), one learning rate per segment (a number or a callable
    without arguments), and other names under which checkpoints may have it.

    Its text is its identity: tables with the same text may be merged.
    """

    def __init__(
        self,
        table_config: Any,
        learning_rate_fns: Sequence[float | Callable[[], Any]],
        extra_restore_names: Sequence[str] | None = None,
    ):
        self._table_config = table_config
        self._learning_rate_fns = list(learning_rate_fns)
        self.extra_restore_names = list(extra_restore_names or [])
        self._learning_rate_tensor = None

    @property
    def table_config(self) -> Any:
        return self._table_config

    @property
    def learning_rate_fns(self) -> list[float | Callable[[], Any]]:
        return self._learning_rate_fns

    @property
    def learning_rate_tensor(self) -> Any:
        """A tensor of the rates prepared by somebody; None at first."""
        return self._learning_rate_tensor

    def set_learning_rate_tensor(self, learning_rate_tensor: Any) -> None:
        self._learning_rate_tensor = learning_rate_tensor

    def call_learning_rate_fns_fewer_ops(self) -> list:
        """One rate per segment, as they come from the callables. An empty list is an error."""
        if not self._learning_rate_fns:
            raise ValueError("a table needs one learning rate per segment, and there is none")
        return [fn() if callable(fn) else fn for fn in self._learning_rate_fns]

    def call_learning_rate_fns(self) -> Any:
        """The same as one float32 tensor [segments]."""
        rates = self.call_learning_rate_fns_fewer_ops()
        import tensorflow as tf

        return tf.stack([tf.cast(rate, tf.float32) for rate in rates])

    def __str__(self) -> str:
        rates = ", ".join(str(fn) for fn in self._learning_rate_fns)
        return f"TableConfigPB: {self._table_config.SerializeToString()!r}, LearningRateFns: [{rates}]"
