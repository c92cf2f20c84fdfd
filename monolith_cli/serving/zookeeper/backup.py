"""Trees as files: JSON lines that end with a count and a checksum, so that half a file is never taken for a whole one.

    {"format": "monolith-zookeeper-backup", "version": 1, "root": "/gip", "time": 1795349417.2}
    {"path": "", "text": "…"}                     paths are relative to the root; data that is no text is "base64"
    {"path": "/portal/m", "text": "…", "acl": […]}
    {"path": "/service/…/7", "text": "…", "ephemeral": true}
    {"nodes": 3, "sha256": "…"}                   of all bytes before this line

Ephemeral nodes are written down and never restored: they belong to a process. The tree may change while it is read;
each node is whole.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from monolith_cli import errors
from monolith_cli.serving.zookeeper import nodes, paths
from monolith_cli.serving.zookeeper.connection import Connection, NodeExists, NoNode
from monolith_cli.whole_file import whole_file

FORMAT = "monolith-zookeeper-backup"
_MAX_LINE = 64 << 20
_OPEN = [{"scheme": "world", "id": "anyone", "perms": 31}]


def backup(connection: Connection, root: str, target: str) -> dict[str, int]:
    """Writes a tree to the file `target` (`-`: stdout), which appears whole. Returns counts of nodes and of the
    ephemeral among them."""
    root = paths.checked(root)
    counts = {"nodes": 0, "ephemeral": 0}
    with private_file(target) as f:
        digest = hashlib.sha256()

        def write(line: dict) -> None:
            data = json.dumps(line).encode() + b"\n"
            digest.update(data)
            f.write(data)

        write({"format": FORMAT, "version": 1, "root": root, "time": round(time.time(), 3)})
        for node in nodes.walk(connection, root):
            line: dict[str, Any] = {
                "path": "" if node.path == root else node.path.removeprefix(root if root != "/" else ""),
                **nodes.data_fields(node.data),
            }
            if node.ephemeral_owner:
                line["ephemeral"] = True
                counts["ephemeral"] += 1
            acl = _acl_of(connection, node.path)
            if acl is None:
                continue
            if acl != _OPEN:
                line["acl"] = acl
            write(line)
            counts["nodes"] += 1
        f.write(json.dumps({"nodes": counts["nodes"], "sha256": digest.hexdigest()}).encode() + b"\n")
    return counts


def _acl_of(connection: Connection, path: str) -> list[dict] | None:
    try:
        return [{"scheme": a.id.scheme, "id": a.id.id, "perms": a.perms} for a in connection.get_acls(path)]
    except NoNode:
        return None


def private_file(target: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """`whole_file` that its owner alone may read, as nodes may be readable by few; standard output for `-`."""
    return contextlib.nullcontext(sys.stdout.buffer) if target == "-" else whole_file(target, 0o600)


class BackupFile:
    """A backup that was checked from end to end when it was opened. BadDataError where it is cut, damaged or
    something else."""

    def __init__(self, source: str):
        self.name = "standard input" if source == "-" else source
        if source == "-":
            self._file: BinaryIO = tempfile.TemporaryFile()
            while data := sys.stdin.buffer.read(1 << 20):
                self._file.write(data)
            self._file.seek(0)
        else:
            try:
                self._file = open(source, "rb")  # noqa: SIM115 - kept, and read twice
            except OSError as e:
                raise errors.NoInputError(f"{source}: {e.strerror}") from None
        self.root, self.count = self._check()

    def _bad(self, why: str) -> errors.BadDataError:
        return errors.BadDataError(f"{self.name}: {why}")

    def _lines(self) -> Iterator[bytes]:
        self._file.seek(0)
        while line := self._file.readline(_MAX_LINE):
            yield line

    def _check(self) -> tuple[str, int]:
        digest, before, count, root = hashlib.sha256(), None, 0, ""
        for number, line in enumerate(self._lines()):
            if number == 0:
                root = self._header(line)
            if before is not None:
                digest.update(before)
                count += 1
            before = line
        end = self._object(before) if before is not None and before.endswith(b"\n") else {}
        if set(end) != {"nodes", "sha256"}:
            raise self._bad(
                "this is not a whole backup: its last line is missing" if root else "this is no backup of `zk backup`"
            )
        if end["sha256"] != digest.hexdigest() or end["nodes"] != count - 1:
            raise self._bad("the checksum is not that of its contents: the file is damaged")
        return root, end["nodes"]

    def _header(self, line: bytes) -> str:
        head = self._object(line)
        if head.get("format") != FORMAT:
            raise self._bad("this is no backup of `zk backup`")
        if head.get("version") != 1:
            raise self._bad(f"a backup of version {head.get('version')}, which this program does not know")
        return paths.checked(str(head.get("root")))

    def _object(self, line: bytes) -> dict:
        try:
            found = json.loads(line)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def nodes(self) -> Iterator[tuple[str, bytes, bool, list | None]]:
        """(relative path, data, ephemeral, acl) of every node, parents first."""
        for number, line in enumerate(self._lines()):
            if 0 < number <= self.count:
                found = self._object(line)
                try:
                    data = (
                        base64.b64decode(found["base64"], validate=True)
                        if "base64" in found
                        else found["text"].encode()
                    )
                    yield found["path"], data, bool(found.get("ephemeral")), found.get("acl")
                except (KeyError, AttributeError, binascii.Error):
                    raise self._bad(f"line {number + 1} is no node") from None


def restore(
    connection: Connection,
    source: BackupFile,
    target: str | None = None,
    on_exists: str = "fail",
    acls: bool = False,
    dry_run: bool = False,
) -> dict[str, int]:
    """Makes the nodes of a backup again, below `target` (default: where they were). on_exists: what becomes of a node
    that is there with other data: `fail` (NodeExists, before anything is written), `skip` it, or `overwrite` its data.
    Nothing is ever deleted.

    Returns counts: created, overwritten, skipped (there already), ephemeral (never restored).
    """
    target = paths.checked(target or source.root)
    if on_exists == "fail":
        refuse_other_data(connection, source.nodes(), target)
    return put_all(connection, source.nodes(), target, on_exists, acls, dry_run)


def refuse_other_data(connection: Connection, found, target: str) -> None:
    """NodeExists where one of the nodes (as `put_all` takes them) is there with other data. Empty ones are what
    others lie below."""
    for path, data, ephemeral, _ in found:
        if data and not ephemeral and _data_at(connection, _below(target, path)) not in (None, data):
            raise NodeExists(f"{_below(target, path)}: there is such a node already, with other data; see --on-exists")


def _below(target: str, path: str) -> str:
    return (target if target != "/" else "") + path or "/"


def _data_at(connection: Connection, path: str) -> bytes | None:
    try:
        return connection.get(path)[0]
    except NoNode:
        return None


def put_all(connection: Connection, found, target: str, on_exists: str, acls: bool, dry_run: bool) -> dict[str, int]:
    """Makes nodes, (relative path, data, ephemeral, acl) each, parents first; what `restore` does after its look
    ahead."""
    counts = {"created": 0, "overwritten": 0, "skipped": 0, "ephemeral": 0}
    for path, data, ephemeral, acl in found:
        if ephemeral:
            counts["ephemeral"] += 1
            continue
        where = paths.checked(_below(target, path))
        there = _data_at(connection, where)
        if there is None:
            counts["created"] += 1
            if not dry_run:
                connection.create(where, data, acl=_kazoo_acl(acl) if acls and acl else None)
        elif there == data or on_exists != "overwrite":
            counts["skipped"] += 1
        else:
            counts["overwritten"] += 1
            if not dry_run:
                connection.set(where, data)
    return counts


def _kazoo_acl(acl: list[dict]) -> list:
    from kazoo.security import ACL, Id

    try:
        return [ACL(int(a["perms"]), Id(str(a["scheme"]), str(a["id"]))) for a in acl]
    except (KeyError, TypeError, ValueError):
        raise errors.BadDataError(f"an ACL of the backup makes no sense: {json.dumps(acl)[:100]}") from None
