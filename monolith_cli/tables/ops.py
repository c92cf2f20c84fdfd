"""The TensorFlow ops of the native library, loaded once."""

from __future__ import annotations

import functools
import pathlib
from types import ModuleType
from typing import Any

from monolith_cli.errors import ConfigError

_NOT_DIFFERENTIABLE = (
    "MonolithTablesLookup",
    "MonolithTablesLookupRagged",
    "MonolithTablesFusedLookup",
    "MonolithTablesLookupEntry",
    "MonolithTablesSaveAsTensor",
    "MonolithTablesLookupGradient",
    "MonolithExtractSlotFromEntry",
    "MonolithParseRecords",
    "MonolithRecordBatchInfo",
    "MonolithShardFids",
    "MonolithShardFidsFlat",
    "MonolithNormalizeMergedSplit",
    "MonolithTablesLookupRows",
    "MonolithEmbeddingToLayoutGrad",
)


@functools.cache
def library() -> ModuleType:
    """The module of generated op functions. Raises ConfigError when the library was not built or cannot be loaded."""
    import tensorflow as tf

    path = pathlib.Path(__file__).resolve().parent.parent / "_native" / "_monolith_ops.so"
    if not path.exists():
        raise ConfigError(f"{path} is missing: build the TensorFlow ops (cmake -DMONOLITH_TENSORFLOW=ON, then install)")
    try:
        ops = tf.load_op_library(str(path))
    except tf.errors.OpError as e:
        raise ConfigError(f"{path} cannot be loaded by TensorFlow {tf.__version__}: {e.message}") from None
    for op in _NOT_DIFFERENTIABLE:
        tf.no_gradient(op)
    tf.RegisterGradient("MonolithTablesLookupIds")(_lookup_ids_gradient)
    tf.RegisterGradient("MonolithEmbeddingToLayout")(_layout_gradient)
    return ops


def _lookup_ids_gradient(op: Any, grad: Any) -> list:
    """For the table: which ids get which gradients. Ids have none."""
    import tensorflow as tf

    ids = op.inputs[1]
    shape = tf.stack([tf.size(ids, out_type=tf.int64), tf.constant(op.get_attr("dim"), tf.int64)])
    return [tf.IndexedSlices(grad, ids, shape), None]


def _layout_gradient(op: Any, *grads: Any) -> list:
    """For the embeddings; offsets and sizes have none."""
    import tensorflow as tf

    lists, splits = op.get_attr("M"), op.get_attr("R")
    given = [tf.zeros_like(out) if g is None else g for g, out in zip(grads, op.outputs)]
    made = library().monolith_embedding_to_layout_grad(
        embeddings_list=op.inputs[:lists],
        fid_offset=op.inputs[lists],
        feature_offset=op.inputs[lists + 1],
        nfl_offset=op.inputs[lists + 2],
        batch_size=op.inputs[lists + 3],
        fid_list_row_splits=op.inputs[lists + 4 : lists + 4 + splits],
        fid_list_emb_row_length=op.inputs[lists + 4 + splits :],
        grads=given,
        scale=[],
        ps_num=op.get_attr("ps_num"),
        feature_cfgs=op.get_attr("feature_cfgs"),
        version=op.get_attr("version"),
    )
    return [*made, *[None] * (len(op.inputs) - lists)]
