"""The graph of one command: input, one fused lookup, model_fn, and in training the updates.

A first object of the model is run once on placeholders, to learn its slots, slices and columns (`collect`); a second one
then builds the graph that runs.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from monolith_cli.model.errors import ModelError, user_code
from monolith_cli.model.model import EVAL, PREDICT, TRAIN, MonolithModel
from monolith_cli.model.spec import Head, ModelResult, normalize
from monolith_cli.tables import filters
from monolith_cli.tables.graph import MultiTable, RestoreReport
from monolith_cli.training import assignments, gradients, plan
from monolith_cli.training.batches import next_batch
from monolith_cli.training.graph_metrics import GraphMetrics
from monolith_cli.training.layout_lookup import LayoutLookup
from monolith_cli.training.overlap import Overlap, Postpush, Prefetch
from monolith_cli.training.table_lookup import TableLookup

tf1 = tf.compat.v1

TABLES_NAME = "MonolithMultiHashTable_0"
FILTER_NAME = "hash_filter_0"


@dataclass
class ModelParts:
    """What model_fn was given, and what it made in the graph, for a ModelDump: lookups: name -> embeddings, gradients are taken of
    them; variables that it made; its summaries; updates: operations that every step of training runs."""

    lookups: dict[str, list]
    result: ModelResult
    variables: list
    summaries: list
    updates: list


@dataclass
class BuiltGraph:
    """What a session runs. `train_op` and `loss` are None where the mode has none; `hidden` holds what the
    command asked of each batch; `metrics` sums up the heads of training; `summary` is what model_fn summarises for TensorBoard; `postpush`
    and `prefetch` are there where an `Overlap` asks for them."""

    graph: tf.Graph
    model: MonolithModel
    iterator_init: tf.Operation
    features: dict[str, Any]
    heads: list[Head]
    tables: "_TableFiles | None"
    init: tf.Operation
    saver: Any
    global_step: Any
    rows: tf.Tensor
    hidden: dict[str, tf.Tensor]
    loss: tf.Tensor | None = None
    train_op: tf.Operation | None = None
    hooks: list | None = None
    metrics: GraphMetrics | None = None
    summary: tf.Tensor | None = None
    parts: ModelParts | None = None
    postpush: Postpush | None = None
    prefetch: Prefetch | None = None


@dataclass
class Collected:
    """A model whose model_fn has run on placeholders: the graph with them, the features of the input, what model_fn returned, and table name
    -> configuration."""

    model: MonolithModel
    graph: tf.Graph
    features: dict[str, Any]
    result: ModelResult
    configs: dict


def collect(model: MonolithModel) -> Collected:
    """Runs model_fn on placeholders in a scratch graph, as in training, and learns of the slots, slices and columns."""
    import keras

    keras.backend.clear_session()
    with tf1.Graph().as_default() as graph:
        tf1.train.get_or_create_global_step()
        model.begin_graph(TRAIN)
        features, _, _ = next_batch(model, TRAIN)
        features = model._factory.begin_collect(features)
        with user_code(model.model_file, "model_fn"):
            result = normalize(model.model_fn(features, TRAIN), model.head_name, model._default_dense_optimizer)
            _check_heads(result, TRAIN)
            model._factory.end_collect()
            return Collected(model, graph, dict(features), result, plan.table_configs(model._factory))


def build(model: MonolithModel, mode: str, seed: int, overlap: Overlap = Overlap()) -> BuiltGraph:
    """The graph of `mode` for a model whose `records` are set. overlap: what of neighbouring steps is done at the same time; it has to be run
    by a `stepping.Stepper` then.

    Raises ModelError, which names FILE:LINE, for a mistake of the model.
    """
    import keras

    configs = collect(model).configs
    keras.backend.clear_session()
    model = model.fresh(collected=True)
    graph = tf1.Graph()
    with graph.as_default():
        tf1.set_random_seed(seed)
        global_step = tf1.train.get_or_create_global_step()
        model.begin_graph(mode)
        features, hidden, init_iterator = next_batch(model, mode)
        filtering = _Filtering(model, seed) if configs and mode == TRAIN else None
        tables = MultiTable(TABLES_NAME, configs, seed=seed, **(filtering.arguments if filtering else {})) if configs else None
        lookup = _lookup(tables, configs, model, mode == TRAIN, filtering)
        read = lookup.read(features)
        prefetch = None
        if overlap.embedding_prefetch_capacity:
            prefetch = Prefetch((features, hidden, read), overlap.embedding_prefetch_capacity)
            features, hidden, read = prefetch.batch
        lookup.use(features, read)
        rows = _batch_rows(features)
        bound = model._factory.bind(features, lookup.outputs, lookup.layouts)
        before, known = set(graph.get_operations()), {id(v) for v in _variables()}
        with user_code(model.model_file, "model_fn"):
            result = normalize(model.model_fn(bound, mode), model.head_name, model._default_dense_optimizer)
            _check_heads(result, mode)
            made, summaries = [v for v in _variables() if id(v) not in known], tf1.get_collection(tf1.GraphKeys.SUMMARIES)
            loss = None if mode == PREDICT else _total_loss(result, model, mode)
            updates = assignments.update_ops(graph, before, not model._in_recorded_order()) if mode == TRAIN else []
            parts = ModelParts(lookup.outputs, result, made, summaries, updates)
            train, postpush = None, None
            if mode == TRAIN:
                forward = [loss, *(tf.convert_to_tensor(head.pred) for head in result.heads)]
                train, postpush = gradients.train_op(
                    model, loss, result.optimizer, lookup, updates, rows, overlap, forward,
                    [prefetch.wait] if prefetch else [])  # fmt: skip
        metrics = GraphMetrics(result.heads) if mode == TRAIN else None
        notes = [*result.notes, *plan.expire_notes(model._factory), *plan.unused_slot_notes(model._factory)]
        model.notes += [n for n in notes if n not in model.notes]
        return BuiltGraph(
            graph=graph,
            model=model,
            iterator_init=init_iterator,
            features=dict(bound),
            heads=result.heads,
            tables=_TableFiles(tables, filtering.handle if filtering else None) if tables else None,
            init=tf.group(tf1.global_variables_initializer(), tf1.local_variables_initializer()),
            saver=_saver(model, mode),
            global_step=global_step,
            rows=rows,
            hidden=hidden,
            loss=loss,
            train_op=train,
            hooks=list(model._training_hooks),
            metrics=metrics,
            summary=tf1.summary.merge_all() if mode == TRAIN else None,
            parts=parts,
            postpush=postpush,
            prefetch=prefetch,
        )


def _variables() -> list:
    return [*tf1.global_variables(), *tf1.local_variables()]


def _saver(model: MonolithModel, mode: str):
    """Saves and restores the dense variables; where nothing is trained, a model with averages reads those instead."""
    variables = tf1.global_variables()
    if model.dense_moving_average is not None and mode != TRAIN and tf1.trainable_variables():
        variables = gradients.averages_to_restore(model.dense_moving_average, tf1.trainable_variables())
    return tf1.train.Saver(variables, max_to_keep=0, write_version=tf1.train.SaverDef.V2)


class _Filtering:
    """The filter that the thresholds of a model's columns ask for. `handle`: None where no column has one."""

    def __init__(self, model: MonolithModel, seed: int):
        self.handle, self.arguments = None, {}
        thresholds = plan.occurrence_thresholds(model._factory)
        self._check(model, thresholds)
        if not thresholds or model.filter_type == filters.FilterType.NO_FILTER:
            return
        numbered = {slot.config.slot_id: slot.config.occurrence_threshold for slot in model._factory.slots.values()}
        numbered.pop(None, None)
        (self.handle,) = filters.create_hash_filters(
            0,
            True,
            plan.threshold_config(slots={slot: threshold for slot, threshold in numbered.items() if threshold}),
            model.filter_capacity,
            model.filter_split_num,
            model.filter_equal_probability,
            model.filter_type,
            seed,
        )
        # A table is a slot here, whatever its ids say of themselves: features that are named have no number.
        by_table = {name: plan.threshold_config(threshold) for name, threshold in thresholds.items()}
        self.arguments = {"hash_filter": self.handle, "thresholds": by_table}

    @staticmethod
    def _check(model: MonolithModel, thresholds: dict[str, int]) -> None:
        if model.filter_type not in filters.FilterType.ALL:
            raise ModelError(f"filter_type {model.filter_type!r} is unknown: use {', '.join(filters.FilterType.ALL)}")
        for name, threshold in thresholds.items():
            if threshold > filters.MAX_THRESHOLD and model.filter_type == filters.FilterType.SLIDING_HASH_FILTER:
                raise ModelError(
                    f"slot {name!r}: occurrence_threshold {threshold} is above {filters.MAX_THRESHOLD}, which is as far as filter_type "
                    f"{model.filter_type} counts; lower it, or set filter_type to {filters.FilterType.PROBABILISTIC_FILTER}"
                )


class _TableFiles:
    """Saving, restoring and counting the tables of a graph, and the filter in front of them."""

    def __init__(self, tables: MultiTable, hash_filter: tf.Tensor | None = None):
        self.basename = tf1.placeholder(tf.string, [], "tables_basename")
        self.kind = tf1.placeholder_with_default("whole", [], "tables_kind")
        self.modes = tf1.placeholder_with_default(tf.zeros([0], tf.string), [None], "restore_modes")
        self._save, self._restore = tables.save(self.basename, kind=self.kind), tables.restore(self.basename, self.modes)
        self._names, self._sizes = tables.names, tables.sizes()
        # A filter without splits has nothing to be saved.
        self._filters = []
        if hash_filter is not None and hash_filter.op.type == "MonolithHashFilter":
            self._filters = [make(hash_filter, self.basename, True).op for make in (filters.save_hash_filter, filters.restore_hash_filter)]

    def save(self, session, folder: str, kind: str = "whole") -> None:
        """Writes every table into `folder`, and the filter; kind of the tables: whole, base or delta."""
        session.run(self._save, {self.basename: os.path.join(folder, TABLES_NAME), self.kind: kind})
        if self._filters:
            session.run(self._filters[0], {self.basename: os.path.join(folder, FILTER_NAME)})

    def restore(self, session, folder: str, modes: Sequence[str] = ()) -> list[str]:
        """Replaces all tables, and the filter, by what is in `folder`; modes as in `MultiTable.restore`. Returns what a person
        should know."""
        report = RestoreReport(*session.run(self._restore, {self.basename: os.path.join(folder, TABLES_NAME), self.modes: list(modes)}))
        notes = [f"table {t.decode()!r} of the checkpoint is not in the model and was left out" for t in report.unknown_tables]
        notes += [f"table {t.decode()!r} is not in the checkpoint and starts empty" for t in report.missing_tables]
        if report.adapted_rows:
            notes.append(f"{int(report.adapted_rows):,} rows of tables were of another shape and were adapted")
        return notes + self._restore_filter(session, folder)

    def _restore_filter(self, session, folder: str) -> list[str]:
        if not self._filters:
            return []
        places = [os.path.join(folder, FILTER_NAME), folder.removesuffix(".assets") + FILTER_NAME]
        found = [p for p in places if glob.glob(glob.escape(p) + "-*")]
        session.run(self._filters[1], {self.basename: (found or places)[0]})
        if found:
            return []
        return [f"{places[0]}: no files of an occurrence filter, so that it starts empty: ids are counted from here on"]

    def sizes(self, session) -> dict[str, int]:
        """Table name -> ids in it."""
        return {name: int(size) for name, size in zip(self._names, session.run(self._sizes))}


def _lookup(tables, configs, model, training: bool, filtering):
    """The lookup of all features, as the model has it."""
    if tables is None or not model.enable_fused_layout:
        return TableLookup(tables, configs, model._factory, training)
    # A filter counts how often an id occurs: each time has to be seen.
    unique = filtering is None or filtering.handle is None
    return LayoutLookup(tables, configs, model._factory, training, unique)


def _batch_rows(features: dict[str, Any]) -> tf.Tensor:
    """int64 scalar: rows in the batch."""
    for value in features.values():
        if isinstance(value, tf.RaggedTensor):
            return tf.cast(value.nrows(), tf.int64)
        if value.shape.rank is None or value.shape.rank > 0:
            return tf.shape(value, out_type=tf.int64)[0]
    raise ModelError("the input has no feature with a batch dimension")


def _check_heads(result: ModelResult, mode: str) -> None:
    for head in result.heads:
        if mode != PREDICT and head.label is None:
            raise ModelError(f"head {head.name!r} has no label: model_fn must return one in mode {mode!r}")
    if mode == TRAIN and result.loss is None:
        raise ModelError("model_fn returned no loss in mode 'train'")
    if mode != PREDICT:
        for head in result.heads:
            _check_shapes(head)


def _check_shapes(head: Head) -> None:
    """The label, mask and weights of a head have a value for each of its predictions."""
    pred = tf.convert_to_tensor(head.pred)
    for what in ("label", "mask", "sample_weight", "sample_rate"):
        value = getattr(head, what)
        if value is None:
            continue
        value = tf.convert_to_tensor(value)
        flat = [[d for d in t.shape.as_list()[1:] if d != 1] if t.shape.rank else None for t in (pred, value)]
        if None not in flat and flat[0] != flat[1]:
            raise ModelError(f"head {head.name!r}: pred has shape {pred.shape}, but its {what} {value.shape}")


def _total_loss(result: ModelResult, model: MonolithModel, mode: str):
    loss = result.loss
    if loss is None:
        return None
    loss = tf.convert_to_tensor(loss)
    if mode == TRAIN and loss.shape.rank not in (0, None):
        raise ModelError(f"the loss must be one number, but it has shape {loss.shape}: reduce it, for example with tf.reduce_mean")
    if model.add_layer_losses:
        model.add_loss(_layer_losses(loss.dtype))
    return tf.add_n([loss, *model._extra_losses]) if model._extra_losses else loss


def _layer_losses(dtype) -> list:
    from monolith_cli.layers.utils import get_layer_loss

    return [tf.cast(tf.reduce_sum(v), dtype) for v in get_layer_loss().values()]


__all__ = ["EVAL", "PREDICT", "TRAIN", "TABLES_NAME", "BuiltGraph", "build", "collect"]
