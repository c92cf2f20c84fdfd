"""Declarations, layouts and bindings in ZooKeeper (60, 3.13): the sides of the controller and of parameter sync.

The agent's side shares paths, records and the connection; it is in `monolith_cli.serving.agent`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.connection import Connection, NodeExists, NoNode
from monolith_cli.serving.zookeeper.paths import Container, SavedModel
from monolith_cli.serving.zookeeper.records import ContainerServiceInfo, SavedModelDeployConfig


class Backend:
    """Base of all sides: the namespace of a business id in ZooKeeper."""

    def __init__(self, bzid: str, connection: Connection):
        self.bzid, self.connection = paths.part(bzid, "business id"), connection

    def children(self, path: str) -> list[str]:
        """Sorted names below a node; none where there is no node."""
        try:
            return self.connection.children(path)
        except NoNode:
            return []

    def data(self, path: str) -> bytes | None:
        try:
            return self.connection.get(path)[0]
        except NoNode:
            return None

    def put(self, path: str, data: bytes = b"") -> None:
        """Makes a lasting node, or replaces the data of the one that is there."""
        while True:
            try:
                self.connection.create(path, data)
                return
            except NodeExists:
                pass
            try:
                self.connection.set(path, data)
                return
            except NoNode:
                continue


class ControllerBackend(Backend):
    """Which sub graphs there are, and which layouts have them."""

    def list_saved_models(self, model: str) -> set[SavedModel]:
        """The declared sub graphs of a model."""
        return {SavedModel(model, name) for name in self.children(paths.saved_model_path(self.bzid, model))}

    def decl_saved_model(self, saved_model: SavedModel, config: SavedModelDeployConfig) -> None:
        """Declares a sub graph, or replaces its declaration."""
        self.put(paths.saved_model_path(self.bzid, saved_model.model_name, saved_model.sub_graph), config.to_json())

    def layout(self, layout_path: str) -> list[str]:
        """What a layout has, `<model>:<sub_graph>` each, sorted."""
        return self.children(layout_path)

    def add_to_layout(self, layout_path: str, saved_model: SavedModel) -> None:
        try:
            self.connection.create(paths.layout_entry_path(layout_path, saved_model))
        except NodeExists:
            pass

    def remove_from_layout(self, layout_path: str, saved_model: SavedModel) -> None:
        """Takes a sub graph out of a layout; one that is not in it is no error."""
        try:
            self.connection.delete(paths.layout_entry_path(layout_path, saved_model))
        except NoNode:
            pass

    def bzid_info(self) -> dict:
        """All that is declared, laid out and served: `model_info`, `container_info`, `layout_info` (60, 3.13)."""
        models: dict[str, dict] = {}
        containers: dict[str, dict[str, dict]] = {}
        for model in self.children(paths.saved_models_root(self.bzid)):
            of = models.setdefault(model, {})
            for sub_graph in self.children(paths.saved_model_path(self.bzid, model)):
                text = self.data(paths.saved_model_path(self.bzid, model, sub_graph))
                if text is not None:
                    of[sub_graph] = {"deploy_config": _text(text)}
            of["sub_graphs_total"] = len(of)
        for name in self.children(paths.containers_root(self.bzid)):
            text = self.data(paths.join(paths.containers_root(self.bzid), name))
            if text is not None:
                _container(containers, Container.parse(name))["service_info"] = _text(text)
        for model in self.children(paths.bindings_root(self.bzid)):
            bound: dict[str, list[str]] = {}
            for name in self.children(paths.bindings_root(self.bzid, model)):
                sub_graph, container = paths.parse_binding(name)
                bound.setdefault(sub_graph, []).append(f"{container.cluster}:{container.id}")
                _container(containers, container).setdefault("saved_models", []).append(f"{model}:{sub_graph}")
            for sub_graph, where in bound.items():
                models.setdefault(model, {"sub_graphs_total": 0}).setdefault(sub_graph, {})["bindings"] = where
            if bound:
                models[model]["sub_graphs_available"] = len(bound)
        return {
            "model_info": {m: dict(sorted(models[m].items())) for m in sorted(models)},
            "container_info": {c: dict(sorted(containers[c].items())) for c in sorted(containers)},
            "layout_info": {
                name: self.layout(paths.layout_path(self.bzid, name))
                for name in self.children(paths.layouts_root(self.bzid))
            },
        }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _container(containers: dict, container: Container) -> dict:
    return containers.setdefault(container.cluster, {}).setdefault(container.id, {})


@dataclass
class _Subscription:
    model: str
    bindings: list[str]
    stop: Callable[[], None]


class SyncBackend(Backend):
    """Where the sub graphs of one model are served, for who pushes parameters to them."""

    def __init__(self, bzid: str, connection: Connection):
        super().__init__(bzid, connection)
        self._subscription: _Subscription | None = None
        self._lock = threading.Lock()

    def subscribe_model(self, model: str) -> None:
        """Follows the bindings of a model; UsageError for a second, different one."""
        with self._lock:
            if self._subscription is not None:
                if self._subscription.model != model:
                    raise errors.UsageError(
                        f"bindings of {self._subscription.model} are followed here, not those of {model}: "
                        "one model a backend"
                    )
                return
            path = paths.bindings_root(self.bzid, model)
            subscription = _Subscription(model, self.children(path), lambda: None)
            subscription.stop = self.connection.watch_children(
                path, lambda names: setattr(subscription, "bindings", names)
            ).stop
            self._subscription = subscription

    def get_sync_targets(self, sub_graph: str) -> tuple[str, list[str]]:
        """(`<model>:<sub_graph>`, gRPC addresses of all containers that serve it, sorted). While no server answers,
        what was known last."""
        if self._subscription is None:
            raise errors.UsageError("no model is followed: subscribe_model comes first")
        targets = set()
        for name in self._subscription.bindings:
            try:
                bound, container = paths.parse_binding(name)
            except errors.BadDataError:
                continue
            if bound == sub_graph and (info := self._service_info(container)) and info.grpc:
                targets.add(info.grpc)
        return str(SavedModel(self._subscription.model, sub_graph)), sorted(targets)

    def _service_info(self, container: Container) -> ContainerServiceInfo | None:
        path = paths.container_path(self.bzid, container)
        data = self.data(path)
        return None if data is None else ContainerServiceInfo.from_json(data, path)

    def stop(self) -> None:
        if self._subscription is not None:
            self._subscription.stop()


class ZKBackend(ControllerBackend, SyncBackend):
    """Both sides over one connection."""
