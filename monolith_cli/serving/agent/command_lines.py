"""Command lines of the model servers, as lists of arguments (a path may have blanks).

`tfs_flags` chooses the flags: `stock` gives those that tensorflow_model_server and monolith-serve know; `internal`
gives those of the original's own build too (archon, metrics prefix, logging), byte for byte and in its order.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sys

import monolith_cli
from monolith_cli import errors
from monolith_cli.serving.agent.config import PASS_THROUGH, AgentConfig, ServerType
from monolith_cli.serving.agent.constants import PLATFORM_CONFIG_FILE
from monolith_cli.serving.agent.model_config import write_model_config

POLL_SECONDS_V3 = 60
OUR_SERVER = "monolith-serve"
_GRPC_OP = b"PredictionServiceGrpc"
# A stock server does not know the first; the second makes it print its version and leave.
_NOT_STOCK = ("allow_growth", "version")


def server_binary(config: AgentConfig) -> str:
    """The model server's program: tfs_binary, else MONOLITH_TFS_BINARY, else monolith-serve."""
    return config.tfs_binary or config.environ.get("MONOLITH_TFS_BINARY") or OUR_SERVER


def server_command(config: AgentConfig) -> list[str]:
    """What starts the model server, without its flags. monolith-serve need not be on the PATH."""
    binary = server_binary(config)
    if binary == OUR_SERVER and shutil.which(OUR_SERVER, path=config.environ.get("PATH")) is None:
        return _own_server()
    return [binary]


def _own_server() -> list[str]:
    """The launcher of the checkout, or beside the Python that the package was installed for; else the package itself, never what the
    directory one stands in has under its name."""
    checkout = os.path.dirname(os.path.dirname(os.path.abspath(monolith_cli.__file__)))
    for folder in (os.path.join(checkout, "bin"), os.path.dirname(sys.executable)):
        if found := shutil.which(OUR_SERVER, path=folder):
            return [found]
    return [sys.executable, "-P", "-m", "monolith_cli", OUR_SERVER]


def knows_our_fields(config: AgentConfig) -> bool:
    """Whether the server reads fields of the configuration that stock TensorFlow Serving refuses."""
    return config.tfs_flags == "internal" or os.path.basename(server_binary(config)) == OUR_SERVER


def has_grpc_remote_op(config: AgentConfig) -> bool:
    """Whether the server calls others by gRPC: all do but internal ones that lack the op, whose program does not name
    it."""
    if config.tfs_flags == "stock":
        return True
    path = shutil.which(server_binary(config), path=config.environ.get("PATH"))
    if path is None or os.path.getsize(path) == 0:
        return False
    try:
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(_GRPC_OP) >= 0
    except OSError as e:
        raise errors.NoInputError(f"model server {path}: {e.strerror}") from None


def command_line(config: AgentConfig, server_type: str | None = None, config_file: str | None = None,
                 command: list[str] | None = None) -> tuple[list[str], int]:
    """(arguments, gRPC port) of one server of an agent of version 1 or 2.

    config_file: its model configuration, written into the run directory where none is given; command: what stands in
    front of the flags, `server_command(config)` where none is given. ConfigError where the container has no such
    server.
    """
    kind = config.resolve_server_type(server_type)
    grpc, http, archon = config.ports(kind)
    if config_file is None:
        config_file = write_model_config(config, kind)
    flags: list[tuple[str, object]] = [("model_config_file", config_file)]
    internal = config.tfs_flags == "internal"
    if internal:
        flags += _internal_names(config, kind)
    flags += [("port", grpc), ("rest_api_port", http)]
    if internal:
        flags.append(("archon_port", archon))
    if kind == ServerType.DENSE and config.enable_batching:
        flags.append(("enable_batching", True))
    if internal and kind in (ServerType.DENSE, ServerType.ENTRY):
        flags += _internal_fetching(config)
    if config.agent_version != 1:
        flags.append(("model_config_file_poll_wait_seconds", 0))
    flags += _passed_through(config, kind, {name for name, _ in flags})
    return [*(command or server_command(config)), *map(_text, flags), *(config.tfs_extra_flags or ())], grpc


def command_line_v3(config: AgentConfig, config_file: str, command: list[str] | None = None) -> tuple[list[str], int]:
    """(arguments, gRPC port) of the one server of an agent of version 3; it looks at its model configuration every
    60 seconds."""
    grpc, http, archon = config.ports(ServerType.UNIFIED)
    flags: list[tuple[str, object]] = [
        ("model_config_file", config_file), ("port", grpc), ("rest_api_port", http),
        ("model_config_file_poll_wait_seconds", POLL_SECONDS_V3)]
    if config.tfs_flags == "internal":
        psm = config.environ.get("TCE_PSM", "")
        flags += [("archon_port", archon), ("archon_rpc_psm", psm),
                  ("archon_rpc_cluster", config.environ.get("TCE_CLUSTER", "")), ("metrics_namespace_prefix", psm)]
        if not has_grpc_remote_op(config):
            flags.append(("archon_entry_to_ps_rpc_timeout", config.fetch_ps_timeout_ms))
        flags += [("conf_file", "conf/service.conf"), ("log_conf", "conf/log4j.properties")]
    flags += _passed_through(config, None, set())
    return [*(command or server_command(config)), *map(_text, flags), *(config.tfs_extra_flags or ())], grpc


def proxy_command_line(config: AgentConfig, binary: str, conf_dir: str) -> tuple[list[str], int]:
    """(arguments, port) of a proxy in front of the entry server."""
    arguments = [binary, f"--port={config.proxy_port}", f"--grpc_target=localhost:{config.tfs_entry_port}"]
    conf = os.path.join(conf_dir, "proxy.conf")
    return [*arguments, *([f"--conf_file={conf}"] if os.path.exists(conf) else [])], config.proxy_port


def child_environment(config: AgentConfig, server_type: str) -> dict[str, str]:
    """Environment of a model server: the container's; one that calls others finds the agent at PORT2. The launchers of a checkout
    take the Python of the agent, where nothing else is said."""
    calls_others = server_type in (ServerType.ENTRY, ServerType.UNIFIED)
    return {"MONOLITH_PYTHON": sys.executable, **config.environ, **({"PORT2": str(config.agent_port)} if calls_others else {})}


def _internal_names(config: AgentConfig, kind: ServerType) -> list[tuple[str, object]]:
    apart = config.deploy_type == "mixed" and kind in (ServerType.PS, ServerType.DENSE)
    suffix = f"_{kind}" if apart else ""
    psm = config.environ.get("TCE_PSM", "") + suffix
    return [("archon_rpc_psm", psm), ("archon_rpc_cluster", config.environ.get("TCE_CLUSTER", "")),
            ("metrics_namespace_prefix", psm), ("log_conf", f"../conf/log4j{suffix}.properties")]


def _internal_fetching(config: AgentConfig) -> list[tuple[str, object]]:
    flags: list[tuple[str, object]] = [
        ("archon_entry_to_ps_rpc_timeout", config.fetch_ps_timeout_ms),
        ("archon_entry_to_ps_long_conn_num", config.fetch_ps_long_conn_num),
        ("archon_entry_to_ps_rpc_retry", config.fetch_ps_retry),
        ("archon_async_dispatcher_threads", config.aio_thread_num)]
    return flags if config.fetch_ps_long_conn_enable else [*flags, ("archon_entry_to_ps_long_conn_enable", False)]


def _passed_through(config: AgentConfig, kind: ServerType | None, given: set[str]) -> list[tuple[str, object]]:
    """Fields that differ from their defaults, in the order of the table. kind: None is agent version 3."""
    stock, flags = config.tfs_flags == "stock", []
    for f in PASS_THROUGH:
        value = getattr(config, f.name)
        if f.name == "file_system_poll_wait_seconds" and kind is not None:
            if config.agent_version != 1:
                continue
            if kind == ServerType.PS:
                flags.append((f.name, config.file_system_poll_wait_seconds_ps))
                continue
        if f.name == "platform_config_file":
            flags.append((f.name, value or config.run_path(PLATFORM_CONFIG_FILE)))
        elif value != f.default and not (stock and (f.name in _NOT_STOCK or f.name in given)):
            flags.append((f.name, value))
    return flags


def _text(flag: tuple[str, object]) -> str:
    name, value = flag
    return f"--{name}={str(value).lower() if isinstance(value, bool) else value}"
