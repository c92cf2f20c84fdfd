"""What the commands of `zk` do to nodes: get, set, copy, remove."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator

from monolith_cli import errors
from monolith_cli.serving.zookeeper import backup, nodes, paths
from monolith_cli.serving.zookeeper.connection import Connection, NodeExists, NoNode, ZkConfig, connect

# ZooKeeper's own limit (jute.maxbuffer) is a little above.
MAX_DATA = 1 << 20


def print_tree(connection: Connection, path: str, depth: int | None, as_json: bool) -> None:
    found = nodes.walk(connection, path, depth)
    for line in (
        (json.dumps(nodes.as_json(n), ensure_ascii=False) for n in found) if as_json else nodes.tree_lines(found)
    ):
        sys.stdout.write(line + "\n")


def print_node(connection: Connection, path: str, decoded: bool, as_json: bool) -> None:
    """The node's bytes as they are; decoded: the record, indented; as_json: all that is known of it."""
    node = nodes.read(connection, path)
    if as_json:
        sys.stdout.write(json.dumps(nodes.as_json(node), ensure_ascii=False) + "\n")
        return
    if not decoded:
        sys.stdout.buffer.write(node.data)
        if sys.stdout.isatty() and node.data and not node.data.endswith(b"\n"):
            sys.stdout.write("\n")
        return
    kind, value, wrong = nodes.decode(node.path, node.data)
    if wrong:
        raise errors.BadDataError(wrong)
    if value is None:
        raise errors.BadDataError(f"{node.path}: this is no node of serving; without --decode its bytes are printed")
    sys.stdout.write(json.dumps({"kind": kind, **value}, indent=2, ensure_ascii=False) + "\n")


def read_data(text: str | None, source: str | None) -> bytes:
    """What is to be written: the text of the command line, or a file (`-`: stdin)."""
    if (text is None) == (source is None):
        raise errors.UsageError("give the DATA, or --file with a file that has them")
    if text is not None:
        data = text.encode("utf-8", "surrogateescape")
    elif source == "-":
        data = sys.stdin.buffer.read(MAX_DATA + 1)
    else:
        data = _read_file(source)
    if len(data) > MAX_DATA:
        raise errors.UsageError(f"the data are longer than the {MAX_DATA} bytes a node can hold")
    return data


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as f:
            return f.read(MAX_DATA + 1)
    except OSError as e:
        raise errors.NoInputError(f"{path}: {e.strerror}") from None


def set_node(
    connection: Connection, path: str, data: bytes, create: bool, version: int, check: bool, dry_run: bool
) -> str:
    """Writes a node; what was done: `created` or `changed`. check: refuses data that the node's readers could not
    read."""
    path = paths.checked(path)
    record = nodes.record_class(path)
    if check and record is not None:
        record.from_json(data, path)
    try:
        if not dry_run:
            connection.set(path, data, version)
        elif connection.exists(path) is None:
            raise NoNode(f"{path}: no such node")
        return "changed"
    except NoNode as e:
        if not create:
            raise NoNode(f"{e}; --create makes it") from None
    if not dry_run:
        connection.create(path, data)
    return "created"


def count_below(connection: Connection, path: str) -> tuple[int, int]:
    """(nodes, ephemeral ones among them) of a tree."""
    total = ephemeral = 0
    for node in nodes.walk(connection, path):
        total, ephemeral = total + 1, ephemeral + (node.ephemeral_owner is not None)
    return total, ephemeral


def remove(
    connection: Connection,
    wanted: list[str],
    recursive: bool,
    missing_ok: bool,
    dry_run: bool,
    confirm: Callable[[str], bool],
    run,
) -> dict:
    """Removes nodes, after `confirm` was asked once for all of them. {"removed": [paths], "nodes": how many with
    those below}."""
    found, total = [], 0
    for path in map(paths.checked, wanted):
        if path == "/" or path == "/zookeeper" or path.startswith("/zookeeper/"):
            raise errors.UsageError(f"{path} cannot be removed")
        try:
            node = nodes.read(connection, path)
        except NoNode:
            if not missing_ok:
                raise
            continue
        if node.children and not recursive:
            raise errors.CannotCreateError(f"{path} has {len(node.children)} nodes below it: -r removes them too")
        count, ephemeral = count_below(connection, path)
        if ephemeral:
            run.log.warning(f"{path}: {ephemeral} of the nodes are ephemeral; a process that lives makes its own again")
        found, total = [*found, path], total + count
    run.nothing_to_do = not found
    if found and not dry_run:
        if not confirm(f"remove {', '.join(found)} ({total} nodes)"):
            return {"removed": [], "nodes": 0}
        for path in found:
            try:
                connection.delete(path, recursive=recursive)
            except NoNode:
                continue
    return {"removed": found, "nodes": total}


@dataclasses.dataclass(frozen=True)
class Place:
    """One side of a copy: a node of an ensemble, or a file (path `-`: stdin or stdout). `servers` None: those of
    --zk-servers."""

    path: str
    is_file: bool = False
    servers: str | None = None

    @classmethod
    def parse(cls, text: str) -> Place:
        """`/path`, `host:port[,…]/path`, or a file: `-`, `file:NAME` or a name with a dot or slash in front
        (`./NAME`)."""
        if text.startswith("file:"):
            return cls(text.removeprefix("file:"), True)
        if text == "-" or text.startswith("."):
            return cls(text, True)
        if text.startswith("/"):
            return cls(paths.checked(text))
        servers, slash, path = text.partition("/")
        if not slash or ":" not in servers:
            raise errors.UsageError(f"{text!r}: must be /PATH, HOST:PORT/PATH, or a file as file:NAME, ./NAME or -")
        return cls(paths.checked("/" + path), servers=servers)


def copy(
    config: ZkConfig | None, source: Place, target: Place, recursive: bool, on_exists: str, dry_run: bool, log
) -> dict[str, int]:
    """Copies one node's data, or with `recursive` a tree (a file then is a backup). Counts as `backup.restore` has
    them."""
    if source.is_file and target.is_file:
        raise errors.UsageError("one of both must be a node in ZooKeeper")
    sides = []
    try:
        for place in (source, target):
            sides.append(None if place.is_file else connect(_config_of(config, place), log))
        a, b = sides
        if recursive:
            return _copy_tree(a, b, source, target, on_exists, dry_run)
        data = read_data(None, source.path) if a is None else a.get(source.path)[0]
        if b is None:
            if not dry_run:
                _write_file(target.path, data)
            return {"created": 1}
        return backup.put_all(b, _single(b, target.path, data, on_exists), target.path, on_exists, False, dry_run)
    finally:
        for side in sides:
            if side is not None:
                side.close()


def _config_of(config: ZkConfig | None, place: Place) -> ZkConfig:
    if place.servers is None and (config is None or not config.servers):
        raise errors.UsageError("no ZooKeeper named: give --zk-servers HOST:PORT, or HOST:PORT in front of the path")
    return config if place.servers is None else dataclasses.replace(config, servers=place.servers)


def _single(connection: Connection, path: str, data: bytes, on_exists: str) -> Iterator[tuple[str, bytes, bool, None]]:
    if on_exists == "fail" and connection.exists(path) is not None and connection.get(path)[0] != data:
        raise NodeExists(f"{path}: there is such a node already, with other data; see --on-exists")
    yield "", data, False, None


def _copy_tree(
    a: Connection | None, b: Connection | None, source: Place, target: Place, on_exists: str, dry_run: bool
) -> dict[str, int]:
    if a is None:
        return backup.restore(b, backup.BackupFile(source.path), target.path, on_exists, dry_run=dry_run)
    if b is None:
        if dry_run:
            return {"nodes": count_below(a, source.path)[0]}
        return backup.backup(a, source.path, target.path)
    if source.servers == target.servers and (target.path + "/").startswith(source.path.rstrip("/") + "/"):
        raise errors.UsageError(f"{target.path} is {source.path} or below it: a tree cannot be copied into itself")
    found = [
        (n.path.removeprefix(source.path if source.path != "/" else ""), n.data, n.ephemeral_owner is not None, None)
        for n in nodes.walk(a, source.path)
    ]
    if on_exists == "fail":
        backup.refuse_other_data(b, found, target.path)
    return backup.put_all(b, found, target.path, on_exists, False, dry_run)


def _write_file(path: str, data: bytes) -> None:
    with backup.private_file(path) as f:
        f.write(data)
