"""Lists of numbers as they are given on a command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monolith_cli import errors

INT32 = (-(1 << 31), (1 << 31) - 1)
INT64 = (-(1 << 63), (1 << 63) - 1)
FID = (-(1 << 63), (1 << 64) - 1)  # unsigned, or as a signed number of the same 64 bits


def integers(texts: Iterable[str], option: str, low: int, high: int) -> tuple[int, ...]:
    """Numbers of comma lists and of `@FILE`s (separated by commas or white space), in order.

    Decimal or 0x…; empty pieces are passed over. Raises UsageError naming `option` for what is no integer or not in
    low..high, NoInputError for a file that cannot be read.
    """
    return tuple(_integer(piece, option, low, high) for piece in pieces(texts, option))


def floats(texts: Iterable[str], option: str) -> tuple[float, ...]:
    """As `integers`, for floats."""
    values = []
    for piece in pieces(texts, option):
        try:
            values.append(float(piece))
        except ValueError:
            raise errors.UsageError(f"{option}: Invalid float string: {piece}") from None
    return tuple(values)


def pieces(texts: Iterable[str], option: str) -> Iterator[str]:
    """What stands between commas and white space, also in `@FILE`s. Raises NoInputError for a file that cannot be read."""
    for text in texts:
        if text.startswith("@"):
            try:
                with open(text[1:], encoding="utf-8") as f:
                    text = f.read()
            except (OSError, UnicodeDecodeError) as e:
                reason = e.strerror if isinstance(e, OSError) else "not a text file"
                raise errors.NoInputError(f"{option} {text}: {reason}") from None
        yield from text.replace(",", " ").split()


def _integer(text: str, option: str, low: int, high: int) -> int:
    digits = text.lower().removeprefix("-")
    if not digits.isascii() or "_" in digits:
        digits = ""
    try:
        value = int(digits[2:], 16) if digits.startswith("0x") else int(digits)
    except ValueError:
        raise errors.UsageError(f"{option}: Invalid integer string: {text}") from None
    value = -value if text.startswith("-") else value
    if not low <= value <= high:
        raise errors.UsageError(f"{option}: {text} is not in {low}..{high}")
    return value
