"""Feature ids: 64 bits, slot above signature.

v1 has 10 slot bits and 54 of signature; v2 keeps bit 63 clear, then 15 slot bits and 48 of signature. All values are
unsigned integers; tensors carry them as int64, where v1 ids of slots from 512 on look negative: `unsigned` mends that.
"""

from __future__ import annotations

from monolith_cli.errors import UsageError

SLOTS_V1, SLOTS_V2 = 1024, 32768
MASK_V1, MASK_V2 = (1 << 54) - 1, (1 << 48) - 1
_ALL = (1 << 64) - 1


def unsigned(fid: int) -> int:
    """The id of a value that came as int64."""
    return fid & _ALL


def slot_v1(fid: int) -> int:
    return (fid & _ALL) >> 54


def slot_v2(fid: int) -> int:
    return fid >> 48 & 0x7FFF


def make_v1(slot: int, signature: int) -> int:
    """Plain shift and or: a slot past 1023 runs out at the top."""
    return (slot << 54 | signature & MASK_V1) & _ALL


def make_v2(slot: int, signature: int) -> int:
    """Plain shift and or: slot 32768 sets bit 63."""
    return (slot << 48 | signature & MASK_V2) & _ALL


def checked_v1(slot: int, signature: int) -> int:
    """As make_v1; raises UsageError for a slot past 1023. A signature that is too long is cut."""
    _check("v1", slot, SLOTS_V1)
    return make_v1(slot, signature)


def checked_v2(slot: int, signature: int) -> int:
    """As make_v2; raises UsageError for a slot past 32767. A signature that is too long is cut."""
    _check("v2", slot, SLOTS_V2)
    return make_v2(slot, signature)


def _check(version: str, slot: int, limit: int) -> None:
    if not 0 <= slot < limit:
        raise UsageError(f"{version} slot should be less than {limit}, while got {slot}")


def v1_to_v2(fid: int, slot: int | None = None) -> int:
    """The v2 id of a v1 id, under the same slot or another; loses the signature bits 53 to 48."""
    return make_v2(slot_v1(fid) if slot is None else slot, fid)


def decoded(fid: int, version: int) -> str:
    """`<value>(v1|slot=<s>|sig=<x>)`, all decimal."""
    fid &= _ALL
    if version == 1:
        return f"{fid}(v1|slot={fid >> 54}|sig={fid & MASK_V1})"
    return f"{fid}(v2|slot={fid >> 48}|sig={fid & MASK_V2})"


def extract(slot: int, value: int, exact: bool = False) -> int:
    """The v2 id of an integer: CityHash64 of its eight bytes. exact: keep 48 bits of the hash. By default it keeps 49, as
    existing data has it, which puts about half the values of an even slot into the next one."""
    from monolith_cli._native import _core

    hashed = _core.city_hash64((value & _ALL).to_bytes(8, "little"))
    return hashed & (MASK_V2 if exact else (1 << 49) - 1) | slot << 48


def slot_name(slot: int, tob: bool = False) -> str:
    """`slot_<n>`, with tob `fc_slot_<n>`."""
    return f"fc_slot_{slot}" if tob else f"slot_{slot}"


class SlotNames:
    """Slot numbers by feature name: first what was registered, then the digits behind `slot_` or `fc_slot_`. Every other
    name is numbered from 1 in order of first use: the same names in the same order give the same numbers."""

    def __init__(self, registered: dict[str, int] | None = None):
        self._registered, self._numbered = dict(registered or {}), {}

    def register(self, slots) -> None:
        """slots: a dict from names to slots, or slots that go by their `slot_<n>` names."""
        self._registered.update(slots if isinstance(slots, dict) else {slot_name(s): s for s in slots})

    def slot(self, name: str) -> int | None:
        """None for `slot_` or `fc_slot_` without a number behind it."""
        if name in self._registered:
            return self._registered[name]
        if name.startswith(("slot_", "fc_slot_")):
            digits = name.rpartition("_")[2]
            return int(digits) if digits.isdecimal() and digits.isascii() else None
        return self._numbered.setdefault(name, len(self._numbered) + 1)
