"""The layers to build models from: everything of keras.layers, and what the field of recommendation needs beyond it.

    from monolith_cli import layers
    hidden = layers.MLP([256, 64])(layers.DCN(2)(x))

`Dense` and the activations are this library's. Every layer has `.params()`; `keras_layers` maps the names of Keras' own
to their classes. Importing it imports TensorFlow.
"""

import inspect as _inspect

import keras as _keras
from keras.layers import *  # noqa: F403

from monolith_cli.layers.activations import (
    ELU,
    Exponential,
    Gelu,
    HardSigmoid,
    LeakyReLU,
    Linear,
    PReLU,
    ReLU,
    Selu,
    Sigmoid,
    Sigmoid2,
    Softmax,
    Softplus,
    Softsign,
    Swish,
    Tanh,
    ThresholdedReLU,
    serialize,
)
from monolith_cli.layers.add_bias import AddBias
from monolith_cli.layers.agru import AGRUCell, dynamic_rnn_with_attention, static_rnn_with_attention
from monolith_cli.layers.base import LayerError, MonolithLayer
from monolith_cli.layers.core import MixedEmbedOpComb, TeacherEmbeddingTransform, VarianceScaling
from monolith_cli.layers.dcn import DCN
from monolith_cli.layers.dense import Dense
from monolith_cli.layers.feature_cross import CAN, CIN, FFM, AllInt, CDot, GroupInt, ffm
from monolith_cli.layers.feature_seq import DIEN, DIN, DMR_U2I
from monolith_cli.layers.feature_trans import AutoInt, SeNet, iRazor
from monolith_cli.layers.insight import feature_insight, feature_insight_data, nas_data
from monolith_cli.layers.lhuc import LHUCTower
from monolith_cli.layers.logit_correction import LogitCorrection
from monolith_cli.layers.mlp import MLP
from monolith_cli.layers.multi_task import SNR, MMoE
from monolith_cli.layers.norms import BatchNorm, GradNorm, LayerNorm
from monolith_cli.layers.ops import fid_counter, first_n, gen_seq_mask, reduce_mean, reduce_sqrtn, reduce_sum
from monolith_cli.layers.partition import AxisSizePartitioner
from monolith_cli.layers.pooling import AvgPooling, MaxPooling, Pooling, SumPooling
from monolith_cli.layers.utils import (
    DCNType,
    MergeType,
    add_layer_loss,
    check_dim,
    dim_size,
    get_layer_loss,
    merge_tensor_list,
)

# Keras' own layers by name.
keras_layers = {
    name: thing
    for name, thing in vars(_keras.layers).items()
    if _inspect.isclass(thing) and issubclass(thing, _keras.layers.Layer)
}


def _with_params() -> None:
    from monolith_cli.model.params import params_of

    for layer in keras_layers.values():
        if not hasattr(layer, "params"):
            layer.params = classmethod(params_of)


_with_params()

__all__ = [name for name, thing in list(vars().items()) if not name.startswith("_") and not _inspect.ismodule(thing)]
