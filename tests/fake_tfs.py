"""A TensorFlow Serving without models: the two gRPC services, and versions that go through their states, as tests ask
for it.

    with FakeTfs([Model("m", "/models/m", policy="latest", data=2)]) as tfs:
        tfs.settle()                                     # every version AVAILABLE
        tfs.add_version("m")                             # version 3 comes, version 1 goes
        tfs.fail_version("m", 4, 3, "broken graph")      # loading 4 will end in END with this status
        tfs.set_state("m", 3, tfs.UNLOADING)
        tfs.delay("GetModelStatus", 2.0)
        stub = model_service_pb2_grpc.ModelServiceStub(grpc.insecure_channel(tfs.target))

Spec 60, 3.17. With `manual=True` nothing moves until `step()` (one event) or `settle()` (all of them). A random new
version comes by itself only with `bump_every_s`. `stock=True` answers a request for an unknown model as the real server
does: with the error NOT_FOUND, not with a record."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2, text_format

from monolith_cli.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

_Status = get_model_status_pb2.ModelVersionStatus
_NEXT = {
    _Status.UNKNOWN: _Status.START,
    _Status.START: _Status.LOADING,
    _Status.LOADING: _Status.AVAILABLE,
    _Status.UNLOADING: _Status.END,
}
_RPC_CODE = {code.value[0]: code for code in grpc.StatusCode}


@dataclass
class Model:
    """policy: latest (data: how many), all, or specific (data: a version or several). labels: label -> version."""

    name: str
    base_path: str = "/models"
    policy: str = "latest"
    data: int | tuple[int, ...] | None = 1
    platform: str = "tensorflow"
    labels: dict[str, int] = field(default_factory=dict)

    def first_versions(self) -> list[int]:
        if self.policy == "latest":
            return list(range(1, (self.data or 1) + 1))
        if self.policy == "all":
            return [1]
        return sorted(self.data if isinstance(self.data, (tuple, list)) else [self.data])

    @classmethod
    def from_config(cls, config) -> Model:
        """Of a ModelConfig message."""
        policy = config.model_version_policy.WhichOneof("policy_choice") or "latest"
        chosen = getattr(config.model_version_policy, policy)
        data = {
            "latest": lambda: chosen.num_versions or 1,
            "all": lambda: None,
            "specific": lambda: tuple(chosen.versions),
        }[policy]()
        return cls(
            config.name,
            config.base_path,
            policy,
            data,
            config.model_platform or "tensorflow",
            dict(config.version_labels),
        )


@dataclass
class _Version:
    state: int = _Status.UNKNOWN
    code: int = 0
    message: str = ""
    leaving: bool = False


class FakeTfs(model_service_pb2_grpc.ModelServiceServicer, prediction_service_pb2_grpc.PredictionServiceServicer):
    """models: `Model`s, or `ModelServerConfig`, or the path of a text file of one. address: host:port, port 0 for a
    free one. credentials: grpc.ServerCredentials for TLS. predict: request -> PredictResponse; without it Predict is
    unimplemented. signatures: model -> SignatureDefMap, for metadata. requests: (method, request) of every call, in
    order."""

    UNKNOWN, START, LOADING, AVAILABLE, UNLOADING, END = (
        _Status.UNKNOWN,
        _Status.START,
        _Status.LOADING,
        _Status.AVAILABLE,
        _Status.UNLOADING,
        _Status.END,
    )

    def __init__(
        self,
        models=(),
        *,
        address: str = "127.0.0.1:0",
        manual: bool = False,
        stock: bool = False,
        credentials=None,
        predict=None,
        signatures=None,
        bump_every_s: float | None = None,
        threads: int = 16,
    ):
        self.predict, self.signatures, self.stock = predict, dict(signatures or {}), stock
        self.requests: list[tuple[str, object]] = []
        self._models: dict[str, Model] = {}
        self._versions: dict[str, dict[int, _Version]] = {}
        self._events: deque[tuple[str, int]] = deque()
        self._to_fail: dict[tuple[str, int], tuple[int, str]] = {}
        self._delays: dict[str, float] = {}
        self._errors: dict[str, list] = {}
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._manual, self._bump_every_s = manual, bump_every_s
        for model in _models(models):
            self.load(model)
        self._server = grpc.server(futures.ThreadPoolExecutor(threads), options=[("grpc.so_reuseport", 0)])
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self, self._server)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self, self._server)
        self.port = (
            self._server.add_secure_port(address, credentials)
            if credentials
            else self._server.add_insecure_port(address)
        )
        assert self.port, f"cannot listen on {address}"
        self.target = f"{address.rpartition(':')[0]}:{self.port}"

    # Its own life

    def start(self) -> FakeTfs:
        self._server.start()
        if not self._manual:
            threading.Thread(target=self._work, daemon=True).start()
        return self

    def stop(self, grace_s: float | None = None) -> None:
        self._stopped.set()
        self._server.stop(grace_s).wait()

    def wait(self) -> None:
        """Blocks until stopped."""
        self._server.wait_for_termination()

    def __enter__(self) -> FakeTfs:
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    # What tests steer

    def load(self, model: Model) -> None:
        with self._lock:
            self._models[model.name] = model
            self._versions[model.name] = {}
            for version in model.first_versions():
                self._begin(model.name, version)

    def unload(self, name: str, version: int | None = None) -> None:
        """One version, or the model."""
        with self._lock:
            for number in [version] if version is not None else list(self._versions[name]):
                found = self._versions[name][number]
                if not found.leaving:
                    found.leaving, found.state = True, self.UNLOADING
                    self._events.append((name, number))

    def add_version(self, name: str, version: int | None = None) -> int:
        """A new version (default: the highest plus one); with the policy latest the lowest ones above its number
        leave."""
        with self._lock:
            model = self._models[name]
            number = version if version is not None else max(self._versions[name], default=0) + 1
            self._begin(name, number)
            if model.policy == "latest":
                staying = sorted(v for v, found in self._versions[name].items() if not found.leaving)
                for old in staying[: max(0, len(staying) - (model.data or 1))]:
                    self.unload(name, old)
            return number

    def fail_version(self, name: str, version: int, code: int = 2, message: str = "cannot be loaded") -> None:
        """Loading this version, now or later, ends in END with this status, as the real server has it."""
        with self._lock:
            self._to_fail[name, version] = (code, message)

    def set_state(self, name: str, version: int, state: int, code: int = 0, message: str = "") -> None:
        """Puts a version into a state at once, and leaves it there."""
        with self._lock:
            self._versions[name].setdefault(version, _Version())
            self._events = deque(e for e in self._events if e != (name, version))
            found = self._versions[name][version]
            found.state, found.code, found.message = state, code, message

    def states(self, name: str) -> dict[int, int]:
        with self._lock:
            return {v: found.state for v, found in sorted(self._versions.get(name, {}).items())}

    def models(self) -> list[str]:
        with self._lock:
            return list(self._models)

    def delay(self, method: str, seconds: float) -> None:
        """Every later call of this method answers that much later; 0 for no longer."""
        self._delays[method] = seconds

    def fail_call(self, method: str, code: grpc.StatusCode, message: str = "", times: int = 1) -> None:
        """The next calls of this method end with this error; times -1: all of them."""
        self._errors[method] = [code, message, times]

    def step(self) -> bool:
        """Handles one event; False when there is none."""
        with self._lock:
            if not self._events:
                return False
            self._move(*self._events.popleft())
            return True

    def settle(self, timeout_s: float = 60.0) -> FakeTfs:
        """Until no event is left."""
        deadline = time.monotonic() + timeout_s
        while self.step() if self._manual else self._is_busy():
            assert time.monotonic() < deadline, "the fake server did not settle"
            if not self._manual:
                time.sleep(0.005)
        return self

    def _is_busy(self) -> bool:
        with self._lock:  # an event that is being handled has left the queue, and may bring another
            return bool(self._events)

    def calls(self, method: str) -> list:
        """Requests of one method."""
        return [request for name, request in list(self.requests) if name == method]

    def _begin(self, name: str, version: int) -> None:
        self._versions[name][version] = _Version()
        self._events.append((name, version))

    def _move(self, name: str, version: int) -> None:
        found = self._versions.get(name, {}).get(version)
        if found is None:
            return
        if found.leaving and found.state == self.END:
            del self._versions[name][version]
            if not self._versions[name]:
                del self._versions[name]
                self._models.pop(name, None)
            return
        if found.state == self.LOADING and (name, version) in self._to_fail:
            found.state = self.END
            found.code, found.message = self._to_fail[name, version]
            return
        found.state = _NEXT[found.state]
        if found.state != self.AVAILABLE:
            self._events.append((name, version))

    def _work(self) -> None:
        bump_at = time.monotonic() + (self._bump_every_s or 0)
        while not self._stopped.wait(0.005):
            self.step()
            if self._bump_every_s and time.monotonic() >= bump_at:
                bump_at += self._bump_every_s
                self._bump()

    def _bump(self) -> None:
        with self._lock:
            growing = [name for name, model in self._models.items() if model.policy != "specific"]
            if growing:
                self.add_version(random.choice(growing))

    # The services

    def _enter(self, method: str, request, context) -> None:
        self.requests.append((method, request))
        if self._delays.get(method):
            self._stopped.wait(self._delays[method])
        error = self._errors.get(method)
        if error and error[2]:
            error[2] -= 1
            context.abort(error[0], error[1])

    def _chosen(self, spec) -> dict[int, _Version]:
        """The versions that a ModelSpec means."""
        versions = dict(sorted(self._versions.get(spec.name, {}).items()))
        which = spec.WhichOneof("version_choice")
        if which == "version":
            wanted = spec.version.value
        elif which == "version_label":
            wanted = self._models[spec.name].labels.get(spec.version_label) if spec.name in self._models else None
        else:
            return versions
        return {wanted: versions[wanted]} if wanted in versions else {}

    def GetModelStatus(self, request, context):
        self._enter("GetModelStatus", request, context)
        with self._lock:
            chosen = {
                v: (found.state, found.code, found.message) for v, found in self._chosen(request.model_spec).items()
            }
        if not chosen and self.stock:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        chosen = chosen or {-1: (self.UNKNOWN, 5, f"{request.model_spec.name} is not found")}
        reply = get_model_status_pb2.GetModelStatusResponse()
        for version, (state, code, message) in chosen.items():
            status = reply.model_version_status.add(version=version, state=state)
            status.status.error_code, status.status.error_message = code, message
        return reply

    def HandleReloadConfigRequest(self, request, context):
        self._enter("HandleReloadConfigRequest", request, context)
        reply = model_management_pb2.ReloadConfigResponse()
        if request.config.WhichOneof("config") != "model_config_list":
            reply.status.error_code, reply.status.error_message = 9, "the configuration has no model_config_list"
            return reply
        wanted = {c.name: Model.from_config(c) for c in request.config.model_config_list.config}
        with self._lock:
            for name in set(self._models) - set(wanted):
                self.unload(name)
            for name in [n for n in wanted if n not in self._models]:
                self.load(wanted[name])
        reply.status.error_code = 0
        return reply

    def GetModelMetadata(self, request, context):
        self._enter("GetModelMetadata", request, context)
        spec = request.model_spec
        with self._lock:
            model, chosen = self._models.get(spec.name), self._chosen(spec)
        if model is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        if self.stock and list(request.metadata_field) != ["signature_def"]:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"Metadata field {request.metadata_field[0]} is not supported"
            )
        known = {
            "model_name": model.name,
            "base_path": model.base_path,
            "version_policy": model.policy,
            "version_data": model.data,
            "model_platform": model.platform,
            "signature_name": spec.signature_name or "serving_default",
        }
        if spec.WhichOneof("version_choice") and chosen:
            version = next(iter(chosen))
            label = next((name for name, v in model.labels.items() if v == version), None)
            known |= {"version": version, "version_label": label, "state": chosen[version].state}
        reply = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=spec)
        for name in request.metadata_field:
            if name in known:
                reply.metadata[name].CopyFrom(any_pb2.Any(value=repr(known[name]).encode()))
        if "signature_def" in request.metadata_field:
            reply.metadata["signature_def"].Pack(
                self.signatures.get(spec.name, get_model_metadata_pb2.SignatureDefMap())
            )
        return reply

    def Predict(self, request, context):
        self._enter("Predict", request, context)
        if self.predict is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Predict is not implemented here")
        if self.stock and request.model_spec.name not in self.models():
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({request.model_spec.name})"
            )
        return self.predict(request)


def _models(models):
    if isinstance(models, (str, bytes)) or hasattr(models, "__fspath__"):
        with open(models, encoding="utf-8") as f:
            models = text_format.Parse(f.read(), model_server_config_pb2.ModelServerConfig())
    if isinstance(models, model_server_config_pb2.ModelServerConfig):
        return [Model.from_config(c) for c in models.model_config_list.config]
    return list(models)
