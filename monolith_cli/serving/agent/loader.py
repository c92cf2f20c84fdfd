"""The work of every agent of version 2: makes its model servers serve what its orders say, and says so in the service
tree."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures
from pathlib import PurePosixPath

import grpc

from monolith_cli.serving.agent import model_config
from monolith_cli.serving.agent.mirror import Mirror
from monolith_cli.serving.agent.tfs_monitor import newest
from monolith_cli.serving.zookeeper.records import PublishMeta, ReplicaMeta, State


def task_of(sub_model: str) -> tuple[str, int]:
    """`ps_3` → (ps, 3); `entry` → (entry, 0); `entry_item_embedding_0` → (entry_item_embedding, 0)."""
    name, _, number = sub_model.rpartition("_")
    return (name, int(number)) if name and number.isdigit() else (sub_model, 0)


class Loader:
    """step() compares orders with what was last sent to the servers, sends what differs, and lists what the servers
    have.

    nodes: `NodeSet`. monitor: `TfsMonitor`. config_files: server type → the model config file of that server, which
    it reads when it is started again. addresses: server type → (address, address_ipv6). allowed(path): whether a
    model may be loaded from there.
    """

    def __init__(
        self,
        mirror: Mirror,
        nodes,
        config,
        monitor,
        config_files: dict[str, str],
        addresses: dict[str, tuple[str, str]],
        allowed: Callable[[str], bool],
        log,
    ):
        self._mirror, self._nodes, self._config, self._monitor = mirror, nodes, config, monitor
        self._config_files, self._addresses, self._allowed, self._log = config_files, addresses, allowed, log
        # Server type → the config it was last sent, at first that of the file; gone again where it could not be
        # reached.
        self._sent = {t: model_config.server_config([]).SerializeToString(deterministic=True) for t in config_files}
        self._complaints: dict[str, str] = {}
        self._reloads = futures.ThreadPoolExecutor(4, "reload")

    def close(self) -> None:
        self._reloads.shutdown(wait=False, cancel_futures=True)

    def step(self) -> None:
        """Models that leave are taken off the list before the servers are told."""
        orders = {model: self._checked(model, order) for model, order in self._mirror.expected_loading().items()}
        self._list(orders)
        for server_type, wanted in self._configs(orders).items():
            self._send(server_type, wanted)

    def _checked(self, model: str, order: PublishMeta) -> PublishMeta:
        kept = {}
        for name, path in (order.sub_models or {}).items():
            if isinstance(path, str) and PurePosixPath(path).name.isdigit() and self._allowed(path):
                kept[name] = path
                self._complaints.pop(f"{model}:{name}", None)
            else:
                self._complain(
                    f"{model}:{name}",
                    f"{model}:{name}: {path} is no version path within what --model-root allows; not loaded",
                )
        order.sub_models = kept
        return order

    def _configs(self, orders: dict[str, PublishMeta]) -> dict[str, model_config.ModelServerConfig]:
        """Server type → what it is to load, of all servers here."""
        return {t: model_config.server_config([]) for t in self._config_files} | self._monitor.model_configs(
            orders.values()
        )

    def _send(self, server_type: str, wanted: model_config.ModelServerConfig) -> None:
        """Into the file, for a server that is started again, and to the one that runs. Nobody waits for what it then
        loads."""
        content = wanted.SerializeToString(deterministic=True)
        if self._sent.get(server_type) != content:
            model_config.write_config(self._config_files[server_type], model_config.model_config_text(wanted))
            self._sent[server_type] = content
            self._reloads.submit(self._reload, server_type, wanted, content)

    def _reload(self, server_type: str, wanted: model_config.ModelServerConfig, content: bytes) -> None:
        try:
            status = self._monitor.reload(server_type, wanted)
        except grpc.RpcError as e:
            if e.code() != grpc.StatusCode.UNAVAILABLE:
                self._complain(server_type, f"{server_type} server: reload: {e.code().name} {e.details()}")
            elif self._sent.get(server_type) == content:
                self._sent.pop(server_type, None)  # it may have read the file of before; the next step tells it again
        else:
            if status.error_code:
                self._complain(server_type, f"{server_type} server: reload: {status.error_message}")
            else:
                self._complaints.pop(server_type, None)

    def _complain(self, what: str, message: str) -> None:
        if self._complaints.get(what) != message:
            self._complaints[what] = message
            self._log.warning(message)

    def _list(self, orders: dict[str, PublishMeta]) -> None:
        """Own nodes of the service tree: one for each sub model that a server here knows. While a version replaces
        another the old one counts, which serves until the new one does."""
        wanted = {}
        for model, order in orders.items():
            for sub_model in order.sub_models or {}:
                state = self._state(f"{model}:{sub_model}")
                if state is not None:
                    path, meta = self._node(model, sub_model, state)
                    wanted[path] = meta.to_json()
        self._nodes.replace(wanted)

    def _state(self, name: str) -> State | None:
        """None where the server does not know the model, or there is none for it here."""
        try:
            chosen = newest(self._monitor.status(name))
        except grpc.RpcError as e:
            return None if e.code() == grpc.StatusCode.NOT_FOUND else State.UNKNOWN
        return None if chosen is None or chosen.version < 0 else State.of(chosen.state)

    def _node(self, model: str, sub_model: str, state: State) -> tuple[str, ReplicaMeta]:
        server_type, task = task_of(sub_model)
        address, address_v6 = self._addresses[self._monitor.server_type(sub_model)]
        meta = ReplicaMeta(
            address=address,
            address_ipv6=address_v6,
            stat=int(state),
            model_name=model,
            server_type=server_type,
            task=task,
            replica=self._number(server_type),
        )
        return meta.path(self._mirror.bzid), meta

    def _number(self, server_type: str) -> int:
        """Every shard serves the entry: its replicas are told apart by shard too."""
        replica, shards = self._config.replica_id, self._mirror.num_shard
        return replica * shards + self._mirror.shard_id if server_type.startswith("entry") else replica
