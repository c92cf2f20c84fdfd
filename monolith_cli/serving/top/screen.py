"""The live screen."""

from __future__ import annotations

import curses
import os
import signal
import sys
import time

from monolith_cli import errors
from monolith_cli.serving.top import table
from monolith_cli.serving.top.collector import Collector
from monolith_cli.serving.top.facts import SORTS, Snapshot

_HELP = "q quit  s sort  r reverse  / filter  space hold  + - interval  arrows scroll"
_KEY_WAIT_MS = 200
_GOOD, _BAD, _BUSY = 1, 2, 3
_COLORS = {"AVAILABLE": _GOOD, "START": _BUSY, "LOADING": _BUSY, "UNLOADING": _BUSY, "UNKNOWN": _BUSY}


class Screen:
    """Draws what the collector knows until a key or a signal ends it.

    patterns, sort: which rows, in which order. refresh_s: seconds between two pictures.
    """

    def __init__(self, collector: Collector, patterns: tuple[str, ...], sort: str, reverse: bool, refresh_s: float):
        self._collector, self._patterns, self._sort, self._reverse = collector, patterns, sort, reverse
        self._refresh_s, self._held, self._top, self._typed = refresh_s, False, 0, None
        self._shown: Snapshot | None = None
        self._drawn_at = 0.0
        self._signal = 0
        self._rows_visible = 1

    def run(self) -> int:
        """The exit code: 0 after q, 128 + signal after one. The terminal is as it was in any case."""
        check_terminal()
        os.environ.setdefault("ESCDELAY", "25")
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        try:
            curses.wrapper(self._loop)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return 128 + self._signal if self._signal else 0

    def _on_signal(self, number, frame) -> None:
        if self._signal:  # a second one: at once, but not without the terminal
            curses.endwin()
            os._exit(128 + number)
        self._signal = number

    def _loop(self, window) -> None:
        _prepare(window)
        while not self._signal:
            if self._shown is None or (time.monotonic() - self._drawn_at >= self._refresh_s and not self._held):
                self._shown = self._collector.snapshot()
                self._drawn_at = time.monotonic()
                self._draw(window)
            try:
                key = window.get_wch()
            except curses.error:  # none was pressed; the first pictures come quickly
                if self._shown and any(s.up is None for s in self._shown.sources) and not self._held:
                    self._drawn_at = 0.0
                continue
            if not self._press(key):
                return
            if key == curses.KEY_RESIZE:
                # What was under way for the old size may have come to stand elsewhere.
                window.clearok(True)
            self._draw(window)

    def _press(self, key) -> bool:
        """False: leave."""
        if self._typed is not None:
            self._type(key)
            return True
        if key in ("q", "Q"):
            return False
        if key == "s":
            self._sort = SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)]
        elif key == "r":
            self._reverse = not self._reverse
        elif key == "/":
            self._typed = ""
        elif key in (" ", "p"):
            self._held = not self._held
        elif key in ("+", "-"):
            self._refresh_s = min(60.0, max(0.2, self._refresh_s * (2 if key == "+" else 0.5)))
        else:
            self._scroll(key)
        return True

    def _scroll(self, key) -> None:
        step = {
            curses.KEY_DOWN: 1,
            "j": 1,
            curses.KEY_UP: -1,
            "k": -1,
            curses.KEY_NPAGE: self._rows_visible,
            curses.KEY_PPAGE: -self._rows_visible,
            curses.KEY_HOME: -(1 << 30),
            curses.KEY_END: 1 << 30,
        }.get(key, 0)
        self._top = max(0, self._top + step)

    def _type(self, key) -> None:
        """A letter of the filter."""
        if key in ("\n", "\r", curses.KEY_ENTER):
            text = self._typed.strip()
            self._patterns, self._typed, self._top = (
                ((f"*{text}*",) if text and "*" not in text else (text,) if text else ()),
                None,
                0,
            )
        elif key == "\x1b":
            self._typed = None
        elif key in ("\x7f", "\b", curses.KEY_BACKSPACE):
            self._typed = self._typed[:-1]
        elif isinstance(key, str) and key.isprintable():
            self._typed += key

    def _draw(self, window) -> None:
        height, width = window.getmaxyx()
        shown = self._shown.chosen(self._patterns, self._sort, self._reverse)
        lines = table.table(shown.rows, width - 1)
        head = [(table.summary(shown), curses.A_BOLD)]
        head += [
            (line, curses.color_pair(_BAD if " DOWN" in line else 0))
            for line in table.source_lines(shown.sources, width - 1)
        ]
        head = head[: max(1, height // 3)]
        self._rows_visible = max(1, height - len(head) - 2)
        self._top = max(0, min(self._top, len(lines) - 1 - self._rows_visible))
        window.erase()
        for y, (line, look) in enumerate([*head, (lines[0], curses.A_REVERSE)]):
            _put(window, y, line, look)
        for y, i in enumerate(range(self._top, min(len(shown.rows), self._top + self._rows_visible)), len(head) + 1):
            _put(window, y, lines[i + 1], curses.color_pair(_COLORS.get(shown.rows[i].state, _BAD)))
        _put(window, height - 1, self._foot(len(shown.rows)), curses.A_DIM)
        window.refresh()

    def _foot(self, rows: int) -> str:
        if self._typed is not None:
            return f"filter: {self._typed}"
        parts = ["HELD"] if self._held else []
        parts += [f"sort {self._sort}{' reversed' if self._reverse else ''}", f"every {self._refresh_s:g} s"]
        parts += [f"filter {' '.join(self._patterns)}"] if self._patterns else []
        parts += (
            [f"{self._top + 1}-{min(rows, self._top + self._rows_visible)} of {rows}"]
            if rows > self._rows_visible
            else []
        )
        return "  ".join([*parts, " ", _HELP])


def check_terminal() -> None:
    """UsageError where there is no terminal to draw on."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()):
        raise errors.UsageError("the live screen needs a terminal on standard input and output: give --once or --json")
    try:
        curses.setupterm()
    except curses.error as e:
        raise errors.UsageError(f"this terminal cannot show the live screen ({e}): give --once or --json") from None
    if not curses.tigetstr("cup"):
        raise errors.UsageError(
            f"a terminal of type {os.environ.get('TERM', '')!r} cannot show the live screen: give --once or --json"
        )


def _prepare(window) -> None:
    curses.curs_set(0) if curses.tigetstr("civis") else None
    window.timeout(_KEY_WAIT_MS)
    if not os.environ.get("NO_COLOR") and curses.has_colors():
        curses.use_default_colors()
        for pair, color in ((_GOOD, curses.COLOR_GREEN), (_BAD, curses.COLOR_RED), (_BUSY, curses.COLOR_YELLOW)):
            curses.init_pair(pair, color, -1)
    else:
        curses.start_color()
        for pair in (_GOOD, _BAD, _BUSY):
            curses.init_pair(pair, curses.COLOR_WHITE, curses.COLOR_BLACK)


def _put(window, y: int, line: str, look: int) -> None:
    height, width = window.getmaxyx()
    if y >= height or width < 2:
        return
    try:
        window.addnstr(y, 0, line, width - 1, look)
    except curses.error:  # the window became smaller meanwhile
        pass
