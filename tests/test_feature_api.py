"""The feature API of a model file, trained: both ways of looking up, slots with a bias, sequences, groups, rates, thresholds."""

import itertools
import textwrap

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from monolith_cli.errors import Error  # noqa: E402
from monolith_cli.model.loader import load_model  # noqa: E402
from monolith_cli.tables.graph import MultiTable  # noqa: E402
from monolith_cli.training import graph, plan, runtime  # noqa: E402
from monolith_cli.training.session import make_session  # noqa: E402

HEAD = """
    import numpy as np
    import tensorflow as tf
    from monolith_cli.model import *

    def batches(seed, names, count, rows, most=4, ids=9):
        rng = np.random.default_rng(seed)
        for _ in range(count):
            lengths = {n: rng.integers(0, most + 1, rows) for n in names}
            yield {**{n: (rng.integers(1, ids, lengths[n].sum()), lengths[n]) for n in names}, "label": rng.random((rows, 1), np.float32)}

    def dataset(names, **drawn):
        def ragged(batch):
            return {n: tf.RaggedTensor.from_row_lengths(v[0], v[1]) if n != "label" else v for n, v in batch.items()}
        pair = (tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int64))
        spec = {**{n: pair for n in names}, "label": tf.TensorSpec([None, 1], tf.float32)}
        return tf.data.Dataset.from_generator(lambda: batches(names=names, **drawn), output_signature=spec).map(ragged)

    def sgd(rate=1.0):
        return SgdOptimizer(learning_rate=rate)
"""


SERIAL = itertools.count()


class Trained:
    """A model after some steps: `rows(table, ids)`, and the values of tensors that were asked for."""

    def __init__(self, tmp_path, text, fused, steps, fetch=(), seed=3):
        path = tmp_path / "model.py"
        path.write_text(textwrap.dedent(HEAD) + textwrap.dedent(text))
        runtime.import_tensorflow()
        model = load_model(f"{path}:Model")
        model.enable_fused_layout = type(model).enable_fused_layout = fused
        # Tables live as long as any session of this process: each model gets its own.
        graph.TABLES_NAME = f"tables_{next(SERIAL)}"
        built = graph.build(model, graph.TRAIN, seed)
        self.model = built.model
        configs = plan.table_configs(built.model._factory)
        with built.graph.as_default():
            tables = MultiTable(graph.TABLES_NAME, configs, seed=seed) if configs else None
            queries = {n: tables.lookup_ids(n, tf.range(0, 12, dtype=tf.int64)) for n in configs}
        with make_session(built.graph) as session:
            session.run(built.init)
            session.run(built.iterator_init)
            self.fetched = [session.run([built.train_op, *(built.graph.get_tensor_by_name(n + ":0") for n in fetch)])[1:] for _ in range(steps)]
            self.tables = session.run(queries)
            self.sizes = built.tables.sizes(session) if configs else {}
            with built.graph.as_default():
                self.variables = {v.op.name: session.run(v) for v in tf.compat.v1.global_variables()}


BOTH = pytest.mark.parametrize("fused", [False, True], ids=["direct", "fused"])

EVERYTHING = """
    NAMES = ["a", "b", "c", "hist", "recent", "slot_7", "slot_8"]

    class Model(MonolithModel):
        def input_fn(self, mode):
            return dataset(NAMES, seed=5, count=6, rows=5)

        def model_fn(self, features, mode):
            create, look = self.create_embedding_feature_column, self.lookup_embedding_slice
            create("a"), create("b", combiner="reduce_mean")
            create("hist", max_seq_length=3, shared_name="a")
            recent = create("recent", max_seq_length=2)
            slot = self.create_feature_slot(FeatureSlotConfig(name="own", has_bias=True, default_vec_optimizer=sgd(0.1)))
            c = self.create_feature_column(slot, "c", "reduce_mean")
            own = slot.add_feature_slice(2)
            rows = dict(initializer=RandomUniformInitializer(-1.0, 1.0), optimizer=AdagradOptimizer(learning_rate=0.1))
            parts = [
                look(["a", "b", "slot_7"], "vec", 4, out_type="concat", **rows),
                look(["a", "b"], "vec", 4, out_type="add_n"),
                tf.reshape(look(["b", "slot_8"], "st", 3, out_type="stack", **rows), [-1, 6]),
                *look({"a": 2, "slot_8": 5}, "wide", **rows),
                *look([[7, 8], [8]], "group", 2, **rows),
                look([["a", "b"], ["b", "slot_7"]], "vec", 4, group_out_type="concat", out_type="concat"),
                c.embedding_lookup(own), c.get_bias(), c.get_all_embeddings_concat(),
            ]
            (hist,), (new,) = look(["hist"], "vec", 4), look([recent], "vec", 4, **rows)
            mask = tf.cast(recent.get_size_tensor(), tf.float32)[:, :, tf.newaxis]
            both = look(["hist", "recent"], "vec", 4, out_type="concat")
            parts += [tf.reduce_sum(hist, 1), tf.reduce_sum(tf.square(new) * mask, 1), tf.reshape(both, [-1, 20])]
            parts.append(tf.cast(recent.get_lengths(), tf.float32)[:, tf.newaxis])
            every = tf.concat(parts, axis=1, name="every")
            weight = tf.compat.v1.get_variable("w", [every.shape[1], 1], initializer=tf.compat.v1.constant_initializer(0.1))
            pred = tf.tanh(tf.matmul(every, weight))
            loss = tf.reduce_sum(tf.square(pred - features["label"]), name="the_loss")
            return EstimatorSpec(features["label"], pred, "h", loss, tf.compat.v1.train.AdagradOptimizer(0.1), False)
"""


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return [Trained(tmp_path_factory.mktemp("model"), EVERYTHING, fused, 6, ["every", "the_loss"]) for fused in (False, True)]


def test_both_ways_of_looking_up_train_the_same(both):
    """The network's input, loss, dense variables and rows of all tables, after six steps."""
    direct, fused = both
    for a, b in zip(direct.fetched, fused.fetched, strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(a[1], b[1], rtol=1e-4)
    assert np.ptp([step[1] for step in direct.fetched]) > 0.1  # it did train
    for name, rows in direct.tables.items():
        np.testing.assert_allclose(rows, fused.tables[name], rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(direct.variables["w"], fused.variables["w"], rtol=1e-4)
    assert direct.sizes == fused.sizes and direct.sizes["own"] > 0


def test_layouts_of_a_model(both):
    """What was looked up, by the names of the specification: slice, then md5 of the sorted features."""
    model = both[1].model
    name = model.layout_name(["slot_7", "b", "a"], "vec")
    assert model.layouts == both[0].model.layouts
    assert model.layouts[name].out_type == "concat"
    assert model.layouts[name].slices == (("a", 0, 4), ("b", 0, 4), ("slot_7", 0, 4))
    assert model.layouts["c:1_3"].slices == (("c", 1, 3),)
    pairs = model.layout_name([("a", 2)], "x")
    assert pairs == model.layout_name([(model._factory.columns["a"], 2)], "x")


TV6 = """
    class Model(MonolithModel):
        def input_fn(self, mode):
            return tf.data.Dataset.from_tensors({"f": tf.RaggedTensor.from_row_lengths(tf.constant([3], tf.int64), [1]), "label": [[0.0]]}).repeat()

        def model_fn(self, features, mode):
            ones = ConstantsInitializer(1.0)
            slot = self.create_feature_slot(FeatureSlotConfig(name="f", default_vec_optimizer=sgd(), default_vec_initializer=ones))
            column = self.create_feature_column(slot, "f")
            first, rest = slot.add_feature_slice(3), slot.add_feature_slice(1)
            v = tf.compat.v1.get_variable("v", initializer=1.0)
            loss = tf.reduce_sum(column.embedding_lookup(first)) + v
            self.clip_norm = 1.0
            optimizer = tf.compat.v1.train.GradientDescentOptimizer(1.0)
            return EstimatorSpec(features["label"], column.embedding_lookup(rest), "h", loss, optimizer, False)
"""


@BOTH
class TestTV6:
    def test_global_norm_over_dense_and_sparse(self, tmp_path, fused):
        done = Trained(tmp_path, TV6, fused, 1)
        assert done.variables["v"] == 0.5 and done.variables["global_step"] == 1
        assert done.tables["f"][3].tolist() == [0.5, 0.5, 0.5, 1]

    def test_no_clip(self, tmp_path, fused):
        text = TV6.replace(" + v", " + 0 * v").replace("self.clip_norm = 1.0", "pass")
        done = Trained(tmp_path, text, fused, 1)
        assert done.tables["f"][3].tolist() == [0, 0, 0, 1] and done.variables["global_step"] == 1

    def test_a_rate_that_follows_the_step(self, tmp_path, fused):
        """The schedule from 1 to 2 over 10 steps is 1 at step 0 and 1.1 at step 1."""
        text = TV6.replace("add_feature_slice(3)", "add_feature_slice(3, learning_rate_fn=PolynomialDecay(1.0, 10, 2.0))")
        done = Trained(tmp_path, text.replace("self.clip_norm = 1.0", "pass"), fused, 2)
        np.testing.assert_allclose(done.tables["f"][3], [1 - 1 - 1.1] * 3 + [1], rtol=1e-6)


@BOTH
def test_equal_ids_of_a_batch_get_one_step_with_the_sum(tmp_path, fused):
    """Two rows, two features of one table, duplicates in a row: each occurrence counts once."""
    text = """
        class Model(MonolithModel):
            def input_fn(self, mode):
                ids = lambda *rows: tf.ragged.constant(rows, dtype=tf.int64, row_splits_dtype=tf.int64)
                return tf.data.Dataset.from_tensors({"x": ids([1, 1], [1]), "y": ids([2], [1]), "label": [[0.0], [0.0]]})

            def model_fn(self, features, mode):
                self.create_embedding_feature_column("x")
                self.create_embedding_feature_column("y", shared_name="x")
                total = self.lookup_embedding_slice(["x", "y"], "v", 1, ZerosInitializer(), sgd(), out_type="add_n")
                loss = -tf.reduce_sum(total)
                return EstimatorSpec(features["label"], total, "h", loss, None, False)
    """
    done = Trained(tmp_path, text, fused, 1)
    assert done.tables["x"][:4].tolist() == [[0], [4], [1], [0]] and done.sizes == {"x": 2}


@BOTH
def test_a_sequence_drops_what_is_beyond_it(tmp_path, fused):
    """Ids that a sequence drops get no row."""
    text = """
        class Model(MonolithModel):
            def input_fn(self, mode):
                ids = tf.ragged.constant([[1, 2, 3, 4], [], [5]], dtype=tf.int64, row_splits_dtype=tf.int64)
                return tf.data.Dataset.from_tensors({"s": ids, "label": [[0.0]] * 3})

            def model_fn(self, features, mode):
                column = self.create_embedding_feature_column("s", max_seq_length=2)
                (s,) = self.lookup_embedding_slice([column], "v", 1, ZerosInitializer(), sgd())
                tf.identity(column.get_lengths(), name="lengths"), tf.identity(column.get_size_tensor(), name="mask")
                column.set_size_tensor(tf.constant([1, 0, 2]))
                tf.identity(column.get_size_tensor(), name="set_mask")
                weights = tf.constant([[1.0], [10.0]])
                return EstimatorSpec(features["label"], tf.reduce_sum(s, 1), "h", -tf.reduce_sum(s * weights), None, False)
    """
    done = Trained(tmp_path, text, fused, 1, ["lengths", "mask", "set_mask"])
    lengths, mask, set_mask = done.fetched[0]
    assert lengths.tolist() == [2, 0, 1] and mask.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert set_mask.tolist() == [[1, 0], [0, 0], [1, 1]]
    assert done.tables["s"][:6, 0].tolist() == [0, 1, 10, 0, 0, 1] and done.sizes == {"s": 3}


@BOTH
def test_thresholds_count_every_occurrence(tmp_path, fused):
    """Id 1 comes three times in each batch, id 2 once: with a threshold of 2 the first alone has a row after the second."""
    text = """
        class Model(MonolithModel):
            filter_capacity = 1000

            def input_fn(self, mode):
                ids = tf.ragged.constant([[1, 1], [1, 2]], dtype=tf.int64, row_splits_dtype=tf.int64)
                return tf.data.Dataset.from_tensors({"s": ids, "label": [[0.0]] * 2}).repeat()

            def model_fn(self, features, mode):
                config = FeatureSlotConfig(name="t", occurrence_threshold=2)
                column = self.create_feature_column(self.create_feature_slot(config), "s")
                v = column.embedding_lookup(column.feature_slot.add_feature_slice(1, ZerosInitializer(), sgd()))
                return EstimatorSpec(features["label"], v, "h", -tf.reduce_sum(v), None, False)
    """
    done = Trained(tmp_path, text, fused, 2)
    assert done.sizes == {"t": 1} and done.tables["t"][:3, 0].tolist() == [0, 3, 0]


def test_another_width_in_another_mode_is_told(tmp_path):
    text = TV6.replace("add_feature_slice(3)", "add_feature_slice(3 if self.runs() else 2)").replace(
        "def model_fn", "count = 0\n\n        def runs(self):\n            type(self).count += 1\n            return self.count == 1\n\n        def model_fn"
    )
    with pytest.raises(Error, match="slot 'f': slice 0 is 2 floats wide here, but model_fn makes it 3 wide in mode 'train'"):
        Trained(tmp_path, text, True, 1)


USERS = """
    class Model(MonolithModel):
        ue_gradient_check, ue_fc_names, ue_euclidean_norm_threshold = True, ["user_vec"], 2.0
        grads_and_vars_summary = True

        def input_fn(self, mode):
            return tf.data.Dataset.from_tensor_slices({"user_vec": [[[1.0, 1.0]], [[3.0, 4.0]]], "label": [[[0.0]]] * 2})

        def model_fn(self, features, mode):
            known, uue, other = (tf.compat.v1.get_variable(n, initializer=0.0) for n in ("user_vec_w", "some_uue", "other"))
            pred = features["label"] + known + uue + other
            optimizer = tf.compat.v1.train.GradientDescentOptimizer(1.0)
            return EstimatorSpec(features["label"], pred, "h", -tf.reduce_sum(known + uue + other), optimizer, False)
"""


def test_variables_of_users_stand_still_where_the_user_is_unknown(tmp_path):
    """The first batch has an embedding of norm √2, the second one of 5; the threshold is 2."""
    first = Trained(tmp_path, USERS, False, 1).variables
    assert (first["user_vec_w"], first["some_uue"], first["other"]) == (0, 0, 1)
    done = Trained(tmp_path, USERS, False, 2, ["global_gradient_norm"])
    assert (done.variables["user_vec_w"], done.variables["some_uue"], done.variables["other"]) == (1, 1, 2)
    tags = [tf.compat.v1.Summary.FromString(step[0]).value[0] for step in done.fetched]
    assert [t.tag for t in tags] == ["global_gradient_norm"] * 2
    assert [t.simple_value for t in tags] == pytest.approx([1, 3**0.5])


@pytest.mark.parametrize(
    "names, message",
    [("[]", "ue_gradient_check needs ue_fc_names"), ('["some_"]', "unknown feature 'some_'"), ('["label2"]', None)],
)
def test_names_of_users_that_are_not_there(tmp_path, names, message):
    text = USERS.replace('["user_vec"]', names)
    if message is None:  # no variable is of that user, so that nobody asks
        assert Trained(tmp_path, text.replace("some_uue", "some"), False, 1).variables["other"] == 1
        return
    with pytest.raises(Error, match=message):
        Trained(tmp_path, text, False, 1)
