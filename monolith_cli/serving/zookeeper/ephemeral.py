"""Ephemeral nodes that stay: each is kept at its path with its current data, whatever becomes of sessions and
servers."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from monolith_cli import errors
from monolith_cli.serving.zookeeper.node_errors import BadVersion, NodeExists, NoNode

if TYPE_CHECKING:
    from monolith_cli.serving.zookeeper.connection import Connection

_PAUSE_S = 0.5


@dataclass(eq=False)
class _Node:
    path: str  # of a sequence node that has no number yet: what it is numbered from
    data: bytes
    unnumbered: bool = False
    wanted: int = 1  # counts what calls for a look at the node: new data, an event, a new session
    done: int = 0  # of these, up to which it has been looked at
    withdrawn: bool = False
    written: bytes | None = None  # what the node at hand holds, as far as is known
    czxid: int = 0  # when our node was last made
    taken: bool = False
    tried: bool = False
    error: errors.Error | None = None
    due: float = 0.0  # after an error, when to try again

    @property
    def dirty(self) -> bool:
        return self.wanted != self.done

    def want(self) -> int:
        self.wanted, self.error, self.due = self.wanted + 1, None, 0.0
        return self.wanted


class EphemeralNodes:
    """The ephemeral nodes of one process. A thread of their own makes them, makes them again after a lost session or a
    deletion, and writes their current data; nothing is written by anybody else, so that an update never meets a
    re-creation.

    A node at the path that another session owns is replaced: it is of a run of ours that died. Only a node that was
    made after ours is left alone, with an error in the log: another process has the same name now. Ours comes back when
    that one goes.
    """

    def __init__(self, connection: Connection):
        self._connection = connection
        self._nodes: dict[str, _Node] = {}
        self._unnumbered: list[_Node] = []
        self._changed = threading.Condition()
        self._closing = False
        connection._direct.add(self._on_state)
        self._thread = threading.Thread(target=self._loop, name="zookeeper-ephemeral", daemon=True)
        self._thread.start()

    def publish(self, path: str, data: bytes, sequence: bool = False) -> str:
        """Keeps a node at `path`; with `sequence` ZooKeeper appends ten digits, and the path with them stays the node's
        for good.

        Returns the node's path once it is there. While no server answers it returns all the same, at once or after the
        connection's `timeout_s`, and the node is made when one does; a sequence node, whose path is not known then,
        raises UnavailableError.
        """
        with self._changed:
            if sequence:
                node = _Node(path, data, unnumbered=True)
                self._unnumbered.append(node)
            else:
                node = self._nodes.setdefault(path, _Node(path, data))
                node.data, node.withdrawn = data, False
                node.want()
            self._changed.notify_all()
        self._wait_for(node)
        error = node.error
        if node.unnumbered and error is None:
            error = errors.UnavailableError(
                f"cannot make {path}…: ZooKeeper {self._connection.config.servers} does not answer"
            )
        if error and (sequence or not isinstance(error, errors.UnavailableError)):
            self._give_up(node)
            raise error
        return node.path

    def update(self, path: str, data: bytes) -> None:
        """New data for a node that was published. While no server answers it returns as `publish` does, and they are
        written when one does."""
        with self._changed:
            node = self._nodes[path]
            if node.data == data and not node.dirty:
                return
            node.data = data
            node.want()
            self._changed.notify_all()
        self._wait_for(node)
        if node.error and not isinstance(node.error, errors.UnavailableError):
            raise node.error

    def withdraw(self, path: str) -> None:
        """Takes the node away, if there is one."""
        with self._changed:
            node = self._nodes.get(path)
            if node is None:
                return
            self._mark_withdrawn(node)
        self._wait_for(node)

    def paths(self) -> dict[str, str]:
        """Path -> `published`, `pending` (no server answers) or `taken` (another process has a node there)."""
        with self._changed:
            return {
                p: "taken" if n.taken else "pending" if n.dirty else "published"
                for p, n in self._nodes.items()
                if not n.withdrawn
            }

    def close(self) -> None:
        """Takes all of them away. While no server answers it returns all the same, and they go when one does, or with
        the session."""
        with self._changed:
            nodes = [*self._unnumbered, *self._nodes.values()]
            for node in nodes:
                self._mark_withdrawn(node)
            self._closing = True
            self._changed.notify_all()
        until = time.monotonic() + self._connection.timeout_s
        for node in nodes:
            self._wait_for(node, until)

    def _wait_for(self, node: _Node, until: float | None = None) -> None:
        until = time.monotonic() + self._connection.timeout_s if until is None else until
        with self._changed:
            target = node.wanted
            while (
                node.done < target
                and node.error is None
                and self._connection.state == "connected"
                and self._thread.is_alive()
            ):
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(min(left, 0.2)) and time.monotonic() > until:
                    return

    def _give_up(self, node: _Node) -> None:
        with self._changed:
            self._mark_withdrawn(node)

    def _mark_withdrawn(self, node: _Node) -> None:
        node.withdrawn = True
        node.want()
        self._changed.notify_all()

    def _on_state(self, state: str) -> None:
        with self._changed:
            if state == "connected":
                # After a mere break all nodes are still there; looking costs little, and sets the watches anew.
                for node in self._nodes.values():
                    node.want()
            self._changed.notify_all()

    def _on_event(self, event) -> None:
        with self._changed:
            node = self._nodes.get(event.path) if event.type != "NONE" else None
            if node is not None:
                node.want()
                self._changed.notify_all()

    # --- the thread

    def _ended(self) -> bool:
        return self._connection.closed or self._closing and not (self._nodes or self._unnumbered)

    def _next(self) -> _Node | None:
        with self._changed:
            while not self._ended():
                dirty = [n for n in (*self._unnumbered, *self._nodes.values()) if n.dirty]
                if dirty and self._connection.state == "connected":
                    first = min(dirty, key=lambda n: n.due)
                    if first.due <= time.monotonic():
                        return first
                    self._changed.wait(max(0.01, first.due - time.monotonic()))
                else:
                    self._changed.wait()
        return None

    def _loop(self) -> None:
        while (node := self._next()) is not None:
            with self._changed:
                wanted, data, withdrawn = node.wanted, node.data, node.withdrawn
            try:
                self._remove(node) if withdrawn else self._keep(node, data)
                error = None
            except errors.Error as e:
                error = e
            except Exception as e:  # noqa: BLE001 - the other nodes are still to be kept
                error = errors.Error(f"cannot keep {node.path}: {type(e).__name__}: {e}")
            with self._changed:
                self._done(node, wanted, withdrawn, error)
                self._changed.notify_all()
        self._connection._direct.discard(self._on_state)

    def _done(self, node: _Node, wanted: int, withdrawn: bool, error: errors.Error | None) -> None:
        if error is None:
            node.error, node.done = None, wanted
            if withdrawn and node.withdrawn:
                node.done = node.wanted
                if self._nodes.get(node.path) is node:
                    del self._nodes[node.path]
                if node in self._unnumbered:
                    self._unnumbered.remove(node)
            elif node in self._unnumbered and not node.unnumbered:
                self._unnumbered.remove(node)
                self._nodes[node.path] = node
            return
        if wanted != node.wanted:
            return  # what failed is not what is wanted now, which nobody has tried yet
        if node.error is None or str(node.error) != str(error):
            self._connection.log.warning(f"{error}; trying again")
        node.error = error
        node.due = time.monotonic() + _PAUSE_S

    def _keep(self, node: _Node, data: bytes) -> None:
        c = self._connection
        while True:
            if node.unnumbered:
                node.path = self._number(node, data)
                node.unnumbered, node.written = False, None
            stat = c._exists(node.path, self._on_event)
            if stat is None:
                node.written = None
                try:
                    c.create(node.path, data, ephemeral=True)
                    node.written = data
                except NodeExists:
                    pass
                continue
            if stat.owner_session_id == c.session_id:
                if node.taken:
                    c.log.warning(f"{node.path}: this process has its node again")
                node.taken, node.czxid = False, stat.czxid
                if node.written != data:
                    c.set(node.path, data)
                    node.written = data
                return
            if node.czxid and stat.czxid > node.czxid:
                if not node.taken:
                    c.log.error(
                        f"{node.path}: another process took the place of this one "
                        f"(session 0x{stat.owner_session_id or 0:x}); "
                        "two with one name? This one waits until the other goes"
                    )
                node.taken = True
                return
            try:
                c.delete(node.path, version=stat.version)
            except (NoNode, BadVersion):
                pass

    def _number(self, node: _Node, data: bytes) -> str:
        """Makes a sequence node; where the answer to an earlier try was lost, the node of that try is taken."""
        c = self._connection
        if node.tried and (found := self._orphan(node)):
            return found
        node.tried = True
        return c.create(node.path, data, ephemeral=True, sequence=True)

    def _orphan(self, node: _Node) -> str | None:
        c = self._connection
        parent, _, start = node.path.rpartition("/")
        # The server that this session came to after its connection broke may not know yet what the one before made.
        c.sync(parent or "/")
        try:
            names = c.children(parent or "/")
        except NoNode:
            return None
        for name in names:
            path = f"{parent}/{name}"
            if (
                name.startswith(start)
                and name[len(start) :].isdigit()
                and len(name) == len(start) + 10
                and path not in self._nodes
            ):
                stat = c.exists(path)
                if stat is not None and stat.owner_session_id == c.session_id:
                    return path
        return None

    def _remove(self, node: _Node) -> None:
        c = self._connection
        path = node.path if not node.unnumbered else self._orphan(node) if node.tried else None
        if path is None:
            return
        c.sync(path)
        stat = c.exists(path)
        if stat is not None and stat.owner_session_id == c.session_id:
            try:
                c.delete(path)
            except NoNode:
                pass
