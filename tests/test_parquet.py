"""Parquet in and out, against protobuf's own classes and pyarrow's own tables."""

import datetime
import math
import os
import random
import re
import struct
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_helpers import records, stream
from monolith_cli._native import _core
from monolith_cli.errors import BadDataError, Error
from monolith_cli.records import csv_schema, parquet
from monolith_protos.example_pb2 import Example
from monolith_protos.line_id_pb2 import LineId
from monolith_protos.proto_parser_pb2 import Instance
from wire_random import Wire, block


def write(path, columns: dict, **options):
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def read(paths, to="example", schema=None):
    """Records of files, in this process."""
    paths = [str(p) for p in paths]
    native = csv_schema.parse(schema, "schema", "parquet", to) if schema else parquet.load_schema(None, paths, to)
    operator = _core.CsvOperator(native)
    make = Example if to == "example" else Instance
    return [make.FromString(made) for reader in parquet.readers(paths, native, operator) for row in reader for made in _core.apply(operator, row)]


def column(name, to, /, **more):
    return {"from": name, "to": to, **more}


def test_types_and_shapes(tmp_path):
    """One column of each kind, each row: what a reader of the spec expects."""
    t = datetime.datetime(2024, 5, 31, 23, 59, 59, 900000, datetime.timezone.utc)
    path = write(tmp_path / "a.parquet", {
        "i32": pa.array([1, None, -3], pa.int32()), "u64": pa.array([2**64 - 1, 0, None], pa.uint64()), "b": [True, False, None],
        "f": pa.array([0.5, None, 2.0], pa.float32()), "d": pa.array([0.1, 1e300, None], pa.float64()),
        "s": ["x", "", None], "raw": pa.array([b"\xff\0", b"", None], pa.binary()), "fixed": pa.array([b"ab", b"cd", None], pa.binary(2)),
        "li": pa.array([[1, None, 2], [], None], pa.list_(pa.int64())), "ls": pa.array([["a", ""], None, [None]], pa.list_(pa.string())),
        "lli": pa.array([[[1], None, [2, 3]], [[]], None], pa.list_(pa.list_(pa.int64()))),
        "fl": pa.array([[1.0, 2.0], [None, 4.0], [3.0, None]], pa.list_(pa.float32(), 2)),
        "dict": pa.array(["p", None, "p"]).dictionary_encode(),
        "st": pa.array([{"x": 1, "y": {"z": "q"}}, None, {"x": None, "y": {"z": "r"}}]),
        "ls_t": pa.array([[{"k": 7}, {"k": None}, None], [], None], pa.list_(pa.struct([("k", pa.int32())]))),
        "time": pa.array([t, None, t], pa.timestamp("ms", "UTC")), "date": pa.array([datetime.date(1970, 1, 2), None, None])})
    wanted = {
        "i32": [[1], None, [-3]], "u64": [[-1], [0], None], "b": [[1], [0], None], "f": [[0.5], None, [2.0]],
        "d": [[struct.unpack("f", struct.pack("f", 0.1))[0]], [math.inf], None], "s": [[b"x"], [b""], None], "raw": [[b"\xff\0"], [b""], None],
        "fixed": [[b"ab"], [b"cd"], None], "li": [[1, 2], None, None], "ls": [[b"a", b""], None, None], "lli": [[1, 2, 3], None, None],
        "fl": [[1.0, 2.0], [4.0], [3.0]], "dict": [[b"p"], None, [b"p"]], "st.x": [[1], None, None], "st.y.z": [[b"q"], None, [b"r"]],
        "ls_t.k": [[7], None, None], "time": [[1717199999], None, [1717199999]], "date": [[86400], None, None]}
    found = read([path])
    for row, example in enumerate(found):
        features = {f.name: f for f in example.named_feature}
        assert set(features) == {name for name, rows in wanted.items() if rows[row] is not None}
        for i, (name, rows) in enumerate(wanted.items()):
            if rows[row] is not None:
                feature = features[name].feature
                assert list(getattr(feature, feature.WhichOneof("type")).value) == rows[row], name
                assert features[name].id == 10000 + i
    assert len(found) == 3


def test_reserved_names(tmp_path):
    path = write(tmp_path / "a.parquet", {
        "__LABEL__": pa.array([[1.0, 0.0], [0.5]], pa.list_(pa.float64())), "__UID__": [5, 6], "__USER_ID__": ["a", "ü"], "__ACTIONS__": [[1, 2], []],
        "__IS_DRAW__": [True, False], "instance_weight": [2.0, None], "__NO_FIELD__": [1, 2], "__SAMPLE_RATE__": pa.array([0.5, None])})
    one, two = read([path])
    assert list(one.label) == [1.0, 0.0] and one.instance_weight == 2.0 and two.instance_weight == 0.0
    assert one.line_id == LineId(uid=5, user_id="a", actions=[1, 2], is_draw=True, sample_rate=0.5)
    assert two.line_id == LineId(uid=6, user_id="ü", is_draw=False)
    assert [f.name for f in one.named_feature] == ["__NO_FIELD__"]
    assert read([path], "instance")[0].line_id == one.line_id


@pytest.mark.parametrize("to", ["instance", "example"])
def test_fids_of_a_schema(tmp_path, to):
    path = write(tmp_path / "a.parquet", {"user": [3, 2**50], "whole": pa.array([2**63 + 5, 7 << 54], pa.uint64()), "tags": [["a", "b"], None],
                                          "price": [3.0, None], "y": [0.7, 0.2], "kind": ["good", "bad"]})
    schema = {"column": [
        column("user", "fid", slot=5, name="fc_u"), column("whole", "fid", value="fid", version=1, name="w"),
        column("tags", "fid", slot=6, value="hash", name="tags"), column("price", "fid", slot=7, value="log2", missing="default", default=0),
        column("y", "label", threshold=0.5), column("kind", "label", map={"good": 2, "bad": -1})]}
    one, two = read([path], to, schema)
    hashed = [6 << 48 | _core.city_hash64(t) & (1 << 48) - 1 for t in (b"a", b"b")]
    assert (list(one.label), list(two.label)) == ([1.0, 2.0], [0.0, -1.0])
    if to == "instance":
        assert list(one.fid) == [2**63 + 5] and {f.name: list(f.fid) for f in one.feature} == {
            "fc_u": [5 << 48 | 3], "tags": hashed, "price": [7 << 48 | 2]}
        assert {f.name: list(f.fid) for f in two.feature} == {"fc_u": [5 << 48 | 2**50 & (1 << 48) - 1], "price": [7 << 48]}
    else:
        assert {f.name: (list(f.feature.fid_v1_list.value) or list(f.feature.fid_v2_list.value), f.id) for f in one.named_feature} == {
            "fc_u": ([5 << 48 | 3], 5), "w": ([2**63 + 5], 0), "tags": (hashed, 6), "price": ([7 << 48 | 2], 7)}


cells = {
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)), "int8": (pa.int8(), st.integers(-128, 127)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)), "float": (pa.float32(), st.floats(width=32)),
    "bytes": (pa.binary(), st.binary(max_size=5)), "text": (pa.string(), st.text(max_size=5)),
}


@st.composite
def tables(draw):
    """A table of random columns: plain, lists, lists of lists, nulls everywhere."""
    rows, columns = draw(st.integers(0, 12)), {}
    for i in range(draw(st.integers(1, 5))):
        kind, values = cells[draw(st.sampled_from(sorted(cells)))]
        for _ in range(draw(st.integers(0, 2))):
            kind, values = draw(st.sampled_from([pa.list_, pa.large_list]))(kind), st.lists(st.none() | values, max_size=3)
        array = pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)
        if not pa.types.is_nested(kind) and draw(st.booleans()):
            array = array.dictionary_encode()
        columns[f"c{i}"] = array
    return pa.table(columns)


def flat(value):
    if value is None:
        return []
    return [x for v in value for x in flat(v)] if isinstance(value, list) else [value]


@given(tables(), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_any_table_reads_as_pyarrow_reads_it(tmp_path_factory, table, group):
    path = tmp_path_factory.mktemp("p") / "a.parquet"
    pq.write_table(table, path, row_group_size=group)
    found = read([path])
    assert len(found) == table.num_rows
    for row, example in zip(table.to_pylist(), found):
        wanted = {name: flat(value) for name, value in row.items() if flat(value)}
        features = {f.name: f.feature for f in example.named_feature}
        assert set(features) == set(wanted)
        for name, values in wanted.items():
            got = list(getattr(features[name], features[name].WhichOneof("type")).value)
            values = [v.encode() if isinstance(v, str) else v - 2**64 if isinstance(v, int) and v >= 2**63 else v for v in values]
            assert repr(got) == repr(values)


NAMES = ["fid1", "fid2", "floats", "ints", "bytes", "one"]
BACK = {"column": [
    column("f1", "fid", name="fid1", value="fid", version=1), column("f2", "fid", name="fid2", value="fid"), column("fl", "float", name="floats"),
    column("i", "int64", name="ints"), column("b", "bytes", name="bytes"), column("o", "int64", name="one", list=False),
    column("label", "label"), column("w", "weight"), column("uid", "line_id", name="uid"), column("cid", "line_id", name="cid"),
    column("t", "line_id", name="req_time"), column("acts", "line_id", name="actions"), column("rate", "line_id", name="sample_rate"),
    column("draw", "line_id", name="is_draw"), column("strat", "line_id", name="special_strategies"), column("rank", "line_id", name="rank")]}
KINDS = {"fid1": ("fid_v1_list",), "fid2": ("fid_v2_list",), "floats": ("float_list", "double_list", "float_value", "double_value"),
         "ints": ("int64_list", "int64_value"), "one": ("int64_list", "int64_value"), "bytes": ("bytes_list", "bytes_value")}


def toml(schema: dict) -> str:
    def value(v):
        if isinstance(v, dict):
            return "{" + ", ".join(f'"{k}" = {n}' for k, n in v.items()) + "}"
        return str(v).lower() if isinstance(v, bool) else repr(v).replace("'", '"')

    return "".join("[[column]]\n" + "".join(f"{k} = {value(v)}\n" for k, v in c.items()) for c in schema["column"])


def model_row(payload: bytes):
    """What the columns of BACK hold for an Example; None when it does not fit."""
    example = Example.FromString(payload)
    features = {f.name: f.feature for f in example.named_feature}
    row = {}
    for c in BACK["column"][:6]:
        feature = features.get(c["name"])
        member = feature.WhichOneof("type") if feature is not None else None
        if member is None:
            values = []
        elif member not in KINDS[c["name"]]:
            return None
        else:
            held = getattr(feature, member)
            values = list(held.value) if member.endswith("list") else [held]
            if c["to"] == "float":
                values = [struct.unpack("f", _to_float(v))[0] for v in values]
        if c.get("list", True):
            row[c["from"]] = values
        elif len(values) > 1:
            return None
        else:
            row[c["from"]] = values[0] if values else None
    row["label"], row["w"] = list(example.label), example.instance_weight or None
    line = example.line_id
    for c in BACK["column"][8:]:
        if c["name"] in ("actions", "special_strategies"):
            row[c["from"]] = list(getattr(line, c["name"]))
        else:
            row[c["from"]] = getattr(line, c["name"]) if line.HasField(c["name"]) else None
    row["draw"] = None if row["draw"] is None else int(row["draw"])
    return row


def _to_float(v: float) -> bytes:
    try:
        return struct.pack("f", v)
    except OverflowError:
        return struct.pack("f", math.copysign(math.inf, v))


def random_example(seed: int) -> bytes:
    rng = random.Random(seed)

    def value(field, _):
        if field.containing_type.name == "NamedFeature" and field.name == "name":
            return block(field.number, rng.choice([*NAMES, "other"]).encode())
        return None

    wire = Wire(rng, value, odd=rng.random() < 0.7)
    return wire.message(Example.DESCRIPTOR)


def mapped(payload: bytes) -> bytes:
    """Examples of which most fit: a feature of a name mostly has the kind its column wants."""
    example, rng = Example.FromString(payload), random.Random(payload)
    for i, feature in enumerate(example.named_feature):
        if feature.name in KINDS and rng.random() < 0.9:
            member = rng.choice(KINDS[feature.name])
            held = getattr(feature.feature, member)
            some = {"fid": [1, 2**64 - 1, 5 << 48], "flo": [0.5, -1.5], "dou": [0.1, 1e300], "int": [-1, 2**62], "byt": [b"", b"\xff"]}[member[:3]]
            if member.endswith("list"):
                del held.value[:]
                held.value.extend(rng.sample(some, rng.randint(0, 1 if feature.name == "one" else 2)))
            else:
                setattr(feature.feature, member, rng.choice(some))
    return example.SerializeToString()


@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=12), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_examples_are_written_as_protobuf_reads_them(tmp_path_factory, seeds, as_they_are):
    folder = tmp_path_factory.mktemp("p")
    (folder / "s.toml").write_text(toml(BACK))
    payloads = [random_example(s) for s in seeds]
    if not as_they_are:
        payloads = [mapped(p) for p in payloads]
    writer, wanted = parquet.ParquetWriter(str(folder / "s.toml")), []
    with writer.open(str(folder / "out.parquet")):
        for payload in payloads:
            row = model_row(payload)
            try:
                assert _core.apply(writer.operator(), payload) == [payload]
                assert row is not None
                wanted.append(row)
            except Error as e:
                assert isinstance(e, BadDataError) and (row is None or _odd_reserved(payload))
        _core.finish(writer.operator())
    assert repr(pq.read_table(folder / "out.parquet").to_pylist()) == repr(wanted)


def _odd_reserved(payload: bytes) -> bool:
    return any(f.name in ("__LINE_ID__", "__LABEL__", "instance_weight") for f in Example.FromString(payload).named_feature)


def test_instances_there_and_back(run, tmp_path):
    (tmp_path / "s.toml").write_text(toml({"column": [
        column("user", "fid", slot=3, version=1, name="fc_slot_3"), column("item", "fid", slot=9, name="item"), column("price", "float", name="price"),
        column("y0", "label"), column("y1", "label"), column("weight", "weight"), column("time", "line_id", name="req_time")]}))
    instances = []
    for i in range(1000):
        made = Instance(fid=[3 << 54 | i + 1], label=[i % 2, 1.0], instance_weight=0.5)
        made.line_id.req_time = i
        made.feature.add(name="item", fid=[9 << 48 | k for k in range(i % 3 + 1)])
        made.feature.add(name="price", float_value=[i / 4])
        instances.append(made)
    run("pb-convert", "--from", "instance", "--to", "parquet", "--schema", tmp_path / "s.toml", "-o", tmp_path / "a.parquet",
        stdin=stream(i.SerializeToString() for i in instances))
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.num_rows == 1000 and table.slice(5, 1).to_pylist() == [
        {"user": [6], "item": [0, 1, 2], "price": [1.25], "y0": 1.0, "y1": 1.0, "weight": 0.5, "time": 5}]
    back = run("pb-convert", "--from", "parquet", "--to", "instance", "--schema", tmp_path / "s.toml", tmp_path / "a.parquet").stdout
    assert [Instance.FromString(r) for r in records(back)] == instances
    batches = run("pb-convert", "--from", "parquet", "--to", "example_batch", "--batch-size", 300, "--schema", tmp_path / "s.toml", tmp_path / "a.parquet").stdout
    assert len(records(batches)) == 4
    done = run("pb-convert", "--from", "example_batch", "--to", "parquet", "--schema", tmp_path / "s.toml", stdin=batches)
    assert pq.read_table(pa.BufferReader(done.stdout)).to_pylist() == table.to_pylist()


def test_what_is_wrong_is_named(run, tmp_path):
    good = write(tmp_path / "good.parquet", {"a": list(range(10_000)), "f": [0.5] * 10_000, "d": pa.array([None] * 10_000, pa.decimal128(5))}, row_group_size=1000)
    data = bytearray(open(good, "rb").read())
    (tmp_path / "text").write_bytes(b"no parquet at all")
    (tmp_path / "cut").write_bytes(data[:-100])
    data[len(data) // 3:len(data) // 3 + 50] = os.urandom(50)
    (tmp_path / "torn").write_bytes(data)
    schema = tmp_path / "s.toml"

    def fails(code, *texts, columns=(column("a", "int64"),), file=good, more=("--from", "parquet", "--to", "example")):
        schema.write_text(toml({"column": list(columns)}))
        done = run("pb-convert", *more, "--schema", schema, file, check=False)
        assert done.returncode == code and all(t in done.stderr for t in texts) and "Traceback" not in done.stderr, done.stderr
        return done

    fails(65, "is no Parquet file", file=tmp_path / "text")
    fails(65, "cut", file=tmp_path / "cut")
    fails(66, "no such file", file=tmp_path / "none")
    fails(65, "no column 'aa'; there is 'a'", columns=[column("aa", "int64")])
    fails(65, "no column 'd'", columns=[column("d", "int64")])
    fails(65, "holds floats", columns=[column("f", "int64")])
    fails(65, "row 3", "column a", columns=[column("a", "label", map={"0": 1, "1": 2})])
    fails(78, "separator", columns=[column("a", "int64", separator=",")])
    fails(78, "by its name", columns=[{"from": 0, "to": "int64", "name": "x"}])
    fails(78, "'log2' cannot be undone", columns=[column("a", "fid", slot=1, value="log2")], more=("--from", "example", "--to", "parquet"))
    fails(78, "written twice", columns=[column("a", "float"), column("a", "int64", name="b")], more=("--from", "example", "--to", "parquet"))
    fails(78, "two columns", columns=[column("a", "float", name="x"), column("b", "float", name="x2"), column("c", "line_id", name="uid"), column("d", "line_id", name="uid")],
          more=("--from", "example", "--to", "parquet"))
    done = run("pb-convert", "--from", "parquet", "--to", "example", "--on-bad-record", "skip", tmp_path / "torn", good, check=False)
    if done.returncode == 0:
        assert len(records(done.stdout)) >= 10_000
    for args, text in [(["--from", "parquet", "--to", "jsonl", good], "second pb-convert"), (["--from", "csv", "--to", "parquet", good], "second pb-convert"),
                       (["--from", "example", "--to", "parquet", good], "needs --schema"), (["--from", "parquet", "--to", "example", "-"], "from files")]:
        done = run("pb-convert", *args, check=False)
        assert done.returncode == 2 and text in done.stderr


def test_a_page_that_is_damaged_ends_the_file(run, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [os.urandom(8) for _ in range(20_000)]}), path, row_group_size=5000, compression="zstd",
                   use_dictionary=False, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    at = len(data) // 2
    data[at:at + 2000] = bytes(2000)
    path.write_bytes(data)
    done = run("pb-convert", "--from", "parquet", "--to", "example", path, check=False)
    assert done.returncode == 65 and re.search(r"a\.parquet: cannot be read after row \d+: ", done.stderr)
    assert len(records(done.stdout)) >= 5000  # what came before was passed on
    done = run("pb-convert", "--from", "parquet", "--to", "example", "--on-bad-record", "skip", path)
    assert len(records(done.stdout)) >= 5000 and "bad records 1" in done.stderr


def test_a_record_that_does_not_fit(run, tmp_path):
    (tmp_path / "s.toml").write_text(toml({"column": [column("a", "int64", name="a", list=False)]}))
    good, bad, kind = (Example() for _ in range(3))
    good.named_feature.add(name="a").feature.int64_list.value.append(1)
    bad.named_feature.add(name="a").feature.int64_list.value.extend([1, 2])
    kind.named_feature.add(name="a").feature.float_list.value.append(1)
    data = [good.SerializeToString(), bad.SerializeToString(), kind.SerializeToString(), b"\xff", good.SerializeToString()]
    args = ["pb-convert", "--from", "example", "--to", "parquet", "--schema", tmp_path / "s.toml", "-o", tmp_path / "o.parquet"]
    done = run(*args, stdin=stream(data), check=False)
    assert done.returncode == 65 and f"stdin: byte {8 + len(data[0])}: feature a: 2 values" in done.stderr
    assert not (tmp_path / "o.parquet").exists()
    run(*args, "--on-bad-record", tmp_path / "bad", stdin=stream(data))
    assert pq.read_table(tmp_path / "o.parquet").to_pylist() == [{"a": 1}] * 2
    assert records((tmp_path / "bad").read_bytes()) == data[1:4]
    assert run(*args[:-1], "/dev/full", stdin=stream(data[:1]), check=False).returncode == 74


def test_memory_stays_flat(tmp_path):
    """Many row groups take as much memory as a few."""
    code = ("import sys; from monolith_cli.commands.pb_convert import main\n"
            "try: main(['-q', '--from', 'parquet', '--to', 'example', sys.argv[1]], prog_name='pb-convert')\n"
            "finally: sys.stderr.write(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])")

    def peak(groups):
        path = tmp_path / f"{groups}.parquet"
        with pq.ParquetWriter(path, pa.schema([("a", pa.binary())]), compression="none", use_dictionary=False) as writer:
            for _ in range(groups):
                writer.write_table(pa.table({"a": pa.array([os.urandom(1000) for _ in range(4000)])}))
        done = subprocess.run([sys.executable, "-c", code, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
        return int(done.stderr.split()[-1])

    assert peak(25) < peak(5) + 30_000  # KiB; the file is 80 MB larger
