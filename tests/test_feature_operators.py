"""Each operator of pb-feature against tests/feature_model.py, over random records in every lawful encoding."""

import feature_model as model
import mangled_features
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.features import Combine, FeatureConfig, Mask

TYPES = ["instance", "example", "example_batch"]
ROWS = TYPES[:2]
NAMES = {"instance": ["a", "b", "c", "slot_0", "fc_slot_1", "slot_2", "slot_1023", "slot_1024", "none"], "example": ["a", "b", "c", "i", "none"],
         "example_batch": ["a", "b", "c", "none"]}
EXAMPLES = settings(max_examples=150, deadline=None)


def check(record_type, payload, operators, change):
    """What leaves the operators is what the model makes of the record; byte for byte the same when it changes nothing."""
    message = model.MESSAGES[record_type].FromString(payload)
    before = message.SerializeToString(deterministic=True)
    expected = message
    change(expected)
    expected = expected.SerializeToString(deterministic=True)
    made = [payload]
    for operator in operators:
        made = [out for record in made for out in _core.apply(operator, record)] + _core.finish(operator)
    assert len(made) == 1
    if expected == before:
        same = model.MESSAGES[record_type].FromString(made[0]).SerializeToString(deterministic=True)
        assert same == before
    assert model.MESSAGES[record_type].FromString(made[0]).SerializeToString(deterministic=True) == expected


def names(record_type, **sizes):
    return st.lists(st.sampled_from(NAMES[record_type]), unique=True, **sizes)


def apart(rules):
    """No two names of rules for one slot of an Instance."""
    bare = [n.removeprefix("fc_") for n in rules]
    return len(set(bare)) == len(bare)


slots = st.sampled_from([0, 1, 2, 10, 306, 1023])


@pytest.mark.parametrize("record_type", TYPES)
@EXAMPLES
@given(st.data())
def test_switch_slot(record_type, data):
    rules = st.dictionaries(st.sampled_from(NAMES[record_type]), slots, max_size=3).filter(apart)
    in_place, copies, suffix = data.draw(rules), data.draw(rules), data.draw(st.sampled_from(["share", "b"]))
    config = FeatureConfig(record_type=record_type, slot=in_place, share=copies, suffix=suffix)
    check(record_type, data.draw(mangled_features.RECORDS[record_type]), config.operators(),
          lambda m: model.switch_slot(m, in_place, copies, suffix))


@pytest.mark.parametrize("record_type", TYPES)
@EXAMPLES
@given(st.data())
def test_columns(record_type, data):
    drop, keep = data.draw(names(record_type, max_size=2)), data.draw(st.none() | names(record_type))
    own = [n for n in NAMES[record_type] if "slot" not in n]
    rename = data.draw(st.dictionaries(st.sampled_from(own), st.sampled_from(["a", "b", "new", "much longer than it was" * 9]), max_size=2))
    config = FeatureConfig(record_type=record_type, drop=tuple(drop), keep=None if keep is None else tuple(keep), rename=rename)
    check(record_type, data.draw(mangled_features.RECORDS[record_type]), config.operators(), lambda m: model.columns(m, drop, keep, rename))


@pytest.mark.parametrize("record_type", ROWS)
@EXAMPLES
@given(st.data())
def test_combine(record_type, data):
    source = st.sampled_from(NAMES[record_type])
    rules = data.draw(st.lists(st.tuples(st.sampled_from(["a", "b", "new", "new2"]), source | st.just("new"), source, slots.filter(bool)), max_size=3))
    exact = data.draw(st.booleans())
    config = FeatureConfig(record_type=record_type, combine=tuple(Combine(*r) for r in rules), exact=exact)

    def one_after_the_other(message):
        for rule in rules:
            model.combine(message, [rule], exact)

    check(record_type, data.draw(mangled_features.RECORDS[record_type]), config.operators(), one_after_the_other)


@pytest.mark.parametrize("record_type", ROWS)
@EXAMPLES
@given(st.data())
def test_masks(record_type, data):
    source, target = st.sampled_from(NAMES[record_type]), st.sampled_from(["a", "b", "new", "new2"])
    fids = st.sampled_from([0, 1, 1 << 48, 1 << 54, 2 << 48 | 1, 1023 << 54 | 2, 32767 << 48])
    by_fid = data.draw(st.lists(st.tuples(target, source, fids), max_size=3))
    by_length = data.draw(st.lists(st.tuples(target, source, st.integers(1, 4)), max_size=2))
    config = FeatureConfig(record_type=record_type, fid_mask=tuple(Mask(*r) for r in by_fid), seq_mask=tuple(Mask(*r) for r in by_length))

    def one_after_the_other(message):
        for rule in by_fid:
            model.fid_mask(message, [rule])
        for rule in by_length:
            model.seq_mask(message, [rule])

    check(record_type, data.draw(mangled_features.RECORDS[record_type]), config.operators(), one_after_the_other)


@pytest.mark.parametrize("record_type", TYPES)
@EXAMPLES
@given(st.data())
def test_map_id(record_type, data):
    table = st.dictionaries(st.sampled_from([0, 1, 2, 185, -1]), st.sampled_from([0, 1, 300, -5, (1 << 63) - 1]), min_size=1)
    tables = data.draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.tuples(table, st.sampled_from([-1, 0, 7])), min_size=1))
    config = FeatureConfig(record_type=record_type, map_id=tables)
    check(record_type, data.draw(mangled_features.RECORDS[record_type]), config.operators(), lambda m: model.map_id(m, tables))


@pytest.mark.parametrize("record_type", ROWS)
@EXAMPLES
@given(st.data())
def test_hash(record_type, data):
    rules, exact = data.draw(st.dictionaries(st.sampled_from(["a", "b", "c"]), slots, min_size=1)), data.draw(st.booleans())
    config = FeatureConfig(record_type=record_type, hash=tuple(rules.items()), exact=exact)
    check(record_type, data.draw(mangled_features.RECORDS[record_type]), config.operators(), lambda m: model.hash_names(m, rules, exact))


@pytest.mark.parametrize("record_type", TYPES)
@EXAMPLES
@given(st.data())
def test_untouched_records_keep_their_bytes(record_type, data):
    payload = data.draw(mangled_features.RECORDS[record_type])
    config = FeatureConfig(record_type=record_type, slot={"other": 1}, share={"other": 2}, drop=("other",), rename={"other": "new"},
                           map_id={"other": ({1: 2}, 0)}, **({} if record_type == "example_batch" else {"hash": (("other", 3),)}))
    for operator in config.operators():
        assert _core.apply(operator, payload) == [payload]


def test_two_steps_of_a_raw_feature():
    """A second --hash of one name makes fids of what the first one took over."""
    from monolith_protos import example_pb2

    record = example_pb2.Example()
    raw = record.named_raw_feature.add(name="r", id=3)
    for values in ([1], [185, 0]):
        raw.raw_feature.feature.add().int64_list.value.extend(values)
    (out,) = _core.apply(FeatureConfig(record_type="example", hash=(("r", 4),)).operators()[0], record.SerializeToString())
    assert list(example_pb2.Example.FromString(out).named_feature[0].feature.int64_list.value) == [1, 185, 0]
    for operator in FeatureConfig(record_type="example", hash=(("r", 4), ("r", 4))).operators():
        (out,) = _core.apply(operator, out)
    made = example_pb2.Example.FromString(out).named_feature[0]
    assert made.id == 3 and list(made.feature.fid_v2_list.value)[:2] == [1663611294145121, 1153447759131936]


def test_v1_has_no_slot_past_1023():
    from monolith_protos import example_pb2

    record = example_pb2.Example()
    record.named_feature.add(name="a").feature.fid_v1_list.value.append(1)
    for option in ("slot", "share"):
        (operator,) = FeatureConfig(record_type="example", **{option: {"a": 1024}}).operators()
        with pytest.raises(errors.BadDataError, match="1024"):
            _core.apply(operator, record.SerializeToString())
        with pytest.raises(errors.UsageError, match="1024"):
            FeatureConfig(record_type="instance", **{option: {"slot_1": 1024}}).operators()


def test_too_many_pairs():
    from monolith_protos import example_pb2

    record = example_pb2.Example()
    for name in ("a", "b"):
        record.named_feature.add(name=name).feature.fid_v2_list.value.extend(range(3000))
    (operator,) = FeatureConfig(record_type="example", combine=(Combine("c", "a", "b", 1),)).operators()
    with pytest.raises(errors.BadDataError, match="3000 and 3000"):
        _core.apply(operator, record.SerializeToString())


@pytest.mark.parametrize(("options", "message"), [
    ({"combine": (Combine("c", "a", "b", 0),)}, "at least 1"), ({"combine": (Combine("c", "a", "b", 32768),)}, "32768"),
    ({"slot": {"a": 40000}}, "40000"), ({"rename": {"a": "__LABEL__"}}, "reserved"), ({"rename": {"a": ""}}, "needs a name"),
    ({"combine": (Combine("instance_weight", "a", "b", 1),)}, "reserved"), ({"fid_mask": (Mask("__LINE_ID__", "a", 1),)}, "reserved"),
    ({"map_id": {"a": ({}, -1)}}, "empty"), ({"seq_mask": (Mask("m", "a", 70000),)}, "65536"), ({"slot": {"a": "user"}}, "--feature-list"),
    ({"rename": {"slot_1": "x"}, "record_type": "instance"}, "--slot"), ({"rename": {"a": "slot_1"}, "record_type": "instance"}, "v1 fids"),
    ({"hash": (("slot_1", 1),), "record_type": "instance"}, "v1 fids"), ({"map_id": {"slot_1": ({1: 1}, 0)}, "record_type": "instance"}, "v1 fids"),
    ({"slot": {"1024": 1}, "record_type": "instance"}, "1024"), ({"slot": {"slot_1": 2, "fc_slot_1": 3}, "record_type": "instance"}, "two slots"),
    *(({option: value, "record_type": "example_batch"}, "pb-convert --from example_batch") for option, value in (
        ("hash", (("a", 1),)), ("combine", (Combine("c", "a", "b", 1),)), ("fid_mask", (Mask("m", "a", 1),)), ("seq_mask", (Mask("m", "a", 1),))))])
def test_mistakes(options, message):
    with pytest.raises(errors.UsageError, match=message):
        FeatureConfig(**{"record_type": "example"} | options).operators()
