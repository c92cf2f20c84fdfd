"""Checkpoints into other tables, other shards, other servers; deltas; and any damage of any file."""

import itertools
import os
import shutil

import numpy as np
import pytest
from checkpoint_model import TABLES, Expected, advance
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_table_checkpoint import put

from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, ConfigError, IoError, NoInputError, UsageError
from monolith_cli.tables.config import (
    AdadeltaOptimizer,
    AdagradOptimizer,
    AdaGradWithGroupLassoOptimizer,
    AdamOptimizer,
    AmsgradOptimizer,
    BatchSoftmaxOptimizer,
    CombineAsSegment,
    ConstantsInitializer,
    CuckooHashTableConfig,
    Fp32Compressor,
    FtrlOptimizer,
    MomentumOptimizer,
    MovingAverageOptimizer,
    RmspropOptimizer,
    RmspropV2Optimizer,
    SgdOptimizer,
    ZerosInitializer,
)

_numbers = itertools.count()
OPTIMIZERS = [AdagradOptimizer, SgdOptimizer, FtrlOptimizer, AdamOptimizer, AmsgradOptimizer, AdadeltaOptimizer, MomentumOptimizer,
              MovingAverageOptimizer, RmspropOptimizer, RmspropV2Optimizer, BatchSoftmaxOptimizer, AdaGradWithGroupLassoOptimizer]  # fmt: skip


def config(*segments, initial=None, expire_days=None):
    """segments: (dim, optimizer). initial: of every weight."""
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    initializer = ZerosInitializer() if initial is None else ConstantsInitializer(initial)
    proto = EmbeddingHashTableConfig()
    proto.entry_config.segments.extend(CombineAsSegment(d, initializer, o, Fp32Compressor()) for d, o in segments)
    CuckooHashTableConfig().mutate_table(proto)
    if expire_days is not None:
        proto.slot_expire_time_config.default_expire_time = expire_days
    return proto.SerializeToString()


def opened(**configs):
    return _core.MultiTable(f"test_restore_{next(_numbers)}", configs)


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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


# --- deltas --------------------------------------------------------------------------------------------------------------


def generations(folder, last, shards=2):
    """A base g1 and deltas g2 … of one training; the tables."""
    tables = opened(**{t: config((4, AdagradOptimizer())) for t in TABLES})
    for g in range(1, last + 1):
        advance(tables, g)
        base = str(folder / f"g{g}")
        if g == 1:
            tables.save_base(base, shards)
        else:
            assert tables.save_delta(base, 1 + g % 3)
    return tables


def test_every_link_of_a_chain_restores(tmp_path):
    tables, expected = generations(tmp_path, 6), Expected()
    for g in range(1, 7):
        tables.restore(str(tmp_path / f"g{g}"))
        expected.check(tables, g)
        assert [os.path.basename(p) for p in _core.checkpoint_chain(str(tmp_path / f"g{g}"))] == [f"g{i}" for i in range(1, g + 1)]
    assert not tables.save_delta(str(tmp_path / "after")), "a restore ends the chain"
    # Moved as a whole, it is still a chain.
    os.rename(tmp_path, tmp_path.parent / "moved")
    try:
        tables.restore(str(tmp_path.parent / "moved" / "g5"))
        expected.check(tables, 5)
    finally:
        os.rename(tmp_path.parent / "moved", tmp_path)


def test_compaction_is_the_chain(tmp_path):
    tables, expected = generations(tmp_path, 7), Expected()
    rows = sum(len(r) for r in expected.at(6).values())
    assert _core.compact_checkpoint(str(tmp_path / "g6"), str(tmp_path / "whole"), 3) == rows
    for g in range(1, 7):
        for f in tmp_path.glob(f"g{g}*"):
            f.unlink()
    tables.restore(str(tmp_path / "whole"))
    expected.check(tables, 6)
    assert _core.feature_counts(str(tmp_path / "whole")) == {t: len(expected.at(6)[t]) for t in TABLES}
    with pytest.raises(BadDataError, match=r"g1\.manifest: at byte 0: is missing, which .*g7\.manifest continues"):
        tables.restore(str(tmp_path / "g7"))


def test_compaction_over_itself(tmp_path):
    tables, expected = generations(tmp_path, 4), Expected()
    _core.compact_checkpoint(str(tmp_path / "g4"), str(tmp_path / "g4"))
    assert not list(tmp_path.glob("g4.delta.*")) and _core.checkpoint_chain(str(tmp_path / "g4")) == [str(tmp_path / "g4")]
    tables.restore(str(tmp_path / "g4"))
    expected.check(tables, 4)


def test_a_delta_is_no_whole_checkpoint_to_any_reader(tmp_path):
    import re

    generations(tmp_path, 2)
    names = [f.name for f in tmp_path.glob("g2*")]
    assert any(".delta." in n for n in names)
    assert not any(re.fullmatch(r".+-\d{5}-of-\d{5}", n) for n in names)  # the pattern of 14.1
    (tmp_path / "g2.manifest").unlink()
    tables = opened(a=config((4, AdagradOptimizer())))
    with pytest.raises(NoInputError, match="no checkpoint files"):
        tables.restore(str(tmp_path / "g2"))


def test_table_commands_read_a_chain_as_the_state_it_is(tmp_path):
    import json

    from monolith_cli.tables import tools

    generations(tmp_path, 5)
    expected, lines = Expected().at(5), []
    assert tools.verify(str(tmp_path / "g5"))["findings"] == []
    assert {t["table"]: t["keys"] for t in tools.statistics(str(tmp_path / "g5"))["tables"]} == {t: len(expected[t]) for t in TABLES}
    tools.json_lines(str(tmp_path / "g5"), write=lines.append)
    rows = [json.loads(line) for line in b"".join(lines).decode().splitlines()]
    assert len(rows) == sum(map(len, expected.values()))
    for row in rows:
        weights, ts = expected[row["table"]][int(row["fid"])]
        assert np.array(row["weights"], np.float32).tobytes() == weights.tobytes() and row["last_update"] == ts
    link = tmp_path / "g3.delta.00000-of-00001"
    link.write_bytes(link.read_bytes()[:-2])
    assert link.name in tools.verify(str(tmp_path / "g5"))["findings"][0]
    (tmp_path / "g1.manifest").unlink()
    assert "g1.manifest: at byte 0: is missing" in tools.verify(str(tmp_path / "g5"))["findings"][0]


def test_expired_rows_of_a_delta_are_gone(tmp_path):
    t = opened(t=config((1, SgdOptimizer()), expire_days=1))
    put(t, "t", {1: [1], 2: [2]}, req_time=1000)
    t.save_base(str(tmp_path / "base"))
    put(t, "t", {3: [3]}, req_time=1000 + 86400)
    put(t, "t", {2: [5]}, req_time=1001)
    assert t.save_delta(str(tmp_path / "delta"))
    t.restore(str(tmp_path / "delta"))
    assert {k for k in (1, 2, 3) if t.row("t", k)} >= {2, 3} and t.row("t", 2) == ([5], 1001)


# --- damage --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    tables = generations(folder, 3)
    tables.save_table("a", str(folder / "single"), 2)
    yield folder, {f.name: f.read_bytes() for f in folder.iterdir()}, tables
    tables.close()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_found_or_harmless(chain, data):
    folder, files, tables = chain
    name = data.draw(st.sampled_from(sorted(files)))
    whole = files[name]
    at = data.draw(st.integers(0, len(whole) - 1))
    how = data.draw(st.sampled_from(["flip", "cut", "drop", "grow", "remove", "other file"]))
    damaged = {
        "flip": whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :],
        "cut": whole[:at],
        "drop": whole[:at] + whole[at + 1 :],
        "grow": whole + whole[: at + 1],
        "other file": files[data.draw(st.sampled_from(sorted(files)))],
        "remove": None,
    }[how]
    path = folder / name
    try:
        path.unlink() if damaged is None else path.write_bytes(damaged)
        for restore, check in (
            (lambda: tables.restore(str(folder / "g3")), lambda: Expected().check(tables, 3)),
            (lambda: tables.restore_table("a", str(folder / "single")), lambda: single_is_whole(tables)),
        ):
            try:
                restore()
            except (BadDataError, NoInputError) as e:
                assert str(folder) in str(e) and (": at byte " in str(e) or "missing" in str(e) or "there are no" in str(e)), e
            else:
                check()
    finally:
        path.write_bytes(whole)


def single_is_whole(tables):
    expected = Expected().at(3)["a"]
    assert tables.sizes()["a"] == len(expected)
    keys = np.array(list(expected), np.int64)
    assert tables.lookup("a", keys).tobytes() == np.array([row for row, _ in expected.values()]).tobytes()


def test_files_of_two_saves_do_not_mix(tmp_path):
    """Each file by itself is right; only the manifest can tell."""
    t = opened(a=config((1, SgdOptimizer())))
    put(t, "a", {k: [k] for k in range(100)})
    t.save(str(tmp_path / "x"), 2)
    put(t, "a", {k: [k + 1] for k in range(100)})
    t.save(str(tmp_path / "y"), 2)
    shutil.copy(tmp_path / "y-00001-of-00002", tmp_path / "x-00001-of-00002")
    with pytest.raises(BadDataError, match=r"x-00001-of-00002: at byte \d+: .*(manifest|bytes)"):
        t.restore(str(tmp_path / "x"))
    (tmp_path / "x.manifest").unlink()  # as the original system writes it
    t.restore(str(tmp_path / "x"))


# --- disks ---------------------------------------------------------------------------------------------------------------


def test_a_full_disk_keeps_the_chain(tmp_path):
    import resource
    import signal

    t = opened(a=config((64, SgdOptimizer())))
    keys = np.arange(5000, dtype=np.int64)
    rng = np.random.default_rng(0)
    t.assign("a", keys, rng.normal(size=(5000, 64)).astype(np.float32))
    t.save_base(str(tmp_path / "base"))
    changed = rng.normal(size=(5000, 64)).astype(np.float32)
    t.assign("a", keys, changed)
    before = {f.name: f.read_bytes() for f in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(IoError, match="cannot write"):
            t.save_delta(str(tmp_path / "delta"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == before
    assert t.save_delta(str(tmp_path / "delta"))  # what could not be saved still counts as changed
    t.restore(str(tmp_path / "delta"))
    assert t.lookup("a", keys).tobytes() == changed.tobytes()


def test_files_are_synced_before_they_are_renamed_and_the_directory_after(tmp_path):
    import subprocess
    import sys

    if not shutil.which("strace"):
        pytest.skip("there is no strace")
    program = (
        "import sys, numpy as np; from monolith_cli._native import _core\n"
        "t = _core.MultiTable('s', {'a': bytes.fromhex(sys.argv[2])})\n"
        "t.assign('a', np.arange(9, dtype=np.int64), np.ones((9, 1), np.float32))\n"
        "t.save(sys.argv[1] + '/deep/m', 2); t.save(sys.argv[1] + '/deep/m', 1)\n"
    )
    log = tmp_path / "log"
    line = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,rename,unlink,mkdir", "-o", str(log), sys.executable, "-c", program,
            str(tmp_path), config((1, SgdOptimizer())).hex()]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    events = [text.split(maxsplit=1)[1] for text in log.read_text().splitlines() if str(tmp_path) in text]
    synced, pending = set(), []  # names that are on the disk; renames and removals whose directory is not synced yet
    journals = 0
    for event in events:
        call, _, rest = event.partition("(")
        if call == "fsync":
            path = rest[rest.index("<") + 1 : rest.index(">")]
            synced.add(path)
            pending = [p for p in pending if os.path.dirname(p) != path]
        elif call == "mkdir":
            pending.append(rest.split('"')[1])
        elif call == "rename":
            old, new = rest.split('"')[1], rest.split('"')[3]
            assert old in synced, f"{old} is renamed before it is synced"
            journals += new.endswith(".publish")
            pending.append(new)
        elif call == "unlink" and rest.split('"')[1].endswith(".publish"):
            assert not [p for p in pending if not p.endswith(".publish")], "the journal goes before what it tells of is on the disk"
    assert journals == 1 and not pending, pending
