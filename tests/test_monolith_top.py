"""monolith-top: rows from servers, agents and ZooKeeper, rates, what is down, and the JSON and text it prints."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from fake_tfs import FakeTfs, Model
from ports import free_port
from top_helpers import FakeAgent, Page

from monolith_cli.serving.top import prometheus, table
from monolith_cli.serving.top.facts import Row, Snapshot, replica_of_key
from monolith_cli.serving.zookeeper import paths, records
from monolith_cli.serving.zookeeper.connection import ZkConfig, connect


@pytest.fixture
def tfs():
    with FakeTfs([Model("m", data=2), Model("x:ps_0")], stock=True) as made:
        yield made.settle()


@pytest.fixture
def page():
    made = Page()
    yield made
    made.close()


def look(run, *args, **more):
    """(rows by (model, task, version), sources, exit code) of one picture."""
    done = run("monolith-top", "--once", "--json", "--interval", 0.3, "--timeout", 30, *args, check=False, **more)
    shown = json.loads(done.stdout)
    return {(r["model"], r["task"], r["version"]): r for r in shown["rows"]}, shown["sources"], done.returncode


# Servers


def test_versions_and_states_of_a_server(run, tfs):
    tfs.fail_version("m", 3, 3, "broken graph")
    tfs.add_version("m")
    tfs.set_state("m", 1, tfs.UNLOADING)
    tfs.settle()
    rows, sources, code = look(
        run, "--server", tfs.target, "--model-name", "m", "--model-name", "x:ps_0", "--model-name", "gone"
    )
    assert code == 0 and [(s["kind"], s["name"], s["up"]) for s in sources] == [("server", tfs.target, True)]
    assert {k: (r["state"], r["note"]) for k, r in rows.items() if k[0] == "m"} == {
        ("m", "", 1): ("UNLOADING", ""),
        ("m", "", 2): ("AVAILABLE", ""),
        ("m", "", 3): ("END", "broken graph"),
    }
    assert rows["x", "ps_0", 1]["state"] == "AVAILABLE"
    assert rows["gone", "", None]["state"] == "NOT FOUND" and "NOT_FOUND" in rows["gone", "", None]["note"]


def test_rates_and_latencies_between_two_looks(run, tfs, page):
    page.add("m", 1000, 900_000)  # what was before the first look does not count

    def traffic():
        page.add("m", 900, 25)
        page.add("m", 100, 5000)
        page.add("m", 100, status="INTERNAL")

    page.before_each = traffic
    rows, _, _ = look(run, "--server", f"{tfs.target}/{page.port}")
    row, older = rows["m", "", 2], rows["m", "", 1]
    assert 0 < row["rate"] < 1100 / 0.2 and row["error_rate"] == pytest.approx(row["rate"] / 10, rel=0.2)
    assert 0.018 <= row["p50_ms"] <= 0.0324 and 1 < row["p99_ms"] <= 10
    assert older["rate"] is None and older["p99_ms"] is None  # the page does not part versions


def test_models_are_found_on_the_page_and_a_bad_page_hides_only_the_rates(run, tfs, page):
    page.add("x:ps_0", 1, 20)
    rows, _, _ = look(run, "--server", f"{tfs.target}/{page.port}")
    assert rows["x", "ps_0", 1]["rate"] == 0 and rows["x", "ps_0", 1]["p50_ms"] is None
    page.status = 500
    rows, sources, code = look(run, "--server", f"{tfs.target}/{page.port}", "--model-name", "m")
    assert code == 0 and rows["m", "", 2]["state"] == "AVAILABLE" and rows["m", "", 2]["rate"] is None
    assert "500" in sources[0]["more"]["page_error"]
    page.status, page.body = 200, "\0\xff{}{}{\n" * 1000 + 'x{model_name="' * 10
    assert (
        look(run, "--server", f"{tfs.target}/{page.port}", "--model-name", "m")[0]["m", "", 2]["state"] == "AVAILABLE"
    )


def test_counters_that_begin_anew_do_not_make_negative_rates():
    def sample(at, count, slow):
        page = (
            f':tensorflow:serving:request_count{{model_name="m",status="OK"}} {count}\n'
            f':tensorflow:serving:request_latency_bucket{{model_name="m",le="1000"}} {count - slow}\n'
            f':tensorflow:serving:request_latency_bucket{{model_name="m",le="+Inf"}} {count}\n'
        )
        return prometheus.parse_page(page, at)

    made = prometheus.rates(sample(0, 100, 0), sample(2, 10, 0), "m")
    assert made.rate == 5 and made.p50_ms == pytest.approx(0.5)
    assert prometheus.rates(sample(0, 0, 0), sample(2, 10, 10), "m").p99_ms == 1.0  # beyond the last bound
    assert prometheus.rates(sample(0, 0, 0), sample(2, 10, 0), "other") is None


@pytest.mark.parametrize("share,expected", [(0.5, 0.015), (0.25, 0.0075), (0.9, 0.046), (1.0, 0.055)])
def test_quantiles_as_prometheus_has_them(share, expected):
    assert prometheus.quantile([10, 20, 60], [40, 60, 110][:3], share) == pytest.approx(
        {0.5: (10 + 10 * 15 / 20) / 1e3, 0.25: 10 * 27.5 / 40 / 1e3, 0.9: (20 + 40 * 39 / 50) / 1e3, 1.0: 0.06}[share]
    )


# Agents


@pytest.mark.parametrize(
    "key,served,model,task",
    [
        ("ps:3", "ps_3", "", "ps:3"),
        ("entry:0", "entry", "", "entry:0"),
        ("lf:default/dense:0", "dense_0", "", "dense:0"),
        ("m:ps_3", "m:ps_3", "m", "ps_3"),
        ("m:ps:3", "m:ps_3", "m", "ps:3"),
        ("m:entry:0", "m:entry", "m", "entry:0"),
    ],
)
def test_keys_of_heartbeats(key, served, model, task):
    made = replica_of_key(key, "h:1")
    assert (made.served, made.model, made.task, made.grpc) == (served, model, task, "h:1")


def test_servers_come_from_agents(run, tfs, page):
    page.add("x:ps_0", 5, 20)
    agent = FakeAgent({number: {"x:ps_0": [tfs.target], "m:none": []} for number in (0, 1, 2)})
    try:
        rows, sources, code = look(run, "--agent", agent.address, "--rest-port", page.port)
        assert code == 0 and list(rows) == [("x", "ps_0", 1)] and rows["x", "ps_0", 1]["server"] == tfs.target
        assert rows["x", "ps_0", 1]["rate"] == 0
        assert [(s["kind"], s["up"]) for s in sources] == [("agent", True), ("server", True)]
        assert sources[0]["more"] == {"shard_id": 2, "replica_id": 7, "memory": 123}
        text = run("monolith-top", "--once", "--timeout", 30, "--agent", agent.address).stdout.decode()
        assert f"agent {agent.address} up shard_id=2" in text
    finally:
        agent.close()


# What is down


def test_the_rest_goes_on_when_sources_are_down(run, tfs):
    began = time.monotonic()
    dead, silent = free_port(), FakeTfs([Model("m")])
    with silent:
        silent.delay("GetModelStatus", 600)
        rows, sources, code = look(
            run,
            "--server",
            tfs.target,
            "--server",
            f"127.0.0.1:{dead}/1",
            "--server",
            silent.target,
            "--agent",
            f"127.0.0.1:{dead}",
            "--model-name",
            "m",
            "--timeout",
            5,
        )
    assert code == 0 and time.monotonic() - began < 90
    assert {s["name"]: s["up"] for s in sources if s["kind"] == "server"} == {
        tfs.target: True,
        f"127.0.0.1:{dead}": False,
        silent.target: False,
    }
    assert [s["up"] for s in sources if s["kind"] == "agent"] == [False]
    assert rows["m", "", 2]["state"] == "AVAILABLE"
    assert rows["m", "", None]["state"] == "DOWN" and rows["m", "", None]["note"]


def test_no_source_answers(run):
    port = free_port()
    done = run(
        "monolith-top",
        "--once",
        "--server",
        f"127.0.0.1:{port}",
        "--agent",
        f"127.0.0.1:{port}",
        "--zk-servers",
        f"127.0.0.1:{port}",
        "--bzid",
        "b",
        "--zk-connect-timeout",
        0.5,
        "--timeout",
        0.5,
        check=False,
    )
    assert done.returncode == 69 and "zookeeper" in done.stderr and "agent" in done.stderr and "server" in done.stderr
    assert b"DOWN" in done.stdout and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "args,words",
    [
        ([], "--server"),
        (["--bzid", "b"], "--bzid"),
        (["--zk-servers", "h:1"], "--bzid"),
        (["--server", "h"], "host:port"),
        (["--server", "h:1/x"], "REST_PORT"),
        (["--agent", "h"], "host:port"),
        (["--server", "h:1", "--count", "2"], "--count"),
        (["--server", "h:1"], "--once"),
    ],
)
def test_mistakes_in_the_command_line(run, args, words):
    done = run("monolith-top", *args, check=False)
    assert done.returncode == 2 and words in done.stderr


# Order, filter, form


def rows_of(*made):
    return Snapshot(
        0.0,
        (),
        tuple(
            Row(model, task, "", "", "s", version, state, None, rate=rate, p99_ms=p99)
            for model, task, version, state, rate, p99 in made
        ),
    )


def test_order_and_filter():
    shown = rows_of(
        ("m", "ps_10", 1, "AVAILABLE", 5.0, None),
        ("m", "ps_2", 3, "END", None, 9.0),
        ("a", "entry", 2, "LOADING", 7.0, 1.0),
    )
    assert [r.task for r in shown.chosen().rows] == ["entry", "ps_2", "ps_10"]
    assert [r.task for r in shown.chosen(sort="rate").rows] == ["entry", "ps_10", "ps_2"]
    assert [r.task for r in shown.chosen(sort="latency").rows] == ["ps_2", "entry", "ps_10"]
    assert [r.state for r in shown.chosen(sort="state").rows] == ["END", "LOADING", "AVAILABLE"]
    assert [r.version for r in shown.chosen(sort="version", reverse=True).rows] == [1, 2, 3]
    assert [r.task for r in shown.chosen(["m:ps_1*", "a"]).rows] == ["entry", "ps_10"]
    assert shown.chosen(["none"]).rows == ()


def test_text_is_cut_to_the_terminal_and_holds_no_controls():
    row = Row("m" * 100, "t", "", "", "s:1", 1, "AVAILABLE", None, note="evil\x1b[2Jnote\n")
    lines = table.table((row,), 79)
    assert all(len(line) <= 79 for line in lines) and "…" in lines[1]
    whole = table.table((row,))
    assert "m" * 100 in whole[1] and "\x1b" not in whole[1] and "\n" not in whole[1]


def test_json_lines_until_a_signal(tfs):
    command = [
        sys.executable,
        "-m",
        "monolith_cli",
        "monolith-top",
        "--json",
        "--interval",
        "0.3",
        "--server",
        tfs.target,
        "--model-name",
        "m",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        lines = []

        def read_until(state):
            for line in itertools.islice(process.stdout, 300):
                lines.append(json.loads(line))
                if [r["state"] for r in lines[-1]["rows"] if r["version"] == 2] == [state]:
                    return
            raise AssertionError(f"never {state}: {lines[-1]}")

        read_until("AVAILABLE")
        tfs.set_state("m", 2, tfs.UNLOADING)
        read_until("UNLOADING")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(90) == 143
    finally:
        process.kill()
    assert all(a["time"] < b["time"] for a, b in zip(lines, lines[1:]))


def test_count_ends_json_lines(run, tfs):
    out = run(
        "monolith-top", "--json", "--interval", 0.2, "--count", 2, "--server", tfs.target, "--model-name", "m"
    ).stdout
    assert len(out.splitlines()) == 2


# ZooKeeper


@pytest.fixture
def connection(zookeeper):
    with connect(ZkConfig(zookeeper.servers)) as made:
        yield made


def test_replicas_of_agents_v1_with_and_without_location(run, tfs, zookeeper, connection):
    tfs.load(Model("ps_0"))
    tfs.load(Model("entry"))
    tfs.settle()
    address = tfs.target
    for location in (None, "lf:default"):
        connection.create(
            paths.replica_path("v1", "rank", "ps", 0, 7, location), records.ReplicaMeta(address, stat=30).to_json()
        )
    connection.create(paths.replica_path("v1", "rank", "entry", 0, 3), records.ReplicaMeta(address, stat=20).to_json())
    connection.create("/v1/service/rank/ps:1/5", b"no json")
    connection.create("/v1/service/rank/ps:2/5", records.ReplicaMeta("127.0.0.1:1", stat=30).to_json())
    rows, sources, code = look(run, "--zk-servers", zookeeper.servers, "--bzid", "v1")
    assert code == 0 and sources[0]["kind"] == "zookeeper" and sources[0]["up"]
    assert (rows["rank", "ps:0", 1]["state"], rows["rank", "ps:0", 1]["registered"]) == ("AVAILABLE", "AVAILABLE")
    assert rows["rank", "entry:0", 1]["registered"] == "LOADING" and rows["rank", "entry:0", 1]["replica"] == "3"
    assert rows["rank", "ps:1", None]["state"] == "BAD NODE" and "ps:1/5" in rows["rank", "ps:1", None]["note"]
    assert rows["rank", "ps:2", None]["state"] == "DOWN"
    text = run(
        "monolith-top", "--once", "--zk-servers", zookeeper.servers, "--bzid", "v1", "--timeout", 30, "--model", "*:ps:0"
    ).stdout.decode()
    assert "lf:default/7" in text and text.count("rank") == 2


def test_bindings_containers_and_layouts_of_v3(run, tfs, page, zookeeper, connection):
    container = paths.Container("data.reco;lf;default", "pod-7")
    info = records.ContainerServiceInfo(grpc=tfs.target, http=f"127.0.0.1:{page.port}", agent="127.0.0.1:1")
    connection.create(paths.container_path("v3", container), info.to_json())
    for sub_graph, place in (("ps_0", container), ("entry", paths.Container("c", "gone"))):
        connection.create(paths.binding_path("v3", paths.SavedModel("x", sub_graph), place))
    for sub_graph in ("ps_0", "ps_1"):
        connection.create(f"/v3/layouts/main/x:{sub_graph}")
    page.add("x:ps_0", 5, 20)
    rows, _, _ = look(run, "--zk-servers", zookeeper.servers, "--bzid", "v3")
    assert (rows["x", "ps_0", 1]["state"], rows["x", "ps_0", 1]["replica"], rows["x", "ps_0", 1]["rate"]) == (
        "AVAILABLE",
        "pod-7",
        0,
    )
    assert rows["x", "ps_0", 1]["location"] == "data.reco;lf;default"
    assert rows["x", "entry", None]["state"] == "BAD NODE"
    assert rows["x", "ps_1", None]["state"] == "UNBOUND" and "main" in rows["x", "ps_1", None]["note"]


def test_an_empty_business_id_is_not_an_error(run, zookeeper):
    rows, sources, code = look(run, "--zk-servers", zookeeper.servers, "--bzid", "nothing")
    assert rows == {} and code == 0 and sources[0]["up"]
