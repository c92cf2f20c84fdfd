"""What one call of `lookup_embedding_slice` asks for: its groups of features, its name, how embeddings become a tensor."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from monolith_cli.model.columns import FeatureColumn
from monolith_cli.model.errors import ModelError, suggestion
from monolith_cli.model.slots import FeatureSlice

Cell = tuple[FeatureColumn, FeatureSlice]

_OUT_TYPES = {None: "none", "concat": "concat", "stack": "stack", "add_n": "addn", "addn": "addn"}
_GROUP_OUT_TYPES = {"concat": "concat", "add_n": "addn", "addn": "addn"}


@dataclass(frozen=True)
class LookupCall:
    """One call of `lookup_embedding_slice`: what was asked for, by groups of (feature, width), the slices that it reads, and what it gave."""

    groups: list[list[tuple[str, int]]]
    grouped: bool
    slice_name: str
    slice_dim: int | None
    out_type: str | None
    group_out_type: str
    slices: list[FeatureSlice]
    result: Any


def feature_groups(features: Any, slice_dim: int | None) -> tuple[list[list[tuple[Any, int]]], bool]:
    """Every accepted form as groups of (feature, width), and whether they were given as groups."""
    if isinstance(features, dict) and features and slice_dim is None:
        return [[(f, dim)] for f, dim in features.items()], False
    if isinstance(features, (list, tuple)) and features:
        if slice_dim is None:
            if all(isinstance(f, (list, tuple)) and len(f) == 2 and isinstance(f[1], int) for f in features):
                return [[(f, dim)] for f, dim in features], False
        elif all(_is_feature(f) for f in features):
            return [[(f, slice_dim)] for f in features], False
        elif all(isinstance(f, (list, tuple)) and f and all(_is_feature(i) for i in f) for f in features):
            return [[(i, slice_dim) for i in f] for f in features], True
    raise ModelError(
        "lookup_embedding_slice takes a list of features with slice_dim, a list of lists of features with slice_dim, "
        "or without slice_dim a list of (feature, width) or a dict feature -> width; "
        f"not {features!r} with slice_dim {slice_dim}"
    )


def _is_feature(f: Any) -> bool:
    return isinstance(f, (str, int, FeatureColumn))


def out_type_of(how: str | None) -> str:
    """none, concat, stack or addn. Raises ModelError."""
    return _choose(how, "out_type", _OUT_TYPES, "concat, stack, add_n, or None for a list of tensors")


def group_out_type_of(how: str) -> str:
    return _choose(how, "group_out_type", _GROUP_OUT_TYPES, "add_n or concat")


def _choose(how: str | None, option: str, known: dict, choices: str) -> str:
    if how not in known:
        raise ModelError(f"unknown {option} {how!r}: use {choices}" + suggestion(str(how), [k for k in known if k]))
    return known[how]


def layout_name(features: Any, slice_name: str) -> str:
    """`<slice_name>_<md5 of the sorted features>`; columns count as their names."""
    texts = [str((str(f[0]), f[1]) if _is_pair_of_column(f) else f) for f in features]
    return f"{slice_name}_" + hashlib.md5(",".join(sorted(texts)).encode()).hexdigest()


def _is_pair_of_column(f: Any) -> bool:
    return isinstance(f, (list, tuple)) and len(f) == 2 and isinstance(f[0], FeatureColumn)


def embedding_shape(cell: Cell) -> list[int | None]:
    column, s = cell
    return list(column.combiner.output_shape(s.dim))


def check_mergeable(cells: list[Cell], out_type: str, what: str) -> None:
    """Raises ModelError, with the shape of each feature, where embeddings cannot become one tensor."""
    if out_type == "none" or len(cells) == 1:
        return
    shapes = [embedding_shape(cell) for cell in cells]
    # What has to agree: everything, but for a concat axis 1.
    parts = [shape[2:] if out_type == "concat" else shape for shape in shapes]
    if len({len(shape) for shape in shapes}) == 1 and all(part == parts[0] for part in parts):
        return
    texts = [", ".join("B" if d is None else str(d) for d in shape) for shape in shapes]
    told = ", ".join(f"{column.feature_name!r} [{text}]" for (column, _), text in zip(cells, texts))
    how = {"concat": "put side by side", "stack": "stacked", "addn": "added up"}[out_type]
    raise ModelError(f"{what}: embeddings of unequal shapes cannot be {how}: {told}")


def merge(tensors: list, out_type: str, name: str | None = None):
    """Embeddings as one tensor, on axis 1; `none` leaves the list."""
    if out_type == "none":
        return tensors
    if out_type == "concat":
        return tf.concat(tensors, axis=1, name=name)
    return tf.stack(tensors, axis=1, name=name) if out_type == "stack" else tf.add_n(tensors, name=name)
