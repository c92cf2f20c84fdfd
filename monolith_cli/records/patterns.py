"""Names of many sources from one text: `{DATE(a,b)}` and `{INT(a,b)}`, and date ranges over a folder."""

from __future__ import annotations

import re

from monolith_cli.errors import UsageError

MOST = 1_000_000  # names one pattern may stand for
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\w+)\(([^(),]*),([^(),]*)\)")


def has_placeholder(text: str) -> bool:
    return _PLACEHOLDER.search(text) is not None


def expand(text: str) -> list[str]:
    """All names `text` stands for, the leftmost placeholder varying slowest.

    {DATE(a,b)}: days (a and b as YYYYMMDD) or hours (YYYYMMDDHH) from a to b, both included.
    {INT(a,b)}: whole numbers from a to b, both included, without padding. Blanks inside the braces do not count.
    Raises UsageError for anything else between braces, and for more than a million names.
    """
    pieces, at, total = [], 0, 1
    for match in _PLACEHOLDER.finditer(text):
        values = _values(match.group(1), text)
        total *= len(values)
        if total > MOST:
            raise UsageError(f"{text}: stands for more than {MOST:,} names")
        pieces += [[text[at:match.start()]], values]
        at = match.end()
    pieces.append([text[at:]])
    names = [""]
    for piece in pieces:
        names = [name + value for name in names for value in piece]
    return names


def _values(inside: str, text: str) -> list[str]:
    parts = _RANGE.fullmatch(re.sub(r"\s", "", inside))
    if parts and parts[1] == "DATE":
        return _dates(parts[2], parts[3], text)
    if parts and parts[1] == "INT":
        return _integers(parts[2], parts[3], text)
    raise UsageError(f"{text}: {{{inside}}} is no range; write {{DATE(20260101,20260131)}}, {{DATE(2026010100,2026010123)}} "
                     "or {INT(0,15)}")


def _integers(first: str, last: str, text: str) -> list[str]:
    try:
        a, b = int(first), int(last)
    except ValueError:
        raise UsageError(f"{text}: INT({first},{last}) needs two whole numbers") from None
    if a > b:
        raise UsageError(f"{text}: INT({first},{last}) is empty: the first number is above the last")
    if b - a >= MOST:
        raise UsageError(f"{text}: INT({first},{last}) stands for more than {MOST:,} names")
    return [str(i) for i in range(a, b + 1)]


def _dates(first: str, last: str, text: str) -> list[str]:
    from datetime import datetime, timedelta

    forms = {8: ("%Y%m%d", timedelta(days=1)), 10: ("%Y%m%d%H", timedelta(hours=1))}
    if len(first) != len(last) or len(first) not in forms or not (first + last).isdecimal():
        raise UsageError(f"{text}: DATE({first},{last}) needs two days (YYYYMMDD) or two hours (YYYYMMDDHH)")
    form, step = forms[len(first)]
    try:
        at, end = datetime.strptime(first, form), datetime.strptime(last, form)
    except ValueError:
        raise UsageError(f"{text}: DATE({first},{last}): there is no such day or hour") from None
    if at > end:
        raise UsageError(f"{text}: DATE({first},{last}) is empty: the first date is after the last")
    if (end - at) / step >= MOST:
        raise UsageError(f"{text}: DATE({first},{last}) stands for more than {MOST:,} names")
    count = (end - at) // step
    return [(at + i * step).strftime(form).zfill(len(first)) for i in range(count + 1)]


def gen_patterns(input_path: str, start_date, start_hour: int = 0, end_date=None, end_hour: int = 0, *,
                 is_hourly: bool = False, wildcard: str = "*") -> list[str]:
    """Patterns of a folder by date: `<path>/<YYYYMMDD>/<wildcard>`, hourly `<path>/<YYYYMMDD>/<HH><wildcard>`.

    From start_date at start_hour, included, to end_date (default: today) at end_hour (hourly) or 00:00 (daily),
    excluded. Dates are YYYYMMDD, text or number. No path or no start date: no patterns.
    """
    from datetime import datetime, timedelta

    if not input_path or not start_date:
        return []
    at = datetime.strptime(str(start_date), "%Y%m%d") + timedelta(hours=start_hour or 0)
    end = datetime.strptime(str(end_date), "%Y%m%d") if end_date else datetime.combine(datetime.now().date(), datetime.min.time())
    if is_hourly:
        end += timedelta(hours=end_hour or 0)
    wildcard, patterns = wildcard or "*", []
    while at < end:
        patterns.append(f"{input_path}/{at:%Y%m%d}/{at:%H}{wildcard}" if is_hourly else f"{input_path}/{at:%Y%m%d}/{wildcard}")
        at += timedelta(hours=1) if is_hourly else timedelta(days=1)
    return patterns
