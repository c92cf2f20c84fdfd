"""Batching: whatever is computed together, a caller gets its own rows."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import saved_models
from hypothesis import given, settings
from hypothesis import strategies as st
from model_server import ModelServer, code_of, model, write_config
from saved_models import predict_request

from monolith_cli.errors import ConfigError
from monolith_cli.serving.platform_protos import BatchingParameters
from monolith_cli.serving.server.batching import BatchConfig, BatchQueue, BatchScheduler
from monolith_cli.serving.server.config_files import batch_config
from monolith_cli.serving.server.status import StatusError, invalid


class Graph:
    """y = 2 x and the row's sum, as a model would; it remembers the batches it saw."""

    def __init__(self, seconds=0.0):
        self.batches, self.seconds, self.gate, self.entered = [], seconds, threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, inputs):
        self.entered.set()
        self.gate.wait(120)
        time.sleep(self.seconds)
        x = inputs[0]
        self.batches.append(x.shape)
        if (x == -1).any():
            raise invalid("a row of -1")
        return [x * 2, x.reshape(x.shape[0], -1).sum(1)]


@pytest.fixture
def scheduled():
    made = []

    def make(**config):
        made.append(BatchScheduler(BatchConfig(**config)))
        return made[-1]

    yield make
    for scheduler in made:
        scheduler.stop()


requests = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5)), min_size=1, max_size=24)


@settings(max_examples=60)
@given(requests, st.integers(1, 3), st.integers(4, 12), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.001]))
def test_any_interleaving_gives_each_caller_its_own_rows(sizes, threads, limit, padded, split, timeout):
    """Requests of random numbers of rows and columns, some longer than a batch, some of no rows, some that fail, from
    many threads."""
    config = BatchConfig(limit, timeout, 1000, threads, (limit // 2, limit), padded, split)
    scheduler, graph, queues = BatchScheduler(config), Graph(0.0005), {}
    queues = {columns: BatchQueue(graph, ["x"]) for columns in range(6)}

    def ask(number_and_size):
        number, (rows, columns) = number_and_size
        x = np.arange(rows * (columns + 1), dtype=np.int64).reshape(rows, columns + 1) + 1000 * number
        if number % 7 == 6 and rows:
            x[0, 0] = -1
        try:
            return x, scheduler.run(queues[0 if padded else columns], [x], None)
        except StatusError as e:
            return x, e

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, enumerate(sizes)))
    scheduler.stop()
    for x, answer in answers:
        if len(x) > limit and not split:
            assert isinstance(answer, StatusError) and answer.code is grpc.StatusCode.INVALID_ARGUMENT
        elif (x == -1).any():
            assert isinstance(answer, StatusError) and "-1" in answer.message
        else:
            y, total = answer
            assert y.shape[0] == len(x) and (y[:, : x.shape[1]] == 2 * x).all()
            assert padded or (total == x.sum(1)).all()
    assert all(shape[0] in (limit // 2, limit) for shape in graph.batches)


def together(scheduler, queue, graph, arrays, deadline=None):
    """The answers (or errors) of requests that wait while the one thread is held up, and so share batches."""
    graph.gate.clear()
    graph.entered.clear()
    with ThreadPoolExecutor(len(arrays) + 1) as pool:
        first = pool.submit(scheduler.run, queue, [np.zeros((1, 1), np.int64)], None)
        assert graph.entered.wait(120)  # the held-up one is being computed
        futures = []
        for n, array in enumerate(arrays):
            futures.append(pool.submit(scheduler.run, queue, [array], deadline))
            while len(queue.pieces) <= n and not futures[-1].done():
                time.sleep(0.001)
        graph.gate.set()
        first.result(120)
        return [f.exception(120) or f.result() for f in futures]


def rows(n, start=0):
    return np.arange(start, start + n, dtype=np.int64).reshape(n, 1)


def test_batches_are_filled_and_padded_to_allowed_sizes(scheduled):
    graph = Graph()
    answers = together(
        scheduled(max_batch_size=8, num_threads=1, allowed_sizes=(2, 4, 8)),
        BatchQueue(graph, ["x"]),
        graph,
        [rows(3), rows(3, 10), rows(3, 20), rows(1, 30)],
    )
    assert [s[0] for s in graph.batches] == [2, 8, 4]  # 1 -> 2, 3 + 3 -> 8, 3 + 1
    assert [a[0][0, 0] for a in answers] == [0, 20, 40, 60]


def test_one_bad_request_does_not_fail_the_others(scheduled):
    graph = Graph()
    answers = together(scheduled(num_threads=1), BatchQueue(graph, ["x"]), graph, [rows(2), rows(2) - 1, rows(2, 5)])
    assert isinstance(answers[1], StatusError)
    assert answers[0][0].tolist() == [[0], [2]] and answers[2][0].tolist() == [[10], [12]]


def test_a_full_queue_refuses(scheduled):
    graph = Graph()
    answers = together(
        scheduled(max_batch_size=2, max_enqueued_batches=2, num_threads=1),
        BatchQueue(graph, ["x"]),
        graph,
        [rows(2)] * 4,
    )
    assert [getattr(a, "code", None) for a in answers] == [
        None,
        None,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNAVAILABLE,
    ]


def test_a_batch_waits_for_more_until_its_timeout(scheduled):
    graph = Graph()
    scheduler, queue = scheduled(max_batch_size=4, timeout_s=4.0, num_threads=2), BatchQueue(graph, ["x"])
    with ThreadPoolExecutor(3) as pool:
        began = time.monotonic()
        list(pool.map(lambda n: scheduler.run(queue, [rows(1, n)], None), range(3)))
        assert time.monotonic() - began >= 3.5
    assert graph.batches == [(3, 1)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: scheduler.run(queue, [rows(1, n)], None), range(4)))
    assert graph.batches[1:] == [(4, 1)]


def test_a_request_whose_time_is_up_is_not_computed(scheduled):
    graph = Graph()
    answers = together(
        scheduled(num_threads=1), BatchQueue(graph, ["x"]), graph, [rows(1)], deadline=time.monotonic() - 1
    )
    assert answers[0].code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert graph.batches == [(1, 1)]


def test_inputs_that_differ_in_dimension_0(scheduled):
    def graph(inputs):
        size, user, item = inputs
        return [np.repeat(user, size, axis=0) + item]

    queue = BatchQueue(graph, ["batch_size", "user", "item"])
    inputs = [np.array([3], np.int32), np.array([[10]]), rows(3)]
    with pytest.raises(StatusError, match="equal dimension 0"):
        scheduled().run(queue, inputs, None)
    assert scheduled(diff_dim_sizes=True).run(queue, inputs, None)[0].tolist() == [[10], [11], [12]]
    with pytest.raises(StatusError, match="batch_size"):
        scheduled(diff_dim_sizes=True).run(BatchQueue(graph, ["size", "user", "item"]), inputs, None)


def test_an_output_without_rows_is_an_error(scheduled):
    with pytest.raises(StatusError, match="dimension 0") as e:
        scheduled().run(BatchQueue(lambda inputs: [np.float32(1)], ["x"]), [rows(2)], None)
    assert e.value.code is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("text", [
    "max_batch_size { value: 0 }", "allowed_batch_sizes: 2 allowed_batch_sizes: 4 max_batch_size { value: 8 }",
    "allowed_batch_sizes: 8 allowed_batch_sizes: 4 max_batch_size { value: 4 }", "max_execution_batch_size { value: 4 }", "num_batch_threads { value: -1 }",
])  # fmt: skip
def test_parameters_with_a_mistake(text):
    from google.protobuf import text_format

    with pytest.raises(ConfigError):
        batch_config(text_format.Parse(text, BatchingParameters()))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batching")
    saved_models.two_inputs(folder / "two_inputs")
    saved_models.ragged(folder / "ragged")
    saved_models.failing(folder / "failing")
    config = write_config(folder / "models.conf", *(model(n, folder / n) for n in ("two_inputs", "ragged", "failing")))
    (folder / "batching.conf").write_text(
        "max_batch_size { value: 64 } batch_timeout_micros { value: 2000 } max_enqueued_batches { value: 100 }\n"
        "num_batch_threads { value: 2 } allowed_batch_sizes: 16 allowed_batch_sizes: 64"
    )
    made = ModelServer(
        folder,
        f"--model_config_file={config}",
        "--enable_batching=true",
        f"--batching_parameters_file={folder}/batching.conf",
    )
    yield made
    made.stop()


def test_many_callers_of_one_server(server):
    rng = np.random.default_rng(3)

    def ask(n):
        a, b = (np.arange(n % 9, dtype=np.float32) + n * k for k in (1, 2))
        signature, output = (("", "product"), ("difference", "difference"), ("", "sum"))[n % 3]
        request = predict_request("two_inputs", signature, a=a, b=b)
        request.output_filter.append(output)
        got = list(server.predict(request).outputs[output].float_val)
        assert got == {"product": a * b, "difference": a - b, "sum": a + b}[output].tolist(), n
        x = rng.integers(0, 99, (n % 5, n % 4)).astype(np.float32)
        assert list(server.predict(predict_request("ragged", x=x)).outputs["total"].float_val) == x.sum(1).tolist()

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(ask, range(400)))
    text = server.curl("/monitoring/prometheus/metrics")[1]
    batches = float(text.split(":tensorflow:serving:batching_session:processed_batch_size_count ")[1].split()[0])
    assert 0 < batches < 800


def test_a_failing_row_fails_its_own_request(server):
    def ask(n):
        x = np.array([n, np.nan if n % 5 == 0 else 1], np.float32)
        try:
            return list(server.predict(predict_request("failing", x=x)).outputs["y"].float_val) == [n, 1]
        except grpc.RpcError as e:
            return n % 5 == 0 and e.code() is grpc.StatusCode.INVALID_ARGUMENT

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(100)))


def test_what_does_not_fit_a_batch(server):
    code, message = code_of(
        server.predict, predict_request("two_inputs", a=np.ones(65, np.float32), b=np.ones(65, np.float32))
    )
    assert code == "INVALID_ARGUMENT" and "65 rows" in message
    assert (
        code_of(server.predict, predict_request("two_inputs", a=np.ones(3, np.float32), b=np.ones(2, np.float32)))[0]
        == "INVALID_ARGUMENT"
    )
