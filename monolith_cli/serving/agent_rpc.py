"""gRPC of the AgentService: the client's stub and what a server registers (60, 3.12; messages in
monolith_protos.agent_service_pb2)."""

from __future__ import annotations

import grpc
from monolith_protos import agent_service_pb2 as pb

SERVICE = "monolith.serving.agent_service.AgentService"
_METHODS = {
    "GetReplicas": (pb.GetReplicasRequest, pb.GetReplicasResponse),
    "GetResource": (pb.GetResourceRequest, pb.GetResourceResponse),
    "HeartBeat": (pb.HeartBeatRequest, pb.HeartBeatResponse),
}


class AgentServiceStub:
    """GetReplicas, GetResource and HeartBeat of the agent at the other end of a channel."""

    def __init__(self, channel: grpc.Channel):
        for name, (request, response) in _METHODS.items():
            call = channel.unary_unary(
                f"/{SERVICE}/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            setattr(self, name, call)


class AgentServiceServicer:
    """Base of what answers; each method gets (request, context)."""

    def GetReplicas(self, request, context):  # noqa: N802 - gRPC's names
        return _unimplemented(context)

    def GetResource(self, request, context):  # noqa: N802
        return _unimplemented(context)

    def HeartBeat(self, request, context):  # noqa: N802
        return _unimplemented(context)


def _unimplemented(context):
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "this agent does not answer that")


def add_servicer(servicer: AgentServiceServicer, server: grpc.Server) -> None:
    """Registers the service with a server."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, name),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
        for name, (request, response) in _METHODS.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    # By name too, as generated code registers them: reflection and the server's own tracing look there.
    server.add_registered_method_handlers(SERVICE, handlers)
