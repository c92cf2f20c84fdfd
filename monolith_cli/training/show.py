"""model-show: a description as text, JSON, picture or dump."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from monolith_cli.errors import UsageError
from monolith_cli.training import runtime
from monolith_cli.training.model_source import is_dump


@dataclass
class ShowConfig:
    """model: FILE.py:CLASS, or a file with a ModelDump. dump, plot: files to write; seed: of the random numbers that the dump keeps."""

    model: str
    record_type: str = "instance"
    dump: str | None = None
    seed: int | None = None
    plot: str | None = None
    as_json: bool = False


def show(config: ShowConfig, run) -> str:
    """The text, or JSON, of a model; writes dump and picture. Raises ModelError, NoInputError, BadDataError, UsageError."""
    from_dump = is_dump(config.model)
    if config.dump and from_dump:
        raise UsageError(f"--dump writes what a model file describes, and {config.model} is a dump already")
    if config.plot:
        from monolith_cli.training import drawing

        drawing.check(config.plot)
    found = _from_dump(config.model) if from_dump else _from_model(config, run)
    if config.plot:
        drawing.draw(found, config.plot)
    return json.dumps(found, allow_nan=False) if config.as_json else text(found)


def _from_dump(path: str) -> dict:
    from monolith_cli.training import model_dump

    return model_dump.read(path)[1]


def _from_model(config: ShowConfig, run) -> dict:
    runtime.import_tensorflow(run.log.verbosity > 1)
    from monolith_cli.model.loader import load_model
    from monolith_cli.training import dumping

    model = load_model(config.model)
    collected, found = dumping.described(model, config.record_type)
    for note in model.notes:
        run.log.warning(note)
    if config.dump:
        defaults = {"record_type": "instance", "batch_size": model.batch_size, "seed": 0}
        asked = defaults | {"record_type": config.record_type, "seed": config.seed or 0}
        dumping.write(model, collected, found, config.dump, asked, defaults, run.log.warning)
    return found


def text(found: dict) -> str:
    """A description for people."""
    model, sizes, costs = found["model"], found["parameters"], found["per_example"]
    out = [f"{model['name']} in {model['file']}" + (f": {model['about']}" if model["about"] else "")]
    out += _section("Inputs", ["name", "kind", "type", "shape"],
                    _alike([[i["input"], i["kind"] + ("" if i.get("looked_up", True) else ", unused"), i["type"], _shape(i["shape"])]
                            for i in found["inputs"]]))  # fmt: skip
    out += _section("Features", ["name", "table", "combiner", "floats", "bytes"],
                    _alike([[f["feature"], f["table"] if f["table"] != f["feature"] else "its own",
                             f["combiner"] + (f" {f['max_seq_length']}" if f["max_seq_length"] else ""), f["floats"], f["bytes_per_example"]]
                            for f in found["features"]]))  # fmt: skip
    out += _section("Tables", ["table", "slice", "floats", "initializer", "optimizer", "rate", "compressor", "bytes a key", "serving", "threshold", "expires"],
                    [row for t in _same(found["tables"]) for row in _table_rows(t)])
    out += _section("Layers", ["layer", "output", "parameters", "FLOPs"],
                    [[n["layer"], _shape(n["output"]) if n["output"] else "", f"{n['parameters']:,}", f"{n['flops']:,}"] for n in found["layers"]])
    out += _section("Heads", ["head", "kind", "pred", "label", "rows"],
                    [[h["head"], h["kind"], _shape(h.get("pred", [])), _shape(h["label"]) if "label" in h else "-",
                      ("with a valid label" if h["masked"] else "all") + (", weighted" if h["weighted"] else "")] for h in found["heads"]])
    missing = costs["flops_not_counted"]
    out += ["", f"Dense parameters: {sizes['dense']:,}" + (f", and {sizes['dense_not_trained']:,} that are not trained" if sizes["dense_not_trained"] else "")
            + (f"; {found['dense_optimizer']}" if found["dense_optimizer"] else ""),
            f"Tables: {len(found['tables'])}, {sizes['of_a_key_in_all_tables']:,} floats for a key in each",
            f"A prediction of one example: {_number(costs['flops'])}FLOPs"
            + (f" (without {', '.join(f'{n} x {k}' for k, n in sorted(missing.items()))})" if missing else "")
            + f", {_number(costs['bytes_of_embeddings'])}B of embeddings, {_number(costs['bytes_of_dense_parameters'])}B of dense parameters, "
            f"{_number(costs['bytes_of_activations'])}B of activations"]  # fmt: skip
    return "\n".join(out)


def _natural(name: str) -> list:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _some(names: list[str]) -> str:
    """Names, or of three and more the first, the last and their number."""
    names = sorted(names, key=_natural)
    return ", ".join(names) if len(names) < 3 else f"{names[0]} ... {names[-1]} ({len(names)})"


def _alike(rows: list[list]) -> list[list]:
    """Rows that differ in their first cell alone as one."""
    groups: dict[tuple, list[str]] = {}
    for row in rows:
        groups.setdefault(tuple(row[1:]), []).append(row[0])
    return [[_some(names), *rest] for rest, names in groups.items()]


def _same(tables: list[dict]) -> list[dict]:
    """Tables that differ in their names alone, as one."""
    groups: dict[str, list[dict]] = {}
    for t in tables:
        key = json.dumps({k: v for k, v in t.items() if k not in ("table", "slot", "shared_by")})
        groups.setdefault(key, []).append(t)
    return [same[0] | {"table": _some([t["table"] for t in same])} for same in groups.values()]


def _table_rows(t: dict) -> list[list]:
    rows = []
    for i, s in enumerate(t["slices"]):
        mine = [t["bytes_of_a_key"], t["bytes_of_a_key_in_serving"], t["occurrence_threshold"], f"{t['expire_days']} d"] if i == 0 else [""] * 4
        rows.append([t["table"] if i == 0 else "", s["slice"], s["floats"], s["initializer"], s["optimizer"], s["learning_rate"], s["compressor"], *mine])
    return rows


def _section(title: str, names: list[str], rows: list[list]) -> list[str]:
    """A table of text: numbers to the right, the rest to the left; without rows nothing."""
    if not rows:
        return []
    cells = [[str(c) for c in row] for row in rows]
    widths = [max(len(n), *(len(row[i]) for row in cells)) for i, n in enumerate(names)]
    right = [all(isinstance(row[i], (int, float)) or row[i] == "" or str(row[i]).replace(",", "").isdigit() for row in rows) for i in range(len(names))]
    def line(row):
        return "  " + "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)).rstrip()

    return ["", title, line(names), *map(line, cells)]


def _shape(shape: list) -> str:
    return "[" + ", ".join("?" if d is None else str(d) for d in shape) + "]"


def _number(value: float) -> str:
    """1234567 as `1.23 M`."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:g} "
