"""When records count as delivered: what a source that remembers how far it was read goes by."""

from __future__ import annotations

from collections.abc import Callable


class Delivery:
    """One run from sources to an output; a context manager that ends after the output.

    confirm: called before a source remembers what has left the chain; True when all of that has reached its place. An
    output that appears whole at the end gives False until then; the default is an output that takes bytes for good.
    """

    def __init__(self, confirm: Callable[[], bool] = lambda: True):
        self.confirm = confirm
        self._sources: list = []

    def add(self, source) -> None:
        """A source with close(delivered: bool), called when the run ends."""
        self._sources.append(source)

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, kind, *rest) -> None:
        """The run has ended; without an error every record passed on is in its place."""
        sources, self._sources = self._sources, []
        for source in sources:
            source.close(kind is None)
