"""Feature lists (`feature_list.conf`): which features there are, their slots, and what names and fids stand for.

One entry a line, `key=value` pairs separated by "; ":

    feature_name=f_user_id; depend=user_id; method=DirectInt64; slot=1; feature_version=2; shared=true

`load` reads a file; mistakes name file, line and column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields

from monolith_cli import errors
from monolith_cli.records.fid import SlotNames, slot_name, unsigned


@dataclass(frozen=True)
class Feature:
    """One feature. feature_version: None or 1 for v1 fids, 2 for v2 fids. shared: one value for all rows of a request."""

    feature_name: str
    depend: tuple[str, ...] = ()
    method: str | None = None
    slot: int | None = None
    args: tuple[str, ...] = ()
    feature_version: int | None = None
    shared: bool = False
    cache_keys: tuple[str, ...] = ()
    need_raw: bool = False
    feature_id: int | None = None
    input_optional: tuple[bool, ...] = ()
    feature_group: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name without the prefixes f_ and fc_ of its terms, in lower case."""
        return "-".join(_stripped(term) for term in self.feature_name.split("-")).lower()

    @property
    def depend_strip_prefix(self) -> list[str]:
        """What it depends on, without the prefixes f_ and fc_ of the terms."""
        return ["-".join(_stripped(term) for term in name.split("-")) for name in self.depend]

    @property
    def is_v1(self) -> bool:
        return self.feature_version in (None, 1)

    def __str__(self) -> str:
        """The entry as a line that can be read again."""
        return "; ".join(f"{f.name}={text}" for f in fields(self) if (text := _text(getattr(self, f.name))))


@dataclass(frozen=True)
class Feed:
    feed_name: str
    shared: bool = False
    feature_id: int | None = None


@dataclass(frozen=True)
class Cache:
    cache_column: str | None = None
    cache_name: str | None = None
    capacity: int | None = None
    timeout: int | None = None
    cache_type: str | None = None
    cache_key_class: str | None = None


def _stripped(term: str) -> str:
    return term[3:] if term.startswith("fc_") else term[2:] if term.startswith("f_") else term


def _text(value) -> str:
    if isinstance(value, tuple):
        return ",".join(str(v).lower() if isinstance(v, bool) else v for v in value)
    if isinstance(value, bool):
        return "true" if value else ""
    return "" if value is None else str(value)


@dataclass
class FeatureList:
    """column_names: raw columns. features, feeds, caches by name, in the order of the file."""

    column_names: set[str] = field(default_factory=set)
    features: dict[str, Feature] = field(default_factory=dict)
    feeds: dict[str, Feed] = field(default_factory=dict)
    caches: dict[str, Cache] = field(default_factory=dict)
    file: str = ""

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features.values())

    def __len__(self) -> int:
        return len(self.features)

    def __contains__(self, item: str | int) -> bool:
        if isinstance(item, int):
            return any(f.slot == item for f in self)
        return any(prefix + item.strip() in self.features for prefix in ("", "f_", "fc_"))

    def get(self, item: str | int, default=None) -> Feature | None:
        """By slot: the first feature that has it. By name: as it is, then with f_ or fc_ before it, then before each of
        the terms between its `-`."""
        if isinstance(item, int):
            return next((f for f in self if f.slot == item), default)
        name = item.strip()
        tries = [name, f"f_{name}", f"fc_{name}"]
        if "-" in name:
            tries += ["-".join(prefix + term for term in name.split("-")) for prefix in ("fc_", "f_")]
        return next((self.features[t] for t in tries if t in self.features), default)

    def __getitem__(self, item: str | int) -> Feature:
        found = self.get(item)
        if found is None:
            what = f"no feature has slot {item}" if isinstance(item, int) else f"there is no feature {item}{self._near(item)}"
            raise errors.ConfigError(f"{self.file or 'feature list'}: {what}")
        return found

    def _near(self, name: str) -> str:
        import difflib

        close = difflib.get_close_matches(name, [*self.features, *(f.name for f in self)], n=1)
        return f"; did you mean {close[0]}?" if close else ""

    def get_with_slot(self, slot: int) -> list[Feature]:
        return [f for f in self if f.slot == slot]

    def name_and_slot(self, item: str | int, others: SlotNames | None = None) -> tuple[str, int | None]:
        """Feature name and slot of a slot or a name. A slot that is not here goes by `slot_<n>`; the slot of a name that
        is not here is for `others` to say."""
        found = self.get(item)
        if isinstance(item, int):
            return (found.feature_name, item) if found else (slot_name(item), item)
        return (item, found.slot) if found else (item, (others or SlotNames()).slot(item))

    def features_of_fid(self, fid: int) -> list[Feature]:
        """Features that can hold this fid: of v1 with its slot read as v1, of v2 with its slot read as v2.

        Raises ConfigError when there is none."""
        fid = unsigned(fid)
        found = [f for f in self if f.slot == (fid >> 54 if f.is_v1 else fid >> 48)]
        if not found:
            raise errors.ConfigError(f"{self.file or 'feature list'}: Cannot find feature name for fid {fid} "
                                     f"(slot {fid >> 54} of v1, {fid >> 48} of v2)")
        return found

    def names_of_fid(self, fid: int) -> list[str]:
        """Their names."""
        return [f.feature_name for f in self.features_of_fid(fid)]

    def __str__(self) -> str:
        return self.file


class NeededFeatures:
    """The names that something reads from a stream; the rest may be left out."""

    def __init__(self):
        self.names: set[str] = set()

    def add(self, features: str | int | Iterable[str | int]) -> None:
        """Names; a slot goes by `slot_<n>`."""
        for item in [features] if isinstance(features, (str, int)) else features:
            self.names.add(slot_name(item) if isinstance(item, int) else item)

    def add_by_fids(self, fids: int | Iterable[int], feature_list: FeatureList) -> None:
        """The names of all features that can hold the fids; raises ConfigError for a fid that none can."""
        for fid in [fids] if isinstance(fids, int) else fids:
            self.add(feature_list.names_of_fid(fid))


class NameMapper:
    """Checks names and slots that something registers against a feature list; calls come in any order.

    Without a list (an empty mapping) all is accepted. sorted_ids: names to numbers from 1, in order of the names.
    """

    def __init__(self):
        self._ids: dict[str, int | None] = {}
        self._names: set[str] = set()
        self._pairs: set[tuple[int, int]] = set()

    @property
    def available(self) -> bool:
        return bool(self._ids)

    @property
    def sorted_ids(self) -> dict[str, int]:
        return {name: i + 1 for i, name in enumerate(sorted(self._ids))}

    @property
    def valid_names(self) -> set[str]:
        """Registered and known."""
        slots = {slot for pair in self._pairs for slot in pair}
        return {name for name, slot in self._ids.items() if name in self._names or slot in slots}

    def set_mapping(self, feature_list: FeatureList) -> None:
        """Raises ConfigError for what was registered before and is unknown to the list."""
        self._ids = {f.feature_name: f.slot for f in feature_list}
        self._check(self._names, self._pairs)

    def register_names(self, names: Iterable[str]) -> None:
        names = set(names)
        self._check(names, ())
        self._names |= names

    def register_ids(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Slots read as v1 and as v2; either one suffices."""
        pairs = set(pairs)
        self._check((), pairs)
        self._pairs |= pairs

    def _check(self, names, pairs) -> None:
        if not self.available:
            return
        missing = sorted(set(names) - self._ids.keys())
        if missing:
            raise errors.ConfigError(f"the feature list does not have {', '.join(missing)}")
        slots = set(self._ids.values())
        unknown = sorted(pair for pair in pairs if not slots & set(pair))
        if unknown:
            raise errors.ConfigError(f"the feature list has no feature of slot {' or '.join(map(str, dict.fromkeys(unknown[0])))}")


def parse(text: str, file: str = "feature_list.conf", use_old_name: bool = True) -> FeatureList:
    """Reads the text of a feature list. use_old_name: features go by feature_name, else by `Feature.name`.

    Raises ConfigError with file, line, column and a caret."""
    from monolith_cli._native import _core

    read = _core.parse_feature_list(text, file)
    made = [Feature(*(tuple(v) if isinstance(v, list) else v for v in values)) for values in read["features"]]
    return FeatureList(
        column_names=set(read["column_names"]),
        features={f.feature_name if use_old_name else f.name: f for f in made},
        feeds={values[0]: Feed(*values) for values in read["feeds"]},
        caches={key: Cache(*values) for key, values in read["caches"]},
        file=file)


def load(path: str, use_old_name: bool = True) -> FeatureList:
    """Reads a file; see `parse`. Raises NoInputError when it cannot be read."""
    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError as e:
        raise errors.NoInputError(f"{path}: {e.strerror}") from None
    try:
        text = data.decode()
    except UnicodeDecodeError as e:
        line, column = data.count(b"\n", 0, e.start) + 1, e.start - data.rfind(b"\n", 0, e.start)
        raise errors.ConfigError(f"{path}:{line}:{column}: not UTF-8") from None
    return parse(text, path, use_old_name)
