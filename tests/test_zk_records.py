"""Records and paths of serving in ZooKeeper: byte-exact, and what damaged ones say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monolith_cli import errors
from monolith_cli.serving.zookeeper import paths, records
from monolith_cli.serving.zookeeper.paths import Container, SavedModel, ZkPath
from monolith_cli.serving.zookeeper.records import (
    ContainerServiceInfo,
    ModelMeta,
    PublishMeta,
    PublishType,
    ReplicaMeta,
    ResourceSpec,
    SavedModelDeployConfig,
    State,
)

# T2 of the specification, and the records it leaves out.
BYTES = [
    (
        ReplicaMeta(address="h:1"),
        b'{"address": "h:1", "address_ipv6": null, "stat": 0, "model_name": null, '
        b'"server_type": null, "task": -1, "replica": -1, '
        b'"archon_address": null, "archon_address_ipv6": null}',
    ),
    (
        PublishMeta(
            shard_id=2,
            replica_id=1,
            model_name="m",
            num_ps=10,
            total_publish_num=15,
            sub_models={"ps_0": "/a/ps_0/1", "entry": "/a/entry/1"},
        ),
        b'{"shard_id": 2, "replica_id": 1, "model_name": "m", "num_ps": 10, "total_publish_num": 15, '
        b'"sub_models": {"ps_0": "/a/ps_0/1", "entry": "/a/entry/1"}, "ptype": 1, "is_spec": false}',
    ),
    (
        ResourceSpec(address="h:1", shard_id=1, replica_id=2, memory=123),
        b'{"address": "h:1", "shard_id": 1, "replica_id": 2, "memory": 123, '
        b'"cpu": -1.0, "network": -1.0, "work_load": -1.0}',
    ),
    (SavedModelDeployConfig("/a/entry", "latest"), b'{"model_base_path": "/a/entry", "version_policy": "latest"}'),
    (
        ModelMeta("m", "/d", None, 2),
        b'{"model_name": "m", "model_dir": "/d", "ckpt": null, "num_shard": 2, "action": "NONE", "spec_replicas": []}',
    ),
    (
        ContainerServiceInfo(grpc="h:1", debug_info='{"a": "\u00e9"}'),
        b'{"grpc": "h:1", "http": null, "archon": null, "agent": null, '
        b'"idc": null, "debug_info": "{\\"a\\": \\"\\u00e9\\"}"}',
    ),
    (
        ReplicaMeta(stat=State.AVAILABLE, server_type="ps"),
        b'{"address": null, "address_ipv6": null, "stat": 30, "model_name": null, '
        b'"server_type": "ps", "task": -1, "replica": -1, '
        b'"archon_address": null, "archon_address_ipv6": null}',
    ),
    (
        PublishMeta(ptype=PublishType.UNLOAD),
        b'{"shard_id": null, "replica_id": -1, "model_name": null, "num_ps": null, "total_publish_num": 1, '
        b'"sub_models": null, "ptype": 2, '
        b'"is_spec": false}',
    ),
]


@pytest.mark.parametrize("record,data", BYTES, ids=[f"{type(r).__name__}{i}" for i, (r, _) in enumerate(BYTES)])
def test_bytes(record, data):
    assert record.to_json() == data
    assert type(record).from_json(data) == record


def test_unknown_keys_are_ignored_and_missing_ones_have_their_default():
    assert ReplicaMeta.from_json(b'{"later": [1], "address": "h:1"}') == ReplicaMeta(address="h:1")
    assert ResourceSpec.from_json(b"{}") == ResourceSpec()


@pytest.mark.parametrize(
    "data,why",
    [
        (b"", "Expecting value"),
        (b"\xff\xfe\x00", ""),
        (b"[1]", "not a JSON object"),
        (b'{"address": 3}', "address is 3"),
        (b'{"stat": true}', "stat is true"),
        (b'{"task": null}', "task is null"),
        (b"[" * 100000, ""),
    ],
)
def test_bad_json_names_the_node(data, why):
    with pytest.raises(errors.BadDataError, match="^/b/service/m/ps:0/1: this is no ReplicaMeta") as e:
        ReplicaMeta.from_json(data, "/b/service/m/ps:0/1")
    assert why in str(e.value)


KINDS = {
    str: st.text(),
    int: st.integers(-(2**63), 2**63),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    dict: st.dictionaries(st.text(), st.text()),
    list: st.lists(st.text()),
    type(None): st.none(),
}
CLASSES = [ModelMeta, ResourceSpec, PublishMeta, ReplicaMeta, SavedModelDeployConfig, ContainerServiceInfo]


@given(
    st.sampled_from(CLASSES).flatmap(
        lambda c: st.builds(c, **{n: st.one_of(*(KINDS[k] for k in kinds)) for n, kinds in c.kinds.items()})
    )
)
def test_there_and_back(record):
    data = record.to_json()
    assert type(record).from_json(data) == record
    assert data.isascii() and list(json.loads(data)) == list(record.kinds)


def test_addresses_t3():
    meta = ReplicaMeta(
        address="0.0.0.0:1", address_ipv6="[fe80::1]:1", archon_address="1.1.1.1:2", archon_address_ipv6="[::]:2"
    )
    assert [meta.get_address(a, f) for a in (False, True) for f in ("ipv4", "ipv6")] == [
        "[fe80::1]:1",
        "[fe80::1]:1",
        "1.1.1.1:2",
        "1.1.1.1:2",
    ]
    both = ReplicaMeta(address="1.2.3.4:1", address_ipv6="[fe80::1]:1")
    assert [both.get_address(family=f) for f in ("ipv4", "ipv6")] == ["1.2.3.4:1", "[fe80::1]:1"]
    assert both.get_address(use_archon=True) is None
    with pytest.raises(errors.UsageError):
        both.get_address(family="ipx")


def test_states():
    assert [s.value for s in State] == [0, 10, 20, 30, 40, 50]
    assert (ReplicaMeta(stat=30).state, ReplicaMeta(stat=31).state) == (State.AVAILABLE, State.UNKNOWN)
    assert records.EventType.UNKNOWN is records.EventType.PORTAL


def test_parts_of_a_path_t4():
    found = ZkPath.parse("/bzid/service/base_name/idc:cluster/server_type:0/1")
    assert found == ZkPath("bzid", "base_name", "idc", "cluster", "server_type", "0", "1")
    assert (found.task, found.location) == ("server_type:0", "idc:cluster")
    assert found.ship_in("idc", "cluster") and found.ship_in(None, "x") and not found.ship_in("idc", "other")
    old = ZkPath.parse("/bzid/service/base_name/server_type:0")
    assert (old.idc, old.replica_id, old.location, old.task) == (None, None, None, "server_type:0")
    assert old.ship_in(None, None) and not old.ship_in("idc", "cluster")
    for other in (
        "/b.z/service/m/ps:1",
        "/b/service/m/ps:x",
        "/b/service/m/ps:1/2/3",
        "/b/service/m/ps:1\n",
        "/b/service/m",
        "/b/service/m/ps:١",
    ):
        assert ZkPath.parse(other) == ZkPath() and not ZkPath.parse(other) and ZkPath.parse(other).task is None


def test_paths_of_the_specification():
    pod = Container("data.reco.tfs;lf;default", "pod-7")
    assert (
        paths.binding_path("gip", SavedModel("ffm", "ps_0"), pod)
        == "/gip/binding/ffm/ps_0:data.reco.tfs;lf;default:pod-7"
    )
    assert (
        paths.replica_path("bzid", "m", "ps", 3, 294473408336, "lf:default")
        == "/bzid/service/m/lf:default/ps:3/294473408336"
    )
    assert paths.replica_path("b", "m", "entry", 0, 7) == "/b/service/m/entry:0/00000000007"
    assert paths.replica_path("b", "m", "entry", 0, -1, "lf:default") == "/b/service/m/lf:default/entry:0/0"
    assert paths.replica_path("b", "m", "dense", 0, 2) == "/b/service/m/dense:0/2"
    assert paths.container_path("b", pod) == "/b/container_service/data.reco.tfs;lf;default:pod-7"
    assert (
        paths.publish_path("b", 2, 1, "m")
        == PublishMeta(shard_id=2, replica_id=1, model_name="m").path("/b/publish")
        == "/b/publish/2:1:m"
    )
    assert (
        ResourceSpec(shard_id=1, replica_id=2).path("/b/resource")
        == paths.resource_path("b", 1, 2)
        == "/b/resource/1:2"
    )
    assert ModelMeta(model_name="m").path("/b/portal") == paths.portal_path("b", "m") == "/b/portal/m"
    assert ReplicaMeta(model_name="m", server_type="entry", task=0, replica=7).path("b") == "/b/service/m/entry:0/7"
    assert paths.saved_model_path("b", "m", "ps_0") == "/b/saved_models/m/ps_0"
    assert (
        paths.layout_path("b", "main") == "/b/layouts/main" and paths.layout_path("b", "/gip/layout/") == "/gip/layout"
    )
    assert paths.layout_entry_path("/gip/layout", SavedModel("m", "entry")) == "/gip/layout/m:entry"


def test_a_replica_without_a_number_is_refused_where_it_cannot_be_given_one():
    with pytest.raises(errors.UsageError, match="REPLICA_ID"):
        paths.replica_path("b", "m", "ps", 0, -1)


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a\0", "a\n", "\ud800", "\uffff", "\U0001f600"])
def test_names_that_are_no_part_of_a_path(bad):
    with pytest.raises(errors.UsageError):
        paths.portal_path("b", bad)
    with pytest.raises(errors.UsageError):
        paths.checked(f"/a/{bad}/b" if bad != "a/b" else "a/b")


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1),
)
def test_container_ids_with_colons_come_back(cluster, name):
    try:
        text = str(Container(cluster, name))
    except errors.UsageError:
        return
    assert text.count(":") == 1 and "/" not in text
    assert Container.parse(text) == Container(cluster, name)
    assert paths.parse_binding(f"ps_0:{text}") == ("ps_0", Container(cluster, name))


def test_an_unescaped_ipv6_address_of_another_writer_is_read():
    assert paths.parse_binding("ps_0:psm;lf;default:fe80::1") == ("ps_0", Container("psm;lf;default", "fe80::1"))
    for bad in ("ps_0", "ps_0:c", ":c:d", "ps_0:c:"):
        with pytest.raises(errors.BadDataError):
            paths.parse_binding(bad)


def test_names_of_saved_models():
    assert SavedModel.parse("m:ps_0:more") == SavedModel("m", "ps_0") and str(SavedModel("m", "ps_0")) == "m:ps_0"
    for bad in ("m", ":ps_0", "m:"):
        with pytest.raises(errors.BadDataError):
            SavedModel.parse(bad)
