"""A small HTTP/1.1 server: a thread a connection, with bounds on connections, headers, bodies and idle time; TLS where
asked for."""

from __future__ import annotations

import contextlib
import http
import http.server
import json
import socket
import ssl
import threading
import zlib
from dataclasses import dataclass, field
from typing import Any

import grpc

from monolith_cli import errors
from monolith_cli.serving.channel import Tls, read_pem
from monolith_cli.serving.server.status import StatusError, invalid

_IDLE_S = 60.0
_MAX_CONNECTIONS = 512
_MAX_LINE, _MAX_TRAILERS = 1 << 16, 100


@dataclass
class Response:
    status: int
    body: bytes
    content_type: str


@dataclass
class Request:
    """read_body() gives the body, once; StatusError where it is too large or not whole."""

    method: str
    path: str
    read_body: Any = field(repr=False, default=None)


class HttpServer:
    """handle(Request) -> Response. address: (host, port)."""

    def __init__(self, address: tuple[str, int], handle, *, tls: Tls | None = None, max_body_bytes: int):
        handler = type(
            "Handler", (_Handler,), {"handle_request": staticmethod(handle), "max_body_bytes": max_body_bytes}
        )
        kind = _V6Server if ":" in address[0] else _Server
        try:
            self._server = kind(address, handler)
        except OSError as e:
            raise errors.CannotCreateError(f"HTTP cannot listen on {address[0]}:{address[1]}: {e.strerror}") from None
        self._server.tls = tls_context(tls) if tls else None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="http", daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def start(self) -> None:
        self._thread.start()

    def stop(self, grace_s: float) -> None:
        """Takes no new connection, lets requests at hand finish, at most grace_s."""
        self._server.shutdown()
        self._server.server_close()
        self._server.drain(grace_s)


def tls_context(tls: Tls) -> ssl.SSLContext:
    """A server's context; with `ca` clients must show a certificate that it signed."""
    if tls.cert is None:
        raise errors.UsageError("a TLS server needs its certificate and key: give --tls-cert and --tls-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.cert, tls.key)
        if tls.ca:
            context.load_verify_locations(cadata=read_pem(tls.ca, "--tls-ca").decode("ascii"))
            context.verify_mode = ssl.CERT_REQUIRED
    except (ssl.SSLError, UnicodeDecodeError) as e:
        raise errors.ConfigError(
            f"the TLS files {tls.cert}, {tls.key} do not go together or are no PEM files: {e}"
        ) from None
    return context


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def __init__(self, *args):
        self._busy = threading.Condition()
        self._requests, self._connections = 0, set()
        super().__init__(*args)

    def server_bind(self):
        # The plain one: http.server asks a name server for the host's own name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]

    def process_request(self, request, client_address):
        with self._busy:
            room = len(self._connections) < _MAX_CONNECTIONS
            if room:
                self._connections.add(request)
        if room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def finish_request(self, request, client_address):
        # In the connection's own thread: a client that is slow to shake hands holds nobody up.
        accepted = request
        try:
            if self.tls is not None:
                request.settimeout(_IDLE_S)
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        finally:
            with self._busy:
                self._connections.discard(accepted)
            if request is not accepted:
                with contextlib.suppress(OSError):
                    request.close()

    def handle_error(self, request, client_address):
        """A connection that broke, or a handshake that failed, is the client's affair."""

    @contextlib.contextmanager
    def busy(self):
        with self._busy:
            self._requests += 1
        try:
            yield
        finally:
            with self._busy:
                self._requests -= 1
                self._busy.notify_all()

    def drain(self, grace_s: float) -> None:
        with self._busy:
            self._busy.wait_for(lambda: self._requests == 0, grace_s)


class _V6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "monolith-cli", ""
    timeout = _IDLE_S
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm = True
    max_body_bytes = 1 << 20

    def _respond(self):
        self._read = False
        with self.server.busy():
            try:
                response = self.handle_request(Request(self.command, self.path, self._body))
            except StatusError as e:
                response = Response(e.http, json.dumps({"error": e.message}).encode() + b"\n", "application/json")
            except Exception as e:  # noqa: BLE001 - a bug answers this request and ends nothing else
                body = json.dumps({"error": f"internal error: {type(e).__name__}: {e}"}).encode() + b"\n"
                response = Response(500, body, "application/json")
            if not self._read and self._has_body():
                self.close_connection = True  # what was not read would be taken for the next request
            self._send(response)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _respond

    def _has_body(self) -> bool:
        return self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def handle_expect_100(self):
        """Told to go on only when the body would be read."""
        if self._length() is not None and self._length() > self.max_body_bytes:
            return True
        done = super().handle_expect_100()
        self.wfile.flush()
        return done

    def _length(self) -> int | None:
        text = self.headers.get("Content-Length")
        return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 20 else None

    def _body(self) -> bytes:
        encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise invalid(f"Content-Encoding {encoding} is not supported: send gzip, or the body as it is")
        if "Transfer-Encoding" in self.headers:
            if self.headers["Transfer-Encoding"].lower() != "chunked" or "Content-Length" in self.headers:
                raise invalid("Transfer-Encoding must be chunked, and stand without Content-Length")
            body = self._chunks()
        else:
            length = self._length()
            if length is None:
                raise invalid("Content-Length is missing or no number")
            self._check_size(length)
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True
                raise invalid("the request's body is not whole")
        self._read = True
        return body if encoding == "identity" else self._unpacked(body)

    def _unpacked(self, body: bytes) -> bytes:
        """A gzip body; no more of it is unpacked than a body may have."""
        unpack = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        try:
            plain = unpack.decompress(body, self.max_body_bytes + 1)
        except zlib.error as e:
            raise invalid(f"the request's body is no gzip: {e}") from None
        self._check_size(len(plain))
        if not unpack.eof or unpack.unused_data:
            raise invalid("the request's body is not one whole gzip")
        return plain

    def _check_size(self, size: int) -> None:
        if size > self.max_body_bytes:
            raise _TooLarge(f"the request's body is larger than {self.max_body_bytes} bytes")

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            line = self.rfile.readline(64)
            size = line.partition(b";")[0].strip()
            try:
                length = int(size, 16)
            except ValueError:
                length = -1
            if length < 0 or not line.endswith(b"\n"):
                raise invalid("a chunk of the request's body has no size")
            if length == 0:
                break
            self._check_size(len(body) + length)
            chunk = self.rfile.read(length)
            if len(chunk) < length or self.rfile.readline(8).strip():
                raise invalid("a chunk of the request's body is not whole")
            body += chunk
        for _ in range(_MAX_TRAILERS):
            if not self.rfile.readline(_MAX_LINE).strip():
                return bytes(body)
        raise invalid("too many trailers behind the request's body")

    def send_error(self, code, message=None, explain=None):
        """http.server's own refusals (a line too long, a method unknown), as JSON."""
        self.close_connection = True
        body = json.dumps({"error": message or http.HTTPStatus(code).phrase}).encode() + b"\n"
        self.request_version = self.protocol_version  # the answer has a head, whatever the request called itself
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)
            self.wfile.flush()

    def log_message(self, format, *args):  # the name is http.server's
        """Requests are counted in the metrics, not logged one by one."""


class _TooLarge(StatusError):
    http = 413

    def __init__(self, message: str):
        super().__init__(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
