"""What the operators of labels do, slow and obviously right, over protobuf's own classes."""

import ctypes

import numpy as np

from record_model import Facts

from monolith_protos import example_pb2, line_id_pb2, proto_parser_pb2

INVALID = float(np.finfo(np.float32).min)
_LIBM = ctypes.CDLL("libm.so.6")
for _name, _arguments in (("logf", 1), ("powf", 2)):
    getattr(_LIBM, _name).restype = ctypes.c_float
    getattr(_LIBM, _name).argtypes = [ctypes.c_float] * _arguments


def message(record_type: str, payload: bytes):
    return (proto_parser_pb2.Instance if record_type == "instance" else example_pb2.Example).FromString(payload)


def canonical(record_type: str, payload: bytes) -> bytes:
    return message(record_type, payload).SerializeToString(deterministic=True)


def without_unknown_fields(record_type: str, payload: bytes) -> bytes:
    """As a program of protobuf would have written it, the LineId inside a feature too."""
    record = message(record_type, payload)
    record.DiscardUnknownFields()
    for named in record.named_feature if record_type == "example" else ():
        for i, value in enumerate(named.feature.bytes_list.value if named.name == "__LINE_ID__" else ()):
            line_id = line_id_pb2.LineId.FromString(value)
            line_id.DiscardUnknownFields()
            named.feature.bytes_list.value[i] = line_id.SerializeToString(deterministic=True)
    return record.SerializeToString(deterministic=True)


def rewritten(record_type: str, payload: bytes, labels=None, edit=None) -> bytes:
    """The record with these labels, and with its LineId after `edit`; where features stand for them, those are gone."""
    record = message(record_type, payload)

    def take(name):
        if record_type == "instance":
            return []
        found = [n.feature for n in record.named_feature if n.name == name]
        for i in reversed([i for i, n in enumerate(record.named_feature) if n.name == name]):
            del record.named_feature[i]
        return found

    if labels is not None:
        take("__LABEL__")
        del record.label[:]
        record.label.extend(labels)
    if edit is not None:
        if standing_for := take("__LINE_ID__"):
            record.line_id.CopyFrom(line_id_pb2.LineId.FromString(standing_for[-1].bytes_list.value[0]))
        record.line_id.SetInParent()
        edit(record.line_id)
    return record.SerializeToString(deterministic=True)


def bits(labels) -> bytes:
    return np.array(labels, np.float32).tobytes()


def expected(record_type: str, payload: bytes, relabel, edit=None) -> bytes | None:
    """The canonical bytes of what `relabel(facts) -> labels` and `edit(line_id)` make of the record; None for no change."""
    facts = Facts(record_type, payload)
    labels = relabel(facts)
    changed = bits(labels) != bits(facts.labels)
    if not changed and edit is None:
        return None
    return rewritten(record_type, payload, labels if changed else None, edit)


def add_label(config):
    def relabel(facts):
        labels, actions = list(facts.labels), set(facts.line_id.actions)
        if labels and labels[0] <= 0:
            labels[0] = INVALID
        for task in config.tasks:
            positive, negative = actions & set(task.positive), actions & set(task.negative)
            assert task.rate in (0, 1)
            if positive:
                labels.append(1.0)
            elif (negative or not task.negative) and task.rate == 1:
                labels.append(config.negative_value)
            else:
                labels.append(INVALID)
        return labels

    return relabel


def scatter_label(config):
    def relabel(facts):
        labels = [INVALID] * (max(index for _, index in config.index_of_channel) + 1)
        index = dict(config.index_of_channel).get(facts.line_id.chnid)
        if index is not None:
            labels[index] = facts.labels[0] if facts.labels else INVALID
        return labels

    return relabel


def upper_bound(config):
    def relabel(facts):
        if len(facts.labels) < len(config.bounds):
            return facts.labels
        capped = [np.float32(bound) if label > np.float32(bound) else label for label, bound in zip(facts.labels, config.bounds)]
        return capped + facts.labels[len(config.bounds):]

    return relabel


def normalized(x, method, v) -> np.float32:
    x, v, one, zero = np.float32(x), np.float32(v), np.float32(1), np.float32(0)
    with np.errstate(all="ignore"):
        if method == "log":
            return np.float32(_LIBM.logf(zero if x + v < 0 else x + v))
        if method == "scale":
            return x / v
        if method == "scale2int":
            quotient = float(x / v)
            if np.isnan(quotient):
                return zero
            return np.float32(int(max(-(2.0**31), min(2.0**31 - 1, quotient))))
        if method == "pow":
            return np.float32(_LIBM.powf(x + one, v))
        if method == "repow":
            return np.float32(_LIBM.powf(x, v)) if x > 0 else zero
        assert method == "scalelog"
        return np.float32(_LIBM.logf(zero if x / v + one < 0 else x / v + one))


def normalization(config):
    def relabel(facts):
        labels = []
        for label in facts.labels:
            if not (config.skip_invalid and label == INVALID):
                for method, v in config.steps:
                    label = normalized(label, method, v)
            labels.append(label)
        return labels

    return relabel


def use_field_as_label(config):
    def relabel(facts):
        value = float(np.array(getattr(facts.line_id, config.field)).astype(np.float32))
        if config.overwrite_invalid_value and value >= np.float32(config.label_threshold):
            value = 0.0
        return [value if label < value else label for label in facts.labels]

    return relabel


def multi_label_gen(config):
    def label_of(facts):
        if config.use_origin_label:
            return facts.labels[0] if facts.labels else INVALID
        actions = list(facts.line_id.actions)
        if not actions:
            return INVALID
        action = actions[0]
        priorities = [config.action_priority.index(a) for a in actions if a in config.action_priority]
        if len(actions) > 1 and priorities:
            action = config.action_priority[min(priorities)]
        return config.pos_label if action in config.pos_actions else config.neg_label if action in config.neg_actions else INVALID

    def relabel(facts):
        labels = [INVALID] * (config.task_num or max(index for _, index in config.heads) + 1)
        head = str(getattr(facts.line_id, config.head_field))
        for known, index in config.heads:
            if known == head:
                labels[index] = label_of(facts)
                break
        return labels

    return relabel


def fill_multi_rank_output(config):
    def relabel(facts):
        line_id = facts.line_id
        if config.rank_from == "draw":
            rank = int(line_id.is_draw)
        elif config.rank_from == "chnid":
            rank = {0: 0, 1: 1}.get(line_id.chnid & 0xFFFFFFFF, 2)
        else:
            rank = min(line_id.rank, config.rank_num - 1)
        return [*facts.labels, np.float32(rank)]

    return relabel


def reweight(config, facts) -> tuple[int, float | None]:
    """Copies and first label of a record (spec 20, section 22)."""
    index = {action: i + 1 for i, action in enumerate(config.action_priority)}
    conf = {w.action: w for w in config.weights}

    def best(actions):
        if not actions:
            return 2000, None
        known = [(index[a], a) for a in actions if index.get(a, 1000) < 1000]
        return min(known) if known else (1000, None)

    def label(actions):
        action = best(actions)[1]
        return conf[action].label if action in conf else None

    def count(actions):
        n = 1 if actions else 0
        for a in actions:
            if a in index and a != best(actions)[1]:
                continue
            if a in conf:
                n = n * conf[a].weight if config.method == "mul" else n + conf[a].weight
        return n

    if not facts.labels:
        return 0, None
    now, before, first = list(facts.line_id.actions), list(facts.line_id.pre_actions), facts.labels[0]
    if best(before)[0] > best(now)[0]:
        if label(now) is not None:
            first = float(np.float32(label(now)))
        if label(before) is None:
            return count(now), first
        if not np.isfinite(first) or int(first) != label(before):
            return count(before) + count(now), first
        if count(before) > count(now):
            return count(before) - count(now), -first
        return count(now) - count(before), first
    return (1, first) if best(before)[0] == best(now)[0] == 2000 else (0, None)
