"""LogitCorrection: takes the bias of sampled negatives out of logits while training."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.layers import activations
from monolith_cli.layers.base import LayerError, register, shown
from monolith_cli.layers.feature_cross import Configured


@register
class LogitCorrection(Configured):
    """Call: (logits, sample_rate), each of at most 2 dimensions; sample_rate, in (0, 1], is the share of such samples
    that was kept.

    | sample_rate | sample_bias | result, through `activation` |
    |---|---|---|
    | given | False | l - log(rate) |
    | given | True | log sigmoid(l) - log(rate) |
    | None | True | log sigmoid(l) |
    | None | False | l |

    activation: default None. sample_bias: also undoes the bias of samples that are emitted before their label is known
    (fast emit). A rate of 0 gives +inf. No variables. Errors: LayerError for more than 2 dimensions.
    Paper: Ktena et al., Addressing Delayed Feedback for Continuous Training with Neural Networks in CTR Prediction,
    RecSys 2019.
    """

    plain = ("sample_bias",)

    def __init__(self, activation: Any = None, sample_bias: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.sample_bias = sample_bias

    @staticmethod
    def safe_log_sigmoid(logits):
        """log sigmoid(l), which neither overflows nor loses small values."""
        return tf.math.log_sigmoid(logits)

    @staticmethod
    def get_sample_logits(logits, sample_rate=None, sample_bias: bool = False):
        """The corrected logits, as in the table."""
        logits = tf.convert_to_tensor(logits)
        corrected = LogitCorrection.safe_log_sigmoid(logits) if sample_bias else logits
        return corrected if sample_rate is None else corrected - tf.math.log(tf.cast(sample_rate, logits.dtype))

    def call(self, inputs):
        logits, rate = inputs
        for what, tensor in (("logits", logits), ("sample_rate", rate)):
            if tensor is not None and tensor.shape.rank is not None and tensor.shape.rank > 2:
                raise LayerError(
                    f"LogitCorrection {self.name!r}: {what} must have at most 2 dimensions, not {shown(tensor.shape)}"
                )
        corrected = self.get_sample_logits(logits, rate, self.sample_bias)
        return corrected if self.activation is None else self.activation(corrected)
