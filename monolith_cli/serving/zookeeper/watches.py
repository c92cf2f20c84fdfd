"""Watches that outlive the session: a function hears the value of a node, or its children, now and after every
change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monolith_cli import errors
from monolith_cli.serving.zookeeper.node_errors import NoNode

if TYPE_CHECKING:
    from monolith_cli.serving.zookeeper.connection import Connection

# How long until a watch is read again that could not be read though there is a session.
_AGAIN_S = 2.0


class Watch:
    """Base of both kinds. Reading a value sets ZooKeeper's one-time watch anew; several changes in a row may be
    heard as one."""

    def __init__(self, connection: Connection, path: str, function):
        self._connection, self.path, self._function = connection, path, function
        self._stopped = False
        self._heard: Any = self  # nothing yet: differs from every value
        self._anew = False
        self._complained = ""

    def stop(self) -> None:
        """Ends the watch. A call of the function that has begun runs to its end."""
        self._stopped = True
        self._connection._watches.discard(self)

    def renew(self, anew: bool) -> None:
        """There is a session again; `anew`: the function is to hear the value even if it is the one it knows."""
        self._anew |= anew
        self._connection._callbacks.put(self)

    def run(self) -> None:
        if self._stopped:
            return
        anew, self._anew = self._anew, False
        try:
            if anew:
                self._connection.sync(self.path)
            key, value = self._read()
        except errors.Error as e:
            self._anew |= anew
            if str(e) != self._complained and not isinstance(e, errors.UnavailableError):
                self._complained = str(e)
                self._connection.log.warning(f"watch of {self.path}: {e}")
            self._connection._callbacks.put_later(self, _AGAIN_S)
            return
        self._complained = ""
        if not self._stopped and (anew or key != self._heard):
            self._heard = key
            self._function(*value)

    def _read(self) -> tuple[Any, tuple]:
        """(what tells values apart, arguments of the function)"""
        raise NotImplementedError

    def _on_event(self, event) -> None:
        # Events of the session come with `renew`, when there is something to read again.
        if event.type != "NONE":
            self._connection._callbacks.put(self)


class DataWatch(Watch):
    """function(data, stat), or function(None, None) while there is no such node."""

    def _read(self):
        c = self._connection
        while True:
            try:
                data, stat = c._get(self.path, self._on_event)
                return (stat.czxid, stat.mzxid), (data, stat)
            except NoNode:
                if c._exists(self.path, self._on_event) is None:
                    return None, (None, None)


class ChildrenWatch(Watch):
    """function(names), sorted; an empty list while there is no such node."""

    def _read(self):
        c = self._connection
        while True:
            try:
                names, stat = c._children(self.path, self._on_event)
                return (stat.czxid, stat.pzxid, names), (names,)
            except NoNode:
                if c._exists(self.path, self._on_event) is None:
                    return None, ([],)
