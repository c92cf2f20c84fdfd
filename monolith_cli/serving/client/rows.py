"""Rows of an ExampleBatch as the Instances that TensorFlow Serving models of the `instances` kind take.

Not what pb-convert makes of them (`records.convert`): here v1 fids become v2 fids of a named feature, and doubles are
kept as floats (spec 60, 3.16)."""

from __future__ import annotations

from monolith_cli import errors
from monolith_cli.records import fid, messages

LABEL, LINE_ID = "__LABEL__", "__LINE_ID__"
SHARED = 1  # FeatureListType


def instances_of(batch, name: str = "example batch") -> list:
    """The Instance of each row of an ExampleBatch. BadDataError names `name`, list and row where a row is missing."""
    return [_instance(batch, row, name) for row in range(batch.batch_size)]


def _instance(batch, row: int, name: str):
    made = messages.message_class("instance")()
    for column in batch.named_feature_list:
        if column.type == SHARED:
            row_here = 0
        else:
            row_here = row
        if row_here >= len(column.feature):
            raise errors.BadDataError(
                f"{name}: {column.name} has no row {row_here}; it has {len(column.feature)} of {batch.batch_size}"
            )
        feature = column.feature[row_here]
        if column.name == LABEL:
            made.label.extend(feature.float_list.value)
        elif column.name == LINE_ID:
            _read_line_id(made, feature, name)
        else:
            _add_feature(made, column.name, feature)
    return made


def _read_line_id(instance, feature, name: str) -> None:
    values = feature.bytes_list.value
    if not values:
        return
    try:
        messages.parse(instance.line_id, values[0])
    except ValueError as e:
        raise errors.BadDataError(f"{name}: {LINE_ID}: {e}") from None


def _add_feature(instance, name: str, feature) -> None:
    kind = feature.WhichOneof("type")
    values = getattr(getattr(feature, kind), "value", ()) if kind and kind.endswith("_list") else ()
    if not values:
        return
    made = instance.feature.add(name=name)
    if kind == "fid_v1_list":
        slot = fid.slot_v1(values[0])
        made.fid.extend(fid.v1_to_v2(value, slot) for value in values)
    elif kind == "fid_v2_list":
        made.fid.extend(values)
    elif kind in ("float_list", "double_list"):
        made.float_value.extend(values)
    elif kind == "int64_list":
        made.int64_value.extend(values)
    else:
        made.bytes_value.extend(values)
