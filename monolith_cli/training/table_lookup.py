"""The lookup of a model without `enable_fused_layout`: one op that pools the rows of all columns where they lie."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.model.errors import ModelError
from monolith_cli.model.feature import FeatureFactory, source_name
from monolith_cli.tables.graph import MultiTable
from monolith_cli.training import plan


def update_time(features: dict[str, Any]) -> tf.Tensor | None:
    """The latest req_time of the batch, in seconds: int64 scalar; None where it is not parsed."""
    req_time = features.get("req_time")
    return None if req_time is None else tf.reduce_max(tf.cast(req_time, tf.int64))


class TableLookup:
    """Three parts: `read` looks a batch up; `use` takes it, the same or that of an earlier read, for the step; `push_of` says how its
    gradients get back. `outputs`: column -> one tensor per slice; gradients are taken of them."""

    layouts = None

    def __init__(self, tables: MultiTable | None, configs: dict, factory: FeatureFactory, training: bool):
        self.tables, self.configs, self._factory, self._training = tables, configs, factory, training
        self.plans: list = []

    def read(self, features: dict[str, Any]) -> Any:
        """What the tables have for a batch: a nest of tensors."""
        self.plans = plan.feature_plans(self._factory, features) if self.tables else []
        ids = self._ids(features)
        for name, found in ids.items():
            if not isinstance(found, tf.RaggedTensor):
                raise ModelError(f"feature {name!r} is dense in this mode, and sparse in mode 'train'")
        return self.tables.lookup(ids, self.plans, insert_missing=self._training) if self.plans else {}

    def _ids(self, features: dict[str, Any]) -> dict[str, Any]:
        return {p.feature: features[source_name(p.feature, features)] for p in self.plans}

    def use(self, features: dict[str, Any], read: Any) -> None:
        self.ids, self.outputs, self.req_time = self._ids(features), read, update_time(features)

    def push_of(self, grads: dict[str, list], step):
        """(function, arguments): function(arguments) updates the tables; arguments["rates"] follow the global step."""
        arguments = {"ids": self.ids, "grads": grads, "step": step, "req_time": self.req_time}
        return self._push, arguments | {"rates": plan.learning_rates(self.configs)}

    def _push(self, a: dict) -> tf.Operation:
        return self.tables.apply_gradients(a["ids"], self.plans, a["grads"], a["rates"], a["step"], req_time=a["req_time"])
