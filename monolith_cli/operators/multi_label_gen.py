"""One label in the place of a record's head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monolith_cli.operators.text import parsed, utf8


@dataclass(frozen=True)
class MultiLabelGenConfig:
    """The labels become invalid ones, but that at the index of the record's head, which comes from actions or the label.

    heads: pairs (head, index); the first of equal heads holds. A head is text without "," and ":"; for an integer field its
        decimal text. Indexes are 0..65535 and below task_num.
    head_field: an integer or string of LineId.
    task_num: number of labels; 0 for as many as the greatest index says.
    pos_actions, neg_actions: the record's action among the first makes pos_label, else among the second neg_label, else
        invalid. Its action is the one that comes first in action_priority; its first when none does.
    use_origin_label: take the first label instead (invalid when there is none); then no actions are given.
    record_type: instance or example.

    Raises UsageError for what cannot be right, and for example_batch, which must be expanded to rows first.
    """

    heads: tuple[tuple[str, int], ...]
    head_field: str = "chnid"
    task_num: int = 0
    pos_actions: tuple[int, ...] = ()
    neg_actions: tuple[int, ...] = ()
    action_priority: tuple[int, ...] = ()
    use_origin_label: bool = False
    pos_label: float = 1.0
    neg_label: float = 0.0
    record_type: str = "instance"

    @staticmethod
    def parse_heads(texts: Iterable[str], option: str = "--head") -> tuple[tuple[str, int], ...]:
        """Heads written as HEAD=INDEX[,…]. Raises UsageError with a caret under the mistake."""
        from monolith_cli._native import _core

        return parsed(_core.parse_heads, option, texts)

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        return _core.MultiLabelGen(
            self.record_type, utf8("--head-field", self.head_field), [(str(head), index) for head, index in self.heads], self.task_num,
            list(self.pos_actions), list(self.neg_actions), list(self.action_priority), self.use_origin_label, self.pos_label,
            self.neg_label)
