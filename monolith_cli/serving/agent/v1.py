"""Agent of version 1: servers of one model, each registered by what it is, in front of them the entry, which starts
when the others are there."""

from __future__ import annotations

from monolith_cli.serving.agent import model_config
from monolith_cli.serving.agent.base import RESCAN_INTERVAL_S, Agent
from monolith_cli.serving.agent.options import local_host
from monolith_cli.serving.agent.replica_updater import ReplicaUpdater
from monolith_cli.serving.agent.replica_watcher import ReplicaWatcher
from monolith_cli.serving.agent.tfs_monitor import TfsMonitor
from monolith_protos import agent_service_pb2 as pb


class AgentV1(Agent):
    """Order of start: session, registration and watch, gRPC service, then the model servers: ps, dense, entry."""

    def __init__(self, config, options, log):
        super().__init__(config, options, log)
        self.monitor = TfsMonitor(config, local_host(options), options.server_tls)
        self.updater = ReplicaUpdater(self.ephemerals, config, self.monitor, log, self.host, self.host_v6)
        self.watcher = ReplicaWatcher(self.connection, config)
        self._said: list[str] = []

    def provider(self):
        return self

    def replicas(self, server_type: str, task: int, model_name: str) -> list[str]:
        return self.watcher.replicas(server_type, task, self.config.idc, self.config.cluster)

    def heart_beat(self, server_type: str) -> dict[str, list[str]]:
        return self.watcher.own_location(server_type)

    def resource(self):
        return pb.GetResourceResponse()

    def start(self) -> None:
        self.updater.register()
        self.watcher.start()
        self.start_service()
        self.every("status", self.options.status_interval_s, self.updater.update)
        self.every("rescan", RESCAN_INTERVAL_S, self.watcher.rescan)
        self.servers.start(
            {t: model_config.write_model_config(self.config, t) for t in self.config.server_types},
            {"entry": self._others_are_there},
        )

    def _others_are_there(self) -> bool:
        """Whether every task the entry calls has an AVAILABLE replica: each ps in this idc and cluster, and a dense
        anywhere if it is alone."""
        missing = self._missing()
        if missing and missing != self._said:
            self.log.info(f"the entry waits for {', '.join(missing)}")
        self._said = missing
        return not missing

    def _missing(self) -> list[str]:
        idc, cluster = self.config.idc, self.config.cluster
        missing = [f"ps:{i}" for i in range(self.config.num_ps) if not self.watcher.replicas("ps", i, idc, cluster)]
        if self.config.dense_alone and not self.watcher.replicas("dense", 0):
            missing.append("dense:0")
        return missing

    def served_models(self) -> list:
        return self.updater.served

    def stop(self) -> None:
        self.watcher.stop()
        super().stop()
        self.monitor.close()
