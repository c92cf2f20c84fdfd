"""MultiTable in a graph: lookups, gradients, assignment and files, against a model in numpy."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from monolith_cli.errors import ConfigError, Error  # noqa: E402
from monolith_cli.tables import config  # noqa: E402
from monolith_cli.tables.graph import FeaturePlan, MultiTable, unwrap_error  # noqa: E402

tf1 = tf.compat.v1


def segment(dim, initializer=None, optimizer=None):
    return config.CombineAsSegment(dim, initializer or config.ZerosInitializer(), optimizer or config.SgdOptimizer(),
                                   config.Fp32Compressor())


def table_config(*segments):
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    made = EmbeddingHashTableConfig()
    made.entry_config.segments.extend(segments)
    config.CuckooHashTableConfig().mutate_table(made)
    return config.HashTableConfigInstance(made, [1.0] * len(segments))


class Tables:
    """A MultiTable with a name of its own, a graph and a session; everything is run at once."""

    def __init__(self, configs, name=None, seed=0):
        self.graph = tf.Graph()
        self.session = tf1.Session(graph=self.graph)
        self.name = name or f"test_{uuid.uuid4().hex}"
        self.tables = MultiTable(self.name, configs, seed=seed)

    def run(self, make):
        with self.graph.as_default():
            fetch = make(self.tables)
        try:
            return self.session.run(fetch)
        except tf.errors.OpError as e:
            raise unwrap_error(e) or e from None

    def assign(self, table, ids, values):
        self.run(lambda t: t.assign(table, tf.constant(ids, tf.int64), tf.constant(np.float32(values))))

    def rows(self, table, ids):
        return self.run(lambda t: t.lookup_ids(table, tf.constant(ids, tf.int64)))

    def lookup(self, features, plan, **kwargs):
        return self.run(lambda t: t.lookup(ragged(features), plan, **kwargs))

    def apply(self, features, plan, grads, rates, step=0, req_time=None):
        with self.graph.as_default():
            grads = {k: [None if g is None else tf.constant(np.float32(g)) for g in v] for k, v in grads.items()}
        self.run(lambda t: t.apply_gradients(ragged(features), plan, grads, rates, step, req_time))

    def sizes(self):
        return self.run(lambda t: t.sizes()).tolist()


def ragged(features):
    return {k: tf.ragged.constant(v, dtype=tf.int64, ragged_rank=1) for k, v in features.items()}


@pytest.fixture
def weights():
    """Table `t` of 3 floats, rows 1..9 with distinct numbers; 4 is absent."""
    made = Tables({"t": table_config(segment(3))})
    table = {i: np.float32([i, i * 10, i * 100]) for i in range(1, 10) if i != 4}
    made.assign("t", list(table), list(table.values()))
    return made, lambda i: table.get(i, np.zeros(3, np.float32))


ROWS = [[1, 2], [], [3, 4, 5, 6], [7, 7, 7], [4]]


def test_lookup_of_all_combiners_in_one_op(weights):
    tables, row = weights
    plan = [FeaturePlan("sum", "t", (1, 2)), FeaturePlan("mean", "t", (3,), "reduce_mean"),
            FeaturePlan("first", "t", (2, 1), "first_n", 2)]
    out = tables.lookup({"sum": ROWS, "mean": ROWS, "first": ROWS}, plan)
    total = np.stack([sum((row(i) for i in ids), np.zeros(3)) for ids in ROWS])
    np.testing.assert_allclose(out["sum"][0], total[:, :1])
    np.testing.assert_allclose(out["sum"][1], total[:, 1:])
    np.testing.assert_allclose(out["mean"][0], [t / max(len(ids), 1) for t, ids in zip(total, ROWS)], rtol=1e-6)
    first = np.stack([[row(i) for i in (ids + [0, 0])[:2]] for ids in ROWS])
    np.testing.assert_allclose(out["first"][0], first[:, :, :2])
    np.testing.assert_allclose(out["first"][1], first[:, :, 2:])


def test_specified_combiner_vectors():
    tables = Tables({"a": table_config(segment(1)), "b": table_config(segment(1), segment(1))})
    tables.assign("a", [1, 2, 3, 4, 5, 6], [[1], [2], [3], [4], [5], [6]])
    tables.assign("b", [1, 2, 3, 4], [[1, 2], [3, 4], [5, 6], [7, 8]])
    out = tables.lookup({"s": [[1], [2, 3]], "f": [[1], [2, 3], [4, 5, 6]], "b": [[1, 2], [3, 4]]},
                        [FeaturePlan("s", "a", (1,)), FeaturePlan("f", "a", (1,), "first_n", 2),
                         FeaturePlan("b", "b", (1, 1), "first_n", 2)])
    assert out["s"][0].tolist() == [[1], [5]]
    assert out["f"][0].tolist() == [[[1], [0]], [[2], [3]], [[4], [5]]]
    assert out["b"][0].tolist() == [[[1], [3]], [[5], [7]]]


def test_lookup_does_not_insert_unless_asked():
    tables = Tables({"t": table_config(segment(2, config.ConstantsInitializer(0.25)))})
    plan = [FeaturePlan("f", "t", (2,))]
    assert tables.lookup({"f": [[1, 2], [1]]}, plan)["f"][0].tolist() == [[0, 0], [0, 0]]
    assert tables.sizes() == [0]
    assert tables.lookup({"f": [[1, 2], [1]]}, plan, insert_missing=True)["f"][0].tolist() == [[0.5, 0.5], [0.25, 0.25]]
    assert tables.sizes() == [2]


def test_an_inserted_row_is_kept_as_it_was():
    """Two looks with insert_missing, and a gradient between them: the second must not start the row anew."""
    tables = Tables({"t": table_config(segment(4, config.RandomUniformInitializer(-1, 1)))}, seed=7)
    plan = [FeaturePlan("f", "t", (4,))]
    first = tables.lookup({"f": [[1]]}, plan, insert_missing=True)["f"][0]
    assert np.ptp(first) > 0
    tables.apply({"f": [[1]]}, plan, {"f": [np.ones([1, 4])]}, {"t": [0.5]})
    np.testing.assert_allclose(tables.lookup({"f": [[1]]}, plan, insert_missing=True)["f"][0], first - 0.5, rtol=1e-6)


def test_static_shapes():
    tables = MultiTable("shapes", {"t": table_config(segment(3))})
    with tf.Graph().as_default():
        for rows, known in ((5, 4), (None, None)):
            splits = tf1.placeholder(tf.int64, [rows])
            ids = tf.RaggedTensor.from_row_splits(tf1.placeholder(tf.int64, [None]), splits, validate=False)
            out = tables.lookup({"a": ids, "b": ids}, [FeaturePlan("a", "t", (1, 2)),
                                                       FeaturePlan("b", "t", (3,), "first_n", 7)])
            assert [o.shape.as_list() for o in out["a"]] == [[known, 1], [known, 2]]
            assert out["b"][0].shape.as_list() == [known, 7, 3]


# --- gradients --------------------------------------------------------------------------------------------------------


def expected_sums(features, plans, grads):
    """table -> fid -> summed gradient, written as the definition reads."""
    sums = {}
    for plan in plans:
        slices = grads[plan.feature]
        for b, ids in enumerate(features[plan.feature]):
            for p, fid in enumerate(ids):
                if plan.combiner == "first_n" and p >= plan.max_seq_length:
                    continue
                parts = []
                for dim, grad in zip(plan.slice_dims, slices):
                    g = np.zeros(dim) if grad is None else np.asarray(grad)[b]
                    g = g[p] if plan.combiner == "first_n" and grad is not None else g
                    parts.append(g / len(ids) if plan.combiner == "reduce_mean" else g)
                table = sums.setdefault(plan.table, {})
                table[fid] = table.get(fid, 0) + np.concatenate(parts)
    return sums


@pytest.mark.parametrize("combiner, n", [("reduce_sum", 0), ("reduce_mean", 0), ("first_n", 2)])
def test_gradients_of_one_feature(combiner, n):
    rng = np.random.default_rng(1)
    tables = Tables({"t": table_config(segment(5))})
    plan = [FeaturePlan("f", "t", (2, 3), combiner, n)]
    middle = [n] if n else []
    grads = {"f": [rng.normal(size=[len(ROWS), *middle, 2]), rng.normal(size=[len(ROWS), *middle, 3])]}
    tables.apply({"f": ROWS}, plan, grads, {"t": [0.5]})
    sums = expected_sums({"f": ROWS}, plan, grads)["t"]
    assert tables.sizes() == [len(sums)]
    np.testing.assert_allclose(tables.rows("t", list(sums)), [-0.5 * s for s in sums.values()], rtol=1e-5, atol=1e-6)


def test_equal_fids_are_summed_before_the_one_step():
    """Adagrad tells one step with the sum from several steps; two features share the table."""
    tables = Tables({"t": table_config(segment(1, optimizer=config.AdagradOptimizer(initial_accumulator_value=1.0)))})
    features = {"a": [[1], [1, 2]], "b": [[2], [1, 1]]}
    plan = [FeaturePlan("a", "t", (1,)), FeaturePlan("b", "t", (1,), "reduce_mean")]
    grads = {"a": [[[1.0], [2.0]]], "b": [[[4.0], [8.0]]]}
    tables.apply(features, plan, grads, {"t": [0.1]})
    total = np.array([1 + 2 + 4 + 4, 2 + 4], float)
    np.testing.assert_allclose(tables.rows("t", [1, 2])[:, 0], -0.1 * total / np.sqrt(1 + total**2), rtol=1e-6)


def test_segments_and_tables_have_their_own_learning_rates():
    tables = Tables({"b": table_config(segment(1), segment(2)), "a": table_config(segment(1))})
    features = {"x": [[5]], "y": [[5]]}
    plan = [FeaturePlan("x", "b", (2, 1)), FeaturePlan("y", "a", (1,))]
    grads = {"x": [[[1.0, 1.0]], [[1.0]]], "y": [[[1.0]]]}
    tables.apply(features, plan, grads, {"b": [0.5, 0.25], "a": [2.0]})
    assert tables.rows("b", [5]).tolist() == [[-0.5, -0.25, -0.25]]
    assert tables.rows("a", [5]).tolist() == [[-2.0]]
    with tables.graph.as_default():
        rates = tf.constant([2.0, 0.5, 0.25])  # a, then b
    tables.apply(features, plan, grads, rates)
    assert tables.rows("b", [5]).tolist() == [[-1.0, -0.5, -0.5]]


def test_slices_without_a_gradient():
    tables = Tables({"t": table_config(segment(3)), "u": table_config(segment(1))})
    features = {"x": [[5], [6]], "y": [[5], [7]], "z": [[1], [2]]}
    plan = [FeaturePlan("x", "t", (1, 2)), FeaturePlan("y", "t", (1, 2)), FeaturePlan("z", "u", (1,))]
    grads = {"x": [None, np.ones([2, 2])], "y": [np.ones([2, 1]), None], "z": [None]}
    tables.apply(features, plan, grads, {"t": [1.0], "u": [1.0]})
    assert tables.rows("t", [5, 6, 7]).tolist() == [[-1, -1, -1], [0, -1, -1], [-1, 0, 0]]
    assert tables.sizes() == [3, 0]


@pytest.mark.parametrize("seed", range(3))
def test_many_features_and_a_batch_large_enough_for_threads(seed):
    rng = np.random.default_rng(seed)
    tables = Tables({"s": table_config(segment(4)), "t": table_config(segment(3)), "u": table_config(segment(2))})
    plan = [FeaturePlan("a", "s", (1, 3)), FeaturePlan("b", "s", (4,), "reduce_mean"),
            FeaturePlan("c", "t", (3,), "first_n", 4), FeaturePlan("d", "t", (2, 1)), FeaturePlan("e", "u", (2,))]
    rows = 3000
    features = {p.feature: [rng.integers(0, 2000, rng.integers(0, 6)).tolist() for _ in range(rows)] for p in plan}
    assert sum(len(ids) for f in features.values() for ids in f) > 30000
    start = {name: rng.normal(size=[2000, dim]) for name, dim in (("s", 4), ("t", 3), ("u", 2))}
    for name, values in start.items():
        tables.assign(name, np.arange(2000), values)
    out = tables.lookup(features, plan)
    for p in plan:
        joined = np.concatenate(out[p.feature], axis=-1)
        for b in rng.choice(rows, 50):
            ids = features[p.feature][b]
            values = start[p.table][ids] if ids else np.zeros([0, joined.shape[-1]])
            if p.combiner == "first_n":
                np.testing.assert_allclose(joined[b], np.vstack([values, np.zeros([4, 3])])[:4], rtol=1e-5)
            else:
                total = values.sum(0) / (max(len(ids), 1) if p.combiner == "reduce_mean" else 1)
                np.testing.assert_allclose(joined[b], total, rtol=1e-4, atol=1e-5)
    grads = {p.feature: [rng.normal(size=o.shape) for o in out[p.feature]] for p in plan}
    tables.apply(features, plan, grads, {"s": [0.5], "t": [0.25], "u": [1.0]})
    sums = expected_sums(features, plan, grads)
    for name, rate in (("s", 0.5), ("t", 0.25), ("u", 1.0)):
        expected = start[name].copy()
        for fid, total in sums[name].items():
            expected[fid] -= rate * total
        np.testing.assert_allclose(tables.rows(name, np.arange(2000)), expected, rtol=1e-4, atol=1e-4)


def test_training_through_tf_gradients():
    """The lookup's outputs are endpoints for tf.gradients; fed batches, several steps."""
    tables = Tables({"t": table_config(segment(2, config.ConstantsInitializer(1.0)))})
    plan = [FeaturePlan("f", "t", (2,))]
    with tables.graph.as_default():
        ids = tf1.ragged.placeholder(tf.int64, 1)
        out = tables.tables.lookup({"f": ids}, plan, insert_missing=True)
        loss = tf.reduce_sum(tf.square(out["f"][0]))
        grads = tf1.gradients(loss, out["f"])
        step = tf1.train.get_or_create_global_step()
        train = tables.tables.apply_gradients({"f": ids}, plan, {"f": grads}, {"t": [0.25]}, step)
        init = tf1.global_variables_initializer()
    tables.session.run(init)
    batch = tf1.ragged.constant_value([[1], [2]], dtype=np.int64)
    losses = [tables.session.run([loss, train], {ids: batch})[0] for _ in range(3)]
    assert losses == [4.0, 1.0, 0.25]


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_assign_add_clear_sizes():
    tables = Tables({"b": table_config(segment(2, config.ConstantsInitializer(3.0))), "a": table_config(segment(1))})
    tables.assign("b", [1, 2], [[1, 2], [3, 4]])
    tables.run(lambda t: t.assign_add("b", tf.constant([2, 9], tf.int64),
                                      tf.constant([[1.0, 1.0], [2.0, 2.0]]), 1700000000))
    assert tables.rows("b", [1, 2, 9, 10]).tolist() == [[1, 2], [4, 5], [5, 5], [0, 0]]
    assert tables.sizes() == [0, 3]
    tables.run(lambda t: t.clear("b"))
    assert tables.sizes() == [0, 0]


def test_tables_of_one_name_are_the_same_in_every_session():
    first = Tables({"t": table_config(segment(1))})
    first.assign("t", [1], [[5]])
    second = Tables({"t": table_config(segment(1))}, name=first.name)
    assert second.rows("t", [1]).tolist() == [[5]]
    with pytest.raises(ConfigError):
        Tables({"t": table_config(segment(2))}, name=first.name).sizes()


SAVE = """
import sys, tensorflow as tf
sys.path.insert(0, sys.argv[1])
import test_tf_tables as t
made = t.Tables({"t": t.table_config(t.segment(2, optimizer=t.config.AdagradOptimizer(initial_accumulator_value=1.0)))})
plan = [t.FeaturePlan("f", "t", (2,))]
made.apply({"f": [[1], [2]]}, plan, {"f": [[[1.0, 2.0], [3.0, 4.0]]]}, {"t": [0.5]}, req_time=[1700000000, 1700000005])
made.run(lambda m: m.save(sys.argv[2]))
"""


def test_saved_by_one_process_restored_by_another(tmp_path):
    basename = tmp_path / "MultiTable"
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", SAVE, str(Path(__file__).parent), str(basename)],
                   env=env, check=True, timeout=600)
    tables = Tables({"t": table_config(segment(2, optimizer=config.AdagradOptimizer(initial_accumulator_value=1.0)))})
    tables.assign("t", [77], [[1, 1]])
    tables.run(lambda t: t.restore(str(basename)))
    grad = np.array([[1.0, 2.0], [3.0, 4.0]])
    once = -0.5 * grad / np.sqrt(1 + grad**2)
    np.testing.assert_allclose(tables.rows("t", [1, 2]), once, rtol=1e-6)
    assert tables.sizes() == [2]
    tables.apply({"f": [[1], [2]]}, [FeaturePlan("f", "t", (2,))], {"f": [grad]}, {"t": [0.5]})
    np.testing.assert_allclose(tables.rows("t", [1, 2]), once - 0.5 * grad / np.sqrt(1 + 2 * grad**2), rtol=1e-6)


def test_restore_of_nothing_tells_the_path(tmp_path):
    tables = Tables({"t": table_config(segment(1))})
    with pytest.raises(Error, match="nothing_here") as failed:
        tables.run(lambda t: t.restore(str(tmp_path / "nothing_here")))
    assert failed.value.exit_code in (65, 66) and "\n" not in str(failed.value)


@pytest.mark.parametrize("plan, message", [
    (lambda: FeaturePlan("f", "none", (1,)), "'none'"),
    (lambda: FeaturePlan("g", "t", (1,)), "'g'"),
    (lambda: FeaturePlan("f", "t", (1, 1)), "'f'.*2 wide.*rows of 1"),
    (lambda: FeaturePlan("f", "t", ()), "'f'"),
    (lambda: FeaturePlan("f", "t", (1,), "first_n"), "'f'.*max_seq_length"),
    (lambda: FeaturePlan("f", "t", (1,), "median"), "median.*reduce_sum"),
])
def test_wrong_plans_name_the_feature(plan, message):
    tables = Tables({"t": table_config(segment(1))})
    with pytest.raises(ConfigError, match=message):
        tables.lookup({"f": [[1]]}, [plan()])


def test_wrong_shapes_are_refused():
    tables = Tables({"t": table_config(segment(2))})
    plan = [FeaturePlan("f", "t", (2,))]
    with pytest.raises(Error, match="'f', slice 0"):
        tables.apply({"f": [[1], [2]]}, plan, {"f": [np.ones([1, 2])]}, {"t": [1.0]})
    with pytest.raises(Error, match="learning rates"):
        tables.apply({"f": [[1]]}, plan, {"f": [np.ones([1, 2])]}, {"t": [1.0, 2.0]})
    with pytest.raises(Error, match="1 ids need 2 values"):
        tables.run(lambda t: t.assign("t", tf.constant([1], tf.int64), tf.constant([1.0])))
    for splits in ([0, 2], [1, 1], [0, 3, 1]):
        with pytest.raises(Error, match="'f'"):
            tables.run(lambda t: t.lookup({"f": tf.RaggedTensor.from_row_splits(
                tf.constant([1], tf.int64), tf.constant(splits, tf.int64), validate=False)}, plan))
    assert tables.sizes() == [0]
