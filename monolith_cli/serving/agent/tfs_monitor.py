"""What the model servers of this container have loaded, and telling them what to load."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import grpc

from monolith_cli import errors
from monolith_cli.serving.addresses import join_host_port
from monolith_cli.serving.agent.config import AgentConfig, DeployType, ServerType
from monolith_cli.serving.agent.model_config import (
    DEFAULT_MODEL,
    ModelServerConfig,
    default_model,
    is_version,
    model_entry,
    server_config,
)
from monolith_cli.serving.channel import Tls, open_channel
from monolith_cli.serving.protos import (
    error_codes_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
    status_pb2,
)

if TYPE_CHECKING:
    from monolith_cli.serving.zookeeper.records import PublishMeta

ModelVersionStatus = get_model_status_pb2.ModelVersionStatus
STATUS_TIMEOUT_S = 10.0
_UNLOAD = 2  # PublishType.UNLOAD


def model_spec(name: str, version: int | str | None = None, signature_name: str | None = None) -> model_pb2.ModelSpec:
    """version: a number, or a label."""
    spec = model_pb2.ModelSpec(name=name)
    if isinstance(version, int):
        spec.version.value = version
    elif version is not None:
        spec.version_label = version
    if signature_name is not None:
        spec.signature_name = signature_name
    return spec


def version_status(version: int, state: int, error_code: int = error_codes_pb2.OK,
                   message: str = "") -> ModelVersionStatus:
    return ModelVersionStatus(version=version, state=state,
                              status=status_pb2.StatusProto(error_code=error_code, error_message=message))


def newest(statuses: Iterable[ModelVersionStatus]) -> ModelVersionStatus | None:
    """Of the versions of a model the one that counts: the newest that is available, else the newest; None of none."""
    statuses = sorted(statuses, key=lambda s: s.version)
    available = [s for s in statuses if s.state == ModelVersionStatus.AVAILABLE]
    return (available or statuses or [None])[-1]


def version_of(path: str) -> int:
    """The version at the end of a version path. BadDataError where it is no number."""
    name = os.path.basename(path.rstrip("/"))
    if not is_version(name):
        raise errors.BadDataError(f"{path!r} is no path of a version: it must end in a number")
    return int(name)


class TfsMonitor:
    """Asks the model servers of one container, at `host` and the ports of its configuration.

    The servers are local and are asked at the loopback interface unless `host` says otherwise; tls: where they want
    it. Models are named `<model>:<sub model>` or by their sub model alone. Channels are opened when first needed;
    `close` ends them. Safe to use from several threads.
    """

    def __init__(self, config: AgentConfig, host: str = "127.0.0.1", tls: Tls | None = None,
                 reload_timeout_s: float | None = 3600.0):
        self.config, self.host, self.tls, self.reload_timeout_s = config, host, tls, reload_timeout_s
        self._channels: dict[ServerType, grpc.Channel] = {}
        self._lock = threading.Lock()

    def server_type(self, name: str) -> ServerType | None:
        """The server that a sub model belongs to, by the start of its name; None where this container has none of
        that type."""
        sub_model = name.rpartition(":")[2]
        deploy = self.config.deploy_type
        if deploy == DeployType.UNIFIED:
            return ServerType.UNIFIED
        for kind in (ServerType.ENTRY, ServerType.PS, ServerType.DENSE):
            if sub_model.startswith(kind):
                return kind if deploy in (DeployType.MIXED, kind) else None
        return None

    def address(self, name: str) -> str | None:
        """host:port of the server of a sub model; None where this container has no such server."""
        kind = self.server_type(name)
        if kind is None or (kind == ServerType.DENSE and not self.config.dense_alone):
            return None
        return join_host_port(self.host, self.config.ports(kind)[0])

    def status(self, name: str, version: int | None = None,
               signature_name: str | None = None) -> list[ModelVersionStatus]:
        """What the server says of a model; empty where this container does not serve it. grpc.RpcError as it comes."""
        if self.address(name) is None:
            return []
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_spec(name, version, signature_name))
        stub = model_service_pb2_grpc.ModelServiceStub(self._channel(self.server_type(name)))
        return list(stub.GetModelStatus(request, timeout=STATUS_TIMEOUT_S).model_version_status)

    def publish_status(self, meta: PublishMeta,
                       fix_dense_version: bool = False) -> dict[str, tuple[str, ModelVersionStatus]]:
        """`<model>:<sub model>` -> (version path, status) of what a publish record wants and this container serves.
        What cannot be asked is UNKNOWN, with the error."""
        found = {}
        for sub_model, path in (meta.sub_models or {}).items():
            if self.server_type(sub_model) is None:
                continue
            name, wanted = f"{meta.model_name}:{sub_model}", version_of(path)
            asked = None if self._floats(sub_model, fix_dense_version) else wanted
            try:
                statuses = self.status(name, asked)
            except grpc.RpcError as e:
                status = version_status(wanted, ModelVersionStatus.UNKNOWN, e.code().value[0], e.details())
            else:
                status = max(statuses, key=lambda s: s.version, default=None) or version_status(
                    wanted, ModelVersionStatus.UNKNOWN, error_codes_pb2.NOT_FOUND, f"{name} not found")
            found[name] = (path, status)
        return found

    def model_configs(self, metas: Iterable[PublishMeta],
                      fix_dense_version: bool = False) -> dict[ServerType, ModelServerConfig]:
        """What each server is to load by these publish records; those that say UNLOAD are left out. BadDataError for
        a path that does not end in a version."""
        entries: dict[ServerType, list] = {}
        for meta in metas:
            if meta.ptype == _UNLOAD:
                continue
            for sub_model, path in (meta.sub_models or {}).items():
                kind, version = self.server_type(sub_model), version_of(path)
                if kind is None:
                    continue
                chosen = ("latest", 1) if self._floats(sub_model, fix_dense_version) else ("specific", version)
                entry = model_entry(f"{meta.model_name}:{sub_model}", os.path.dirname(path.rstrip("/")), *chosen)
                entries.setdefault(kind, []).append(entry)
        return {kind: server_config(found) for kind, found in entries.items()}

    def reload(self, server_type: ServerType, config: ModelServerConfig) -> status_pb2.StatusProto:
        """Makes a server load exactly the models of a configuration, and the default model where there is one; waits
        until they are loaded. grpc.RpcError as it comes; ConfigError where this container has no such server."""
        request = model_management_pb2.ReloadConfigRequest(config=config)
        models = request.config.model_config_list.config
        default = default_model(self.config)
        if default is not None and all(m.name != DEFAULT_MODEL for m in models):
            models.append(default)
        stub = model_service_pb2_grpc.ModelServiceStub(self._channel(server_type))
        return stub.HandleReloadConfigRequest(request, timeout=self.reload_timeout_s).status

    def prediction_stub(self, server_type: ServerType) -> prediction_service_pb2_grpc.PredictionServiceStub:
        """For calls beyond what this class does."""
        return prediction_service_pb2_grpc.PredictionServiceStub(self._channel(server_type))

    def close(self) -> None:
        with self._lock:
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()

    def _floats(self, sub_model: str, fix_dense_version: bool) -> bool:
        """Whether a sub model follows the newest version instead of the published one: the dense part, wherever it is
        served."""
        dense = ServerType.DENSE if self.config.dense_alone else ServerType.ENTRY
        return not fix_dense_version and self.server_type(sub_model) is not None and sub_model.startswith(dense)

    def _channel(self, kind: ServerType) -> grpc.Channel:
        with self._lock:
            if kind not in self._channels:
                target = join_host_port(self.host, self.config.ports(kind)[0])
                self._channels[kind] = open_channel(target, self.tls)
            return self._channels[kind]
