"""Addresses and ports of this host, and of lists of servers."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping

from monolith_cli import errors

_DOTTED_QUAD = re.compile(r"\d+\.\d+\.\d+\.\d+")


def split_host_port(address: str, what: str = "address") -> tuple[str, int]:
    """`host:port` or `[v6]:port` -> (host without brackets, port). UsageError where it is neither."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise errors.UsageError(f"{what} {address!r}: must be host:port")
    return host, int(port)


def join_host_port(host: str, port: int) -> str:
    """(host, port) -> `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def local_ip(environ: Mapping[str, str] = os.environ) -> str:
    """IPv4 address others reach this host by: MY_HOST_IP, else what the host's name means, else the source address of
    the default route, else `localhost`. The name is looked up only where MY_HOST_IP is not set."""
    if environ.get("MY_HOST_IP"):
        return environ["MY_HOST_IP"]
    try:
        ip = socket.gethostbyname(socket.gethostname())
    except OSError:
        ip = ""
    if ip not in ("", "localhost") and not ip.startswith("127."):
        return ip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("8.8.8.8", 80))  # a datagram socket: nothing is sent, the kernel only picks a route
            return s.getsockname()[0]
        except OSError:
            return ip or "localhost"


def local_ipv6(environ: Mapping[str, str] = os.environ) -> str:
    """IPv6 address of this host: MY_HOST_IPV6, else what the host's name means, else `::`."""
    if environ.get("MY_HOST_IPV6"):
        return environ["MY_HOST_IPV6"]
    try:
        return socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET6)[0][4][0]
    except OSError:
        return "::"


def port_is_open(port: int, host: str = "127.0.0.1", timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections at this port."""
    try:
        with socket.create_connection((host, port), timeout_s):
            return True
    except OSError:
        return False


def is_ipv6_only(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this host has no IPv4 address. In a container that says its addresses (MY_HOST_IP, MY_POD_IP or MY_HOST_IPV6
    set): MY_HOST_IP, or MY_POD_IP where that is unset, is empty or unset. Elsewhere: the host's name means no IPv4 address."""
    if any(name in environ for name in ("MY_HOST_IP", "MY_POD_IP", "MY_HOST_IPV6")):
        return not environ.get("MY_HOST_IP", environ.get("MY_POD_IP"))
    try:
        socket.gethostbyname(socket.gethostname())
        return False
    except OSError:
        return True


def check_zk_servers(servers: str, environ: Mapping[str, str] = os.environ) -> str:
    """The list as it is; ConfigError if this host has only IPv6 and the list has a dotted-quad address."""
    hosts = [entry.strip().rpartition(":")[0] or entry.strip() for entry in servers.split(",")]
    if any(_DOTTED_QUAD.fullmatch(h) for h in hosts) and is_ipv6_only(environ):
        raise errors.ConfigError(f"zk_servers {servers}: the host is ipv6 only, but zk_servers specified is ipv4")
    return servers
