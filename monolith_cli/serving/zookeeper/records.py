"""What the nodes of serving hold (60, 3.7): JSON of declared fields in declared order, byte for byte what other readers
and writers have.

Readers ignore keys they do not know and take the default for those that are missing.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from monolith_cli import errors
from monolith_cli.serving.zookeeper import paths

R = TypeVar("R", bound="Record")

_TEXT, _INT, _NUMBER, _FLAG = (str, type(None)), (int, type(None)), (int, float, type(None)), (bool,)


class State(enum.IntEnum):
    """Life of a version on a model server, by TensorFlow Serving's numbers."""

    UNKNOWN = 0
    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50

    @classmethod
    def of(cls, number: int) -> State:
        """The state of a number; UNKNOWN for one that means nothing."""
        return cls(number) if number in cls._value2member_map_ else cls.UNKNOWN


class PublishType(enum.IntEnum):
    LOAD = 1
    UNLOAD = 2


class EventType(enum.IntEnum):
    """What an `Event` is about."""

    PORTAL = 1
    UNKNOWN = 1
    SERVICE = 2
    PUBLISH = 3
    RESOURCE = 4


@dataclass
class Event:
    """A change that a process tells itself of; never written to ZooKeeper. `data` are the bytes of the nodes."""

    path: str | None = None
    data: list[bytes] = field(default_factory=list)
    etype: EventType = EventType.UNKNOWN


class Record:
    """Base of the records. `kinds` says of which Python types the values of each field may be."""

    kinds: ClassVar[dict[str, tuple[type, ...]]] = {}

    def to_json(self) -> bytes:
        return json.dumps({f.name: getattr(self, f.name) for f in dataclasses.fields(self)}).encode("ascii")

    @classmethod
    def from_json(cls: type[R], data: bytes, path: str = "") -> R:
        """The record of a node's bytes. BadDataError names `path`, the node, and what is wrong with it."""
        where = f"{path}: " if path else ""
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as e:
            raise errors.BadDataError(f"{where}this is no {cls.__name__}: {e}") from None
        if not isinstance(found, dict):
            raise errors.BadDataError(f"{where}this is no {cls.__name__}: not a JSON object")
        known = {f.name: found[f.name] for f in dataclasses.fields(cls) if f.name in found}
        for name, value in known.items():
            kinds = cls.kinds[name]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise errors.BadDataError(f"{where}this is no {cls.__name__}: {name} is {json.dumps(value)[:80]}")
        return cls(**known)


@dataclass
class ModelMeta(Record):
    """A model that is to be served: `/B/portal/<model>`."""

    model_name: str | None = None
    model_dir: str | None = None
    ckpt: str | None = None
    num_shard: int = -1
    action: str = "NONE"
    spec_replicas: list = field(default_factory=list)

    kinds = {
        "model_name": _TEXT,
        "model_dir": _TEXT,
        "ckpt": _TEXT,
        "num_shard": (int,),
        "action": (str,),
        "spec_replicas": (list,),
    }

    def path(self, base: str) -> str:
        return paths.join(base, self.model_name)


@dataclass
class ResourceSpec(Record):
    """What a container has to spare: `/B/resource/<shard>:<replica>`. memory in bytes."""

    address: str | None = None
    shard_id: int | None = None
    replica_id: int | None = None
    memory: int | None = None
    cpu: float = -1.0
    network: float = -1.0
    work_load: float = -1.0

    kinds = {
        "address": _TEXT,
        "shard_id": _INT,
        "replica_id": _INT,
        "memory": _NUMBER,
        "cpu": (int, float),
        "network": (int, float),
        "work_load": (int, float),
    }

    def path(self, base: str) -> str:
        return paths.join(base, f"{self.shard_id}:{self.replica_id}")


@dataclass
class PublishMeta(Record):
    """What a shard is to load: `/B/publish/<shard>:<replica>:<model>`. sub_models: sub model -> path of its version."""

    shard_id: int | None = None
    replica_id: int = -1
    model_name: str | None = None
    num_ps: int | None = None
    total_publish_num: int = 1
    sub_models: dict[str, str] | None = None
    ptype: int = PublishType.LOAD
    is_spec: bool = False

    kinds = {
        "shard_id": _INT,
        "replica_id": (int,),
        "model_name": _TEXT,
        "num_ps": _INT,
        "total_publish_num": (int,),
        "sub_models": (dict, type(None)),
        "ptype": (int,),
        "is_spec": _FLAG,
    }

    def path(self, base: str) -> str:
        return paths.join(base, f"{self.shard_id}:{self.replica_id}:{self.model_name}")


@dataclass
class ReplicaMeta(Record):
    """A server of a part of a model: `/B/service/…/<type>:<task>/<replica>`. Addresses are `host:port`."""

    address: str | None = None
    address_ipv6: str | None = None
    stat: int = State.UNKNOWN
    model_name: str | None = None
    server_type: str | None = None
    task: int = -1
    replica: int = -1
    archon_address: str | None = None
    archon_address_ipv6: str | None = None

    kinds = {
        "address": _TEXT,
        "address_ipv6": _TEXT,
        "stat": (int,),
        "model_name": _TEXT,
        "server_type": _TEXT,
        "task": (int,),
        "replica": (int,),
        "archon_address": _TEXT,
        "archon_address_ipv6": _TEXT,
    }

    @property
    def state(self) -> State:
        return State.of(self.stat)

    def path(self, bzid: str) -> str:
        return paths.join(paths.task_path(bzid, self.model_name, self.server_type, self.task), str(self.replica))

    def get_address(self, use_archon: bool = False, family: str = "ipv4") -> str | None:
        """The address to reach it by, of that family where there is one, else of the other; None where it has none."""
        if family not in ("ipv4", "ipv6"):
            raise errors.UsageError(f"address family {family!r}: must be ipv4 or ipv6")
        v4, v6 = (self.archon_address, self.archon_address_ipv6) if use_archon else (self.address, self.address_ipv6)
        v4 = None if v4 and v4.startswith("0.0.0.0") else v4
        v6 = None if v6 and v6.startswith("[::]") else v6
        return (v4 or v6 if family == "ipv4" else v6 or v4) or None


@dataclass
class SavedModelDeployConfig(Record):
    """How a sub graph is to be served: `/B/saved_models/<model>/<sub_graph>`. version_policy: latest, latest_once."""

    model_base_path: str | None = None
    version_policy: str | None = None

    kinds = {"model_base_path": _TEXT, "version_policy": _TEXT}


@dataclass
class ContainerServiceInfo(Record):
    """Where the services of a container listen, host:port each: `/B/container_service/<cluster>:<id>`. debug_info is
    JSON text."""

    grpc: str | None = None
    http: str | None = None
    archon: str | None = None
    agent: str | None = None
    idc: str | None = None
    debug_info: str | None = None

    kinds = {name: _TEXT for name in ("grpc", "http", "archon", "agent", "idc", "debug_info")}
