"""What a training tells of itself while it runs: metrics to a sink, profiles, a warning when it stands still."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from monolith_cli.errors import ConfigError, NoInputError, UsageError
from monolith_cli.metrics.emit import DEFAULT_PREFIX, configure, get_cli, sink_of

_INSTANCES = 10_000  # rows that are told together
_ONCE = 1 << 62
_PROFILE_STEPS = 10
_ALERT_BYTES = 1 << 20


@dataclass(frozen=True)
class TelemetryConfig:
    """sink: where metrics go (`metrics.emit`), "" for nowhere; prefix: of their names, default monolith.training.<model>. interval: seconds
    between those of throughput, and heart beats. step_metrics: the loss of every step too. profile: first and last step of a profile for
    TensorBoard, counted in steps of this run; profile_every_steps: steps from one to the next. alert: text file of an AlertProto.
    """

    sink: str = ""
    prefix: str = ""
    interval: float = 30.0
    step_metrics: bool = False
    profile: tuple[int, int] | None = None
    profile_every_steps: int | None = None
    alert: str = ""


class Telemetry:
    """Of one training; a context manager around its steps. Raises UsageError for what can be no sink, profile or alert."""

    def __init__(self, config: TelemetryConfig, model_dir: str, run):
        self._config, self._model_dir, self._run = config, model_dir, run
        self._started, self._name = time.time(), ""
        _check(config)
        self._alert = _read_alert(config.alert) if config.alert else None
        self._client = get_cli()
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._rows, self.steps = 0, 0

    def name(self, model_name: str) -> None:
        """What the model is called; metrics of its graph go the same way as these."""
        self._name = model_name
        if self._config.sink:
            configure(self._config.sink, self._config.prefix or f"{DEFAULT_PREFIX}.{model_name}")
            self._client = get_cli()

    def hooks(self, loss) -> list:
        """The session hooks that were asked for."""
        from monolith_cli.metrics import StepLossMetricHook, Tf2ProfilerHook, ThroughputMetricHook

        c = self._config
        made: list = [ThroughputMetricHook(self._name, self._started, run_every_n_secs=c.interval)] if c.sink else []
        if c.step_metrics:
            made.append(StepLossMetricHook(loss))
        if c.profile or c.profile_every_steps:
            made.append(Tf2ProfilerHook(self._model_dir, c.profile or (None, None), save_steps=c.profile_every_steps or _ONCE))
        return made

    def __enter__(self) -> "Telemetry":
        if self._config.sink:
            self._start(self._beat)
        if self._alert is not None:
            self._start(self._watch)
        return self

    def __exit__(self, *exc) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        if not self._config.sink:
            return
        self._tell_rows()
        self._client.emit_store("training_heart_beat", int(time.time()), {"type": "stopped"})
        signal = self._run.stop_requested()
        if signal:
            self._client.emit_counter("exit_hook", 1, {"server_type": "worker", "index": 0, "sig": signal})
        self._client.flush()

    def trained(self, rows: int) -> None:
        """A step was made."""
        self.steps += 1
        self._rows += rows
        if self._rows >= _INSTANCES:
            self._tell_rows()

    def saving(self, mode: str) -> "_Saving":
        """Around an attempt to save a checkpoint: full or incremental."""
        return _Saving(self._client, {"mode": mode})

    def _tell_rows(self) -> None:
        if self._rows:
            self._client.emit_counter("instance_num", self._rows)
        self._rows = 0

    def _start(self, work) -> None:
        self._threads.append(threading.Thread(target=work, daemon=True))
        self._threads[-1].start()

    def _beat(self) -> None:
        while not self._ended.wait(self._config.interval):
            self._client.emit_store("training_heart_beat", int(time.time()), {"type": "running"})
            self._client.flush()

    def _watch(self) -> None:
        """Warns while no step is made from one look to the next."""
        alert, seen = self._alert, 0
        if self._ended.wait(alert.start_delay_sec):
            return
        while True:
            if self.steps == seen:
                self._warn()
            seen = self.steps
            if self._ended.wait(alert.check_interval_sec):
                return

    def _warn(self) -> None:
        alert = self._alert
        user = f" ({alert.alert_message.user})" if alert.alert_message.user else ""
        since = f"{alert.check_interval_sec} s" if self.steps else "the start"
        self._run.log.warning(f"no step was made since {since}{user}: step {self.steps} of this run", steps=self.steps)
        client = get_cli(alert.training_alert.prefix or None)
        client.emit_counter("training_stalled", 1, {"user": alert.alert_message.user})
        client.flush()


class _Saving:
    def __init__(self, client, tags: dict):
        self._client, self._tags = client, tags

    def __enter__(self):
        self._started = time.perf_counter()

    def __exit__(self, kind, error, trace) -> None:
        if error is None:
            self._client.emit_counter("save_checkpoint", 1, self._tags)
            self._client.emit_timer("save_checkpoint_time", time.perf_counter() - self._started, self._tags)
        else:
            self._client.emit_counter("save_checkpoint_failed", 1, self._tags)


def _check(config: TelemetryConfig) -> None:
    if config.sink:
        try:
            sink_of(config.sink)
        except ConfigError as e:
            raise UsageError(f"--metric-sink: {e}") from None
    start, end = config.profile or (0, _PROFILE_STEPS)
    if config.profile_every_steps is not None and config.profile_every_steps <= end - start:
        raise UsageError(
            f"--profile-every-steps {config.profile_every_steps}: must be above the {end - start} steps that a profile is long"
        )


def _read_alert(path: str):
    """The AlertProto of a text file. UsageError where it is none, or could do nothing."""
    from google.protobuf import text_format
    from monolith_protos.alert_pb2 import AlertProto

    try:
        with open(path, encoding="utf-8") as f:
            alert = text_format.Parse(f.read(_ALERT_BYTES), AlertProto())
    except OSError as e:
        raise NoInputError(f"--alert-proto {path}: {e.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as e:
        raise UsageError(f"--alert-proto {path}: no AlertProto in text form: {e}") from None
    if alert.check_interval_sec <= 0 or alert.start_delay_sec < 0:
        raise UsageError(f"--alert-proto {path}: check_interval_sec must be above 0, and start_delay_sec not below")
    if alert.HasField("kafka_alert"):
        raise UsageError(f"--alert-proto {path}: kafka_alert has no effect here: watch the lag of the group that feeds the pipe")
    return alert
