"""The small texts that configure operators, as they are given on a command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monolith_cli import errors


def parsed(parse: Callable[[str, str], list], option: str, texts: Iterable[str]) -> tuple:
    """What `parse(option, text)` of the core makes of each text, one behind the other. Raises UsageError with a caret."""
    return tuple(item for text in texts for item in parse(option, utf8(option, text)))


def utf8(option: str, text: str) -> str:
    """The text; raises UsageError for bytes of a command line that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise errors.UsageError(f"{option}: not UTF-8") from None
    return text
