"""The agent's configuration file: its grammar, includes, numbers, and that nothing in it makes a trace (spec 60, 3.3)."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monolith_cli import errors
from monolith_cli.serving.agent.config import FIELDS, AgentConfig, field_values, kind_of, load_config
from monolith_cli.serving.agent.config_file import MAX_FILE_BYTES, MAX_FILES, read_config_file
from monolith_cli.serving.agent.expression import ARITHMETIC, Expression, ExpressionError


def write(path, text):
    path.write_text(text)
    return path


def test_lines_of_the_grammar(tmp_path):
    """T6."""
    read = read_config_file(write(tmp_path / "a", "a 1\nb=2\nc = 3 4\nd\t5\n e  6 # cm\nf#7\nh =\ng\ni 1=2\n\n  # x 1\n"))
    assert read.as_map() == {"a": "1", "b": "2", "c": "3 4", "d": "5", "e": "6", "i": "1=2"}
    assert [w.split(": ", 1)[0] for w in read.warnings] == [f"{tmp_path}/a:{n}" for n in (6, 7, 8)]


SAMPLE = """
bzid = gip  # who
server_type ENTRY
stand_alone_serving true
layout_filters ps_0
load_retry_interval_micros 60 * 1000 * 1000
saved_model_tags none
layout_filters ps_1
enable_batching Yes
flush_filesystem_caches n
per_process_gpu_memory_fraction 1 / 4
rough_sort_model_loaded_server None
"""


def test_a_sample_file(tmp_path):
    """T6."""
    c = load_config(write(tmp_path / "c", SAMPLE), {})
    assert (c.bzid, c.deploy_type, c.layout_filters) == ("gip", "mixed", ["ps_0", "ps_1"])
    assert c.load_retry_interval_micros == 60000000 and c.saved_model_tags is None
    assert c.enable_batching is True and c.flush_filesystem_caches is False and c.per_process_gpu_memory_fraction == 0.25
    assert c.rough_sort_model_loaded_server is None


def test_one_filter_is_a_list_and_three_are_kept(tmp_path):
    assert load_config(write(tmp_path / "c", "deploy_type ps\nlayout_filters a;True"), {}).layout_filters == ["a;True"]
    three = "deploy_type ps\n" + "layout_filters x\nlayout_filters y\nlayout_filters z\n"
    assert load_config(write(tmp_path / "c", three), {}).layout_filters == ["x", "y", "z"]


def test_deploy_type_before_a_comment_and_before_server_type(tmp_path):
    assert load_config(write(tmp_path / "c", "deploy_type unified # one server"), {}).deploy_type == "unified"
    assert load_config(write(tmp_path / "c", "server_type ps\ndeploy_type entry"), {}).deploy_type == "entry"


@pytest.mark.parametrize("line, says", [
    ("num_ps twelve", "num_ps: 'twelve', column 1"), ("num_ps 10 / 4", "10 / 4 is 2.5, not a whole number"),
    ("num_ps 1\nnum_ps 2", "comes again at"), ("nmu_ps 3", "nmu_ps: no such key"), ("num_ps __import__('os')", "is not understood"),
    ("version_policy none", "cannot be none"), ("num_ps 2 ** 999", "exponent"), ("environ x", "environ: no such key"),
    ("held_ports 1", "no such key"), ("model_config_file f", "no such key"),
])
def test_what_cannot_be_used_is_told_with_its_place(tmp_path, line, says):
    told = []
    c = load_config(write(tmp_path / "c", f"deploy_type entry\n{line}\n"), {}, told.append)
    assert len(told) == 1 and told[0].startswith(f"{tmp_path}/c:2: ") and says in told[0]
    assert (c.num_ps, c.version_policy) == (1, "latest")


def test_includes_are_relative_to_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "common.conf", "bzid b\nnum_ps 7\n")
    main = write(tmp_path / "sub" / "c", "include   common.conf # shared\ndeploy_type ps\ninclude absent.conf\nincluded 1\ninclude\n")
    told = []
    c = load_config(main, {}, told.append)
    assert (c.bzid, c.num_ps) == ("b", 7)
    assert [t.split(": ", 1)[1] for t in told] == [
        "include 'absent.conf': no such file: left out", "include names no file: left out", "included: no such key: left out"]


def test_an_included_value_and_an_own_one_are_two(tmp_path):
    write(tmp_path / "i", "num_ps 7\n")
    told = []
    c = load_config(write(tmp_path / "c", f"include {tmp_path}/i\nnum_ps 8\ndeploy_type ps\n"), {}, told.append)
    assert c.num_ps == 1 and f"{tmp_path}/i:1: num_ps: comes again at {tmp_path}/c:2" in told[0]


def test_circles_depth_and_strange_includes_are_told(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    write(a, f"include {b}\nx 1\n")
    write(b, f"include {a}\ny 2\n")
    read = read_config_file(a)
    assert read.as_map() == {"y": "2", "x": "1"} and "includes itself" in read.warnings[0]
    for i in range(40):
        write(tmp_path / f"d{i}", f"k{i} 1\ninclude {tmp_path}/d{i + 1}\n")
    read = read_config_file(tmp_path / "d0")
    assert len(read.settings) == 16 and "nested deeper than 16" in read.warnings[0]
    os.mkfifo(tmp_path / "pipe")
    strange = write(tmp_path / "s", f"include {tmp_path}/pipe\ninclude {tmp_path}\ninclude x\0y\n")
    assert ["this is no file" in w or "no such file" in w for w in read_config_file(strange).warnings] == [True] * 3


def test_a_fan_of_includes_is_bounded(tmp_path):
    for i in range(15):
        write(tmp_path / f"f{i}", f"include {tmp_path}/f{i + 1}\n" * 2)
    write(tmp_path / "f15", "x 1\n")
    with pytest.raises(errors.ConfigError, match=f"more than {MAX_FILES} files"):
        read_config_file(tmp_path / "f0")


def test_what_is_no_configuration_file(tmp_path):
    with pytest.raises(errors.NoInputError, match="No such file"):
        load_config(tmp_path / "absent", {})
    (tmp_path / "binary").write_bytes(b"deploy_type \xff")
    with pytest.raises(errors.ConfigError, match="byte 12 is not UTF-8"):
        load_config(tmp_path / "binary", {})
    (tmp_path / "large").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(errors.ConfigError, match="larger than"):
        load_config(tmp_path / "large", {})
    with pytest.raises(errors.ConfigError, match="deploy_type is not set"):
        load_config(write(tmp_path / "empty", ""), {})


keys = st.sampled_from([f.name for f in FIELDS] + ["server_type", "include", "x"]) | st.text(max_size=8)
lines = st.tuples(keys, st.sampled_from([" ", "=", "\t", " = ", ""]), st.text(max_size=30)).map("".join) | st.text(max_size=40)


@given(st.lists(lines, max_size=12).map("\n".join))
def test_no_text_makes_a_trace(tmp_path_factory, text):
    """A text gives a configuration or an error of ours; fields have the types they are declared with."""
    path = tmp_path_factory.mktemp("fuzz") / "c"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        values, _ = field_values(read_config_file(path))
    except errors.Error:
        return
    types = {"bool": bool, "int": int, "float": float, "str": str, "list": list}
    kinds = {f.name: kind_of(f) for f in FIELDS}
    assert all(v is None or type(v) is types[kinds[k]] for k, v in values.items())
    try:
        AgentConfig(**values, environ={}).release_ports()
    except errors.Error:
        return


@given(st.binary(max_size=200))
def test_no_bytes_make_a_trace(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "c"
    path.write_bytes(data)
    try:
        read_config_file(path)
    except errors.Error:
        return


numbers = st.integers(0, 10**6).map(str) | st.floats(0, 1e6, allow_nan=False).map(repr)
arithmetic = st.recursive(
    numbers, lambda part: st.tuples(part, st.sampled_from("+ - * / // % **".split()), part).map(" ".join)
    | part.map(lambda t: f"({t})") | part.map(lambda t: f"-{t}"), max_leaves=8)


@given(arithmetic)
def test_arithmetic_is_as_python_has_it(text):
    try:
        value = Expression(text, ARITHMETIC).evaluate()
    except ExpressionError:
        return
    want = eval(text, {"__builtins__": {}})  # noqa: S307 - digits and operators of this test's own making
    assert value == want and type(value) is type(want)


@given(st.text(max_size=60) | st.text("0123456789+-*/%(). _exab", max_size=60))
def test_no_expression_makes_a_trace(text):
    try:
        assert isinstance(Expression(text, ARITHMETIC).evaluate(), (int, float))
    except ExpressionError:
        return
