"""The vectors TV-F, G, H of the specification's layers: sequences, transformations, towers and tasks."""

import numpy as np
import pytest
from layer_graph import W, X, close, evaluate, fill, graph, tensors, tf, tf1, variable_names

from monolith_cli import layers
from monolith_cli.layers.agru import dynamic_rnn_with_attention, static_rnn_with_attention


@pytest.mark.parametrize("att_type, expected", [
    ("AGRU", [[-0.997624, 0.230902], [-0.510582, 0.225644]]),
    ("augru", [[-0.580204, 0.183815], [-0.352335, 0.312057]]),
])  # fmt: skip
def test_tvf_agru_cell(att_type, expected):
    def call(x, h, a):
        output, state = layers.AGRUCell(2, att_type)((x, h, a))
        assert variable_names() == [f"agru_cell/{n}/{v}" for n in ("gates", "candidate") for v in ("kernel", "bias")]
        return output, state

    output, state = evaluate(call, X((2, 3), 0), X((2, 2), 1), X((2, 1), 3))
    close(output, expected)
    close(state, expected)


def test_tvf_agru_cell_without_attention_is_a_gru():
    x, h = X((2, 3), 0), X((2, 2), 1)
    found = evaluate(lambda x, h: layers.AGRUCell(2)((x, h, None))[0], x, h)
    gates = 1 / (1 + np.exp(-(np.concatenate([x, h], 1) @ W((5, 4), 0) + W((4,), 1))))
    r, z = gates[:, :2], gates[:, 2:]
    c = np.tanh(np.concatenate([x, r * h], 1) @ W((5, 2), 2) + W((2,), 3))
    close(found, (1 - z) * h + z * c)


@pytest.mark.parametrize("run", [static_rnn_with_attention, dynamic_rnn_with_attention])
@pytest.mark.parametrize("known", [True, False])
def test_tvf_rnn(run, known):
    def call(x, a):
        if not known and run is dynamic_rnn_with_attention:
            x, a = tf1.placeholder_with_default(x, [None, None, 2]), tf1.placeholder_with_default(a, [None, None])
        outputs, state = run(layers.AGRUCell(2), x, a)
        assert outputs.shape[-1] == 2 and outputs.shape[1] in (3, None)
        return outputs, state

    outputs, state = evaluate(call, X((2, 3, 2), 0), abs(X((2, 3), 2)))
    close(outputs, [[[0.059801, 0.059801], [0.013164, 0.21334], [0.029695, 0.352251]],
                    [[0.011986, 0.069043], [0.129652, 0.287725], [0.129652, 0.287725]]])  # fmt: skip
    close(state, outputs[:, -1])


@pytest.mark.parametrize("make, mask, s, expected", [
    (lambda: layers.DIN([2, 1]), None, 2, [[-0.142598, 0.118648], [-0.232077, 0.461453]]),
    (lambda: layers.DIN([2, 1], activation="sigmoid", mode="seq", decay=True), None, 0,
     [[[-0.181487, 0], [0.177973, -0.035595], [0.142955, -0.071477]],
      [[0.107464, -0.107464], [0.071935, -0.143869], [0.036113, -0.180565]]]),
    (lambda: layers.DIN([2, 1], activation="relu"), [[1, 0, 2], [.5, 1, 0]], 0, [[-0.058121, -0.084341], [0.086942, -0.173883]]),
])  # fmt: skip
def test_tvf_din(make, mask, s, expected):
    def call(q, k):
        return make()((q, k), mask=None if mask is None else tf.constant(mask, tf.float64))

    close(evaluate(call, X((2, 2), 1), X((2, 3, 2), 0), vars=s), expected)


def test_tvf_din_writes_the_masked_weights():
    with graph() as session:
        layers.DIN([2, 1], name="din")(tensors((X((2, 2)), X((2, 3, 2)))), mask=tf.ones([2, 3]))
        session.run(tf1.global_variables_initializer())
        (text,) = session.run(tf1.get_collection(tf1.GraphKeys.SUMMARIES))
        (value,) = tf1.Summary.FromString(text).value
        assert value.tag.endswith("din_attention_outputs") and value.histo.num == 6


@pytest.mark.parametrize("activation, s, expected", [
    ("relu", 2, [[0, 0.136684], [0, 0.135938]]), ("tanh", 1, [[-0.095191, 0.061692], [-0.058365, 0.051546]]),
])  # fmt: skip
@pytest.mark.parametrize("form", ["pair", "with a mask", "keyword", "unknown length"])
def test_tvf_dien(activation, s, expected, form):
    def call(q, k):
        layer = layers.DIEN(2, activation=activation)
        if form == "keyword":
            out = layer(q, keys=k)
        elif form == "unknown length":
            out = layer((q, tf1.placeholder_with_default(k, [None, None, 2])))
        else:
            out = layer((q, k, tf.ones([2, 3])) if form == "with a mask" else (q, k))
        assert variable_names() == [
            "dien/attention_weight",
            *(f"dien/gru_cell/{n}" for n in ("kernel", "recurrent_kernel", "bias")),
            *(f"dien/augru_cell/{n}/{v}" for n in ("gates", "candidate") for v in ("kernel", "bias")),
        ]
        return out, layer.attention(q, k)[1]

    out, scores = evaluate(call, X((2, 2), 1), X((2, 3, 2), 0), vars=s)
    close(out, expected)
    if activation == "relu":
        close(scores, [[0.326556, 0.334239, 0.339205], [0.326091, 0.334402, 0.339507]])


def test_dien_gru_is_keras_gru():
    """The GRU that DIEN unrolls is keras.layers.GRU of the same weights."""
    with graph() as session:
        layer = layers.DIEN(2, activation="tanh")
        keys = tf.constant(X((2, 3, 2), 4))
        layer((tf.constant(X((2, 2))), keys))
        states, _ = layer.attention(tf.constant(X((2, 2))), keys)
        peer = layers.GRU(2, return_sequences=True)
        theirs = peer(keys)
        fill(session, 1)
        for mine, other in zip(layer.gru_cell.weights, peer.weights):
            session.run(other.value.assign(mine.value))
        mine, theirs = session.run([states, theirs])
    np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_tvf_dmr():
    def call(items, seq):
        layer = layers.DMR_U2I(2, activation="relu")
        return layer((items, seq)), layer.attention(seq)

    out, alpha = evaluate(call, X((2, 3), 1), X((2, 3, 2), 0))
    close(alpha[..., 0], [[0.337329, 0.335311, 0.32736], [0.357273, 0.32522, 0.317507]])
    close(out, [[-0.133268, 0, -0.060399], [0, 0, 0]])


def test_dmr_default_activation_is_prelu_with_its_own_variable():
    with graph():
        layers.DMR_U2I(2)(tensors((X((2, 3), 1), X((2, 3, 2)))))
        assert variable_names() == ["dmr__u2i/" + n for n in (
            "pos_emb", "emb_weight", "z_weight", "bias", "dense/kernel", "dense/bias", "dense/p_re_lu/alpha")]  # fmt: skip
        assert tf1.global_variables()[-1].shape == [3]


CUBE = X((2, 3, 2), 0)


def test_tvg_auto_int():
    close(evaluate(lambda x: layers.AutoInt()(x), CUBE),
          [[-0.56313, -0.071647, 0.782821, -0.272861, 0.735779, -0.26985], [.4, -.8, 0.389345, -0.810655, 0.378757, -0.821243]])  # fmt: skip
    close(
        evaluate(lambda x: layers.AutoInt(2)(x), CUBE)[0],
        [0.085651, -0.169637, 0.569345, -0.242636, 0.558851, -0.241054],
    )
    assert [t.shape for t in evaluate(lambda x: layers.AutoInt(out_type=None)(x), CUBE)] == [(2, 2)] * 3


@pytest.mark.parametrize("weight", [[1, 2, 3], np.array([1.0, 2, 3])])
def test_tvg_irazor(weight):
    def call(x):
        layer = layers.iRazor([0, 1, 3, 4], t=0.5, feature_weight=weight, name="razor")
        return layer(x), layer.probabilities(), layers.get_layer_loss()["razor"]

    out, p, loss = evaluate(call, X((2, 3, 4), 0))
    close(
        p,
        [
            [0.130992, 0.238683, 0.434908, 0.195417],
            [0.379371, 0.170463, 0.310603, 0.139563],
            [0.19483, 0.355004, 0.159513, 0.290653],
        ],
    )
    close(
        out[0],
        [
            -0.238683,
            0,
            0.434908,
            -0.039083,
            0.13637,
            -0.124241,
            0.186362,
            -0.083738,
            0.142002,
            -0.127611,
            0.031903,
            -0.290652,
        ],
    )
    close(loss, 6.060430)


def test_tvg_senet():
    def call(x):
        layer = layers.SeNet(3, 2)
        return layer(x), layer.gates(x)

    out, w = evaluate(call, CUBE)
    close(w, [[0.553895, 0.456939, 0.524979], [0.555884, 0.460265, 0.524979]])
    close(out[0], [-0.553895, 0, 0.456939, -0.091388, 0.419983, -0.209992])
    listed = evaluate(lambda *x: layers.SeNet(3, 2, on_gpu=True)(list(x)), X((2, 2), 0), X((2, 3), 1), X((2, 1), 2))
    close(
        listed,
        [
            [-0.556693, 0, -0.369297, 0.092324, -0.461621, -0.314988],
            [0.553601, -0.11072, 0, 0.456447, -0.091289, 0.209992],
        ],
    )
    close(
        evaluate(lambda x: layers.SeNet(3, None)(x), CUBE),
        [[0.5, 0, 0.4, -0.08, 0.16, -0.08], [0, 0, -0.08, 0.16, -0.08, 0.4]],
    )


def test_tvh_lhuc():
    with graph() as session:
        x = tf.constant(X((2, 3), 0))
        out = layers.LHUCTower([3, 2])(x)
        assert variable_names() == [
            f"lhuc_tower/layer_{i}/{part}/{v}" for i in (1, 2) for part in (f"layer_{i}/dense", "lhuc/dense_0")
            for v in ("kernel", "trainable_kernel_norm", "bias")]  # fmt: skip
        fill(session, 0)
        close(session.run(out), [[-0.234529, 0.072325], [-0.256344, 0.087745]])


def test_tvh_lhuc_with_its_own_gates():
    def call(*x):
        return layers.LHUCTower([3, 2], lhuc_output_dims=[[2, 3], [2]], activations="tanh")(x)

    close(evaluate(call, X((2, 3), 0), X((2, 2), 1)), [[0.076081, -0.356033], [0.072325, -0.269229]])
    with pytest.raises(AssertionError, match=r"\[\[2, 4\], \[2\]\]"):
        layers.LHUCTower([3, 2], lhuc_output_dims=[[2, 4], [2]])


LOGITS, RATES = np.array([-2, 0, 0.5, 3]), np.array([1, 0.5, 0.1, 0.01])


@pytest.mark.parametrize("bias, rates, expected", [
    (False, RATES, [-2, 0.693147, 2.802585, 7.60517]), (True, RATES, [-2.126928, 0, 1.828508, 4.556583]),
    (True, None, [-2.126928, -0.693147, -0.474077, -0.048587]), (False, None, LOGITS),
])  # fmt: skip
def test_tvh_logit_correction(bias, rates, expected):
    def call(logits):
        rate = None if rates is None else tf.constant(rates)
        layer = layers.LogitCorrection(sample_bias=bias)
        return layer((logits, rate)), layer.get_sample_logits(logits, rate, bias)

    for found in evaluate(call, LOGITS):
        close(found, expected)


def test_tvh_logit_correction_at_the_edges():
    found = evaluate(lambda l, r: layers.LogitCorrection(sample_bias=True)((l, r)), [-1000.0, 1000.0], [1.0, 0.0])
    assert found[0] == -1000 and np.isposinf(found[1])


def test_tvh_binary_loss():
    from monolith_cli.model import heads

    logits, labels, rates = (np.array(a, np.float32) for a in ([-1, 0, 2], [0, 1, 1], [0.1, 1, 0.5]))
    for arguments, expected in (
        ({}, 2.301664),
        ({"logit_clip_threshold": 0.1}, 2.341548),
        ({"sample_bias": True}, 2.853669),
    ):
        loss, pred = evaluate(
            lambda l, y, r: heads.sigmoid_loss_and_pred("h", l, y, sample_rate=r, **arguments), logits, labels, rates
        )
        close(loss, expected)
        close(pred, [0.268941, 0.5, 0.880797])


@pytest.mark.parametrize("kind, top_k, first, second, loss", [
    ("softmax", 1, [[0.066393, 0.165999], [0.089877, 0.222665]], [[0.046182, 0.173836], [0.085219, 0.22549]], None),
    ("topk", 1, [[0.051168, 0.328284], [-0.055432, 0.328284]], [[0.051168, 0.328284], [0.053505, 0.244721]], [2, .5]),
    ("topk", 2, [[-0.038567, 0.29653], [0.104121, 0.214028]], [[-0.05321, 0.291348], [-0.000419, 0.286085]], [0.272320, 0.5]),
])  # fmt: skip
def test_tvh_mmoe(kind, top_k, first, second, loss):
    def call(*x):
        layer = layers.MMoE(2, [2], "relu", gate_type=kind, top_k=top_k, num_experts=3)
        out = layer(x)
        gates = tf.nn.softmax(tf.reshape(tf.matmul(x[1], layer.gate_weight), [-1, 2, 3]))
        return out, gates, layer.losses

    out, gates, losses = evaluate(call, X((2, 3), 2), X((2, 2), 3))
    close(gates[0], [[0.410089, 0.286109, 0.303801], [0.37343, 0.260534, 0.366036]])
    close(out[0], first)
    close(out[1], second)
    assert len(losses) == (loss is not None)
    if loss:
        close(losses[0], loss)


def test_tvh_snr():
    inputs = X((2, 2), 0), X((2, 2), 3)

    def call(*x):
        layer = layers.SNR(3, 2, mode="infer")
        return layer(list(x)), layer.gates(), layer.losses

    (a, b, c), z, losses = evaluate(call, *inputs)
    close(z[:, 0], [0.410669, 0.5, 0.589331, 0.470025, 0.559801, 0.440199])
    close(a, [[0.044532, -0.050467], [-0.066894, 0.003465]])
    close(b, [[0.01794, 0.016412], [0.29794, -0.052392]])
    close(c, [[-0.067737, 0.132779], [0.023717, -0.212159]])
    close(losses[0], 4.579420)
    a, b = evaluate(lambda *x: layers.SNR(2, 2, "aver", mode="infer")(list(x)), *inputs)
    close(a, [[-0.646401, 0.353599], [0.05707, 0.153599]])
    close(b, [[-0.68801, 0.282015], [0.217985, 0.08801]])
