"""Nodes for people: what kind each is, what it holds in words, and walking a tree of them."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from monolith_cli import errors
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.connection import Connection, NoNode
from monolith_cli.serving.zookeeper.records import (
    ContainerServiceInfo,
    ModelMeta,
    PublishMeta,
    PublishType,
    Record,
    ReplicaMeta,
    ResourceSpec,
    SavedModelDeployConfig,
)

# Folder below /<bzid> -> (record, how many names deep below the folder it is).
_RECORDS: dict[str, tuple[type[Record], int]] = {
    "resource": (ResourceSpec, 1),
    "portal": (ModelMeta, 1),
    "publish": (PublishMeta, 1),
    "container_service": (ContainerServiceInfo, 1),
    "saved_models": (SavedModelDeployConfig, 2),
}
_MAX_SHOWN = 100
_CONTAINER_OWNER, _TTL_TOP = -(1 << 63), 0xFF


@dataclass
class Node:
    """A node that was read. stat is kazoo's ZnodeStat."""

    path: str
    data: bytes
    stat: Any
    children: list[str]

    @property
    def ephemeral_owner(self) -> int | None:
        """The session the node goes with. Nodes with a time to live and containers use the field for something else."""
        owner = self.stat.ephemeralOwner
        return None if owner in (0, _CONTAINER_OWNER) or (owner >> 56) & 0xFF == _TTL_TOP else owner


def read(connection: Connection, path: str) -> Node:
    """One node; NoNode where there is none."""
    path = paths.checked(path)
    (found,) = connection.read_many([path])
    if found is None:
        raise NoNode(f"{path}: no such node")
    return Node(path, *found)


def walk(connection: Connection, path: str, depth: int | None = None) -> Iterator[Node]:
    """A node and all below it, parents first, names in order; `depth` levels below it at most. What vanishes
    meanwhile is left out."""
    root = read(connection, path)

    def below(node: Node, left: int | None) -> Iterator[Node]:
        yield node
        if left == 0 or not node.children:
            return
        names = [paths.join(node.path, n) for n in node.children if node.path != "/" or n != "zookeeper"]
        for at in range(0, len(names), 256):
            part = names[at : at + 256]
            for name, found in zip(part, connection.read_many(part), strict=True):
                if found is not None:
                    yield from below(Node(name, *found), None if left is None else left - 1)

    yield from below(root, depth)


def record_class(path: str) -> type[Record] | None:
    """The record that a node at this path holds, None where it holds none of ours."""
    parts = path.split("/")[1:]
    if len(parts) < 3:
        return None
    if parts[1] == "service":
        return ReplicaMeta if len(parts) in (5, 6) and ":" in parts[-2] and parts[-1].isdigit() else None
    found = _RECORDS.get(parts[1])
    return found[0] if found and len(parts) == 2 + found[1] else None


def decode(path: str, data: bytes) -> tuple[str | None, dict | None, str | None]:
    """(kind, value, what is wrong): the record's name and fields; of a binding or an entry of a layout the parts of
    its name."""
    parts = path.split("/")[1:]
    try:
        if (record := record_class(path)) is not None:
            return record.__name__, dataclasses.asdict(record.from_json(data, path)), None
        if len(parts) == 4 and parts[1] == "binding":
            sub_graph, container = paths.parse_binding(parts[3])
            return (
                "Binding",
                {"model_name": parts[2], "sub_graph": sub_graph, "cluster": container.cluster, "id": container.id},
                None,
            )
        if len(parts) == 4 and parts[1] == "layouts":
            saved_model = paths.SavedModel.parse(parts[3])
            return "LayoutEntry", {"model_name": saved_model.model_name, "sub_graph": saved_model.sub_graph}, None
    except errors.BadDataError as e:
        return (record.__name__ if record else None), None, str(e)
    return None, None, None


def text_of(data: bytes) -> str | None:
    """The data as text, None where they are none (binary)."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t" for c in text) else None


def summary(path: str, data: bytes) -> str:
    """What a node holds, in a few words for a line."""
    kind, value, wrong = decode(path, data)
    if wrong:
        return f"!! {wrong.removeprefix(path + ': ')}"
    if value is not None and kind in ("Binding", "LayoutEntry"):
        return ""  # the name says it
    if value is not None:
        record = record_class(path)
        defaults = {f.name: f.default for f in dataclasses.fields(record)}
        words = []
        if kind == "ReplicaMeta":
            words = [ReplicaMeta(stat=value.pop("stat")).state.name]
        if kind == "PublishMeta":
            ptype = value.pop("ptype")
            words = [PublishType(ptype).name if ptype in list(PublishType) else f"ptype={ptype}"]
        words += [
            f"{k}={json.dumps(v) if isinstance(v, (dict, list)) else v}"
            for k, v in value.items()
            if v != defaults[k] and v != []
        ]
        return " ".join([kind, *words])
    text = text_of(data)
    if text is None:
        return f"<{len(data)} bytes>"
    line = text.replace("\n", "⏎").replace("\t", " ")
    return line if len(line) <= _MAX_SHOWN else line[:_MAX_SHOWN] + f"… ({len(data)} bytes)"


def data_fields(data: bytes) -> dict[str, str]:
    """{"text": …}, or {"base64": …} for what is no text."""
    text = text_of(data)
    return {"base64": base64.b64encode(data).decode()} if text is None else {"text": text}


def as_json(node: Node) -> dict:
    """All that is known of a node, as one JSON object."""
    kind, value, wrong = decode(node.path, node.data)
    made: dict[str, Any] = {"path": node.path, "kind": kind, "value": value, **data_fields(node.data)}
    if wrong:
        made["error"] = wrong
    owner = node.ephemeral_owner
    return made | {
        "ephemeral_owner": None if owner is None else f"0x{owner & (2**64 - 1):x}",
        "version": node.stat.version,
        "children": len(node.children),
        "ctime": node.stat.ctime / 1000,
        "mtime": node.stat.mtime / 1000,
        "czxid": f"0x{node.stat.czxid:x}",
        "mzxid": f"0x{node.stat.mzxid:x}",
    }


def tree_lines(nodes: Iterator[Node]) -> Iterator[str]:
    """A line a node, indented by depth: name, `(ephemeral)`, and what it holds."""
    root = None
    for node in nodes:
        root = root if root is not None else node.path
        below = node.path.removeprefix(root).strip("/") if root != "/" else node.path.strip("/")
        depth = below.count("/") + 1 if below else 0
        name = node.path if not below else below.rpartition("/")[2]
        holds = summary(node.path, node.data)
        yield "  " * depth + "  ".join(w for w in (name, "(ephemeral)" if node.ephemeral_owner else "", holds) if w)
