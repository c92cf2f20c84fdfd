"""A set of ephemeral nodes that is replaced as a whole."""

from __future__ import annotations


class NodeSet:
    """Of the nodes that a process keeps (`zookeeper.connection.EphemeralNodes`) those of one purpose. For one
    thread."""

    def __init__(self, nodes):
        self._nodes = nodes
        self._held: set[str] = set()

    def replace(self, contents: dict[str, bytes]) -> None:
        """Keeps exactly these: path → data."""
        for path in sorted(self._held - set(contents)):
            self._nodes.withdraw(path)
            self._held.discard(path)
        for path, data in sorted(contents.items()):
            self._nodes.publish(path, data)
            self._held.add(path)
