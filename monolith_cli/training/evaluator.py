"""monolith-eval: metrics of a model on records."""

from __future__ import annotations

from monolith_cli.training.reading import ReadConfig, opened


def evaluate(config: ReadConfig, run) -> dict:
    """examples, global_step, loss (mean over the batches), heads: name -> metrics. With one head its metrics stand at the
    top, too. Classification: auc, auc_error, log_loss; regression: rmse, mae. Raises as `trainer.train`."""
    with opened(config, "eval", run) as (session, built, step):
        import numpy as np
        import tensorflow as tf

        from monolith_cli.training.metrics import metrics_of

        metrics = [metrics_of(h) for h in built.heads]
        flat = [tf.reshape(t, [-1]) for h in built.heads for t in (h.label, h.pred)]
        loss = [] if built.loss is None else [tf.reduce_mean(tf.cast(built.loss, tf.float32))]
        call = session.make_callable([built.rows, *flat, *loss])
        examples, losses, batches = 0, 0.0, 0
        try:
            while not run.stop_requested():
                rows, *values = call()
                examples += int(rows)
                for i, metric in enumerate(metrics):
                    metric.update(np.asarray(values[2 * i]), np.asarray(values[2 * i + 1]))
                if loss:
                    losses, batches = losses + float(values[-1]), batches + 1
        except tf.errors.OutOfRangeError:
            pass
    if not examples:
        run.nothing_to_do = True
        run.log.warning("nothing to evaluate: the input is empty")
    heads = {m.name: m.result() for m in metrics}
    top = next(iter(heads.values())) if len(heads) == 1 else {}
    return {"examples": examples, "global_step": step, "loss": losses / batches if batches else None, **top, "heads": heads}
