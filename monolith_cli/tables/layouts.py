"""Layouts: the tensors a network takes, filled by one op from the rows that were looked up (native/core/layouts).

A layout is a list of slices, each a range of columns of one feature's embedding, and an out type: how they become a
tensor. All features and layouts of a model are one message FeatureConfigs. The steps of a batch are `shard_fids` (fids of
all features -> lists of ids, one a table and server, and where the row of each fid will lie), a lookup of the lists, and
`embedding_to_layout`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from monolith_cli import errors
from monolith_cli.tables import ops

OUT_TYPES = ("concat", "stack", "addn", "none")
_POOLINGS = {"reduce_sum": "SUM", "reduce_mean": "MEAN", "first_n": "FIRSTN"}


@dataclass(frozen=True)
class LayoutFeature:
    """A feature: its table, the widths of its slices, and how several rows become one (as in `FeaturePlan`)."""

    name: str
    table: str
    slice_dims: tuple[int, ...]
    combiner: str = "reduce_sum"
    max_seq_length: int = 0


@dataclass(frozen=True)
class Layout:
    """slices: (feature, first column, one past the last). out_type, with B rows, slices of d floats, n of them:

    none    a tensor for each slice: [B, d]; [B, L, d] of a first_n feature, L its max_seq_length
    concat  [B, sum of d], or [B, L, sum of d]
    stack   [B, n, d], or [B, n, L, d]
    addn    [B, d]; not for first_n
    """

    name: str
    out_type: str
    slices: tuple[tuple[str, int, int], ...]


class ShardedFids(NamedTuple):
    """What `shard_fids` gives. T tables in sorted order on P servers make lists t * P + p; F features in sorted order.

    fid_list: int64 [k] each: the distinct fids of the features of table t on server p, one feature after the other.
    row_splits: int64 [features of the table + 1] each: where a feature begins in its list.
    row_splits_size: int32 [1] each: length of the row_splits.
    fid_offset: uint64 [fids of the batch], features, then rows, then fids of a row: the list in the upper 32 bits; below,
      the float with which the row of the fid begins in what is looked up for the list.
    feature_offset: int32: where each row of each feature begins in fid_offset, and its length.
    nfl_offset: uint32 [F + 1]: where each feature begins in feature_offset; bit 31: one row for the whole batch.
    batch_size, nfl_size, feature_size, fid_size: int32 [1]: B, and the lengths of the three above.
    emb_size: int32 [T * P]: floats of the rows of each list.
    version: of the form. What a version has not is None. Versions before 5 have no sizes but batch_size, a scalar, and
      1  no row_splits; the lower half of fid_offset counts rows of the list
      2  lists are numbered by feature: those of table t on server p follow one another, behind those of the tables and
         servers before; the lower half counts rows of the feature
      3  fid_offset as 5
      4  fid_offset as 5; fid_list and row_splits are one tensor each, server after server, in it table after table;
         table_row_length, shard_row_length: int32 [P * T], [P], fids of each list and server in that order;
         emb_row_length: int32 [P * T], floats of the rows of each list
    """

    fid_list: list[tf.Tensor]
    row_splits: list[tf.Tensor] | None
    row_splits_size: list[tf.Tensor] | None
    fid_offset: tf.Tensor
    feature_offset: tf.Tensor
    nfl_offset: tf.Tensor
    batch_size: tf.Tensor
    nfl_size: tf.Tensor | None = None
    feature_size: tf.Tensor | None = None
    fid_size: tf.Tensor | None = None
    emb_size: tf.Tensor | None = None
    table_row_length: tf.Tensor | None = None
    shard_row_length: tf.Tensor | None = None
    emb_row_length: tf.Tensor | None = None
    version: int = 5


class LayoutPlan:
    """Features and layouts of a model. Raises ConfigError for a layout of a feature that is not there, an unknown out type
    or combiner, and for two layouts of one name; what else does not fit the op says when it is made."""

    def __init__(self, features: Sequence[LayoutFeature], layouts: Sequence[Layout]):
        self.features = {f.name: f for f in sorted(features, key=lambda f: f.name)}
        self.layouts = {layout.name: layout for layout in sorted(layouts, key=lambda layout: layout.name)}
        self.tables = sorted({f.table for f in features})
        if len(self.layouts) != len(layouts):
            names = [layout.name for layout in layouts]
            raise errors.ConfigError(f"layout {next(n for n in names if names.count(n) > 1)!r} is there twice")
        for layout in layouts:
            self._check(layout)

    def _check(self, layout: Layout) -> None:
        if layout.out_type not in OUT_TYPES:
            known = ", ".join(OUT_TYPES)
            raise errors.ConfigError(f"layout {layout.name!r}: unknown out type {layout.out_type!r}: use {known}")
        for name, _, _ in layout.slices:
            if name not in self.features:
                known = ", ".join(self.features)
                raise errors.ConfigError(f"layout {layout.name!r}: feature {name!r} is not there; there are {known}")

    def as_proto(self) -> Any:
        """FeatureConfigs; the first dim of every shape is -1, the rows of the batch."""
        from monolith_protos import example_pb2

        configs = example_pb2.FeatureConfigs()
        for f in self.features.values():
            if f.combiner not in _POOLINGS:
                known = ", ".join(_POOLINGS)
                raise errors.ConfigError(f"feature {f.name!r}: there is no combiner {f.combiner!r}; choose {known}")
            config = configs.feature_configs[f.name]
            config.table, config.max_sequence_length = f.table, f.max_seq_length
            config.pooling_type = example_pb2.PoolingType.Value(_POOLINGS[f.combiner])
            config.slice_dims.extend(f.slice_dims)
        for layout in self.layouts.values():
            out = configs.out_configs[layout.name]
            out.out_type = example_pb2.OutType.Value(layout.out_type.upper())
            for name, start, end in layout.slices:
                out.slice_configs.add(feature_name=name, start=start, end=end)
            for shape in self.shapes(layout):
                out.shape.add(dims=shape)
        return configs

    def serialized(self) -> bytes:
        return self.as_proto().SerializeToString(deterministic=True)

    def shapes(self, layout: Layout) -> list[list[int]]:
        """Shapes of the tensors of a layout."""
        widths = [end - start for _, start, end in layout.slices]
        features = [self.features[name] for name, _, _ in layout.slices]
        lengths = [[f.max_seq_length] if f.combiner == "first_n" else [] for f in features]
        if layout.out_type == "none":
            return [[-1, *length, width] for length, width in zip(lengths, widths)]
        if layout.out_type == "stack":
            return [[-1, len(widths), *lengths[0], widths[0]]]
        return [[-1, *lengths[0], sum(widths) if layout.out_type == "concat" else widths[0]]]

    def num_outputs(self) -> int:
        return sum(len(self.shapes(layout)) for layout in self.layouts.values())

    def nest(self, tensors: Sequence[Any]) -> dict[str, Any]:
        """Flat tensors -> layout name -> one tensor, or of a layout of type none the list of its tensors."""
        left = iter(tensors)
        found = {layout.name: [next(left) for _ in self.shapes(layout)] for layout in self.layouts.values()}
        return {name: group if self.layouts[name].out_type == "none" else group[0] for name, group in found.items()}

    def flatten(self, nested: Mapping[str, Any]) -> list[Any]:
        """The inverse of `nest`: layouts in sorted order of their names."""
        groups = [nested[name] for name in self.layouts]
        return [t for group in groups for t in (group if isinstance(group, (list, tuple)) else [group])]


def shard_fids(
    features: Mapping[str, tf.RaggedTensor],
    plan: LayoutPlan,
    ps_num: int = 1,
    unique: bool = True,
    shared: Sequence[str] = (),
    version: int = 5,
) -> ShardedFids:
    """Fids of all features of `plan`, parted by table and server (fid modulo ps_num).

    features: name -> RaggedTensor of int64 fids [B, None]; of those named in `shared` [1, None], a row for the whole
      batch.
    ps_num: servers; 0 counts as 1, the tables of this process.
    unique: a fid that a feature has twice is looked up once.
    version: the form of the result, 1 to 5; the layouts that come of them are the same.
    Raises ConfigError naming a feature that is not there or is no ragged tensor of ids, and for another version.
    """
    if version not in range(1, 6):
        raise errors.ConfigError(f"there is no version {version} of layouts; use 1 to 5")
    values, splits = [], []
    for name in plan.features:
        ids = features.get(name)
        if not isinstance(ids, tf.RaggedTensor) or ids.dtype != tf.int64 or ids.ragged_rank != 1:
            what = "is not parsed" if ids is None else "is no RaggedTensor of int64 fids [B, None]"
            raise errors.ConfigError(f"feature {name!r} {what}; there are {', '.join(sorted(features))}")
        values.append(ids.values)
        splits.append(tf.cast(ids.row_splits, tf.int64))
    servers = max(ps_num, 1)
    given = {
        "values": values,
        "row_splits": splits,
        "ps_num": servers,
        "unique": unique,
        "shared": [name in shared for name in plan.features],
        "feature_cfgs": plan.serialized(),
        "name": "shard_fids",
    }
    if version == 4:
        fids, row_splits, by_list, by_server, row_floats, *offsets = ops.library().monolith_shard_fids_flat(**given)
        return ShardedFids(
            [fids],
            [row_splits],
            None,
            *offsets,
            table_row_length=by_list,
            shard_row_length=by_server,
            emb_row_length=row_floats,
            version=4,
        )
    made = ops.library().monolith_shard_fids(N=len(plan.tables) * servers, version=version, **given)
    if version == 5:
        return ShardedFids(*made)
    fids, row_splits, _, *offsets = made[:7]
    return ShardedFids(fids, row_splits if version > 1 else None, None, *offsets, version=version)


def normalize_merged_split(row_splits: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Row splits of several requests, one after the other, as row splits of all their rows: int64 [n - (r - 1)].

    row_splits: int64 [n]; those of each request begin with 0. sizes: [r], the entries of each request
    (`ShardedFids.row_splits_size`). Raises InvalidArgumentError naming the request whose splits are none.
    """
    return ops.library().monolith_normalize_merged_split(row_splits=row_splits, sizes=tf.cast(sizes, tf.int32))


def _placed_by(sharded: ShardedFids, plan: LayoutPlan, ps_num: int) -> dict[str, Any]:
    """Inputs and attributes of both layout ops that say where embeddings lie."""
    return {
        "fid_offset": sharded.fid_offset,
        "feature_offset": sharded.feature_offset,
        "nfl_offset": sharded.nfl_offset,
        "batch_size": sharded.batch_size,
        "fid_list_row_splits": sharded.row_splits if sharded.version == 2 else [],
        "fid_list_emb_row_length": [sharded.emb_row_length] if sharded.version == 4 else [],
        "ps_num": max(ps_num, 1),
        "feature_cfgs": plan.serialized(),
        "version": sharded.version,
    }


def embedding_to_layout(
    embeddings: Sequence[tf.Tensor], sharded: ShardedFids, plan: LayoutPlan, ps_num: int = 1
) -> dict[str, Any]:
    """The layouts of `plan`, all in one op with a gradient for `embeddings`: float32 [*], rows of each fid_list one after
    the other; with version 1 matrices [rows, floats of a row], with version 4 one tensor for all.

    A row of several fids is their sum, their mean (each term divided by their number), or with first_n the first of them;
    of none, zeros. Returns layout name -> tensor, or list of tensors for the type none.
    """
    made = ops.library().monolith_embedding_to_layout(
        embeddings_list=list(embeddings),
        num_out=plan.num_outputs(),
        name="embedding_to_layout",
        **_placed_by(sharded, plan, ps_num),
    )
    return plan.nest(made)


def embedding_to_layout_gradient(
    embeddings: Sequence[tf.Tensor],
    sharded: ShardedFids,
    plan: LayoutPlan,
    grads: Mapping[str, Any],
    ps_num: int = 1,
    scale: tf.Tensor | float | None = None,
) -> list[tf.Tensor]:
    """Gradients of the layouts, as `embedding_to_layout` returns those, summed into gradients of `embeddings`, of their
    shapes. scale: a scalar by which all are multiplied first; default None, as they are."""
    return ops.library().monolith_embedding_to_layout_grad(
        embeddings_list=list(embeddings),
        grads=plan.flatten(grads),
        scale=[] if scale is None else [scale],
        name="embedding_to_layout_grad",
        **_placed_by(sharded, plan, ps_num),
    )
