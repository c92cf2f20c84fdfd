"""What the agents of all versions have: a session with ZooKeeper, own nodes in it, model servers, the gRPC service, rounds of work."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field

from monolith_cli.serving import addresses
from monolith_cli.serving.agent.model_servers import ModelServers
from monolith_cli.serving.agent.rounds import Rounds
from monolith_cli.serving.agent.service import AgentService
from monolith_cli.serving.channel import Tls
from monolith_cli.serving.zookeeper.connection import EphemeralNodes, ZkConfig, connect

# Everything that is watched is read again this often, in seconds.
RESCAN_INTERVAL_S = 60.0


@dataclass(frozen=True)
class AgentOptions:
    """How an agent runs, beside its configuration file.

    zk: `ZkConfig` without servers where the configuration file names them. host: address that the agent's service and monolith-serve
    listen on. tls: of the agent's service; server_tls: how the agent reaches its model servers. tfs_log: log file of the model
    servers. model_roots: folders that models named in ZooKeeper must lie in, empty: any. max_restarts: how often in a row a server is
    started again before the agent gives up. drain_s: between taking registrations away and unloading or ending what they named. Times in seconds.
    """

    zk: ZkConfig
    host: str = "127.0.0.1"
    tls: Tls | None = None
    server_tls: Tls | None = None
    tfs_log: str = "/var/log/tfs.std.log"
    model_roots: tuple[str, ...] = ()
    status_interval_s: float = 1.0
    max_restarts: int = 5
    restart_backoff_s: float = 1.0
    stop_grace_s: float = 30.0
    start_timeout_s: float = 3600.0
    drain_s: float = 1.0
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def reachable_host(options: AgentOptions) -> str:
    """IPv4 address that others are told: MY_HOST_IP, else loopback where nothing listens elsewhere, else that of this host."""
    if options.environ.get("MY_HOST_IP") or not is_loopback(options.host):
        found = addresses.local_ip(options.environ)
        return "0.0.0.0" if found == "localhost" else found
    return "127.0.0.1"


def allowed_path(roots: tuple[str, ...], path: str) -> bool:
    """Whether a path, symbolic links followed, lies in one of the folders; in any place where there are none."""
    real = os.path.realpath(path)
    return not roots or any(os.path.commonpath([real, os.path.realpath(root)]) == os.path.realpath(root) for root in roots)


class Agent:
    """start() brings everything up, in order; check() is called again and again while it runs, until `stopping` is set; stop() takes
    everything down, in order.

    Subclasses fill `rounds` and give `provider`, what the gRPC service answers with.
    """

    def __init__(self, config, options: AgentOptions, log):
        self.config, self.options, self.log = config, options, log
        self.stopping = threading.Event()
        self.host = reachable_host(options)
        self.host_v6 = addresses.local_ipv6(options.environ) if not is_loopback(options.host) else "::"
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
            self.log.info("ZooKeeper: connected")
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
        """(whether all model servers run, details). A ZooKeeper that is away makes nobody ill: what is served goes on."""
        servers = {s.name: str(s.state) for s in self.servers.statuses()}
        well = all(self.servers.running().values())
        return well, {"status": "ok" if well else "degraded", "zookeeper": self.connection.state, "servers": servers,
                      "nodes": self.ephemerals.paths()}

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
