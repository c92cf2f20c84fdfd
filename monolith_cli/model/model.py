"""MonolithModel: what a model file subclasses."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from monolith_cli.model import heads, lookups
from monolith_cli.model.combiners import Combiner, make_combiner
from monolith_cli.model.errors import ModelError
from monolith_cli.model.feature import (
    DEFAULT_EXPIRE_DAYS,
    FeatureColumn,
    FeatureFactory,
    FeatureSlice,
    FeatureSlot,
    FeatureSlotConfig,
    LayoutRequest,
    switch_slot,
)
from monolith_cli.model.modes import EVAL, PREDICT, TRAIN  # noqa: F401 - models and commands take them from here


# Keys of a batch that start so are for the command, and hidden from model_fn.
HIDDEN = "__monolith_"


class ClipType(enum.IntEnum):
    """How gradients are limited; `clip_norm` None leaves them alone in every type."""

    ClipByNorm = 1
    ClipByGlobalNorm = 2
    ClipByValue = 3
    ClipByDenseAndSparse = 4
    NoClip = 5


class MonolithModel:
    """Base of the models. A subclass has `parse_fn` (or `input_fn`) and `model_fn`.

        class MovieRanking(MonolithModel):
            def parse_fn(self, records, mode):
                return parse_instances(records, fidv2_features=["user", "movie"], dense_features=["label"],
                                       dense_feature_shapes=[1])

            def model_fn(self, features, mode):
                user, movie = self.lookup_embedding_slice(["user", "movie"], "vec", 32)
                ...
                return EstimatorSpec(label, pred, "rank", loss, optimizer, classification=False)

    Attributes that a subclass may set:
    batch_size: records in a batch; the command sets it. Default 512.
    head_name: name of the head where model_fn gives none; `a,b` for two. Default "pred".
    clip_norm, clip_type, sparse_clip_norm, sparse_norm_warmup_steps: gradient clipping. Default None: none.
    dense_weight_decay: added to each dense gradient, times its variable. Default 0.
    dense_moving_average: evaluation and prediction read a moving average of the dense variables with this decay, between 0 and
        1; it evens out what the last few batches, each of a few users, did to them. Default None: the variables themselves.
    dense_reduce_mean: dense gradients divided by the batch size. Default False.
    ue_gradient_check, ue_fc_names, ue_euclidean_norm_threshold: a dense variable whose name has one of ue_fc_names in it
        (or "uue", which stands for the first of them) gets a gradient where the norm of the dense feature of that name, over
        the batch, is above the threshold, else zeros. Default False, (), 0.
    grads_and_vars_summary: TensorBoard gets the norms of all gradients and variables. Default False.
    default_occurrence_threshold: of the columns that set none. Default 0.
    filter_type: what keeps the ids out of tables that have occurred less often than their column's occurrence_threshold:
        sliding_hash_filter (the default) counts them, probabilistic_filter lets them in by chance and keeps nothing,
        no_filter switches thresholds off.
    filter_capacity, filter_split_num: ids that the sliding filter remembers, and in how many splits; each split of a checkpoint
        is a file of 2.4 * filter_capacity / (filter_split_num - 1) bytes or more. Default 300,000,000 in 7.
    filter_equal_probability: with probabilistic_filter, c occurrences at once get in as often as c one after the other. Default
        True.
    enable_fused_layout: one op makes all that model_fn looks up, from rows that are read once a batch for each id; the same
        embeddings and updates in another order of work. Default False: rows are pooled where they lie.
    add_layer_losses: what layers leave in `layers.get_layer_loss()` (the cost of iRazor, BatchNorm's statistics) is a part of
        the loss. Default False: model_fn adds what it wants by `add_loss`.
    _default_dense_optimizer: the optimizer of a model_fn that returns a tuple.
    """

    batch_size: int = 512
    head_name: str = "pred"
    clip_norm: float | None = None
    clip_type: ClipType = ClipType.ClipByGlobalNorm
    sparse_clip_norm: float | None = None
    sparse_norm_warmup_steps: int | None = None
    dense_weight_decay: float = 0.0
    dense_moving_average: float | None = None
    dense_reduce_mean: bool = False
    ue_gradient_check: bool = False
    ue_fc_names: Sequence[str] = ()
    ue_euclidean_norm_threshold: float = 0.0
    grads_and_vars_summary: bool = False
    default_occurrence_threshold: int = 0
    filter_type: str = "sliding_hash_filter"
    filter_capacity: int = 300_000_000
    filter_split_num: int = 7
    filter_equal_probability: bool = True
    enable_fused_layout: bool = False
    add_layer_losses: bool = False
    _default_dense_optimizer: Any = None

    def __init__(self):
        self.model_file = ""
        self.mode = TRAIN
        self.notes: list[str] = []
        self._factory = FeatureFactory()
        self._slices: dict[tuple[str, str], Any] = {}
        self._records_fn = self._hidden_fn = None
        self._initialized = True
        self.begin_graph(TRAIN)

    # --- the three functions of a model ------------------------------------------------------------------------------

    def input_fn(self, mode: str) -> tf.data.Dataset:
        """A tf.data dataset of dicts. The default reads the command's sources and calls `parse_fn` for each batch."""
        return self.parsed_records(mode, lambda features: features)

    def parsed_records(self, mode: str, change: Callable[[dict], Any]) -> tf.data.Dataset:
        """Dataset of what `change` makes of the features of each batch of the command's records."""

        def parse(records):
            features = self.parse_fn(records, mode)
            if not isinstance(features, dict):
                raise ModelError(f"parse_fn must return a dict of features, not {type(features).__name__}")
            return change({**features, **(self._hidden_fn(records) if self._hidden_fn else {})})

        return self.records().map(tf.autograph.experimental.do_not_convert(parse))

    def has_own_input(self, mode: str) -> bool:
        """Whether the dataset comes from an input_fn of the model's own, not from parse_fn."""
        return type(self).input_fn is not MonolithModel.input_fn

    def parse_fn(self, records, mode: str) -> dict[str, Any]:
        """A batch of records -> features by name. Write it with parse_instances, parse_examples, parse_example_batch."""
        raise ModelError(f"{type(self).__name__} has neither parse_fn nor input_fn: define one of them")

    def model_fn(self, features: dict[str, Any], mode: str):
        """The network: returns an EstimatorSpec, or a tuple (label, loss, pred). `mode`: train, eval or predict."""
        raise ModelError(f"{type(self).__name__} has no model_fn: define it")

    def records(self) -> tf.data.Dataset:
        """The batches of the command's sources, one scalar each, for `parse_*`."""
        if self._records_fn is None:
            raise ModelError("records() is only there while the input of a command is built")
        return self._records_fn()

    # --- embeddings --------------------------------------------------------------------------------------------------

    def create_embedding_feature_column(
        self,
        feature_name: str | int,
        occurrence_threshold: int | None = None,
        expire_time: int = DEFAULT_EXPIRE_DAYS,
        max_seq_length: int = 0,
        shared_name: str | int | None = None,
        combiner: str | Combiner | None = None,
        slot_config: FeatureSlotConfig | None = None,
    ) -> FeatureColumn:
        """The column of a feature, with a table of its own or, with shared_name, the table of another one.

        feature_name: a name, or the number of a slot. occurrence_threshold: how many occurrences of an id are kept out of the
        table before it gets a row, up to 15 (see filter_type); until then it reads zeros. expire_time: days. max_seq_length: > 0
        keeps the first ids of a row apart (FirstN) in place of their sum. combiner: reduce_sum, reduce_mean, first_n or an object. slot_config: what the
        slices of its own table fall back to (initializer, optimizer, compressor, learning rate, a bias) and the table's
        hashtable_config; occurrence_threshold and expire_time count where they are not given here. A second call with the
        same name returns the first column.
        """
        factory = self._factory
        name, slot_id = factory.resolve_name(feature_name)
        if name in factory.columns:
            return self._known_column(factory.columns[name], combiner, max_seq_length)
        if slot_config is not None:
            if occurrence_threshold is None and slot_config.occurrence_threshold > 0:
                occurrence_threshold = slot_config.occurrence_threshold
            if expire_time == DEFAULT_EXPIRE_DAYS:
                expire_time = slot_config.expire_time
        threshold = self.default_occurrence_threshold if occurrence_threshold is None else occurrence_threshold
        if not isinstance(threshold, int) or threshold < 0:
            raise ModelError(f"column {name!r}: occurrence_threshold must be a whole number, 0 or more, not {threshold!r}")
        if shared_name is None:
            slot = self._create_slot(name, slot_id, threshold, expire_time, slot_config)
        elif slot_config is not None:
            raise ModelError(f"column {name!r} shares the table of {shared_name!r}: give slot_config to that column")
        else:
            slot = self._shared_slot(shared_name, threshold, expire_time)
            if occurrence_threshold is not None and threshold != slot.config.occurrence_threshold:
                self._note(
                    f"column {name!r}: occurrence_threshold {threshold} has no effect, the table of {slot.name!r} that it shares has "
                    f"{slot.config.occurrence_threshold}"
                )
        return factory.create_column(name, slot, combiner, max_seq_length)

    def _known_column(
        self, column: FeatureColumn, combiner: str | Combiner | None, max_seq_length: int
    ) -> FeatureColumn:
        if combiner is not None or max_seq_length:
            asked = make_combiner(combiner, max_seq_length)
            if repr(asked) != repr(column.combiner):
                self._note(
                    f"column {column.feature_name!r}: combiner {asked!r} has no effect, the column was made with "
                    f"{column.combiner!r}: create it before its first lookup"
                )
        return column

    def create_feature_slot(self, config: FeatureSlotConfig) -> FeatureSlot:
        """A table to which `add_feature_slice(width, initializer, optimizer, …)` adds columns, and in which
        `create_feature_column` looks features up. Raises ModelError where a slot of that name exists."""
        return self._factory.create_feature_slot(config)

    def create_feature_column(
        self,
        slot: FeatureSlot,
        feature_name: str | int,
        combiner: str | Combiner | None = None,
        max_seq_length: int = 0,
    ) -> FeatureColumn:
        """The column of a feature in `slot`; several features may be in one. `column.embedding_lookup(slice)`,
        `column.get_bias()` and `column.get_all_embeddings_concat()` give embeddings. Raises ModelError where the feature is
        in another slot."""
        name, _ = self._factory.resolve_name(feature_name)
        column = self._factory.create_column(name, slot, combiner, max_seq_length)
        return self._known_column(column, combiner, max_seq_length)

    def _create_slot(
        self, name: str, slot_id: int | None, threshold: int, expire_time: int, defaults: FeatureSlotConfig | None = None
    ) -> FeatureSlot:
        own = {"name": name, "slot_id": slot_id, "occurrence_threshold": threshold, "expire_time": expire_time}
        return self._factory.create_feature_slot(replace(defaults or FeatureSlotConfig(), **own))

    def _shared_slot(self, shared_name: str | int, threshold: int, expire_time: int) -> FeatureSlot:
        name, slot_id = self._factory.resolve_name(shared_name)
        if name in self._factory.columns:
            return self._factory.columns[name].feature_slot
        if name in self._factory.slots:
            return self._factory.slots[name]
        return self._create_slot(name, slot_id, threshold, expire_time)

    def lookup_embedding_slice(
        self,
        features,
        slice_name: str,
        slice_dim: int | None = None,
        initializer=None,
        optimizer=None,
        compressor=None,
        learning_rate_fn=None,
        group_out_type: str = "add_n",
        out_type: str | None = None,
    ):
        """Embeddings of several features under one slice name.

        features: a list of names, slots or columns, all `slice_dim` wide; a list of (feature, width) pairs or a dict
        feature -> width, without slice_dim; or a list of lists of features, where each inner list becomes one embedding
        (group_out_type: add_n, or concat on axis 1).
        out_type: None -> list of [B, width]; concat, stack (axis 1), add_n -> one tensor. Features that keep a sequence
        (max_seq_length) are [B, max_seq_length, width] each.
        The first lookup of a slice decides its width, initializer, optimizer and learning rate. Raises ModelError, which names
        features and shapes, for another width, and for embeddings that do not make one tensor.
        """
        groups, grouped = lookups.feature_groups(features, slice_dim)
        out, group_out = lookups.out_type_of(out_type), lookups.group_out_type_of(group_out_type)
        args = {"initializer": initializer, "optimizer": optimizer, "compressor": compressor}
        args["learning_rate_fn"] = learning_rate_fn
        cells = [[self._cell(f, slice_name, dim, args) for f, dim in group] for group in groups]
        name = lookups.layout_name(features, slice_name)
        if grouped:
            parts = [self._layout(f"{name}_{i}", group_out, group, slice_name) for i, group in enumerate(cells)]
            found = self._merge_groups(parts, out, slice_name)
        else:
            found = self._layout(name, out, [group[0] for group in cells], slice_name)
        named = [[(column.feature_name, s.dim) for column, s in group] for group in cells]
        slices = [s for group in cells for _, s in group]
        self._lookup_calls.append(lookups.LookupCall(named, grouped, slice_name, slice_dim, out_type, group_out_type, slices, found))
        return found

    def layout_name(self, features, slice_name: str) -> str:
        """`<slice_name>_<md5 of the sorted features>`."""
        return lookups.layout_name(features, slice_name)

    @property
    def layouts(self) -> dict[str, LayoutRequest]:
        """What model_fn has looked up: name -> out type and slices, in the order of the lookups."""
        return dict(self._factory.requests)

    def _layout(self, name: str, out_type: str, cells: list[lookups.Cell], slice_name: str):
        lookups.check_mergeable(cells, out_type, f"slice {slice_name!r}")
        return self._factory.layout(name, out_type, cells)

    @staticmethod
    def _merge_groups(tensors: list, out_type: str, slice_name: str):
        shapes = {tuple(t.shape.as_list()) for t in tensors}
        if out_type in ("stack", "addn") and len(shapes) > 1:
            told = ", ".join(str(t.shape) for t in tensors)
            raise ModelError(
                f"slice {slice_name!r}: groups of unequal shapes cannot become one tensor ({out_type}): {told}"
            )
        return lookups.merge(tensors, out_type)

    def _cell(self, feature, slice_name: str, dim: int, args: dict[str, Any]) -> lookups.Cell:
        column = feature if isinstance(feature, FeatureColumn) else self.create_embedding_feature_column(feature)
        key = (column.feature_slot.name, slice_name)
        # Asked before the slice is made, so that a misspelt feature is what the message is about.
        self._factory.ragged(column)
        if key not in self._slices:
            self._slices[key] = column.feature_slot.append_slice(dim, **args)
        else:
            self._check_again(self._slices[key], column, slice_name, dim, args)
        return column, self._slices[key]

    def _check_again(
        self, s: FeatureSlice, column: FeatureColumn, slice_name: str, dim: int, args: dict[str, Any]
    ) -> None:
        """The first lookup of a slice decides; a later one that asks for something else is told so."""
        where = f"slice {slice_name!r} of slot {s.slot.name!r}"
        if s.dim != dim:
            raise ModelError(
                f"{where} is {s.dim} floats wide since its first lookup, and feature {column.feature_name!r} asks for "
                f"{dim}: one slice has one width; give the other a slice name of its own"
            )
        for option, value in args.items():
            if value is not None and _text(value) != _text(getattr(s, option)):
                self._note(
                    f"{where}: the {option} given for feature {column.feature_name!r} has no effect, the first lookup of the "
                    "slice decides"
                )

    def share_slot(self, features=None, share_meta=None, variant_type: str = "example", suffix: str = "share"):
        """Gives a feature's ids another slot: share_meta {name: (inplace, slot)}.

        In place under its own name, otherwise under `<name>_<suffix>`. With `features` returns the dict with these
        features; without, a function from such a dict to such a dict. `variant_type` is kept for old models.
        """
        targets = {n: (n if inplace else f"{n}_{suffix}", slot) for n, (inplace, slot) in (share_meta or {}).items()}
        for target, slot in targets.values():
            self._factory.slot_ids[target] = slot

        def apply(batch):
            batch = dict(batch)
            for name, (target, slot) in targets.items():
                batch[target] = switch_slot(batch[name], slot)
            return batch

        return apply if features is None else apply(features)

    # --- losses and extras -------------------------------------------------------------------------------------------

    def get_sigmoid_loss_and_pred(self, name, logits, label, batch_size=None, sample_rate=1.0, sample_bias=False, mode=None,
                                  instance_weight=None, mask=None, logit_clip_threshold=None,
                                  predict_before_correction=True):  # fmt: skip
        """(loss, pred) of a binary head: see `heads.sigmoid_loss_and_pred`. `mode` defaults to the mode at hand."""
        return heads.sigmoid_loss_and_pred(
            name, logits, label, batch_size, sample_rate, sample_bias, mode or self.mode, instance_weight, mask,
            logit_clip_threshold, predict_before_correction,
        )  # fmt: skip

    def get_softmax_loss_and_pred(self, name, logits, label, mode=None):
        """(loss, pred) of a head with classes: see `heads.softmax_loss_and_pred`. `mode` defaults to the mode at hand."""
        return heads.softmax_loss_and_pred(name, logits, label, mode or self.mode)

    def add_loss(self, losses) -> None:
        """Adds one scalar, or a list of them, to the loss of this graph."""
        self._extra_losses.extend(losses if isinstance(losses, (list, tuple)) else [losses])

    def add_training_hook(self, hook) -> None:
        """Adds a tf.compat.v1.train.SessionRunHook to this graph's training."""
        self._training_hooks.append(hook)

    def add_extra_output(self, name: str, outputs) -> None:
        """Adds one more signature of an exported model."""
        if name in self._extra_outputs:
            raise ModelError(f"extra output {name!r} exists already")
        self._extra_outputs[name] = outputs

    # --- for the trainer ---------------------------------------------------------------------------------------------

    def read_from(self, records_fn, hidden_fn=None) -> None:
        """Where the input comes from: records_fn() -> dataset of record batches; hidden_fn(batch) -> dict of tensors that
        the command itself wants of each batch, its keys starting with HIDDEN."""
        self._records_fn, self._hidden_fn = records_fn, hidden_fn

    def _take_gradients(self, loss, variables: list, embeddings: dict[tuple[str, int], Any]) -> list:
        """Of the loss, by dense variables and then by embeddings: (name, number) of a lookup -> tensor. None: there is none."""
        return tf.compat.v1.gradients(loss, [*variables, *embeddings.values()])

    def _in_recorded_order(self) -> bool:
        """Whether the graph of model_fn comes with the order of reads and assignments of its variables."""
        return False

    def begin_graph(self, mode: str) -> None:
        """Forgets what belonged to the graph built before."""
        self.mode = mode
        self._extra_losses: list = []
        self._training_hooks: list = []
        self._extra_outputs: dict[str, Any] = {}
        self._lookup_calls: list[lookups.LookupCall] = []
        self._gradients: dict = {}

    def fresh(self, collected: bool = False) -> "MonolithModel":
        """Another object of this class, for another graph: layers made in __init__ belong to one graph.

        With `collected` it knows the slots and slices that this one looked up.
        """
        other = type(self)()
        other.model_file, other.batch_size = self.model_file, self.batch_size
        other._records_fn, other._hidden_fn = self._records_fn, self._hidden_fn
        if collected:
            other._factory.adopt(self._factory)
            other._slices = dict(self._slices)
            other.notes = list(self.notes)
        return other

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _text(config: Any) -> str:
    """What tells two optimizers, initializers, compressors or learning rates apart."""
    return str(config.as_proto()) if hasattr(config, "as_proto") else str(config)
