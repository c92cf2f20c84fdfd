"""Conditions of pb-filter that draw random numbers, and the two small ones: special strategies, sampling of negatives, --drop-empty,
--include-v2-fids. Spec 20, sections 1, 4, 5, 6 and TV-D."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mangled
from record_model import Facts

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.filter import FilterConfig, NegativeSample, StrategyRule
from monolith_protos import example_pb2, proto_parser_pb2

TYPES = {"instance": proto_parser_pb2.Instance, "example": example_pb2.Example}


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def record(record_type="instance", label=(), **line_id) -> bytes:
    message = TYPES[record_type](label=label)
    for name, value in line_id.items():
        getattr(message.line_id, name).extend(value)
    return message.SerializeToString()


def share_kept(config, payload, n=4000) -> float:
    operator = config.operator()
    return sum(bool(_core.apply(operator, payload)) for _ in range(n)) / n


def near(share, expected, n=4000) -> bool:
    """Within five standard deviations; a fixed seed decides once and for all."""
    return abs(share - expected) <= 5 * math.sqrt(max(expected * (1 - expected), 1e-9) / n)


# ------------------------------------------------------------------------------------------------------------ TV-D, negatives

D1 = NegativeSample(0.88, 0.5, action_priority=(2, 3, 4, 1, 5, 6), action_rates=((1, 1.0), (2, 0.0), (3, 1.0), (4, 0.5), (5, 0.22)))


@pytest.mark.parametrize("record_type", TYPES)
@pytest.mark.parametrize(("vector", "sample", "label", "actions", "kept"), [
    ("D1", D1, 1.0, [1, 3], 1), ("D2", D1, 0.0, [1, 2, 4, 5], 1), ("D3", D1, 0.0, [1, 3, 5], 0), ("D4", D1, 0.0, [5, 6], 0.78),
    ("D5", D1, 0.0, [6], 0.12), ("D5", D1, 0.0, [10, 11, 12], 0.12), ("D6", NegativeSample(1.0), 0.0, [], 1),
    ("D6", NegativeSample(1.0), -1.0, [], 0), ("D7", NegativeSample(0.0), -1.0, [], 1),
    ("equality keeps", NegativeSample(1.0, 0.1), 0.1, [], 1), ("NaN keeps", NegativeSample(1.0), math.nan, [], 1),
    ("actions from 0 down have no rate", NegativeSample(1.0, action_priority=(0, -1), action_rates=((0, 0.0), (-1, 0.0))), -1.0, [0], 0),
    ("first of two rates", NegativeSample(1.0, action_priority=(1,), action_rates=((1, 0.0), (1, 1.0))), -1.0, [1], 1),
    ("no action at all", D1, 0.0, [], 0.12),
])
def test_vectors_of_negatives(vector, sample, label, actions, kept, record_type):
    config = FilterConfig(record_type=record_type, negative_sample=sample, seed=3)
    share = share_kept(config, record(record_type, [label], actions=actions))
    assert near(share, kept) and (kept not in (0, 1) or share == kept)


def test_rates_act_in_thousandths():
    payload = record(label=[-1.0])
    for rate, expected in [(0.0001, 0.001), (0.22, 0.22), (0.2201, 0.221), (0.1, 0.1), (0.9991, 1.0)]:
        config = FilterConfig(negative_sample=NegativeSample(rate), seed=1)
        share = 1 - share_kept(config, payload, 100_000)
        assert near(share, expected, 100_000), (rate, share)
        assert expected != 1.0 or share == 1.0


def test_label_index_and_missing_labels(run):
    two = record(label=[1.0, -1.0])
    assert share_kept(FilterConfig(negative_sample=NegativeSample(1.0)), two, 1) == 1
    assert share_kept(FilterConfig(negative_sample=NegativeSample(1.0, label_index=1)), two, 1) == 0
    one = record(label=[1.0])
    done = run("pb-filter", "--drop-rate", "1", "--label-index", "1", stdin=frame(two, one, two), check=False)
    assert done.returncode == 65 and f"byte {len(frame(two))}: no label 1 to tell a negative by; there are 1" in done.stderr
    done = run("pb-filter", "--drop-rate", "0", "--label-index", "1", "--on-bad-record", "skip", stdin=frame(two, one, two))
    assert done.stdout == frame(two, two)


def test_options_of_negatives(run):
    records = [record(label=[0.0], actions=[a]) for a in (1, 2, 3)] + [record(label=[1.0], actions=[1])]
    done = run("pb-filter", "--drop-rate", "0", "--threshold", "0.5", "--action-priority", "1,2", "--action-rate", "2:1, 1:0", stdin=frame(*records))
    assert done.stdout == frame(records[0], records[2], records[3]) and "filter negative sample 1" in done.stderr


# ----------------------------------------------------------------------------------------------------- TV-D, special strategies

RULES = (StrategyRule(2, 1.0, -1.0), StrategyRule(5, 0.0, 1.0), StrategyRule(7, 1.0, 1.0))


def strategies(listed=(2, 5, 7), rules=RULES, **config):
    return FilterConfig(special_strategies=listed, strategy_rules=rules, seed=1, **config)


@pytest.mark.parametrize("record_type", TYPES)
@pytest.mark.parametrize(("vector", "has", "config", "label"), [
    ("D8", [2], {}, -1.0), ("D9", [7], {}, 1.0), ("D9", [5, 2], {}, -1.0), ("D9", [], {}, 3.0),
    ("D9", [], {"strategy_keep_empty": False}, None), ("D10", [9], {}, None), ("rate 0", [5], {}, None),
    ("D11", [4], {"listed": (4,), "rules": (StrategyRule(5, 0.1),)}, 3.0),
    ("first rule of two", [2], {"listed": (2,), "rules": (StrategyRule(2, 1.0, 8.0), StrategyRule(2, 0.0, 9.0))}, 8.0),
])
def test_vectors_of_special_strategies(vector, has, config, label, record_type):
    message = TYPES[record_type](label=[3.0, 4.0])
    message.line_id.special_strategies.extend(has)
    kept = _core.apply(strategies(**config, record_type=record_type).operator(), message.SerializeToString())
    assert len(kept) == (label is not None)
    if kept:
        message.label[0] = label
        assert kept == [message.SerializeToString()]


def test_rate_of_a_strategy():
    config = FilterConfig(special_strategies=(1,), strategy_rules=(StrategyRule(1, 0.3),), seed=5)
    assert near(share_kept(config, record(special_strategies=[1])), 0.3)


def test_a_label_that_is_not_there_is_an_error(run):
    good, bad = record(label=[1.0], special_strategies=[2]), record(special_strategies=[2])
    options = ["--special-strategy", "2", "--strategy-conf", "2:1:-1"]
    done = run("pb-filter", *options, stdin=frame(good, bad), check=False)
    assert done.returncode == 65 and done.stdout == frame(record(label=[-1.0], special_strategies=[2]))
    assert "special strategy 2 sets the first label, and there is none" in done.stderr


def test_options_of_special_strategies(run, tmp_path):
    records = [record(label=[3.0], special_strategies=s) for s in ([2], [7], [5], [], [9])]
    rejected = tmp_path / "rejected.pb"
    done = run("pb-filter", "--special-strategy", "2,5", "--special-strategy", "7", "--strategy-conf", "2:1:-1, 5:0:1,7:1:0.5,",
               "--strategy-drop-empty", "--rejected", rejected, stdin=frame(*records))
    assert done.stdout == frame(record(label=[-1.0], special_strategies=[2]), record(label=[0.5], special_strategies=[7]))
    assert rejected.read_bytes() == frame(*records[2:]) and "filter special strategy 3" in done.stderr
    inverted = run("pb-filter", "--invert", "--special-strategy", "2,5,7", "--strategy-conf", "2:1:-1", "--rejected", rejected, stdin=frame(*records))
    assert inverted.stdout == frame(records[4]) and rejected.read_bytes() == frame(*records[:4])


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(list(TYPES)).flatmap(lambda t: st.tuples(st.just(t), getattr(mangled, t))), st.sampled_from([1, 2, 3]))
def test_relabelling_agrees_with_the_model(record_and_type, strategy):
    """Only the first label that a reader sees differs; all else stays byte for byte."""
    record_type, payload = record_and_type
    facts = Facts(record_type, payload)
    operator = FilterConfig(record_type=record_type, special_strategies=(strategy,), strategy_rules=(StrategyRule(strategy, 1.0, 123.5),)).operator()
    if strategy not in facts.line_id.special_strategies:
        assert _core.apply(operator, payload) == ([payload] if not facts.line_id.special_strategies else [])
        return
    if not facts.labels:
        with pytest.raises(errors.BadDataError):
            _core.apply(operator, payload)
        return
    (changed,) = _core.apply(operator, payload)
    assert len(changed) == len(payload) and sum(a != b for a, b in zip(changed, payload)) <= 4
    after = Facts(record_type, changed)
    assert after.labels[0] == 123.5 and np.array_equal(after.labels[1:], facts.labels[1:], equal_nan=True)
    assert after.line_id == facts.line_id and repr(after.weight) == repr(facts.weight) and after.fids == facts.fids


@settings(max_examples=300, deadline=None)
@given(st.lists(mangled.repeated_floats(1).map(lambda v: mangled.field(2, mangled.BYTES, mangled.field(3, mangled.BYTES, v)))
                | st.just(mangled.field(2, mangled.BYTES, mangled.field(5, mangled.BYTES, b""))), max_size=4).map(b"".join), mangled.repeated_floats(101))
def test_relabelling_of_a_label_column_in_pieces(pieces, labels):
    column = mangled.field(1, mangled.BYTES, mangled.field(1, mangled.BYTES, b"__LABEL__") + pieces)
    payload = labels + column + mangled.field(100, mangled.BYTES, mangled.field(39, mangled.VARINT, 2))
    named = example_pb2.Example.FromString(payload).named_feature[0].feature
    seen = list(named.float_list.value) if named.WhichOneof("type") == "float_list" else []
    operator = FilterConfig(record_type="example", special_strategies=(2,), strategy_rules=(StrategyRule(2, 1.0, 9.0),)).operator()
    if not seen:
        with pytest.raises(errors.BadDataError):
            _core.apply(operator, payload)
        return
    (changed,) = _core.apply(operator, payload)
    assert np.array_equal(Facts("example", changed).labels, [9.0, *seen[1:]], equal_nan=True)


# -------------------------------------------------------------------------------------------------------------------- seeds

def test_the_same_seed_chooses_the_same(run):
    records = [record(label=[-1.0], special_strategies=[1]) + mangled.field(77, mangled.VARINT, i) for i in range(200)]
    for options in (["--drop-rate", "0.5"], ["--special-strategy", "1", "--strategy-conf", "1:0.5"]):
        a, b, c = (run("pb-filter", *options, "--seed", seed, stdin=frame(*records)).stdout for seed in (1, 1, 2))
        assert a == b != c and 0 < len(a) < len(frame(*records))
        assert run("pb-filter", *options, stdin=frame(*records)).stdout != run("pb-filter", *options, stdin=frame(*records)).stdout


def test_numbers_are_drawn_for_records_that_fulfil_all_else_alone():
    """So the choice among them does not depend on what else is in the stream."""
    some = [record(label=[-1.0], actions=[1]) + mangled.field(77, mangled.VARINT, i) for i in range(100)]
    others = [record(label=[-1.0], actions=[2]), record(label=[1.0], actions=[1])]

    def chosen(stream):
        operator = FilterConfig(where="actions any [1]", negative_sample=NegativeSample(0.5), seed=4).operator()
        return [r for payload in stream for r in _core.apply(operator, payload)]

    assert [r for r in chosen([x for s in some for x in (s, *others)]) if r not in others] == chosen(some)


@pytest.mark.parametrize(("options", "message"), [
    (["--drop-rate", "1.5"], "1.5"), (["--drop-rate", "nan"], "--drop-rate"), (["--threshold", "1"], "--threshold: goes with --drop-rate"),
    (["--label-index", "0"], "--label-index: goes with"), (["--action-priority", "1"], "--action-priority: goes with"),
    (["--action-rate", "1:0.5"], "--action-rate: goes with"), (["--drop-rate", "0.5", "--action-rate", "1:0.5"], "go together"),
    (["--drop-rate", "0.5", "--action-priority", "1"], "go together"),
    (["--drop-rate", "0.5", "--action-priority", "1", "--action-rate", "1"], "1 is not ACTION:RATE"),
    (["--drop-rate", "0.5", "--action-priority", "1", "--action-rate", "1:2"], "--action-rate: a rate is between 0 and 1"),
    (["--special-strategy", ","], "a list without a strategy"), (["--strategy-conf", "1:0.5"], "goes with --special-strategy"),
    (["--special-strategy", "1", "--strategy-conf", "1"], "1 is not STRATEGY:RATE"),
    (["--special-strategy", "1", "--strategy-conf", "1:2"], "--strategy-conf: a rate is between 0 and 1"),
    (["--special-strategy", "1", "--strategy-conf", "1:x"], "Invalid float string: x"),
    (["--special-strategy", "1", "--strategy-conf", "a:1"], "Invalid integer string: a"),
    (["--special-strategy", "1", "--strategy-conf", "1:1:1,2:1"], "for all strategies or for none"),
])
def test_mistakes(run, options, message):
    done = run("pb-filter", *options, stdin=b"", check=False)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------- records of no bytes, v2 fids

@pytest.mark.parametrize("record_type", ["instance", "example", "example_batch"])
def test_drop_empty(run, record_type, tmp_path):
    some, other = (mangled.field(77, mangled.VARINT, v) for v in (5, 6))
    stream = frame(b"", some, b"", other)
    rejected = tmp_path / "rejected.pb"
    done = run("pb-filter", "-t", record_type, "--drop-empty", "--rejected", rejected, stdin=stream)
    assert done.stdout == frame(some, other) and "filter empty 2" in done.stderr and rejected.read_bytes() == frame(b"", b"")
    assert run("pb-filter", "-t", record_type, "--drop-empty", "--invert", stdin=stream).stdout == frame(b"", b"")
    if record_type != "example_batch":
        assert run("pb-filter", "-t", record_type, stdin=stream).stdout == stream
        assert run("pb-filter", "-t", record_type, "--drop-empty", "--where", "chnid == 1", stdin=stream).stdout == b""


def test_drop_empty_sets_no_limit_of_time(run):
    early = proto_parser_pb2.Instance()
    early.line_id.req_time = -5
    stream = frame(early.SerializeToString())
    assert run("pb-filter", "--drop-empty", stdin=stream).stdout == stream


@settings(max_examples=300, deadline=None)
@given(mangled.instance, st.lists(mangled.v1_fids | mangled.v2_fids, min_size=1, max_size=4), st.sampled_from(["filter", "has", "select", "where"]))
def test_v2_fids_of_an_instance(payload, fids, how):
    message = proto_parser_pb2.Instance.FromString(payload)
    have = set(message.fid) | {f for column in message.feature for f in column.fid}
    config = {"where": f"has_fid({fids[0]})"} if how == "where" else {f"{how}_fids": tuple(fids), "req_time_min": -(1 << 63)}
    expected = {"filter": not have & set(fids), "has": bool(have & set(fids)), "select": set(fids) <= have, "where": fids[0] in have}[how]
    assert bool(_core.apply(FilterConfig(include_v2_fids=True, **config).operator(), payload)) == expected


def test_v2_fids_as_an_option(run):
    message = proto_parser_pb2.Instance()
    message.feature.add().fid.append(288230376151814144)
    stream = frame(message.SerializeToString())
    assert run("pb-filter", "--has-fid", "288230376151814144", stdin=stream).stdout == b""
    assert run("pb-filter", "--include-v2-fids", "--has-fid", "288230376151814144", stdin=stream).stdout == stream


def test_everything_at_once(run, tmp_path):
    """Each reason is counted for the first condition that failed."""
    def one(label=1.0, actions=(1,), req_time=10, chnid=3, user="u1", strategies=(2,), fids=(5 << 54,)):
        message = proto_parser_pb2.Instance(label=[label], fid=fids)
        message.line_id.req_time, message.line_id.chnid, message.line_id.user_id = req_time, chnid, user
        message.line_id.actions.extend(actions)
        message.line_id.special_strategies.extend(strategies)
        return message.SerializeToString()

    good = one()
    bad = [b"", one(req_time=1), one(actions=(9,)), one(chnid=7), one(user="x"), one(fids=()), one(label=-1.0), one(strategies=(8,))]
    done = run("pb-filter", "--drop-empty", "--req-time-min", 5, "--has-action", 1, "--field", "chnid", "--op", "in", "--value", "3,4", "--where",
               "user_id startswith 'u'", "--has-slot", 5, "--drop-rate", 1, "--special-strategy", 2, stdin=frame(good, *bad, good))
    assert done.stdout == frame(good, good)
    for reason in ("empty", "req time", "has action", "value", "where", "has slot", "negative sample", "special strategy"):
        assert f"filter {reason} 1" in done.stderr
