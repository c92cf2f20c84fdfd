"""`zk watch`: what happens to a node, or a whole tree, a line an event; lost sessions and servers are survived and
told of."""

from __future__ import annotations

import json
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable

from monolith_cli.serving.zookeeper import nodes, paths
from monolith_cli.serving.zookeeper.connection import Connection

_MAX_WAITING = 10000
_TICK_S = 0.2


class Follower:
    """Turns watches into events: (`now`|`created`|`changed`|`deleted`|`child-added`|`child-removed`|`session`, path,
    detail).

    A node that was deleted and made again while nobody could look is told as changed. `recursive`: the whole tree
    below, each node by itself.
    """

    def __init__(self, connection: Connection, path: str, recursive: bool, tell: Callable[[str, str, object], None]):
        self._connection, self._recursive, self._tell = connection, recursive, tell
        self._known: dict[str, tuple[int, int] | None] = {}
        self._children: dict[str, list[str]] = {}
        self._watches: dict[str, list] = {}
        self._born: set[str] = set()  # found after their parent was first looked at
        self._root = path
        connection.on_state(lambda state: tell("session", "", state))
        self._follow(path)

    def _follow(self, path: str) -> None:
        watches = [
            self._connection.watch_data(path, lambda data, stat: self._on_data(path, data, stat)),
            self._connection.watch_children(path, lambda names: self._on_children(path, names)),
        ]
        self._watches[path] = watches

    def _on_data(self, path: str, data: bytes | None, stat) -> None:
        first, before = path not in self._known, self._known.get(path)
        now = None if stat is None else (stat.czxid, stat.mzxid)
        self._known[path] = now
        if first:
            self._tell("created" if path in self._born else "now", path, data)
        elif now == before:
            return  # the same as before the session was lost
        else:
            self._tell("deleted" if now is None else "created" if before is None else "changed", path, data)
        if now is None and self._recursive and path != self._root:
            self._forget(path)

    def _on_children(self, path: str, names: list[str]) -> None:
        first, before = path not in self._children, self._children.get(path, [])
        self._children[path] = list(names)
        for name in sorted(set(names) - set(before)):
            child = paths.join(path, name)
            if self._recursive:
                if child not in self._watches:
                    if not first or path in self._born:
                        self._born.add(child)
                    self._follow(child)
            elif not first:
                self._tell("child-added", child, None)
        if not self._recursive:
            for name in sorted(set(before) - set(names)):
                self._tell("child-removed", paths.join(path, name), None)

    def _forget(self, path: str) -> None:
        for watch in self._watches.pop(path, []):
            watch.stop()
        self._known.pop(path, None)
        self._children.pop(path, None)
        self._born.discard(path)
        parent, _, name = path.rpartition("/")
        if name in (siblings := self._children.get(parent or "/", [])):
            siblings.remove(name)


def line_of(event: str, path: str, detail: object, as_json: bool) -> str:
    """One event as text (`TIME EVENT PATH  what it holds`) or as a JSON object."""
    now = time.time()
    if as_json:
        made: dict = {"time": round(now, 3), "event": event}
        if event == "session":
            return json.dumps(made | {"state": detail})
        made["path"] = path
        if isinstance(detail, bytes):
            kind, value, _ = nodes.decode(path, detail)
            made |= {"kind": kind, "value": value, **nodes.data_fields(detail)}
        return json.dumps(made, ensure_ascii=False)
    clock = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03d}"
    if event == "session":
        return f"{clock}  session {detail}"
    holds = nodes.summary(path, detail) if isinstance(detail, bytes) else "no such node" if event == "now" else ""
    return "  ".join(w for w in (clock, event, path, holds) if w)


def follow(
    connection: Connection, path: str, recursive: bool, as_json: bool, count: int | None, seconds: float | None
) -> int:
    """Prints events until `count` of them were printed, `seconds` are over, or a signal comes; the exit code (143 or
    130 for a signal)."""
    events: queue.Queue = queue.Queue(_MAX_WAITING)
    stopped: list[int] = []
    done = threading.Event()

    def on_signal(number, frame):
        if stopped:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stopped.append(number)
        done.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)

    def tell(*event) -> None:
        while not done.is_set():
            try:
                return events.put(event, timeout=_TICK_S)
            except queue.Full:  # the reader of stdout is slow: changes meanwhile come as one
                continue

    Follower(connection, paths.checked(path), recursive, tell)
    until, printed = None if seconds is None else time.monotonic() + seconds, 0
    while not stopped and (count is None or printed < count) and (until is None or time.monotonic() < until):
        try:
            event = events.get(timeout=_TICK_S)
        except queue.Empty:
            continue
        sys.stdout.write(line_of(*event, as_json) + "\n")
        sys.stdout.flush()
        printed += 1
    done.set()
    return 128 + stopped[0] if stopped else 0
