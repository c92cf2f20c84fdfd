"""Warm-up: the requests of `assets.extra/tf_serving_warmup_requests`, replayed before a version becomes available."""

from __future__ import annotations

import os
from collections.abc import Iterator

import grpc

from monolith_cli.serving.protos import prediction_log_pb2
from monolith_cli.serving.server import tensors
from monolith_cli.serving.server.runtime import tensorflow
from monolith_cli.serving.server.saved_model import SavedModel
from monolith_cli.serving.server.status import StatusError, invalid

FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000


def replay(model: SavedModel, max_bytes: int) -> int:
    """Calls the model with every record, and returns how many there were. A record that fails fails the version, with
    its own status."""
    path = os.path.join(model.path, FILE)
    if not os.path.exists(path):
        return 0
    count = 0
    for count, record in enumerate(_records(path), 1):
        if count > MAX_RECORDS:
            raise invalid(f"{path}: more than {MAX_RECORDS} warm-up records")
        try:
            _replay_one(model, record, max_bytes)
        except StatusError as e:
            raise StatusError(e.code, f"warm-up record {count} of {path}: {e.message}") from None
    return count


def _records(path: str) -> Iterator[bytes]:
    tf = tensorflow()
    try:
        yield from tf.compat.v1.io.tf_record_iterator(path)
    except tf.errors.OpError as e:
        raise StatusError(grpc.StatusCode.DATA_LOSS, f"{path}: {e.message}") from None


def _replay_one(model: SavedModel, record: bytes, max_bytes: int) -> None:
    from google.protobuf.message import DecodeError

    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise invalid("no PredictionLog") from None
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"only predict_log can be replayed, this is {kind}")
    request = log.predict_log.request
    signature = model.signature(request.model_spec.signature_name)
    inputs = signature.order_inputs(tensors.read_inputs(request.inputs, max_bytes))
    model.call(signature, inputs, signature.choose_outputs(request.output_filter))
