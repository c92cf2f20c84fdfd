"""Fused layouts: vectors of the specification (40, TV8), a slow model over random plans, gradients, shapes and refusals."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import layout_model as slow  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from monolith_cli.errors import ConfigError  # noqa: E402
from monolith_cli.tables import graph  # noqa: E402
from monolith_cli.tables.layouts import (  # noqa: E402
    Layout,
    LayoutFeature,
    LayoutPlan,
    embedding_to_layout,
    embedding_to_layout_gradient,
    shard_fids,
)

tf1 = tf.compat.v1

TV8_FEATURES = [
    LayoutFeature("a", "t1", (1, 2)),
    LayoutFeature("b", "t1", (2,), "reduce_mean"),
    LayoutFeature("c", "t2", (2,), "first_n", 2),
]
TV8_LAYOUTS = [
    Layout("bias", "addn", (("a", 0, 1),)),
    Layout("cat", "concat", (("a", 1, 3), ("b", 0, 2))),
    Layout("st", "stack", (("a", 1, 3), ("b", 0, 2))),
    Layout("seq", "none", (("c", 0, 2),)),
]
TV8_BATCH = {"a": [[2, 3], [2]], "b": [[4, 4, 7], []], "c": [[1, 2, 3], [5]]}
TV8_EMBEDDINGS = [[1, 10, 20, 0.5, 1.5], [2, 30, 40, 3.5, 4.5], [100, 200], [1, 2, 3, 4, 5, 6]]


def ragged(rows):
    values = [fid for row in rows for fid in row]
    return tf.RaggedTensor.from_row_lengths(tf.constant(values, tf.int64), tf.constant([len(r) for r in rows], tf.int64))


def ragged_batch(batch):
    return {name: ragged(rows) for name, rows in batch.items()}


def floats(lists):
    return [tf.constant(x, tf.float32) for x in lists]


def tv8():
    plan = LayoutPlan(TV8_FEATURES, TV8_LAYOUTS)
    return plan, shard_fids(ragged_batch(TV8_BATCH), plan, ps_num=2)


class TestTV8:
    """Two servers, two tables, the three poolings."""

    def test_sharding(self):
        _, s = tv8()
        assert [t.numpy().tolist() for t in s.fid_list] == [[2, 4], [3, 7], [2], [1, 3, 5]]
        assert [t.numpy().tolist() for t in s.row_splits] == [[0, 1, 2], [0, 1, 2], [0, 1], [0, 3]]
        assert [t.numpy().tolist() for t in s.row_splits_size] == [[3], [3], [2], [2]]
        assert s.emb_size.numpy().tolist() == [5, 5, 2, 6]
        assert s.fid_offset.numpy().tolist() == [
            0, 4294967296, 0, 3, 3, 4294967299, 12884901888, 8589934592, 12884901890, 12884901892,
        ]  # fmt: skip
        assert s.feature_offset.numpy().tolist() == [0, 2, 3, 6, 6, 9, 10]
        assert s.nfl_offset.numpy().tolist() == [0, 2, 4, 7]
        sizes = [s.batch_size, s.nfl_size, s.feature_size, s.fid_size]
        assert [t.numpy().tolist() for t in sizes] == [[2], [4], [7], [10]]

    def test_layouts(self):
        plan, s = tv8()
        out = embedding_to_layout(floats(TV8_EMBEDDINGS), s, plan, ps_num=2)
        assert list(out) == ["bias", "cat", "seq", "st"]
        assert out["bias"].numpy().tolist() == [[3], [1]]
        assert out["cat"].numpy().tolist() == [[40, 60, 1.5, 2.5], [10, 20, 0, 0]]
        assert out["st"].numpy().tolist() == [[[40, 60], [1.5, 2.5]], [[10, 20], [0, 0]]]
        assert [t.numpy().tolist() for t in out["seq"]] == [[[[1, 2], [100, 200]], [[5, 6], [0, 0]]]]

    def test_gradients(self):
        plan, s = tv8()
        embeddings = floats(TV8_EMBEDDINGS)
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            out = embedding_to_layout(embeddings, s, plan, ps_num=2)
            loss = tf.add_n([tf.reduce_sum(t) for t in (out["bias"], out["cat"], out["seq"][0])])
        thirds = [np.float32(2) / np.float32(3), np.float32(1) / np.float32(3)]
        grads = [g.numpy() for g in tape.gradient(loss, embeddings)]
        np.testing.assert_allclose(grads[0], [2, 2, 2, thirds[0], thirds[0]], rtol=1e-6)
        np.testing.assert_allclose(grads[1], [1, 1, 1, thirds[1], thirds[1]], rtol=1e-6)
        assert [g.tolist() for g in grads[2:]] == [[1, 1], [1, 1, 0, 0, 1, 1]]

    def test_a_last_offset_that_counts_the_runs_alone_is_read_too(self):
        plan, s = tv8()
        s = s._replace(nfl_offset=tf.constant([0, 2, 4, 6], tf.uint32), feature_offset=s.feature_offset[:-1])
        out = embedding_to_layout(floats(TV8_EMBEDDINGS), s, plan, ps_num=2)
        assert out["seq"][0].numpy().tolist() == [[[1, 2], [100, 200]], [[5, 6], [0, 0]]]


def row_of(feature, fid):
    """Made-up weights, of which no two sums are equal by chance."""
    rng = np.random.default_rng([fid, sum(feature.name.encode()), 7])
    return rng.standard_normal(sum(feature.slice_dims)).astype(np.float32)


@settings(max_examples=150)
@given(slow.cases(), st.booleans())
def test_random_plans_give_what_the_slow_model_gives_bit_for_bit(case, unique):
    plan, batch, size, servers, shared = case
    s = shard_fids(ragged_batch(batch), plan, servers, unique, shared)
    expected = slow.shard(plan, batch, servers, unique, shared)
    for name in ("fid_list", "row_splits"):
        assert [t.numpy().tolist() for t in getattr(s, name)] == expected[name]
    for name in ("emb_size", "fid_offset", "feature_offset", "nfl_offset"):
        assert getattr(s, name).numpy().tolist() == expected[name]
    assert s.batch_size.numpy().tolist() == [size]
    embeddings = slow.embeddings_of(plan, expected, row_of)
    out = embedding_to_layout(floats(embeddings), s, plan, servers)
    wanted = slow.fill(plan, batch, row_of, size, shared) if size else {}
    for name, value in wanted.items():
        got = out[name] if isinstance(value, list) else [out[name]]
        for a, b in zip(got, value if isinstance(value, list) else [value], strict=True):
            assert np.array_equal(a.numpy(), b), (name, a.numpy(), b)


@settings(max_examples=60)
@given(slow.cases(), st.integers(0, 2**32 - 1))
def test_gradients_are_finite_differences(case, seed):
    """Layouts are linear in the embeddings, so that a difference is exact up to rounding, however far apart."""
    plan, batch, _, servers, shared = case
    s = shard_fids(ragged_batch(batch), plan, servers, True, shared)
    rng = np.random.default_rng(seed)
    lists = [rng.standard_normal(int(n)) for n in s.emb_size.numpy()]
    out = plan.flatten(embedding_to_layout(floats(lists), s, plan, servers))
    weights = [rng.standard_normal(t.shape).astype(np.float32) for t in out]
    grads = embedding_to_layout_gradient(floats(lists), s, plan, plan.nest([tf.constant(w) for w in weights]), servers)
    for i, flat in enumerate(lists):
        assert grads[i].shape == (len(flat),)
        if not len(flat):
            continue
        at = int(rng.integers(len(flat)))
        changed = [x.copy() for x in lists]
        changed[i][at] += 1.0
        there = plan.flatten(embedding_to_layout(floats(changed), s, plan, servers))
        difference = sum(float(np.sum((b.numpy().astype(float) - a.numpy()) * w)) for a, b, w in zip(out, there, weights))
        assert grads[i].numpy()[at] == pytest.approx(difference, rel=1e-3, abs=1e-4)


def test_large_batches_on_threads_give_equal_bits():
    """Above 20,000 fids the work is spread over threads, in stretches of rows and by features."""
    rng = np.random.default_rng(3)
    features = [LayoutFeature(f"f{i}", "t", (3, 2), c, 2 if c == "first_n" else 0) for i, c in enumerate(["reduce_sum", "reduce_mean", "first_n"])]
    layouts = [
        Layout("add", "addn", (("f0", 0, 3), ("f1", 0, 3), ("f0", 1, 4))),
        Layout("cat", "concat", (("f1", 0, 5), ("f0", 3, 5))),
        Layout("seq", "stack", (("f2", 0, 3), ("f2", 2, 5))),
    ]
    plan = LayoutPlan(features, layouts)
    batch = {f.name: [rng.integers(0, 500, n).tolist() for n in rng.integers(0, 8, 3000)] for f in features}
    assert sum(len(row) for rows in batch.values() for row in rows) > 20_000
    s = shard_fids(ragged_batch(batch), plan)
    expected = slow.shard(plan, batch, 1, True, ())
    assert s.fid_list[0].numpy().tolist() == expected["fid_list"][0]
    assert s.fid_offset.numpy().tolist() == expected["fid_offset"]
    embeddings = floats(slow.embeddings_of(plan, expected, row_of))
    out = embedding_to_layout(embeddings, s, plan)
    rows = {(f.name, fid): row_of(f, fid) for f in features for fid in range(500)}
    for name, value in slow.fill(plan, batch, lambda f, fid: rows[f.name, fid], 3000, ()).items():
        assert np.array_equal(out[name].numpy(), value), name
    ones = {name: tf.random.stateless_normal(t.shape, (1, 2)) for name, t in out.items()}
    first = embedding_to_layout_gradient(embeddings, s, plan, ones)[0].numpy()
    assert all(np.array_equal(first, embedding_to_layout_gradient(embeddings, s, plan, ones)[0].numpy()) for _ in range(3))


def test_sums_keep_their_order_though_features_are_taken_in_another():
    """1e8 + 1 - 1e8 is 0 in float32, 1e8 - 1e8 + 1 is 1: opposite layouts, and features that come back between others."""
    plan = LayoutPlan(
        [LayoutFeature(n, "t", (1,)) for n in "abc"],
        [
            Layout("forth", "addn", (("a", 0, 1), ("b", 0, 1), ("c", 0, 1))),
            Layout("back", "addn", (("c", 0, 1), ("a", 0, 1), ("b", 0, 1))),
            Layout("again", "addn", (("b", 0, 1), ("a", 0, 1), ("b", 0, 1), ("c", 0, 1), ("b", 0, 1))),
        ],
    )
    s = shard_fids(ragged_batch({"a": [[1]], "b": [[2]], "c": [[3]]}), plan)
    out = embedding_to_layout(floats([[1e8, 1, -1e8]]), s, plan)
    assert {n: t.numpy().tolist() for n, t in out.items()} == {"forth": [[0]], "back": [[1]], "again": [[1]]}


class TestSharedFeatures:
    def test_one_row_for_the_whole_batch_and_back(self):
        plan = LayoutPlan(
            [LayoutFeature("u", "t", (2,)), LayoutFeature("v", "t", (2,))],
            [
                Layout("x", "addn", (("u", 0, 2), ("v", 0, 2))),
                Layout("y", "none", (("u", 0, 1),)),
                Layout("z", "addn", (("v", 0, 2), ("u", 0, 2))),
            ],
        )
        s = shard_fids(ragged_batch({"u": [[1, 2]], "v": [[3], [], [3, 4]]}), plan, shared=["u"])
        assert s.nfl_offset.numpy().tolist() == [0x80000000, 1, 5] and s.batch_size.numpy().tolist() == [3]
        embeddings = floats([[1, 2, 10, 20, 100, 200, 1000, 2000]])
        out = embedding_to_layout(embeddings, s, plan)
        assert out["x"].numpy().tolist() == out["z"].numpy().tolist() == [[111, 222], [11, 22], [1111, 2222]]
        assert out["y"][0].numpy().tolist() == [[11], [11], [11]]
        (grad,) = embedding_to_layout_gradient(embeddings, s, plan, {"x": tf.ones([3, 2]), "y": [tf.ones([3, 1])], "z": tf.zeros([3, 2])})
        assert grad.numpy().tolist() == [6, 3, 6, 3, 2, 2, 1, 1]

    def test_several_rows_are_refused(self):
        plan = LayoutPlan([LayoutFeature("u", "t", (2,))], [Layout("x", "addn", (("u", 0, 2),))])
        with pytest.raises(tf.errors.InvalidArgumentError, match="feature 'u': a shared feature has 1 row, not 2"):
            shard_fids(ragged_batch({"u": [[1], [2]]}), plan, shared=["u"])


def test_static_shapes_are_known_before_the_graph_runs():
    plan = LayoutPlan(TV8_FEATURES, TV8_LAYOUTS)
    with tf1.Graph().as_default():
        ids = {n: tf.RaggedTensor.from_row_splits(tf1.placeholder(tf.int64, [None]), tf1.placeholder(tf.int64, [None])) for n in "abc"}
        s = shard_fids(ids, plan, ps_num=2)
        assert [t.shape.as_list() for t in s.row_splits] == [[3], [3], [2], [2]]
        assert s.nfl_offset.shape.as_list() == [4] and s.emb_size.shape.as_list() == [4]
        lists = [tf1.placeholder(tf.float32, [None]) for _ in range(4)]
        out = embedding_to_layout(lists, s, plan, ps_num=2)
        assert {n: [t.shape.as_list() for t in tf.nest.flatten(v)] for n, v in out.items()} == {
            "bias": [[None, 1]], "cat": [[None, 4]], "seq": [[None, 2, 2]], "st": [[None, 2, 2]],
        }  # fmt: skip
        known = embedding_to_layout(lists, s._replace(batch_size=tf.constant([7])), plan, ps_num=2)
        assert known["cat"].shape.as_list() == [7, 4]
        grads = tf1.gradients(out["cat"], lists)
        assert [g.shape.as_list() for g in grads] == [[None]] * 4


class TestRefusals:
    """Every message names the layout, the feature and the shapes."""

    A, B = LayoutFeature("a", "t", (1, 2)), LayoutFeature("b", "t", (4,), "reduce_mean")
    C, D = LayoutFeature("c", "u", (2,), "first_n", 2), LayoutFeature("d", "u", (2,), "first_n", 3)

    def message(self, *layouts, features=None, change=lambda proto: None):
        """The error of a plan, from its making to the op's."""
        plan = LayoutPlan(features or [self.A, self.B, self.C, self.D], [Layout(f"l{i}", *one) for i, one in enumerate(layouts)])
        batch = ragged_batch({n: [[1], []] for n in plan.features})
        proto = plan.as_proto()
        change(proto)
        plan.serialized = proto.SerializeToString
        with pytest.raises(tf.errors.OpError) as caught:
            shard_fids(batch, plan)
        error = graph.unwrap_error(caught.value)
        assert error is not None, caught.value
        return str(error)

    @pytest.mark.parametrize(
        "layout, parts",
        [
            (("stack", (("a", 0, 2), ("b", 0, 3))), ["layout 'l0' of type STACK", "feature 'a' [-1, 2]", "feature 'b' [-1, 3]"]),
            (("addn", (("b", 0, 1), ("b", 0, 2))), ["layout 'l0' of type ADDN", "feature 'b' [-1, 1]", "feature 'b' [-1, 2]"]),
            (("addn", (("c", 0, 2),)), ["layout 'l0' cannot add up the sequence (FIRSTN) of feature 'c' [-1, 2, 2]"]),
            (("concat", (("a", 0, 2), ("c", 0, 2))), ["layout 'l0'", "feature 'a' [-1, 2]", "feature 'c' [-1, 2, 2]"]),
            (("concat", (("c", 0, 2), ("d", 0, 2))), ["feature 'c' [-1, 2, 2]", "feature 'd' [-1, 3, 2]"]),
            (("none", (("a", 1, 4),)), ["layout 'l0': the slice [1, 4) of feature 'a' does not lie in its embedding of 3 floats"]),
            (("none", (("a", 2, 2),)), ["the slice [2, 2) of feature 'a'"]),
            (("none", ()), ["layout 'l0' has no slices"]),
        ],
    )
    def test_slices_that_make_no_tensor(self, layout, parts):
        message = self.message(layout)
        for part in parts:
            assert part in message

    @pytest.mark.parametrize(
        "path, parts",
        [
            (lambda p: p.out_configs["l0"].shape[0].dims.__setitem__(1, 5), ["has the shape [-1, 5]", "make [-1, 3]", "'a' [-1, 3]"]),
            (lambda p: p.out_configs["l0"].shape.add(dims=[-1, 3]), ["layout 'l0' of type CONCAT needs 1 shapes, not 2"]),
            (lambda p: setattr(p.out_configs["l0"].slice_configs[0], "feature_name", "z"), ["feature 'z' is not configured; there are a, b"]),
            (lambda p: p.feature_configs["a"].ClearField("table"), ["feature 'a' is in no table"]),
            (lambda p: p.feature_configs["a"].slice_dims.append(0), ["feature 'a': a slice of 0 floats"]),
            (lambda p: p.feature_configs["a"].ClearField("slice_dims"), ["feature 'a' has no slice_dims"]),
            (lambda p: p.feature_configs["c"].ClearField("max_sequence_length"), ["feature 'c': FIRSTN needs a max_sequence_length above 0"]),
            (lambda p: setattr(p.feature_configs["a"], "pooling_type", 2), ["feature 'a': there is no pooling_type 2"]),
            (lambda p: setattr(p.out_configs["l0"], "out_type", 7), ["layout 'l0': there is no out_type 7"]),
        ],
    )
    def test_messages_that_do_not_fit(self, path, parts):
        message = self.message(("concat", (("a", 0, 3),)), change=path)
        for part in parts:
            assert part in message

    def test_in_python(self):
        with pytest.raises(ConfigError, match="layout 'l': unknown out type 'mean': use concat, stack, addn, none"):
            LayoutPlan([self.A], [Layout("l", "mean", (("a", 0, 1),))])
        with pytest.raises(ConfigError, match="layout 'l': feature 'z' is not there; there are a"):
            LayoutPlan([self.A], [Layout("l", "addn", (("z", 0, 1),))])
        with pytest.raises(ConfigError, match="layout 'l' is there twice"):
            LayoutPlan([self.A], [Layout("l", "addn", (("a", 0, 1),))] * 2)
        plan = LayoutPlan([self.A], [Layout("l", "addn", (("a", 0, 1),))])
        with pytest.raises(ConfigError, match="feature 'a' is not parsed; there are b"):
            shard_fids({"b": ragged([[1]])}, plan)
        with pytest.raises(ConfigError, match="feature 'a' is no RaggedTensor of int64"):
            shard_fids({"a": tf.constant([[1]])}, plan)
        with pytest.raises(ConfigError, match="feature 'e': there is no combiner 'max'"):
            LayoutPlan([LayoutFeature("e", "t", (1,), "max")], []).as_proto()

    def run(self, rows=TV8_BATCH, embeddings=TV8_EMBEDDINGS, **changed):
        plan = LayoutPlan(TV8_FEATURES, TV8_LAYOUTS)
        s = shard_fids(ragged_batch(rows), plan, ps_num=2)._replace(**changed)
        with pytest.raises(tf.errors.OpError) as caught:
            embedding_to_layout(floats(embeddings), s, plan, ps_num=2)
        return str(graph.unwrap_error(caught.value))

    def test_what_points_to_nothing(self):
        short = [*TV8_EMBEDDINGS[:3], [1, 2, 3, 4]]
        assert "layout 'seq', feature 'c', row 1: the embedding of a fid lies at floats 4 to 6 of list 3, which has 4" in self.run(embeddings=short)
        far = tf.constant([9 << 32] * 10, tf.uint64)
        assert "layout 'bias', feature 'a', row 0: the embedding of a fid lies in list 9, but there are 4 lists" in self.run(fid_offset=far)
        assert "row 0: its run 8 of fids is not there; feature_offset has 7" in self.run(nfl_offset=tf.constant([8, 2, 4, 7], tf.uint32))
        falling = tf.constant([0, 2, 1, 6, 6, 9, 10])
        assert "row 1: its fids 2 to 1 are not there; fid_offset has 10" in self.run(feature_offset=falling)
        assert "nfl_offset has 3 entries, but 3 features" in self.run(nfl_offset=tf.constant([0, 2, 4], tf.uint32))
        assert "batch_size must be one number" in self.run(batch_size=tf.constant([2, 2]))
        assert "batch_size is -1" in self.run(batch_size=tf.constant([-1]))

    def test_rows_of_features_that_differ(self):
        plan = LayoutPlan(TV8_FEATURES, TV8_LAYOUTS)
        with pytest.raises(tf.errors.InvalidArgumentError, match="feature 'b': it has 1 rows, but feature 'a' has 2"):
            shard_fids(ragged_batch({**TV8_BATCH, "b": [[1]]}), plan)

    def test_gradients_of_another_shape(self):
        plan, s = tv8()
        grads = {"bias": tf.ones([2, 1]), "cat": tf.ones([2, 5]), "st": tf.ones([2, 2, 2]), "seq": [tf.ones([2, 2, 2])]}
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"layout 'cat': its gradient has the shape \[2,5\], but the layout \[2,4\]"):
            embedding_to_layout_gradient(floats(TV8_EMBEDDINGS), s, plan, grads, ps_num=2)
