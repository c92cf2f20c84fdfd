"""Hooks of a training session that take profiles."""

from __future__ import annotations

import ctypes
import logging

import tensorflow as tf

from monolith_cli.errors import UnavailableError

tf1 = tf.compat.v1
log = logging.getLogger("monolith.metrics")

CUDA_RUNTIMES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")


class ProfilerHook(tf1.train.SessionRunHook):
    """When profiles are taken, each end - start runs long (10 without an end): the first from run `start` on, then one
    every save_steps runs or save_secs seconds. What takes them are `start_profile` and `stop_profile` of a subclass.

    init_step_range: (start, end), counted in runs of this hook; start None: 500 runs from the first one, and 10 runs
    long. ValueError unless exactly one of save_steps and save_secs is given, end is above start, and save_steps is
    above the length.
    """

    def __init__(
        self,
        init_step_range: tuple[int | None, int | None] = (None, None),
        save_steps: int | None = None,
        save_secs: float | None = None,
    ):
        name, (start, end) = type(self).__name__, init_step_range
        if (save_steps is None) == (save_secs is None):
            raise ValueError(f"{name}: give exactly one of save_steps and save_secs")
        if start is not None and (end is None or end <= start):
            raise ValueError(f"{name}: init_step_range {init_step_range} must have an end above its start")
        self._length = 10 if end is None or start is None else end - start
        if save_steps is not None and save_steps <= self._length:
            raise ValueError(f"{name}: save_steps {save_steps} must be above the {self._length} steps of a profile")
        self._timer = tf1.train.SecondOrStepTimer(every_steps=save_steps, every_secs=save_secs)
        self._start, self._step, self._running_until = start, 0, None

    def start_profile(self) -> bool:
        """Whether a profile is being taken now."""
        raise NotImplementedError

    def stop_profile(self) -> None:
        raise NotImplementedError

    def before_run(self, run_context):
        if self._start is None:
            self._start = self._step + 500

    def after_run(self, run_context, run_values):
        self._step += 1
        if self._running_until is not None and self._step >= self._running_until:
            self._stop()
        if self._step > self._start and self._running_until is None and self._timer.should_trigger_for_step(self._step):
            self._timer.update_last_triggered_step(self._step)
            self._running_until = self._step + self._length if self.start_profile() else None

    def _stop(self) -> None:
        self._running_until = None
        self.stop_profile()

    def end(self, session):
        if self._running_until is not None:
            self._stop()


class Tf2ProfilerHook(ProfilerHook):
    """Takes profiles for TensorBoard into logdir, at the times of a ProfilerHook. options:
    tf.profiler.experimental.ProfilerOptions."""

    def __init__(self, logdir: str, init_step_range=(None, None), save_steps=None, save_secs=None, options=None):
        super().__init__(init_step_range, save_steps, save_secs)
        self._logdir, self._options = str(logdir), options

    def start_profile(self) -> bool:
        try:
            tf.profiler.experimental.start(self._logdir, self._options)
        except tf.errors.AlreadyExistsError:
            log.info("a profile is being taken already")
            return False
        return True

    def stop_profile(self) -> None:
        try:
            tf.profiler.experimental.stop()
        except tf.errors.UnavailableError:
            log.info("the profile was stopped already")


class NVProfilerHook(ProfilerHook):
    """Switches NVIDIA's profiler, under which the program was started (`nsys profile -c cudaProfilerApi ...`), on and off
    at the times of a ProfilerHook: cudaProfilerStart and cudaProfilerStop. UnavailableError where there is no CUDA
    runtime, or where it refuses."""

    def __init__(self, init_step_range=(None, None), save_steps=None, save_secs=None):
        super().__init__(init_step_range, save_steps, save_secs)
        self._runtime = _cuda_runtime()

    def start_profile(self) -> bool:
        self._call("cudaProfilerStart")
        return True

    def stop_profile(self) -> None:
        self._call("cudaProfilerStop")

    def _call(self, name: str) -> None:
        code = getattr(self._runtime, name)()
        if code:
            raise UnavailableError(f"NVProfilerHook: {name} gave CUDA error {code}: is there a GPU that this process may use?")


def _cuda_runtime() -> ctypes.CDLL:
    for name in CUDA_RUNTIMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise UnavailableError(
        f"NVProfilerHook: there is no CUDA runtime ({', '.join(CUDA_RUNTIMES)}): install it, add its folder to "
        "LD_LIBRARY_PATH, or take profiles by --profile"
    )
