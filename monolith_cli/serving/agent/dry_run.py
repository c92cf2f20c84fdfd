"""What an agent would start, without starting it."""

from __future__ import annotations

import dataclasses
import os
import shlex
import tempfile

from monolith_cli.serving.agent import model_config
from monolith_cli.serving.agent.config import AgentConfig, load_config
from monolith_cli.serving.agent.model_servers import command_of
from monolith_cli.serving.agent.options import AgentOptions, model_roots
from monolith_cli.serving.agent.ports import dense_environments, is_dense_parent


def describe(config: AgentConfig, conf: str, options: AgentOptions) -> list[dict]:
    """One description for each process of an agent: replica, ports, and for each model server its command line and
    model config."""
    options = dataclasses.replace(options, model_roots=model_roots(config, options))
    if is_dense_parent(config):
        config.release_ports()
        overrides = [
            options.config_overrides | ({"agent_port": None} if index else {})
            for index in range(config.dense_service_num)
        ]
        children = zip(dense_environments(config), overrides, strict=True)
        return [_describe(load_config(conf, environ, **more), options) for environ, more in children]
    return [_describe(config, options)]


def _describe(config: AgentConfig, options: AgentOptions) -> dict:
    made = None if config.run_dir else tempfile.mkdtemp(prefix="monolith-agent-")
    config.run_dir = config.run_dir or made
    ports = {f: getattr(config, f) for f in vars(config) if "port" in f and isinstance(getattr(config, f), int)}
    try:
        servers = [_server(config, options, str(t)) for t in config.server_types]
    finally:
        if made:
            os.rmdir(made)
    place = {
        "version": config.agent_version,
        "deploy_type": str(config.deploy_type),
        "shard_id": config.shard_id,
        "num_shard": config.num_tce_shard,
        "replica_id": config.replica_id,
        "location": config.location,
    }
    if config.agent_version == 1:
        place["path_prefix"] = config.path_prefix
    if config.agent_version == 3:
        place["layout"] = config.layout_path
    return {**place, "ports": ports, "servers": servers}


def _server(config: AgentConfig, options: AgentOptions, server_type: str) -> dict:
    path = config.run_path(f"model_config_{server_type}.txt")
    if config.agent_version == 1:
        text = model_config.model_config_text(model_config.model_config(config, server_type)).rstrip()
    else:
        text = (
            f"# from the layout {config.layout_path}"
            if config.agent_version == 3
            else "# from the orders of the leader"
        )
    return {"server": server_type, "command": command_of(config, options, server_type, path), "model_config": text}


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
