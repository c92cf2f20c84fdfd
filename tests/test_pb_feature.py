"""pb-feature as users have it: options, names, feature lists, order, broken input, and several options at once against the model."""

import struct

import feature_model as model
import mangled_features
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_protos import example_pb2, proto_parser_pb2

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators import feature_rules
from monolith_cli.operators.features import Combine, FeatureConfig, Mask
from monolith_cli.records import fid, feature_list

V1, V2 = fid.make_v1, fid.make_v2
E19 = (bytes.fromhex("0a150a0161120c0a0a0a08010000000000800c180530020a1d0a0162121412120a10010000000000c900020000000000c90018063003"),
       bytes.fromhex("0a150a0161120c0a0a0a080100000000008002180530020a1d0a0162121412120a10010000000000c900020000000000c900180630030a23"
                     "0a07625f7368617265121412120a100100000000000a000200000000000a0018063003"))


def frame(*payloads):
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def through(run, record_type, options, *messages, **more):
    """What comes out for messages, parsed."""
    stream = frame(*(m.SerializeToString() for m in messages))
    out = run("pb-feature", "-t", record_type, *options, stdin=stream, **more).stdout
    return [model.MESSAGES[record_type].FromString(r) for r in _core.MemoryReader(out)]


def an_example(**features):
    made = example_pb2.Example()
    for name, values in features.items():
        made.named_feature.add(name=name).feature.fid_v2_list.value.extend(values)
    return made


def fids(message):
    return {n.name: list(n.feature.fid_v2_list.value) for n in message.named_feature}


def test_e19(run):
    assert run("pb-feature", "-t", "example", "--slot", "a=10", "--share", "b=10", stdin=frame(E19[0])).stdout == frame(E19[1])
    batch = example_pb2.ExampleBatch(batch_size=2)
    for name, kind, f in (("a", "fid_v1_list", V1(50, 1)), ("b", "fid_v2_list", V2(201, 1))):
        column = batch.named_feature_list.add(name=name, id=5, type=1)
        getattr(column.feature.add(), kind).value.append(f)
        column.feature.add().float_list.value.append(1)
    (made,) = through(run, "example_batch", ["--slot", "a=10", "--share", "b=10", "--suffix", "x"], batch)
    assert [c.name for c in made.named_feature_list] == ["a", "b", "b_x"]
    assert list(made.named_feature_list[0].feature[0].fid_v1_list.value) == [V1(10, 1)]
    copy = made.named_feature_list[2]
    assert (copy.id, copy.type, len(copy.feature)) == (5, 1, 2)
    assert list(copy.feature[0].fid_v2_list.value) == [V2(10, 1)] and copy.feature[1].WhichOneof("type") is None


@pytest.mark.parametrize(("value", "expected"), [(V2(5, 7), 86131342873460743), (56576470318854201, 86131342873473081)])
def test_e9_and_tv3_no_leak_on_records(run, value, expected):
    (made,) = through(run, "example", ["--slot", "a=306"], an_example(a=[value]))
    assert fids(made) == {"a": [expected]}


def test_e10_v1_on_records(run):
    instance = proto_parser_pb2.Instance(fid=[V1(3, 100), V1(4, 1)])
    (made,) = through(run, "instance", ["--slot", "slot_3=10"], instance)
    assert list(made.fid) == [180143985094819940, V1(4, 1)]
    (made,) = through(run, "instance", ["--share", "3=10"], instance)
    assert list(made.fid) == [V1(3, 100), V1(4, 1), V1(10, 100)]


@pytest.mark.parametrize(("a", "b", "expected"), [
    (281474976710756, 59391220085948423, 142145769476981436), (281474976710756, 59391220085948424, 142145769476981536),
    (281598433499668, 563937607742410, 142294358856565765)])
def test_e11_to_e13_combine(run, a, b, expected):
    (made,) = through(run, "example", ["--combine", "c=a*b@505"], an_example(a=[a], b=[b]))
    assert fids(made)["c"] == [expected]


@pytest.mark.parametrize(("value", "slot", "expected"), [(185, 4, 1153447759131936), (1, 4, 1663611294145121), (0, 7, 2104616677995140), (-1, 200, 56831162411487573)])
def test_e17_e18_hash(run, value, slot, expected):
    record = example_pb2.Example()
    record.named_feature.add(name="n").feature.int64_list.value.append(value)
    (made,) = through(run, "example", ["--hash", f"n@{slot}"], record)
    assert fids(made) == {"n": [expected]}
    (made,) = through(run, "example", ["--hash", f"n@{slot}", "--exact-slot"], record)
    assert fids(made) == {"n": [V2(slot, expected)]}
    (made,) = through(run, "instance", ["--hash", f"n@{slot}"], proto_parser_pb2.Instance(feature=[{"name": "n", "int64_value": [value]}]))
    assert list(made.feature[0].fid) == [expected]


def test_e1_to_e4_masks_and_tables(run):
    record = an_example(f=[1, 2, 3])
    record.named_feature.add(name="n").feature.int64_list.value.extend([123, 456, 789, 912])
    options = ["--fid-mask", "has=f:3", "--fid-mask", "not=f:-4", "--seq-mask", "m=f:5", "--map-id", "n=123:0,456:1,789:2"]
    (made,) = through(run, "example", options, record)
    by_name = {n.name: n.feature for n in made.named_feature}
    assert list(by_name["has"].float_list.value) == [1.0] and list(by_name["not"].float_list.value) == [0.0]
    assert list(by_name["m"].int64_list.value) == [1, 1, 1, 0, 0] and list(by_name["n"].int64_list.value) == [0, 1, 2, -1]
    assert list(by_name) == ["f", "n", "has", "not", "m"]


def test_order_of_the_options_is_fixed(run):
    """hash, then slot, then combine, then masks, then names, however they are given."""
    record = example_pb2.Example()
    record.named_feature.add(name="n").feature.int64_list.value.append(0)
    options = ["--rename", "c=cross", "--drop", "n", "--fid-mask", f"m=c:{model.combined(V2(9, fid.extract(7, 0)), V2(9, fid.extract(7, 0)), 11, False)}",
               "--combine", "c=n*n@11", "--slot", "n=9", "--hash", "n@7"]
    (made,) = through(run, "example", options, record)
    assert [n.name for n in made.named_feature] == ["cross", "m"]
    assert list(made.named_feature[1].feature.float_list.value) == [1.0]


LIST = """\
column_name: price, raw
feature_name=f_user; slot=1
feature_name=f_other; slot=1; feature_version=1
feature_name=f_tag; slot=4791; feature_version=2
feature_name=f_word; slot=7; feature_version=2
"""


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "feature_list.conf"
    path.write_text(LIST)
    return path


def test_prune(run, conf):
    instance = proto_parser_pb2.Instance(fid=[V1(1, 1), V1(2, 2), V1(7, 3)], label=[1],
                                         feature=[{"name": n} for n in ("f_tag", "price", "gone", "f_user", "instance_weight")])
    (made,) = through(run, "instance", ["--feature-list", conf, "--prune"], instance)
    assert list(made.fid) == [V1(1, 1)] and [c.name for c in made.feature] == ["f_tag", "price", "f_user", "instance_weight"] and list(made.label) == [1]
    record = an_example(f_user=[1], gone=[2], fc_slot_1=[3], fc_slot_2=[4], __LABEL__=[], f_tag=[5])
    for name in ("raw", "gone"):
        record.named_raw_feature.add(name=name)
    (made,) = through(run, "example", ["--feature-list", conf, "--prune", "--keep", "fc_slot_2"], record)
    assert [n.name for n in made.named_feature] == ["f_user", "fc_slot_1", "fc_slot_2", "__LABEL__", "f_tag"]
    assert [n.name for n in made.named_raw_feature] == ["raw"]
    batch = example_pb2.ExampleBatch(batch_size=1, named_feature_list=[{"name": n, "feature": [{}]} for n in ("f_tag", "gone", "__LINE_ID__")])
    (made,) = through(run, "example_batch", ["--feature-list", conf, "--prune"], batch)
    assert [c.name for c in made.named_feature_list] == ["f_tag", "__LINE_ID__"]


def test_keep_fid_resolves_names(run, conf):
    record = an_example(f_user=[1], f_other=[1], f_tag=[2], f_word=[3], x=[4])
    (made,) = through(run, "example", ["--feature-list", conf, "--keep-fid", f"{V1(1, 5)},{V2(7, 1)}"], record)
    assert list(fids(made)) == ["f_user", "f_other", "f_word"]
    done = run("pb-feature", "--feature-list", conf, "--keep-fid", V2(3000, 1), check=False)
    assert done.returncode == 78 and f"Cannot find feature name for fid {V2(3000, 1)}" in done.stderr
    assert run("pb-feature", "--keep-fid", "1", check=False).returncode == 2


def test_names_stand_for_slots(run, conf):
    instance = proto_parser_pb2.Instance(fid=[V1(1, 5)], feature=[{"name": "f_tag", "fid": [V2(4791, 6)]}])
    (made,) = through(run, "instance", ["--feature-list", conf, "--share", "f_user=f_word", "--slot", "f_tag=f_word", "--combine", "c=user*f_tag@f_tag"], instance)
    assert list(made.fid) == [V1(1, 5), V1(7, 5)]
    assert {c.name: list(c.fid) for c in made.feature} == {"f_tag": [V2(7, 6)], "c": [model.combined(V2(1, 5), V2(7, 6), 4791, False)]}
    done = run("pb-feature", "--feature-list", conf, "--slot", "a=nobody", check=False)
    assert done.returncode == 78 and "nobody" in done.stderr


def test_conversion_takes_names_of_the_list(run, conf):
    stream = frame(proto_parser_pb2.Instance(fid=[V1(1, 5), V1(2, 6)], feature=[{"name": "f_tag", "fid": [7]}]).SerializeToString())
    (out,) = _core.MemoryReader(run("pb-convert", "--from", "instance", "--to", "example", "--feature-list", conf, stdin=stream).stdout)
    assert [(n.name, n.id) for n in example_pb2.Example.FromString(out).named_feature] == [("f_user", 0), ("fc_slot_2", 1), ("f_tag", 2)]
    (out,) = _core.MemoryReader(run("pb-convert", "--from", "instance", "--to", "example_batch", "--feature-list", conf, stdin=stream).stdout)
    assert [c.name for c in example_pb2.ExampleBatch.FromString(out).named_feature_list][:3] == ["f_user", "fc_slot_2", "f_tag"]
    done = run("pb-convert", "--from", "example", "--to", "instance", "--feature-list", conf, check=False)
    assert done.returncode == 2 and "--from instance" in done.stderr


def test_show_config_names_the_file(run, conf):
    shown = run("pb-feature", "--feature-list", conf, "--show-config").stdout.decode()
    assert f"feature-list = {conf}  # flag" in shown.splitlines()


def test_completion_of_the_file(run):
    done = run("pb-feature", env={"_PB_FEATURE_COMPLETE": "bash_complete", "COMP_WORDS": "pb-feature --feature-list x", "COMP_CWORD": "2"}, check=False)
    assert done.stdout.decode().split() == ["file,x"]


def test_a_broken_feature_list(run, tmp_path):
    path = tmp_path / "f.conf"
    path.write_text("feature_name=f;slot=1\n")
    done = run("pb-feature", "--feature-list", path, "--prune", check=False)
    assert done.returncode == 78 and f"{path}:1:20: " in done.stderr and "Traceback" not in done.stderr
    assert run("pb-feature", "--feature-list", tmp_path / "none", check=False).returncode == 66
    assert run("pb-feature", "--prune", check=False).returncode == 2


@pytest.mark.parametrize(("options", "what", "caret"), [
    (["--slot", "a"], "no '='", 1), (["--slot", "=3"], "nothing stands before '='", 0), (["--slot", "a=40000"], "a slot is 0 to 32767", 2),
    (["--share", "a=-1"], "a slot is", 2), (["--slot", "a=1", "--slot", "a=2"], "two slots", 0), (["--hash", "a=1"], "no '@'", 3),
    (["--combine", "c=a*b"], "no '@'", 5), (["--combine", "c=a+b@5"], "no '*'", 5), (["--combine", "c=a*b@0"], "a slot is 1", 6),
    (["--combine", "c=*b@3"], "nothing stands before '*'", 2), (["--combine", "c=a*b@"], "nothing stands behind '@'", 5),
    (["--fid-mask", "m=a"], "no ':'", 3), (["--fid-mask", "m=a:x"], "a fid is an integer", 4),
    (["--fid-mask", "m=a:18446744073709551616"], "a fid is", 4), (["--seq-mask", "m=a:0"], "a length is 1", 4),
    (["--map-id", "a=1"], "table is empty", 2), (["--map-id", "a=1:2,3,4:5"], "stands last", 6), (["--map-id", "a=1:x"], "a number is an integer", 4),
    (["--map-id", "a=1:2", "--map-id", "a=1:2"], "two tables", 0), (["--rename", "a=b", "--rename", "a=c"], "two names", 0)])
def test_mistakes_show_a_caret(run, options, what, caret):
    done = run("pb-feature", "-t", "example", *options, check=False)
    assert done.returncode == 2 and what in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == "  " + " " * caret + "^"


@pytest.mark.parametrize("options", [["--drop", "a,,b"], ["--drop", ""], ["--rename", "a=__LABEL__"], ["--slot", "a=user"], ["--keep-fid", "x"]])
def test_other_mistakes(run, options):
    done = run("pb-feature", "-t", "example", *options, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_rules_as_written():
    assert feature_rules.tables(["n=1:2,0x10:-3,1:9,7"], "") == {"n": ({1: 2, 16: -3}, 7)}
    assert feature_rules.slots(["a=b=3", "c=name"], "") == {"a=b": 3, "c": "name"}
    assert feature_rules.combines(["a@b=c*d@7"], "") == (Combine("a@b", "c", "d", 7),)
    assert feature_rules.masks(["m=a:b:-1"], "", "fid", -(1 << 63), (1 << 64) - 1) == (Mask("m", "a:b", (1 << 64) - 1),)
    assert feature_rules.hashes(["a@b@3", "a@b@4"], "") == (("a@b", 3), ("a@b", 4))


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(["slots", "hashes", "combines", "tables", "renames"]), st.text("ab=@*:,-019x ü", max_size=12))
def test_any_text_is_a_rule_or_a_usage_error(kind, text):
    try:
        getattr(feature_rules, kind)([text], "--option")
    except errors.UsageError as e:
        lines = str(e).split("\n")
        assert lines[0].startswith("--option: ") and lines[1] == f"  {text}" and lines[2].strip() == "^" and len(lines[2]) <= len(text) + 3


BROKEN = {
    "instance": [b"\x0a\x10short", b"\x0a\x07seven..", b"\x4a\x05\x0a\x09abc", b"\x4a\x05\x0a\x01a\x12\x03", b"\xff\xff\xff", b"\x0f"],
    "example": [b"\x0a\x10short", b"\x0a\x05\x0a\x01a\x12\x09", b"\x0a\x0b\x0a\x01a\x12\x06\x12\x04\x0a\x02xx", b"\xff\xff\xff", b"\x0f"],
    "example_batch": [b"\x0a\x10short", b"\x0a\x05\x0a\x01a\x12\x09", b"\x0a\x0b\x0a\x01a\x12\x06\x12\x04\x0a\x02xx", b"\xff\xff\xff"]}
EACH = {"slot": ["--slot", "a=5"], "share": ["--share", "a=5"], "combine": ["--combine", "c=a*a@5"], "fid_mask": ["--fid-mask", "m=a:3"],
        "drop": ["--drop", "a"], "keep": ["--keep", "a"], "rename": ["--rename", "a=b"], "map_id": ["--map-id", "a=1:2"], "hash": ["--hash", "a@5"]}


def operators_of(record_type, option):
    return {"slot": {"slot": {"a": 5, "slot_1": 5} if record_type == "instance" else {"a": 5}}, "share": {"share": {"a": 5}},
            "combine": {"combine": (Combine("c", "a", "a", 5),)}, "fid_mask": {"fid_mask": (Mask("m", "a", 3),)}, "drop": {"drop": ("a",)},
            "keep": {"keep": ("a",)}, "rename": {"rename": {"a": "b"}}, "map_id": {"map_id": {"a": ({1: 2}, 0)}}, "hash": {"hash": (("a", 5),)}}[option]


@pytest.mark.parametrize(("record_type", "option"), [(t, o) for t in BROKEN for o in EACH
                                                       if t != "example_batch" or o not in ("combine", "fid_mask", "hash")])
def test_broken_records_are_refused_before_anything_is_written(record_type, option):
    for payload in BROKEN[record_type]:
        (operator,) = FeatureConfig(record_type=record_type, **operators_of(record_type, option)).operators()
        try:
            made = _core.apply(operator, payload)
        except errors.BadDataError:
            continue
        # What nobody asked about is passed over: then the record's top level and names can be read.
        assert len(made) == 1 and payload in (BROKEN[record_type][1:-1] if record_type != "instance" else BROKEN["instance"][3:4])


@pytest.mark.parametrize("option", EACH)
def test_broken_stream(run, tmp_path, option):
    good = an_example(a=[1], b=[2]).SerializeToString()
    bad = b"\x0a\x10short"
    stream, aside = frame(good, bad, good), tmp_path / "bad.pb"
    whole = run("pb-feature", "-t", "example", *EACH[option], stdin=frame(good)).stdout
    done = run("pb-feature", "-t", "example", *EACH[option], stdin=stream, check=False)
    assert done.returncode == 65 and done.stdout == whole
    assert done.stderr.startswith(f"pb-feature: stdin: byte {len(frame(good))}: a field reaches over the end") and "Traceback" not in done.stderr
    done = run("pb-feature", "-t", "example", *EACH[option], "--on-bad-record", aside, stdin=stream)
    assert done.stdout == whole * 2 and aside.read_bytes() == frame(bad)
    assert run("pb-feature", "-t", "example", *EACH[option], "--on-bad-record", "skip", stdin=stream).stdout == whole * 2


def test_records_pass_unchanged_without_options(run):
    stream = frame(b"", E19[0], b"\x0a\x01a")
    assert run("pb-feature", "-t", "example", stdin=stream).stdout == stream


@pytest.mark.parametrize("record_type", ["instance", "example"])
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_all_at_once_against_the_model(record_type, data):
    fixed = {"hash": (("c", 3),), "map_id": {"b": ({1: 2}, 0)}, "slot": {"a": 12}, "share": {"c": 9}, "combine": (Combine("x", "a", "c_share", 4),),
             "fid_mask": (Mask("m", "a", V2(12, 1)),), "seq_mask": (Mask("s", "c", 3),), "drop": ("b",), "keep": ("a", "x", "m", "s"), "rename": {"x": "y"}}
    chosen = {k: v for k, v in fixed.items() if data.draw(st.booleans(), label=k)}
    payload = data.draw(mangled_features.RECORDS[record_type])
    message = model.MESSAGES[record_type].FromString(payload)
    steps = {"hash": lambda v: model.hash_names(message, dict(v)), "map_id": lambda v: model.map_id(message, v),
             "combine": lambda v: model.combine(message, [(r.name, r.first, r.second, r.slot) for r in v]),
             "fid_mask": lambda v: model.fid_mask(message, [(r.name, r.source, r.value) for r in v]),
             "seq_mask": lambda v: model.seq_mask(message, [(r.name, r.source, r.value) for r in v])}
    for name in ("hash", "map_id"):
        if name in chosen:
            steps[name](chosen[name])
    model.switch_slot(message, chosen.get("slot", {}), chosen.get("share", {}))
    for name in ("combine", "fid_mask", "seq_mask"):
        if name in chosen:
            steps[name](chosen[name])
    model.columns(message, chosen.get("drop", ()), chosen.get("keep"), chosen.get("rename"))
    made = [payload]
    for operator in FeatureConfig(record_type=record_type, **chosen).operators():
        made = [out for record in made for out in _core.apply(operator, record)]
    assert len(made) == 1
    assert model.MESSAGES[record_type].FromString(made[0]).SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


def test_names_of_a_list_in_the_config():
    fl = feature_list.parse(LIST)
    assert FeatureConfig().kept() is None
    assert FeatureConfig(keep=("x",), prune=True, feature_list=fl).kept() == ("x", "f_user", "f_other", "f_tag", "f_word", "fc_slot_1", "price", "raw")
    assert FeatureConfig(keep_fids=(V1(1, 0),), feature_list=fl).kept() == ("f_user", "fc_slot_1", "f_other")


def test_prune_keeps_what_is_made(run, conf):
    options = ["--feature-list", conf, "--prune", "--combine", "c=x*x@3", "--fid-mask", "m=x:1", "--seq-mask", "s=x:1", "--share", "x=5"]
    (made,) = through(run, "example", options, an_example(x=[1], y=[2]))
    assert [n.name for n in made.named_feature] == ["x_share", "c", "m", "s"]
    (made,) = through(run, "instance", ["--feature-list", conf, "--prune", "--share", "slot_2=9", "--share", "fc_slot_4=11", "--share", "x=5"],
                      proto_parser_pb2.Instance(fid=[V1(2, 1), V1(3, 1), V1(4, 1)], feature=[{"name": "x", "fid": [1]}]))
    assert list(made.fid) == [V1(9, 1), V1(11, 1)] and [c.name for c in made.feature] == ["x_share"]


@pytest.mark.parametrize("command", [["pb-feature", "--drop", "a"], ["shard-fids", "--feature", "a=t:1", "--batch-size", "1"], ["shard-fids", "--feature", "a=t:1", "--json"]])
def test_full_device(run, command):
    with open("/dev/full", "wb") as full:
        done = run(*command, stdin=bytes(8) * 1000, stdout=full, check=False)
    assert done.returncode == 74 and "No space left" in done.stderr and "Traceback" not in done.stderr
