"""Conditions over the numbers in a sub graph's name, such as `i % 2 == 1 and not i // 10 == 3`."""

from __future__ import annotations

from collections.abc import Mapping

from monolith_cli.serving.agent.expression import CONDITION, Expression, ExpressionError

__all__ = ["Condition", "ExpressionError"]


class Condition:
    """Whole numbers, names, + - * // %, comparisons (also in a row), and, or, not, parentheses, True, False. Nothing
    else: nothing is evaluated as Python. ExpressionError (a ConfigError) names the column where the text leaves this
    grammar."""

    def __init__(self, text: str):
        self.text = text
        self._expression = Expression(text, CONDITION)
        self.names = self._expression.names

    def holds(self, values: Mapping[str, int]) -> bool:
        """Whether it is true with these values. ExpressionError where a name has no value, or a division by zero
        comes up."""
        return bool(self._expression.evaluate(values))
