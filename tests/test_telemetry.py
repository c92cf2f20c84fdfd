"""What monolith-train tells of itself: metrics, profiles, alerts; and losses that layers leave. Checked by the files it leaves."""

import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import ROOT
from model_files import COUNTER, instance, items, wire, write_model

tf = pytest.importorskip("tensorflow")

from monolith_cli.errors import IoError  # noqa: E402
from monolith_cli.metrics import get_cli  # noqa: E402
from monolith_cli.training.telemetry import Telemetry, TelemetryConfig  # noqa: E402


def metrics_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def values(found, name, **tags):
    return [m["value"] for m in found if m["name"] == name and m["tags"] == {k: str(v) for k, v in tags.items()}]


@pytest.fixture
def trained(run, tmp_path):
    """trained(options, records=50, env): runs COUNTER over batches of 2 and returns what was run."""
    model = write_model(tmp_path, COUNTER)

    def train(*options, records=50, env=None, check=True):
        (tmp_path / "d.pb").write_bytes(items([i % 3 for i in range(records)]))
        line = ["--model", f"{model}:Counter", "--model-dir", tmp_path / "m", "--batch-size", "2", "--seed", "1"]
        return run("monolith-train", *line, *options, tmp_path / "d.pb", env=env, check=check)

    return train


def test_metrics_of_a_run(trained, tmp_path):
    sink = tmp_path / "metrics.jsonl"
    trained("--metric-sink", f"json:{sink}", "--save-every-steps", "10", "--step-metrics")
    found = metrics_of(sink)
    tags = {"model_name": "Counter", "cluster_type": "stable"}
    prefix = "monolith.training.Counter."
    (start,) = values(found, prefix + "run_start_elapsed_time.all", **tags)
    assert 0 < start < 3000
    assert values(found, prefix + "run_steps.all", **tags) == [25] and len(values(found, prefix + "run_steps_elapsed_time.all", **tags)) == 1
    losses = values(found, prefix + "step_loss")  # minus what was counted of the two ids of the batch, and of the steps
    assert len(losses) == 25 and losses[:3] == [0, -2, -4]
    assert values(found, prefix + "instance_num") == [50]
    assert values(found, prefix + "save_checkpoint", mode="full") == [1, 1, 1]
    assert all(0 < v < 600 for v in values(found, prefix + "save_checkpoint_time", mode="full"))
    (stopped,) = values(found, prefix + "training_heart_beat", type="stopped")
    assert stopped > 1.6e9 and not [m for m in found if m["name"].endswith(("exit_hook", "save_checkpoint_failed"))]


def test_metrics_by_the_environment_with_names_of_ones_own(trained, tmp_path):
    sink = tmp_path / "metrics.jsonl"
    trained("--incremental-checkpoints", "3", "--save-every-steps", "10", "--metric-interval", "0.001",
            env={"MONOLITH_METRIC_SINK": f"json:{sink}", "MONOLITH_METRIC_PREFIX": "mine"})  # fmt: skip
    found = metrics_of(sink)
    assert {m["name"].split(".")[0] for m in found} == {"mine"}
    saved = [m["tags"]["mode"] for m in found if m["name"] == "mine.save_checkpoint"]
    assert saved[:2] == ["full", "incremental"] and len(saved) == 3
    assert len(values(found, "mine.training_heart_beat", type="running")) > 1
    steps = values(found, "mine.run_steps.all", model_name="Counter", cluster_type="stable")
    assert sum(steps) == 25 and len(steps) > 1
    assert not values(found, "mine.step_loss")


def test_without_a_sink_nothing_is_sent(trained, tmp_path):
    trained()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.pb", "m", "model.py"]


def test_a_checkpoint_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("MONOLITH_METRIC_SINK", "")
    monkeypatch.setenv("MONOLITH_METRIC_PREFIX", "")
    sink = tmp_path / "metrics.jsonl"
    telemetry = Telemetry(TelemetryConfig(f"json:{sink}", "p"), str(tmp_path), None)
    telemetry.name("m")
    with pytest.raises(IoError), telemetry.saving("full"):
        raise IoError("the disk is full")
    get_cli().flush()
    assert [(m["kind"], m["name"], m["value"], m["tags"]) for m in metrics_of(sink)] == [("counter", "p.save_checkpoint_failed", 1, {"mode": "full"})]


def profiles(folder):
    return [f for _, _, files in os.walk(folder) for f in files if f.endswith(".xplane.pb")]


# TensorBoard's folders are named by the second: steps that take a while keep profiles apart.
SLOW = """
    class Slowly(tf.compat.v1.train.SessionRunHook):
        def after_run(self, context, values):
            __import__("time").sleep(0.12)
"""


@pytest.mark.parametrize("options, count", [(["--profile", "3:6"], 1), (["--profile", "0:2", "--profile-every-steps", "10"], 3)])
def test_profiles_for_tensorboard(run, tmp_path, options, count):
    text = COUNTER.replace("    class Counter", SLOW + "\n    class Counter").replace("steps =", "self.add_training_hook(Slowly())\n            steps =")
    model = write_model(tmp_path, text)
    (tmp_path / "d.pb").write_bytes(items([1] * 50))
    run("monolith-train", "--model", f"{model}:Counter", "--model-dir", tmp_path / "m", "--batch-size", "2", *options, tmp_path / "d.pb")
    folder = tmp_path / "m" / "plugins" / "profile"
    assert len(os.listdir(folder)) == count and len(profiles(folder)) == count


@pytest.mark.parametrize("options, message", [
    (["--profile", "6:3"], "'6:3' is no range of steps: START:END"),
    (["--profile", "3"], "'3' is no range of steps"),
    (["--profile", "0:20", "--profile-every-steps", "20"], "--profile-every-steps 20: must be above the 20 steps that a profile is long"),
    (["--profile-every-steps", "10"], "must be above the 10 steps"),
    (["--step-metrics"], "--step-metrics needs --metric-sink"),
    (["--metric-sink", "carbon:x"], "--metric-sink: "),
])  # fmt: skip
def test_mistakes_are_found_at_the_start(trained, tmp_path, options, message):
    done = trained(*options, check=False)
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert not (tmp_path / "m").exists()


def test_a_sink_that_cannot_be_written_does_not_cost_the_training(trained, tmp_path):
    done = trained("--metric-sink", "json:/dev/full", "--metric-interval", "0.001")
    assert "/dev/full" in done.stderr and done.stderr.count("lost from here on") == 1
    assert tf.train.latest_checkpoint(str(tmp_path / "m")).endswith("-25")
    done = trained("--metric-sink", f"json:{tmp_path}/no/such", check=False)
    assert done.returncode == 74 and "no/such" in done.stderr
    done = trained("--metric-sink", "statsd:no-such-host.invalid:8125", check=False)
    assert done.returncode == 69 and "no-such-host.invalid:8125" in done.stderr


def start(tmp_path, *options):
    model = write_model(tmp_path, COUNTER)
    line = [sys.executable, "-m", "monolith_cli", "monolith-train", "--model", f"{model}:Counter", "--model-dir", tmp_path / "m", "--batch-size", "2"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([str(a) for a in [*line, *options]], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env)


def test_a_signal_is_told(tmp_path):
    sink = tmp_path / "metrics.jsonl"
    process = start(tmp_path, "--log-every-steps", "1", "--metric-sink", f"json:{sink}")
    process.stdin.write(items([1] * 8))
    process.stdin.flush()
    assert any(b"step 3," in line for line in process.stderr)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 143
    found = metrics_of(sink)
    assert values(found, "monolith.training.Counter.exit_hook", server_type="worker", index=0, sig=15) == [1]
    assert found[-1]["name"].endswith("exit_hook")


def test_an_alert_is_given_while_no_step_is_made(tmp_path):
    sink, alert = tmp_path / "metrics.jsonl", tmp_path / "alert.txt"
    alert.write_text('alert_message { user: "nina" } training_alert { prefix: "alerts" } check_interval_sec: 1')
    process = start(tmp_path, "--metric-sink", f"json:{sink}", "--alert-proto", alert)
    told = next(line for line in process.stderr if b"no step was made" in line)
    assert b"no step was made since the start (nina)" in told
    process.stdin.write(items([1] * 8))
    process.stdin.flush()
    told = next(line for line in process.stderr if b"step 3 of" in line or b"step 4 of" in line)
    assert b"no step was made since 1 s (nina)" in told
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert len(values(metrics_of(sink), "alerts.training_stalled", user="nina")) >= 2


@pytest.mark.parametrize("text, code, message", [
    ("no alert", 2, "no AlertProto in text form"), ("check_interval_sec: 0", 2, "check_interval_sec must be above 0"),
    ('kafka_alert { topic: "t" }', 2, "kafka_alert has no effect here"), (None, 66, "No such file"),
])  # fmt: skip
def test_an_alert_that_can_do_nothing_is_refused(trained, tmp_path, text, code, message):
    if text is not None:
        (tmp_path / "alert.txt").write_text(text)
    done = trained("--alert-proto", tmp_path / "alert.txt", check=False)
    assert done.returncode == code and message in done.stderr


def test_the_numbers_of_an_alert():
    from google.protobuf import text_format
    from monolith_protos.alert_pb2 import AlertProto

    text = 'alert_message { user: "a" } kafka_alert { topic: "b" group: "c" } training_alert { prefix: "d" } start_delay_sec: 5 check_interval_sec: 6'
    expected = b"\x0a\x03\x0a\x01a\x12\x06\x0a\x01b\x12\x01c\x1a\x03\x0a\x01d\xc0\x3e\x05\x88\xf1\x04\x06"
    assert text_format.Parse(text, AlertProto()).SerializeToString(deterministic=True) == expected
    assert AlertProto().check_interval_sec == 1800 and AlertProto.DESCRIPTOR.full_name == "monolith.AlertProto"


CUDA = """
#include <stdio.h>
static int say(const char *what) { FILE *f = fopen("PATH", "a"); fputs(what, f); fclose(f); return CODE; }
int cudaProfilerStart() { return say("start "); }
int cudaProfilerStop() { return say("stop "); }
"""


@pytest.mark.parametrize("code, lib", [(0, True), (100, True), (0, False)])
def test_nvidias_profiler_is_switched(run, tmp_path, code, lib):
    model = write_model(tmp_path, COUNTER.replace("steps =", "from monolith_cli import metrics\n            "
                        "self.add_training_hook(metrics.NVProfilerHook((2, 4), save_steps=100)) if mode == TRAIN else None\n            steps ="))  # fmt: skip
    (tmp_path / "d.pb").write_bytes(items([1] * 20))
    if lib:
        (tmp_path / "c.c").write_text(CUDA.replace("PATH", str(tmp_path / "said")).replace("CODE", str(code)))
        subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "libcudart.so", tmp_path / "c.c"], check=True)
    env = {"LD_LIBRARY_PATH": f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}"}
    line = ["--model", f"{model}:Counter", "--model-dir", tmp_path / "m", "--batch-size", "2", tmp_path / "d.pb"]
    done = run("monolith-train", *line, env=env, check=False)
    if lib and not code:
        assert done.returncode == 0 and (tmp_path / "said").read_text() == "start stop ", done.stderr
    else:
        message = "cudaProfilerStart gave CUDA error 100" if lib else "there is no CUDA runtime (libcudart.so"
        assert done.returncode == 69 and message in done.stderr, done.stderr


LAYERS = """
    import tensorflow as tf
    from monolith_cli import layers
    from monolith_cli.model import *

    class Left(MonolithModel):
        add_layer_losses = ADD

        def parse_fn(self, records, mode):
            return parse_instances(records, dense_features=["label", "x"], dense_feature_shapes=[1, 1])

        def model_fn(self, features, mode):
            v = tf.compat.v1.get_variable("v", initializer=0.0)
            layers.add_layer_loss("a", tf.square(v - 3.0))
            layers.add_layer_loss("b", tf.stack([v, v]))
            loss = tf.reduce_sum(features["x"]) + 0 * v
            return EstimatorSpec(features["label"], features["x"], "h", loss, tf.compat.v1.train.GradientDescentOptimizer(0.5), False)
"""


@pytest.mark.parametrize("add, v, loss", [(True, 2.0, 10.0), (False, 0.0, 1.0)])
def test_losses_that_layers_leave(run, tmp_path, add, v, loss):
    """d/dv of (v - 3)^2 + 2 v at 0 is -4."""
    model = write_model(tmp_path, LAYERS.replace("ADD", str(add)))
    (tmp_path / "d.pb").write_bytes(wire([instance(label=0.0, x=[1.0])]))
    done = run("monolith-train", "--model", f"{model}:Left", "--model-dir", tmp_path / "m", "--json", tmp_path / "d.pb")
    assert json.loads(done.stdout)["loss"] == loss
    assert tf.train.load_checkpoint(str(tmp_path / "m")).get_tensor("v") == v
