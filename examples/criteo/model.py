"""Logistic regression over ids: one weight per id, their sum is the log-odds of a click."""

import tensorflow as tf

from monolith_cli.model import EstimatorSpec, FtrlOptimizer, MonolithModel, ZerosInitializer, parse_instances

SLOTS = list(range(1, 40))
NAMES = [f"slot_{slot}" for slot in SLOTS]


class LogisticRegression(MonolithModel):
    """A weight per id, trained by FTRL; the bias is a dense variable."""

    head_name = "click"

    def parse_fn(self, records, mode):
        return parse_instances(records, fidv1_features=SLOTS, dense_features=["label"], dense_feature_shapes=[1])

    def model_fn(self, features, mode):
        weights = self.lookup_embedding_slice(
            NAMES, "weight", 1, initializer=ZerosInitializer(), optimizer=FtrlOptimizer(learning_rate=0.05, beta=1.0), out_type="add_n"
        )
        bias = tf.compat.v1.get_variable("bias", [1], initializer=tf.compat.v1.zeros_initializer())
        label = features["label"]
        loss, pred = self.get_sigmoid_loss_and_pred("click", weights + bias, label, mode=mode)
        return EstimatorSpec(label, pred, loss=loss, optimizer=tf.compat.v1.train.GradientDescentOptimizer(1e-4))
