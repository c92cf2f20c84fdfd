"""The vectors TV-I and J of the specification's layers: norms, pooling, small functions; and those of section 21: shapes."""

import numpy as np
import pytest
from layer_graph import W, X, close, evaluate, fill, graph, tf, tf1

from monolith_cli import layers
from monolith_cli.layers.ops import fused_value_rowids

BATCH = np.array([[1, 2], [3, -2], [-1, 0], [2, 1]], np.float64)
STATISTICS = [[0.5, -0.5], [2, 0.25], [0.1, 0.2], [1.5, -1]]


@pytest.mark.parametrize("statistics", ["average", "loss"])
@pytest.mark.parametrize("arguments, training, expected", [
    ({}, None, [[-0.153546, -0.983216], [1.874824, 1.721277], [-2.181916, 0.369031], [0.860639, -0.307092]]),
    ({"mode": "eval"}, None, [[0.63033, -4.79999], [2.75165, 3.199994], [-1.49099, -0.799998], [1.69099, -2.799994]]),
    ({}, False, [[0.63033, -4.79999], [2.75165, 3.199994], [-1.49099, -0.799998], [1.69099, -2.799994]]),
    ({"training_use_global_dist": True, "global_dist_momentum": .9}, None,
     [[0.548682, -3.440341], [2.660128, 2.564345], [-1.562763, -0.437998], [1.604405, -1.93917]]),
])  # fmt: skip
def test_tvi_batch_norm(statistics, arguments, training, expected):
    def call(x):
        return layers.BatchNorm(statistics=statistics, **arguments)(x, training=training)

    for _ in range(3):  # what a step reads of the statistics is what was there before it
        close(evaluate(call, BATCH, vars=STATISTICS), expected)


def test_tvi_batch_norm_losses_have_the_statistics_for_gradients():
    with graph() as session:
        layers.BatchNorm(statistics="loss", name="bn")(tf.constant(BATCH))
        losses = layers.get_layer_loss()
        assert sorted(losses) == ["bn_moving_mean", "bn_moving_variance"]
        mean, variance = tf1.trainable_variables()[:2]
        grads = tf1.gradients([7 * losses["bn_moving_mean"], losses["bn_moving_variance"]], [mean, variance])
        fill(session, [[0.5, -0.5], [-2, 0.25], [0.1, 0.2], [1.5, -1]])
        close(session.run(grads[0]), [1.25, 0.25])
        close(session.run(grads[1]), [2.1875, 2.1875])
        close(session.run(list(losses.values())), [0, 0.25])


def test_tvi_batch_norm_follows_the_batches():
    with graph() as session:
        layer = layers.BatchNorm(momentum=0.75)
        out = layer(tf.constant(BATCH), training=True)
        fill(session, STATISTICS)
        session.run(out)
        close(session.run(layer.moving_mean.value), 0.75 * np.array([0.5, -0.5]) + 0.25 * BATCH.mean(0))
        close(session.run(layer.moving_variance.value), 0.75 * np.array([2, 0.25]) + 0.25 * BATCH.var(0))
        assert len(tf1.trainable_variables()) == 2


def test_tvi_layer_norm():
    found = evaluate(
        lambda x: layers.LayerNorm(None)(x), np.array([[1.0, 2, 4], [0, -1, 3]]), vars=[[0.1, 0, -0.1], [1, 2, 0.5]]
    )
    close(found, [[-0.969044, -0.534522, 0.568153], [-0.292232, -1.961161, 0.586406]])


@pytest.mark.parametrize("relative, expected", [(False, 1.397014), (True, 0.290552)])
def test_tvi_grad_norm(relative, expected):
    with graph() as session:
        h = tf.constant([[1.0, 2]], tf.float64)
        norm = layers.GradNorm(["a", "b"], scale=2, relative_diff=relative)
        gnorm, weighted = norm(([tf.reduce_sum(h * h), 3 * tf.reduce_sum(h)], h))
        (variable,) = tf1.trainable_variables()
        gradient, none = tf1.gradients(gnorm, variable)[0], tf1.gradients(weighted, variable)
        fill(session, [[0.2, -0.3]])
        close(session.run([gnorm, weighted]), [expected, 6.510163])
        assert none == [None]
        if not relative:
            close(np.abs(session.run(gradient)), [4.841294, 4.841294])
        tags = {
            v.tag for text in session.run(tf1.get_collection("summaries")) for v in tf1.Summary.FromString(text).value
        }
    assert {t.split("gradnorm_")[1] for t in tags} == {f"{k}/{t}" for k in ("weight", "gnorm", "wgnorm") for t in "ab"}


def test_tvi_pooling():
    inputs = [X((2, 2), i) for i in range(3)]
    close(evaluate(lambda *x: layers.SumPooling()(list(x)), *inputs), [[-2.4, 0.6], [-0.8, 0]])
    close(evaluate(lambda *x: layers.AvgPooling()(list(x)), *inputs), [[-0.8, 0.2], [-0.266667, 0]])
    close(evaluate(lambda *x: layers.MaxPooling()(list(x)), *inputs), [[-0.6, 0.4], [1, 0.2]])
    close(evaluate(lambda x: layers.MaxPooling()([x]), inputs[0]), inputs[0])
    with graph():
        for given, error in (((tf.zeros([2, 2]),), TypeError), (None, TypeError), ([], ValueError)):
            with pytest.raises(error):
                layers.SumPooling()(given)
        with pytest.raises(layers.LayerError, match=r"sum_pooling.*\[2, 2\].*\[2, 3\]"):
            layers.SumPooling(name="sum_pooling")([tf.zeros([2, 2]), tf.zeros([2, 3])])


LEFT, RIGHT = X((1, 4), 0), X((1, 6), 2)


@pytest.mark.parametrize("kind, grad, out, left, right", [
    ("multiply", np.ones(12), [.6, 0, .8, 0, 1, 0, -.6, -.08, -.8, -.04, -1, 0], [-2.4, .6, -2.4, .6], [0, -.2, 0, -.2, 0, -.2]),
    ("dot", np.arange(1., 7), [.6, .8, 1, -.68, -.84, -1], [-5.2, .8, -12.4, 2.6], [3, -.8, 3, -1, 3, -1.2]),
])  # fmt: skip
def test_tvj_ffm(kind, grad, out, left, right):
    def call(l, r):
        y = layers.ffm(l, r, 2, kind)
        return [y, *tf1.gradients(y, [l, r], tf.constant(grad[None]))]

    for found, expected in zip(evaluate(call, LEFT, RIGHT), (out, left, right)):
        close(found[0], expected)
    wide = evaluate(lambda l, r: layers.ffm(l, r, 2, kind), np.pad(LEFT, ((0, 0), (0, 1))), RIGHT)
    close(wide[0], out)  # what is left over of a block is not looked at
    with pytest.raises(layers.LayerError, match=r"matrices.*\[4\]"):
        layers.ffm(tf.zeros([4]), tf.zeros([1, 6]), 2)


ROWS = np.arange(3)[:, None] + np.arange(1, 10) / 10
WEIGHT = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2, 0.1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9]).reshape(
    9, 2
)


def test_tvj_feature_insight():
    def call(x, w):
        y = layers.feature_insight(x, w, [3, 2, 4])
        return [y, layers.feature_insight(x, w, [3, 2, 4], aggregate=True), *tf1.gradients(y, [x, w])]

    found, aggregated, dx, dw = evaluate(call, ROWS, WEIGHT)
    close(
        found,
        [[0.22, 0.22, 0.17, 0.53, 2.1, 2.14], [1.12, 1.22, 0.57, 1.63, 4.9, 4.94], [2.02, 2.22, 0.97, 2.73, 7.7, 7.74]],
    )
    close(aggregated, [[0.0968, 0.3098, 8.9896], [2.7428, 2.9818, 48.4136], [9.0088, 8.3938, 119.1976]])
    close(dx, [[0.3, 0.7, 0.9, 0.5, 1, 1.5, 1.1, 1.3, 1.7]] * 3)
    close(dw, np.repeat(3.3 + 0.3 * np.arange(9), 2).reshape(9, 2))
    for sizes in ([], [3, 2, 5]):
        with pytest.raises(layers.LayerError, match="segment"):
            evaluate(lambda x, w: layers.feature_insight(x, w, sizes), ROWS, WEIGHT)


@pytest.mark.parametrize(
    "start, step, value, gradient", [(1, 1, 2, -1), (1, 0.01, 1.01, -0.01), (1000, 1, 1000, 0), (999.5, 1, 1000, -1)]
)
def test_tvj_fid_counter(start, step, value, gradient):
    def call(x):
        y = layers.fid_counter(x, 1000, step)
        return [y, *tf1.gradients(5 * y, x)]

    found, grad = evaluate(call, np.array([[float(start)]]))
    close(found, [[value]])
    close(grad, [[gradient]])


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_tvj_gen_seq_mask(dtype):
    mask = layers.gen_seq_mask(np.array([0, 5, 7, 9, 13], dtype), 6)
    assert mask.dtype == dtype and mask.shape == [4, 6]
    expected = [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]
    np.testing.assert_array_equal(mask, expected)
    ragged = tf.RaggedTensor.from_row_splits(tf.range(13), np.array([0, 5, 7, 9, 13], dtype))
    np.testing.assert_array_equal(layers.gen_seq_mask(ragged, 6), expected)
    np.testing.assert_array_equal(layers.gen_seq_mask(np.array([0, 8], dtype), 6), [[1] * 6])
    with pytest.raises(tf.errors.InvalidArgumentError, match="fall"):
        layers.gen_seq_mask(np.array([0, 5, 3], dtype), 6)


def test_tvj_combiners():
    ids = tf.RaggedTensor.from_row_lengths(tf.range(3), [1, 2])
    np.testing.assert_array_equal(layers.reduce_sum(ids, tf.constant([[1.0], [2], [3]])), [[1], [5]])
    ids = tf.RaggedTensor.from_row_lengths(tf.range(6), [1, 2, 3])
    emb = tf.constant([[1.0], [2], [3], [4], [5], [6]])
    np.testing.assert_array_equal(layers.first_n(ids, emb, 2), [[[1], [0]], [[2], [3]], [[4], [5]]])
    assert fused_value_rowids(ids) is fused_value_rowids(ids)
    with pytest.raises(ValueError):
        fused_value_rowids(emb)


def test_combiners_of_empty_rows_and_their_gradients():
    def call(e):
        ids = tf.RaggedTensor.from_row_lengths(tf.range(3), [2, 0, 1])
        outs = [layers.reduce_mean(ids, e), layers.reduce_sqrtn(ids, e)]
        return outs, [tf1.gradients(o, e)[0] for o in outs]

    (mean, root), (dmean, droot) = evaluate(call, np.array([[3.0, 0], [4, 0], [5, -2]]))
    close(mean, [[3.5, 0], [0, 0], [5, -2]])
    close(root, [[5, 0], [0, 0], [5, 2]])
    close(dmean, [[0.5, 0.5], [0.5, 0.5], [1, 1]])
    close(droot, [[0.6, 0], [0.8, 0], [1, -1]])


def ones(*shape):
    return np.ones(shape)


@pytest.mark.parametrize("make, inputs, shape", [
    (lambda l, r: layers.GroupInt()((l, r)), ([ones(100, 10)] * 5, [ones(100, 10)] * 3), (100, 150)),
    (lambda x: layers.AllInt(4)(x), [ones(100, 10, 10)], (100, 40)),
    (lambda x: layers.CDot(8, [128, 256])(x), [ones(100, 10, 10)], (100, 160)),
    (lambda x: layers.DCN(2, "mixed", num_experts=2, low_rank=5, allow_kernel_norm=True)(x), [ones(128, 10, 10)], (128, 10, 10)),
    (lambda x: layers.CIN([10, 5])(x), [ones(128, 10, 10)], (128, 15)),
    (lambda q, k: layers.DIN([10, 1])((q, k)), [ones(100, 10), ones(100, 15, 10)], (100, 10)),
    (lambda q, k: layers.DIEN(10)((q, k)), [ones(100, 10), ones(100, 15, 10)], (100, 10)),
    (lambda q, k: layers.DMR_U2I(5)((q, k)), [ones(100, 10), ones(100, 15, 10)], (100, 10)),
    (lambda x: layers.SeNet(10, 4)(x), [ones(100, 10, 10)], (100, 100)),
    (lambda x: layers.iRazor([0, 2, 5, 7, 10])(x), [ones(100, 10, 10)], (100, 100)),
    (lambda x, g: layers.LHUCTower([50, 20, 1], [[50, 50], [50, 50, 20], [100, 1]], lhuc_use_bias=False)((x, g)),
     [ones(100, 100), ones(100, 50)], (100, 1)),
    (lambda x: layers.MMoE(2, [[128, 64, 64], [64, 64], [128, 64]], "relu", gate_type="topk", top_k=2)(x)[1], [ones(100, 128)], (100, 64)),
    (lambda x, a: static(x, a), [ones(100, 20, 10), ones(100, 20)], (100, 20, 10)),
])  # fmt: skip
def test_section_21_shapes(make, inputs, shape):
    found = evaluate(make, *inputs, vars=2, dtype="float32")
    assert found.shape == shape and np.isfinite(found).all()


def static(x, a):
    return layers.static_rnn_with_attention(layers.AGRUCell(10), x, a)[0]


def test_section_21_values():
    assert evaluate(lambda l, r: layers.GroupInt()((l, r)), [ones(100, 10)] * 5, [ones(100, 10)] * 3).sum() == 15000
    for is_seq, shape, value in ((True, (128, 10, 12, 10), 1332), (False, (128, 10, 10), 111)):
        out = evaluate(lambda u, i: layers.CAN(2, "relu", is_seq=is_seq)((u, i)), ones(*shape), ones(128, 220))
        assert out.shape == (128, 10, 10) and (out == value).all()
    np.testing.assert_allclose(evaluate(lambda x: layers.AutoInt(2)(x), ones(100, 10, 10)), ones(100, 100), atol=1e-12)
    for out in evaluate(
        lambda *x: layers.SNR(3, 128, "aver", mode="infer")(list(x)), *[ones(100, 128)] * 4, vars=[np.zeros((12, 1))]
    ):
        np.testing.assert_allclose(out, np.full((100, 128), 2.0))


def test_section_21_mlp_with_eleven_layers():
    def call(x):
        mlp = layers.MLP([100, 50, 10, 1], activations=["relu", "tanh", "PReLU", None], enable_batch_normalization=True)
        out = mlp(x)
        assert mlp.get_layer(10).name == "dense_3"
        with pytest.raises(AssertionError, match="11 layers"):
            mlp.get_layer(11)
        return out

    with graph() as session:
        out = call(tf.constant(ones(100, 100)))
        session.run(tf1.global_variables_initializer())
        assert session.run(out).shape == (100, 1)
    assert W((3, 2), 0).tolist() == [[-0.3, 0], [0.3, -0.1], [0.2, -0.2]] and X((2, 3), 0).tolist() == [
        [-1, 0, 1],
        [-0.2, 0.8, -0.4],
    ]
