"""The operations of pb-label together, in the order in which they apply."""

from __future__ import annotations

from monolith_cli import errors
from monolith_cli.operators import numbers

# Options that say more about another one, by that one: keyword -> flag.
_DETAILS = {
    "--label-from": {"zero_at_or_above": "--zero-at-or-above"},
    "--norm": {"skip_invalid": "--skip-invalid"},
    "--head": {"head_field": "--head-field", "task_num": "--task-num", "positive": "--pos", "negative": "--neg",
               "pos_label": "--pos-label", "neg_label": "--neg-label", "priority": "--priority", "from_label": "--from-label"},
    "--task": {"negative_value": "--negative-value", "new_sample_rate": "--new-sample-rate"},
    "--rank-from": {"rank_num": "--rank-num"},
}


def operators(record_type: str, *, conditions=(), actions=(), label_from=None, upper_bounds=(), norms=(), heads=(), scatter=(),
              tasks=(), rank_from=None, seed=None, **details) -> list:
    """Native operators for the options of `pb-label`: append actions, label from a field, upper bounds, normalization, a label
    by head, scattered labels, labels by tasks, rank; each where it is given.

    Raises UsageError, naming the option, for what cannot be right: nothing given, a detail of something that is not given.
    """
    given = {"--if": conditions or actions, "--label-from": label_from, "--upper-bound": upper_bounds, "--norm": norms,
             "--head": heads, "--scatter": scatter, "--task": tasks, "--rank-from": rank_from}
    if not any(map(_is_given, given.values())):
        raise errors.UsageError(f"nothing to do; give one of {', '.join(given)}")
    for option, flags in _DETAILS.items():
        for keyword, flag in flags.items():
            if not _is_given(given[option]) and _is_given(details.get(keyword)):
                raise errors.UsageError(f"{flag} says more about {option}, which is not given")
    made = _add_actions(record_type, conditions, actions)
    if label_from is not None:
        made.append(_label_from(record_type, label_from, **_of("--label-from", details)))
    if upper_bounds:
        made.append(_upper_bound(record_type, upper_bounds))
    if norms:
        made.append(_norm(record_type, norms, **_of("--norm", details)))
    if heads:
        made.append(_head(record_type, heads, **_of("--head", details)))
    if scatter:
        made.append(_scatter(record_type, scatter))
    if tasks:
        made.append(_tasks(record_type, tasks, seed, **_of("--task", details)))
    if rank_from is not None:
        made.append(_rank(record_type, rank_from, **_of("--rank-from", details)))
    return made


def _is_given(value) -> bool:
    return value is not None and value is not False and value != ()


def _of(option: str, details: dict) -> dict:
    """The details of an option that were given; the others have their defaults in the configuration."""
    return {k: details[k] for k in _DETAILS[option] if _is_given(details.get(k))}


def _operator(option: str, config):
    try:
        return config.operator()
    except errors.UsageError as e:
        message = str(e)
        raise errors.UsageError(message if message.startswith(("--", "pb-")) else f"{option}: {message}") from None


def _integers(texts, option: str) -> tuple[int, ...]:
    return numbers.integers(texts, option, *numbers.INT32)


def _add_actions(record_type, conditions, actions) -> list:
    from monolith_cli.operators.add_action import AddActionConfig

    if len(conditions) != len(actions):
        raise errors.UsageError(f"--if is given {len(conditions)} times and --action {len(actions)} times; each --if has one --action")
    return [_operator("--action", AddActionConfig(condition, _integers([action], "--action"), record_type))
            for condition, action in zip(conditions, actions)]


def _label_from(record_type, field, zero_at_or_above=None):
    from monolith_cli.operators.use_field_as_label import UseFieldAsLabelConfig

    zero = {} if zero_at_or_above is None else {"overwrite_invalid_value": True, "label_threshold": zero_at_or_above}
    return _operator("--label-from", UseFieldAsLabelConfig(field, record_type=record_type, **zero))


def _upper_bound(record_type, texts):
    from monolith_cli.operators.label_upper_bound import LabelUpperBoundConfig

    return _operator("--upper-bound", LabelUpperBoundConfig(numbers.floats(texts, "--upper-bound"), record_type))


def _norm(record_type, texts, skip_invalid=False):
    from monolith_cli.operators.label_normalization import LabelNormalizationConfig

    return _operator("--norm", LabelNormalizationConfig(LabelNormalizationConfig.parse(texts), skip_invalid, record_type))


def _head(record_type, texts, positive=(), negative=(), priority=(), from_label=False, **more):
    from monolith_cli.operators.multi_label_gen import MultiLabelGenConfig

    return _operator("--head", MultiLabelGenConfig(
        MultiLabelGenConfig.parse_heads(texts), record_type=record_type, pos_actions=_integers(positive, "--pos"),
        neg_actions=_integers(negative, "--neg"), action_priority=_integers(priority, "--priority"), use_origin_label=from_label,
        **more))


def _scatter(record_type, texts):
    from monolith_cli.operators.scatter_label import ScatterLabelConfig

    return _operator("--scatter", ScatterLabelConfig(ScatterLabelConfig.parse(texts), record_type))


def _tasks(record_type, texts, seed, **more):
    from monolith_cli.operators.add_label import AddLabelConfig

    return _operator("--task", AddLabelConfig(AddLabelConfig.parse_tasks(texts), record_type=record_type, seed=seed, **more))


def _rank(record_type, rank_from, **more):
    from monolith_cli.operators.fill_multi_rank_output import FillMultiRankOutputConfig

    return _operator("--rank-from", FillMultiRankOutputConfig(rank_from, record_type=record_type, **more))
