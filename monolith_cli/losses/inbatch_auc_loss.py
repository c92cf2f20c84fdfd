"""A surrogate of AUC: how surely each positive of a batch is ranked above each negative."""

from __future__ import annotations

import tensorflow as tf

from monolith_cli.losses.ranking import LossError

# Labels from here down are not looked at.
IGNORED = -10000.0


def inbatch_auc_loss(label, logit, neg_weight: float = 1.0):
    """sum over positives i and negatives j of log sigmoid(logit_i - logit_j): a scalar that is never above 0. Minimise
    its negative.

    label, logit: of the same number of elements. A label above 0 is a positive; one at or below -10000, or NaN, is left
        out.
    neg_weight: in (0, 1]; the gradient of the negatives' logits is multiplied by it, the value is not. Default 1.
    Gradient: g_ij = 1 - sigmoid(logit_i - logit_j) to logit_i, -neg_weight * g_ij to logit_j; none to label.
    LossError (a ValueError) for another neg_weight and for different numbers of labels and logits.
    """
    if not 0 < neg_weight <= 1:
        raise LossError(f"inbatch_auc_loss: neg_weight must lie in (0, 1], not {neg_weight}")
    logit = tf.convert_to_tensor(logit)
    label = tf.convert_to_tensor(label)
    if (
        None not in (label.shape.num_elements(), logit.shape.num_elements())
        and label.shape.num_elements() != logit.shape.num_elements()
    ):
        raise LossError(f"inbatch_auc_loss: {label.shape} labels do not fit {logit.shape} logits")
    flat = tf.reshape(label, [-1])
    # A NaN is in neither.
    positive, negative = flat > 0, tf.logical_and(flat > IGNORED, flat <= 0)

    @tf.custom_gradient
    def likelihood(scores):
        ups, downs = tf.where(positive)[:, 0], tf.where(negative)[:, 0]
        difference = tf.gather(scores, ups)[:, tf.newaxis] - tf.gather(scores, downs)[tf.newaxis]

        def gradient(incoming):
            g = tf.sigmoid(-difference)
            to_ups = tf.math.unsorted_segment_sum(tf.reduce_sum(g, axis=1), ups, tf.size(scores))
            to_downs = tf.math.unsorted_segment_sum(tf.reduce_sum(g, axis=0), downs, tf.size(scores))
            return incoming * (to_ups - neg_weight * to_downs)

        return tf.reduce_sum(tf.math.log_sigmoid(difference)), gradient

    return likelihood(tf.reshape(logit, [-1]))
