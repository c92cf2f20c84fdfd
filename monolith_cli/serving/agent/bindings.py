"""Which container serves which sub graph (version 3): own bindings put up, those of others watched."""

from __future__ import annotations

import threading

from monolith_cli import errors
from monolith_cli.serving.agent.tree import LEAF, TreeMirror
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.records import ContainerServiceInfo


def _child(names: list[str]) -> str | None:
    return LEAF if len(names) == 1 else None


def _decode(data: bytes) -> ContainerServiceInfo | None:
    try:
        return ContainerServiceInfo.from_json(data)
    except errors.BadDataError:
        return None  # somebody else's mistake must not hide the others


def own_container(config) -> paths.Container:
    return paths.Container(config.container_cluster, config.container_id)


def binding_nodes(config, available: set[str]) -> dict[str, bytes]:
    """Path and content of the binding nodes of this container, which serves these `<model>:<sub graph>`."""
    return {
        paths.binding_path(config.bzid, paths.SavedModel.parse(name), own_container(config)): b"" for name in available
    }


class ServiceMap:
    """Sub graphs of the subscribed models and the containers that serve them. While ZooKeeper is away the last known
    ones."""

    def __init__(self, connection, bzid: str):
        self._connection, self._bzid = connection, bzid
        self._containers = TreeMirror(connection, paths.containers_root(bzid), _child)
        self._bindings: dict[str, TreeMirror] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        self._containers.start()

    def stop(self) -> None:
        self._containers.stop()
        self.subscribe(set())

    def rescan(self) -> None:
        for tree in [self._containers, *self._bindings.copy().values()]:
            tree.rescan()

    def subscribe(self, models: set[str]) -> None:
        """From now on exactly these models. One that comes back is read anew."""
        with self._lock:
            for model in set(self._bindings) - models:
                self._bindings.pop(model).stop()
            for model in sorted(models - set(self._bindings)):
                tree = TreeMirror(self._connection, paths.bindings_root(self._bzid, model), _child)
                tree.start()
                self._bindings[model] = tree

    def get(self) -> dict[str, dict[str, list[ContainerServiceInfo]]]:
        """Model → sub graph → containers that serve it and say where they are, by container."""
        containers = {
            path.rpartition("/")[2]: info for path, data in self._containers.items().items() if (info := _decode(data))
        }
        found: dict[str, dict[str, list[ContainerServiceInfo]]] = {}
        for model, tree in self._bindings.copy().items():
            found[model] = {}
            for path in sorted(tree.items()):
                sub_graph, _, container = path.rpartition("/")[2].partition(":")
                if container in containers:
                    found[model].setdefault(sub_graph, []).append(containers[container])
        return found

    def addresses(self) -> dict[str, list[str]]:
        """`<model>:<sub graph>` → gRPC addresses, as HeartBeat answers."""
        return {
            f"{model}:{sub_graph}": [info.grpc for info in infos if info.grpc]
            for model, sub_graphs in self.get().items()
            for sub_graph, infos in sub_graphs.items()
        }

    def sync_targets(self, model: str, sub_graph: str) -> tuple[str, list[str]]:
        """Saved-model id and the addresses that parameters are pushed to; none where nobody serves it."""
        name = f"{model}:{sub_graph}"
        return name, self.addresses().get(name, [])
