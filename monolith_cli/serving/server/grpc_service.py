"""The gRPC face: PredictionService and ModelService, health checks, reflection."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from google.protobuf.message import DecodeError

from monolith_cli import errors
from monolith_cli.serving import channel
from monolith_cli.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_service_pb2,
)
from monolith_cli.serving.server import tensors
from monolith_cli.serving.server.metadata import model_metadata, model_status
from monolith_cli.serving.server.predictor import Answer, Predictor
from monolith_cli.serving.server.status import StatusError, invalid

_PREDICTION = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name
_MODEL = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name


class GrpcServer:
    """addresses: `host:port` or `unix:PATH` each. threads: requests worked on at once; what is beyond 32 times as many
    is refused."""

    def __init__(
        self,
        predictor: Predictor,
        catalog,
        metrics,
        addresses: list[str],
        *,
        tls=None,
        threads: int,
        max_message_bytes: int,
        arguments=(),
    ):
        self._predictor, self._catalog, self._metrics = predictor, catalog, metrics
        options = {
            "grpc.max_send_message_length": max_message_bytes,
            "grpc.max_receive_message_length": max_message_bytes,
            "grpc.so_reuseport": 0,  # a second server on the same port must fail, not take half of the requests
        }
        self._server = grpc.server(
            ThreadPoolExecutor(threads, "grpc"),
            options=list((options | dict(arguments)).items()),
            maximum_concurrent_rpcs=32 * threads,
        )
        self._add_services()
        for address in addresses:
            self._listen(address, tls)

    def _listen(self, address: str, tls) -> None:
        try:
            if tls is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, channel.server_credentials(tls))
        except RuntimeError:
            bound = 0
        if not bound:
            raise errors.CannotCreateError(
                f"gRPC cannot listen on {address}: is the port taken, the address this host's?"
            )

    def _add_services(self) -> None:
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc
        from grpc_reflection.v1alpha import reflection

        services = {
            _PREDICTION: {
                "Predict": grpc.unary_unary_rpc_method_handler(self._predict),
                "GetModelMetadata": self._handler(self._metadata, get_model_metadata_pb2.GetModelMetadataRequest),
                **{
                    name: grpc.unary_unary_rpc_method_handler(self._unimplemented)
                    for name in ("Classify", "Regress", "MultiInference")
                },
            },
            _MODEL: {
                "GetModelStatus": self._handler(self._status, get_model_status_pb2.GetModelStatusRequest),
                "HandleReloadConfigRequest": self._handler(self._reload, model_management_pb2.ReloadConfigRequest),
            },
        }
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(n, methods) for n, methods in services.items()]
        )
        self._health = health.HealthServicer()
        self._serving = health_pb2.HealthCheckResponse
        self._health_names = ["", *services]
        self.set_ready(False)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    @staticmethod
    def _handler(function, request_type):
        """Decoded here and not by grpc, which would answer what it cannot decode with INTERNAL."""

        def call(raw: bytes, context):
            try:
                return function(_decode(raw, request_type)).SerializeToString()
            except StatusError as e:
                context.abort(e.code, e.message)

        return grpc.unary_unary_rpc_method_handler(call)

    def _predict(self, raw: bytes, context):
        began, model, status = time.perf_counter(), "", "OK"
        try:
            request = _decode(raw, predict_pb2.PredictRequest)
            model = request.model_spec.name
            left = context.time_remaining()
            answer = self._predictor.predict(
                request.model_spec,
                lambda signature: tensors.read_inputs(request.inputs, self._predictor.max_bytes),
                request.output_filter,
                None if left is None else time.monotonic() + left,
            )
            return _encode(answer)
        except StatusError as e:
            status = e.code.name
            context.abort(e.code, e.message)
        finally:
            self._metrics.count_request(model, "Predict", "GRPC", status, time.perf_counter() - began)

    @staticmethod
    def _unimplemented(raw: bytes, context):
        context.abort(
            grpc.StatusCode.UNIMPLEMENTED,
            "this server answers Predict; Classify, Regress and MultiInference are not built",
        )

    def _metadata(self, request):
        return model_metadata(self._predictor, request.model_spec, list(request.metadata_field))

    def _status(self, request):
        return model_status(self._predictor, request.model_spec)

    def _reload(self, request):
        self._catalog.reload(request.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response

    def set_ready(self, ready: bool) -> None:
        """What health checks are told."""
        status = self._serving.SERVING if ready else self._serving.NOT_SERVING
        for name in self._health_names:
            self._health.set(name, status)

    def start(self) -> None:
        self._server.start()

    def stop(self, grace_s: float):
        """Takes no new request, waits for those at hand, at most grace_s."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()


def _decode(raw: bytes, request_type):
    try:
        return request_type.FromString(raw)
    except DecodeError as e:
        raise invalid(f"the request is no {request_type.DESCRIPTOR.full_name}: {e}") from None


def _encode(answer: Answer) -> bytes:
    """A serialized PredictResponse."""
    entries = [
        tensors.field_bytes(1, tensors.field_bytes(1, alias.encode()) + tensors.field_bytes(2, tensors.to_bytes(array)))
        for alias, array in answer.outputs.items()
    ]
    tail = predict_pb2.PredictResponse()
    tail.model_spec.name, tail.model_spec.signature_name = answer.model, answer.signature
    tail.model_spec.version.value = answer.version
    return b"".join([*entries, tail.SerializeToString()])
