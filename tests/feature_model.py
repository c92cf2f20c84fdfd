"""What pb-feature does to a record, slow and obviously right, over protobuf's own classes.

Each function changes a parsed message as one option does; the names of the options of FeatureConfig.
"""

from monolith_protos import example_pb2, proto_parser_pb2

from monolith_cli._native import _core
from monolith_cli.records import fid

MESSAGES = {"instance": proto_parser_pb2.Instance, "example": example_pb2.Example, "example_batch": example_pb2.ExampleBatch}
RESERVED = ("__LINE_ID__", "__LABEL__", "instance_weight")
MASK64 = (1 << 64) - 1


def slot_of(message, name):
    """The slot a name stands for in an Instance."""
    if not isinstance(message, proto_parser_pb2.Instance):
        return None
    for prefix in ("slot_", "fc_slot_"):
        digits = name.removeprefix(prefix)
        if digits != name and digits.isdecimal() and int(digits) < 1024:
            return int(digits)
    return None


def features(message):
    if isinstance(message, proto_parser_pb2.Instance):
        return message.feature
    return message.named_feature if isinstance(message, example_pb2.Example) else message.named_feature_list


def raw_features(message):
    if isinstance(message, proto_parser_pb2.Instance):
        return []
    return message.named_raw_feature if isinstance(message, example_pb2.Example) else message.named_raw_feature_list


def switched(message_feature, slot):
    """The fid list of a Feature under a slot, as a new Feature."""
    made = example_pb2.Feature()
    kind = message_feature.WhichOneof("type")
    if kind in ("fid_v1_list", "fid_v2_list"):
        make = fid.make_v1 if kind == "fid_v1_list" else fid.make_v2
        getattr(made, kind).value.extend(make(slot, f) for f in getattr(message_feature, kind).value)
        getattr(made, kind).SetInParent()
    return made


def switch_slot(message, in_place, copies, suffix="share"):
    copied = []
    for part in list(features(message)):
        if part.name in copies:
            slot, name = copies[part.name], f"{part.name}_{suffix}"
            if isinstance(part, example_pb2.NamedFeature):
                new = example_pb2.NamedFeature(name=name, id=part.id, sorted_id=part.sorted_id)
                if part.feature.WhichOneof("type") in ("fid_v1_list", "fid_v2_list"):
                    new.feature.CopyFrom(switched(part.feature, slot))
            elif isinstance(part, example_pb2.NamedFeatureList):
                new = example_pb2.NamedFeatureList(name=name, id=part.id, type=part.type, feature=[switched(f, slot) for f in part.feature])
            else:
                new = type(part)(name=name, fid=[fid.make_v2(slot, f) for f in part.fid])
            copied.append(new)
        if part.name in in_place:
            slot = in_place[part.name]
            if isinstance(part, example_pb2.NamedFeature):
                for kind, make in (("fid_v1_list", fid.make_v1), ("fid_v2_list", fid.make_v2)):
                    if part.feature.WhichOneof("type") == kind:
                        values = getattr(part.feature, kind).value
                        values[:] = [make(slot, f) for f in values]
            elif isinstance(part, example_pb2.NamedFeatureList):
                for f in part.feature:
                    for kind, make in (("fid_v1_list", fid.make_v1), ("fid_v2_list", fid.make_v2)):
                        if f.WhichOneof("type") == kind:
                            values = getattr(f, kind).value
                            values[:] = [make(slot, v) for v in values]
            else:
                part.fid[:] = [fid.make_v2(slot, f) for f in part.fid]
    features(message).extend(copied)
    if isinstance(message, proto_parser_pb2.Instance):
        flat = list(message.fid)
        to = {slot_of(message, n): s for n, s in in_place.items()}
        message.fid[:] = [fid.make_v1(to.get(f >> 54, f >> 54), f) for f in flat]
        to = {slot_of(message, n): s for n, s in copies.items()}
        message.fid.extend(fid.make_v1(to[f >> 54], f) for f in flat if f >> 54 in to)


def leave(parts, stays):
    """Takes the parts out of a repeated field for which stays(part) does not hold."""
    stay = [type(p).FromString(p.SerializeToString()) for p in parts if stays(p)]
    if len(stay) != len(parts):
        del parts[:]
        parts.extend(stay)


def columns(message, drop=(), keep=None, rename=None):
    for parts in (features(message), raw_features(message)):
        leave(parts, lambda p: p.name not in drop and (keep is None or p.name in keep or p.name in RESERVED))
        for part in parts:
            if part.name in (rename or {}):
                part.name = rename[part.name]
    if isinstance(message, proto_parser_pb2.Instance):
        gone = {slot_of(message, n) for n in drop}
        kept = None if keep is None else {slot_of(message, n) for n in keep}
        message.fid[:] = [f for f in message.fid if f >> 54 not in gone and (kept is None or f >> 54 in kept)]


def source_fids(message, name):
    """(fid, v1?) of a source of a new feature."""
    if isinstance(message, example_pb2.Example):
        found = [n.feature for n in message.named_feature if n.name == name][-1:]
        return [(f, True) for p in found for f in p.fid_v1_list.value] + [(f, False) for p in found for f in p.fid_v2_list.value]
    found = [c for c in message.feature if c.name == name]
    if found:
        return [(f, False) for c in found for f in [*c.fid, *(v for inner in c.fid_list for v in inner.value)]]
    slot = slot_of(message, name)
    return [(f, True) for f in message.fid if f >> 54 == slot] if slot is not None else []


def source_length(message, name):
    if isinstance(message, example_pb2.Example):
        found = [n.feature for n in message.named_feature if n.name == name][-1:]
        kind = found[0].WhichOneof("type") if found else None
        if kind is None:
            return 0
        value = getattr(found[0], kind)
        return len(value.list) if kind.endswith("_lists") else len(value.value) if kind.endswith("_list") else 1
    found = [c for c in message.feature if c.name == name]
    if not found:
        return len(source_fids(message, name))
    return sum(len(getattr(c, f)) for c in found for f in ("fid", "float_value", "int64_value", "bytes_value", "fid_list", "float_list", "int64_list", "bytes_list"))


def add(message, made):
    """made: name -> (kind, values), which replace the features of their names."""
    leave(features(message), lambda p: p.name not in made)
    for name, (kind, values) in made.items():
        if isinstance(message, example_pb2.Example):
            new = message.named_feature.add(name=name)
            target = getattr(new.feature, {"fid": "fid_v2_list", "float": "float_list", "int64": "int64_list"}[kind])
            target.SetInParent()
            target.value.extend(values)
        else:
            new = message.feature.add(name=name)
            getattr(new, {"fid": "fid", "float": "float_value", "int64": "int64_value"}[kind]).extend(values)


def signed(v):
    return v - (1 << 64) if v >> 63 else v


def combined(a, b, slot, exact):
    product = signed(a) * signed(b)
    return (slot << 48 | ((product >> 64 ^ product) & MASK64) & ((1 << 48 if exact else 1 << 49) - 1)) & MASK64


def combine(message, rules, exact=False):
    """rules: (name, first, second, slot), which read the record as it came."""
    def fids(name):
        return [fid.v1_to_v2(f) if v1 else f for f, v1 in source_fids(message, name)]

    add(message, {name: ("fid", [combined(a, b, slot, exact) for a in fids(first) for b in fids(second)]) for name, first, second, slot in rules})


def fid_mask(message, rules):
    add(message, {name: ("float", [float(value in [f for f, _ in source_fids(message, source)])]) for name, source, value in rules})


def seq_mask(message, rules):
    add(message, {name: ("int64", [int(i < source_length(message, source)) for i in range(n)]) for name, source, n in rules})


def map_id(message, tables):
    def mapped(values, table, other):
        values[:] = [table.get(v, other) for v in values]

    for part in features(message):
        if part.name not in tables:
            continue
        table, other = tables[part.name]
        if isinstance(message, proto_parser_pb2.Instance):
            mapped(part.int64_value, table, other)
            for inner in part.int64_list:
                mapped(inner.value, table, other)
            continue
        for f in [part.feature] if isinstance(part, example_pb2.NamedFeature) else part.feature:
            kind = f.WhichOneof("type")
            if kind == "int64_list":
                mapped(f.int64_list.value, table, other)
            if kind == "int64_lists":
                for inner in f.int64_lists.list:
                    mapped(inner.value, table, other)
            if kind == "int64_value":
                f.int64_value = table.get(f.int64_value, other)


def hashed(value, name, slot, exact):
    if isinstance(value, int):
        return fid.extract(slot, value, exact)
    return fid.make_v2(slot, _core.city_hash64(value + b"-" + name.encode()))


def hash_feature(f, name, slot, exact):
    kind = f.WhichOneof("type")
    if kind not in ("int64_list", "bytes_list", "int64_lists", "bytes_lists", "int64_value", "bytes_value"):
        return
    value = getattr(f, kind)
    if kind.endswith("_lists"):
        lists = [[hashed(v, name, slot, exact) for v in inner.value] for inner in value.list]
        f.fid_v2_lists.SetInParent()
        for inner in lists:
            f.fid_v2_lists.list.add(value=inner)
        return
    fids = [hashed(v, name, slot, exact) for v in (value.value if kind.endswith("_list") else [value])]
    f.fid_v2_list.SetInParent()
    f.fid_v2_list.value.extend(fids)


def hash_raw(raw, name, slot):
    new = example_pb2.NamedFeature(name=name, id=raw.id)
    target = new.feature
    for part in raw.raw_feature.feature:
        kind = part.WhichOneof("type")
        if kind in ("float_list", "double_list", "int64_list", "float_lists", "double_lists", "int64_lists"):
            getattr(target, kind).SetInParent()
            getattr(target, kind).MergeFrom(getattr(part, kind))
        if kind == "bytes_list":
            target.fid_v2_list.SetInParent()
            target.fid_v2_list.value.extend(hashed(v, name, slot, False) for v in part.bytes_list.value)
        if kind == "bytes_lists":
            target.fid_v2_lists.SetInParent()
            for inner in part.bytes_lists.list:
                target.fid_v2_lists.list.add(value=[hashed(v, name, slot, False) for v in inner.value])
    if target.WhichOneof("type") is None:
        new.ClearField("feature")
    return new


def hash_names(message, rules, exact=False):
    """rules: name -> slot."""
    if isinstance(message, proto_parser_pb2.Instance):
        for c in message.feature:
            if c.name not in rules:
                continue
            slot = rules[c.name]
            quantised = [v for v in c.bytes_value if v.startswith(b"UE_QTZ") and len(v) > 6]
            made = [hashed(v, c.name, slot, exact) for v in [*c.int64_value, *(v for v in c.bytes_value if v not in quantised)]]
            lists = [[hashed(v, c.name, slot, exact) for v in inner.value] for inner in [*c.int64_list, *c.bytes_list]]
            c.fid.extend(made)
            for inner in lists:
                c.fid_list.add(value=inner)
            c.ClearField("int64_value")
            c.ClearField("int64_list")
            c.ClearField("bytes_list")
            c.bytes_value[:] = quantised
        return
    present = {n.name for n in message.named_feature}
    for n in message.named_feature:
        if n.name in rules:
            hash_feature(n.feature, n.name, rules[n.name], exact)
    message.named_feature.extend(hash_raw(r, r.name, rules[r.name]) for r in message.named_raw_feature if r.name in rules and r.name not in present)
