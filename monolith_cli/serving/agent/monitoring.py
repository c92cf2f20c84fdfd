"""`/metrics` for Prometheus and `/healthz` for whoever restarts what is ill, over HTTP on loopback."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable

from monolith_cli import errors


class MonitoringServer:
    """Serves `registry` (prometheus_client) at /metrics and `health()` → (well, details) at /healthz: 200 or 503,
    details as JSON.

    UnavailableError where the port cannot be had. `port` is the one it listens on (asked for 0: a free one).
    """

    def __init__(self, port: int, registry, health: Callable[[], tuple[bool, dict]], host: str = "127.0.0.1"):
        from prometheus_client import exposition

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self):  # noqa: N802 - the name http.server calls
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._send(200, exposition.CONTENT_TYPE_LATEST, exposition.generate_latest(registry))
                elif path == "/healthz":
                    well, details = health()
                    self._send(200 if well else 503, "application/json", json.dumps(details).encode() + b"\n")
                else:
                    self._send(404, "text/plain", b"here are /metrics and /healthz\n")

            def _send(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                """A scrape is no event."""

        try:
            self._server = http.server.ThreadingHTTPServer((host, port), Handler)
        except OSError as e:
            raise errors.UnavailableError(f"--metrics-port {port}: {e.strerror}") from None
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitoring", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
