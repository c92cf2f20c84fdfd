"""What a model file imports.

Importing it imports TensorFlow; the stream commands never do.
"""

from monolith_cli.model import core_features
from monolith_cli.model.combiners import Combiner, FirstN, ReduceMean, ReduceSum
from monolith_cli.model.core_features import Env, FeatureColumn3D, FeatureColumnV1
from monolith_cli.model.errors import ModelError
from monolith_cli.model.feature import FeatureColumn, FeatureSlice, FeatureSlot, FeatureSlotConfig
from monolith_cli.model.model import EVAL, PREDICT, TRAIN, ClipType, MonolithModel
from monolith_cli.model.parsers import parse_example_batch, parse_examples, parse_instances
from monolith_cli.model.spec import EstimatorSpec
from monolith_cli.model.tasks import INVALID_LABEL, Task, multi_task_spec
from monolith_cli.tables.config import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    AmsgradOptimizer,
    BatchSoftmaxInitializer,
    BatchSoftmaxOptimizer,
    ConstantsInitializer,
    CuckooHashTableConfig,
    DynamicWdAdagradOptimizer,
    FixedR8Compressor,
    Fp16Compressor,
    Fp32Compressor,
    FtrlOptimizer,
    FTRLWithGroupSparsityOptimizer,
    MomentumOptimizer,
    MovingAverageOptimizer,
    OneBitCompressor,
    RandomUniformInitializer,
    RmspropOptimizer,
    RmspropV2Optimizer,
    SgdOptimizer,
    StochasticRoundingFloat16OptimizerWrapper,
    ZerosInitializer,
)
from monolith_cli.model.learning_rate_functions import LearningRateFunction, PolynomialDecay

__all__ = [
    "AdaGradWithGroupLassoOptimizer",
    "AdadeltaOptimizer",
    "AdagradOptimizer",
    "AdamOptimizer",
    "AmsgradOptimizer",
    "BatchSoftmaxInitializer",
    "BatchSoftmaxOptimizer",
    "ClipType",
    "Combiner",
    "ConstantsInitializer",
    "CuckooHashTableConfig",
    "DynamicWdAdagradOptimizer",
    "EVAL",
    "Env",
    "EstimatorSpec",
    "FTRLWithGroupSparsityOptimizer",
    "FeatureColumn",
    "FeatureColumn3D",
    "FeatureColumnV1",
    "FeatureSlice",
    "FeatureSlot",
    "FeatureSlotConfig",
    "FirstN",
    "FixedR8Compressor",
    "Fp16Compressor",
    "Fp32Compressor",
    "FtrlOptimizer",
    "INVALID_LABEL",
    "LearningRateFunction",
    "ModelError",
    "MomentumOptimizer",
    "MonolithModel",
    "MovingAverageOptimizer",
    "OneBitCompressor",
    "PREDICT",
    "PolynomialDecay",
    "RandomUniformInitializer",
    "ReduceMean",
    "ReduceSum",
    "RmspropOptimizer",
    "RmspropV2Optimizer",
    "SgdOptimizer",
    "StochasticRoundingFloat16OptimizerWrapper",
    "TRAIN",
    "Task",
    "ZerosInitializer",
    "core_features",
    "multi_task_spec",
    "parse_example_batch",
    "parse_examples",
    "parse_instances",
]
