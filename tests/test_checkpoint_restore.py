"""Checkpoints into the same tables and into others: other shapes, names, shards and servers."""

import numpy as np
import pytest
from checkpoint_model import config, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_table_checkpoint import put

from monolith_cli.errors import BadDataError, ConfigError, NoInputError, UsageError
from monolith_cli.tables.config import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    AmsgradOptimizer,
    BatchSoftmaxOptimizer,
    FtrlOptimizer,
    MomentumOptimizer,
    MovingAverageOptimizer,
    RmspropOptimizer,
    RmspropV2Optimizer,
    SgdOptimizer,
)

OPTIMIZERS = [AdagradOptimizer, SgdOptimizer, FtrlOptimizer, AdamOptimizer, AmsgradOptimizer, AdadeltaOptimizer, MomentumOptimizer,
              MovingAverageOptimizer, RmspropOptimizer, RmspropV2Optimizer, BatchSoftmaxOptimizer, AdaGradWithGroupLassoOptimizer]  # fmt: skip


def rows_of(t, table, keys):
    return {int(k): t.row(table, int(k)) for k in keys}


def trained(t, table, keys, segments, steps=3, seed=0):
    """Keys with state behind them that no initializer makes."""
    rng = np.random.default_rng(seed)
    dim = t.dim(table)
    for step in range(steps):
        grads = rng.normal(size=(len(keys), dim)).astype(np.float32)
        t.optimize(table, np.array(keys, np.int64), grads, [0.1] * segments, req_time=100 + step, global_step=step + 1)


def test_names():  # V13
    from monolith_cli.tables import names

    assert names.merged_table_name(["slot1", "slot0"]) == ("e21904dd414d1780e5fc904866dc69c2", [])
    assert names.merged_table_name(["slot1", "slot2"])[0] == "34dff150e9fcf28c6de40f4bb6b61cd8"
    assert names.merged_table_name(["fc_slot_0"]) == ("1607be845c6c1cc0c52f208940ddba66", ["cde3ba88ba62b682f84241b273f8100c"])
    prefix = "/m/model.ckpt-10"
    assert names.table_basename(prefix, "ab_0") == "/m/model.ckpt-10.assets/MonolithHashTable_ab_0"
    assert names.table_basename(prefix, "a:b/c") == "/m/model.ckpt-10.assets/MonolithHashTable_a-b-c"
    assert names.multi_table_basename(prefix, 3) == "/m/model.ckpt-10.assets/MonolithMultiHashTable_3"
    assert names.hash_filter_basename(prefix, 3) == "/m/model.ckpt-10.assets/hash_filter_3"
    assert names.info_path(prefix) == "/m/ckpt.info-10"


# --- modes ---------------------------------------------------------------------------------------------------------------


def test_pad_keeps_weights_and_state_and_starts_the_rest(tmp_path):
    a = opened(movie=config((1, FtrlOptimizer()), (2, AdamOptimizer())))
    trained(a, "movie", [5, -7], 2)
    a.save(str(tmp_path / "m"))
    before, _ = a.row("movie", 5)
    b = opened(movie=config((1, FtrlOptimizer()), (4, AdamOptimizer()), (1, SgdOptimizer()), initial=0.5))
    with pytest.raises(ConfigError, match=r"'movie', key (5|-7): the checkpoint has dim 3, ftrl state of 2.*adam state of 6.*configured with dim 6"):
        b.restore(str(tmp_path / "m"))
    with pytest.raises(ConfigError, match="restore mode 'pad' is needed too"):
        b.restore(str(tmp_path / "m"), modes=["truncate"])
    assert b.sizes() == {"movie": 0}
    report = b.restore(str(tmp_path / "m"), modes=["pad"])
    assert report == {"rows": 2, "adapted_rows": 2, "other_parts": 0, "unknown_tables": [], "missing_tables": []}
    weights, ts = b.row("movie", 5)
    fresh = opened(movie=config((1, FtrlOptimizer()), (4, AdamOptimizer()), (1, SgdOptimizer()), initial=0.5))
    fresh.assign_add("movie", np.array([5], np.int64), np.zeros((1, 6), np.float32))
    new, _ = fresh.row("movie", 5)
    # weights: ftrl 1, adam 4, sgd 1; ftrl: norm 1, zero 1; adam: m 4, v 4, powers 2
    assert weights[:3] == before[:3] and weights[3:6] == new[3:6] == [0.5] * 3
    assert weights[6:8] == before[3:5]
    assert weights[8:10] == before[5:7] and weights[10:12] == new[10:12]
    assert weights[12:14] == before[7:9] and weights[14:16] == new[14:16]
    assert weights[16:18] == before[9:11] and ts == 102


def test_truncate_and_reset_state(tmp_path):
    a = opened(movie=config((3, AdagradOptimizer(0.1, 0.25)), (2, AdagradOptimizer(0.1, 0.25))))
    trained(a, "movie", range(40), 2)
    a.save(str(tmp_path / "m"), 3)
    b = opened(movie=config((2, AdagradOptimizer(0.1, 0.25))))
    b.restore(str(tmp_path / "m"), modes=["truncate"])
    for k in range(40):
        old, new = a.row("movie", k)[0], b.row("movie", k)[0]
        assert new == old[:2] + old[5:7]
    c = opened(movie=config((3, MomentumOptimizer()), (2, AdagradOptimizer(0.1, 0.25))))
    with pytest.raises(ConfigError, match="restore mode 'reset-state' is needed too"):
        c.restore(str(tmp_path / "m"), modes=["pad", "truncate"])
    c.restore(str(tmp_path / "m"), modes=["reset-state"])
    for k in range(40):
        old, new = a.row("movie", k)[0], c.row("movie", k)[0]
        assert new == old[:5] + [0, 0, 0] + old[8:10]
    # All at once: another optimizer, fewer weights in one segment, one segment more.
    d = opened(movie=config((2, FtrlOptimizer()), (2, AdagradOptimizer(0.1, 0.25)), (1, SgdOptimizer())))
    d.restore(str(tmp_path / "m"), modes=["pad", "truncate", "reset-state"])
    old, new = a.row("movie", 7)[0], d.row("movie", 7)[0]
    assert new[:5] == [*old[:2], *old[3:5], 0] and new[-2:] == old[8:10]


def test_rows_without_state_need_reset_state(tmp_path):
    """An item dump has neither state nor time."""
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    tf = pytest.importorskip("tensorflow")
    with tf.io.TFRecordWriter(str(tmp_path / "t-00000-of-00001")) as w:
        w.write(EntryDump(id=9, num=[1, 2]).SerializeToString())
    t = opened(t=config((2, AdagradOptimizer(0.1, 0.25))))
    with pytest.raises(ConfigError, match="no optimizer state"):
        t.restore_table("t", str(tmp_path / "t"))
    t.restore_table("t", str(tmp_path / "t"), modes=["reset-state"])
    assert t.row("t", 9) == ([1, 2, 0.25, 0.25], 0)


def test_tables_that_come_and_go_and_change_their_names(tmp_path):
    a = opened(old=config((1, SgdOptimizer())), gone=config((1, SgdOptimizer())))
    put(a, "old", {1: [10]})
    put(a, "gone", {2: [20]})
    a.save(str(tmp_path / "m"))
    b = opened(new=config((1, SgdOptimizer())), fresh=config((1, SgdOptimizer())))
    report = b.restore(str(tmp_path / "m"), old_names={"new": ["older", "old"]})
    assert report["unknown_tables"] == ["gone"] and report["missing_tables"] == ["fresh"]
    assert b.row("new", 1) == ([10], 0) and b.sizes() == {"new": 1, "fresh": 0}
    with pytest.raises(ConfigError, match="has a table 'gone' that is not here"):
        b.restore(str(tmp_path / "m"), modes=["known-tables"], old_names={"new": ["old"]})
    assert b.sizes() == {"new": 1, "fresh": 0}, "what is found before rows are read leaves tables alone"
    with pytest.raises(ConfigError, match="'old' of the checkpoint is asked for by two tables, 'fresh' and 'new'"):
        b.restore(str(tmp_path / "m"), old_names={"new": ["old"], "fresh": ["old"]})
    with pytest.raises(UsageError, match="no restore mode 'wide'"):
        b.restore(str(tmp_path / "m"), modes=["wide"])
    # A single table: its files under an older name.
    a.save_table("old", str(tmp_path / "MonolithHashTable_old"))
    b.restore_table("new", str(tmp_path / "MonolithHashTable_new"), old_names={"new": ["MonolithHashTable_old"]})
    assert b.row("new", 1) == ([10], 0)
    with pytest.raises(NoInputError):
        b.restore_table("new", str(tmp_path / "MonolithHashTable_new"))
    with pytest.raises(BadDataError, match="of several tables, not of one"):
        b.restore_table("new", str(tmp_path / "m"))


def test_keys_of_servers_meet_again_on_another_number_of_servers(tmp_path):
    keys = [*range(-50, 50), 1 << 62, -(1 << 62)]
    for part in range(3):
        server = opened(t=config((1, SgdOptimizer())))
        put(server, "t", {k: [k % 1000] for k in keys if k % 3 == part})
        server.save(str(tmp_path / f"MonolithMultiHashTable_{part}"), 1 + part)
        server.close()
    seen = set()
    for part in range(2):
        server = opened(t=config((1, SgdOptimizer())))
        report = server.restore([str(tmp_path / f"MonolithMultiHashTable_{i}") for i in range(3)], part=part, parts=2)
        mine = [k for k in keys if k % 2 == part]  # Python's modulo is floormod
        assert server.sizes() == {"t": len(mine)} and report["other_parts"] == len(keys) - len(mine)
        assert all(server.row("t", k) == ([k % 1000], 0) for k in mine)
        seen.update(mine)
    assert seen == set(keys)
    with pytest.raises(UsageError, match="no part 2 of 2"):
        server.restore(str(tmp_path / "MonolithMultiHashTable_0"), part=2, parts=2)


# --- round trips ---------------------------------------------------------------------------------------------------------

_segments = st.lists(st.tuples(st.integers(1, 9), st.sampled_from(OPTIMIZERS)), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(segments=st.dictionaries(st.sampled_from("abc"), _segments, min_size=1), keys=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=80),
       shards=st.integers(1, 7), again=st.integers(1, 7), seed=st.integers(0, 99))  # fmt: skip
def test_random_tables_come_back_bit_by_bit(tmp_path, segments, keys, shards, again, seed):
    segments = {n: [(1 if o is BatchSoftmaxOptimizer else d, o()) for d, o in s] for n, s in segments.items()}
    a = opened(**{n: config(*s) for n, s in segments.items()})
    b = opened(**{n: config(*s) for n, s in segments.items()})
    for name in segments:
        trained(a, name, keys, len(segments[name]), seed=seed)
    a.save(str(tmp_path / "a"), shards)
    b.restore(str(tmp_path / "a"))
    b.save(str(tmp_path / "b"), again)
    a.restore(str(tmp_path / "b"))
    assert a.sizes() == b.sizes() == dict.fromkeys(segments, len(set(keys)))
    for name in segments:
        first, second = rows_of(a, name, keys), rows_of(b, name, keys)
        for k in first:
            assert np.array(first[k][0], np.float32).tobytes() == np.array(second[k][0], np.float32).tobytes() and first[k][1] == second[k][1]
        one = opened(**{name: config(*segments[name])})
        a.save_table(name, str(tmp_path / "one"), shards)
        one.restore_table(name, str(tmp_path / "one"))
        assert repr(rows_of(one, name, keys)) == repr(first)
        one.close()
    a.close()
    b.close()
