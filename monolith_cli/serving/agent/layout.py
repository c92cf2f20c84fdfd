"""What an agent of version 3 is to serve: the sub graphs of its layout that its filters let in, as a model config
file."""

from __future__ import annotations

import threading
from collections.abc import Callable

from monolith_cli import errors
from monolith_cli.serving.agent import model_config
from monolith_cli.serving.agent.patterns import LayoutFilters
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.records import SavedModelDeployConfig

# `specific` needs a version, which a deploy config has no field for.
POLICIES = ("latest", "latest_once", "all")


def _sub_graph_name(node: str) -> str | None:
    """`<model>:<sub graph>` of a layout's node; None for a node that is none."""
    try:
        return str(paths.SavedModel.parse(node))
    except errors.BadDataError:
        return None


class Layout:
    """The layout and the deploy configs it speaks of, watched.

    changed() is called after each change, by the thread that brings the news. allowed(base_path): whether models may
    lie there.
    """

    def __init__(
        self,
        connection,
        config,
        filters: LayoutFilters,
        changed: Callable[[], None],
        allowed: Callable[[str], bool],
        log,
    ):
        self._connection, self._config, self._filters, self._changed, self._log = (
            connection,
            config,
            filters,
            changed,
            log,
        )
        self._allowed = allowed
        self._lock = threading.Condition(threading.RLock())
        self._names: list[str] = []
        # Name → bytes of its deploy config, None where it has none.
        self._deploy: dict[str, bytes | None] = {}
        self._good: dict[str, SavedModelDeployConfig] = {}
        self._unread: set[str] = set()
        self._watches: dict[str, object] = {}
        self._once = model_config.LatestOnce()
        self._complaints: dict[str, str] = {}

    def start(self, limit_s: float = 30.0) -> None:
        """Begins to watch and returns when all has been read. UnavailableError after limit_s seconds without that."""
        self._unread.add("")
        self._watches[""] = self._connection.watch_children(self._config.layout_path, self._set_names)
        with self._lock:
            if not self._lock.wait_for(lambda: not self._unread, limit_s):
                raise errors.UnavailableError(
                    f"ZooKeeper: {self._config.layout_path} could not be read within {limit_s:.0f} s"
                )

    def stop(self) -> None:
        with self._lock:
            for watch in self._watches.values():
                watch.stop()
            self._watches.clear()

    def models(self) -> set[str]:
        """Models of which the layout has a sub graph, served here or not."""
        return {name.split(":")[0] for name in self._names}

    def _set_names(self, children: list[str]) -> None:
        with self._lock:
            self._names = sorted({name for c in children if (name := _sub_graph_name(c))})
            accepted = [n for n in self._names if self._filters.accept(n.split(":")[1])]
            for name in [n for n in self._deploy if n not in accepted]:
                self._watches.pop(name).stop()
                self._deploy.pop(name)
                self._unread.discard(name)
                self._good.pop(name, None)
                self._complaints.pop(name, None)
            for name in [n for n in accepted if n not in self._deploy]:
                model, sub_graph = name.split(":")
                self._deploy[name] = None
                self._unread.add(name)
                path = paths.saved_model_path(self._config.bzid, model, sub_graph)
                self._watches[name] = self._connection.watch_data(
                    path, lambda data, stat, name=name: self._set_deploy(name, data)
                )
            self._once.keep_only(self._deploy)
            self._has_read("")
        self._changed()

    def _set_deploy(self, name: str, data: bytes | None) -> None:
        with self._lock:
            if name not in self._deploy:
                return
            self._deploy[name] = data
            self._has_read(name)
        self._changed()

    def _has_read(self, name: str) -> None:
        self._unread.discard(name)
        self._lock.notify_all()

    def model_server_config(self):
        """`ModelServerConfig` of what is to be served now. A sub graph whose deploy config cannot be used is left
        out, or served as the last good one said; the log says why."""
        entries = []
        with self._lock:
            for name, data in sorted(self._deploy.items()):
                try:
                    self._good[name] = self._deploy_config(name, data)
                    self._complaints.pop(name, None)
                except errors.Error as e:
                    self._complain(
                        name,
                        f"{e}; " + ("what was last declared is served on" if name in self._good else "it is left out"),
                    )
                if deploy := self._good.get(name):
                    entries.append(
                        model_config.model_entry(
                            name, deploy.model_base_path, deploy.version_policy, 1, once=self._once
                        )
                    )
        return model_config.server_config(entries)

    def _complain(self, name: str, message: str) -> None:
        if self._complaints.get(name) != message:
            self._complaints[name] = message
            self._log.error(f"layout {self._config.layout_path}: {name}: {message}")

    def _deploy_config(self, name: str, data: bytes | None) -> SavedModelDeployConfig:
        path = paths.saved_model_path(self._config.bzid, *name.split(":"))
        if data is None:
            raise errors.NoInputError(f"not declared, there is no {path}")
        deploy = SavedModelDeployConfig.from_json(data, path)
        deploy.version_policy = (deploy.version_policy or "latest").lower()
        if deploy.version_policy not in POLICIES:
            raise errors.ConfigError(f"{path}: version_policy {deploy.version_policy} is none of {', '.join(POLICIES)}")
        if not deploy.model_base_path or not self._allowed(deploy.model_base_path):
            raise errors.ConfigError(
                f"{path}: base path {deploy.model_base_path} is outside of what --model-root allows"
            )
        return deploy
