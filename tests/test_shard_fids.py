"""Sharding of fids: the vectors TV13 and TV14 of spec 10, a slow model over protobuf's own classes on random batches, the commands."""

import json
import random
import struct

import mangled
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monolith_protos import example_pb2, proto_parser_pb2, sharded_fids_pb2

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.records import fid
from monolith_cli.records.shard_fids import shard

V1, V2 = fid.make_v1, fid.make_v2
VERSIONS = [1, 2, 3, 4, 5]


def example(**features):
    made = example_pb2.Example()
    for name, (kind, values) in features.items():
        added = made.named_feature.add(name=name)
        getattr(added.feature, kind).value.extend(values)
    return made.SerializeToString()


def h(text):
    return [int(a) << 32 | int(b) for a, b in (word.split(":") for word in text.split())]


A4, A7, A9, B2, B3, C5, C6 = V2(10, 4), V2(10, 7), V2(10, 9), V2(11, 2), V2(11, 3), V2(12, 5), V2(12, 6)
TV13_FEATURES = {"fc_c": ("table_1", (3,)), "fc_a": ("table_1", (1, 4)), "fc_b": ("table_0", (2,))}
TV13_ROWS = [
    example(fc_a=("fid_v2_list", [A4, A7, A4]), fc_b=("fid_v2_list", []), fc_c=("fid_v2_list", [C5])),
    example(fc_c=("fid_v2_list", [C6, C5]), fc_b=("fid_v2_list", [B2, B2, B3]), fc_a=("fid_v2_list", [A9])),
]
TV13 = {
    False: {"lists": {"table_0:0": [B2, B2], "table_0:1": [B3], "table_1:0": [A4, A4, C6], "table_1:1": [A7, A9, C5, C5]},
            "splits": {"table_0:0": [0, 2], "table_0:1": [0, 1], "table_1:0": [0, 2, 3], "table_1:1": [0, 2, 4]},
            1: "2:0 3:0 2:1 3:1 0:0 0:1 1:0 3:2 2:2 3:3", 2: "2:0 4:0 2:1 4:1 0:0 0:1 1:0 5:0 3:0 5:1",
            3: "2:0 3:0 2:5 3:5 0:0 0:2 1:0 3:10 2:10 3:13",
            "v4": ([B2, B2, A4, A4, C6, B3, A7, A9, C5, C5], [0, 2, 0, 2, 3, 0, 1, 0, 2, 4], [2, 3, 1, 4], [5, 5], [4, 13, 2, 16]),
            "emb": [4, 2, 13, 16]},
    True: {"lists": {"table_0:0": [B2], "table_0:1": [B3], "table_1:0": [A4, C6], "table_1:1": [A7, A9, C5]},
           "splits": {"table_0:0": [0, 1], "table_0:1": [0, 1], "table_1:0": [0, 1, 2], "table_1:1": [0, 2, 3]},
           1: "2:0 3:0 2:0 3:1 0:0 0:0 1:0 3:2 2:1 3:2", 2: "2:0 4:0 2:0 4:1 0:0 0:0 1:0 5:0 3:0 5:0",
           3: "2:0 3:0 2:0 3:5 0:0 0:0 1:0 3:10 2:5 3:10",
           "v4": ([B2, A4, C6, B3, A7, A9, C5], [0, 1, 0, 1, 2, 0, 1, 0, 2, 3], [1, 2, 1, 3], [3, 4], [2, 8, 2, 13]), "emb": [2, 2, 8, 13]},
}


def plain(value):
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value.tolist()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("unique", [False, True])
def test_tv13(version, unique):
    expected = TV13[unique]
    got = shard(TV13_ROWS, TV13_FEATURES, ps_num=2, unique=unique, version=version)
    assert got.fid_offset.dtype == np.uint64 and got.feature_offset.dtype == np.int32 and got.nfl_offset.dtype == np.uint32
    assert plain(got.fid_offset) == h(expected[min(version, 3)])
    assert plain(got.feature_offset) == [0, 3, 4, 4, 7, 8, 10]
    assert plain(got.nfl_offset) == [0, 2, 4, 7]
    assert plain(got.batch_size) == ([2] if version == 5 else 2)
    if version == 4:
        fids, splits, table_rows, shard_rows, floats = expected["v4"]
        assert plain(got.fid_list) == [fids] and plain(got.row_splits) == [splits]
        assert plain(got.table_row_length) == table_rows and plain(got.shard_row_length) == shard_rows
        assert plain(got.emb_row_length) == floats
    else:
        assert plain(got.fid_list) == expected["lists"] and got.table_row_length is None
        assert plain(got.row_splits) == (expected["splits"] if version > 1 else None)
    if version == 5:
        assert plain(got.emb_size) == expected["emb"]
        assert [plain(s) for s in (got.nfl_size, got.feature_size, got.fid_size)] == [[4], [7], [10]]
        assert plain(got.row_splits_size) == {"table_0:0": [2], "table_0:1": [2], "table_1:0": [3], "table_1:1": [3]}
    else:
        assert got.emb_size is None and got.nfl_size is None


def test_tv13_whole_numbers():
    got = shard(TV13_ROWS, TV13_FEATURES, ps_num=2, unique=True, version=3)
    assert plain(got.fid_offset) == [8589934592, 12884901888, 8589934592, 12884901893, 0, 0, 4294967296, 12884901898, 8589934597, 12884901898]


TV14_FEATURES = {"fc_i": ("tb", (2, 2)), "fc_m": ("ta", (1,)), "fc_s": ("tb", (3,))}
I2, I3, S5, S6 = 1970324836974602, 1970324836974603, 2533274790395905, 2533274790395906


def tv14_batch():
    made = example_pb2.ExampleBatch(batch_size=2)
    shared = made.named_feature_list.add(name="fc_s", type=example_pb2.SHARED)
    shared.feature.add().fid_v2_list.value.extend([V2(9, 1), V2(9, 2)])
    individual = made.named_feature_list.add(name="fc_i")
    for values in ([V1(7, 10), V1(7, 11)], [V1(7, 10)]):
        individual.feature.add().fid_v1_list.value.extend(values)
    return made.SerializeToString()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("unique", [False, True])
def test_tv14(version, unique):
    got = shard(tv14_batch(), TV14_FEATURES, ps_num=3, unique=unique, version=version, record_type="example_batch")
    offsets = {False: {1: "5:0 3:0 5:1 4:0 5:2", 2: "7:0 3:0 7:1 6:0 8:0", 3: "5:0 3:0 5:4 4:0 5:8"},
               True: {1: "5:0 3:0 5:0 4:0 5:1", 2: "7:0 3:0 7:0 6:0 8:0", 3: "5:0 3:0 5:0 4:0 5:4"}}
    assert plain(got.fid_offset) == h(offsets[unique][min(version, 3)])
    assert plain(got.feature_offset) == [0, 2, 3, 3, 5]
    assert plain(got.nfl_offset) == [0, 2147483650, 2147483651, 5]
    last, splits = ([I2, S6], [0, 1, 2]) if unique else ([I2, I2, S6], [0, 2, 3])
    if version == 4:
        assert plain(got.fid_list) == [[I3, S5, *last]]
        assert plain(got.row_splits) == [[0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, *splits]]
        return
    assert plain(got.fid_list) == {"ta:0": [], "ta:1": [], "ta:2": [], "tb:0": [I3], "tb:1": [S5], "tb:2": last}
    if version > 1:
        assert plain(got.row_splits) == {"ta:0": [0, 0], "ta:1": [0, 0], "ta:2": [0, 0], "tb:0": [0, 1, 1], "tb:1": [0, 0, 1], "tb:2": splits}
    if version == 5:
        assert plain(got.emb_size) == [0, 0, 0, 4, 3, 7 if unique else 11]


# The model: spec 10, section 8, word by word.


def fids_of_feature(feature):
    kind = feature.WhichOneof("type")
    if kind == "fid_v1_list":
        return [fid.v1_to_v2(f) for f in feature.fid_v1_list.value]
    return list(feature.fid_v2_list.value) if kind == "fid_v2_list" else []


def rows_of(records, record_type, name):
    """The rows of one feature and whether one stands for all."""
    if record_type == "example_batch":
        batch = example_pb2.ExampleBatch.FromString(records[0])
        columns = [c for c in batch.named_feature_list if c.name == name]
        if not columns:
            return [[]], True
        rows = [fids_of_feature(f) for f in columns[-1].feature]
        return (rows[:1], True) if columns[-1].type == example_pb2.SHARED else (rows, False)
    rows = []
    for payload in records:
        if record_type == "example":
            found = [n for n in example_pb2.Example.FromString(payload).named_feature if n.name == name]
            rows.append(fids_of_feature(found[-1].feature) if found else [])
            continue
        instance = proto_parser_pb2.Instance.FromString(payload)
        columns = [c for c in instance.feature if c.name == name]
        digits = name.removeprefix("fc_").removeprefix("slot_")
        if columns:
            rows.append(list(columns[-1].fid) + [f for inner in columns[-1].fid_list for f in inner.value])
        elif digits.isdecimal():
            rows.append([fid.v1_to_v2(f) for f in instance.fid if f >> 54 == int(digits)])
        else:
            rows.append([])
    return rows, False


def model(records, features, ps_num, unique, record_type, version):
    ps_num, names = ps_num or 1, sorted(features)
    tables = sorted({table for table, _ in features.values()})
    in_table = {t: [n for n in names if features[n][0] == t] for t in tables}
    rows = {n: rows_of(records, record_type, n) for n in names}
    lists = {n: [[] for _ in range(ps_num)] for n in names}
    places, feature_offset, nfl_offset, at, row_count = [], [], [], 0, 0
    for n in names:
        nfl_offset.append(row_count | rows[n][1] << 31)
        for row in rows[n][0]:
            feature_offset.append(at)
            row_count += 1
            for f in row:
                s = f % ps_num
                own = lists[n][s]
                if unique and f in own:
                    p = own.index(f)
                else:
                    p = len(own)
                    own.append(f)
                places.append((n, s, p))
                at += 1
    feature_offset.append(at)
    nfl_offset.append(row_count + 1)
    width = {n: sum(dims) for n, (_, dims) in features.items()}
    offsets = []
    for n, s, p in places:
        table = features[n][0]
        t, own = tables.index(table), in_table[table]
        before = own[:own.index(n)]
        if version == 1:
            hi, lo = t * ps_num + s, sum(len(lists[g][s]) for g in before) + p
        elif version == 2:
            hi, lo = sum(max(len(in_table[u]), 1) * ps_num for u in tables[:t]) + s * len(own) + own.index(n), p
        else:
            hi, lo = t * ps_num + s, sum(len(lists[g][s]) * width[g] for g in before) + p * width[n]
        offsets.append(hi << 32 | lo)
    joined, splits, floats = {}, {}, {}
    for t in tables:
        for s in range(ps_num):
            key = f"{t}:{s}"
            joined[key], splits[key], floats[key] = [], [0], 0
            for n in in_table[t]:
                joined[key] += lists[n][s]
                splits[key].append(len(joined[key]))
                floats[key] += len(lists[n][s]) * width[n]
    batch_size = example_pb2.ExampleBatch.FromString(records[0]).batch_size if record_type == "example_batch" else len(records)
    made = {"fid_offset": offsets, "feature_offset": feature_offset, "nfl_offset": nfl_offset, "batch_size": batch_size}
    if version == 4:
        order = [f"{t}:{s}" for s in range(ps_num) for t in tables]
        made |= {"fid_list": [sum((joined[k] for k in order), [])], "row_splits": [sum((splits[k] for k in order), [])],
                 "table_row_length": [len(joined[k]) for k in order], "emb_row_length": [floats[k] for k in order],
                 "shard_row_length": [sum(len(joined[f"{t}:{s}"]) for t in tables) for s in range(ps_num)]}
        return made
    made["fid_list"] = joined
    if version > 1:
        made["row_splits"] = splits
    if version == 5:
        made |= {"batch_size": [batch_size], "emb_size": list(floats.values()), "nfl_size": [len(nfl_offset)],
                 "feature_size": [len(feature_offset)], "fid_size": [len(offsets)], "row_splits_size": {k: [len(v)] for k, v in splits.items()}}
    return made


def check(records, features, **options):
    got = shard(records, features, **options)
    expected = model(records, features, **options)
    for name, value in got._asdict().items():
        mine = plain(value)
        if name == "fid_list":  # int64 arrays of unsigned numbers
            mine = [[f & (1 << 64) - 1 for f in v] for v in mine] if isinstance(mine, list) else {k: [f & (1 << 64) - 1 for f in v] for k, v in mine.items()}
        assert mine == expected.get(name), name


configs = st.fixed_dictionaries({"ps_num": st.sampled_from([0, 1, 2, 3, 4, 7]), "unique": st.booleans(), "version": st.sampled_from(VERSIONS)})


def features_of(names):
    row = st.tuples(st.sampled_from(["t", "t2", "a"]), st.lists(st.integers(1, 5), min_size=1, max_size=3))
    return st.dictionaries(st.sampled_from(names), row, min_size=1)


@settings(max_examples=300, deadline=None)
@given(st.lists(mangled.instance, max_size=4), features_of(["slot_0", "slot_1", "fc_slot_2", "slot_1023", "slot_4791", "a", "ab", "hell", "slot_x"]), configs)
def test_instances_against_the_model(records, features, options):
    check(records, features, record_type="instance", **options)


@settings(max_examples=300, deadline=None)
@given(st.lists(mangled.example, max_size=4), features_of(["a", "b", "i", "none", "__LABEL__"]), configs)
def test_examples_against_the_model(records, features, options):
    check(records, features, record_type="example", **options)


columns = st.builds(
    lambda name, cells, shared, extra: (name, cells, shared, extra), st.sampled_from([b"a", b"b", b"c"]),
    st.lists(mangled.feature, min_size=3, max_size=3), st.booleans(), mangled.unknown.filter(lambda b: b[0] >> 3 not in (1, 2, 3, 4)))


def batch_of(rows, parts):
    made = mangled.field(3, mangled.VARINT, 77) + mangled.field(3, mangled.VARINT, rows)
    for name, cells, shared, extra in parts:
        cells = cells[:rows] if not shared else cells
        column = extra + b"".join(mangled.field(2, mangled.BYTES, c) for c in cells)
        column += mangled.field(1, mangled.BYTES, b"b") + mangled.field(1, mangled.BYTES, name) + mangled.field(3, mangled.VARINT, shared)
        made = mangled.field(1, mangled.BYTES, column) + made + extra
    return made


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 3), st.lists(columns, max_size=4), features_of(["a", "b", "c", "none"]), configs)
def test_batches_against_the_model(rows, parts, features, options):
    check([batch_of(rows, parts)], features, record_type="example_batch", **options)


@pytest.mark.parametrize("unique", [False, True])
def test_many_fids(unique):
    draw = random.Random(5)
    records = [example(a=("fid_v2_list", [V2(3, draw.randint(0, 2000)) for _ in range(40)]), b=("fid_v1_list", [draw.getrandbits(64) for _ in range(30)]))
               for _ in range(150)]
    features = {"a": ("t", (4,)), "b": ("t", (2, 1))}
    for version in VERSIONS:
        check(records, features, ps_num=5, unique=unique, record_type="example", version=version)


def test_many_batches_with_one_operator():
    """The table of fids seen is used again for each feature and batch."""
    operator = _core.shard_fids_operator("example", [("a", "t", [1]), ("b", "t", [2])], 2, True, 3, 2, False, "message")
    rows = [example(a=("fid_v2_list", [i % 3, 5]), b=("fid_v2_list", [i % 3, 5])) for i in range(9)]
    out = [made for r in rows for made in _core.apply(operator, r)] + _core.finish(operator)
    assert len(out) == 5
    for i, made in enumerate(out):
        message = sharded_fids_pb2.ShardedFids.FromString(made)
        expected = model(rows[2 * i:2 * i + 2], {"a": ("t", [1]), "b": ("t", [2])}, 2, True, "example", 3)
        assert list(message.fid_offset) == expected["fid_offset"]
        assert {f"{part.table}:{part.ps}": list(part.fid) for part in message.list} == expected["fid_list"]


BAD = {
    "a column short": (example_pb2.ExampleBatch(batch_size=2, named_feature_list=[{"name": "a", "feature": [{}]}]), "column 'a' has 1 entries in a batch of 2"),
    "a column long": (example_pb2.ExampleBatch(batch_size=1, named_feature_list=[{"name": "a", "feature": [{}, {}]}]), "column 'a' has 2 entries"),
    "an empty shared one": (example_pb2.ExampleBatch(batch_size=1, named_feature_list=[{"name": "a", "type": 1}]), "shared column 'a' has no entry"),
    "a negative batch": (example_pb2.ExampleBatch(batch_size=-1), "batch_size of -1"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_batches(what):
    message, reason = BAD[what]
    with pytest.raises(errors.BadDataError, match=reason):
        shard(message.SerializeToString(), {"a": ("t", (1,))}, record_type="example_batch")


@pytest.mark.parametrize("record_type", ["instance", "example"])
def test_a_bad_record_leaves_no_trace(record_type):
    """What a record gave before it broke must not stay in the batch."""
    if record_type == "example":
        good, bad = example(a=("fid_v2_list", [7])), example(a=("fid_v2_list", [9])) + b"\x0a\x09\x0a\x01a\x12\x04\x12\x02\x0a\x07"
        features, form = [("a", "t", [1])], "message"
    else:
        good = proto_parser_pb2.Instance(fid=[V1(1, 7)]).SerializeToString()
        bad = proto_parser_pb2.Instance(fid=[V1(1, 9)]).SerializeToString() + b"\x0a\x07abc"
        features, form = [("slot_1", "t", [1])], "message"
    operator = _core.shard_fids_operator(record_type, features, 1, False, 1, 2, False, form)
    assert _core.apply(operator, good) == []
    with pytest.raises(errors.BadDataError):
        _core.apply(operator, bad)
    message = sharded_fids_pb2.ShardedFids.FromString(_core.apply(operator, good)[0])
    assert [f & 15 for f in message.list[0].fid] == [7, 7] and message.batch_size == 2


def test_mistakes():
    def fails(match, features, **options):
        with pytest.raises(errors.UsageError, match=match):
            shard([], features, **options)

    fails("no features", {})
    fails("version", {"a": ("t", (1,))}, version=6)
    fails("both slot 7", {"slot_7": ("t", (1,)), "fc_slot_7": ("t", (1,))}, record_type="instance")
    fails("for itself", {"a": ("t", (1,))}, record_type="example_batch")
    shard([], {"slot_7": ("t", (1,)), "fc_slot_7": ("t", (1,))}, record_type="example")


def frame(payload):
    return struct.pack("<Q", len(payload)) + payload


STREAM = b"".join(map(frame, TV13_ROWS))
OPTIONS = ["-t", "example", "--ps-num", "2", "--feature", "fc_a=table_1:1,4", "--feature", "fc_b=table_0:2", "--feature", "fc_c=table_1:3"]


@pytest.mark.parametrize("name", ["shard-fids", "pb-shard-fids"])
@pytest.mark.parametrize("version", VERSIONS)
def test_command_as_messages_and_json(run, name, version):
    options = [*OPTIONS, "--output-version", version, "--batch-size", 2, "--unique"]
    expected = model(TV13_ROWS, TV13_FEATURES, 2, True, "example", version)
    if name == "shard-fids":
        lines = run(name, *options, "--json", stdin=STREAM * 2).stdout.splitlines()
        assert len(lines) == 2 and lines[0] == lines[1]
        got = json.loads(lines[0])
        assert got.pop("version") == version
        numbers = lambda v: {k: [int(x) for x in f] for k, f in v.items()} if isinstance(v, dict) else [int(x) for x in v]  # noqa: E731
        first = lambda v: v[0] if isinstance(v, list) else v  # noqa: E731
        assert numbers(got.pop("fid_list")) == (expected.pop("fid_list") if version != 4 else expected.pop("fid_list")[0])
        assert numbers(got.pop("fid_offset")) == expected.pop("fid_offset")
        for key in ("batch_size", "nfl_size", "feature_size", "fid_size"):
            assert got.pop(key, None) == first(expected.pop(key, None))
        sizes = expected.pop("row_splits_size", None)
        assert got.pop("row_splits_size", None) == (sizes and {k: v[0] for k, v in sizes.items()})
        assert got == (expected if version != 4 else expected | {"row_splits": expected["row_splits"][0]})
        return
    records = list(_core.MemoryReader(run(name, *options, stdin=STREAM * 2).stdout))
    assert len(records) == 2 and records[0] == records[1]
    message = sharded_fids_pb2.ShardedFids.FromString(records[0])
    assert message.version == version and message.batch_size == 2
    for key in ("fid_offset", "feature_offset", "nfl_offset"):
        assert list(getattr(message, key)) == expected[key]
    assert {f"{part.table}:{part.ps}": list(part.fid) for part in message.list} == (expected["fid_list"] if version != 4 else {})
    if version in (2, 3, 5):
        assert {f"{part.table}:{part.ps}": list(part.row_splits) for part in message.list} == expected["row_splits"]
    if version == 5:
        assert [message.nfl_size, message.feature_size, message.fid_size] == [4, 7, 10] and list(message.emb_size) == expected["emb_size"]
        assert [part.row_splits_size for part in message.list] == [v[0] for v in expected["row_splits_size"].values()]
    if version == 4:
        assert [list(message.fid_list)] == expected["fid_list"] and [list(message.row_splits)] == expected["row_splits"]
        for key in ("table_row_length", "shard_row_length", "emb_row_length"):
            assert list(getattr(message, key)) == expected[key]


def test_text(run):
    text = run("shard-fids", *OPTIONS, "--text", "--unique", stdin=STREAM).stdout.decode()
    assert text.splitlines()[:3] == ["batch of 2 rows, version 5", f"table_0:0 {B2}", "table_0:0 row_splits 0 1"]
    assert "fid_offset 2:0 3:0 2:0 3:5 0:0 0:0 1:0 3:10 2:5 3:10\n" in text and "nfl_offset 0 2 4 7\n" in text


def test_batches_of_a_stream(run):
    def sizes(*options, stdin=STREAM + frame(TV13_ROWS[0])):
        return [json.loads(line)["batch_size"] for line in run("shard-fids", *OPTIONS, "--json", *options, stdin=stdin).stdout.splitlines()]

    assert sizes("--batch-size", 2) == [2, 1] and sizes("--batch-size", 2, "--drop-remainder") == [2]
    assert sizes() == [3] and sizes(stdin=b"") == []


def test_configs_from_a_file(run, tmp_path):
    message = example_pb2.FeatureConfigs()
    for name, (table, dims) in TV13_FEATURES.items():
        message.feature_configs[name].table = table
        message.feature_configs[name].slice_dims.extend(dims)
    from google.protobuf import json_format, text_format

    files = {"f.json": json_format.MessageToJson(message).encode(), "f.pbtxt": text_format.MessageToString(message).encode(), "f.pb": message.SerializeToString()}
    expected = run("shard-fids", *OPTIONS, "--json", stdin=STREAM).stdout
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        assert run("shard-fids", "-t", "example", "--ps-num", 2, "--features", tmp_path / name, "--json", stdin=STREAM).stdout == expected
    (tmp_path / "bad.json").write_text("{")
    done = run("shard-fids", "--features", tmp_path / "bad.json", check=False)
    assert done.returncode == 78 and "bad.json" in done.stderr
    assert run("shard-fids", "--features", tmp_path / "none", check=False).returncode == 66
    got = shard(TV13_ROWS, message, ps_num=2)
    assert plain(got.fid_list) == TV13[False]["lists"]
    assert plain(shard(TV13_ROWS, message, ps_num=2, as_list=True).fid_list) == list(TV13[False]["lists"].values())


@pytest.mark.parametrize(("options", "message"), [
    ([], "name the features"), (["--feature", "a"], "there is no '='"), (["--feature", "a=t"], "there is no ':'"),
    (["--feature", "a=t:x"], "width of a slice is an integer"), (["--feature", "a=t:0"], "width of a slice is 1"),
    (["--feature", "a=t:1", "--feature", "a=t:1"], "given twice"), (["--feature", "a=t:1", "--json", "--text"], "exclude")])
def test_usage(run, options, message):
    done = run("shard-fids", *options, check=False)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_feature_list_must_know_the_names(run, tmp_path):
    (tmp_path / "f.conf").write_text("feature_name=fc_a; slot=10; feature_version=2\n")
    done = run("shard-fids", *OPTIONS, "--feature-list", tmp_path / "f.conf", check=False)
    assert done.returncode == 78 and "fc_b, fc_c" in done.stderr
    assert run("shard-fids", "-t", "example", "--feature", "fc_a=t:1", "--feature-list", tmp_path / "f.conf", "--json", stdin=STREAM).returncode == 0


def test_broken_record(run, tmp_path):
    stream = STREAM + frame(b"\x0a\x7f") + frame(TV13_ROWS[0])
    done = run("shard-fids", *OPTIONS, "--batch-size", 1, "--json", stdin=stream, check=False)
    assert done.returncode == 65 and f"stdin: byte {len(STREAM)}: " in done.stderr
    assert len(done.stdout.splitlines()) == 2
    aside = tmp_path / "bad"
    done = run("shard-fids", *OPTIONS, "--batch-size", 1, "--json", "--on-bad-record", aside, stdin=stream)
    assert len(done.stdout.splitlines()) == 3 and aside.read_bytes() == frame(b"\x0a\x7f")
