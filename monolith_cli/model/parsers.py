"""Samples -> tensors: what the `parse_fn` of a model calls.

Each function takes one batch of a record dataset (a variant scalar) or a vector of serialized samples, and returns a
dict name -> tensor. With B rows:

* sparse features: tf.RaggedTensor of int64 fids, [B, None];
* dense features: float32 (default), int64 or string, [B, shape];
* extra features, fields of the LineId: int64, float32 or string, [B, shape].

`label` and `instance_weight` are asked for as dense features.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from monolith_cli.errors import ConfigError
from monolith_cli.tables import ops

MAX_FIDV1_SLOT = 1023
_DENSE_TYPES = (tf.float32, tf.int64, tf.string)


@dataclass
class ParserContext:
    """What was parsed last, for those who come later: export writes a serving input of it, warm-up data is drawn by it.

    Used in a `with` it is the context of this thread inside; otherwise each thread has one of its own.

    batch_size: rows of every batch when that is known, so that tensors get static shapes; None: unknown.
    feature_list: mapping name -> slot of v1 features that are asked for by name.
    """

    batch_size: int | None = None
    feature_list: dict[str, int] = field(default_factory=dict)
    parser_type: str | None = None  # instance, example, example_batch
    arguments: dict[str, Any] = field(default_factory=dict)  # of the last parse call, by the name of the parameter

    def __enter__(self) -> ParserContext:
        _contexts().append(self)
        return self

    def __exit__(self, *exc) -> None:
        _contexts().pop()


_local = threading.local()


def _contexts() -> list[ParserContext]:
    if not hasattr(_local, "contexts"):
        _local.contexts = [ParserContext()]
    return _local.contexts


def current_context() -> ParserContext:
    """The innermost context that is entered, or the default one of this thread."""
    return _contexts()[-1]


@tf.autograph.experimental.do_not_convert
def parse_instances(
    tensor: tf.Tensor,
    fidv1_features: Sequence[int | str] | None = None,
    fidv2_features: Sequence[str] | None = None,
    dense_features: Sequence[str] | None = None,
    dense_feature_shapes: Sequence[int] | None = None,
    dense_feature_types: Sequence[tf.DType] | None = None,
    extra_features: Sequence[str] | None = None,
    extra_feature_shapes: Sequence[int] | None = None,
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Parses Instances.

    tensor: variant scalar, or string [B].
    fidv1_features: slots 0..1023 (the result is named `slot_<n>`, or as the feature list calls that slot), or names of
      the feature list, or `slot_<n>` and `fc_slot_<n>`. They become v2 when v2 features are asked for too.
    fidv2_features: names of columns with v2 fids.
    dense_features, dense_feature_shapes (each > 0), dense_feature_types (default float32).
    extra_features, extra_feature_shapes: fields of the LineId.

    A missing sparse feature is an empty row; a missing dense one, or one of another length than its shape, is zeros or
    ""; label: the first ones, rest 0; instance_weight: 1.0. Raises ConfigError naming the feature.
    """
    request = _Request(
        "instance",
        fidv1_features=fidv1_features,
        fidv2_features=fidv2_features,
        dense_features=dense_features,
        dense_feature_shapes=dense_feature_shapes,
        dense_feature_types=dense_feature_types,
        extra_features=extra_features,
        extra_feature_shapes=extra_feature_shapes,
    )
    return request.parse(tensor, [_slot_of(f) for f in fidv1_features or ()], list(fidv2_features or ()))


@tf.autograph.experimental.do_not_convert
def parse_examples(
    tensor: tf.Tensor,
    sparse_features: Sequence[str] | None = None,
    dense_features: Sequence[str] | None = None,
    dense_feature_shapes: Sequence[int] | None = None,
    dense_feature_types: Sequence[tf.DType] | None = None,
    extra_features: Sequence[str] | None = None,
    extra_feature_shapes: Sequence[int] | None = None,
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Parses Examples.

    tensor: variant scalar, or string [B].
    sparse_features: names of features with fids; v1 fids are converted to v2.
    dense_features, dense_feature_shapes (each > 0), dense_feature_types (default float32).
    extra_features, extra_feature_shapes: fields of the LineId.

    A missing sparse feature is an empty row; of a dense one the first values are taken, rest 0 (a float list of shape 1
    that is there but empty gives 1.17549435e-38); label: missing ones are -3.4028235e38; instance_weight: 1.0.
    Raises ConfigError naming the feature.
    """
    request = _Request(
        "example",
        sparse_features=sparse_features,
        dense_features=dense_features,
        dense_feature_shapes=dense_feature_shapes,
        dense_feature_types=dense_feature_types,
        extra_features=extra_features,
        extra_feature_shapes=extra_feature_shapes,
    )
    return request.parse(tensor, [], list(sparse_features or ()))


@tf.autograph.experimental.do_not_convert
def parse_example_batch(
    tensor: tf.Tensor,
    sparse_features: Sequence[str] | None = None,
    dense_features: Sequence[str] | None = None,
    dense_feature_shapes: Sequence[int] | None = None,
    dense_feature_types: Sequence[tf.DType] | None = None,
    extra_features: Sequence[str] | None = None,
    extra_feature_shapes: Sequence[int] | None = None,
) -> dict[str, tf.Tensor | tf.RaggedTensor]:
    """Parses ExampleBatches: B is the sum of the rows of all of them.

    tensor: variant scalar, or string [number of batches]. Everything else as `parse_examples`, but a missing label is
    0. SHARED columns are repeated for all rows. Raises ConfigError naming the feature.
    """
    request = _Request(
        "example_batch",
        sparse_features=sparse_features,
        dense_features=dense_features,
        dense_feature_shapes=dense_feature_shapes,
        dense_feature_types=dense_feature_types,
        extra_features=extra_features,
        extra_feature_shapes=extra_feature_shapes,
    )
    return request.parse(tensor, [], list(sparse_features or ()))


class _Request:
    """One call of a parse function, by the names of its arguments: checks the dense part, then makes the op."""

    def __init__(self, record_type: str, **arguments: Sequence | None):
        self.record_type = record_type
        self.arguments = {k: None if v is None else list(v) for k, v in arguments.items()}
        dense, extra = list(arguments["dense_features"] or ()), list(arguments["extra_features"] or ())
        self.names, self.num_extra = dense + extra, len(extra)
        self.widths = _widths("dense", dense, arguments["dense_feature_shapes"])
        self.widths += _widths("extra", extra, arguments["extra_feature_shapes"])
        self.types = _dense_types(dense, arguments["dense_feature_types"]) + [_line_id_type(name) for name in extra]

    def parse(self, tensor: tf.Tensor, slots: list[tuple[int, str]], fidv2: list[str]):
        slot_names = [name for _, name in slots]
        sparse = slot_names + fidv2
        for name in sparse + self.names:
            if (sparse + self.names).count(name) > 1:
                raise ConfigError(f"feature {name!r} is asked for twice")
        if not sparse and not self.names:
            raise ConfigError("no feature is asked for: name sparse, dense or extra features")
        context = current_context()
        context.parser_type, context.arguments = self.record_type, self.arguments
        splits, values, dense = ops.library().monolith_parse_records(
            records=tensor,
            dense_types=self.types,
            record_type=self.record_type,
            num_sparse=len(sparse),
            fidv1_slots=[slot for slot, _ in slots],
            fidv1_names=slot_names,
            fidv2_names=fidv2,
            dense_names=self.names,
            num_extra=self.num_extra,
            dense_widths=self.widths,
        )
        return self._assemble(context.batch_size, sparse, splits, values, dense)

    def _assemble(self, rows: int | None, sparse, splits, values, dense):
        features: dict[str, tf.Tensor | tf.RaggedTensor] = {}
        for name, row_splits, flat in zip(sparse, splits, values):
            if rows is not None:
                row_splits = tf.ensure_shape(row_splits, [rows + 1])
            features[name] = tf.RaggedTensor.from_row_splits(flat, row_splits, validate=False)
        for name, value in zip(self.names, dense):
            features[name] = value if rows is None else tf.ensure_shape(value, [rows, value.shape[1]])
        return features


def _widths(group: str, names: list[str], shapes: Sequence[int] | None) -> list[int]:
    shapes = list(shapes or ())
    if len(shapes) != len(names):
        raise ConfigError(f"{len(names)} {group}_features, but {len(shapes)} {group}_feature_shapes")
    for name, shape in zip(names, shapes):
        if not isinstance(shape, int) or shape < 1:
            raise ConfigError(f"{group} feature {name!r}: its shape is {shape!r}; it must be a number above 0")
    return shapes


def _dense_types(names: list[str], types: Sequence[tf.DType] | None) -> list[tf.DType]:
    types = [tf.float32] * len(names) if types is None else [tf.as_dtype(t) for t in types]
    if len(types) != len(names):
        raise ConfigError(f"{len(names)} dense_features, but {len(types)} dense_feature_types")
    for name, dtype in zip(names, types):
        if dtype not in _DENSE_TYPES:
            raise ConfigError(f"dense feature {name!r}: its type is {dtype.name}; it can be float32, int64 or string")
    return types


def _slot_of(feature: int | str) -> tuple[int, str]:
    """(slot, name of the result)."""
    known = current_context().feature_list
    if isinstance(feature, str):
        slot = known.get(feature)
        if slot is None:
            digits = feature.rpartition("slot_")[2] if feature.startswith(("slot_", "fc_slot_")) else ""
            slot = int(digits) if digits.isdecimal() else None
        if slot is None:
            raise ConfigError(f"fidv1 feature {feature!r} is not in the feature list and not named slot_<n>")
        name = feature
    else:
        slot = int(feature)
        name = next((n for n, s in known.items() if s == slot), f"slot_{slot}")
    if not 0 <= slot <= MAX_FIDV1_SLOT:
        raise ConfigError(f"fidv1 feature {feature!r}: slots of v1 fids are 0..{MAX_FIDV1_SLOT}")
    return slot, name


def _line_id_type(name: str) -> tf.DType:
    from monolith_protos.line_id_pb2 import LineId

    descriptor = LineId.DESCRIPTOR.fields_by_name.get(name)
    if descriptor is not None:
        kinds = {
            tf.int64: (
                descriptor.CPPTYPE_INT32,
                descriptor.CPPTYPE_INT64,
                descriptor.CPPTYPE_UINT32,
                descriptor.CPPTYPE_UINT64,
            ),
            tf.float32: (descriptor.CPPTYPE_FLOAT, descriptor.CPPTYPE_DOUBLE),
            tf.string: (descriptor.CPPTYPE_STRING,),
        }
        for dtype, cpp_types in kinds.items():
            if descriptor.cpp_type in cpp_types:
                return dtype
    known = ", ".join(sorted(f.name for f in LineId.DESCRIPTOR.fields if f.cpp_type != f.CPPTYPE_BOOL))
    raise ConfigError(f"extra feature {name!r} is not in line id, or of a type that cannot be parsed; it has {known}")
