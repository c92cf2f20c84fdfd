"""Deep & Cross Network: explicit crosses of all features beside an MLP (Wang et al., 2017; DCN V2, 2021)."""

import tensorflow as tf

from monolith_cli import layers
from monolith_cli.model import AdagradOptimizer, MonolithModel, RandomUniformInitializer, Task, ZerosInitializer, multi_task_spec, parse_instances

SLOTS = list(range(1, 22))
NAMES = [f"slot_{slot}" for slot in SLOTS]


class ClickDCN(MonolithModel):
    """Clicks on mobile ads: 21 slots, embeddings of 8 floats, two cross layers and an MLP side by side, a weight per id."""

    def parse_fn(self, records, mode):
        return parse_instances(records, fidv1_features=SLOTS, dense_features=["label"], dense_feature_shapes=[1])

    def embedding(self, name, dim, initializer, rate, out_type):
        # Most ids are seen a few times: next to no accumulator lets the first of them count, a small start keeps the others quiet.
        optimizer = AdagradOptimizer(learning_rate=rate, initial_accumulator_value=1e-7)
        return self.lookup_embedding_slice(NAMES, name, dim, initializer, optimizer, out_type=out_type)

    def model_fn(self, features, mode):
        weights = self.embedding("weight", 1, ZerosInitializer(), 0.01, "add_n")
        x = self.embedding("vector", 8, RandomUniformInitializer(-0.0002, 0.0002), 0.02, "concat")
        self.add_loss(1e-3 * tf.reduce_mean(tf.reduce_sum(tf.square(x), axis=1)))
        crossed = layers.DCN(2, dcn_type="vector")(x)
        deep = layers.MLP([64, 32], activations=["relu", "relu"])(x)
        logit = weights + layers.Dense(1)(tf.concat([crossed, deep], axis=1))
        return multi_task_spec([Task("click", logit, features["label"])], tf.compat.v1.train.AdamOptimizer(0.001), mode)
