"""Fid operations on arrays: the vectors TV-E of spec 20 and TV2, TV3 of spec 10, and a model in whole numbers."""

import random
import sys

import numpy as np
import pytest

from monolith_cli import errors
from monolith_cli.records import fid, fid_ops

M64 = (1 << 64) - 1


def rows(ragged):
    values, splits = ragged
    return [[int(v) for v in values[a:b]] for a, b in zip(splits[:-1], splits[1:])]


def ragged(lists, dtype=np.int64):
    flat = np.array([v & M64 for r in lists for v in r], np.uint64).view(np.int64)
    return flat, np.cumsum([0] + [len(r) for r in lists]).astype(dtype)


def one(value):
    return ragged([[value]])


def combined(a, b, slot, **options):
    return rows(fid_ops.feature_combine(one(a), one(b), slot, **options))[0][0]


def switched(value, slot, **options):
    return rows(fid_ops.switch_slot(one(value), slot, **options))[0][0]


def test_e1_map_id():
    table = {123: 0, 456: 1, 789: 2}
    for dtype in (np.int32, np.int64):
        made = fid_ops.map_id(np.array([[123, 456], [789, 912]], dtype), table)
        assert made.dtype == dtype and made.tolist() == [[0, 1], [2, -1]]
    assert fid_ops.map_id([5, 123], table, default=9).tolist() == [9, 0]
    with pytest.raises(errors.UsageError):
        fid_ops.map_id([1], {})


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_e2_gen_fid_mask(dtype):
    made = fid_ops.gen_fid_mask(ragged([[1, 2, 3], [3], [], [4, 5, 6]], dtype), 3)
    assert made.dtype == np.float32 and made.tolist() == [1, 1, 0, 0]
    assert fid_ops.gen_fid_mask(ragged([[M64], [1]]), M64).tolist() == fid_ops.gen_fid_mask(ragged([[M64], [1]]), -1).tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_e3_e4_gen_seq_mask(dtype):
    expected = [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]
    splits = np.array([0, 5, 7, 9, 13], dtype)
    for source in (splits, fid_ops.Ragged(np.zeros(13, np.int64), splits)):
        made = fid_ops.gen_seq_mask(source, 6)
        assert made.dtype == dtype and made.tolist() == expected
    assert fid_ops.gen_seq_mask(np.array([0, 0, 3], dtype), 2).tolist() == [[0, 0], [1, 1]]
    with pytest.raises(errors.UsageError):
        fid_ops.gen_seq_mask(np.array([0, 3, 2]), 2)


@pytest.mark.parametrize(("value", "slot", "expected"), [
    (56294995342143545, 306, 86131342873473081), (56576470318854201, 306, 86412817850183737),
    (85849867896750857, 307, 86412817850172169), (M64, 5, 1688849860263935),
    (1125899906842631, 306, 86131342873460743), (1407374883553287, 306, 86412817850171399)])
def test_e5_to_e8_switch_slot(value, slot, expected):
    assert switched(value, slot) == expected


def test_e9_e10_versions_and_exact():
    assert switched(56576470318854201, 306, exact=True) == 86131342873473081
    assert switched(54043195528446052, 10, fid_version=1) == 198158383604301924
    assert switched(54043195528446052, 10, fid_version=1, exact=True) == 180143985094819940
    with pytest.raises(errors.UsageError):
        switched(1, 0)


@pytest.mark.parametrize(("a", "b", "slot", "expected"), [
    (281474976710756, 59391220085948423, 505, 142145769476981436), (281474976710756, 59391220085948424, 505, 142145769476981536),
    (281598433499668, 563937607742410, 505, 142294358856565765), (1, 1, 1, 281474976710657), (3, 5, 2, 562949953421327),
    (-3, 7, 100, 28147497671065620), (fid.make_v2(1, 3), fid.make_v2(211, 5), 505, 142145769476980751),
    (fid.make_v2(1, 3), fid.make_v2(211, 6), 505, 142145769476980754)])
def test_e11_to_e15_feature_combine(a, b, slot, expected):
    assert combined(a, b, slot) == expected


def test_e16_rows_of_a_cross():
    made = fid_ops.feature_combine(ragged([[2, 3], [5]]), ragged([[7, 11], []]), 1)
    assert rows(made) == [[combined(2, 7, 1), combined(2, 11, 1), combined(3, 7, 1), combined(3, 11, 1)], []]
    assert made.row_splits.tolist() == [0, 4, 4]
    with pytest.raises(errors.UsageError, match="2 and 1 rows"):
        fid_ops.feature_combine(ragged([[1], [2]]), ragged([[1]]), 1)


@pytest.mark.parametrize(("value", "slot", "expected"), [
    (185, 4, 1153447759131936), (1, 4, 1663611294145121), (0, 7, 2104616677995140), (0, 1, 415766817731204),
    (-1, 200, 56831162411487573)])
def test_e17_e18_extract_fid(value, slot, expected):
    assert fid_ops.extract_fid(np.array([[value]]), slot).tolist() == [[expected]]
    assert fid.extract(slot, value) == expected


def test_share_slot():
    features = {"a": one(56576470318854201), "b": one(1), "c": one(2)}
    made = fid_ops.share_slot(features, {"a": (True, 306), "b": (False, 5), "c": (False, 6), "none": (True, 7)})
    assert {name: rows(r) for name, r in made.items()} == {
        "a": [[86412817850183737]], "b": [[1]], "c": [[2]], "b_share": [[fid.make_v2(5, 1)]], "c_share": [[fid.make_v2(6, 2)]]}


def signed(v):
    v &= M64
    return v - (1 << 64) if v >> 63 else v


@pytest.mark.parametrize("seed", range(20))
def test_against_whole_numbers(seed):
    draw = random.Random(seed)
    value = lambda: draw.choice([draw.getrandbits(64), draw.getrandbits(8), M64, 1 << 63, draw.getrandbits(50)])  # noqa: E731
    n = draw.randint(0, 6)
    a, b = ([[value() for _ in range(draw.randint(0, 4))] for _ in range(n)] for _ in range(2))
    slot, exact, version = draw.randint(1, 1023), draw.random() < 0.5, draw.choice([1, 2])
    shift = 54 if version == 1 else 48
    mask = (1 << shift + (not exact)) - 1

    def under(x):
        return signed(slot << shift | x & mask)

    expected = [[under((signed(x) * signed(y) >> 64 ^ signed(x) * signed(y)) & M64) for x in r for y in s] for r, s in zip(a, b)]
    assert rows(fid_ops.feature_combine(ragged(a), ragged(b), slot, version, exact)) == expected
    assert rows(fid_ops.switch_slot(ragged(a), slot, version, exact)) == [[under(x) for x in r] for r in a]
    values = [x for r in a for x in r]
    assert fid_ops.extract_fid(ragged(a)[0], slot, exact).tolist() == [signed(fid.extract(slot, x, exact)) for x in values]
    table = {draw.choice(values or [1]) >> 1: draw.randint(-5, 5) for _ in range(3)}
    signed_values = np.array([signed(x) for x in values], np.int64)
    assert fid_ops.map_id(signed_values, table, 7).tolist() == [table.get(signed(x), 7) for x in values]


def test_no_tensorflow():
    import subprocess

    code = "import sys; from monolith_cli.records import fid_ops; fid_ops.extract_fid([1], 2); assert 'tensorflow' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
