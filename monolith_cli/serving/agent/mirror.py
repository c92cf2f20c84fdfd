"""The tree of version 2 in memory: what is wanted (portal), who may serve (resource), who is to serve what (publish),
who does (service).

portal/<model>                        ModelMeta     a person wants this model served
resource/<shard>:<replica>            ResourceSpec  a container and its means (ephemeral)
publish/<shard>:<replica>:<model>     PublishMeta   the leader's orders
service/<model>/<type>:<task>/<replica>  ReplicaMeta  who serves (ephemeral)
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
from collections.abc import Callable

from monolith_cli import errors
from monolith_cli.serving.agent.tree import BRANCH, CREATED, DELETED, LEAF, TreeMirror
from monolith_cli.serving.zookeeper.node_errors import NodeExists, NoNode
from monolith_cli.serving.zookeeper.records import ModelMeta, PublishMeta, PublishType, ReplicaMeta, ResourceSpec, State


def _one(names: list[str]) -> str | None:
    return LEAF if len(names) == 1 else None


def _service(names: list[str]) -> str | None:
    if len(names) < 3:
        return BRANCH if len(names) == 1 or names[1].count(":") == 1 else None
    return LEAF if len(names) == 3 and names[2].lstrip("-").isdigit() else None


def model_of(publish_path: str) -> str:
    """The model of `…/<shard>:<replica>:<model>`."""
    return publish_path.rpartition("/")[2].split(":", 2)[-1]


class Mirror:
    """All watches of version 2 and the answers to what an agent asks of them.

    shard_id, replica_id: this container's own. `portal_events`, for the leader: a ModelMeta each, whose action says
    what happened: NONE (it was there when the leader began), CREATED, CHANGED, or DELETED (name and action alone).
    published() is called when the orders of a model have become complete, or are all gone.
    """

    def __init__(
        self,
        connection,
        bzid: str,
        shard_id: int,
        replica_id: int,
        num_shard: int,
        log,
        published: Callable[[], None] = lambda: None,
    ):
        self.bzid, self.base = bzid, f"/{bzid}"
        self.shard_id, self.replica_id, self.num_shard = shard_id, replica_id, num_shard
        self.portal_events: queue.Queue[ModelMeta] = queue.Queue()
        self._connection, self._log, self._published = connection, log, published
        self._starting = False
        self._portal = TreeMirror(connection, f"{self.base}/portal", _one, self._portal_event)
        self._publish = TreeMirror(connection, f"{self.base}/publish", _one, self._publish_event)
        self._resource = TreeMirror(connection, f"{self.base}/resource", _one)
        self._service = TreeMirror(connection, f"{self.base}/service", _service)
        self._lock = threading.Lock()
        self._watched: list[TreeMirror] = []

    def watch_service(self) -> None:
        self._watch(self._service)

    def watch_publish(self) -> None:
        self._watch(self._publish)

    def watch_resource(self) -> None:
        self._watch(self._resource)

    def watch_portal(self) -> None:
        """For the leader. Orders for models that nobody wants any more are taken back first."""
        self._starting = True
        self._watch(self._portal)
        self._starting = False
        wanted = {path.rpartition("/")[2] for path in self._portal.items()}
        for model in {model_of(path) for path in self._publish.items()} - wanted:
            self.publish(model, [])

    def unwatch_portal(self) -> None:
        """This agent leads no more."""
        self._portal.stop()
        with self._lock:
            self._watched = [t for t in self._watched if t is not self._portal]
            self._portal = TreeMirror(self._connection, f"{self.base}/portal", _one, self._portal_event)

    def _watch(self, tree: TreeMirror) -> None:
        with self._lock:
            self._watched.append(tree)
        tree.start()

    def stop(self) -> None:
        for tree in self._watched:
            tree.stop()

    def rescan(self) -> None:
        for tree in list(self._watched):
            tree.rescan()

    def _portal_event(self, path: str, event: str, data: bytes) -> None:
        name = path.rpartition("/")[2]
        model = ModelMeta(model_name=name)
        if event != DELETED:
            try:
                model = dataclasses.replace(ModelMeta.from_json(data), model_name=name)
            except errors.BadDataError as e:
                self._log.error(f"{path}: {e}")
                return
        model.action = "NONE" if self._starting and event == CREATED else event
        self.portal_events.put(model)

    def _publish_event(self, path: str, event: str, data: bytes) -> None:
        orders = self.orders().get(model_of(path), [])
        if not orders or len(orders) == orders[0].total_publish_num:
            self._published()

    def is_newer_than_orders(self, model: str) -> bool:
        """Whether a model was asked for after its orders were given, or has none."""
        asked = self._portal.mzxid(f"{self.base}/portal/{model}")
        return asked > max((self._publish.mzxid(p) for p in self._publish.items() if model_of(p) == model), default=-1)

    def portal(self) -> dict[str, ModelMeta]:
        """Wanted models by name; what cannot be read is left out."""
        return {path.rpartition("/")[2]: meta for path, meta in self._decoded(self._portal, ModelMeta).items()}

    def resources(self) -> list[ResourceSpec]:
        return list(self._decoded(self._resource, ResourceSpec).values())

    def orders(self) -> dict[str, list[PublishMeta]]:
        """Model → its orders, without those to unload."""
        found: dict[str, list[PublishMeta]] = {}
        for path, meta in self._decoded(self._publish, PublishMeta).items():
            if meta.ptype == PublishType.LOAD:
                found.setdefault(model_of(path), []).append(meta)
        return found

    def _decoded(self, tree: TreeMirror, record) -> dict[str, object]:
        found = {}
        for path, data in sorted(tree.items().items()):
            try:
                found[path] = record.from_json(data)
            except errors.BadDataError as e:
                self._log.warning(f"{path}: {e}")
        return found

    def num_replicas(self) -> int | None:
        """How many replicas each shard has; None while some replica is not there once in every shard."""
        shards: dict[int, set[int]] = {}
        for spec in self.resources():
            if spec.replica_id != -1:
                shards.setdefault(spec.replica_id, set()).add(spec.shard_id)
        everywhere = set(range(self.num_shard))
        return len(shards) if shards and all(s == everywhere for s in shards.values()) else None

    def expected_loading(self) -> dict[str, PublishMeta]:
        """Model → the order this container follows, of models whose orders are complete.

        Its own order where there is one. Else that of another replica of its shard, unless that is for certain
        replicas only: a replica that was added loads what the others have. Else only what starts with `entry`.
        """
        expected = {}
        for model, orders in self.orders().items():
            if len(orders) != orders[0].total_publish_num:
                continue
            order = self._order_for_me(orders)
            if order.sub_models:
                expected[model] = order
        return expected

    def _order_for_me(self, orders: list[PublishMeta]) -> PublishMeta:
        def fewest(candidates: list[PublishMeta]) -> PublishMeta | None:
            return min(candidates, key=lambda o: len(o.sub_models or {}), default=None)

        own = [o for o in orders if (o.shard_id, o.replica_id) == (self.shard_id, self.replica_id)]
        if own:
            return own[0]
        mine = {"shard_id": self.shard_id, "replica_id": self.replica_id}
        shared = fewest([o for o in orders if o.shard_id == self.shard_id and not o.is_spec])
        if shared:
            return dataclasses.replace(shared, **mine)
        entry = {name: path for name, path in (fewest(orders).sub_models or {}).items() if name.startswith("entry")}
        return dataclasses.replace(fewest(orders), **mine, sub_models=entry)

    def publish(self, model: str, metas: list[PublishMeta]) -> None:
        """Makes the orders of a model exactly these, all at once; only nodes that differ are written."""
        base = f"{self.base}/publish"
        wanted = {meta.path(base): meta.to_json() for meta in metas}
        there = self._published_nodes(base, model)
        change = self._connection.client.transaction()
        for path, data in there.items():
            if path not in wanted:
                change.delete(path)
            elif wanted[path] != data:
                change.set_data(path, wanted[path])
        for path in sorted(set(wanted) - set(there)):
            change.create(path, wanted[path])
        if not change.operations:
            return
        failed = [r for r in change.commit_async().get(self._connection.timeout_s) if isinstance(r, Exception)]
        if failed:
            raise errors.TryAgainError(f"orders of {model} could not be written: {type(failed[0]).__name__}")

    def _published_nodes(self, base: str, model: str) -> dict[str, bytes]:
        """Path → content of the orders there are now; makes the node they are under."""
        try:
            names = self._connection.children(base)
        except NoNode:
            with contextlib.suppress(NodeExists):
                self._connection.create(base)
            return {}
        found = {}
        for name in names:
            if model_of(name) == model:
                with contextlib.suppress(NoNode):
                    found[f"{base}/{name}"] = self._connection.get(f"{base}/{name}")[0]
        return found

    def replicas(self) -> dict[str, list[str]]:
        """`<model>:<type>:<task>` → addresses of AVAILABLE replicas, for all there are."""
        found: dict[str, list[str]] = {}
        for path, meta in self._decoded(self._service, ReplicaMeta).items():
            model, task = path.split("/")[-3:-1]
            available = found.setdefault(f"{model}:{task}", [])
            if meta.stat == State.AVAILABLE and (address := meta.get_address(use_archon=False, family="ipv4")):
                available.append(address)
        return found

    def task_replicas(self, model: str, server_type: str, task: int) -> list[str]:
        return self.replicas().get(f"{model}:{server_type}:{task}", [])
