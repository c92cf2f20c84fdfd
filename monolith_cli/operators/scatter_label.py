"""Putting the label of a record into the place of its channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monolith_cli.operators.text import parsed


@dataclass(frozen=True)
class ScatterLabelConfig:
    """The labels become invalid ones, but that at the index of line_id.chnid, which becomes what the first label was.

    index_of_channel: pairs (chnid, index); of equal channels the last holds. Indexes are 0..65535, and there are as many
        labels as the greatest says.
    record_type: instance or example.

    Raises UsageError for what cannot be right, and for example_batch, which must be expanded to rows first.
    """

    index_of_channel: tuple[tuple[int, int], ...]
    record_type: str = "instance"

    @staticmethod
    def parse(texts: Iterable[str], option: str = "--scatter") -> tuple[tuple[int, int], ...]:
        """Pairs written as CHNID:INDEX[,…]. Raises UsageError with a caret under the mistake."""
        from monolith_cli._native import _core

        return parsed(_core.parse_scatter, option, texts)

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        return _core.ScatterLabel(self.record_type, list(self.index_of_channel))
