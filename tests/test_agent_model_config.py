"""Model configurations of agent version 1 and version policies (spec 60, 3.6)."""

import pytest
from google.protobuf import text_format

from monolith_cli import errors
from monolith_cli.serving.agent.config import AgentConfig
from monolith_cli.serving.agent.model_config import (
    LatestOnce,
    ModelServerConfig,
    default_model,
    model_config,
    model_config_text,
    model_entry,
    models_of,
    policy,
    server_config,
    versions_of,
    write_model_config,
)


def agent(deploy="mixed", shard="1", shards="5", **settings):
    environ = {"SHARD_ID": shard, "MONOLITH_HOST_SHARD_N": shards}
    return AgentConfig(**{"deploy_type": deploy, "base_path": "/m", "num_ps": 12, "environ": environ, **settings})


def test_models_of_a_mixed_agent():
    """T7."""
    c = agent(dense_alone=True)
    assert models_of(c, "ps") == [("ps_1", "/m/ps_1"), ("ps_6", "/m/ps_6"), ("ps_11", "/m/ps_11")]
    assert models_of(c, "entry") == [("entry", "/m/entry")] and models_of(c, "dense") == [("dense_0", "/m/dense_0")]


def test_text_of_a_configuration():
    assert model_config_text(model_config(agent("entry"))) == """model_config_list {
  config {
    name: "entry"
    base_path: "/m/entry"
    model_platform: "tensorflow"
    model_version_policy {
      latest {
        num_versions: 1
      }
    }
  }
}
"""
    assert model_config_text(server_config([])) == "model_config_list {\n}\n"


ROUGH = {"rough_sort_model_name": "rs", "rough_sort_model_local_path": "/r"}


@pytest.mark.parametrize("server, settings, want", [
    ("ps", {"rough_sort_model_loaded_server": "ps"},
     [("ps_1", "/m/ps_1"), ("ps_item_embedding_1", "/r/rs/ps_item_embedding_1"), ("ps_6", "/m/ps_6"),
      ("ps_item_embedding_6", "/r/rs/ps_item_embedding_6")]),
    ("entry", {}, [("entry", "/m/entry"), ("entry_item_embedding_0", "/r/rs/entry_item_embedding_0")]),
    ("entry", {"rough_sort_resource_constrained": True}, [("entry", "/m/entry"), ("entry_item_embedding_0", "/m/entry_item_embedding_0")]),
    ("entry", {"rough_sort_resource_constrained": True, "rough_sort_model_name": None},
     [("entry", "/m/entry"), ("entry_item_embedding_0", "/m/entry_item_embedding_0")]),
    ("dense", {"rough_sort_model_loaded_server": "dense"},
     [("dense_0", "/m/dense_0"), ("dense_item_embedding_0", "/r/rs/dense_item_embedding_0")]),
    ("entry", {"rough_sort_model_loaded_server": "ps"}, [("entry", "/m/entry")]),
    ("entry", {"rough_sort_model_loaded_server": None}, [("entry", "/m/entry")]),
    ("dense", {}, [("dense_0", "/m/dense_0")]),
    ("ps", {}, [("ps_1", "/m/ps_1"), ("ps_6", "/m/ps_6")]),
])
def test_rough_sort_models_go_to_their_own_server(server, settings, want):
    assert models_of(agent(num_ps=8, dense_alone=True, **ROUGH | settings), server) == want


@pytest.mark.parametrize("name, data, want", [
    ("latest", 3, "latest { num_versions: 3 }"), ("LATEST", None, "latest { num_versions: 1 }"), ("all", 7, "all { }"),
    ("Specific", 5, "specific { versions: 5 }"), ("specific", [5, 9], "specific { versions: 5 versions: 9 }")])
def test_policies(name, data, want):
    assert text_format.MessageToString(policy(name, data), as_one_line=True) == want


@pytest.mark.parametrize("name, data", [("newest", 1), ("latest", -1), ("specific", None), ("latest", "x"), ("specific", 2**63)])
def test_policies_that_are_refused(name, data):
    with pytest.raises(errors.ConfigError, match="is not"):
        policy(name, data)


def test_labels():
    entry = model_entry("m", "/m", "specific", [1, 2], {"stable": 1, "canary": 2})
    assert dict(entry.version_labels) == {"stable": 1, "canary": 2}


def versions(path, *names):
    for name in names:
        (path / name).mkdir(parents=True)


def test_versions_of_a_directory(tmp_path):
    versions(tmp_path, "9", "10", "100", "temp-101", "1x", "²", "12345678901234567890123")
    (tmp_path / "200").write_text("a file")
    assert versions_of(str(tmp_path)) == [9, 10, 100] and versions_of(str(tmp_path / "absent")) == []


def chosen(once, path):
    return text_format.MessageToString(once.policy("m", str(path)), as_one_line=True)


def test_latest_once_keeps_the_first_version_it_found(tmp_path):
    once = LatestOnce()
    assert chosen(once, tmp_path) == "latest { num_versions: 1 }" and once.waiting == {"m"}
    versions(tmp_path, "9", "10")
    assert chosen(once, tmp_path) == "specific { versions: 10 }" and not once.waiting
    versions(tmp_path, "11")
    once.keep_only(["m", "other"])
    assert chosen(once, tmp_path) == "specific { versions: 10 }"
    once.keep_only([])
    assert chosen(once, tmp_path) == "specific { versions: 11 }"


def test_latest_once_of_a_whole_configuration(tmp_path):
    versions(tmp_path, "ps_0/3", "ps_0/12", "ps_1/7")
    c = AgentConfig(deploy_type="ps", base_path=str(tmp_path), num_ps=3, version_policy="latest_once", run_dir=str(tmp_path / "r"), environ={})
    once = LatestOnce()
    read = text_format.Parse(open(write_model_config(c, message=model_config(c, once=once))).read(), ModelServerConfig())
    assert [list(m.model_version_policy.specific.versions) for m in read.model_config_list.config] == [[12], [7], []]
    assert once.waiting == {"ps_2"}


def test_what_cannot_be_configured():
    with pytest.raises(errors.ConfigError, match="SHARD_ID is not set"):
        models_of(agent("ps", shard=""))
    with pytest.raises(errors.ConfigError, match="base_path"):
        models_of(agent("entry", base_path=None))
    with pytest.raises(errors.ConfigError, match="rough_sort_model_local_path"):
        models_of(agent("entry", rough_sort_model_name="rs"))
    with pytest.raises(errors.ConfigError, match="layout"):
        models_of(agent("unified", agent_version=3))


def test_default_model():
    assert default_model(agent()) is None
    assert default_model(agent(default_model_base_path="/d")).base_path == "/d"
