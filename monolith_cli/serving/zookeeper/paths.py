"""Every path that serving uses in ZooKeeper, and the names that are made of several parts (60, 3.6 and 3.7.1).

Below `/<bzid>`: service, resource, portal, publish, locks, election, saved_models, layouts, container_service, binding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from monolith_cli import errors

_WORD = r"[-_0-9A-Za-z]+"
_REPLICA = re.compile(
    rf"/(?P<bzid>{_WORD})/service/(?P<base_name>{_WORD})(/(?P<idc>{_WORD}):(?P<cluster>{_WORD}))?"
    r"/(?P<server_type>\w+):(?P<index>\d+)(/(?P<replica_id>\d+))?",
    re.ASCII,
)

# What ZooKeeper takes in no path; it counts in UTF-16, so that all beyond U+FFFF is surrogates to it.
_NOT_IN_PATHS = re.compile("[/\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")


def part(text: object, what: str = "name") -> str:
    """One part of a path, as it is; UsageError where ZooKeeper would take it for several, for none or for another."""
    text = str(text)
    if not text or text in (".", "..") or _NOT_IN_PATHS.search(text):
        raise errors.UsageError(f"{what} {text!r} cannot be part of a path in ZooKeeper")
    return text


def checked(path: str) -> str:
    """A whole path, as it is but for slashes at its end; UsageError where it is none."""
    if not path.startswith("/"):
        raise errors.UsageError(f"path {path!r}: a path in ZooKeeper starts with /")
    path = path.rstrip("/")
    for name in path.split("/")[1:]:
        part(name, f"path {path!r}: name")
    return path or "/"


def join(*parts: str) -> str:
    """`join("/a", "b:0", "7")` -> `/a/b:0/7`; the parts after the first are checked."""
    return parts[0].rstrip("/") + "".join(f"/{part(p)}" for p in parts[1:])


@dataclass(frozen=True)
class ZkPath:
    """Parts of the path of a task or replica; all strings, all None where the path is none of these."""

    bzid: str | None = None
    base_name: str | None = None
    idc: str | None = None
    cluster: str | None = None
    server_type: str | None = None
    index: str | None = None
    replica_id: str | None = None

    @classmethod
    def parse(cls, path: str) -> ZkPath:
        found = _REPLICA.fullmatch(path)
        return cls(**found.groupdict()) if found else cls()

    def __bool__(self) -> bool:
        return self.bzid is not None

    @property
    def task(self) -> str | None:
        """`ps:0`"""
        return f"{self.server_type}:{self.index}" if self else None

    @property
    def location(self) -> str | None:
        """`idc:cluster`, or None on paths without that level."""
        return f"{self.idc}:{self.cluster}" if self.idc else None

    def ship_in(self, idc: str | None, cluster: str | None) -> bool:
        """Whether this is in that location; where either is None, all are."""
        return idc is None or cluster is None or (self.idc, self.cluster) == (idc, cluster)


@dataclass(frozen=True, order=True)
class SavedModel:
    """A sub graph of a model; as text `<model>:<sub_graph>`, the name it is served under."""

    model_name: str
    sub_graph: str

    def __post_init__(self) -> None:
        if ":" in self.model_name or ":" in self.sub_graph:
            raise errors.UsageError(
                f"{self.model_name!r}, {self.sub_graph!r}: colons part the names of models from their sub graphs"
            )

    def __str__(self) -> str:
        return f"{self.model_name}:{self.sub_graph}"

    @classmethod
    def parse(cls, text: str) -> SavedModel:
        """From the first two parts of `<model>:<sub_graph>`. BadDataError where there are none."""
        parts = text.split(":")
        if len(parts) < 2 or not parts[0] or not parts[1]:
            raise errors.BadDataError(f"{text!r} is no <model>:<sub_graph>")
        return cls(parts[0], parts[1])


def _escape(text: str, what: str) -> str:
    """Colons part names of containers, so one inside (an IPv6 address) is written %3A, a slash %2F, and % itself
    %25."""
    return part(text.replace("%", "%25").replace(":", "%3A").replace("/", "%2F"), what)


def _unescape(text: str) -> str:
    return text.replace("%2F", "/").replace("%3A", ":").replace("%25", "%")


@dataclass(frozen=True, order=True)
class Container:
    """A container that serves: its cluster (`<psm>;<idc>;<cluster>`) and its id. As text `<cluster>:<id>`, colons
    inside escaped."""

    cluster: str
    id: str

    def __str__(self) -> str:
        return f"{_escape(self.cluster, 'container cluster')}:{_escape(self.id, 'container id')}"

    @classmethod
    def parse(cls, text: str) -> Container:
        """BadDataError where there is no colon. All after the first is the id: other writers do not escape an IPv6
        address."""
        cluster, colon, name = text.partition(":")
        if not colon or not cluster or not name:
            raise errors.BadDataError(f"{text!r} is no <cluster>:<container id>")
        return cls(_unescape(cluster), _unescape(name))


def parse_binding(name: str) -> tuple[str, Container]:
    """`<sub_graph>:<cluster>:<id>` -> (sub graph, container). BadDataError where it is not."""
    sub_graph, colon, rest = name.partition(":")
    if not colon or not sub_graph:
        raise errors.BadDataError(f"{name!r} is no <sub_graph>:<cluster>:<container id>")
    return sub_graph, Container.parse(rest)


def service_root(bzid: str, model: str | None = None) -> str:
    return join("", bzid, "service", *([model] if model is not None else []))


def task_path(bzid: str, model: str, server_type: str, task: int, location: str | None = None) -> str:
    """`/B/service/M[/<idc>:<cluster>]/<type>:<task>`"""
    return join(service_root(bzid, model), *([location] if location else []), f"{server_type}:{task}")


def replica_path(bzid: str, model: str, server_type: str, task: int, replica: int, location: str | None = None) -> str:
    """Path of a replica; the replica of an entry has 11 digits.

    An entry whose replica is -1 is numbered by ZooKeeper: the path is then what a sequence node is to be made from,
    `…/entry:0/0`.
    """
    if replica < 0 and server_type != "entry":
        raise errors.UsageError(f"a {server_type} replica needs a number: set REPLICA_ID or MY_POD_NAME")
    name = str(replica) if server_type != "entry" else "0" if replica < 0 else f"{replica:011d}"
    return join(task_path(bzid, model, server_type, task, location), name)


def resource_root(bzid: str) -> str:
    return join("", bzid, "resource")


def resource_path(bzid: str, shard: int, replica: int) -> str:
    return join(resource_root(bzid), f"{shard}:{replica}")


def portal_root(bzid: str) -> str:
    return join("", bzid, "portal")


def portal_path(bzid: str, model: str) -> str:
    return join(portal_root(bzid), model)


def publish_root(bzid: str) -> str:
    return join("", bzid, "publish")


def publish_path(bzid: str, shard: int, replica: int, model: str) -> str:
    return join(publish_root(bzid), f"{shard}:{replica}:{model}")


def locks_root(bzid: str) -> str:
    return join("", bzid, "locks")


def election_root(bzid: str) -> str:
    return join("", bzid, "election")


def saved_models_root(bzid: str) -> str:
    return join("", bzid, "saved_models")


def saved_model_path(bzid: str, model: str, sub_graph: str | None = None) -> str:
    """Where the sub graphs of a model are declared, or one of them."""
    return join(saved_models_root(bzid), model, *([sub_graph] if sub_graph is not None else []))


def layouts_root(bzid: str) -> str:
    return join("", bzid, "layouts")


def layout_path(bzid: str, layout: str) -> str:
    """Path of a layout by its name; a name that starts with a slash is a path already."""
    return checked(layout) if layout.startswith("/") else join(layouts_root(bzid), layout)


def layout_entry_path(layout: str, saved_model: SavedModel) -> str:
    """The node of a sub graph in the layout at path `layout`."""
    return join(layout, str(saved_model))


def containers_root(bzid: str) -> str:
    return join("", bzid, "container_service")


def container_path(bzid: str, container: Container) -> str:
    return join(containers_root(bzid), str(container))


def bindings_root(bzid: str, model: str | None = None) -> str:
    return join("", bzid, "binding", *([model] if model is not None else []))


def binding_path(bzid: str, saved_model: SavedModel, container: Container) -> str:
    return join(bindings_root(bzid, saved_model.model_name), f"{saved_model.sub_graph}:{container}")
