"""A session with ZooKeeper that comes back by itself: operations with a bound on their waiting, watches, states,
ephemeral nodes.

Three kinds of threads, and none waits for another for long: kazoo's two, which only pass events on; one for callbacks
of users (`watch_…`, `on_state`); the caller's own, in which operations wait, at most `timeout_s`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from kazoo import exceptions as k
from kazoo.protocol.states import KazooState, KeeperState

from monolith_cli import errors
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.callbacks import CallbackThread
from monolith_cli.serving.zookeeper.client import ZkConfig, make_client
from monolith_cli.serving.zookeeper.ephemeral import EphemeralNodes
from monolith_cli.serving.zookeeper.node_errors import BadVersion, NodeExists, NoNode, NotAllowed, NotEmpty, translate
from monolith_cli.serving.zookeeper.watches import ChildrenWatch, DataWatch, Watch

__all__ = [
    "BadVersion",
    "Connection",
    "EphemeralNodes",
    "NoNode",
    "NodeExists",
    "NotAllowed",
    "NotEmpty",
    "ZkConfig",
    "connect",
]

_STATES = {KazooState.CONNECTED: "connected", KazooState.SUSPENDED: "suspended", KazooState.LOST: "lost"}
_LOST = (k.ConnectionLoss, k.SessionExpiredError, k.SessionMovedError, k.ConnectionClosedError)
_REVIVE_S = 1.0
_MAX_STATES = 64
_AT_ONCE = 256


class _StateListener:
    """Tells a function the states one by one; of a flood it keeps that the session was lost, and the last."""

    def __init__(self, connection: Connection, function: Callable[[str], Any]):
        self._connection, self._function = connection, function
        self._states: list[str] = []
        self._lock = threading.Lock()

    def hear(self, state: str) -> None:
        with self._lock:
            if len(self._states) >= _MAX_STATES:
                self._states = ["lost"] if "lost" in self._states else []
            self._states.append(state)
        self._connection._callbacks.put(self)

    def run(self) -> None:
        with self._lock:
            states, self._states = self._states, []
        for state in states:
            if self in self._connection._listeners:
                self._function(state)

    def stop(self) -> None:
        self._connection._listeners.discard(self)


class Connection:
    """Made by `connect`. Errors: NoNode, NodeExists, NotEmpty, NotAllowed, BadVersion, and UnavailableError (69)
    when no server answered within `timeout_s`; a change that failed with that last one may still have been made."""

    def __init__(self, config: ZkConfig, log=None):
        self.config, self.log = config, log or logging.getLogger("monolith.zookeeper")
        self.timeout_s = config.connect_timeout_s
        self.client, self._reason = make_client(config)
        self._changed = threading.Condition()
        self._state, self._closing, self._was_lost = "lost", False, False
        self._established = False  # from then on a client that gives up is started again
        self._restarting = False
        self._watches: set[Watch] = set()
        self._listeners: set[_StateListener] = set()
        self._direct: set[Callable[[str], None]] = set()  # ours: called in kazoo's thread, so they only take note
        self._callbacks = CallbackThread("zookeeper-callbacks", self.log)
        self.client.add_listener(self._on_kazoo_state)

    # --- the session

    @property
    def state(self) -> str:
        """`connected`, `suspended` (no server answers; the session may still be alive) or `lost` (it ended, with its
        ephemeral nodes)."""
        return self._state

    @property
    def session_id(self) -> int | None:
        """Number of the session, as `stat.owner_session_id` of its ephemeral nodes has it; None while there is none."""
        found = self.client.client_id
        return found[0] if found else None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing

    def on_state(self, function: Callable[[str], Any]) -> _StateListener:
        """Calls function(state) at every change of `state`; `.stop()` on what is returned ends that."""
        listener = _StateListener(self, function)
        self._listeners.add(listener)
        return listener

    def _on_kazoo_state(self, kazoo_state: str) -> None:
        state = _STATES[kazoo_state]
        with self._changed:
            before, self._state = self._state, state
            self._changed.notify_all()
        if state == "lost":
            self._was_lost |= before != "lost"
            if (
                self.client.client_state in (KeeperState.AUTH_FAILED, KeeperState.CLOSED)
                and not self._closing
                and self._established
            ):
                # kazoo gives up for good where a server refuses credentials, which a server that is going down does too.
                self._restart(f"the session was refused ({self._reason.text or 'no reason'})", _REVIVE_S)
        if state == "connected":
            anew, self._was_lost = self._was_lost, False
            for watch in list(self._watches):
                watch.renew(anew)
        for note in list(self._direct):
            note(state)
        for listener in list(self._listeners):
            listener.hear(state)

    def _restart(self, why: str, pause_s: float) -> None:
        """Another session in place of this one."""
        with self._changed:
            if self._restarting or self._closing:
                return
            self._restarting = True
        threading.Thread(target=self._revive, args=(why, pause_s), name="zookeeper-revive", daemon=True).start()

    def _revive(self, why: str, pause_s: float) -> None:
        while not self._closing:
            self.log.warning(f"ZooKeeper {self.config.servers}: {why}; trying again")
            time.sleep(pause_s)
            try:
                self.client.stop()
                self._restarting = False
                if not self._closing:
                    self.client.start_async()
                return
            except Exception as e:  # noqa: BLE001 - whatever it is, the session must come back
                self._restarting, pause_s = True, _REVIVE_S
                self.log.warning(f"ZooKeeper {self.config.servers}: {type(e).__name__}: {e}")

    def _start(self) -> None:
        def refused() -> bool:
            return (
                self.client.client_state == KeeperState.AUTH_FAILED
                or self.client._connection.connection_stopped.is_set()
            )

        where, until = f"ZooKeeper {self.config.servers}", time.monotonic() + self.timeout_s
        started = self.client.start_async()
        while not started.wait(0.02) and not refused() and time.monotonic() < until:
            pass
        try:
            if not started.is_set() and not refused():
                raise errors.UnavailableError("")
            self._exists("/")  # what comes after the credentials on the wire
        except (NotAllowed, errors.UnavailableError) as e:
            self.close()
            if (
                isinstance(e, NotAllowed)
                or self.client.client_state == KeeperState.AUTH_FAILED
                or "RequireSasl" in self._reason.text
            ):
                raise NotAllowed(f"{where} refused the credentials; see --zk-auth-file, --zk-sasl-file") from None
            raise errors.UnavailableError(
                f"{where}: cannot be reached within {self.timeout_s:g} s"
                + (f": {self._reason.text}" if self._reason.text else "")
            ) from None
        self._established, self._was_lost = True, False

    def close(self) -> None:
        """Ends the session: its ephemeral nodes go at once, watches are heard no more. Waits a few seconds at most."""
        self._closing = True
        for watch in list(self._watches):
            watch.stop()
        self._listeners.clear()
        self._callbacks.stop()

        def stop() -> None:
            try:
                self.client.stop()
                self.client.close()
            except Exception as e:  # noqa: BLE001 - the servers end the session by its time-out
                self.log.info(f"closing the session: {e}")

        # A server that is stalled is not waited for.
        stopping = threading.Thread(target=stop, name="zookeeper-close", daemon=True)
        stopping.start()
        stopping.join(min(5.0, self.config.session_timeout_s))
        with self._changed:
            self._state = "lost"
            self._changed.notify_all()
        for note in list(self._direct):
            note("lost")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # --- operations

    def _call(
        self, verb: str, path: str, start: Callable[[], Any], again: Callable[[], Any] | None = None, once: bool = False
    ):
        """Result of the request that `start` sends. After a lost connection it is sent again, by `again` where
        given, unless `once`."""
        if not path.startswith("/"):
            raise errors.UsageError(f"cannot {verb} {path!r}: a path in ZooKeeper starts with /")
        until = time.monotonic() + self.timeout_s
        send = start
        while True:
            with self._changed:
                while self._state != "connected" and not self._closing and time.monotonic() < until:
                    if self.client.client_state == KeeperState.AUTH_FAILED:
                        raise NotAllowed(
                            f"ZooKeeper {self.config.servers} refused the credentials; "
                            "see --zk-auth-file, --zk-sasl-file"
                        )
                    self._changed.wait(min(0.2, max(0.001, until - time.monotonic())))
                connected = self._state == "connected"
            left = until - time.monotonic()
            if self._closing or not connected or left <= 0:
                why = (
                    "the session was closed"
                    if self._closing
                    else f"ZooKeeper {self.config.servers} does not answer within {self.timeout_s:g} s"
                )
                raise errors.UnavailableError(
                    f"cannot {verb} {path}: {why}"
                    + (f": {self._reason.text}" if self._reason.text and not connected else "")
                )
            session = self.session_id
            try:
                return send().get(timeout=left)
            except _LOST as e:
                if isinstance(e, k.SessionExpiredError) and self._state == "connected" and self.session_id == session:
                    # The ensemble has ended it and this server missed that: it would answer like this for ever.
                    self._restart("the session has ended, which one server does not know", 0.0)
                if once:
                    raise errors.UnavailableError(
                        f"cannot {verb} {path}: the connection broke, and it may have been done"
                    ) from e
                send = again or start
                time.sleep(0.01)
            except self.client.handler.timeout_exception:
                continue
            except k.ZookeeperError as e:
                raise translate(e, verb, path) from None
            except (ValueError, TypeError) as e:
                raise errors.UsageError(f"cannot {verb} {path}: {e}") from None

    def _get(self, path, watch=None):
        return self._call("get", path, lambda: self.client.get_async(path, watch))

    def _exists(self, path, watch=None):
        return self._call("look for", path, lambda: self.client.exists_async(path, watch))

    def _children(self, path, watch=None):
        names, stat = self._call("list", path, lambda: self.client.get_children_async(path, watch, include_data=True))
        return sorted(names), stat

    def get(self, path: str) -> tuple[bytes, Any]:
        """(data, stat) of a node. `stat` is kazoo's ZnodeStat."""
        return self._get(path)

    def exists(self, path: str):
        """stat of a node, or None."""
        return self._exists(path)

    def children(self, path: str) -> list[str]:
        """Names of a node's children, sorted."""
        return self._children(path)[0]

    def read_many(self, wanted: list[str]) -> list[tuple[bytes, Any, list[str]] | None]:
        """(data, stat, sorted names of children) of each path, None where there is no node; all asked at once."""
        found: list[tuple[bytes, Any, list[str]] | None] = []
        for at in range(0, len(wanted), _AT_ONCE):
            asked = [
                (p, self.client.get_async(p), self.client.get_children_async(p)) for p in wanted[at : at + _AT_ONCE]
            ]
            for path, data, names in asked:
                try:
                    answers = data.get(timeout=self.timeout_s), names.get(timeout=self.timeout_s)
                except (k.ZookeeperError, self.client.handler.timeout_exception):
                    answers = None
                found.append(self._read_one(path) if answers is None else (*answers[0], sorted(answers[1])))
        return found

    def _read_one(self, path: str):
        try:
            return (*self._get(path), self._children(path)[0])
        except NoNode:
            return None

    def sync(self, path: str) -> None:
        """Waits until the server this session is with has all changes that were made before."""
        self._call("sync", path, lambda: self.client.sync_async(path))

    def get_acls(self, path: str) -> list:
        """kazoo's ACL tuples of a node."""
        return self._call("get the ACL of", path, lambda: self.client.get_acls_async(path))[0]

    def create(
        self,
        path: str,
        data: bytes = b"",
        ephemeral: bool = False,
        sequence: bool = False,
        makepath: bool = True,
        acl: list | None = None,
    ) -> str:
        """Makes a node, with its parents where makepath is set; its path. `ephemeral` ones do not come back after a
        lost session: see EphemeralNodes."""
        retried = []

        def send():
            return self.client.create_async(
                path, data, acl=acl, ephemeral=ephemeral, sequence=sequence, makepath=makepath
            )

        def send_again():
            retried.append(True)
            return send()

        try:
            return self._call("make", path, send, send_again, once=sequence)
        except NodeExists:
            # The first request may have made it before its answer was lost.
            if retried and self._is_mine(path, data, ephemeral):
                return path
            raise

    def _is_mine(self, path: str, data: bytes, ephemeral: bool) -> bool:
        try:
            found, stat = self._get(path)
        except NoNode:
            return False
        return stat.owner_session_id == self.session_id if ephemeral else not stat.owner_session_id and found == data

    def set(self, path: str, data: bytes, version: int = -1):
        """Replaces a node's data, if it is at that version where one is given (BadVersion); its new stat."""
        return self._call("set", path, lambda: self.client.set_async(path, data, version), once=version != -1)

    def delete(self, path: str, recursive: bool = False, version: int = -1) -> None:
        """Removes a node, with all below it where `recursive`. NoNode where there is none."""
        retried = []

        def send_again():
            retried.append(True)
            return self.client.delete_async(path, version)

        while True:
            try:
                self._call("delete", path, lambda: self.client.delete_async(path, version), send_again)
                return
            except NoNode:
                if retried:
                    return
                raise
            except NotEmpty:
                if not recursive:
                    raise
            for name in self.children(path):
                try:
                    self.delete(paths.join(path, name), recursive=True)
                except NoNode:
                    continue

    # --- watches

    def watch_data(self, path: str, function: Callable[[bytes | None, Any], Any]) -> DataWatch:
        """Calls function(data, stat) now, after every change, and again after a lost session; (None, None) while
        there is no such node. Changes in quick succession may come as one. `.stop()` on what is returned ends it."""
        return self._watch(DataWatch(self, path, function))

    def watch_children(self, path: str, function: Callable[[list[str]], Any]) -> ChildrenWatch:
        """Calls function(names) now, after every change, and again after a lost session; names are sorted, none
        while there is no node."""
        return self._watch(ChildrenWatch(self, path, function))

    def _watch(self, watch):
        self._watches.add(watch)
        self._callbacks.put(watch)
        return watch


def connect(config: ZkConfig, log=None) -> Connection:
    """A connection with a session. `log` has warning, error and info (a run's log, or a logging.Logger).

    UnavailableError (69) names the servers when none answers within connect_timeout_s; NotAllowed where they refuse the
    credentials.
    """
    connection = Connection(config, log)
    connection._start()
    return connection
