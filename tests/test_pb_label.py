"""pb-label as a user runs it, and its operators against slow models over protobuf's own classes."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import label_model as model
import mangled
from label_model import INVALID
from record_model import Facts

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.add_action import AddActionConfig
from monolith_cli.operators.add_label import AddLabelConfig, TaskLabel
from monolith_cli.operators.fill_multi_rank_output import FillMultiRankOutputConfig
from monolith_cli.operators.label_normalization import LabelNormalizationConfig
from monolith_cli.operators.label_upper_bound import LabelUpperBoundConfig
from monolith_cli.operators.multi_label_gen import MultiLabelGenConfig
from monolith_cli.operators.scatter_label import ScatterLabelConfig
from monolith_cli.operators.use_field_as_label import UseFieldAsLabelConfig
from monolith_protos import proto_parser_pb2


def frame(*payloads: bytes) -> bytes:
    return b"".join(struct.pack("<Q", len(p)) + p for p in payloads)


def unframe(stream: bytes) -> list[bytes]:
    return list(_core.MemoryReader(stream))


def instance(label=(), **line_id) -> bytes:
    record = proto_parser_pb2.Instance(label=label)
    for name, value in line_id.items():
        if isinstance(value, list):
            getattr(record.line_id, name).extend(value)
        else:
            setattr(record.line_id, name, value)
    return record.SerializeToString()


def labels_of(stream: bytes) -> list[list[float]]:
    return [list(proto_parser_pb2.Instance.FromString(p).label) for p in unframe(stream)]


# ----------------------------------------------------------------------------------------------------- through the command

ONE = [
    ("actions", ["--if", "chnid == 7", "--action", "2,3"], {"chnid": 7, "actions": [1]}, {"chnid": 7, "actions": [1, 2, 3]}),
    ("actions of two conditions", ["--if", "chnid == 7", "--action", "2", "--if", "actions any [2]", "--action=-5"], {"chnid": 7},
     {"chnid": 7, "actions": [2, -5]}),
    ("a condition that does not hold", ["--if", "chnid == 8", "--action", "2"], {"chnid": 7}, {"chnid": 7}),
    ("field", ["--label-from", "rank"], {"label": [1, 5], "rank": 3}, {"label": [3, 5], "rank": 3}),
    ("field of a great value", ["--label-from", "rank", "--zero-at-or-above", "3"], {"label": [-1], "rank": 3}, {"label": [0], "rank": 3}),
    ("upper bound", ["--upper-bound", "2,3"], {"label": [9, 9, 9]}, {"label": [2, 3, 9]}),
    ("norm", ["--norm", "scale=0.5", "--norm", "pow=2"], {"label": [1, INVALID]}, {"label": [9, float("inf")]}),
    ("norm without invalid", ["--norm", "scale=0.5,pow=2", "--skip-invalid"], {"label": [1, INVALID]}, {"label": [9, INVALID]}),
    ("head", ["--head", "7=1,8=0", "--pos", "1", "--neg", "2", "--pos-label", "3", "--neg-label", "4", "--priority", "2,1", "--task-num", "3"],
     {"chnid": 7, "actions": [1, 2]}, {"chnid": 7, "actions": [1, 2], "label": [INVALID, 4, INVALID]}),
    ("head from label", ["--head", "ü=1", "--head-field", "user_id", "--from-label"], {"label": [5], "user_id": "ü"},
     {"label": [INVALID, 5], "user_id": "ü"}),
    ("scatter", ["--scatter", "7:1", "--scatter", "8:2,7:0"], {"chnid": 7, "label": [5]}, {"chnid": 7, "label": [5, INVALID, INVALID]}),
    ("tasks", ["--task", "1::1;2:1:1.0", "--add-label", "3:1:0", "--negative-value", "-2", "--new-sample-rate", "0.5"],
     {"actions": [1], "label": [0]}, {"actions": [1], "label": [INVALID, 1, -2, INVALID], "sample_rate": 0.5}),
    ("rank", ["--rank-from", "rank", "--rank-num", "4"], {"rank": 9, "label": [1]}, {"rank": 9, "label": [1, 3]}),
]


@pytest.mark.parametrize(("options", "before", "after"), [c[1:] for c in ONE], ids=[c[0] for c in ONE])
def test_each_option(run, options, before, after):
    done = run("pb-label", *options, stdin=frame(instance(**before)))
    assert unframe(done.stdout) == [instance(**after)]


def test_operations_apply_in_the_order_of_the_manual(run):
    """Each of them shows in what the next one makes; the order on the command line does not matter."""
    groups = [["--if", "rank == 6", "--action", "1"], ["--label-from", "rank"], ["--upper-bound", "5"], ["--norm", "scale=0.5"],
              ["--head", "7=1", "--from-label"], ["--scatter", "7:2"], ["--task", "1::1"], ["--rank-from", "chnid"]]
    stream = frame(instance([1], chnid=7, rank=6))
    for order in (groups, groups[::-1], groups[3:] + groups[:3]):
        # rank 6 over 1, capped to 5, doubled to 10, put to place 1; scatter takes place 0 (invalid); the task saw action 1
        done = run("pb-label", *sum(order, []), stdin=stream)
        assert labels_of(done.stdout) == [[INVALID, INVALID, INVALID, 1, 2]]
        done = run("pb-label", *sum([g for g in order if g[0] != "--scatter"], []), stdin=stream)
        assert labels_of(done.stdout) == [[INVALID, 10, 1, 2]]


def test_as_one_command_as_through_pipes(run):
    stream = frame(*[instance([i % 3], chnid=i % 4, actions=[i % 5], rank=i) for i in range(200)])
    steps = [["--label-from", "rank"], ["--head", "1=0,2=1", "--from-label"], ["--task", "1:2:0.5;3::0.25", "--seed", "9"]]
    piped = stream
    for step in steps:
        piped = run("pb-label", *step, stdin=piped).stdout
    assert run("pb-label", *sum(steps, []), stdin=stream).stdout == piped


def test_what_does_not_change_passes_as_it_came(run):
    # label [1] unpacked, then an unknown field, with a varint longer than it need be
    odd = bytes.fromhex("1d0000803f") + bytes.fromhex("b8038100")
    stream = frame(odd, instance([3]), odd)
    assert run("pb-label", "--upper-bound", "2", stdin=stream).stdout == frame(odd, instance([2]), odd)


def test_the_seed_decides_the_draws(run):
    stream = frame(*[instance(actions=[2])] * 300)
    first = run("pb-label", "--task", "1::0.5", "--seed", 3, stdin=stream).stdout
    assert run("pb-label", "--task", "1::0.5", "--seed", 3, stdin=stream).stdout == first
    assert run("pb-label", "--task", "1::0.5", "--seed", 4, stdin=stream).stdout != first
    assert 100 < sum(label == [0] for label in labels_of(first)) < 200


def test_statistics(run, tmp_path):
    stream = frame(instance([3]), instance([1]))
    done = run("pb-label", "--upper-bound", "2", "--rank-from", "draw", "--stats", tmp_path / "stats.json", stdin=stream)
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert [o["name"] for o in stats["operators"]] == ["label_upper_bound", "fill_multi_rank_output"]
    assert stats["records_in"] == stats["records_out"] == 2 and "records out 2" in done.stderr


@pytest.mark.parametrize(("options", "message"), [
    ([], "nothing to do; give one of --if, "),
    (["--if", "chnid == 1"], "--if is given 1 times and --action 0 times"),
    (["--action", "1"], "--if is given 0 times and --action 1 times"),
    (["--if", "chnid ==", "--action", "1"], "--if: expected a number or a string"),
    (["--if", "chnid == 1", "--action", ""], "--action: no action to add"),
    (["--if", "chnid == 1", "--action", "x"], "--action: Invalid integer string: x"),
    (["--label-from", "ranks"], "--label-from: \"ranks\" is no field of line_id; did you mean rank?"),
    (["--label-from", "actions"], "--label-from: \"actions\" is not a number of line_id; there are uid"),
    (["--label-from", "user_id"], "--label-from: \"user_id\" is not a number"),
    (["--upper-bound", "1,x"], "--upper-bound: Invalid float string: x"), (["--upper-bound", ""], "--upper-bound: no upper bound"),
    (["--norm", "log=1,scale"], "--norm: should look like METHOD=VALUE\n  log=1,scale\n        ^~~~~\n"),
    (["--norm", "root=2"], "--norm: \"root\" is no method; there are log, scale, scale2int, pow, repow, scalelog\n  root=2\n  ^~~~\n"),
    (["--norm", "log=1x"], "--norm: \"1x\" is no number\n  log=1x\n      ^~\n"),
    (["--norm", "log="], "--norm: a number is missing\n  log=\n      ^\n"),
    (["--head", "1=0", "--pos", "1", "--head-field", "rang"], "--head: \"rang\" is no field of line_id; did you mean rank?"),
    (["--head", "1=0", "--pos", "1", "--head-field", "sample_rate"], "--head: \"sample_rate\" is not an integer or a string"),
    (["--head", "ios=0", "--pos", "1"], "--head: head \"ios\" is no value of chnid"),
    (["--head", "1=0"], "--head: a positive action is needed"),
    (["--head", "1=0", "--from-label", "--neg", "1"], "--head: labels come from actions or from the label that is there"),
    (["--head", "1=3", "--pos", "1", "--task-num", "3"], "--head: index 3 of head \"1\" is not in 0..2"),
    (["--head", "1=0,2", "--pos", "1"], "--head: should look like HEAD=INDEX\n  1=0,2\n      ^\n"),
    (["--head", "1=0, a:b=1", "--pos", "1"], "--head: a head has no \":\"\n  1=0, a:b=1\n       ^~~\n"),
    (["--head", "1=-1", "--pos", "1"], "--head: -1 is not in 0..65535\n  1=-1\n    ^~\n"),
    (["--scatter", "1:0,,2:1"], "--scatter: should look like CHNID:INDEX\n  1:0,,2:1\n      ^\n"),
    (["--scatter", "1:99999"], "--scatter: 99999 is not in 0..65535\n  1:99999\n    ^~~~~\n"),
    (["--scatter", "9223372036854775808:0"], "--scatter: 9223372036854775808 is not in -9223372036854775808..9223372036854775807"),
    (["--task", "1:2:1.0; 1:2"], "--task: should look like POS:NEG:RATE\n  1:2:1.0; 1:2\n           ^~~\n"),
    (["--task", "1::1", "--task", ":3:1.0"], "--task: a task needs a positive action\n  :3:1.0\n  ^~~~~~\n"),
    (["--task", "1:2:nan"], "--task: nan is not a finite number"), (["--task", "1:2:1.5"], "--task: a rate of negatives is 0 to 1"),
    (["--task", "1:3000000000:1"], "--task: 3000000000 is not in -2147483648..2147483647\n  1:3000000000:1\n    ^~~~~~~~~~\n"),
    (["--task", " ; "], "--task: no task"), (["--task", "1::1", "--new-sample-rate", "0"], "--new-sample-rate: 0.0 is not above 0"),
    (["--rank-from", "chnid", "--negative-value", "1"], "--negative-value says more about --task, which is not given"),
    (["--task", "1::1", "--rank-num", "3"], "--rank-num says more about --rank-from, which is not given"),
    (["--upper-bound", "1", "--skip-invalid"], "--skip-invalid says more about --norm"),
    (["-t", "example_batch", "--upper-bound", "1"], "pb-convert --from example_batch --to example"),
])
def test_mistakes(run, options, message):
    done = run("pb-label", *options, stdin=b"", check=False)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.startswith("pb-label: ") and "Traceback" not in done.stderr


def test_texts_that_hold_blanks_from_the_environment(run):
    stream = frame(instance(chnid=7))
    done = run("pb-label", stdin=stream, env={"MONOLITH_PB_LABEL_IF": "chnid == 7\nrank == 0", "MONOLITH_PB_LABEL_ACTION": "1 2"})
    assert unframe(done.stdout) == [instance(chnid=7, actions=[1, 2])]


OPERATIONS = [["--if", "rank >= 0", "--action", "1"], ["--label-from", "rank"], ["--upper-bound", "1"], ["--norm", "log=1"],
              ["--head", "1=0", "--pos", "1"], ["--scatter", "1:0"], ["--task", "1::1"], ["--rank-from", "chnid"]]


@pytest.mark.parametrize("options", OPERATIONS, ids=[o[0] for o in OPERATIONS])
@pytest.mark.parametrize(("bad", "word"), [
    (b"\x2a\x05\x01", "reaches over the end"), (b"\x1a\x01\x00\x1a\x05\x00\x00\x00\x00\x00", "cut short"), (b"\xff\xff\xff", "cut short"),
    (b"\x2a\x02\x30\x80", "cut short"), (b"garbage, not a record", "at byte"),
])
def test_bad_records(run, tmp_path, options, bad, word):
    good = instance([1.5], chnid=1, actions=[1], rank=2)
    through = run("pb-label", *options, stdin=frame(good)).stdout
    labels_matter = not (options[0] == "--if" and bad[0] == 0x1A)
    path = tmp_path / "in.pb"
    path.write_bytes(frame(good, good, bad, good))
    done = run("pb-label", *options, path, check=False)
    if not labels_matter:
        assert done.returncode == 0  # nobody asks for labels then
        return
    if options[0] in ("--upper-bound", "--norm") and bad == b"\x2a\x02\x30\x80":
        assert done.returncode == 0  # nor for the line id
        return
    assert done.returncode == 65 and done.stdout == through * 2
    assert f"{path}: byte {len(frame(good, good))}: " in done.stderr and word in done.stderr
    done = run("pb-label", *options, "--on-bad-record", tmp_path / "aside.pb", path)
    assert done.stdout == through * 3 and (tmp_path / "aside.pb").read_bytes() == frame(bad)


# --------------------------------------------------------------------------------------------------------- against the models

actions = st.sampled_from([0, 1, 2, 3, 5, 7, 20, -1, -2])
several = st.lists(actions, max_size=4).map(tuple)
float32s = st.sampled_from([0.0, -0.0, 1.0, 0.5, -1.0, 2.0, 3.5, -100.0, INVALID])
tasks = st.builds(lambda p, n, r: TaskLabel(p, tuple(set(n) - set(p)), r), st.lists(actions, min_size=1, max_size=3).map(tuple), several,
                  st.sampled_from([0.0, 1.0]))
rates = st.sampled_from([1.0, 0.25])
record_types = st.sampled_from(["instance", "example"])
heads_of = {"chnid": ["0", "1", "-1", "1622667900"], "rank": ["0", "-2", "7"], "uid": ["0", "3", "18446744073709551615"],
            "device_type": ["", "a", "ü", "hello"], "user_id": ["zz", "ab"]}
heads = st.sampled_from(sorted(heads_of)).flatmap(
    lambda field: st.tuples(st.just(field), st.lists(st.tuples(st.sampled_from(heads_of[field]), st.integers(0, 4)), min_size=1, max_size=4)))

CONFIGS = {
    "add_label": (st.builds(AddLabelConfig, st.lists(tasks, min_size=1, max_size=3).map(tuple), float32s, rates, record_types, st.just(1)),
                  model.add_label),
    "scatter_label": (st.builds(ScatterLabelConfig, st.lists(st.tuples(mangled.small, st.integers(0, 4)), min_size=1, max_size=4).map(tuple),
                                record_types), model.scatter_label),
    "upper_bound": (st.builds(LabelUpperBoundConfig, st.lists(float32s, min_size=1, max_size=3).map(tuple), record_types), model.upper_bound),
    "normalization": (st.builds(LabelNormalizationConfig, st.lists(
        st.tuples(st.sampled_from(["log", "scale", "scale2int", "pow", "repow", "scalelog"]), float32s), min_size=1, max_size=3).map(tuple),
        st.booleans(), record_types), model.normalization),
    "use_field_as_label": (st.builds(UseFieldAsLabelConfig, st.sampled_from(["uid", "req_time", "chnid", "sample_rate", "is_draw", "rank"]),
                                     st.booleans(), float32s, record_types), model.use_field_as_label),
    "multi_label_gen": (heads.flatmap(lambda h: st.builds(
        MultiLabelGenConfig, st.just(tuple(h[1])), st.just(h[0]), st.sampled_from([0, 5, 6]), st.lists(actions, min_size=1, max_size=3).map(tuple),
        several, several, st.just(False), float32s, float32s, record_types)), model.multi_label_gen),
    "multi_label_gen from label": (heads.flatmap(lambda h: st.builds(
        MultiLabelGenConfig, st.just(tuple(h[1])), st.just(h[0]), use_origin_label=st.just(True), record_type=record_types)),
        model.multi_label_gen),
    "fill_multi_rank_output": (st.builds(FillMultiRankOutputConfig, st.sampled_from(["draw", "chnid", "rank"]), st.integers(1, 5), record_types),
                               model.fill_multi_rank_output),
}


def check(record_type, operator, payload, wanted):
    """The operator makes of the record what is wanted: the record itself for None, else the same message; and of canonical bytes
    the canonical bytes."""
    (out,) = _core.apply(operator, payload)
    if wanted is None:
        assert out == payload
    else:
        assert model.canonical(record_type, out) == wanted


@settings(max_examples=250, deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", CONFIGS)
def test_agrees_with_the_model(name, data):
    configs, make = CONFIGS[name]
    config = data.draw(configs)
    record_type, relabel = config.record_type, make(config)
    edit = None
    if name == "add_label":
        def edit(line_id):
            line_id.sample_rate = config.new_sample_rate
    payload = data.draw(getattr(mangled, record_type))
    operator = config.operator()
    check(record_type, operator, payload, model.expected(record_type, payload, relabel, edit))
    plain = model.without_unknown_fields(record_type, payload)
    (out,) = _core.apply(operator, plain)
    assert out == (model.expected(record_type, plain, relabel, edit) or plain)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_add_action_agrees_with_the_model(data):
    record_type = data.draw(record_types)
    holds = {"chnid >= 1": lambda line_id: line_id.chnid >= 1, "sample_rate ge 0.5": lambda line_id: line_id.sample_rate >= 0.5,
             "uid in [1, 2]": lambda line_id: line_id.uid in (1, 2), "user_id == 'hello'": lambda line_id: line_id.user_id == "hello",
             "req_time not in [0]": lambda line_id: line_id.req_time != 0}
    condition = data.draw(st.sampled_from(sorted(holds)))
    more = data.draw(st.lists(mangled.small.filter(lambda v: abs(v) < 1 << 31), min_size=1, max_size=3))
    operator = AddActionConfig(condition, tuple(more), record_type).operator()
    for payload in (p := data.draw(getattr(mangled, record_type)), model.without_unknown_fields(record_type, p)):
        wanted = None
        if holds[condition](Facts(record_type, payload).line_id):
            wanted = model.rewritten(record_type, payload, edit=lambda line_id: line_id.actions.extend(more))
        check(record_type, operator, payload, wanted)
        assert wanted is None or payload is p or _core.apply(operator, payload) == [wanted]


# ------------------------------------------------------------------------------------------------------------------ draws

def test_only_a_rate_below_one_draws():
    """The draws of a task do not depend on others that take every negative, or that find a positive action."""
    half = TaskLabel((1,), (), 0.5)
    payload = instance(actions=[2])

    def draws(*tasks):
        operator = AddLabelConfig(tasks, negative_value=0, seed=5).operator()
        return [proto_parser_pb2.Instance.FromString(_core.apply(operator, payload)[0]).label[-1] for _ in range(200)]

    alone = draws(half)
    assert draws(TaskLabel((1,), (), 1.0), half) == alone
    assert draws(TaskLabel((1,), (), 1.0 - 2**-24), half) == alone  # as good as 1
    assert draws(TaskLabel((2,), (), 0.5), half) == alone
    assert draws(TaskLabel((1,), (3,), 0.5), half) == alone
    assert draws(TaskLabel((1,), (2,), 0.5), half) != alone


@settings(max_examples=100, deadline=None)
@given(rate=st.floats(0, 1, width=32), seed=st.integers(0, 1000))
def test_rates(rate, seed):
    operator = AddLabelConfig((TaskLabel((1,), (), rate),), seed=seed).operator()
    payload = instance()
    taken = sum(proto_parser_pb2.Instance.FromString(_core.apply(operator, payload)[0]).label[0] == 0 for _ in range(2000))
    assert abs(taken - 2000 * rate) <= 5 * (2000 * rate * (1 - rate)) ** 0.5 + 1e-3


def test_configurations_in_python():
    for config in (ScatterLabelConfig(()), ScatterLabelConfig(((1, -1),)), LabelUpperBoundConfig(()), LabelNormalizationConfig(()),
                   LabelNormalizationConfig((("root", 1.0),)), MultiLabelGenConfig((), pos_actions=(1,)), FillMultiRankOutputConfig("uid"),
                   FillMultiRankOutputConfig("rank", 0), AddActionConfig("chnid == 1", ()), AddLabelConfig(()),
                   AddLabelConfig((TaskLabel((1,), (1,)),)), MultiLabelGenConfig((("a,b", 1),), "cid", pos_actions=(1,)),
                   MultiLabelGenConfig((("1", 1),), task_num=-1, pos_actions=(1,))):
        with pytest.raises(errors.UsageError):
            config.operator()
