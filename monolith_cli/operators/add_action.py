"""Appending actions where a condition holds."""

from __future__ import annotations

from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.operators.text import utf8


@dataclass(frozen=True)
class AddActionConfig:
    """Appends `actions` to line_id.actions of each record for which `condition` holds.

    record_type: instance or example. example_batch raises UsageError: it must be expanded to rows first.
    condition: an expression as `pb-filter --where` takes it; fields that are not set read as their default.
    actions: appended in this order, also those that are there already.

    Raises UsageError for what cannot be right, with a caret under the spot in `condition`.
    """

    condition: str
    actions: tuple[int, ...]
    record_type: str = "instance"

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        try:
            return _core.AddAction(self.record_type, utf8("--if", self.condition), list(self.actions))
        except errors.UsageError as e:
            raise errors.UsageError(str(e).replace("--where: ", "--if: ", 1)) from None
