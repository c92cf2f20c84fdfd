"""pb-reweight as a user runs it, and its operator against a slow model over protobuf's own classes."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import label_model as model
import mangled
from record_model import Facts

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.instance_reweight import ActionWeight, InstanceReweightConfig
from monolith_protos import proto_parser_pb2


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def instance(label=(1,), actions=(), pre_actions=()) -> bytes:
    record = proto_parser_pb2.Instance(label=label)
    record.line_id.actions.extend(actions)
    record.line_id.pre_actions.extend(pre_actions)
    return record.SerializeToString()


CONFIG = ["--action-priority", "1,2,3", "--reweight", "1:4:1,2:2:-1", "--reweight", "3:5:-1"]


def test_copies_follow_each_other(run, tmp_path):
    records = [instance(actions=[2]), instance(actions=[]), instance(label=[]), instance(actions=[3], pre_actions=[2]), instance(actions=[1])]
    done = run("pb-reweight", *CONFIG, "--stats", tmp_path / "stats.json", stdin=frame(*records))
    assert done.stdout == frame(*[instance([-1], [2])] * 2, records[1], *[instance([1], [1])] * 4)
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["dropped"] == {"instance_reweight.no_label": 1, "instance_reweight.no_copies": 1}
    assert (stats["records_in"], stats["records_out"]) == (5, 7)


def test_method(run):
    assert run("pb-reweight", *CONFIG, "--method", "add", stdin=frame(instance(actions=[2]))).stdout == frame(*[instance([-1], [2])] * 3)


@pytest.mark.parametrize(("options", "message"), [
    ([], "--action-priority is missing"), (["--action-priority", "1"], "--reweight is missing"), (["--reweight", "1:1:1"], "--action-priority is missing"),
    (["--action-priority", "1,x", "--reweight", "1:1:1"], "--action-priority: Invalid integer string: x"),
    (["--action-priority", "", "--reweight", "1:1:1"], "no priorities of actions"),
    (["--action-priority", "1", "--reweight", "1:1:1,2:1"], "--reweight: should look like ACTION:WEIGHT:LABEL\n  1:1:1,2:1\n        ^~~\n"),
    (["--action-priority", "1", "--reweight", "1:-1:1"], "--reweight: -1 is not in 0..1000000\n  1:-1:1\n    ^~\n"),
    (["--action-priority", "1", "--reweight", "1:1:0.5"], "--reweight: \"0.5\" is no whole number\n  1:1:0.5\n      ^~~\n"),
    (["--action-priority", "1", "--reweight", "1:1:"], "--reweight: a whole number is missing\n  1:1:\n      ^\n"),
    (["--action-priority", "1", "--reweight", ""], "--reweight: should look like ACTION:WEIGHT:LABEL"),
    ([*CONFIG, "--method", "max"], "--method"), (["-t", "example_batch", *CONFIG], "pb-convert --from example_batch --to example"),
])
def test_mistakes(run, options, message):
    done = run("pb-reweight", *options, stdin=b"", check=False)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("bad", "word"), [
    (b"\x2a\x05\x01", "reaches over the end"), (b"\x1a\x05\x00\x00\x00\x00\x00", "cut short"), (b"\x2a\x02\x30\x80", "cut short"),
    (b"garbage, not a record", "at byte"), (instance(actions=[1] * 11), "more than 1000000 copies"),
])
def test_bad_records(run, tmp_path, bad, word):
    good = instance(actions=[1])
    path = tmp_path / "in.pb"
    path.write_bytes(frame(good, bad, good))
    done = run("pb-reweight", *CONFIG, path, check=False)
    assert done.returncode == 65 and done.stdout == frame(good) * 4
    assert f"{path}: byte {len(frame(good))}: " in done.stderr and word in done.stderr
    done = run("pb-reweight", *CONFIG, "--on-bad-record", tmp_path / "aside.pb", path)
    assert done.stdout == frame(good) * 8 and (tmp_path / "aside.pb").read_bytes() == frame(bad)


def test_configurations_in_python():
    weights = (ActionWeight(1, 1, 1),)
    for config in (InstanceReweightConfig((), weights), InstanceReweightConfig((1,), ()), InstanceReweightConfig((1,), weights, "max"),
                   InstanceReweightConfig((1,), (ActionWeight(1, -1, 1),)), InstanceReweightConfig((1,), (ActionWeight(1, 1000001, 1),))):
        with pytest.raises(errors.UsageError):
            config.operator()


actions = st.sampled_from([0, 1, 2, 3, 5, 7, 20, -1, -2])
configs = st.builds(
    InstanceReweightConfig, st.lists(actions, min_size=1, max_size=5).map(tuple),
    st.lists(st.builds(ActionWeight, actions, st.integers(0, 6), st.sampled_from([-1, 0, 1, 2])), min_size=1, max_size=6).map(tuple),
    st.sampled_from(["mul", "add"]), st.sampled_from(["instance", "example"]))


@settings(max_examples=1500, deadline=None)
@given(st.data(), configs)
def test_agrees_with_the_model(data, config):
    record_type = config.record_type
    payload = data.draw(getattr(mangled, record_type))
    if data.draw(st.booleans()):
        payload = model.without_unknown_fields(record_type, payload)
    facts = Facts(record_type, payload)
    copies, first = model.reweight(config, facts)
    out = _core.apply(config.operator(), payload) if copies <= 1_000_000 else []
    if copies > 1_000_000:
        with pytest.raises(errors.BadDataError, match="more than 1000000 copies"):
            _core.apply(config.operator(), payload)
        return
    assert len(out) == copies and len(set(out)) <= 1
    if not out:
        return
    wanted = [first, *facts.labels[1:]]
    if model.bits(wanted) == model.bits(facts.labels):
        assert out[0] == payload
    else:
        assert model.canonical(record_type, out[0]) == model.rewritten(record_type, payload, wanted)
