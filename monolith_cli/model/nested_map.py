"""NestedMap: a dict whose keys are attributes too, and that can be taken apart into its leaves and put together
again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INDEXED = re.compile(r"^(.*)\[(\d+)\]$")
_DICT_NAMES = frozenset(dir(dict))


class NestedMap(dict):
    """Dict with attribute access; values may be NestedMaps and lists, whose elements may be either again.

    A key must be a string (AssertionError) that starts like an identifier (ValueError) and is no method of dict
    (AssertionError). A missing attribute is an AttributeError that lists what is there.
    """

    def __init__(self, *args, **kwargs):
        super().__init__()
        self.update(*args, **kwargs)

    @staticmethod
    def _check_key(key: Any) -> None:
        assert isinstance(key, str), f"a key of a NestedMap must be a string, not {key!r}"
        if not _IDENTIFIER.match(key):
            raise ValueError(f"a key of a NestedMap must start like an identifier, not {key!r}")
        assert key not in _DICT_NAMES, f"{key!r} is a method of dict and cannot be a key of a NestedMap"

    def __setitem__(self, key, value):
        self._check_key(key)
        super().__setitem__(key, value)

    def update(self, *args, **kwargs):
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name}; available attributes: {sorted(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"{name}; available attributes: {sorted(self)}")
        del self[name]

    def __deepcopy__(self, memo):
        return self.Transform(lambda v: v)

    def copy(self) -> "NestedMap":
        """A shallow copy."""
        return type(self)(self)

    @classmethod
    def FromNestedDict(cls, value: Any) -> Any:
        """`value` with every dict in it, in lists and tuples too, made a NestedMap."""
        if isinstance(value, dict):
            return cls({k: cls.FromNestedDict(v) for k, v in value.items()})
        if isinstance(value, (list, tuple)):
            return type(value)(cls.FromNestedDict(v) for v in value)
        return value

    # --- leaves ------------------------------------------------------------------------------------------------------

    def Flatten(self) -> list:
        """The leaves, by sorted keys. Only NestedMaps and lists are descended into."""
        return [v for _, v in self.FlattenItems()]

    def FlattenItems(self) -> list[tuple[str, Any]]:
        """(`a.b[0].c`, leaf), by sorted keys."""
        return list(_items(self, ""))

    def Pack(self, leaves: list) -> "NestedMap":
        """The same structure with other leaves, in the order of Flatten. ValueError for another number of them."""
        leaves, expected = list(leaves), len(self.Flatten())
        if len(leaves) != expected:
            raise ValueError(f"Pack got {len(leaves)} values for {expected} leaves")
        rest = iter(leaves)
        return _mapped(self, lambda _: next(rest))

    def Transform(self, fn: Callable[[Any], Any]) -> "NestedMap":
        """The same structure with fn(leaf) for each leaf."""
        return _mapped(self, fn)

    def Filter(self, keep: Callable[[Any], bool]) -> "NestedMap":
        """The leaves with keep(leaf); containers that become empty are left out."""
        return self.FilterKeyVal(lambda _, value: keep(value))

    def FilterKeyVal(self, keep: Callable[[str, Any], bool]) -> "NestedMap":
        """The leaves with keep(dotted name, leaf); containers that become empty are left out."""
        result = _filtered(self, "", keep)
        return type(self)() if result is None else result

    def IsCompatible(self, other: Any) -> bool:
        """Whether both have the same structure."""
        return _structure(self) == _structure(other)

    # --- dotted names ------------------------------------------------------------------------------------------------

    def GetItem(self, name: str) -> Any:
        """The value of `a.b[0].c`; KeyError or IndexError where there is none."""
        value: Any = self
        for part in name.split("."):
            for step in _steps(part):
                value = value[step]
        return value

    def Get(self, name: str, default: Any = None) -> Any:
        """As GetItem, `default` where there is none."""
        try:
            return self.GetItem(name)
        except (KeyError, IndexError, TypeError):
            return default

    def Set(self, name: str, value: Any) -> None:
        """Sets `a.b.c`, making the maps on the way. ValueError where something on the way is no dict."""
        *path, last = name.split(".")
        target: Any = self
        for part in path:
            if part not in target:
                target[part] = NestedMap()
            target = target[part]
            if not isinstance(target, dict):
                raise ValueError(f"cannot set {name!r}: {part!r} is a {type(target).__name__}, not a dict")
        target[last] = value


def _steps(part: str) -> list:
    steps: list = []
    while match := _INDEXED.match(part):
        part = match[1]
        steps.insert(0, int(match[2]))
    return [part, *steps]


def _items(value: Any, name: str):
    if isinstance(value, NestedMap):
        for key in sorted(value):
            yield from _items(value[key], f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from _items(v, f"{name}[{i}]")
    else:
        yield name, value


def _mapped(value: Any, fn: Callable) -> Any:
    if isinstance(value, NestedMap):
        done = {k: _mapped(value[k], fn) for k in sorted(value)}
        return type(value)({k: done[k] for k in value})
    return [_mapped(v, fn) for v in value] if isinstance(value, list) else fn(value)


def _filtered(value: Any, name: str, keep: Callable) -> Any:
    """What is kept of `value`; None where that is nothing."""
    if isinstance(value, NestedMap):
        parts = {k: _filtered(value[k], f"{name}.{k}" if name else k, keep) for k in value}
        kept = {k: v[0] if type(v) is _Leaf else v for k, v in parts.items() if v is not None}
        return type(value)(kept) if kept else None
    if isinstance(value, list):
        parts = [_filtered(v, f"{name}[{i}]", keep) for i, v in enumerate(value)]
        return [v[0] if type(v) is _Leaf else v for v in parts if v is not None] or None
    return _Leaf((value,)) if keep(name, value) else None


class _Leaf(tuple):
    """Keeps a leaf that is None apart from one that is left out."""


def _structure(value: Any) -> Any:
    if isinstance(value, NestedMap):
        return {k: _structure(v) for k, v in value.items()}
    return [_structure(v) for v in value] if isinstance(value, list) else None
