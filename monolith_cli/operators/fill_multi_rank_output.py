"""Appending which rank head a record belongs to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FillMultiRankOutputConfig:
    """Appends a number to the labels.

    rank_from: draw is 1 for line_id.is_draw, else 0; chnid is line_id.chnid where that is 0 or 1, else 2; rank is
        line_id.rank, at most rank_num - 1.
    rank_num: number of ranks, at least 1. record_type: instance or example.

    Raises UsageError for what cannot be right, and for example_batch, which must be expanded to rows first.
    """

    rank_from: str
    rank_num: int = 18
    record_type: str = "instance"

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        return _core.FillMultiRankOutput(self.record_type, self.rank_from, self.rank_num)
