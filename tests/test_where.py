"""The --where expression, against a slow model over protobuf's own classes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mangled
from record_model import Facts, compare, compare_list

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.filter import FilterConfig

INTS = {"uid": mangled.uint64s, "item_id": mangled.uint64s, "req_time": mangled.int64s, "chnid": mangled.int64s, "rank": mangled.small}
STRINGS = ["device_type", "cid", "user_id", "data_source_name"]
LISTS = ["actions", "pre_actions", "special_strategies"]
COMPARISONS = {"gt": [">", "gt"], "ge": [">=", "ge"], "eq": ["==", "=", "eq"], "lt": ["<", "lt"], "le": ["<=", "le"], "neq": ["!=", "neq"]}


def quoted(text: str) -> st.SearchStrategy[str]:
    escaped = "".join(f"\\x{b:02x}" for b in text.encode())
    return st.sampled_from([json.dumps(text, ensure_ascii=False), "'" + text + "'", "'" + escaped + "'"])


def number(value) -> st.SearchStrategy[str]:
    if isinstance(value, float):
        return st.just(repr(value))
    return st.sampled_from([str(value), hex(value) if value >= 0 else "-" + hex(-value)])


def literal_list(draw, values, write) -> str:
    return "[" + ", ".join(draw(write(v)) for v in values) + "]"


@st.composite
def scalar(draw, name, value_of, operands, write, ops):
    """(text, function of Facts) of one condition on a scalar. value_of gives None for what is not there."""
    op = draw(st.sampled_from(ops))
    if op in COMPARISONS:
        given_operands = [draw(operands)]
        text = f"{name} {draw(st.sampled_from(COMPARISONS[op]))} {draw(write(given_operands[0]))}"
    elif op == "between":
        given_operands = [draw(operands), draw(operands)]
        low, high = (draw(write(o)) for o in given_operands)
        text = f"{name} between " + draw(st.sampled_from([f"{low} and {high}", f"[{low}, {high}]"]))
    else:
        given_operands = draw(st.lists(operands, max_size=6))
        text = f"{name} {draw(st.sampled_from(['not in', 'not-in']) if op == 'not in' else st.just(op))} " + literal_list(draw, given_operands, write)

    def model(facts):
        value = value_of(facts)
        return value is not None and compare(op, value, given_operands)

    return text, model


NUMBER_OPS = [*COMPARISONS, "between", "in", "not in"]
finite = st.sampled_from([0.0, 1.0, 0.5, 0.1, 2.0, -1.0, 3.5])


def field(name):
    return lambda facts: getattr(facts.line_id, name)


def label(i):
    return lambda facts: facts.labels[i] if i < len(facts.labels) else None


@st.composite
def list_condition(draw):
    name, op = draw(st.sampled_from(LISTS)), draw(st.sampled_from(["any", "all", "diff"]))
    operands = draw(st.lists(st.sampled_from([1, 2, 3, -1]), max_size=4))
    text = literal_list(draw, operands, number) if len(operands) != 1 or draw(st.booleans()) else str(operands[0])
    return f"{name} {op} {text}", lambda facts: compare_list(op, getattr(facts.line_id, name), operands, facts.keep_empty)


conditions = st.one_of(
    *(scalar(n, field(n), values, number, NUMBER_OPS) for n, values in INTS.items()),
    *(scalar(n, field(n), mangled.texts, quoted, NUMBER_OPS + ["startswith", "endswith"]) for n in STRINGS),
    scalar("sample_rate", field("sample_rate"), finite, number, NUMBER_OPS),
    scalar("instance_weight", lambda facts: facts.weight, finite, number, NUMBER_OPS),
    scalar("label", label(0), finite, number, NUMBER_OPS), scalar("label[1]", label(1), finite, number, NUMBER_OPS),
    list_condition(), list_condition(),
    st.sampled_from([("is_draw", True), ("is_draw == true", True), ("is_draw = false", False), ("is_draw != true", False)]).map(
        lambda pair: (pair[0], lambda facts: facts.line_id.is_draw == pair[1])),
    st.sampled_from([0, 1, 2, 3, 511, 1023, 1024, 32767]).map(lambda s: (f"has_slot({s})", lambda facts: s in facts.slots)),
    (mangled.v1_fids | mangled.v2_fids).map(lambda f: (f"has_fid({f})", lambda facts: f in facts.fids)))


def combine(children):
    def negate(pair):
        return f"not ({pair[0]})", lambda facts: not pair[1](facts)

    def join(word, pairs, function):
        return "(" + f" {word} ".join(p[0] for p in pairs) + ")", lambda facts: function(p[1](facts) for p in pairs)

    several = st.lists(children, min_size=2, max_size=3)
    return st.one_of(children.map(negate), several.map(lambda p: join("and", p, all)), several.map(lambda p: join("or", p, any)))


expressions = conditions | st.recursive(conditions, combine, max_leaves=6)


def keeps(record_type, payload, expression, keep_empty=False):
    return bool(_core.apply(FilterConfig(record_type=record_type, where=expression, keep_empty=keep_empty).operator(), payload))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(["instance", "example"]).flatmap(lambda t: st.tuples(st.just(t), getattr(mangled, t))), expressions, st.booleans())
def test_agrees_with_the_model(record, expression, keep_empty):
    record_type, payload = record
    text, model = expression
    facts = Facts(record_type, payload)
    facts.keep_empty = keep_empty
    assert keeps(record_type, payload, text, keep_empty) == model(facts), text


@settings(max_examples=200, deadline=None)
@given(conditions, mangled.instance)
def test_each_condition_agrees_with_its_negation(condition, payload):
    assert keeps("instance", payload, condition[0]) != keeps("instance", payload, f"not ({condition[0]})")


@settings(max_examples=300, deadline=None)
@given(mangled.filled_line_id, list_condition(), st.booleans())
def test_lists_agree_with_the_model(line_id, condition, keep_empty):
    payload = mangled.field(5, mangled.BYTES, line_id)
    facts = Facts("instance", payload)
    facts.keep_empty = keep_empty
    assert keeps("instance", payload, condition[0], keep_empty) == condition[1](facts)


@pytest.mark.parametrize(("expression", "kept"), [
    ("chnid == 1 or chnid == 2 and rank == 9", True),
    ("(chnid == 1 or chnid == 2) and rank == 9", False),
    ("not chnid == 2 and chnid == 1", True),
    ("chnid between 1 and 2 and rank == 0", True),
    ("chnid IN [1] AND NOT chnid IN [2]", True),
])
def test_precedence(expression, kept):
    from monolith_protos import proto_parser_pb2

    record = proto_parser_pb2.Instance()
    record.line_id.chnid = 1
    assert keeps("instance", record.SerializeToString(), expression) is kept


@pytest.mark.parametrize(("expression", "message", "spot"), [
    ("chnid >= 1 and req_tme > 3", 'unknown field "req_tme"; did you mean req_time?', "req_tme"),
    ("chnid startswith 'a'", "startswith is for strings, and chnid is a number", "startswith"),
    ("rank == 2 and chnid == 'x'", "chnid is a number, not a string", "'x'"),
    ("user_id == hello", 'expected a number or a string, found "hello"; a string stands in quotes', "hello"),
    ("actions in [1]", "actions is a list: use any, all or diff", "in"),
    ("chnid any [1]", "any is for lists (actions, pre_actions, special_strategies); for chnid use in", "any"),
    ("chnid == 1 && rank == 2", "write `and` for &&", "&&"),
    ("user_id == 'abc", "a string without its closing quote", "'abc"),
    ("has_slot(40000)", "slot should be less than 32768, while got 40000", "40000"),
    ("user_id = 'ü' and req_time >= 1.5", "req_time is an integer, not a float", "1.5"),
])
def test_mistakes_are_shown_with_a_caret(run, expression, message, spot):
    done = run("pb-filter", "--where", expression, stdin=b"", check=False)
    assert done.returncode == 2 and done.stdout == b""
    first, line, caret = done.stderr.rstrip("\n").split("\n")
    assert first == f"pb-filter: --where: {message}"
    assert line == "  " + expression
    assert caret == "  " + " " * expression.index(spot) + "^" + "~" * (len(spot) - 1)


def test_mistakes_from_python():
    with pytest.raises(errors.UsageError, match="did you mean chnid"):
        FilterConfig(where="chnd == 1").operator()
