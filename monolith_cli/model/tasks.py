"""Several tasks in one model: each has logits, labels and weights, and gives its part of the loss and its heads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from monolith_cli.model.errors import ModelError
from monolith_cli.model.modes import PREDICT
from monolith_cli.model.spec import BINARY, CLASSES, KINDS, REGRESSION, EstimatorSpec

# What parsers and pb-label put where a record has no label for a task: the lowest float32.
INVALID_LABEL = -3.4028234663852886e38
_VALID = -3.4e38


@dataclass
class Task:
    """One thing that a model predicts.

    name: of its head. logits: [B] or [B, 1]; with `labels` [B, n]; of kind "classes" [B, classes].
    label: [B] or [B, 1]; with `labels` [B, n]; of kind "classes" the number of the class, or one-hot [B, classes]. Not needed in
        mode "predict". Rows whose label is INVALID_LABEL, or no number, are left out of loss and metrics; so are those where `mask`
        is false.
    kind: "binary", pred = sigmoid(logits), loss the cross entropy; "regression", pred = logits, loss the squared error; "classes",
        pred = the likeliest class, loss the cross entropy of the softmax.
    labels: names of the columns where a task has several labels; each is a head, `<name>_<label>`.
    weight: of the task in the loss of the model: a number or a scalar tensor. Default 1.
    sample_weight: [B] or [B, 1]: of each row, in loss and metrics. Default 1.
    sample_rate: a number or [B]: the share of rows like this one that were kept when they were thinned out; "binary" subtracts its
        logarithm from the logits in the loss, so that pred is right for what was before. Default 1.
    mask: [B] or [B, 1]: false for rows that are not of this task. With `labels` also [B, n].
    loss: (label, logits) -> losses of the same shape, in place of the one of the kind.
    """

    name: str
    logits: Any
    label: Any = None
    kind: str = BINARY
    labels: Sequence[str] = ()
    weight: Any = 1.0
    sample_weight: Any = None
    sample_rate: Any = None
    mask: Any = None
    loss: Callable | None = None
    columns: int = field(init=False, default=1)

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ModelError(f"task {self.name!r}: kind {self.kind!r} is unknown: use {', '.join(KINDS)}")
        if self.labels and self.kind == CLASSES:
            raise ModelError(f"task {self.name!r}: a task of kind {CLASSES!r} has one label")
        if isinstance(self.weight, (int, float)) and self.weight < 0:
            raise ModelError(f"task {self.name!r}: weight must not be negative, but is {self.weight}")
        if isinstance(self.sample_rate, (int, float)) and not 0 < self.sample_rate <= 1:
            raise ModelError(f"task {self.name!r}: sample_rate must lie above 0 and at most at 1, not {self.sample_rate}")
        self.columns = len(self.labels) or 1
        self.logits = tf.convert_to_tensor(self.logits)
        width = self._check("logits", self.logits, (0,) if self.kind == CLASSES else (self.columns,))
        if self.label is not None:
            self.label = tf.convert_to_tensor(self.label)
            self._check("label", self.label, (1, width) if self.kind == CLASSES else (self.columns,))
        for what, widths in (("sample_weight", (1,)), ("sample_rate", (1,)), ("mask", (1, self.columns))):
            value = getattr(self, what)
            if value is not None and not isinstance(value, (int, float)):
                setattr(self, what, tf.convert_to_tensor(value))
                self._check(what, getattr(self, what), widths)

    def _check(self, what: str, tensor, widths: tuple) -> int | None:
        """Columns of a tensor; it must have one of `widths` (0: any), and [B] stands for [B, 1]."""
        shape, rank = tensor.shape, tensor.shape.rank
        found = None if rank is None else 1 if rank == 1 else shape[1] if rank == 2 else -1
        if found is None or (rank == 2 and 0 in widths) or found in (*widths, None) or None in widths:
            return found
        heads = f" with the heads {', '.join(self.head_names())}" if self.labels else ""
        wanted = "[B, classes]" if 0 in widths else " or ".join("[B] or [B, 1]" if w == 1 else f"[B, {w}]" for w in dict.fromkeys(widths))
        raise ModelError(
            f"task {self.name!r}{heads}: {what} has shape {shape}, but must be {wanted}; its logits have shape {self.logits.shape}"
        )

    def head_names(self) -> list[str]:
        return [f"{self.name}_{label}" for label in self.labels] or [self.name]

    def _table(self, value, dtype=None):
        """[B, columns] of [B], [B, 1] or [B, columns]."""
        value = tf.reshape(value, [-1, 1]) if value.shape.rank in (0, 1) else value
        return value if dtype is None else tf.cast(value, dtype)

    def preds(self) -> list:
        """One tensor [B] for each head."""
        if self.kind == CLASSES:
            return [tf.argmax(self.logits, axis=1, name=f"{self.name}_pred")]
        table = self._table(self.logits)
        values = tf.sigmoid(table) if self.kind == BINARY else table
        return [tf.identity(values[:, i], name=f"{name}_pred") for i, name in enumerate(self.head_names())]

    def _class_numbers(self):
        return tf.argmax(self.label, axis=1) if self.label.shape.rank == 2 and self.label.shape[1] != 1 else tf.reshape(self.label, [-1])

    def _label_table(self):
        if self.kind == CLASSES:
            return self._table(self._class_numbers(), tf.float32)
        return self._table(self.label, tf.float32)

    def valid(self):
        """bool [B, columns]: rows with a label that counts."""
        label = self._label_table()
        out = tf.logical_and(label > _VALID, tf.math.is_finite(label))
        return out if self.mask is None else tf.logical_and(out, self._table(self.mask, tf.bool))

    def total_loss(self):
        """weight * (sum of the weighted losses of valid rows) / (number of them): a scalar, 0 where there are none."""
        valid = self.valid()
        label = tf.where(valid, self._label_table(), tf.zeros([], tf.float32))
        weights = tf.cast(valid, tf.float32)
        if self.sample_weight is not None:
            weights = weights * self._scaled(self.sample_weight)
        losses = self._losses(label)
        return self.weight * tf.math.divide_no_nan(
            tf.reduce_sum(losses * weights), tf.reduce_sum(tf.cast(valid, tf.float32)), name=f"{self.name}_loss"
        )

    def _scaled(self, value):
        return value if isinstance(value, (int, float)) else self._table(value, tf.float32)

    def _losses(self, label):
        logits = self.logits if self.kind == CLASSES else self._table(self.logits)
        if self.loss is not None:
            return self._table(self.loss(label, logits))
        if self.kind == REGRESSION:
            return tf.math.squared_difference(logits, label)
        if self.kind == CLASSES:
            numbers = tf.cast(tf.reshape(label, [-1]), tf.int64)
            return self._table(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=numbers, logits=logits))
        if self.sample_rate is not None:
            logits = logits - tf.math.log(self._scaled(self.sample_rate))
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=logits)


def multi_task_spec(tasks: Sequence[Task], optimizer=None, mode: str | None = None, extra_loss=None) -> EstimatorSpec:
    """The EstimatorSpec of a model with these tasks: heads in their order, loss = sum of task losses (+ extra_loss, a scalar).

    mode: what model_fn was given; in "predict" no labels are needed and there is no loss. Raises ModelError for two tasks
    of one name, and for a task without a label.
    """
    names = [n for t in tasks for n in t.head_names()]
    if not names or len(set(names)) != len(names):
        raise ModelError(f"a model needs tasks of different names, not {', '.join(names) or 'none'}")
    preds = [p for t in tasks for p in t.preds()]
    if mode == PREDICT:
        return EstimatorSpec([None] * len(names), preds, names, classification=[t.kind for t in tasks for _ in t.head_names()])
    columns: dict[str, list] = {"label": [], "mask": [], "sample_weight": [], "sample_rate": []}
    for task in tasks:
        if task.label is None:
            raise ModelError(f"task {task.name!r} has no label: it is needed in every mode but 'predict'")
        label, valid = task._label_table(), task.valid()
        for i in range(task.columns):
            columns["label"].append(label[:, i])
            columns["mask"].append(valid[:, i])
            for what in ("sample_weight", "sample_rate"):
                value = getattr(task, what)
                if isinstance(value, (int, float)):
                    value = tf.fill(tf.shape(label)[:1], float(value))
                columns[what].append(value)
    losses = [t.total_loss() for t in tasks] + ([] if extra_loss is None else [extra_loss])
    kinds = [t.kind for t in tasks for _ in t.head_names()]
    return EstimatorSpec(pred=preds, head_name=names, loss=tf.add_n(losses), optimizer=optimizer, classification=kinds, **columns)
