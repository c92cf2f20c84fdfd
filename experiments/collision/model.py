"""Will this user like this item? A DeepFM of two ids: a weight each, the product of their embeddings, an MLP over both.

The model of every variant of the collision experiment: how many rows its tables get is decided by the records alone.
"""

import json
import os

import keras
import tensorflow as tf

from monolith_cli.model import (
    AdagradOptimizer,
    EstimatorSpec,
    MonolithModel,
    RandomUniformInitializer,
    ZerosInitializer,
    parse_instances,
)

FEATURES = ["user", "item"]
DIM = 16
# COLLISION_SETTINGS, a JSON object, takes the place of some of these: for `run.py --tune`.
SETTINGS = {"learning_rate": 0.05, "accumulator": 1e-6, "dense_learning_rate": 0.02} | json.loads(os.environ.get("COLLISION_SETTINGS", "{}"))


class Liking(MonolithModel):
    """DeepFM (Guo et al. 2017) with embeddings of 16 floats and an MLP of 64 and 32, log loss, Adagrad."""

    def parse_fn(self, records, mode):
        return parse_instances(records, fidv2_features=FEATURES, dense_features=["label"], dense_feature_shapes=[1])

    def model_fn(self, features, mode):
        adagrad = AdagradOptimizer(learning_rate=SETTINGS["learning_rate"], initial_accumulator_value=SETTINGS["accumulator"])
        weights = self.lookup_embedding_slice(FEATURES, "weight", 1, initializer=ZerosInitializer(), optimizer=adagrad, out_type="add_n")
        user, item = self.lookup_embedding_slice(
            FEATURES, "vec", DIM, initializer=RandomUniformInitializer(-0.05, 0.05), optimizer=adagrad
        )
        hidden = tf.concat([user, item], axis=1)
        for units in (64, 32):
            hidden = keras.layers.Dense(units, activation="relu")(hidden)
        logits = weights + tf.reduce_sum(user * item, axis=1, keepdims=True) + keras.layers.Dense(1)(hidden)
        label = features["label"]
        loss, pred = self.get_sigmoid_loss_and_pred("like", logits, label, mode=mode)
        if loss is not None:
            loss = loss / tf.cast(tf.shape(label)[0], tf.float32)
        return EstimatorSpec(label, pred, loss=loss, optimizer=tf.compat.v1.train.AdagradOptimizer(SETTINGS["dense_learning_rate"]))
