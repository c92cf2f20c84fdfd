"""Fids in Python: vectors of the specification; the native tests hold the same for the core."""

import pytest

from monolith_cli._native import _core
from monolith_cli.errors import UsageError
from monolith_cli.records import fid


def test_make_and_take_apart():
    assert fid.make_v1(1, 100) == 18014398509482084 and fid.make_v2(1, 100) == 281474976710756
    assert fid.make_v1(1023, 1 << 54) == 18428729675200069632 and fid.make_v2(1024, 1 << 54) == 288230376151711744
    assert fid.make_v2(32767, 1 << 48) == 9223090561878065152 and fid.make_v2(2, -1) == 844424930131967
    assert (fid.slot_v2(123 << 48), fid.slot_v2(32767 << 48), fid.slot_v1(fid.make_v1(1023, 5))) == (123, 32767, 1023)
    assert fid.slot_v1(fid.make_v1(600, 1) - 2**64) == 600 and fid.unsigned(-1) == 2**64 - 1


def test_checked():
    assert fid.checked_v1(1023, 1) == fid.make_v1(1023, 1) and fid.checked_v2(32767, 1) == fid.make_v2(32767, 1)
    with pytest.raises(UsageError, match="v1 slot should be less than 1024, while got 1024"):
        fid.checked_v1(1024, 1)
    with pytest.raises(UsageError, match="v2 slot should be less than 32768, while got 32768"):
        fid.checked_v2(32768, 1)


def test_v1_to_v2():
    assert fid.v1_to_v2(18014398509482084) == 281474976710756 and fid.v1_to_v2(2**64 - 1) == 288230376151711743
    assert fid.v1_to_v2(91197892454252551) == 1407374883553287 and fid.v1_to_v2(91197892454252551, slot=306) == fid.make_v2(306, 7)


def test_text():
    assert fid.decoded(fid.make_v1(1, 100), 1) == "18014398509482084(v1|slot=1|sig=100)"
    assert fid.decoded(fid.make_v2(1, 100), 2) == "281474976710756(v2|slot=1|sig=100)"


@pytest.mark.parametrize("x, hashed, slot, expected", [
    (185, 0xB52C190DFBF33520, 4, 1153447759131936), (0, 0x14397A23417AF284, 1, 415766817731204), (-1, 0x2FFFE7A41FB59155, 200, 56831162411487573)])
def test_extract(x, hashed, slot, expected):
    assert _core.city_hash64((x & (1 << 64) - 1).to_bytes(8, "little")) == hashed
    assert fid.extract(slot, x) == expected
    assert fid.slot_v2(fid.extract(slot, x, exact=True)) == slot


def test_slot_names():
    names = fid.SlotNames()
    assert [names.slot(n) for n in ("slot_12", "fc_slot_7", "fc_slot_x", "foo", "bar", "foo")] == [12, 7, None, 1, 2, 1]
    names.register([3])
    names.register({"foo": 9})
    assert names.slot("slot_3") == 3 and names.slot("foo") == 9
    assert fid.slot_name(3) == "slot_3" and fid.slot_name(3, tob=True) == "fc_slot_3"


def test_java_hash():
    assert [_core.java_hash(s) for s in (b"", b"pc", b"mobile", b"datasource_inst")] == [0, 3571, -1068855134, -1487072768]
