"""Relabelling records by their most important action, and repeating them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from monolith_cli import errors
from monolith_cli.operators.text import parsed


class ActionWeight(NamedTuple):
    """weight: 0..1000000. label: what the first label becomes where this is the most important action."""

    action: int
    weight: int
    label: int


@dataclass(frozen=True)
class InstanceReweightConfig:
    """Sets the first label by the most important action and emits a record a whole number of times (`pb-reweight(1)`).

    action_priority: actions, the most important first; the last of equal ones holds.
    weights: what an action is worth; the last of equal actions holds.
    method: mul multiplies the weights of a record's actions, add adds them.
    record_type: instance or example.

    Raises UsageError for what cannot be right, and for example_batch, which must be expanded to rows first. A record whose
    actions ask for more than a million copies is a broken one.
    """

    action_priority: tuple[int, ...]
    weights: tuple[ActionWeight, ...]
    method: str = "mul"
    record_type: str = "instance"

    @classmethod
    def parse(cls, action_priority: Iterable[str], reweight: Iterable[str], **more) -> InstanceReweightConfig:
        """From comma lists of actions and texts ACTION:WEIGHT:LABEL[,…]. Raises UsageError with a caret under the mistake."""
        from monolith_cli._native import _core
        from monolith_cli.operators import numbers

        for option, texts in (("--action-priority", action_priority), ("--reweight", reweight)):
            if not texts:
                raise errors.UsageError(f"{option} is missing")
        weights = parsed(_core.parse_reweight, "--reweight", reweight)
        return cls(numbers.integers(action_priority, "--action-priority", *numbers.INT32),
                   tuple(ActionWeight(*w) for w in weights), **more)

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        if self.method not in ("mul", "add"):
            raise errors.UsageError(f"--method: mul or add, not {self.method}")
        return _core.InstanceReweight(self.record_type, list(self.action_priority), [tuple(w) for w in self.weights],
                                      self.method == "mul")
