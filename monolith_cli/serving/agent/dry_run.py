"""What an agent would start, without starting it."""

from __future__ import annotations

import os
import shlex
import tempfile

from monolith_cli.serving.agent import command_lines, model_config
from monolith_cli.serving.agent.config import AgentConfig, load_config
from monolith_cli.serving.agent.ports import dense_environments


def describe(conf: str, environ: dict[str, str], log) -> list[dict]:
    """One description for each process of an agent: replica, ports, and for each model server its command line and model config."""
    from monolith_cli.serving.agent.agent import agent_class, is_dense_parent

    config = load_config(conf, environ, log.warning)
    config.check()
    agent_class(config)
    if is_dense_parent(config):
        config.release_ports()
        return [_describe(load_config(conf, child, log.warning)) for child in dense_environments(config)]
    return [_describe(config)]


def _describe(config: AgentConfig) -> dict:
    made = None if config.run_dir else tempfile.mkdtemp(prefix="monolith-agent-")
    config.run_dir = config.run_dir or made
    ports = {f: getattr(config, f) for f in vars(config) if "port" in f and isinstance(getattr(config, f), int)}
    try:
        servers = [_server(config, str(t)) for t in config.server_types]
    finally:
        if made:
            os.rmdir(made)
    place = {"version": config.agent_version, "deploy_type": str(config.deploy_type), "shard_id": config.shard_id,
             "num_shard": config.num_tce_shard, "replica_id": config.replica_id, "location": config.location}
    paths = {"layout": config.layout_path} if config.agent_version == 3 else {"path_prefix": config.path_prefix} if config.agent_version == 1 else {}
    return {**place, **paths, "ports": ports, "servers": servers}


def _server(config: AgentConfig, server_type: str) -> dict:
    path = config.run_path(f"model_config_{server_type}.txt")
    if config.agent_version == 3:
        command, _ = command_lines.command_line_v3(config, path)
        text = f"# from the layout {config.layout_path}"
    else:
        command, _ = command_lines.command_line(config, server_type, path)
        text = ("# from the orders of the leader" if config.agent_version == 2
                else model_config.model_config_text(model_config.model_config(config, server_type)).rstrip())
    return {"server": server_type, "command": command, "model_config": text}


def as_text(described: list[dict]) -> str:
    """For people, and for a shell: a command line can be copied."""
    lines = []
    for one in described:
        lines += [f"{key} {value}" for key, value in one.items() if key not in ("ports", "servers")]
        lines += [f"{name} {port}" for name, port in one["ports"].items()]
        for server in one["servers"]:
            lines += ["", f"[{server['server']}]", shlex.join(server["command"]), server["model_config"]]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"
