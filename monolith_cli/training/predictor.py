"""monolith-predict: a line per record."""

from __future__ import annotations

import json
from collections.abc import Iterator

from monolith_cli.errors import ConfigError
from monolith_cli.training.reading import ReadConfig, nothing_because, opened


def predict(config: ReadConfig, as_json: bool, run) -> Iterator[str]:
    """Lines of one batch after the other, in the order of the records, each ended by a newline.

    Text: the scores of the heads, separated by tabs. JSON: the id fields, and `pred`: head -> score. Raises as
    `trainer.train`.
    """
    with opened(config, "predict", run) as (session, built, _, source):
        import tensorflow as tf

        from monolith_cli.training.position import ID_FIELD

        fields = {}
        for name in config.id_fields:
            value = built.hidden.get(ID_FIELD + name, built.features.get(name))
            if value is None:
                raise ConfigError(f"--id-fields {name}: neither the model's own input_fn nor its features have it")
            fields[name] = value
        fetches = [[h.pred for h in built.heads], fields]
        call = session.make_callable([*fetches[0], *fields.values()])
        names, count = [h.name for h in built.heads], len(built.heads)
        records = 0
        try:
            while not run.stop_requested():
                values = call()
                preds = [_columns(v) for v in values[:count]]
                ids = dict(zip(fields, (_columns(v) for v in values[count:])))
                records += len(preds[0])
                yield _json_lines(names, preds, ids) if as_json else _text_lines(preds)
        except tf.errors.OutOfRangeError:
            pass
        bad_records = source.bad_records
    run.metrics.update(examples=records, bad_records=bad_records)
    if not records:
        run.nothing_to_do = True
        run.log.warning("nothing to predict: " + nothing_because(bad_records))


def _columns(value):
    """[B] or [B, 1] -> [B]; anything wider stays [B, n]."""
    import numpy as np

    value = np.asarray(value)
    return value.reshape(value.shape[0] if value.ndim else 1, -1)[:, 0] if value.size == value.shape[0] else value


def _text_lines(preds: list) -> str:
    columns = [[",".join(map(str, row)) for row in p.tolist()] if p.ndim > 1 else p.astype(str).tolist() for p in preds]
    return "".join("\t".join(row) + "\n" for row in zip(*columns))


def _json_lines(names: list[str], preds: list, ids: dict) -> str:
    scores = [_plain(p) for p in preds]
    known = [(name, _plain(v)) for name, v in ids.items()]
    lines = []
    for i in range(len(scores[0])):
        line = {name: values[i] for name, values in known}
        line["pred"] = {name: values[i] for name, values in zip(names, scores)}
        lines.append(json.dumps(line, ensure_ascii=False))
    return "\n".join(lines) + "\n" if lines else ""


def _plain(values) -> list:
    """Numbers and text as JSON has them; float32 in as few digits as tell it apart."""
    if values.dtype.kind == "f":
        return [float(str(v)) for v in values] if values.ndim == 1 else values.astype(float).tolist()
    if values.dtype.kind in "OS":
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in values.tolist()]
    return values.tolist()
