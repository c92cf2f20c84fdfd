"""What the agents of all versions have: a session with ZooKeeper, own nodes in it, model servers, the gRPC service,
rounds of work."""

from __future__ import annotations

import threading
import time

from monolith_cli.serving.agent.model_servers import ModelServers
from monolith_cli.serving.agent.options import AgentOptions, is_loopback, reachable_host, reachable_host_v6
from monolith_cli.serving.agent.rounds import Rounds
from monolith_cli.serving.agent.service import AgentService
from monolith_cli.serving.zookeeper.connection import EphemeralNodes, connect

# Everything that is watched is read again this often, in seconds.
RESCAN_INTERVAL_S = 60.0


class Agent:
    """start() brings everything up, in order; check() is called again and again while it runs, until `stopping` is
    set; stop() takes everything down, in order.

    Subclasses fill `rounds` and give `provider`, what the gRPC service answers with.
    """

    def __init__(self, config, options: AgentOptions, log):
        self.config, self.options, self.log = config, options, log
        self.stopping = threading.Event()
        self.host = reachable_host(options)
        self.host_v6 = reachable_host_v6(options)
        if is_loopback(options.host) and not is_loopback(self.host):
            log.warning(f"others are told {self.host}, but the servers listen on {options.host} alone: give --host")
        self.connection = connect(options.zk, log)
        self.connection.on_state(self._state_changed)
        self.ephemerals = EphemeralNodes(self.connection)
        self.servers = ModelServers(config, options, log)
        self.rounds: list[Rounds] = []
        self.service: AgentService | None = None

    def _state_changed(self, state: str) -> None:
        if state == "connected":
            self.log.warning("ZooKeeper: connected again")
        else:
            self.log.warning(f"ZooKeeper: {state}; what is served goes on, registrations come back with the connection")

    def provider(self):
        """`service.Provider` of this version."""
        raise NotImplementedError

    def start_service(self) -> None:
        self.service = AgentService(self.provider(), self.config.agent_port, self.options.host, self.options.tls)
        self.service.start()

    def every(self, name: str, interval_s: float, work) -> Rounds:
        """Starts rounds of work that stop() ends."""
        made = Rounds(name, work, interval_s, self.log)
        self.rounds.append(made)
        made.start()
        return made

    def start(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """UnavailableError when a model server has ended for good."""
        self.servers.check()

    def served_models(self) -> list:
        """`Served` of version 1, for the metrics."""
        return []

    def health(self) -> tuple[bool, dict]:
        """(whether all model servers run, details). A ZooKeeper that is away makes nobody ill: what is served goes
        on."""
        servers = {s.name: str(s.state) for s in self.servers.statuses()}
        well = all(self.servers.running().values())
        return well, {
            "status": "ok" if well else "degraded",
            "zookeeper": self.connection.state,
            "servers": servers,
            "nodes": self.ephemerals.paths(),
        }

    def stop(self) -> None:
        """Registrations first, so that nobody is sent here any more; then servers, service and session."""
        self.stopping.set()
        for rounds in self.rounds:
            rounds.stop()
        if self.service:
            self.service.set_healthy(False)
        had_nodes = bool(self.ephemerals.paths())
        self.ephemerals.close()
        if had_nodes and any(self.servers.running().values()):
            time.sleep(self.options.drain_s)
        self.servers.stop(self.options.stop_grace_s)
        if self.service:
            self.service.stop()
        self.connection.close()
