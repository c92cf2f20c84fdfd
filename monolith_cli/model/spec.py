"""What a model_fn returns, brought to one form."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

from monolith_cli.model.errors import ModelError

BINARY, REGRESSION, CLASSES = "binary", "regression", "classes"
KINDS = (BINARY, REGRESSION, CLASSES)

_Base = namedtuple(
    "EstimatorSpec",
    ["label", "pred", "head_name", "loss", "optimizer", "classification", "mask", "sample_weight", "sample_rate"],
    defaults=(None, None, None, True, None, None, None),
)


class EstimatorSpec(_Base):
    """What `model_fn` returns.

    label, pred: tensors of B or [B, 1] values; or lists of them, one per head; or dicts head -> tensor.
    head_name: a name, or a list of names. Default: the model's `head_name`, else `pred`.
    loss: scalar tensor to minimise; needed in training.
    optimizer: a tf.compat.v1.train optimizer for the dense variables; needed in training if there are any.
    classification: True (pred is a probability: AUC, log loss), False (RMSE, MAE) or "classes" (pred and label are the numbers of
        classes: accuracy); one for all heads, or a list.
    mask: [B] or [B, 1], false where a row has no valid label for the head; its metrics leave such rows out, as they do rows whose
        label is INVALID_LABEL or no number. None: every row counts. One per head, as `pred`.
    sample_weight: [B] or [B, 1], how much a row counts in the metrics of the head; None: each counts 1. One per head, as `pred`.
    sample_rate: [B] or [B, 1], the share of rows of its kind that were kept when negatives were thinned out; deep-insight messages
        carry it. None: 1. One per head, as `pred`.
    """

    __slots__ = ()


@dataclass
class Head:
    """One output of a model: the tensors, and how it is judged (`kind`: one of KINDS)."""

    name: str
    pred: Any
    label: Any = None
    kind: str = BINARY
    mask: Any = None
    sample_weight: Any = None
    sample_rate: Any = None

    @property
    def classification(self) -> bool:
        return self.kind != REGRESSION


@dataclass
class ModelResult:
    heads: list[Head]
    loss: Any = None
    optimizer: Any = None
    notes: list[str] = field(default_factory=list)


def normalize(result: Any, default_head_name: str, default_optimizer: Any = None) -> ModelResult:
    """EstimatorSpec or the tuple (label, loss, pred) -> ModelResult. Raises ModelError naming what does not fit."""
    if isinstance(result, EstimatorSpec):
        return _from_spec(result, default_head_name)
    if isinstance(result, tuple) and len(result) == 3:
        label, loss, pred = result
        spec = EstimatorSpec(label=label, pred=pred, loss=loss, optimizer=default_optimizer)
        out = _from_spec(spec, default_head_name)
        out.notes.append("model_fn returned a tuple (label, loss, pred): every head is taken as a classification")
        return out
    raise ModelError(
        f"model_fn must return an EstimatorSpec or the tuple (label, loss, pred), not {type(result).__name__}"
    )


def _from_spec(spec: EstimatorSpec, default_head_name: str) -> ModelResult:
    if spec.pred is None:
        raise ModelError("model_fn returned no pred")
    names, preds = _names_and_preds(spec, default_head_name)
    count = len(preds)
    if len(names) != count:
        raise ModelError(f"model_fn returned {count} pred but {len(names)} head_name: they must be equally many")
    if len(set(names)) != len(names):
        raise ModelError(f"model_fn returned the same head_name twice: {', '.join(names)}")
    kinds = spec.classification if isinstance(spec.classification, (list, tuple)) else [spec.classification] * count
    if len(kinds) != count:
        raise ModelError(f"model_fn returned {count} pred but {len(kinds)} classification: they must be equally many")
    columns = {w: _per_head(w, getattr(spec, w), spec.pred, names) for w in ("label", "mask", "sample_weight", "sample_rate")}
    heads = [Head(name, preds[i], kind=_kind(name, kinds[i]), **{w: values[i] for w, values in columns.items()}) for i, name in enumerate(names)]
    return ModelResult(heads, spec.loss, spec.optimizer)


def _kind(name: str, value: Any) -> str:
    if isinstance(value, str):
        if value not in KINDS:
            raise ModelError(f"head {name!r}: classification is {value!r}: use True, False or one of {', '.join(KINDS)}")
        return value
    return BINARY if value else REGRESSION


def _names_and_preds(spec: EstimatorSpec, default_head_name: str) -> tuple[list, list]:
    if isinstance(spec.pred, dict):
        return list(spec.pred), list(spec.pred.values())
    default = [n.strip() for n in default_head_name.split(",")]
    names = spec.head_name if spec.head_name is not None else default
    if isinstance(spec.pred, (list, tuple)):
        return [names] if isinstance(names, str) else list(names), list(spec.pred)
    if isinstance(names, (list, tuple)):
        if len(names) != 1:
            raise ModelError(f"model_fn returned one pred but {len(names)} head names: {', '.join(names)}")
        names = names[0]
    return [names], [spec.pred]


def _per_head(what: str, value: Any, pred: Any, names: list[str]) -> list:
    """`value` as one entry per head, in the form `pred` has."""
    if value is None:
        return [None] * len(names)
    if isinstance(pred, dict):
        if not isinstance(value, dict):
            raise ModelError(f"pred is a dict, so {what} must be a dict with the same heads, or None")
        unknown = [str(n) for n in value if n not in names]
        if unknown:
            raise ModelError(f"{what} has heads that pred has not: {', '.join(unknown)}; pred has {', '.join(names)}")
        return [value.get(n) for n in names]
    if isinstance(pred, (list, tuple)):
        if not isinstance(value, (list, tuple)):
            raise ModelError(f"pred is a list, so {what} must be a list of as many, or None")
        if len(value) != len(names):
            raise ModelError(f"model_fn returned {len(names)} pred but {len(value)} {what}: they must be equally many")
        return list(value)
    return [value]
