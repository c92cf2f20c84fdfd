"""One agent: which servers it knows, and the resources of its container."""

from __future__ import annotations

import threading
import time

import grpc
from monolith_protos import agent_service_pb2

from monolith_cli.serving import channel
from monolith_cli.serving.agent_rpc import AgentServiceStub
from monolith_cli.serving.top.facts import Replica, Source, replica_of_key

_TYPES = (agent_service_pb2.PS, agent_service_pb2.ENTRY, agent_service_pb2.DENSE)


class Agent:
    """Asked by `look`, from one thread at a time; the rest may be read from any."""

    def __init__(self, address: str, timeout_s: float, tls: channel.Tls | None = None):
        self.address, self._timeout_s = address, timeout_s
        self._channel = channel.open_channel(address, tls, reconnect_s=1.0)
        self._stub = AgentServiceStub(self._channel)
        self._lock = threading.Lock()
        self._replicas: tuple[Replica, ...] = ()
        self._source = Source("agent", address, None)
        self._looked_at: float | None = None

    def close(self) -> None:
        self._channel.close()

    def look(self) -> None:
        beats = [
            self._stub.HeartBeat.future(agent_service_pb2.HeartBeatRequest(server_type=t), timeout=self._timeout_s)
            for t in _TYPES
        ]
        resource = self._stub.GetResource.future(agent_service_pb2.GetResourceRequest(), timeout=self._timeout_s)
        found, errors = {}, []
        for beat in beats:
            try:
                for key, addresses in beat.result().addresses.items():
                    found |= {(key, address): replica_of_key(key, address) for address in addresses.address}
            except grpc.RpcError as e:
                errors.append(e)
        more = {}
        try:
            reply = resource.result()
            more = {"shard_id": reply.shard_id, "replica_id": reply.replica_id, "memory": reply.memory}
        except grpc.RpcError as e:
            errors.append(e)
        up = len(errors) < len(beats) + 1
        error = f"{errors[0].code().name}: {errors[0].details()}" if errors else ""
        with self._lock:
            self._looked_at = time.monotonic()
            self._source = Source("agent", self.address, up, error, 0.0, more)
            if up:
                self._replicas = tuple(found.values())

    def replicas(self) -> tuple[Replica, ...]:
        """What it last told, also while it is down."""
        with self._lock:
            return self._replicas

    def source(self) -> Source:
        with self._lock:
            s, age = self._source, None if self._looked_at is None else round(time.monotonic() - self._looked_at, 3)
            return Source(s.kind, s.name, s.up, s.error, age, s.more)
