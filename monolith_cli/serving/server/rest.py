"""The REST face: status, metadata and predict of `/v1/models/…`, metrics, health."""

from __future__ import annotations

import json
import re
import time
import urllib.parse

from google.protobuf import json_format

from monolith_cli.serving.protos import get_model_metadata_pb2, model_pb2
from monolith_cli.serving.server import metrics as metrics_module
from monolith_cli.serving.server import rest_json
from monolith_cli.serving.server.http_server import Request, Response
from monolith_cli.serving.server.metadata import SIGNATURE_DEF, model_metadata, model_status
from monolith_cli.serving.server.predictor import Predictor
from monolith_cli.serving.server.status import StatusError, invalid

_MODEL = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d{1,19})|/labels/(?P<label>[^/:]+))?(?P<rest>/metadata|:[a-z]+)?"
)
METRICS_PATH = "/monitoring/prometheus/metrics"


class RestApi:
    """A function of requests. ready: () -> whether the server should get traffic. timeout_s: of a predict request.
    metrics_path: None serves no metrics."""

    def __init__(
        self, predictor: Predictor, metrics, ready, *, timeout_s: float, metrics_path: str | None = METRICS_PATH
    ):
        self._predictor, self._metrics, self._ready = predictor, metrics, ready
        self._timeout_s, self._metrics_path = timeout_s, metrics_path

    def operations(self, request: Request) -> Response:
        """Metrics, also under /metrics, and health alone."""
        path = METRICS_PATH if request.path == "/metrics" else request.path.partition("?")[0]
        return self._operation(request.method, path, METRICS_PATH) or _json(
            404, {"error": f"Malformed request: {request.method} {path}"}
        )

    def _operation(self, method: str, path: str, metrics_path: str | None) -> Response | None:
        if method in ("GET", "HEAD") and path == metrics_path:
            return Response(200, self._metrics.text().encode(), metrics_module.CONTENT_TYPE)
        if method in ("GET", "HEAD") and path == "/healthz":
            return (
                Response(200, b"ok\n", "text/plain") if self._ready() else Response(503, b"not ready\n", "text/plain")
            )
        return None

    def __call__(self, request: Request) -> Response:
        path = request.path.partition("?")[0]
        operation = self._operation(request.method, path, self._metrics_path)
        if operation is not None:
            return operation
        began, status, spec, verb = time.perf_counter(), "OK", model_pb2.ModelSpec(), ""
        try:
            spec, verb = _parse_path(request.method, path)
            return _json(200, self._answer(request, spec, verb))
        except StatusError as e:
            status = e.code.name
            return _json(e.http, {"error": e.message})
        finally:
            if verb == ":predict":
                self._metrics.count_request(spec.name, "Predict", "REST", status, time.perf_counter() - began)

    def _answer(self, request: Request, spec, verb: str):
        if verb == ":predict":
            return self._predict(request, spec)
        if verb == "/metadata":
            return _metadata_json(model_metadata(self._predictor, spec, [SIGNATURE_DEF]))
        return json_format.MessageToDict(
            model_status(self._predictor, spec),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )

    def _predict(self, request: Request, spec):
        deadline = time.monotonic() + self._timeout_s
        body = rest_json.parse_body(request.read_body())
        spec.signature_name = body.get("signature_name", "")
        answer = self._predictor.predict(spec, lambda signature: rest_json.read_inputs(body, signature), (), deadline)
        return rest_json.answer(answer.outputs, "instances" in body)


def _parse_path(method: str, path: str):
    """(ModelSpec, what is asked for: "", "/metadata" or ":predict")."""
    match = _MODEL.fullmatch(path)
    verb = match["rest"] or "" if match else ""
    if match is None or (method == "POST") != verb.startswith(":") or method not in ("GET", "HEAD", "POST"):
        raise invalid(f"Malformed request: {method} {path}")
    spec = model_pb2.ModelSpec(name=_unquoted(match["name"]))
    if match["version"]:
        if int(match["version"]) >= 2**63:
            raise invalid(f"Malformed request: {method} {path}: no such number of a version")
        spec.version.value = int(match["version"])
    if match["label"]:
        spec.version_label = _unquoted(match["label"])
    if verb.startswith(":") and verb != ":predict":
        import grpc

        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"{verb[1:]} is not built: use :predict")
    return spec, verb


def _unquoted(text: str) -> str:
    try:
        return urllib.parse.unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise invalid(f"Malformed request: {text} is no UTF-8") from None


def _metadata_json(response) -> dict:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata[SIGNATURE_DEF].Unpack(signatures)
    as_dict = {"preserving_proto_field_name": True, "always_print_fields_with_no_presence": True}
    spec = {"name": response.model_spec.name, "signature_name": "", "version": str(response.model_spec.version.value)}
    return {"model_spec": spec, "metadata": {SIGNATURE_DEF: json_format.MessageToDict(signatures, **as_dict)}}


def _json(status: int, value) -> Response:
    return Response(
        status, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n", "application/json"
    )
