"""What ZooKeeper has of one bzid: replica nodes of agents v1 and v2, bindings, containers and layouts of v3."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace

from monolith_cli import errors
from monolith_cli.serving.top.facts import Replica, Source, served_name
from monolith_cli.serving.zookeeper import paths, records
from monolith_cli.serving.zookeeper.connection import Connection, NoNode, ZkConfig, connect

_TASK = re.compile(r"\w+:\d+", re.ASCII)


def read_replicas(connection: Connection, bzid: str) -> list[Replica]:
    """All that is registered below /<bzid>. Nodes that go while they are read are left out; a node that cannot be read
    is a replica with an `error`."""
    return [*_service_replicas(connection, bzid), *_bound_replicas(connection, bzid)]


def _children(connection: Connection, path: str) -> list[str]:
    try:
        return sorted(connection.children(path))
    except NoNode:
        return []


def _service_replicas(connection: Connection, bzid: str):
    for model in _children(connection, paths.service_root(bzid)):
        root = paths.service_root(bzid, model)
        for name in _children(connection, root):
            if _TASK.fullmatch(name) and ":" in name:
                yield from _task_replicas(connection, f"{root}/{name}", model, name, "")
            else:
                for task in _children(connection, f"{root}/{name}"):
                    yield from _task_replicas(connection, f"{root}/{name}/{task}", model, task, name)


def _task_replicas(connection: Connection, path: str, model: str, task: str, location: str):
    server_type, _, index = task.partition(":")
    for name in _children(connection, path):
        try:
            meta = records.ReplicaMeta.from_json(connection.get(f"{path}/{name}")[0], f"{path}/{name}")
        except NoNode:
            continue
        except errors.BadDataError as e:
            yield Replica(
                served_name(server_type, index), model, task, name, location, problem="BAD NODE", error=str(e)
            )
            continue
        served = served_name(server_type, index, meta.model_name)  # v1 leaves the model's name out
        yield Replica(
            served,
            model,
            task,
            str(int(name)) if name.isdecimal() else name,
            location,
            meta.get_address(),
            None,
            meta.state.name,
        )


def _bound_replicas(connection: Connection, bzid: str):
    containers, bound = _containers(connection, bzid), set()
    for model in _children(connection, paths.bindings_root(bzid)):
        for name in _children(connection, paths.bindings_root(bzid, model)):
            try:
                sub_graph, container = paths.parse_binding(name)
            except errors.BadDataError as e:
                yield Replica(f"{model}:{name}", model, name, problem="BAD NODE", error=str(e))
                continue
            bound.add(f"{model}:{sub_graph}")
            info = containers.get(container)
            place = Replica(
                f"{model}:{sub_graph}", model, sub_graph, container.id, container.cluster, registered="AVAILABLE"
            )
            if info is None:
                yield replace(place, problem="BAD NODE", error=f"container {container} is not registered")
            else:
                yield replace(place, grpc=info.grpc, http=info.http)
    yield from _unbound(connection, bzid, bound)


def _containers(connection: Connection, bzid: str) -> dict:
    found = {}
    for name in _children(connection, paths.containers_root(bzid)):
        try:
            container = paths.Container.parse(name)
            found[container] = records.ContainerServiceInfo.from_json(
                connection.get(f"{paths.containers_root(bzid)}/{name}")[0], name
            )
        except (NoNode, errors.BadDataError):
            continue
    return found


def _unbound(connection: Connection, bzid: str, bound: set[str]):
    """Sub graphs that a layout has and no container serves."""
    seen = set(bound)
    for layout in _children(connection, paths.layouts_root(bzid)):
        for name in _children(connection, f"{paths.layouts_root(bzid)}/{layout}"):
            if name not in seen:
                seen.add(name)
                model, _, sub_graph = name.partition(":")
                yield Replica(
                    name, model, sub_graph, problem="UNBOUND", error=f"in layout {layout}, bound by no container"
                )


class Tree:
    """Reads the tree again and again on a thread of its own: a session that cannot be had holds up nobody else."""

    def __init__(self, config: ZkConfig, bzid: str, interval_s: float, changed):
        """changed: called after each reading."""
        self._config, self._bzid, self._interval_s, self._changed = config, bzid, interval_s, changed
        self._lock, self._stop, self.read_once = threading.Lock(), threading.Event(), threading.Event()
        self._replicas: tuple[Replica, ...] = ()
        self._up: bool | None = None
        self._error, self._read_at = "", None
        self._thread = threading.Thread(target=self._work, name="zookeeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()

    def _work(self) -> None:
        connection = None
        while not self._stop.is_set():
            try:
                connection = connection or connect(self._config)
                found = tuple(read_replicas(connection, self._bzid))
                self._note(True, "", found)
            except errors.Error as e:
                self._note(False, str(e), None)
            self.read_once.set()
            self._changed()
            self._stop.wait(self._interval_s)
        if connection:
            connection.close()

    def _note(self, up: bool, error: str, replicas) -> None:
        with self._lock:
            self._up, self._error = up, error
            if replicas is not None:
                self._replicas, self._read_at = replicas, time.monotonic()

    def replicas(self) -> tuple[Replica, ...]:
        """What was last read, also while no server answers."""
        with self._lock:
            return self._replicas

    def source(self) -> Source:
        with self._lock:
            age = None if self._read_at is None else round(time.monotonic() - self._read_at, 3)
            return Source("zookeeper", self._config.servers, self._up, self._error, age, {"bzid": self._bzid})
