"""pb-transform: vectors of the spec, the three forms of its file, and its steps against a slow model over protobuf's classes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import label_model
import mangled
from conftest import run_command
from record_model import Facts, compare, compare_list

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators import transform_file
from monolith_cli.operators.transform import (AddLabel, Compose, FilterByAction, FilterByFid, FilterByLabel, FilterByValue, LogicalOr,
                                              operator)
from monolith_protos import example_pb2, proto_parser_pb2
from monolith_protos.transform_config_pb2 import TransformConfig

FID = 290956192322012601
H7 = Compose([FilterByFid(select_fids=[FID]), FilterByValue("chnid", "in", [0]),
              LogicalOr(FilterByValue("rank", "eq", 0), FilterByAction([2]))])
H8 = "0a0e0a0c0a0a18b98bb7c4d8e3eb84040a130a112a0f0a0563686e69641202696e200030000a1a12180a102a0e0a0472616e6b1202657120003000120412020802"


def frame(*payloads: bytes) -> bytes:
    return b"".join(len(p).to_bytes(8, "little") + p for p in payloads)


def record_of_h7(record_type: str, i: int) -> bytes:
    fids = [2 << 54 | i, 3 << 54 | i] if i < 10 else [FID]
    record = proto_parser_pb2.Instance(fid=fids) if record_type == "instance" else example_pb2.Example()
    if record_type == "example":
        record.named_feature.add(name="f").feature.fid_v1_list.value.extend(fids)
    record.line_id.actions.append(2 if 30 <= i < 35 else 0)
    record.line_id.chnid = 0 if 20 <= i < 40 else 1
    record.line_id.rank = 0 if 20 <= i < 30 else 1
    return record.SerializeToString()


def serialized(transform) -> str:
    return transform.proto().SerializeToString().hex()


# ------------------------------------------------------------------------------------------------- spec 20, TV-H, section 27

@pytest.mark.parametrize("record_type", ["instance", "example"])
def test_h7_h14_chain_and_its_summary(run, tmp_path, record_type):
    records = [record_of_h7(record_type, i) for i in range(40)]
    (tmp_path / "chain.pb").write_bytes(H7.proto().SerializeToString())
    done = run("pb-transform", "-t", record_type, "--transform", tmp_path / "chain.pb", "--stats", tmp_path / "s.json", stdin=frame(*records))
    assert done.stdout == frame(*records[20:35])
    lines = [line.removeprefix("pb-transform: ") for line in done.stderr.splitlines()]
    assert [line for line in lines if line.startswith("Finally")] == [
        "Finally FilterByFid, input = 40, output = 30, retention rate = 0.75",
        "Finally FilterByValue, input = 30, output = 20, retention rate = 0.67",
        "Finally FilterByValue, input = 20, output = 10, retention rate = 0.50",
        "Finally FilterByAction, input = 20, output = 5, retention rate = 0.25",
        "Finally ((FilterByFid and FilterByValue) and (FilterByValue or FilterByAction)), input = 40, output = 15, retention rate = 0.38"]
    stats = json.loads((tmp_path / "s.json").read_text())
    assert stats["dropped"] == {"transform.filter_by_fid": 10, "transform.filter_by_value": 10, "transform.or": 5}
    assert [step["out"] for step in stats["operators"][0]["steps"]] == [30, 20, 10, 5, 15]
    assert "Finally" not in run("pb-transform", "-q", "--transform", tmp_path / "chain.pb", stdin=b"").stderr


def test_h8_to_h11_bytes():
    assert serialized(H7) == H8
    assert serialized(FilterByAction([4])) == "0a060a0412020804"
    assert serialized(FilterByLabel([-100, -100])) == "0a0e0a0c1a0a0d0000c8c20d0000c8c2"
    assert serialized(AddLabel("1,2:3:1.0;4::0.5", 0.0, 0.3)) == "0a240a2222200a0b0801080210031d0000803f0a0708041d0000003f15000000001d9a99993e"
    text = b"configs { basic_config { filter_by_fid { select_fids: 18428264561369945341 } } }"
    assert transform_file.parse(text, "auto", "x").SerializeToString().hex() == "0a0f0a0d0a0b18fda980fbb39f96dfff01"
    assert serialized(FilterByFid(select_fids=[18428264561369945341])) == "0a0f0a0d0a0b18fda980fbb39f96dfff01"


@pytest.mark.parametrize(("thresholds", "kept"), [([], False), ([0], True)])
def test_h12_thresholds(thresholds, kept):
    record = proto_parser_pb2.Instance(label=[0]).SerializeToString()
    assert _core.apply(FilterByLabel(thresholds).operator(), record) == [record] * kept


# -------------------------------------------------------------------------------------------------------------- semantics

def actions(*values: int, label=(), **more) -> bytes:
    record = proto_parser_pb2.Instance(label=label, **more)
    record.line_id.actions.extend(values)
    return record.SerializeToString()


def labels(payload: bytes) -> list[float]:
    return list(proto_parser_pb2.Instance.FromString(payload).label)


def test_an_empty_chain_passes_everything_on(run, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    stream = frame(b"", actions(1), b"\x08\x01")
    done = run("pb-transform", "--transform", tmp_path / "empty", stdin=stream)
    assert done.stdout == stream
    assert "Finally Identity, input = 3, output = 3, retention rate = 1.00" in done.stderr
    assert "retention rate = 0.00" in run("pb-transform", "--transform", tmp_path / "empty", stdin=b"").stderr
    assert serialized(Compose([])) == "" and Compose([Compose([]), Compose([FilterByAction([4])])]).proto() == FilterByAction([4]).proto()


def test_both_branches_run_and_labels_stay():
    """What x adds is there when y alone keeps the record, and y sees it; both may add."""
    label = AddLabel("1::1", -1.0)
    (out,) = _core.apply(LogicalOr(label, FilterByAction([9])).operator(), actions(1))
    assert labels(out) == [1.0]
    (out,) = _core.apply(LogicalOr(FilterByAction([9]), label).operator(), actions(2))
    assert labels(out) == [-1.0]
    (out,) = _core.apply(LogicalOr(label, AddLabel("2::1", -2.0)).operator(), actions(2))
    assert labels(out) == [float(np.finfo(np.float32).min), 1.0]  # the first label was at most 0
    op = Compose([LogicalOr(label, FilterByLabel([5.0])), FilterByLabel([1.0])]).operator()
    assert _core.apply(op, actions(2)) == []
    assert labels(_core.apply(op, actions(1))[0]) == [1.0]
    assert op.summary() == [("AddLabel", 2, 2), ("FilterByLabel", 2, 0), ("FilterByLabel", 2, 1),
                            ("((AddLabel or FilterByLabel) and FilterByLabel)", 2, 1)]


def test_a_single_step_is_said_once(run, tmp_path):
    (tmp_path / "one").write_bytes(FilterByAction([1]).proto().SerializeToString())
    done = run("pb-transform", "--transform", tmp_path / "one", stdin=frame(actions(1), actions(2)))
    assert done.stderr.count("FilterByAction") == 1


def test_no_task_and_any_sample_rate_are_allowed():
    """Only the first label and the sample rate change."""
    config = TransformConfig()
    config.configs.add().basic_config.add_label.new_sample_rate = 7.0
    (out,) = _core.apply(operator(config), actions(1, label=[-3.0, 2.0]))
    made = proto_parser_pb2.Instance.FromString(out)
    assert list(made.label) == [float(np.finfo(np.float32).min), 2.0] and made.line_id.sample_rate == 7.0


def test_fields_that_have_no_conditions_drop_everything(run, tmp_path):
    for field in ("no_such_field", "is_draw"):
        (tmp_path / "t").write_text(f'configs {{ basic_config {{ filter_by_value {{ field_name: "{field}" op: "eq" int_operand: 0 }} }} }}')
        done = run("pb-transform", "--transform", tmp_path / "t", stdin=frame(actions(1)))
        assert done.stdout == b"" and "configs[0].basic_config.filter_by_value" in done.stderr and field in done.stderr


def test_operand_files_replace_operands(run, tmp_path):
    (tmp_path / "values").write_bytes(bytes.fromhex("12060a04141e9a05"))
    (tmp_path / "t").write_text(f'configs {{ basic_config {{ filter_by_value {{ field_name: "chnid" op: "in" int_operand: 1 '
                                f'operand_filepath: "{tmp_path}/values" }} }} }}')
    records = []
    for chnid in (1, 20, 666):
        record = proto_parser_pb2.Instance()
        record.line_id.chnid = chnid
        records.append(record.SerializeToString())
    assert run("pb-transform", "--transform", tmp_path / "t", stdin=frame(*records)).stdout == frame(*records[1:])
    (tmp_path / "values").unlink()
    done = run("pb-transform", "--transform", tmp_path / "t", check=False)
    assert done.returncode == 66 and f"{tmp_path}/values" in done.stderr


def test_seeds(run, tmp_path):
    (tmp_path / "t").write_bytes(AddLabel("1::0.5", -1.0).proto().SerializeToString())
    stream = frame(*[actions(2)] * 64)
    first, again, other = (run("pb-transform", "--transform", tmp_path / "t", "--seed", seed, stdin=stream).stdout for seed in (1, 1, 2))
    assert first == again != other


# --------------------------------------------------------------------------------------------------------- forms and mistakes

def test_the_three_forms_say_the_same(run, tmp_path):
    from google.protobuf import json_format, text_format

    config = H7.proto()
    forms = {"text": text_format.MessageToString(config).encode(), "json": json_format.MessageToJson(config).encode(),
             "binary": config.SerializeToString()}
    stream = frame(*[record_of_h7("instance", i) for i in range(40)])
    for form, data in forms.items():
        assert transform_file.told(data) == form
        path = tmp_path / form
        path.write_bytes(data)
        outputs = {run("pb-transform", "--transform", path, *more, stdin=stream).stdout for more in ([], ["--transform-format", form])}
        assert outputs == {frame(*[record_of_h7("instance", i) for i in range(20, 35)])}


@pytest.mark.parametrize(("text", "parts"), [
    ("configs {\n  basic_confg { }\n}", ["line 2, column 3", "basic_confg", "\n    basic_confg { }\n    ^"]),
    ("configs { basic_config { filter_by_fid { has_fids: -1 } } }", ["line 1, column 52"]),
    ("configs { basic_config { filter_by_fid { has_fids: 1 }", ["line 1, column"]),
    ('{"configs": [{"basic_config"}]}', ["line 1, column 29"]),
    ('{"configs": [{"basicConfig": {"filterByFood": {}}}]}', ["filterByFood"]),
    ("configs { }", ["configs[0]", "neither basic_config nor logical_or_config"]),
    ("configs { basic_config { } }", ["configs[0].basic_config", "holds no transform"]),
    ("configs { logical_or_config { x { } } }", ["configs[0].logical_or_config.y", "required"]),
    ("configs { basic_config { filter_by_value { op: 'eq' } } }", ["field_name", "required"]),
    ("configs { basic_config { filter_by_value { field_name: 'chnid' op: 'eq' } } }", ["configs[0].basic_config.filter_by_value", "operand"]),
    ("configs { basic_config { filter_by_value { field_name: 'chnid' op: 'like' int_operand: 1 } } }", ["like"]),
    ("configs { basic_config { filter_by_value { field_name: 'chnid' op: 'any' int_operand: 1 } } }", ["any"]),
    ("configs { basic_config { filter_by_value { field_name: 'chnid' op: 'startswith' int_operand: 1 } } }", ["startswith"]),
    ("configs { basic_config { filter_by_value { field_name: 'actions' op: 'in' int_operand: 1 } } }", ["in does not work"]),
    ("configs { basic_config { add_label { task_label_configs { neg_actions: 1 } } } }", ["add_label", "positive"]),
    ("configs { basic_config { add_label { task_label_configs { pos_actions: 1 sample_rate: 1.5 } } } }", ["add_label", "rate"]),
])
def test_mistakes_are_found_before_reading(run, tmp_path, text, parts):
    path = tmp_path / "chain.txt"
    path.write_text(text)
    done = run("pb-transform", "--transform", path, stdin=b"broken", check=False)
    assert done.returncode == 78, done.stderr
    assert str(path) in done.stderr and "Traceback" not in done.stderr and "--" not in done.stderr
    for part in parts:
        assert part in done.stderr


def test_other_mistakes(run, tmp_path):
    assert run("pb-transform", check=False).returncode == 2
    done = run("pb-transform", "--transform", tmp_path / "none", check=False)
    assert done.returncode == 66 and str(tmp_path / "none") in done.stderr
    (tmp_path / "t").write_bytes(b"\x0a\x05\x0a")
    done = run("pb-transform", "--transform", tmp_path / "t", check=False)
    assert done.returncode == 78 and "serialized TransformConfig" in done.stderr
    (tmp_path / "t").write_bytes(FilterByAction([1]).proto().SerializeToString())
    done = run("pb-transform", "-t", "example_batch", "--transform", tmp_path / "t", check=False)
    assert done.returncode == 2 and "pb-convert --from example_batch --to example" in done.stderr


@pytest.mark.parametrize("make", [
    lambda: LogicalOr(Compose([]), FilterByAction([1])), lambda: LogicalOr(FilterByAction([1]), LogicalOr(FilterByAction([1]), FilterByAction([2]))),
    lambda: FilterByValue("nothing", "eq", 1), lambda: FilterByValue("chnid", "like", 1), lambda: FilterByValue("chnid", "eq", [1]),
    lambda: FilterByValue("chnid", "between", [1]), lambda: FilterByValue("chnid", "any", [1]), lambda: FilterByValue("actions", "in", [1]),
    lambda: FilterByValue("user_id", "eq", 1), lambda: FilterByValue("user_id", "any", "a"), lambda: FilterByValue("is_draw", "eq", True),
    lambda: FilterByValue("sample_rate", "startswith", 1.0), lambda: FilterByValue("chnid", "eq", "1"), lambda: AddLabel("1:2", 0.0, 1.0),
])
def test_builders_refuse(make):
    with pytest.raises(errors.UsageError):
        make()


def test_operands_of_builders():
    def operands(*args):
        value = FilterByValue(*args).basic().filter_by_value
        return list(value.float_operand), list(value.int_operand), list(value.string_operand)

    assert operands("chnid", "eq", 1.9) == ([], [1], [])
    assert operands("uid", "in", [(1 << 64) - 1]) == ([], [-1], [])
    assert operands("sample_rate", "ge", 1) == ([1.0], [], [])
    assert operands("sample_rate", "between", [0.5, 2]) == ([0.5, 2.0], [], [])
    assert operands("user_id", "eq", "a") == ([], [], ["a"])
    assert operands("user_id", "startswith", ["a", "b"]) == ([], [], ["a", "b"])
    assert operands("special_strategies", "any", 5) == ([], [5], [])
    assert operands("actions", "all", [1, 2]) == ([], [1, 2], [])
    record = proto_parser_pb2.Instance()
    record.line_id.uid = (1 << 64) - 1
    payload = record.SerializeToString()
    assert _core.apply(FilterByValue("uid", "in", [(1 << 64) - 1]).operator(), payload) == [payload]


@pytest.mark.parametrize("tail", [b"\x2a\x05\x01", b"\xff"])
def test_broken_records(run, tmp_path, tail):
    path = tmp_path / "t"
    path.write_bytes(H7.proto().SerializeToString())
    good = record_of_h7("instance", 25)
    (tmp_path / "in.pb").write_bytes(frame(good, tail, good))
    done = run("pb-transform", "--transform", path, tmp_path / "in.pb", check=False)
    assert done.returncode == 65 and done.stdout == frame(good)
    assert done.stderr.startswith(f"pb-transform: {tmp_path}/in.pb: byte {len(frame(good))}: ")
    assert run("pb-transform", "--transform", path, "--on-bad-record", "skip", tmp_path / "in.pb").stdout == frame(good, good)
    run("pb-transform", "--transform", path, "--on-bad-record", tmp_path / "bad", tmp_path / "in.pb")
    assert (tmp_path / "bad").read_bytes() == frame(tail)


def test_a_line_for_each_step_now_and_then(monkeypatch):
    """With -v, while records come; without it at the end alone."""
    import threading

    from monolith_cli.records import summaries

    class Log:
        def __init__(self, verbosity):
            self.verbosity, self.said, self.told = verbosity, [], threading.Event()

        def info(self, line):
            self.said.append(line)
            self.told.set()

        def summary(self, line):
            self.said.append(line)

    monkeypatch.setattr(summaries, "EVERY_SECONDS", 0.001)
    op = FilterByAction([1]).operator()
    log = Log(1)
    with summaries.logged([op], log):
        assert log.told.wait(60)
    assert log.said[0] == "FilterByAction, input = 0, output = 0, retention rate = 0.00"
    assert log.said[-1] == "Finally FilterByAction, input = 0, output = 0, retention rate = 0.00"
    log = Log(0)
    with summaries.logged([op], log):
        _core.apply(op, actions(1))
    assert log.said == ["Finally FilterByAction, input = 1, output = 1, retention rate = 1.00"]


# --------------------------------------------------------------------------------------------------------- against the model

fids = mangled.v1_fids | mangled.v2_fids
fid_lists = st.lists(fids, max_size=2)
int32s = st.sampled_from([0, 1, 2, 3, -1])
values = st.one_of(
    st.builds(FilterByValue, st.sampled_from(["chnid", "rank", "req_time"]), st.sampled_from(["gt", "ge", "eq", "lt", "le", "neq"]), mangled.small),
    st.builds(FilterByValue, st.sampled_from(["chnid", "uid"]), st.sampled_from(["in", "not-in"]), st.lists(st.sampled_from([0, 1, 2]), max_size=2)),
    st.builds(FilterByValue, st.sampled_from(["user_id", "cid"]), st.sampled_from(["startswith", "endswith", "in", "not-in"]),
              st.lists(mangled.texts, max_size=2)),
    st.builds(FilterByValue, st.just("sample_rate"), st.sampled_from(["gt", "le", "eq"]), st.sampled_from([0.0, 0.1, 1.0])),
    st.builds(FilterByValue, st.sampled_from(["actions", "pre_actions", "special_strategies"]), st.sampled_from(["any", "all", "diff"]),
              st.lists(int32s, max_size=3), st.booleans()))
tasks = st.sampled_from(["1::1", "1,2:3:1;2::0", "3:1:0"])
basics = st.one_of(
    st.builds(FilterByFid, fid_lists, fid_lists, fid_lists), st.builds(FilterByAction, st.lists(int32s, max_size=3)),
    st.builds(FilterByLabel, st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), max_size=2)), values,
    st.builds(AddLabel, tasks, st.sampled_from([0.0, -1.0]), st.sampled_from([0.25, 1.0])))
chains = st.lists(basics | st.builds(LogicalOr, basics, basics), max_size=4).map(Compose)


class Model:
    """What becomes of one record, by the classes of the builders."""

    def __init__(self, record_type: str, payload: bytes):
        self.record_type, self.payload, self.changed = record_type, payload, False

    def run(self, transform) -> bool:
        if isinstance(transform, Compose):
            return all(self.run(t) for t in transform.transforms)
        if isinstance(transform, LogicalOr):
            return bool(self.run(transform.x) | self.run(transform.y))
        facts = Facts(self.record_type, self.payload)
        return bool(getattr(self, type(transform).__name__)(transform, facts))

    def FilterByFid(self, t, facts):
        return (facts.line_id.req_time >= 0 and not facts.fids & set(t.filter_fids) and (not t.has_fids or facts.fids & set(t.has_fids))
                and set(t.select_fids) <= facts.fids)

    def FilterByAction(self, t, facts):
        return facts.line_id.req_time >= 0 and (not t.has_actions or set(facts.line_id.actions) & set(t.has_actions))

    def FilterByLabel(self, t, facts):
        return len(facts.labels) >= len(t.thresholds) and any(label >= limit for label, limit in zip(facts.labels, t.thresholds))

    def FilterByValue(self, t, facts):
        value = getattr(facts.line_id, t.field_name)
        operands = t.floats or t.ints or t.strings
        if t.op in ("any", "all", "diff"):
            return compare_list(t.op, list(value), operands, t.keep_empty)
        return compare(t.op.replace("-", " "), value, operands)

    def AddLabel(self, t, facts):
        def set_rate(line_id):
            line_id.sample_rate = t.new_sample_rate

        self.payload = label_model.expected(self.record_type, self.payload, label_model.add_label(t), set_rate)
        self.changed = True
        return True


@settings(max_examples=600, deadline=None)
@given(st.data(), chains)
def test_agrees_with_the_model(data, chain):
    record_type = data.draw(st.sampled_from(["instance", "example"]))
    payload = data.draw(getattr(mangled, record_type))
    model = Model(record_type, payload)
    kept = model.run(chain)
    op = chain.operator(record_type, seed=1)
    out = _core.apply(op, payload)
    assert len(out) == kept and sum(op.dropped_by().values()) == 1 - kept
    if not kept:
        return
    if model.changed:
        assert label_model.canonical(record_type, out[0]) == model.payload
    else:
        assert out == [payload]


@settings(max_examples=200, deadline=None)
@given(chains)
def test_every_form_gives_the_message_back(chain):
    from google.protobuf import json_format, text_format

    config = chain.proto()
    for form, data in [("text", text_format.MessageToString(config).encode()), ("json", json_format.MessageToJson(config).encode()),
                       ("binary", config.SerializeToString())]:
        assert transform_file.parse(data, form, "x") == config
        if config.configs:
            assert transform_file.told(data) == form


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode) | st.sampled_from(["configs {", '{"configs": 1}']).map(str.encode))
def test_garbage_is_a_configuration_error(data):
    try:
        operator(transform_file.parse(data, "auto", "x"))
    except errors.ConfigError as e:
        assert str(e).startswith(("x: ", "configs["))


def test_command_in_a_chain(tmp_path):
    """pb-run finishes with the same lines."""
    (tmp_path / "t").write_bytes(FilterByAction([1]).proto().SerializeToString())
    done = run_command("pb-run", f"pb-transform --transform '{tmp_path}/t' | pb-head -n 1", stdin=frame(actions(2), actions(1), actions(1)))
    assert done.stdout == frame(actions(1)) and "Finally FilterByAction, input = 2, output = 1" in done.stderr
