"""Expressions of numbers and names, as configuration files and layout filters have them.

They are parsed here and nowhere handed to Python: an expression can compute and compare, and nothing else. Length,
nesting and the size of every number are bounded.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from monolith_cli import errors

MAX_LENGTH = 1000
MAX_DEPTH = 50
MAX_MAGNITUDE = 2**63

Number = int | float
_Node = Callable[[Mapping[str, Number]], Number]

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator>\*\*|//|==|!=|<=|>=|[-+*/%<>()])",
    re.ASCII,
)
_SUMS = {"+": operator.add, "-": operator.sub}
_PRODUCTS = {"*": operator.mul, "/": operator.truediv, "//": operator.floordiv, "%": operator.mod}
_WHOLE_PRODUCTS = {sign: function for sign, function in _PRODUCTS.items() if sign != "/"}
_COMPARISONS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class ExpressionError(errors.ConfigError):
    """An expression that cannot be parsed or has no value."""


@dataclass(frozen=True)
class Grammar:
    """What an expression may consist of besides + - * // % and parentheses."""

    fractions: bool = False  # 1.5, 1e6, /, **
    logic: bool = False  # names, comparisons, and, or, not, True, False


ARITHMETIC = Grammar(fractions=True)
CONDITION = Grammar(logic=True)


@dataclass(frozen=True)
class Expression:
    """A parsed expression. ExpressionError names the place (a column, from 1) where the text leaves the grammar."""

    text: str
    grammar: Grammar
    names: frozenset[str] = field(init=False)
    _node: _Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parser = _Parser(self.text, self.grammar)
        object.__setattr__(self, "_node", parser.whole())
        object.__setattr__(self, "names", frozenset(parser.names))

    def evaluate(self, values: Mapping[str, Number] | None = None) -> Number:
        """The value with these values of its names. ExpressionError where a name has none, on a division by zero and
        where a number grows beyond 2^63."""
        try:
            return self._node(values or {})
        except ZeroDivisionError:
            raise ExpressionError(f"{self.text.strip()!r}: division by zero") from None
        except _NoValue as e:
            raise ExpressionError(f"{self.text.strip()!r}: {e}") from None


class _NoValue(Exception):
    pass


def _bounded(value: Number) -> Number:
    # A root of a negative number is complex; a float may be no number, which is not below anything.
    if isinstance(value, complex) or not abs(value) <= MAX_MAGNITUDE:
        raise _NoValue("the value is too large")
    return value


class _Parser:
    """Recursive descent, one method a level of precedence (those of Python); each gives a closure over the values of
    names."""

    def __init__(self, text: str, grammar: Grammar):
        if len(text) > MAX_LENGTH:
            raise ExpressionError(f"an expression of {len(text)} characters is too long: at most {MAX_LENGTH}")
        self.text, self.grammar = text, grammar
        self.names: set[str] = set()
        self.depth = 0
        self.tokens = self._split()
        self.at = 0

    def _split(self) -> list[tuple[str, str, int]]:
        tokens, at = [], 0
        while at < len(self.text):
            if self.text[at].isspace():
                at += 1
                continue
            match = _TOKEN.match(self.text, at)
            if match is None:
                self._fail(f"{self.text[at]!r} is not understood", at)
            tokens.append((match.lastgroup, match.group(), at))
            at = match.end()
        return [*tokens, ("end", "", len(self.text))]

    def _fail(self, what: str, at: int | None = None):
        place = self.tokens[self.at][2] if at is None else at
        raise ExpressionError(f"{self.text.strip()!r}, column {place + 1}: {what}")

    def _take(self, *words: str) -> str | None:
        kind, word, _ = self.tokens[self.at]
        if kind in ("operator", "name") and word in words:
            self.at += 1
            return word
        return None

    def _nested(self, parse: Callable[[], _Node]) -> _Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH} levels")
        node = parse()
        self.depth -= 1
        return node

    def whole(self) -> _Node:
        node = self._any_of() if self.grammar.logic else self._sum()
        if self.tokens[self.at][0] != "end":
            self._fail(f"{self.tokens[self.at][1]!r} is not expected here")
        return node

    def _any_of(self) -> _Node:
        parts = [self._all_of()]
        while self._take("or"):
            parts.append(self._all_of())
        return parts[0] if len(parts) == 1 else lambda v: any(p(v) for p in parts)

    def _all_of(self) -> _Node:
        parts = [self._negation()]
        while self._take("and"):
            parts.append(self._negation())
        return parts[0] if len(parts) == 1 else lambda v: all(p(v) for p in parts)

    def _negation(self) -> _Node:
        if self._take("not"):
            part = self._nested(self._negation)
            return lambda v: not part(v)
        return self._comparison()

    def _comparison(self) -> _Node:
        first, rest = self._sum(), []
        while sign := self._take(*_COMPARISONS):
            rest.append((_COMPARISONS[sign], self._sum()))
        return _compare(first, rest) if rest else first

    def _sum(self) -> _Node:
        return self._chain(_SUMS, self._product)

    def _product(self) -> _Node:
        return self._chain(_PRODUCTS if self.grammar.fractions else _WHOLE_PRODUCTS, self._sign)

    def _chain(self, operations: Mapping[str, Callable], part: Callable[[], _Node]) -> _Node:
        first, rest = part(), []
        while sign := self._take(*operations):
            rest.append((operations[sign], part()))
        return _accumulate(first, rest) if rest else first

    def _sign(self) -> _Node:
        sign = self._take("-", "+")
        if sign is None:
            return self._power()
        part = self._nested(self._sign)
        return part if sign == "+" else lambda v: -part(v)

    def _power(self) -> _Node:
        base = self._atom()
        if not (self.grammar.fractions and self._take("**")):
            return base
        exponent = self._nested(self._sign)
        return lambda v: _raise(base(v), exponent(v))

    def _atom(self) -> _Node:
        kind, word, place = self.tokens[self.at]
        if self._take("("):
            node = self._nested(self._any_of if self.grammar.logic else self._sum)
            if not self._take(")"):
                self._fail("')' is missing")
            return node
        if kind == "number":
            self.at += 1
            return self._number(word, place)
        if kind == "name" and self.grammar.logic and word not in ("and", "or", "not"):
            self.at += 1
            return self._name(word)
        self._fail("a value is missing" if kind == "end" else f"{word!r} is not expected here")

    def _number(self, word: str, place: int) -> _Node:
        whole = re.fullmatch(r"[0-9_]+", word) is not None
        if not whole and not self.grammar.fractions:
            self._fail(f"{word!r} is not a whole number", place)
        try:
            value = _bounded(int(word) if whole else float(word))
        except _NoValue:
            self._fail(f"{word} is too large", place)
        except ValueError:
            self._fail(f"{word!r} is not a number", place)
        return lambda v: value

    def _name(self, word: str) -> _Node:
        if word in ("True", "False"):
            return lambda v: word == "True"
        self.names.add(word)

        def look_up(values: Mapping[str, Number]) -> Number:
            if word not in values:
                raise _NoValue(f"{word} has no value")
            return _bounded(values[word])

        return look_up


def _accumulate(first: _Node, rest: list[tuple[Callable, _Node]]) -> _Node:
    def run(values: Mapping[str, Number]) -> Number:
        result = first(values)
        for function, part in rest:
            result = _bounded(function(result, part(values)))
        return result

    return run


def _compare(first: _Node, rest: list[tuple[Callable, _Node]]) -> _Node:
    def run(values: Mapping[str, Number]) -> bool:
        left = first(values)
        for function, part in rest:
            right = part(values)
            if not function(left, right):
                return False
            left = right
        return True

    return run


def _raise(base: Number, exponent: Number) -> Number:
    if abs(exponent) > 64:
        raise _NoValue("an exponent is beyond 64")
    try:
        return _bounded(base**exponent)
    except OverflowError:
        raise _NoValue("the value is too large") from None
