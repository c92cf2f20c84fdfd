"""The lookup of a model with `enable_fused_layout`: rows of all tables, then one op for all that model_fn looks up."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.model.feature import FeatureFactory, source_name
from monolith_cli.tables import layouts
from monolith_cli.tables.graph import MultiTable
from monolith_cli.training import plan


def update_time(features: dict[str, Any]) -> tf.Tensor | None:
    """The latest req_time of the batch, in seconds: int64 scalar; None where it is not parsed."""
    req_time = features.get("req_time")
    return None if req_time is None else tf.reduce_max(tf.cast(req_time, tf.int64))


class LayoutLookup:
    """`layouts`: name of a lookup of model_fn -> tensor or list of tensors. `outputs`: the same, each a list; gradients are
    taken of them. unique: an id that a feature has several times in a batch is looked up, and updated, once."""

    def __init__(
        self,
        tables: MultiTable,
        configs: dict,
        factory: FeatureFactory,
        features: dict[str, Any],
        training: bool,
        unique: bool,
    ):
        self.tables, self.configs, self.req_time = tables, configs, update_time(features)
        self.layouts: dict[str, Any] = {}
        self.plan = factory.layout_plan(features)
        if self.plan is not None:
            self._look_up(factory, features, training, unique)
        self.outputs = {name: made if isinstance(made, list) else [made] for name, made in self.layouts.items()}

    def _look_up(self, factory: FeatureFactory, features: dict[str, Any], training: bool, unique: bool) -> None:
        ids = {}
        for name, feature in self.plan.features.items():
            found = factory.ragged(factory.columns[name], features)
            # Ids beyond a sequence are not looked up, and do not get a row.
            ids[name] = found[:, : feature.max_seq_length] if feature.max_seq_length else found
        self.sharded = layouts.shard_fids(ids, self.plan, unique=unique)
        self.ids = dict(zip(self.plan.tables, self.sharded.fid_list))
        self.rows = list(self.tables.lookup_rows(self.ids, insert_missing=training).values())
        self.layouts = layouts.embedding_to_layout(self.rows, self.sharded, self.plan)

    def apply(self, grads: dict[str, list], step) -> tf.Operation:
        """The update of the tables; a layout without a gradient has zeros."""
        given = {
            name: [tf.zeros_like(out) if g is None else g for g, out in zip(grads[name], outputs)]
            for name, outputs in self.outputs.items()
        }
        flat = layouts.embedding_to_layout_gradient(self.rows, self.sharded, self.plan, given)
        rates = plan.learning_rates(self.configs)
        return self.tables.optimize_rows(self.ids, dict(zip(self.ids, flat)), rates, step, req_time=self.req_time)
