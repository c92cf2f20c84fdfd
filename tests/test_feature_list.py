"""Feature lists: the vector TV15 of spec 10, the grammar of its section 6, names, helpers, and a model of the line grammar."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monolith_cli import errors
from monolith_cli.records import feature_list
from monolith_cli.records.fid import SlotNames, make_v1, make_v2
from monolith_cli.records.feature_list import Feature, NameMapper, NeededFeatures, parse

TV15 = """\
# c
column_name: a, b ,c
cache_column: zz
cache_name=c1; cache_column=x; capacity=100; timeout=3600; cache_type=LRU
feed_name=u; shared=Yes; feature_id=12
feature_name=f_u; depend=u; method=DirectString; slot=5; shared=true; need_raw=1; feature_id=9
feature_name=fc_u-fc_v; depend=f_u,f_v; method=Combine; slot=6; args=1, 2; feature_version=2; cache_keys="k1",'k2'; input_optional=true,false; feature_group=g1, g2; bogus=7
feature_name=f_v, depend=v, slot=7
"""


def test_tv15():
    fl = parse(TV15)
    assert fl.column_names == {"a", "b", "c"}
    assert list(fl.caches) == ["cache_column", "c1"]
    assert fl.caches["cache_column"].cache_column == "zz"
    assert (fl.caches["c1"].capacity, fl.caches["c1"].timeout, fl.caches["c1"].cache_type) == (100, 3600, "LRU")
    assert fl.feeds == {"u": feature_list.Feed("u", True, 12)}
    assert list(fl.features) == ["f_u", "fc_u-fc_v", "f_v"] and [f.slot for f in fl] == [5, 6, 7] and len(fl) == 3
    combined = fl.features["fc_u-fc_v"]
    assert combined.args == ("1", "2") and combined.cache_keys == ("k1", "k2") and combined.input_optional == (True, False)
    assert combined.feature_group == ("g1", "g2") and combined.feature_version == 2 and combined.depend == ("f_u", "f_v")
    assert "u" in fl and 5 in fl and "nope" not in fl and 8 not in fl
    assert fl["u-v"].slot == 6 and fl[" u "].slot == 5 and fl[7].feature_name == "f_v" and fl["f_u"].need_raw
    assert fl.get("nope") is None and fl.get(99, 1) == 1 and fl.get_with_slot(6) == [combined] and fl.get_with_slot(99) == []
    # As in the vector, but with blanks behind the semicolons, so that it can be read again.
    assert str(fl["f_u"]) == "feature_name=f_u; depend=u; method=DirectString; slot=5; shared=true; need_raw=true; feature_id=9"
    assert list(parse(TV15, use_old_name=False).features) == ["u", "u-v", "v"]
    for missing in ("nope", 99):
        with pytest.raises(errors.ConfigError):
            fl[missing]
    with pytest.raises(errors.ConfigError, match="did you mean f_u"):
        fl["f_uu"]


def test_rendered_features_can_be_read_again():
    fl = parse(TV15)
    assert parse("\n".join(map(str, fl))).features == fl.features


@pytest.mark.parametrize(("name", "normal"), [
    ("f_user_id-f_page", "user_id-page"), ("fc_user_id-fc_page", "user_id-page"), ("f_user_id-page", "user_id-page"),
    ("f_UserId", "userid"), ("fc_a-f_b-c", "a-b-c"), ("f", "f")])
def test_names(name, normal):
    assert Feature(name).name == normal
    assert [d.lower() for d in Feature("x", depend=(name, "f_a")).depend_strip_prefix] == [normal, "a"]


@pytest.mark.parametrize(("line", "where", "what"), [
    ("feature_name=f_u;depend=u;slot=5", 24, "a second '='"), ("just words", 1, "no '='"), ("=x", 1, "no key"),
    ("feature_name=f; depend = u", 24, "no key"), ("feature_name=f; slot=five", 22, "slot is an integer"),
    ("feature_name=f; slot=5 6", 22, "slot is an integer"), ("feature_name=f; slot=", 17, "slot is an integer"),
    ("feature_name=f; slot=40000", 22, "0 to 32767"), ("feature_name=f; slot=-1", 22, "0 to 32767"),
    ("feature_name=f; feature_version=3", 33, "1 or 2"), ("feature_name=f; feature_id=99999999999999999999", 28, "integer"),
    ("slot=5", 1, "feature_name="), ("feed_nam=u", 1, "feed_name="), ("feature_name=; slot=3", 1, "feature_name="),
    ("cache_capacity=3", 1, "cache_name="), ("cache_column=x", 1, "cache_column: NAME"), ("column_name a, b", 1, "column_name:"),
    ("feature_name=ü; slot=x", 22, "integer")])
def test_mistakes_name_file_line_and_column(line, where, what):
    text = f"# first\n\n  {line}  \n"
    with pytest.raises(errors.ConfigError) as e:
        parse(text, "dir/f.conf")
    first, shown, caret = str(e.value).split("\n")
    assert first.startswith(f"dir/f.conf:3:{where + 2}: ") and what in first
    assert shown == f"    {line}" and caret.index("^") == where + 2 - 1 + 2


@pytest.mark.parametrize(("text", "value"), [
    ("5;,", "5"), ("5,;", "5,"), ("5 ; ", "5"), ("a b,c;", "a b,c"), ("a ;", "a"), (";a", ";a"), ("", "")])
def test_ends_of_values(text, value):
    assert parse(f"feature_name=f; method={text} slot=3").features["f"].method == value


def test_lines():
    fl = parse("\ufeff# bom\r\nfeature_name=a; slot=1\r\n\r\n\tfeature_name=b; slot=1 \nfeature_name = c; slot=2\nfeature_name=a; slot=3")
    assert [(f.feature_name, f.slot) for f in fl] == [("a", 3), ("b", 1), ("c", 2)]
    assert fl[1].feature_name == "b"
    assert parse("").features == {}
    two = parse("column_name : x, y\ncolumn_name: y,z,\ncache_key_class=K; cache_column=q\ncache_column: a\ncache_column: b")
    assert two.column_names == {"x", "y", "z"}
    assert {k: c.cache_column for k, c in two.caches.items()} == {"K": "q", "cache_column": "b"}
    assert [f.shared for f in parse("\n".join(f"feature_name={w}; shared={w}" for w in ("TRUE", "yes", "T", "y", "1", "no", "on", "0")))] == [True] * 5 + [False] * 3
    assert parse("feature_name=f; input_optional=true, True,'true',false").features["f"].input_optional == (True, False, True, False)


# The grammar of 6.1 in the plainest words, for lines without mistakes.


def pairs_of(line):
    line = line.strip()
    places = [i for i, c in enumerate(line) if c == "="]
    pairs, key = [], line[:places[0]].strip()
    for at, following in zip(places, places[1:] + [None]):
        if following is None:
            value, next_key = line[at + 1:], None
        else:
            cut = line[at + 1:following].rfind(" ")
            value, next_key = line[at + 1:at + 1 + cut], line[at + 2 + cut:following]
        pairs.append((key, value.strip().rstrip(",").rstrip(";").strip()))
        key = next_key
    return pairs


words = st.text(st.sampled_from("ab, ;'\"-\tü"), max_size=8)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["method", "depend", "args", "unknown", "cache_keys"]), words, st.sampled_from([" ", "; ", ", ", ",; "])), max_size=5))
def test_line_grammar_against_a_model(parts):
    line = "feature_name=f; " + "".join(f"{k}={v}{end}" for k, v, end in parts)
    expected = dict(pairs_of(line))
    got = parse(line).features["f"]
    assert got.feature_name == "f"
    assert got.method == expected.get("method")
    for key in ("depend", "args", "cache_keys"):
        split = tuple(x.strip().replace('"', "").replace("'", "") for x in expected[key].split(",")) if key in expected else ()
        assert getattr(got, key) == split


def test_files(tmp_path):
    path = tmp_path / "f.conf"
    path.write_bytes(TV15.encode())
    assert feature_list.load(str(path)).features == parse(TV15).features
    path.write_bytes(b"feature_name=f; slot=1\nfeature_name=\xff")
    with pytest.raises(errors.ConfigError, match=r"f.conf:2:14: not UTF-8"):
        feature_list.load(str(path))
    with pytest.raises(errors.NoInputError, match="none.conf"):
        feature_list.load(str(tmp_path / "none.conf"))


LIST = parse("""\
feature_name=f_u; slot=5
feature_name=fc_w; slot=5; feature_version=1
feature_name=f_x; slot=5; feature_version=2
feature_name=f_big; slot=600
feature_name=f_far; slot=4791; feature_version=2
""")


def test_names_of_fids():
    assert LIST.names_of_fid(make_v1(5, 7)) == ["f_u", "fc_w"]
    assert LIST.names_of_fid(make_v2(5, 7)) == ["f_x"]
    assert LIST.names_of_fid(make_v1(600, 7)) == ["f_big"] == LIST.names_of_fid(make_v1(600, 7) - (1 << 64))
    with pytest.raises(errors.ConfigError, match="Cannot find feature name for fid 21955048183431175"):
        LIST.names_of_fid(make_v2(78, 7))
    needed = NeededFeatures()
    needed.add(["x", 7])
    needed.add("y")
    needed.add_by_fids([make_v1(5, 0), make_v2(4791, 3)], LIST)
    assert needed.names == {"x", "slot_7", "y", "f_u", "fc_w", "f_far"}


def test_name_and_slot():
    assert LIST.name_and_slot(5) == ("f_u", 5) and LIST.name_and_slot(9) == ("slot_9", 9)
    assert LIST.name_and_slot("big") == ("big", 600) and LIST.name_and_slot("slot_77") == ("slot_77", 77)
    names = SlotNames()
    assert [LIST.name_and_slot(n, names) for n in ("foo", "bar", "foo")] == [("foo", 1), ("bar", 2), ("foo", 1)]


def test_tv4_slot_names():
    names = SlotNames()
    assert [names.slot(n) for n in ("slot_12", "fc_slot_7", "fc_slot_x", "foo", "bar", "foo")] == [12, 7, None, 1, 2, 1]


def test_name_mapper_in_any_order():
    mapper = NameMapper()
    assert not mapper.available
    mapper.register_names(["f_u"])
    mapper.register_ids([(600, 0), (9999, 4791)])
    mapper.set_mapping(LIST)
    assert mapper.available and mapper.valid_names == {"f_u", "f_big", "f_far"}
    assert sorted(mapper.sorted_ids.values()) == [1, 2, 3, 4, 5] and set(mapper.sorted_ids) == set(LIST.features)
    with pytest.raises(errors.ConfigError, match="nope"):
        mapper.register_names(["f_x", "nope"])
    with pytest.raises(errors.ConfigError, match="slot 1 or 2"):
        mapper.register_ids([(5, 5), (1, 2)])
    early = NameMapper()
    early.register_names(["nope"])
    with pytest.raises(errors.ConfigError, match="nope"):
        early.set_mapping(LIST)
    early = NameMapper()
    early.register_ids([(3, 3)])
    with pytest.raises(errors.ConfigError, match="slot 3$"):
        early.set_mapping(LIST)
    NameMapper().set_mapping(parse(""))
