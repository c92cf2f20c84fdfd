"""Multi-gate mixture of experts: several tasks share experts, each weighs them by a gate of its own (Ma et al., 2018)."""

import tensorflow as tf

from monolith_cli import layers
from monolith_cli.model import AdagradOptimizer, MonolithModel, RandomUniformInitializer, Task, multi_task_spec, parse_instances

SLOTS = [1, 2, 3, 4, 5]  # user, movie, age, gender, occupation
NAMES = [f"slot_{slot}" for slot in SLOTS]
TASKS = ["liked", "loved"]  # four stars and more; five


class Ratings(MonolithModel):
    """Two labels of a rating, four experts."""

    def parse_fn(self, records, mode):
        return parse_instances(records, fidv1_features=SLOTS, dense_features=["label"], dense_feature_shapes=[2])

    def model_fn(self, features, mode):
        biases = self.lookup_embedding_slice(
            NAMES, "bias", 2, RandomUniformInitializer(-0.01, 0.01),
            AdagradOptimizer(learning_rate=0.02, initial_accumulator_value=0.1), out_type="add_n")
        x = self.lookup_embedding_slice(
            NAMES, "vector", 16, RandomUniformInitializer(-0.01, 0.01),
            AdagradOptimizer(learning_rate=0.03, initial_accumulator_value=0.001), out_type="concat")
        self.add_loss(1e-3 * tf.reduce_mean(tf.reduce_sum(tf.square(x), axis=1)))
        shared = layers.MMoE(num_tasks=2, num_experts=4, expert_output_dims=[[64, 32]] * 4, expert_activations="relu")(x)
        tasks = []
        for i, name in enumerate(TASKS):
            logit = layers.MLP([16, 1])(shared[i]) + biases[:, i : i + 1]
            tasks.append(Task(name, logit, None if mode == "predict" else features["label"][:, i]))
        return multi_task_spec(tasks, tf.compat.v1.train.AdamOptimizer(0.001), mode)
