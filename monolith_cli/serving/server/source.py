"""Which versions of a model there are, and which of them a policy wants."""

from __future__ import annotations

import os
import re

from monolith_cli.serving.protos import file_system_storage_path_source_pb2
from monolith_cli.serving.server.roots import Roots, is_uri
from monolith_cli.serving.server.runtime import tensorflow
from monolith_cli.serving.server.status import StatusError

Policy = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
_VERSION = re.compile(r"[0-9]+")
_MAX_VERSION = 2**63 - 1


def find_versions(base_path: str) -> dict[int, str]:
    """Number -> folder of all versions below base_path; a version is a folder with a decimal name. OSError where it
    cannot be read."""
    if is_uri(base_path):
        return _find_remote(base_path)
    found: dict[int, str] = {}
    with os.scandir(base_path) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if _is_version(entry.name) and entry.is_dir():
                found.setdefault(int(entry.name), entry.path)
    return found


def _find_remote(base_path: str) -> dict[int, str]:
    tf = tensorflow()
    scheme = base_path.partition("://")[0]
    known = sorted(filter(None, tf.io.gfile.get_registered_schemes()))
    if scheme not in known:
        raise OSError(f"this TensorFlow has no file system {scheme}://, it has {', '.join(known)}; others come with --op-library")
    try:
        names = [n.rstrip("/") for n in tf.io.gfile.listdir(base_path)]
    except tf.errors.OpError as e:
        raise OSError(e.message) from None
    return {int(n): f"{base_path.rstrip('/')}/{n}" for n in sorted(names, reverse=True) if _is_version(n)}


def _is_version(name: str) -> bool:
    return bool(_VERSION.fullmatch(name)) and int(name) <= _MAX_VERSION


def wanted(policy: Policy, found: dict[int, str]) -> dict[int, str]:
    """The versions a policy wants of those there are: the newest num_versions (0 as 1), all, or those it names."""
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return found
    if kind == "specific":
        return {n: found[n] for n in policy.specific.versions if n in found}
    newest = sorted(found, reverse=True)[: policy.latest.num_versions or 1]
    return {n: found[n] for n in newest}


class DirectorySource:
    """Looks into the folders of the configured models and tells the manager what should be served."""

    def __init__(self, manager, roots: Roots, log):
        self._manager, self._roots, self._log = manager, roots, log
        self._said: dict[str, str] = {}  # what was last said about a model, so that it is said once

    def poll(self, name: str, base_path: str, policy: Policy) -> bool:
        """Whether the model has any version that its policy wants. What cannot be read leaves the model as it is."""
        try:
            self._roots.check(base_path, f"model {name}: base_path")
            found = find_versions(base_path.removeprefix("file://"))
        except (OSError, StatusError) as e:
            self._say(name, f"model {name}: {base_path} cannot be read: {getattr(e, 'strerror', None) or e}")
            return False
        chosen = wanted(policy, found)
        missing = [n for n in policy.specific.versions if n not in found]
        allowed = {n: path for n, path in chosen.items() if self._is_allowed(name, path)}
        if not chosen:
            self._say(
                name,
                f"model {name}: no version to serve in {base_path}" + (f", {missing} are missing" if missing else ""),
            )
        elif missing:
            self._say(name, f"model {name}: versions {missing} are not in {base_path}")
        elif len(allowed) == len(chosen):
            self._said.pop(name, None)
        self._manager.set_aspired(name, allowed)
        return bool(allowed)

    def _is_allowed(self, name: str, path: str) -> bool:
        try:
            self._roots.check(path, f"model {name}: version")
        except StatusError as e:
            self._say(name, e.message)
            return False
        return True

    def _say(self, name: str, message: str) -> None:
        if self._said.get(name) != message:
            self._said[name] = message
            self._log.warning(message)

    def remove(self, name: str) -> None:
        """The model is not configured any more."""
        self._said.pop(name, None)
        self._manager.set_aspired(name, {})
