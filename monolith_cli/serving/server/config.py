"""What `monolith-serve` is told: its flags, checked together, and what follows from them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.serving.addresses import join_host_port
from monolith_cli.serving.channel import Tls
from monolith_cli.serving.protos import config_pb2, model_server_config_pb2
from monolith_cli.serving.server import config_files
from monolith_cli.serving.server.batching import BatchConfig
from monolith_cli.serving.server.manager import LoadPolicy
from monolith_cli.serving.server.rest import METRICS_PATH
from monolith_cli.serving.server.saved_model import LoadOptions

DEFAULT_THREADS = 64


@dataclass
class ServerConfig:
    """The flags of `tensorflow_model_server` by their names and with their defaults, and our own: bind, metrics_port,
    tls, model_roots, op_libraries, max_message_bytes, drain_timeout_s. Raises UsageError for flags that do not go
    together."""

    port: int = 8500
    grpc_socket_path: str | None = None
    rest_api_port: int = 0
    rest_api_timeout_in_ms: int = 30000
    metrics_port: int = 0
    bind: str = "127.0.0.1"
    model_config_file: str | None = None
    model_config_file_poll_wait_seconds: float = 0
    model_base_path: str | None = None
    model_name: str = "default"
    model_roots: tuple[str, ...] = ()
    file_system_poll_wait_seconds: float = 1
    enable_batching: bool = False
    batching_parameters_file: str | None = None
    enable_model_warmup: bool = True
    platform_config_file: str | None = None
    monitoring_config_file: str | None = None
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    num_load_threads: int = 0
    num_unload_threads: int = 0
    allow_version_labels_for_unavailable_models: bool = False
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    saved_model_tags: str | None = None
    op_libraries: tuple[str, ...] = ()
    ssl_config_file: str | None = None
    tls: Tls | None = None
    grpc_channel_arguments: str | None = None
    grpc_max_threads: int = 0
    max_message_bytes: int = 256 << 20
    drain_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if not self.port and not self.rest_api_port and not self.grpc_socket_path:
            raise errors.UsageError("nothing to listen on: give --port, --rest_api_port or --grpc_socket_path")
        if not self.model_config_file and not self.model_base_path:
            raise errors.UsageError(
                "no model: give --model_config_file FILE, or --model_base_path DIR and --model_name NAME"
            )
        if self.ssl_config_file and self.tls:
            raise errors.UsageError("--ssl_config_file and --tls-cert exclude each other")
        if not self.platform_config_file:
            if self.batching_parameters_file and not self.enable_batching:
                raise errors.UsageError("--batching_parameters_file needs --enable_batching")
            if self.tensorflow_session_parallelism and (
                self.tensorflow_intra_op_parallelism or self.tensorflow_inter_op_parallelism
            ):
                raise errors.UsageError(
                    "--tensorflow_session_parallelism excludes --tensorflow_intra_op_parallelism and …_inter_op_parallelism"
                )

    def grpc_addresses(self) -> list[str]:
        unix = [f"unix:{self.grpc_socket_path}"] if self.grpc_socket_path else []
        return ([join_host_port(self.bind, self.port)] if self.port else []) + unix

    def load_policy(self) -> LoadPolicy:
        return LoadPolicy(
            self.max_num_load_retries,
            self.load_retry_interval_micros / 1e6,
            self.num_load_threads,
            self.num_unload_threads,
        )

    def platform(self) -> tuple[LoadOptions, BatchConfig | None, bool]:
        """How models are loaded, batched (None: they are not) and whether they are warmed up: from
        --platform_config_file alone, where there is one, else from the flags."""
        if not self.platform_config_file:
            tags = tuple(self.saved_model_tags.split(",")) if self.saved_model_tags else ("serve",)
            batches = config_files.batching(self.batching_parameters_file) if self.enable_batching else None
            return LoadOptions(tags, self._session(), self.op_libraries), batches, self.enable_model_warmup
        bundle = config_files.platform(self.platform_config_file)
        batches = (
            config_files.batch_config(bundle.batching_parameters) if bundle.HasField("batching_parameters") else None
        )
        return (
            LoadOptions(tuple(bundle.saved_model_tags) or ("serve",), bundle.session_config, self.op_libraries),
            batches,
            bundle.enable_model_warmup,
        )

    def _session(self):
        both = self.tensorflow_session_parallelism
        return config_pb2.ConfigProto(
            intra_op_parallelism_threads=both or self.tensorflow_intra_op_parallelism,
            inter_op_parallelism_threads=both or self.tensorflow_inter_op_parallelism,
            allow_soft_placement=True,
        )

    def models(self):
        """ModelServerConfig: of the file, or of the one model the flags name."""
        if self.model_config_file:
            return config_files.model_config(self.model_config_file)
        config = model_server_config_pb2.ModelServerConfig()
        config.model_config_list.config.add(
            name=self.model_name, base_path=self.model_base_path, model_platform="tensorflow"
        )
        return config

    def metrics_path(self) -> str | None:
        return config_files.monitoring(self.monitoring_config_file, METRICS_PATH)

    def channel_arguments(self) -> list[tuple[str, int | str]]:
        """--grpc_channel_arguments, KEY=VALUE apart by commas; a value that is a number is handed on as one."""
        pairs = []
        for entry in filter(None, (self.grpc_channel_arguments or "").split(",")):
            key, equals, value = entry.partition("=")
            if not equals or not key:
                raise errors.UsageError(f"--grpc_channel_arguments {entry!r}: must be KEY=VALUE")
            with contextlib.suppress(ValueError):
                value = int(value)
            pairs.append((key, value))
        return pairs

    @contextlib.contextmanager
    def server_tls(self):
        """Tls or None, with its files there while inside."""
        if not self.ssl_config_file:
            yield self.tls
            return
        with config_files.tls_of_ssl_config(self.ssl_config_file) as tls:
            yield tls
