"""Params: a tree of named settings that can be printed, compared, copied and frozen, and that makes the object it
describes.

    p = Dense.params()
    p.units = 4
    layer = p.instantiate()

Errors are Python's own: AttributeError for a name that is not there, TypeError for a frozen tree, AssertionError for a
name that can be none.
"""

from __future__ import annotations

import copy
import enum
import inspect
import re
from collections.abc import Iterator
from typing import Any

_NAME = re.compile(r"^[a-z][a-z0-9_]*$")
_INDEXED = re.compile(r"^(.+?)\[(\d+)\]$")

# What Keras takes beside the arguments of a class: handed on where they are set.
KERAS_EXTRAS = (
    "input_dim",
    "input_shape",
    "batch_input_shape",
    "weights",
    "activity_regularizer",
    "autocast",
    "implementation",
    "name",
    "trainable",
    "dtype",
)


class Params:
    """An ordered set of parameters, each with a default value and a description."""

    def __init__(self):
        self.__dict__["_values"] = {}
        self.__dict__["_docs"] = {}
        self.__dict__["_frozen"] = False

    # --- the tree itself ---------------------------------------------------------------------------------------------

    def define(self, name: str, default: Any, doc: str = "") -> None:
        """Adds a parameter. AssertionError for a name that is not lower-case letters, digits and `_`; AttributeError
        for one that is there already; TypeError when frozen."""
        self._check_not_frozen(f"define {name!r}")
        assert isinstance(name, str) and _NAME.match(name), (
            f"{name!r} is no parameter name: it must match {_NAME.pattern}"
        )
        if name in self._values:
            raise AttributeError(f"parameter {name} is already defined")
        self._values[name] = default
        self._docs[name] = doc

    def doc(self, name: str) -> str:
        """The description that `define` was given."""
        self._check_known(name, name)
        return self._docs[name]

    def freeze(self) -> None:
        """No parameter can be set, defined or deleted from here on; nested Params stay as they are."""
        self.__dict__["_frozen"] = True

    @property
    def is_frozen(self) -> bool:
        return self._frozen

    def iter_params(self) -> Iterator[tuple[str, Any]]:
        """(name, value) in the order of definition."""
        yield from self._values.items()

    def contains(self, name: str) -> bool:
        """Whether the dotted name leads to a parameter."""
        try:
            self.get(name)
        except (AttributeError, AssertionError, IndexError):
            return False
        return True

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __len__(self) -> int:
        return len(self._values)

    def __dir__(self):
        return sorted([*self._values, *super().__dir__()])

    # --- by dotted name ----------------------------------------------------------------------------------------------

    def get(self, name: str) -> Any:
        """The value of `a.b[2].c`. AttributeError with near names where there is none."""
        owner, last = self._walk(name)
        return owner._step(last, name)

    def set(self, **values) -> "Params":
        """Sets parameters by name; `set(**{"a.b": 1})` goes into nested Params. Returns self."""
        for name, value in values.items():
            owner, last = self._walk(name)
            owner._check_not_frozen(f"set {name!r}")
            indexed = _INDEXED.match(last)
            if indexed:
                owner._step(indexed[1], name)[int(indexed[2])] = value
            else:
                owner._check_known(last, name)
                owner._values[last] = value
        return self

    def delete(self, *names: str) -> "Params":
        """Removes parameters by dotted name. Returns self."""
        for name in names:
            owner, last = self._walk(name)
            owner._check_not_frozen(f"delete {name!r}")
            owner._check_known(last, name)
            del owner._values[last], owner._docs[last]
        return self

    def _walk(self, name: str) -> tuple["Params", str]:
        *path, last = name.split(".")
        owner, gone = self, []
        for part in path:
            gone.append(part)
            indexed = _INDEXED.match(part)
            if (indexed[1] if indexed else part) not in owner._values:
                raise AttributeError(".".join(gone))
            owner = owner._step(part, name)
            assert isinstance(owner, Params), (
                f"Cannot introspect {type(owner).__name__} for {name}: {'.'.join(gone)} is no Params"
            )
        return owner, last

    def _step(self, part: str, full: str) -> Any:
        indexed = _INDEXED.match(part)
        if indexed:
            return self._step(indexed[1], full)[int(indexed[2])]
        self._check_known(part, full)
        return self._values[part]

    def _check_known(self, name: str, full: str) -> None:
        if name not in self._values:
            raise AttributeError(full + self._near(name))

    def _near(self, name: str) -> str:
        pieces = {name[i : i + 3] for i in range(len(name) - 3)}
        near = sorted(k for k in self._values if pieces and 2 * sum(piece in k for piece in pieces) > len(pieces))
        return f" (did you mean: [{','.join(near)}])" if near else ""

    def _check_not_frozen(self, what: str) -> None:
        if self._frozen:
            raise TypeError(f"cannot {what}: the Params are frozen")

    # --- as attributes -----------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_values" not in self.__dict__:
            raise AttributeError(name)
        self._check_known(name, name)
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self._check_not_frozen(f"set {name!r}")
        self._check_known(name, name)
        self._values[name] = value

    # --- copies, comparison, text ------------------------------------------------------------------------------------

    def copy(self) -> "Params":
        """A copy with nested Params (in lists, tuples and dicts too) copied, everything else shared; frozen if this one
        is."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.__dict__["_values"] = {k: _copied(v) for k, v in self._values.items()}
        other.__dict__["_docs"] = dict(self._docs)
        return other

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __eq__(self, other) -> bool:
        return (
            isinstance(other, Params)
            and self._values.keys() == other._values.keys()
            and all(_equal(v, other._values[k]) for k, v in self._values.items())
        )

    __hash__ = None

    def __str__(self) -> str:
        return self._text(0)

    __repr__ = __str__

    def _text(self, depth: int) -> str:
        lines = [f"{'  ' * (depth + 1)}{k}: {_value_text(v, depth + 1)}" for k, v in sorted(self._values.items())]
        return "{\n" + "\n".join(lines) + "\n" + "  " * depth + "}"


class InstantiableParams(Params):
    """Params of a class, kept in `cls`."""

    def __init__(self, cls: type | None = None):
        super().__init__()
        self.define("cls", cls, "class of the object that instantiate() makes")

    def instantiate(self, **overrides) -> Any:
        """An object of `cls`, which gets these Params where its constructor takes `params` alone, else its arguments by
        name.
        `overrides` replace single values. TypeError where `cls` is not set."""
        cls = self._values["cls"]
        if cls is None:
            raise TypeError("cannot instantiate: cls is not set")
        params = self.copy()
        params.__dict__["_frozen"] = False
        params.set(**overrides)
        named = constructor_arguments(cls)
        if list(named) == ["params"] and hasattr(cls, "params"):
            return cls(params)
        values = dict(params.iter_params())
        arguments = {k: values[k] for k in named if k in values}
        arguments |= {k: values[k] for k in KERAS_EXTRAS if k not in named and values.get(k) is not None}
        arguments |= {
            k: v for k, v in values.items() if k.startswith(_prefixes(cls)) and k not in named and v is not None
        }
        return cls(**{k: v for k, v in arguments.items() if v is not inspect.Parameter.empty})


def _prefixes(cls: type) -> tuple[str, ...]:
    """Prefixes of keywords that a class takes without naming each one (LHUCTower: lhuc_...)."""
    return tuple(getattr(cls, "keyword_prefixes", ()))


def constructor_arguments(cls: type) -> dict[str, Any]:
    """Names and defaults of what the class's own `__init__` takes; `inspect.Parameter.empty` where there is no
    default."""
    signature = inspect.signature(cls.__init__)
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {n: p.default for n, p in list(signature.parameters.items())[1:] if p.kind in kinds}


def params_of(cls: type) -> InstantiableParams:
    """The Params of a class out of the constructors of the class and its bases: a derived default replaces an inherited
    one, a parameter without a default is None. `name` is the class's name."""
    result = InstantiableParams(cls)
    result.define("name", cls.__name__, "name of the object")
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):
        if "__init__" in vars(base):
            found |= {k: v for k, v in constructor_arguments(base).items() if _NAME.match(k) and k not in KERAS_EXTRAS}
    extra = getattr(cls, "extra_params", None)
    found |= extra() if extra else {}
    for name, default in found.items():
        value = None if default is inspect.Parameter.empty else default
        if name in result:
            if value is not None:
                result.set(**{name: value})
        else:
            result.define(name, copy.copy(value) if isinstance(value, (list, dict)) else value)
    for name in KERAS_EXTRAS:
        if name not in result:
            result.define(name, None, "of Keras; handed on where it is set")
    return result


def with_params(cls: type) -> type:
    """Class decorator: gives `cls` a class method `params()` where it has none."""
    if not hasattr(cls, "params"):
        cls.params = classmethod(params_of)
    return cls


def copy_params_to(source: Params, target: Params, skip: tuple[str, ...] | list[str] = ()) -> Params:
    """Sets every parameter of `source` in `target`, but those in `skip`. Returns `target`."""
    return target.set(**{k: v for k, v in source.iter_params() if k not in skip})


def _copied(value: Any) -> Any:
    if isinstance(value, Params):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(_copied(v) for v in value)
    if type(value) is dict:
        return {k: _copied(v) for k, v in value.items()}
    return value


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b))
    if a is b:
        return True
    same = a == b
    return same if isinstance(same, bool) else bool(getattr(same, "all", lambda: same)())


def _value_text(value: Any, depth: int) -> str:
    if isinstance(value, Params):
        return value._text(depth)
    if isinstance(value, str):
        return f'"{value}"'
    return _inline(value)


def _inline(value: Any) -> str:
    if isinstance(value, Params):
        return _inline(dict(sorted(value.iter_params())))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {_inline(v)}" for k, v in value.items()) + "}"
    if type(value) in (list, tuple):
        inner = ", ".join(_inline(v) for v in value)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else repr(value)
