"""The lookup of a model with `enable_fused_layout`: rows of all tables, then one op for all that model_fn looks up."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.model.feature import FeatureFactory
from monolith_cli.tables import layouts
from monolith_cli.tables.graph import MultiTable
from monolith_cli.training import plan
from monolith_cli.training.table_lookup import update_time


class LayoutLookup:
    """As `table_lookup.TableLookup`. `layouts`: name of a lookup of model_fn -> tensor or list of tensors. `outputs`: the same, each a
    list. unique: an id that a feature has several times in a batch is looked up, and updated, once."""

    def __init__(self, tables: MultiTable, configs: dict, factory: FeatureFactory, training: bool, unique: bool):
        self.tables, self.configs, self._factory, self._training, self._unique = tables, configs, factory, training, unique
        self.plan = None

    def read(self, features: dict[str, Any]) -> Any:
        self.plan = self._factory.layout_plan(features)
        if self.plan is None:
            return None
        ids = {}
        for name, feature in self.plan.features.items():
            found = self._factory.ragged(self._factory.columns[name], features)
            # Ids beyond a sequence are not looked up, and do not get a row.
            ids[name] = found[:, : feature.max_seq_length] if feature.max_seq_length else found
        sharded = layouts.shard_fids(ids, self.plan, unique=self._unique)
        by_table = dict(zip(self.plan.tables, sharded.fid_list))
        return sharded, list(self.tables.lookup_rows(by_table, insert_missing=self._training).values())

    def use(self, features: dict[str, Any], read: Any) -> None:
        self.req_time = update_time(features)
        self.layouts: dict[str, Any] = {}
        if read is not None:
            self.sharded, self.rows = read
            self.layouts = layouts.embedding_to_layout(self.rows, self.sharded, self.plan)
        self.outputs = {name: made if isinstance(made, list) else [made] for name, made in self.layouts.items()}

    def push_of(self, grads: dict[str, list], step):
        """A layout without a gradient has zeros."""
        given = {
            name: [tf.zeros_like(out) if g is None else g for g, out in zip(grads[name], outputs)]
            for name, outputs in self.outputs.items()
        }
        flat = layouts.embedding_to_layout_gradient(self.rows, self.sharded, self.plan, given)
        ids = dict(zip(self.plan.tables, self.sharded.fid_list))
        arguments = {"ids": ids, "grads": dict(zip(ids, flat)), "step": step, "req_time": self.req_time}
        return self._push, arguments | {"rates": plan.learning_rates(self.configs)}

    def _push(self, a: dict) -> tf.Operation:
        return self.tables.optimize_rows(a["ids"], a["grads"], a["rates"], a["step"], req_time=a["req_time"])
