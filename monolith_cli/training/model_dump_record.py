"""One graph of a model as a ProtoModel: what there is in it by name, so that it runs without the code that built it."""

from __future__ import annotations

import inspect
import json
from typing import Any

import tensorflow as tf

from monolith_cli.model.errors import ModelError
from monolith_cli.model.model import PREDICT, TRAIN, MonolithModel
from monolith_cli.model.parsers import current_context
from monolith_cli.training import model_dump_optimizer
from monolith_cli.training.plan import segment_of

tf1 = tf.compat.v1

_PLAIN = (bool, int, float, str, type(None))
_RECEIVERS = {"instance": "instances", "example": "examples", "example_batch": "example_batch"}
_COLLECTIONS = (tf1.GraphKeys.GLOBAL_VARIABLES, tf1.GraphKeys.LOCAL_VARIABLES, tf1.GraphKeys.TRAINABLE_VARIABLES, tf1.GraphKeys.MODEL_VARIABLES)


def fill(out, built, mode: str, record_type: str) -> None:
    """out: a ProtoModel; built: a `graph.BuiltGraph` of `mode`. Raises ModelError for what cannot be replayed."""
    with built.graph.as_default():
        _features(out, built.model)
        _lookups(out, built)
        _model_fn(out.model_fn, built)
        _variables(out, built.parts.variables)
        _extra_outputs(out, built.model)
        if mode == TRAIN:
            out.optimizer = model_dump_optimizer.encode(built.parts.result.optimizer)
        out.params = json.dumps(attributes(built.model)).encode()
        definition = built.graph.as_graph_def()
    with tf1.Graph().as_default() as graph:
        # The input is added to a copy: the graph may be one that is going to be trained.
        tf1.set_random_seed(built.graph.seed or 0)
        tf1.import_graph_def(definition, name="")
        _input_fn(out.input_fn, built.model, mode, record_type)
        if mode == PREDICT:
            _receiver(out, built.model)
        out.graph_def = graph.as_graph_def().SerializeToString(deterministic=True)


def attributes(model) -> dict:
    """Attributes of a model that are plain values, or lists of them."""
    found = {}
    for name in dir(model):
        if name.startswith("_") or name in ("model_file", "mode", "notes") or isinstance(inspect.getattr_static(type(model), name, None), property):
            continue
        value = getattr(model, name)
        if isinstance(value, _PLAIN) or (isinstance(value, (list, tuple)) and all(isinstance(v, _PLAIN) for v in value)):
            found[name] = value
    return found


def told(value) -> str:
    """A feature as JSON: the names of its tensors."""
    if isinstance(value, tf.RaggedTensor):
        return json.dumps({"name": value.flat_values.op.name, "is_ragged": True, "values": value.flat_values.name, "row_splits": value.row_splits.name})
    return json.dumps({"name": value.name, "is_ragged": False})


def _name(value) -> str:
    return "" if value is None else tf.convert_to_tensor(value).name


def _features(out, model) -> None:
    for name, column in model._factory.columns.items():
        slot = column.feature_slot
        out.features.add(feature_name=name, occurrence_threshold=slot.config.occurrence_threshold, expire_time=slot.config.expire_time,
                         max_seq_length=column.combiner.max_seq_length, combiner=column.combiner.name,
                         shared_name=slot.name if slot.name != name else None)  # fmt: skip


def _lookups(out, built) -> None:
    for call in built.model._lookup_calls:
        segment, _ = segment_of(call.slices[0])
        names = [[name for name, _ in group] for group in call.groups]
        if not call.grouped:
            names = [name if call.slice_dim is not None else [name, dim] for group in call.groups for name, dim in group]
        result = call.result if isinstance(call.result, list) else [call.result]
        out.emb_slices.add(features=json.dumps(names), slice_name=call.slice_name, slice_dim=call.slice_dim, initializer=segment.init_config,
                           optimizer=segment.opt_config, compressor=segment.comp_config, group_out_type=call.group_out_type,
                           out_type=call.out_type, output_tensor_names=[t.name for t in result])  # fmt: skip
    for name, tensors in built.parts.lookups.items():
        out.model_fn.lookups.add(name=name, tensors=[t.name for t in tensors])


def _model_fn(out, built) -> None:
    for name, value in built.features.items():
        out.features[name] = told(value)
        if not isinstance(value, tf.RaggedTensor) and name not in built.model._factory.columns:
            out.non_ragged_features[name] = value.name
    for head in built.heads:
        out.head_name.append(head.name)
        out.predict.append(_name(head.pred))
        out.classification.append(head.classification)
        out.kind.append(head.kind)
        for what in ("label", "mask", "sample_weight", "sample_rate"):
            getattr(out, what).append(_name(getattr(head, what)))
    if built.parts.result.loss is not None:
        out.loss = _name(built.parts.result.loss)
    out.extra_losses.extend(_name(x) for x in built.model._extra_losses)
    out.summary.extend(t.op.name for t in built.parts.summaries)
    out.updates.extend(op.name for op in built.parts.updates)
    out.global_step = built.global_step.handle.name
    for key, value in built.model._gradients.items():
        if value is not None:
            _gradient(out.gradients.add(), key, value)


def _gradient(out, key, value) -> None:
    if isinstance(key, str):
        out.variable = key
    else:
        out.lookup, out.index = key
    if isinstance(value, tf.IndexedSlices):
        out.values, out.indices, out.dense_shape = value.values.name, value.indices.name, _name(value.dense_shape)
    else:
        out.values = value.name


def _variables(out, variables: list) -> None:
    collections = {name: {id(v) for v in tf1.get_collection(name)} for name in _COLLECTIONS}
    for v in {id(v): v for v in variables}.values():
        definition = v.to_proto()
        if not definition.is_resource:
            raise ModelError(f"variable {v.op.name!r} cannot be written into a dump: make it with use_resource=True")
        out.variables.add(definition=definition.SerializeToString(), collections=[c for c, ids in collections.items() if id(v) in ids],
                          optimizer=model_dump_optimizer.encode(getattr(v, "optimizer", None)))  # fmt: skip
        if definition.HasField("save_slice_info_def"):
            out.save_slice_info[v.op.name] = definition.save_slice_info_def.SerializeToString()


def _extra_outputs(out, model) -> None:
    for name, outputs in model._extra_outputs.items():
        fetches = outputs if isinstance(outputs, dict) else {outputs.name: outputs}
        out.extra_output.add(signature_name=name, fetch_dict={k: t.name for k, t in fetches.items()})


def _input_fn(out, model, mode: str, record_type: str) -> None:
    context = current_context()
    context.parser_type = None
    if not model.has_own_input(mode):
        with tf1.name_scope("records_input"):
            records = tf1.placeholder(tf.variant, [], "records")
            features = model.parse_fn(records, mode)
        out.records = records.name
        for name, value in features.items():
            out.output_features[name] = told(value)
    else:
        features = _dataset(out, model, mode)
    out.parser_type = context.parser_type or record_type
    label = features.get("label")
    if isinstance(label, tf.Tensor):
        out.label = label.name


def _dataset(out, model, mode: str) -> dict:
    graph = tf1.get_default_graph()
    before = {op.name for op in graph.get_operations()}
    dataset = model.input_fn(mode)
    records = [op for op in graph.get_operations() if op.type == "MonolithRecordDataset" and op.name not in before]
    if len(records) != 1:
        raise ModelError("input_fn of this model cannot be replayed: it reads something else than the records of the command, self.records()")
    out.dataset, out.record_dataset = dataset._variant_tensor.name, records[0].outputs[0].name
    for name, spec in dataset.element_spec.items():
        ragged = isinstance(spec, tf.RaggedTensorSpec)
        shape = None if spec.shape.rank is None else spec.shape.as_list()
        out.output_features[name] = json.dumps({"dtype": spec.dtype.name, "shape": shape, "is_ragged": ragged})
    return {}


def _receiver(out, model) -> None:
    """The features of serialized records, as a server gets them; only where parse_fn makes the features."""
    if out.input_fn.dataset:
        return
    receiver, key = out.serving_input_receiver_fn, _RECEIVERS[out.input_fn.parser_type]
    with tf1.name_scope("serving_input"):
        serialized = tf1.placeholder(tf.string, [None], key)
        features = model.parse_fn(serialized, PREDICT)
    receiver.parser_type = out.input_fn.parser_type
    receiver.receiver_name[key] = serialized.name
    for name, value in features.items():
        about: dict[str, Any] = json.loads(told(value))
        if not about["is_ragged"]:
            about |= {"dtype": value.dtype.name, "last_dim": value.shape.as_list()[-1] if value.shape.rank else 0}
        receiver.features[name] = json.dumps(about)
    outputs = dict(zip(out.model_fn.head_name, out.model_fn.predict))
    for name, fetches in [("serving_default", outputs), *((o.signature_name, dict(o.fetch_dict)) for o in out.extra_output)]:
        out.signature.add(name=name, inputs={key: serialized.name}, outputs=fetches)
