"""DeepFM: a weight per id, all pairs of embeddings, and an MLP over the same embeddings (Guo et al., 2017)."""

import tensorflow as tf

from monolith_cli import layers
from monolith_cli.model import (
    TRAIN, AdagradOptimizer, MonolithModel, RandomUniformInitializer, Task, ZerosInitializer, multi_task_spec, parse_instances)

SLOTS = list(range(1, 11))
NAMES = [f"slot_{slot}" for slot in SLOTS]


class DeepFM(MonolithModel):
    """Whether an app is used in a context: user, app and eight properties of the moment."""

    def parse_fn(self, records, mode):
        return parse_instances(records, fidv1_features=SLOTS, dense_features=["label"], dense_feature_shapes=[1])

    def model_fn(self, features, mode):
        weights = self.lookup_embedding_slice(
            NAMES, "weight", 1, ZerosInitializer(), AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1), out_type="add_n")
        vectors = self.lookup_embedding_slice(
            NAMES, "vector", 16, RandomUniformInitializer(-0.05, 0.05),
            AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=0.1), out_type="stack")
        pairs = tf.square(tf.reduce_sum(vectors, axis=1)) - tf.reduce_sum(tf.square(vectors), axis=1)
        hidden = tf.reshape(vectors, [-1, len(NAMES) * 16])
        for units in (128, 64):
            hidden = layers.Dense(units, activation="relu")(hidden)
            hidden = layers.Dropout(0.2)(hidden, training=mode == TRAIN)
        logit = weights + 0.5 * tf.reduce_sum(pairs, axis=1, keepdims=True) + layers.Dense(1)(hidden)
        self.add_loss(1e-4 * tf.reduce_mean(tf.reduce_sum(tf.square(vectors), axis=[1, 2])))
        return multi_task_spec([Task("used", logit, features["label"])], tf.compat.v1.train.AdamOptimizer(0.001), mode)
