"""The vectors TV-K of the specification's losses, gradients against finite differences, and an independent model of the ranking losses."""

import math

import numpy as np
import pytest
from layer_graph import X, check_gradients, close, evaluate, graph, tf, tf1

from monolith_cli import losses
from monolith_cli.losses import Reduction
from monolith_cli.losses.ranking import sort_key

LABELS = np.array([[1.0, 0, 2, -1], [0, 1, 0, 0]])
LOGITS = np.array([[0.3, 0.8, -0.2, 0.5], [1, -0.5, 0.2, 0.1]])
ITEMS = np.array([[1, 2, 0.5, 1], [1, 1, 3, 1]])
LISTS = np.array([[2], [0.5]])
SORTED = np.array([[2.0, -1, 0, 1]])


@pytest.mark.parametrize("arguments, interval, r, expected", [
    ({}, [0, 2, 4], [1, .5, 2], 4.287619), ({"normalize": False}, [0, 2, 4], [1, .5, 2], 4.051498),
    ({"temperature": .1}, [0, 2, 4], [1, .5, 2], 13.101985), ({"normalize": False}, [1, 1, 1], [1, 1, 1], 3.599773),
])  # fmt: skip
def test_tvk_batch_softmax(arguments, interval, r, expected):
    def loss(q, i):
        return losses.batch_softmax_loss(q, i, tf.constant(interval), tf.constant(r, tf.float64), **arguments)

    close(evaluate(loss, X((3, 2), 0), X((3, 2), 4)), expected)
    check_gradients(loss, X((3, 2), 0) + 0.05, X((3, 2), 4))


def test_tvk_batch_softmax_of_record():
    rng = np.random.RandomState(87654321)
    query, item = rng.random_sample([4, 3]), rng.random_sample([4, 3])
    interval = rng.randint(1, high=10, size=4)
    assert interval.tolist() == [9, 9, 1, 7]
    close(evaluate(lambda q, i: losses.batch_softmax_loss(q, i, interval, np.ones(4)), query, item), 6.5931373)


def test_batch_softmax_mistakes_and_large_scores():
    for temperature in (0, -1):
        with pytest.raises(ValueError, match="temperature must be above 0"):
            losses.batch_softmax_loss(tf.zeros([2, 2]), tf.zeros([2, 2]), [1, 1], [1, 1], temperature=temperature)
    with pytest.raises(losses.LossError, match=r"\(2, 3\).*\(2, 2\)"):
        losses.batch_softmax_loss(tf.zeros([2, 3]), tf.zeros([2, 2]), [1, 1], [1, 1])
    far = losses.batch_softmax_loss(
        tf.constant([[900.0], [1]]), tf.constant([[1.0], [1]]), [1, 1], [1.0, 1], normalize=False
    )
    np.testing.assert_allclose(far, 2 * math.log(2), rtol=1e-4)


def test_tvk_inbatch_auc():
    def both(label, logit, weight=1.0):
        loss = losses.inbatch_auc_loss(label, logit, weight)
        return [loss, *tf1.gradients(loss, [logit, label])[:1], tf1.gradients(loss, label) == [None]]

    label, logit = np.array([1.0, 0, 0, 1]), np.array([0.5, -0.2, -0.4, 0.8])
    with graph() as session:
        loss, grad, no_label_gradient = both(tf.constant(label), tf.constant(logit))
        half = both(tf.constant(label), tf.constant(logit), 0.5)[1]
        far = both(tf.constant([1.0, -20000, 0, 2]), tf.constant([-100.0, 5, 0, 100]))[:2]
        nan = both(tf.constant([1.0, math.nan, 0, 2]), tf.constant([-100.0, 5, 0, 100]))[:2]
        none = both(tf.constant([1.0, 1]), tf.constant([1.0, 2]))[:2]
        assert no_label_gradient
        close(session.run(loss), -1.320884)
        close(session.run(grad), [0.620863, -0.600754, -0.520526, 0.500417])
        close(session.run(half), [0.620863, -0.300377, -0.260263, 0.500417])
        for found in (far, nan):
            value, grad = session.run(found)
            close(value, -100)
            close(grad, [1, 0, -1, 0])
        value, grad = session.run(none)
        assert value == 0 and (grad == 0).all()
    assert check_gradients(lambda s: losses.inbatch_auc_loss(label, s), logit) == 4
    for weight in (0, -0.5, 1.5):
        with pytest.raises(losses.LossError, match="neg_weight"):
            losses.inbatch_auc_loss(label, logit, weight)
    with pytest.raises(losses.LossError, match=r"\(4,\) labels.*\(3,\)"):
        losses.inbatch_auc_loss(label, logit[:3])


def test_tvk_helpers():
    def found(labels, logits):
        return [
            losses.sort_by_scores(logits, [labels])[0], losses.approx_ranks(logits), losses.inverse_max_dcg(tf.nn.relu(labels)),
            losses.inverse_max_dcg(tf.nn.relu(labels), topn=1), losses.sort_by_scores(logits, [labels], topn=2)[0],
        ]  # fmt: skip

    sorted_labels, ranks, inverse, first, two = evaluate(found, LABELS, LOGITS)
    close(sorted_labels, [[0, -1, 1, 2], [0, 0, 0, 1]])
    close(two, [[0, -1], [0, 0]])
    close(ranks, [[2.880797, 1.054164, 3.992351, 2.072688], [1.000459, 3.996616, 2.269517, 2.733408]])
    close(inverse, [[0.190901], [0.693147]])
    close(first, [[0.231049], [0.693147]])


def pairs(weight):
    matrix = evaluate(weight.pair_weights, SORTED)[0]
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert (matrix[1] == 0).all()
    return [matrix[0, 2], matrix[0, 3], matrix[2, 3]]


def test_tvk_lambda_weights():
    close(pairs(losses.create_ndcg_lambda_weight()), [0.108179, 0.038185, 0.101646])
    close(pairs(losses.create_ndcg_lambda_weight(smooth_fraction=0.25)), [0.184413, 0.107038, 0.081008])
    close(pairs(losses.create_ndcg_lambda_weight(topn=2)), [0.108179, 0.072119, 0])
    close(pairs(losses.create_reciprocal_rank_lambda_weight()), [0.133333, 0.033333, 0.2])
    close(evaluate(losses.create_ndcg_lambda_weight().individual_weights, SORTED), [[0.826235, 0, 0, 0.118613]])
    close(evaluate(losses.create_p_list_mle_lambda_weight(4).individual_weights, SORTED), [[7, 3, 1, 0]])
    close(pairs(losses.PrecisionLambdaWeight(2)), [1, 0, 0])
    with pytest.raises(AssertionError, match="smooth_fraction"):
        losses.DCGLambdaWeight(smooth_fraction=1.5)
    with pytest.raises(NotImplementedError, match="ListMLELambdaWeight has no weights of pairs"):
        losses.ListMLELambdaWeight(lambda r: r).pair_weights(SORTED)


WEIGHTS = {"none": None, "ndcg": losses.create_ndcg_lambda_weight(), "ndcg .25": losses.create_ndcg_lambda_weight(smooth_fraction=.25),
           "ndcg top2": losses.create_ndcg_lambda_weight(topn=2), "rr": losses.create_reciprocal_rank_lambda_weight(),
           "prec2": losses.PrecisionLambdaWeight(2), "identity": losses.IdentityLambdaWeight()}  # fmt: skip


@pytest.mark.parametrize("fn, expected", [
    (losses.pairwise_hinge_loss, [2.133333, 1.106778, 1.323674, 1.302807, 1.438889, 8.266667, 7.2]),
    (losses.pairwise_logistic_loss, [1.402794, 0.722930, 0.871078, 0.855216, 0.939417, 5.490482, 4.735669]),
    (losses.pairwise_soft_zero_one_loss, [0.806409, 0.434235, 0.501377, 0.498040, 0.565855, 2.955761, 2.738264]),
])  # fmt: skip
def test_tvk_pairwise(fn, expected):
    close(evaluate(lambda l, s: [fn(l, s, lambda_weight=w) for w in WEIGHTS.values()], LABELS, LOGITS), expected)
    for weight in WEIGHTS.values():
        check_gradients(lambda s: fn(LABELS, s, weights=ITEMS, lambda_weight=weight), LOGITS)


TABLE = [
    (lambda l, s: losses.pairwise_logistic_loss(l, s, weights=ITEMS), 1.102744),
    (lambda l, s: losses.pairwise_logistic_loss(l, s, weights=LISTS), 1.845067),
    (lambda l, s: losses.pairwise_logistic_loss(l, s, weights=2.0), 2.805589),
    (lambda l, s: losses.pairwise_logistic_loss(l, s, reduction=Reduction.SUM), 8.416765),
    (lambda l, s: losses.pairwise_logistic_loss(l, s, reduction=Reduction.MEAN), 1.202395),
    (lambda l, s: losses.pairwise_logistic_loss(l, s, reduction=Reduction.SUM_OVER_BATCH_SIZE), 0.263024),
    (lambda l, s: losses.pairwise_logistic_loss(l, s, lambda_weight=WEIGHTS["ndcg"], lambda_scale=False), 0.180732),
    (lambda l, s: losses.softmax_loss(l, s), 3.386355),
    (lambda l, s: losses.softmax_loss(l, s, lambda_weight=WEIGHTS["ndcg"]), 0.930233),
    (lambda l, s: losses.softmax_loss(l, s, lambda_weight=WEIGHTS["rr"]), 0.621051),
    (lambda l, s: losses.softmax_loss(l, s, weights=ITEMS), 2.546220),
    (lambda l, s: losses.softmax_loss(l, s, weights=ITEMS, lambda_weight=WEIGHTS["ndcg"]), 0.756696),
    (lambda l, s: losses.softmax_loss(l, s, weights=ITEMS, lambda_weight=WEIGHTS["rr"]), 0.509033),
    (lambda l, s: losses.sigmoid_cross_entropy_loss(l, s), 0.936210),
    (lambda l, s: losses.sigmoid_cross_entropy_loss(l, s, weights=ITEMS), 1.260254),
    (lambda l, s: losses.mean_squared_loss(l, s), 1.324286),
    (lambda l, s: losses.mean_squared_loss(l, s, weights=ITEMS), 1.081429),
    (lambda l, s: losses.approx_ndcg_loss(l, s), -1.018244),
    (lambda l, s: losses.approx_ndcg_loss(l, s, weights=LISTS), -1.390200),
    (lambda l, s: losses.approx_ndcg_loss(l, s, reduction=Reduction.SUM_BY_NONZERO_WEIGHTS), -0.509122),
    (lambda l, s: losses.approx_ndcg_loss(l, s, alpha=1.0), -1.135675),
    (lambda l, s: losses.make_loss_fn(["softmax_loss", "mean_squared_loss"])(l, s, {}), 4.710641),
    (lambda l, s: losses.make_loss_fn(["softmax_loss", "mean_squared_loss"], [0.5, 2])(l, s, {}), 4.341749),
]


def test_tvk_table():
    found = evaluate(lambda l, s: [fn(l, s) for fn, _ in TABLE], LABELS, LOGITS)
    close(found, [expected for _, expected in TABLE])


def test_gradients_of_the_table():
    assert check_gradients(lambda s: [fn(LABELS, s) for fn, _ in TABLE], LOGITS) == LOGITS.size


MLE_LABELS = np.array([[1.0, 0, 2, -1], [0.5, 3, 1, 0.2]])


def test_tvk_list_mle():
    weight = losses.create_p_list_mle_lambda_weight(4)
    cases = [({}, 3.322884), ({"lambda_weight": weight}, 17.451843), ({"weights": LISTS}, 3.652201)]
    close(
        evaluate(lambda l, s: [losses.list_mle_loss(l, s, seed=1, **a) for a, _ in cases], MLE_LABELS, LOGITS),
        [e for _, e in cases],
    )
    close(evaluate(lambda s: losses.list_mle_loss(np.array([[3.0, 0, 2, 1]]), s), LOGITS[:1]), 4.099302)
    check_gradients(lambda s: losses.list_mle_loss(MLE_LABELS, s, lambda_weight=weight), LOGITS)
    with pytest.raises(losses.LossError, match="list_mle_loss: weights"):
        losses.list_mle_loss(MLE_LABELS, LOGITS, weights=ITEMS)


def test_tvk_batch_lists():
    logits, labels, mask, first = evaluate(
        lambda s, l: losses.get_batch_idx_size(s, l, tf.constant([7, 8, 7, 9, 7]), "p_"), [.1, .2, .3, .4, .5], [1., 0, 1, 0, 1])  # fmt: skip
    close(logits, [[0.1, 0.3, 0.5], [0.2, 0, 0], [0.4, 0, 0]])
    close(labels, [[0.999999] * 3, [-1e-6] * 3, [-1e-6] * 3])
    assert first.tolist() == [0, 1, 3] and mask.shape == (5, 5)
    assert np.argwhere(mask).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [2, 0]]


def test_organize_valid_indices():
    valid = np.array([[True, False, True, True], [False, False, True, False]])
    still = losses.organize_valid_indices(valid, shuffle=False).numpy()
    assert still[..., 1].tolist() == [[0, 2, 3, 1], [2, 0, 1, 3]] and still[..., 0].tolist() == [[0] * 4, [1] * 4]
    for seed in range(5):
        mixed = losses.organize_valid_indices(valid, seed=seed).numpy()[..., 1]
        assert (
            sorted(mixed[0][:3]) == [0, 2, 3] and mixed[1][0] == 2 and all(sorted(row) == [0, 1, 2, 3] for row in mixed)
        )


def test_reshape_first_ndims():
    dense = losses.reshape_first_ndims(tf.zeros([2, 3, 4]), 2, [6])
    assert dense.shape == [6, 4]
    sparse = losses.reshape_first_ndims(tf.sparse.from_dense(np.eye(6).reshape(2, 3, 6)), 2, [6])
    np.testing.assert_array_equal(tf.sparse.to_dense(sparse), np.eye(6))
    with pytest.raises(losses.LossError, match="no 2 first dimensions"):
        losses.reshape_first_ndims(tf.zeros([2]), 2, [1, 2])


def test_mistakes_of_make_loss_fn():
    for arguments, message in (
        ({"loss_keys": "softmax_loss", "reduction": "none"}, "Invalid reduction"), ({"loss_keys": []}, "empty"),
        ({"loss_keys": "softmax_loss", "reduction": "sum"}, "Invalid reduction"), ({"loss_keys": ""}, "empty"),
        ({"loss_keys": ["softmax_loss"], "loss_weights": [1, 2]}, "2 loss_weights for 1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            losses.make_loss_fn(**arguments)
    with pytest.raises(ValueError, match="Invalid loss_key 'no_loss'"):
        losses.make_loss_fn("no_loss")(LABELS, LOGITS, {})
    assert float(losses.make_loss_fn("mean_squared_loss", [2.0])(LABELS, LOGITS, {})) > 0
    one = losses.make_loss_fn("softmax_loss", weights_feature_name="w")(LABELS, LOGITS, {"w": ITEMS})
    close(one, 2.546220)
    with pytest.raises(losses.LossError, match=r"softmax_loss: labels \(2, 4\) and logits \(2, 3\)"):
        losses.softmax_loss(LABELS, LOGITS[:, :3])


def test_a_list_alone_and_logits_far_out():
    close(
        losses.approx_ndcg_loss(LABELS[:1], LOGITS[:1]),
        -1.018244 - float(losses.approx_ndcg_loss(LABELS[1:], LOGITS[1:])),
    )
    far = tf.constant([[1e6, 1e6 + 1, 1e6]], tf.float32)
    assert tf.argsort(sort_key(tf.constant([[0.0, 1, -1]]), far), direction="DESCENDING").numpy()[0, -1] == 2
    assert float(losses.softmax_loss(np.zeros((2, 3)), np.ones((2, 3)))) == 0


def pairwise_model(labels, logits, items, f):
    """An independent sum over pairs, list by list."""
    total, count = 0.0, 0
    for row in range(len(labels)):
        for i in range(labels.shape[1]):
            for j in range(labels.shape[1]):
                if labels[row, j] >= 0 and labels[row, i] > labels[row, j]:
                    total += items[row, i] * (labels[row, i] - labels[row, j]) * f(logits[row, i] - logits[row, j])
                    count += 1
    return total / count


def test_random_lists_against_sums_over_pairs():
    rng = np.random.default_rng(2)
    labels, logits, items = (
        rng.integers(-1, 4, (5, 6)).astype(float),
        rng.normal(size=(5, 6)) * 3,
        rng.random((5, 6)) + 0.1,
    )
    models = {losses.pairwise_hinge_loss: lambda d: max(0, 1 - d), losses.pairwise_logistic_loss: lambda d: math.log1p(math.exp(-d)),
              losses.pairwise_soft_zero_one_loss: lambda d: 1 / (1 + math.exp(d))}  # fmt: skip
    found = evaluate(lambda l, s: [fn(l, s, weights=items) for fn in models], labels, logits)
    np.testing.assert_allclose(found, [pairwise_model(labels, logits, items, f) for f in models.values()])
