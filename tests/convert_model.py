"""Conversion as the specification words it, slowly, over protobuf's own classes: what the native core is compared with."""

import math

from monolith_protos.example_pb2 import SHARED, Example, ExampleBatch
from monolith_protos.line_id_pb2 import LineId
from monolith_protos.proto_parser_pb2 import Instance

RESERVED = ("__LINE_ID__", "__LABEL__", "instance_weight")
COLUMN_TO_FEATURE = [("fid", "fid_v2_list"), ("float_value", "float_list"), ("int64_value", "int64_list"), ("bytes_value", "bytes_list"),
                     ("fid_list", "fid_v2_lists"), ("float_list", "float_lists"), ("int64_list", "int64_lists"), ("bytes_list", "bytes_lists")]


class Bad(Exception):
    pass


def instance_to_example(instance):
    example = Example()
    if instance.HasField("line_id"):
        example.line_id.CopyFrom(instance.line_id)
    example.label.extend(instance.label)
    example.instance_weight = instance.instance_weight if instance.HasField("instance_weight") else 1.0
    if instance.value:
        example.named_feature.add(name="value").feature.float_list.value.extend(instance.value)
    slots = {}
    for fid in instance.fid:
        slots.setdefault(fid >> 54, []).append(fid)
    for slot, fids in slots.items():
        example.named_feature.add(name=f"fc_slot_{slot}").feature.fid_v1_list.value.extend(fids)
    for column in instance.feature:
        feature = example.named_feature.add(name=column.name).feature
        feature.SetInParent()
        for source, target in COLUMN_TO_FEATURE:
            if getattr(column, source):
                copy_values(getattr(column, source), getattr(feature, target), target)
                break
    for i, named in enumerate(example.named_feature):
        named.id = i
    return example


def copy_values(values, target, kind):
    if kind.endswith("_lists"):
        for inner in values:
            target.list.add().ParseFromString(inner.SerializeToString())
    else:
        target.value.extend(values)


def first_line_id(feature):
    if feature.WhichOneof("type") != "bytes_list" or not feature.bytes_list.value:
        raise Bad("no bytes")
    line_id = LineId()
    try:
        line_id.ParseFromString(feature.bytes_list.value[0])
    except Exception:
        raise Bad("no LineId") from None
    return line_id


def set_reserved(example, name, feature):
    """Sets the fields of an Example from a reserved feature."""
    floats = feature.float_list.value
    if name == "__LINE_ID__":
        example.line_id.CopyFrom(first_line_id(feature))
        example.line_id.SetInParent()
    elif name == "__LABEL__":
        example.label[:] = floats
    else:
        example.instance_weight = floats[0] if floats else 1.0


def extend(example):
    extended = Example()
    extended.CopyFrom(example)
    for named in example.named_feature:
        if named.name in RESERVED:
            set_reserved(extended, named.name, named.feature)
    return extended


def has_weight(example):
    """Whether an Instance of this Example has a weight: 0 in the field alone means none, -0 is one."""
    weight = extend(example).instance_weight
    return weight != 0 or math.copysign(1, weight) < 0 or any(n.name == "instance_weight" for n in example.named_feature)


def add_feature(instance, name, feature):
    kind = feature.WhichOneof("type")
    if kind is None:
        return
    if kind == "fid_v1_list":
        instance.fid.extend(feature.fid_v1_list.value)
        return
    column = instance.feature.add(name=name)
    for target, source in COLUMN_TO_FEATURE:
        if kind == source and kind.endswith("_lists"):
            for inner in getattr(feature, kind).list:
                getattr(column, target).add().ParseFromString(inner.SerializeToString())
        elif kind == source:
            getattr(column, target).extend(getattr(feature, kind).value)


def example_to_instance(example, pruning="as_is"):
    example_fields, instance = extend(example), Instance()
    if example_fields.HasField("line_id"):
        instance.line_id.CopyFrom(example_fields.line_id)
        instance.line_id.SetInParent()
    instance.label.extend(example_fields.label)
    if has_weight(example):
        instance.instance_weight = example_fields.instance_weight
    if example.data_source_key:
        instance.data_source_key = example.data_source_key
    for named in example.named_feature:
        if pruning != "feature" and named.name not in RESERVED:
            add_feature(instance, named.name, named.feature)
    return instance


def cell(column, cells, row, batch_size):
    if column.type == SHARED:
        if not cells:
            raise Bad(column.name)
        return cells[0]
    if len(cells) != batch_size:
        raise Bad(column.name)
    return cells[row]


def batch_to_examples(batch, pruning="as_is"):
    if not 0 <= batch.batch_size <= max(1 << 16, batch.ByteSize()):
        raise Bad("batch_size")
    rows = []
    for row in range(batch.batch_size):
        example = Example(data_source_key=batch.data_source_key)
        for column in batch.named_feature_list:
            feature = cell(column, column.feature, row, batch.batch_size)
            if column.name in RESERVED:
                set_reserved(example, column.name, feature)
            elif pruning != "feature":
                example.named_feature.add(name=column.name, id=column.id, feature=feature)
        for column in batch.named_raw_feature_list:
            raw = cell(column, column.raw_feature, row, batch.batch_size)
            if pruning != "raw_feature":
                example.named_raw_feature.add(name=column.name, id=column.id, raw_feature=raw)
        rows.append(example)
    return rows


def batch_to_instances(batch, pruning="as_is"):
    instances = []
    for i, example in enumerate(batch_to_examples(batch, pruning)):
        instance = example_to_instance(example)
        weights = [c for c in batch.named_feature_list if c.name == "instance_weight"]
        if weights:  # a weight of 0 in the column is a weight
            instance.instance_weight = example.instance_weight
        instances.append(instance)
    check_unused_cells(batch)
    return instances


def check_unused_cells(batch):
    """Reserved columns are read in every row and every spare cell, so that no batch is half right."""
    for column in batch.named_feature_list:
        for feature in column.feature:
            if column.name in RESERVED and batch.batch_size > 0:
                set_reserved(Example(), column.name, feature)


def examples_to_batches(examples, batch_size, pruning="as_is"):
    batches, rows = [], []
    for example in examples:
        if rows and (len(rows) == batch_size or rows[-1].data_source_key != example.data_source_key):
            batches.append(one_batch(rows, pruning))
            rows = []
        rows.append(example)
    return batches + ([one_batch(rows, pruning)] if rows else [])


def one_batch(rows, pruning):
    batch = ExampleBatch(batch_size=len(rows), data_source_key=rows[0].data_source_key)
    fields = [extend(row) for row in rows]

    def fill(column_of, sources, cells_of, keep):
        columns = {}
        for i, source in enumerate(sources):
            for named in source:
                if not keep(named.name):
                    continue
                column = columns.setdefault(named.name, column_of(name=named.name, id=named.id) if named.name not in columns else None)
                while len(cells_of(column)) <= i:
                    cells_of(column).add()
                value = named.feature if hasattr(named, "feature") else named.raw_feature
                cells_of(column)[i].CopyFrom(value)
        for column in columns.values():
            while len(cells_of(column)) < len(rows):
                cells_of(column).add()

    if pruning != "feature":
        fill(batch.named_feature_list.add, [r.named_feature for r in rows], lambda c: c.feature, lambda n: n not in RESERVED)
    if any(f.HasField("line_id") for f in fields):
        column = batch.named_feature_list.add(name="__LINE_ID__")
        for f in fields:
            column.feature.add().bytes_list.value.append(f.line_id.SerializeToString())
    if any(f.label for f in fields):
        column = batch.named_feature_list.add(name="__LABEL__")
        for f in fields:
            feature = column.feature.add()
            feature.float_list.SetInParent()
            feature.float_list.value.extend(f.label)
    if any(has_weight(row) for row in rows):
        column = batch.named_feature_list.add(name="instance_weight")
        for row, f in zip(rows, fields):
            column.feature.add().float_list.value.append(f.instance_weight if has_weight(row) else 0.0)
    if pruning != "raw_feature":
        fill(batch.named_raw_feature_list.add, [r.named_raw_feature for r in rows], lambda c: c.raw_feature, lambda n: True)
    return batch


def prune_example(example, pruning):
    pruned = extend(example)
    pruned.ClearField("named_feature" if pruning == "feature" else "named_raw_feature")
    return pruned


def prune_batch(batch, pruning):
    pruned = ExampleBatch()
    pruned.CopyFrom(batch)
    if pruning == "raw_feature":
        pruned.ClearField("named_raw_feature_list")
    else:
        keep = [c for c in batch.named_feature_list if c.name in RESERVED]
        del pruned.named_feature_list[:]
        pruned.named_feature_list.extend(keep)
    return pruned


def convert(messages, from_type, to_type, pruning="as_is", batch_size=256):
    if from_type == to_type:
        if from_type == "instance" or pruning == "as_is":
            return messages
        return [(prune_example if from_type == "example" else prune_batch)(m, pruning) for m in messages]
    if to_type == "example_batch":
        if from_type == "instance":
            messages, pruning = [instance_to_example(m) for m in messages], "as_is"
        return examples_to_batches(messages, batch_size, pruning)
    if from_type == "example_batch":
        for m in messages:
            check_unused_cells(m)
        rows = batch_to_examples if to_type == "example" else batch_to_instances
        return [row for m in messages for row in rows(m, pruning)]
    if from_type == "instance":
        return [instance_to_example(m) for m in messages]
    return [example_to_instance(m, pruning) for m in messages]
