"""Capping labels."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LabelUpperBoundConfig:
    """Label i becomes bounds[i] where it is greater; a record with fewer labels than bounds passes as it came.

    record_type: instance or example. Raises UsageError for no bounds, and for example_batch, which must be expanded to
    rows first.
    """

    bounds: tuple[float, ...]
    record_type: str = "instance"

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        return _core.LabelUpperBound(self.record_type, list(self.bounds))
