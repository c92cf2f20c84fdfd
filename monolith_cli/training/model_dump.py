"""A model as a ModelDump, a file that is read without the model's code: `model_dump_record` has what is in a graph, `replay` runs it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable

from monolith_cli.errors import BadDataError, ConfigError, NoInputError
from monolith_cli.whole_file import write_whole

FILE_NAME = "model_dump"  # in a model directory
FORMAT = 2
_CONFIG_TAG = b"\n"  # field 1, which is the first
_DIGEST_TAG = b"\xaa\x06\x20"  # field 101, 32 bytes
_DIGEST_BYTES = len(_DIGEST_TAG) + 32
_MAX_BYTES = (1 << 31) - 1  # of a protobuf


def make(collected, description: dict, record_type: str, run_config: dict, defaults: dict, build: Callable):
    """The ModelDump of a model.

    collected: a `graph.Collected`; description: what `describe.describe` gave for it; run_config: what the command was asked for, plain values,
    of which `defaults` are those that it has of itself; build(mode) -> `graph.BuiltGraph` or None where there is none. Raises ModelError for a
    model that cannot be replayed.
    """
    from monolith_protos.model_dump_pb2 import ModelDump

    from monolith_cli.model.model import EVAL, PREDICT, TRAIN
    from monolith_cli.training import model_dump_record, replay

    changed = [name for name, value in run_config.items() if value != defaults.get(name)]
    dump = ModelDump(format=FORMAT, description=json.dumps(description), run_config=json.dumps(run_config), user_params=changed)
    _tables(dump, collected)
    for key, mode in (("train", TRAIN), ("eval", EVAL), ("infer", PREDICT)):
        built = build(mode)
        if built is not None:
            _check_hooks(built)
            model_dump_record.fill(dump.model_dump[key], built, mode, record_type)
            replay.check(dump, mode)
    return dump


def _check_hooks(built) -> None:
    from monolith_cli.model.errors import ModelError

    if built.hooks:
        names = ", ".join(sorted({type(h).__name__ for h in built.hooks}))
        raise ModelError(f"training hooks are code, which a dump cannot hold: {names}; leave out add_training_hook to write one")


def _tables(dump, collected) -> None:
    """Configurations of the tables, slices, combiners and lookups; the columns in the order in which model_fn made them."""
    factory = collected.model._factory
    names = {id(s): name for (_, name), s in collected.model._slices.items()}
    for name, config in sorted(collected.configs.items()):
        rates = [float(r) for r in config.learning_rate_fns if not callable(r)]
        slot = factory.slots[name]
        out = dump.table_configs.add(name=name, table_config=config.table_config.SerializeToString(), learning_rates=rates,
                                     extra_restore_names=config.extra_restore_names, slot_id=slot.config.slot_id,
                                     occurrence_threshold=slot.config.occurrence_threshold, expire_time=slot.config.expire_time)  # fmt: skip
        for s in slot.slices:
            _slice(out.slices.add(), s, names.get(id(s), "bias" if slot.config.has_bias and s.index == 0 else ""))
    kinds = {"reduce_sum": 0, "reduce_mean": 1, "first_n": 2}
    for name, column in factory.columns.items():
        dump.feature_slice_dims.add(name=name, dims=column.feature_slot.slice_dims)
        dump.feature_combiners.add(name=name, combiner=kinds[column.combiner.name], max_seq_length=column.combiner.max_seq_length)
    for request in factory.requests.values():
        out = dump.layouts.add(name=request.name, out_type=request.out_type)
        for feature, start, end in request.slices:
            out.slices.add(feature=feature, start=start, end=end)


def _slice(out, s, name: str) -> None:
    from monolith_cli.training.plan import segment_of

    segment, _ = segment_of(s)
    out.name, out.dim = name, s.dim
    out.initializer.CopyFrom(segment.init_config)
    out.optimizer.CopyFrom(segment.opt_config)
    out.compressor.CopyFrom(segment.comp_config)
    out.learning_rate = json.dumps(_rate(s, name))


def _rate(s, name: str):
    from monolith_cli.model import learning_rate_functions
    from monolith_cli.model.errors import ModelError

    rate = s.learning_rate_fn
    if rate is None or not callable(rate):
        return rate if rate is None else float(rate)
    cls = type(rate)
    if getattr(learning_rate_functions, cls.__name__, None) is not cls:
        raise ModelError(
            f"slice {name or s.index!r} of table {s.slot.name!r}: its learning_rate_fn is code, which a dump cannot hold: {cls.__name__}; a number and "
            "PolynomialDecay can be written"
        )
    return {"class": cls.__name__, "arguments": dict(vars(rate))}


def fields_of(config) -> dict:
    """Plain values of a dataclass, without the names of files."""
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in ("model", "model_dir", "sources")}
    return {k: v for k, v in values.items() if isinstance(v, (bool, int, float, str, type(None))) or (isinstance(v, tuple) and v == ())}


def write(dump, path: str) -> None:
    """Writes the message; the file appears whole. Raises CannotCreateError."""
    body = dump.SerializeToString(deterministic=True)
    write_whole(path, body + _DIGEST_TAG + hashlib.sha256(body).digest())


def read(path: str):
    """(ModelDump, what `describe.describe` gave for it). Raises NoInputError, BadDataError for a file that is none or damaged, ConfigError for
    one of another version."""
    from google.protobuf.message import DecodeError
    from monolith_protos.model_dump_pb2 import ModelDump

    data = read_bytes(path)
    body, whole = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:-32] == _DIGEST_TAG
    foreign = BadDataError(f"{path}: this is no ModelDump that model-show --dump or monolith-train --model-dump has written")
    if not whole:
        starts_so = data[:1] == _CONFIG_TAG and b"{" in data[1:7]
        raise BadDataError(f"{path}: cut short: the checksum that a ModelDump ends with is missing") if starts_so else foreign
    if hashlib.sha256(body).digest() != data[-32:]:
        raise BadDataError(f"{path}: damaged: its {len(data):,} bytes do not have the checksum that is at their end")
    try:
        dump = ModelDump.FromString(data)
        description = json.loads(dump.description)
    except (DecodeError, ValueError):
        raise foreign from None
    if dump.format != FORMAT:
        raise ConfigError(f"{path}: a ModelDump of format {dump.format}, and this program reads format {FORMAT}: write it anew from the model's code")
    return dump, description


def read_bytes(path: str) -> bytes:
    """Raises NoInputError, BadDataError."""
    try:
        with open(path, "rb") as f:
            size = os.fstat(f.fileno()).st_size
            if size > _MAX_BYTES:
                raise BadDataError(f"{path}: {size:,} bytes are no ModelDump: it has {_MAX_BYTES:,} at most")
            return f.read(_MAX_BYTES)
    except OSError as e:
        raise NoInputError(f"{path}: {e.strerror}") from None
