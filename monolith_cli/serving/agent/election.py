"""One of the agents leads: the others wait for its session to end."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Election:
    """Stands for leader in `/<bzid>/election/`, again and again, until stop().

    lead(over) is called while this agent leads and must return soon after the event `over` is set: the session was
    lost, which means that another may lead already, or stop() was called. An error in lead() gives the lead to
    another.
    """

    def __init__(self, connection, bzid: str, identifier: str, lead: Callable[[threading.Event], None], log):
        self._connection, self._path, self._identifier = connection, f"/{bzid}/election", identifier
        self._lead, self._log = lead, log
        self._stopping, self._over = threading.Event(), threading.Event()
        self._running = None
        self._thread = threading.Thread(target=self._stand, name="election", daemon=True)
        self.is_leader = False
        connection.on_state(self._state_changed)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._over.set()
        for _ in range(5):
            if self._running is not None:
                self._running.cancel()
            if self._thread.is_alive():
                self._thread.join(1.0)

    def _state_changed(self, state: str) -> None:
        if state == "lost":
            self._over.set()

    def _stand(self) -> None:
        from kazoo.exceptions import CancelledError

        while not self._stopping.is_set():
            self._over.clear()
            if self._stopping.is_set():
                return
            self._running = self._connection.client.Election(self._path, self._identifier)
            try:
                self._running.run(self._be_leader)
            except CancelledError:
                return
            except Exception as e:  # noqa: BLE001 - without ZooKeeper there is no lead; it comes back or another leads
                if not self._stopping.is_set():
                    self._log.warning(f"election: {type(e).__name__}: {e}")
            self._stopping.wait(1.0)

    def _be_leader(self) -> None:
        if self._over.is_set():  # the session that won is lost already, or stop() was called
            return
        self.is_leader = True
        self._log.info("this agent leads")
        try:
            self._lead(self._over)
        finally:
            self.is_leader = False
            self._log.info("this agent leads no more")
