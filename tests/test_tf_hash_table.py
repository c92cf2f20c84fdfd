"""One table in a graph or eagerly, its files and its entries; and slots merged into one table."""

import collections
import uuid

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tf_table_helpers import fails, ids, listed, rows, table_config  # noqa: E402

from monolith_cli.model.learning_rate_functions import PolynomialDecay  # noqa: E402
from monolith_cli.tables import entries as table_entries  # noqa: E402
from monolith_cli.tables import hash_table, merged_table  # noqa: E402
from monolith_cli.tables.multi_hash_table import MultiHashTable  # noqa: E402
from monolith_cli.tables.touched_keys import TouchedKeySet  # noqa: E402

tf1 = tf.compat.v1


def table(dim=1, rate=1.0, **kwargs):
    return hash_table.test_hash_table(dim, learning_rate=rate, **kwargs)


def from_config(made, **kwargs):
    return hash_table.hash_table_from_config(made, name_suffix=uuid.uuid4().hex, **kwargs)


def test_basics():  # V7.1, V1.3
    made = table(rate=0.01)
    assert listed(made.lookup(ids(5))) == [0]
    made = made.assign_add(ids(-10), rows([2.5]))
    assert listed(made.lookup(ids(-10))) == [2.5]
    made = made.apply_gradients(ids(13), rows([1]), 0)
    np.testing.assert_allclose(listed(made.lookup(ids(13))), [-0.01], rtol=1e-6)
    made = made.assign(ids(-10, 13, 100), rows([1], [2], [3]))
    assert listed(made.lookup(ids(5, -10, 13, 100))) == [0, 1, 2, 3]
    entries = made.lookup_entry(ids(5, -10)).numpy()
    assert entries[0] == b"" and entries[1].hex() == "150000803f1a040a0212002000"


def test_assign_add():  # V7.2
    made = table().assign_add(ids(0, 1), rows([1], [1]))
    assert listed(made.lookup(ids(0, 1, 2))) == [1, 1, 0] and int(made.size()) == 2


@pytest.mark.parametrize("batch, dedup, expected", [([0, 0, 1], False, [0.2, 0.1]), ([0, 1, 0, 1, 0], True, [0.3, 0.2]),
                                                    ([1, 0, 1], False, [0.1, 0.2])])
def test_gradients_of_equal_ids(batch, dedup, expected):  # V7.3
    made = table(rate=0.1).apply_gradients(ids(*batch), -tf.ones([len(batch), 1]), 0, enable_dedup=dedup)
    np.testing.assert_allclose(listed(made.lookup(ids(0, 1))), expected, rtol=1e-6)


def test_dedup_takes_one_step_with_the_sum():
    for dedup, expected in ((True, -2 / np.sqrt(4.1)), (False, -1 / np.sqrt(1.1) - 1 / np.sqrt(2.1))):
        made = table(use_adagrad=True).apply_gradients(ids(5, 5), rows([1], [1]), 0, enable_dedup=dedup)
        np.testing.assert_allclose(listed(made.lookup(ids(5))), [expected], rtol=1e-6)


def test_filter_counts_occurrences_of_a_batch():  # V7.5
    made = table(rate=0.1, enable_hash_filter=True, occurrence_threshold=3)
    made = made.apply_gradients(ids(0, 0, 0, 0), -tf.ones([4, 1]), 0, enable_dedup=True)
    assert listed(made.lookup(ids(0))) == [0]
    made = made.apply_gradients(ids(0), -tf.ones([1, 1]), 0, enable_dedup=True)
    np.testing.assert_allclose(listed(made.lookup(ids(0))), [0.1], rtol=1e-6)


def test_ids_of_any_shape():
    made = table(2).assign(ids(1, 2), rows([1, 2], [3, 4]))
    assert made.lookup(tf.constant([[1, 2], [9, 1]], tf.int64)).numpy().tolist() == [[1, 2], [3, 4], [0, 0], [1, 2]]
    assert made.lookup(tf.constant(2, tf.int64)).numpy().tolist() == [[3, 4]]
    assert made.lookup(ids()).shape.as_list() == [0, 2]
    assert listed(made.assign(ids(5), tf.constant([7.0, 8.0])).lookup(ids(5))) == [7, 8]  # one id, rank 1


def test_lookups_worth_threads():
    keys = tf.range(50_000, dtype=tf.int64)
    values = tf.reshape(tf.cast(keys, tf.float32), [-1, 1]) * [1.0, -1.0]
    np.testing.assert_array_equal(table(2).assign(keys, values).lookup(keys[::-1]), values[::-1])


def test_reinitialize_erase_and_evict():
    made = table(expire_time=1).assign(ids(1, 2, 3), rows([1], [2], [3]), 100)
    made, status = made.reinitialize(ids(1, 4))
    assert listed(status) == [1, 0] and listed(made.lookup(ids(1, 4))) == [0, 0]
    made, erased = made.erase(ids(2, 7))
    assert int(erased) == 1 and int(made.size()) == 3
    made, evicted = made.evict(100 + 86400)
    assert int(evicted) == 1 and listed(made.lookup(ids(3))) == [0] and int(made.size()) == 2


def test_touched_keys():
    touched = TouchedKeySet(1000, name_suffix="_single")
    from_config(table_config(1), sync_client=touched).apply_gradients(ids(3, 4), rows([1], [1]), 0).assign(ids(9), rows([1]))
    assert sorted(listed(touched.steal())) == [3, 4]


def test_save_and_restore(tmp_path):  # V12.6
    base = str(tmp_path / "t")
    table().assign(ids(-1, 1), rows([1], [2])).save(base)
    assert [f.name for f in tmp_path.glob("t-*")] == ["t-00000-of-00001"]
    made = table().assign(ids(7), rows([7])).restore(base)
    assert listed(made.lookup(ids(-1, 1, 7))) == [1, 2, 0]
    with fails("none"):
        made.restore(str(tmp_path / "none"))
    assert listed(made.lookup(ids(-1, 1))) == [1, 2]


def test_number_of_files(tmp_path):
    from_config(table_config(1), saver_parallel=3).save(str(tmp_path / "t"))
    assert sorted(f.name for f in tmp_path.glob("t-*")) == [f"t-0000{i}-of-00003" for i in range(3)]


def test_expiry_on_save(tmp_path):  # V8.4
    slot = 1 << 48
    keys, base = ids(slot, 2 * slot), str(tmp_path / "t")
    made = from_config(table_config(1, slot_days={1: 0, 2: 1}, days=3600)).assign(keys, rows([1], [2]), 100)
    for _ in range(2):
        made = made.save(base).restore(base)
        assert listed(made.lookup(keys)) == [0, 2]


def entries_of(pieces):
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    return [EntryDump.FromString(e) for piece in pieces for e in piece]


def collect(made, **kwargs):
    pieces = []
    table_entries.iterate_table_and_apply(made, lambda entries: pieces.append(entries.numpy()), **kwargs)
    return pieces, entries_of(pieces)


def test_iterate_in_pieces():  # V12.4
    made = table().assign(tf.range(100, dtype=tf.int64), tf.ones([100, 1]))
    pieces, entries = collect(made, limit=2, nshards=10)
    assert len(entries) == 100 and sorted(e.id for e in entries) == list(range(100))
    assert max(len(p) for p in pieces) == 2
    assert {tuple(e.num) for e in entries} == {(1.0,)}


@settings(max_examples=15)
@given(n=st.integers(0, 300), limit=st.integers(1, 70), nshards=st.integers(1, 9))
def test_iterate_gives_each_row_once(n, limit, nshards):
    made = table().assign(tf.range(n, dtype=tf.int64) * 977, tf.ones([n, 1]))
    assert sorted(e.id for e in collect(made, limit=limit, nshards=nshards)[1]) == [i * 977 for i in range(n)]


def test_rows_come_once_while_the_table_grows():
    made = table().assign(tf.range(2000, dtype=tf.int64), tf.ones([2000, 1]))

    def piece(entries):
        pieces.append(entries.numpy())
        if len(pieces) <= 10:
            made.assign(tf.range(10_000, dtype=tf.int64) + 10_000 * len(pieces), tf.ones([10_000, 1]))

    pieces = []
    table_entries.iterate_table_and_apply(made, piece, limit=200, nshards=3)
    seen = collections.Counter(e.id for e in entries_of(pieces))
    assert all(seen[i] == 1 for i in range(2000)) and max(seen.values()) == 1
    assert int(made.size()) == 102_000


def test_an_offset_behind_the_end():
    made = table().assign(ids(1, 2), rows([1], [2]))
    offset, entries = made.save_as_tensor(0, 1, 2, 0)
    assert int(offset) == -1 and len(entries) == 2
    offset, entries = made.save_as_tensor(0, 1, 2, offset)
    assert int(offset) == -1 and len(entries) == 0


def test_iterate_in_a_graph():
    with tf.Graph().as_default(), tf1.Session() as session:
        total = tf1.get_variable("total", [], tf.int32, tf1.zeros_initializer(), use_resource=True)
        made = table().assign(tf.range(100, dtype=tf.int64), tf.ones([100, 1]))
        session.run([total.initializer, made.as_op()])
        session.run(table_entries.iterate_table_and_apply(made, lambda entries: total.assign_add(tf.size(entries)), limit=7))
        assert session.run(total) == 100


@pytest.mark.parametrize("wrong, message", [
    (dict(num_shards=0), "num_shards must be 1 or more, not 0"),
    (dict(shard_idx=2), "shard_idx must lie in [0, num_shards), not 2"),
    (dict(shard_idx=-1), "shard_idx must lie in [0, num_shards), not -1"),
    (dict(limit=0), "limit must be 1 or more, not 0"),
    (dict(offset=-2), "offset -2 is none that a call for shard 0 of 2 gave"),
    (dict(limit=[1]), "limit must have rank 0"),
])
def test_mistakes_in_an_iteration(wrong, message):
    with fails(message):
        table().save_as_tensor(**dict(shard_idx=0, num_shards=2, limit=10, offset=0) | wrong)


def test_slots_of_entries():  # V8.5
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    fids = [(1 << 48) + 123, -1, (5 << 54) + 7]
    entries = [EntryDump(id=f, num=[1.0]).SerializeToString() for f in fids]
    v2, v1 = (table_entries.extract_slot_from_entry(entries, fid_v2=v) for v in (True, False))
    assert v2.dtype == tf.int32 and listed(v2) == [1, 32767, 320] and listed(v1) == [0, 1023, 5]
    with fails("entry[1] is no EntryDump"):
        table_entries.extract_slot_from_entry([entries[0], b"\x09\x01"])


def test_items_appended_to_a_file(tmp_path):
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    path = str(tmp_path / "items")
    table_entries.append_entries(path, [1, -2], [0.5, 1.5], [[1.0, 2.0], [3.0, 4.0]])
    table_entries.append_entries(path, [3], [[2.5]], [[5.0, 6.0]])
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    found = [(e.id, list(e.num)) for e in map(EntryDump.FromString, records)]
    assert found == [(1, [0.5, 1, 2]), (-2, [1.5, 3, 4]), (3, [2.5, 5, 6])]
    assert records[0] == EntryDump(id=1, num=[0.5, 1, 2]).SerializeToString()
    for wrong, message in ((([], [], []), "bias of shape [0] has no equal part for each of the 0 items"),
                           (([1, 2], [1.0], [1.0, 2.0]), "bias of shape [1] has no equal part for each of the 2 items"),
                           (([1, 2], [1.0, 1.0], [1.0]), "embedding of shape [1]"), (([[1]], [1.0], [1.0]), "item_id must have rank 1")):
        with fails(message):
            table_entries.append_entries(path, *wrong)
    assert list(tf.data.TFRecordDataset(path).as_numpy_iterator()) == records
    with fails("/nowhere/items: No such file"):
        table_entries.append_entries("/nowhere/items", [1], [1.0], [1.0])
    with fails("/dev/full: No space left"):
        table_entries.append_entries("/dev/full", [1], [1.0], [1.0])


def test_gradients_of_a_sparse_lookup():
    grads = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    keys, out = table_entries.lookup_gradient([[0, 0], [1, 0], [1, 1]], [7, 8, 7], grads)
    assert listed(keys) == [7, 8, 7] and out.numpy().tolist() == [[1, 2], [3, 4], [3, 4]]
    for indices, message in (([[0, 0]], "different lengths|has 1 rows, but id_values 2"), ([[0], [2]], r"id_indices\[1, 0\] is 2"),
                             ([[0], [-1]], r"id_indices\[1, 0\] is -1"), ([0, 1], "id_indices must have rank 2")):
        with fails(message, literal=False):
            table_entries.lookup_gradient(indices, [7, 8], grads)
    with tf.Graph().as_default():
        grads = tf.zeros([2, 2])
        keys, out = table_entries.lookup_gradient(tf1.placeholder(tf.int64, [None, 2]), tf1.placeholder(tf.int64, [5]), grads)
        assert keys.shape.as_list() == [5] and out.shape.as_list() == [5, 2]
        with pytest.raises(ValueError, match="different lengths"):
            table_entries.lookup_gradient(tf.zeros([3, 2], tf.int64), tf.zeros([5], tf.int64), grads)


def test_gradient_of_lookups_for_the_table():
    """What tf.gradients gives for the table is what apply_gradients takes; ids have none."""
    with tf.Graph().as_default(), tf1.Session() as session:
        made = table(2).assign(ids(1, 2), rows([1, 2], [3, 4]))
        keys = ids(1, 2, 1)
        first, second = made.lookup(keys), made.lookup(ids(9))
        loss = tf.reduce_sum(first * first) + tf.reduce_sum(second)
        (grad,) = tf.gradients(loss, made.table)
        assert isinstance(grad, tf.IndexedSlices)
        assert tf.gradients(loss, keys) == [None]
        trained = made.apply_gradients(grad.indices, grad.values, 0, enable_dedup=True)
        # d/dw of the two uses of row 1 is 4 w, of row 2 it is 2 w, of row 9 it is 1.
        assert session.run(trained.lookup(ids(1, 2, 9))).tolist() == [[-3, -6], [-3, -4], [-1, -1]]


def test_learning_rate_of_the_step():  # V14
    decay = PolynomialDecay(initial_learning_rate=0.01, decay_steps=10, end_learning_rate=0.11)
    with tf.Graph().as_default(), tf1.Session() as session:
        step = tf1.train.get_or_create_global_step()
        session.run([step.initializer])
        session.run(step.assign(1))
        made = table(rate=decay).apply_gradients(ids(0, 0, 1), -tf.ones([3, 1]), step)
        np.testing.assert_allclose(session.run(made.lookup(ids(0, 1))), [[0.04], [0.02]], rtol=1e-6)


def test_a_prepared_tensor_of_rates():
    made = table_config(1, rate=1.0)
    made.set_learning_rate_tensor(tf.constant([5.0]))
    assert listed(from_config(made).apply_gradients(ids(1), rows([1]), 0).lookup(ids(1))) == [-5]


def test_names():
    with tf.Graph().as_default():
        made = hash_table.hash_table_from_config(table_config(1), name_suffix="twice")
        assert made.name == "MonolithHashTable_twice" and made.dim_size == 1
        with pytest.raises(ValueError, match="shared_name MonolithHashTable_twice has already been used."):
            hash_table.hash_table_from_config(table_config(1), name_suffix="twice")
    with tf.Graph().as_default():
        hash_table.hash_table_from_config(table_config(1), name_suffix="twice")
    with fails("table 'x': its config has no type"):
        no_type = table_config(1)
        no_type.table_config.ClearField("cuckoo")
        hash_table.hash_table_from_config(no_type, name_suffix="x")
    with pytest.raises(ValueError, match="table 'x': there are 1 learning rates for 2 segments"):
        hash_table.hash_table_from_config(table_config(1, rate=[1.0], segments=2), name_suffix="x")


def test_static_shapes():
    with tf.Graph().as_default():
        made, keys = table(3), tf1.placeholder(tf.int64, [None])
        assert made.lookup(keys).shape.as_list() == [None, 3] and made.lookup(tf.zeros([2, 4], tf.int64)).shape.as_list() == [8, 3]
        assert made.lookup_entry(ids(1, 2)).shape.as_list() == [2] and made.size().shape == []
        offset, entries = made.save_as_tensor(0, 1, 10, 0)
        assert offset.shape == [] and entries.shape.as_list() == [None]
        assert made.reinitialize(ids(1, 2))[1].shape.as_list() == [2]
        assert table_entries.extract_slot_from_entry(entries).shape.as_list() == [None]
        with pytest.raises(ValueError, match="id must have rank 1"):
            made.assign(tf.zeros([1, 1], tf.int64), tf.zeros([1, 3]))


def test_values_that_do_not_fit():
    made = table(2)
    for values, message in ((tf.zeros([1, 2]), "value is too short: its 2 ids of dim 2 need the floats up to 4, but there are 2"),
                            (tf.zeros([3, 2]), "value has 6 floats, but the ids of all tables need 4")):
        for write in (made.assign, made.assign_add, lambda k, v: made.apply_gradients(k, v, 0)):
            with fails(message):
                write(ids(1, 2), values)
    assert int(made.size()) == 0


def test_a_table_on_a_server_is_shared_by_its_sessions():
    server = tf.distribute.Server.create_local_server()
    for expected in ([1, 0], [2, 0], [3, 0]):
        with tf.Graph().as_default(), tf1.Session(server.target) as session:
            made = hash_table.hash_table_from_config(table_config(1), name_suffix="on_server")
            made = made.assign_add(ids(1), rows([1]))
            assert session.run(made.lookup(ids(1, 2)))[:, 0].tolist() == expected


def merged(slots, **kwargs):
    def factory(configs):
        return MultiHashTable.from_configs(configs, name_suffix=uuid.uuid4().hex)

    return merged_table.MergedMultiTypeHashTable({s: table_config(**kwargs) for s in slots}, factory)


def test_merged_names():  # V13
    configs, mapping = merged_table.merge_configs({"slot1": table_config(1), "slot0": table_config(1), "other": table_config(2)})
    assert mapping["slot0"] == mapping["slot1"] == "e21904dd414d1780e5fc904866dc69c2" != mapping["other"]
    assert sorted(configs) == sorted(set(mapping.values()))
    legacy = table_config(1)
    for _ in range(2):
        (name, made), = merged_table.merge_configs({"fc_slot_0": legacy})[0].items()
        assert name == "1607be845c6c1cc0c52f208940ddba66"
        assert made.extra_restore_names == ["cde3ba88ba62b682f84241b273f8100c"] and legacy.extra_restore_names == []
    rates = merged_table.merge_configs({"a": table_config(1, rate=0.1), "b": table_config(1, rate=0.2)})[1]
    assert rates["a"] != rates["b"]


def test_merged_slots_share_a_table():  # V13
    tables = merged(["slot1", "slot2"], dim=2)
    assert tables.slot_mapping["slot1"] == tables.slot_mapping["slot2"] == "34dff150e9fcf28c6de40f4bb6b61cd8"
    assert tables.get_table_dim_sizes() == [2]
    tables = tables.assign_add({"slot1": (ids(1), rows([2, 2])), "slot2": (ids(1), rows([4, 4]))})
    out = tables.lookup({"slot1": ids(1), "slot2": ids(1)})
    assert out["slot1"].numpy().tolist() == out["slot2"].numpy().tolist() == [[6, 6]]
    tables = tables.apply_gradients({"slot1": (ids(1), rows([1, 1])), "slot2": (ids(1), rows([1, 1]))}, 0)
    out = tables.lookup({"slot2": ids(5, 1, 1), "slot1": ids(1)})
    assert list(out) == ["slot2", "slot1"]
    assert out["slot2"].numpy().tolist() == [[0, 0], [4, 4], [4, 4]] and out["slot1"].numpy().tolist() == [[4, 4]]
    tables = tables.assign({"slot2": (ids(9), rows([1, 2]))})
    assert tables.lookup({"slot1": ids(9)})["slot1"].numpy().tolist() == [[1, 2]]
    with fails("there is no slot 'slot3'; there are slot1, slot2"):
        tables.lookup({"slot3": ids(1)})
    with pytest.raises(NotImplementedError, match="slot1"):
        tables.reinitialize("slot1", ids(1))


def test_merged_tables_under_older_names(tmp_path):
    old = MultiHashTable.from_configs({"cde3ba88ba62b682f84241b273f8100c": table_config(1)}, name_suffix=uuid.uuid4().hex)
    old.assign({"cde3ba88ba62b682f84241b273f8100c": (ids(1), rows([5]))}).save(str(tmp_path / "m"))
    tables = merged(["fc_slot_0"], dim=1).restore(str(tmp_path / "m"))
    assert listed(tables.lookup({"fc_slot_0": ids(1)})["fc_slot_0"]) == [5]


def test_arguments_of_the_original(tmp_path):
    made = table(rate=0.1).apply_gradients(ids(0, 0), rows([-1], [-1]), 0, True, True, 5)
    np.testing.assert_allclose(listed(made.lookup(ids(0), True, True)), [0.2], rtol=1e-6)
    made.save(str(tmp_path / "t"), random_sleep_ms=3)
    assert listed(table().restore(str(tmp_path / "t")).lookup(ids(0))) == listed(made.lookup(ids(0)))
    with fails("random_sleep_ms must not be negative, not -1"):
        made.save(str(tmp_path / "t"), -1)
    with fails("none on a GPU"):
        table(use_gpu=True)
