"""An error that goes back to the caller with one of gRPC's status codes, through gRPC or REST."""

from __future__ import annotations

import grpc

OK = 0
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class StatusError(Exception):
    """code: grpc.StatusCode."""

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code, self.message = code, message

    @property
    def number(self) -> int:
        return self.code.value[0]

    @property
    def http(self) -> int:
        return _HTTP.get(self.code.name, 500)


def from_number(number: int, message: str) -> StatusError:
    """The error of a canonical code, as TensorFlow's errors carry it."""
    return StatusError(_BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN), message)


def invalid(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def unavailable(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.UNAVAILABLE, message)


def deadline_exceeded(message: str) -> StatusError:
    return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, message)
