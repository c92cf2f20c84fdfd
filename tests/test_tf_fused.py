"""Lookups and steps for several shards at once, of several single tables and of one multi table, against a model in numpy."""

import itertools

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from tf_table_helpers import fails, ids, listed, multi, rows, table_config  # noqa: E402

from monolith_cli.tables import hash_table  # noqa: E402

tf1 = tf.compat.v1


class Singles:
    """Tables of their own, each a resource."""

    def __init__(self, configs):
        self.tables = [hash_table.hash_table_from_config(c, name_suffix=f"fused_{next(SERIAL)}") for c in configs]

    def assign(self, t, keys, values):
        self.tables[t] = self.tables[t].assign(keys, values)

    def rows(self, t, keys):
        return self.tables[t].lookup(keys)

    def lookup(self, *args, **kwargs):
        return hash_table.fused_lookup(self.tables, *args, **kwargs)

    def optimize(self, *args, **kwargs):
        self.tables = hash_table.fused_apply_gradient(self.tables, *args, **kwargs)


class Multi:
    """The same in one resource."""

    def __init__(self, configs):
        self.tables = multi({f"t{i:02}": c for i, c in enumerate(configs)})

    def assign(self, t, keys, values):
        self.tables = self.tables.assign({f"t{t:02}": (keys, values)})

    def rows(self, t, keys):
        return self.tables.lookup({f"t{t:02}": keys})[f"t{t:02}"]

    def lookup(self, *args, **kwargs):
        return self.tables.fused_lookup(*args, **kwargs)

    def optimize(self, *args, **kwargs):
        self.tables = self.tables.fused_apply_gradient(*args, **kwargs)


SERIAL = itertools.count()
KINDS = pytest.mark.parametrize("kind", [Singles, Multi])


def made(kind, dims, **kwargs):
    return kind([table_config(d, **kwargs) for d in dims])


def optimize(tables, keys, sizes, grads, shards, **kwargs):
    keys, sizes = ids(*keys), tf.constant(sizes)
    _, _, id_offsets, offsets, indices = tables.lookup(keys, sizes, shards)
    tables.optimize(keys, indices, sizes, tf.constant(np.float32(grads)), id_offsets, offsets, 0, shards, **kwargs)


@KINDS
def test_lookup_of_three_tables_and_two_shards(kind):  # V11.1
    tables = made(kind, [1, 1, 2])
    tables.assign(0, ids(0, 1), rows([1], [1]))
    tables.assign(1, ids(3, 4), rows([0], [0]))
    tables.assign(2, ids(6, 7), rows([1, 1], [1, 1]))
    out = tables.lookup(ids(0, 4, 6, 1, 3, 7), tf.ones([6], tf.int32), 2)
    assert [listed(o) for o in out] == [[1, 0, 1, 1, 1, 0, 1, 1], [4, 4], [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 4, 5, 6, 8],
                                        [0, 4, 6, 1, 3, 7]]
    assert [o.dtype for o in out] == [tf.float32, tf.int32, tf.int32, tf.int32, tf.int64]


@KINDS
def test_lookup_with_empty_blocks(kind):  # V11.2
    tables = made(kind, [1, 2, 2])
    tables.assign(0, ids(0), rows([1]))
    tables.assign(1, ids(1), rows([2, 2]))
    tables.assign(2, ids(2, 3), rows([4, 4], [8, 8]))
    out = tables.lookup(ids(0, 2, 1, 3), tf.constant([1, 0, 1, 0, 1, 1]), 2)
    assert [listed(o) for o in out[:4]] == [[1, 4, 4, 2, 2, 8, 8], [3, 4], [0, 1, 1, 2, 2, 3, 4], [0, 1, 1, 3, 3, 5, 7]]


@KINDS
def test_lookup_of_one_shard(kind):  # V11.3
    tables = made(kind, [1, 2, 2])
    out = tables.lookup(ids(0, 1, 2, 3), tf.constant([1, 1, 2]), 1)
    assert [listed(o) for o in out] == [[0] * 7, [7], [0, 1, 2, 4], [0, 1, 3, 7], [0, 1, 2, 3]]
    assert [listed(o) for o in tables.lookup(ids(), tf.constant([0, 0, 0]), 1)] == [[], [0], [0] * 4, [0] * 4, []]


@KINDS
def test_optimize_of_two_shards(kind):  # V11.4
    tables = made(kind, [1, 2], rate=0.1)
    tables.assign(0, ids(0, 1), rows([1], [1]))
    optimize(tables, [0, 4, 1, 3], [1, 1, 1, 1], [-1, -2, -2, -1, -2, -2], 2)
    out = tables.lookup(ids(0, 4, 1, 3), tf.ones([4], tf.int32), 2)[0]
    np.testing.assert_allclose(out, [1.1, 0.2, 0.2, 1.1, 0.2, 0.2], rtol=1e-6)


@KINDS
def test_an_id_of_two_shards_is_updated_for_each(kind):  # V11.5
    tables = made(kind, [1, 2])
    optimize(tables, [1, 1], [1, 0, 1, 0], [1, 2], 2, enable_grad_accumulation=True)
    assert listed(tables.lookup(ids(1, 1), tf.constant([1, 0, 1, 0]), 2)[0]) == [-3, -3]


@KINDS
def test_optimize_of_one_shard(kind):  # V11.6
    tables = made(kind, [1, 2])
    optimize(tables, [0, 1, 2], [1, 2], [2, 1, 3, 2, 4], 1)
    out = tables.lookup(ids(0, 1, 2), tf.constant([1, 2]), 1)
    assert [listed(o) for o in out[:4]] == [[-2, -1, -3, -2, -4], [5], [0, 1, 3], [0, 1, 5]]


@KINDS
def test_accumulation_is_one_step_with_the_sum(kind):
    from monolith_cli.tables import config

    adagrad = config.AdagradOptimizer(initial_accumulator_value=1.0)
    for accumulate, expected in ((True, -2 / np.sqrt(5)), (False, -1 / np.sqrt(2) - 1 / np.sqrt(3))):
        tables = made(kind, [1], optimizer=adagrad)
        optimize(tables, [5, 5], [2], [1, 1], 1, enable_grad_accumulation=accumulate)
        np.testing.assert_allclose(listed(tables.rows(0, ids(5))), [expected], rtol=1e-6)


@KINDS
def test_rates_of_several_segments(kind):
    tables = kind([table_config(1, rate=[1.0, 10.0], segments=2), table_config(1, rate=100.0)])
    optimize(tables, [1, 1], [1, 1], [1, 1, 1], 1)
    assert listed(tables.rows(0, ids(1))) == [-1, -10] and listed(tables.rows(1, ids(1))) == [-100]


@KINDS
def test_req_time_is_the_time_of_the_update(kind, tmp_path):
    tables = made(kind, [1], days=1)
    optimize(tables, [1], [1], [1], 1, req_time=1000)
    optimize(tables, [2], [1], [1], 1, req_time=tf.constant(1000 + 86400, tf.int64))
    table = tables.tables[0] if kind is Singles else tables.tables
    table.save(str(tmp_path / "t")).restore(str(tmp_path / "t"))
    assert listed(tables.rows(0, ids(1, 2))) == [0, -1]


@settings(max_examples=20)
@given(data=st.data(), kind=st.sampled_from([Singles, Multi]), shards=st.integers(1, 4), accumulate=st.booleans(),
       dims=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_against_a_dict(data, kind, shards, dims, accumulate):
    tables = made(kind, dims)
    model = [{} for _ in dims]
    for _ in range(2):
        blocks = [data.draw(st.lists(st.integers(0, 4), max_size=5)) for _ in range(shards * len(dims))]
        keys, sizes = [k for b in blocks for k in b], [len(b) for b in blocks]
        grads = []
        for j, block in enumerate(blocks):
            t = j % len(dims)
            for key in block:
                grad = np.float32([j + key + d for d in range(dims[t])])
                model[t][key] = model[t].get(key, np.zeros(dims[t], np.float32)) - grad
                grads.extend(grad.tolist())
        optimize(tables, keys, sizes, grads, shards, enable_grad_accumulation=accumulate)
        out, splits, id_offsets, offsets, _ = tables.lookup(ids(*keys), tf.constant(sizes, tf.int32), shards)
        expected = [x for j, b in enumerate(blocks) for key in b for x in model[j % len(dims)][key].tolist()]
        assert listed(out) == expected
        floats = [len(b) * dims[j % len(dims)] for j, b in enumerate(blocks)]
        assert listed(id_offsets) == [0, *np.cumsum(sizes)] and listed(offsets) == [0, *np.cumsum(floats)]
        assert listed(splits) == np.reshape(floats, [shards, -1]).sum(1).tolist()


@KINDS
def test_blocks_worth_threads(kind):
    n, shards = 9000, 4
    tables = made(kind, [2, 1])
    keys = tf.tile(tf.range(n, dtype=tf.int64), [shards * 2])
    sizes = tf.fill([shards * 2], n)
    out, splits, id_offsets, offsets, indices = tables.lookup(keys, sizes, shards)
    tables.optimize(keys, indices, sizes, tf.ones_like(out), id_offsets, offsets, 0, shards)
    after = tables.lookup(keys, sizes, shards)[0]
    assert listed(splits) == [n * 3] * shards
    np.testing.assert_array_equal(after, -shards * np.ones(n * 3 * shards))


LOOKUP_MISTAKES = [
    ((1, 2), [1, 1], 2, "fused_slot_size has 2 entries, but 2 tables and 2 shards need 4"),
    ((1, 2), [1, 1, 0, 0, 0], 2, "fused_slot_size has 5 entries"),
    ((1, 2), [1, 2, 0, 0], 2, "ids has 2 entries, but fused_slot_size adds up to 3"),
    ((1, 2), [1, 0, 0, 0], 2, "ids has 2 entries, but fused_slot_size adds up to 1"),
    ((1, 2), [2**31 - 1, 2**31 - 1, 0, 0], 2, "ids has 2 entries, but fused_slot_size adds up to 4294967294"),
]


@KINDS
@pytest.mark.parametrize("keys, sizes, shards, message", LOOKUP_MISTAKES)
def test_mistakes_in_a_lookup(kind, keys, sizes, shards, message):
    tables = made(kind, [1, 2])
    with fails(message):
        tables.lookup(ids(*keys), tf.constant(sizes), shards)


@KINDS
def test_a_size_below_zero_names_its_table(kind):
    tables = made(kind, [1, 2])
    with fails(r"table '(t00|fused_\d+)': fused_slot_size\[2\] is -1", literal=False):
        tables.lookup(ids(1, 2), tf.constant([2, 1, -1, 0]), 2)


OPTIMIZE_MISTAKES = [
    (dict(id_offsets=[0, 1]), "id_offsets has 2 entries, but 2 blocks need 3"),
    (dict(grad_offsets=[0, 1]), "grad_offsets has 2 entries, but 2 blocks need 3"),
    (dict(id_offsets=[0, 2, 2]), "its block at id_offsets[1] = 2 ends at 3, but ids has 2"),
    (dict(id_offsets=[-1, 1, 2]), "its block at id_offsets[0] = -1"),
    (dict(grad_offsets=[0, 2, 3]), "its block at grad_offsets[1] = 2 ends at 4, but id_grads has 3"),
    (dict(id_grads=[1.0, 1.0]), "its block at grad_offsets[1] = 1 ends at 3, but id_grads has 2"),
    (dict(fused_slot_size=[1, 1, 1]), "fused_slot_size has 3 entries"),
    (dict(fused_slot_size=[1, 0]), "ids has 2 entries, but fused_slot_size adds up to 1"),
    (dict(id_grads=[[1.0, 1.0, 1.0]]), "id_grads must have rank 1"),
    (dict(global_step=[1]), "global_step must have rank 0"),
    (dict(ids=[[1, 2]]), "ids must have rank 1"),
]


@KINDS
@pytest.mark.parametrize("wrong, message", OPTIMIZE_MISTAKES)
def test_mistakes_in_a_step(kind, wrong, message):
    tables = made(kind, [1, 2])
    right = dict(ids=[1, 2], indices=[1, 2], fused_slot_size=[1, 1], id_grads=[1.0, 1.0, 1.0], id_offsets=[0, 1, 2],
                 grad_offsets=[0, 1, 3], global_step=0, num_of_shards=1)
    with fails(message):
        tables.optimize(**right | wrong)
    assert listed(tables.rows(0, ids(1))) == [0]
    tables.optimize(**right)
    assert listed(tables.rows(0, ids(1))) == [-1] and listed(tables.rows(1, ids(2))) == [-1, -1]


@KINDS
def test_static_shapes(kind):
    with tf.Graph().as_default():
        tables = made(kind, [1, 2])
        keys = tf1.placeholder(tf.int64, [None])
        out = tables.lookup(keys, tf1.placeholder(tf.int32, [6]), 3)
        assert [o.shape.as_list() for o in out] == [[None], [3], [7], [7], [None]]
        with pytest.raises(ValueError, match="fused_slot_size must have rank 1"):
            tables.lookup(keys, tf.zeros([2, 3], tf.int32), 3)
        with pytest.raises(ValueError, match="num_of_shards"):
            tables.lookup(keys, tf.zeros([0], tf.int32), 0)


def test_serving_tables_are_not_trained():
    tables = Multi([table_config(1), table_config(1, serving=True)])
    with fails("table 't01' is for serving"):
        optimize(tables, [1, 1], [1, 1], [1, 1], 1)
    assert listed(tables.rows(0, ids(1))) == [0]
