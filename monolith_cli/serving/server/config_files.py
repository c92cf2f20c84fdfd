"""The files of `tensorflow_model_server`'s flags: messages in protobuf's text form."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from google.protobuf import text_format

from monolith_cli import errors
from monolith_cli.serving.channel import Tls
from monolith_cli.serving.platform_protos import (
    BatchingParameters,
    MonitoringConfig,
    SavedModelBundleSourceAdapterConfig,
    SSLConfig,
)
from monolith_cli.serving.protos import model_server_config_pb2, platform_config_pb2
from monolith_cli.serving.server.batching import BatchConfig

_MAX_BYTES = 64 << 20


def read_text(path: str, flag: str, message):
    """The message of a file. NoInputError where it cannot be read, ConfigError where it is none."""
    try:
        with open(path, "rb") as f:
            data = f.read(_MAX_BYTES + 1)
    except OSError as e:
        raise errors.NoInputError(f"{flag} {path}: {e.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise errors.ConfigError(f"{flag} {path}: larger than {_MAX_BYTES} bytes")
    try:
        return text_format.Parse(data.decode(), message)
    except (text_format.ParseError, UnicodeDecodeError) as e:
        raise errors.ConfigError(f"{flag} {path}: no text of {message.DESCRIPTOR.name}: {e}") from None


def model_config(path: str):
    return read_text(path, "--model_config_file", model_server_config_pb2.ModelServerConfig())


def batching(path: str | None) -> BatchConfig:
    """BatchConfig of a file; the defaults without one."""
    parameters = BatchingParameters()
    if path:
        read_text(path, "--batching_parameters_file", parameters)
    return batch_config(parameters)


def batch_config(parameters) -> BatchConfig:
    """BatchConfig of BatchingParameters."""
    fields = {"num_threads": os.cpu_count() or 1}
    names = {
        "max_batch_size": "max_batch_size",
        "max_enqueued_batches": "max_enqueued_batches",
        "num_batch_threads": "num_threads",
        "max_execution_batch_size": "max_execution_size",
    }
    fields |= {to: getattr(parameters, name).value for name, to in names.items() if parameters.HasField(name)}
    if parameters.HasField("batch_timeout_micros"):
        fields["timeout_s"] = parameters.batch_timeout_micros.value / 1e6
    return BatchConfig(
        **fields,
        allowed_sizes=tuple(parameters.allowed_batch_sizes),
        pad_variable_length=parameters.pad_variable_length_inputs,
        split_large=parameters.enable_large_batch_splitting,
        diff_dim_sizes=parameters.support_diff_dim_size_inputs,
    )


def platform(path: str):
    """SessionBundleConfig of the platform `tensorflow` in a PlatformConfigMap."""
    flag = "--platform_config_file"
    platforms = read_text(path, flag, platform_config_pb2.PlatformConfigMap()).platform_configs
    adapter = SavedModelBundleSourceAdapterConfig()
    if "tensorflow" not in platforms or not platforms["tensorflow"].source_adapter_config.Unpack(adapter):
        raise errors.ConfigError(f'{flag} {path}: no platform "tensorflow" with a SavedModelBundleSourceAdapterConfig')
    return adapter.legacy_config


def monitoring(path: str | None, default: str) -> str | None:
    """Where the metrics are served; None where the file turns them off."""
    if not path:
        return default
    prometheus = read_text(path, "--monitoring_config_file", MonitoringConfig()).prometheus_config
    if not prometheus.enable:
        return None
    if prometheus.path and not prometheus.path.startswith("/"):
        raise errors.ConfigError(f"--monitoring_config_file {path}: the path {prometheus.path!r} must begin with /")
    return prometheus.path or default


@contextlib.contextmanager
def tls_of_ssl_config(path: str) -> Iterator[Tls]:
    """Tls of an SSLConfig, whose fields are the PEM texts themselves; its files live as long as the context."""
    config = read_text(path, "--ssl_config_file", SSLConfig())
    if not config.server_key or not config.server_cert:
        raise errors.ConfigError(f"--ssl_config_file {path}: server_key and server_cert must both be set")
    if config.client_verify and not config.custom_ca:
        raise errors.ConfigError(
            f"--ssl_config_file {path}: client_verify needs custom_ca, which signs clients' certificates"
        )
    with tempfile.TemporaryDirectory(prefix="monolith-serve-") as folder:
        files = {"key": config.server_key, "cert": config.server_cert}
        if config.client_verify:
            files["ca"] = config.custom_ca
        for name, text in files.items():
            with open(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
                f.write(text)
        yield Tls(**{name: os.path.join(folder, name) for name in files})
