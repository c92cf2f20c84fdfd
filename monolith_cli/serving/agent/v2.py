"""Agent of version 2: many models over shards. One agent leads and gives orders; each follows those for its
container."""

from __future__ import annotations

from monolith_cli.serving.addresses import join_host_port
from monolith_cli.serving.agent import resources
from monolith_cli.serving.agent.base import RESCAN_INTERVAL_S, Agent
from monolith_cli.serving.agent.election import Election
from monolith_cli.serving.agent.loader import Loader
from monolith_cli.serving.agent.mirror import Mirror
from monolith_cli.serving.agent.model_config import write_config
from monolith_cli.serving.agent.node_set import NodeSet
from monolith_cli.serving.agent.options import allowed_path, local_host
from monolith_cli.serving.agent.scheduler import Scheduler
from monolith_cli.serving.agent.service import own_resource
from monolith_cli.serving.agent.tfs_monitor import TfsMonitor
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.records import ResourceSpec

NO_MODELS = "model_config_list {\n}\n"
# Memory is told again this often, and when it has changed by a sixteenth.
RESOURCE_INTERVAL_S = 10.0


class AgentV2(Agent):
    """Order of start: session, watches, model servers without models, gRPC service, resources, loader, election."""

    def __init__(self, config, options, log):
        super().__init__(config, options, log)
        self.monitor = TfsMonitor(config, local_host(options), options.server_tls)
        self._load_rounds = None
        self.mirror = Mirror(
            self.connection, config.bzid, config.shard_id, config.replica_id, config.num_tce_shard, log, self._published
        )
        config_files = {str(t): config.run_path(f"{t}_model_config.pbtxt") for t in config.server_types}
        addresses = {
            t: (join_host_port(self.host, config.ports(t)[0]), f"[{self.host_v6}]:{config.ports(t)[0]}")
            for t in config_files
        }

        def allowed(path: str) -> bool:
            return allowed_path(options.model_roots, path)

        self.loader = Loader(
            self.mirror, NodeSet(self.ephemerals), config, self.monitor, config_files, addresses, allowed, log
        )
        self.scheduler = Scheduler(self.mirror, resources.model_info, allowed, log)
        self.config_files = config_files
        self.election: Election | None = None
        self._memory = 0

    def provider(self):
        return self

    def replicas(self, server_type: str, task: int, model_name: str) -> list[str]:
        return self.mirror.task_replicas(model_name, server_type, task)

    def heart_beat(self, server_type: str) -> dict[str, list[str]]:
        """Keys are `<model>:<type>:<task>`, of that type."""
        return {key: found for key, found in self.mirror.replicas().items() if key.split(":")[-2] == server_type}

    def resource(self):
        return own_resource(self.config, self.host)

    def start(self) -> None:
        self.mirror.watch_service()
        self.mirror.watch_resource()
        self.mirror.watch_publish()
        for path in self.config_files.values():
            write_config(path, NO_MODELS)
        self.servers.start(self.config_files)
        self.start_service()
        self.every("resource", RESOURCE_INTERVAL_S, self.report_resource)
        self._load_rounds = self.every("models", self.options.status_interval_s, self.loader.step)
        self.every("rescan", RESCAN_INTERVAL_S, self.mirror.rescan)
        if self.config.deploy_type != "entry":
            identifier = self.options.environ.get("MY_POD_NAME") or join_host_port(self.host, self.config.agent_port)
            self.election = Election(self.connection, self.config.bzid, identifier, self.scheduler.lead, self.log)
            self.election.start()

    def _published(self) -> None:
        if self._load_rounds is not None:
            self._load_rounds.wake()

    def report_resource(self) -> None:
        """This container's node under resource/, in which the scheduler sees shard, replica and memory."""
        memory = resources.memory(self.config.environ).available
        if abs(memory - self._memory) * 16 > self._memory:
            spec = ResourceSpec(
                address=join_host_port(self.host, self.config.agent_port),
                shard_id=self.config.shard_id,
                replica_id=self.config.replica_id,
                memory=memory,
            )
            self.ephemerals.publish(
                paths.resource_path(self.config.bzid, spec.shard_id, spec.replica_id), spec.to_json()
            )
            self._memory = memory

    def stop(self) -> None:
        if self.election:
            self.election.stop()
        self.mirror.stop()
        super().stop()
        self.loader.close()
        self.monitor.close()
