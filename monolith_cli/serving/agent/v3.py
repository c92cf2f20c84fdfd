"""Agent of version 3: one model server, which serves what a layout and local filters say."""

from __future__ import annotations

import json
import threading
from concurrent import futures

import grpc

from monolith_cli.serving.addresses import join_host_port
from monolith_cli.serving.agent import model_config
from monolith_cli.serving.agent.base import RESCAN_INTERVAL_S, Agent
from monolith_cli.serving.agent.bindings import ServiceMap, binding_nodes, own_container
from monolith_cli.serving.agent.layout import Layout
from monolith_cli.serving.agent.options import allowed_path, local_host
from monolith_cli.serving.agent.patterns import LayoutFilters
from monolith_cli.serving.agent.service import own_resource
from monolith_cli.serving.agent.node_set import NodeSet
from monolith_cli.serving.agent.tfs_monitor import TfsMonitor, newest
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.records import ContainerServiceInfo, State

# What was left out of the config, or not taken by the server, is tried again after this many seconds.
RETRY_S = 5.0


class AgentV3(Agent):
    """Order of start: session, layout and config file, model server, own container's node, gRPC service, rounds of
    work."""

    def __init__(self, config, options, log):
        self.filters = LayoutFilters(config.layout_filters, config.shard_id, config.num_tce_shard, log.warning)
        super().__init__(config, options, log)
        self.config_file = config.run_path("model_config.pbtxt")
        self.services = ServiceMap(self.connection, config.bzid)
        self.layout = Layout(
            self.connection,
            config,
            self.filters,
            self._layout_changed,
            lambda path: allowed_path(options.model_roots, path),
            log,
        )
        self._bindings = NodeSet(self.ephemerals)
        self._binding_lock = threading.Lock()
        self._apply_rounds = self._status_rounds = None
        self._applied: bytes | None = None
        self._served: set[str] = set()
        self._monitor = TfsMonitor(config, local_host(options), options.server_tls)
        self._reloads = futures.ThreadPoolExecutor(4, "reload")

    def provider(self):
        return self

    def replicas(self, server_type: str, task: int, model_name: str) -> list[str]:
        raise NotImplementedError(
            "GetReplicas: an agent of version 3 answers HeartBeat, with all sub graphs of its layout"
        )

    def heart_beat(self, server_type: str) -> dict[str, list[str]]:
        return self.services.addresses()

    def resource(self):
        return own_resource(self.config, self.host)

    def service_info(self) -> ContainerServiceInfo:
        """Where this container's services are."""
        at = {
            kind: join_host_port(self.host, port)
            for kind, port in zip(("grpc", "http", "archon"), self.config.ports("unified"), strict=True)
        }
        debug = {"layout_path": self.config.layout_path, "layout_filters": self.filters.texts}
        return ContainerServiceInfo(
            **at, agent=join_host_port(self.host, self.config.agent_port), idc=self.config.idc, debug_info=json.dumps(debug)
        )

    def start(self) -> None:
        self.layout.start()
        config = self.layout.model_server_config()
        model_config.write_config(self.config_file, model_config.model_config_text(config))
        self.servers.start({"unified": self.config_file})
        self.ephemerals.publish(
            paths.container_path(self.config.bzid, own_container(self.config)), self.service_info().to_json()
        )
        self.services.start()
        self.services.subscribe(self.layout.models())
        self.start_service()
        self._status_rounds = self.every("bindings", self.options.status_interval_s, self.sync_bindings)
        self._apply_rounds = self.every("layout", RETRY_S, self.apply_layout)
        self.every("rescan", RESCAN_INTERVAL_S, self.services.rescan)

    def _layout_changed(self) -> None:
        if self._apply_rounds is not None:
            self._apply_rounds.wake()

    def apply_layout(self) -> None:
        """Where the layout says something new: bindings of what leaves go first, then the config file is written and
        the server told."""
        config = self.layout.model_server_config()
        content = config.SerializeToString(deterministic=True)
        if content != self._applied:
            self._served = {c.name for c in config.model_config_list.config}
            self.sync_bindings()
            self.stopping.wait(self.options.drain_s)
            model_config.write_config(self.config_file, model_config.model_config_text(config))
            self._applied = content
            self._reloads.submit(self._reload, config)
        self.services.subscribe(self.layout.models())

    def _reload(self, config) -> None:
        """The server looks at the file by itself every minute; told, it does so at once. Nobody waits for what it
        then loads."""
        try:
            status = self._monitor.reload("unified", config)
            if status.error_code:
                self.log.warning(f"model server: reload: {status.error_message}")
        except grpc.RpcError as e:
            if self.stopping.is_set():
                return
            self.log.info(f"model server: reload: {e.code().name} {e.details()}")
            if e.code() == grpc.StatusCode.UNAVAILABLE:
                self._applied = None  # it may have read the file of before; the next round tells it again
        self._status_rounds.wake()

    def sync_bindings(self) -> None:
        """A binding node for each sub graph that is AVAILABLE on the server here, and for no other."""
        with self._binding_lock:
            available = {name for name in sorted(self._served) if self._state(name) == State.AVAILABLE}
            self._bindings.replace(binding_nodes(self.config, available & self._served))

    def _state(self, name: str) -> int:
        try:
            chosen = newest(self._monitor.status(name))
        except grpc.RpcError:
            chosen = None
        return int(State.UNKNOWN) if chosen is None else int(chosen.state)

    def stop(self) -> None:
        self.layout.stop()
        super().stop()
        self.services.stop()
        self._monitor.close()
        self._reloads.shutdown(wait=False, cancel_futures=True)
