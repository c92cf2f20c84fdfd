"""What a model server is told to serve: ModelServerConfig messages and their version policies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from google.protobuf import text_format

from monolith_cli import errors
from monolith_cli.serving.agent.config import AgentConfig, ServerType
from monolith_cli.serving.protos import file_system_storage_path_source_pb2, model_server_config_pb2
from monolith_cli.whole_file import write_whole

PLATFORM = "tensorflow"
DEFAULT_MODEL = "default"

ModelConfig = model_server_config_pb2.ModelConfig
ModelServerConfig = model_server_config_pb2.ModelServerConfig
VersionPolicy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


def is_version(name: str) -> bool:
    """Whether the name of a directory is a version: a decimal number of at most 19 digits."""
    return name.isascii() and name.isdigit() and len(name) < 20


def versions_of(base_path: str) -> list[int]:
    """Numbers of the version directories below `base_path`, rising; empty where it cannot be listed."""
    try:
        with os.scandir(base_path) as entries:
            return sorted(int(e.name) for e in entries if is_version(e.name) and e.is_dir())
    except OSError:
        return []


def policy(name: str, data: int | Iterable[int] | None = None) -> VersionPolicy:
    """`latest` (data: how many), `all`, `specific` (data: a version or several). ConfigError for another name.

    `latest_once` needs to know the model: see `model_entry` and `LatestOnce`.
    """
    result = VersionPolicy()
    kind = name.lower()
    try:
        if kind == "latest":
            result.latest.num_versions = 1 if data is None else data
        elif kind == "all":
            result.all.SetInParent()
        elif kind == "specific":
            result.specific.versions.extend([data] if isinstance(data, int) else data)
        else:
            known = "latest, latest_once, all and specific"
            raise errors.ConfigError(f"{name} is not allowed! version policies are {known}")
    except (TypeError, ValueError):
        raise errors.ConfigError(
            f"version policy {name}: {data!r} is not what it takes, a number of versions or versions") from None
    return result


class LatestOnce:
    """The policy `latest_once`: the newest version there is when a model first appears stays, until the model is
    forgotten.

    A parameter server is loaded once and then kept fresh by parameter synchronization. Stock TensorFlow Serving has
    no such policy, so the version is looked up here and asked for by number. Where there is none yet, the newest one
    is asked for, and `waiting` has the model: when the next configuration is made, a version that came meanwhile is
    taken.
    """

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self.waiting: set[str] = set()

    def policy(self, name: str, base_path: str) -> VersionPolicy:
        if name not in self._versions:
            found = versions_of(base_path)
            if not found:
                self.waiting.add(name)
                return policy("latest", 1)
            self._versions[name] = found[-1]
            self.waiting.discard(name)
        return policy("specific", self._versions[name])

    def keep_only(self, names: Iterable[str]) -> None:
        """Forgets all models but these."""
        names = set(names)
        self._versions = {n: v for n, v in self._versions.items() if n in names}
        self.waiting &= names


def model_entry(name: str, base_path: str, version_policy: str = "latest", version_data: int | Iterable[int] | None = 1,
                version_labels: Mapping[str, int] | None = None, once: LatestOnce | None = None) -> ModelConfig:
    """One entry of a configuration. once: what remembers the versions of `latest_once`."""
    entry = ModelConfig(name=name, base_path=base_path, model_platform=PLATFORM)
    if version_policy.lower() == "latest_once":
        chosen = (once or LatestOnce()).policy(name, base_path)
    else:
        chosen = policy(version_policy, version_data)
    entry.model_version_policy.CopyFrom(chosen)
    entry.version_labels.update(version_labels or {})
    return entry


def models_of(config: AgentConfig, server_type: str | None = None) -> list[tuple[str, str]]:
    """(name, base path) of all models that one server of agent version 1 serves, in order. ConfigError where
    base_path is needed and not set, or the shard is not known."""
    kind = config.resolve_server_type(server_type)
    if kind == ServerType.UNIFIED:
        raise errors.ConfigError("deploy_type is unified: its models come from a layout")
    if not config.base_path:
        raise errors.ConfigError("base_path is not set")
    found = []
    if kind == ServerType.PS:
        for task in config.ps_tasks:
            found.append((f"ps_{task}", os.path.join(config.base_path, f"ps_{task}")))
            if config.rough_sort_model_name and config.rough_sort_model_loaded_server == "ps":
                found.append(_rough(config, f"ps_item_embedding_{task}"))
        return found
    name = "dense_0" if kind == ServerType.DENSE else "entry"
    return [(name, os.path.join(config.base_path, name)), *_rough_of_entry_or_dense(config, kind)]


def _rough_of_entry_or_dense(config: AgentConfig, kind: ServerType) -> list[tuple[str, str]]:
    loaded = config.rough_sort_model_loaded_server
    if loaded != kind:
        return []
    if loaded == "entry" and config.rough_sort_resource_constrained:
        return [("entry_item_embedding_0", os.path.join(config.base_path, "entry_item_embedding_0"))]
    return [_rough(config, f"{loaded}_item_embedding_0")] if config.rough_sort_model_name else []


def _rough(config: AgentConfig, name: str) -> tuple[str, str]:
    if not config.rough_sort_model_local_path:
        raise errors.ConfigError("rough_sort_model_name is set, but rough_sort_model_local_path is not")
    return name, os.path.join(config.rough_sort_model_local_path, config.rough_sort_model_name, name)


def server_config(entries: Iterable[ModelConfig]) -> ModelServerConfig:
    """A configuration of these models. Of none, it is an empty list, which unloads everything."""
    result = ModelServerConfig()
    result.model_config_list.SetInParent()
    result.model_config_list.config.extend(entries)
    return result


def model_config(config: AgentConfig, server_type: str | None = None,
                 once: LatestOnce | None = None) -> ModelServerConfig:
    """What one server of agent version 1 serves."""
    return server_config(
        model_entry(name, path, config.version_policy, config.version_data, once=once)
        for name, path in models_of(config, server_type))


def model_config_text(message: ModelServerConfig) -> str:
    return text_format.MessageToString(message)


def write_config(path: str, text: str) -> None:
    """A file that appears whole and that a model server of another user may read."""
    write_whole(path, text, 0o644)


def write_model_config(config: AgentConfig, server_type: str | None = None,
                       message: ModelServerConfig | None = None) -> str:
    """Writes a configuration (`model_config` where none is given) into the run directory, whole; its path."""
    kind = config.resolve_server_type(server_type)
    path = config.run_path(f"model_config_{kind}.txt")
    write_config(path, model_config_text(message if message is not None else model_config(config, kind)))
    return path


def default_model(config: AgentConfig) -> ModelConfig | None:
    """The model `default` that every reload keeps, where default_model_base_path names its directory."""
    return model_entry(DEFAULT_MODEL, config.default_model_base_path) if config.default_model_base_path else None
