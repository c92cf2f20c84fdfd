"""What table-stat and table-verify found, for people."""

from __future__ import annotations

from datetime import datetime, timezone

_BAR = 40  # columns of the longest bar


def statistics_text(result: dict) -> str:
    lines = [f"checkpoint  {result['checkpoint']}"]
    for t in result["tables"]:
        lines += ["", *_head(t)]
        if not t["keys"]:
            continue
        slots = sorted(t["slots"].items(), key=lambda s: (-s[1], s[0]))
        shown = ", ".join(f"{slot}: {n:,}" for slot, n in slots[:8])
        lines.append(f"slots       {len(slots):,} ({shown}{', …' if len(slots) > 8 else ''})")
        if t["newest"] is not None:
            lines.append(f"updated     {_date(t['oldest'])} to {_date(t['newest'])}")
        if t["non_finite"]:
            lines.append(f"not finite  {t['non_finite']:,} rows")
        lines += _histogram("last update", [*t["ages"].items(), ("no time", t["never_updated"])])
        norms = [("0", t["zero_norms"])] if t["zero_norms"] else []
        lines += _histogram("norm", norms + _filled(t["norms"]))
        if t["max_norm"] is not None and t["mean_norm"] is not None:
            lines.append(f"            mean {t['mean_norm']:.4g}, max {t['max_norm']:.4g}")
    return "\n".join(lines)


def verify_text(result: dict) -> str:
    lines = [f"checkpoint  {result['checkpoint']}"]
    for t in result["tables"]:
        lines += ["", *_head(t)]
        twice = "not counted: too many keys" if t["duplicates"] is None else f"{t['duplicates']:,}"
        lines += [f"not finite  {t['non_finite']:,} rows", f"duplicates  {twice}"]
    lines += ["", f"result      {'whole' if not result['damages'] else 'damaged: ' + format(result['damages'], ',') + ' findings'}"]
    return "\n".join(lines)


def _head(t: dict) -> list[str]:
    lines = [f"table       {_printable(t['table'])}", f"keys        {t['keys']:,}"]
    if t["keys"]:
        segments = " + ".join(f"{s['optimizer']} {'?' if s['dim'] is None else s['dim']}" for s in t["segments"])
        lines += [f"bytes       {t['bytes']:,} ({t['bytes'] / t['keys']:.1f} a row)", f"dim         {t['dim']} ({segments or 'no optimizer'})"]
    return lines


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _date(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _filled(norms: list[dict]) -> list[tuple[str, int]]:
    """Bins of the norms, the empty ones between them included: a gap is to be seen. A long gap is one line."""
    bins: list[tuple[str, int]] = []
    end = None
    for b in norms:
        if end is not None and b["from"] > end * 16:
            bins.append(("…", 0))
        elif end is not None:
            while end < b["from"]:
                bins.append((_range(end), 0))
                end *= 2
        bins.append((_range(b["from"]), b["keys"]))
        end = b["to"]
    return bins


def _range(start: float) -> str:
    return f"{start:.3g} to {2 * start:.3g}"


def _histogram(title: str, bins: list[tuple[str, int]]) -> list[str]:
    most = max((n for _, n in bins), default=0)
    width = max(len(name) for name, _ in bins) if bins else 0
    digits = max(len(f"{n:,}") for _, n in bins) if bins else 0
    rows = [f"  {name:<{width}}  {n:>{digits},}  {_bar(n, most)}".rstrip() for name, n in bins]
    return [title, *rows]


def _bar(n: int, most: int) -> str:
    """Eighths of a column; what is there at all is seen."""
    eighths = max(1, round(8 * _BAR * n / most)) if n else 0
    return "█" * (eighths // 8) + ("" if eighths % 8 == 0 else " ▏▎▍▌▋▊▉"[eighths % 8])
