"""Keeping and dropping whole records: by fids, actions, time, labels and an expression."""

from __future__ import annotations

import os
from dataclasses import dataclass

from monolith_cli import errors

_UINT64 = (1 << 64) - 1


@dataclass(frozen=True)
class FilterConfig:
    """What a record must fulfil to be kept; all that is given must hold, an empty field asks nothing.

    record_type: instance or example. example_batch raises UsageError: it must be expanded to rows first.
    where: an expression over LineId fields, labels and fids (`pb-filter(1)` has the grammar); None for none.
    keep_empty: what `any`, `all` and `diff` in `where` give on an empty list.
    req_time_min: least line_id.req_time in seconds; unset reads 0. None stands for 0 when something is asked of fids,
        slots or actions, or nothing at all is; else for no limit.
    filter_fids: none of them may be there. has_fids: one of them must. select_fids: all of them must.
        Unsigned, or negative for the same 64 bits. Of an Instance only v1 fids count, of an Example those of both versions.
    select_slots: a fid of each of these slots must be there, v1 or v2, 0..32767.
    has_actions: one of them must be in line_id.actions.
    label_thresholds: there are that many labels at least, and one of them reaches its threshold.
    label_strict: reaching means being greater, not greater or equal.
    invert: keep what would be dropped and the other way round.
    rejected: file for the dropped records, as the bare wire; it appears whole at the end. "" for none.

    Raises UsageError for what cannot be right, with a caret under the spot in `where`; CannotCreateError for `rejected`.
    """

    record_type: str = "instance"
    where: str | None = None
    keep_empty: bool = False
    req_time_min: int | None = None
    filter_fids: tuple[int, ...] = ()
    has_fids: tuple[int, ...] = ()
    select_fids: tuple[int, ...] = ()
    select_slots: tuple[int, ...] = ()
    has_actions: tuple[int, ...] = ()
    label_thresholds: tuple[float, ...] = ()
    label_strict: bool = False
    invert: bool = False
    rejected: str = ""

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        if self.where == "":
            raise errors.UsageError("--where: an empty expression")
        where = self.where or ""
        try:
            where.encode()
        except UnicodeEncodeError:
            raise errors.UsageError("--where: not UTF-8; write other bytes of a string as \\xHH") from None
        return _core.Filter(
            self.record_type, self.req_time_min, [f & _UINT64 for f in self.filter_fids], [f & _UINT64 for f in self.has_fids],
            [f & _UINT64 for f in self.select_fids], list(self.select_slots), list(self.has_actions), where,
            self.keep_empty, list(self.label_thresholds), self.label_strict, self.invert, os.fsencode(self.rejected))
