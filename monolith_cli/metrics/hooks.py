"""Hooks of a training session that emit numbers."""

from __future__ import annotations

import time
from typing import Any

import tensorflow as tf

from monolith_cli.metrics.emit import get_cli

tf1 = tf.compat.v1


class ThroughputMetricHook(tf1.train.SessionRunHook):
    """Every run_every_n_secs (30), and at the end for what is left: counter run_steps.all, timer run_steps_elapsed_time.all
    (seconds a step); at the first step, with start_time_secs, timer run_start_elapsed_time.all. Tags: model_name,
    cluster_type."""

    def __init__(
        self,
        model_name: str,
        start_time_secs: float | None = None,
        cluster_type: str = "stable",
        run_every_n_secs: float = 30,
    ):
        self._tags = {"model_name": model_name, "cluster_type": cluster_type}
        self._start, self._every = start_time_secs, run_every_n_secs
        self._client = get_cli()
        self._last_time = self._last_step = None

    def begin(self):
        self._step = tf1.train.get_or_create_global_step()

    def after_create_session(self, session, coord):
        self._last_time, self._last_step = time.time(), int(session.run(self._step))
        if self._start is not None:
            self._client.emit_timer("run_start_elapsed_time.all", self._last_time - self._start, self._tags)
            self._start = None

    def before_run(self, run_context):
        return tf1.train.SessionRunArgs(self._step)

    def after_run(self, run_context, run_values):
        now = time.time()
        if now - self._last_time >= self._every:
            self._emit(now, int(run_values.results))

    def end(self, session):
        step = int(session.run(self._step))
        if step > self._last_step:
            self._emit(time.time(), step)
        self._client.flush()

    def _emit(self, now: float, step: int) -> None:
        elapsed, steps = now - self._last_time, step - self._last_step
        self._client.emit_counter("run_steps.all", steps, self._tags)
        if steps > 0:
            self._client.emit_timer("run_steps_elapsed_time.all", elapsed / steps, self._tags)
        self._last_time, self._last_step = now, step


class CustomMetricHook(tf1.train.SessionRunHook):
    """Emits scalars of each step as gauges: {name: tensor}. ValueError for an empty dict, for tensors that are no
    scalars and for other types than float32 and int32."""

    def __init__(self, metrics: dict[str, Any]):
        if not metrics:
            raise ValueError("CustomMetricHook: no metrics are given")
        for name, tensor in metrics.items():
            if tensor.shape.rank != 0:
                raise ValueError(f"CustomMetricHook: {name!r} must be a scalar, not of shape {tensor.shape}")
            if tensor.dtype not in (tf.float32, tf.int32):
                raise ValueError(f"CustomMetricHook: {name!r} must be float32 or int32, not {tensor.dtype.name}")
        self._metrics, self._client = dict(metrics), get_cli()

    def before_run(self, run_context):
        return tf1.train.SessionRunArgs(self._metrics)

    def after_run(self, run_context, run_values):
        for name, value in run_values.results.items():
            self._client.emit_store(name, float(value))

    def end(self, session):
        self._client.flush()


class StepLossMetricHook(CustomMetricHook):
    """Emits the loss of each step as the gauge step_loss."""

    def __init__(self, loss_tensor):
        super().__init__({"step_loss": loss_tensor})
