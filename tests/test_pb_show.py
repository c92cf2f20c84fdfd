"""pb-show: JSON as protobuf's own, fields, decoded fids, LineIds inside batches."""

import json
import random

import pytest
from google.protobuf import json_format, text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pb_convert import BATCH, EXAMPLE, INSTANCE, batch_bytes, framed
from wire_random import Wire

from monolith_cli.records import show
from monolith_cli.records.messages import message_class


@pytest.mark.parametrize("record_type", ["instance", "example"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_json_is_protobufs(record_type, seed):
    payload = Wire(random.Random(seed)).message(message_class(record_type).DESCRIPTOR).replace(b"__LINE_ID__", b"__LINE_IX__")
    expected = json_format.MessageToDict(message_class(record_type).FromString(payload), preserving_proto_field_name=True)
    assert json.loads(show.json_formatter(record_type)(payload)) == json.loads(json.dumps(expected))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**48), fids=st.sampled_from(["raw", "decoded"]))
def test_any_batch_can_be_shown(seed, fids):
    payload = batch_bytes(random.Random(seed))
    shown = json.loads(show.json_formatter("example_batch", fids=fids)(payload))
    batch = message_class("example_batch").FromString(payload)
    assert [c.get("name", "") for c in shown.get("named_feature_list", [])] == [c.name for c in batch.named_feature_list]


def test_decoded_fids(run):
    (shown,) = map(json.loads, run("pb-show", "--fids", "decoded", stdin=framed(INSTANCE)).stdout.splitlines())
    assert shown["fid"] == ["36028797018963973(v1|slot=2|sig=5)", "18014398509481985(v1|slot=1|sig=1)", "36028797018963974(v1|slot=2|sig=6)"]
    assert shown["feature"][1] == {"name": "b", "fid": ["2533274790395905(v2|slot=9|sig=1)"], "float_value": [7.0]}
    (shown,) = map(json.loads, run("pb-show", "-t", "example", "--fids", "decoded", stdin=framed(EXAMPLE)).stdout.splitlines())
    assert shown["named_feature"][2]["feature"] == {"fid_v1_list": {"value": ["18014398509481985(v1|slot=1|sig=1)"]}}
    assert shown["named_feature"][4]["feature"] == {"fid_v2_list": {"value": ["2533274790395905(v2|slot=9|sig=1)"]}}
    assert shown["line_id"] == {"uid": "3"}  # an id that is no fid stays a number


def test_decoded_fids_in_lists_of_lists():
    example = message_class("example")()
    example.named_feature.add(name="x").feature.fid_v1_lists.list.add(value=[1 << 54])
    example.named_feature.add(name="y").feature.fid_v2_lists.list.add(value=[1 << 48])
    shown = json.loads(show.json_formatter("example", fids="decoded")(example.SerializeToString()))
    assert [n["feature"] for n in shown["named_feature"]] == [
        {"fid_v1_lists": {"list": [{"value": ["18014398509481984(v1|slot=1|sig=0)"]}]}}, {"fid_v2_lists": {"list": [{"value": ["281474976710656(v2|slot=1|sig=0)"]}]}}]


def test_line_ids_in_batches(run):
    (shown,) = map(json.loads, run("pb-show", "-t", "example_batch", stdin=framed(BATCH)).stdout.splitlines())
    column = shown["named_feature_list"][2]
    assert column["name"] == "__LINE_ID__" and [f["bytes_list"]["value"] for f in column["feature"]] == [{"uid": "7"}, {"uid": "8"}]


def test_fields(run):
    done = run("pb-show", "--fields", "line_id.uid,label,feature.name", stdin=framed(INSTANCE))
    assert json.loads(done.stdout) == {"line_id": {"uid": "3"}, "label": [1.0, 0.0], "feature": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
    assert json.loads(run("pb-show", "--fields", "line_id,line_id.uid", stdin=framed(INSTANCE)).stdout) == {"line_id": {"uid": "3"}}
    for wrong, message in [("line_id.uidd", "LineId has no field 'uidd'"), ("labels", "Instance has no field 'labels'"), ("label.x", "label has no fields")]:
        done = run("pb-show", "--fields", wrong, stdin=framed(INSTANCE), check=False)
        assert done.returncode == 2 and message in done.stderr


def test_text(run):
    text = run("pb-show", "--text", stdin=framed(INSTANCE, INSTANCE)).stdout.decode()
    records = [text_format.Parse(t, message_class("instance")()) for t in text.split("\n\n") if t.strip()]
    assert records == [message_class("instance").FromString(INSTANCE)] * 2
    assert run("pb-show", "--text", "--fields", "label", check=False).returncode == 2
    assert run("pb-show", "--text", "--fids", "decoded", check=False).returncode == 2


def test_limit_and_bad_records(run):
    stream = framed(INSTANCE, b"\xff", INSTANCE)
    assert len(run("pb-show", "--limit", 1, stdin=stream).stdout.splitlines()) == 1
    done = run("pb-show", stdin=stream, check=False)
    assert done.returncode == 65 and "this is no Instance" in done.stderr and len(done.stdout.splitlines()) == 1
    assert len(run("pb-show", "--on-bad-record", "skip", stdin=stream).stdout.splitlines()) == 2
