"""TensorProto -> NumPy array and back, without TensorFlow.

Responses are written field by field as bytes: `float_val` packed is the array's own memory behind a tag and a length.
Values leave in the typed fields, as the stock server sends them, so that clients in any language read them.
"""

from __future__ import annotations

import math

import grpc
import ml_dtypes
import numpy as np

from monolith_cli.serving.protos import tensor_pb2, types_pb2
from monolith_cli.serving.server.status import StatusError, invalid

# DataType -> (NumPy type, field of TensorProto with its values).
_TYPES = {
    types_pb2.DT_FLOAT: (np.dtype("<f4"), "float_val"),
    types_pb2.DT_DOUBLE: (np.dtype("<f8"), "double_val"),
    types_pb2.DT_INT32: (np.dtype("<i4"), "int_val"),
    types_pb2.DT_INT16: (np.dtype("<i2"), "int_val"),
    types_pb2.DT_INT8: (np.dtype("i1"), "int_val"),
    types_pb2.DT_UINT8: (np.dtype("u1"), "int_val"),
    types_pb2.DT_UINT16: (np.dtype("<u2"), "int_val"),
    types_pb2.DT_INT64: (np.dtype("<i8"), "int64_val"),
    types_pb2.DT_UINT32: (np.dtype("<u4"), "uint32_val"),
    types_pb2.DT_UINT64: (np.dtype("<u8"), "uint64_val"),
    types_pb2.DT_BOOL: (np.dtype("?"), "bool_val"),
    types_pb2.DT_HALF: (np.dtype("<f2"), "half_val"),
    types_pb2.DT_BFLOAT16: (np.dtype(ml_dtypes.bfloat16), "half_val"),
    types_pb2.DT_COMPLEX64: (np.dtype("<c8"), "scomplex_val"),
    types_pb2.DT_COMPLEX128: (np.dtype("<c16"), "dcomplex_val"),
    types_pb2.DT_STRING: (np.dtype(object), "string_val"),
}
_NUMBERS = {kind: number for number, (kind, _) in _TYPES.items()}
# Fields whose packed form is the memory of the array: number of the field.
_RAW_FIELDS = {types_pb2.DT_FLOAT: 5, types_pb2.DT_DOUBLE: 6, types_pb2.DT_COMPLEX64: 9, types_pb2.DT_COMPLEX128: 12}
_HALVES = (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16)
_COMPLEX = (types_pb2.DT_COMPLEX64, types_pb2.DT_COMPLEX128)


def type_name(number: int) -> str:
    """DT_FLOAT -> float, as messages name it."""
    name = types_pb2.DataType.Name(number) if number in types_pb2.DataType.values() else f"type {number}"
    return name.removeprefix("DT_").lower()


def numpy_type(number: int) -> np.dtype | None:
    """The NumPy type of a DataType; None for what no request can carry (resources, variants)."""
    return _TYPES[number][0] if number in _TYPES else None


def to_array(proto: tensor_pb2.TensorProto, name: str, max_bytes: int) -> np.ndarray:
    """The values of a tensor in its shape. As TensorFlow has it, a last value stands for all that are missing.

    max_bytes bounds what a short message may swell to. INVALID_ARGUMENT where shape and values do not go together.
    """
    known = _TYPES.get(proto.dtype)
    if known is None:
        raise invalid(f"input {name}: tensors of {type_name(proto.dtype)} are not taken")
    kind, field = known
    shape = tuple([d.size for d in proto.tensor_shape.dim])
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise invalid(f"input {name}: the shape {list(shape)} is not fully known")
    count = math.prod(shape)
    if count * kind.itemsize > max_bytes:
        raise StatusError(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"input {name}: shape {list(shape)} is beyond {max_bytes} bytes"
        )
    if proto.tensor_content:
        return _from_content(proto, name, kind, shape, count)
    values = _from_values(proto, kind, getattr(proto, field))
    if len(values) == count:
        return values.reshape(shape)
    if not 0 < len(values) < count:
        raise invalid(f"input {name}: {len(values)} values for the shape {list(shape)}")
    filled = np.empty(count, kind)
    filled[: len(values)], filled[len(values) :] = values, values[-1]
    return filled.reshape(shape)


def read_inputs(inputs, max_bytes: int) -> dict:
    """map<string, TensorProto> -> alias -> (array, DataType)."""
    return {alias: (to_array(proto, alias, max_bytes), proto.dtype) for alias, proto in inputs.items()}


def _from_content(proto, name, kind, shape, count) -> np.ndarray:
    content = proto.tensor_content
    if kind.hasobject:
        raise invalid(f"input {name}: strings come in string_val, not in tensor_content")
    if len(content) != count * kind.itemsize:
        raise invalid(
            f"input {name}: tensor_content of {len(content)} bytes for {list(shape)} of {type_name(proto.dtype)}"
        )
    return np.frombuffer(content, kind).reshape(shape)


def _from_values(proto, kind, values) -> np.ndarray:
    if kind.hasobject:
        array = np.empty(len(values), object)
        array[:] = list(values)
        return array
    if proto.dtype in _HALVES:
        return np.array(values, np.int64).astype(np.uint16).view(kind)
    if proto.dtype in _COMPLEX:
        pairs = np.array(values, kind.type(0).real.dtype)
        return pairs[: len(pairs) // 2 * 2].view(kind)
    with np.errstate(all="ignore"):
        wide = (
            np.array(values, np.int64)
            if kind.kind == "i" or kind.kind == "u" and kind.itemsize < 8
            else np.array(values, kind)
        )
        return wide.astype(kind)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field_bytes(number: int, payload: bytes) -> bytes:
    """A length-delimited field: tag, length, payload."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def to_bytes(array: np.ndarray) -> bytes:
    """A serialized TensorProto of the array, values in the field of its type."""
    if array.dtype.hasobject or array.dtype.kind in "SU":
        return to_proto(array).SerializeToString()
    number = _NUMBERS[array.dtype]
    raw = _RAW_FIELDS.get(number)
    if raw is None:
        return to_proto(array).SerializeToString()
    shape = b"".join(
        [b"\x12" + _varint(len(d)) + d for d in [b"\x08" + _varint(size) if size else b"" for size in array.shape]]
    )
    head = b"\x08" + _varint(number) + field_bytes(2, shape)
    return head + field_bytes(raw, array.tobytes()) if array.size else head


def to_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    """The array as TensorProto, values in the field of its type."""
    proto = tensor_pb2.TensorProto()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype.hasobject or array.dtype.kind in "SU":
        proto.dtype = types_pb2.DT_STRING
        proto.string_val.extend([v if isinstance(v, bytes) else str(v).encode() for v in array.reshape(-1).tolist()])
        return proto
    proto.dtype = _NUMBERS[array.dtype]
    flat = array.reshape(-1)
    if proto.dtype in _HALVES:
        flat = flat.view(np.uint16)
    elif proto.dtype in _COMPLEX:
        flat = flat.view(flat.real.dtype)
    getattr(proto, _TYPES[proto.dtype][1]).extend(flat.tolist())
    return proto
