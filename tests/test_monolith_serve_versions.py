"""Versions of monolith-serve: found, loaded, swapped, unloaded, broken, labelled, reloaded; what GetModelStatus says
meanwhile."""

import re
import shutil
import threading

import grpc
import numpy as np
import pytest
import saved_models
from model_server import ModelServer, code_of, config_of, model, write_config
from saved_models import predict_request

from monolith_cli.serving.protos import model_server_config_pb2

ONE = np.ones(1, np.float32)


def started(folder, retries):
    config = write_config(folder / "models.conf")
    return ModelServer(
        folder,
        f"--model_config_file={config}",
        f"--model-root={folder}",
        "--file_system_poll_wait_seconds=0.05",
        "--num_load_threads=2",
        f"--max_num_load_retries={retries}",
        "--load_retry_interval_micros=1000000",
        "--enable_batching",
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Serves nothing yet; every test brings its models by a reload."""
    made = started(tmp_path_factory.mktemp("versions"), 2)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """Like `server`, but it does not give a broken version up."""
    made = started(tmp_path_factory.mktemp("patient"), 1_000_000)
    yield made
    made.stop()


@pytest.fixture
def base(server, request):
    return server.folder / re.sub(r"\W", "_", request.node.name)


def answer(server, name, version=None):
    response = server.predict(predict_request(name, version=version, x=ONE))
    assert response.outputs["y"].float_val[0] == response.model_spec.version.value
    return response.model_spec.version.value


def test_an_empty_list_serves_nothing_and_unloads_all(server, base):
    saved_models.constant(base, 3)
    assert server.reload(model(base.name, base)).status.error_code == 0
    assert answer(server, base.name) == 3  # a reload returns when its models are available
    server.reload()
    assert code_of(server.predict, predict_request(base.name, x=ONE))[0] == "NOT_FOUND"
    server.wait_until(lambda: server.status(base.name) == [(3, "END", 0)])


def test_policies(server, base):
    for version in (1, 2, 10):
        saved_models.constant(base, version)
    (base / "11x").mkdir()
    (base / "12").write_text("a file is no version")
    (base / "-13").mkdir()
    server.reload(
        model("newest", base),
        model("two", base, latest=2),
        model("none_is_one", base, latest=0),
        model("all", base, all_versions=True),
        model("chosen", base, specific=[1, 5]),
    )
    served = {n: [v for v, _, _ in server.status(n)] for n in ("newest", "two", "none_is_one", "all", "chosen")}
    assert served == {"newest": [10], "two": [10, 2], "none_is_one": [10], "all": [10, 2, 1], "chosen": [1]}
    server.reload(model("two", base, specific=[1]))
    server.wait_until(lambda: server.states("two") == {10: "END", 2: "END", 1: "AVAILABLE"})


class Watch(threading.Thread):
    """Everything GetModelStatus says while it runs, and which versions answered meanwhile."""

    def __init__(self, server, name):
        super().__init__()
        self.server, self.name_, self.stopped = server, name, threading.Event()
        self.statuses, self.versions, self.errors = [], [], []

    def run(self):
        while not self.stopped.is_set():
            try:
                self.statuses.append(self.server.states(self.name_))
                self.versions.append(answer(self.server, self.name_))
            except (grpc.RpcError, AssertionError) as e:
                self.errors.append(e)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stopped.set()
        self.join()

    def states(self, version):
        seen = [s[version] for s in self.statuses if version in s]
        return [s for i, s in enumerate(seen) if i == 0 or s != seen[i - 1]]


ORDER = ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]


def test_states_while_versions_are_swapped_under_load(server, base):
    warm = saved_models.constant(base, 1)
    server.reload(model(base.name, base))
    with Watch(server, base.name) as one, Watch(server, base.name) as two:
        for version in range(2, 8):
            slow = saved_models.constant(base / ".." / "made", version)
            saved_models.write_warmup(slow, [predict_request(base.name, x=ONE)], 1000)
            slow.rename(base / str(version))
            server.wait_until(
                lambda v=version: (
                    server.states(base.name).get(v) == "AVAILABLE"
                    and server.states(base.name)[v - 1] == "END"
                    and all(v in watch.versions for watch in (one, two))
                )
            )
    assert warm.exists()
    for watch in (one, two):
        assert not watch.errors, watch.errors[0]
        assert set(watch.versions) >= {2, 3, 4, 5, 6, 7} and watch.versions == sorted(watch.versions)
        for version in range(1, 8):
            seen = watch.states(version)
            assert seen == [s for s in ORDER if s in seen]  # forward only
        # A version goes only when its successor serves.
        for status in watch.statuses:
            assert "AVAILABLE" in status.values()
    assert any("LOADING" in watch.states(v) for watch in (one, two) for v in range(2, 8))


def test_a_request_at_hand_finishes_on_the_old_version(server, base):
    gate = server.folder / "gate"
    saved_models.held(base, 1, gate)
    server.reload(model(base.name, base))
    pending = server.prediction.Predict.future(predict_request(base.name, x=np.array([1], np.int32)), timeout=300)
    server.wait_until(server.folder.joinpath("gate.begun").exists)
    saved_models.held(base, 2, gate)
    server.wait_until(lambda: server.states(base.name) == {2: "AVAILABLE", 1: "UNLOADING"})
    assert not pending.done()
    gate.touch()
    assert pending.result().model_spec.version.value == 1
    server.wait_until(lambda: server.states(base.name) == {2: "AVAILABLE", 1: "END"})


@pytest.mark.parametrize("what", ["graph", "variables", "empty", "warm-up"])
def test_a_broken_version_ends_with_its_error_and_the_good_one_serves_on(server, base, what):
    saved_models.constant(base, 1)
    server.reload(model(base.name, base))
    if what == "warm-up":
        bad = saved_models.constant(base / ".." / "made", 20)
        saved_models.write_warmup(bad, [predict_request(base.name, x=["text"])])
        bad.rename(base / "2")
    else:
        saved_models.broken(base, 2, what)
    with Watch(server, base.name) as watch:
        server.wait_until(lambda: server.states(base.name).get(2) == "END")
    assert not watch.errors and set(watch.versions) == {1}
    assert "LOADING" in watch.states(2)
    (_, _, error), good = server.status(base.name)
    assert error != 0 and good == (1, "AVAILABLE", 0)
    shutil.rmtree(base / "2")
    saved_models.constant(base, 3)
    server.wait_until(lambda: server.states(base.name) == {3: "AVAILABLE", 2: "END", 1: "END"})


def test_a_version_that_is_mended_while_it_is_retried(patient):
    base = patient.folder / "retried"
    saved_models.constant(base, 1)
    patient.reload(model("m", base))
    mended = saved_models.constant(patient.folder / "mended", 2)
    broken = saved_models.broken(base, 2, "graph")
    patient.wait_until(lambda: patient.status("m")[0][:2] == (2, "LOADING") and patient.status("m")[0][2] != 0)
    shutil.copytree(mended, broken, dirs_exist_ok=True)
    patient.wait_until(lambda: patient.status("m") == [(2, "AVAILABLE", 0), (1, "END", 0)])


def test_a_reload_names_new_models_that_cannot_be_loaded(server, base):
    saved_models.broken(base / "bad", 4)
    saved_models.constant(base / "good", 1)
    code, message = code_of(server.reload, model(base.name, base / "good"), model("bad", base / "bad"))
    assert code == "UNKNOWN" and "bad" in message and "version: 4" in message
    assert answer(server, base.name) == 1


def test_a_model_without_versions_does_not_hold_a_reload_up(server, base):
    base.mkdir()
    server.reload(model(base.name, base))
    assert code_of(server.status, base.name)[0] == "NOT_FOUND"
    saved_models.constant(base, 5)
    assert server.wait_until(lambda: _available(server, base.name))
    shutil.rmtree(base / "5")
    server.wait_until(lambda: server.states(base.name) == {5: "END"})


def _available(server, name):
    try:
        return server.states(name).get(5) == "AVAILABLE"
    except grpc.RpcError:
        return False


def test_labels_move_and_name_available_versions_alone(server, base):
    for version in (1, 2):
        saved_models.constant(base, version)
    both = {"all_versions": True}
    server.reload(model(base.name, base, **both, labels={"stable": 1}))
    assert answer(server, base.name, version="stable") == 1
    server.reload(model(base.name, base, **both, labels={"stable": 2, "old": 1}))
    assert (answer(server, base.name, version="stable"), answer(server, base.name, version="old")) == (2, 1)
    assert code_of(server.reload, model(base.name, base, **both, labels={"stable": 9}))[0] == "FAILED_PRECONDITION"
    assert answer(server, base.name, version="stable") == 2
    server.reload(model(base.name, base, **both))
    assert code_of(server.predict, predict_request(base.name, version="stable", x=ONE))[0] == "NOT_FOUND"


@pytest.mark.parametrize("models,words", [
    (lambda b: [model("m", b), model("m", b)], "twice"),
    (lambda b: [model("", b)], "name"),
    (lambda b: [model("m", "relative/path")], "absolute"),
    (lambda b: [model_server_config_pb2.ModelConfig(name="m", base_path=str(b))], "model_platform"),
    (lambda b: [model_server_config_pb2.ModelConfig(name="m", base_path=str(b), model_platform="pytorch")], "model_platform"),
])  # fmt: skip
def test_a_configuration_with_a_mistake_changes_nothing(server, base, models, words):
    saved_models.constant(base, 1)
    server.reload(model("kept", base))
    code, message = code_of(server.reload, *models(base))
    assert code == "INVALID_ARGUMENT" and words in message
    assert answer(server, "kept") == 1


def test_a_configuration_without_a_list(server, base):
    saved_models.constant(base, 1)
    server.reload(model(base.name, base))
    assert code_of(server.reload, config=model_server_config_pb2.ModelServerConfig())[0] == "FAILED_PRECONDITION"
    custom = model_server_config_pb2.ModelServerConfig()
    custom.custom_model_config.SetInParent()
    assert code_of(server.reload, config=custom)[0] == "INVALID_ARGUMENT"
    assert answer(server, base.name) == 1
    assert server.reload(config=config_of(model(base.name, base))).status.error_code == 0


def test_a_reload_gets_through_while_another_waits_for_a_broken_model(patient):
    server, base = patient, patient.folder / "reloaded"
    saved_models.broken(base / "bad", 1)
    saved_models.constant(base / "good", 1)
    saved_models.constant(base / "good", 2)
    both = [model("bad", base / "bad"), model("good", base / "good", all_versions=True, labels={"stable": 1})]
    codes = []
    waiting = threading.Thread(target=lambda: codes.append(code_of(server.reload, *both)[0]))
    waiting.start()
    server.wait_until(lambda: answer_or_none(server, "good") == 2)
    server.reload(model("good", base / "good", all_versions=True, labels={"stable": 2}))
    assert answer(server, "good", version="stable") == 2
    waiting.join()
    assert codes == ["ABORTED"]
    assert answer(server, "good", version="stable") == 2
    with pytest.raises(grpc.RpcError, match="Servable not found"):
        answer(server, "bad")


def answer_or_none(server, name):
    try:
        return answer(server, name)
    except grpc.RpcError:
        return None


def test_a_broken_model_does_not_take_the_labels_of_others(server, base):
    saved_models.broken(base / "bad", 1)
    saved_models.constant(base / "good", 1)
    code, _ = code_of(server.reload, model("bad2", base / "bad"), model("good2", base / "good", labels={"stable": 1}))
    assert code == "UNKNOWN"
    assert answer(server, "good2", version="stable") == 1
