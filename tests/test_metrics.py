"""The vectors TV-N of the specification: streaming metrics, hooks, messages and where they go."""

import json
import logging
import math
import os
import socket

import pytest
from layer_graph import close, graph, tf, tf1

from monolith_cli import metrics
from monolith_cli.errors import ConfigError
from monolith_cli.metrics import emit


def test_tvn_streaming_metrics():
    labels, preds = [1.0, 0, 1, 0], [0.9, 0.2, 0.6, 0.7]
    with graph("float32") as session:
        place, pred = tf1.placeholder(tf.float32, [None]), tf1.placeholder(tf.float32, [None])
        made = [
            metrics.streaming_metric("ctr", place, pred, True),
            metrics.streaming_metric("stay", place, pred, False),
        ]
        assert [m[0] for m in made] == ["ctr_auc", "stay_mse"]
        session.run(tf1.local_variables_initializer())
        for part in (slice(0, 2), slice(2, 4)):
            session.run([m[2] for m in made], {place: labels[part], pred: preds[part]})
        close(session.run([m[1] for m in made]), [0.75, 0.175])
        tags = [v.tag for t in session.run(tf1.get_collection("summaries")) for v in tf1.Summary.FromString(t).value]
        assert tags == ["ctr_auc", "stay_mse"]


@pytest.fixture
def lines(tmp_path, monkeypatch):
    path = tmp_path / "metrics.json"
    monkeypatch.setenv("MONOLITH_METRIC_SINK", f"json:{path}")
    monkeypatch.setenv("MONOLITH_METRIC_PREFIX", "p")

    def read():
        metrics.get_cli().flush()
        return [json.loads(line) for line in path.read_text().splitlines()]

    return read


def test_clients_and_their_sinks(lines, monkeypatch):
    client = metrics.get_cli()
    client.emit_counter("a", 2, {"k": 1})
    client.emit_store("b", 0.5)
    metrics.get_cli("q").emit_timer("c", 3)
    found = [(x["kind"], x["name"], x["value"], x["tags"]) for x in lines()]
    assert found == [("counter", "p.a", 2, {"k": "1"}), ("store", "p.b", 0.5, {}), ("timer", "q.c", 3, {})]
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(60)
    monkeypatch.setenv("MONOLITH_METRIC_SINK", f"statsd:127.0.0.1:{receiver.getsockname()[1]}")
    metrics.get_cli("q").emit_timer("c", 3, {"x": "y", "z": 1})
    assert receiver.recv(100) == b"q.c:3|ms|#x:y,z:1"
    receiver.close()
    monkeypatch.setenv("MONOLITH_METRIC_SINK", "")
    metrics.get_cli().emit_counter("nowhere", 1)
    for wrong in ("nothing", "statsd:x", "json:"):
        with pytest.raises(ConfigError, match="no sink of metrics"):
            emit.sink_of(wrong)
    metrics.set_metric_prefix("other")
    assert metrics.get_cli().prefix == "other"


def test_hooks_emit_what_they_are_told_to(lines):
    with graph("float32"):
        step = tf1.train.get_or_create_global_step()
        loss = tf.cast(step, tf.float32) * 2
        for wrong in ({}, {"x": tf.ones([1])}, {"x": tf.constant(1, tf.int64)}):
            with pytest.raises(ValueError):
                metrics.CustomMetricHook(wrong)
        hooks = [metrics.StepLossMetricHook(loss), metrics.CustomMetricHook({"count": tf.constant(3)}),
                 metrics.ThroughputMetricHook("m", start_time_secs=0.0, run_every_n_secs=0)]  # fmt: skip
        with tf1.train.SingularMonitoredSession(hooks) as session:
            session.run(loss)
            session.run(loss)
    found = lines()
    assert [x["value"] for x in found if x["name"] == "p.step_loss"] == [0, 0]
    assert [x["value"] for x in found if x["name"] == "p.count"] == [3, 3]
    assert found[0]["name"] == "p.run_start_elapsed_time.all" and found[0]["value"] > 1e9
    steps = [x for x in found if x["name"] == "p.run_steps.all"]
    assert steps[0]["tags"] == {"model_name": "m", "cluster_type": "stable"} and steps[0]["value"] == 0
    assert not [x for x in found if "run_steps_elapsed" in x["name"]], "no step was made: there is no time of one"


def test_throughput_counts_steps(lines):
    with graph("float32"):
        step = tf1.train.get_or_create_global_step()
        train = step.assign_add(5)
        with tf1.train.SingularMonitoredSession([metrics.ThroughputMetricHook("m", run_every_n_secs=0)]) as session:
            for _ in range(4):
                session.run(train)
    found = lines()
    assert 15 <= sum(x["value"] for x in found if x["name"] == "p.run_steps.all") <= 20
    assert all(x["value"] > 0 for x in found if x["name"] == "p.run_steps_elapsed_time.all")


@pytest.mark.parametrize("runs, profiles", [(30, 1), (31, 2)])
def test_tvn_profiler(tmp_path, monkeypatch, runs, profiles):
    started, running = [], []

    def start(logdir, options):
        assert not running and logdir == str(tmp_path)
        running.append(1), started.append(1)

    monkeypatch.setattr(tf.profiler.experimental, "start", start)
    monkeypatch.setattr(tf.profiler.experimental, "stop", running.pop)
    with graph("float32"):
        x = tf.constant(1)
        with tf1.train.SingularMonitoredSession([metrics.Tf2ProfilerHook(tmp_path, (0, 10), save_steps=30)]) as session:
            for i in range(runs):
                session.run(x)
                assert bool(running) == (i < 10 or i >= 30), i
    assert len(started) == profiles and not running
    for arguments in ({}, {"save_steps": 30, "save_secs": 1}, {"save_steps": 5}, {"init_step_range": (10, 3), "save_steps": 30},
                      {"init_step_range": (10, None), "save_steps": 30}):  # fmt: skip
        with pytest.raises(ValueError, match="Tf2ProfilerHook"):
            metrics.Tf2ProfilerHook(tmp_path, **arguments)


def test_a_real_profile(tmp_path):
    with graph("float32"):
        x = tf.constant(1)
        with tf1.train.SingularMonitoredSession([metrics.Tf2ProfilerHook(tmp_path, (0, 1), save_steps=30)]) as session:
            for _ in range(3):
                session.run(x)
    assert [f for _, _, files in os.walk(tmp_path) for f in files if f.endswith(".xplane.pb")]


MESSAGE = {"model_name": "test_model", "req_time": "20220927", "userid": "1854",
           "predict": {"feed_comment": .5, "click_comment": .2, "feed_share": .2},
           "label": {"feed_comment": 0, "click_comment": 1, "feed_share": 0}}  # fmt: skip


def test_tvn_vepfs():
    assert metrics.vepfs_layout_fn(MESSAGE) == (
        '20220927;gid;1854;{"feed_comment": 0.5, "click_comment": 0.2, "feed_share": 0.2};'
        '{"feed_comment": 0, "click_comment": 1, "feed_share": 0}')  # fmt: skip
    assert metrics.vepfs_key_fn(MESSAGE, 0, "/base") == "/base/test_model/20220927/worker_0"
    assert metrics.vepfs_key_fn({"model_name": "../..", "req_time": 7}, 1, "/base") == "/base/.._../7/worker_1"
    assert metrics.vepfs_key_fn({"model_name": ".."}, 1, "/base") == "/base/_/req_time/worker_1"
    assert metrics.vepfs_layout_fn({"req_time": 1, "uid": 2}) == "1;gid;2;None;None"


def test_tvn_file_writer(tmp_path):
    def write(count):
        file = metrics.WriteOnlyFileAndStat(str(tmp_path / "key"), batch_size=8, partition_size=32)
        for i in range(count):
            file.write({"i": i})
        file.write(None)
        assert (tmp_path / "key").exists() == (count > 8)
        file.close()

    write(64)
    parts = sorted((tmp_path / "key").iterdir())
    assert [p.name for p in parts] == ["part_000000.txt", "part_000001.txt"]
    assert [len(p.read_text().splitlines()) for p in parts] == [32, 32]
    write(9)  # what is there stays
    assert len((tmp_path / "key" / "part_000002.txt").read_text().splitlines()) == 9 and len(parts[0].read_text()) > 100


def features():
    return {"req_time": tf.constant([[10], [20], [30]], tf.int64), "uid": tf.constant([1, 2, 3], tf.int64),
            "sample_rate": tf.constant([.5, 1, 1]), "price": tf.constant([1.1, 2, 3]), "shop": tf.constant([7, 8, 9], tf.int64),
            "city": tf.constant(["a", "b", "c"]), "odd": tf.constant([True] * 3)}  # fmt: skip


def test_deep_insight_messages(tmp_path, lines):
    with graph("float32") as session:
        op = metrics.write_deep_insight(
            features(), 1.0, "m", targets=["a", "b", "c"], labels_list=[[1., 0, 1], None, [0., 0, 1]], preds_list=[[.9, .1, .4], [0., 0, 0], [.5] * 3],
            extra_fields_keys=["price", "shop", "city", "odd"], dump_filename=str(tmp_path / "d" / "x.part-00000"), use_zero_train_time=True)  # fmt: skip
        messages = session.run(op)
        op.op.deep_insight_dump.close()
    assert json.loads(messages[0]) == {
        "model_name": "m", "uid": 1, "req_time": 10, "train_time": 0, "sample_ratio": 1.0, "predict": {"a": .9, "c": .5},
        "label": {"a": 1, "c": 0}, "sample_rate": {"a": .5, "c": .5}, "extra_float": {"price": 1.1}, "extra_int": {"shop": 7},
        "extra_str": {"city": "a"}}  # fmt: skip
    dumped = [r.numpy() for r in tf.data.TFRecordDataset(str(tmp_path / "d" / "x.part-00000"))]
    assert dumped == list(messages)
    assert [x["value"] for x in lines() if x["name"] == "p.deep_insight.messages"] == [3]


def test_deep_insight_of_one_head_and_of_none():
    with graph("float32") as session:
        x = features()
        silent = metrics.write_deep_insight(x, 1.0, "m", [1.0, 0, 1], [0.9, 0.1, 0.4])
        assert session.run(silent).tolist() == [b"", b"", b""]
        heard = session.run(
            metrics.write_deep_insight(x, 1.0, None, [1.0, 0, 1], [0.9, 0.1, 0.4], enable_kafka_metrics=True)
        )
        first = json.loads(heard[0])
        assert (
            first["predict"] == {"ctr_head": 0.9} and first["model_name"] == "model_name" and first["train_time"] > 1e9
        )
        assert metrics.write_deep_insight({"uid": x["uid"]}, 1.0, "m").type == "NoOp"
        with pytest.raises(ValueError, match="2 targets, 1 labels"):
            metrics.write_deep_insight(x, 1.0, "m", targets=["a", "b"], labels_list=[[1.0]], preds_list=[[1.0], [1.0]])


def test_sampling_keeps_its_share_and_its_choice():
    kept = [i for i in range(20000) if metrics.is_sampled(i, 5, 0.1)]
    assert abs(len(kept) - 2000) < 5 * math.sqrt(1800)
    assert all(metrics.is_sampled(i, 5, 0.2) for i in kept) and not any(metrics.is_sampled(i, 5, 0) for i in kept)


def test_file_hook_writes_by_key_and_drops_what_it_cannot_read(tmp_path, caplog):
    texts = [json.dumps({"model_name": "m", "req_time": t, "uid": u}).encode() for t, u in ((1, 2), (1, 3), (5, 4))]
    with graph("float32"), caplog.at_level(logging.WARNING, "monolith.metrics"):
        tf1.add_to_collection("deep_insight_op", tf.constant([texts[0], b"", b"no json", texts[1], texts[2]]))
        hook = metrics.FileMetricHook(worker_id=3, base_name=str(tmp_path))
        for _ in range(2):  # a session after the end of one goes on
            with tf1.train.SingularMonitoredSession([hook]) as session:
                session.run(tf1.get_collection("deep_insight_op")[0])
    assert (
        tmp_path / "m" / "1" / "worker_3" / "part_000000.txt"
    ).read_text() == "1;gid;2;None;None\n1;gid;3;None;None\n"
    assert sorted(os.listdir(tmp_path / "m" / "5" / "worker_3")) == ["part_000000.txt", "part_000001.txt"]
    assert "JSONDecodeError" in caplog.text


def test_kafka_hook_without_a_broker_says_so(monkeypatch, caplog):
    monkeypatch.delenv("KAFKA_BROKER_LIST", raising=False)
    with graph("float32"), caplog.at_level(logging.WARNING, "monolith.metrics"):
        with tf1.train.SingularMonitoredSession([metrics.KafkaMetricHook(tf.constant(["a"]))]) as session:
            session.run(session.graph.get_operations()[0])
    assert "KAFKA_BROKER_LIST" in caplog.text


def test_kafka_hook_delivers(broker, monkeypatch):
    import kafka_helpers

    topic = kafka_helpers.topic_of(broker)
    monkeypatch.setenv("KAFKA_BROKER_LIST", broker.address)
    monkeypatch.setenv("KAFKA_TOPIC_NAME", topic)
    with graph("float32"):
        op = tf.constant(["one", "", "two"])
        hook = metrics.KafkaMetricHook(op)
        for _ in range(2):
            with tf1.train.SingularMonitoredSession([hook]) as session:
                session.run(op)
    assert sorted(m.value() for m in kafka_helpers.consume(broker, topic, 4)) == [b"one", b"one", b"two", b"two"]


def test_moving_statistics():
    now = [0.0]
    moving = metrics.MovingStatistics("k", clock=lambda: now[0])
    assert moving.statistics("last_1_min") == {"min": 0, "max": 0, "avg": 0, "p99": 0}
    for i in range(100):
        moving.push(-float(i))
    assert moving.statistics("last_1_min") == {"min": -99, "max": 0, "avg": -49.5, "p99": 0}
    now[0] = 61.5
    moving.push(7)
    assert moving.statistics("last_1_min") == {"min": 7, "max": 7, "avg": 7, "p99": 7}
    assert moving.statistics("last_5_min")["min"] == -99


def test_timers_inside_a_graph(lines):
    with graph("float32") as session:
        session.run(metrics.emit_timer("latency", tf.constant(2.5), {"op": "x"}))
    assert [(x["name"], x["value"], x["tags"]) for x in lines()] == [("p.latency", 2.5, {"op": "x"})]


def test_tvn_machine_health():
    from monolith_protos.machine_health_pb2 import MachineHealthResult

    assert metrics.check_machine_health() == b""
    found = metrics.check_machine_health(1)
    assert found[:2] == b"\x08\x01" and found[2:3] == b"\x12", "status is field 1, message field 2"
    result = MachineHealthResult.FromString(found)
    assert result.DESCRIPTOR.full_name == "tensorflow.monolith_tf.MachineHealthResult"
    assert result.message.startswith("Memory limit exceeded. Current: ") and result.message.endswith(", Limit: 1")
    assert result.status == MachineHealthResult.OUT_OF_MEMORY
    with graph("float32") as session:
        (same,), stamp = metrics.tensors_timestamp([tf.constant(3)])
        value, micros = session.run([same, stamp])
        assert value == 3 and micros > 1.6e15
