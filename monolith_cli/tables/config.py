"""What an embedding table is made of, as a model file says it: optimizers, initializers, compressors, table types.

Every class holds its arguments as attributes; `as_proto()` gives the message with each argument that is not None set, defaults
included. No TensorFlow; the message classes are imported when a message is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from monolith_cli.tables.config_compressors import (
    Compressor,
    FixedR8Compressor,
    Fp16Compressor,
    Fp32Compressor,
    OneBitCompressor,
)
from monolith_cli.tables.config_initializers import (
    BatchSoftmaxInitializer,
    ConstantsInitializer,
    Initializer,
    RandomUniformInitializer,
    ZerosInitializer,
)
from monolith_cli.tables.config_optimizers import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    AmsgradOptimizer,
    BatchSoftmaxOptimizer,
    DynamicWdAdagradOptimizer,
    FtrlOptimizer,
    FTRLWithGroupSparsityOptimizer,
    MomentumOptimizer,
    MovingAverageOptimizer,
    Optimizer,
    RmspropOptimizer,
    RmspropV2Optimizer,
    SgdOptimizer,
    StochasticRoundingFloat16OptimizerWrapper,
)

__all__ = [
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdaGradWithGroupLassoOptimizer",
    "AdamOptimizer",
    "AmsgradOptimizer",
    "BatchSoftmaxInitializer",
    "BatchSoftmaxOptimizer",
    "CombineAsSegment",
    "Compressor",
    "ConstantsInitializer",
    "CuckooHashTableConfig",
    "DynamicWdAdagradOptimizer",
    "FixedR8Compressor",
    "Fp16Compressor",
    "Fp32Compressor",
    "FtrlOptimizer",
    "FTRLWithGroupSparsityOptimizer",
    "HashTableConfigInstance",
    "Initializer",
    "MomentumOptimizer",
    "MovingAverageOptimizer",
    "OneBitCompressor",
    "Optimizer",
    "RandomUniformInitializer",
    "RmspropOptimizer",
    "RmspropV2Optimizer",
    "SgdOptimizer",
    "StochasticRoundingFloat16OptimizerWrapper",
    "ZerosInitializer",
]


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
