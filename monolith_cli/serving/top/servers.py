"""One model server: the states of its versions, and its rates."""

from __future__ import annotations

import threading
import time

import grpc

from monolith_cli.serving import channel
from monolith_cli.serving.protos import get_model_status_pb2, model_service_pb2_grpc
from monolith_cli.serving.top import prometheus
from monolith_cli.serving.top.facts import STATES, Rates, Source

_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Server:
    """Asked by `look`, from one thread at a time; the rest may be read from any.

    grpc: host:port. http: host:port of its REST port, where it is known; then rates and names of models come from
    there."""

    def __init__(
        self, address: str, http: str | None, named: bool, timeout_s: float, tls: channel.Tls | None, page_path: str
    ):
        self.address, self.http, self.named = address, http, named
        self._timeout_s, self._tls, self._page_path = timeout_s, tls, page_path
        self._channel = channel.open_channel(address, tls, reconnect_s=1.0)
        self._stub = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._lock = threading.Lock()
        self._before: prometheus.Sample | None = None
        self._now: prometheus.Sample | None = None
        self._up: bool | None = None
        self._error = self._page_error = ""
        self._looked_at: float | None = None
        self._statuses: dict[str, list[tuple[int | None, str, str]]] = {}

    def close(self) -> None:
        self._channel.close()

    def look(self, names: set[str]) -> None:
        """Asks for the states of these models and those its page speaks of."""
        self._look_at_page()
        with self._lock:
            asked = names | (self._now.names if self._now else set())
        statuses, errors = self._ask(sorted(asked))
        with self._lock:
            gone = [e for e in errors.values() if e.code() in _GONE]
            self._looked_at = time.monotonic()
            self._up = not gone if asked else self._now is not None or self._reachable()
            self._error = (
                f"{gone[0].code().name}: {gone[0].details()}"
                if gone
                else ""
                if self._up
                else self._page_error or f"no connection within {self._timeout_s:g} s"
            )
            self._statuses = statuses

    def _look_at_page(self) -> None:
        if self.http is None:
            return
        try:
            text = prometheus.fetch_page(self.http, self._page_path, self._timeout_s, self._tls)
        except prometheus.PageError as e:
            with self._lock:
                self._before = self._now = None
                self._page_error = str(e)
            return
        sample = prometheus.parse_page(text, time.monotonic())
        with self._lock:
            self._before, self._now, self._page_error = self._now, sample, ""

    def _reachable(self) -> bool:
        try:
            grpc.channel_ready_future(self._channel).result(self._timeout_s)
            return True
        except grpc.FutureTimeoutError:
            return False

    def _ask(self, names: list[str]):
        calls = {}
        for name in names:
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = name
            calls[name] = self._stub.GetModelStatus.future(request, timeout=self._timeout_s)
        statuses, errors = {}, {}
        for name, call in calls.items():
            try:
                statuses[name] = [_version(s) for s in call.result().model_version_status]
            except grpc.RpcError as e:
                errors[name] = e
                missing = e.code() == grpc.StatusCode.NOT_FOUND
                state = "DOWN" if e.code() in _GONE else "NOT FOUND" if missing else "ERROR"
                statuses[name] = [(None, state, f"{e.code().name}: {e.details()}")]
        return statuses, errors

    def statuses(self) -> dict[str, list[tuple[int | None, str, str]]]:
        """Served name -> (version, state, message) of each."""
        with self._lock:
            return dict(self._statuses)

    def rates(self, name: str) -> Rates | None:
        with self._lock:
            return prometheus.rates(self._before, self._now, name) if self._before and self._now else None

    def has_page(self) -> bool:
        with self._lock:
            return self._now is not None

    def source(self) -> Source:
        with self._lock:
            age = None if self._looked_at is None else round(time.monotonic() - self._looked_at, 3)
            more = (
                {"http": self.http} | ({"page_error": self._page_error} if self._page_error else {})
                if self.http
                else {}
            )
            return Source("server", self.address, self._up, self._error, age, more)


def _version(status) -> tuple[int | None, str, str]:
    if status.version == -1 and status.status.error_code:
        return None, "NOT FOUND", status.status.error_message
    message = f"{status.status.error_message or status.status.error_code}" if status.status.error_code else ""
    return status.version, STATES.get(status.state, str(status.state)), message
