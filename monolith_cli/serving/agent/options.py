"""How an agent runs, beside its configuration file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from monolith_cli import errors
from monolith_cli.serving import addresses

if TYPE_CHECKING:
    from monolith_cli.serving.channel import Tls
    from monolith_cli.serving.zookeeper.connection import ZkConfig


@dataclass(frozen=True)
class AgentOptions:
    """How an agent runs, beside its configuration file.

    zk: `ZkConfig` without servers where the configuration file names them. host: address that the agent's service and
    monolith-serve listen on. tls: of the agent's service; server_tls: how the agent reaches its model servers.
    tfs_log: log file of the model servers. model_roots: folders that models named in ZooKeeper must lie in, empty:
    any. max_restarts: how often in a row a server is started again before the agent gives up. drain_s: between taking
    registrations away and unloading or ending what they named. config_overrides: what goes before the configuration
    file. Times in seconds.
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
    config_overrides: dict[str, str] = field(default_factory=dict)


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::", "")


def reachable_host(options: AgentOptions) -> str:
    """Address that others are told: MY_HOST_IP, else the one that everything listens on, else, where that is all of them, this host's
    IPv4 address, `0.0.0.0` if it has none."""
    if options.environ.get("MY_HOST_IP") or is_wildcard(options.host):
        found = addresses.local_ip(options.environ)
        return "0.0.0.0" if found == "localhost" else found
    return "127.0.0.1" if options.host == "localhost" else options.host


def reachable_host_v6(options: AgentOptions) -> str:
    """IPv6 address that others are told; `::`, which is none, where nothing listens on one."""
    if options.environ.get("MY_HOST_IPV6") or is_wildcard(options.host):
        return addresses.local_ipv6(options.environ)
    return options.host if ":" in options.host else "::"


def local_host(options: AgentOptions) -> str:
    """Address at which this agent reaches its own model servers."""
    return "127.0.0.1" if is_wildcard(options.host) or options.host == "localhost" else options.host


def allowed_path(roots: tuple[str, ...], path: str) -> bool:
    """Whether a path, symbolic links followed, lies in one of the folders; in any place where there are none."""
    real = os.path.realpath(path)
    return not roots or any(
        os.path.commonpath([real, os.path.realpath(root)]) == os.path.realpath(root) for root in roots
    )


def model_roots(config, options: AgentOptions) -> tuple[str, ...]:
    """Where models that ZooKeeper names may lie. ConfigError where nobody says."""
    roots = options.model_roots or ((config.base_path,) if config.base_path and config.agent_version != 1 else ())
    if config.agent_version != 1 and not roots:
        raise errors.ConfigError(
            "the models are named in ZooKeeper: say where they may lie by --model-root DIR (or base_path); / is anywhere"
        )
    return roots
