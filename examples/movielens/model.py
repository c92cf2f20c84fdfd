"""Two models of MovieLens ratings: how many stars a user gives a movie, and whether it will be four or more."""

import keras
import tensorflow as tf

from monolith_cli.model import (
    AdagradOptimizer,
    EstimatorSpec,
    MonolithModel,
    RandomUniformInitializer,
    parse_instances,
)

START_RATING = 3.47  # a little below the mean of the training part: where the network starts from


class MovieRanking(MonolithModel):
    """Stars: two embeddings of 32 floats, MLP 256-64-1, squared error."""

    head_name = "rank"

    def parse_fn(self, records, mode):
        return parse_instances(
            records, fidv2_features=["user", "movie"], dense_features=["label"], dense_feature_shapes=[1]
        )

    def embedding(self, feature, reach, accumulator):
        """[B, 32]. The smaller the accumulator at the start, the farther the first gradients of an id move it."""
        (vector,) = self.lookup_embedding_slice(
            [feature],
            "vec",
            32,
            initializer=RandomUniformInitializer(-reach, reach),
            optimizer=AdagradOptimizer(learning_rate=0.05, initial_accumulator_value=accumulator),
        )
        return vector

    def network(self, features, bias):
        # Ids come and go, so an embedding has to learn from its first few ratings: next to no accumulator to begin with.
        hidden = tf.concat([self.embedding("user", 0.02, 7e-5), self.embedding("movie", 0.05, 2e-11)], axis=1)
        for units, scale in ((256, 2.8), (64, 1.35)):
            kernel = keras.initializers.VarianceScaling(scale, "fan_avg", "uniform")
            hidden = keras.layers.Dense(units, activation="relu", kernel_initializer=kernel)(hidden)
        kernel = keras.initializers.VarianceScaling(0.035, "fan_avg", "uniform")
        return keras.layers.Dense(1, kernel_initializer=kernel, bias_initializer=keras.initializers.Constant(bias))(hidden)

    def model_fn(self, features, mode):
        rating = self.network(features, bias=START_RATING)
        label = features["label"]
        loss = tf.reduce_mean(tf.square(rating - label))
        optimizer = tf.compat.v1.train.AdagradOptimizer(0.05, initial_accumulator_value=0.025)
        return EstimatorSpec(label, rating, loss=loss, optimizer=optimizer, classification=False)


class MovieClick(MovieRanking):
    """A click-like task on the same network: the probability of four stars or more."""

    head_name = "click"

    def model_fn(self, features, mode):
        label = tf.cast(features["label"] >= 4, tf.float32)
        loss, pred = self.get_sigmoid_loss_and_pred("click", self.network(features, bias=0.0), label, mode=mode)
        if loss is not None:
            loss = loss / tf.cast(tf.shape(label)[0], tf.float32)
        return EstimatorSpec(label, pred, loss=loss, optimizer=tf.compat.v1.train.AdagradOptimizer(0.05))
