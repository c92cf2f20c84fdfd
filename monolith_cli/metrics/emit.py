"""Counters, gauges and timers by name and tags, to wherever the environment says.

MONOLITH_METRIC_SINK: `json:PATH` appends a JSON object a line; `statsd:HOST:PORT` sends datagrams with tags as Datadog
has them; unset: nowhere.
MONOLITH_METRIC_PREFIX: in front of every name, default `monolith.training`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from typing import Protocol

from monolith_cli.errors import ConfigError, IoError, UnavailableError

log = logging.getLogger("monolith.metrics")

PREFIX_VARIABLE, SINK_VARIABLE = "MONOLITH_METRIC_PREFIX", "MONOLITH_METRIC_SINK"
DEFAULT_PREFIX = "monolith.training"


class Sink(Protocol):
    """Where numbers go. kind: counter, store (a gauge) or timer."""

    def emit(self, kind: str, name: str, value: float, tags: dict[str, str]) -> None: ...

    def flush(self) -> None: ...


class NoSink:
    """Nowhere."""

    def emit(self, kind: str, name: str, value: float, tags: dict[str, str]) -> None:
        pass

    def flush(self) -> None:
        pass


class JsonLinesSink:
    """Appends `{"time", "kind", "name", "value", "tags"}` a line to a file. IoError where it cannot be opened. Where it cannot
    be written later on, that is logged once, and what follows is lost."""

    def __init__(self, path: str):
        try:
            self._file = open(path, "a", encoding="utf-8")
        except OSError as e:
            raise IoError(f"metrics: cannot open {path}: {e.strerror}") from e
        self._lock = threading.Lock()

    def emit(self, kind, name, value, tags):
        line = json.dumps({"time": round(time.time(), 3), "kind": kind, "name": name, "value": value, "tags": tags})
        self._guarded(lambda: self._file.write(line + "\n"))

    def flush(self):
        self._guarded(self._file.flush)

    def _guarded(self, write) -> None:
        with self._lock:
            try:
                write()
            except OSError as e:
                log.warning("metrics: cannot write %s: %s; they are lost from here on", self._file.name, e.strerror)
                self._file = open(os.devnull, "w", encoding="utf-8")


class StatsdSink:
    """Datagrams `name:value|c`, `|g` or `|ms` with `|#tag:value,...` to HOST:PORT. What is lost is lost."""

    _KINDS = {"counter": "c", "store": "g", "timer": "ms"}

    def __init__(self, host: str, port: int):
        try:
            family, _, _, _, self._address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        except OSError as e:
            raise UnavailableError(f"metrics: cannot find {host}:{port}: {e.strerror}") from None
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def emit(self, kind, name, value, tags):
        text = f"{name}:{value:g}|{self._KINDS[kind]}"
        if tags:
            text += "|#" + ",".join(f"{k}:{v}" for k, v in tags.items())
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            pass  # a metric must not stop a training

    def flush(self):
        pass


_sinks: dict[str, Sink] = {}
_lock = threading.Lock()


def sink_of(description: str) -> Sink:
    """The sink of `json:PATH`, `statsd:HOST:PORT` or nothing; one object for equal texts. ConfigError for anything
    else."""
    with _lock:
        if description not in _sinks:
            _sinks[description] = _make_sink(description)
        return _sinks[description]


def _make_sink(description: str) -> Sink:
    kind, _, rest = description.partition(":")
    if not description:
        return NoSink()
    if kind == "json" and rest:
        return JsonLinesSink(rest)
    host, _, port = rest.rpartition(":")
    if kind == "statsd" and host and port.isdigit():
        return StatsdSink(host.strip("[]"), int(port))
    raise ConfigError(f"{description!r} is no sink of metrics ({SINK_VARIABLE}): use json:PATH or statsd:HOST:PORT")


def set_metric_prefix(prefix: str) -> None:
    """What stands in front of the names of clients made from here on."""
    os.environ[PREFIX_VARIABLE] = prefix


def configure(sink: str, prefix: str) -> None:
    """Sink and prefix of all clients of this process made from here on. ConfigError for a sink that is none, IoError for a
    file that cannot be written."""
    sink_of(sink)
    os.environ[SINK_VARIABLE] = sink
    set_metric_prefix(prefix)


class MetricClient:
    """Emits numbers under `<prefix>.<name>` to a sink; tags are a dict."""

    def __init__(self, prefix: str, sink: Sink):
        self.prefix, self._sink = prefix, sink

    def _emit(self, kind: str, name: str, value: float, tagkv: dict | None) -> None:
        tags = {str(k): str(v) for k, v in (tagkv or {}).items()}
        self._sink.emit(kind, f"{self.prefix}.{name}" if self.prefix else name, float(value), tags)

    def emit_counter(self, name: str, value: float, tagkv: dict | None = None) -> None:
        """Adds to a counter."""
        self._emit("counter", name, value, tagkv)

    def emit_store(self, name: str, value: float, tagkv: dict | None = None) -> None:
        """Sets a gauge."""
        self._emit("store", name, value, tagkv)

    def emit_timer(self, name: str, value: float, tagkv: dict | None = None) -> None:
        """One observation of a distribution."""
        self._emit("timer", name, value, tagkv)

    def flush(self) -> None:
        self._sink.flush()


def get_cli(prefix: str | None = None) -> MetricClient:
    """The client of a prefix, default that of the environment, with the sink of the environment."""
    prefix = os.environ.get(PREFIX_VARIABLE, DEFAULT_PREFIX) if prefix is None else prefix
    return MetricClient(prefix, sink_of(os.environ.get(SINK_VARIABLE, "")))
