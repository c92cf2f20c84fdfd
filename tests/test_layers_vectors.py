"""The vectors TV-B, C, D, E of the specification's layers: AddBias, Dense, MLP, merging, feature interactions."""

import numpy as np
import pytest
from layer_graph import W, X, close, evaluate, fill, graph, tensors, tf, tf1, variable_names

from monolith_cli import layers


@pytest.mark.parametrize("shape, data_format, row", [
    ((2, 3), "channels_last", [-.3, 0, .3]),
    ((2, 2, 3), "channels_last", [-.3, 0, .3, -.1, .2, -.2]),
    ((2, 2, 3), "channels_first", [-.3, 0, .3, -.1, .2, -.2]),
    ((2, 2, 2, 2), "channels_last", [-.3, 0, .3, -.1, .2, -.2, .1, -.3]),
    ((2, 2, 2, 2), "channels_first", [-.3, 0, .3, -.1, .2, -.2, .1, -.3]),
])  # fmt: skip
def test_tvb_add_bias(shape, data_format, row):
    found = evaluate(lambda x: layers.AddBias()(x, data_format=data_format), np.zeros(shape))
    close(found.reshape(2, -1), [row, row])


def test_tvb_unknown_data_format():
    with pytest.raises(ValueError, match="Unknown data_format: foo"):
        evaluate(lambda x: layers.AddBias()(x, data_format="foo"), np.zeros((2, 3)))


@pytest.mark.parametrize("make, x, expected", [
    (lambda: layers.Dense(2), X((2, 3)), [[.3, -.1], [.02, .1]]),
    (lambda: layers.Dense(2, allow_kernel_norm=True), X((2, 3)), [[0.866004, -0.794427], [0.269042, 0.1]]),
    (lambda: layers.Dense(2, allow_kernel_norm=True, kernel_norm_trainable=True, activation="relu"), X((2, 3)), [[0, 0.110557], [0, 0.2]]),
    (lambda: layers.Dense(2, allow_kernel_norm=True, kernel_norm_trainable=True), X((2, 2, 3), 1),
     [[[-0.14264, 0.280498], [-0.210864, 0.173167]], [[0.002336, 0.164223], [-0.159696, 0.253666]]]),
    (lambda: layers.MLP([3, 2]), X((2, 3)), [[0.190339, -0.222707], [0.187583, -0.244524]]),
    (lambda: layers.MLP([3, 2], activations=["sigmoid2", "tanh"], use_weight_norm=False, use_bias=False), X((2, 3)),
     [[-0.235, 0.034612], [-0.262319, 0.007957]]),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_tvc_dense_and_mlp(make, x, expected, dtype):
    close(evaluate(lambda x: make()(x), x, dtype=dtype), expected)


def test_tvc_mlp_with_batch_normalization():
    with graph() as session:
        mlp = layers.MLP([3, 2], enable_batch_normalization=True)
        out = mlp(tf.constant(X((2, 3))))
        names = variable_names()
        assert names[:4] == [f"mlp/BatchNorm/in/{n}" for n in ("gamma", "beta", "moving_mean", "moving_variance")]
        assert names[4:8] == [
            "mlp/dense_0/kernel",
            "mlp/dense_0/trainable_kernel_norm",
            "mlp/dense_0/bias",
            "mlp/BatchNorm/out/gamma",
        ]
        values = [W(v.shape.as_list(), i) if "dense" in v.name else None for i, v in enumerate(tf1.global_variables())]
        fill(session, values)
        # Keras' epsilon, 0.001, is part of the numbers.
        close(session.run(out), [[0.303235, -0.092094], [0.325819, -0.064814]])


def test_tvc_partitioned_kernel():
    partitioner = tf1.variable_axis_size_partitioner(131072, max_shards=5)
    with graph("float32") as session:
        x = tf.ones([2, 294])
        explicit = layers.Dense(1024, partitioner=partitioner, name="explicit")
        explicit(x)
        assert [v.shape[0] for v in explicit._kernel_parts] == [59, 59, 59, 59, 58]
        with tf1.variable_scope("scope", partitioner=partitioner):
            ambient = layers.Dense(1024, allow_kernel_norm=True, kernel_norm_trainable=True, name="ambient")
            y = ambient(x)
        assert [v.shape[0] for v in ambient._kernel_parts] == [59, 59, 59, 59, 58]
        session.run(tf1.global_variables_initializer())
        kernel = np.concatenate(session.run([v.value for v in ambient._kernel_parts]))
        # The learned lengths start as those of the kernel: it starts as it was drawn.
        np.testing.assert_allclose(
            session.run(y), kernel.sum(axis=0, keepdims=True).repeat(2, axis=0), rtol=1e-3, atol=1e-4
        )


def test_partitions_are_one_tensor_of_a_checkpoint(tmp_path):
    with graph("float32") as session:
        x = tf.ones([1, 10])
        dense = layers.Dense(4, name="d", partitioner=layers.AxisSizePartitioner(4 * 4 * 4))
        out = dense(x)
        session.run(tf1.global_variables_initializer())
        before = session.run(out)
        tf1.train.Saver().save(session, str(tmp_path / "m"))
    assert dict(tf.train.list_variables(str(tmp_path / "m")))["d/kernel"] == [10, 4]
    with graph("float32", seed=8) as session:  # restored into another division
        dense = layers.Dense(4, name="d", partitioner=layers.AxisSizePartitioner(5 * 4 * 4))
        out = dense(tf.ones([1, 10]))
        tf1.train.Saver().restore(session, str(tmp_path / "m"))
        np.testing.assert_allclose(session.run(out), before, rtol=1e-6)


@pytest.mark.parametrize("shapes, kind, num_feature, expected", [
    ([(2, 3, 4)], "concat", None, [(2, 12)]), ([(2, 3, 4)], "stack", None, [(2, 3, 4)]), ([(2, 3, 4)], None, None, [(2, 4)] * 3),
    ([(2, 12)], "concat", 3, [(2, 12)]), ([(2, 12)], "stack", 3, [(2, 3, 4)]), ([(2, 12)], None, 3, [(2, 4)] * 3),
    ([(2, 12)], "concat", None, [(2, 12)]), ([(2, 12)], "stack", None, [(2, 12)]), ([(2, 12)], None, None, [(2, 12)]),
    ([(2, 4), (2, 4)], "concat", None, [(2, 8)]), ([(2, 4), (2, 4)], "stack", None, [(2, 2, 4)]),
    ([(2, 4), (2, 4)], None, None, [(2, 4)] * 2),
])  # fmt: skip
@pytest.mark.parametrize("keep_list", [False, True])
def test_tvd_merge(shapes, kind, num_feature, expected, keep_list):
    given = [tf.reshape(tf.range(float(np.prod(s))), s) for s in shapes]
    kept = list(given)
    found = layers.merge_tensor_list(given, kind, num_feature=num_feature, keep_list=keep_list)
    assert all(a is b for a, b in zip(given, kept)), "the caller's list is left alone"
    many = len(expected) > 1
    assert isinstance(found, list) == (many or keep_list)
    found = found if isinstance(found, list) else [found]
    assert [tuple(f.shape) for f in found] == expected
    flat = np.concatenate([np.reshape(f, [2, -1]) for f in found], axis=1)
    np.testing.assert_array_equal(flat, np.concatenate([np.reshape(g, [2, -1]) for g in given], axis=1))


def test_tvd_shape_errors():
    for tensor, kind in ((tf.zeros([2]), "concat"), (tf.zeros([2, 2, 2, 2]), "stack"), (tf.zeros([2, 5]), "sum")):
        with pytest.raises(ValueError, match="shape error|merge type"):
            layers.merge_tensor_list([tensor], kind, num_feature=1)
    with pytest.raises(ValueError, match="3 features"):
        layers.merge_tensor_list([tf.zeros([2, 5])], "stack", num_feature=3)


GROUPS = ([X((2, 3), 0), X((2, 3), 1)], [X((2, 3), 2), X((2, 3), 3)])


def test_tve_group_int():
    assert layers.FFM is layers.GroupInt
    multiply = [
        [0.6, 0, -0.8, 0.4, 0, -0.6, 0.48, 0.08, 0.8, 0.32, 0.12, 0.6],
        [-0.04, -0.8, 0, -0.08, -0.64, -0.08, 0, -1, 0, 0, -0.8, -0.04],
    ]
    close(evaluate(lambda *g: layers.GroupInt()(list(g)), *GROUPS), multiply)
    (kept,) = evaluate(lambda *g: layers.FFM(keep_list=True)(tuple(g)), *GROUPS)
    close(kept, multiply)
    close(
        evaluate(lambda *g: layers.GroupInt("dot")(list(g)), *GROUPS),
        [[-0.2, -0.2, 1.36, 1.04], [-0.84, -0.8, -1, -0.84]],
    )


def test_tve_group_int_attention():
    def attend(*groups):
        layer = layers.GroupInt(use_attention=True, attention_units=[2, 1], activation="relu")
        out = layer(list(groups))
        left, right = (tf.stack(side, axis=1) for side in groups)
        pairs = tf.reshape(left[:, :, None] * right[:, None], [2, 4, 3])
        return out, layer.attention(pairs), variable_names()[:1]

    with graph() as session:
        out, attention, names = attend(*tensors(GROUPS))
        assert names == ["group_int/groupint_attention_mlp/dense_0/kernel"]
        fill(session, 0)
        out, attention = session.run([out, attention])
    close(attention[..., 0], [[0.227155, 0.225367, 0.212487, 0.214097], [0.223578, 0.223578, 0.224472, 0.223935]])
    close(
        out[0],
        [0.136293, 0, -0.181724, 0.090147, 0, -0.13522, 0.101994, 0.016999, 0.169989, 0.068511, 0.025692, 0.128458],
    )


CUBE = X((2, 3, 2), 0)


@pytest.mark.parametrize("make, x, expected", [
    (lambda: layers.AllInt(2), CUBE, [[-.56, .16, .628, -.2, .584, -.208], [.144, -.216, .28, -.296, .416, -.376]]),
    (lambda: layers.CDot(2, [3]), CUBE,
     [[-0.284143, 0.126348, 0.247625, -0.077905, 0.154279, -0.004193, 0.284143, -0.126348, 0.182588, -0.242214],
      [0.060248, 0.064551, -0.03287, 0.137866, -0.125988, 0.211181, 0.283002, -0.129496, 0.182588, -0.237081]]),
    (lambda: layers.CIN([3, 2], activation="relu"), CUBE, [[0, 1.028, 0, -0.03016, 0.33048], [0, .464, 0, -0.12352, 0.76064]]),
    (lambda: layers.DCN(2, "vector"), X((2, 3)), [[-1.64, .5, 1.24], [-0.35312, 1.51248, -0.80624]]),
    (lambda: layers.DCN(2, "matrix"), X((2, 3)), [[-1.66, 0, .84], [-0.16544, 1.73184, -0.15552]]),
    (lambda: layers.DCN(1, "mixed", num_experts=2, low_rank=2), X((2, 3)), [[-0.627586, 0, 0.368473], [-0.119521, 0.956643, -0.159839]]),
    (lambda: layers.DCN(1, "matrix", allow_kernel_norm=True), X((2, 3)), [[-0.758791, 0, 1.349615], [-0.207236, 1.102126, -0.51322]]),
    (lambda: layers.DCN(1, "vector", use_dropout=True, mode="eval"), X((2, 3)), [[-1.8, .1, 1.3], [-.388, .852, -.676]]),
])  # fmt: skip
def test_tve_crosses(make, x, expected):
    close(evaluate(lambda x: make()(x), x), expected)


def test_dcn_variables():
    with graph():
        layers.DCN(2, "mixed", num_experts=2, low_rank=2)(tf.constant(X((2, 3))))
        cells = [f"{i}_{j}" for i in range(2) for j in range(2)]
        assert variable_names() == [f"dcn/{k}_{c}" for k in "UVCG" for c in cells] + ["dcn/bias_0", "dcn/bias_1"]
        layer = layers.DCN(1, allow_kernel_norm=True, name="normed")
        layer(tf.constant(X((2, 3))))
        names = ["kernel_0", "kernel_0/trainable_norm", "bias_0", "bias_0/trainable_norm"]
        assert (
            variable_names()[-4:]
            == [f"normed/{n}" for n in names]
            == [v.path for v in tf.nest.flatten(sorted_by(layer, names))]
        )


def sorted_by(layer, names):
    return sorted(layer.trainable_variables, key=lambda v: names.index(v.path.split("/", 1)[1]))


def test_dcn_dropout_in_training_alone():
    for arguments, training, dropped in (
        ({}, None, True),
        ({}, False, False),
        ({"mode": "eval"}, None, False),
        ({"mode": "eval"}, True, True),
    ):

        def call(x):
            return layers.DCN(1, "vector", use_dropout=True, keep_prob=0.5, **arguments)(x, training=training)

        out = evaluate(call, np.ones((20, 5)))
        assert ((out == 0).mean() > 0.3) == dropped


@pytest.mark.parametrize("is_seq, is_stacked, shape, expected", [
    (True, True, (2, 2, 3, 2), [[[2.84, 0], [.68, 0]], [[0, 1.36], [0, 1.08]]]),
    (False, True, (2, 3, 2), [[[.84, 0], [1, 0], [1, 0]], [[.016, 0], [0, 0], [0, .28]]]),
    (True, False, (2, 3, 2), [[2.84, 0], [.016, .28]]),
    (False, False, (2, 2), [[.84, 0], [0, .8]]),
])  # fmt: skip
def test_tve_can(is_seq, is_stacked, shape, expected):
    def call(user, item):
        return layers.CAN(2, "relu", is_seq=is_seq, is_stacked=is_stacked)((user, item))

    close(evaluate(call, X(shape, 2), X((2, 12), 4)), expected)


def test_tve_can_without_activation_and_a_batch_of_one():
    def call(user, item):
        return layers.CAN(2, None, is_stacked=False)((user, item))

    close(evaluate(call, X((2, 2), 2), X((2, 12), 4)), [[1.352, -0.328], [-0.224, 0.32]])
    close(evaluate(call, X((2, 2), 2)[:1], X((2, 12), 4)[:1]), [[1.352, -0.328]])
