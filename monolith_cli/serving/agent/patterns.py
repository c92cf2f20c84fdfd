"""Patterns of sub graph names: `ps_{i}`, `ps_[0-3]`, and the filters of layouts, `ps_{i}; i % 2 == 1`."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable

from monolith_cli import errors
from monolith_cli.serving.agent.condition import Condition, ExpressionError

MAX_EXPANSION = 1_000_000
MAX_PATTERN = 1000
MAX_NAME = 1000

_NUMBER_NAME = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_PART = re.compile(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?")


def normalize_regex(pattern: str) -> str:
    r"""`{name}` -> `(?P<name>\d+)`, everything else as it is."""
    return _NUMBER_NAME.sub(r"(?P<\1>\\d+)", pattern)


def expand_pattern(pattern: str) -> list[str]:
    """`ps_[0-3]` -> ps_0, ps_1, ps_2 (the end is exclusive); `[1,4-6]` -> 1, 4, 5; several brackets: all
    combinations, the last one changing fastest. UsageError for brackets that hold something else, or for more than a
    million names."""
    pieces, at, total = [], 0, 1
    for match in _BRACKETS.finditer(pattern):
        numbers = _numbers(match.group(1), pattern, match.start())
        pieces += [[pattern[at:match.start()]], numbers]
        at, total = match.end(), total * len(numbers)
        if total > MAX_EXPANSION:
            raise errors.UsageError(f"pattern {pattern!r}: more than {MAX_EXPANSION} names")
    pieces.append([pattern[at:]])
    return ["".join(map(str, one)) for one in itertools.product(*pieces)]


def _numbers(text: str, pattern: str, place: int) -> list[int] | range:
    numbers: list[int] = []
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise errors.UsageError(f"pattern {pattern!r}, column {place + 1}: [{text}] must be numbers and ranges, "
                                    "such as [0-3] or [1,4-6]")
        first = int(match.group(1))
        end = int(match.group(2)) if match.group(2) else first + 1
        if end - first + len(numbers) > MAX_EXPANSION:
            raise errors.UsageError(f"pattern {pattern!r}: more than {MAX_EXPANSION} names")
        numbers += range(first, end)
    return numbers


class LayoutFilter:
    """`match; condition`: takes the sub graphs whose name starts with `match`, if the condition holds for the numbers
    in it.

    `${shard_id}` and `${shard_num}` stand for those of this container. ConfigError names the filter and what is wrong
    with it.
    """

    def __init__(self, text: str, shard_id: int = 0, shard_num: int = 1):
        filled = text.replace("${shard_id}", str(max(shard_id, 0))).replace("${shard_num}", str(max(shard_num, 1)))
        match, semicolon, condition = filled.partition(";")
        if not semicolon:
            raise errors.ConfigError(f"layout filter {text!r}: must be match;condition, such as ps_{{i}};i % 2 == 0")
        if len(match) > MAX_PATTERN:
            raise errors.ConfigError(f"a layout filter of {len(match)} characters is too long: at most {MAX_PATTERN}")
        self.regex = normalize_regex(match.strip())
        self.text = f"{self.regex};{condition}"
        try:
            self._compiled = re.compile(self.regex)
            self._condition = Condition(condition)
        except (re.error, OverflowError, RecursionError) as e:
            raise errors.ConfigError(f"layout filter {text!r}: {e}") from None
        except ExpressionError as e:
            raise errors.ConfigError(f"layout filter {text!r}: condition {e}") from None

    def accepts(self, sub_graph: str) -> bool:
        """Whether the sub graph is taken. ExpressionError where the condition has no value for it."""
        if len(sub_graph) > MAX_NAME:
            return False
        match = self._compiled.match(sub_graph)
        if match is None:
            return False
        values = {n: int(v) for n, v in match.groupdict().items() if v is not None and v.isascii() and v.isdigit()}
        return self._condition.holds(values)


class LayoutFilters:
    """All filters of a container; without any, every sub graph is taken."""

    def __init__(self, texts: Iterable[str] | None, shard_id: int = 0, shard_num: int = 1,
                 warn: Callable[[str], object] | None = None):
        self._filters = [LayoutFilter(t, shard_id, shard_num) for t in texts or ()]
        self._warn = warn
        self._told: set[tuple[str, str]] = set()

    @property
    def texts(self) -> list[str]:
        """`regex;condition` of each."""
        return [f.text for f in self._filters]

    def accept(self, sub_graph: str) -> bool:
        """Whether some filter takes the sub graph. A condition that has no value for it skips this filter, with one
        warning."""
        return not self._filters or any(self._takes(f, sub_graph) for f in self._filters)

    def _takes(self, one: LayoutFilter, sub_graph: str) -> bool:
        try:
            return one.accepts(sub_graph)
        except ExpressionError as e:
            if self._warn and (one.text, sub_graph) not in self._told:
                self._told.add((one.text, sub_graph))
                self._warn(f"layout filter {one.text!r} is skipped for {sub_graph}: {e}")
            return False
