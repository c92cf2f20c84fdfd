"""DLRM: dense features through an MLP, dot products of all pairs of embeddings, an MLP on top (Naumov et al., 2019)."""

import tensorflow as tf

from monolith_cli import layers
from monolith_cli.model import AdagradOptimizer, MonolithModel, RandomUniformInitializer, Task, ZerosInitializer, multi_task_spec, parse_instances

SLOTS = list(range(1, 27))
NAMES = [f"slot_{slot}" for slot in SLOTS]
DIM = 8


class DLRM(MonolithModel):
    """Clicks on display ads: 13 counts, 26 slots, a weight per id beside them."""

    def parse_fn(self, records, mode):
        return parse_instances(records, fidv1_features=SLOTS, dense_features=["label", "counts"], dense_feature_shapes=[1, 13])

    def embedding(self, name, dim, initializer, rate, out_type):
        # Most ids are seen a few times: next to no accumulator lets the first of them count, a small start keeps the others quiet.
        optimizer = AdagradOptimizer(learning_rate=rate, initial_accumulator_value=1e-7)
        return self.lookup_embedding_slice(NAMES, name, dim, initializer, optimizer, out_type=out_type)

    def model_fn(self, features, mode):
        weights = self.embedding("weight", 1, ZerosInitializer(), 0.01, "add_n")
        vectors = self.embedding("vector", DIM, RandomUniformInitializer(-0.0002, 0.0002), 0.02, "stack")
        self.add_loss(1e-3 * tf.reduce_mean(tf.reduce_sum(tf.square(vectors), axis=[1, 2])))
        dense = layers.MLP([32, DIM], activations="relu")(tf.math.log1p(tf.maximum(features["counts"], 0.0)))
        rows = tf.concat([dense[:, tf.newaxis], vectors], axis=1)
        products = tf.matmul(rows, rows, transpose_b=True)
        below = [i * (len(SLOTS) + 1) + j for i in range(len(SLOTS) + 1) for j in range(i)]
        pairs = tf.gather(tf.reshape(products, [-1, (len(SLOTS) + 1) ** 2]), below, axis=1)
        logit = weights + layers.MLP([64, 32, 1])(tf.concat([dense, pairs], axis=1))
        return multi_task_spec([Task("click", logit, features["label"])], tf.compat.v1.train.AdamOptimizer(0.001), mode)
