"""The layouts of the specification (40, section 8) in slow Python over numpy, and random plans and batches to compare with."""

import numpy as np
from hypothesis import strategies as st

from monolith_cli.tables.layouts import Layout, LayoutFeature, LayoutPlan

F = np.float32


def shard(plan, batch, servers, unique, shared):
    """What the op gives, as lists. batch: feature -> rows, lists of fids."""
    lists = len(plan.tables) * servers
    out = {"fid_list": [[] for _ in range(lists)], "row_splits": [[0] for _ in range(lists)], "emb_size": [0] * lists,
           "fid_offset": [], "feature_offset": [], "nfl_offset": []}
    for name, feature in plan.features.items():
        base = plan.tables.index(feature.table) * servers
        dim = sum(feature.slice_dims)
        begin = {p: out["emb_size"][base + p] for p in range(servers)}
        local = [[] for _ in range(servers)]
        out["nfl_offset"].append(len(out["feature_offset"]) + (1 << 31 if name in shared else 0))
        for row in batch[name]:
            out["feature_offset"].append(len(out["fid_offset"]))
            for fid in row:
                p = fid % servers
                if not unique or fid not in local[p]:
                    local[p].append(fid)
                place = local[p].index(fid) if unique else len(local[p]) - 1
                out["fid_offset"].append((base + p) << 32 | (begin[p] + place * dim))
        for p in range(servers):
            out["fid_list"][base + p] += local[p]
            out["row_splits"][base + p].append(len(out["fid_list"][base + p]))
            out["emb_size"][base + p] += len(local[p]) * dim
    out["feature_offset"].append(len(out["fid_offset"]))
    out["nfl_offset"].append(len(out["feature_offset"]))
    return out


def embeddings_of(plan, sharded, row_of):
    """Rows of all fids, a flat list for each of sharded["fid_list"]. row_of(feature, fid) -> floats."""
    servers = len(sharded["fid_list"]) // len(plan.tables)
    lists = []
    for i, fids in enumerate(sharded["fid_list"]):
        of_table = [f for f in plan.features.values() if f.table == plan.tables[i // servers]]
        splits = sharded["row_splits"][i]
        rows = [row_of(f, fid) for f, a, b in zip(of_table, splits, splits[1:]) for fid in fids[a:b]]
        lists.append(np.concatenate(rows).astype(F) if rows else np.zeros(0, F))
    return lists


def pooled(feature, rows, start, end):
    """One row of a slice, added in the order of the specification. rows: the rows of its fids."""
    parts = [r[start:end].astype(F) for r in rows]
    if feature.combiner == "first_n":
        out = np.zeros((feature.max_seq_length, end - start), F)
        for j, part in enumerate(parts[: feature.max_seq_length]):
            out[j] = part
        return out
    if feature.combiner == "reduce_mean":
        parts = [p / F(len(parts)) for p in parts]
    return sum(parts[1:], parts[0].copy()) if parts else np.zeros(end - start, F)


def addends(feature, rows, start, end):
    """What an addn layout adds to its sum, one after the other."""
    parts = [r[start:end].astype(F) for r in rows]
    return [p / F(len(parts)) for p in parts] if feature.combiner == "reduce_mean" else parts


def fill(plan, batch, rows_of, size, shared):
    """layout name -> array, or list of arrays. rows_of(feature, fid) -> floats."""
    out = {}
    for layout in plan.layouts.values():
        made = []
        for b in range(size):
            cells = []
            for name, start, end in layout.slices:
                feature = plan.features[name]
                fids = batch[name][0 if name in shared else b]
                cells.append((feature, [rows_of(feature, f) for f in fids], start, end))
            made.append(_row(layout, cells, shared))
        out[layout.name] = [np.stack(t) for t in zip(*made)] if layout.out_type == "none" else np.stack(made)
    return out


def _row(layout, cells, shared):
    if layout.out_type == "addn":
        total = np.zeros(cells[0][3] - cells[0][2], F)
        for j, cell in enumerate(cells):
            if cell[0].name in shared:
                total = pooled(*cell) if j == 0 else total + pooled(*cell)
            else:
                for part in addends(*cell):
                    total = total + part
        return total
    values = [pooled(*cell) for cell in cells]
    if layout.out_type == "concat":
        return np.concatenate(values, axis=-1)
    return values if layout.out_type == "none" else np.stack(values)


@st.composite
def cases(draw):
    """(plan, batch, rows, servers, shared): features in up to three tables, layouts of every type over them."""
    features = []
    for i in range(draw(st.integers(1, 5))):
        dims = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
        combiner = draw(st.sampled_from(["reduce_sum", "reduce_mean", "first_n"]))
        length = draw(st.integers(1, 3)) if combiner == "first_n" else 0
        features.append(LayoutFeature(f"f{i}", f"t{draw(st.integers(0, 2))}", dims, combiner, length))
    layouts = []
    for i in range(draw(st.integers(1, 4))):
        out_type = draw(st.sampled_from(["concat", "stack", "addn", "none"]))
        first = draw(st.sampled_from(features))
        usable = features
        if out_type != "none":
            kinds = {f.name: (f.combiner == "first_n", f.max_seq_length) for f in features}
            usable = [f for f in features if kinds[f.name] == kinds[first.name]]
        if out_type == "addn" and first.combiner == "first_n":
            out_type = "none"
        chosen = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=3))
        width = draw(st.integers(1, min(sum(f.slice_dims) for f in chosen)))
        slices = []
        for f in chosen:
            wide = width if out_type in ("stack", "addn") else draw(st.integers(1, sum(f.slice_dims)))
            start = draw(st.integers(0, sum(f.slice_dims) - wide))
            slices.append((f.name, start, start + wide))
        layouts.append(Layout(f"layout{9 - i}", out_type, tuple(slices)))
    size = draw(st.integers(0, 4))
    shared = [f.name for f in features if size and draw(st.booleans())]
    fids = st.lists(st.integers(0, 12), max_size=5)
    batch = {f.name: [draw(fids) for _ in range(1 if f.name in shared else size)] for f in features}
    if all(f.name in shared for f in features):
        size = 1
    return LayoutPlan(features, layouts), batch, size, draw(st.integers(1, 3)), shared
