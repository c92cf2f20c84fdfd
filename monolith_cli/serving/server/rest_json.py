"""JSON of the REST API -> arrays and back: rows (`instances`, `predictions`) and columns (`inputs`, `outputs`)."""

from __future__ import annotations

import base64
import binascii
import json

import numpy as np

from monolith_cli.serving.protos import types_pb2
from monolith_cli.serving.server import tensors
from monolith_cli.serving.server.saved_model import Signature
from monolith_cli.serving.server.status import failed_precondition, invalid


def parse_body(body: bytes) -> dict:
    """The object of a request. INVALID_ARGUMENT where it is none, or has not one of `instances` and `inputs`."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as e:
        raise invalid(f"JSON Parse error: {e}") from None
    if not isinstance(request, dict):
        raise invalid("the request must be a JSON object")
    if ("instances" in request) == ("inputs" in request):
        raise invalid('the request must have one of "instances" (rows) and "inputs" (columns)')
    if not isinstance(request.get("signature_name", ""), str):
        raise invalid("'signature_name' key must be a string value")
    return request


def read_inputs(request: dict, signature: Signature) -> dict:
    """alias -> (array, DataType), for `Signature.order_inputs`."""
    columns = (
        _columns_of_rows(request["instances"], signature)
        if "instances" in request
        else _columns(request["inputs"], signature)
    )
    signature.check_inputs(columns)
    return {
        alias: (_array(alias, value, signature.inputs[alias].dtype), signature.inputs[alias].dtype)
        for alias, value in columns.items()
    }


def _is_b64(value) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _only_input(signature: Signature) -> str:
    if len(signature.required or signature.inputs) != 1:
        raise invalid(f"signature {signature.name} takes {{{','.join(signature.inputs)}}}: each must be named")
    return next(iter(signature.required or signature.inputs))


def _columns(inputs, signature: Signature) -> dict:
    if isinstance(inputs, dict) and not _is_b64(inputs):
        return inputs
    return {_only_input(signature): inputs}


def _columns_of_rows(rows, signature: Signature) -> dict:
    if not isinstance(rows, list) or not rows:
        raise invalid('"instances" must be a list with at least one row')
    named = [isinstance(row, dict) and not _is_b64(row) for row in rows]
    if not any(named):
        return {_only_input(signature): rows}
    if not all(named) or any(row.keys() != rows[0].keys() for row in rows):
        raise invalid('each row of "instances" must name the same inputs')
    return {alias: [row[alias] for row in rows] for alias in rows[0]}


def _array(alias: str, value, dtype: int) -> np.ndarray:
    kind = tensors.numpy_type(dtype)
    if kind is None:
        raise invalid(f"input {alias}: tensors of {tensors.type_name(dtype)} cannot be given in JSON")
    if dtype == types_pb2.DT_STRING:
        return _strings(alias, value)
    try:
        array = np.array(value)
    except (ValueError, OverflowError):
        raise invalid(f"input {alias}: its rows differ in shape") from None
    expected = "b" if kind.kind == "b" else "iu" if kind.kind in "iu" else "iuf" if kind.kind in "fV" else ""
    if array.dtype.kind not in expected and array.size:
        raise invalid(f"input {alias}: a value is not of the expected type {tensors.type_name(dtype)}")
    if kind.kind in "iu" and array.size:
        limits = np.iinfo(kind)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise invalid(f"input {alias}: a value is out of range of {tensors.type_name(dtype)}")
    with np.errstate(over="ignore"):
        return array.astype(kind)


def _strings(alias: str, value) -> np.ndarray:
    shape, level = [], value
    while isinstance(level, list):
        shape.append(len(level))
        level = level[0] if level else None
    flat: list[bytes] = []
    _flatten(alias, value, shape, flat)
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape)


def _flatten(alias: str, value, shape: list[int], flat: list[bytes]) -> None:
    if shape:
        if not isinstance(value, list) or len(value) != shape[0]:
            raise invalid(f"input {alias}: its rows differ in shape")
        for element in value:
            _flatten(alias, element, shape[1:], flat)
    elif isinstance(value, str):
        flat.append(value.encode("utf-8", "surrogatepass"))
    elif _is_b64(value) and isinstance(value["b64"], str):
        try:
            flat.append(base64.b64decode(value["b64"], validate=True))
        except (binascii.Error, ValueError):
            raise invalid(f"input {alias}: a b64 value is no base64") from None
    else:
        raise invalid(f'input {alias}: a value is neither a string nor {{"b64": …}}')


def answer(outputs: dict[str, np.ndarray], by_row: bool) -> dict:
    """`predictions` for rows, `outputs` for columns; a single output stands without its name."""
    if not by_row:
        values = {alias: _plain(alias, array) for alias, array in outputs.items()}
        return {"outputs": next(iter(values.values())) if len(values) == 1 else values}
    sizes = {array.shape[0] if array.ndim else None for array in outputs.values()}
    if None in sizes or len(sizes) > 1:
        raise failed_precondition(
            'outputs have no common dimension 0 and cannot be written as rows: ask with "inputs" instead of "instances"'
        )
    columns = {alias: _plain(alias, array) for alias, array in outputs.items()}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    return {"predictions": [dict(zip(columns, row)) for row in zip(*columns.values())]}


def _plain(alias: str, array: np.ndarray):
    if array.dtype.kind == "V":
        array = array.astype(np.float32)
    if array.dtype.kind == "c":
        raise failed_precondition(f"output {alias}: complex numbers cannot be written as JSON")
    values = array.tolist()
    return _text(values, alias.endswith("_bytes")) if array.dtype.hasobject else values


def _text(value, as_b64: bool):
    if isinstance(value, list):
        return [_text(v, as_b64) for v in value]
    if not as_b64:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass  # no text: as base64, or it could not be written at all
    return {"b64": base64.b64encode(value).decode()}
