"""What a model_fn returns, brought to one form."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

from monolith_cli.model.errors import ModelError

_Base = namedtuple(
    "EstimatorSpec", ["label", "pred", "head_name", "loss", "optimizer", "classification"], defaults=(None, None, None, True)
)


class EstimatorSpec(_Base):
    """What `model_fn` returns.

    label, pred: tensors of B or [B, 1] values; or lists of them, one per head; or dicts head -> tensor.
    head_name: a name, or a list of names. Default: the model's `head_name`, else `pred`.
    loss: scalar tensor to minimise; needed in training.
    optimizer: a tf.compat.v1.train optimizer for the dense variables; needed in training if there are any.
    classification: True (AUC, log loss) or False (RMSE, MAE); one for all heads, or a list.
    """

    __slots__ = ()


@dataclass
class Head:
    """One output of a model: the tensors, and whether it is judged as a classifier or as a regression."""

    name: str
    pred: Any
    label: Any = None
    classification: bool = True


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
    names, preds, labels = _split_heads(spec, default_head_name)
    flags = spec.classification
    flags = list(flags) if isinstance(flags, (list, tuple)) else [bool(flags)] * len(names)
    for what, values in (("head_name", names), ("label", labels), ("classification", flags)):
        if len(values) != len(preds):
            raise ModelError(f"model_fn returned {len(preds)} pred but {len(values)} {what}: they must be equally many")
    if len(set(names)) != len(names):
        raise ModelError(f"model_fn returned the same head_name twice: {', '.join(names)}")
    heads = [Head(n, p, lab, bool(c)) for n, p, lab, c in zip(names, preds, labels, flags)]
    return ModelResult(heads, spec.loss, spec.optimizer)


def _split_heads(spec: EstimatorSpec, default_head_name: str) -> tuple[list, list, list]:
    if isinstance(spec.pred, dict):
        names = list(spec.pred)
        if spec.label is not None and not isinstance(spec.label, dict):
            raise ModelError("pred is a dict, so label must be a dict with the same heads, or None")
        labels = [None if spec.label is None else spec.label.get(n) for n in names]
        return names, list(spec.pred.values()), labels
    default = [n.strip() for n in default_head_name.split(",")]
    names = spec.head_name if spec.head_name is not None else default
    if isinstance(spec.pred, (list, tuple)):
        names = [names] if isinstance(names, str) else list(names)
        labels = [None] * len(spec.pred) if spec.label is None else list(spec.label)
        return names, list(spec.pred), labels
    if isinstance(names, (list, tuple)):
        if len(names) != 1:
            raise ModelError(f"model_fn returned one pred but {len(names)} head names: {', '.join(names)}")
        names = names[0]
    return [names], [spec.pred], [spec.label]
