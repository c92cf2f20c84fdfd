"""Asking an agent by its gRPC service: heartbeat, replicas and resources (60, 3.12)."""

from __future__ import annotations

import grpc

from monolith_cli import errors
from monolith_cli.serving.addresses import join_host_port, local_ip
from monolith_cli.serving.agent_rpc import AgentServiceStub
from monolith_cli.serving.channel import Tls, open_channel
from monolith_protos import agent_service_pb2 as pb

SERVER_TYPES = {"ps": pb.PS, "entry": pb.ENTRY, "dense": pb.DENSE}


class AgentClient:
    """An agent at `target`, `host:port`. Errors name it: UnavailableError, NoInputError, ..."""

    def __init__(self, target: str, tls: Tls | None = None, timeout_s: float = 10.0):
        self.target, self._timeout_s = target, timeout_s
        self._channel = open_channel(target, tls)
        self._stub = AgentServiceStub(self._channel)

    def __enter__(self) -> AgentClient:
        return self

    def __exit__(self, *_) -> None:
        self._channel.close()

    def heart_beat(self, server_type: str) -> dict[str, list[str]]:
        """Task (or served model) -> addresses of what is available, sorted by task."""
        reply = self._call("HeartBeat", pb.HeartBeatRequest(server_type=SERVER_TYPES[server_type]))
        return {key: list(reply.addresses[key].address) for key in sorted(reply.addresses)}

    def get_replicas(self, server_type: str, task: int, model_name: str) -> list[str]:
        """Addresses of the available replicas of a task."""
        request = pb.GetReplicasRequest(server_type=SERVER_TYPES[server_type], task=task, model_name=model_name)
        return list(self._call("GetReplicas", request).address_list.address)

    def get_resource(self) -> pb.GetResourceResponse:
        return self._call("GetResource", pb.GetResourceRequest())

    def _call(self, method: str, request):
        try:
            return getattr(self._stub, method)(request, timeout=self._timeout_s)
        except grpc.RpcError as e:
            code, details = e.code(), e.details()
            where = f"the agent at {self.target}"
            if code == grpc.StatusCode.UNIMPLEMENTED:
                raise errors.UnavailableError(
                    f"{where} does not answer {method}: {details or 'another version'}"
                ) from None
            if code == grpc.StatusCode.DEADLINE_EXCEEDED:
                raise errors.UnavailableError(f"{where} does not answer within {self._timeout_s:g} s") from None
            if code == grpc.StatusCode.UNAVAILABLE:
                raise errors.UnavailableError(f"{where} cannot be reached: {details}") from None
            raise errors.UnavailableError(f"{where}: {code.name}: {details}") from None


def agent_address(port: int) -> str:
    """Address of the agent of this host: MY_HOST_IP, else what the host's name means."""
    return join_host_port(local_ip(), port)


def heart_beat_text(addresses: dict[str, list[str]]) -> str:
    """As the original prints it: a key and a number, then a line an address, in the text form of an AddressList."""
    return "\n".join(
        f"{key}  -> ({len(found)}) \n\t" + "\n\t".join(f'address: "{a}"' for a in found)
        for key, found in addresses.items()
    )
