"""Random records for warm-up, tests and load: Instance, Example and ExampleBatch (spec 60, 1.9 and 3.16)."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from monolith_cli import errors
from monolith_cli.records import fid, messages

DEFAULT_SLOTS = (1, 2, 3, 4, 5, 6)
_VOCAB, _FIDS_OF_DEFAULT = 5, 5
_ALWAYS = (1, 200)  # slots of user and item
_MERGING = ("Combine", "VectorTopString")
_DTYPES = {
    name: dtype
    for dtype, names in {
        "int32": ("int", "int32", "short", "uint", "uint32", "3", "22"),
        "int64": ("int64", "long", "uint64", "9", "23"),
        "float32": ("float", "float32", "1"),
        "float64": ("float64", "double", "2"),
        "bool": ("bool", "boolean", "10"),
        "string": ("str", "string", "char", "7"),
    }.items()
    for name in names
}
DEFAULT_EXTRA = ("uid", "item_id", "req_time", "sample_rate", "actions")
PROFILE_EXTRA = ("uid", "sample_rate", "req_time", "actions", "item_id", "chnid")


@dataclass
class RandomFields:
    """What random records hold. Numbers are drawn from `seed` (None: from the system).

    slots: of v1 ids, flat in an Instance, features `fc_slot_<n>` elsewhere. sparse: names of id features; a feature
    list gives their slot and version, and drops the names it does not have; without one the slot comes from `slot_<n>`
    or `fc_slot_<n>`, else they are numbered from 1. dense: names, with shapes (default 1) and types (default float32).
    extra: fields of the LineId, with shapes; none: uid, item_id, req_time, sample_rate and one action. user_slots:
    features that are SHARED in an ExampleBatch. drop_rate: share of id features left empty, 0 to 1. actions: what
    actions are drawn from; none: 0 to 10. Nothing named at all: an Instance has five ids of each slot 1 to 6, out of 5
    a slot; the others features of these slots."""

    slots: tuple[int, ...] = ()
    sparse: tuple[str, ...] = ()
    dense: tuple[str, ...] = ()
    dense_shapes: tuple[int, ...] = ()
    dense_types: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    extra_shapes: tuple[int, ...] = ()
    user_slots: tuple[int, ...] = ()
    actions: tuple[int, ...] = ()
    feature_list: object | None = None
    drop_rate: float = 0.5
    seed: int | None = None
    _names: fid.SlotNames = field(default_factory=fid.SlotNames, repr=False)

    def __post_init__(self) -> None:
        _no_duplicates(self.sparse, "--sparse-features")
        _no_duplicates(self.dense, "--dense-features")
        _same_length(self.dense, self.dense_shapes, "--dense-features", "--dense-feature-shapes")
        _same_length(self.dense, self.dense_types, "--dense-features", "--dense-feature-types")
        _same_length(self.extra, self.extra_shapes, "--extra-features", "--extra-feature-shapes")
        for name in self.dense_types:
            if name not in _DTYPES:
                raise errors.UsageError(f"--dense-feature-types: {name!r} is no type; there are {', '.join(_DTYPES)}")
        for slot in (*self.slots, *self.user_slots):
            if not 0 < slot < fid.SLOTS_V2:
                raise errors.UsageError(f"slot {slot}: must be 1 to {fid.SLOTS_V2 - 1}")

    def dense_columns(self) -> list[tuple[str, int, str]]:
        """(name, shape, dtype) of what can be drawn, the label apart: floats and int64 of a shape of 1 or more."""
        drawn = ("float32", "float64", "int64")
        return [
            (name, shape, dtype)
            for name, shape, dtype in self._dense_columns()
            if name != "label" and shape > 0 and dtype in drawn
        ]

    def undrawn(self) -> list[str]:
        """Dense features that records will not have."""
        drawn = {name for name, _, _ in self.dense_columns()}
        return [name for name in self.dense if name not in drawn and name != "label"]

    def label_shape(self) -> int | None:
        """From a dense feature `label`, if there is one."""
        return next((shape for name, shape, _ in self._dense_columns() if name == "label"), None)

    def _dense_columns(self):
        shapes = self.dense_shapes or (1,) * len(self.dense)
        types = self.dense_types or ("float32",) * len(self.dense)
        return [(name, shape, _DTYPES[t]) for name, shape, t in zip(self.dense, shapes, types)]

    def sparse_columns(self) -> list[tuple[str, int, int, str]]:
        """(name, slot, version of ids, method) of each id feature."""
        names = self.sparse
        if not names and not self.slots and self.feature_list is not None:
            names = tuple(f.feature_name for f in self.feature_list if f.slot)
        if not names:
            return [
                (fid.slot_name(slot, tob=True), slot, 1 if slot < 1023 else 2, "")
                for slot in self.slots or DEFAULT_SLOTS
            ]
        return [column for column in (self._sparse_column(name) for name in names) if column]

    def _sparse_column(self, name: str):
        if self.feature_list is not None:
            found = self.feature_list.get(name)
            if found is None or not found.slot:
                return None
            return name, found.slot, 1 if found.is_v1 and found.slot < 1023 else 2, str(found.method or "")
        slot = self._names.slot(name)
        return name, slot, 1 if slot < 1023 else 2, ""


def _no_duplicates(names, option: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise errors.UsageError(f"{option}: {', '.join(twice)} comes twice")


def _same_length(names, values, option: str, other: str) -> None:
    if values and len(values) != len(names):
        raise errors.UsageError(f"{other} has {len(values)} entries, {option} {len(names)}")


class RandomRecords:
    """Draws records. Each method gives a serialized message."""

    def __init__(self, fields: RandomFields):
        from monolith_protos.line_id_pb2 import LineId

        self._fields, self._random, self._line_id = fields, random.Random(fields.seed), LineId
        self._sparse, self._dense = fields.sparse_columns(), fields.dense_columns()
        self._extra = _extra_columns(fields, LineId.DESCRIPTOR)

    def of_type(self, record_type: str, rows: int) -> bytes:
        """One record; of an ExampleBatch with `rows` rows."""
        return self.example_batch(rows) if record_type == "example_batch" else getattr(self, record_type)()

    def instance(self) -> bytes:
        made, fields = messages.message_class("instance")(), self._fields
        if not (fields.slots or fields.sparse or fields.feature_list):
            self._default_fids(made)
        for slot in fields.slots:
            if slot < 1023:
                made.fid.extend(self._fid(slot, 1) for _ in range(1 if slot in _ALWAYS else self._random.randint(0, 3)))
        for name, slot, _, _ in self._sparse if fields.feature_list is not None else ():
            count = self._maybe_two() if _is_sequence(name, "-") else 1
            if count:
                made.feature.add(name=name).fid.extend(self._fid(slot, 2) for _ in range(count))
        for name, shape, dtype in self._dense:
            values = self._numbers(shape, dtype)
            getattr(made.feature.add(name=name), "int64_value" if dtype == "int64" else "float_value").extend(values)
        made.label.extend(self._labels(None))
        self._fill_line_id(made.line_id)
        return made.SerializeToString(deterministic=True)

    def example(self) -> bytes:
        made = messages.message_class("example")()
        for name, slot, version, method in self._sparse:
            feature = made.named_feature.add(name=name, id=slot)
            self._fill_fids(feature.feature, name, slot, version, method)
        for name, shape, dtype in self._dense:
            self._fill_dense(made.named_feature.add(name=name).feature, shape, dtype)
        made.label.extend(self._labels(None))
        self._fill_line_id(made.line_id)
        return made.SerializeToString(deterministic=True)

    def example_batch(self, rows: int) -> bytes:
        batch = messages.message_class("example_batch")(batch_size=rows)
        for name, slot, version, method in self._sparse:
            column = batch.named_feature_list.add(name=name, id=slot)
            for _ in range(rows):
                self._fill_fids(column.feature.add(), name, slot, version, method)
            if slot in self._fields.user_slots:
                _share(column, rows)
        for name, shape, dtype in self._dense:
            column = batch.named_feature_list.add(name=name)
            for _ in range(rows):
                self._fill_dense(column.feature.add(), shape, dtype)
        line_ids, labels = (
            batch.named_feature_list.add(name="__LINE_ID__"),
            batch.named_feature_list.add(name="__LABEL__"),
        )
        for row in range(rows):
            line_id = self._line_id()
            self._fill_line_id(line_id)
            line_ids.feature.add().bytes_list.value.append(line_id.SerializeToString(deterministic=True))
            labels.feature.add().float_list.value.extend(self._labels(row))
        return batch.SerializeToString(deterministic=True)

    def _default_fids(self, instance) -> None:
        for i, slot in enumerate(DEFAULT_SLOTS):
            instance.fid.extend(
                fid.make_v1(slot, _VOCAB * i + self._random.randint(1, _VOCAB)) for _ in range(_FIDS_OF_DEFAULT)
            )

    def _fid(self, slot: int, version: int) -> int:
        value = self._random.randint(1, 2**63 - 1)
        return fid.make_v1(slot, value) if version == 1 else fid.make_v2(slot, value)

    def _maybe_two(self) -> int:
        rate = self._fields.drop_rate
        return self._random.randint(0, 2) if rate > 0 and self._random.random() > rate else 0

    def _fill_fids(self, feature, name: str, slot: int, version: int, method: str) -> None:
        if _is_sequence(name) or method in _MERGING:
            count = self._maybe_two()
        else:
            count = int(slot in _ALWAYS or self._random.random() > self._fields.drop_rate)
        values = feature.fid_v1_list if version == 1 else feature.fid_v2_list
        values.value.extend(self._fid(slot, version) for _ in range(count))

    def _numbers(self, shape: int, dtype: str) -> list:
        if dtype == "int64":
            return [self._random.randint(2**62 - 1, 2**63 - 1) for _ in range(shape)]
        return [self._random.random() for _ in range(shape)]

    def _fill_dense(self, feature, shape: int, dtype: str) -> None:
        target = {"float32": "float_list", "float64": "double_list", "int64": "int64_list"}[dtype]
        getattr(feature, target).value.extend(self._numbers(shape, dtype))

    def _labels(self, row: int | None) -> list[float]:
        shape = self._fields.label_shape()
        if shape is None and row is not None:
            return [float(row % 2)]
        return [float(self._random.randint(0, 1)) for _ in range(shape or 1)]

    def _fill_line_id(self, line_id) -> None:
        for field_, shape in self._extra:
            value = self._line_id_value(field_)
            if field_.name == "actions":
                choices = self._fields.actions or range(11)
                line_id.actions.extend(self._random.choice(choices) for _ in range(shape))
            elif field_.is_repeated:
                getattr(line_id, field_.name).extend(self._line_id_value(field_) for _ in range(shape))
            else:
                setattr(line_id, field_.name, value)
            if field_.name == "req_time":
                line_id.sample_rate = 1.0

    def _line_id_value(self, field_):
        if field_.name in ("uid", "item_id"):
            return fid.make_v2(1 if field_.name == "uid" else 200, self._random.randint(1, 2**63 - 1))
        if field_.name == "req_time":
            return int(time.time())
        if field_.name == "sample_rate":
            return 1.0
        if field_.cpp_type == field_.CPPTYPE_BOOL:
            return False
        if field_.cpp_type == field_.CPPTYPE_STRING:
            return "hello world"
        if field_.cpp_type in (field_.CPPTYPE_FLOAT, field_.CPPTYPE_DOUBLE):
            return self._random.random() * (1000 if field_.name == "stay_time" else 1)
        return self._random.randint(0, 10)


def _is_sequence(name: str, *more: str) -> bool:
    return any(part in name for part in ("_recent", "_cp", *more))


def _share(column, rows: int) -> None:
    """SHARED: the first row's feature, once a row."""
    first = type(column.feature[0])()
    first.CopyFrom(column.feature[0])
    del column.feature[:]
    column.feature.extend([first] * rows)
    column.type = 1


def _extra_columns(fields: RandomFields, descriptor) -> list:
    names = fields.extra or DEFAULT_EXTRA
    shapes = fields.extra_shapes or (1,) * len(names)
    unknown = [name for name in names if name not in descriptor.fields_by_name]
    if unknown:
        known = ", ".join(f.name for f in descriptor.fields)
        raise errors.UsageError(f"--extra-features {', '.join(unknown)}: the LineId has no such field; it has {known}")
    return [(descriptor.fields_by_name[name], shape) for name, shape in zip(names, shapes)]
