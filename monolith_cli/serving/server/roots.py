"""Where models may lie: nothing outside of what the operator allowed is loaded, whoever asks for it."""

from __future__ import annotations

import os
import posixpath

import grpc

from monolith_cli.serving.server.status import StatusError, invalid


class Roots:
    """Allowed folders, and prefixes of URIs (`hdfs://…`). Symbolic links are resolved before a path is compared."""

    def __init__(self, roots: list[str]):
        self._roots: set[str] = set()
        for root in roots:
            self.add(root)

    def add(self, root: str) -> None:
        self._roots.add(_resolved(root))

    def check(self, path: str, what: str) -> str:
        """The path, resolved. PERMISSION_DENIED where it lies outside, INVALID_ARGUMENT where it is not absolute."""
        place = _resolved(path)
        if not any(place == root or place.startswith(root.rstrip("/") + "/") for root in self._roots):
            raise StatusError(
                grpc.StatusCode.PERMISSION_DENIED,
                f"{what} {path} lies outside of the folders this server may load models from; --model-root allows more",
            )
        return place


def is_uri(path: str) -> bool:
    return "://" in path


def _resolved(path: str) -> str:
    if "\0" in path:
        raise invalid(f"a path with a zero byte: {path!r}")
    path = path.removeprefix("file://")
    if is_uri(path):
        scheme, _, rest = path.partition("://")
        return f"{scheme}://{posixpath.normpath('/' + rest).lstrip('/')}"
    if not os.path.isabs(path):
        raise invalid(f"base_path {path!r} must be absolute, or a URI")
    return os.path.realpath(path)
