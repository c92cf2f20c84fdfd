"""monolith-eval: metrics of a model on records."""

from __future__ import annotations

import contextlib

from monolith_cli.training.deep_insight import DeepInsight
from monolith_cli.training.reading import ReadConfig, nothing_because, opened


def evaluate(config: ReadConfig, run) -> dict:
    """examples, global_step, bad_records, loss (mean over the batches), heads: name -> rows and metrics (see `metrics`). With one head its
    metrics stand at the top, too. Raises as `trainer.train`."""
    with opened(config, "eval", run) as (session, built, step, source):
        import numpy as np
        import tensorflow as tf

        from monolith_cli.training.metrics import metrics_of

        metrics = [metrics_of(h) for h in built.heads]
        columns = [{n: tf.reshape(t, [-1]) for n, t in _columns(h).items() if t is not None} for h in built.heads]
        loss = [] if built.loss is None else [tf.reduce_mean(tf.cast(built.loss, tf.float32))]
        insight = DeepInsight(config.insight, type(built.model).__name__, run) if config.insight else None
        samples = insight.fetches(built) if insight else {}
        call = session.make_callable([built.rows, *(t for c in columns for t in c.values()), *samples.values(), *loss])
        examples, losses, batches = 0, 0.0, 0
        with insight or contextlib.nullcontext(), contextlib.suppress(tf.errors.OutOfRangeError):
            while not run.stop_requested():
                rows, *values = call()
                examples += int(rows)
                fetched = iter(values)
                for metric, column in zip(metrics, columns):
                    metric.update(**{name: np.asarray(next(fetched)) for name in column})
                if samples:
                    insight.add({name: np.asarray(next(fetched)) for name in samples})
                if loss:
                    losses, batches = losses + float(values[-1]), batches + 1
        bad_records = source.bad_records
    if not examples:
        run.nothing_to_do = True
        run.log.warning("nothing to evaluate: " + nothing_because(bad_records))
    heads = {m.name: {"rows": m.rows, **m.result()} for m in metrics}
    top = next(iter(heads.values())) if len(heads) == 1 else {}
    top = {k: v for k, v in top.items() if k != "rows"}
    loss_of_all = losses / batches if batches else None
    result = {"examples": examples, "global_step": step, "bad_records": bad_records, "loss": loss_of_all, **top, "heads": heads}
    return result | ({"deep_insight": {"sent": insight.sent, "lost": insight.lost}} if insight else {})


def _columns(head) -> dict:
    return {"labels": head.label, "preds": head.pred, "weights": head.sample_weight, "mask": head.mask}
