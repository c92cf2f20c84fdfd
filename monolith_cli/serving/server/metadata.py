"""Answers about models: status and metadata."""

from __future__ import annotations

from monolith_cli.serving.protos import get_model_metadata_pb2, get_model_status_pb2
from monolith_cli.serving.server.predictor import Predictor
from monolith_cli.serving.server.status import invalid

SIGNATURE_DEF = "signature_def"


def model_status(predictor: Predictor, spec) -> get_model_status_pb2.GetModelStatusResponse:
    """State and error of the versions that a ModelSpec names, newest first."""
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state, error in predictor.status(spec):
        made = response.model_version_status.add(version=number, state=int(state))
        made.status.error_code = error.number if error else 0
        made.status.error_message = error.message if error else ""
    return response


def model_metadata(predictor: Predictor, spec, fields: list[str]) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a version. Only the field `signature_def` is known, as in the stock server."""
    if not fields:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != SIGNATURE_DEF:
            raise invalid(f"Metadata field {field} is not supported; there is {SIGNATURE_DEF}")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with predictor.version(spec) as held:
        response.model_spec.name = held.name
        response.model_spec.version.value = held.number
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in held.model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response
