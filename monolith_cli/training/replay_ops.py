"""Which operations a graph may have that came out of a file.

A graph is data, and data must not run code of its own choice, reach files or other machines, or touch what other graphs of the process keep.
Operations of TensorFlow without state may be there but for those of `_REFUSED`, operations with state if they are listed, of ours those that parse.
"""

from __future__ import annotations

import re

from monolith_cli.errors import BadDataError

_PARSING = {"MonolithParseRecords", "MonolithRecordBatchInfo"}

# Without state by their definition, but they run Python, read or write files, map memory, or run graphs that nobody has looked at.
_REFUSED = re.compile(
    r"PyFuncStateless|ReadFile|MatchingFiles|GenerateVocabRemapping|InitializeTableFromTextFile|ImmutableConst|DecodeProtoV2|EncodeProto"
    r"|CacheDataset|.*Snapshot.*|RegisterDataset.*|DatasetFromGraph|ReaderRestoreState|Debug.*|Copy|CopyHost|Experimental.*|TPU.*|Xla.*|_.*"
)
_STATEFUL = re.compile(
    # variables
    r"VarHandleOp|ReadVariableOp|Assign(Add|Sub)?VariableOp|VarIsInitializedOp|VariableShape|ResourceGather(Nd)?|ResourceScatter.*|ResourceStridedSliceAssign"
    # random numbers
    r"|Random(Uniform|UniformInt|StandardNormal|Gamma|Poisson|PoissonV2|Shuffle|Crop)|(Parameterized)?TruncatedNormal|Multinomial|StatelessRandomGetAlg"
    r"|Stateful(RandomBinomial|StandardNormal|StandardNormalV2|TruncatedNormal|Uniform|UniformFullInt|UniformInt)|RngSkip|RngReadAndSkip|NonDeterministicInts"
    r"|(All|FixedUnigram|LogUniform|Uniform|LearnedUnigram|ThreadUnsafeUnigram)CandidateSampler"
    # control flow, lists, checks
    r"|If|While|Case|StatefulPartitionedCall|TensorArray.*|Stack.*|CheckNumerics(V2)?|Assert|Print|PrintV2|Empty|GuaranteeConst|Timestamp"
    # input
    r"|TensorDataset|TensorSliceDataset|SparseTensorSliceDataset|RangeDataset|Random(Dataset|DatasetV2)|Shuffle(AndRepeat)?DatasetV[23]|ReduceDataset"
    r"|GroupByReducerDataset|DatasetToSingleElement|DummySeedGenerator|DummyIterationCounter|AnonymousRandomSeedGenerator|AnonymousSeedGenerator"
)


def check(graph_def) -> None:
    """Raises BadDataError, which names the operation and its kind, where a graph has one that it may not have. The operations of its functions
    count as its own."""
    for node in graph_def.node:
        _check(node, "")
    for function in graph_def.library.function:
        for node in function.node_def:
            _check(node, f" of function {function.signature.name!r}")


def _check(node, where: str) -> None:
    reason = _reason(node)
    if reason:
        raise BadDataError(f"operation {node.name!r}{where} is a {node.op}: {reason}")


def _reason(node) -> str | None:
    from tensorflow.python.framework import op_def_registry

    if node.op.startswith("Monolith"):
        return None if node.op in _PARSING else "an operation on tables or files, which a graph that comes out of a file may not have"
    if node.op in ("PyFunc", "EagerPyFunc", "PyFuncStateless"):
        return "it calls a Python function, which is not in the graph"
    definition = op_def_registry.get(node.op)
    if definition is None:
        return "this TensorFlow has no such operation"
    if not _STATEFUL.fullmatch(node.op) if definition.is_stateful else _REFUSED.fullmatch(node.op):
        return "it reaches beyond the graph, which a graph that comes out of a file may not do"
    if node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:"):
        return "it writes a file"
    return None
