"""Names of Kafka topics: kafka://HOST:PORT[,HOST:PORT]/TOPIC[,TOPIC][?KEY=VALUE&…]

group      consumer group, which remembers how far it has read. Default: none; all partitions are read, nothing is remembered.
offset     beginning | end | stored | N | -N | s@MS: where to begin; N from the start, -N before the end, s@MS the first message
           of that time or later (milliseconds since 1970). Default: stored with a group, else beginning. With a group it counts
           where the group has nothing stored; `stored` begins there at the beginning.
until      end: stop when all partitions were read to their end; e@MS: before the first message of that time or later.
           Default: go on for ever.
timeout    seconds without a message after which reading ends. Default: none.
partition  numbers of the partitions to read, with commas; without a group only. Default: all.
messages   plain: one record each; framed: one frame or more, laid out as the framing options say. Default: framed when
           one of these is given, else plain.
config     file of librdkafka properties, name=value a line: credentials, TLS. Default: $MONOLITH_KAFKA_CONFIG.
wait       seconds to try to reach a server, at the start and whenever all are lost. Default 30.
a.b        a key with a dot is a librdkafka property, but none that is secret.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from monolith_cli.errors import UsageError

SCHEME = "kafka://"
_KEYS = ("group", "offset", "until", "timeout", "partition", "messages", "config", "wait")
SECRET = re.compile(r"password|secret|token|\.pem$|jaas|username", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}$")
_OFFSET = re.compile(r"(beginning|end|stored|-?\d{1,18}|s@\d{1,15})$")
_UNTIL = re.compile(r"(end|e@\d{1,15})$")


@dataclass(frozen=True)
class KafkaUrl:
    """A name taken apart; fields as the keys above, `servers` as bootstrap.servers has it, "" when the file has them."""

    name: str  # without what stands behind the question mark
    servers: str
    topics: tuple[str, ...]
    group: str | None = None
    offset: str = "beginning"
    until: str | None = None
    timeout: float | None = None
    partitions: tuple[int, ...] | None = None
    framed: bool | None = None
    config: str | None = None
    wait: float = 30.0
    properties: dict[str, str] = field(default_factory=dict)


def is_kafka(source: str) -> bool:
    return source.startswith(SCHEME)


def parse(url: str) -> KafkaUrl:
    """Raises UsageError with a mark under the mistake."""
    place, question, query = url.removeprefix(SCHEME).partition("?")
    servers, slash, topics = place.partition("/")
    if "@" in servers:
        _fail("kafka://…", "@", "credentials do not belong here: put sasl.username and sasl.password into a file and name it with config=FILE")
    for server in servers.split(",") if servers else ():
        if not _HOST.match(server):
            _fail(url, server, "write HOST:PORT")
    names = tuple(unquote(t) for t in topics.split(","))
    for topic in names:
        if not _TOPIC.match(topic) or topic in (".", ".."):
            _fail(url, topic or url, "a topic is missing: kafka://HOST:PORT/TOPIC" if not topic else "a topic has letters, digits, '.', '_' and '-'")
    if len(set(names)) < len(names):
        _fail(url, topics, "a topic is named twice")
    values = _query(url, query) if question else {}
    return _checked(url, f"{SCHEME}{servers}/{topics}", servers, names, values)


def _query(url: str, query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in query.split("&"):
        key, equals, value = part.partition("=")
        key, value = unquote(key), unquote(value)
        if SECRET.search(key):
            _fail(f"{url[:url.index(part)]}{key}=…", key, "secrets do not belong here: put them into a file and name it with config=FILE")
        if not equals:
            _fail(url, part or url, "write KEY=VALUE, with & between")
        if key not in _KEYS and "." not in key:
            import difflib

            near = difflib.get_close_matches(key, _KEYS, 1)
            _fail(url, part, f"unknown key{f', did you mean {near[0]}?' if near else ''} (there are {', '.join(_KEYS)} and properties of librdkafka)")
        if key in values:
            _fail(url, part, f"{key} is given twice")
        values[key] = value
    return values


def _checked(url: str, name: str, servers: str, topics: tuple[str, ...], values: dict[str, str]) -> KafkaUrl:
    def part(key: str) -> str:
        return f"{key}={values[key]}"

    group = values.get("group")
    if group == "":
        _fail(url, part("group"), "the group has no name")
    offset = values.get("offset", "stored" if group else "beginning")
    if not _OFFSET.match(offset):
        _fail(url, part("offset"), "choose beginning, end, stored, N, -N or s@MS")
    if offset == "stored" and not group:
        _fail(url, part("offset"), "only a group has stored offsets: add group=NAME")
    if "until" in values and not _UNTIL.match(values["until"]):
        _fail(url, part("until"), "choose end or e@MS")
    if values.get("messages", "plain") not in ("plain", "framed"):
        _fail(url, part("messages"), "choose plain or framed")
    partitions = None
    if "partition" in values:
        if group:
            _fail(url, part("partition"), "a group shares its partitions out by itself")
        if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", values["partition"]):
            _fail(url, part("partition"), "write numbers with commas, such as 0,2")
        partitions = tuple(dict.fromkeys(int(p) for p in values["partition"].split(",")))
    return KafkaUrl(
        name=name, servers=servers, topics=topics, group=group, offset=offset, until=values.get("until"),
        timeout=_seconds(url, values, "timeout"), partitions=partitions,
        framed=values["messages"] == "framed" if "messages" in values else None,
        config=values.get("config") or os.environ.get("MONOLITH_KAFKA_CONFIG"), wait=_seconds(url, values, "wait") or 30.0,
        properties={k: v for k, v in values.items() if "." in k})


def _seconds(url: str, values: dict[str, str], key: str) -> float | None:
    if key not in values:
        return None
    if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", values[key]) or float(values[key]) == 0:
        _fail(url, f"{key}={values[key]}", "write a number of seconds above 0")
    return float(values[key])


def _fail(url: str, part: str, why: str):
    at = max(url.find(part), 0)
    raise UsageError(f"{why}\n  {url}\n  {' ' * at}^")
