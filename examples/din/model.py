"""Deep Interest Network: attention of the item at hand over what the user bought before (Zhou et al., 2018)."""

import tensorflow as tf

from monolith_cli import layers
from monolith_cli.model import TRAIN, AdagradOptimizer, MonolithModel, RandomUniformInitializer, Task, multi_task_spec, parse_examples

BEFORE = 20  # what is looked at of the past
FEATURES = ["user", "item", "category", "items_before", "categories_before"]


class Interest(MonolithModel):
    """Whether a user buys an item: item and category share their tables with those of the past."""

    def parse_fn(self, records, mode):
        return parse_examples(records, sparse_features=FEATURES, dense_features=["label"], dense_feature_shapes=[1])

    def vectors(self, names):
        # Next to no accumulator lets the first purchases of an item count, a small start keeps those that nobody bought quiet.
        optimizer = AdagradOptimizer(learning_rate=0.02, initial_accumulator_value=1e-7)
        return self.lookup_embedding_slice(names, "vector", 16, RandomUniformInitializer(-0.0002, 0.0002), optimizer)

    def model_fn(self, features, mode):
        for name in ("item", "category"):
            self.create_embedding_feature_column(name)
        self.create_embedding_feature_column("items_before", shared_name="item", max_seq_length=BEFORE)
        past = self.create_embedding_feature_column("categories_before", shared_name="category", max_seq_length=BEFORE)
        item, category, items, categories = self.vectors(["item", "category", "items_before", "categories_before"])
        query, keys = tf.concat([item, category], axis=1), tf.concat([items, categories], axis=2)
        mask = tf.cast(past.get_size_tensor(), tf.bool)
        interest = layers.DIN([32, 1], activation="relu")((query, keys), mask=mask)
        mean = tf.math.divide_no_nan(tf.reduce_sum(keys, axis=1), tf.reduce_sum(tf.cast(mask, tf.float32), axis=1, keepdims=True))
        self.add_loss(1e-4 * tf.reduce_mean(tf.reduce_sum(tf.square(query), axis=1)))
        hidden = tf.concat([query, interest, mean, query * mean], axis=1)
        for units in (64, 32):
            hidden = layers.Dense(units, activation="relu")(hidden)
            hidden = layers.Dropout(0.2)(hidden, training=mode == TRAIN)
        task = Task("bought", layers.Dense(1)(hidden), features["label"])
        return multi_task_spec([task], tf.compat.v1.train.AdamOptimizer(0.001), mode)
