"""All tables of a resource by ragged ids: lookups, entries, writes, upkeep, against a model in numpy."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tf_table_helpers import fails, ids, listed, multi, rows, table_config  # noqa: E402

from monolith_cli.tables import config, filters, ops  # noqa: E402
from monolith_cli.tables.multi_hash_table import MultiHashTable  # noqa: E402
from monolith_cli.tables.touched_keys import TouchedKeySet  # noqa: E402

tf1 = tf.compat.v1


def test_tables_in_sorted_order_and_only_those_asked_for():
    tables = multi({"b": 2, "a": 1, "c": 3})
    assert tables.table_names == ["a", "b", "c"] and tables.get_table_dim_sizes() == [1, 2, 3]
    tables = tables.assign({"c": (ids(7), rows([1, 2, 3])), "a": (ids(7, 8), rows([4], [5]))})
    out = tables.lookup({"c": ids(8, 7), "a": ids(7)})
    assert list(out) == ["c", "a"]
    assert out["c"].numpy().tolist() == [[0, 0, 0], [1, 2, 3]] and out["a"].numpy().tolist() == [[4]]
    assert listed(tables.size()) == [2, 0, 1]
    tables = tables.assign_add({"a": (ids(7, 9), rows([1], [1]))})
    assert listed(tables.lookup({"a": ids(7, 8, 9)})["a"]) == [5, 5, 1]


def test_several_requests_at_once():
    tables = multi({"a": 1, "b": 2}).assign({"a": (ids(1, 2), rows([1], [2])), "b": (ids(1, 2), rows([10, 11], [20, 21]))})
    library = ops.library()
    out = library.monolith_tables_lookup_ragged(handle=tables.handle, id=[1, 2, 1, 2, 1, 2], id_split=[0, 1, 2, 4, 4, 4, 6])
    assert listed(out) == [1, 20, 21, 1, 2, 10, 11, 20, 21]


def test_apply_gradients_uses_the_rates_of_each_table():
    """Rates go by table, not by the order in which the dict was filled."""
    tables = multi({"z": table_config(1, rate=100.0), "a": table_config(1, rate=[1.0, 10.0], segments=2)})
    tables = tables.apply_gradients({"z": (ids(1), rows([1])), "a": (ids(1), rows([1, 1]))}, 0)
    assert listed(tables.lookup({"z": ids(1)})["z"]) == [-100]
    assert listed(tables.lookup({"a": ids(1)})["a"]) == [-1, -10]


def test_lookup_entry():  # V1.3
    tables = multi({"a": 1, "b": 1}).assign({"b": (ids(-1), rows([1]))})
    out = tables.lookup_entry({"b": ids(-1, 5), "a": ids(-1)})
    assert [e.hex() for e in out["b"].numpy()] == ["150000803f1a040a0212002000", ""]
    assert out["a"].numpy().tolist() == [b""]


def test_serving_tables():
    tables = multi({"a": 1, "s": table_config(1, serving=True)})
    tables = tables.assign({"s": (ids(1), rows([2]))})
    assert listed(tables.lookup({"s": ids(1, 2)})["s"]) == [2, 0]
    with fails(f"table 's' is for serving: its rows have lost"):
        tables.lookup_entry({"s": ids(1)})
    with fails("table 's' is for serving: it has no optimizers"):
        tables.apply_gradients({"a": (ids(1), rows([1])), "s": (ids(1), rows([1]))}, 0)
    assert listed(tables.lookup({"a": ids(1)})["a"]) == [0]  # nothing was done before the error


def test_reinitialize():  # V7.6
    tables = multi({"slot1": 1, "slot2": table_config(1, optimizer=config.AdagradOptimizer(initial_accumulator_value=0.1))})
    tables = tables.apply_gradients({"slot2": (ids(2, 3), rows([1], [1]))}, 0)
    before = listed(tables.lookup({"slot2": ids(2)})["slot2"])
    tables, status = tables.reinitialize("slot2", ids(1, 2, 3))
    assert listed(status) == [0, 1, 1]
    assert listed(tables.lookup({"slot2": ids(1, 2, 3)})["slot2"]) == [0, 0, 0]
    tables = tables.apply_gradients({"slot2": (ids(2), rows([1]))}, 0)
    assert listed(tables.lookup({"slot2": ids(2)})["slot2"]) == before  # the accumulator is new too
    assert listed(tables.reinitialize("slot9", ids(1, 2, 3))[1]) == [-1, -1, -1]


def test_erase():
    tables = multi({"a": 1, "b": 1}).assign({"a": (ids(1, 2, 3), rows([1], [2], [3])), "b": (ids(1), rows([1]))})
    tables, erased = tables.erase("a", ids(1, 3, 9))
    assert int(erased) == 2 and listed(tables.size()) == [1, 1]
    assert listed(tables.lookup({"a": ids(1, 2, 3)})["a"]) == [0, 2, 0]
    with fails("there is no table 'c'; there are a, b"):
        tables.erase("c", ids(1))


def test_evict():  # V8.1, V8.6
    slot = 1 << 48
    tables = multi({"a": table_config(1, slot_days={1: 5, 2: 6}, days=14), "b": table_config(1, days=5)})
    keys = ids(slot, 2 * slot, 3 * slot)
    tables = tables.assign({"a": (keys, rows([1], [2], [3])), "b": (ids(7), rows([4]))}, 1234)
    assert listed(tables.evict(1234 + 5 * 86400 - 1)[1]) == [0, 0]
    assert listed(tables.evict(1234 + 5 * 86400)[1]) == [1, 1]
    assert listed(tables.lookup({"a": keys})["a"]) == [0, 2, 3]


def test_req_time_is_honoured(tmp_path):  # V8.2, by assign too
    tables = multi({"a": table_config(1, days=1), "b": 1})
    last = 10_000_000
    for key, time in ((1, last - 86401), (2, last - 86399), (3, last)):
        tables = tables.assign({"a": (ids(key), rows([key]))}, time)
    tables = tables.save(str(tmp_path / "t")).restore(str(tmp_path / "t"))
    assert listed(tables.lookup({"a": ids(1, 2, 3)})["a"]) == [0, 2, 3]
    tables = tables.apply_gradients({"a": (ids(3), rows([-1]))}, 0, req_time=tf.constant(last + 2 * 86400, tf.int64))
    tables = tables.save(str(tmp_path / "t")).restore(str(tmp_path / "t"))
    assert listed(tables.lookup({"a": ids(2, 3)})["a"]) == [0, 4]


def test_save_and_restore_into_other_tables(tmp_path):  # V12.5
    base = str(tmp_path / "m")
    tables = multi({"slot0": 1, "slot1": 2, "slot2": 2})
    tables = tables.assign({"slot0": (ids(0, 1), rows([1], [2])),
                            "slot1": (ids(2, 3, 4, 5), rows(*[[i, i] for i in range(4)])),
                            "slot2": (ids(*range(6, 11)), rows(*[[i, i] for i in range(1, 6)]))})
    tables.save(base)
    other = multi({"slot0": 1, "slot2": 2, "slot3": 3}).assign({"slot3": (ids(1), rows([1, 1, 1]))}).restore(base)
    assert listed(other.lookup({"slot0": ids(0, 1)})["slot0"]) == [1, 2]
    assert other.lookup({"slot2": ids(*range(6, 11))})["slot2"].numpy().tolist() == [[i, i] for i in range(1, 6)]
    assert listed(other.size()) == [2, 5, 0]
    names, counts = MultiHashTable.feature_stat(base)
    assert counts.dtype == tf.uint64
    assert dict(zip(names.numpy().tolist(), counts.numpy().tolist())) == {b"slot0": 2, b"slot1": 4, b"slot2": 5}


def test_feature_stat_without_files(tmp_path):
    with fails("none"):
        MultiHashTable.feature_stat(str(tmp_path / "none"))


def thresholds(n):
    from monolith_protos.embedding_hash_table_pb2 import SlotOccurrenceThresholdConfig

    return SlotOccurrenceThresholdConfig(default_occurrence_threshold=n).SerializeToString()


def test_filter_in_front():  # V7.4
    kept_out = filters.create_hash_filter(1_000_000, 7, thresholds(3), "_ragged")
    tables = multi({"t": table_config(1, rate=0.1)}, hash_filter=kept_out)
    seen = []
    for _ in range(4):
        tables = tables.apply_gradients({"t": (ids(0, 0, 1), rows([-1], [-1], [-1]))}, 0)
        seen.append(listed(tables.lookup({"t": ids(0, 1)})["t"]))
    np.testing.assert_allclose(seen, [[0, 0], [0.1, 0], [0.3, 0], [0.5, 0.1]], rtol=1e-6)


def test_touched_keys():
    touched = TouchedKeySet(1000, name_suffix="_ragged")
    tables = multi({"a": 1, "b": 1}, sync_client=touched)
    tables.apply_gradients({"a": (ids(1, 2), rows([1], [1])), "b": (ids(3), rows([1]))}, 0).assign({"a": (ids(9), rows([1]))})
    assert sorted(listed(touched.steal())) == [1, 2, 3]


def raw(tables, op, id, split, **kwargs):
    return getattr(ops.library(), op)(handle=tables.handle, id=tf.constant(id, tf.int64),
                                      id_split=tf.constant(split, tf.int64), **kwargs)


OPTIMIZE = dict(update_time=0, global_step=0, learning_rate=[1.0, 1.0])
MISTAKES = [
    ("monolith_tables_lookup_ragged", [1], [0, 1], {}, "id_split has 2 entries, but 2 tables need 3"),
    ("monolith_tables_lookup_ragged", [1], [0, 1, 1, 1], {}, "id_split has 4 entries"),
    ("monolith_tables_lookup_ragged", [1], [1, 1, 1], {}, "id_split begins at 1, not at 0"),
    ("monolith_tables_lookup_ragged", [1], [0, 0, 2], {}, "id_split ends at 2, but id has 1"),
    ("monolith_tables_lookup_ragged", [1], [0, 2, 1], {}, "table 'a': id_split[1] = 2 does not lie"),
    ("monolith_tables_lookup_ragged", [1], [0, -1, 1], {}, "table 'a': id_split[1] = -1 does not lie"),
    ("monolith_tables_lookup_entry", [1], [0, 1, 1, 1, 1], {}, "id_split has 5 entries, but 2 tables need 3"),
    ("monolith_tables_lookup_entry", [1], [0, 5, 1], {}, "table 'a': id_split[1] = 5 does not lie"),
    ("monolith_tables_lookup_entry", [1], [0, 1, 2], {}, "id_split goes from 0 to 2, but the ids from 0 to 1"),
    ("monolith_tables_assign_ragged", [1], [0, 0, 1], dict(value=[1.0], update_time=0), "table 'b': value is too short"),
    ("monolith_tables_assign_ragged", [1], [0, 1, 1], dict(value=[1.0, 2.0], update_time=0), "value has 2 floats"),
    ("monolith_tables_assign_ragged", [1], [0, 1, 1, 1, 1], dict(value=[1.0], update_time=0), "id_split has 5 entries"),
    ("monolith_tables_assign_ragged", [1], [0, 1, 1], dict(value=[1.0], update_time=[0]), "update_time must have rank 0"),
    ("monolith_tables_optimize", [1], [0, 1, 1], dict(value=[1.0], **OPTIMIZE | dict(learning_rate=[1.0])),
     "table 'b': learning_rate is too short"),
    ("monolith_tables_optimize", [1], [0, 1, 1], dict(value=[1.0], **OPTIMIZE | dict(learning_rate=[1.0] * 3)),
     "learning_rate has 3 rates, but the tables have 2 segments"),
    ("monolith_tables_optimize", [1], [0, 1, 1], dict(value=[1.0], **OPTIMIZE | dict(learning_rate=[[1.0, 1.0]])),
     "learning_rate must have rank 1"),
    ("monolith_tables_optimize", [1], [0, 1, 1], dict(value=[1.0], **OPTIMIZE | dict(global_step=[0])),
     "global_step must have rank 0"),
    ("monolith_tables_optimize", [1], [0, 1, 1], dict(value=[], **OPTIMIZE), "table 'a': value is too short"),
    ("monolith_tables_lookup_ragged", [[1]], [0, 1, 1], {}, "id must have rank 1"),
    ("monolith_tables_lookup_ragged", [1], [[0, 1, 1]], {}, "id_split must have rank 1"),
]


@pytest.mark.parametrize("op, id, split, kwargs, message", MISTAKES, ids=lambda v: v if isinstance(v, str) else "")
def test_mistakes(op, id, split, kwargs, message):
    tables = multi({"a": 1, "b": 2})
    with fails(message):
        raw(tables, op, id, split, **kwargs)
    assert listed(tables.size()) == [0, 0]


def test_ranks_are_checked_when_the_graph_is_built():
    with tf.Graph().as_default():
        tables = multi({"a": 1})
        for op, id, split, kwargs, message in MISTAKES:
            if "rank" in message:
                with pytest.raises(ValueError, match=message):
                    raw(tables, op, id, split, **kwargs)


def test_static_shapes():
    with tf.Graph().as_default():
        tables = multi({"a": 1, "b": 2})
        unknown = tf1.placeholder(tf.int64, [None])
        out = tables.lookup({"a": unknown, "b": ids(1, 2)})
        assert out["a"].shape.as_list() == [None, 1] and out["b"].shape.as_list() == [2, 2]
        assert raw(tables, "monolith_tables_lookup_entry", [1, 2], [0, 1, 2]).shape.as_list() == [2]
        assert tables.reinitialize("a", ids(1, 2, 3))[1].shape.as_list() == [3]
        assert tables.erase("a", unknown)[1].shape == [] and tables.evict(0)[1].shape.as_list() == [2]
        assert tables.assign({"a": (unknown, tf1.placeholder(tf.float32))}).handle.shape == []


def test_unknown_tables():
    tables = multi({"a": 1, "b": 2})
    for wrong in (lambda: tables.lookup({"c": ids(1)}), lambda: tables.assign({"c": (ids(1), rows([1]))}),
                  lambda: tables.apply_gradients({"c": (ids(1), rows([1]))}, 0), lambda: tables.lookup_entry({"c": ids(1)})):
        with fails("there is no table 'c'; there are a, b"):
            wrong()


def test_configs_that_cannot_be():
    with fails("table 'a': its config has no type"):
        no_type = table_config(1)
        no_type.table_config.ClearField("cuckoo")
        multi({"a": no_type})
    with pytest.raises(ValueError, match="table 'b': there are 2 learning rates for 1 segments"):
        multi({"a": 1, "b": table_config(1, rate=[1.0, 2.0])})


def test_writes_come_before_reads_through_the_copy():
    with tf.Graph().as_default(), tf1.Session() as session:
        tables = multi({"a": 1})
        for _ in range(20):
            written = tables.assign_add({"a": (ids(1), rows([1]))})
            tables = written
        assert session.run(tables.lookup({"a": ids(1)}))["a"].tolist() == [[20]]


NAMES = "abc"
BATCH = st.dictionaries(st.sampled_from(NAMES), st.lists(st.integers(-3, 3), max_size=6), max_size=3)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["assign", "add", "optimize", "erase"]), BATCH, st.integers(-5, 5)), max_size=8))
def test_against_a_dict(steps):
    dims = {"a": 1, "b": 2, "c": 5}
    tables = multi(dims)
    model = {name: {} for name in NAMES}
    for number, (what, batch, x) in enumerate(steps):
        values = {n: np.float32([[x + number + i + d for d in range(dims[n])] for i in range(len(k))]).reshape(-1, dims[n])
                  for n, k in batch.items()}
        pairs = {n: (ids(*k), tf.constant(values[n])) for n, k in batch.items()}
        if what == "erase":
            for name, keys in batch.items():
                tables, erased = tables.erase(name, ids(*keys))
                assert int(erased) == sum(model[name].pop(k, None) is not None for k in keys)
            continue
        tables = {"assign": tables.assign, "add": tables.assign_add,
                  "optimize": lambda p: tables.apply_gradients(p, 0)}[what](pairs)
        for name, keys in batch.items():
            for key, value in zip(keys, values[name]):
                old = model[name].get(key, np.zeros(dims[name], np.float32))
                model[name][key] = {"assign": value, "add": old + value, "optimize": old - value}[what]
    out = tables.lookup({n: ids(*range(-3, 4)) for n in NAMES})
    for name in NAMES:
        np.testing.assert_array_equal(out[name], [model[name].get(k, np.zeros(dims[name])) for k in range(-3, 4)])
    assert listed(tables.size()) == [len(model[n]) for n in NAMES]


def test_batches_worth_threads():
    n = 60_000
    tables = multi({"a": 3, "b": 1})
    keys = tf.range(n, dtype=tf.int64)
    values = tf.reshape(tf.cast(keys, tf.float32), [-1, 1]) * [1.0, 2.0, 3.0]
    tables = tables.assign({"a": (keys, values), "b": (keys, values[:, :1])})
    tables = tables.apply_gradients({"a": (keys, tf.ones([n, 3])), "b": (keys, tf.ones([n, 1]))}, 0)
    out = tables.lookup({"a": keys[::-1], "b": keys})
    np.testing.assert_array_equal(out["a"], values[::-1] - 1)
    np.testing.assert_array_equal(out["b"], values[:, :1] - 1)
