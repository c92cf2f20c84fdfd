"""The work of every agent of version 2: makes its model servers serve what its orders say, and says so in the service tree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

import grpc

from monolith_cli.serving.agent import model_config
from monolith_cli.serving.agent.mirror import Mirror
from monolith_cli.serving.agent.platform_config import write_whole
from monolith_cli.serving.zookeeper.records import PublishMeta, ReplicaMeta, State

_NOT_FOUND = 5


def task_of(sub_model: str) -> tuple[str, int]:
    """`ps_3` → (ps, 3); `entry` → (entry, 0); `entry_item_embedding_0` → (entry_item_embedding, 0)."""
    name, _, number = sub_model.rpartition("_")
    return (name, int(number)) if name and number.isdigit() else (sub_model, 0)


class Loader:
    """step() compares orders with what was last sent to the servers, sends what differs, and lists what the servers have.

    nodes: `NodeSet`. monitor: `TfsMonitor`. config_files: server type → the model config file of that server, which it reads when it is
    started again. addresses: server type → (address, address_ipv6). allowed(path): whether a model may be loaded from there.
    """

    def __init__(self, mirror: Mirror, nodes, config, monitor, config_files: dict[str, str], addresses: dict[str, tuple[str, str]],
                 allowed: Callable[[str], bool], log):
        self._mirror, self._nodes, self._config, self._monitor = mirror, nodes, config, monitor
        self._config_files, self._addresses, self._allowed, self._log = config_files, addresses, allowed, log
        self._sent: dict[str, bytes] = {}
        self._complaints: dict[str, str] = {}

    def step(self) -> None:
        """Models that leave are taken off the list before the servers are told."""
        orders = {model: self._checked(model, order) for model, order in self._mirror.expected_loading().items()}
        self._list(orders)
        for server_type, wanted in self._configs(orders).items():
            self._send(server_type, wanted)
        self._list(orders)

    def _checked(self, model: str, order: PublishMeta) -> PublishMeta:
        kept = {}
        for name, path in (order.sub_models or {}).items():
            if isinstance(path, str) and PurePosixPath(path).name.isdigit() and self._allowed(path):
                kept[name] = path
                self._complaints.pop(f"{model}:{name}", None)
            else:
                self._complain(f"{model}:{name}", f"{path} is no version path within what --model-root allows; not loaded")
        order.sub_models = kept
        return order

    def _configs(self, orders: dict[str, PublishMeta]) -> dict[str, object]:
        """Server type → ModelServerConfig, an empty one where nothing is ordered."""
        from monolith_cli.serving.protos import model_server_config_pb2

        made = {str(getattr(t, "value", t)).lower(): c for t, c in self._monitor.model_config(list(orders.values())).items()}
        for server_type in self._config_files:
            config = made.setdefault(server_type, model_server_config_pb2.ModelServerConfig())
            config.model_config_list.SetInParent()
        return made

    def _send(self, server_type: str, wanted) -> None:
        content = wanted.SerializeToString(deterministic=True)
        if self._sent.get(server_type) == content and not self._forgotten(server_type, wanted):
            return
        self._sent.pop(server_type, None)
        write_whole(self._config_files[server_type], model_config.model_config_text(wanted))
        try:
            status = self._monitor.reload(server_type, wanted)
        except grpc.RpcError as e:
            self._complain(server_type, f"{server_type} server: {e.code().name} {e.details()}")
            return
        self._sent[server_type] = content
        if status.error_code:
            self._complain(server_type, f"{server_type} server: {status.error_message}")
        else:
            self._complaints.pop(server_type, None)

    def _forgotten(self, server_type: str, wanted) -> bool:
        """Whether the server knows nothing of a model it was sent: it was started anew."""
        for config in wanted.model_config_list.config:
            try:
                self._monitor.status(config.name)
            except grpc.RpcError as e:
                if e.code() == grpc.StatusCode.NOT_FOUND:
                    return True
        return False

    def _complain(self, what: str, message: str) -> None:
        if self._complaints.get(what) != message:
            self._complaints[what] = message
            self._log.warning(message)

    def _list(self, orders: dict[str, PublishMeta]) -> None:
        """Own nodes of the service tree: one for each sub model that a server here knows."""
        wanted = {}
        for model, order in orders.items():
            for name, (_, status) in self._monitor.status(order).items():
                sub_model = name.rpartition(":")[2]
                server_type, task = task_of(sub_model)
                if server_type not in self._addresses or status.status.error_code == _NOT_FOUND:
                    continue
                address, address_v6 = self._addresses[server_type]
                meta = ReplicaMeta(address=address, address_ipv6=address_v6, stat=int(State.of(status.state)), model_name=model,
                                   server_type=server_type, task=task, replica=self._number(server_type))
                wanted[f"{self._mirror.base}/service/{model}/{server_type}:{task}/{meta.replica}"] = meta.to_json()
        self._nodes.replace(wanted)

    def _number(self, server_type: str) -> int:
        """Every shard serves the entry: its replicas are told apart by shard too."""
        replica, shards = self._config.replica_id, self._mirror.num_shard
        return replica * shards + self._mirror.shard_id if server_type.startswith("entry") else replica
