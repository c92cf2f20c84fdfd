"""What the agents of all versions have: a session with ZooKeeper, own nodes in it, model servers, the gRPC service, rounds of work."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from monolith_cli.serving import addresses
from monolith_cli.serving.agent.rounds import Rounds
from monolith_cli.serving.agent.service import AgentService
from monolith_cli.serving.channel import Tls

# Everything that is watched is read again this often, in seconds.
RESCAN_INTERVAL_S = 60.0


@dataclass(frozen=True)
class AgentOptions:
    """How an agent runs, beside its configuration file.

    zk: `ZkConfig`. host: address that the agent's service and its model servers listen on. tls: of the agent's service. tfs_log: log file
    of the model servers. model_roots: folders that models from ZooKeeper must lie in, empty: any. Times in seconds. max_restarts: how often
    a server may end by itself within restart_window_s before the agent gives up.
    """

    zk: object
    host: str = "127.0.0.1"
    tls: Tls | None = None
    tfs_log: str = "/var/log/tfs.std.log"
    model_roots: tuple[str, ...] = ()
    status_interval_s: float = 1.0
    max_restarts: int = 5
    restart_window_s: float = 600.0
    stop_grace_s: float = 10.0
    start_timeout_s: float = 3600.0
    drain_s: float = 0.0
    environ: dict = field(default_factory=lambda: dict(os.environ))


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
    """start() brings everything up, in order, and may be interrupted by setting `stopping`; supervise() is called again and again
    while it runs; stop() takes everything down, in order.

    Subclasses fill `rounds` and give `provider`, what the gRPC service answers with.
    """

    def __init__(self, config, options: AgentOptions, log):
        from monolith_cli.serving.agent.model_servers import ModelServers
        from monolith_cli.serving.zookeeper.connection import EphemeralNodes, connect

        self.config, self.options, self.log = config, options, log
        self.stopping = threading.Event()
        self.host = reachable_host(options)
        self.host_v6 = addresses.local_ipv6(options.environ) if not is_loopback(options.host) else "::"
        if is_loopback(options.host) and not is_loopback(self.host):
            log.warning(f"others are told {self.host}, but the servers listen on {options.host} alone: give --host")
        self.connection = connect(options.zk, log)
        self.connection_state = "connected"
        self.connection.on_state(self._state_changed)
        self.ephemerals = EphemeralNodes(self.connection)
        self.servers = ModelServers(config, options, log)
        self.rounds: list[Rounds] = []
        self.service: AgentService | None = None

    def _state_changed(self, state: str) -> None:
        self.connection_state = state
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

    def supervise(self) -> None:
        """Restarts servers that ended. UnavailableError when one has ended too often."""
        self.servers.supervise()

    def health(self) -> tuple[bool, dict]:
        """(whether all model servers run, details). A ZooKeeper that is away makes nobody ill: what is served goes on."""
        servers = self.servers.states()
        well = all(s == "running" for s in servers.values())
        return well, {"status": "ok" if well else "degraded", "zookeeper": self.connection_state, "servers": servers,
                      "nodes": self.ephemerals.paths()}

    def stop(self) -> None:
        """Registrations first, so that nobody is sent here any more; then servers, service and session."""
        self.stopping.set()
        for rounds in self.rounds:
            rounds.stop()
        if self.service:
            self.service.set_healthy(False)
        self.ephemerals.close()
        self.servers.stop(self.options.stop_grace_s)
        if self.service:
            self.service.stop()
        self.connection.close()
