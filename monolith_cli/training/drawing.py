"""A model as a picture: features, layers and heads as boxes, arrows where something flows."""

from __future__ import annotations

import io
import os

from monolith_cli.errors import UsageError
from monolith_cli.whole_file import write_whole

FORMATS = (".png", ".svg", ".pdf")
_COLOURS = {"feature": "#cfe2f3", "dense": "#d9ead3", "layer": "#fff2cc", "head": "#f4cccc"}


def check(path: str) -> None:
    """Raises UsageError for a suffix that cannot be drawn, UnavailableError without matplotlib."""
    from monolith_cli.tables.plot import check_matplotlib

    if os.path.splitext(path)[1].lower() not in FORMATS:
        raise UsageError(f"--plot {path}: the file's name ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")
    check_matplotlib()


def flow_of(built, description: dict) -> dict:
    """{"nodes": [{"id", "kind", "label"}], "edges": [[from, to]]}: what flows from features and dense inputs through layers to heads.

    Features that flow to the same places, and have the same width, are one box.
    """
    import tensorflow as tf

    from monolith_cli.training.describe import layer_scopes, scope_of
    from monolith_cli.training.flops import ancestors

    layers = {n["layer"]: n for n in description["layers"] if n["layer"] != "model_fn"}
    sources = _sources(built)
    with built.graph.as_default():
        scopes = layer_scopes(built.graph, {v.op.name for v in tf.compat.v1.trainable_variables()})
        preds = {h.name: tf.convert_to_tensor(h.pred).op for h in built.result.heads}
    needed = ancestors(preds.values())
    reach: dict = {}  # operation -> the boxes that what it gives comes from
    edges: dict[tuple[str, str], None] = {}
    for op in (o for o in built.graph.get_operations() if o in needed):
        came = set().union(*({sources[t.name]} if t.name in sources else reach.get(t.op, set()) for t in op.inputs))
        scope = scope_of(op.name)
        scope = scopes.get(scope, scope)
        if scope in layers and came:
            box = f"layer:{scope}"
            edges |= {(c, box): None for c in came if c != box}
            came = {box}
        reach[op] = came
    for name, op in preds.items():
        edges |= {(c, f"head:{name}"): None for c in reach[op]}
    return _boxes(edges, description, layers)


def _sources(built) -> dict:
    """Name of a tensor -> box, of looked-up embeddings and dense inputs."""
    import tensorflow as tf

    out = {}
    for name, value in built.features.items():
        if not isinstance(value, tf.RaggedTensor):
            out[value.name] = f"dense:{name}"
    for (feature, _), tensor in built.model._factory._placeholders.items():
        out[tensor.name] = f"feature:{feature}"
    return out


def _boxes(edges: dict, description: dict, layers: dict) -> dict:
    features = {f["feature"]: f for f in description["features"]}
    alike: dict[tuple, list[str]] = {}
    for name, f in features.items():
        goes = tuple(sorted(b for a, b in edges if a == f"feature:{name}"))
        alike.setdefault((goes, f["floats"], f["combiner"], f["max_seq_length"]), []).append(name)
    boxes, renamed = [], {}
    for (_, floats, combiner, length), names in alike.items():
        box = f"feature:{names[0]}"
        renamed |= {f"feature:{n}": box for n in names}
        shown = ", ".join(names) if len(names) <= 3 else f"{names[0]} ... {names[-1]}\n({len(names)} features)"
        boxes.append({"id": box, "kind": "feature", "label": f"{shown}\n{combiner}{f' {length}' if length else ''}, {floats} floats"})
    for name in sorted({a for a, _ in edges if a.startswith("dense:")}):
        boxes.append({"id": name, "kind": "dense", "label": name[6:]})
    used = {b for e in edges for b in e}
    for name, n in layers.items():
        if f"layer:{name}" in used:
            boxes.append({"id": f"layer:{name}", "kind": "layer", "label": f"{name}\n{n['parameters']:,} parameters\n{n['flops']:,} FLOPs"})
    boxes += [{"id": f"head:{h['head']}", "kind": "head", "label": f"{h['head']}\n{h['kind']}"} for h in description["heads"]]
    known = {b["id"] for b in boxes}
    pairs = {(renamed.get(a, a), renamed.get(b, b)): None for a, b in edges}
    return {"nodes": boxes, "edges": [list(p) for p in pairs if p[0] != p[1] and set(p) <= known]}


def ranks(flow: dict) -> dict[str, int]:
    """Box -> row of the picture: below everything that flows into it; heads are the last row."""
    above: dict[str, list[str]] = {n["id"]: [] for n in flow["nodes"]}
    for a, b in flow["edges"]:
        above[b].append(a)
    out: dict[str, int] = {}

    def rank(box: str, path: tuple = ()) -> int:
        if box not in out:
            before = [a for a in above[box] if a not in path]
            found = 1 + max((rank(a, (*path, box)) for a in before), default=-1)
            if path and len(before) < len(above[box]):
                return found
            out[box] = found
        return out[box]

    for box in above:
        rank(box)
    last = max((r for n, r in out.items() if not n.startswith("head:")), default=-1) + 1
    return {n: last if n.startswith("head:") else r for n, r in out.items()}


def places(flow: dict) -> dict[str, tuple[float, int]]:
    """Box -> (x, row): in a row the boxes stand in the order of the mean place of what flows into them."""
    rows: dict[int, list[str]] = {}
    for box, rank in ranks(flow).items():
        rows.setdefault(rank, []).append(box)
    out: dict[str, tuple[float, int]] = {}
    for rank in sorted(rows):
        def centre(box):
            xs = [out[a][0] for a, b in flow["edges"] if b == box and a in out]
            return sum(xs) / len(xs) if xs else 0.0

        boxes = sorted(rows[rank], key=centre) if rank else rows[rank]
        for i, box in enumerate(boxes):
            out[box] = (i - (len(boxes) - 1) / 2, rank)
    return out


def draw(description: dict, path: str) -> None:
    """Draws the flow of a description to a file, which appears whole. Raises CannotCreateError."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    flow = description["flow"]
    at = places(flow)
    across = max((sum(1 for x in at.values() if x[1] == r) for r in {y for _, y in at.values()}), default=1)
    down = max((y for _, y in at.values()), default=0) + 1
    figure, axis = pyplot.subplots(figsize=(max(4.0, 2.4 * across), max(2.5, 1.5 * down)), layout="constrained")
    axis.set_axis_off()
    axis.set_title(description["model"]["name"])
    for a, b in flow["edges"]:
        (x0, y0), (x1, y1) = at[a], at[b]
        axis.annotate("", (x1, -y1 + 0.27), (x0, -y0 - 0.27), arrowprops={
            "arrowstyle": "->", "color": "#666666", "shrinkA": 0, "shrinkB": 0,
            "connectionstyle": f"arc3,rad={0.3 if y1 - y0 > 1 else 0}"})  # around the boxes between
    for n in flow["nodes"]:
        x, y = at[n["id"]]
        axis.text(x, -y, n["label"], ha="center", va="center", fontsize=8,
                  bbox={"boxstyle": "round,pad=0.4", "facecolor": _COLOURS[n["kind"]], "edgecolor": "#444444"})  # fmt: skip
    axis.set_xlim(-across / 2 - 0.1, across / 2 + 0.1)
    axis.set_ylim(-down + 0.4, 0.6)
    image = io.BytesIO()
    figure.savefig(image, format=os.path.splitext(path)[1][1:].lower(), dpi=120)
    pyplot.close(figure)
    write_whole(path, image.getvalue())
