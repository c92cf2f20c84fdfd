"""A model as a ModelDump: written from a model file, read without it."""

from __future__ import annotations

import json
import os
from typing import Any

from monolith_cli.errors import BadDataError, NoInputError

_PLAIN = (bool, int, float, str, type(None))


def make(collected, description: dict, record_type: str):
    """The ModelDump of a model. collected: a `graph.Collected`; description: what `describe.describe` gave for it."""
    from monolith_protos.model_dump_pb2 import ModelDump

    from monolith_cli.model.model import PREDICT, TRAIN

    dump = ModelDump(description=json.dumps(description), run_config=json.dumps({"batch_size": collected.model.batch_size, "type": record_type}))
    for key, mode in (("train", TRAIN), ("infer", PREDICT)):
        _fill(dump.model_dump[key], _graph_of(collected.model, mode, record_type), collected, mode, record_type)
    for name, config in sorted(collected.configs.items()):
        rates = [float(r) for r in config.learning_rate_fns if not callable(r)]
        dump.table_configs.add(name=name, table_config=config.table_config.SerializeToString(), learning_rates=rates,
                               extra_restore_names=config.extra_restore_names)  # fmt: skip
    columns = sorted(collected.model._factory.columns.items())
    kinds = {"reduce_sum": 0, "reduce_mean": 1, "first_n": 2}
    for name, column in columns:
        dump.feature_slice_dims.add(name=name, dims=column.feature_slot.slice_dims)
        dump.feature_combiners.add(name=name, combiner=kinds[column.combiner.name], max_seq_length=column.combiner.max_seq_length)
    return dump


def _graph_of(model, mode: str, record_type: str):
    """The graph that a command would run in `mode`."""
    from monolith_cli.training.describe import no_records
    from monolith_cli.training.graph import build

    other = model.fresh()
    with no_records(other, record_type):
        return build(other, mode, 0)


def _fill(out, built, collected, mode: str, record_type: str) -> None:
    import tensorflow as tf

    with built.graph.as_default():
        out.graph_def = built.graph.as_graph_def().SerializeToString()
        _features(out, collected)
        out.input_fn.parser_type = record_type
        for name, value in built.features.items():
            ragged = isinstance(value, tf.RaggedTensor)
            told = {"name": value.flat_values.op.name if ragged else value.name, "is_ragged": ragged}
            out.input_fn.output_features[name] = json.dumps(told)
            if not ragged:
                out.model_fn.non_ragged_features[name] = value.name
        label = built.features.get("label")
        if label is not None:
            out.input_fn.label = label.name
        for head in built.heads:
            out.model_fn.head_name.append(head.name)
            out.model_fn.predict.append(tf.convert_to_tensor(head.pred).name)
            out.model_fn.label.append("" if head.label is None else tf.convert_to_tensor(head.label).name)
            out.model_fn.classification.append(head.classification)
        if built.loss is not None:
            out.model_fn.loss = tf.convert_to_tensor(built.loss).name
        out.model_fn.extra_losses.extend(tf.convert_to_tensor(x).name for x in built.model._extra_losses)
        out.model_fn.summary.extend(t.op.name for t in tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.SUMMARIES))
        for name, outputs in built.model._extra_outputs.items():
            fetches = outputs if isinstance(outputs, dict) else {outputs.name: outputs}
            out.extra_output.add(signature_name=name, fetch_dict={k: t.name for k, t in fetches.items()})
    out.params = json.dumps(_attributes(built.model)).encode()
    out.optimizer = json.dumps(_optimizer(collected.result.optimizer)).encode()


def _features(out, collected) -> None:
    from monolith_cli.training.plan import segment_of

    factory = collected.model._factory
    for name, column in sorted(factory.columns.items()):
        slot = column.feature_slot
        out.features.add(feature_name=name, occurrence_threshold=slot.config.occurrence_threshold, expire_time=slot.config.expire_time,
                         max_seq_length=column.combiner.max_seq_length, combiner=column.combiner.name,
                         shared_name=slot.name if slot.name != name else None)  # fmt: skip
    for (table, slice_name), s in sorted(collected.model._slices.items()):
        users = sorted(c.feature_name for c in factory.columns.values() if c.feature_slot.name == table)
        segment, _ = segment_of(s)
        out.emb_slices.add(features=json.dumps(users), slice_name=slice_name, slice_dim=s.dim, initializer=segment.init_config,
                           optimizer=segment.opt_config, compressor=segment.comp_config)  # fmt: skip


def _attributes(model) -> dict:
    """Attributes of a model that are plain values."""
    names = [n for n in dir(model) if not n.startswith("_")]
    return {n: v for n in names if isinstance(v := getattr(model, n), _PLAIN) and n not in ("model_file", "mode")}


def _optimizer(optimizer: Any) -> dict:
    if optimizer is None:
        return {}
    plain = {k.lstrip("_"): v for k, v in vars(optimizer).items() if isinstance(v, _PLAIN) and v is not None}
    return {"class": type(optimizer).__name__, "arguments": plain}


def write(dump, path: str) -> None:
    """Writes the message; the file appears whole. Raises CannotCreateError."""
    from monolith_cli._native import _core

    file = _core.AtomicFile(path)
    data = memoryview(dump.SerializeToString(deterministic=True))
    while data:
        data = data[os.write(file.fileno(), data) :]
    file.commit()


def read(path: str):
    """(ModelDump, what `describe.describe` gave for it). Raises NoInputError, BadDataError."""
    from google.protobuf.message import DecodeError
    from monolith_protos.model_dump_pb2 import ModelDump

    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError as e:
        raise NoInputError(f"{path}: {e.strerror}") from None
    try:
        dump = ModelDump.FromString(data)
        return dump, json.loads(dump.description)
    except (DecodeError, ValueError):
        raise BadDataError(f"{path}: this is no ModelDump that model-show --dump has written") from None
