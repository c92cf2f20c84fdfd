"""What a request does, whichever way it came: find the version, check inputs, compute, alone or in a batch."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import numpy as np

from monolith_cli.serving.server.batching import BatchScheduler
from monolith_cli.serving.server.catalog import Catalog
from monolith_cli.serving.server.manager import Manager
from monolith_cli.serving.server.saved_model import Signature
from monolith_cli.serving.server.status import deadline_exceeded, invalid, not_found
from monolith_cli.serving.server.versions import ServedVersion


@dataclass
class Answer:
    """outputs: alias -> array, in the order of the aliases."""

    model: str
    version: int
    signature: str
    outputs: dict[str, np.ndarray]


class Predictor:
    """batches: None computes every request alone."""

    def __init__(self, manager: Manager, catalog: Catalog, batches: BatchScheduler | None, max_bytes: int):
        self._manager, self._catalog, self._batches, self.max_bytes = manager, catalog, batches, max_bytes

    @contextlib.contextmanager
    def version(self, spec):
        """The version a ModelSpec names, held while inside."""
        if not spec.name:
            raise invalid("Missing ModelSpec: the request names no model")
        choice = spec.WhichOneof("version_choice")
        number = None
        if choice == "version":
            number = spec.version.value
        elif choice == "version_label":
            number = self._catalog.version_of_label(spec.name, spec.version_label)
        held = self._manager.acquire(spec.name, number)
        try:
            yield held
        finally:
            self._manager.release(held)

    def predict(self, spec, read_inputs, output_filter=(), deadline: float | None = None) -> Answer:
        """read_inputs(signature) -> alias -> (array, DataType). deadline: on the clock of time.monotonic, or None.

        Raises StatusError: NOT_FOUND (model or version), FAILED_PRECONDITION (signature), INVALID_ARGUMENT (inputs,
        outputs), UNAVAILABLE (too much is waiting), DEADLINE_EXCEEDED, and what the graph itself fails with.
        """
        with self.version(spec) as held:
            signature = held.model.signature(spec.signature_name)
            inputs = signature.order_inputs(read_inputs(signature))
            outputs = signature.choose_outputs(output_filter)
            if deadline is not None and deadline <= time.monotonic():
                raise deadline_exceeded("the request's time was up before it was computed")
            values = self._compute(held, signature, inputs, outputs, deadline)
            return Answer(held.name, held.number, signature.name, dict(zip(outputs, values)))

    def _compute(self, held: ServedVersion, signature: Signature, inputs, outputs, deadline) -> list[np.ndarray]:
        if self._batches is None or not inputs:
            return held.model.call(signature, inputs, outputs)
        # Inputs of different ranks never share a batch; of different shapes behind dimension 0 only if padded.
        padded = self._batches.config.pad_variable_length
        shapes = tuple([x.ndim if padded else x.shape[1:] for x in inputs])
        return self._batches.run(held.queue(signature, outputs, shapes), inputs, deadline)

    def status(self, spec) -> list:
        """(version, state, error) of the versions a ModelSpec names, newest first; NOT_FOUND where there are none."""
        if not spec.name:
            raise invalid("Missing ModelSpec: the request names no model")
        found = self._manager.status(spec.name)
        choice = spec.WhichOneof("version_choice")
        if choice:
            number = (
                spec.version.value
                if choice == "version"
                else self._catalog.version_of_label(spec.name, spec.version_label)
            )
            found = [s for s in found if s[0] == number]
            if not found:
                raise not_found(f"Could not find version {number} of model {spec.name}")
        if not found:
            raise not_found(f"Could not find any versions of model {spec.name}")
        return found
