"""What /metrics says of an agent."""

from __future__ import annotations

import time


class AgentCollector:
    """A collector for prometheus_client: everything is read when it is asked for."""

    def __init__(self, agent):
        self._agent = agent

    def collect(self):
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        agent = self._agent
        yield GaugeMetricFamily(
            "monolith_agent_zookeeper_connected",
            "1 while there is a session with ZooKeeper and a server answers.",
            value=float(agent.connection.state == "connected"),
        )
        running = GaugeMetricFamily(
            "monolith_agent_server_running", "1 while the model server runs.", labels=["server"]
        )
        restarts = CounterMetricFamily(
            "monolith_agent_server_restarts", "How often the model server was started again.", labels=["server"]
        )
        for status in agent.servers.statuses():
            running.add_metric([status.name], float(agent.servers.running()[status.name]))
            restarts.add_metric([status.name], status.restarts)
        yield from (running, restarts)
        nodes = GaugeMetricFamily(
            "monolith_agent_nodes",
            "Ephemeral nodes of this agent in ZooKeeper: published, pending, or taken by another.",
            labels=["state"],
        )
        states = list(agent.ephemerals.paths().values())
        for state in ("published", "pending", "taken"):
            nodes.add_metric([state], states.count(state))
        yield nodes
        if agent.config.use_metrics:
            yield from self._models()

    def _models(self):
        from prometheus_client.core import GaugeMetricFamily

        config, labels = self._agent.config, ["model_name", "idc", "replica_id", "shard_id", "base_name"]
        version = GaugeMetricFamily(
            "monolith_agent_model_latest_version", "Newest version the server knows.", labels=labels
        )
        updated = GaugeMetricFamily(
            "monolith_agent_model_update_timestamp_seconds", "When that version was first seen.", labels=labels
        )
        since = GaugeMetricFamily(
            "monolith_agent_model_since_last_update_seconds",
            "Seconds since that version was first seen.",
            labels=labels,
        )
        for served in self._agent.served_models():
            if served.latest_version >= 0:
                values = [
                    served.name,
                    f"{config.idc}:{config.cluster}",
                    str(config.replica_id),
                    str(config.shard_id),
                    config.base_name or "",
                ]
                version.add_metric(values, served.latest_version)
                updated.add_metric(values, served.version_since)
                since.add_metric(values, time.time() - served.version_since)
        return version, updated, since
