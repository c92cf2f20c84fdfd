"""Which of a model's versions speaks for the model."""

from __future__ import annotations

from monolith_cli.serving.zookeeper.records import State


def representative(statuses):
    """Of `ModelVersionStatus` messages the newest AVAILABLE one, else the newest; None of none."""
    available = [s for s in statuses if s.state == State.AVAILABLE]
    return max(available or list(statuses), key=lambda s: s.version, default=None)
