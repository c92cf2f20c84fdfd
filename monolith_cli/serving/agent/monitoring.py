"""`/metrics` for Prometheus and `/healthz` for whoever restarts what is ill, over HTTP on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable

from monolith_cli.serving.server.http_server import HttpServer, Request, Response


def monitoring_server(port: int, registry, health: Callable[[], tuple[bool, dict]]) -> HttpServer:
    """Serves `registry` (prometheus_client) at /metrics and `health()` → (well, details) at /healthz: 200 or 503, details
    as JSON. CannotCreateError where the port cannot be had."""
    from prometheus_client import exposition

    def handle(request: Request) -> Response:
        path = request.path.partition("?")[0]
        if path == "/metrics":
            return Response(200, exposition.generate_latest(registry), exposition.CONTENT_TYPE_LATEST)
        if path == "/healthz":
            well, details = health()
            return Response(200 if well else 503, json.dumps(details).encode() + b"\n", "application/json")
        return Response(404, b"here are /metrics and /healthz\n", "text/plain")

    return HttpServer(("127.0.0.1", port), handle, max_body_bytes=0)
