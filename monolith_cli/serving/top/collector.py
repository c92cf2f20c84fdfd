"""Asks all sources in the background, each for itself, and joins what they last told into rows."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass

from monolith_cli.serving.channel import Tls
from monolith_cli.serving.top import prometheus
from monolith_cli.serving.top.agents import Agent
from monolith_cli.serving.top.facts import Replica, Row, Snapshot
from monolith_cli.serving.top.servers import Server

_THREADS = 32


@dataclass(frozen=True)
class Sources:
    """What to look at. zookeeper: (ZkConfig, bzid). servers: (host:port, REST host:port or None). names: models that
    servers are asked for besides those they are known to have. rest_port: of servers found by ZooKeeper or agents that
    do not tell theirs."""

    zookeeper: tuple | None = None
    agents: tuple[str, ...] = ()
    servers: tuple[tuple[str, str | None], ...] = ()
    names: tuple[str, ...] = ()
    rest_port: int | None = None
    tls: Tls | None = None
    agent_tls: Tls | None = None
    timeout_s: float = 2.0
    interval_s: float = 2.0
    page_path: str = prometheus.PATH


class _Threads:
    """Threads that die with the process: leaving does not wait for a server that does not answer."""

    def __init__(self, count: int):
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._changed, self._under_way = threading.Condition(), set()
        for i in range(count):
            threading.Thread(target=self._work, name=f"look-{i}", daemon=True).start()

    def submit(self, key, task) -> None:
        """Unless the one of this key is still under way."""
        with self._changed:
            if key in self._under_way:
                return
            self._under_way.add(key)
        self._tasks.put((key, task))

    def wait(self, timeout_s: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, timeout_s)

    def _work(self) -> None:
        while True:
            key, task = self._tasks.get()
            try:
                task()
            except ValueError:  # its channel was closed meanwhile: nobody names the server any more
                pass
            finally:
                with self._changed:
                    self._under_way.discard(key)
                    self._changed.notify_all()


class Collector:
    """`start()`, then `snapshot()` at any time; or `look_twice()` for one picture with rates."""

    def __init__(self, sources: Sources):
        self._sources, self._threads = sources, _Threads(_THREADS)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._agents = [Agent(a, sources.timeout_s, sources.agent_tls) for a in sources.agents]
        self._servers: dict[str, Server] = {}
        self._tree = None
        for address, http in sources.servers:
            self._add_server(address, http, named=True)
        if sources.zookeeper:
            from monolith_cli.serving.top.tree import Tree

            self._tree = Tree(*sources.zookeeper, sources.interval_s, self._look_at_servers)

    def start(self) -> None:
        """Looks at everything from now on, again and again."""
        if self._tree:
            self._tree.start()
        threading.Thread(target=self._work, name="collector", daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        if self._tree:
            self._tree.close()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._look()
            self._stop.wait(self._sources.interval_s)

    def look_twice(self) -> Snapshot:
        """One picture: every source asked, servers with a monitoring page a second time, an interval later."""
        if self._tree:
            self._tree.start()
            self._tree.read_once.wait(self._sources.zookeeper[0].connect_timeout_s + 2 * self._sources.timeout_s)
        self._look()
        self._threads.wait(3 * self._sources.timeout_s)
        self._look_at_servers()
        self._threads.wait(3 * self._sources.timeout_s)
        if any(server.has_page() for server in self._servers.values()):
            self._stop.wait(self._sources.interval_s)
            self._look_at_servers()
            self._threads.wait(3 * self._sources.timeout_s)
        return self.snapshot()

    def _look(self) -> None:
        for agent in self._agents:
            self._threads.submit(agent, lambda agent=agent: (agent.look(), self._look_at_servers(new_only=True)))
        self._look_at_servers()

    def _look_at_servers(self, new_only: bool = False) -> None:
        if self._stop.is_set():
            return
        wanted: dict[str, set[str]] = {}
        with self._lock:
            for replica in self._replicas():
                if replica.grpc:
                    wanted.setdefault(replica.grpc, set()).add(replica.served)
                    self._add_server(replica.grpc, self._http_of(replica), named=False)
            self._drop_servers(set(wanted))
            servers = list(self._servers.values())
        for server in servers:
            if new_only and server.source().up is not None:
                continue
            names = wanted.get(server.address, set()) | (set(self._sources.names) if server.named else set())
            self._threads.submit(server, lambda server=server, names=names: server.look(names))

    def _http_of(self, replica: Replica) -> str | None:
        if replica.http or self._sources.rest_port is None:
            return replica.http
        return f"{replica.grpc.rpartition(':')[0]}:{self._sources.rest_port}"

    def _add_server(self, address: str, http: str | None, named: bool) -> None:
        known = self._servers.get(address)
        if known is None:
            s = self._sources
            self._servers[address] = Server(address, http, named, s.timeout_s, s.tls, s.page_path)
        elif known.http is None:
            known.http = http

    def _drop_servers(self, wanted: set[str]) -> None:
        """Servers that nobody names any more."""
        for address in [a for a, server in self._servers.items() if not server.named and a not in wanted]:
            self._servers.pop(address).close()

    def _replicas(self) -> list[Replica]:
        """What ZooKeeper has, and what only agents tell."""
        found = list(self._tree.replicas()) if self._tree else []
        known = {(r.grpc, r.served) for r in found}
        for agent in self._agents:
            for r in agent.replicas():
                if (r.grpc, r.served) not in known:
                    known.add((r.grpc, r.served))
                    found.append(r)
        return found

    def snapshot(self) -> Snapshot:
        with self._lock:
            replicas, servers = self._replicas(), dict(self._servers)
        rows = [row for replica in replicas for row in _rows(replica, servers.get(replica.grpc or ""))]
        told = {(r.grpc, r.served) for r in replicas}
        for address, server in servers.items():
            for name in sorted(server.statuses()):
                if (address, name) not in told:
                    model, _, task = name.partition(":")
                    rows += _rows(Replica(name, model, task, grpc=address), server)
        sources = (
            ([self._tree.source()] if self._tree else [])
            + [a.source() for a in self._agents]
            + [s.source() for s in servers.values()]
        )
        return Snapshot(time.time(), tuple(sources), tuple(rows))


def _rows(replica: Replica, server: Server | None) -> list[Row]:
    base = {
        "model": replica.model or replica.served,
        "task": replica.task,
        "replica": replica.replica,
        "location": replica.location,
        "server": replica.grpc or "",
        "registered": replica.registered,
    }
    if replica.problem or server is None:
        return [Row(**base, version=None, state=replica.problem or "UNKNOWN", note=replica.error or "no address")]
    versions = server.statuses().get(replica.served)
    if versions is None:
        source = server.source()
        return [Row(**base, version=None, state="DOWN" if source.up is False else "UNKNOWN", note=source.error)]
    rates, rows = server.rates(replica.served), []
    serving = max((v for v, state, _ in versions if state == "AVAILABLE" and v is not None), default=None)
    for version, state, message in sorted(versions, key=lambda v: -(v[0] or 0)):
        mine = rates if version is not None and version == serving else None  # the page does not part versions
        numbers = (
            {}
            if mine is None
            else {
                "rate": round(mine.rate, 3),
                "error_rate": round(mine.error_rate, 3),
                "p50_ms": _rounded(mine.p50_ms),
                "p99_ms": _rounded(mine.p99_ms),
            }
        )
        rows.append(Row(**base, version=version, state=state, note=message, **numbers))
    return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
