"""The monitoring page of a model server: request counts and latency histograms, and what they say between two looks."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass, field

from monolith_cli.serving.addresses import split_host_port
from monolith_cli.serving.channel import Tls
from monolith_cli.serving.top.facts import Rates

PATH = "/monitoring/prometheus/metrics"
MAX_PAGE_BYTES = 16 << 20
_LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_COUNT, _LATENCY = ":tensorflow:serving:request_count", ":tensorflow:serving:request_latency_bucket"


class PageError(Exception):
    """Why there is no page."""


@dataclass
class Sample:
    """One look. at: monotonic seconds. requests: (model, status) -> count. buckets: model -> upper bound in
    microseconds -> count of requests up to it. names: all models that the page speaks of."""

    at: float
    requests: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    buckets: dict[str, dict[float, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    names: set[str] = field(default_factory=set)


def parse_page(text: str, at: float) -> Sample:
    """Lines that are none of ours, or no lines of the format, are passed over."""
    sample = Sample(at)
    for line in text.splitlines():
        if "model_name" not in line or line.startswith("#") or not (found := _LINE.fullmatch(line)):
            continue
        name, labels_text, number = found.groups()
        labels = {
            key: re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value)
            for key, value in _LABEL.findall(labels_text or "")
        }
        model, value = labels.get("model_name"), _number(number)
        if not model or value is None:
            continue
        sample.names.add(model)
        if name == _COUNT:
            sample.requests[model, labels.get("status", "OK")] += value
        elif name == _LATENCY and (bound := _number(labels.get("le", ""))) is not None:
            sample.buckets[model][bound] += value
    return sample


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return None if value != value else value


def rates(before: Sample, now: Sample, model: str) -> Rates | None:
    """Of one model between two looks; None where the page does not speak of it. A counter that fell began anew."""
    if model not in now.names:
        return None
    seconds = max(now.at - before.at, 1e-9)
    statuses = {status for name, status in now.requests if name == model}
    good = sum(_grown(before.requests, now.requests, (model, s)) for s in statuses if s == "OK")
    bad = sum(_grown(before.requests, now.requests, (model, s)) for s in statuses if s != "OK")
    bounds = sorted(now.buckets.get(model, ()))
    old = before.buckets.get(model, {})
    restarted = any(now.buckets[model][b] < old.get(b, 0) for b in bounds)
    grown = [now.buckets[model][b] - (0 if restarted else old.get(b, 0)) for b in bounds]
    return Rates(good / seconds, bad / seconds, quantile(bounds, grown, 0.5), quantile(bounds, grown, 0.99))


def _grown(before: dict, now: dict, key) -> float:
    new, old = now.get(key, 0.0), before.get(key, 0.0)
    return new - old if new >= old else new


def quantile(bounds: list[float], cumulative: list[float], share: float) -> float | None:
    """Milliseconds: where a share (0 to 1) of the requests was done, evenly spread within a bucket, as Prometheus'
    histogram_quantile has it. bounds: upper ones, in microseconds, ascending; cumulative: requests up to each. None
    without requests."""
    if not bounds or cumulative[-1] <= 0:
        return None
    rank, below, lower = share * cumulative[-1], 0.0, 0.0
    for bound, count in zip(bounds, cumulative):
        if count >= rank and count > below:
            if bound == float("inf"):
                return lower / 1e3
            return (lower + (bound - lower) * (rank - below) / (count - below)) / 1e3
        below, lower = count, bound
    return lower / 1e3


def fetch_page(address: str, path: str = PATH, timeout_s: float = 2.0, tls: Tls | None = None) -> str:
    """The text of the page at `host:port`. PageError with the reason."""
    host, port = split_host_port(address)
    try:
        sock = socket.create_connection((host, port), timeout_s)
        if tls is not None:
            context = ssl.create_default_context(cafile=tls.ca)
            if tls.cert:
                context.load_cert_chain(tls.cert, tls.key)
            sock = context.wrap_socket(sock, server_hostname=tls.server_name or host)
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        connection.sock = sock
        try:
            connection.request("GET", path, headers={"Accept": "text/plain", "Connection": "close"})
            reply = connection.getresponse()
            if reply.status != 200:
                raise PageError(f"http://{address}{path}: {reply.status} {reply.reason}")
            page = reply.read(MAX_PAGE_BYTES + 1)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as e:
        raise PageError(f"http://{address}{path}: {e}") from None
    if len(page) > MAX_PAGE_BYTES:
        raise PageError(f"http://{address}{path}: longer than {MAX_PAGE_BYTES >> 20} MiB")
    return page.decode("utf-8", "replace")
