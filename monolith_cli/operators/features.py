"""Changing the features of records: slots, crosses, hashes, masks, tables, names.

Of an Example a feature is a named feature, of an ExampleBatch a column. In an Instance it is a feature column, or, by the
name slot_<n> (fc_slot_<n>, with digits alone in place of the name too), the v1 fids of slot n.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monolith_cli import errors
from monolith_cli.records.feature_list import Feature, FeatureList
from monolith_cli.records.fid import SLOTS_V1, checked_v1


@dataclass(frozen=True)
class Combine:
    """A new feature of the fids of every pair of two features'; slot: of the new fids, 1..32767."""

    name: str
    first: str
    second: str
    slot: int | str


@dataclass(frozen=True)
class Mask:
    """A new feature from another. value: a fid for fid masks, a length for sequence masks."""

    name: str
    source: str
    value: int


@dataclass(frozen=True)
class FeatureConfig:
    """What becomes of the features of a record. All that is given is done, in the order of the fields here.

    record_type: instance, example or example_batch; batches take slot, share, map_id, drop, keep and rename.
    hash: (name, slot) pairs; integers and bytes become fids of the slot. A name may come twice: a raw feature of
        integers becomes a feature first, and fids then.
    map_id: name -> (table, value of what is not in the table), for integers.
    slot: name -> slot its fids get, in place. share: the same for copies, named name_suffix.
    combine, fid_mask, seq_mask: new features; one replaces the feature that has its name, and may use one made before.
    drop: names that go. keep: the names that stay besides the reserved ones; None for all. prune: what feature_list names
        stays, raw columns, fc_slot_<n> of its v1 features and what is made here included. keep_fids: the features of
        feature_list that can hold these fids stay. rename: old -> new name; drop and keep go by old names.
    exact: keep 48 bits of what hash and combine make, so that every fid lies in its slot; by default 49, as in models
        trained so far.
    feature_list: slots may be given as names in it, and names of its v1 features stand for slots in an Instance.

    Raises UsageError for what cannot be right, ConfigError for a name that is not in the feature list.
    """

    record_type: str = "instance"
    hash: tuple[tuple[str, int | str], ...] = ()
    map_id: Mapping[str, tuple[Mapping[int, int], int]] = field(default_factory=dict)
    slot: Mapping[str, int | str] = field(default_factory=dict)
    share: Mapping[str, int | str] = field(default_factory=dict)
    suffix: str = "share"
    combine: tuple[Combine, ...] = ()
    fid_mask: tuple[Mask, ...] = ()
    seq_mask: tuple[Mask, ...] = ()
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None
    prune: bool = False
    keep_fids: tuple[int, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    exact: bool = False
    feature_list: FeatureList | None = None

    def operators(self) -> list:
        """The native operators, in the order records pass them; they belong to one chain."""
        from monolith_cli._native import _core

        kind, made, name, slot = self.record_type, [], self._name, self._slot
        for stage in stages([((n,), n, (name(n), slot(s))) for n, s in self.hash]):
            made.append(_core.hash_operator(kind, stage, self.exact))
        if self.map_id:
            made.append(_core.map_id_operator(kind, [(name(n), list(table.items()), other) for n, (table, other) in self.map_id.items()]))
        rules = [(name(n), slot(s), True) for n, s in self.slot.items()] + [(name(n), slot(s), False) for n, s in self.share.items()]
        if rules:
            made.append(_core.switch_slot_operator(kind, rules, self.suffix))
        for stage in stages([((c.first, c.second), c.name, (c.name, name(c.first), name(c.second), slot(c.slot))) for c in self.combine]):
            made.append(_core.combine_operator(kind, stage, self.exact))
        for masks, make in ((self.fid_mask, _core.fid_mask_operator), (self.seq_mask, _core.seq_mask_operator)):
            for stage in stages([((m.source,), m.name, (m.name, name(m.source), m.value)) for m in masks]):
                made.append(make(kind, stage))
        kept = self.kept()
        if self.drop or kept is not None or self.rename:
            keep = None if kept is None else [either for n in kept for either in (n, name(n))]
            rename = [(name(a), b) for a, b in self.rename.items()]
            made.append(_core.columns_operator(kind, rename, [name(n) for n in self.drop], keep))
        return made

    def kept(self) -> tuple[str, ...] | None:
        """The names that stay besides the reserved ones; None for all."""
        if self.keep is None and not self.prune and not self.keep_fids:
            return None
        found, features = list(self.keep or ()), self.feature_list
        if features is None and (self.prune or self.keep_fids):
            raise errors.UsageError(f"{'--prune' if self.prune else '--keep-fid'} needs --feature-list FILE")
        if self.prune:
            found += [f.feature_name for f in features] + [f"fc_slot_{f.slot}" for f in features if _in_flat_fids(f)]
            found += [*sorted(features.column_names), *(rule.name for rule in (*self.combine, *self.fid_mask, *self.seq_mask))]
            found += [self._copy(name, slot) for name, slot in self.share.items()]
        for fid in self.keep_fids:
            for feature in features.features_of_fid(fid):
                found += [feature.feature_name, *([f"fc_slot_{feature.slot}"] if _in_flat_fids(feature) else [])]
        return tuple(dict.fromkeys(found))

    def _copy(self, name: str, slot: int | str) -> str:
        """What a copy goes by: in an Instance that of a slot's fids by its slot."""
        known = self._name(name)
        digits = known.removeprefix("fc_").removeprefix("slot_")
        is_slot = self.record_type == "instance" and known in (f"slot_{digits}", f"fc_slot_{digits}") and digits.isdecimal() and int(digits) < SLOTS_V1
        return f"slot_{self._slot(slot)}" if is_slot else f"{known}_{self.suffix}"

    def _name(self, name: str) -> str:
        if self.record_type != "instance":
            return name
        if name.isascii() and name.isdecimal():
            checked_v1(int(name), 0)
            return f"slot_{int(name)}"
        feature = self.feature_list.get(name) if self.feature_list else None
        return f"slot_{feature.slot}" if feature and _in_flat_fids(feature) else name

    def _slot(self, slot: int | str) -> int:
        if isinstance(slot, int):
            return slot
        if self.feature_list is None:
            raise errors.UsageError(f"'{slot}' is no slot number; a name needs --feature-list")
        found = self.feature_list[slot].slot
        if found is None:
            raise errors.ConfigError(f"{self.feature_list.file}: feature {slot} has no slot")
        return found


def stages(rules: Iterable[tuple[tuple[str, ...], str, tuple]]) -> list[list[tuple]]:
    """Rules (names read, name written, rule) in runs that one operator can do at once: none reads or writes what one
    before it in the run writes."""
    runs: list[list[tuple]] = []
    written: set[str] = set()
    for read, name, rule in rules:
        if not runs or name in written or written & set(read):
            runs.append([])
            written = set()
        runs[-1].append(rule)
        written.add(name)
    return runs


def _in_flat_fids(feature: Feature) -> bool:
    return feature.is_v1 and feature.slot is not None and feature.slot < SLOTS_V1


def names_of_slots(feature_list: FeatureList) -> dict[str, str]:
    """fc_slot_<n>, as an Example made of an Instance has its v1 fids, to the name of the first v1 feature of the slot."""
    names: dict[str, str] = {}
    for feature in feature_list:
        if _in_flat_fids(feature):
            names.setdefault(f"fc_slot_{feature.slot}", feature.feature_name)
    return names
