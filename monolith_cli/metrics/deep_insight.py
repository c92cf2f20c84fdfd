"""Deep insight: a JSON message for a share of the samples, with what was predicted and what came, for an evaluation
elsewhere.

{"model_name", "uid", "req_time", "train_time", "sample_ratio", "predict": {head: score}, "label": {head: value},
 "sample_rate": {head: rate}, "extra_float": {}, "extra_int": {}, "extra_str": {}}
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from typing import Any

import numpy as np

from monolith_cli.errors import CannotCreateError
from monolith_cli.metrics.emit import get_cli

COLLECTION = "deep_insight_op"


def is_sampled(uid: int, req_time: int, sample_ratio: float) -> bool:
    """Whether a hash of user and time falls into the first sample_ratio of its range: the same samples in every run and process."""
    return sampled_rows(np.array([uid]), np.array([req_time]), sample_ratio).size == 1


def sampled_rows(uids: np.ndarray, req_times: np.ndarray, sample_ratio: float) -> np.ndarray:
    """Rows, of int64 [B] each, for which `is_sampled` is true: splitmix64 of (uid, req_time), read as a number in [0, 1), is below the
    ratio."""
    with np.errstate(over="ignore"):
        h = uids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + req_times.astype(np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            h = (h ^ (h >> np.uint64(shift))) * np.uint64(factor)
        h = h ^ (h >> np.uint64(31))
    return np.flatnonzero((h >> np.uint64(11)).astype(np.float64) / 2.0**53 < sample_ratio)


def deep_insight_message(model_name: str, uid: int, req_time: int, train_time: int, sample_ratio: float, targets: list[str],
                         labels, preds, sample_rates, extra: dict[str, Any]) -> bytes:  # fmt: skip
    """One message. extra: name -> a float, an int or bytes, which become extra_float, extra_int, extra_str. A label that is INVALID_LABEL or
    no number is left out."""
    message: dict[str, Any] = {
        "model_name": model_name, "uid": uid, "req_time": req_time, "train_time": train_time, "sample_ratio": sample_ratio,
        "predict": dict(zip(targets, _floats(preds))), "label": {t: v for t, v in zip(targets, _floats(labels)) if v > -3.4e38},
        "sample_rate": dict(zip(targets, _floats(sample_rates))), "extra_float": {}, "extra_int": {}, "extra_str": {},
    }  # fmt: skip
    for name, value in extra.items():
        if isinstance(value, bytes):
            message["extra_str"][name] = value.decode("utf-8", "replace")
        else:
            message["extra_int" if isinstance(value, int) else "extra_float"][name] = value
    return json.dumps(message).encode()


def _floats(values) -> list[float]:
    return [_plain(np.float32(v)) for v in values]


def _plain(value: Any) -> Any:
    """A float32 as short as it is: 0.1, not 0.10000000149011612; an int64 as an int; bytes as they are."""
    if isinstance(value, np.floating):
        return float(str(value))
    return int(value) if isinstance(value, np.integer) else value


class MessageDump:
    """Messages to an uncompressed TFRecord file, written by a thread of its own behind a queue of 8192; a full queue
    makes `put` wait. CannotCreateError where the file cannot be made."""

    def __init__(self, path: str):
        import tensorflow as tf

        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            self._writer = tf.io.TFRecordWriter(path)
        except (OSError, tf.errors.OpError) as e:
            raise CannotCreateError(f"deep insight: cannot make {path}: {e}") from e
        self._queue: queue.Queue = queue.Queue(8192)
        self._thread = threading.Thread(target=self._drain, name="deep-insight-dump", daemon=True)
        self._thread.start()

    def put(self, message: bytes) -> None:
        self._queue.put(message)

    def close(self) -> None:
        """Writes what waits, and closes the file."""
        self._queue.put(None)
        self._thread.join()
        self._writer.close()

    def _drain(self) -> None:
        while (message := self._queue.get()) is not None:
            self._writer.write(message)


def dump_name(base: str, worker_index: int = 0) -> str:
    """`<base>.part-00000` of a worker."""
    return f"{base}.part-{worker_index:05d}"


def write_deep_insight(
    features: dict[str, Any],
    sample_ratio: float,
    model_name: str | None,
    labels=None,
    preds=None,
    target: str = "ctr_head",
    targets: list[str] | None = None,
    labels_list: list | None = None,
    preds_list: list | None = None,
    sample_rates_list: list | None = None,
    extra_fields_keys: list[str] | tuple[str, ...] = (),
    enable_deep_insight_metrics: bool = True,
    enable_kafka_metrics: bool = False,
    dump_filename: str | None = None,
    use_zero_train_time: bool = False,
):
    """An op of messages [B], empty strings for samples that are not taken; all are empty unless enable_kafka_metrics or
    dump_filename is set, in which case something passes them on. Add it to the collection `deep_insight_op` for
    KafkaMetricHook and FileMetricHook.

    features: req_time (int64 [B]; without it the op does nothing), uid (int64 [B]), sample_rate (float [B], default 1),
    and those of extra_fields_keys (float, int64 or string [B]; others are left out). One head: labels, preds [B],
    target. Several: targets, labels_list, preds_list, sample_rates_list; a head without a label is left out everywhere.
    sample_ratio: share of the samples, by `is_sampled`. dump_filename: the messages are written there too, as
    `MessageDump`; give each worker its own (`dump_name`). enable_deep_insight_metrics: counts the messages as the
    counter deep_insight.messages.
    Errors: KeyError for a missing uid or extra field, ValueError for lists of different lengths.
    """
    import tensorflow as tf

    if "req_time" not in features:
        return tf.no_op(name="no_deep_insight")
    heads = _heads(features, labels, preds, target, targets, labels_list, preds_list, sample_rates_list)
    names = [h[0] for h in heads]
    extra = {k: v for k in dict.fromkeys(extra_fields_keys) if k != "uid" and (v := _flat(features[k])) is not None}
    stacked = [tf.stack([_flat(h[i], tf.float32) for h in heads]) for i in (1, 2, 3)]
    dump = MessageDump(dump_filename) if dump_filename else None
    client = get_cli() if enable_deep_insight_metrics else None
    returned = enable_kafka_metrics or dump is not None

    def write(uids, req_times, labels, preds, rates, *fields):
        train_time = 0 if use_zero_train_time else int(time.time())
        made = [b""] * len(uids)
        for i in sampled_rows(uids, req_times, sample_ratio).tolist():
            values = {k: _plain(f[i]) for k, f in zip(extra, fields)}
            made[i] = deep_insight_message(
                model_name or "model_name",
                int(uids[i]),
                int(req_times[i]),
                train_time,
                sample_ratio,
                names,
                labels[:, i],
                preds[:, i],
                rates[:, i],
                values,
            )
        if dump is not None:
            for message in filter(None, made):
                dump.put(message)
        if client is not None:
            client.emit_counter(
                "deep_insight.messages", sum(map(bool, made)), {"model_name": model_name or "model_name"}
            )
        return np.array(made if returned else [b""] * len(uids), dtype=object)

    inputs = [_flat(features["uid"], tf.int64), _flat(features["req_time"], tf.int64), *stacked, *extra.values()]
    messages = tf.numpy_function(write, inputs, tf.string, name="deep_insight", stateful=True)
    messages.set_shape([None])
    messages.op.deep_insight_dump = dump
    return messages


def _heads(features, labels, preds, target, targets, labels_list, preds_list, rates_list) -> list[tuple]:
    """[(name, label, pred, sample rate)] of the heads that have a label."""
    import tensorflow as tf

    if targets is None:
        targets, labels_list, preds_list, rates_list = [target], [labels], [preds], None
    rates_list = list(rates_list) if rates_list is not None else [None] * len(targets)
    if not len(targets) == len(labels_list) == len(preds_list) == len(rates_list):
        raise ValueError(
            f"deep insight: {len(targets)} targets, {len(labels_list)} labels, {len(preds_list)} predictions, "
            f"{len(rates_list)} sample rates"
        )
    found = []
    for name, label, pred, rate in zip(targets, labels_list, preds_list, rates_list):
        if label is None or pred is None:
            continue
        rate = features.get("sample_rate") if rate is None else rate
        rate = tf.ones_like(_flat(pred, tf.float32)) if rate is None else rate
        found.append((name, label, pred, rate))
    if not found:
        raise ValueError(f"deep insight: none of the heads {', '.join(targets)} has a label and a prediction")
    return found


def _flat(tensor, dtype=None):
    """[B]; None for a type that no message has."""
    import tensorflow as tf

    flat = tf.reshape(tensor, [-1])
    if dtype is not None:
        return tf.cast(flat, dtype)
    return flat if flat.dtype in (tf.float32, tf.int64, tf.string) else None
