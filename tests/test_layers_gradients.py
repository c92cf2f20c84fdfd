"""Gradients of every layer against finite differences in float64, with respect to all variables and inputs."""

import numpy as np
import pytest
from layer_graph import check_gradients, graph, tf

from monolith_cli import layers
from monolith_cli.layers import activations

RNG = np.random.default_rng(11)


def some(*shape):
    return RNG.normal(size=shape)


REGULAR = {"kernel_regularizer": "l2"}
# layer, the arguments of its call, as arrays
CASES = {
    "Dense": (lambda x: layers.Dense(2, "tanh", allow_kernel_norm=True, kernel_norm_trainable=True)(x), [some(2, 2, 3)]),
    "Dense without length": (lambda x: layers.Dense(2, allow_kernel_norm=True, use_bias=False)(x), [some(2, 3)]),
    "MLP": (lambda x: layers.MLP([3, 2], "sigmoid2")(x), [some(2, 3)]),
    "MLP with batch normalisation": (lambda x: layers.MLP([3, 2], "tanh", enable_batch_normalization=True)(x, training=True), [some(4, 2)]),
    "AddBias": (lambda x: layers.AddBias()(x), [some(2, 2, 3)]),
    "GroupInt": (lambda a, b: layers.GroupInt(use_attention=True, attention_units=[2, 1], activation="tanh")(([a, a * b], [b])),
                 [some(2, 3), some(2, 3)]),
    "FFM dot": (lambda a, b: layers.FFM("dot")(([a, a * b], [b])), [some(2, 3), some(2, 3)]),
    "ffm": (lambda a, b: layers.ffm(a, b, 2), [some(2, 4), some(2, 2)]),
    "AllInt": (lambda x: layers.AllInt(2)(x), [some(2, 3, 2)]),
    "CDot": (lambda x: layers.CDot(2, [3], "tanh")(x), [some(2, 3, 2)]),
    "CAN": (lambda u, i: layers.CAN(2, "tanh", is_seq=True)((u, i)), [some(2, 2, 3, 2), some(2, 12)]),
    "CAN flat": (lambda u, i: layers.CAN(2, "tanh", is_stacked=False)((u, i)), [some(2, 2), some(2, 12)]),
    "DCN vector": (lambda x: layers.DCN(2, "vector")(x), [some(2, 3)]),
    "DCN matrix": (lambda x: layers.DCN(2, "matrix", allow_kernel_norm=True)(x), [some(2, 2, 3)]),
    "DCN mixed": (lambda x: layers.DCN(2, "mixed", num_experts=2, low_rank=2)(x), [some(2, 3)]),
    "DCN softmax": (lambda x: layers.DCN(1, "mixed", num_experts=2, low_rank=2, gate="softmax")(x), [some(2, 3)]),
    "CIN": (lambda x: layers.CIN([3, 2], "tanh")(x), [some(2, 3, 2)]),
    "AGRUCell": (lambda x, h, a: layers.AGRUCell(2)((x, h, a)), [some(2, 3), some(2, 2), some(2, 1)]),
    "AUGRUCell": (lambda x, h, a: layers.AGRUCell(2, "AUGRU")((x, h, a)), [some(2, 3), some(2, 2), some(2, 1)]),
    "static rnn": (lambda x, a: layers.static_rnn_with_attention(layers.AGRUCell(2), x, a), [some(2, 3, 2), some(2, 3)]),
    "dynamic rnn": (lambda x, a: layers.dynamic_rnn_with_attention(layers.AGRUCell(2), x, a), [some(2, 3, 2), some(2, 3)]),
    "DIN": (lambda q, k: layers.DIN([2, 1], "tanh", decay=True)((q, k), mask=tf.constant([[1, 0, 1], [1, 1, 0]])), [some(2, 2), some(2, 3, 2)]),
    "DIN sequence": (lambda q, k: layers.DIN([2, 1], "sigmoid", mode="seq")((q, k)), [some(2, 2), some(2, 3, 2)]),
    "DIEN": (lambda q, k: layers.DIEN(2, activation="tanh")((q, k)), [some(2, 2), some(2, 3, 3)]),
    "DIEN AUGRU": (lambda q, k: layers.DIEN(2, "AUGRU", activation="tanh")((q, k)), [some(2, 2), some(2, 3, 3)]),
    "DMR_U2I": (lambda i, s: layers.DMR_U2I(2)((i, s)), [some(2, 3), some(2, 3, 2)]),
    "AutoInt": (lambda x: layers.AutoInt(2)(x), [some(2, 3, 2)]),
    "iRazor": (lambda x: (layers.iRazor([0, 1, 3], t=.5, feature_weight=[1, 2], name="r")(x), layers.get_layer_loss()["r"]), [some(2, 2, 3)]),
    "SeNet": (lambda a, b: layers.SeNet(2, 2)([a, b]), [some(2, 2), some(2, 3)]),
    "LHUCTower": (lambda x, g: layers.LHUCTower([3, 2], activations="tanh")((x, g)), [some(2, 3), some(2, 2)]),
    "LogitCorrection": (lambda l, r: layers.LogitCorrection("sigmoid", sample_bias=True)((l, r)), [some(4), np.array([.1, .5, .9, 1])]),
    "MMoE": (lambda x, g: mmoe_with_loss(x, g, "softmax"), [some(3, 3), some(3, 2)]),
    "MMoE topk": (lambda x, g: mmoe_with_loss(x, g, "topk"), [some(3, 3), some(3, 2)]),
    "SNR": (lambda a, b: snr_with_loss(a, b, "trans"), [some(2, 2), some(2, 2)]),
    "SNR aver": (lambda a, b: snr_with_loss(a, b, "aver"), [some(2, 2), some(2, 2)]),
    "BatchNorm": (lambda x: layers.BatchNorm()(x), [some(4, 2)]),
    "BatchNorm inference": (lambda x: layers.BatchNorm(mode="eval")(x), [some(4, 2)]),
    "LayerNorm": (lambda x: layers.LayerNorm(None)(x), [some(2, 2, 3)]),
    "GradNorm": (lambda h: layers.GradNorm(["a", "b"])(([tf.reduce_sum(h), tf.reduce_sum(3 * h)], h))[0], [some(1, 2)]),
    "pooling": (lambda a, b: [p()([a, b]) for p in (layers.SumPooling, layers.AvgPooling, layers.MaxPooling)], [some(2, 2), some(2, 2)]),
    "feature insight": (lambda x, w: layers.feature_insight(x, w, [2, 1], aggregate=True), [some(2, 3), some(3, 2)]),
    "MixedEmbedOpComb": (lambda x: mixed_without_sampling(x), [some(2, 5)]),
    "TeacherEmbeddingTransform": (lambda x: layers.TeacherEmbeddingTransform([2, 1], [1, 2])(x), [some(2, 3)]),
}  # fmt: skip


def mmoe_with_loss(x, g, kind):
    layer = layers.MMoE(2, [2], "tanh", gate_type=kind, top_k=2, num_experts=3)
    return layer((x, g)), layer.losses


def snr_with_loss(a, b, kind):
    layer = layers.SNR(2, 2, kind, mode="infer")
    return layer([a, b]), layer.losses


def mixed_without_sampling(x):
    layer = layers.MixedEmbedOpComb(["a"], [[2, 3]], 0, 0)
    layer(x)
    return [layer.get_summaries()[k] for k in ("arch_entropy", "expected_emb_dims")]


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    fn, inputs = CASES[name]
    assert check_gradients(fn, *inputs) >= sum(i.size for i in inputs)


def test_gradients_of_activations():
    x = some(2, 5) + 0.05
    assert (
        check_gradients(lambda x: [activations.get(name)(x) for name in activations.ALL_ACTIVATION_NAMES], x)
        == x.size + 5
    )


def test_regularizers_are_among_the_losses():
    with graph() as session:
        made = [
            layers.Dense(2, kernel_regularizer="l2", bias_regularizer="l1", allow_kernel_norm=True, kernel_norm_trainable=True),
            layers.MLP([2, 2], kernel_regularizer="l2", bias_regularizer="l2"), layers.DCN(2, regularizer="l2", allow_kernel_norm=True),
        ]  # fmt: skip
        for layer in made:
            layer(tf.ones([1, 3], tf.float64))
        assert [len(layer.losses) for layer in made] == [2, 4, 2]
        session.run(tf.compat.v1.global_variables_initializer())
        kernel, bias = session.run(made[0].losses)
        weights = session.run([v.value for v in made[0].weights])
        np.testing.assert_allclose(kernel, 0.01 * (weights[0] ** 2).sum())
        assert bias == 0


@pytest.mark.parametrize("use_ste, gradient", [(False, 0), (True, 1)])
def test_snr_straight_through(use_ste, gradient):
    """A gate that is cut to 1 has no gradient, or with use_ste that of the uncut one."""
    with graph() as session:
        layer = layers.SNR(1, 2, "aver", use_ste=use_ste, mode="infer")
        (out,) = layer([tf.ones([1, 2], tf.float64)])
        (variable,) = tf.compat.v1.trainable_variables()
        (grad,) = tf.compat.v1.gradients(out, variable)
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(variable.assign([[5.0]]))
        value, grad = session.run([out, grad])
        s = 1 / (1 + np.exp(-5))
        np.testing.assert_allclose(value, [[1, 1]])
        np.testing.assert_allclose(grad, [[2 * gradient * 1.2 * s * (1 - s)]])
