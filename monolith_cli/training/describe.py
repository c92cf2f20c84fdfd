"""What a model is, found out without data or a checkpoint: features, tables, slices, layers, heads, sizes and work per example."""

from __future__ import annotations

import contextlib
import inspect
import os

import tensorflow as tf

from monolith_cli.model.errors import ModelError
from monolith_cli.model.feature import source_name
from monolith_cli.model.learning_rate_functions import LearningRateFunction
from monolith_cli.model.model import MonolithModel
from monolith_cli.training import flops, graph, plan

tf1 = tf.compat.v1

_KEY_BYTES, _TIME_BYTES = 8, 4
# Bytes of optimizer state: for each float of a segment, and for each segment.
_STATE = {"sgd": (0, 0), "adagrad": (4, 0), "ftrl": (8, 0), "adam": (8, 8), "amsgrad": (12, 8), "adadelta": (8, 0), "momentum": (4, 0),
          "rmsprop": (4, 0), "rmspropv2": (4, 0), "group_adagrad": (0, 4), "moving_average": (0, 0), "batch_softmax": (0, 8)}  # fmt: skip
_SERVING = {"fp32": 4, "fp16": 2, "fixed_r8": 1, "one_bit": 1}


@contextlib.contextmanager
def no_records(model: MonolithModel, record_type: str):
    """While inside, the model can be built: its input is records that never come."""
    from monolith_cli._native import _core
    from monolith_cli.tables.graph import record_dataset

    name = "no_records"
    stream = _core.RecordStream(record_type, model.batch_size, lambda: None)
    _core.register_stream(name, stream)
    try:
        model.read_from(lambda: record_dataset(name))
        yield
    finally:
        _core.unregister_stream(name)
        stream.stop()


def build(model: MonolithModel, record_type: str) -> graph.Collected:
    """Runs `model_fn` of a model as in training, on records that never come. Raises ModelError."""
    with no_records(model, record_type):
        return graph.collect(model)


def describe(built: graph.Collected, record_type: str) -> dict:
    """Everything that `model-show --json` prints."""
    model = built.model
    with built.graph.as_default():
        variables = tf1.trainable_variables()
        others = [v for v in tf1.global_variables() if v not in variables and not v.name.startswith("global_step")]
        inputs, features = _inputs(built), _features(built)
        tables = [_table(name, slot, model) for name, slot in sorted(model._factory.slots.items())]
    counted = _Work(built)
    heads = [_head(h) for h in built.result.heads]
    doc = (inspect.getdoc(type(model)) or "") if type(model).__doc__ else ""
    optimizer = built.result.optimizer
    return {
        "model": {"name": type(model).__name__, "file": os.path.basename(model.model_file), "about": doc.splitlines()[0] if doc else ""},
        "record_type": record_type,
        "inputs": inputs,
        "features": features,
        "tables": tables,
        "layers": counted.layers(variables),
        "heads": heads,
        "dense_optimizer": type(optimizer).__name__ if optimizer is not None else None,
        "parameters": {
            "dense": sum(flops.math.prod(v.shape.as_list()) for v in variables),
            "dense_not_trained": sum(flops.math.prod(v.shape.as_list()) for v in others),
            "of_a_key_in_all_tables": sum(t["floats"] for t in tables),
        },
        "per_example": {
            "flops": counted.count.total,
            "flops_not_counted": {**counted.count.uncounted, **({"unknown shape": len(counted.count.unknown)} if counted.count.unknown else {})},
            "bytes_of_embeddings": sum(f["bytes_per_example"] for f in features),
            "bytes_of_dense_parameters": 4 * sum(flops.math.prod(v.shape.as_list()) for v in variables),
            "bytes_of_activations": counted.activations,
        },
    }


def _shape(tensor) -> list:
    return ["B" if i == 0 and d is None else d for i, d in enumerate(tensor.shape.as_list())] if tensor.shape.rank is not None else ["?"]


def _inputs(built: graph.Collected) -> list[dict]:
    used = {source_name(c.feature_name, built.features) for c in built.model._factory.columns.values()}
    out = []
    for name, value in sorted(built.features.items()):
        sparse = isinstance(value, tf.RaggedTensor)
        shape = ["B", "ids"] if sparse else _shape(value)
        out.append({"input": name, "kind": "sparse" if sparse else "dense", "type": value.dtype.name, "shape": shape,
                    **({"looked_up": name in used} if sparse else {})})  # fmt: skip
    return out


def _features(built: graph.Collected) -> list[dict]:
    """A column each. Bytes are those of the rows read for a row with one id, with max_seq_length for as many."""
    out = []
    for name, column in sorted(built.model._factory.columns.items()):
        dims, length = column.feature_slot.slice_dims, column.combiner.max_seq_length
        out.append({"feature": name, "table": column.feature_slot.name, "combiner": column.combiner.name, "max_seq_length": length,
                    "floats": sum(dims), "bytes_per_example": 4 * sum(dims) * max(1, length)})  # fmt: skip
    return out


def _table(name: str, slot, model: MonolithModel) -> dict:
    names = {id(s): slice_name for (table, slice_name), s in model._slices.items() if table == name}
    slices = [_slice(s, names.get(id(s), "bias" if slot.config.has_bias and s.index == 0 else "")) for s in slot.slices]
    return {
        "table": name,
        "slot": slot.config.slot_id,
        "shared_by": sorted(c.feature_name for c in model._factory.columns.values() if c.feature_slot.name == name),
        "floats": slot.dim,
        "slices": slices,
        "bytes_of_a_key": _KEY_BYTES + _TIME_BYTES + 4 * slot.dim + sum(s["state_bytes"] for s in slices),
        "bytes_of_a_key_in_serving": _KEY_BYTES + _TIME_BYTES + sum(s["serving_bytes"] for s in slices),
        "occurrence_threshold": slot.config.occurrence_threshold,
        "expire_days": slot.config.expire_time,
        "initial_capacity": getattr(slot.config.hashtable_config, "initial_capacity", 1),
    }


def _slice(s, name: str) -> dict:
    segment, rate = plan.segment_of(s)
    optimizer, compressor = segment.opt_config.WhichOneof("type"), segment.comp_config.WhichOneof("type")
    each, whole = _STATE.get(optimizer, (0, 0))
    return {
        "slice": name,
        "from": s.start,
        "floats": s.dim,
        "initializer": segment.init_config.WhichOneof("type"),
        "optimizer": optimizer,
        "learning_rate": _rate_text(rate) if callable(rate) else float(f"{float(rate):.6g}"),
        "compressor": compressor,
        "state_bytes": each * s.dim + whole,
        "serving_bytes": _SERVING.get(compressor, 4) * s.dim,
    }


def _rate_text(rate) -> str:
    """A learning rate that follows the step: its class, and what it was made with but for defaults."""
    if not isinstance(rate, LearningRateFunction):
        return getattr(rate, "__qualname__", type(rate).__name__)
    defaults = {name: p.default for name, p in inspect.signature(type(rate).__init__).parameters.items()}
    return f"{type(rate).__name__}({', '.join(f'{v:g}' if isinstance(v, float) else str(v) for k, v in vars(rate).items() if v != defaults.get(k))})"


def _head(head) -> dict:
    shapes = {what: _shape(tf.convert_to_tensor(getattr(head, what))) for what in ("pred", "label") if getattr(head, what) is not None}
    return {"head": head.name, "kind": head.kind, **shapes, "masked": head.mask is not None, "weighted": head.sample_weight is not None}


class _Work:
    """The operations that the predictions of one example need, by layer."""

    def __init__(self, built: graph.Collected):
        with built.graph.as_default():
            preds = [tf.convert_to_tensor(h.pred).op.name for h in built.result.heads]
        try:
            one = flops.one_example(built.graph, built.features)
        except ValueError as e:
            raise ModelError(f"the network cannot be built for a batch of one row: {e}") from None
        self.graph = one
        self.preds = [one.get_operation_by_name(name) for name in preds]
        with built.graph.as_default():
            self.scopes = layer_scopes(one, {v.op.name for v in tf1.trainable_variables()})
        self.operations = [op for op in one.get_operations() if op in flops.ancestors(self.preds)]
        self.count = flops.count(self.operations)
        self.activations = sum(4 * _known(op.outputs[0]) for op in self.operations if op.name in self.count.by_op)

    def layers(self, variables: list) -> list[dict]:
        """Scopes of the graph with variables or work, in the order of their first operation."""
        own: dict[str, list] = {}
        for v in variables:
            own.setdefault(scope_of(v.op.name), []).append(v)
        out: dict[str, dict] = {}
        for op in self.operations:
            name = scope_of(op.name)
            name = self.scopes.get(name, name)
            work = self.count.by_op.get(op.name, 0)
            if not work and name not in own:
                continue
            entry = out.setdefault(name, {"layer": name, "parameters": 0, "flops": 0, "output": None, "variables": []})
            entry["flops"] += work
            if work:
                entry["output"] = ["B", *op.outputs[0].shape.as_list()[1:]] if op.outputs[0].shape.rank else []
        for name, vs in own.items():
            entry = out.setdefault(name, {"layer": name, "parameters": 0, "flops": 0, "output": None, "variables": []})
            for v in vs:
                shape = v.shape.as_list()
                entry["variables"].append({"variable": v.op.name, "shape": shape})
                entry["parameters"] += flops.math.prod(shape)
        return list(out.values())


def _known(tensor) -> int:
    try:
        return flops.elements(tensor)
    except flops._Unknown:
        return 0


def scope_of(name: str) -> str:
    """The outermost scope of an operation; "model_fn" where it has none."""
    scope, slash, _ = name.partition("/")
    return scope if slash else "model_fn"


def layer_scopes(graph_: tf.Graph, variables: set[str]) -> dict[str, str]:
    """Scope -> layer, where they differ: Keras opens a scope for each call of a layer, and its variables are in another.
    variables: names of those that are trained."""
    read: dict[str, set[str]] = {}
    for op in graph_.get_operations():
        if op.type == "ReadVariableOp" and op.inputs[0].op.name in variables:
            scope, layer = scope_of(op.name), scope_of(op.inputs[0].op.name)
            if "model_fn" not in (scope, layer):
                read.setdefault(scope, set()).add(layer)
    return {scope: next(iter(layers)) for scope, layers in read.items() if len(layers) == 1 and scope not in layers}
