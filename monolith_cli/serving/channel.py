"""gRPC channels and server credentials: plain text on loopback, TLS and mutual TLS from files."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from monolith_cli import errors

# As TensorFlow Serving: 2^31 - 1 bytes a message.
MAX_MESSAGE_BYTES = 2**31 - 1


@dataclass(frozen=True)
class Tls:
    """PEM files of one side of a connection. Paths, not contents: what is secret stays in its file.

    ca: certificates the other side is checked against; cert and key: what this side shows (both or none);
    server_name: the name the server's certificate must carry, where it differs from the host of the target.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise errors.UsageError("a TLS certificate and its key go together: give --tls-cert and --tls-key")


def read_pem(path: str | None, what: str) -> bytes | None:
    """Contents of one PEM file; None for no path. NoInputError names the file and what it is for."""
    if path is None:
        return None
    try:
        with open(path, "rb") as f:
            pem = f.read(1 << 20)
    except OSError as e:
        raise errors.NoInputError(f"{what} {path}: {e.strerror}") from None
    if b"-----BEGIN " not in pem:
        raise errors.ConfigError(f"{what} {path}: this is no PEM file")
    return pem


def open_channel(target: str, tls: Tls | None = None, max_message_bytes: int = MAX_MESSAGE_BYTES,
                 reconnect_s: float | None = None) -> grpc.Channel:
    """A channel to `host:port`. It connects when first used; TLS where `tls` is given, else plain text. reconnect_s: a server that went
    away is tried again at most this many seconds apart (None: gRPC's two minutes)."""
    options = [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.enable_http_proxy", 0),
    ]
    if reconnect_s is not None:
        milliseconds = max(100, int(reconnect_s * 1000))
        options += [(f"grpc.{name}_reconnect_backoff_ms", milliseconds) for name in ("initial", "min", "max")]
    if tls is None:
        return grpc.insecure_channel(target, options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(
        read_pem(tls.ca, "--tls-ca"), read_pem(tls.key, "--tls-key"), read_pem(tls.cert, "--tls-cert")
    )
    return grpc.secure_channel(target, credentials, options)


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Credentials of a server. With `tls.ca` clients must show a certificate that it signed (mutual TLS)."""
    if tls.cert is None:
        raise errors.UsageError("a TLS server needs its certificate and key: give --tls-cert and --tls-key")
    pair = (read_pem(tls.key, "--tls-key"), read_pem(tls.cert, "--tls-cert"))
    ca = read_pem(tls.ca, "--tls-ca")
    return grpc.ssl_server_credentials([pair], root_certificates=ca, require_client_auth=ca is not None)
