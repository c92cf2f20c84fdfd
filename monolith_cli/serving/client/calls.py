"""The four calls of TensorFlow Serving, and what their errors mean to a user."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from monolith_cli import errors
from monolith_cli.serving import channel
from monolith_cli.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

PREDICT_METHOD = "/tensorflow.serving.PredictionService/Predict"
_BY_CODE = {
    grpc.StatusCode.NOT_FOUND: errors.NoInputError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.BadDataError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.BadDataError,
    grpc.StatusCode.OUT_OF_RANGE: errors.BadDataError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.TryAgainError,
    grpc.StatusCode.ABORTED: errors.TryAgainError,
}
_REFUSED_CONFIG = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED,
)


@dataclass(frozen=True)
class ModelName:
    """Which model, and what of it. version and label exclude each other; none of both is the newest version."""

    name: str
    signature: str = "serving_default"
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise errors.UsageError("--model-version and --version-label exclude each other")

    def spec(self) -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec(name=self.name, signature_name=self.signature)
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label
        return spec


class TfsClient:
    """One server. target: host:port; timeout_s: of each call. Errors of calls are those of `error_of`."""

    def __init__(self, target: str, tls: channel.Tls | None = None, timeout_s: float = 30.0):
        self.target, self._timeout_s = target, timeout_s
        self._channel = channel.open_channel(target, tls)

    def __enter__(self) -> TfsClient:
        return self

    def __exit__(self, *_) -> None:
        self._channel.close()

    def status(self, model: ModelName) -> get_model_status_pb2.GetModelStatusResponse:
        stub = model_service_pb2_grpc.ModelServiceStub(self._channel)
        return self._call(stub.GetModelStatus, get_model_status_pb2.GetModelStatusRequest(model_spec=model.spec()))

    def metadata(self, model: ModelName, fields=("signature_def",)) -> get_model_metadata_pb2.GetModelMetadataResponse:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=model.spec(), metadata_field=fields)
        return self._call(stub.GetModelMetadata, request)

    def reload(self, config) -> model_management_pb2.ReloadConfigResponse:
        """config: a ModelServerConfig. The server answers when the new models are available. ConfigError where it
        refuses them."""
        stub = model_service_pb2_grpc.ModelServiceStub(self._channel)
        try:
            return stub.HandleReloadConfigRequest(
                model_management_pb2.ReloadConfigRequest(config=config), timeout=self._timeout_s
            )
        except grpc.RpcError as e:
            raise reload_error(e.code(), e.details() or "", self.target) from None

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        return self._call(prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict, request)

    def _call(self, method, request):
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as e:
            raise error_of(e, self.target) from None


def error_of(e: grpc.RpcError, target: str) -> errors.Error:
    """The error of `monolith_cli.errors` for a failed call: UnavailableError (69) where the server does not answer or
    fails, NoInputError (66) for an unknown model or version, BadDataError (65) for a request it refuses, TryAgainError
    (75) where it is too busy."""
    return error_of_code(e.code(), e.details() or "", target)


def error_of_code(code: grpc.StatusCode, details: str, target: str) -> errors.Error:
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        details = "no answer in time (--timeout)"
    return _BY_CODE.get(code, errors.UnavailableError)(f"{target}: {code.name}: {details}")


def reload_error(code: grpc.StatusCode, details: str, target: str) -> errors.Error:
    """As `error_of`; a refused configuration is a ConfigError (78)."""
    if code in _REFUSED_CONFIG:
        return errors.ConfigError(f"{target}: {code.name}: {details}")
    return error_of_code(code, details, target)


def check_reload(status, target: str) -> None:
    """Raises the `reload_error` of a StatusProto that is not OK."""
    if status.error_code:
        code = next((c for c in grpc.StatusCode if c.value[0] == status.error_code), grpc.StatusCode.UNKNOWN)
        raise reload_error(code, status.error_message, target)
