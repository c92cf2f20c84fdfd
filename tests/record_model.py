"""What conditions on a record mean, slow and obviously right, over protobuf's own classes."""

import numpy as np

from monolith_protos import example_pb2, line_id_pb2, proto_parser_pb2


class Facts:
    """LineId, labels, weight, fids and slots of one serialized Instance or Example."""

    def __init__(self, record_type: str, payload: bytes):
        record = (proto_parser_pb2.Instance if record_type == "instance" else example_pb2.Example).FromString(payload)
        self.line_id, self.labels, self.weight = record.line_id, list(record.label), record.instance_weight
        if record_type == "instance":
            self.weight = record.instance_weight if record.HasField("instance_weight") else 1.0
            self.fids = set(record.fid)
            self.slots = {f >> 54 for f in record.fid} | {f >> 48 & 0x7FFF for column in record.feature for f in column.fid}
            return
        v1 = [f for n in record.named_feature for f in n.feature.fid_v1_list.value]
        v2 = [f for n in record.named_feature for f in n.feature.fid_v2_list.value]
        self.fids, self.slots = set(v1) | set(v2), {f >> 54 for f in v1} | {f >> 48 & 0x7FFF for f in v2}
        last = {n.name: n.feature for n in record.named_feature}
        if "__LINE_ID__" in last:
            self.line_id = line_id_pb2.LineId.FromString(last["__LINE_ID__"].bytes_list.value[0])
        if "__LABEL__" in last:
            self.labels = list(last["__LABEL__"].float_list.value)
        if "instance_weight" in last:
            values = last["instance_weight"].float_list.value
            self.weight = values[0] if values else 1.0
        if not self.weight > 0:
            self.weight = 1.0


def compare(op: str, value, operands) -> bool:
    """Spec 20, section 2.1, for a scalar; floats are float32 on both sides."""
    if isinstance(value, float):
        value, operands = np.float32(value), [np.float32(o) for o in operands]
    if isinstance(value, str):
        value, operands = value.encode(), [o.encode() for o in operands]
    return bool({
        "gt": lambda: value > operands[0], "ge": lambda: value >= operands[0], "eq": lambda: value == operands[0],
        "lt": lambda: value < operands[0], "le": lambda: value <= operands[0], "neq": lambda: value != operands[0],
        "between": lambda: operands[0] <= value < operands[1],
        "in": lambda: any(value == o for o in operands), "not in": lambda: not any(value == o for o in operands),
        "startswith": lambda: any(value.startswith(o) for o in operands),
        "endswith": lambda: any(value.endswith(o) for o in operands),
    }[op]())


def compare_list(op: str, values, operands, keep_empty: bool) -> bool:
    if not values:
        return keep_empty
    return {"any": bool(set(values) & set(operands)), "all": set(operands) <= set(values),
            "diff": not set(values) & set(operands)}[op]
