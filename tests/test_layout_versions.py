"""Versions 1 to 5 of sharded fids and layouts: spec 40, 8.2 to 8.4, word by word in slow Python; TV13 of spec 10; refusals."""

import dataclasses

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import layout_model as slow  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from monolith_protos import example_pb2  # noqa: E402

from monolith_cli.errors import ConfigError  # noqa: E402
from monolith_cli.records.shard_fids import shard as shard_records  # noqa: E402
from monolith_cli.tables import graph, ops  # noqa: E402
from monolith_cli.tables.layouts import (  # noqa: E402
    Layout,
    LayoutFeature,
    LayoutPlan,
    embedding_to_layout,
    embedding_to_layout_gradient,
    normalize_merged_split,
    shard_fids,
)

VERSIONS = [1, 2, 3, 4, 5]
F = np.float32


def ragged(rows):
    values = [fid for row in rows for fid in row]
    return tf.RaggedTensor.from_row_lengths(tf.constant(values, tf.int64), tf.constant([len(r) for r in rows], tf.int64))


def sharded_by_op(plan, batch, servers=1, unique=True, shared=(), version=5):
    return shard_fids({name: ragged(rows) for name, rows in batch.items()}, plan, servers, unique, shared, version)


def offsets_of(plan, batch, servers, unique, version):
    """fid_offset: the table of spec 10, 8.3."""
    features, out = list(plan.features.values()), []
    members = {t: [f.name for f in features if f.table == t] for t in plan.tables}
    counts = {}
    for feature in features:
        t = plan.tables.index(feature.table)
        before = [name for name in members[feature.table] if name < feature.name]
        base = sum(len(members[u]) * servers for u in plan.tables[:t])
        seen = [[] for _ in range(servers)]
        for fid in (fid for row in batch[feature.name] for fid in row):
            s = fid % servers
            if not (unique and fid in seen[s]):
                seen[s].append(fid)
            p = seen[s].index(fid) if unique else len(seen[s]) - 1
            if version == 1:
                hi, lo = t * servers + s, sum(counts[g, s] for g in before) + p
            elif version == 2:
                hi, lo = base + s * len(members[feature.table]) + len(before), p
            else:
                floats = sum(counts[g, s] * sum(plan.features[g].slice_dims) for g in before)
                hi, lo = t * servers + s, floats + p * sum(feature.slice_dims)
            out.append(hi << 32 | lo)
        counts.update({(feature.name, s): len(seen[s]) for s in range(servers)})
    return out


def by_server(plan, servers, lists):
    """Lists t * P + s in the order of version 4."""
    return [lists[t * servers + s] for s in range(servers) for t in range(len(plan.tables))]


def tensors_of(plan, servers, lists, version):
    """Flat lists t * P + s as a version takes them."""
    if version == 4:
        return [np.concatenate(by_server(plan, servers, lists))]
    if version == 1:
        dims = {f.table: sum(f.slice_dims) for f in plan.features.values()}
        return [x.reshape(-1, dims[plan.tables[i // servers]]) for i, x in enumerate(lists)]
    return lists


def one_width_a_table(plan):
    """Version 1 has matrices: features of another width move to a table of their own."""
    features = [dataclasses.replace(f, table=f"{f.table}_{sum(f.slice_dims)}") for f in plan.features.values()]
    return LayoutPlan(features, list(plan.layouts.values()))


def row_of(feature, fid):
    rng = np.random.default_rng([fid, sum(feature.name.encode()), 7])
    return rng.standard_normal(sum(feature.slice_dims)).astype(F)


def gradients_of(plan, batch, offsets, lists, out_grads, size, shared, scale):
    """Spec 40, 8.4, in its order, over the offsets of versions 3 and 5."""
    made, starts, at = [np.zeros_like(x) for x in lists], {}, 0
    for name in plan.features:
        starts[name] = []
        for row in batch[name]:
            starts[name].append(at)
            at += len(row)
    for layout in plan.layouts.values():
        column = 0
        for j, (name, start, end) in enumerate(layout.slices):
            grad = out_grads[layout.name][j] if layout.out_type == "none" else out_grads[layout.name]
            for b in range(size):
                run = 0 if name in shared else b
                k = len(batch[name][run])
                for i in range(k):
                    feature = plan.features[name]
                    g = grad[b, j] if layout.out_type == "stack" else grad[b]
                    if feature.combiner == "first_n":
                        if i >= feature.max_seq_length:
                            break
                        g = g[i]
                    if layout.out_type == "concat":
                        g = g[column : column + end - start]
                    g = g if scale is None else g * F(scale)
                    g = g / F(k) if feature.combiner == "reduce_mean" else g
                    offset = offsets[starts[name][run] + i]
                    first = (offset & 0xFFFFFFFF) + start
                    made[offset >> 32][first : first + end - start] += g
            column += end - start
    return made


@settings(max_examples=60)
@given(slow.cases(), st.booleans(), st.sampled_from(VERSIONS), st.sampled_from([None, 0.3]))
def test_random_batches_in_every_version(case, unique, version, scale):
    plan, batch, size, servers, shared = case
    if version == 1:
        plan = one_width_a_table(plan)
    s = sharded_by_op(plan, batch, servers, unique, shared, version)
    expected = slow.shard(plan, batch, servers, unique, shared)
    assert s.fid_offset.numpy().tolist() == offsets_of(plan, batch, servers, unique, version)
    assert s.feature_offset.numpy().tolist() == expected["feature_offset"]
    assert s.nfl_offset.numpy().tolist() == expected["nfl_offset"]
    assert s.batch_size.numpy().tolist() == ([size] if version == 5 else size)
    fid_lists, splits = expected["fid_list"], expected["row_splits"]
    if version == 4:
        flat = by_server(plan, servers, fid_lists)
        assert [t.numpy().tolist() for t in s.fid_list] == [sum(flat, [])]
        assert [t.numpy().tolist() for t in s.row_splits] == [sum(by_server(plan, servers, splits), [])]
        assert s.table_row_length.numpy().tolist() == [len(x) for x in flat]
        tables = len(plan.tables)
        assert s.shard_row_length.numpy().tolist() == [sum(len(x) for x in flat[p * tables : (p + 1) * tables]) for p in range(servers)]
        assert s.emb_row_length.numpy().tolist() == by_server(plan, servers, expected["emb_size"])
    else:
        assert [t.numpy().tolist() for t in s.fid_list] == fid_lists
        assert (s.row_splits is None) == (version == 1)
        assert s.row_splits is None or [t.numpy().tolist() for t in s.row_splits] == splits

    lists = slow.embeddings_of(plan, expected, row_of)
    embeddings = [tf.constant(x) for x in tensors_of(plan, servers, lists, version)]
    out = embedding_to_layout(embeddings, s, plan, servers)
    assert all(t.shape[0] == size for t in tf.nest.flatten(out))
    for name, value in (slow.fill(plan, batch, row_of, size, shared) if size else {}).items():
        for found, wanted in zip(tf.nest.flatten(out[name]), tf.nest.flatten(value), strict=True):
            np.testing.assert_array_equal(found.numpy(), wanted)

    rng = np.random.default_rng(size)
    grads = {name: tf.nest.map_structure(lambda t: rng.standard_normal(t.shape).astype(F), value) for name, value in out.items()}
    made = embedding_to_layout_gradient(embeddings, s, plan, grads, servers, scale)
    wanted = gradients_of(plan, batch, offsets_of(plan, batch, servers, unique, 5), lists, grads, size, shared, scale)
    for found, value in zip(made, tensors_of(plan, servers, wanted, version), strict=True):
        np.testing.assert_array_equal(found.numpy(), value)


@settings(max_examples=40)
@given(st.data(), st.sampled_from(VERSIONS), st.booleans())
def test_the_op_gives_what_shard_fids_makes_of_records(data, version, unique):
    names = ["fc_a", "fc_b", "fc_c"]
    plan = LayoutPlan([LayoutFeature(n, data.draw(st.sampled_from(["t", "u"])), (1, 2)) for n in names], [])
    size, servers = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    fids = st.lists(st.integers(0, (1 << 63) - 1) | st.integers(0, 5), max_size=5)
    batch = {n: [data.draw(fids) for _ in range(size)] for n in names}
    records = []
    for b in range(size):
        record = example_pb2.Example()
        for n in names:
            record.named_feature.add(name=n).feature.fid_v2_list.value.extend(batch[n][b])
        records.append(record.SerializeToString())
    s = sharded_by_op(plan, batch, servers, unique, version=version)
    given = {n: (f.table, f.slice_dims) for n, f in plan.features.items()}
    of_records = shard_records(records, given, ps_num=servers, unique=unique, version=version, as_list=True)
    for field in of_records._fields:
        wanted, found = getattr(of_records, field), getattr(s, field)
        assert (wanted is None) == (found is None), field
        if wanted is not None:
            for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(wanted), strict=True):
                assert a.dtype.as_numpy_dtype == b.dtype and np.array_equal(a.numpy(), b), field


TV13_PLAN = LayoutPlan([LayoutFeature("c", "t1", (3,)), LayoutFeature("a", "t1", (1, 4)), LayoutFeature("b", "t0", (2,))], [])
TV13_BATCH = {"a": [[4, 7, 4], [9]], "b": [[], [2, 2, 3]], "c": [[5], [6, 5]]}


@pytest.mark.parametrize(
    "version, expected",
    [
        (1, "2:0 3:0 2:0 3:1 0:0 0:0 1:0 3:2 2:1 3:2"),
        (2, "2:0 4:0 2:0 4:1 0:0 0:0 1:0 5:0 3:0 5:0"),
        (3, "2:0 3:0 2:0 3:5 0:0 0:0 1:0 3:10 2:5 3:10"),
        (4, "2:0 3:0 2:0 3:5 0:0 0:0 1:0 3:10 2:5 3:10"),
        (5, "2:0 3:0 2:0 3:5 0:0 0:0 1:0 3:10 2:5 3:10"),
    ],
)
def test_tv13(version, expected):
    s = sharded_by_op(TV13_PLAN, TV13_BATCH, 2, version=version)
    assert " ".join(f"{x >> 32}:{x & 0xFFFFFFFF}" for x in s.fid_offset.numpy().tolist()) == expected
    if version == 4:
        assert s.fid_list[0].numpy().tolist() == [2, 4, 6, 3, 7, 9, 5] and s.row_splits[0].numpy().tolist() == [0, 1, 0, 1, 2, 0, 1, 0, 2, 3]
        lengths = (s.table_row_length, s.shard_row_length, s.emb_row_length)
        assert [t.numpy().tolist() for t in lengths] == [[1, 2, 1, 3], [3, 4], [2, 8, 2, 13]]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_first_gradient_of_a_float_is_stored_by_versions_1_and_2(version):
    """A negative zero shows it: 0 + -0 is 0. Floats that no gradient reaches are 0."""
    plan = LayoutPlan([LayoutFeature("a", "t", (2,))], [Layout("l", "none", (("a", 0, 1),))])
    s = sharded_by_op(plan, {"a": [[1], [2]]}, version=version)
    rows = tf.zeros([2, 2]) if version == 1 else tf.zeros([4])
    (made,) = embedding_to_layout_gradient([rows], s, plan, {"l": [tf.constant([[-0.0], [-0.0]])]})
    assert np.signbit(made.numpy()).reshape(-1).tolist() == ([True, False] * 2 if version < 3 else [False] * 4)


@pytest.mark.parametrize("version", VERSIONS)
def test_gradients_of_a_graph(version):
    plan = LayoutPlan([LayoutFeature("a", "t", (1,)), LayoutFeature("b", "t", (1,))], [Layout("l", "concat", (("a", 0, 1), ("b", 0, 1)))])
    s = sharded_by_op(plan, {"a": [[1, 2], []], "b": [[3], [3]]}, version=version)
    rows = tf.reshape(tf.constant([1.0, 2, 3]), [3, 1] if version == 1 else [3])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = tf.reduce_sum(embedding_to_layout([rows], s, plan)["l"] * [[1.0, 2.0], [3.0, 4.0]])
    assert float(loss) == 3 + 6 + 12 and tape.gradient(loss, rows).numpy().reshape(-1).tolist() == [1, 1, 6]


class TestRefusals:
    PLAN = LayoutPlan(
        [LayoutFeature("a", "t", (3,)), LayoutFeature("b", "u", (3,))],
        [Layout("l", "none", (("a", 0, 3),)), Layout("m", "addn", (("b", 1, 2), ("a", 0, 1)))],
    )
    BATCH = {"a": [[2], [4, 4]], "b": [[7], []]}

    def message(self, version, embeddings, **changed):
        s = sharded_by_op(self.PLAN, self.BATCH, version=version)._replace(**changed)
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            embedding_to_layout([tf.constant(e, tf.float32) for e in embeddings], s, self.PLAN)
        return str(graph.unwrap_error(caught.value))

    def test_versions_that_are_not_there(self):
        for version in (0, 6):
            with pytest.raises(ConfigError, match=f"there is no version {version} of layouts; use 1 to 5"):
                sharded_by_op(self.PLAN, self.BATCH, version=version)
        s = sharded_by_op(self.PLAN, self.BATCH)
        with pytest.raises(tf.errors.InvalidArgumentError, match="there is no version 6 of layouts; use 1 to 5"):
            embedding_to_layout([tf.zeros([6]), tf.zeros([3])], s._replace(version=6), self.PLAN)
        with pytest.raises(tf.errors.InvalidArgumentError, match="version 4 of fids is made by MonolithShardFidsFlat"):
            ops.library().monolith_shard_fids(
                values=[[1]], row_splits=[[0, 1]], N=1, shared=[False], version=4,
                feature_cfgs=LayoutPlan([LayoutFeature("a", "t", (1,))], []).serialized(),
            )  # fmt: skip

    def test_tensors_that_do_not_fit(self):
        two = [np.zeros((2, 3)), np.zeros((1, 2))]
        assert "table 'u', server 0: embeddings_list has 2 columns, but feature 'b' takes 3" in self.message(1, two)
        assert "embeddings_list must have rank 2, not the shape [6]" in self.message(1, [np.zeros(6), np.zeros(3)])
        assert "embeddings_list must have rank 1, not the shape [2,3]" in self.message(2, [np.zeros((2, 3)), np.zeros(3)])
        splits = [tf.constant([0, 3], tf.int64), tf.constant([0, 1], tf.int64)]
        assert "table 't', server 0: fid_list_row_splits counts 3 rows of feature 'a'" in self.message(2, [np.zeros(6), np.zeros(3)], row_splits=splits)
        assert "embeddings_list has 8 floats, but fid_list_emb_row_length counts 9" in self.message(4, [np.zeros(8)])

    @pytest.mark.parametrize("version", VERSIONS)
    def test_offsets_that_point_to_nothing(self, version):
        rows = {1: [np.zeros((2, 3)), np.zeros((1, 3))], 4: [np.zeros(9)]}.get(version, [np.zeros(6), np.zeros(3)])
        far = tf.constant([0, 5 << 32, 0, 1 << 32], tf.uint64)
        assert "layout 'l', feature 'a', row 1: the embedding of a fid lies in list 5, but there are 2 lists" in self.message(version, rows, fid_offset=far)
        late = tf.constant([0, 0xFFFFFFFF, 0, 1 << 32], tf.uint64)
        begin = 0xFFFFFFFF * (3 if version < 3 else 1)
        expected = f"layout 'l', feature 'a', row 1: the embedding of a fid lies at floats {begin} to {begin + 3} of list 0, which has 6"
        assert expected in self.message(version, rows, fid_offset=late)

    def test_a_scale_that_is_no_scalar(self):
        s = sharded_by_op(self.PLAN, self.BATCH)
        grads = {"l": [tf.ones([2, 3])], "m": tf.ones([2, 1])}
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"scale must be one scalar, not the shape \[2\]"):
            embedding_to_layout_gradient([tf.zeros([6]), tf.zeros([3])], s, self.PLAN, grads, scale=tf.ones([2]))


@settings(max_examples=150)
@given(st.data(), st.sampled_from(VERSIONS))
def test_mangled_offsets_never_crash(data, version):
    plan = one_width_a_table(LayoutPlan([LayoutFeature("a", "t", (2,)), LayoutFeature("b", "t", (2,), "reduce_mean")],
                                        [Layout("l", "concat", (("a", 0, 2), ("b", 0, 2))), Layout("m", "addn", (("b", 0, 1), ("a", 1, 2)))]))  # fmt: skip
    s = sharded_by_op(plan, {"a": [[2], [4, 4]], "b": [[7, 2], []]}, version=version)
    name = data.draw(st.sampled_from(["fid_offset", "feature_offset", "nfl_offset"]))
    values = getattr(s, name).numpy().copy()
    limits = np.iinfo(values.dtype)
    near = st.integers(0, 8) | st.integers(0, 4).map(lambda x: min(x << 32, limits.max)) | st.integers(int(limits.min), int(limits.max))
    for _ in range(data.draw(st.integers(1, 3))):
        values[data.draw(st.integers(0, len(values) - 1))] = data.draw(near)
    s = s._replace(**{name: tf.constant(values)})
    rows = {1: tf.ones([4, 2]), 4: tf.ones([8])}.get(version, tf.ones([8]))
    for call in (
        lambda: embedding_to_layout([rows], s, plan),
        lambda: embedding_to_layout_gradient([rows], s, plan, {"l": tf.ones([2, 4]), "m": tf.ones([2, 1])}),
    ):
        try:
            for tensor in tf.nest.flatten(call()):
                assert np.isfinite(tensor.numpy()).all()
        except tf.errors.InvalidArgumentError as e:
            assert "layout 'l'" in str(e) or "layout 'm'" in str(e)


class TestMergedSplits:
    def test_of_record(self):
        """Spec 40, TV4."""
        assert normalize_merged_split(tf.constant([0, 2, 5, 5, 9, 0, 0, 3, 4], tf.int64), [5, 4]).numpy().tolist() == [0, 2, 5, 5, 9, 9, 12, 13]

    @settings(max_examples=60)
    @given(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=4))
    def test_splits_of_all_lengths_together(self, requests):
        splits = [np.cumsum([0, *lengths]) for lengths in requests]
        merged = normalize_merged_split(tf.constant(np.concatenate([np.zeros(0), *splits]), tf.int64), [len(s) for s in splits])
        assert merged.numpy().tolist() == (np.cumsum([0, *sum(requests, [])]).tolist() if requests else [])

    def test_lists_of_two_requests(self):
        """The lists of a table for two batches, one after the other, are read as ragged rows of both."""
        batches = [{"a": [[1], [3, 5]]}, {"a": [[7, 7, 9], []]}]
        plan = LayoutPlan([LayoutFeature("a", "t", (1,)), LayoutFeature("b", "t", (1,))], [])
        made = [sharded_by_op(plan, {**b, "b": [[2], [2, 4]]}) for b in batches]
        merged = normalize_merged_split(tf.concat([s.row_splits[0] for s in made], 0), tf.concat([s.row_splits_size[0] for s in made], 0))
        rows = tf.RaggedTensor.from_row_splits(tf.concat([s.fid_list[0] for s in made], 0), merged)
        assert rows.to_list() == [[1, 3, 5], [2, 4], [7, 9], [2, 4]]

    @pytest.mark.parametrize(
        "splits, sizes, message",
        [
            ([0, 2, 0], [2, 2], "row_splits of request 1 cannot have 2 entries: 1 are left"),
            ([0, 2, 0], [2], "row_splits has 3 entries, but sizes count 2"),
            ([0, 2], [0, 2], "row_splits of request 0 cannot have 0 entries: 2 are left"),
            ([0, 2, 1], [2, 1], "row_splits of request 1 must begin with 0"),
            ([0, 2, 0, 4, 3], [2, 3], "row_splits of request 1 must not fall"),
            ([0, 2, 0, (1 << 63) - 1], [2, 2], "row_splits of request 1 are too large to be added to those before"),
        ],
    )
    def test_splits_that_are_none(self, splits, sizes, message):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            normalize_merged_split(tf.constant(splits, tf.int64), tf.constant(sizes))
