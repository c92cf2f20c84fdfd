"""Which models are configured: the ModelServerConfig in force, its replacement, labels, the polling of folders."""

from __future__ import annotations

import threading

import grpc

from monolith_cli.serving.protos import model_server_config_pb2
from monolith_cli.serving.server.manager import Manager
from monolith_cli.serving.server.roots import Roots, is_uri
from monolith_cli.serving.server.source import DirectorySource
from monolith_cli.serving.server.status import StatusError, failed_precondition, invalid, not_found
from monolith_cli.serving.server.versions import ServedVersion

PLATFORM = "tensorflow"


class Catalog:
    """labels_of_unavailable: new labels may name versions that are not available yet. poll_s: seconds between looks
    into the folders; 0: one look when a configuration comes, below 0: none at all. roots_from_files: folders of
    configuration files that the operator wrote are allowed as they are, since nobody gave a list of allowed ones."""

    def __init__(
        self, manager: Manager, roots: Roots, log, *, poll_s: float, labels_of_unavailable=False, roots_from_files=True
    ):
        self._manager, self._roots, self._log = manager, roots, log
        self._source = DirectorySource(manager, roots, log)
        self._poll_s, self._labels_of_unavailable, self._roots_from_files = (
            poll_s,
            labels_of_unavailable,
            roots_from_files,
        )
        self._reloading = threading.Lock()
        self.configured = threading.Event()  # a first configuration is in force
        self._models: dict[str, model_server_config_pb2.ModelConfig] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._has_list, self._generation = False, 0
        self._polling = (
            threading.Lock()
        )  # what was read of a folder is told before the configuration it was read for goes
        self._stopped = threading.Event()
        self._poller: threading.Thread | None = None

    def start(self) -> None:
        """Begins polling the folders."""
        if self._poll_s > 0:
            self._poller = threading.Thread(target=self._poll_forever, name="poll-folders", daemon=True)
            self._poller.start()

    def stop(self) -> None:
        self._stopped.set()
        self.configured.set()
        if self._poller:
            self._poller.join()

    @property
    def names(self) -> list[str]:
        return list(self._models)

    def knows(self, name: str) -> bool:
        return name in self._models

    def reload(self, config: model_server_config_pb2.ModelServerConfig, *, from_file: bool = False) -> None:
        """Replaces the configuration: models that are not in it are unloaded. Waits until its new models are available.

        Raises StatusError: INVALID_ARGUMENT for a configuration with a mistake (nothing is changed), PERMISSION_DENIED
        for a folder that is not allowed, UNKNOWN naming the new models that could not be loaded, FAILED_PRECONDITION
        for labels of versions that are not available, ABORTED where another configuration took its place while it
        waited.
        """
        with self._reloading:
            if not self._is_list(config):
                self.configured.set()
                return
            models = list(config.model_config_list.config)
            self._check(models, from_file and self._roots_from_files)
            self._has_list = True
            new = [m.name for m in models if m.name not in self._models]
            self._replace(models)
            self._generation += 1
            generation = self._generation
            self.configured.set()
        # Not under the lock: a model that cannot be loaded is retried for minutes; a reload without it must get through.
        failed = self._manager.wait_for(new)
        with self._reloading:
            if generation != self._generation:
                raise StatusError(
                    grpc.StatusCode.ABORTED, "another configuration came before the models of this one were available"
                )
            mistake = self._set_labels(models)
        if failed:
            listed = ", ".join(_describe(v) for versions in failed.values() for v in versions)
            raise StatusError(
                grpc.StatusCode.UNKNOWN, f"{len(failed)} servable(s) did not become available: {{{listed}}}"
            )
        if mistake:
            raise failed_precondition(mistake)

    def check(self, config: model_server_config_pb2.ModelServerConfig, *, from_file: bool = False) -> None:
        """Raises what `reload` would raise for a mistake in it; nothing is loaded."""
        if self._is_list(config):
            self._check(list(config.model_config_list.config), from_file and self._roots_from_files)

    def _is_list(self, config) -> bool:
        kind = config.WhichOneof("config")
        if kind is None and self._has_list:
            raise failed_precondition(
                "a list of models is being served: the new configuration must be a model_config_list too"
            )
        if kind == "custom_model_config":
            raise invalid("custom_model_config is not supported: give a model_config_list")
        return kind is not None

    def _check(self, models, are_roots: bool) -> None:
        names = [m.name for m in models]
        for model in models:
            if not model.name:
                raise invalid("a model without a name")
            if names.count(model.name) > 1:
                raise invalid(f"model {model.name} is named twice")
            if not model.base_path.startswith("/") and not is_uri(model.base_path):
                raise invalid(f"model {model.name}: base_path {model.base_path!r} must be absolute, or a URI")
            if model.model_platform != PLATFORM:
                raise invalid(
                    f"model {model.name}: model_platform {model.model_platform!r} is not served, only {PLATFORM!r}"
                )
        for model in models:
            if are_roots:
                self._roots.add(model.base_path)
            self._roots.check(model.base_path, f"model {model.name}: base_path")

    def _replace(self, models) -> None:
        now = {m.name: m for m in models}
        with self._polling:
            for name in [n for n in self._models if n not in now]:
                del self._models[name]
                self._labels.pop(name, None)
                self._source.remove(name)
                self._log.summary(f"model {name} is not configured any more")
            self._models |= now
        if self._poll_s >= 0:
            for model in models:
                self._poll(model)

    def _poll(self, model) -> None:
        with self._polling:
            if self._models.get(model.name) is model:
                self._source.poll(model.name, model.base_path, model.model_version_policy)

    def _poll_forever(self) -> None:
        while not self._stopped.wait(self._poll_s):
            for model in list(self._models.values()):
                self._poll(model)

    def _set_labels(self, models) -> str:
        """The labels of every model; one that names a version it cannot leaves its model's labels as they were. What is
        wrong."""
        mistakes = [self._mistake_in_labels(m) for m in models]
        self._labels = {
            m.name: self._labels.get(m.name, {}) if mistake else dict(m.version_labels)
            for m, mistake in zip(models, mistakes)
        }
        return "; ".join(filter(None, mistakes))

    def _mistake_in_labels(self, model) -> str | None:
        has = self._labels.get(model.name, {})
        for label, number in sorted(model.version_labels.items()):
            fresh = self._labels_of_unavailable and label not in has
            if has.get(label) != number and not fresh and not self._manager.is_available(model.name, number):
                return f"label {label} of model {model.name}: version {number} is not available"
        return None

    def version_of_label(self, name: str, label: str) -> int:
        """The version a label stands for; NOT_FOUND where there is no such label."""
        number = self._labels.get(name, {}).get(label)
        if number is None:
            raise not_found(f"Unrecognized servable version label: {label} of model {name}")
        return number


def _describe(version: ServedVersion) -> str:
    return f"{{name: {version.name} version: {version.number}}} due to error: {version.error.message if version.error else 'none'}"
