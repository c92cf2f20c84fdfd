"""The model servers of an agent, as children of a supervisor."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from monolith_cli import errors
from monolith_cli.serving.agent import command_lines
from monolith_cli.serving.agent.config import AgentConfig
from monolith_cli.serving.agent.options import local_host
from monolith_cli.serving.agent.process import Child, Restart, State, Supervisor, port_ready

_RUNNING = (State.STARTING, State.READY)


def command_of(config: AgentConfig, options, server_type: str, config_file: str) -> list[str]:
    """Command line of one server. monolith-serve is told too where to listen and where models may lie; a stock server
    has no such flags."""
    if server_type == "unified":
        command, _ = command_lines.command_line_v3(config, config_file)
    else:
        command, _ = command_lines.command_line(config, server_type, config_file)
    if os.path.basename(command_lines.server_binary(config)) != command_lines.OUR_SERVER:
        return command
    return [*command, f"--bind={options.host}", *(f"--model-root={root}" for root in options.model_roots)]


def log_file(options, server_type: str) -> str | None:
    """Where stdout and stderr of a server go; None, where the agent's go, in a container whose output somebody
    collects."""
    if options.environ.get("MLP_POD_NAME"):
        return None
    folder, name = os.path.split(options.tfs_log)
    return os.path.join(folder, name if server_type == "unified" else f"{server_type}_{name}")


class ModelServers:
    """start() them once; each is ready when its gRPC port is open, and comes after those before it. One that ends is
    started again."""

    def __init__(self, config: AgentConfig, options, log):
        self._config, self._options, self._log = config, options, log
        self._supervisor: Supervisor | None = None

    def start(self, config_files: dict[str, str], gates: dict[str, Callable[[], bool]] | None = None) -> None:
        """config_files: server type → model config file, in the order in which they start. gates: what a server waits
        for; it is asked at twice update_model_status_interval. ConfigError where the server's program is not
        there."""
        program = command_lines.server_command(self._config)[0]
        if shutil.which(program, path=self._config.environ.get("PATH")) is None:
            raise errors.ConfigError(
                f"model server {program}: there is no such program; set tfs_binary or MONOLITH_TFS_BINARY"
            )
        children: list[Child] = []
        for server_type, path in config_files.items():
            port = self._config.ports(server_type)[0]
            children.append(
                Child(
                    server_type,
                    command_of(self._config, self._options, server_type, path),
                    env=command_lines.child_environment(self._config, server_type),
                    log_file=log_file(self._options, server_type),
                    after=tuple(c.name for c in children),
                    gate=(gates or {}).get(server_type),
                    gate_interval_s=2 * self._config.update_model_status_interval,
                    gate_timeout_s=self._options.start_timeout_s,
                    ready=port_ready(port, local_host(self._options)),
                    ready_timeout_s=self._options.start_timeout_s,
                    restart=Restart(
                        "always", backoff_s=self._options.restart_backoff_s, limit=self._options.max_restarts
                    ),
                )
            )
        self._supervisor = Supervisor(children, self._tell, self._log.warning)
        self._supervisor.start()

    def _tell(self, status) -> None:
        if status.state in (State.RESTARTING, State.EXITED, State.FAILED):
            self._log.warning(f"{status.name} server: {status.state}: {status.message}")
        else:
            self._log.info(f"{status.name} server: {status.state}" + (f", process {status.pid}" if status.pid else ""))

    def check(self) -> None:
        """UnavailableError once a server has ended for good."""
        if self._supervisor:
            for status in self._supervisor.ended():
                raise errors.UnavailableError(
                    f"{status.name} server: {status.state}: {status.message}; its log is "
                    f"{log_file(self._options, status.name) or 'this one'}"
                )

    def statuses(self) -> list:
        return self._supervisor.poll() if self._supervisor else []

    def running(self) -> dict[str, bool]:
        """Server type → whether its process runs."""
        return {s.name: s.state in _RUNNING for s in self.statuses()}

    def stop(self, grace_s: float) -> None:
        if self._supervisor:
            self._supervisor.stop(grace_s)
