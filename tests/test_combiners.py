"""Combiners and reductions: vectors of the specification (40, TV3 and TV5), a slow model, finite differences, refusals."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from monolith_cli.model import FirstN, ModelError, ReduceMean, ReduceSum  # noqa: E402
from monolith_cli.model.combiners import combine_and_split, make_combiner  # noqa: E402
from monolith_cli.model.reductions import (  # noqa: E402
    fused_reduce_sum_and_split,
    fused_sorted_segment_sum,
    fused_value_rowids,
    gen_seq_mask,
    reduce_mean,
    reduce_sqrtn,
    reduce_sum,
)

tf1 = tf.compat.v1


def of_lengths(*lengths):
    return tf.RaggedTensor.from_row_lengths(tf.range(sum(lengths), dtype=tf.int64), tf.constant(lengths, tf.int64))


def column(*values):
    return tf.constant(values, tf.float32)[:, tf.newaxis]


def gradient(function, values):
    x = tf.constant(values, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy().tolist()


class TestTV3:
    IDS = tf.constant([[0], [0], [1]], tf.int64)

    def test_mean(self):
        assert reduce_mean(self.IDS, tf.constant([[4.0, 4], [2, 2], [1, 1]]), [2]).numpy().tolist() == [[3, 3], [1, 1]]
        loss = lambda x: tf.constant([[-2.0, -4.0]]) - 2 * reduce_mean([[0], [0]], x, [1])  # noqa: E731
        assert gradient(loss, [[1, 2], [3, 4]]) == [[-1, -1], [-1, -1]]

    def test_sum(self):
        assert reduce_sum(self.IDS, tf.constant([[1.0, 1], [2, 2], [4, 4]]), [2]).numpy().tolist() == [[3, 3], [4, 4]]
        assert gradient(lambda x: 5.0 - reduce_sum([[0], [0]], x, [1]), [[1, 2], [3, 4]]) == [[-1, -1], [-1, -1]]

    def test_fused_reduce_sum_and_split(self):
        rows = [[1.0, 1, 1], [2, 2, 1], [4, 4, 2]]
        first, second = fused_reduce_sum_and_split([0, 0, 1], tf.constant(rows), 2, [2, 1])
        assert first.numpy().tolist() == [[3, 3], [4, 4]] and second.numpy().tolist() == [[2], [2]]
        assert gradient(lambda x: fused_reduce_sum_and_split([0, 0, 1], x, 2, [2, 1]), rows) == [[1] * 3] * 3
        with pytest.raises(ModelError, match=r"values of 3 floats cannot be split into \[2, 2\]"):
            fused_reduce_sum_and_split([0, 0, 1], tf.constant(rows), 2, [2, 2])

    def test_fused_sorted_segment_sum(self):
        a = [[1.0, 1, 1], [2, 2, 1], [4, 4, 2]]
        b = [[1.0, 1, 1, 1, 1], [2, 2, 1, 1, 1], [4, 4, 2, 2, 2], [4, 4, 2, 2, 2]]
        out = fused_sorted_segment_sum(
            [[0, 0, 1], tf.zeros([0], tf.int64), [0, 0, 2, 2]],
            [tf.constant(a), tf.zeros([0, 3]), tf.constant(b)],
            [(2, 3), (2, 3), (4, 5)],
        )
        assert out[0].numpy().tolist() == [[3, 3, 2], [4, 4, 2]]
        assert out[1].numpy().tolist() == [[0] * 3] * 2
        assert out[2].numpy().tolist() == [[3, 3, 2, 2, 2], [0] * 5, [8, 8, 4, 4, 4], [0] * 5]
        with pytest.raises(ModelError, match="1 ids, 1 values and 2 shapes"):
            fused_sorted_segment_sum([[0]], [tf.ones([1, 1])], [(1, 1), (2, 1)])

    def test_more_rows_than_floats(self):
        """The gradient of the mean counts rows, not columns."""
        assert gradient(lambda x: reduce_mean([0, 4, 4], x, 5), [[1.0], [2], [3]]) == [[1], [0.5], [0.5]]

    def test_sqrtn(self):
        values = [[3.0, 0], [4, 0], [5, 1]]
        assert reduce_sqrtn([0, 0, 2], tf.constant(values), 3).numpy().tolist() == [[5, 0], [0, 0], [5, 1]]
        np.testing.assert_allclose(gradient(lambda x: reduce_sqrtn([0, 0, 2], x, 3), values), [[0.6, 0], [0.8, 0], [1, 1]], rtol=1e-6)


class TestTV5:
    def test_reduce_sum(self):
        assert ReduceSum().combine(of_lengths(1, 2), column(1, 2, 3)).numpy().tolist() == [[1], [5]]

    def test_first_n(self):
        out = FirstN(2).combine(of_lengths(1, 2, 3), column(1, 2, 3, 4, 5, 6))
        assert out.numpy().tolist() == [[[1], [0]], [[2], [3]], [[4], [5]]]

    @pytest.mark.parametrize(
        "splits, rows, combiner, slices",
        [
            ([0, 1, 2], [[1, 4], [2, 3]], ReduceSum(), [[[1], [2]], [[4], [3]]]),
            ([0, 1, 1, 3], [[1, 2], [2, 3], [3, 5]], ReduceSum(), [[[1], [0], [5]], [[2], [0], [8]]]),
            ([0, 2, 4], [[1, 2], [3, 4], [5, 6], [7, 8]], FirstN(2), [[[[1], [3]], [[5], [7]]], [[[2], [4]], [[6], [8]]]]),
            ([0, 2, 2], [[1, 2], [3, 4]], ReduceMean(), [[[2], [0]], [[3], [0]]]),
        ],
    )
    def test_slices(self, splits, rows, combiner, slices):
        key = tf.RaggedTensor.from_row_splits(tf.range(len(rows), dtype=tf.int64), tf.constant(splits, tf.int64))
        out = combine_and_split(key, tf.constant(rows, tf.float32), combiner, [1, 1])
        assert [t.numpy().tolist() for t in out] == slices

    def test_first_n_of_an_unknown_batch(self):
        with tf1.Graph().as_default():
            splits = tf1.placeholder(tf.int64, [None])
            key = tf.RaggedTensor.from_row_splits(tf1.placeholder(tf.int64, [None]), splits, validate=False)
            assert FirstN(2).combine(key, tf1.placeholder(tf.float32, [None, 6])).shape.as_list() == [None, 2, 6]


def slow(combiner, lengths, values):
    out, at = [], 0
    for n in lengths:
        row = values[at : at + n]
        at += n
        if combiner.max_seq_length:
            row = row[: combiner.max_seq_length]
            out.append(np.concatenate([row, np.zeros((combiner.max_seq_length - len(row), values.shape[1]))]))
        else:
            out.append(row.sum(0) if isinstance(combiner, ReduceSum) or n == 0 else row.mean(0))
    return np.stack(out)


COMBINERS = st.sampled_from([ReduceSum(), ReduceMean(), FirstN(1), FirstN(3)])


@settings(max_examples=60)
@given(COMBINERS, st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_values_and_gradients_against_the_slow_model(combiner, lengths, dim, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((sum(lengths), dim))
    x = tf.constant(values)
    with tf.GradientTape() as tape:
        tape.watch(x)
        out = combiner.combine(of_lengths(*lengths), x)
        weights = rng.standard_normal(out.shape)
        loss = tf.reduce_sum(out * weights)
    np.testing.assert_allclose(out.numpy(), slow(combiner, lengths, values), atol=1e-12)
    if not values.size:
        return
    grad = tf.convert_to_tensor(tape.gradient(loss, x)).numpy()
    at = np.unravel_index(int(rng.integers(values.size)), values.shape)
    changed = values.copy()
    changed[at] += 0.5
    difference = (slow(combiner, lengths, changed) - slow(combiner, lengths, values)) * weights
    assert grad[at] == pytest.approx(difference.sum() / 0.5, abs=1e-9)


def test_masks_and_row_ids():
    """Spec 40, TV4."""
    wanted = [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]
    for dtype in (tf.int32, tf.int64):
        mask = gen_seq_mask(tf.constant([0, 5, 7, 9, 13], dtype), 6)
        assert mask.dtype == dtype and mask.numpy().tolist() == wanted
    ragged = of_lengths(5, 2, 2, 4)
    assert gen_seq_mask(ragged, 6).numpy().tolist() == wanted and gen_seq_mask(ragged, 6).dtype == tf.int64
    with pytest.raises(ModelError, match="max_seq_length must be above 0"):
        gen_seq_mask(ragged, 0)
    key = of_lengths(0, 1, 2)
    assert fused_value_rowids(key).numpy().tolist() == [1, 2, 2] and fused_value_rowids(key) is fused_value_rowids(key)
    with pytest.raises(ValueError, match="takes a RaggedTensor, not int"):
        fused_value_rowids(3)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ReduceSum().combine(tf.constant([[1]]), column(1)), r"ReduceSum\(\): the ids must be a ragged tensor"),
        (lambda: FirstN(2).combine(of_lengths(1), tf.zeros([1, 2, 3])), r"FirstN\(2\): .*\[ids, dim\], not \(1, 2, 3\)"),
        (lambda: ReduceMean().combine(of_lengths(1, 2), column(1, 2)), r"there are 3 ids, but embeddings of the shape \(2, 1\)"),
        (lambda: combine_and_split(of_lengths(1), tf.zeros([1, 3]), ReduceSum(), [1, 1]), r"3 floats cannot be cut into slices of \[1, 1\]"),
        (lambda: FirstN(0), "FirstN needs max_seq_length > 0, not 0"),
        (lambda: make_combiner("reduce_summ"), "unknown combiner 'reduce_summ'.*did you mean 'reduce_sum'"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ModelError, match=message):
        make()
