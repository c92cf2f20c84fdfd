"""Who serves what in the v1 tree: `/<bzid>/service/<base_name>[/<idc>:<cluster>]/<type>:<task>/<replica>`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.serving import addresses
from monolith_cli.serving.agent.tree import BRANCH, LEAF, TreeMirror
from monolith_cli.serving.zookeeper.records import ReplicaMeta, State

_TASK = re.compile(r"(ps|entry|dense):(\d+)")
_LOCATION = re.compile(r"([-\w]+):([-\w]+)")


@dataclass(frozen=True)
class TargetExtraInfo:
    """Where the server behind an address stands."""

    idc: str | None
    cluster: str | None
    replica_id: int


@dataclass(frozen=True)
class Replica:
    """One node of the tree, decoded."""

    idc: str | None
    cluster: str | None
    server_type: str
    task: int
    replica: int
    meta: ReplicaMeta

    @property
    def task_key(self) -> str:
        """`<type>:<task>`, with `<idc>:<cluster>/` before it where the tree has that level."""
        location = f"{self.idc}:{self.cluster}/" if self.idc is not None else ""
        return f"{location}{self.server_type}:{self.task}"

    def is_in(self, idc: str | None, cluster: str | None) -> bool:
        """Whether it stands in this idc and cluster; what either side does not say, fits."""
        return None in (self.idc, self.cluster, idc, cluster) or (self.idc, self.cluster) == (idc, cluster)


def node_kind(names: list[str]) -> str | None:
    """What a node of the tree is, by the names below `/<bzid>/service/<base_name>`."""
    if _TASK.fullmatch(names[0]):
        task_at = 0
    elif _LOCATION.fullmatch(names[0]):
        if len(names) == 1:
            return BRANCH
        task_at = 1
    else:
        return None
    if not _TASK.fullmatch(names[task_at]):
        return None
    if len(names) == task_at + 1:
        return BRANCH
    return LEAF if len(names) == task_at + 2 and names[-1].lstrip("-").isdigit() else None


class ReplicaWatcher:
    """The replicas of one model, all of them, in memory.

    While ZooKeeper cannot be reached the last known replicas are what queries answer with: most of them still serve.
    use_archon: hand out archon addresses, where a node has them.
    """

    def __init__(self, connection, config, use_archon: bool = False):
        self._config, self._use_archon = config, use_archon
        self._tree = TreeMirror(connection, f"/{config.bzid}/service/{config.base_name}", node_kind)
        # Decoded nodes by path, kept while their bytes stay the same.
        self._decoded: dict[str, tuple[bytes, Replica | None]] = {}

    def start(self) -> None:
        self._tree.start()

    def stop(self) -> None:
        self._tree.stop()

    def rescan(self) -> None:
        self._tree.rescan()

    def listed(self) -> list[Replica]:
        """Every replica whatever its state, by location, type, task and replica number."""
        nodes = self._tree.items()
        for path in set(self._decoded) - set(nodes):
            self._decoded.pop(path, None)
        for path, data in nodes.items():
            before = self._decoded.get(path)
            if before is None or before[0] != data:
                self._decoded[path] = (data, self._decode(path, data, before[1] if before else None))
        found = [replica for _, replica in self._decoded.copy().values() if replica is not None]
        return sorted(found, key=lambda r: (r.idc or "", r.cluster or "", r.server_type, r.task, r.replica))

    def _decode(self, path: str, data: bytes, known: Replica | None) -> Replica | None:
        *location, task, number = path[len(self._tree.root) :].strip("/").split("/")
        idc, cluster = location[0].split(":") if location else (None, None)
        server_type, index = task.split(":")
        try:
            meta = ReplicaMeta.from_json(data)
        except errors.BadDataError:
            # Empty or damaged: whoever was there is in no state to be called, but may come back.
            if known is None:
                return None
            meta = ReplicaMeta(**{**vars(known.meta), "stat": int(State.UNKNOWN)})
        return Replica(idc, cluster, server_type, int(index), int(number), meta)

    def address(self, meta: ReplicaMeta, family: str = "ipv4") -> str | None:
        if family == "ipv4" and addresses.is_ipv6_only():
            family = "ipv6"
        return meta.get_address(use_archon=self._use_archon, family=family)

    def _available(self, replica: Replica, family: str) -> str | None:
        return self.address(replica.meta, family) if replica.meta.stat == State.AVAILABLE else None

    def all_replicas(
        self, server_type: str, idc: str | None = None, cluster: str | None = None, family: str = "ipv4"
    ) -> dict[str, list[str]]:
        """Task key → addresses of its AVAILABLE replicas; a task that has none maps to an empty list. idc and cluster
        count only where the tree has locations (dc_aware)."""
        found: dict[str, list[str]] = {}
        for replica in self.listed():
            if replica.server_type != server_type or (self._config.dc_aware and not replica.is_in(idc, cluster)):
                continue
            addresses_of_task = found.setdefault(replica.task_key, [])
            if address := self._available(replica, family):
                addresses_of_task.append(address)
        return found

    def own_location(self, server_type: str) -> dict[str, list[str]]:
        """`<type>:<task>` → addresses of AVAILABLE replicas in this container's own idc and cluster, as HeartBeat
        answers."""
        found: dict[str, list[str]] = {}
        for key, addresses_of_task in self.all_replicas(server_type, self._config.idc, self._config.cluster).items():
            found.setdefault(key.rpartition("/")[2], []).extend(addresses_of_task)
        return found

    def _of_task(self, server_type: str, task: int, idc: str | None, cluster: str | None) -> list[Replica]:
        return [r for r in self.listed() if (r.server_type, r.task) == (server_type, task) and r.is_in(idc, cluster)]

    def replicas(
        self, server_type: str, task: int, idc: str | None = None, cluster: str | None = None, family: str = "ipv4"
    ) -> list[str]:
        """Addresses of the AVAILABLE replicas of one task."""
        found = (self._available(r, family) for r in self._of_task(server_type, task, idc, cluster))
        return [address for address in found if address]

    def replica(
        self,
        server_type: str,
        task: int,
        replica_id: int,
        idc: str | None = None,
        cluster: str | None = None,
        family: str = "ipv4",
    ) -> str | list[str] | None:
        """Address of one replica: None where it is not AVAILABLE, a list where several locations have one of this
        number."""
        of_task = (r for r in self._of_task(server_type, task, idc, cluster) if r.replica == replica_id)
        found = [address for r in of_task if (address := self._available(r, family))]
        return None if not found else found[0] if len(found) == 1 else found

    def with_extra_info(
        self, server_type: str, task: int, idc: str | None = None, cluster: str | None = None, family: str = "ipv4"
    ) -> dict[str, TargetExtraInfo]:
        """Address → where it stands, of the AVAILABLE replicas of one task."""
        return {
            address: TargetExtraInfo(r.idc, r.cluster, r.replica)
            for r in self._of_task(server_type, task, idc, cluster)
            if (address := self._available(r, family))
        }
