"""Keeping and dropping whole records: by fids, actions, time, values, labels, an expression, and at random."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

from monolith_cli import errors

_UINT64 = (1 << 64) - 1


class StrategyRule(NamedTuple):
    """What happens to records of one special strategy."""

    strategy: int
    rate: float  # probability to keep, 0..1
    label: float | None = None  # becomes the first label of a record that passes; for all rules or for none


class ValueCondition(NamedTuple):
    """One comparison with a LineId field, or with a named feature of an Example (spec 20, section 2).

    field: a field of LineId; feature: the name of a feature, with feature_type int64, float, double or bytes. Exactly one.
    op: gt ge eq lt le neq between in not-in all any diff startswith endswith.
    values: operands as text (numbers may be comma lists) or numbers; comparisons need one, between two.
    values_file: file of the operands instead, for in and not-in: a serialized FilterValues, or text with one value a line.

    Floats and doubles compare with single precision operands: comparisons of a double widen the operand (0.1 eq 0.1 is
    false), in and not-in narrow the value (0.1 in 0.1 is true).
    """

    field: str = ""
    feature: str | None = None
    feature_type: str = ""
    op: str = ""
    values: tuple[str | bytes | int | float, ...] = ()
    values_file: str = ""


class NegativeSample(NamedTuple):
    """Drops negatives at random (spec 20, section 5).

    drop_rate: probability 0..1, on a grid of 0.001, to drop a record whose label number label_index is below threshold.
    action_priority, action_rates: the action of the record that stands first in action_priority may have a rate of its own,
        if it is positive; both are given or neither. The first pair of an action counts.
    """

    drop_rate: float
    threshold: float = 0.0
    label_index: int = 0
    action_priority: tuple[int, ...] = ()
    action_rates: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class FilterConfig:
    """What a record must fulfil to be kept; all that is given must hold, an empty field asks nothing.

    record_type: instance or example. example_batch raises UsageError, but with drop_empty alone: it must be expanded to rows first.
    drop_empty: drop records of no bytes, as a poll of an idle queue gives.
    where: an expression over LineId fields, labels, fids and features (`pb-filter(1)` has the grammar); None for none.
    value: a condition on one value, besides `where`.
    keep_empty: what `any`, `all` and `diff` give on an empty list; and what a condition gives on a feature that is not there,
        of another type, empty, or of several values where the operator takes one.
    req_time_min: least line_id.req_time in seconds; unset reads 0. None stands for 0 when something is asked of fids,
        slots or actions, or nothing at all is; else for no limit.
    filter_fids: none of them may be there. has_fids: one of them must. select_fids: all of them must.
        Unsigned, or negative for the same 64 bits. Of an Instance only v1 fids count, of an Example those of both versions.
    include_v2_fids: of an Instance the fids of its columns (v2) count as well.
    select_slots: a fid of each of these slots must be there, v1 or v2, 0..32767.
    has_actions: one of them must be in line_id.actions.
    label_thresholds: there are that many labels at least, and one of them reaches its threshold.
    label_strict: reaching means being greater, not greater or equal.
    negative_sample: drop negatives at random.
    special_strategies: in order of priority; the first of them that is in line_id.special_strategies decides by its rule in
        strategy_rules (the first of a strategy counts), and keeps the record if it has none. Records with none of them are
        dropped. None for no such condition. strategy_keep_empty: keep records that have no special strategy at all.
    seed: of the random numbers of the last two; None draws one from the system.
    invert: keep what would be dropped and the other way round; nothing is relabelled then.
    rejected: file for the dropped records, as the bare wire; it appears whole at the end. "" for none.

    Raises UsageError for what cannot be right, with a caret under the spot in `where`; NoInputError for a file of operands that
    cannot be read; CannotCreateError for `rejected`.
    """

    record_type: str = "instance"
    drop_empty: bool = False
    where: str | None = None
    value: ValueCondition | None = None
    keep_empty: bool = False
    req_time_min: int | None = None
    filter_fids: tuple[int, ...] = ()
    has_fids: tuple[int, ...] = ()
    select_fids: tuple[int, ...] = ()
    include_v2_fids: bool = False
    select_slots: tuple[int, ...] = ()
    has_actions: tuple[int, ...] = ()
    label_thresholds: tuple[float, ...] = ()
    label_strict: bool = False
    negative_sample: NegativeSample | None = None
    special_strategies: tuple[int, ...] | None = None
    strategy_rules: tuple[StrategyRule, ...] = ()
    strategy_keep_empty: bool = True
    seed: int | None = None
    invert: bool = False
    rejected: str = ""

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        config = _core.FilterConfig(self.record_type)
        for name in ("drop_empty", "keep_empty", "req_time_min", "include_v2_fids", "label_strict", "invert"):
            setattr(config, name, getattr(self, name))
        for name in ("filter_fids", "has_fids", "select_fids"):
            setattr(config, name, [f & _UINT64 for f in getattr(self, name)])
        for name in ("select_slots", "has_actions", "label_thresholds"):
            setattr(config, name, list(getattr(self, name)))
        config.where = _where(self.where)
        config.seed = _core.random_seed() if self.seed is None else self.seed
        config.set_rejected(os.fsencode(self.rejected))
        if self.value is not None:
            config.set_value(*_value(self.value))
        if self.special_strategies is not None:
            if not self.special_strategies:
                raise errors.UsageError("--special-strategy: a list without a strategy")
            config.set_special_strategy(list(self.special_strategies), [tuple(r) for r in self.strategy_rules], self.strategy_keep_empty)
        elif self.strategy_rules:
            raise errors.UsageError("--strategy-conf: goes with --special-strategy, which says the order of priority")
        if self.negative_sample is not None:
            n = self.negative_sample
            config.set_negative_sample(n.drop_rate, n.threshold, n.label_index, list(n.action_priority), list(n.action_rates))
        return _core.Filter(config)


def strategy_rules(texts, option: str) -> tuple[StrategyRule, ...]:
    """Rules of comma lists of STRATEGY:RATE or STRATEGY:RATE:LABEL. Raises UsageError naming `option`."""
    from monolith_cli.operators import numbers

    rules = []
    for piece in numbers.pieces(texts, option):
        parts = piece.split(":")
        if len(parts) not in (2, 3):
            raise errors.UsageError(f"{option}: {piece} is not STRATEGY:RATE or STRATEGY:RATE:LABEL")
        rules.append(StrategyRule(*numbers.integers(parts[:1], option, *numbers.INT32), *numbers.floats(parts[1:], option)))
    return tuple(rules)


def action_rates(texts, option: str) -> tuple[tuple[int, float], ...]:
    """Pairs of comma lists of ACTION:RATE. Raises UsageError naming `option`."""
    from monolith_cli.operators import numbers

    rates = []
    for piece in numbers.pieces(texts, option):
        action, colon, rate = piece.partition(":")
        if not colon:
            raise errors.UsageError(f"{option}: {piece} is not ACTION:RATE")
        rates.append((*numbers.integers([action], option, *numbers.INT32), *numbers.floats([rate], option)))
    return tuple(rates)


def value_of_options(field: str, feature: str | None, feature_type: str | None, op: str | None, values: tuple[str, ...],
                     values_file: str) -> ValueCondition | None:
    """The condition that options say, None without any. Raises UsageError for some that do not belong together."""
    if not field and feature is None:
        for option, given in (("--feature-type", feature_type), ("--op", op), ("--value", values), ("--values-file", values_file)):
            if given:
                raise errors.UsageError(f"{option}: goes with --field or --feature")
        return None
    if feature is not None and feature_type is None:
        raise errors.UsageError("--feature: say what it holds with --feature-type int64, float, double or bytes")
    if feature is None and feature_type is not None:
        raise errors.UsageError("--feature-type: goes with --feature; a LineId field has its own type")
    if not values and not values_file:
        raise errors.UsageError("--value: give the operands with it, or with --values-file")
    return ValueCondition(field, feature, feature_type or "", op or "", values, values_file)


def sample_of_options(drop_rate: float | None, threshold: float | None, label_index: int | None, action_priority: tuple[int, ...],
                      rates: tuple[tuple[int, float], ...]) -> NegativeSample | None:
    """As `value_of_options`, for the sampling of negatives."""
    if drop_rate is None:
        for option, given in (("--threshold", threshold), ("--label-index", label_index), ("--action-priority", action_priority or None),
                              ("--action-rate", rates or None)):
            if given is not None:
                raise errors.UsageError(f"{option}: goes with --drop-rate")
        return None
    return NegativeSample(drop_rate, threshold or 0.0, label_index or 0, action_priority, rates)


def _where(where: str | None) -> str:
    if where == "":
        raise errors.UsageError("--where: an empty expression")
    try:
        (where or "").encode()
    except UnicodeEncodeError:
        raise errors.UsageError("--where: not UTF-8; write other bytes of a string as \\xHH") from None
    return where or ""


def _value(condition: ValueCondition) -> tuple:
    """The arguments of the native configuration."""
    c = condition
    if bool(c.field) == (c.feature is not None):
        raise errors.UsageError("--field, --feature: give one of the two; --where joins several conditions")
    if not c.op:
        raise errors.UsageError("--op: say how to compare: gt ge eq lt le neq between in not-in all any diff startswith endswith")
    if c.values and c.values_file:
        raise errors.UsageError("--value, --values-file: give one of the two")
    values = [v if isinstance(v, bytes) else os.fsencode(str(v)) for v in c.values]
    return c.field, os.fsencode(c.feature or ""), c.feature_type, c.op, values, os.fsencode(c.values_file)
