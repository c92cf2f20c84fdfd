"""Raising labels to a number of the line id."""

from __future__ import annotations

from dataclasses import dataclass

from monolith_cli.operators.text import utf8


@dataclass(frozen=True)
class UseFieldAsLabelConfig:
    """Every label becomes the greater of itself and line_id.<field>, as a float; a record without labels passes as it came.

    field: a number or bool of LineId. overwrite_invalid_value: let a value of at least label_threshold count as 0.
    record_type: instance or example.

    Raises UsageError for a field that is unknown, a string or a list, and for example_batch, which must be expanded to
    rows first.
    """

    field: str
    overwrite_invalid_value: bool = False
    label_threshold: float = 7200.0
    record_type: str = "instance"

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        return _core.UseFieldAsLabel(self.record_type, utf8("--label-from", self.field),
                                     self.label_threshold if self.overwrite_invalid_value else None)
