"""Hooks of a training session that emit numbers, or take profiles."""

from __future__ import annotations

import logging
import time
from typing import Any

import tensorflow as tf

from monolith_cli.metrics.emit import get_cli

tf1 = tf.compat.v1
log = logging.getLogger("monolith.metrics")


class ThroughputMetricHook(tf1.train.SessionRunHook):
    """Every run_every_n_secs (30): counter run_steps.all, timer run_steps_elapsed_time.all (seconds a step); at the
    first step, with
    start_time_secs, timer run_start_elapsed_time.all. Tags: model_name, cluster_type."""

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
        now, step = time.time(), int(run_values.results)
        elapsed, steps = now - self._last_time, step - self._last_step
        if elapsed < self._every:
            return
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


class Tf2ProfilerHook(tf1.train.SessionRunHook):
    """Takes profiles for TensorBoard into logdir, each end - start steps long (10 without an end): the first at step
    `start`, then one every save_steps steps or save_secs seconds.

    init_step_range: (start, end), counted in runs of this hook; start None: 500 runs from the first one, and 10 runs
    long. ValueError unless exactly one of save_steps and save_secs is given, end is above start, and save_steps is
    above the length.
    options: tf.profiler.experimental.ProfilerOptions.
    """

    def __init__(
        self,
        logdir: str,
        init_step_range: tuple[int | None, int | None] = (None, None),
        save_steps: int | None = None,
        save_secs: float | None = None,
        options=None,
    ):
        start, end = init_step_range
        if (save_steps is None) == (save_secs is None):
            raise ValueError("Tf2ProfilerHook: give exactly one of save_steps and save_secs")
        if start is not None and (end is None or end <= start):
            raise ValueError(f"Tf2ProfilerHook: init_step_range {init_step_range} must have an end above its start")
        self._length = 10 if end is None or start is None else end - start
        if save_steps is not None and save_steps <= self._length:
            raise ValueError(
                f"Tf2ProfilerHook: save_steps {save_steps} must be above the {self._length} steps of a profile"
            )
        self._logdir, self._options = str(logdir), options
        self._timer = tf1.train.SecondOrStepTimer(every_steps=save_steps, every_secs=save_secs)
        self._start, self._step, self._running_until = start, 0, None

    def before_run(self, run_context):
        if self._start is None:
            self._start = self._step + 500

    def after_run(self, run_context, run_values):
        self._step += 1
        if self._running_until is not None and self._step >= self._running_until:
            self._stop()
        if self._step > self._start and self._running_until is None and self._timer.should_trigger_for_step(self._step):
            self._timer.update_last_triggered_step(self._step)
            self._begin()

    def _begin(self) -> None:
        try:
            tf.profiler.experimental.start(self._logdir, self._options)
        except tf.errors.AlreadyExistsError:
            log.info("a profile is being taken already")
            return
        self._running_until = self._step + self._length

    def _stop(self) -> None:
        self._running_until = None
        try:
            tf.profiler.experimental.stop()
        except tf.errors.UnavailableError:
            log.info("the profile was stopped already")

    def end(self, session):
        if self._running_until is not None:
            self._stop()
