"""Reads the model configuration file again and again."""

from __future__ import annotations

import threading

from monolith_cli import errors
from monolith_cli.serving.server import config_files
from monolith_cli.serving.server.catalog import Catalog
from monolith_cli.serving.server.status import StatusError


class ConfigPoller:
    """Every `wait_s` seconds, 0 for never. A file that changed is taken into use; one with a mistake is logged and the
    old one stays."""

    def __init__(self, path: str | None, wait_s: float, catalog: Catalog, log):
        self._path, self._wait_s, self._catalog, self._log = path, wait_s, catalog, log
        self._stopped = threading.Event()
        self._last = self._read() if path else None
        self._thread = threading.Thread(target=self._poll, name="poll-config", daemon=True)

    def start(self) -> None:
        if self._path and self._wait_s > 0:
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _read(self) -> bytes | None:
        try:
            with open(self._path, "rb") as f:
                return f.read()
        except OSError:
            return None

    def _poll(self) -> None:
        while not self._stopped.wait(self._wait_s):
            now = self._read()
            if now == self._last:
                continue
            self._last = now
            try:
                self._catalog.reload(config_files.model_config(self._path), from_file=True)
                self._log.summary(f"{self._path} is in force")
            except (errors.Error, StatusError) as e:
                self._log.error(f"--model_config_file {self._path}, read again: {e}")
