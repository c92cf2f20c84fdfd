"""Model and target where the command line does not name them: from the agent's configuration file (spec 60, 3.16)."""

from __future__ import annotations

from monolith_cli import errors
from monolith_cli.serving.addresses import join_host_port, local_ip, split_host_port

PORT = 8500  # TensorFlow Serving's


def model_and_target(conf: str | None) -> tuple[str, str]:
    """(model, host:port) by deploy type: ps -> ps_<shard>, dense -> dense_0, else entry; without a configuration
    `entry` at port 8500 of this host. Raises what reading the configuration raises."""
    if conf is None:
        return "entry", join_host_port("localhost", PORT)
    from monolith_cli.serving.agent.config import load_config

    config = load_config(conf)
    kind = str(config.deploy_type)
    model, port = {
        "ps": (f"ps_{config.shard_id}", config.tfs_ps_port),
        "dense": ("dense_0", config.tfs_dense_port),
        "unified": ("entry", config.tfs_port_grpc),
    }.get(kind, ("entry", config.tfs_entry_port))
    if port is None:
        raise errors.ConfigError(f"{conf}: deploy_type {kind} has no port here: give --target HOST:PORT")
    return model, join_host_port(local_ip(), port)


def targets(text: str) -> tuple[str, ...]:
    """A comma list of host:port. UsageError names the one that is not."""
    made = tuple(part.strip() for part in text.split(",") if part.strip())
    if not made:
        raise errors.UsageError("--target: names no server")
    for target in made:
        split_host_port(target, "--target")
    return made
