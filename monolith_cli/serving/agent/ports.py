"""Ports of the model servers and of the agent, and the replica id: from the container's environment, or chosen here."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from monolith_cli import errors

if TYPE_CHECKING:
    from monolith_cli.serving.agent.config import AgentConfig

_ARCHON_GRPC_HTTP = ("archon_port", "port", "http_port")
_OWN = ("PORT", "PORT3", "PORT4")
_PS_IN_MIXED = ("PORT7", "PORT5", "PORT6")
_DENSE_IN_MIXED = ("PORT10", "PORT8", "PORT9")


class HeldPorts:
    """Free TCP ports that nobody else on this host is given while they are held.

    A held port is bound but not listened on, with SO_REUSEADDR: the kernel gives it to nobody who asks for any port,
    and a server that binds it by its number and sets SO_REUSEADDR too, as servers do, gets it. It stays held while
    that server is away for a restart.
    """

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}

    def hold(self, avoid: Iterable[int] = ()) -> int:
        """A free port, none of `avoid`."""
        avoid, refused = set(avoid), []
        try:
            while True:
                s = _bound_socket()
                port = s.getsockname()[1]
                if port not in avoid:
                    self._sockets[port] = s
                    return port
                refused.append(s)
        finally:
            for s in refused:
                s.close()

    def release(self, port: int) -> None:
        """Gives one port up; does nothing if it is not held."""
        if s := self._sockets.pop(port, None):
            s.close()

    def close(self) -> None:
        for port in list(self._sockets):
            self.release(port)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()


def _bound_socket() -> socket.socket:
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            s = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((host, 0))
            return s
        except OSError:
            s.close()
    raise errors.UnavailableError("this host has no free TCP port")


def env_int(environ: Mapping[str, str], name: str, default: int) -> int:
    """A whole number of the environment; `default` where it is unset or empty. ConfigError names the variable."""
    text = environ.get(name, "").strip()
    try:
        return int(text) if text else default
    except ValueError:
        raise errors.ConfigError(f"environment variable {name} is {text!r}: must be a whole number") from None


def env_port(environ: Mapping[str, str], name: str) -> int | None:
    """A port of the environment; None where it is not set."""
    port = env_int(environ, name, 0)
    if not 0 <= port < 65536:
        raise errors.ConfigError(f"environment variable {name} is {port}: must be a port, 1 to 65535")
    return port or None


def replica_id_of_pod(environ: Mapping[str, str]) -> int:
    """40 bits of the MD5 of MY_POD_NAME (hexadecimal digits 10 to 19), -1 where it is not set."""
    name = environ.get("MY_POD_NAME")
    return -1 if name is None else int(hashlib.md5(os.fsencode(name), usedforsecurity=False).hexdigest()[10:20], 16)


def replica_id(agent_version: int, environ: Mapping[str, str]) -> int:
    """Agent version 1 goes by the pod's name; others, and one process of several dense ones (DENSE_SERVICE_IDX is
    set), by REPLICA_ID, if that is set and not -1."""
    if agent_version != 1 or environ.get("DENSE_SERVICE_IDX", "").strip():
        given = env_int(environ, "REPLICA_ID", -1)
        if given != -1:
            return given
    return replica_id_of_pod(environ)


def is_dense_parent(config: AgentConfig) -> bool:
    """Whether this process only starts those of a dense deployment that serve."""
    return config.deploy_type == "dense" and config.dense_service_num > 1 and "DENSE_SERVICE_IDX" not in config.environ


def dense_environments(config: AgentConfig) -> list[dict[str, str]]:
    """Environments of the `dense_service_num` processes of a dense deployment: child i is replica `replica_id *
    dense_service_num + i`. Only the first keeps the container's ports; the agents of the others would meet it on
    PORT2, so they choose their own."""
    children = []
    for index in range(config.dense_service_num):
        environ = {**config.environ, "DENSE_SERVICE_IDX": str(index)}
        if config.replica_id != -1:
            environ["REPLICA_ID"] = str(config.replica_id * config.dense_service_num + index)
        if index:
            environ.pop("PORT2", None)
        children.append(environ)
    return children


def assign_ports(config: AgentConfig) -> None:
    """Sets the port fields of a configuration. A port comes from the container's environment or is held free for it.
    ConfigError where two of them are one port."""
    environ = config.environ
    named = [env_port(environ, n) for n in ("PORT", *(f"PORT{i}" for i in range(1, 11)))]
    avoid = {*named, config.agent_port}
    taken: dict[int, str] = {}

    def assign(field: str, variable: str | None) -> None:
        given = getattr(config, field) if field == "agent_port" else None
        port = given or (env_port(environ, variable) if variable else None) or config.held_ports.hold(avoid)
        if not 0 < port < 65536:
            raise errors.ConfigError(f"{field} is {port}: must be a port, 1 to 65535")
        if port in taken:
            raise errors.ConfigError(
                f"{taken[port]} and {field} are both port {port}: look at PORT to PORT10 and agent_port")
        taken[port] = field
        setattr(config, field, port)

    if config.deploy_type == "unified":
        for name, variable in zip(("archon", "grpc", "http"), _OWN, strict=True):
            assign(f"tfs_port_{name}", variable)
    else:
        assign("proxy_port", None)
        for kind, variables in _variables(config).items():
            for suffix, variable in zip(_ARCHON_GRPC_HTTP, variables, strict=True):
                assign(f"tfs_{kind}_{suffix}", variable)
    assign("agent_port", "PORT2")


def _variables(config: AgentConfig) -> dict[str, tuple[str | None, ...]]:
    """Server type -> variables of its archon, gRPC and HTTP port; None is a free port."""
    free = (None, None, None)
    first = env_int(config.environ, "DENSE_SERVICE_IDX", 0) == 0
    deploy = config.deploy_type
    variables = {"entry": free, "ps": free} | ({"dense": free} if config.dense_alone else {})
    if deploy == "mixed":
        variables |= {"entry": _OWN, "ps": _PS_IN_MIXED}
        if config.dense_alone and first:
            variables["dense"] = _DENSE_IN_MIXED
    elif deploy != "dense" or first:
        variables[deploy] = _OWN
    return variables
