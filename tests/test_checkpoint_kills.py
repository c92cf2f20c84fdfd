"""A thousand kills: a program that trains tables and saves them, whole and in deltas, is killed at random moments. Every time
the newest checkpoint that is listed loads and equals what was saved, and what is half-written is reported and never picked.

Each child is forked from this process, so that a kill costs milliseconds; what it saves is a function of the generation, which
the parent computes by itself (checkpoint_model)."""

import contextlib
import os
import random
import re
import select
import shutil
import signal
import time

import pytest

from checkpoint_model import TABLES, Expected, advance
from test_table_checkpoint import config

from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, NoInputError
from monolith_cli.tables.config import AdagradOptimizer
from monolith_cli.training.checkpoint_store import CheckpointStore, State

KILLS = 500  # in each of the two layouts
SET = "MonolithMultiHashTable_0"


def tables_of(name):
    return _core.MultiTable(name, {t: config((4, AdagradOptimizer())) for t in TABLES})


def publish(store, tables, generation, shards):
    def write(prefix, kind):
        base = os.path.join(prefix + ".assets", SET)
        {"whole": tables.save, "base": tables.save_base, "delta": tables.save_delta}[kind](base, shards)
        return tables.sizes()

    return store.publish(State(generation), write)


def in_child(body) -> tuple[int, int]:
    """Runs body(report) in a forked process; (pid, the end of a pipe that bytes of report(text) come out of)."""
    out, into = os.pipe()
    pid = os.fork()
    if pid:
        os.close(into)
        return pid, out
    try:
        os.close(out)
        body(lambda text: os.write(into, text.encode()))
    finally:
        os._exit(1)


def train_in_directory(model_dir, incremental, restored):
    """Goes on from the newest checkpoint, as a training that is started again does, and saves every generation."""

    def body(report):
        store = CheckpointStore(model_dir, max_to_keep=3, incremental=incremental)
        store.prepare()
        tables = tables_of("child")
        generation = restored
        if generation:
            tables.restore(os.path.join(store.choose() + ".assets", SET))
        report("r")
        while True:
            generation += 1
            advance(tables, generation)
            publish(store, tables, generation, 1 + generation % 3)
            report(f"{generation}\n")

    return in_child(body)


def train_in_place(folder, restored):
    """Saves over one basename again and again: whole, a delta beside it, whole with other shards."""

    def body(report):
        tables = tables_of("child")
        base, delta = os.path.join(folder, "m"), os.path.join(folder, "d")
        generation = restored
        if generation:
            tables.restore(base)
        report("r")
        while True:
            generation += 1
            advance(tables, generation)
            tables.save_base(base, 1 + generation % 3)
            report(f"{generation}\n")
            generation += 1
            advance(tables, generation)
            tables.save_delta(delta, 1 + generation % 2)
            tables.save(base, 2)
            report(f"{generation}\n")

    return in_child(body)


def kill_after(pid, out, seconds) -> str:
    """Lets the child get ready, kills it after `seconds`; what it reported."""
    text = os.read(out, 1).decode()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        select.select([], [], [], left)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    while more := os.read(out, 65536):
        text += more.decode()
    os.close(out)
    assert text.startswith("r"), "the child could not go on from the newest checkpoint"
    return text[1:]


def seconds_a_save(pid, out) -> float:
    """How long a save takes on this machine today; ends the child."""
    text, begun = "", 0.0
    while text.count("\n") < 21:
        piece = os.read(out, 65536).decode()
        assert piece, "the child ended"
        begun = begun or "\n" in piece and time.monotonic()
        text += piece
    found = (time.monotonic() - begun) / (text.count("\n") - 1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(out)
    return found


class Pace:
    """Random times for kills: six in ten come after a save, however long one takes as the model grows and the machine has more to do."""

    def __init__(self, seed, a_save_s):
        self._rng, self._longest_s = random.Random(seed), 4 * a_save_s

    def next(self) -> float:
        return self._rng.uniform(0, self._longest_s)

    def learn(self, saved: bool) -> None:
        self._longest_s = min(2.0, self._longest_s * (0.95 if saved else 1.08))


def last_reported(text, before) -> int:
    done = re.findall(r"(\d+)\n", text)
    return int(done[-1]) if done else before


@pytest.fixture
def folder(tmp_path):
    """In memory where there is such a place: a kill does not lose what the kernel has, whatever the disk."""
    shm = "/dev/shm"
    if not os.access(shm, os.W_OK):
        yield str(tmp_path)
        return
    place = os.path.join(shm, f"monolith-kills-{os.getpid()}")
    os.makedirs(place)
    yield place
    shutil.rmtree(place)


def test_kills_in_a_model_directory(folder):
    model_dir = os.path.join(folder, "m")
    expected, store = Expected(), CheckpointStore(model_dir, max_to_keep=3, incremental=4)
    tables = tables_of("parent")
    generation = saved = half_written = deltas = 0
    pace = Pace(11, seconds_a_save(*train_in_directory(os.path.join(folder, "pace"), 4, 0)))
    with contextlib.closing(tables):
        for _ in range(KILLS):
            text = kill_after(*train_in_directory(model_dir, 4, generation), pace.next())
            reported = last_reported(text, generation)
            pace.learn(reported > generation)
            listed = store.prefixes()
            if not listed:
                assert reported == 0
                continue
            newest = store.choose()
            found = store.read_state(newest).global_step
            assert reported <= found <= reported + 1, "an older checkpoint came back, or one of the future"
            tables.restore(os.path.join(newest + ".assets", SET))
            expected.check(tables, found)
            left = store.unlisted()
            assert not set(left) & set(listed)
            half_written += bool(left)
            deltas += bool(store.needs(newest))
            for prefix in listed:
                for link in store.needs(prefix):
                    assert link in listed, "a base that a kept delta needs is gone"
            saved += found > generation
            generation = found
            if generation > 400:  # a new life, so that the model stays small
                shutil.rmtree(model_dir)
                generation = 0
    assert saved > KILLS // 4 and deltas > KILLS // 4 and half_written > KILLS // 20, (saved, deltas, half_written)


def test_kills_while_one_set_takes_the_place_of_another(folder):
    expected, tables = Expected(), tables_of("parent")
    base = os.path.join(folder, "m")
    generation = changed = half_written = 0
    os.mkdir(os.path.join(folder, "pace"))
    pace = Pace(12, seconds_a_save(*train_in_place(os.path.join(folder, "pace"), 0)))
    shutil.rmtree(os.path.join(folder, "pace"))
    with contextlib.closing(tables):
        for _ in range(KILLS):
            text = kill_after(*train_in_place(folder, generation), pace.next())
            reported = last_reported(text, generation)
            pace.learn(reported > generation)
            left = [n for n in os.listdir(folder) if "-tmp-" in n or n.endswith(".publish")]
            half_written += bool(left)
            try:
                tables.restore(base)
            except NoInputError:
                assert reported == 0
                continue
            found = {g for g in range(reported, reported + 3) if is_at(expected, tables, g)}
            assert len(found) == 1, "what is loaded was never saved"
            changed += found != {generation}
            generation = found.pop()
            if generation > 400:
                for name in os.listdir(folder):
                    os.unlink(os.path.join(folder, name))
                generation = 0
    assert changed > KILLS // 4 and half_written > KILLS // 20, (changed, half_written)


def is_at(expected, tables, generation) -> bool:
    if generation == 0:
        return False
    try:
        expected.check(tables, generation)
    except AssertionError:
        return False
    return True


def test_a_delta_whose_base_was_replaced_is_refused(folder):
    tables = tables_of("parent")
    base, delta = os.path.join(folder, "m"), os.path.join(folder, "d")
    with contextlib.closing(tables):
        advance(tables, 1)
        tables.save_base(base)
        advance(tables, 2)
        assert tables.save_delta(delta)
        tables.save(base, 2)
        with pytest.raises(BadDataError, match=r"m\.manifest: at byte 0: is not that of the save, which .*d\.manifest continues"):
            tables.restore(delta)
        os.unlink(base + ".manifest")
        with pytest.raises(BadDataError, match=r"m\.manifest: at byte 0: is missing, which .*d\.manifest continues"):
            tables.restore(delta)
