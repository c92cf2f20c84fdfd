"""TV-O of the specification's layers: initializer, search for widths, teacher's embeddings; against NumPy where it gives no numbers."""

import math

import keras
import numpy as np
import pytest
from layer_graph import X, close, evaluate, fill, graph, tf, tf1

from monolith_cli import layers

WIDTHS = [[4, 8], [2, 6]]
WEIGHTS = np.array([0.1, -0.2, 0.3, 0.5])


def softmax(w):
    return np.exp(w) / np.exp(w).sum()


@pytest.mark.parametrize("arguments, shape, expected", [
    ((1, "fan_avg", "uniform", 1), (2, 3), [[-0.181796, 0.482707, -1.095195], [-0.433068, -0.773919, -0.893141]]),
    ((1, "FAN_OUT", "untruncated_normal", 3), (2, 2), [[1.264751, 0.308659], [0.068234, -1.317688]]),
])  # fmt: skip
def test_tvo_variance_scaling(arguments, shape, expected):
    initializer = layers.VarianceScaling(*arguments)
    found = initializer(shape)
    close(found, expected)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32 and (initializer(shape) == found).all()
    again = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    assert (again(shape) == found).all() and again(shape, "float64").dtype == np.float64


def test_variance_scaling_without_a_seed_draws_anew_and_leaves_numpys_numbers_alone():
    np.random.seed(5)
    expected = np.random.RandomState(5).uniform(size=3)
    first, second = (layers.VarianceScaling()((2, 2)) for _ in range(2))
    layers.VarianceScaling(seed=1)((2, 2))
    assert (first != second).all() and (np.random.uniform(size=3) == expected).all()


@pytest.mark.parametrize("mode, data_format, shape, n", [
    ("fan_in", "channels_last", (30, 50), 30), ("fan_out", "channels_last", (30, 50), 50), ("fan_avg", "channels_last", (30, 50), 40),
    ("fan_in", "channels_last", (3, 5, 7, 11), 3 * 5 * 7), ("fan_out", "channels_last", (3, 5, 7, 11), 3 * 5 * 11),
    ("fan_in", "channels_first", (11, 7, 3, 5), 7 * 15), ("fan_out", "channels_first", (11, 7, 3, 5), 11 * 15),
    ("fan_in", "channels_last", (4, 5, 6), 20), ("fan_in", "channels_last", (900,), 30), ("fan_in", "channels_last", (2, 2, 2, 2, 2, 2), 8),
    ("fan_in", "channels_last", (0, 4), 1),
])  # fmt: skip
def test_fans(mode, data_format, shape, n):
    made = layers.VarianceScaling(2.0, mode, "untruncated_normal", 7, data_format)(shape)
    close(made, np.random.RandomState(7).normal(0.0, math.sqrt(2.0 / n), shape))
    made = layers.VarianceScaling(2.0, mode, "uniform", 7, data_format)(shape)
    limit = math.sqrt(3 * 2.0 / n)
    close(made, np.random.RandomState(7).uniform(-limit, limit, shape))


def test_a_cut_normal_has_the_variance_asked_for():
    found = layers.VarianceScaling(4.0, seed=2)((100, 2000)).astype(np.float64)
    deviation = math.sqrt(4.0 / 100)
    assert abs(found.std() / deviation - 1) < 0.01 and abs(found.mean()) < 0.01 * deviation
    assert 1.9 < np.abs(found).max() / (deviation / 0.87962566103423978) <= 2


def test_variance_scaling_refuses_what_it_does_not_know():
    for wrong in ((0,), (-1,), (1, "fan"), (1, "fan_in", "normal"), (1, "fan_in", "uniform", None, "rows")):
        with pytest.raises(ValueError):
            layers.VarianceScaling(*wrong)


def test_variance_scaling_initialises_a_layer():
    with graph("float32") as session:
        layers.Dense(3, kernel_initializer=layers.VarianceScaling(1, "fan_avg", "uniform", 1))(tf.ones([1, 2]))
        session.run(tf1.global_variables_initializer())
        close(session.run(tf1.trainable_variables()[0]), layers.VarianceScaling(1, "fan_avg", "uniform", 1)((2, 3)))


def mixed(step, widths=None, weights=WEIGHTS, warmup_steps=0, pretraining_steps=0, draws=1, seed=3):
    """(outputs of several draws, summaries) of a layer over ones in [1, all widths], at a global step."""
    widths = WIDTHS if widths is None else widths
    with graph(seed=seed) as session:
        counter = tf1.train.get_or_create_global_step()
        layer = layers.MixedEmbedOpComb([f"s{i}" for i in range(len(widths))], widths, warmup_steps, pretraining_steps)
        out = layer(tf.ones([1, sum(map(sum, widths))], tf.float64))
        fill(session, [weights], tf1.trainable_variables())
        session.run(counter.assign(step))
        told = layer.get_summaries()
        return [session.run(out)[0] for _ in range(draws)], session.run(told["arch_entropy"]), session.run(
            told["expected_emb_dims"]), [(n, session.run(p)) for n, p in told["arch_weights_after_softmax_list"]]  # fmt: skip


def test_tvo_mixed_embeddings():
    _, entropy, width, listed = mixed(5)
    close(entropy, 0.682022 + 0.688172)
    close(width, 5.702230 + 4.199336)
    names = [f"arch_embedding_weights_after_softmax/{n}" for n in ("s0_4", "s0_8", "s1_2", "s1_6")]
    assert [n for n, _ in listed] == names
    close([p for _, p in listed], [0.574443, 0.425557, 0.450166, 0.549834])


def test_one_width_of_each_slot_is_kept():
    outputs, *_ = mixed(5, draws=40)
    seen = set()
    for out in outputs:
        slots = np.split(out, [12])
        chosen = tuple(int(slot[0] == 0) for slot in slots)
        expected = [np.repeat(np.eye(2)[c], w) for c, w in zip(chosen, WIDTHS)]
        close(out, np.concatenate(expected))
        seen.add(chosen)
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_widths_are_drawn_evenly_before_and_by_their_weights_after_pretraining():
    sure = np.array([0.0, 9.0, 0.0])  # softmax: 0.9998 for the second of three
    counted = []
    for step in (9, 10):
        outputs, *_ = mixed(step, [[1, 2, 3]], sure, pretraining_steps=10, draws=150)
        counted.append(np.bincount([int(np.argmax([o[0], o[1], o[3]])) for o in outputs], minlength=3))
    assert (abs(counted[0] - 50) < 5 * math.sqrt(150 * 2 / 9)).all() and counted[1].tolist() == [0, 150, 0]


@pytest.mark.parametrize("step, factor", [(6, 0.0), (7, 0.0), (8, 1.0), (100, 1.0)])
def test_no_embedding_counts_after_the_warm_up_alone(step, factor):
    """Global steps are whole numbers, so that the factor clip(step - warmup, 0, 1) is 0 or 1."""
    weights = np.array([3.0, 0.0])
    outputs, entropy, width, listed = mixed(step, [[0, 2]], weights, warmup_steps=7, draws=30)
    p = softmax(weights)
    close([v for _, v in listed], [p[0] * factor, p[1]])
    close([entropy, width], [-(p * np.log(p)).sum(), 2 * p[1]])
    kept = [o.tolist() for o in outputs]
    assert ([0, 0] in kept) == bool(factor) and all(o in ([0, 0], [1, 1]) for o in kept)


def test_the_weights_of_choices_are_trained_through_the_mask():
    with graph() as session:
        layer = layers.MixedEmbedOpComb(["a"], [[2, 3]], 0, 0)
        x = tf.constant(X([2, 5]))
        out = layer(x)
        fill(session, [[0.2, -0.1]], tf1.trainable_variables())
        found, gradient = session.run([out, tf1.gradients(out, tf1.trainable_variables())[0]])
        c = int(found[0][0] == 0)
        p = softmax(np.array([0.2, -0.1]))
        close(gradient, X([2, 5]).sum(0)[[slice(0, 2), slice(2, 5)][c]].sum() * (p[c] * (np.eye(2)[c] - p)))


def test_mixed_config_has_all_it_needs():
    layer = layers.MixedEmbedOpComb(["a"], [[2, 3]], 4, 5, name="m")
    config = layer.get_config()
    assert {k: config[k] for k in ("slot_names", "embedding_size_choices_list", "warmup_steps", "pretraining_steps")} == {
        "slot_names": ["a"], "embedding_size_choices_list": [[2, 3]], "warmup_steps": 4, "pretraining_steps": 5}  # fmt: skip
    assert layers.MixedEmbedOpComb.from_config(config).get_config() == config
    with graph(), pytest.raises(layers.LayerError, match=r"the input must be \[batch, 5\]"):
        layer(tf.ones([1, 4], tf.float64))
    with graph(), pytest.raises(layers.LayerError, match="2 slots and 1 lists"):
        layers.MixedEmbedOpComb(["a", "b"], [[2, 3]], 4, 5)


def test_tvo_teacher_embeddings():
    m, t = [2, 1, 3], [1, 3, 2]
    weight, bias = X([2 + 3 + 6, 1], 2), X([6], 4)
    found = evaluate(lambda x: layers.TeacherEmbeddingTransform(m, t)(x), X([4, 6]), vars=[weight, bias])
    blocks = [weight[:2].reshape(1, 2), weight[2:5].reshape(3, 1), weight[5:].reshape(2, 3)]
    whole = np.zeros([6, 6])
    whole[:1, :2], whole[1:4, 2:3], whole[4:, 3:] = blocks
    close(found, X([4, 6]) @ whole + bias)
    with graph() as session:
        layer = layers.TeacherEmbeddingTransform([20], [50])
        layer(tf.ones([1, 50], tf.float64))
        session.run(tf1.global_variables_initializer())
        drawn, zeros = session.run(tf1.trainable_variables())
        assert drawn.shape == (1000, 1) and 0.11 < drawn.std() < 0.15 and abs(drawn).max() <= 0.3 and not zeros.any()
        with pytest.raises(layers.LayerError, match=r"the input must be \[batch, 3\]"):
            layers.TeacherEmbeddingTransform([2], [3])(tf.ones([1, 4], tf.float64))
