"""Deep & Cross Network: explicit crosses of all features beside an MLP (Wang et al., 2017; DCN V2, 2021)."""

import tensorflow as tf

from monolith_cli import layers
from monolith_cli.model import TRAIN, AdagradOptimizer, MonolithModel, RandomUniformInitializer, Task, multi_task_spec, parse_instances

SLOTS = list(range(1, 22))
NAMES = [f"slot_{slot}" for slot in SLOTS]


class ClickDCN(MonolithModel):
    """Clicks on mobile ads: 21 slots, embeddings of 8 floats, two cross layers and an MLP side by side."""

    def parse_fn(self, records, mode):
        return parse_instances(records, fidv1_features=SLOTS, dense_features=["label"], dense_feature_shapes=[1])

    def model_fn(self, features, mode):
        x = self.lookup_embedding_slice(
            NAMES, "vector", 8, RandomUniformInitializer(-0.05, 0.05),
            AdagradOptimizer(learning_rate=0.02, initial_accumulator_value=0.1), out_type="concat")
        self.add_loss(1e-3 * tf.reduce_mean(tf.reduce_sum(tf.square(x), axis=1)))
        crossed = layers.DCN(2, dcn_type="vector")(x)
        deep = x
        for units in (64, 32):
            deep = layers.Dense(units, activation="relu")(deep)
            deep = layers.Dropout(0.2)(deep, training=mode == TRAIN)
        logit = layers.Dense(1)(tf.concat([crossed, deep], axis=1))
        return multi_task_spec([Task("click", logit, features["label"])], tf.compat.v1.train.AdamOptimizer(0.001), mode)
