"""Every command that the documentation shows is run: the blocks marked `sh` of README.md and docs/, in order, each file in one folder of
its own; and the examples of every command (help and man page) in a folder with the files they speak of."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from monolith_cli.commands import COMMANDS, load

ROOT = Path(__file__).resolve().parent.parent
PAGES = [p for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if "```sh" in p.read_text(encoding="utf-8")]
EXAMPLES = [(name, e) for name in COMMANDS if name != "monolith" for e in load(name).examples]


def blocks(page: Path) -> str:
    """The `sh` blocks of a page as one script; `make` and `git` lines are what the reader has done before."""
    text = "\n".join(re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S))
    return "\n".join(line for line in text.splitlines() if not re.match(r"(make|git|pip|export PATH)\b", line))


def shell(script: str, folder: Path, timeout=1500, **more: str):
    import sys

    env = {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")}
    env |= {"PATH": f"{ROOT / 'bin'}:{os.environ['PATH']}", "MONOLITH_PYTHON": sys.executable, "TF_CPP_MIN_LOG_LEVEL": "3"} | more
    return subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=env, capture_output=True, text=True,
                          timeout=timeout, check=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_page_runs_from_top_to_bottom(page, tmp_path, request):
    for name in ("examples",):
        shutil.copytree(ROOT / name, tmp_path / name)
    script, more = blocks(page), {}
    for variable, start in SERVERS.items():
        if variable in script:
            more |= start(request, tmp_path)
    done = shell(script, tmp_path, **more)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    """The files that the examples of the manuals speak of."""
    folder = tmp_path_factory.mktemp("sandbox")
    done = shell((ROOT / "tests" / "sandbox.sh").read_text(), folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def kafka_topics(broker, folder) -> str:
    """The topics that examples speak of: `events` holds clicks. Returns the address of the server."""
    from confluent_kafka.admin import AdminClient

    there = AdminClient({"bootstrap.servers": broker.address}).list_topics(timeout=60).topics
    for topic in {"clicks", "events", "likes"} - set(there):
        broker.create_topic(topic, 2)
        if topic == "events":
            assert shell('pb-publish "kafka://$BROKER/events" clicks.pb', folder, BROKER=broker.address).returncode == 0
    return broker.address


def zookeeper_nodes(zookeeper) -> str:
    """The nodes that examples speak of: a replica of the model movie. Returns the address of the server."""
    from monolith_cli.serving.zookeeper.connection import ZkConfig, connect
    from monolith_cli.serving.zookeeper.paths import replica_path
    from monolith_cli.serving.zookeeper.records import ReplicaMeta, State

    path = replica_path("demo", "movie", "ps", 0, 7)
    with connect(ZkConfig(zookeeper.servers)) as c:
        if c.exists(path) is None:
            c.create(path, ReplicaMeta(address="10.0.0.7:8500", stat=State.AVAILABLE).to_json())
    return zookeeper.servers


@pytest.fixture
def model_server():
    """What examples call $TFS (gRPC) and $TFS_REST (port of its REST API): model m, which scores whatever it is given."""
    from fake_tfs import FakeTfs, Model
    from top_helpers import Page

    from monolith_cli.serving.protos import predict_pb2, types_pb2

    def score(request):
        reply = predict_pb2.PredictResponse(model_spec=request.model_spec)
        count = len(request.inputs["instances"].string_val)
        reply.outputs["output"].dtype = types_pb2.DT_FLOAT
        reply.outputs["output"].tensor_shape.dim.add(size=count)
        reply.outputs["output"].float_val.extend([0.5] * count)
        return reply

    page = Page()
    page.add("m", 1)
    with FakeTfs([Model("m", data=2)], predict=score) as tfs:
        yield {"TFS": tfs.settle().target, "TFS_REST": str(page.port)}
    page.close()


# Variable of an example -> what starts the server it speaks of and gives the variables: (request, folder) -> dict.
SERVERS = {
    "$BROKER": lambda request, folder: {"BROKER": kafka_topics(request.getfixturevalue("broker"), folder)},
    "$ZOOKEEPER": lambda request, folder: {"ZOOKEEPER": zookeeper_nodes(request.getfixturevalue("zookeeper"))},
    "$TFS": lambda request, folder: request.getfixturevalue("model_server"),
}


def while_it_serves(line: str) -> str:
    """The line of a model server in the background, on free ports, until it is ready and then ends as it should."""
    from ports import free_port

    rest = free_port()
    ports = {"8500": str(free_port()), "8501": str(rest)}
    line = re.sub("8500|8501", lambda found: ports[found[0]], line)  # at once: a free port may have such digits
    return f"""{line} &
    for i in $(seq 300); do curl -sf http://127.0.0.1:{rest}/healthz && break; kill -0 $! || exit 1; sleep 0.2; done
    kill $!
    wait $! || [ $? = 143 ]"""


@pytest.mark.parametrize("name,example", EXAMPLES, ids=[f"{n}: {e.caption}" for n, e in EXAMPLES])
def test_example_of_manual(name, example, sandbox, tmp_path, request):
    assert name in example.line
    folder, more = tmp_path / "work", {}
    shutil.copytree(sandbox, folder)
    for variable, start in SERVERS.items():
        if variable in example.line:
            more |= start(request, folder)
    done = shell(while_it_serves(example.line) if name == "monolith-serve" else example.line, folder, **more)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
