"""pb-convert from csv and tsv: against Python's csv module, on real data sets, and what goes wrong."""

import csv
import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pb_convert import unframed

from monolith_cli.errors import ConfigError
from monolith_cli.records import csv_schema
from monolith_cli.records.messages import message_class

MOVIELENS = """
separator = "{separator}"
header = false
column = [
  {{ from = 0, to = "fid", name = "user", slot = 1 }},
  {{ from = 1, to = "fid", name = "movie", slot = 200 }},
  {{ from = 2, to = "label" }},
  {{ from = 0, to = "line_id", name = "uid" }},
  {{ from = 1, to = "line_id", name = "item_id" }},
  {{ from = 3, to = "line_id", name = "req_time" }},
]
"""


@pytest.fixture
def convert(run, tmp_path):
    """convert(schema, text or path, ...) -> messages; with check=False the finished process."""

    def convert(schema, source, *args, kind="csv", to="instance", check=True):
        path = tmp_path / "schema.toml"
        path.write_text(schema, encoding="utf-8")
        sources, stdin = ([], source) if isinstance(source, bytes) else ([source], b"")
        done = run("pb-convert", "--from", kind, "--schema", path, "--to", to, *args, *sources, stdin=stdin, check=check)
        return [message_class(to).FromString(r) for r in unframed(done.stdout)] if check else done

    return convert


def make_v2(slot, signature):
    return slot << 48 | signature & (1 << 48) - 1


def columns_of(instance):
    return {c.name: list(c.fid) or list(c.float_value) or list(c.int64_value) or list(c.bytes_value) for c in instance.feature}


# --- the splitting of text -----------------------------------------------------------------------------------------------

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
tables = st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(cells, min_size=n, max_size=n), max_size=12))


@settings(max_examples=300, deadline=None)
@given(table=tables, separator=st.sampled_from(",;\t|"), newline=st.sampled_from(["\n", "\r\n"]), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_cells_are_what_pythons_csv_module_wrote(table, separator, newline, quoting):
    if quoting == csv.QUOTE_MINIMAL:  # it leaves a carriage return bare, which before a line end is part of that
        table = [[c.replace("\r", "") for c in row] for row in table]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, lineterminator=newline, quoting=quoting).writerows(table)
    data = text.getvalue().encode()
    assert split(data, len(table[0]) if table else 1, separator, True) == [[c.encode() for c in row] for row in table]


@settings(max_examples=100, deadline=None)
@given(table=tables, separator=st.sampled_from([":", "::", "\t", " | ", "||"]))
def test_without_quotes_only_separator_and_line_end_count(table, separator):
    table = [[c.replace("\n", "").replace("\r", "").replace(separator[0], "") for c in row] for row in table]
    data = "".join(separator.join(row) + "\n" for row in table).encode()
    assert split(data, len(table[0]) if table else 1, separator, False) == [[c.encode() for c in row] for row in table]


def split(data, width, separator, quote):
    """The cells of each row as the native core sees them."""
    from monolith_cli._native import _core

    schema = csv_schema.parse(
        {"separator": separator, "quote": quote, "header": False, "skip_empty": False,
         "column": [{"from": i, "to": "bytes", "name": f"c{i}", "default": ""} for i in range(width)]}, "test", to_type="example")
    operator, rows = _core.CsvOperator(schema), []
    for row in _core.RowReader(_core.memory_source(data), schema):
        (made,) = _core.apply(operator, row)
        rows.append([n.feature.bytes_list.value[0] for n in message_class("example").FromString(made).named_feature])
    return rows


def test_rows_longer_than_any_buffer(convert):
    schema = 'column = [{ from = "a", to = "bytes" }, { from = "b", to = "int64" }]'
    long = b"x" * 700_000 + b"\n\n" + b"y" * 700_000
    (one, two) = convert(schema, b'a,b\r\n"' + long + b'",7\r\nz,8')
    assert columns_of(one) == {"a": [long], "b": [7]} and columns_of(two) == {"a": [b"z"], "b": [8]}


# --- what cells become -----------------------------------------------------------------------------------------------------

EVERYTHING = """
null = ["NULL", "\\\\N"]
[[column]]
from = "id"
to = "fid"
slot = 7
[[column]]
from = "id"
to = "fid"
version = 1
slot = 1023
[[column]]
from = "city"
to = "fid"
slot = 8
value = "hash"
[[column]]
from = "price"
to = "fid"
name = "price_bucket"
slot = 9
value = "log2"
[[column]]
from = "price"
to = "float"
[[column]]
from = "tags"
to = "bytes"
separator = "|"
[[column]]
from = "counts"
to = "int64"
separator = "; "
[[column]]
from = "label"
to = "label"
threshold = 4
[[column]]
from = "kind"
to = "label"
map = { click = 1, "no click" = 0, maybe = 0.5 }
[[column]]
from = "weight"
to = "weight"
default = 2
[[column]]
from = "time"
to = "line_id"
name = "req_time"
value = "time"
[[column]]
from = "acts"
to = "line_id"
name = "actions"
separator = " "
[[column]]
from = "acts"
to = "line_id"
name = "special_strategies"
separator = " "
[[column]]
from = "draw"
to = "line_id"
name = "is_draw"
[[column]]
from = "rate"
to = "line_id"
name = "sample_rate"
[[column]]
from = "city"
to = "line_id"
name = "user_id"
[[column]]
from = "id"
to = "line_id"
name = "uid"
"""
HEADER = b"id,city,price,tags,counts,label,kind,weight,time,acts,draw,rate\n"
ROW = 'id,"Zürich, ZH",3.5,a|b||c,"-1; 5",4,click,0.25,2024-02-29 12:00:00.75+01:00,0 -3 100,true,0.5\n'.replace("id", "18446744073709551615").encode()


@pytest.mark.parametrize("to", ["instance", "example"])
def test_every_target(convert, to):
    from monolith_cli._native import _core

    (record,) = convert(EVERYTHING, HEADER + ROW, to=to)
    assert list(record.label) == [1, 1] and record.instance_weight == 0.25
    line_id = record.line_id
    assert (line_id.req_time, list(line_id.actions), list(line_id.special_strategies)) == (1709204400, [0, -3, 100], [0, -3, 100])
    assert (line_id.is_draw, line_id.sample_rate, line_id.user_id, line_id.uid) == (True, 0.5, "Zürich, ZH", 2**64 - 1)
    city = make_v2(8, _core.city_hash64("Zürich, ZH".encode()))
    if to == "instance":
        assert list(record.fid) == [2**64 - 1]
        assert columns_of(record) == {"id": [make_v2(7, -1)], "city": [city], "price_bucket": [make_v2(9, 2)], "price": [3.5],
                                      "tags": [b"a", b"b", b"c"], "counts": [-1, 5]}
        return
    named = {n.name: n for n in record.named_feature}
    assert {n: (named[n].id, named[n].feature.WhichOneof("type")) for n in named} == {
        "id": (7, "fid_v2_list"), "fc_slot_1023": (1023, "fid_v1_list"), "city": (8, "fid_v2_list"), "price_bucket": (9, "fid_v2_list"),
        "price": (0, "float_list"), "tags": (0, "bytes_list"), "counts": (0, "int64_list")}
    assert list(named["fc_slot_1023"].feature.fid_v1_list.value) == [2**64 - 1]
    assert list(named["counts"].feature.int64_list.value) == [-1, 5]


def test_missing_cells(convert):
    (record,) = convert(EVERYTHING, HEADER + b"1,NULL,,,,5,maybe,\\N,,,,\n")
    assert columns_of(record) == {"id": [make_v2(7, 1)]} and list(record.label) == [1, 0.5] and record.instance_weight == 2
    assert not record.line_id.HasField("req_time") and not record.line_id.HasField("user_id")
    done = convert(EVERYTHING, HEADER + b"1,,,,,,click,,,,,\n", check=False)
    assert done.returncode == 65 and "line 2: column label is missing" in done.stderr


def test_two_columns_join_in_one_feature(convert):
    schema = 'header = false\ncolumn = [{ from = 0, to = "float", name = "x" }, { from = 1, to = "float", name = "y" }, { from = 2, to = "float", name = "x" }]'
    (one, two) = convert(schema, b"1,2,3\n4,,\n")
    assert columns_of(one) == {"x": [1, 3], "y": [2]} and columns_of(two) == {"x": [4]}


@pytest.mark.parametrize("text, seconds", [
    ("1970-01-01", 0), ("2000-02-29T23:59:59Z", 951868799), ("2019-11-24 00:00:05.004749+00:00", 1574553605), ("1969-12-31 23:59", -60),
    ("2024-01-01 00:00:00-0530", 1704087000), ("2400-02-29", 13574563200),
])
def test_times(convert, text, seconds):
    schema = 'header = false\ncolumn = [{ from = 0, to = "int64", name = "t", value = "time" }]'
    assert columns_of(convert(schema, text.encode())[0]) == {"t": [seconds]}


@pytest.mark.parametrize("text", ["2023-02-29", "2024-13-01", "2024-1-1", "24-01-01", "2024-01-01 25:00", "2024-01-01 10:00 CET", "now"])
def test_what_is_no_time(convert, text):
    schema = 'header = false\ncolumn = [{ from = 0, to = "int64", name = "t", value = "time" }]'
    done = convert(schema, text.encode(), check=False)
    assert done.returncode == 65 and f"'{text}' is no time" in done.stderr


def test_each_source_has_its_own_header(convert, tmp_path, run):
    schema = tmp_path / "s.toml"
    schema.write_text('column = [{ from = "b", to = "int64" }]')
    (tmp_path / "1.csv").write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    (tmp_path / "2.csv").write_bytes(b"b,a\n3,4\n")
    (tmp_path / "3.csv").write_bytes(b"")
    done = run("pb-convert", "--from", "csv", "--schema", schema, "--to", "instance", tmp_path / "1.csv", tmp_path / "3.csv", tmp_path / "2.csv")
    assert [columns_of(message_class("instance").FromString(r)) for r in unframed(done.stdout)] == [{"b": [2]}, {"b": [3]}]


def test_to_batches(convert):
    schema = 'header = false\ncolumn = [{ from = 0, to = "fid", name = "u", slot = 1 }, { from = 1, to = "label" }]'
    (first, second) = convert(schema, b"1,0\n2,1\n3,1\n", "--batch-size", "2", to="example_batch")
    assert [c.name for c in first.named_feature_list] == ["u", "__LABEL__"] and (first.batch_size, second.batch_size) == (2, 1)


# --- what goes wrong -----------------------------------------------------------------------------------------------------

GOOD = 'column = [{ from = "a", to = "int64" }]\n'


@pytest.mark.parametrize("data, message", [
    (b"a\n1\nx\n", "line 3: column a: 'x' is no integer of 64 bits"), (b"a,b\n1,2\n3\n4,5\n", None), (b"a\n1,2\n", "the row has 2 cells, the header has 1"),
    (b"b\n1\n", "has no column 'a'"), (b"aa\n1\n", "there is 'aa'"), (b"a\n\xff1\n", "not UTF-8"), (b"\xff\n1\n", "not UTF-8"),
    (b'a\n"1"2\n', "cell 1 goes on after its closing quote"), (b'a\n"1\n\n', "line 2: the quote of a cell is not closed"),
    (b"a\n18446744073709551616\n", "is no integer"), (b"a\n1.0\n", "'1.0' is no integer"), (b"a\n+-1\n", "is no integer"),
])
def test_bad_data(convert, data, message):
    done = convert(GOOD, data, check=False)
    if message is None:
        assert done.returncode == 0
        return
    assert done.returncode == 65 and message in done.stderr and "stdin: " in done.stderr and "Traceback" not in done.stderr


def test_bad_rows_can_be_left_out_or_kept(convert, tmp_path):
    data = b"a\n1\nx\n2\n"
    assert [columns_of(r) for r in convert(GOOD, data, "--on-bad-record", "skip")] == [{"a": [1]}, {"a": [2]}]
    aside = tmp_path / "aside"
    convert(GOOD, data, "--on-bad-record", aside)
    assert aside.read_bytes() == struct.pack("<Q", 1) + b"x"
    done = convert(GOOD, data, check=False)
    assert len(unframed(done.stdout)) == 1  # what came before


def test_short_rows(convert):
    schema = 'short_rows = true\ncolumn = [{ from = "a", to = "int64" }, { from = "b", to = "int64" }]'
    assert [columns_of(r) for r in convert(schema, b"a,b\n1\n2,3\n")] == [{"a": [1]}, {"a": [2], "b": [3]}]
    done = convert(schema.replace("short_rows = true", ""), b"a,b\n1\n", check=False)
    assert done.returncode == 65 and "the row has 1 cells, at least 2 are needed" in done.stderr


def test_latin1(convert):
    schema = 'header = false\nencoding = "latin-1"\nquote = false\ncolumn = [{ from = 0, to = "bytes", name = "x" }]'
    assert columns_of(convert(schema, "Amélie".encode("latin-1"))[0]) == {"x": ["Amélie".encode()]}


@pytest.mark.parametrize("schema, message", [
    ("separator = ", "this is no TOML"), ("", "no [[column]] table"), ("colunm = []", "unknown key 'colunm', did you mean 'column'?"),
    ('header = "yes"\n' + GOOD, "header: must be true or false"), ('encoding = "utf-16"\n' + GOOD, "encoding: 'utf-16': choose"),
    ('separator = ""\n' + GOOD, "separator is empty"), ('separator = "::"\nquote = true\n' + GOOD, "quote = true needs"),
    ('column = [{ from = "a", to = "fid" }]', "column 1: key 'slot' is missing"), ('column = [{ to = "fid" }]', "key 'from' is missing"),
    ('column = [{ from = "a", to = "flaot" }]', "to: 'flaot': choose one of"), ('column = [{ from = "a", to = "fid", slot = 1, slott = 2 }]', "did you mean 'slot'"),
    ('column = [{ from = "a", to = "fid", slot = 1024, version = 1 }]', "v1 slot should be less than 1024"), ('column = [{ from = "a", to = "fid", slot = 40000 }]', "less than 32768"),
    ('column = [{ from = "a", to = "fid", slot = 1, version = 3 }]', "version is 1 or 2"), ('column = [{ from = "a", to = "fid", slot = true }]', "slot: must be an integer"),
    ('column = [{ from = "a", to = "line_id", name = "nope" }]', "LineId has no field 'nope'"), ('column = [{ from = "a", to = "line_id" }]', "key 'name' is missing"),
    ('column = [{ from = "a", to = "line_id", name = "uid", separator = "|" }]', "takes one value"), ('column = [{ from = -1, to = "float", name = "x" }]', "numbered from 0"),
    ('header = false\n' + GOOD, "needs header = true"), ('column = [{ from = 0, to = "float" }]', "key 'name' is missing"),
    ('column = [{ from = "a", to = "float", slot = 1 }]', "slot: has no meaning with to = 'float'"), ('column = [{ from = "a", to = "label", map = { x = "1" } }]', "must be a number"),
    ('column = [{ from = "a", to = "float", missing = "default" }]', "go together"), ('column = [{ from = "a", to = "int64", value = "hsah" }]', "value 'hsah': choose one of"),
    ('column = [{ from = "a", to = "float" }, { from = "b", to = "int64", name = "a" }]', "another kind of column"), ('column = [{ from = "a", to = "weight" }, { from = "b", to = "weight" }]', "weight already"),
    ('column = [{ from = "a", to = "float", name = "__LABEL__" }]', "reserved"), ('column = [{ from = "a", to = "label", threshold = 1, map = { x = 1 } }]', "do not go together"),
])
def test_mistakes_in_the_schema_name_file_and_key(tmp_path, schema, message):
    path = tmp_path / "schema.toml"
    path.write_text(schema)
    with pytest.raises(ConfigError) as e:
        csv_schema.load(str(path), "csv", "instance")
    assert str(e.value).startswith(f"{path}: ") and message in str(e.value)


def test_a_mistake_in_the_schema_is_78(convert):
    done = convert('column = [{ from = "a", to = "fid" }]', b"a\n1\n", check=False)
    assert done.returncode == 78 and "schema.toml: column 1: key 'slot' is missing" in done.stderr and "Traceback" not in done.stderr


def test_a_schema_that_is_not_there(run):
    done = run("pb-convert", "--from", "csv", "--schema", "/none.toml", "--to", "instance", check=False)
    assert done.returncode == 66 and "/none.toml" in done.stderr


# --- real data ---------------------------------------------------------------------------------------------------------------


def check_ratings(records, rows):
    assert len(records) == len(rows)
    for record, (user, movie, rating, time) in zip(records, rows):
        assert columns_of(record) == {"user": [make_v2(1, int(user))], "movie": [make_v2(200, int(movie))]}
        assert list(record.label) == [float(rating)]
        assert (record.line_id.uid, record.line_id.item_id, record.line_id.req_time) == (int(user), int(movie), int(time))


def test_movielens_100k(convert, shared_data, tmp_path):
    path = shared_data / "ml-100k" / "u.data"
    rows = list(csv.reader(open(path), delimiter="\t"))
    check_ratings(convert(MOVIELENS.format(separator="\\t"), path), rows)
    ratings = tmp_path / "ratings.dat"  # the spelling of MovieLens 1M
    ratings.write_text("".join("::".join(row) + "\n" for row in rows[:5000]))
    check_ratings(convert(MOVIELENS.format(separator="::"), ratings), rows[:5000])


def test_movielens_latest(convert, shared_data):
    path = shared_data / "ml-latest-small" / "ratings.csv"
    schema = """column = [{ from = "userId", to = "fid", name = "user", slot = 1 }, { from = "Id", to = "fid", name = "movie", slot = 200 },
                          { from = "rating", to = "label" }, { from = "userId", to = "line_id", name = "uid" },
                          { from = "Id", to = "line_id", name = "item_id" }, { from = "timestamp", to = "line_id", name = "req_time" }]"""
    check_ratings(convert(schema, path), list(csv.reader(open(path)))[1:])


def test_criteo(convert, shared_data):
    from monolith_cli._native import _core

    path = shared_data / "criteo" / "wide-resdnn" / "train.tsv"
    columns = ['{ from = 0, to = "label" }'] + [f'{{ from = {i}, to = "fid", name = "I{i}", slot = {i}, value = "log2" }}' for i in range(1, 14)]
    columns += [f'{{ from = {i}, to = "fid", name = "C{i - 13}", slot = {i}, value = "hash" }}' for i in range(14, 40)]
    records = convert("header = false\ncolumn = [" + ", ".join(columns) + "]", path, kind="tsv", to="example")
    rows = list(csv.reader(open(path), delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(records) == len(rows)
    for record, row in zip(records, rows):
        assert list(record.label) == [float(row[0])]
        got = {n.id: list(n.feature.fid_v2_list.value) for n in record.named_feature}
        expected = {i: [make_v2(i, (abs(int(row[i])) + 1).bit_length() - 1)] for i in range(1, 14) if row[i]}
        assert got == expected | {i: [make_v2(i, _core.city_hash64(row[i].encode()))] for i in range(14, 40) if row[i]}


def test_open_bandit(convert, shared_data):
    from datetime import datetime

    path = shared_data / "open-bandit" / "random-men.csv"
    schema = """column = [{ from = "timestamp", to = "line_id", name = "req_time", value = "time" }, { from = "item_id", to = "fid", slot = 200 },
                { from = "position", to = "fid", slot = 3 }, { from = "click", to = "label" }, { from = "propensity_score", to = "float" },
                { from = "user_feature_0", to = "fid", slot = 4, value = "hash" }]"""
    records, rows = convert(schema, path), list(csv.DictReader(open(path, newline="")))
    assert len(records) == len(rows)
    for record, row in zip(records, rows):
        assert record.line_id.req_time == int(datetime.fromisoformat(row["timestamp"]).timestamp())
        columns = columns_of(record)
        assert columns["item_id"] == [make_v2(200, int(row["item_id"]))] and columns["position"] == [make_v2(3, int(row["position"]))]
        assert list(record.label) == [float(row["click"])] and columns["propensity_score"] == pytest.approx([float(row["propensity_score"])])
