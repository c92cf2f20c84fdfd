"""The dump form of an Instance: a tree without indentation, one `key: value` a line, as object viewers print it.

    "root":
    "fid":
    0: 12345
    "feature":
    0:
    "name": "f_user"
    "fid":
    0: 3

A key without value opens a node, a number is an index of the list above it. What a key belongs to is told by its name:
the innermost open message that has such a field and has not had it yet. In a feature that keeps name, fid, float_value,
int64_value, bytes_value and the four lists together; any other key, or one that repeats, is of the Instance again (spec
60, 3.6)."""

from __future__ import annotations

from monolith_cli import errors
from monolith_cli.records import messages


def parse_dump(text: str, name: str = "dump"):
    """The Instance. BadDataError with `name` and line number."""
    instance = messages.message_class("instance")()
    tree = _Tree(instance)
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().rstrip(",")
        if not stripped or stripped.startswith('"root":'):
            continue
        try:
            key, value = _split(stripped)
            tree.take(key, value)
        except (ValueError, TypeError) as e:
            raise errors.BadDataError(f"{name}: line {number}: {e}") from None
    return instance


def _split(line: str) -> tuple[str, str]:
    if line.count(":") != 1:
        raise ValueError(f"{line!r}: must be one key: value")
    key, _, value = line.partition(":")
    return key.strip().strip("\"'"), value.strip().strip("\"'")


class _Tree:
    """The open messages from the Instance inwards, each with the names it has had, and the open list of each."""

    def __init__(self, instance):
        self._open = [[instance, set(), None]]  # message, names had, its open repeated field

    def take(self, key: str, value: str) -> None:
        if key.isdecimal():
            self._take_index(int(key), value)
        else:
            self._take_key(key, value)

    def _take_index(self, index: int, value: str) -> None:
        for depth in range(len(self._open) - 1, -1, -1):
            message, _, field = self._open[depth]
            if field is None or (field.message_type is not None) != (value == ""):
                continue
            items = getattr(message, field.name)
            if index != len(items):
                raise ValueError(f"{field.name}: item {index} comes after {len(items)} items")
            del self._open[depth + 1 :]
            if field.message_type is None:
                items.append(_value(field, value))
            else:
                self._open.append([items.add(), set(), None])
            return
        raise ValueError(f"item {index} of no list")

    def _take_key(self, key: str, value: str) -> None:
        for depth in range(len(self._open) - 1, -1, -1):
            message, had, _ = self._open[depth]
            field = message.DESCRIPTOR.fields_by_name.get(key)
            if field is None or key in had:
                continue
            del self._open[depth + 1 :]
            had.add(key)
            self._enter(depth, field, value)
            return
        raise ValueError(f"an Instance has no field {key!r} at this place")

    def _enter(self, depth: int, field, value: str) -> None:
        message = self._open[depth][0]
        self._open[depth][2] = field if field.is_repeated else None
        if field.is_repeated and value == "":
            return
        if field.message_type is not None:
            if value != "":
                raise ValueError(f"{field.name}: a message, not the value {value!r}")
            self._open.append([getattr(message, field.name), set(), None])
            self._open[-1][0].SetInParent()
        elif field.is_repeated:
            getattr(message, field.name).append(_value(field, value))
        else:
            setattr(message, field.name, _value(field, value))


def _value(field, text: str):
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return float(text)
    if field.cpp_type == field.CPPTYPE_BOOL:
        return (
            {"true": True, "false": False, "1": True, "0": False}[text.lower()]
            if text.lower() in ("true", "false", "1", "0")
            else _refuse(field, text)
        )
    if field.type == field.TYPE_BYTES:
        return text.encode()
    if field.cpp_type == field.CPPTYPE_STRING:
        return text
    try:
        return int(text)
    except ValueError:
        return _refuse(field, text)


def _refuse(field, text: str):
    raise ValueError(f"{field.name}: {text!r} is no value of this field")
