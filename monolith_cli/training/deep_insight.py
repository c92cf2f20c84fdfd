"""Deep insight: a message about a part of the rows, with what was predicted and what came true, for an evaluation system.

A message is one JSON object: model_name, uid, req_time, train_time (unix seconds), sample_ratio, and by head predict, label, sample_rate;
further fields of the row stand in extra_float, extra_int, extra_str. A head without a valid label in a row is in predict alone.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass

import numpy as np

from monolith_cli.errors import ConfigError, Error
from monolith_cli.metrics.deep_insight import _plain, deep_insight_message, sampled_rows
from monolith_cli.training.insight_sinks import open_sink

ROW_FIELDS = ("uid", "req_time")
_QUEUED = 256  # batches of messages that may wait for the sink


@dataclass(frozen=True)
class InsightConfig:
    """Which rows are told, and where to.

    target: see `insight_sinks.open_sink`. ratio: share of the rows, above 0; chosen by a hash of uid and req_time, so that every
    program chooses the same. name: `model_name` of the messages; "" for the class of the model. fields: further fields of each
    row, of its LineId or of the model's features. worker: number of this process.
    """

    target: str
    ratio: float = 0.01
    name: str = ""
    fields: tuple[str, ...] = ()
    worker: int = 0

    def line_id_fields(self) -> tuple[str, ...]:
        """What of `uid`, `req_time` and `fields` is in a LineId."""
        from monolith_protos.line_id_pb2 import LineId

        return tuple(n for n in dict.fromkeys((*ROW_FIELDS, *self.fields)) if n in LineId.DESCRIPTOR.fields_by_name)


class DeepInsight:
    """Takes batches, makes messages of the rows chosen, and hands them to the sink on a thread of its own; a context manager.

    A sink that fails later on does not end the run: it is told once, and the messages lost are counted.
    """

    def __init__(self, config: InsightConfig, model_name: str, run):
        self._config, self._run, self._name = config, run, config.name or model_name
        self._queue: queue.Queue = queue.Queue(_QUEUED)
        self._failed = False
        self._heads: list[str] = []
        self.sent = self.lost = 0

    def __enter__(self) -> "DeepInsight":
        self._sink = open_sink(self._config.target, self._config.worker)
        self._sink.__enter__()
        self._thread = threading.Thread(target=self._work, name="deep-insight", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._queue.put(None)
        self._thread.join()
        try:
            self._sink.__exit__(None, None, None)
        except Error as e:
            self._fail(e, 0)

    def fetches(self, built) -> dict:
        """Name -> tensor of what a step has to give for `add`; {} where the input has no uid and req_time."""
        import tensorflow as tf

        from monolith_cli.training.position import ID_FIELD

        out = {}
        for name in dict.fromkeys((*ROW_FIELDS, *self._config.fields)):
            value = built.hidden.get(ID_FIELD + name, built.features.get(name))
            if value is None and name in ROW_FIELDS:
                self._run.log.warning(f"no deep-insight messages: the input has no {name}")
                return {}
            if value is None or isinstance(value, tf.RaggedTensor):
                raise ConfigError(f"--deep-insight-fields {name}: neither a field of LineId nor a dense feature of the model")
            out[f"row/{name}"] = tf.reshape(value, [-1])
        self._heads = [h.name for h in built.heads]
        for i, head in enumerate(built.heads):
            if any(d != 1 for d in head.pred.shape[1:]):
                raise ConfigError(f"--deep-insight: head {head.name!r} has several values a row, of shape {head.pred.shape}; a message has one")
            for what in ("pred", "label", "mask", "sample_rate"):
                value = getattr(head, what)
                if value is not None:
                    out[f"{i}/{what}"] = tf.reshape(value, [-1])
        return out

    def add(self, values: dict) -> None:
        """A batch: name of `fetches` -> [B]."""
        rows = sampled_rows(values["row/uid"], values["row/req_time"], self._config.ratio)
        if rows.size:
            self._queue.put(messages(values, rows, self._heads, self._name, self._config, int(time.time())))

    def _work(self) -> None:
        while True:
            try:
                batch = self._queue.get(timeout=5)
            except queue.Empty:
                batch = []
            if batch is None:
                return
            try:
                if batch:
                    self._sink.send(batch)
                    self.sent += len(batch)
                else:
                    self._sink.flush()
            except Exception as e:  # whatever it is, the queue must go on being emptied
                self._fail(e, len(batch))

    def _fail(self, error: Exception, count: int) -> None:
        self.lost += count
        if not self._failed:
            self._failed = True
            self._run.log.warning(f"deep-insight messages are being lost, the run goes on: {error}")


def messages(values: dict, rows: np.ndarray, heads: list[str], name: str, config: InsightConfig, now: int) -> list[tuple[int, bytes]]:
    """(uid, message) of some rows of a batch; `values` as `DeepInsight.add` has them."""
    columns = [[_column(values, i, what, default) for i in range(len(heads))] for what, default in
               (("label", np.nan), ("pred", np.nan), ("sample_rate", 1.0))]  # fmt: skip
    fields = {f: values[f"row/{f}"] for f in config.fields}
    out = []
    for row in rows.tolist():
        labels, preds, rates = ([column[row] for column in part] for part in columns)
        extra = {f: _plain(v[row]) for f, v in fields.items()}
        uid = int(values["row/uid"][row])
        text = deep_insight_message(name, uid, int(values["row/req_time"][row]), now, config.ratio, heads, labels, preds, rates, extra)
        out.append((uid, text))
    return out


def _column(values: dict, head: int, what: str, default: float) -> np.ndarray:
    """[B] of a head; labels of rows that do not count are no numbers."""
    found = values.get(f"{head}/{what}")
    if found is None:
        return np.full(values["row/uid"].shape, default, np.float32)
    mask = values.get(f"{head}/mask") if what == "label" else None
    return found if mask is None else np.where(mask, found, np.nan)
