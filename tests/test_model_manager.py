"""The copying of rough-sort models (spec 60, 3.14)."""

import os
import shutil
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from processes import wait_until as until
from prometheus_client import CollectorRegistry

from monolith_cli import errors
from monolith_cli.serving.agent.model_manager import ModelManager

SUB_MODELS = ("ps_item_embedding_0", "ps_item_embedding_1")


def deliver(source, model, version, sub_models=SUB_MODELS, done=True, content="x"):
    folder = source / f"{model}@{version}" / model
    for name in sub_models:
        (folder / name / str(version) / "variables").mkdir(parents=True)
        (folder / name / str(version) / "saved_model.pb").write_text(f"{content} {version}")
        (folder / name / str(version) / "variables" / "data").write_text(name)
    if done:
        (source / f"{model}@{version}.write.done").touch()
    return folder


@pytest.fixture
def place(tmp_path):
    """(source, receive, manager of model rs with short waits)."""
    source, receive = tmp_path / "p2p", tmp_path / "recv"
    source.mkdir()
    made = []

    def manager(model="rs", **more):
        m = ModelManager(model, str(source), str(receive), **{"interval_s": 0.05, "retry_s": 0.05, "wait_s": 90.0, **more})
        made.append(m)
        return m

    yield source, receive, manager
    for m in made:
        m.stop()


def tree(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def versions(receive, model="rs"):
    folders = [set(os.listdir(receive / model / s)) for s in os.listdir(receive / model)]
    assert all(f == folders[0] for f in folders)
    return sorted(map(int, folders[0]))


def test_start_copies_what_was_delivered(place):
    source, receive, manager = place
    deliver(source, "rs", 1622716000)
    assert manager().start()
    assert tree(receive) == sorted(f"rs/{s}/1622716000/{f}" for s in SUB_MODELS for f in ("saved_model.pb", "variables/data"))
    assert (receive / "rs" / SUB_MODELS[1] / "1622716000" / "variables" / "data").read_text() == SUB_MODELS[1]
    assert sorted(p.name for p in source.iterdir()) == ["rs@1622716000", "rs@1622716000.write.done"]


def test_older_versions_are_ignored_and_newer_ones_taken_by_number(place):
    source, receive, manager = place
    deliver(source, "rs", 99)
    m = manager()
    assert m.start()
    deliver(source, "rs", 98)
    deliver(source, "rs", 100)  # "99" > "100" as text
    until(lambda: m.versions("rs") == [99, 100])
    deliver(source, "rs", 97)
    time.sleep(0.3)
    assert versions(receive) == [99, 100] and m.versions("rs") == [99, 100]


def test_no_model_is_nothing_to_do(tmp_path):
    m = ModelManager(None, None, None)
    assert m.start()
    m.stop()


def test_start_waits_for_the_model_and_no_other(place):
    source, receive, manager = place
    shutil.rmtree(source)
    m, result = manager(), []
    thread = threading.Thread(target=lambda: result.append(m.start()))
    thread.start()
    time.sleep(0.2)
    source.mkdir()
    deliver(source, "rsx", 5)  # begins as rs does
    deliver(source, "rs", 7, done=False)
    time.sleep(0.3)
    assert thread.is_alive() and not (receive / "rs").exists()
    (source / "rs@7.write.done").touch()
    thread.join(90)
    assert result == [True] and versions(receive) == [7] and versions(receive, "rsx") == [5]


def test_start_gives_up_in_time_and_when_stopped(place):
    _, _, manager = place
    told = []
    assert not manager(wait_s=0.2, log=told.append).start() and "did not come into" in told[-1]
    m, result = manager(retry_s=600, wait_s=6000), []
    thread = threading.Thread(target=lambda: result.append(m.start()))
    thread.start()
    time.sleep(0.2)
    m.stop()
    thread.join(90)
    assert result == [False]


def test_start_empties_the_folder_of_models_and_of_nothing_else(place, tmp_path):
    source, receive, manager = place
    deliver(source, "rs", 5)
    (receive / "rs" / "ps_0" / "3").mkdir(parents=True)
    (receive / "old" / "ps_0" / "9-temp").mkdir(parents=True)
    first = manager()
    assert first.start() and versions(receive) == [5] and not (receive / "old").exists()
    first.stop()
    for stranger in ("letter.txt", "photos/cat.png"):
        path = receive / stranger
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
        with pytest.raises(errors.ConfigError, match="is no model"):
            manager().start()
        assert path.read_text() == "precious" and versions(receive) == [5]
        shutil.rmtree(path.parent) if path.parent != receive else path.unlink()


@pytest.mark.parametrize("source, receive", [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "/"), (None, "a"), ("a", None)])
def test_folders_that_are_refused(tmp_path, monkeypatch, source, receive):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ConfigError, match="rough_sort_model_"):
        ModelManager("rs", source, receive)


def test_a_delivery_that_is_not_whole_is_left_out(place):
    source, receive, manager = place
    deliver(source, "rs", 5)
    (deliver(source, "rs", 6) / SUB_MODELS[0] / "6").rename(source / "rs@6" / "rs" / SUB_MODELS[0] / "5")
    (source / "rs@8" / "rs").mkdir(parents=True)
    (source / "rs@8.write.done").touch()
    deliver(source, "rs", "x9")
    (source / "rs@10.write.done").touch()
    (source / "noise").mkdir()
    told = []
    assert manager(log=told.append).start() and versions(receive) == [5]
    assert any("ps_item_embedding_0 has no version 6" in t for t in told)


def test_locks_are_there_while_reading_and_gone_afterwards(place, monkeypatch):
    source, receive, manager = place
    deliver(source, "rs", 5)
    deliver(source, "rs", 6, done=False)
    (source / "rs@1.read.lock").touch()  # of an agent that was killed
    m, seen = manager(), []
    original = m._copy
    monkeypatch.setattr(m, "_copy", lambda *a: (seen.extend(sorted(p.name for p in source.glob("*.lock"))), original(*a))[1])
    assert m.loop_once()
    assert {"rs@5.read.lock", "rs@6.read.lock"} <= set(seen) and not list(source.glob("*.lock"))


@pytest.mark.parametrize("damage", ["link", "pipe", "unreadable"])
def test_a_copy_that_fails_leaves_nothing_and_is_counted(place, damage):
    source, receive, manager = place
    deliver(source, "other", 3)
    folder = deliver(source, "rs", 5) / SUB_MODELS[1] / "5"
    if damage == "link":
        (folder / "x").symlink_to("/etc/passwd")
    elif damage == "pipe":
        os.mkfifo(folder / "x")
    else:
        (receive / "rs").mkdir(parents=True)
        (receive / "rs" / SUB_MODELS[1]).write_text("in the way")
    registry, told = CollectorRegistry(), []
    m = manager(registry=registry, log=told.append)
    assert not m.loop_once() and m.versions("rs") == [] and m.versions("other") == [3]
    assert not [p for p in receive.rglob("*-temp")] and any("cannot be copied" in t for t in told)
    assert registry.get_sample_value("monolith_rough_sort_loop_once_failed_total", {"model": "rs"}) == 1
    if damage == "unreadable":
        (receive / "rs" / SUB_MODELS[1]).unlink()
    else:
        (folder / "x").unlink()
    assert m.loop_once() and versions(receive) == [5]


def test_what_an_interrupted_copy_left_is_not_taken_for_whole(place):
    source, receive, manager = place
    deliver(source, "rs", 5)
    half = receive / "rs" / SUB_MODELS[0] / "5-temp"
    half.mkdir(parents=True)
    (half / "saved_model.pb").write_text("ha")
    (half / "stale").write_text("of another delivery")
    assert manager().loop_once()
    whole = receive / "rs" / SUB_MODELS[0] / "5"
    assert (whole / "saved_model.pb").read_text() == "x 5" and tree(whole) == ["saved_model.pb", "variables/data"] and not half.exists()


def test_five_versions_are_kept_and_one_leaves_a_round(place):
    source, receive, manager = place
    m = manager()
    for v in range(1, 9):
        deliver(source, "rs", v)
        assert m.loop_once()
    assert versions(receive) == list(range(1, 9))
    for kept in ([2, 3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7, 8], [4, 5, 6, 7, 8], [4, 5, 6, 7, 8]):
        m.remove_old()
        assert versions(receive) == kept == m.versions("rs")


def test_of_two_processes_one_copies_and_the_other_takes_over(place):
    source, receive, manager = place
    first, second, result = manager(), manager(), []
    deliver(source, "rs", 1)
    assert first.start()
    thread = threading.Thread(target=lambda: result.append(second.start()))
    thread.start()
    thread.join(90)
    assert result == [True] and versions(receive) == [1]  # not emptied under the first
    assert second.versions("rs") == [] and first.versions("rs") == [1]
    first.stop()
    deliver(source, "rs", 2)
    until(lambda: second.versions("rs") == [2])
    assert versions(receive) == [1, 2]
    second.stop()
    third = manager()  # a new start: what earlier ones left goes
    shutil.rmtree(source / "rs@1")
    assert third.start() and versions(receive) == [2]


def test_the_second_process_waits_until_the_first_has_copied(place):
    source, receive, manager = place
    deliver(source, "rs", 1)
    assert (leaving := manager()).start()
    leaving.stop()
    shutil.rmtree(source)
    source.mkdir()
    managers, result = [manager(), manager()], []
    threads = [threading.Thread(target=lambda m=m: result.append(m.start())) for m in managers]
    for t in threads:
        t.start()
    until(lambda: os.listdir(receive) == [".lock"])
    time.sleep(0.4)
    assert result == [] and os.listdir(receive) == [".lock"]
    deliver(source, "rs", 5)
    for t in threads:
        t.join(90)
    assert result == [True, True] and sorted(len(m.versions("rs")) for m in managers) == [0, 1]


def test_metrics_of_age(place):
    source, _, manager = place
    registry, now = CollectorRegistry(), int(time.time())
    deliver(source, "rs", now - 500)
    assert manager(registry=registry).start()
    assert 499 <= registry.get_sample_value("monolith_rough_sort_version_delay_seconds", {"model": "rs"}) < 600
    assert 0 <= registry.get_sample_value("monolith_rough_sort_update_delay_seconds", {"model": "rs"}) < 60
    assert registry.get_sample_value("monolith_rough_sort_loop_once_failed_total", {"model": "rs"}) == 0


class Deliveries(RuleBasedStateMachine):
    """Deliveries come, become whole, and go in any order; after each round the model says what must have been copied."""

    @initialize(folder=st.just(None))
    def begin(self, folder):
        import tempfile
        from pathlib import Path

        self.top = Path(tempfile.mkdtemp())
        self.source, self.receive = self.top / "p2p", self.top / "recv"
        self.source.mkdir()
        self.manager = ModelManager("a", str(self.source), str(self.receive))
        self.delivered, self.want = {}, {}  # (model, version) -> whole; model -> versions copied

    models = st.sampled_from(["a", "ab", "b"])
    numbers = st.integers(1, 120)

    @rule(model=models, version=numbers, done=st.booleans(), broken=st.booleans())
    def comes(self, model, version, done, broken):
        if (model, version) in self.delivered:
            return
        folder = deliver(self.source, model, version, done=done)
        if broken:
            shutil.rmtree(folder / SUB_MODELS[0] / str(version))
        self.delivered[model, version] = (done, broken)

    @rule(data=st.data())
    def becomes_whole(self, data):
        if self.delivered:
            key = data.draw(st.sampled_from(sorted(self.delivered)))
            (self.source / f"{key[0]}@{key[1]}.write.done").touch()
            self.delivered[key] = (True, self.delivered[key][1])

    @rule(data=st.data())
    def goes(self, data):
        if self.delivered:
            model, version = data.draw(st.sampled_from(sorted(self.delivered)))
            (self.source / f"{model}@{version}.write.done").unlink(missing_ok=True)
            shutil.rmtree(self.source / f"{model}@{version}")
            del self.delivered[model, version]

    @rule(remove=st.booleans())
    def round(self, remove):
        if remove:
            self.manager.remove_old()
            for model, kept in self.want.items():
                self.want[model] = kept[1:] if len(kept) > 5 else kept
        assert self.manager.loop_once()
        for model in ("a", "ab", "b"):
            whole = [v for (m, v), (done, broken) in self.delivered.items() if m == model and done and not broken]
            if whole and max(whole) > max(self.want.get(model, [0])):
                self.want.setdefault(model, []).append(max(whole))

    @invariant()
    def what_is_there_is_what_must_be(self):
        if not hasattr(self, "want"):
            return
        for model, kept in self.want.items():
            assert self.manager.versions(model) == kept == versions(self.receive, model)
            newest = self.receive / model / SUB_MODELS[1] / str(kept[-1])
            assert (newest / "saved_model.pb").read_text() == f"x {kept[-1]}"
        assert not list(self.source.glob("*.read.lock")) and not list(self.top.rglob("*-temp"))

    def teardown(self):
        if hasattr(self, "top"):
            shutil.rmtree(self.top)


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
