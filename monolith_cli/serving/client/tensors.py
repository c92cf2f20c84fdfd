"""TensorProto without TensorFlow: to and from the nested lists of JSON, in the form of TensorFlow Serving's REST
API."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence

from monolith_cli import errors
from monolith_cli.serving.protos import tensor_pb2, types_pb2

MAX_ELEMENTS = 1 << 28  # a shape is cheap to claim: a larger tensor is not spelled out

# DataType -> (field of TensorProto, struct code of tensor_content). Halves are bits in half_val.
_NUMBERS = {
    types_pb2.DT_FLOAT: ("float_val", "f"),
    types_pb2.DT_DOUBLE: ("double_val", "d"),
    types_pb2.DT_INT32: ("int_val", "i"),
    types_pb2.DT_UINT8: ("int_val", "B"),
    types_pb2.DT_INT16: ("int_val", "h"),
    types_pb2.DT_INT8: ("int_val", "b"),
    types_pb2.DT_INT64: ("int64_val", "q"),
    types_pb2.DT_BOOL: ("bool_val", "?"),
    types_pb2.DT_UINT16: ("int_val", "H"),
    types_pb2.DT_UINT32: ("uint32_val", "I"),
    types_pb2.DT_UINT64: ("uint64_val", "Q"),
    types_pb2.DT_HALF: ("half_val", "e"),
    types_pb2.DT_BFLOAT16: ("half_val", "H"),
}
_FLOATS = (types_pb2.DT_FLOAT, types_pb2.DT_HALF, types_pb2.DT_BFLOAT16)


def type_name(dtype: int) -> str:
    """DT_FLOAT for 1; the number for what is no type."""
    return types_pb2.DataType.Name(dtype) if dtype in types_pb2.DataType.values() else str(dtype)


def string_tensor(values: Sequence[bytes]) -> tensor_pb2.TensorProto:
    """A string tensor of shape [len(values)]."""
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
    tensor.tensor_shape.dim.add(size=len(values))
    return tensor


def to_value(tensor: tensor_pb2.TensorProto):
    """Nested lists of numbers, booleans and texts; bytes that are no UTF-8 as {"b64": …}, NaN, infinities as texts.
    BadDataError for a type without such a form, or values that do not fit the shape."""
    shape = [d.size for d in tensor.tensor_shape.dim]
    count = math.prod(shape)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape) or count > MAX_ELEMENTS:
        raise errors.BadDataError(f"a tensor of shape {shape} cannot be shown")
    return _nested(_flat(tensor, count), shape)


def _flat(tensor, count: int) -> list:
    if tensor.dtype == types_pb2.DT_STRING:
        return [_text(v) for v in _filled(list(tensor.string_val), count, b"")]
    if tensor.dtype not in _NUMBERS:
        raise errors.BadDataError(f"a tensor of type {type_name(tensor.dtype)} cannot be shown")
    field, code = _NUMBERS[tensor.dtype]
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * struct.calcsize(f"<{code}"):
            raise errors.BadDataError(f"a tensor has {len(tensor.tensor_content)} bytes, which its shape does not fit")
        values = list(struct.unpack(f"<{count}{code}", tensor.tensor_content))
        from_bits = tensor.dtype == types_pb2.DT_BFLOAT16
    else:
        values = _filled(list(getattr(tensor, field)), count, False if code == "?" else 0)
        from_bits = field == "half_val"
    if from_bits:
        values = [_of_bits(v, tensor.dtype) for v in values]
    return [_float(v, tensor.dtype) for v in values] if tensor.dtype in (*_FLOATS, types_pb2.DT_DOUBLE) else values


def _filled(values: list, count: int, zero) -> list:
    """A tensor may leave out its last values when they are all the same."""
    if len(values) > count:
        raise errors.BadDataError(f"a tensor has {len(values)} values, its shape {count}")
    return values + [values[-1] if values else zero] * (count - len(values))


def _of_bits(bits: int, dtype: int) -> float:
    if dtype == types_pb2.DT_BFLOAT16:
        return struct.unpack("<f", struct.pack("<I", (bits & 0xFFFF) << 16))[0]
    return struct.unpack("<e", struct.pack("<H", bits & 0xFFFF))[0]


def _float(value: float, dtype: int):
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if dtype == types_pb2.DT_DOUBLE:
        return value
    from google.protobuf.internal import type_checkers

    return type_checkers.ToShortestFloat(value)


def _text(value: bytes):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _nested(flat: list, shape: list[int]):
    if not shape:
        return flat[0]
    for size in reversed(shape[1:]):
        flat = (
            [flat[i : i + size] for i in range(0, len(flat), size)]
            if size
            else [[] for _ in range(math.prod(shape[:-1]))]
        )
    return flat


def from_value(value, dtype: int, name: str) -> tensor_pb2.TensorProto:
    """The tensor of nested lists of JSON. BadDataError with the name of the input for ragged lists and wrong values."""
    shape, flat = _shape_of(value, name), []
    _flatten(value, shape, flat, name)
    tensor = tensor_pb2.TensorProto(dtype=dtype)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    try:
        if dtype == types_pb2.DT_STRING:
            tensor.string_val.extend(_bytes(v) for v in flat)
        elif dtype in _NUMBERS:
            code = _NUMBERS[dtype][1]
            tensor.tensor_content = b"".join(_packed(v, code, dtype) for v in flat)
        else:
            raise errors.BadDataError(f"input {name}: type {type_name(dtype)} cannot be given as JSON")
    except (TypeError, ValueError, struct.error, OverflowError) as e:
        raise errors.BadDataError(f"input {name}: a value is no {type_name(dtype)}: {e}") from None
    return tensor


def _shape_of(value, name: str) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > 254:
            raise errors.BadDataError(f"input {name}: lists within lists, deeper than a tensor can be")
        if not value:
            break
        value = value[0]
    return shape


def _flatten(value, shape: list[int], out: list, name: str) -> None:
    if not shape:
        if isinstance(value, list):
            raise errors.BadDataError(f"input {name}: the lists are of different depths")
        out.append(value)
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise errors.BadDataError(f"input {name}: the lists are of different lengths")
    for item in value:
        _flatten(item, shape[1:], out, name)


def _bytes(value) -> bytes:
    if isinstance(value, dict) and set(value) == {"b64"}:
        return base64.b64decode(value["b64"], validate=True)
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value.encode()


def _packed(value, code: str, dtype: int) -> bytes:
    if code == "?":
        if not isinstance(value, bool):
            raise TypeError(f"{value!r} is not true or false")
        return b"\1" if value else b"\0"
    if isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    if code in "fde" or dtype == types_pb2.DT_BFLOAT16:
        number = float(value)
        if dtype == types_pb2.DT_BFLOAT16:
            return struct.pack("<f", number)[2:]
        return struct.pack(f"<{code}", number)
    return struct.pack(f"<{code}", int(value) if isinstance(value, str) else value)
