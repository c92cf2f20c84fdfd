"""Rescaling labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monolith_cli.operators.text import parsed


@dataclass(frozen=True)
class LabelNormalizationConfig:
    """Every label x goes through the steps in order, in single precision.

    steps: pairs (method, v): log is ln(max(x+v, 0)), scale x/v, scale2int x/v cut to a 32-bit integer, pow (x+1)**v,
        repow x**v where x > 0 and else 0, scalelog ln(max(x/v+1, 0)).
    skip_invalid: leave invalid labels (the lowest finite float) as they are. record_type: instance or example.

    Raises UsageError for what cannot be right, and for example_batch, which must be expanded to rows first.
    """

    steps: tuple[tuple[str, float], ...]
    skip_invalid: bool = False
    record_type: str = "instance"

    @staticmethod
    def parse(texts: Iterable[str], option: str = "--norm") -> tuple[tuple[str, float], ...]:
        """Steps written as METHOD=VALUE[,…]. Raises UsageError with a caret under the mistake."""
        from monolith_cli._native import _core

        return parsed(_core.parse_normalization, option, texts)

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        return _core.LabelNormalization(self.record_type, list(self.steps), self.skip_invalid)
