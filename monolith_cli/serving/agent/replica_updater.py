"""Registers what this agent serves in the v1 tree, and keeps each node's state that of the model server behind it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.serving import addresses
from monolith_cli.serving.agent.tfs_monitor import newest
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.records import ReplicaMeta, State


@dataclass
class Served:
    """One sub model that this agent serves and the node that says so."""

    name: str
    meta: ReplicaMeta
    path: str
    latest_version: int = -1
    # When the latest version was first seen, in seconds of the system clock.
    version_since: float = 0.0
    # Said once, not every second.
    complaint: str = ""


def served_tasks(config) -> list[tuple[str, str, int]]:
    """(model name, server type, task) of what the servers of this configuration serve, the entry first."""
    tasks = {
        "entry": [("entry", "entry", 0)],
        "dense": [("dense_0", "dense", 0)],
        "ps": [(f"ps_{i}", "ps", i) for i in config.ps_tasks] if "ps" in config.server_types else [],
    }
    return [
        task
        for server_type in ("entry", "ps", "dense")
        if server_type in config.server_types
        for task in tasks[server_type]
    ]


class ReplicaUpdater:
    """register() once, then update() every second.

    nodes: `zookeeper.connection.EphemeralNodes`. monitor: `TfsMonitor`. host, host_v6: where the model servers can be
    reached. After register() `replica_id` is the number that the nodes carry.
    """

    def __init__(self, nodes, config, monitor, log, host: str, host_v6: str):
        self._nodes, self._config, self._monitor, self._log = nodes, config, monitor, log
        self._host, self._host_v6 = host, host_v6
        self.replica_id = config.replica_id
        self.served: list[Served] = []

    def register(self) -> None:
        """Puts up a node for each sub model, in state UNKNOWN. The entry comes first: with no replica id it draws
        one, which the others then carry too. ConfigError where there is no entry to draw one."""
        for name, server_type, task in served_tasks(self._config):
            if self.replica_id == -1 and server_type != "entry":
                raise errors.ConfigError(
                    f"no replica id for {name}: set MY_POD_NAME; several {server_type} containers without "
                    "one would overwrite each other"
                )
            meta = self._meta(server_type)
            path = paths.replica_path(
                self._config.bzid,
                self._config.base_name,
                server_type,
                task,
                self.replica_id,
                self._config.location if self._config.dc_aware else None,
            )
            if self.replica_id == -1:
                path = self._nodes.publish(path, meta.to_json(), sequence=True)
                self.replica_id = int(path.rpartition("/")[2])
            else:
                self._nodes.publish(path, meta.to_json())
            self.served.append(Served(name, meta, path))

    def _meta(self, server_type: str) -> ReplicaMeta:
        port, archon = (getattr(self._config, f"tfs_{server_type}_{kind}port") for kind in ("", "archon_"))
        return ReplicaMeta(
            address=addresses.join_host_port(self._host, port),
            address_ipv6=f"[{self._host_v6}]:{port}",
            stat=int(State.UNKNOWN),
            archon_address=addresses.join_host_port(self._host, archon),
            archon_address_ipv6=f"[{self._host_v6}]:{archon}",
        )

    def update(self) -> None:
        """Asks the servers for each sub model and writes the nodes whose state changed."""
        for served in self.served:
            state = self._state(served)
            if state != served.meta.stat:
                self._log.info(f"{served.path}: {State.of(state).name}")
            served.meta.stat = state
            self._nodes.update(served.path, served.meta.to_json())

    def _state(self, served: Served) -> int:
        import grpc

        try:
            statuses = self._monitor.status(served.name)
        except grpc.RpcError as e:
            if served.latest_version < 0:  # it is about to start
                return int(State.UNKNOWN)
            return self._complain(served, f"{served.name}: {e.code().name} {e.details()}", State.UNKNOWN)
        chosen = newest(statuses)
        if chosen is None:
            return int(State.UNKNOWN)
        latest = max(s.version for s in statuses)
        if latest != served.latest_version:
            served.latest_version, served.version_since = latest, time.time()
        if chosen.status.error_code:
            return self._complain(
                served, f"{served.name} version {chosen.version}: {chosen.status.error_message}", chosen.state
            )
        served.complaint = ""
        return int(chosen.state)

    def _complain(self, served: Served, message: str, state: int) -> int:
        if message != served.complaint:
            self._log.warning(message)
            served.complaint = message
        return int(state)
