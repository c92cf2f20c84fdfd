"""Rows as lines of text: the same for the screen and for --once."""

from __future__ import annotations

import time
from collections import Counter

from monolith_cli.serving.top.facts import Row, Snapshot, Source

HEADS = (
    "MODEL",
    "TASK",
    "REPLICA",
    "SERVER",
    "VERSION",
    "STATE",
    "REGISTERED",
    "REQ/S",
    "ERR/S",
    "P50 ms",
    "P99 ms",
    "NOTE",
)
_RIGHT = {"VERSION", "REQ/S", "ERR/S", "P50 ms", "P99 ms"}
_WIDEST = {"MODEL": 32, "TASK": 24, "REPLICA": 20, "SERVER": 28}


def clean(text: str) -> str:
    """Without what a terminal would take for a command: names and messages come from others."""
    return "".join(c if c.isprintable() else "?" for c in text)


def cells(row: Row) -> tuple[str, ...]:
    replica = f"{row.location}/{row.replica}" if row.location else row.replica
    return tuple(
        clean(text)
        for text in (
            row.model,
            row.task or "-",
            replica or "-",
            row.server or "-",
            "-" if row.version is None else str(row.version),
            row.state,
            row.registered or "-",
            _number(row.rate),
            _number(row.error_rate),
            _number(row.p50_ms),
            _number(row.p99_ms),
            row.note,
        )
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(rows: tuple[Row, ...], width: int | None = None) -> list[str]:
    """Head and rows in columns; cut to `width` columns of the terminal where it is given, long names then with an
    ellipsis."""
    lines = [HEADS, *(cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    if width is not None:
        widths = [min(w, _WIDEST.get(head, w)) for w, head in zip(widths, HEADS)]
    made = []
    for line in lines:
        parts = [_fit(text, w, head) for text, w, head in zip(line[:-1], widths, HEADS)]
        made.append(" ".join([*parts, line[-1]]).rstrip()[:width])
    return made


def _fit(text: str, width: int, head: str) -> str:
    if len(text) > width:
        text = text[: width - 1] + "…"
    return text.rjust(width) if head in _RIGHT else text.ljust(width)


def source_lines(sources: tuple[Source, ...], width: int | None = None) -> list[str]:
    """ZooKeeper and agents one a line; of servers how many answer, and those that do not."""
    lines = []
    for source in sources:
        if source.kind != "server" or not source.up:
            state = {True: "up", False: "DOWN", None: "not asked yet"}[source.up]
            extra = " ".join(f"{k}={v}" for k, v in source.more.items() if k not in ("http",) and v not in ("", None))
            lines.append(
                " ".join(filter(None, (source.kind, clean(source.name), state, clean(extra), clean(source.error))))[
                    :width
                ]
            )
    return lines


def summary(snapshot: Snapshot) -> str:
    """One line: when, how many models, servers and versions in which state, requests per second in all."""
    servers = [s for s in snapshot.sources if s.kind == "server"]
    states = Counter(row.state for row in snapshot.rows)
    rate = sum(row.rate or 0 for row in snapshot.rows)
    models = len({(row.model, row.task) for row in snapshot.rows})
    counted = ", ".join(f"{count} {state}" for state, count in states.most_common()) or "none"
    return (
        f"{time.strftime('%H:%M:%S', time.localtime(snapshot.time))}  "
        f"servers {sum(bool(s.up) for s in servers)}/{len(servers)} up  "
        f"models {models}  versions: {counted}  {_number(rate)} req/s"
    )
