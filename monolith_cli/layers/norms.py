"""Normalisation: BatchNorm, LayerNorm, and GradNorm, which balances the losses of several tasks."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from monolith_cli.layers.base import MonolithLayer, fresh, get_regularizer, initializer_or, register, serialized, shown
from monolith_cli.layers.utils import add_layer_loss

tf1 = tf.compat.v1

_INITIALIZERS = ("moving_mean_initializer", "moving_variance_initializer", "beta_initializer", "gamma_initializer")


def _observed(moving, statistic, floor: float):
    """sum(max(moving, floor)), with `statistic` for its gradient, whatever comes in."""

    @tf.custom_gradient
    def total(moving):
        return tf.reduce_sum(tf.maximum(moving, floor)), lambda _: statistic

    return total(moving)


@register
class BatchNorm(MonolithLayer):
    """y = (x - mean) / sqrt(variance + epsilon) * gamma_scale + beta_offset, over axis 0 of x [B, d].

    In training (mode train, or training=True in the call) mean and variance are the batch's; with
    training_use_global_dist g * moving + (1 - g) * batch, g = global_dist_momentum. Else they are the moving ones.

    momentum: moving <- momentum * moving + (1 - momentum) * batch in each step of training. Default 0.99.
    statistics: average (default): as above. loss: the moving statistics are trainable variables; two layer losses
        (`utils.get_layer_loss`), <name>_moving_mean and <name>_moving_variance, have the batch's statistics for their
        gradients. It takes an optimizer that moves these variables towards their gradients, such as a parameter
        server's moving average.
    center, scale: whether there is a beta_offset, a gamma_scale. Default True. The four initializers: zeros, ones,
        zeros, ones.
    regularizer: of beta_offset and gamma_scale. stop_grad_of_var_mean: no gradient goes through the batch's statistics.
    epsilon: default 1e-6. In a graph the statistics in use are written as summaries <name>/mean_train, .../var_train or
        ..._test.

    Variables [d]: moving_mean, moving_variance, beta_offset, gamma_scale. Errors: LayerError for inputs that are no
    matrices.
    Paper: Ioffe and Szegedy, Batch Normalization, ICML 2015.
    """

    def __init__(
        self,
        momentum: float = 0.99,
        center: bool = True,
        scale: bool = True,
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        regularizer: Any = None,
        training_use_global_dist: bool = False,
        global_dist_momentum: float = 1.0,
        stop_grad_of_var_mean: bool = False,
        epsilon: float = 1e-6,
        mode: str = "train",
        statistics: str = "average",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require(statistics in ("average", "loss"), f"statistics must be average or loss, not {statistics!r}")
        self.momentum, self.center, self.scale, self.epsilon, self.mode = momentum, center, scale, epsilon, mode
        given = (moving_mean_initializer, moving_variance_initializer, beta_initializer, gamma_initializer)
        for name, initializer, default in zip(_INITIALIZERS, given, ("zeros", "ones", "zeros", "ones")):
            setattr(self, name, initializer_or(initializer, default))
        self.regularizer = get_regularizer(regularizer)
        self.training_use_global_dist, self.global_dist_momentum = training_use_global_dist, global_dist_momentum
        self.stop_grad_of_var_mean, self.statistics = stop_grad_of_var_mean, statistics

    def set_use_global_dist(self, use: bool) -> None:
        """Whether calls from here on normalise by the moving statistics in training too."""
        self.training_use_global_dist = use

    def build(self, input_shape):
        shape = [self.matrix_shape(input_shape)[-1]]
        trained = self.statistics == "loss"
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=shape, initializer=self.moving_mean_initializer, trainable=trained
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=shape, initializer=self.moving_variance_initializer, trainable=trained
        )
        self.beta = self.gamma = None
        if self.center:
            self.beta = self.add_weight(
                name="beta_offset", shape=shape, initializer=self.beta_initializer, regularizer=self.regularizer
            )
        if self.scale:
            self.gamma = self.add_weight(
                name="gamma_scale", shape=shape, initializer=self.gamma_initializer, regularizer=self.regularizer
            )

    def call(self, inputs, training=None):
        train = self.mode == "train" if training is None else training
        moving = (tf.convert_to_tensor(self.moving_mean), tf.maximum(tf.convert_to_tensor(self.moving_variance), 0.0))
        if train:
            batch = tf.nn.moments(tf.stop_gradient(inputs) if self.stop_grad_of_var_mean else inputs, axes=[0])
            updates = self._follow(*batch, moving)
            mean, variance = batch
            if self.training_use_global_dist:
                g = self.global_dist_momentum
                mean, variance = (g * m + (1.0 - g) * b for m, b in zip(moving, batch))
        else:
            updates = []
            mean, variance = (tf.stop_gradient(m) for m in moving)
        self._summarize(mean, variance, "train" if train else "test")
        beta = None if self.beta is None else tf.convert_to_tensor(self.beta)
        gamma = None if self.gamma is None else tf.convert_to_tensor(self.gamma)
        with tf.control_dependencies(updates):
            return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, self.epsilon)

    def _follow(self, mean, variance, read: tuple) -> list:
        """The updates of the moving statistics, behind what the step has read of them; none where losses do it."""
        mean, variance = tf.stop_gradient(mean), tf.stop_gradient(variance)
        pairs = ((self.moving_mean, mean, float("-inf")), (self.moving_variance, variance, 0.0))
        if self.statistics == "average":
            with tf.control_dependencies(list(read)):
                done = [
                    v.value.assign_sub((1.0 - self.momentum) * (tf.convert_to_tensor(v) - now)) for v, now, _ in pairs
                ]
            # Only in a graph are there ops to wait for; in eager execution they have run.
            return [] if tf.executing_eagerly() else done
        for variable, now, floor in pairs:
            add_layer_loss(f"{self.name}_{variable.name}", _observed(tf.convert_to_tensor(variable), now, floor))
        return []

    def _summarize(self, mean, variance, when: str) -> None:
        if tf.executing_eagerly():
            return
        for what, value in (("mean", mean), ("var", variance)):
            tf1.summary.histogram(f"{self.name}/{what}_{when}", value)
            tf1.summary.scalar(f"{self.name}/{what}_{when}", tf.reduce_mean(value))

    def get_config(self):
        plain = (
            "momentum",
            "center",
            "scale",
            "training_use_global_dist",
            "global_dist_momentum",
            "stop_grad_of_var_mean",
            "epsilon",
            "mode",
            "statistics",
        )
        return {
            **super().get_config(),
            **{k: getattr(self, k) for k in plain},
            **{k: serialized(getattr(self, k), keras.initializers) for k in _INITIALIZERS},
            "regularizer": serialized(self.regularizer, keras.regularizers),
        }


@register
class LayerNorm(MonolithLayer):
    """y = (x - mean) / sqrt(variance + 1e-6) * gamma + beta over the last axis of x [..., d], in training and inference
    alike.

    initializer: of gamma; None: ones. regularizer: of both. Variables [d]: beta zeros, gamma.
    Errors: LayerError where d is not known. Paper: Ba et al., Layer Normalization, 2016.
    """

    def __init__(self, initializer: Any = None, regularizer: Any = None, **kwargs):
        super().__init__(**kwargs)
        self.initializer = initializer_or(initializer, "ones")
        self.regularizer = get_regularizer(regularizer)

    def build(self, input_shape):
        shape = tuple(input_shape)
        self.require(
            bool(shape) and shape[-1] is not None, f"the last dimension of its input must be known, not {shown(shape)}"
        )
        self.beta = self.add_weight(name="beta", shape=shape[-1:], initializer="zeros", regularizer=self.regularizer)
        self.gamma = self.add_weight(
            name="gamma", shape=shape[-1:], initializer=fresh(self.initializer), regularizer=self.regularizer
        )

    def call(self, inputs):
        mean, variance = tf.nn.moments(inputs, axes=[-1], keepdims=True)
        beta, gamma = tf.convert_to_tensor(self.beta), tf.convert_to_tensor(self.gamma)
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-6)

    def get_config(self):
        return {
            **super().get_config(),
            "initializer": serialized(self.initializer, keras.initializers),
            "regularizer": serialized(self.regularizer, keras.regularizers),
        }


@register
class GradNorm(MonolithLayer):
    """Weights of tasks that bring the norms of their gradients together.

    Call, in a graph: ([n scalar losses], shared tensor or list of them) -> (gnorm_loss, weighted_loss).
    w = softmax(grad_norm_weights); G_i = the L2 norm of d loss_i / d shared, without gradient; avg = sum(G w) / n;
    diff = |G w - avg|, with relative_diff / (avg + epsilon); gnorm_loss = scale * sum(diff ^ loss_pow), which trains w
    alone; weighted_loss = sum(loss_i * w_i), which does not.

    loss_names: of the n tasks. scale: default 1. loss_pow: default 2. relative_diff: default False. epsilon: default
        1e-6.
    Writes gradnorm_weight/<task>, gradnorm_gnorm/<task>, gradnorm_wgnorm/<task> as summaries.
    Variable: grad_norm_weights [n] zeros. Errors: LayerError for another number of losses, and outside of a graph.
    Paper: Chen et al., GradNorm, ICML 2018.
    """

    def __init__(
        self,
        loss_names: list[str],
        scale: float = 1.0,
        loss_pow: float = 2.0,
        relative_diff: bool = False,
        epsilon: float = 1e-6,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.loss_names = list(loss_names)
        self.scale, self.loss_pow, self.relative_diff, self.epsilon = scale, loss_pow, relative_diff, epsilon

    def build(self, input_shape):
        self.require(len(input_shape) == 2, "takes ([losses], shared)")
        found, known = len(input_shape[0]), len(self.loss_names)
        self.require(found == known, f"was made for the {known} losses {self.loss_names}, not for {found}")
        self.require(
            all(len(s) == 0 for s in input_shape[0]), f"each loss must be one number, not {shown(input_shape[0])}"
        )
        self.grad_norm_weights = self.add_weight(name="grad_norm_weights", shape=[known], initializer="zeros")

    def task_weights(self):
        """w [n], which add up to 1."""
        return tf.nn.softmax(tf.convert_to_tensor(self.grad_norm_weights))

    def call(self, inputs):
        self.require(not tf.executing_eagerly(), "gradients of losses are there in a graph alone")
        losses, shared = inputs
        shared = list(shared) if isinstance(shared, (list, tuple)) else [shared]
        weights = self.task_weights()
        norms = []
        for name, loss in zip(self.loss_names, losses):
            grads = [g for g in tf1.gradients(loss, shared) if g is not None]
            self.require(bool(grads), f"loss {name!r} does not depend on the shared tensors")
            norms.append(tf.linalg.global_norm([tf.convert_to_tensor(g) for g in grads]))
        norms = tf.stop_gradient(tf.stack(norms))
        weighted = norms * weights
        average = tf.reduce_sum(weighted) / len(losses)
        difference = tf.abs(weighted - average)
        if self.relative_diff:
            difference = difference / (average + self.epsilon)
        for i, name in enumerate(self.loss_names):
            for what, value in (("weight", weights), ("gnorm", norms), ("wgnorm", weighted)):
                tf1.summary.scalar(f"gradnorm_{what}/{name}", value[i])
        gnorm_loss = self.scale * tf.reduce_sum(tf.pow(difference, self.loss_pow))
        return gnorm_loss, tf.reduce_sum(tf.stack(losses) * tf.stop_gradient(weights))

    def get_config(self):
        plain = ("loss_names", "scale", "loss_pow", "relative_diff", "epsilon")
        return {**super().get_config(), **{k: getattr(self, k) for k in plain}}
