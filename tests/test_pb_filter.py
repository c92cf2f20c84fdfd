"""pb-filter as a user runs it, and its conditions against a slow model over protobuf's own classes."""

import json
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mangled
from record_model import Facts

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.filter import FilterConfig, StrategyRule
from monolith_protos import example_pb2, proto_parser_pb2


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def unframe(stream: bytes) -> list[bytes]:
    out = []
    while stream:
        n = struct.unpack("<Q", stream[:8])[0]
        out.append(stream[8:8 + n])
        assert len(out[-1]) == n
        stream = stream[8 + n:]
    return out


def instance(**line_id) -> bytes:
    record = proto_parser_pb2.Instance()
    for name, value in line_id.items():
        if isinstance(value, list):
            getattr(record.line_id, name).extend(value)
        else:
            setattr(record.line_id, name, value)
    return record.SerializeToString()


# ------------------------------------------------------------------------------------------- spec 20, TV-A, through the command

R1 = proto_parser_pb2.Instance(fid=[6436927642569553426, 6457882839108881377, 6461985998153810495])
R1.line_id.req_time = 1700000000
R1.line_id.actions.extend([-1, 1])
R2 = proto_parser_pb2.Instance(fid=[36028797018964168, 54043195528446252])
R2.feature.add().fid.append(288230376151814144)
R2.feature.add().fid.append(1152921504607256576)
R3 = example_pb2.Example()
for name, member, value in [("user_id", "fid_v1_list", 36028797018964168), ("item_id", "fid_v1_list", 54043195528446252),
                            ("gender", "fid_v2_list", 288230376151814144), ("age", "fid_v2_list", 1152921504607256576)]:
    named = R3.named_feature.add(name=name)
    getattr(named.feature, member).value.append(value)
EARLY = proto_parser_pb2.Instance()
EARLY.line_id.req_time = -5


@pytest.mark.parametrize(("record", "options", "kept"), [
    (R1, ["--req-time-min", "1626537600"], True),
    (R1, ["--req-time-min", "1700000000"], True),
    (R1, ["--req-time-min", "1700000001"], False),
    (R1, ["--filter-fid", "6436927642569553426"], False),
    (R1, ["--has-fid", "6436927642569553426,5"], True),
    (R1, ["--select-fid", "6436927642569553426", "--select-fid", "6457882839108881377,"], True),
    (R1, ["--select-fid", "6436927642569553426,5"], False),
    (R1, ["--filter-fid", "6436927642569553426", "--has-fid", "6436927642569553426,5",
          "--select-fid", "6436927642569553426,6457882839108881377"], False),
    (R1, ["--has-action", "-1"], True), (R1, ["--has-action", "1,5"], True), (R1, ["--has-action", "2"], False),
    (EARLY, [], False), (EARLY, ["--where", "chnid == 0"], True), (EARLY, ["--has-slot", "1"], False),
    (R2, ["--has-slot", "2,3,1024,4096"], True), (R3, ["--has-slot", "2,3,1024,4096"], True),
    (R2, ["--has-slot", "2", "--has-slot", "10"], False), (R3, ["--select-slot", "2,10"], False),
    (R2, ["--has-fid", "288230376151814144"], False), (R3, ["--has-fid", "288230376151814144"], True),
])
def test_vectors(run, record, options, kept):
    stream = frame(record.SerializeToString())
    record_type = "example" if isinstance(record, example_pb2.Example) else "instance"
    done = run("pb-filter", "-t", record_type, *options, stdin=stream)
    assert done.stdout == (stream if kept else b"")


def test_slots_keep_the_order(run):
    records = [proto_parser_pb2.Instance(fid=[2 << 54 | i] + ([3 << 54 | i] if i else [])).SerializeToString() for i in range(5)]
    assert run("pb-filter", "--has-slot", "2,3", stdin=frame(*records)).stdout == frame(*records[1:])


@pytest.mark.parametrize(("labels", "options", "kept"), [
    ([-1000, -1], ["--label=-100,0"], False), ([-1000, 0], ["--label=-100,0"], True), ([-1, -1], ["--label", "-100,0"], True),
    ([0, 1], ["--label", "0,1"], True), ([0, 1], ["--label", "0,1", "--label-strict"], False),
    ([0, 2], ["--label", "0", "--label", "1", "--label-strict"], True), ([5], ["--label", "0,1"], False),
])
def test_label_vectors(run, labels, options, kept):
    stream = frame(proto_parser_pb2.Instance(label=labels).SerializeToString())
    assert run("pb-filter", *options, stdin=stream).stdout == (stream if kept else b"")


# ------------------------------------------------------------------------------------------------------------- manners

def test_statistics_rejected_and_invert(run, tmp_path):
    records = [instance(chnid=c, req_time=t) for c, t in [(1, 5), (2, 5), (1, 9), (2, 9), (3, 9)]]
    (tmp_path / "in.pb").write_bytes(frame(*records))
    rejected = tmp_path / "rejected.pb"
    arguments = ["--where", "chnid <= 2", "--req-time-min", 9, "--rejected", rejected, tmp_path / "in.pb"]
    done = run("pb-filter", *arguments)
    assert unframe(done.stdout) == records[2:4]
    assert unframe(rejected.read_bytes()) == [records[0], records[1], records[4]]
    for part in ("records in 5", "records out 2", "filter req time 2", "filter where 1"):
        assert part in done.stderr
    assert "filter" not in run("pb-filter", "-q", *arguments).stderr
    done = run("pb-filter", "--invert", *arguments)
    assert unframe(done.stdout) == [records[0], records[1], records[4]]
    assert unframe(rejected.read_bytes()) == records[2:4]
    assert "filter invert 2" in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["in.pb", "rejected.pb"]


def test_lists_from_files(run, tmp_path):
    (tmp_path / "fids").write_text("1\n0x3, 18446744073709551615\n\n")
    records = [proto_parser_pb2.Instance(fid=[f]).SerializeToString() for f in (1, 2, 3, (1 << 64) - 1)]
    done = run("pb-filter", "--has-fid", f"@{tmp_path}/fids", stdin=frame(*records))
    assert unframe(done.stdout) == [records[0], *records[2:]]
    assert unframe(run("pb-filter", "--has-fid", "-1", stdin=frame(*records)).stdout) == records[3:]


@pytest.mark.parametrize(("options", "code", "message"), [
    (["--where", ""], 2, "--where: an empty expression"), (["--where", " "], 2, "--where: an empty expression"),
    (["--has-slot", "1,abc"], 2, "--has-slot: Invalid integer string: abc"),
    (["--has-slot", "32768"], 2, "--has-slot: 32768 is not in 0..32767"),
    (["--has-slot", "-1"], 2, "--has-slot: -1 is not in 0..32767"),
    (["--has-fid", "1.5"], 2, "--has-fid: Invalid integer string: 1.5"),
    (["--has-fid", "18446744073709551616"], 2, "--has-fid: 18446744073709551616 is not in"),
    (["--label", "1,x"], 2, "--label: Invalid float string: x"),
    (["--has-action", "@/nowhere/at/all"], 66, "--has-action @/nowhere/at/all: No such file or directory"),
    (["--rejected", "/nowhere/at/all"], 73, "/nowhere/at/all"),
    (["-t", "example_batch", "--has-slot", "1"], 2, "pb-convert --from example_batch --to example"),
])
def test_mistakes(run, options, code, message):
    done = run("pb-filter", *options, stdin=b"", check=False)
    assert done.returncode == code
    assert message in done.stderr and "Traceback" not in done.stderr


def test_bad_record_fails_after_what_came_before(run, tmp_path):
    good, bad = instance(chnid=1), b"\x2a\x05\x01"
    stream = frame(good, good, bad, good)
    rejected = tmp_path / "rejected.pb"
    done = run("pb-filter", "--where", "chnid == 1", "--rejected", rejected, stdin=stream, check=False)
    assert done.returncode == 65 and done.stdout == frame(good, good)
    assert f"byte {len(frame(good, good))}" in done.stderr and "reaches over the end" in done.stderr
    done = run("pb-filter", "--where", "chnid == 1", "--on-bad-record", "skip", stdin=stream)
    assert done.stdout == frame(good, good, good) and "bad records 1" in done.stderr
    aside = tmp_path / "aside.pb"
    run("pb-filter", "--where", "chnid == 2", "--rejected", rejected, "--on-bad-record", aside, stdin=stream)
    assert aside.read_bytes() == frame(bad) and rejected.read_bytes() == frame(good, good, good)


def test_parts_nobody_asks_for_are_passed_over(run):
    broken_fids = mangled.field(1, mangled.BYTES, b"\x01\x02\x03") + instance(chnid=1)
    assert run("pb-filter", "--where", "chnid == 1", stdin=frame(broken_fids)).stdout == frame(broken_fids)
    done = run("pb-filter", "--where", "chnid == 1", "--has-slot", "1", stdin=frame(broken_fids), check=False)
    assert done.returncode == 65


def test_nothing_matched_is_success(run, tmp_path):
    assert run("pb-filter", "--where", "chnid == 7", stdin=frame(instance(chnid=1))).returncode == 0
    assert run("pb-filter", "--skip-exit-code", 99, "--where", "chnid == 7", stdin=frame(instance(chnid=1)), check=False).returncode == 99
    assert run("pb-filter", stdin=b"").stdout == b""


def test_bytes_that_are_no_text(run, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pb")
    stream = frame(instance(chnid=1))
    assert run("pb-filter", "--where", "chnid == 2", "--rejected", path, stdin=stream).stdout == b""
    with open(path, "rb") as f:
        assert f.read() == stream
    done = run("pb-filter", "--where", os.fsdecode(b"user_id == '\xff'"), stdin=stream, check=False)
    assert done.returncode == 2 and "not UTF-8" in done.stderr


def test_keep_empty(run):
    stream = frame(instance(chnid=1), instance(actions=[2]), instance(actions=[3]))
    assert len(unframe(run("pb-filter", "--where", "actions any [2]", stdin=stream).stdout)) == 1
    assert len(unframe(run("pb-filter", "--keep-empty", "--where", "actions any [2]", stdin=stream).stdout)) == 2


def test_python_configuration():
    config = FilterConfig(has_fids=(-1,))
    payload = proto_parser_pb2.Instance(fid=[(1 << 64) - 1]).SerializeToString()
    assert _core.apply(config.operator(), payload) == [payload]
    with pytest.raises(errors.UsageError, match="expand it first"):
        FilterConfig(record_type="example_batch").operator()


# ------------------------------------------------------------------------------------------------- against the model

fids = mangled.v1_fids | mangled.v2_fids
several_fids = st.just(()) | st.lists(fids, min_size=1, max_size=8).map(tuple)
configs = st.builds(
    FilterConfig, req_time_min=st.none() | mangled.small, filter_fids=several_fids, has_fids=several_fids,
    select_fids=st.just(()) | st.lists(fids, min_size=1, max_size=2).map(tuple),
    select_slots=st.lists(st.sampled_from([0, 1, 2, 3, 511, 1023, 1024, 32767]), max_size=2).map(tuple),
    has_actions=st.just(()) | st.lists(mangled.small.filter(lambda v: abs(v) < 1 << 31), min_size=1, max_size=3).map(tuple),
    where=st.sampled_from([None, "chnid >= 1", "user_id startswith 'h' or rank == 0"]),
    label_thresholds=st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), max_size=2).map(tuple), label_strict=st.booleans(),
    invert=st.booleans())


def model_keeps(config: FilterConfig, facts: Facts) -> bool:
    line_id, labels, c = facts.line_id, facts.labels, config
    asked = c.filter_fids or c.has_fids or c.select_fids or c.select_slots or c.has_actions or c.req_time_min is not None
    by_fids = asked or not (c.where or c.label_thresholds)
    good = not by_fids or all([
        line_id.req_time >= (c.req_time_min or 0), not facts.fids & set(c.filter_fids), not c.has_fids or facts.fids & set(c.has_fids),
        set(c.select_fids) <= facts.fids, set(c.select_slots) <= facts.slots,
        not c.has_actions or set(line_id.actions) & set(c.has_actions)])
    where = {None: True, "chnid >= 1": line_id.chnid >= 1,
             "user_id startswith 'h' or rank == 0": line_id.user_id.startswith("h") or line_id.rank == 0}[c.where]
    reach = [label > t or (label == t and not c.label_strict) for label, t in zip(labels, c.label_thresholds)]
    label = not c.label_thresholds or (len(labels) >= len(c.label_thresholds) and any(reach))
    return bool(good and where and label) != c.invert


@settings(max_examples=800, deadline=None)
@given(st.data(), configs)
def test_agrees_with_the_model(data, config):
    record_type = data.draw(st.sampled_from(["instance", "example"]))
    payload = data.draw(getattr(mangled, record_type))
    config = FilterConfig(**{**vars(config), "record_type": record_type})
    operator = config.operator()
    kept = _core.apply(operator, payload)
    assert kept in ([], [payload])
    assert bool(kept) == model_keeps(config, Facts(record_type, payload))
    assert sum(operator.dropped_by().values()) == 1 - len(kept)


@st.composite
def alike(draw):
    """Records that are laid out as others before them, or nearly so: what is remembered of one must not be taken for another."""
    record_type = draw(st.sampled_from(["instance", "example"]))
    seed = draw(st.lists(getattr(mangled, record_type), min_size=1, max_size=2))
    stream = list(seed)
    for _ in range(draw(st.integers(1, 8))):
        payload = bytearray(draw(st.sampled_from(seed)))
        for _ in range(draw(st.integers(0, 2)) if payload else 0):
            payload[draw(st.integers(0, len(payload) - 1))] = draw(st.integers(0, 255))
        stream.append(bytes(payload))
    return record_type, stream


@settings(max_examples=500, deadline=None)
@given(alike(), configs, st.booleans())
def test_a_record_is_judged_alike_whatever_came_before(records, config, relabel):
    record_type, stream = records
    fields = vars(config) | {"record_type": record_type} | ({"special_strategies": (1, 2), "strategy_rules": (
        StrategyRule(1, 1.0, 9.0), StrategyRule(2, 1.0, 9.0)), "invert": False, "where": "sample_rate > 0 or user_id startswith 'h'"} if relabel else {})
    operator = FilterConfig(**fields).operator()

    def verdict(operator, payload):
        try:
            return _core.apply(operator, payload)
        except errors.BadDataError as e:
            return str(e)

    for payload in stream:
        assert verdict(operator, payload) == verdict(FilterConfig(**fields).operator(), payload)


def test_statistics_go_to_a_file(run, tmp_path):
    record = proto_parser_pb2.Instance(label=[1.0]).SerializeToString()
    other = proto_parser_pb2.Instance(label=[0.0]).SerializeToString()
    data = b"".join(len(r).to_bytes(8, "little") + r for r in (record, other, record))
    done = run("pb-filter", "--label", "1", "--stats", tmp_path / "stats.json", stdin=data)
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["command"] == "pb-filter"
    assert (stats["records_in"], stats["records_out"], stats["bytes_in"], stats["bytes_out"]) == (3, 2, len(data), len(done.stdout))
    assert stats["dropped"] == {"filter.label": 1}
    (operator,) = stats["operators"]
    assert (operator["name"], operator["in"], operator["out"], operator["dropped"]) == ("filter", 3, 2, {"label": 1})
    assert stats["seconds"] >= 0 and stats["mb_per_second"] >= 0
    assert "filter label 1" in done.stderr and "MB/s" in done.stderr


def test_statistics_that_cannot_be_written_are_an_error(run):
    done = run("pb-filter", "--stats", "/nonexistent/stats.json", check=False)
    assert done.returncode == 73 and "/nonexistent/stats.json" in done.stderr
