"""The kazoo client of one session: servers, credentials from files, TLS, and reconnecting without long pauses."""

from __future__ import annotations

import logging
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.retry import KazooRetry
from kazoo.security import CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE

from monolith_cli import errors
from monolith_cli.serving.addresses import split_host_port

_MAX_CREDENTIALS = 4096


@dataclass(frozen=True)
class ZkConfig:
    """How to reach ZooKeeper. What is secret is in files, never here.

    servers: `host:port,…`, with a `/path` at the end where everything is below that node. auth_file: `user:password`
    for digest authentication, without it the variable ZK_AUTH. sasl_file: the same for SASL DIGEST-MD5. tls_ca,
    tls_cert, tls_key: PEM files; any of them turns TLS on. Times in seconds: a session that is out of touch for
    session_timeout_s ends, and its ephemeral nodes with it (servers keep it within bounds of their own); connecting and
    every operation fail after connect_timeout_s. acl: who may change the nodes that are made: `open` everybody, `owner`
    these credentials alone, while everybody may read.
    """

    servers: str
    auth_file: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    sasl_file: str | None = None
    session_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0
    acl: str = "open"

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise errors.UsageError("a TLS certificate and its key go together: give --zk-tls-cert and --zk-tls-key")
        if self.acl not in ("open", "owner"):
            raise errors.UsageError(f"--zk-acl {self.acl!r}: must be open or owner")
        server_list(self.servers)

    @property
    def tls(self) -> bool:
        return any((self.tls_ca, self.tls_cert))


def server_list(servers: str) -> list[tuple[str, int]]:
    """`host:port,…[/path]` -> [(host, port)]; without a port it is 2181. UsageError where an entry is neither."""
    entries = [e.strip() for e in servers.partition("/")[0].split(",")]
    bare = [e and (":" not in e or e.endswith("]")) for e in entries]
    return [split_host_port(f"{e}:2181" if b else e, "ZooKeeper server") for e, b in zip(entries, bare, strict=True)]


def read_credentials(path: str, what: str) -> tuple[str, str]:
    """(user, password) of a file with the line `user:password`. Errors name the file, never what is in it."""
    try:
        with open(path, encoding="utf-8") as f:
            text = f.read(_MAX_CREDENTIALS + 1)
    except OSError as e:
        raise errors.NoInputError(f"{what} {path}: {e.strerror}") from None
    except UnicodeDecodeError:
        raise errors.ConfigError(f"{what} {path}: not UTF-8") from None
    user, colon, password = text.strip("\r\n").partition(":")
    if not colon or not user or "\n" in password or len(text) > _MAX_CREDENTIALS:
        raise errors.ConfigError(f"{what} {path}: must be one line, user:password")
    return user, password


def digest_credentials(config: ZkConfig, environ: Mapping[str, str] = os.environ) -> str | None:
    """`user:password` of digest authentication, or None."""
    if config.auth_file:
        return ":".join(read_credentials(config.auth_file, "--zk-auth-file"))
    text = environ.get("ZK_AUTH")
    if text and ":" not in text:
        raise errors.ConfigError("the variable ZK_AUTH must be user:password")
    return text or None


def tls_context(config: ZkConfig) -> ssl.SSLContext:
    """TLS 1.2 or newer; the servers' certificates must be signed by tls_ca (else by one the system trusts) and carry
    the host's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if config.tls_ca:
            context.load_verify_locations(config.tls_ca)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    except ssl.SSLError:
        raise errors.ConfigError(f"--zk-tls-ca {config.tls_ca}: this is no PEM file of certificates") from None
    except OSError as e:
        raise errors.NoInputError(f"--zk-tls-ca {config.tls_ca}: {e.strerror}") from None
    if config.tls_cert:
        try:
            # A key that wants a pass phrase must not stop to ask for it on the terminal.
            context.load_cert_chain(config.tls_cert, config.tls_key, password=lambda: "")
        except ssl.SSLError:
            raise errors.ConfigError(
                f"--zk-tls-cert {config.tls_cert}, --zk-tls-key {config.tls_key}: "
                "no PEM files of a certificate and its key"
            ) from None
        except OSError as e:
            raise errors.NoInputError(
                f"--zk-tls-cert {config.tls_cert}, --zk-tls-key {config.tls_key}: {e.strerror}"
            ) from None
    return context


def open_socket(
    address: tuple[str, int], hostname: str, timeout_s: float, context: ssl.SSLContext | None
) -> socket.socket:
    """A connection to one server, through TLS where there is a context."""
    s = socket.create_connection(address, timeout_s)
    try:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(s, server_hostname=hostname) if context else s
    except BaseException:
        s.close()
        raise


class _Handler(SequentialThreadingHandler):
    """kazoo's threads; connects through our TLS context (kazoo's own trusts the system's authorities beside the
    given one)."""

    def __init__(self, context: ssl.SSLContext | None):
        super().__init__()
        self._context = context

    def create_connection(self, address, hostname=None, timeout=None, **_):
        return open_socket(address, hostname or address[0], timeout, self._context)


class LastReason(logging.Handler):
    """Keeps what kazoo said last about a connection that failed, for our own message, and keeps it off the terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if said.startswith("Transition") or said.startswith("Failed connecting"):
            return
        error = record.exc_info[1] if record.exc_info else None
        text = (
            f"{type(error).__name__} {error}".rstrip()
            if error
            else said.removeprefix("Connection dropped: ").removeprefix("socket connection error: ")
        )
        self.text = text or self.text


def make_client(config: ZkConfig) -> tuple[KazooClient, LastReason]:
    """A client that is not started yet, and where its last failure can be read."""
    context = tls_context(config) if config.tls else None
    digest = digest_credentials(config)
    sasl = None
    if config.sasl_file:
        user, password = read_credentials(config.sasl_file, "--zk-sasl-file")
        sasl = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
    reason = LastReason()
    logger = logging.Logger("monolith.zookeeper", logging.WARNING)
    logger.addHandler(reason)
    handler = _Handler(context)
    retry = dict(sleep_func=handler.sleep_func, ignore_expire=True)
    client = KazooClient(
        hosts=config.servers,
        timeout=config.session_timeout_s,
        handler=handler,
        auth_data=[("digest", digest)] if digest else None,
        sasl_options=sasl,
        default_acl=OPEN_ACL_UNSAFE if config.acl == "open" else [*CREATOR_ALL_ACL, *READ_ACL_UNSAFE],
        connection_retry=KazooRetry(max_tries=-1, delay=0.05, backoff=2, max_delay=0.5, max_jitter=0.2, **retry),
        command_retry=KazooRetry(max_tries=0, **retry),
        logger=logger,
    )
    return client, reason
