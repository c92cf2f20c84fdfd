"""Options of what a training tells of itself; handed over as `telemetry`."""

from __future__ import annotations

import functools

import click

_NAMES = ("metric_sink", "metric_prefix", "metric_interval", "step_metrics", "profile", "profile_every_steps", "alert_proto")


class StepRange(click.ParamType):
    """START:END, steps of this run."""

    name = "range"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        start, colon, end = value.partition(":")
        if not (colon and start.isdigit() and end.isdigit() and int(end) > int(start)):
            self.fail(f"{value!r} is no range of steps: START:END, whole numbers, END above START", param, ctx)
        return int(start), int(end)


def telemetry(function):
    @functools.wraps(function)
    def wrapper(*args, **values):
        from monolith_cli.training.telemetry import TelemetryConfig

        sink, prefix, interval, step_metrics, profile, every, alert = (values.pop(n) for n in _NAMES)
        if step_metrics and not sink:
            raise click.UsageError("--step-metrics needs --metric-sink: where the loss of each step goes")
        config = TelemetryConfig(sink or "", prefix or "", interval, step_metrics, profile, every, alert or "")
        return function(*args, telemetry=config, **values)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper


_OPTIONS = (
    click.option("--metric-sink", metavar="SINK", envvar="MONOLITH_METRIC_SINK",
                 help="Send metrics while training: throughput, heart beats, checkpoints, rows. json:PATH appends JSON lines, statsd:HOST:PORT sends "
                 "datagrams. [default: none]"),
    click.option("--metric-prefix", metavar="NAME", envvar="MONOLITH_METRIC_PREFIX",
                 help="In front of the names of metrics. [default: monolith.training.MODEL, MODEL the class of the model or --deep-insight-name]"),
    click.option("--metric-interval", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True, metavar="SECONDS",
                 help="Seconds between metrics of throughput, and between heart beats, of --metric-sink."),
    click.option("--step-metrics", is_flag=True, help="Send the loss of every step to --metric-sink, too."),
    click.option("--profile", type=StepRange(), metavar="START:END",
                 help="Take a profile of the steps START to END of this run into the model directory, for TensorBoard. [default: none]"),
    click.option("--profile-every-steps", type=click.IntRange(min=1), metavar="N",
                 help="Take a profile every N steps; without --profile the first at step 500, of 10 steps. [default: one, with --profile]"),
    click.option("--alert-proto", type=click.Path(dir_okay=False), metavar="FILE",
                 help="Warn on stderr, and by the metric training_stalled, when no step is made from one look to the next: FILE is an "
                 "AlertProto in text form, with start_delay_sec and check_interval_sec (1800). [default: none]"),
)  # fmt: skip
