"""Operations on fids as arrays, for the parse stage: slots, crosses, hashes, tables, masks. numpy, no TensorFlow.

A ragged array is a pair (values, row_splits): row i is values[row_splits[i]:row_splits[i + 1]]. Fids are int64, the same
bits as the unsigned ones. Kept as models trained so far have it: `switch_slot`, `feature_combine` and `extract_fid` keep
one bit too many, so that an odd old slot (or a set bit 48 of a product or hash) makes an even new slot the next one;
exact=True does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from monolith_cli.errors import UsageError


class Ragged(NamedTuple):
    values: object
    row_splits: object


_BITS = {1: 54, 2: 48}


def _in_slot(bits, slot: int, fid_version: int, exact: bool):
    """Puts uint64 bits under a slot; the result as int64."""
    import numpy as np

    if fid_version not in _BITS:
        raise UsageError(f"fid_version is 1 or 2, while got {fid_version}")
    if slot < 1:
        raise UsageError(f"a slot is at least 1, while got {slot}")
    shift = _BITS[fid_version]
    mask = (1 << shift if exact else 2 << shift) - 1
    return (np.uint64(slot << shift & (1 << 64) - 1) | bits & np.uint64(mask)).view(np.int64)


def _fids(values):
    import numpy as np

    array = np.asarray(values)
    return np.ascontiguousarray(array if array.dtype == np.uint64 else array.astype(np.int64)).view(np.uint64)


def _ragged(ragged) -> tuple:
    import numpy as np

    values, splits = _fids(ragged[0]), np.asarray(ragged[1])
    if splits.ndim != 1 or len(splits) < 1 or splits[0] != 0 or splits[-1] != len(values) or (np.diff(splits) < 0).any():
        raise UsageError("row_splits begin with 0, do not fall and end with the number of values")
    return values, splits


def switch_slot(ragged, slot: int, fid_version: int = 2, exact: bool = False) -> Ragged:
    """The fids under another slot; the rows stay."""
    values, splits = _ragged(ragged)
    return Ragged(_in_slot(values, slot, fid_version, exact), splits)


def share_slot(features: Mapping[str, tuple], share_meta: Mapping[str, tuple[bool, int]], suffix: str = "share") -> dict[str, Ragged]:
    """share_meta: name -> (in place, slot). In place the feature is replaced, else a copy name_suffix is added. Features that
    are not there are passed over."""
    made = dict(features)
    for name, (in_place, slot) in share_meta.items():
        if name in features:
            made[name if in_place else f"{name}_{suffix}"] = switch_slot(features[name], slot)
    return made


def feature_combine(first, second, slot: int, fid_version: int = 2, exact: bool = False) -> Ragged:
    """The cross of two features, row by row: every fid of the first with every fid of the second, the first's the outer loop.

    Raises UsageError when the numbers of rows differ."""
    import numpy as np

    (a, a_splits), (b, b_splits) = _ragged(first), _ragged(second)
    if len(a_splits) != len(b_splits):
        raise UsageError(f"the features have {len(a_splits) - 1} and {len(b_splits) - 1} rows")
    b_lengths = np.diff(b_splits)
    per_a = np.repeat(b_lengths, np.diff(a_splits))  # partners of each fid of the first
    left = np.repeat(a, per_a)
    starts = np.repeat(b_splits[:-1], np.diff(a_splits))
    ends = np.cumsum(per_a)
    places = np.arange(len(left)) - np.repeat(ends - per_a, per_a) + np.repeat(starts, per_a)
    right = b[places]
    splits = np.concatenate([[0], np.cumsum(np.diff(a_splits) * b_lengths)]).astype(a_splits.dtype)
    return Ragged(_in_slot(_high_half(left, right) ^ left * right, slot, fid_version, exact), splits)


def _high_half(a, b):
    """Bits 64..127 of the signed products of the int64 numbers that the uint64 ones are."""
    import numpy as np

    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a0, a1, b0, b1 = a & low, a >> half, b & low, b >> half
    middle = a1 * b0 + (a0 * b0 >> half)
    carry = (a0 * b1 + (middle & low)) >> half
    high = a1 * b1 + (middle >> half) + carry
    sign = np.uint64(63)
    return high - (a >> sign) * b - (b >> sign) * a


def extract_fid(values, slot: int, exact: bool = False):
    """The v2 fids of integers: CityHash64 of their eight bytes under the slot. int64, same shape."""
    import numpy as np

    x = _fids(values)

    def rotated(v, n):
        return v >> np.uint64(n) | v << np.uint64(64 - n)

    k2, shift = np.uint64(0x9AE16A3B2F90404F), np.uint64(47)
    with np.errstate(over="ignore"):
        mul = k2 + np.uint64(16)
        a = x + k2
        c = rotated(x, 37) * mul + a
        d = (rotated(a, 25) + x) * mul
        p = (c ^ d) * mul
        p ^= p >> shift
        q = (d ^ p) * mul
        q ^= q >> shift
        q *= mul
    mask = (1 << 48 if exact else 1 << 49) - 1
    return (q & np.uint64(mask) | np.uint64(slot << 48)).view(np.int64)


def map_id(values, table: Mapping[int, int], default: int = -1):
    """Integers by a table; what is not in it becomes the default. Same shape and type (int32 or int64)."""
    import numpy as np

    if not table:
        raise UsageError("the table is empty")
    array = np.asarray(values)
    keys = np.array(sorted(table), np.int64)
    mapped = np.array([table[k] for k in keys.tolist()], np.int64)
    at = np.minimum(np.searchsorted(keys, array), len(keys) - 1)
    return np.where(keys[at] == array, mapped[at], default).astype(array.dtype)


def gen_fid_mask(ragged, fid: int):
    """float32, one a row: 1 where the row has the fid, else 0."""
    import numpy as np

    values, splits = _ragged(ragged)
    before = np.concatenate([[0], np.cumsum(values == np.uint64(fid & (1 << 64) - 1))])
    return (before[splits[1:]] > before[splits[:-1]]).astype(np.float32)


def gen_seq_mask(splits, max_seq_length: int):
    """[rows, max_seq_length] of the type of the row splits (a ragged pair will do): 1 for each place that a row fills, then 0."""
    import numpy as np

    row_splits = np.asarray(splits.row_splits if isinstance(splits, Ragged) else splits)
    if row_splits.ndim != 1 or len(row_splits) < 1 or (np.diff(row_splits) < 0).any():
        raise UsageError("row_splits do not fall")
    return (np.arange(max_seq_length) < np.diff(row_splits)[:, None]).astype(row_splits.dtype)
