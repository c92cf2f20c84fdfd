"""The rules of pb-feature as they are written on a command line. Mistakes are UsageErrors with a caret."""

from __future__ import annotations

from collections.abc import Iterable

from monolith_cli import errors
from monolith_cli.operators.features import Combine, Mask

_INT64 = (-(1 << 63), (1 << 63) - 1)


class Text:
    """The argument of an option, cut into parts that know where they stand."""

    def __init__(self, option: str, text: str, form: str):
        self.option, self.text, self.form = option, text, form

    def fail(self, at: int, what: str):
        raise errors.UsageError(f"{self.option}: {what}; write {self.form}\n  {self.text}\n  {' ' * min(at, len(self.text))}^")

    def cut(self, begin: int, end: int, sign: str, last: bool = False) -> int:
        """Where the sign stands in begin..end; neither side of it may be empty."""
        at = self.text.rfind(sign, begin, end) if last else self.text.find(sign, begin, end)
        if at < 0:
            self.fail(end, f"there is no '{sign}'")
        if at == begin or at + 1 == end:
            self.fail(at, f"nothing stands {'before' if at == begin else 'behind'} '{sign}'")
        return at

    def integer(self, begin: int, end: int, low: int, high: int, what: str) -> int:
        digits = self.text[begin:end]
        plain = digits.lower().removeprefix("-")
        try:
            if not plain.isascii() or "_" in plain or plain[:1] in ("+", "-"):
                raise ValueError
            value = int(plain[2:], 16) if plain.startswith("0x") else int(plain)
        except ValueError:
            self.fail(begin, f"{what} is an integer")
        value = -value if digits.startswith("-") else value
        if not low <= value <= high:
            self.fail(begin, f"{what} is {low} to {high}")
        return value

    def slot(self, begin: int, low: int = 0) -> int | str:
        """A slot number, or a name for a feature list to look up."""
        text = self.text[begin:]
        if text.lstrip("-").isdecimal():
            return self.integer(begin, len(self.text), low, 32767, "a slot")
        return text


def names(texts: Iterable[str], option: str) -> tuple[str, ...]:
    """Names of comma lists, in order, each once."""
    found = dict.fromkeys(name.strip() for text in texts for name in text.split(","))
    if "" in found:
        raise errors.UsageError(f"{option}: a name is missing; write NAME,NAME,…")
    return tuple(found)


def renames(texts: Iterable[str], option: str) -> dict[str, str]:
    """OLD=NEW."""
    made: dict[str, str] = {}
    for raw in texts:
        text = Text(option, raw, "OLD=NEW")
        at = text.cut(0, len(raw), "=")
        if raw[:at] in made:
            text.fail(0, f"'{raw[:at]}' is given two names")
        made[raw[:at]] = raw[at + 1:]
    return made


def slots(texts: Iterable[str], option: str) -> dict[str, int | str]:
    """NAME=SLOT."""
    made: dict[str, int | str] = {}
    for raw in texts:
        text = Text(option, raw, "NAME=SLOT")
        at = text.cut(0, len(raw), "=", last=True)
        if raw[:at] in made:
            text.fail(0, f"'{raw[:at]}' is given two slots")
        made[raw[:at]] = text.slot(at + 1)
    return made


def hashes(texts: Iterable[str], option: str) -> tuple[tuple[str, int | str], ...]:
    """NAME@SLOT."""
    made = []
    for raw in texts:
        text = Text(option, raw, "NAME@SLOT")
        at = text.cut(0, len(raw), "@", last=True)
        made.append((raw[:at], text.slot(at + 1)))
    return tuple(made)


def combines(texts: Iterable[str], option: str) -> tuple[Combine, ...]:
    """NAME=F1*F2@SLOT."""
    made = []
    for raw in texts:
        text = Text(option, raw, "NAME=F1*F2@SLOT")
        equals = text.cut(0, len(raw), "=")
        at = text.cut(equals + 1, len(raw), "@", last=True)
        star = text.cut(equals + 1, at, "*")
        made.append(Combine(raw[:equals], raw[equals + 1:star], raw[star + 1:at], text.slot(at + 1, low=1)))
    return tuple(made)


def masks(texts: Iterable[str], option: str, what: str, low: int, high: int) -> tuple[Mask, ...]:
    """NAME=FEATURE:NUMBER; negative numbers stand for the same 64 bits."""
    made = []
    for raw in texts:
        text = Text(option, raw, f"NAME=FEATURE:{what.upper()}")
        equals = text.cut(0, len(raw), "=")
        colon = text.cut(equals + 1, len(raw), ":", last=True)
        value = text.integer(colon + 1, len(raw), low, high, f"a {what}")
        made.append(Mask(raw[:equals], raw[equals + 1:colon], value & (1 << 64) - 1))
    return tuple(made)


def tables(texts: Iterable[str], option: str) -> dict[str, tuple[dict[int, int], int]]:
    """NAME=from:to,…[,default]. Of two entries for one number the first counts; the default is -1."""
    made: dict[str, tuple[dict[int, int], int]] = {}
    for raw in texts:
        text = Text(option, raw, "NAME=FROM:TO,…[,DEFAULT]")
        begin = text.cut(0, len(raw), "=") + 1
        name, table, other = raw[:begin - 1], {}, -1
        if name in made:
            text.fail(0, f"'{name}' is given two tables")
        for piece in raw[begin:].split(","):
            end = begin + len(piece)
            if ":" in piece:
                colon = text.cut(begin, end, ":")
                table.setdefault(text.integer(begin, colon, *_INT64, "a number"), text.integer(colon + 1, end, *_INT64, "a number"))
            elif end == len(raw):
                other = text.integer(begin, end, *_INT64, "the default")
            else:
                text.fail(begin, "an entry without ':' is the default and stands last")
            begin = end + 1
        if not table:
            text.fail(len(name) + 1, "the table is empty")
        made[name] = (table, other)
    return made
