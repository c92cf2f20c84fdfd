"""Padding of inputs that share a batch."""

from __future__ import annotations

import numpy as np

from monolith_cli.serving.server.status import invalid


def to_same_shape(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """All dimensions but 0 filled up to the largest, with each array's first element. INVALID_ARGUMENT where ranks
    differ."""
    if len({x.shape[1:] for x in arrays}) == 1:
        return arrays
    if len({x.ndim for x in arrays}) > 1:
        raise invalid("inputs of different rank cannot be padded into one batch")
    largest = tuple(np.max([x.shape[1:] for x in arrays], axis=0))
    return [x if x.shape[1:] == largest else _filled(x, largest) for x in arrays]


def _filled(x: np.ndarray, largest: tuple[int, ...]) -> np.ndarray:
    empty = b"" if x.dtype.hasobject else x.dtype.type(0)
    made = np.full((x.shape[0], *largest), x.flat[0] if x.size else empty, x.dtype)
    made[tuple(slice(size) for size in x.shape)] = x
    return made


def to_rows(x: np.ndarray, rows: int) -> np.ndarray:
    """Filled up to that many rows with copies of the first, which the graph takes; of no rows, with zeros."""
    missing = rows - x.shape[0]
    if x.shape[0]:
        return np.concatenate([x, np.repeat(x[:1], missing, axis=0)])
    return np.full((missing, *x.shape[1:]), b"" if x.dtype.hasobject else x.dtype.type(0), x.dtype)
