"""Occurrence filters and touched keys as ops of a graph."""

import uuid

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from monolith_cli.tables import config, filters  # noqa: E402
from monolith_cli.tables.graph import FeaturePlan, MultiTable, unwrap_error  # noqa: E402
from monolith_cli.tables.touched_keys import TouchedKeySet  # noqa: E402

tf1 = tf.compat.v1


def thresholds(default=0, **slots):
    from monolith_protos.embedding_hash_table_pb2 import SlotOccurrenceThresholdConfig

    made = SlotOccurrenceThresholdConfig(default_occurrence_threshold=default)
    for slot, threshold in slots.items():
        made.slot_occurrence_thresholds.add(slot=int(slot[1:]), occurrence_threshold=threshold)
    return made.SerializeToString()


@pytest.fixture
def session():
    """A graph to add ops to and its session; each test has resources of its own."""
    graph = tf.Graph()
    with graph.as_default(), tf1.Session(graph=graph) as made:
        yield made


def run(session, fetch, feed=None):
    try:
        return session.run(fetch, feed)
    except tf.errors.OpError as e:
        raise unwrap_error(e) or e from None


def kept(session, hash_filter, ids, shape=None):
    """Which rows of a gradient of ones pass, for one run after the other."""
    embeddings = tf.ones(shape or [len(ids), 2])
    out = filters.intercept_gradient(hash_filter, tf.constant(ids, tf.int64), embeddings)
    (grad,) = tf.gradients(out, embeddings)
    assert out.shape == embeddings.shape == grad.shape
    return lambda: run(session, grad)


def test_intercepted_gradients(session):  # V9.2
    next_run = kept(session, filters.create_hash_filter(100, 7, thresholds(3)), [1, 3 << 17, 1])
    rows = [[bool(r.all()) for r in next_run()] for _ in range(4)]
    assert rows == [[False] * 3, [False, False, True], [True, False, True], [True] * 3]


def test_save_and_restore(session, tmp_path):  # V9.3
    base = str(tmp_path / "hash_filter_0")
    hash_filter = filters.create_hash_filter(300, 100, thresholds(2))
    next_run = kept(session, hash_filter, [1, 1 << 17, 2 << 17, 1])
    assert not next_run().any()
    assert next_run().any(axis=1).tolist() == [True, False, False, True]
    saved = filters.save_hash_filter(hash_filter, base, True)
    assert saved.shape == []
    session.run(saved.op)
    assert len(list(tmp_path.glob("hash_filter_0-*-of-00100"))) == 100
    with tf1.Session() as other:  # resources of its own
        restored = filters.restore_hash_filter(hash_filter, base, True)
        other.run(restored.op)
        assert kept(other, hash_filter, [1, 1 << 17, 2 << 17, 1])().all()


def test_only_when_enabled(session, tmp_path):
    hash_filter = filters.create_hash_filter(300, 7)
    for enable in (False, None, "yes"):
        assert filters.save_hash_filter(hash_filter, str(tmp_path / "f"), enable) is hash_filter
        assert filters.restore_hash_filter(hash_filter, str(tmp_path / "f"), enable) is hash_filter
    assert filters.save_hash_filter(hash_filter, str(tmp_path / "f")) is hash_filter


def test_restore_without_files_starts_empty(session, tmp_path):
    hash_filter = filters.create_hash_filter(300, 7, thresholds(1))
    next_run = kept(session, hash_filter, [5])
    assert not next_run().any() and next_run().all()
    session.run(filters.restore_hash_filter(hash_filter, str(tmp_path / "none"), True).op)
    assert not next_run().any()


def test_dummy(session, tmp_path):  # V9.8
    dummy = filters.create_dummy_hash_filter()
    assert kept(session, dummy, [1, 2, 1])().all()
    session.run(filters.save_hash_filter(dummy, str(tmp_path / "f"), True).op)
    assert not list(tmp_path.iterdir())
    with pytest.raises(Exception, match="no files to be restored from"):
        run(session, filters.restore_hash_filter(dummy, str(tmp_path / "f"), True).op)


def test_probabilistic_filter_without_a_table(session):
    assert kept(session, filters.create_probabilistic_filter(True, thresholds(10**6)), list(range(50)))().all()


def test_empty_and_other_shapes(session):
    hash_filter = filters.create_hash_filter(300, 7, thresholds(1))
    assert kept(session, hash_filter, [], [0, 4])().shape == (0, 4)
    assert kept(session, hash_filter, [], [0])().shape == (0,)
    next_run = kept(session, hash_filter, [7, 8], [2, 3, 4])
    assert not next_run().any()
    out = next_run()
    assert out.shape == (2, 3, 4) and out.all()
    flat = kept(session, filters.create_hash_filter(300, 7, thresholds(1, s0=0), "_flat"), [7, 1 << 48], [6])
    assert flat().tolist() == [1, 1, 1, 0, 0, 0]


def test_unknown_shapes_are_kept(session):
    ids = tf1.placeholder(tf.int64, [None])
    embeddings = tf1.placeholder(tf.float32, [None, 8])
    out = filters.intercept_gradient(filters.create_hash_filter(300, 7), ids, embeddings)
    assert out.shape.as_list() == [None, 8]
    assert tf.gradients(out, embeddings)[0].shape.as_list() == [None, 8]
    with pytest.raises(ValueError, match="rank 1"):
        filters.intercept_gradient(filters.create_hash_filter(300, 7), tf.zeros([2, 2], tf.int64), tf.zeros([4]))


def test_gradient_that_does_not_fit_its_ids(session):
    hash_filter = filters.create_hash_filter(300, 7)
    embeddings = tf.ones([5])
    out = filters.intercept_gradient(hash_filter, tf.constant([1, 2], tf.int64), embeddings)
    with pytest.raises(Exception, match=r"grad of shape \[5\] has no equal part for each of the 2 ids"):
        run(session, tf.gradients(out, embeddings)[0])


def test_equal_names_share_counts(session):
    one, other = (filters.create_hash_filter(300, 7, thresholds(1), "_shared") for _ in range(2))
    apart = filters.create_hash_filter(300, 7, thresholds(1), "_apart")
    assert not kept(session, one, [5])().any()
    assert kept(session, other, [5])().all()
    assert not kept(session, apart, [5])().any()


def test_mistakes(session, tmp_path):
    def fails(make, match):
        with pytest.raises(Exception, match=match):
            run(session, make().op)

    fails(lambda: filters.create_hash_filter(300, 7, thresholds(16), "_a"), "16 is above 15")
    fails(lambda: filters.create_hash_filter(300, 7, thresholds(1, s32768=1), "_b"), "slot 32768 is above 32767")
    fails(lambda: filters.create_hash_filter(300, 400, b"", "_c"), "filter_capacity of 300 is too small")
    fails(lambda: filters.create_hash_filter(-1, 7, b"", "_d"), "capacity must not be negative")
    fails(lambda: filters.create_hash_filter(300, 7, b"\xff", "_e"), "no SlotOccurrenceThresholdConfig")
    with pytest.raises(ValueError, match="rank 0"):
        filters.save_hash_filter(filters.create_hash_filter(300, 7), tf.constant(["a", "b"]), True)
    hash_filter = filters.create_hash_filter(300, 7, b"", "_f")
    session.run(filters.save_hash_filter(hash_filter, str(tmp_path / "f"), True).op)
    path = tmp_path / "f-00004-of-00007"
    path.write_bytes(path.read_bytes()[:-1])
    fails(lambda: filters.restore_hash_filter(hash_filter, str(tmp_path / "f"), True), r"f-00004-of-00007: at byte \d+: the file ends")


def test_create_hash_filters(session):
    def types(made):
        return [t.op.type for t in made]

    def names(made):
        return [t.op.get_attr("shared_name").decode() for t in made]

    assert names(filters.create_hash_filters(0, True)) == ["MonolithHashFilter"]
    made = filters.create_hash_filters(2, True, thresholds(1), 1000, 9)
    assert names(made) == ["MonolithHashFilter_0", "MonolithHashFilter_1"]
    assert (made[0].op.get_attr("capacity"), made[0].op.get_attr("split_num")) == (1000, 9)
    assert (filters.create_hash_filters(0, True)[0].op.get_attr("capacity"), made[0].op.get_attr("config")) == (300000000, thresholds(1))
    made = filters.create_hash_filters(1, True, filter_type="probabilistic_filter", filter_equal_probability=True)
    assert names(made) == ["MonolithProbabilisticFilter_0"] and made[0].op.get_attr("equal_probability") is True
    for made in (filters.create_hash_filters(1, False, filter_type="nonsense"), filters.create_hash_filters(1, True, filter_type="no_filter")):
        assert types(made) == ["MonolithDummyHashFilter"] and names(made) == ["DummyHashFilter_0"]
    with pytest.raises(ValueError, match="Invalid filter type 'nonsense'"):
        filters.create_hash_filters(0, True, filter_type="nonsense")


# --- tables --------------------------------------------------------------------------------------------------------------


def table_config():
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    made = EmbeddingHashTableConfig()
    made.entry_config.segments.append(
        config.CombineAsSegment(1, config.ConstantsInitializer(10.0), config.SgdOptimizer(), config.Fp32Compressor())
    )
    config.CuckooHashTableConfig().mutate_table(made)
    return config.HashTableConfigInstance(made, [1.0])


def tables(names=("t",), **kwargs):
    return MultiTable(f"test_{uuid.uuid4().hex}", {name: table_config() for name in names}, **kwargs)


def step(t, rows, insert_missing=False, plan=None):
    """Lookup, and gradients of -1 for every feature; features are named as their tables."""
    features = {name: tf.ragged.constant(r, dtype=tf.int64) for name, r in rows.items()}
    plan = [FeaturePlan(name, name, (1,)) for name in rows]
    out = t.lookup(features, plan, insert_missing=insert_missing)
    with tf.control_dependencies([x for one in out.values() for x in one]):
        grads = {name: [-tf.ones_like(out[name][0])] for name in rows}
        apply = t.apply_gradients(features, plan, grads, {name: [1.0] for name in t.names}, 0)
    return out, apply


@pytest.mark.parametrize("insert_missing", [False, True])
def test_updates_of_a_graph(session, insert_missing):
    """Occurrences of a batch count at once; until it has a row an id reads zeros, in training too."""
    t = tables(hash_filter=filters.create_hash_filter(30000, 7, thresholds(3)))
    out, apply = step(t, {"t": [[1 << 17], [1 << 17, 2 << 17]]}, insert_missing)
    ids = tf.constant([1 << 17, 2 << 17], tf.int64)
    rows = t.lookup_ids("t", ids)
    seen = []
    for _ in range(4):
        first = run(session, [out["t"][0], apply])[0]
        seen.append((first[:, 0].tolist(), run(session, rows)[:, 0].tolist()))
    assert seen == [
        ([0, 0], [0, 0]),
        ([0, 0], [0, 0]),  # of the first id two occurrences before
        ([0, 0], [12, 0]),
        ([12, 12], [14, 11]),
    ]


def test_ids_without_a_threshold_are_trained_at_once(session):
    """A filter in front of one slot leaves the ids of another as they are without it."""
    t = tables(hash_filter=filters.create_hash_filter(30000, 7, thresholds(0, s1=1)))
    out, apply = step(t, {"t": [[5], [1 << 48]]}, insert_missing=True)
    first = run(session, [out["t"][0], apply])[0]
    assert first[:, 0].tolist() == [10, 0]
    assert run(session, t.lookup_ids("t", tf.constant([5, 1 << 48], tf.int64)))[:, 0].tolist() == [11, 0]


def test_thresholds_of_each_table(session):
    t = tables(("a", "b", "c"), hash_filter=filters.create_hash_filter(30000, 7), thresholds={"b": thresholds(1), "c": thresholds(2)})
    _, apply = step(t, {"a": [[1 << 17]], "b": [[2 << 17]], "c": [[3 << 17]]})
    sizes = []
    for _ in range(3):
        run(session, apply)
        sizes.append(run(session, t.sizes()).tolist())
    assert sizes == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_assign_behind_a_filter(session):
    t = tables(hash_filter=filters.create_hash_filter(30000, 7, thresholds(1)))
    assign = t.assign("t", tf.constant([5], tf.int64), tf.constant([[3.0]]))
    run(session, assign)
    assert run(session, t.sizes()).tolist() == [0]
    run(session, assign)
    assert run(session, t.lookup_ids("t", tf.constant([5], tf.int64))).tolist() == [[3]]


def test_wrong_thresholds_of_a_table(session):
    t = tables(("a", "b"), hash_filter=filters.create_hash_filter(30000, 7), thresholds={"b": thresholds(20)})
    with pytest.raises(Exception, match="20 is above 15"):
        run(session, t.sizes())


# --- touched keys --------------------------------------------------------------------------------------------------------


def test_touched_keys(session):  # V10.2 through the ops
    touched = TouchedKeySet(1000, name_suffix="_x")
    assert touched.handle.op.get_attr("shared_name") == b"MonolithTouchedKeySet_x"
    assert (touched.capacity, touched.concurrency_level) == (1000, 1024)
    ids = tf1.placeholder(tf.int64, [None])
    insert, steal = touched.insert(ids), touched.steal()
    assert insert.shape == [1] and steal.shape.as_list() == [None]
    assert session.run(steal).tolist() == []
    assert session.run(insert, {ids: np.arange(1005)}).tolist() == [1001]
    assert sorted(session.run(steal).tolist()) == [1001, 1002, 1003, 1004]
    assert session.run(steal).tolist() == []
    assert session.run(TouchedKeySet(1000).insert([1])).tolist() == [0]  # another name, another set
    assert session.run(steal).tolist() == []


def test_touched_keys_of_tables(session):
    touched = TouchedKeySet(name_suffix="_tables")
    t = tables(touched=touched, hash_filter=filters.create_hash_filter(30000, 7, thresholds(0, s1=1)))
    _, apply = step(t, {"t": [[5, 6], [1 << 48, 5]]}, insert_missing=True)
    run(session, apply)
    assert sorted(run(session, touched.steal()).tolist()) == [5, 6]
    run(session, apply)
    assert sorted(run(session, touched.steal()).tolist()) == [5, 6, 1 << 48]


def test_wrong_arguments_of_touched_keys(session):
    with pytest.raises(Exception, match="must not be negative"):
        run(session, TouchedKeySet(-5, name_suffix="_a").steal())
    with pytest.raises(Exception, match="above 0"):
        run(session, TouchedKeySet(5, 0, name_suffix="_b").steal())
    with pytest.raises(ValueError, match="rank 1"):
        TouchedKeySet().insert(tf.zeros([2, 2], tf.int64))
