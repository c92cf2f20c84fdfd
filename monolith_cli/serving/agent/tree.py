"""A part of ZooKeeper's tree, held in memory and kept current by watches: what a query needs is there while ZooKeeper
is not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from monolith_cli import errors

BRANCH, LEAF = "branch", "leaf"
CREATED, CHANGED, DELETED = "CREATED", "CHANGED", "DELETED"


@dataclass(frozen=True)
class Leaf:
    """What a leaf held when it was last seen: its bytes and the transaction that wrote them."""

    data: bytes
    mzxid: int


class TreeMirror:
    """The leaves below `root`.

    connection: `zookeeper.connection.Connection`, whose one callback thread brings all news. kind(names) says of the
    names on the way from the root to a node whether it is a `BRANCH`, whose children are looked at, a `LEAF`, whose
    data is kept, or None, which is left alone. on_event(path, event, data), if given, hears of each leaf that comes
    (CREATED), is written anew (CHANGED, also with the same bytes) or goes (DELETED, with the last data). It is called
    by that thread and must not block.
    """

    def __init__(
        self,
        connection,
        root: str,
        kind: Callable[[list[str]], str | None],
        on_event: Callable[[str, str, bytes], None] | None = None,
    ):
        self._connection, self.root, self._kind = connection, root, kind
        self._on_event = on_event or (lambda path, event, data: None)
        # Readers of `_leaves` take a copy and never wait for a ZooKeeper that does not answer.
        self._lock = threading.Condition(threading.RLock())
        self._leaves: dict[str, Leaf] = {}
        self._children: dict[str, set[str]] = {}
        self._watches: dict[str, object] = {}
        self._unread: set[str] = set()
        self._stopped = False

    def start(self, limit_s: float = 30.0) -> None:
        """Begins to watch, and returns when all that is there has been read; the root itself may come later.
        UnavailableError after limit_s seconds without that. Not to be called by the callback thread."""
        with self._lock:
            self._add_branch(self.root)
            if not self._lock.wait_for(lambda: self._stopped or not self._unread, limit_s):
                raise errors.UnavailableError(f"ZooKeeper: {self.root} could not be read within {limit_s:.0f} s")

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            for watch in self._watches.values():
                watch.stop()
            self._watches.clear()
            self._lock.notify_all()

    def items(self) -> dict[str, bytes]:
        """Path → bytes of all leaves, as they are now."""
        return {path: leaf.data for path, leaf in self._leaves.copy().items()}

    def get(self, path: str) -> bytes | None:
        leaf = self._leaves.get(path)
        return None if leaf is None else leaf.data

    def mzxid(self, path: str) -> int:
        """The transaction that last wrote a leaf; -1 for one that is not there."""
        leaf = self._leaves.get(path)
        return -1 if leaf is None else leaf.mzxid

    def rescan(self) -> None:
        """Has everything read again: heals whatever a watch may have missed."""
        with self._lock:
            for watch in self._watches.values():
                watch.renew(True)

    def _names(self, path: str) -> list[str]:
        return path[len(self.root) :].strip("/").split("/")

    def _add_branch(self, path: str) -> None:
        self._children[path] = set()
        self._unread.add(path)
        self._watches[path] = self._connection.watch_children(path, lambda names: self._set_children(path, names))

    def _add_leaf(self, path: str) -> None:
        self._unread.add(path)
        self._watches[path] = self._connection.watch_data(path, lambda data, stat: self._set_data(path, data, stat))

    def _set_children(self, path: str, names: list[str]) -> None:
        with self._lock:
            if self._stopped or path not in self._children:
                return
            before, now = self._children[path], set(names)
            self._children[path] = now
            for name in sorted(before - now):
                self._drop(f"{path}/{name}")
            for name in sorted(now - before):
                kind = self._kind(self._names(f"{path}/{name}"))
                if kind is not None:
                    (self._add_branch if kind == BRANCH else self._add_leaf)(f"{path}/{name}")
            self._has_read(path)

    def _set_data(self, path: str, data: bytes | None, stat) -> None:
        parent, _, name = path.rpartition("/")
        with self._lock:
            if self._stopped or name not in self._children.get(parent, ()):
                return
            before = self._leaves.get(path)
            if data is None:
                self._forget(path)
            elif before is None or before.mzxid < stat.mzxid:
                self._leaves[path] = Leaf(data, stat.mzxid)
                self._on_event(path, CREATED if before is None else CHANGED, data)
            self._has_read(path)

    def _has_read(self, path: str) -> None:
        self._unread.discard(path)
        if not self._unread:
            self._lock.notify_all()

    def _drop(self, path: str) -> None:
        watch = self._watches.pop(path, None)
        if watch is not None:
            watch.stop()
        for name in sorted(self._children.pop(path, ())):
            self._drop(f"{path}/{name}")
        self._forget(path)
        self._has_read(path)

    def _forget(self, path: str) -> None:
        gone = self._leaves.pop(path, None)
        if gone is not None:
            self._on_event(path, DELETED, gone.data)
