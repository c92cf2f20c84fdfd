"""Patterns of sub graph names, filters of layouts and their conditions (spec 60, 3.6 and 3.13)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monolith_cli import errors
from monolith_cli.serving.agent.condition import Condition, ExpressionError
from monolith_cli.serving.agent.patterns import LayoutFilter, LayoutFilters, expand_pattern, normalize_regex

SUB_GRAPHS = ["entry", "entry_item_embedding_0", "ps_0", "ps_1", "ps_2", "ps_10", "ps_11", "dense_0"]


@pytest.mark.parametrize("pattern, want", [
    ("ps_{i}_{j}x", r"ps_(?P<i>\d+)_(?P<j>\d+)x"), ("ps_{i", "ps_{i"), ("ps}", "ps}"), ("", ""), ("a{2}b{k}", r"a{2}b(?P<k>\d+)"),
    ("{}", "{}"), ("{{i}}", r"{(?P<i>\d+)}")])
def test_names_of_numbers(pattern, want):
    """T5."""
    assert normalize_regex(pattern) == want


@pytest.mark.parametrize("pattern, want", [
    ("ps_[0-3]", ["ps_0", "ps_1", "ps_2"]), ("a[0-2]b[1-3]", ["a0b1", "a0b2", "a1b1", "a1b2"]), ("entry", ["entry"]), ("", [""]),
    ("ps_[1,3,5]", ["ps_1", "ps_3", "ps_5"]), ("p[7]x", ["p7x"]), ("p[9, 0-2]", ["p9", "p0", "p1"]), ("p[3-3]", []), ("[0-2][5,6]", ["05", "06", "15", "16"])])
def test_expansion(pattern, want):
    """T5."""
    assert expand_pattern(pattern) == want


@pytest.mark.parametrize("pattern", ["ps_[a-b]", "ps_[]", "ps_[1-2-3]", "[1,]", "[-1]", "[0-2000000]", "[0-2000][0-2000]"])
def test_patterns_that_cannot_be_expanded(pattern):
    with pytest.raises(errors.UsageError, match="pattern"):
        expand_pattern(pattern)


@given(st.lists(st.tuples(st.text("ab_", max_size=3), st.integers(0, 20), st.integers(0, 6)), max_size=3), st.text("xyz", max_size=2))
def test_expansion_is_the_product_of_its_ranges(parts, tail):
    pattern = "".join(f"{text}[{a}-{a + n}]" for text, a, n in parts) + tail
    want = [""]
    for text, a, n in parts:
        want = [f"{w}{text}{i}" for w in want for i in range(a, a + n)]
    assert expand_pattern(pattern) == [w + tail for w in want]


@pytest.mark.parametrize("text, want", [
    ("entry; True", ["entry", "entry_item_embedding_0"]), ("ps_{i}; i % 2 == 1", ["ps_1", "ps_11"]),
    ("ps_{i}; i % 2 == 0 and not i > 5 or i == 11", ["ps_0", "ps_2", "ps_11"]), ("ps_1; True", ["ps_1", "ps_10", "ps_11"]),
    ("ps_1$ ; True", ["ps_1"]), (".*;False", []), ("ps_{i};0 < i <= 10", ["ps_1", "ps_2", "ps_10"]), ("ps_{i};(i - 10) // 2 == 0", ["ps_10", "ps_11"]),
    ("ps_{i};i % ${shard_num} == ${shard_id}", ["ps_2", "ps_11"]), ("(ps_{i}|dense_{j});True", ["ps_0", "ps_1", "ps_2", "ps_10", "ps_11", "dense_0"])])
def test_what_a_filter_takes(text, want):
    """T33."""
    one = LayoutFilter(text, shard_id=2, shard_num=3)
    assert [s for s in SUB_GRAPHS if one.accepts(s)] == want


def test_text_of_filters():
    """T21; without a shard they stand for shard 0 of 1."""
    for shard_id, shard_num in ((0, 1), (-1, 0)):
        filters = LayoutFilters(["entry;True", "ps_{i};i % ${shard_num} == ${shard_id}"], shard_id, shard_num)
        assert filters.texts == ["entry;True", r"ps_(?P<i>\d+);i % 1 == 0"]
        assert [s for s in SUB_GRAPHS if filters.accept(s)] == SUB_GRAPHS[:-1]
    assert all(LayoutFilters(none).accept("anything") for none in (None, []))


def test_a_condition_without_a_value_skips_its_filter_alone():
    told = []
    filters = LayoutFilters(["ps_{i}; 10 // i == 1", "ps_{i}; j == 1", "ps_0;True", "(ps_{i}|dense_{k}); k == 0"], warn=told.append)
    assert [s for s in SUB_GRAPHS if filters.accept(s)] == ["ps_0", "ps_10", "dense_0"]
    assert any("division by zero" in t for t in told) and any("j has no value" in t for t in told)
    count = len(told)
    filters.accept("ps_0")
    assert len(told) == count


def test_numbers_that_are_too_long_do_no_harm():
    filters = LayoutFilters(["ps_{i};i >= 0"], warn=lambda t: None)
    assert [filters.accept(f"ps_{'9' * n}") for n in (18, 30, 900, 5000)] == [True, False, False, False]


@pytest.mark.parametrize("text, says", [
    ("entry", "match;condition"), ("ps_{i}; i %", "column 5: a value is missing"), ("ps_(;True", "unterminated|missing"),
    ("{i}_{i};True", "redefinition"), ("ps;__import__('os').system('x')", "column 12"), ("ps;i.real", "column 2"), ("ps;[i]", "column 1"),
    ("ps;lambda: 1", "column 7"), ("ps;i = 1", "column 3"), ("ps;'a'", "column 1"), ("ps;1.5 > i", "not a whole number"), ("ps;i ** 9", r"column 3"),
    ("ps;i / 2", "column 3"), ("ps;i if i else i", "column 3"), ("ps;", "a value is missing"), ("ps;" + "(" * 60 + "1" + ")" * 60, "nested deeper"),
    ("ps;" + "1+" * 600 + "1", "too long"), ("x" * 2000 + ";True", "too long"), ("ps;not", "a value is missing"), ("ps;i < < 2", "column 5"),
    ("ps;12_ > 1", "not a number"), ("ps;i and", "a value is missing"), ("ps;1 2", "column 3"), ("ps;99999999999999999999 > i", "too large")])
def test_filters_that_are_refused(text, says):
    with pytest.raises(errors.ConfigError, match=says):
        LayoutFilter(text)


comparisons = st.sampled_from("== != < <= > >=".split())
sums = st.recursive(
    st.integers(0, 50).map(str) | st.sampled_from(["i", "j", "True"]),
    lambda part: st.tuples(part, st.sampled_from("+ - * // %".split()), part).map(" ".join) | part.map(lambda t: f"({t})") | part.map(lambda t: f"-{t}"),
    max_leaves=6)
conditions = st.recursive(
    st.lists(sums, min_size=1, max_size=3).flatmap(
        lambda parts: st.lists(comparisons, min_size=len(parts), max_size=len(parts)).map(
            lambda signs: "".join(f" {s} {p}" if n else p for n, (s, p) in enumerate(zip(signs, parts, strict=True))))),
    lambda part: st.tuples(part, st.sampled_from(["and", "or"]), part).map(" ".join) | part.map(lambda t: f"({t})") | part.map(lambda t: f"not {t}"),
    max_leaves=5)


@given(conditions, st.integers(0, 40), st.integers(0, 40))
def test_conditions_are_as_python_has_them(text, i, j):
    values = {"i": i, "j": j}
    try:
        want = bool(eval(text, {"__builtins__": {}}, dict(values)))  # noqa: S307 - a text of this test's own making
    except ZeroDivisionError:
        with pytest.raises(ExpressionError, match="division by zero"):
            Condition(text).holds(values)
        return
    assert Condition(text).holds(values) == want


@given(st.text(max_size=50) | st.text("0123456789+-*/%()<>=! ijandorTruefls", max_size=50), st.text(max_size=20))
def test_no_filter_makes_a_trace(condition, name):
    try:
        LayoutFilters([f"(?P<i>.*);{condition}"], warn=lambda t: None).accept(name)
    except errors.ConfigError:
        return


@given(st.text(max_size=20))
def test_what_normalize_makes_of_a_plain_name_matches_its_numbers(text):
    plain = re.sub(r"\W", "", text, flags=re.ASCII)
    match = re.fullmatch(normalize_regex(plain + "_{n}"), plain + "_42")
    assert match and match["n"] == "42"
