"""Filters and rewrites in a row, with alternatives, as one message: building it, and running it.

    chain = Compose([FilterByFid(select_fids=[7]), FilterByValue("chnid", "in", [0]),
                     LogicalOr(FilterByValue("rank", "eq", 0), FilterByAction([2]))])
    open("chain.pb", "wb").write(chain.proto().SerializeToString())   # for pb-transform
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from monolith_cli import errors

_UINT64, _INT64_MAX = (1 << 64) - 1, (1 << 63) - 1
_OPS = ("gt", "ge", "eq", "lt", "le", "neq", "between", "in", "not-in", "all", "any", "diff", "startswith", "endswith")


class Transform:
    """Base of all builders: knows itself as the message TransformConfig and as a native operator."""

    def proto(self):
        """The message `monolith_protos.transform_config_pb2.TransformConfig`."""
        raise NotImplementedError

    def operator(self, record_type: str = "instance", seed: int | None = None):
        """The native operator, as the function `operator`; it belongs to one chain."""
        return operator(self.proto(), record_type, seed)


class Basic(Transform):
    """One filter or rewrite."""

    def basic(self):
        """The message BasicTransformConfig."""
        raise NotImplementedError

    def proto(self):
        made = _pb().TransformConfig()
        made.configs.add().basic_config.CopyFrom(self.basic())
        return made


class Compose(Transform):
    """Transforms in a row, of any kind; a record that one drops is not seen by the next. No transform at all keeps everything."""

    def __init__(self, transforms: Iterable[Transform]):
        self.transforms = tuple(transforms)

    def proto(self):
        made = _pb().TransformConfig()
        for transform in self.transforms:
            made.configs.extend(transform.proto().configs)
        return made


class LogicalOr(Transform):
    """Keeps what x or y keeps, neither of them a Compose or LogicalOr. Both see every record: an AddLabel changes it whatever the
    other one says."""

    def __init__(self, x: Basic, y: Basic):
        for side in (x, y):
            if not isinstance(side, Basic):
                raise errors.UsageError(f"LogicalOr takes single filters and labels, not a {type(side).__name__}")
        self.x, self.y = x, y

    def proto(self):
        made = _pb().TransformConfig()
        either = made.configs.add().logical_or_config
        either.x.CopyFrom(self.x.basic())
        either.y.CopyFrom(self.y.basic())
        return made


class FilterByFid(Basic):
    """Keeps records with one of has_fids, none of filter_fids and all of select_fids; None or empty asks nothing. Unsigned, or
    negative for the same 64 bits."""

    def __init__(self, has_fids: Iterable[int] | None = None, filter_fids: Iterable[int] | None = None,
                 select_fids: Iterable[int] | None = None):
        self.has_fids, self.filter_fids, self.select_fids = ([f & _UINT64 for f in fids or ()] for fids in (has_fids, filter_fids, select_fids))

    def basic(self):
        made = _pb().BasicTransformConfig()
        made.filter_by_fid.SetInParent()
        made.filter_by_fid.has_fids.extend(self.has_fids)
        made.filter_by_fid.filter_fids.extend(self.filter_fids)
        made.filter_by_fid.select_fids.extend(self.select_fids)
        return made


class FilterByAction(Basic):
    """Keeps records with one of has_actions in line_id.actions; None or empty asks nothing."""

    def __init__(self, has_actions: Iterable[int] | None = None):
        self.has_actions = list(has_actions or ())

    def basic(self):
        made = _pb().BasicTransformConfig()
        made.filter_by_action.SetInParent()
        made.filter_by_action.has_actions.extend(self.has_actions)
        return made


class FilterByLabel(Basic):
    """Keeps records with as many labels as thresholds, one of which reaches its threshold; no threshold drops everything."""

    def __init__(self, thresholds: Iterable[float] = ()):
        self.thresholds = list(thresholds)

    def basic(self):
        made = _pb().BasicTransformConfig()
        made.filter_by_label.SetInParent()
        made.filter_by_label.thresholds.extend(self.thresholds)
        return made


class FilterByValue(Basic):
    """Keeps records by one field of LineId.

    op: gt ge eq lt le neq between in not-in all any diff startswith endswith. operand: one number or text, or a list of them
    for between, in, not-in and for the set operators all, any, diff, which lists of integers have and nothing else.
    keep_empty: what the set operators give on an empty list. Raises UsageError for what does not go together.
    """

    def __init__(self, field_name: str, op: str, operand: int | float | str | Sequence, keep_empty: bool = False):
        self.field_name, self.op, self.keep_empty = field_name, op, keep_empty
        self.floats, self.ints, self.strings = _operands(field_name, op, operand)

    def basic(self):
        made = _pb().BasicTransformConfig()
        value = made.filter_by_value
        value.field_name, value.op, value.keep_empty = self.field_name, self.op, self.keep_empty
        value.float_operand.extend(self.floats)
        value.int_operand.extend(self.ints)
        value.string_operand.extend(self.strings)
        return made


class AddLabel(Basic):
    """Appends a label for each task of `POS:NEG:RATE[;…]`, as pb-label --task; negative_value is the label of a negative,
    new_sample_rate what line_id.sample_rate becomes. Raises UsageError with a caret under the mistake."""

    def __init__(self, config: str, negative_value: float = 0.0, new_sample_rate: float = 1.0):
        from monolith_cli.operators.add_label import AddLabelConfig

        self.tasks = AddLabelConfig.parse_tasks([config], "AddLabel")
        self.negative_value, self.new_sample_rate = negative_value, new_sample_rate

    def basic(self):
        made = _pb().BasicTransformConfig()
        label = made.add_label
        label.negative_value, label.new_sample_rate = self.negative_value, self.new_sample_rate
        for task in self.tasks:
            label.task_label_configs.add(pos_actions=task.positive, neg_actions=task.negative, sample_rate=task.rate)
        return made


def operator(config, record_type: str = "instance", seed: int | None = None):
    """The native operator of a TransformConfig, or of a serialized one. It has `summary()`: name, input and output of each step.

    record_type: instance or example. seed: of the sampling of labels; None takes one from the system.
    Raises ConfigError naming the place in the message, NoInputError for a file of operands, UsageError for example_batch, which must
    be expanded to rows first.
    """
    from monolith_cli._native import _core

    config = _parsed(config)
    if config.configs and record_type == "example_batch":
        raise errors.UsageError("pb-transform works on single records, not on example_batch; expand it first: "
                                "pb-convert --from example_batch --to example")
    maker = _Maker(record_type, _core.random_seed() if seed is None else seed)
    steps = [maker.step(one, f"configs[{i}]") for i, one in enumerate(config.configs)]
    made = _core.Transform(steps)
    made.notes = maker.notes
    return made


class _Maker:
    """Makes native operators of the parts of one message."""

    def __init__(self, record_type: str, seed: int):
        self.record_type, self.seed, self.notes = record_type, seed, []

    def step(self, one, path: str) -> list[tuple[str, object]]:
        kind = one.WhichOneof("type")
        if kind is None:
            raise errors.ConfigError(f"{path}: neither basic_config nor logical_or_config is there")
        if kind == "basic_config":
            return [self.branch(one.basic_config, f"{path}.basic_config")]
        either = one.logical_or_config
        return [self.branch(either.x, f"{path}.logical_or_config.x"), self.branch(either.y, f"{path}.logical_or_config.y")]

    def branch(self, basic, path: str) -> tuple[str, object]:
        kind = basic.WhichOneof("type")
        if kind is None:
            raise errors.ConfigError(f"{path}: holds no transform; there are filter_by_fid, filter_by_action, filter_by_label, add_label "
                                     "and filter_by_value")
        name = "".join(word.capitalize() for word in kind.split("_"))
        path = f"{path}.{kind}"
        try:
            return name, getattr(self, f"_{kind}")(getattr(basic, kind), path)
        except errors.UsageError as e:
            raise errors.ConfigError(f"{path}: " + re.sub(r"^--[a-z-]+( \S+)?: ", "", str(e))) from None

    def _filter(self, **conditions):
        from monolith_cli.operators.filter import FilterConfig

        return FilterConfig(self.record_type, **conditions).operator()

    def _filter_by_fid(self, c, path):
        return self._filter(has_fids=tuple(c.has_fids), filter_fids=tuple(c.filter_fids), select_fids=tuple(c.select_fids))

    def _filter_by_action(self, c, path):
        return self._filter(has_actions=tuple(c.has_actions))

    def _filter_by_label(self, c, path):
        return self._filter(label_thresholds=tuple(c.thresholds)) if c.thresholds else None

    def _add_label(self, c, path):
        from monolith_cli._native import _core

        tasks = [(list(t.pos_actions), list(t.neg_actions), t.sample_rate) for t in c.task_label_configs]
        self.seed += 1  # each of several has draws of its own
        return _core.AddLabel(self.record_type, tasks, c.negative_value, c.new_sample_rate, (self.seed - 1) & _UINT64)

    def _filter_by_value(self, c, path):
        from monolith_cli.operators.filter import ValueCondition

        field = _line_id_field(c.field_name)
        if field is None or field.type == field.TYPE_BOOL:
            what = f"LineId has no field {c.field_name}" if field is None else f"{c.field_name} is a bool, which has no operators"
            self.notes.append(f"{path}: {what}; every record is dropped there")
            return None
        words = {"float": [repr(v) for v in c.float_operand], "int": [str(v) for v in c.int_operand],
                 "string": [v.encode() for v in c.string_operand]}[_kind_of(field)]
        condition = ValueCondition(field=c.field_name, op=c.op, values=() if c.operand_filepath else tuple(words), values_file=c.operand_filepath)
        return self._filter(value=condition, keep_empty=c.keep_empty)


def _pb():
    from monolith_protos import transform_config_pb2

    return transform_config_pb2


def _parsed(config):
    if not isinstance(config, bytes):
        return config
    from monolith_cli.operators import transform_file

    return transform_file.parse(config, "binary", "TransformConfig")


def _line_id_field(name: str):
    """The descriptor of a field of LineId, None when there is none of that name."""
    from monolith_protos.line_id_pb2 import LineId

    return LineId.DESCRIPTOR.fields_by_name.get(name)


def _kind_of(field) -> str:
    if field.cpp_type == field.CPPTYPE_STRING:
        return "string"
    return "float" if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE) else "int"


def _operands(field_name: str, op: str, operand) -> tuple[list[float], list[int], list[str]]:
    """The float, int and string operands, one of the lists filled."""
    field = _line_id_field(field_name)
    if field is None:
        raise errors.UsageError(f"FilterByValue: LineId has no field {field_name}")
    if op not in _OPS:
        raise errors.UsageError(f"FilterByValue: {op} is no operator; there are {', '.join(_OPS)}")
    many = list(operand) if isinstance(operand, list | tuple | set | frozenset | range) else [operand]
    is_list = many is not operand and not (len(many) == 1 and many[0] is operand)
    kind = "bool" if field.type == field.TYPE_BOOL else _kind_of(field)
    sets = op in ("all", "any", "diff")
    good = {"bool": False, "string": not sets and all(isinstance(v, str) for v in many),
            "float": not sets and op not in ("startswith", "endswith") and all(_is_number(v) for v in many),
            "int": op not in ("startswith", "endswith") and field.is_repeated == sets and all(_is_number(v) for v in many)}[kind]
    takes_list = op in ("between", "in", "not-in") or field.is_repeated or kind == "string"
    if not good or (is_list and not takes_list) or (op == "between" and len(many) != 2):
        raise errors.UsageError(f"FilterByValue: {op} of {operand!r} does not go with {field_name}, a {'list of ' * field.is_repeated}{kind}")
    if kind == "int":
        return [], [_signed(int(v)) for v in many], []
    return ([float(v) for v in many], [], []) if kind == "float" else ([], [], many)


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _signed(value: int) -> int:
    """int_operand is signed: an unsigned number stands for the same 64 bits."""
    return value - (1 << 64) if _INT64_MAX < value <= _UINT64 else value
