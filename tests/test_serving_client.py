"""serving-client: asking for models and seeing what became of them."""

import json

import pytest
from test_agent_controller import make_export

from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.connection import ZkConfig, connect
from monolith_cli.serving.zookeeper.records import ModelMeta, PublishMeta, ReplicaMeta, State


@pytest.fixture
def session(zookeeper):
    with connect(ZkConfig(zookeeper.servers)) as c:
        yield c
        if c.exists("/b"):
            c.delete("/b", recursive=True)


@pytest.fixture
def client(run, zookeeper):
    def call(verb, *args, **more):
        return run("serving-client", verb, *args, "--zk-servers", zookeeper.servers, "--bzid", "b", **more)

    return call


def test_load_refuses_what_is_asked_for_already(client, session):
    client("load", "--model-name", "m", "--model-dir", "/d")
    assert ModelMeta.from_json(session.get("/b/portal/m")[0]) == ModelMeta("m", "/d")
    done = client("load", "--model-name", "m", "--model-dir", "/e", check=False)
    assert done.returncode == 73 and "m has exists" in done.stderr and "--overwrite" in done.stderr
    out = client("load", "--model-name", "m", "--model-dir", "/e", "--num-shard", "3", "--overwrite", "--json")
    assert json.loads(out.stdout)["num_shard"] == 3 and b'"/e"' in session.get("/b/portal/m")[0]
    done = client("load", "--model-dir", "/d", check=False)
    assert done.returncode == 2 and "--model-name" in done.stderr


def test_status(client, session):
    def status(model="m"):
        return json.loads(client("status", "--model-name", model, "--json").stdout)

    assert status() == {"portal": False, "publish": None, "service": {}}  # no node of anybody yet
    session.create("/b/publish/0:1:xm", PublishMeta().to_json())
    session.create("/b/portal/m", b"{}")
    assert status() == {"portal": True, "publish": None, "service": {}}
    session.create("/b/publish/0:1:m", PublishMeta().to_json())
    session.create(paths.replica_path("b", "m", "ps", 0, 7), ReplicaMeta(stat=State.AVAILABLE).to_json())
    session.create(paths.replica_path("b", "m", "entry", 0, 1), ReplicaMeta(stat=State.LOADING).to_json())
    assert status() == {"portal": True, "publish": True, "service": {"ps:0:7": 30, "entry:0:00000000001": 20}}
    assert client("status", "--model-name", "m").stdout.decode() == (
        "portal: True\npublish: True\nentry:0:00000000001\tLOADING\nps:0:7\tAVAILABLE\n"
    )


def test_unload_is_a_warning_where_there_is_nothing(client, session):
    done = client("unload", "--model-name", "m", "--yes")
    assert done.returncode == 0 and "nothing to unload" in done.stderr
    client("load", "--model-name", "m", "--model-dir", "/d")
    assert json.loads(client("unload", "--model-name", "m", "--yes", "--json").stdout) == {
        "path": "/b/portal/m",
        "unloaded": True,
        "dry_run": False,
    }


def test_declare_publish_unpublish_info(client, session, tmp_path):
    export = make_export(tmp_path / "e", ps=2)
    assert json.loads(client("declare", export, "--json").stdout)["model"] == "ffm"
    assert client("declare", export, check=False).returncode == 73
    assert client("publish", "ffm:*", "--layout", "main").stdout.decode().split() == [
        "ffm:entry",
        "ffm:ps_0",
        "ffm:ps_1",
    ]
    assert json.loads(client("info", "--json").stdout)["layout_info"] == {"main": ["ffm:entry", "ffm:ps_0", "ffm:ps_1"]}
    assert client("unpublish", "ffm:ps_*", "--layout", "main", check=False).returncode == 2
    client("unpublish", "ffm:ps_*", "--layout", "main", "--yes")
    assert session.children("/b/layouts/main") == ["ffm:entry"]


def test_settings_of_a_group_from_a_file(run, zookeeper, session, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(
        f'[serving-client]\nzk-servers = "{zookeeper.servers}"\nbzid = "b"\n'
        '[serving-client.load]\nmodel-dir = "/from/file"\n'
    )
    run("serving-client", "load", "--config", config, "--model-name", "m")
    assert b"/from/file" in session.get("/b/portal/m")[0]
    shown = run(
        "serving-client",
        "status",
        "--config",
        config,
        "--show-config",
        env={"MONOLITH_SERVING_CLIENT_STATUS_MODEL_NAME": "e"},
    ).stdout.decode()
    assert f"bzid = b  # {config}" in shown and "model-name = e  # MONOLITH_SERVING_CLIENT_STATUS_MODEL_NAME" in shown
    config.write_text("[serving-client]\nnonsense = 1\n")
    assert run("serving-client", "status", "--config", config, check=False).returncode == 78
    assert "did you mean load?" in run("serving-client", "laod", check=False).stderr


def test_no_business_id(run, zookeeper):
    done = run("serving-client", "info", "--zk-servers", zookeeper.servers, check=False)
    assert done.returncode == 2 and "--bzid" in done.stderr


def test_the_agents_file_says_what_is_not_named(run, zookeeper, session, tmp_path):
    conf = tmp_path / "agent.conf"
    conf.write_text(
        "deploy_type unified\nagent_version 3\nlayout_pattern main\nbzid b\nbase_name m\n"
        f"zk_servers {zookeeper.servers}\n"
    )
    run("serving-client", "load", "--conf", conf, "--model-dir", "/d")
    assert session.exists("/b/portal/m")
