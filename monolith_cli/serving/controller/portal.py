"""Models to load, and what of them is loaded: portal, publish and service nodes, for people's clients (60, 3.16)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from monolith_cli import errors
from monolith_cli.serving.controller.backends import Backend
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.connection import NodeExists, NoNode
from monolith_cli.serving.zookeeper.records import ModelMeta, ReplicaMeta


@dataclass
class LoadState:
    """portal: the model is to be served; publish: true, or None where nothing of it is published; service:
    `<type>:<task>:<replica>` -> state."""

    portal: bool = False
    publish: bool | None = None
    service: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Replica:
    path: str
    meta: ReplicaMeta


class Portal(Backend):
    """Loading, unloading and looking, in the namespace of a business id."""

    def load(self, meta: ModelMeta, overwrite: bool) -> str:
        """Asks for a model to be served. NodeExists where it is asked for already, unless `overwrite`."""
        path = paths.portal_path(self.bzid, _model(meta.model_name))
        if overwrite:
            self.put(path, meta.to_json())
        else:
            try:
                self.connection.create(path, meta.to_json())
            except NodeExists:
                raise NodeExists(
                    f"{meta.model_name} has exists: {path} is there already; unload it, or give --overwrite"
                ) from None
        return path

    def unload(self, model: str) -> bool:
        """Takes a model out of service; whether it was asked for at all."""
        try:
            self.connection.delete(paths.portal_path(self.bzid, _model(model)))
        except NoNode:
            return False
        return True

    def status(self, model: str) -> LoadState:
        state = LoadState(self.connection.exists(paths.portal_path(self.bzid, _model(model))) is not None)
        if any(n.split(":", 2)[2:] == [model] for n in self.children(paths.publish_root(self.bzid))):
            state.publish = True
        for replica in self.replicas(model):
            task, _, name = replica.path.rpartition("/")
            state.service[f"{task.rpartition('/')[2]}:{name}"] = replica.meta.stat
        return state

    def has_service(self, model: str) -> bool:
        return self.connection.exists(paths.service_root(self.bzid, _model(model))) is not None

    def replicas(self, model: str) -> list[Replica]:
        """All replicas of a model with a readable record, with or without the level of the location, by path."""
        root = paths.service_root(self.bzid, _model(model))
        tasks: list[str] = []
        level = [paths.join(root, n) for n in self.children(root)]
        for here, found in zip(level, self.connection.read_many(level), strict=True):
            inner = found[2] if found else []
            # Below a location are tasks, below a task are replicas, which have numbers for names.
            tasks += [paths.join(here, n) for n in inner] if any(":" in n for n in inner) else [here]
        wanted = [paths.join(t, n) for t in tasks for n in self.children(t)]
        return sorted(
            (
                Replica(p, ReplicaMeta.from_json(f[0], p))
                for p, f in zip(wanted, self.connection.read_many(wanted), strict=True)
                if f is not None and f[0]
            ),
            key=lambda r: r.path,
        )

    def contents(self, root: str) -> list[tuple[str, bytes]] | None:
        """(name, data) of each child, sorted; None where there is no root."""
        try:
            names = self.connection.children(root)
        except NoNode:
            return None
        found = self.connection.read_many([paths.join(root, n) for n in names])
        return [(n, f[0]) for n, f in zip(names, found, strict=True) if f is not None]


def _model(name: str | None) -> str:
    if not name:
        raise errors.UsageError("no model named: give --model-name")
    return paths.part(name, "--model-name")


# What `clean` removes the children of, by the word of --args.
CLEANED: dict[str, Callable[[str], str]] = {
    "portal": paths.portal_root,
    "pub": paths.publish_root,
    "addr": paths.service_root,
    "res": paths.resource_root,
}


def clean(portal: Portal, what: str, dry_run: bool, confirm: Callable[[str], bool]) -> list[str]:
    """Removes all children of portal, publish, service or resource, after a question; the removed paths."""
    if what not in CLEANED:
        raise errors.UsageError(f"clean {what}: must be one of {', '.join(CLEANED)}")
    root = CLEANED[what](portal.bzid)
    found = [paths.join(root, n) for n in portal.children(root)]
    if not found or dry_run:
        return found
    if not confirm(f"remove all {len(found)} nodes below {root}, of all models"):
        return []
    for path in found:
        try:
            portal.connection.delete(path, recursive=True)
        except NoNode:
            continue
    return found
