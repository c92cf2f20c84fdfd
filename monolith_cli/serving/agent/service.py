"""The server of `AgentService`: who serves what, for the entry graphs on this host and for people."""

from __future__ import annotations

from concurrent import futures
from typing import Protocol

import grpc

from monolith_cli import errors
from monolith_cli.serving import addresses, channel
from monolith_cli.serving.agent_rpc import SERVICE, AgentServiceServicer, add_servicer
from monolith_protos import agent_service_pb2 as pb

SERVER_TYPES = {pb.ServerType.PS: "ps", pb.ServerType.ENTRY: "entry", pb.ServerType.DENSE: "dense"}
WORKERS = 10
# Requests are a few numbers and a name.
MAX_REQUEST_BYTES = 1 << 16


class Provider(Protocol):
    """What an agent answers with. Server types are `ps`, `entry` and `dense`."""

    def replicas(self, server_type: str, task: int, model_name: str) -> list[str]:
        """Addresses of one task. NotImplementedError where this version of the agent has no such question."""

    def heart_beat(self, server_type: str) -> dict[str, list[str]]:
        """Key of a task or sub model → addresses."""

    def resource(self) -> pb.GetResourceResponse:
        """This agent's own place and means."""


class _Servicer(AgentServiceServicer):
    def __init__(self, provider: Provider):
        self._provider = provider

    def GetReplicas(self, request, context):  # noqa: N802 - the name in the proto file
        server_type = self._server_type(request, context)
        try:
            found = self._provider.replicas(server_type, request.task, request.model_name)
        except NotImplementedError as e:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, str(e))
        return pb.GetReplicasResponse(address_list=pb.AddressList(address=found))

    def HeartBeat(self, request, context):  # noqa: N802
        response = pb.HeartBeatResponse()
        for key, found in sorted(self._provider.heart_beat(self._server_type(request, context)).items()):
            response.addresses[key].address.extend(found)
        return response

    def GetResource(self, request, context):  # noqa: N802
        return self._provider.resource()

    @staticmethod
    def _server_type(request, context) -> str:
        if request.server_type not in SERVER_TYPES:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"server_type {request.server_type} is none of PS 0, ENTRY 1, DENSE 2"
            )
        return SERVER_TYPES[request.server_type]


class AgentService:
    """The server: AgentService, health checks and reflection at host:port. `port` is the one it listens on.

    host: loopback unless the operator says otherwise. tls: `channel.Tls` with certificate and key; with a ca clients
    must show theirs. UnavailableError where the port cannot be had.
    """

    def __init__(self, provider: Provider, port: int, host: str = "127.0.0.1", tls: channel.Tls | None = None):
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc
        from grpc_reflection.v1alpha import reflection

        options = [("grpc.max_receive_message_length", MAX_REQUEST_BYTES), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(futures.ThreadPoolExecutor(WORKERS, "agent-service"), options=options)
        add_servicer(_Servicer(provider), self._server)
        self._health, self._serving = health.HealthServicer(), health_pb2.HealthCheckResponse.SERVING
        self._not_serving = health_pb2.HealthCheckResponse.NOT_SERVING
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        address = addresses.join_host_port(host, port)
        try:
            self.port = (
                self._server.add_insecure_port(address)
                if tls is None
                else self._server.add_secure_port(address, channel.server_credentials(tls))
            )
        except RuntimeError:
            raise errors.UnavailableError(
                f"agent service: cannot listen on {address}; another program has the port, or "
                "the host has no such address"
            ) from None

    def start(self) -> None:
        self._server.start()
        self.set_healthy(True)

    def set_healthy(self, healthy: bool) -> None:
        """What a health check hears, of the server as a whole and of AgentService."""
        for name in ("", SERVICE):
            self._health.set(name, self._serving if healthy else self._not_serving)

    def stop(self, grace_s: float = 1.0) -> None:
        """No new calls; those under way get `grace_s` seconds."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_s).wait()


def own_resource(config, host: str) -> pb.GetResourceResponse:
    """Own data of agents of version 2 and 3: where the agent is, which shard and replica it is, memory available in
    bytes."""
    from monolith_cli.serving.agent import resources

    # The field has 32 bits, the number that a pod's name gives has 40.
    replica_id = config.replica_id if config.replica_id < 1 << 31 else -1
    return pb.GetResourceResponse(
        address=addresses.join_host_port(host, config.agent_port),
        shard_id=config.shard_id,
        replica_id=replica_id,
        memory=resources.memory(config.environ).available,
        cpu=-1.0,
        network=-1.0,
        work_load=-1.0,
    )
