"""The model server as a whole: parts put together, started, drained."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from monolith_cli import errors
from monolith_cli.serving.addresses import join_host_port
from monolith_cli.serving.server import warmup
from monolith_cli.serving.server.batching import BatchScheduler
from monolith_cli.serving.server.catalog import Catalog
from monolith_cli.serving.server.config import DEFAULT_THREADS, ServerConfig
from monolith_cli.serving.server.config_poller import ConfigPoller
from monolith_cli.serving.server.grpc_service import GrpcServer
from monolith_cli.serving.server.http_server import HttpServer
from monolith_cli.serving.server.manager import Manager
from monolith_cli.serving.server.metrics import Metrics
from monolith_cli.serving.server.predictor import Predictor
from monolith_cli.serving.server.rest import RestApi
from monolith_cli.serving.server.roots import Roots
from monolith_cli.serving.server.runtime import tensorflow
from monolith_cli.serving.server.saved_model import SavedModel
from monolith_cli.serving.server.status import StatusError


def serve(config: ServerConfig, run) -> int:
    """Serves until SIGTERM or SIGINT, finishes the requests at hand, and returns 143 or 130. A second signal ends it at
    once.

    Raises errors.Error for what is wrong before it serves: files (66, 78), ports (73).
    """
    stop = threading.Event()
    caught: list[int] = []

    def on_signal(number, frame):
        if caught:
            os._exit(128 + number)
        caught.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    server = ModelServer(config, run.log)
    server.start()
    stop.wait()
    run.log.summary(f"{signal.Signals(caught[0]).name}: finishing the requests at hand")
    if not server.stop():
        run.log.warning("a version is still being loaded, which cannot be broken off: ending without it")
        sys.stdout.flush()
        os._exit(128 + caught[0])  # the interpreter would wait for the thread
    return 128 + caught[0]


class ModelServer:
    """Everything is bound when it is made; `start` serves, `stop` drains and unloads."""

    def __init__(self, config: ServerConfig, log):
        self._config, self._log = config, log
        self._options, batching, self._with_warmup = config.platform()
        self._models = config.models()
        self._metrics, self._ready = Metrics(), threading.Event()
        self._manager = Manager(self._load, config.load_policy(), log, self._metrics)
        self._catalog = Catalog(
            self._manager,
            Roots(list(config.model_roots)),
            log,
            poll_s=config.file_system_poll_wait_seconds,
            labels_of_unavailable=config.allow_version_labels_for_unavailable_models,
            roots_from_files=not config.model_roots,
        )
        self._metrics.versions, self._metrics.knows = self._manager.counts, self._catalog.knows
        self._check_models()
        arguments = config.channel_arguments()
        self._batches = BatchScheduler(batching, self._metrics.count_batch) if batching else None
        self._predictor = Predictor(self._manager, self._catalog, self._batches, config.max_message_bytes)
        with config.server_tls() as tls:
            self._grpc = GrpcServer(
                self._predictor,
                self._catalog,
                self._metrics,
                config.grpc_addresses(),
                tls=tls,
                arguments=arguments,
                threads=config.grpc_max_threads or DEFAULT_THREADS,
                max_message_bytes=config.max_message_bytes,
            )
            self._http = self._http_servers(tls)
        self._poller = ConfigPoller(
            config.model_config_file, config.model_config_file_poll_wait_seconds, self._catalog, log
        )

    def _check_models(self) -> None:
        try:
            self._catalog.check(self._models, from_file=True)
        except StatusError as e:
            raise errors.ConfigError(f"{self._config.model_config_file or '--model_base_path'}: {e.message}") from None

    def _http_servers(self, tls) -> list[HttpServer]:
        config = self._config
        rest = RestApi(
            self._predictor,
            self._metrics,
            self._ready.is_set,
            timeout_s=config.rest_api_timeout_in_ms / 1e3,
            metrics_path=config.metrics_path(),
        )
        made = []
        if config.rest_api_port:
            made.append(
                HttpServer((config.bind, config.rest_api_port), rest, tls=tls, max_body_bytes=config.max_message_bytes)
            )
        if config.metrics_port:
            made.append(HttpServer(("127.0.0.1", config.metrics_port), rest.operations, max_body_bytes=0))
        return made

    def _load(self, name: str, path: str) -> SavedModel:
        model = SavedModel(path, self._options)
        if self._with_warmup:
            began = time.perf_counter()
            try:
                records = warmup.replay(model, self._config.max_message_bytes)
            except BaseException:
                model.close()
                raise
            if records:
                self._metrics.count_warmup(name, records, time.perf_counter() - began)
        return model

    def start(self) -> None:
        tensorflow()
        self._grpc.start()
        for server in self._http:
            server.start()
        self._log.summary(
            f"serving gRPC on {', '.join(self._config.grpc_addresses()) or 'no port'}{self._describe_http()}"
        )
        self._catalog.start()
        self._poller.start()
        threading.Thread(target=self._load_first, name="load-first", daemon=True).start()
        threading.Thread(target=self._become_ready, name="become-ready", daemon=True).start()

    def _describe_http(self) -> str:
        address = join_host_port(self._config.bind, self._config.rest_api_port)
        return f", REST on {address}" if self._config.rest_api_port else ""

    def _load_first(self) -> None:
        try:
            self._catalog.reload(self._models, from_file=True)
        except StatusError as e:
            self._log.error(e.message)

    def _become_ready(self) -> None:
        self._catalog.configured.wait()
        self._manager.wait_for_attempts(self._catalog.names)
        self._ready.set()
        self._grpc.set_ready(True)

    def stop(self) -> bool:
        """Takes no new request, finishes those at hand (for at most drain_timeout_s), and unloads all models. Whether
        all threads are done."""
        self._ready.clear()
        self._poller.stop()
        self._manager.stop_loading()
        stopping = [
            threading.Thread(target=s.stop, args=(self._config.drain_timeout_s,)) for s in (self._grpc, *self._http)
        ]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self._catalog.stop()
        if self._batches:
            self._batches.stop()
        return self._manager.stop()
