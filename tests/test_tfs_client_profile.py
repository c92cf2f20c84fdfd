"""tfs-client profile: percentiles (T28), both kinds of load, errors, stops, and that a stall cannot hide behind an
arrival rate."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import grpc
import pytest
from conftest import ROOT
from fake_tfs import FakeTfs, Model

from monolith_cli.serving.client.profile import Profile, percentile_index
from monolith_cli.serving.protos import predict_pb2
from monolith_protos import example_pb2


@pytest.fixture
def tfs():
    with FakeTfs([Model("m")], predict=lambda r: predict_pb2.PredictResponse()) as made:
        yield made.settle()


def profile(run, tfs, *args, **more):
    done = run(
        "tfs-client",
        "profile",
        "--target",
        getattr(tfs, "target", tfs),
        "--model-name",
        "m",
        "--samples",
        5,
        "--json",
        *args,
        **more,
    )
    return json.loads(done.stdout) if done.stdout else done


@pytest.mark.parametrize("count,index", [(1, 0), (2, 1), (51, 50), (100, 98), (101, 99)])
def test_t28_place_of_the_99th_percentile(count, index):
    assert percentile_index(count, 99) == index


def test_result_line():
    made = Profile(elapsed_s=2.0)
    assert made.line() == "[Profile] Count: 0, Avg Latency: 0, P99 Latency: 0, QPS: 0"
    made.latencies_s.extend([0.001 * (i + 1) for i in range(100)])
    assert made.line() == "[Profile] Count: 100, Avg Latency: 50.500, P99 Latency: 99.000, QPS: 50.000"


def test_closed_loop_keeps_the_threads_busy(run, tfs):
    tfs.delay("Predict", 0.02)
    made = profile(run, tfs, "--parallel-num", 4, "--duration", 3)
    assert made["count"] == len(tfs.calls("Predict")) > 20 and made["errors"] == {} and made["unsent"] == 0
    assert (
        20 <= made["min_ms"] <= made["p50_ms"] <= made["p90_ms"] <= made["p99_ms"] <= made["p99.9_ms"] <= made["max_ms"]
    )
    assert made["qps"] == pytest.approx(made["count"] / made["elapsed_s"], rel=0.01)
    request = tfs.calls("Predict")[0]
    batch = example_pb2.ExampleBatch.FromString(request.inputs["example_batch"].string_val[0])
    assert request.model_spec.name == "m" and batch.batch_size == 8
    assert len({r.inputs["example_batch"].string_val[0] for r in tfs.calls("Predict")}) == 5


def test_text_output_ends_with_the_result_line(run, tfs):
    out = run(
        "tfs-client", "profile", "--target", tfs.target, "--profile-duration", 2, "--samples", 2
    ).stdout.decode()
    assert re.fullmatch(
        r"\[Profile\] Count: \d+, Avg Latency: [\d.]+, P99 Latency: [\d.]+, QPS: [\d.]+", out.splitlines()[-1]
    )
    assert "p99.9" in out and "errors   none" in out


def test_arrival_rate_is_kept_and_warm_up_is_not_measured(run, tfs):
    made = profile(run, tfs, "--rate", 100, "--parallel-num", 8, "--duration", 1, "--warm-up", 0.5)
    assert 92 <= made["count"] + made["unsent"] <= 101 and made["rate"] == 100
    assert len(tfs.calls("Predict")) > made["count"] + 25  # the warm-up was sent


def test_a_stall_shows_in_the_latencies_of_what_fell_due_meanwhile(run, tfs):
    """The server stands still for 1.2 s. A loop that waits for answers meets it once; at a rate of 50 about 60
    requests do."""

    def answer(request):
        if len(tfs.calls("Predict")) == 10:
            time.sleep(1.2)
        return predict_pb2.PredictResponse()

    tfs.predict = answer
    made = profile(run, tfs, "--rate", 50, "--parallel-num", 1, "--duration", 4)
    assert made["p90_ms"] > 300 and made["max_lag_ms"] > 900
    assert made["count"] + made["unsent"] >= 190


def test_what_fell_due_and_was_never_sent_is_told(run, tfs):
    tfs.delay("Predict", 0.5)
    made = profile(run, tfs, "--rate", 100, "--parallel-num", 1, "--duration", 1)
    assert made["count"] <= 4 and made["unsent"] >= 90


def test_errors_are_counted_by_code_and_not_as_answers(run, tfs):
    tfs.fail_call("Predict", grpc.StatusCode.INTERNAL, "oops", times=3)
    made = profile(run, tfs, "--duration", 4)
    assert made["errors"] == {"INTERNAL": 3} and made["error_count"] == 3 and made["count"] > 0


def test_nothing_but_errors(run, tfs):
    tfs.fail_call("Predict", grpc.StatusCode.NOT_FOUND, "no model", times=-1)
    done = run("tfs-client", "profile", "--target", tfs.target, "--duration", 2, "--samples", 1, check=False)
    assert done.returncode == 66 and "no model" in done.stderr
    assert done.stdout.decode().splitlines()[-1] == "[Profile] Count: 0, Avg Latency: 0, P99 Latency: 0, QPS: 0"
    done = run(
        "tfs-client", "profile", "--target", "127.0.0.1:1", "--duration", 2, "--samples", 1, "--json", check=False
    )
    assert done.returncode == 69 and json.loads(done.stdout)["errors"]["UNAVAILABLE"] > 0


def test_requests_go_to_all_targets(run, tfs):
    with FakeTfs([Model("m")], predict=tfs.predict) as other:
        made = profile(run, f"{tfs.target},{other.target}", "--duration", 3, "--parallel-num", 2)
        assert tfs.calls("Predict") and other.calls("Predict")
        assert made["targets"] == [tfs.target, other.target]


def test_data_folder_is_filled_once(run, tfs, tmp_path):
    folder = tmp_path / "data"
    args = [
        "--duration",
        2,
        "--profile-data-dir",
        folder,
        "--batch-size",
        3,
        "--slots",
        "1,7",
        "--user-slots",
        "1",
        "--drop-rate",
        0,
    ]
    profile(run, tfs, *args)
    files = sorted(folder.iterdir())
    assert len(files) == 5 and all(f.suffix == ".pb" and len(f.stem) == 36 for f in files)
    before = [f.read_bytes() for f in files]
    profile(run, tfs, *args)
    assert [f.read_bytes() for f in sorted(folder.iterdir())] == before
    known = {data[8:] for data in before}
    assert all(r.inputs["example_batch"].string_val[0] in known for r in tfs.calls("Predict"))
    batch = example_pb2.ExampleBatch.FromString(before[0][8:])
    assert [(c.name, c.type, len(c.feature)) for c in batch.named_feature_list[:2]] == [
        ("fc_slot_1", 1, 3),
        ("fc_slot_7", 0, 3),
    ]


def test_records_of_a_file_in_batches(run, tfs, tmp_path):
    path = tmp_path / "i.pb"
    run("pb-gen", "-q", "-n", 20, "-o", path)
    profile(run, tfs, "--duration", 2, "--input-type", "instance", "--input-file", path, "--batch-size", 8)
    assert {len(r.inputs["instances"].string_val) for r in tfs.calls("Predict")} <= {8, 4}
    done = run(
        "tfs-client",
        "profile",
        "--target",
        tfs.target,
        "--input-file",
        path,
        "--input-type",
        "example_batch",
        check=False,
    )
    assert done.returncode == 65 and "byte 0" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_the_result_so_far(tfs, number):
    tfs.delay("Predict", 0.01)
    command = [
        sys.executable,
        "-m",
        "monolith_cli",
        "tfs-client",
        "profile",
        "--target",
        tfs.target,
        "--samples",
        "2",
        "--json",
        "--duration",
        "600",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(tfs.calls("Predict")) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 128 + number, err
    made = json.loads(out)
    assert made["count"] >= 3 and made["errors"] == {} and made["elapsed_s"] < 400


def test_progress_on_stderr(run, tfs):
    done = run("tfs-client", "profile", "--target", tfs.target, "--duration", 1.5, "--samples", 2, "--progress")
    assert re.search(r"\d+ answers, 0 errors", done.stderr)
