"""What commands say of the heads of a model: lines on stderr, and figures in --metrics-file."""

from __future__ import annotations

import re


def to_metrics(run, heads: dict) -> None:
    """Puts `head_<name>_<metric>` into the metrics file of a run."""
    for head, metrics in heads.items():
        name = re.sub(r"\W", "_", head)
        run.metrics.update({f"head_{name}_{k}": v for k, v in metrics.items() if v is not None})


def report(run, heads: dict) -> None:
    """A line on stderr for each head that has seen rows, unless -q; and the metrics file."""
    to_metrics(run, heads)
    for head, metrics in heads.items():
        if metrics["rows"]:
            shown = ", ".join(f"{k} {v:.5g}" for k, v in metrics.items() if v is not None and k not in ("rows", "auc_error"))
            run.log.summary(f"head {head}: {shown}, of {metrics['rows']:,} rows before they were trained on", head=head, **metrics)
