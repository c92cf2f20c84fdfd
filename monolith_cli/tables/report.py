"""What the table commands found and did, for people."""

from __future__ import annotations

from datetime import datetime, timezone

_WIDTH = 80  # columns where there is no terminal
_BAR = 60  # columns of the longest bar, at most
_SLOTS = 12  # lines of slots, at most


def show(run, result: dict | None, as_json: bool, text) -> None:
    """Prints a result: as JSON, or what `text` makes of it unless -q. None, after a signal, is silent."""
    if result is None:
        return
    if as_json:
        import json
        import sys

        sys.stdout.write(json.dumps(result, allow_nan=False) + "\n")
    elif not run.quiet:
        import sys

        sys.stdout.write(text(result) + "\n")


def statistics_text(result: dict) -> str:
    lines = [f"checkpoint  {result['checkpoint']}"]
    for t in result["tables"]:
        lines += ["", *_head(t)]
        if not t["keys"]:
            continue
        if t["newest"] is not None:
            lines.append(f"updated     {_date(t['oldest'])} to {_date(t['newest'])}")
        if t["non_finite"]:
            lines.append(f"not finite  {t['non_finite']:,} rows")
        lines += _histogram("slot", _slots(t["slots"]))
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
        lines += [f"not finite  {t['non_finite']:,} rows", f"duplicates  {t['duplicates']:,}"]
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


def _slots(slots: dict[int, int]) -> list[tuple[str, int]]:
    """The largest slots, in the order of their numbers, and the rest as one."""
    most = sorted(slots.items(), key=lambda s: (-s[1], s[0]))
    shown = most if len(most) <= _SLOTS else most[:_SLOTS - 1]
    rest = most[len(shown):]
    return [(str(slot), n) for slot, n in sorted(shown)] + ([(f"{len(rest):,} others", sum(n for _, n in rest))] if rest else [])


def _histogram(title: str, bins: list[tuple[str, int]]) -> list[str]:
    """Lines of name, count, share and bar, as wide as the terminal."""
    most, total = max((n for _, n in bins), default=0), sum(n for _, n in bins)
    width = max((len(name) for name, _ in bins), default=0)
    digits = max((len(f"{n:,}") for _, n in bins), default=0)
    bar = max(8, min(_BAR, _columns() - width - digits - 14))
    rows = [f"  {name:<{width}}  {n:>{digits},}  {_share(n, total)}  {_bar(n, most, bar)}".rstrip() for name, n in bins]
    return [title, *rows]


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size((_WIDTH, 24)).columns


def _share(n: int, total: int) -> str:
    """Of what is there at all, never 0 %."""
    if n == 0:
        return "      "
    share = 100 * n / total
    return f"{share:>5.1f}%" if share >= 0.05 else " <0.1%"


def _bar(n: int, most: int, width: int) -> str:
    """Eighths of a column; what is there at all is seen."""
    eighths = max(1, round(8 * width * n / most)) if n else 0
    return "█" * (eighths // 8) + ("" if eighths % 8 == 0 else " ▏▎▍▌▋▊▉"[eighths % 8])


# --- what the other commands did ------------------------------------------------------------------------------------------


def load_text(result: dict) -> str:
    lines = [f"{_printable(t['table'])}: {t['rows']:,} rows" for t in result["tables"]]
    return "\n".join([f"{result['output']}: {len(lines):,} table{'s' if len(lines) != 1 else ''}", *lines])


def reshard_text(result: dict) -> str:
    return f"{result['output']}: {result['rows']:,} rows in {', '.join(result['sets'])}"


def merge_text(result: dict) -> str:
    lines = [f"{_printable(t['table'])}: {t['rows']:,} rows, {t['duplicates']:,} met another of their fid" for t in result["tables"]]
    return "\n".join([f"{result['output']}: {', '.join(result['sets'])}", *lines])


def evict_text(result: dict) -> str:
    lines = [f"{result['evicted']:,} of {result['rows']:,} rows {'would go' if result['output'] is None else 'are gone from ' + result['output']}"]
    for t in result["tables"]:
        if t["evicted"]:
            lines += ["", f"table       {_printable(t['table'])}: {t['evicted']:,} of {t['rows']:,}"]
            lines += _histogram("slot", _slots({int(s): n["evicted"] for s, n in t["slots"].items() if n["evicted"]}))
    return "\n".join(lines)


def diff_text(result: dict) -> str:
    lines = [f"a           {result['a']}", f"b           {result['b']}"]
    for t in result["tables"]:
        lines += ["", *_diff_table(t)]
    for d in result["differences"]:
        lines += [""] * (d is result["differences"][0]) + [_diff_row(d)]
    return "\n".join([*lines, "", f"result      {'no difference' if result['same'] else 'different'}"])


def _diff_table(t: dict) -> list[str]:
    lines = [f"table       {_printable(t['table'])}{'' if t['missing_in'] is None else ': not in ' + t['missing_in']}",
             f"keys        {t['rows_a']:,} in a, {t['rows_b']:,} in b"]
    for key, text in (("only_a", "only in a"), ("only_b", "only in b"), ("equal", "equal"), ("changed", "changed"), ("shapes", "other dims or optimizers")):
        if t[key] or key == "equal":
            lines.append(f"  {t[key]:>12,} {text}")
    for key, text in (("weights", "weights"), ("state", "optimizer state"), ("times", "time")):
        if t[key]:
            lines.append(f"  {t[key]:>12,} changed in {text}")
    if t["weights"]:
        lines += _histogram("distance of the weights", _filled(t["distances"]) + ([("infinite", t["infinite"])] if t["infinite"] else []))
        mean = "none" if t["mean_l2"] is None else f"{t['mean_l2']:.4g}"
        lines.append(f"            mean {mean}, largest of one weight {t['max_abs'] if isinstance(t['max_abs'], str) else format(t['max_abs'], '.4g')}")
    return lines


def _diff_row(d: dict) -> str:
    where = f"{_printable(d['table'])} {d['fid']} (slot {d['slot']}): "
    if d["what"] != "changed":
        return where + {"only_a": "only in a", "only_b": "only in b", "shape": "other dims or optimizers"}[d["what"]]
    what = []
    if d["weights"]:
        apart = [v if isinstance(v, str) else f"{v:.4g}" for v in (d["l2"], d["max_abs"])]
        what.append(f"weights {apart[0]} apart, one of them {apart[1]}")
    if d["state"]:
        what.append("optimizer state")
    if d["time"]:
        what.append(f"last update {d['last_update'][0]} and {d['last_update'][1]}")
    return where + ", ".join(what)
