"""The protobuf classes of the three containers."""

from __future__ import annotations


def message_class(record_type: str):
    """Instance, Example or ExampleBatch, by the name of the type (instance, example, example_batch)."""
    if record_type == "instance":
        from monolith_protos.proto_parser_pb2 import Instance

        return Instance
    from monolith_protos import example_pb2

    return {"example": example_pb2.Example, "example_batch": example_pb2.ExampleBatch}[record_type]


def parse(message, payload: bytes):
    """Fills `message` with a serialized record. Raises ValueError with a reason for people."""
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(payload)
    except DecodeError:
        raise ValueError(f"this is no {message.DESCRIPTOR.name}: the message cannot be parsed") from None
    return message
