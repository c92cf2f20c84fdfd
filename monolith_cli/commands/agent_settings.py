"""From the options of `agent-client` and `serving-client`, and the agent's configuration file, to what the layer
below takes."""

from __future__ import annotations

from functools import cache

from monolith_cli import errors
from monolith_cli.commands import serving_options as so


def settings(conf, port, target, bzid, model_name, timeout, as_json, more: dict, log):
    """`more`: the TLS and ZooKeeper options. The configuration file's base_name goes before --model-name, --bzid and
    --zk-servers before it."""
    from monolith_cli.serving.controller.agent_actions import Settings

    @cache
    def config():
        from monolith_cli.serving.agent.config import load_config

        made = load_config(conf, warn=log.warning)
        made.release_ports()
        return made

    def agent() -> str:
        from monolith_cli.serving.addresses import split_host_port
        from monolith_cli.serving.controller.agent_calls import agent_address

        if target:
            split_host_port(target, "--target")
            return target
        if not port and not conf:
            raise errors.UsageError(
                "no agent named: give --target HOST:PORT, --port, or --conf with the agent's configuration file"
            )
        return agent_address(port or config().agent_port)

    tls = so.client_tls(more)

    def zk():
        return so.zk_config(dict(more), config().zk_servers if conf else None)

    return Settings(
        zk=zk,
        agent=agent,
        bzid=bzid or (config().bzid if conf else None),
        model_name=(config().base_name if conf else None) or model_name,
        tls=tls,
        timeout_s=timeout,
        as_json=as_json,
    )


def ask_server(verb, conf, target, model_name, as_json, input_type, input_file, more: dict) -> int:
    """meta, status, profile by tfs-client, with what options both have."""
    from monolith_cli.serving.controller.agent_actions import ask_server as ask

    given = {
        "--conf": conf,
        "--target": target,
        "--model-name": model_name,
        "--tls-ca": more["tls_ca"],
        "--tls-cert": more["tls_cert"],
        "--tls-key": more["tls_key"],
        "--tls-server-name": more["tls_server_name"],
    }
    if verb == "profile" and input_file:
        given |= {"--input-file": input_file, "--input-type": input_type}
    arguments = [word for name, value in given.items() if value for word in (name, value)]
    return ask("agent-client", verb, [*arguments, *(["--json"] if as_json else [])])
