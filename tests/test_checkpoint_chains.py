"""Checkpoints of a base and what changed after it; any damage of any file; full disks, and what reaches the disk when."""

import os
import shutil

import numpy as np
import pytest
from checkpoint_model import TABLES, Expected, advance, config, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_table_checkpoint import put

from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, IoError, NoInputError
from monolith_cli.tables.config import AdagradOptimizer, SgdOptimizer


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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
    shutil.copy(tmp_path / "y.manifest", tmp_path / "x.manifest")
    with pytest.raises(BadDataError, match=r"x.manifest: at byte 0: the manifest is that of another save: it lists y-00000-of-00002"):
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
