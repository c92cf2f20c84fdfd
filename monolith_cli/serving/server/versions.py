"""One version of a model: where it is in its life, and the requests that hold it."""

from __future__ import annotations

import enum
import time

from monolith_cli.serving.server.batching import BatchQueue
from monolith_cli.serving.server.saved_model import SavedModel, Signature
from monolith_cli.serving.server.status import StatusError

# Queues of one version, which differ in signature, outputs and shapes. More shapes than that and they begin anew.
_MAX_QUEUES = 1024


class State(enum.IntEnum):
    """As ModelVersionStatus.State."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


class ServedVersion:
    """Fields are the manager's, under its lock. While a caller holds one (`Manager.acquire`), `model` stays loaded."""

    def __init__(self, name: str, number: int, path: str):
        self.name, self.number, self.path = name, number, path
        self.state, self.error = State.START, None
        self.aspired, self.loading, self.attempts, self.holders = True, False, 0, 0
        self.model: SavedModel | None = None
        self.since = time.time()
        self._queues: dict[tuple, BatchQueue] = {}

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"

    def enter(self, state: State, error: StatusError | None = None) -> None:
        self.state, self.error, self.since = state, error, time.time()

    def queue(self, signature: Signature, outputs: tuple[str, ...], shapes: tuple) -> BatchQueue:
        """The queue of requests that may share a batch with this one."""
        key = (signature.name, outputs, shapes)
        found = self._queues.get(key)
        if found is None:
            if len(self._queues) >= _MAX_QUEUES:
                self._queues.clear()
            model = self.model
            made = BatchQueue(lambda inputs: model.call(signature, inputs, outputs), list(signature.inputs))
            found = self._queues.setdefault(key, made)
        return found

    def unload(self) -> None:
        model, self.model = self.model, None
        self._queues.clear()
        model.close()
