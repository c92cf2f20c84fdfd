"""The model server's platform configuration: a PlatformConfigMap as text, with what the agent knows of sessions and
batching."""

from __future__ import annotations

import os
from collections.abc import Callable

from google.protobuf import text_format

from monolith_cli import errors
from monolith_cli.serving.agent.command_lines import knows_our_fields
from monolith_cli.serving.agent.config import AgentConfig
from monolith_cli.serving.agent.constants import PLATFORM_CONFIG_FILE
from monolith_cli.serving.agent.model_config import write_config
from monolith_cli.serving.agent.ports import env_int
from monolith_cli.serving.platform_protos import BatchingParameters, SavedModelBundleSourceAdapterConfig
from monolith_cli.serving.protos import platform_config_pb2

DEFAULT_PARALLELISM = 16
_DENSE_BATCHING = {
    "max_batch_size": 1024, "batch_timeout_micros": 800, "max_enqueued_batches": 100000, "num_batch_threads": 8}


def platform_config(config: AgentConfig) -> platform_config_pb2.PlatformConfigMap:
    """What `write_platform_config` writes. ConfigError where the batching file cannot be used."""
    adapter = SavedModelBundleSourceAdapterConfig()
    bundle = adapter.legacy_config
    session, limit = bundle.session_config, env_int(config.environ, "MY_CPU_LIMIT", 0)
    session.intra_op_parallelism_threads = config.tensorflow_intra_op_parallelism or limit or DEFAULT_PARALLELISM
    session.inter_op_parallelism_threads = config.tensorflow_inter_op_parallelism or limit or DEFAULT_PARALLELISM
    session.allow_soft_placement = True
    session.gpu_options.allow_growth = config.allow_growth
    bundle.enable_model_warmup = config.enable_model_warmup
    if config.dense_alone and config.enable_batching:
        for name, value in _DENSE_BATCHING.items():
            getattr(bundle.batching_parameters, name).value = value
        if knows_our_fields(config):
            bundle.batching_parameters.support_diff_dim_size_inputs = True
    if config.tfs_flags == "stock":
        _add_flags_without_effect(config, bundle)
    result = platform_config_pb2.PlatformConfigMap()
    result.platform_configs["tensorflow"].source_adapter_config.Pack(adapter)
    return result


def _add_flags_without_effect(config: AgentConfig, bundle) -> None:
    """With a platform configuration a stock server ignores the flags that say the same, so they are said here."""
    if config.per_process_gpu_memory_fraction:
        bundle.session_config.gpu_options.per_process_gpu_memory_fraction = config.per_process_gpu_memory_fraction
    if config.saved_model_tags:
        bundle.saved_model_tags.extend(config.saved_model_tags.split(","))
    if config.enable_batching and config.batching_parameters_file:
        bundle.batching_parameters.CopyFrom(_read_batching(config.batching_parameters_file))


def _read_batching(path: str):
    try:
        with open(path, encoding="utf-8") as f:
            return text_format.Parse(f.read(1 << 20), BatchingParameters())
    except OSError as e:
        raise errors.NoInputError(f"batching_parameters_file {path}: {e.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as e:
        raise errors.ConfigError(f"batching_parameters_file {path}: {e}") from None


def platform_config_text(config: AgentConfig) -> str:
    return text_format.MessageToString(platform_config(config))


def write_platform_config(config: AgentConfig, warn: Callable[[str], object] | None = None) -> str:
    """Fills `config.platform_config_file` in and writes it, unless the operator named a file that is there; its path.

    A failure is only told through `warn`: the server then says itself what it misses. Nothing half-written is left.
    """
    named = config.platform_config_file
    if named and os.path.exists(named) and named != _own_path(config):
        return named
    path = config.platform_config_file = named or config.run_path(PLATFORM_CONFIG_FILE)
    try:
        write_config(path, platform_config_text(config))
    except errors.Error as e:
        if warn:
            warn(f"platform configuration {path} is not written: {e}")
    return path


def _own_path(config: AgentConfig) -> str | None:
    return os.path.join(config.run_dir, PLATFORM_CONFIG_FILE) if config.run_dir else None
