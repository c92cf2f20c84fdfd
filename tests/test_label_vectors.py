"""Vectors TV-C and TV-F of spec 20, by their ids."""

import math
import struct

import numpy as np
import pytest

from label_model import INVALID

from monolith_cli import errors
from monolith_cli._native import _core
from monolith_cli.operators.add_action import AddActionConfig
from monolith_cli.operators.add_label import AddLabelConfig, TaskLabel
from monolith_cli.operators.fill_multi_rank_output import FillMultiRankOutputConfig
from monolith_cli.operators.filter import FilterConfig
from monolith_cli.operators.instance_reweight import ActionWeight, InstanceReweightConfig
from monolith_cli.operators.label_normalization import LabelNormalizationConfig
from monolith_cli.operators.label_upper_bound import LabelUpperBoundConfig
from monolith_cli.operators.multi_label_gen import MultiLabelGenConfig
from monolith_cli.operators.scatter_label import ScatterLabelConfig
from monolith_cli.operators.use_field_as_label import UseFieldAsLabelConfig
from monolith_protos import example_pb2, proto_parser_pb2

TYPES = {"instance": proto_parser_pb2.Instance, "example": example_pb2.Example}


def record(record_type, label=(), **line_id):
    made = TYPES[record_type](label=label)
    for name, value in line_id.items():
        if isinstance(value, list):
            getattr(made.line_id, name).extend(value)
        else:
            setattr(made.line_id, name, value)
    return made


def apply(config, made):
    """The record an operator makes of another, parsed."""
    (out,) = _core.apply(config.operator(), made.SerializeToString())
    return type(made).FromString(out)


def f32(values):
    return [float(np.float32(v)) for v in values]


@pytest.fixture(params=["instance", "example"])
def record_type(request):
    return request.param


def add_label(record_type, text="1,2:3:1.0;4::0.0", negative_value=-1.0, new_sample_rate=0.25, seed=1):
    return AddLabelConfig(AddLabelConfig.parse_tasks([text]), negative_value, new_sample_rate, record_type, seed)


@pytest.mark.parametrize(("id", "label", "actions", "expected"), [
    ("C5", [], [1, 2, 4], [1, 1]), ("C6", [], [1], [1, INVALID]), ("C7", [], [3, 4], [-1, 1]), ("C8", [], [5], [INVALID, INVALID]),
    ("C9", [0], [1, 3], [INVALID, 1, INVALID]), ("C10", [1], [], [1, INVALID, INVALID]),
])
def test_add_label(record_type, id, label, actions, expected):
    out = apply(add_label(record_type), record(record_type, label, actions=actions))
    assert list(out.label) == expected
    assert out.line_id.sample_rate == 0.25 and out.line_id.HasField("sample_rate") and list(out.line_id.actions) == actions


def test_c11_bytes():
    out = _core.apply(add_label("instance").operator(), bytes.fromhex("1a04000000002a09320103dd010000003f"))
    assert [o.hex() for o in out] == ["1a0cffff7fff000080bfffff7fff2a09320103dd010000803e"]


def test_c12_label_conf():
    config = AddLabelConfig(AddLabelConfig.parse_tasks(["1,2:3:1.0;4::0.5"]))
    assert config.proto().SerializeToString().hex() == "0a0b0801080210031d0000803f0a0708041d0000003f"


def test_c13_sampling_of_negatives(record_type):
    labels = add_label(record_type, "1,2:3:1.0;4::0.5", new_sample_rate=1.0).operator()
    some = FilterConfig(record_type, label_thresholds=(-100, -100)).operator()
    kept = []
    for actions in [[1, 2, 4], [1], [3, 4], [5]] * 100:
        (labelled,) = _core.apply(labels, record(record_type, actions=actions).SerializeToString())
        kept.append(len(_core.apply(some, labelled)))
    assert sum(kept[0::4]) == sum(kept[1::4]) == sum(kept[2::4]) == 100
    assert 340 <= sum(kept) <= 360


@pytest.mark.parametrize("text", [":3:1.0", "1:1:1.0", "1::1.5", "1:2", ""])
def test_c14_configurations_that_cannot_be_right(text):
    with pytest.raises(errors.UsageError, match=r"--task: (.|\n)*\^"):
        AddLabelConfig.parse_tasks([text])


def test_c14_new_sample_rate():
    for rate in (0.0, -0.5, 1.5, math.nan):
        with pytest.raises(errors.UsageError, match="--new-sample-rate"):
            AddLabelConfig((TaskLabel((1,)),), new_sample_rate=rate).operator()


C15 = [([1], 0, [INVALID] * 5), ([2], 100, [INVALID, INVALID, INVALID, 2, INVALID]), ([3], 200, [INVALID, 3, INVALID, INVALID, INVALID]),
       ([], 300, [INVALID] * 5)]


def test_c15_c16_scatter_label(record_type):
    config = ScatterLabelConfig(ScatterLabelConfig.parse(["100:3,200:1,300:4"]), record_type)
    some = FilterConfig(record_type, label_thresholds=(-100,) * 5).operator()
    kept = []
    for label, chnid, expected in C15:
        out = apply(config, record(record_type, label, chnid=chnid))
        assert list(out.label) == expected
        kept.append(bool(_core.apply(some, out.SerializeToString())))
    assert kept == [False, True, True, False]


def test_c17_scatter_bytes():
    config = ScatterLabelConfig(((100, 3), (200, 1), (300, 4)))
    out = _core.apply(config.operator(), bytes.fromhex("1a04000000402a03980164"))
    assert [o.hex() for o in out] == ["1a14ffff7fffffff7fffffff7fff00000040ffff7fff2a03980164"]


@pytest.mark.parametrize(("label", "expected"), [([0, 1], [0, 0.5]), ([0.2, 0.5, 9], [0.2, 0.5, 9]), ([3], [3])])
def test_c18_label_upper_bound(record_type, label, expected):
    made = record(record_type, label)
    assert list(apply(LabelUpperBoundConfig((0.5, 0.5), record_type), made).label) == f32(expected)


def test_c19_label_normalization(record_type):
    config = LabelNormalizationConfig(LabelNormalizationConfig.parse(["scale=0.5", "repow=3"]), record_type=record_type)
    assert list(apply(config, record(record_type, [0, 1])).label) == [0, 8]


@pytest.mark.parametrize(("method", "x", "v", "expected"), [
    ("log", 10, 1, 2.39789534), ("log", -5, 1, -math.inf), ("scale2int", 7.9, 2, 3), ("scale2int", -7.9, 2, -3), ("pow", 3, 2, 16),
    ("repow", -2, 3, 0), ("scalelog", 100, 10, 2.39789534), ("scalelog", -5, 10, -0.693147182),
    ("scale", INVALID, 0.5, -math.inf), ("repow", INVALID, 3, 0),  # C21
    ("scale2int", 1e30, 1, 2147483647), ("scale2int", -1e30, 1, -2147483648), ("scale2int", math.nan, 1, 0),
])
def test_c20_c21_methods(record_type, method, x, v, expected):
    out = apply(LabelNormalizationConfig(((method, v),), record_type=record_type), record(record_type, [x]))
    assert list(out.label) == f32([expected])
    skipping = apply(LabelNormalizationConfig(((method, v),), True, record_type), record(record_type, [x]))
    assert list(skipping.label) == ([INVALID] if x == INVALID else f32([expected]))


@pytest.mark.parametrize(("id", "label", "overwrite", "threshold", "expected"), [
    ("C22", [0, 1], False, 0, [1, 1]), ("C23", [0, 0.5], True, 1.1, [1, 1]), ("C24", [0, 0.5], True, 0.9, [0, 0.5]),
])
def test_use_field_as_label(record_type, id, label, overwrite, threshold, expected):
    config = UseFieldAsLabelConfig("sample_rate", overwrite, threshold, record_type)
    assert list(apply(config, record(record_type, label, sample_rate=1)).label) == expected
    assert list(apply(config, record(record_type, label)).label) == expected  # it is 1 when unset


@pytest.mark.parametrize(("actions", "device", "expected"), [
    ([1, 2], "ios", {3: 1}), ([3], "wp", {1: 1}), ([2], "android", {4: 1}), ([1], "ios", {3: 0}),
    ([], "ios", {}), ([9], "wp", {}), ([1, 2], "tv", {}),
])
def test_c25_c26_multi_label_gen(record_type, actions, device, expected):
    config = MultiLabelGenConfig(MultiLabelGenConfig.parse_heads(["ios=3,wp=1", "android=4,other=0"]), "device_type", pos_actions=(3, 2),
                                 neg_actions=(1,), action_priority=(4, 3, 2, 1, 0), record_type=record_type)
    out = apply(config, record(record_type, [7], actions=actions, device_type=device))
    assert list(out.label) == [expected.get(i, INVALID) for i in range(5)]


def test_c27_multi_label_gen_by_channel(record_type):
    config = MultiLabelGenConfig((("0", 0), ("7", 1)), task_num=3, pos_actions=(5,), neg_actions=(1,), record_type=record_type)
    assert list(apply(config, record(record_type, actions=[5, 1], chnid=0)).label) == [1, INVALID, INVALID]


def test_no_priority_is_no_priority_of_action_0(record_type):
    """Upstream made {0: 0} of an empty priority."""
    config = MultiLabelGenConfig((("0", 0),), pos_actions=(5,), neg_actions=(0,), record_type=record_type)
    assert list(apply(config, record(record_type, actions=[5, 0])).label) == [1]


@pytest.mark.parametrize(("id", "rank_from", "line_id", "label", "expected"), [
    ("C28", "draw", {"is_draw": True}, [1], [1, 1]), ("C28", "draw", {"is_draw": False}, [1], [1, 0]),
    ("C29", "chnid", {"chnid": 0}, [], [0]), ("C29", "chnid", {"chnid": 1}, [], [1]), ("C29", "chnid", {"chnid": 17}, [], [2]),
    ("C29, cut to 32 bits", "chnid", {"chnid": (1 << 32) + 1}, [], [1]),
    ("C30", "rank", {"rank": 3}, [], [3]), ("C30", "rank", {"rank": 18}, [], [17]), ("C30", "rank", {"rank": 500}, [], [17]),
    ("negative", "rank", {"rank": -5}, [], [-5]),
])
def test_fill_multi_rank_output(record_type, id, rank_from, line_id, label, expected):
    assert list(apply(FillMultiRankOutputConfig(rank_from, record_type=record_type), record(record_type, label, **line_id)).label) == expected


def test_c31_add_action_bytes():
    out = _core.apply(AddActionConfig("chnid eq 7", (2,), "example").operator(), bytes.fromhex("a20606320101980107aa06040000803f"))
    assert [o.hex() for o in out] == ["a2060732020102980107aa06040000803f"]


@pytest.mark.parametrize(("id", "condition", "line_id", "expected"), [
    ("C32", "sample_rate ge 0", {"actions": [1]}, [1, 2]),
    ("C33", "req_time between 1622667900 and 1622667911", {"req_time": 1622667900}, [2]),
    ("C33", "req_time between 1622667900 and 1622667911", {"req_time": 1622667911}, []),
])
def test_add_action(record_type, id, condition, line_id, expected):
    made = record(record_type, **line_id)
    assert list(apply(AddActionConfig(condition, (2,), record_type), made).line_id.actions) == expected


# ------------------------------------------------------------------------------------------------------------------ TV-F

CONFIG = {
    1: InstanceReweightConfig.parse(["2,7,0,1,3,4,5,6,8,9,10,11"],
                                    ["0:0:1,1:0:1,2:3:-1,3:0:1,4:0:1,5:0:1,6:0:1,7:6:1,8:0:1,9:0:1,10:0:1,11:0:-1"]),
    2: InstanceReweightConfig.parse(["1,2,3"], ["1:4:1,2:2:-1,3:5:-1"]),
    "add": InstanceReweightConfig.parse(["1,2,3"], ["1:4:1", "2:2:-1", "3:5:-1"], method="add"),
    "F20": InstanceReweightConfig.parse(["1,2,1"], ["1:4:1,2:2:-1"]),
    "F21": InstanceReweightConfig.parse(["1"], ["1:4:1,1:2:-1"]),
}


@pytest.mark.parametrize(("id", "config", "actions", "before", "label", "copies", "label_out"), [
    ("F1", 1, [2], [], 1, 3, -1), ("F2", 1, [7], [], -1, 6, 1), ("F3", 1, [7, 2], [], 1, 3, -1), ("F4", 1, [0], [], 1, 0, None),
    ("F5", 1, [99], [], 1, 1, 1), ("F6", 1, [], [], 1, 1, 1), ("F7", 1, [], [2], 1, 0, None), ("F8", 1, [2], [7], 1, 9, -1),
    ("F9", 2, [1], [2], 0, 6, 1), ("F10", 2, [1], [3], 0, 9, 1), ("F11", 2, [2], [3], 0, 3, 1), ("F12", 2, [3], [2], 0, 0, None),
    ("F13", 2, [2], [2], 0, 0, None), ("F14", 2, [2, 3], [], 7, 2, -1), ("F15", 2, [1], [50], 7, 4, 1), ("F16", 2, [2, 2], [], 7, 4, -1),
    ("F17", 2, [1], [], None, 0, None), ("F17", 2, [], [], None, 0, None),
    ("F19", "add", [1], [], 0, 5, 1), ("F19", "add", [2], [], 0, 3, -1), ("F19", "add", [1], [2], 0, 8, 1),
    ("F20", "F20", [1, 2], [], 7, 2, -1), ("F21", "F21", [1], [], 7, 2, -1),
])
def test_instance_reweight(record_type, id, config, actions, before, label, copies, label_out):
    made = record(record_type, [] if label is None else [label, 5], actions=actions, pre_actions=before)
    config = InstanceReweightConfig(**{**vars(CONFIG[config]), "record_type": record_type})
    out = _core.apply(config.operator(), made.SerializeToString())
    assert len(out) == copies
    for payload in out:
        made.label[0] = label_out
        assert type(made).FromString(payload) == made


def test_f18_bytes():
    out = _core.apply(CONFIG[1].operator(), bytes.fromhex("1a040000803f2a03320102"))
    assert [o.hex() for o in out] == ["1a04000080bf2a03320102"] * 3


def test_priorities_from_the_thousandth_on_are_unlisted():
    made = record("instance", [7.0], actions=[1000]).SerializeToString()
    weights = (ActionWeight(1000, 3, 1),)
    counted = _core.apply(InstanceReweightConfig(tuple(range(2, 1001)), weights).operator(), made)
    assert [struct.unpack("<f", p[2:6])[0] for p in counted] == [1, 1, 1]  # the 999th
    unlisted = _core.apply(InstanceReweightConfig(tuple(range(1, 1001)), weights).operator(), made)
    assert [struct.unpack("<f", p[2:6])[0] for p in unlisted] == [7]
