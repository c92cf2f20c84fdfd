"""Negative generation against the slow model: random records of both containers, all options, record by record."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mangled
from negative_model import Model

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.negative_gen import NegativeGenConfig
from monolith_protos import example_pb2

actions = st.lists(st.sampled_from([0, 1, 2, 3, 5]), max_size=3, unique=True).map(tuple)
COMMON = {
    "neg_num": st.integers(1, 4), "per_channel": st.booleans(), "start_num": st.sampled_from([0, 0, 0, 1]),
    "max_item_num": st.sampled_from([1, 2, 3, 100, 100]), "positive_label": st.sampled_from([1, 0]),
    "negative_label": st.sampled_from([-1, 0, 7]), "negative_action": st.sampled_from([-99999, 0, 5, -7, 300]),
    "label_index": st.sampled_from([0, 0, 1]), "action_priority": st.permutations([0, 2, 7, -1]).map(tuple) | st.just(()),
    "throw_origin": st.booleans(), "throw_origin_neg": st.booleans(), "cache_only_pos": st.booleans(),
    "real_neg_instance_weight": st.sampled_from([1.0, 0.5, 0.0]), "sampled_neg_instance_weight": st.sampled_from([-1.0, 0.25]),
    "unbias_sampled_neg": st.booleans(), "origin_neg_in_pool_proba": st.sampled_from([1.0, 0.5, 0.0, -1.0]),
    "neg_sample_decay_factor": st.sampled_from([1.0, 2.0, 0.0]), "easy_hard_ratio": st.sampled_from([0.0, 0.5, 1.0]),
    "keep_all": st.booleans(), "seed": st.integers(0, 5),
}
slots = st.sampled_from(["0", "1", "2", "3", "511", "1023"])
FEATURES = {
    "instance": {"item_features": st.lists(slots, max_size=3).map(tuple), "channel_feature": slots | st.just(""),
                 "index_feature": slots | st.just("")},
    "example": {"item_features": st.sampled_from([("a",), ("a", "b"), ("b", ""), ()]), "channel_feature": st.sampled_from(["a", "b"]),
                "index_feature": st.sampled_from(["", "a", "b"])},
}


def configs(record_type):
    by_action = st.tuples(actions, actions).map(lambda t: {"positive_actions": t[0], "cache_negative_actions": tuple(set(t[1]) - set(t[0]))})
    return st.builds(lambda common, features, more: NegativeGenConfig(record_type=record_type, **common, **features, **more),
                     st.fixed_dictionaries(COMMON), st.fixed_dictionaries(FEATURES[record_type]), st.just({}) | st.just({}) | by_action)


# Where the item is told by a field that stands once or twice, in one line id or two, and differs from record to record.
item_ids = st.lists(st.sampled_from([1, 2, 3]).map(lambda v: mangled.field(4, mangled.FIXED64, v)), max_size=2).map(b"".join)
line_ids = st.lists(st.tuples(item_ids, mangled.repeated_varints(6, st.sampled_from([1, 2, 5])), mangled.unknown).map(b"".join), max_size=2)


def records(record_type):
    """Mostly positives with labels, fids and item ids, and among them what makes records strange."""
    number, of_label = (5, 3) if record_type == "instance" else (100, 101)
    label = st.sampled_from([1.0, 1.0, 1.0, 0.0]).map(lambda v: mangled.field(of_label, mangled.FIXED32, mangled.float_bits(v)))
    ids = line_ids.map(lambda vs: b"".join(mangled.field(number, mangled.BYTES, v) for v in vs))
    if record_type == "instance":
        fids = mangled.repeated_fixed64(1, mangled.v1_fids)
        return st.tuples(label, fids, mangled.instance | st.just(b""), ids).map(b"".join)
    raw = st.just(mangled.field(2, mangled.BYTES, mangled.field(1, mangled.BYTES, b"raw")))
    key = st.just(mangled.field(103, mangled.VARINT, 7))
    named = mangled.named_feature.map(lambda v: mangled.field(1, mangled.BYTES, v))
    return st.tuples(label, named, mangled.example | st.just(b""), ids, named, raw | key | st.just(b"")).map(b"".join)


def features_of(record_type, fids, columns):
    if record_type == "instance":
        return fids
    return [n.SerializeToString(deterministic=True) for n in example_pb2.Example.FromString(columns).named_feature]


def check(record_type, config, payloads):
    op, model = config.operator(), Model(config)
    for payload in payloads:
        try:
            expected = model.process(payload)
        except Exception:  # no record for protobuf: a __LINE_ID__ without bytes
            with pytest.raises(errors.BadDataError):
                _core.apply(op, payload)
            return
        out = _core.apply(op, payload)
        assert len(out) == len(expected)
        got = [type(m).FromString(p) for m, p in zip(expected, out, strict=True)]
        assert [m.SerializeToString(deterministic=True) for m in got] == [m.SerializeToString(deterministic=True) for m in expected]
    items = [(c, i, features_of(record_type, f, n), o, s) for c, i, f, n, o, s in op.pool.items()]
    assert items == model.pool_items()


@pytest.mark.parametrize("record_type", ["instance", "example"])
def test_against_model(record_type):
    @settings(max_examples=300, deadline=None)
    @given(configs(record_type), st.lists(records(record_type), min_size=1, max_size=8))
    def run(config, payloads):
        check(record_type, config, payloads)

    run()


@pytest.mark.parametrize("record_type", ["instance", "example"])
def test_record_that_has_its_weight_leaves_as_it_came(record_type):
    number = 4 if record_type == "instance" else 102
    payload = mangled.field(number, mangled.FIXED32, mangled.float_bits(1.0)) + mangled.field(300, mangled.VARINT, 1)
    op = NegativeGenConfig(record_type=record_type, neg_num=1).operator()
    assert _core.apply(op, payload) == [payload]


@pytest.mark.parametrize("record_type", ["instance", "example"])
def test_broken_records_change_nothing(record_type):
    @settings(max_examples=500, deadline=None)
    @given(configs(record_type), records(record_type), st.data())
    def run(config, payload, data):
        cut = payload[:data.draw(st.integers(0, len(payload)))] + data.draw(st.binary(max_size=2))
        op = config.operator()
        try:
            _core.apply(op, cut)
        except errors.BadDataError:
            assert op.pool.items() == []

    run()
