"""Metrics of training: what a graph counts itself, hooks that emit numbers, per-sample messages, and where all of it
goes.

Only what works on a graph imports TensorFlow, when it is asked for.
"""

_HOMES = {
    "emit": ("JsonLinesSink", "MetricClient", "StatsdSink", "get_cli", "set_metric_prefix"),
    "moving": ("MovingStatistics", "emit_timer"),
    "streaming": ("streaming_auc", "streaming_metric", "streaming_mse"),
    "hooks": ("CustomMetricHook", "StepLossMetricHook", "ThroughputMetricHook"),
    "profiling": ("NVProfilerHook", "ProfilerHook", "Tf2ProfilerHook"),
    "deep_insight": ("MessageDump", "deep_insight_message", "is_sampled", "write_deep_insight"),
    "message_sinks": (
        "FileMetricHook",
        "KProducer",
        "KafkaMetricHook",
        "WriteOnlyFileAndStat",
        "vepfs_key_fn",
        "vepfs_layout_fn",
    ),
    "health": ("check_machine_health", "tensors_timestamp"),
}

__all__ = [name for names in _HOMES.values() for name in names]


def __getattr__(name: str):
    import importlib

    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"monolith_cli.metrics.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
