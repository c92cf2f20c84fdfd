"""One label for each task, made from actions, with sampling of negatives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from monolith_cli import errors
from monolith_cli.operators.text import parsed


class TaskLabel(NamedTuple):
    """positive: actions that make the label 1. negative: those that, without a positive one, make it the negative value;
    empty for whatever is not positive. rate: the part of the negatives that is taken, 0 to 1."""

    positive: tuple[int, ...]
    negative: tuple[int, ...] = ()
    rate: float = 1.0


@dataclass(frozen=True)
class AddLabelConfig:
    """Appends one label for each task: 1, the negative value, or invalid; a first label of at most 0 becomes invalid.

    tasks: one at least. A negative is taken when a draw from [0, 1) is below the task's rate; a rate of 1 draws nothing.
    negative_value: the label of a negative that is taken.
    new_sample_rate: becomes line_id.sample_rate of every record; above 0, at most 1.
    record_type: instance or example. seed: the same one gives the same draws; None takes one from the system.

    Raises UsageError for what cannot be right, and for example_batch, which must be expanded to rows first.
    """

    tasks: tuple[TaskLabel, ...]
    negative_value: float = 0.0
    new_sample_rate: float = 1.0
    record_type: str = "instance"
    seed: int | None = None

    @staticmethod
    def parse_tasks(texts: Iterable[str], option: str = "--task") -> tuple[TaskLabel, ...]:
        """Tasks written as POS:NEG:RATE[;…]. Raises UsageError with a caret under the mistake."""
        from monolith_cli._native import _core

        return tuple(TaskLabel(tuple(p), tuple(n), r) for p, n, r in parsed(_core.parse_tasks, option, texts))

    def proto(self):
        """The tasks as the message LabelConf, which TensorFlow ops are configured with."""
        from monolith_protos import data_op_config_pb2 as pb

        return pb.LabelConf(conf=[pb.TaskLabelConf(pos_actions=t.positive, neg_actions=t.negative, sample_rate=t.rate)
                                  for t in self.tasks])

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        if not self.tasks:
            raise errors.UsageError("--task: no task")
        if not 0 < self.new_sample_rate <= 1:
            raise errors.UsageError(f"--new-sample-rate: {self.new_sample_rate} is not above 0 and at most 1")
        return _core.AddLabel(self.record_type, [(list(t.positive), list(t.negative), t.rate) for t in self.tasks],
                              self.negative_value, self.new_sample_rate,
                              _core.random_seed() if self.seed is None else self.seed)
