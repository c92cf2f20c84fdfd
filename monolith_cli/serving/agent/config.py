"""The agent's configuration: one record with all keys of the file, their defaults, and what follows from them and the
environment."""

from __future__ import annotations

import atexit
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from monolith_cli import errors
from monolith_cli.serving import addresses
from monolith_cli.serving.agent import config_file
from monolith_cli.serving.agent.constants import HOST_SHARD_ENV
from monolith_cli.serving.agent.ports import HeldPorts, assign_ports, env_int, replica_id


_CHOICES = {"tfs_flags": ("stock", "internal"), "rough_sort_model_loaded_server": ("none", "entry", "ps", "dense", None)}


class ServerType(StrEnum):
    """What one model server serves."""

    PS = "ps"
    ENTRY = "entry"
    DENSE = "dense"
    UNIFIED = "unified"


class DeployType(StrEnum):
    """What one container serves; `mixed` is several servers, `unified` is one server with whatever its layout says."""

    ENTRY = "entry"
    PS = "ps"
    DENSE = "dense"
    MIXED = "mixed"
    UNIFIED = "unified"


def is_absolute(path: str) -> bool:
    """Whether a path does not depend on the working directory; one that starts with `hdfs:/` does not."""
    return path.startswith("hdfs:/") or os.path.isabs(path)


def _remove_own(folder: str, process: int) -> None:
    """Not in a process that was forked off the one whose folder it is."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _flag(default: Any, help: str) -> Any:
    """A key that is handed on to the model server as a flag of its own name."""
    return field(default=default, metadata={"group": "server", "help": help})


def _key(default: Any, help: str) -> Any:
    return field(default=default, metadata={"group": "agent", "help": help})


def _derived(help: str) -> Any:
    """A key of the record that the container's environment decides, whatever the file says."""
    return field(default=None, metadata={"group": "port", "help": help})


def _own(default: Any, help: str) -> Any:
    """A key that only this program has."""
    return field(default=default, metadata={"group": "own", "help": help})


@dataclass
class AgentConfig:
    """All keys of a configuration file, in the order in which flags are handed on, with their defaults.

    Creating one settles the deploy type, the ports (free ones stay held, see `ports.HeldPorts`; `release_ports` gives
    them up) and the replica id. ConfigError for what cannot be; what only a running agent needs is checked by
    `check`.
    """

    enable_batching: bool = _flag(False, "Batch requests.")
    allow_version_labels_for_unavailable_models: bool = _flag(False, "Labels may be given to versions that are not loaded yet.")
    batching_parameters_file: str | None = _flag(None, "File with BatchingParameters, as text.")
    num_load_threads: int = _flag(0, "Threads that load versions; 0: as many as it takes.")
    num_unload_threads: int = _flag(0, "Threads that unload versions; 0: as many as it takes.")
    max_num_load_retries: int = _flag(5, "How often a version that fails to load is tried again.")
    load_retry_interval_micros: int = _flag(60000000, "Microseconds between two tries to load a version.")
    file_system_poll_wait_seconds: int = _flag(1, "Seconds between two looks for new versions; 0: once.")
    flush_filesystem_caches: bool = _flag(True, "Drop file caches after the first load.")
    tensorflow_session_parallelism: int = _flag(0, "Threads of a session; 0: the server chooses.")
    tensorflow_intra_op_parallelism: int = _flag(0, "Threads in one op; 0: MY_CPU_LIMIT, else 16.")
    tensorflow_inter_op_parallelism: int = _flag(0, "Ops at the same time; 0: MY_CPU_LIMIT, else 16.")
    ssl_config_file: str | None = _flag(None, "File with SSLConfig, as text: TLS of the model server.")
    platform_config_file: str | None = _flag(None, "File with PlatformConfigMap, as text. Unset: the agent writes one in its run directory.")
    per_process_gpu_memory_fraction: float = _flag(0.0, "Part of a GPU's memory to take; 0: as TensorFlow chooses.")
    allow_growth: bool = _flag(True, "GPU memory grows as needed (goes into the platform configuration).")
    saved_model_tags: str | None = _flag(None, "Tags of the graph to load. Unset: serve.")
    grpc_channel_arguments: str | None = _flag(None, "Arguments of gRPC channels, key=value, apart by commas.")
    grpc_max_threads: int = _flag(0, "Threads of the gRPC server; 0: the server chooses.")
    enable_model_warmup: bool = _flag(True, "Replay warm-up records before a version is served.")
    version: str | None = _flag(None, "Leave unset: in a model server this flag prints the version.")
    remove_unused_fields_from_bundle_metagraph: bool = _flag(True, "Keep only the needed parts of a loaded graph's description.")
    enable_signature_method_name_check: bool = _flag(False, "Refuse signatures whose method name does not fit the call.")
    xla_cpu_compilation_enabled: bool = _flag(False, "Compile graphs with XLA on CPUs.")
    enable_profiler: bool = _flag(True, "Answer TensorFlow's profiler.")

    bzid: str | None = _key(None, "Business id: the topmost name in ZooKeeper.")
    base_name: str | None = _key(None, "Model name (agent version 1).")
    base_path: str | None = _key(None, "Directory of exported models.")
    num_ps: int = _key(1, "Number of parameter server tasks.")
    num_shard: int | None = _key(None, "Number of shards; must be MONOLITH_HOST_SHARD_N (1 where that is unset) if given.")
    deploy_type: str | None = _key(None, "What this container serves: entry, ps, dense, mixed or unified. `server_type` says the same.")
    replica_id: int | None = _derived("Which replica this is: from MY_POD_NAME or REPLICA_ID.")
    stand_alone_serving: bool = _key(False, "One container serves all: deploy_type is mixed.")
    zk_servers: str | None = _key(None, "ZooKeeper servers, host:port, apart by commas.")
    proxy_port: int | None = _derived("Port of the proxy.")
    tfs_entry_port: int | None = _derived("gRPC port of the entry server.")
    tfs_entry_http_port: int | None = _derived("HTTP port of the entry server.")
    tfs_entry_archon_port: int | None = _derived("Archon port of the entry server.")
    tfs_ps_port: int | None = _derived("gRPC port of the parameter server.")
    tfs_ps_http_port: int | None = _derived("HTTP port of the parameter server.")
    tfs_ps_archon_port: int | None = _derived("Archon port of the parameter server.")
    tfs_dense_port: int | None = _derived("gRPC port of the dense server.")
    tfs_dense_http_port: int | None = _derived("HTTP port of the dense server.")
    tfs_dense_archon_port: int | None = _derived("Archon port of the dense server.")
    dense_alone: bool = _key(False, "The dense part is served apart from the entry.")
    dense_service_num: int = _key(3, "Processes of a dense deployment.")
    agent_port: int | None = _key(None, "Port of the agent's own service. Unset: PORT2, else a free one.")
    update_model_status_interval: int = _key(1, "Seconds; the entry server looks twice this apart whether all others are there.")
    agent_version: int = _key(1, "1 (servers of one model), 2 (many models over shards) or 3 (one server, models by layout).")
    max_waiting_sec: int = _key(1200, "Not used; kept for files that have it.")
    preload_jemalloc: bool = _key(True, "Not used; kept for files that have it.")
    version_policy: str = _key("latest", "Which versions are served: latest, latest_once, all or specific.")
    version_data: int = _key(1, "How many versions (latest), or which (specific).")
    fetch_ps_timeout_ms: int = _key(200, "Milliseconds an entry waits for a parameter server (internal flags).")
    fetch_ps_long_conn_num: int = _key(100, "Connections to a parameter server (internal flags).")
    fetch_ps_long_conn_enable: bool = _key(True, "Connections to parameter servers stay open (internal flags).")
    fetch_ps_retry: int = _key(2, "Retries of a call to a parameter server (internal flags).")
    aio_thread_num: int = _key(30, "Threads for such calls (internal flags).")
    file_system_poll_wait_seconds_ps: int = _key(0, "Seconds between two looks for new versions on a parameter server; 0: once.")
    rough_sort_model_name: str | None = _key(None, "Model to copy from the downloader's directory; unset: none.")
    rough_sort_model_local_path: str | None = _key(None, "Directory that it is copied to.")
    rough_sort_model_loaded_server: str | None = _key("entry", "Server that loads it: none, entry, ps or dense.")
    rough_sort_model_p2p_path: str | None = _key(None, "Directory that the downloader writes.")
    rough_sort_resource_constrained: bool = _key(False, "The entry's rough-sort model lies beside the entry in base_path.")
    dc_aware: bool = _key(False, "Paths in ZooKeeper have a level for data centre and cluster.")
    layout_pattern: str | None = _key(None, "Layout this container serves (agent version 3): a name or a path.")
    layout_filters: list[str] | None = _key(None, "Which sub graphs of it, `match; condition` (agent version 3). May come several times.")
    tfs_port_archon: int | None = _derived("Archon port of the unified server.")
    tfs_port_grpc: int | None = _derived("gRPC port of the unified server.")
    tfs_port_http: int | None = _derived("HTTP port of the unified server.")
    use_metrics: bool = _key(True, "Keep metrics of the models.")

    tfs_binary: str | None = _own(None, "Model server, a name or a path. Unset: MONOLITH_TFS_BINARY, else monolith-serve.")
    tfs_flags: str = _own("stock", "Flags of its command line: stock, or internal for a server that knows those of the original's.")
    tfs_extra_flags: list[str] | None = _own(None, "Further flag of the model server, as it is. May come several times.")
    default_model_base_path: str | None = _own(None, "Directory of a model `default` that every reload keeps; unset: none.")
    run_dir: str | None = _own(None, "Directory for files the agent writes. Unset: MONOLITH_AGENT_RUN_DIR, else a new one in TMPDIR.")

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False, compare=False)
    model_config_file: str | None = field(default=None, repr=False, compare=False)
    held_ports: HeldPorts = field(default_factory=HeldPorts, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.environ = dict(self.environ)
        self.deploy_type = self._settled_deploy_type()
        self._check_choices()
        self.num_tce_shard  # noqa: B018 - a bad variable is found at start-up
        self.shard_id  # noqa: B018
        if self.num_shard is not None and self.num_shard != self.num_tce_shard:
            raise errors.ConfigError(f"num_shard is {self.num_shard}, but {HOST_SHARD_ENV} says {self.num_tce_shard}")
        if self.zk_servers:
            addresses.check_zk_servers(self.zk_servers, self.environ)
        self.replica_id = replica_id(self.agent_version, self.environ)
        assign_ports(self)
        self.run_dir = self.run_dir or self.environ.get("MONOLITH_AGENT_RUN_DIR") or None

    def _settled_deploy_type(self) -> DeployType:
        if self.stand_alone_serving:
            return DeployType.MIXED
        known = ", ".join(DeployType)
        if self.deploy_type is None:
            raise errors.ConfigError(f"deploy_type is not set: give one of {known}")
        try:
            return DeployType(self.deploy_type.lower())
        except ValueError:
            raise errors.ConfigError(f"deploy_type is {self.deploy_type!r}: must be one of {known}") from None

    def _check_choices(self) -> None:
        if self.deploy_type == DeployType.DENSE and not self.dense_alone:
            raise errors.ConfigError("deploy_type is dense, but dense_alone is false: set dense_alone true")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                known = ", ".join(filter(None, choices))
                raise errors.ConfigError(f"{name} is {getattr(self, name)!r}: must be one of {known}")
        for name in ("num_ps", "dense_service_num"):
            if getattr(self, name) < 1:
                raise errors.ConfigError(f"{name} is {getattr(self, name)}: must be at least 1")

    @property
    def num_tce_shard(self) -> int:
        """Number of shards: MONOLITH_HOST_SHARD_N, else 1."""
        number = env_int(self.environ, HOST_SHARD_ENV, 1)
        if number < 1:
            raise errors.ConfigError(f"environment variable {HOST_SHARD_ENV} is {number}: must be at least 1")
        return number

    @property
    def shard_id(self) -> int:
        """SHARD_ID; where it is not set: 0 if there is one shard, else -1."""
        number = env_int(self.environ, "SHARD_ID", -1)
        if number >= self.num_tce_shard or number < -1:
            raise errors.ConfigError(
                f"environment variable SHARD_ID is {number}: must be below {HOST_SHARD_ENV}, {self.num_tce_shard}")
        return 0 if number == -1 and self.num_tce_shard == 1 else number

    @property
    def ps_tasks(self) -> list[int]:
        """Parameter server tasks of this shard. ConfigError where the shard is not known: none would be served,
        without a word."""
        if self.shard_id == -1:
            shards = self.num_tce_shard
            raise errors.ConfigError(
                f"SHARD_ID is not set, but {HOST_SHARD_ENV} is {shards}: set it to 0 to {shards - 1}")
        return [t for t in range(self.num_ps) if t % self.num_tce_shard == self.shard_id]

    @property
    def idc(self) -> str | None:
        return (self.environ.get("TCE_INTERNAL_IDC") or "").lower() or None

    @property
    def cluster(self) -> str | None:
        names = ("TCE_LOGICAL_CLUSTER", "TCE_CLUSTER", "TCE_PHYSICAL_CLUSTER")
        return next((self.environ[n].lower() for n in names if self.environ.get(n)), None)

    @property
    def location(self) -> str | None:
        """`idc:cluster`. ConfigError where dc_aware needs one and the environment has none."""
        if self.idc is not None and self.cluster is not None:
            return f"{self.idc}:{self.cluster}"
        if self.dc_aware:
            missing = "TCE_INTERNAL_IDC" if self.idc is None else "TCE_LOGICAL_CLUSTER"
            raise errors.ConfigError(f"dc_aware is true, but environment variable {missing} is not set")
        return None

    @property
    def path_prefix(self) -> str:
        """Root of this model's replicas in ZooKeeper (agent version 1)."""
        return f"/{self.bzid}/service/{self.base_name}" + (f"/{self.location}" if self.dc_aware else "")

    @property
    def layout_path(self) -> str:
        """Root of this container's layout in ZooKeeper (agent version 3)."""
        if not self.layout_pattern:
            raise errors.ConfigError("layout_pattern is not set: name the layout this container serves")
        is_path = self.layout_pattern.startswith("/")
        return self.layout_pattern if is_path else f"/{self.bzid}/layouts/{self.layout_pattern}"

    @property
    def container_cluster(self) -> str:
        return f"{self.environ.get('TCE_PSM') or 'unknown'};{self.idc};{self.cluster}"

    @property
    def container_id(self) -> str:
        return self.environ.get("MY_POD_NAME") or addresses.local_ip(self.environ)

    @property
    def server_types(self) -> list[ServerType]:
        """Model servers of this container, in the order in which they start."""
        if self.deploy_type != DeployType.MIXED:
            return [ServerType(self.deploy_type)]
        return [ServerType.PS, *([ServerType.DENSE] if self.dense_alone else []), ServerType.ENTRY]

    def resolve_server_type(self, server_type: str | None = None) -> ServerType:
        """The server type that is meant where `server_type` is asked for. ConfigError if this container does not
        serve it, or if nothing says which of several is meant."""
        if server_type is None or server_type == DeployType.MIXED:
            if self.deploy_type == DeployType.MIXED:
                raise errors.ConfigError("deploy_type is mixed: say which server type is meant, ps, entry or dense")
            return ServerType(self.deploy_type)
        if server_type not in self.server_types:
            raise errors.ConfigError(f"deploy_type is {self.deploy_type}: it has no server of type {server_type}")
        return ServerType(server_type)

    def ports(self, server_type: str) -> tuple[int, int, int]:
        """(gRPC, HTTP, archon) of one server type. ConfigError where this deployment has no such server."""
        names = ("grpc", "http", "archon") if server_type == "unified" else ("port", "http_port", "archon_port")
        prefix = "tfs_port" if server_type == "unified" else f"tfs_{server_type}"
        found = tuple(getattr(self, f"{prefix}_{n}") for n in names)
        if None in found:
            raise errors.ConfigError(
                f"deploy_type is {self.deploy_type}: there are no ports of a server of type {server_type}")
        return found

    def release_ports(self) -> None:
        """Gives up the free ports that are held for the servers."""
        self.held_ports.close()

    def run_path(self, name: str) -> str:
        """Path of a file in the agent's run directory, which is made if it is not there; one in TMPDIR goes when the
        process ends."""
        if self.run_dir is None:
            self.run_dir = tempfile.mkdtemp(prefix="monolith-agent-")
            atexit.register(_remove_own, self.run_dir, os.getpid())
        try:
            os.makedirs(self.run_dir, mode=0o700, exist_ok=True)
        except OSError as e:
            raise errors.CannotCreateError(f"run directory {self.run_dir}: {e.strerror}") from None
        return os.path.join(self.run_dir, name)

    def check(self) -> None:
        """What a running agent needs and a client does not. ConfigError names what is missing."""
        if self.agent_version not in (1, 2, 3):
            raise errors.ConfigError(f"agent_version is {self.agent_version}: must be 1, 2 or 3")
        if (self.agent_version == 3) != (self.deploy_type == DeployType.UNIFIED):
            raise errors.ConfigError(f"agent_version is {self.agent_version} and deploy_type {self.deploy_type}: 3 goes with unified alone")
        of_version = {1: ("base_name", "base_path"), 2: (), 3: ("layout_pattern",)}[self.agent_version]
        for name in ("bzid", "zk_servers", *of_version):
            if not getattr(self, name):
                raise errors.ConfigError(f"{name} is not set")
        if self.tensorflow_session_parallelism and self.tensorflow_intra_op_parallelism and self.tensorflow_inter_op_parallelism:
            raise errors.ConfigError("tensorflow_session_parallelism excludes tensorflow_intra_op_parallelism with ..._inter_op_parallelism: "
                                     "a model server refuses all three")
        if self.agent_version == 2 and (self.replica_id == -1 or self.shard_id == -1):
            raise errors.ConfigError("agent_version 2 needs a shard and a replica: set SHARD_ID, and REPLICA_ID or MY_POD_NAME")
        self.location  # noqa: B018 - raises where dc_aware lacks one
        if ServerType.PS in self.server_types:
            self.ps_tasks  # noqa: B018


FIELDS = tuple(f for f in dataclasses.fields(AgentConfig) if f.metadata)
PASS_THROUGH = tuple(f for f in FIELDS if f.metadata["group"] == "server")


def kind_of(f: dataclasses.Field) -> str:
    """bool, int, float, str or list."""
    return f.type.split(" ")[0].split("[")[0]


def load_config(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None,
                warn: Callable[[str], object] | None = None, **overrides: Any) -> AgentConfig:
    """Reads a configuration file.

    environ: the container's environment, the process's where none is given; warn: told of each line that is left out,
    with file and line; overrides: values that go before those of the file. NoInputError, ConfigError.
    """
    read = config_file.read_config_file(path)
    values, warnings = field_values(read)
    for message in (*read.warnings, *warnings):
        if warn:
            warn(message)
    try:
        return AgentConfig(**{**values, **overrides}, environ=os.environ if environ is None else environ)
    except errors.ConfigError as e:
        raise errors.ConfigError(f"{os.fspath(path)}: {e}") from None


def field_values(read: config_file.ConfigFile) -> tuple[dict[str, Any], list[str]]:
    """(value of each field that the file has, warnings). Keys nobody knows and values of another type are left out
    with a warning."""
    settings = dict(read.settings)
    server_type = settings.pop("server_type", None)
    if server_type and "deploy_type" not in settings:
        settings["deploy_type"] = server_type
    known = {f.name: f for f in FIELDS}
    values, warnings = {}, []
    for key, found in settings.items():
        place = found[0].place
        if key not in known:
            warnings.append(f"{place}: {key}: no such key: left out")
            continue
        try:
            value = config_file.convert(found, kind_of(known[key]))
        except (ValueError, errors.ConfigError) as e:
            warnings.append(f"{place}: {key}: {e}: its default is used")
            continue
        if value is not None or "None" in known[key].type:
            values[key] = value
        else:
            warnings.append(f"{place}: {key} cannot be none: its default is used")
    return values, warnings
