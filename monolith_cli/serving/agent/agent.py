"""Runs the agent that a configuration asks for, or one for each process of a dense deployment."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal

from monolith_cli import errors
from monolith_cli.serving.agent.base import Agent
from monolith_cli.serving.agent.config import AgentConfig, load_config
from monolith_cli.serving.agent.metrics import AgentCollector
from monolith_cli.serving.agent.model_manager import ModelManager
from monolith_cli.serving.agent.monitoring import monitoring_server
from monolith_cli.serving.agent.options import AgentOptions, model_roots
from monolith_cli.serving.agent.platform_config import write_platform_config
from monolith_cli.serving.agent.ports import dense_environments, is_dense_parent
from monolith_cli.serving.agent.stop_signal import StopSignal
from monolith_cli.serving.server.http_server import HttpServer

CHECK_S = 0.2


def agent_class(config: AgentConfig) -> type[Agent]:
    """The agent of this version. ConfigError for a version there is none of."""
    if config.agent_version == 1:
        from monolith_cli.serving.agent.v1 import AgentV1 as found
    elif config.agent_version == 2:
        from monolith_cli.serving.agent.v2 import AgentV2 as found
    elif config.agent_version == 3:
        from monolith_cli.serving.agent.v3 import AgentV3 as found
    else:
        raise errors.ConfigError(f"agent_version is {config.agent_version}: must be 1, 2 or 3")
    return found


def run(config: AgentConfig, conf: str, options: AgentOptions, metrics_port: int | None, log) -> int:
    """Runs what `config`, read from the file `conf`, asks for, until a signal or a failure; the exit code. Errors are
    raised when everything that was started has been stopped."""
    options = dataclasses.replace(options, model_roots=model_roots(config, options))
    if is_dense_parent(config):
        return _run_dense(config, conf, options, metrics_port, log)
    return _run_one(config, options, metrics_port, log)


def _run_one(config: AgentConfig, options: AgentOptions, metrics_port: int | None, log) -> int:
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    manager = ModelManager(
        config.rough_sort_model_name,
        config.rough_sort_model_p2p_path,
        config.rough_sort_model_local_path,
        log=log.warning,
        registry=registry,
    )
    stop = StopSignal(manager.stop)
    stop.install()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(manager.stop)
        if not manager.start():
            if stop.number:
                return 128 + stop.number
            raise errors.UnavailableError(f"the rough-sort model {config.rough_sort_model_name} did not come")
        write_platform_config(config, log.warning)
        agent = agent_class(config)(config, options, log)
        cleanup.callback(agent.stop)
        stop.asked = agent.stopping.set
        if metrics_port is not None:
            cleanup.callback(_monitoring(agent, metrics_port, registry, log).stop, 0.0)
        if not stop.number:
            agent.start()
            log.info(
                f"agent of version {config.agent_version}: started; its service is at {options.host}:{agent.service.port}"
            )
        while not stop.number and not agent.stopping.wait(CHECK_S):
            agent.check()
    return 128 + stop.number


def _monitoring(agent: Agent, port: int, registry, log) -> HttpServer:
    registry.register(AgentCollector(agent))
    server = monitoring_server(port, registry, agent.health)
    server.start()
    log.info(f"metrics at http://127.0.0.1:{server.port}/metrics")
    return server


def _run_dense(config: AgentConfig, conf: str, options: AgentOptions, metrics_port: int | None, log) -> int:
    """A process for each; when one ends by itself, or a signal comes, all end."""
    config.release_ports()
    environments = dense_environments(config)
    children: dict[int, int] = {}

    def tell(number: int) -> None:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    stop = StopSignal(lambda: tell(signal.SIGTERM), lambda: tell(signal.SIGKILL))
    stop.install()
    for index, environ in enumerate(environments):
        # One agent can have the configured port; the others choose.
        overrides = options.config_overrides | ({"agent_port": None} if index else {})
        mine = dataclasses.replace(
            options, environ=environ, tfs_log=f"{options.tfs_log}.mps{index}", config_overrides=overrides
        )
        pid = os.fork()
        if pid == 0:
            os._exit(_dense_child(conf, mine, None if metrics_port is None else metrics_port + index, log))
        children[pid] = index
    code = 0
    while children:
        pid, status = os.wait()
        index, ended = children.pop(pid), os.waitstatus_to_exitcode(status)
        ended = 128 - ended if ended < 0 else ended
        if not stop.number and not code:
            log.error(f"dense process {index} ended with {ended}; the others are stopped")
            code = ended or errors.UnavailableError.exit_code
            tell(signal.SIGTERM)
    return 128 + stop.number if stop.number else code


def _dense_child(conf: str, options: AgentOptions, metrics_port: int | None, log) -> int:
    try:
        config = load_config(conf, options.environ, **options.config_overrides)
        return _run_one(config, options, metrics_port, log)
    except errors.Error as e:
        log.error(str(e))
        return e.exit_code
    except Exception as e:  # noqa: BLE001 - a forked child must not run on in its parent's code
        log.error(f"internal error: {type(e).__name__}: {e}")
        return 70
