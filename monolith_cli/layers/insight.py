"""What a network makes of its features: contributions to the first dense layer, and summaries of them and of gates for
TensorBoard's plugin `monolith`."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf

from monolith_cli.layers.base import LayerError, shown

tf1 = tf.compat.v1

PLUGIN_NAME = "monolith"
NAS_WEIGHT, FEATURE_INSIGHT = "monolith_nas_weight", "monolith_feature_insight"
GATING, SELECTING, MIXED, SIMPLE = "gating", "selecting", "mixed", "simple"
FI_DIRECT, FI_TRAIN = "fi_direct", "fi_train"


def feature_insight(inputs, weight, segment_sizes: list[int], aggregate: bool = False):
    """What each segment of the columns of an embedding block contributes to a dense layer.

    inputs [B, S], weight [S, K], segment_sizes: widths of the F segments, which add up to S. Returns [B, F*K] with
    out[b, f*K + k] = sum over the columns j of segment f of inputs[b, j] * weight[j, k]; with aggregate [B, F]: the sum
    over k of their squares. LayerError where the shapes do not fit.
    """
    inputs, weight = tf.convert_to_tensor(inputs), tf.convert_to_tensor(weight)
    if not segment_sizes:
        raise LayerError("feature_insight: segment_sizes is empty")
    if inputs.shape[-1] != weight.shape[0] or sum(segment_sizes) != weight.shape[0]:
        raise LayerError(
            f"feature_insight: input {shown(inputs.shape)}, weight {shown(weight.shape)} and segments of "
            f"{list(segment_sizes)} "
            f"(sum {sum(segment_sizes)}) do not fit: all must have the same number of columns"
        )
    parts = zip(tf.split(inputs, segment_sizes, axis=1), tf.split(weight, segment_sizes, axis=0))
    found = [tf.matmul(x, w) for x, w in parts]
    if not aggregate:
        return tf.concat(found, axis=1)
    return tf.stack([tf.reduce_sum(tf.square(f), axis=1) for f in found], axis=1)


def prepare_head(
    segment_names: list[str],
    segment_sizes: list,
    group_info: list[list[str]] | None = None,
    raw_tag: str | None = None,
    out_type: str = "tensor",
) -> tuple[Any, str | None]:
    """(content, type) of a summary's metadata: the JSON of tag_type, segment_names, segment_sizes and, for gating and
    fi_train,
    group_index. type: raw_tag, else gating where all sizes are numbers, else selecting. out_type: json -> the dict,
    bytes -> its text, tensor -> a scalar string tensor. Without names and sizes the content is empty.

    group_index: the place of a name; with group_info the number of the group that has it, groups that occur counted
    from 0 (a name in two groups takes the later). AssertionError for a name without a group.
    """
    if not segment_names and not segment_sizes:
        return _formed({}, out_type) if out_type == "json" else _formed("", out_type), raw_tag
    kind = raw_tag or (GATING if all(isinstance(s, int) for s in segment_sizes) else SELECTING)
    head: dict[str, Any] = {
        "tag_type": kind,
        "segment_names": list(segment_names),
        "segment_sizes": list(segment_sizes),
    }
    if kind in (GATING, FI_TRAIN):
        head["group_index"] = _group_index(segment_names, group_info)
    return _formed(head, out_type), kind


def _formed(head: Any, out_type: str) -> Any:
    if out_type == "json":
        return head
    text = head if isinstance(head, str) else json.dumps(head)
    if out_type == "bytes":
        return text
    if out_type == "tensor":
        return tf.constant(text)
    raise ValueError(f"unknown out_type {out_type!r}: use tensor, bytes or json")


def _group_index(names: list[str], groups: list[list[str]] | None) -> list[int]:
    if not groups:
        place = {name: i for i, name in enumerate(names)}
        return [place[name] for name in names]
    group_of = {name: i for i, group in enumerate(groups) for name in group}
    missing = [name for name in names if name not in group_of]
    assert not missing, f"segments {missing} are in no group of {groups}"
    number = {group: i for i, group in enumerate(sorted({group_of[n] for n in names}))}
    return [number[group_of[name]] for name in names]


def _write(tag: str, last: str, content: str, data, description: str | None, collections):
    """A tensor summary `<scopes>/<tag>/<last>`; a tag that is taken gets _1, _2, ... in front of the slash."""
    metadata = tf1.SummaryMetadata(
        summary_description=description or "",
        plugin_data=tf1.SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=content.encode()),
    )
    metadata.data_class = 2  # DATA_CLASS_TENSOR
    with tf1.name_scope(tag) as scope:
        made = tf.raw_ops.TensorSummaryV2(
            tag=scope + last, tensor=data, serialized_summary_metadata=metadata.SerializeToString()
        )
    for name in [tf1.GraphKeys.SUMMARIES] if collections is None else collections:
        tf1.add_to_collection(name, made)
    return made


def nas_data(
    weight,
    segment_names=None,
    segment_sizes=None,
    group_info=None,
    raw_tag: str | None = None,
    collections=None,
    description: str | None = None,
    name: str | None = None,
):
    """Writes a weight of an architecture search (gates of features, choices of widths) as a summary, with the tag
    `<[name_]type>/monolith_nas_weight`. Names, sizes and groups as in `prepare_head`; without names and sizes raw_tag
    is needed (ValueError). Returns the serialized summary."""
    if not segment_names and not segment_sizes and raw_tag is None:
        raise ValueError("nas_data: give segment_names and segment_sizes, or raw_tag")
    content, kind = prepare_head(segment_names or [], segment_sizes or [], group_info, raw_tag, out_type="bytes")
    return _write(
        f"{name}_{kind}" if name else kind,
        NAS_WEIGHT,
        content,
        tf.convert_to_tensor(weight),
        description or kind,
        collections,
    )


def feature_insight_data(
    inputs,
    segment_names,
    segment_sizes,
    weight=None,
    group_info=None,
    label=None,
    collections=None,
    description: str | None = None,
    name: str | None = None,
):
    """Writes the contributions of segments as a summary with the tag `<[name_]type>/monolith_feature_insight`.

    Without label the type is fi_direct and the data what `feature_insight` aggregates; with it fi_train, the
    contributions [B, F*K] and behind them the label [B] or [B, n]. Without weight the data is `inputs` itself. The
    metadata's JSON has label_size too. AssertionError where names and sizes are not equally many. Returns the
    serialized summary.
    """
    assert len(segment_names) == len(segment_sizes), (
        f"{len(segment_names)} segment names for {len(segment_sizes)} sizes"
    )
    kind, sizes, data = (FI_DIRECT if label is None else FI_TRAIN), list(segment_sizes), inputs
    if weight is not None:
        data = feature_insight(inputs, weight, sizes, aggregate=label is None)
        sizes = [1 if label is None else int(weight.shape[-1])] * len(sizes)
    label_size = 0
    if label is not None:
        label = tf.cast(label, data.dtype)
        label = label[:, tf.newaxis] if label.shape.rank == 1 else label
        label_size = int(label.shape[-1])
        data = tf.concat([data, label], axis=1)
    head, _ = prepare_head(segment_names, sizes, group_info, raw_tag=kind, out_type="json")
    content = json.dumps({**head, "label_size": label_size})
    return _write(f"{name}_{kind}" if name else kind, FEATURE_INSIGHT, content, data, description or kind, collections)


def get_nas_weight_json(checkpoint: str, prefix: str = "arch_weight") -> list[str]:
    """The values of the first variable of a checkpoint whose name contains `prefix`, as text. ValueError where there is
    none."""
    for name, _ in tf.train.list_variables(checkpoint):
        if prefix in name:
            return [str(v) for v in tf.train.load_variable(checkpoint, name).reshape(-1)]
    raise ValueError(f"{checkpoint}: no variable has {prefix!r} in its name")
