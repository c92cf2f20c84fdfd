"""Deep-insight messages: what monolith-train and monolith-eval write of their rows, to every kind of target."""

import datetime
import json
import struct

import numpy as np
import pytest
from model_files import fid, instance, wire, write_model

pytest.importorskip("tensorflow")

MODEL = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Two(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label", "price"], dense_feature_shapes=[2, 1],
                                   extra_features=["sample_rate"], extra_feature_shapes=[1])

        def model_fn(self, features, mode):
            (w,) = self.lookup_embedding_slice(["item"], "w", 1, initializer=ZerosInitializer(), optimizer=SgdOptimizer(learning_rate=0.1))
            click = Task("click", w, features["label"][:, 0], sample_rate=features["sample_rate"])
            stars = Task("stars", 2 * w, features["label"][:, 1], kind="regression")
            return multi_task_spec([click, stars], mode=mode)
"""
DAY = int(datetime.datetime(2026, 3, 1, tzinfo=datetime.timezone.utc).timestamp())


def records(n=200):
    from monolith_protos.proto_parser_pb2 import Instance

    for i in range(n):
        record = Instance.FromString(instance(uid=i, item=[fid(1, i % 7)], price=[i / 4]))
        record.label[:] = [float(i % 2)] + [float(i % 5) if i % 3 else -3.4028234663852886e38]  # every third row has no stars
        record.line_id.req_time, record.line_id.item_id, record.line_id.sample_rate = DAY + 600 * i, 1000 + i, 0.5
        record.line_id.user_id = f"user {i}"
        yield record.SerializeToString()


@pytest.fixture
def job(tmp_path):
    (tmp_path / "data.pb").write_bytes(wire(records()))
    return ["--model", write_model(tmp_path, MODEL) + ":Two", "--model-dir", tmp_path / "m", "--batch-size", "64", tmp_path / "data.pb"]


def test_json_lines_of_training_and_evaluation(run, tmp_path, job):
    fields = ["--deep-insight-fields", "item_id,user_id,price", "--deep-insight-name", "shop"]
    target = ["--deep-insight", tmp_path / "new" / "seen.jsonl", "--deep-insight-ratio", "1", *fields]
    done = run("monolith-train", *job, *target, "--json")
    assert json.loads(done.stdout)["deep_insight"] == {"sent": 200, "lost": 0}
    lines = [json.loads(line) for line in (tmp_path / "new" / "seen.jsonl").read_text().splitlines()]
    assert [m["uid"] for m in lines] == list(range(200))
    first, third = lines[1], lines[3]
    assert first["model_name"] == "shop" and first["req_time"] == DAY + 600 and first["sample_ratio"] == 1.0
    assert first["predict"] == {"click": 0.5, "stars": 0.0} and first["label"] == {"click": 1.0, "stars": 1.0}
    assert first["sample_rate"] == {"click": 0.5, "stars": 1.0} and first["train_time"] > 1_600_000_000
    assert first["extra_int"] == {"item_id": 1001} and first["extra_str"] == {"user_id": "user 1"} and first["extra_float"] == {"price": 0.25}
    assert third["label"] == {"click": 1.0} and set(third["predict"]) == {"click", "stars"}  # no valid label for stars
    # A part of the rows is the same part for every program, and is added behind what the file has.
    target[3] = "0.25"
    result = json.loads(run("monolith-eval", *job, *target, "--json").stdout)
    more = [json.loads(line) for line in (tmp_path / "new" / "seen.jsonl").read_text().splitlines()[200:]]
    assert result["deep_insight"]["sent"] == len(more) and 25 < len(more) < 75
    from monolith_cli.metrics.deep_insight import sampled_rows

    assert [m["uid"] for m in more] == sampled_rows(np.arange(200), DAY + 600 * np.arange(200), 0.25).tolist()
    assert more[0]["predict"]["click"] != 0.5  # of the trained model


def test_folders_of_text_lines(run, tmp_path, job):
    run("monolith-train", *job, "--deep-insight", tmp_path / "di", "--deep-insight-ratio", "1")
    files = sorted(p.relative_to(tmp_path / "di").as_posix() for p in (tmp_path / "di").rglob("*.txt"))
    assert files == ["Two/20260301/worker_0/part_000000.txt", "Two/20260302/worker_0/part_000000.txt"]
    lines = (tmp_path / "di" / files[0]).read_text().splitlines()
    assert len(lines) == 144 and lines[1] == f'{DAY + 600};gid;1;{{"click": 0.5, "stars": 0.0}};{{"click": 1.0, "stars": 1.0}}'


def test_a_tfrecord_file(run, tmp_path, job):
    run("monolith-train", *job, "--deep-insight", tmp_path / "d" / "x.tfrecord", "--deep-insight-ratio", "1")
    data, seen = (tmp_path / "d" / "x.tfrecord.part-00000").read_bytes(), []
    while data:
        size = struct.unpack_from("<Q", data)[0]
        seen.append(json.loads(data[12 : 12 + size])["uid"])
        data = data[12 + size + 4 :]
    assert seen == list(range(200))


def test_a_topic(run, tmp_path, job, broker):
    broker.create_topic("insight", 1)
    done = run("monolith-train", *job, "--deep-insight", f"kafka://{broker.address}/insight", "--deep-insight-ratio", "1", "--json")
    assert json.loads(done.stdout)["deep_insight"] == {"sent": 200, "lost": 0}
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "t", "auto.offset.reset": "earliest"})
    consumer.subscribe(["insight"])
    got = [m for m in consumer.consume(200, 30) if m.error() is None]
    consumer.close()
    assert [json.loads(m.value())["uid"] for m in got] == list(range(200)) and got[7].key() == b"7"


def test_mistakes_are_found_before_training(run, tmp_path, job):
    done = run("monolith-train", *job, "--deep-insight", tmp_path / "x.jsonl", "--deep-insight-fields", "prise", check=False)
    assert done.returncode == 78 and "--deep-insight-fields prise" in done.stderr
    (tmp_path / "file").write_text("")
    done = run("monolith-train", *job, "--deep-insight", tmp_path / "file" / "x.jsonl", check=False)
    assert done.returncode == 73 and "file" in done.stderr
    assert not list((tmp_path / "m").glob("model.ckpt*"))


# --- the pieces


def test_the_share_of_rows_is_right_and_independent_of_batches():
    from monolith_cli.metrics.deep_insight import is_sampled, sampled_rows as chosen

    uids, times = np.arange(100_000), np.full(100_000, DAY)
    rows = chosen(uids, times, 0.1)
    assert abs(len(rows) / 1e5 - 0.1) < 0.005
    assert chosen(uids[500:600], times[500:600], 0.1).tolist() == [r - 500 for r in rows if 500 <= r < 600]
    assert set(chosen(uids, times, 0.01)) < set(rows) and len(chosen(uids, times, 1.0)) == 100_000
    assert set(chosen(uids, times + 1, 0.1)) != set(rows)
    assert [is_sampled(i, DAY, 0.1) for i in range(200)] == [i in set(rows) for i in range(200)]


def test_a_failing_target_does_not_end_the_run():
    from monolith_cli.errors import IoError
    from monolith_cli.training.deep_insight import DeepInsight, InsightConfig

    class Sink:
        def send(self, messages):
            raise IoError("disk full")

        def __enter__(self):
            return self

        def __exit__(self, *exc):
            pass

    class Log:
        lines: list = []

        def warning(self, text):
            self.lines.append(text)

    class Run:
        log = Log()

    import monolith_cli.training.deep_insight as module

    insight = DeepInsight(InsightConfig("x", 1.0), "m", Run())
    opener, module.open_sink = module.open_sink, lambda *_: Sink()
    try:
        with insight:
            for _ in range(2):
                insight.add({"row/uid": np.arange(3), "row/req_time": np.arange(3)})
    finally:
        module.open_sink = opener
    assert (insight.sent, insight.lost) == (0, 6) and len(Log.lines) == 1 and "disk full" in Log.lines[0]
