"""Floating-point operations of a graph for one example, counted from its operations and their static shapes.

A multiplication and an addition are two. Elementwise operations count one for each element they give, reductions one for each they take,
softmax five. What moves data counts nothing. Operations whose shapes are not known, or that this table does not know, are named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import tensorflow as tf

tf1 = tf.compat.v1

_ELEMENTWISE = {
    "Abs", "Add", "AddN", "AddV2", "BiasAdd", "Ceil", "Cos", "Div", "DivNoNan", "Elu", "Equal", "Erf", "Erfc", "Exp", "Expm1", "Floor", "FloorDiv",
    "FloorMod", "GreaterEqual", "Greater", "Inv", "LeakyRelu", "Less", "LessEqual", "Log", "Log1p", "Maximum", "Minimum", "Mod", "Mul",
    "MulNoNan", "Neg", "NotEqual", "Pow", "RealDiv", "Reciprocal", "Relu", "Relu6", "Round", "Rsqrt", "Selu", "Sigmoid", "Sign", "Sin",
    "Softplus", "Softsign", "Sqrt", "Square", "SquaredDifference", "Sub", "Tanh", "Xdivy", "Xlogy", "SigmoidGrad", "TanhGrad", "ClipByValue",
}  # fmt: skip
_REDUCTIONS = {"Sum", "Mean", "Max", "Min", "Prod", "EuclideanNorm", "L2Loss", "ArgMax", "ArgMin", "Cumsum", "SegmentSum", "UnsortedSegmentSum"}
_SOFTMAX = {"Softmax", "LogSoftmax", "SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"}
_MATMULS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}
_FREE = {
    "All", "Any", "Assert", "AssignAddVariableOp", "AssignSubVariableOp", "AssignVariableOp", "Bitcast", "BitwiseAnd", "BitwiseOr", "BroadcastArgs", "BroadcastTo", "Cast",
    "Concat", "ConcatV2", "Const", "CheckNumerics", "EnsureShape", "ExpandDims", "Fill", "Gather", "GatherNd", "GatherV2", "Identity", "IdentityN", "Invert",
    "InvertPermutation", "IsFinite", "IsNan", "IteratorGetNext", "IteratorV2", "LogicalAnd", "LogicalNot", "LogicalOr", "MatrixDiag",
    "MatrixDiagV3", "MirrorPad", "NoOp", "OneHot", "OnesLike", "Pack", "Pad", "PadV2", "Placeholder", "PlaceholderWithDefault",
    "PreventGradient", "RaggedRange", "RaggedTensorFromVariant", "RaggedTensorToTensor", "RaggedTensorToVariant", "RandomStandardNormal", "RandomUniform",
    "Range", "Rank", "ReadVariableOp", "Reshape", "ResourceGather", "ReverseV2", "ScatterNd", "Select", "SelectV2", "Shape", "ShapeN", "Size",
    "Slice", "Split", "SplitV", "Squeeze", "StatelessRandomUniformV2", "StatelessRandomGetKeyCounter", "StatelessRandomGetAlg", "StopGradient", "StridedSlice",
    "Tile", "TopK", "TopKV2", "Transpose", "Unique", "Unpack", "VarHandleOp", "VarIsInitializedOp", "VariableV2", "Where", "ZerosLike",
    "HistogramSummary", "ScalarSummary", "TensorSummaryV2", "StringFormat", "PrintV2",
}  # fmt: skip


@dataclass
class Count:
    """by_op: operation -> FLOPs, of those that have any. uncounted: types of operations that are not in the tables.
    unknown: operations whose shapes are not known."""

    by_op: dict[str, int] = field(default_factory=dict)
    uncounted: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.by_op.values())


def one_example(graph: tf.Graph, features: dict | None = None) -> tf.Graph:
    """A copy of a graph in which what comes from outside has a batch of one: placeholders and batches of the input. features: what of a batch
    is ragged, and so has one split more than rows."""
    ragged = [f for f in tf.nest.flatten(features or {}) if isinstance(f, tf.RaggedTensor)]
    splits = {t.name for f in ragged for t in f.nested_row_splits}
    definition = graph.as_graph_def()
    for node in definition.node:
        if "_output_shapes" in node.attr:
            del node.attr["_output_shapes"]
        if node.op in ("Placeholder", "PlaceholderWithDefault"):
            _batch_of_one(node.attr["shape"].shape)
        elif node.op in ("IteratorGetNext", "IteratorV2"):
            for i, shape in enumerate(node.attr["output_shapes"].list.shape):
                _batch_of_one(shape, 2 if f"{node.name}:{i}" in splits else 1)
    copy = tf.Graph()
    with copy.as_default():
        tf1.import_graph_def(definition, name="")
    return copy


def _batch_of_one(shape, size: int = 1) -> None:
    if not shape.unknown_rank and shape.dim and shape.dim[0].size < 0:
        shape.dim[0].size = size


def ancestors(targets: Iterable[tf.Operation]) -> set[tf.Operation]:
    """Operations that the targets need, themselves included."""
    found: set[tf.Operation] = set()
    waiting = list(targets)
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [t.op for t in op.inputs]
    return found


def count(operations: Iterable[tf.Operation]) -> Count:
    """FLOPs of operations."""
    out = Count()
    for op in operations:
        if op.type in _FREE or op.type.startswith("Monolith"):
            continue
        if op.outputs and op.outputs[0].dtype in (tf.int32, tf.int64, tf.string, tf.bool, tf.resource, tf.variant):
            continue
        try:
            flops = _flops(op)
        except _Unknown:
            out.unknown.append(op.name)
            continue
        if flops is None:
            out.uncounted[op.type] = out.uncounted.get(op.type, 0) + 1
        elif flops:
            out.by_op[op.name] = flops
    return out


class _Unknown(Exception):
    """A shape is not known."""


def elements(tensor: tf.Tensor) -> int:
    """Elements of a tensor; a first dimension that is not known is the batch of one."""
    if tensor.shape.rank is None or None in tensor.shape.as_list()[1:]:
        raise _Unknown
    return math.prod(d for d in tensor.shape.as_list() if d is not None)


def _flops(op: tf.Operation) -> int | None:
    if op.type in _ELEMENTWISE:
        return elements(op.outputs[0]) * (max(1, len(op.inputs) - 1) if op.type == "AddN" else 1)
    if op.type in _REDUCTIONS:
        return elements(op.inputs[0])
    if op.type in _SOFTMAX:
        return 5 * elements(op.inputs[0])
    if op.type in _MATMULS:
        flag = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
        inner = op.inputs[0].shape[-2 if flag else -1]
        if inner is None:
            raise _Unknown
        return 2 * elements(op.outputs[0]) * inner
    if op.type == "Einsum":
        return 2 * _einsum(op)
    if op.type == "Conv2D":
        height, width, channels, _ = op.inputs[1].shape.as_list()
        return 2 * elements(op.outputs[0]) * height * width * channels
    if op.type == "FusedBatchNormV3":
        return 4 * elements(op.inputs[0])
    return None


def _einsum(op: tf.Operation) -> int:
    """Products of all sizes that the letters of its equation stand for."""
    equation = op.get_attr("equation")
    equation = equation.decode() if isinstance(equation, bytes) else equation
    terms = equation.split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, op.inputs):
        if not tensor.shape.is_fully_defined() or "." in term:
            raise _Unknown
        sizes |= dict(zip(term, tensor.shape.as_list()))
    return math.prod(sizes.values())
