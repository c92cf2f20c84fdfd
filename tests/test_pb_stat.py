"""pb-stat: counts against a slow count over protobuf's classes."""

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pb_convert import EXAMPLE, batch_bytes, framed
from wire_random import Wire

from monolith_cli._native import _core
from monolith_cli.errors import BadDataError
from monolith_cli.records.messages import message_class


def test_generated_stream(run):
    args = ["-n", 500, "--slots", "1,7", "--fids-per-slot", "2", "--v2-feature", "h:300", "--dense", "d:3", "--vocab", 40]
    stream = run("pb-gen", *args).stdout
    result = json.loads(run("pb-stat", "--json", stdin=stream).stdout)
    assert (result["records"], result["rows"], result["bad_records"]) == (500, 500, 0)
    assert result["bytes"]["total"] == len(stream) - 8 * 500
    slots = {(s["version"], s["slot"]): s for s in result["slots"]}
    assert {k: (s["rows"], s["fids"]) for k, s in slots.items()} == {(1, 1): (500, 500), (1, 7): (500, 1000), (2, 300): (500, 1000)}
    assert all(38 <= s["distinct"] <= 42 for s in slots.values())
    assert [(f["name"], f["kind"], f["rows"], f["values"]) for f in result["features"]] == [("d", "float_value", 500, 1500), ("h", "fid", 500, 1000)]
    assert result["line_id"]["rows"] == 500 and result["line_id"]["fields"] == {"uid": 500, "req_time": 500, "item_id": 500}
    assert result["line_id"]["max_req_time"] - result["line_id"]["min_req_time"] == 499
    (label,) = result["labels"]
    assert label["count"] == 500 and dict(label["values"])[1.0] == label["mean"] * 500
    text = run("pb-stat", stdin=stream).stdout.decode()
    assert "records     500" in text and "300 v2" in text and "float_value" in text


def slow(record_type, payloads):
    """rows, (fid version, slot) -> fids, (name, kind) -> (rows, values), labels."""
    slots, features, labels, rows = Counter(), Counter(), Counter(), 0
    values = Counter()

    def fids(version, found):
        slots.update((version, f >> (54 if version == 1 else 48)) for f in found)

    def feature(name, message):
        kind = message.WhichOneof("type")
        features[name, kind or "unset"] += 1
        if kind and kind.endswith("_lists"):
            lists = [inner.value for inner in getattr(message, kind).list]
        else:
            lists = [getattr(message, kind).value] if kind and kind.endswith("_list") else [[1]] if kind else []
        values[name, kind or "unset"] += sum(len(x) for x in lists)
        if kind and kind.startswith("fid"):
            for x in lists:
                fids(1 if "v1" in kind else 2, x)

    for message in (message_class(record_type).FromString(p) for p in payloads):
        if record_type == "example_batch":
            rows += message.batch_size
            for column in message.named_feature_list if message.batch_size else []:
                if column.name in ("__LINE_ID__", "__LABEL__", "instance_weight"):
                    continue
                for f in column.feature[:1] if column.type == 1 else column.feature:
                    feature(column.name, f)
            continue
        rows += 1
        if record_type == "example":
            for named in message.named_feature:
                if named.name not in ("__LINE_ID__", "__LABEL__", "instance_weight"):
                    feature(named.name, named.feature)
            continue
        labels.update([len(message.label)])
        fids(1, message.fid)
        for c in message.feature:
            filled = [(k, getattr(c, k)) for k in ("fid", "float_value", "int64_value", "bytes_value", "fid_list", "float_list", "int64_list", "bytes_list") if getattr(c, k)]
            for kind, content in filled:
                features[c.name, kind] += 1
                values[c.name, kind] += sum(len(x.value) for x in content) if kind.endswith("_list") else len(content)
            if not filled:
                features[c.name, "unset"] += 1
            fids(2, list(c.fid) + [f for inner in c.fid_list for f in inner.value])
    return rows, slots, {k: (n, values[k]) for k, n in features.items()}


@pytest.mark.parametrize("record_type", ["instance", "example", "example_batch"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**48))
def test_counts(record_type, seed):
    rng = random.Random(seed)
    payloads = [batch_bytes(rng) if record_type == "example_batch" else Wire(rng).message(message_class(record_type).DESCRIPTOR) for _ in range(3)]
    operator, good = _core.StatOperator(record_type), []
    for payload in payloads:
        try:
            _core.apply(operator, payload)
            good.append(payload)
        except BadDataError:
            pass  # a batch or a reserved feature that does not fit
    result = operator.result()
    rows, slots, features = slow(record_type, good)
    assert (result["records"], result["rows"]) == (len(good), rows)
    assert {(s["version"], s["slot"]): s["fids"] for s in result["slots"]} == slots
    assert {(f["name"], f["kind"]): (f["rows"], f["values"]) for f in result["features"]} == features


def test_names_and_slots_are_bounded():
    operator = _core.StatOperator("instance")
    Instance = message_class("instance")
    for i in range(12000):
        instance = Instance()
        instance.feature.add(name=f"n{i}", fid=[(i % 8000) << 48])
        _core.apply(operator, instance.SerializeToString())
    result = operator.result()
    assert len(result["features"]) == 10001 and [f["rows"] for f in result["features"] if f["name"] is None] == [2000]
    assert len(result["slots"]) == 4097 and sum(s["fids"] for s in result["slots"]) == 12000


def test_odd_labels(run):
    Instance = message_class("instance")
    records = [Instance(label=[v]).SerializeToString() for v in (float("nan"), float("inf"), -3.4028234663852886e38, 1, 1)] + [b""]
    result = json.loads(run("pb-stat", "--json", stdin=framed(*records)).stdout, parse_constant=lambda c: pytest.fail(f"{c} is no JSON"))
    (label,) = result["labels"]
    assert (label["count"], label["nan"], result["rows_with_label"]) == (5, 1, 5) and label["max"] == "Infinity"
    assert run("pb-stat", stdin=framed(*records)).stdout


def test_broken_and_empty(run):
    done = run("pb-stat", "-t", "example", stdin=framed(EXAMPLE, b"\xff"), check=False)
    assert done.returncode == 65 and f"byte {len(EXAMPLE) + 8}: " in done.stderr and done.stdout == b""
    result = json.loads(run("pb-stat", "-t", "example", "--json", "--on-bad-record", "skip", stdin=framed(EXAMPLE, b"\xff")).stdout)
    assert (result["records"], result["bad_records"]) == (1, 1)
    assert json.loads(run("pb-stat", "--json", stdin=b"").stdout)["records"] == 0
    assert b"records     0" in run("pb-stat", stdin=b"").stdout
