"""A model out of a ModelDump: `DumpedModel` has the functions of a model file, and what they make comes out of the recorded graphs.

Records are parsed, embeddings looked up, gradients limited and applied as for any model. What parse_fn, model_fn and the gradients of the loss were
is imported (`replay_graph`): from the records to the features, and from features and embeddings to heads, loss, gradients and updates.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import tensorflow as tf
from tensorflow.core.framework.variable_pb2 import VariableDef

from monolith_cli.errors import BadDataError, ConfigError, Error
from monolith_cli.model.errors import ModelError, short_message
from monolith_cli.model.feature import FeatureSlotConfig
from monolith_cli.model.model import EVAL, PREDICT, TRAIN, ClipType, MonolithModel
from monolith_cli.model.spec import EstimatorSpec
from monolith_cli.training import model_dump, model_dump_optimizer, replay_ops
from monolith_cli.training.replay_graph import GraphHelper, key_of
from monolith_cli.whole_file import write_whole

tf1 = tf.compat.v1

_KEYS = {TRAIN: "train", EVAL: "eval", PREDICT: "infer"}
_SETTINGS = tuple(n for n in MonolithModel.__annotations__ if not n.startswith("_") and n != "batch_size")
_COMBINERS = ("reduce_sum", "reduce_mean", "first_n")


def load(path: str) -> "DumpedModel":
    """The model in a ModelDump. Raises NoInputError, BadDataError for a file that is none, ConfigError for one of another version."""
    dump, description = model_dump.read(path)
    recorded = Recorded(dump, path)
    with recorded.reading():
        name = str(description["model"]["name"])
        if not name.isidentifier():
            raise BadDataError(f"{name!r} is no name of a class")
        model = type(name, (DumpedModel,), {"_recorded": recorded})()
    model.model_file = os.path.abspath(path)
    return model


def check(dump, mode: str) -> None:
    """Raises ModelError where the graph of `mode` has operations that a replay refuses."""
    part = Part(dump.model_dump[_KEYS[mode]], 0)
    wanted = [(part.input_names(), part.input_given()), (part.model_names(), part.model_given())]
    try:
        for names, given in wanted:
            known = {key_of(g) for g in given}
            replay_ops.check(part.graph.sub_graph([n for n in names if key_of(n) not in known], given))
    except BadDataError as e:
        raise ModelError(f"this model cannot be written into a dump: {e}") from None


class Recorded:
    """A dump and its graphs by mode; each is decoded once."""

    def __init__(self, dump, path: str):
        self.dump, self.path = dump, path
        self.config = json.loads(dump.run_config)
        self._parts: dict[str, Part] = {}

    def part(self, mode: str) -> "Part":
        """Raises ConfigError where the model could not be built in this mode when the dump was written."""
        key = _KEYS[mode]
        if key not in self._parts:
            if key not in self.dump.model_dump:
                raise ConfigError(f"{self.path}: the dump has no graph for mode {mode!r}: model_fn could not build one when it was written")
            proto = self.dump.model_dump[key]
            self._parts[key] = Part(proto, int(self.config["seed"]))
            proto.ClearField("graph_def")
        return self._parts[key]

    @contextlib.contextmanager
    def reading(self):
        """What goes wrong inside is a mistake of the file."""
        from google.protobuf.message import DecodeError

        try:
            yield
        except (BadDataError, ModelError) as e:
            raise BadDataError(f"{self.path}: {e}") from e
        except Error:
            raise
        except (KeyError, ValueError, TypeError, IndexError, AttributeError, DecodeError, tf.errors.OpError) as e:
            raise BadDataError(f"{self.path}: damaged, its graphs and what is said of them do not fit: {short_message(e)}") from e


class Part:
    """The graph of one mode, and the names in it."""

    def __init__(self, proto, seed: int):
        self.proto = proto
        self.graph = GraphHelper(tf1.GraphDef.FromString(proto.graph_def), seed)
        self.features = {name: json.loads(told) for name, told in sorted(proto.model_fn.features.items())}
        self.inputs = {name: json.loads(told) for name, told in sorted(proto.input_fn.output_features.items())}
        self.variables = [(VariableDef.FromString(v.definition), v) for v in proto.variables]

    def input_given(self) -> list[str]:
        return [self.proto.input_fn.record_dataset or self.proto.input_fn.records]

    def input_names(self) -> list[str]:
        return [self.proto.input_fn.dataset] if self.proto.input_fn.dataset else _tensors_of(self.inputs)

    def model_given(self) -> list[str]:
        looked_up = [name for lookup in self.proto.model_fn.lookups for name in lookup.tensors]
        return [*_tensors_of(self.features), *looked_up, self.proto.model_fn.global_step]

    def model_names(self) -> list[str]:
        """Of all tensors and operations that model_fn makes."""
        made, names = self.proto.model_fn, []
        names += [*made.predict, *made.label, *made.mask, *made.sample_weight, *made.sample_rate, made.loss, *made.extra_losses]
        names += [f"{op}:0" for op in made.summary] + list(made.updates)
        names += [name for output in self.proto.extra_output for name in output.fetch_dict.values()]
        names += [name for g in made.gradients for name in (g.values, g.indices, g.dense_shape)]
        for definition, v in self.variables:
            names += [*_names_of(definition), *model_dump_optimizer.tensors_of(v.optimizer)]
        names += model_dump_optimizer.tensors_of(self.proto.optimizer)
        return [name for name in dict.fromkeys(names) if name]


def _tensors_of(features: dict[str, dict]) -> list[str]:
    return [name for told in features.values() for name in ((told["values"], told["row_splits"]) if told["is_ragged"] else (told["name"],))]


def _names_of(definition) -> list[str]:
    return [definition.variable_name, definition.initializer_name, definition.initial_value_name, definition.snapshot_name]


class DumpedModel(MonolithModel):
    """A model whose parse_fn and model_fn are those of a dump. A class of its own, with the name of the recorded one, is made for each dump."""

    _recorded: Recorded

    def __init__(self):
        super().__init__()
        self._replayed: dict[Any, Any] = {}  # gradients
        params = json.loads(self._recorded.part(TRAIN).proto.params)
        for name in _SETTINGS:
            if name in params:
                setattr(self, name, ClipType(params[name]) if name == "clip_type" else params[name])

    def copy(self, path: str) -> None:
        """Writes the file this model came from. Raises CannotCreateError."""
        write_whole(path, model_dump.read_bytes(self.model_file))

    # --- input -------------------------------------------------------------------------------------------------------

    def has_own_input(self, mode: str) -> bool:
        return bool(self._recorded.part(mode).proto.input_fn.dataset)

    def input_fn(self, mode: str):
        part = self._recorded.part(mode)
        if not self.has_own_input(mode):
            return super().input_fn(mode)
        from tensorflow.python.data.ops.dataset_ops import _VariantDataset

        with self._recorded.reading():
            (given,), (wanted,) = part.input_given(), part.input_names()
            found = part.graph.bring_in([wanted], {given: self.records()._variant_tensor})
            return _VariantDataset(found[wanted], {name: _spec(told) for name, told in part.inputs.items()})

    def parse_fn(self, records, mode: str) -> dict[str, Any]:
        part = self._recorded.part(mode)
        with self._recorded.reading():
            (given,) = part.input_given()
            found = part.graph.bring_in(part.input_names(), {given: records})
            return {name: _feature(told, found) for name, told in part.inputs.items()}

    # --- network -----------------------------------------------------------------------------------------------------

    def model_fn(self, features: dict[str, Any], mode: str) -> EstimatorSpec:
        part = self._recorded.part(mode)
        with self._recorded.reading():
            self._make_tables()
            given = {part.proto.model_fn.global_step: tf1.train.get_or_create_global_step().handle}
            for name, told in part.features.items():
                value = features[name]
                given |= {told["values"]: value.flat_values, told["row_splits"]: value.row_splits} if told["is_ragged"] else {told["name"]: value}
            for lookup in part.proto.model_fn.lookups:
                given |= dict(zip(lookup.tensors, self._embeddings(lookup.name), strict=True))
            found = part.graph.bring_in(part.model_names(), given)
            self._make_variables(part, found)
            return self._result(part, found)

    def _make_tables(self) -> None:
        """The slots and columns of the dump, where this object does not have them yet."""
        dump, factory = self._recorded.dump, self._factory
        for config in dump.table_configs:
            if config.name not in factory.slots:
                slot_id = config.slot_id if config.HasField("slot_id") else None
                slot = factory.create_feature_slot(
                    FeatureSlotConfig(name=config.name, slot_id=slot_id, occurrence_threshold=config.occurrence_threshold,
                                      expire_time=config.expire_time, hashtable_config=_RecordedTable(config, self._recorded)))  # fmt: skip
                for s in config.slices:
                    self._slices[(config.name, s.name)] = slot.append_slice(s.dim, s.initializer, s.optimizer, s.compressor, _rate(s.learning_rate))
        for column, combiner in zip(self._columns(), dump.feature_combiners, strict=True):
            if column.feature_name not in factory.columns:
                slot = factory.slots[column.shared_name or column.feature_name]
                factory.create_column(column.feature_name, slot, _COMBINERS[combiner.combiner], combiner.max_seq_length)

    def _columns(self):
        return self._recorded.part(TRAIN).proto.features

    def _embeddings(self, name: str) -> list:
        """The embeddings of a feature, or with enable_fused_layout those of a layout."""
        if not self.enable_fused_layout:
            column = self._factory.columns[name]
            return [self._factory._slice(column, s) for s in column.feature_slot.slices]
        (layout,) = [layout for layout in self._recorded.dump.layouts if layout.name == name]
        cells = []
        for wanted in layout.slices:
            column = self._factory.columns[wanted.feature]
            (s,) = [s for s in column.feature_slot.slices if (s.start, s.end) == (wanted.start, wanted.end)]
            cells.append((column, s))
        made = self._factory.layout(name, layout.out_type, cells)
        return made if isinstance(made, list) else [made]

    @staticmethod
    def _make_variables(part: Part, found: dict[str, Any]) -> None:
        from tensorflow.python.ops.resource_variable_ops import ResourceVariable

        for definition, told in part.variables:
            if found[definition.variable_name].name != definition.variable_name:
                raise ValueError(f"the graph has a variable {definition.variable_name.partition(':')[0]!r} already")
            variable = ResourceVariable.from_proto(definition)
            optimizer = model_dump_optimizer.decode(told.optimizer, found.__getitem__)
            if optimizer is not None:
                variable.optimizer = optimizer
            for collection in told.collections:
                tf1.add_to_collection(collection, variable)

    def _result(self, part: Part, found: dict[str, Any]) -> EstimatorSpec:
        made = part.proto.model_fn
        self._replayed = {g.variable or (g.lookup, g.index): _gradient(g, found) for g in made.gradients}
        for op in made.summary:
            tf1.add_to_collection(tf1.GraphKeys.SUMMARIES, found[f"{op}:0"])
        for op in made.updates:
            tf1.add_to_collection(tf1.GraphKeys.UPDATE_OPS, found[op])
        self.add_loss([found[name] for name in made.extra_losses])
        for output in part.proto.extra_output:
            self.add_extra_output(output.signature_name, {k: found[name] for k, name in output.fetch_dict.items()})
        heads = {what: [found[name] if name else None for name in getattr(made, what)] for what in ("label", "mask", "sample_weight", "sample_rate")}
        return EstimatorSpec(
            pred=[found[name] for name in made.predict],
            head_name=list(made.head_name),
            loss=found[made.loss] if made.loss else None,
            optimizer=model_dump_optimizer.decode(part.proto.optimizer, found.__getitem__),
            classification=list(made.kind),
            **heads,
        )

    def _in_recorded_order(self) -> bool:
        return True

    def _take_gradients(self, loss, variables: list, embeddings: dict) -> list:
        return [self._replayed.get(key) for key in (*(v.op.name for v in variables), *embeddings)]


class _RecordedTable:
    """The hashtable_config of a slot out of a dump."""

    def __init__(self, config, dump: Recorded):
        from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

        self._name, self._dump, self._config = config.name, dump, EmbeddingHashTableConfig.FromString(config.table_config)

    def mutate_table(self, table_config: Any) -> None:
        if table_config.entry_config != self._config.entry_config:
            raise BadDataError(f"{self._dump.path}: table {self._name!r}: its slices and its configuration differ")
        table_config.CopyFrom(self._config)
        table_config.ClearField("slot_expire_time_config")


def _rate(text: str) -> Any:
    """The learning rate of a slice."""
    from monolith_cli.model import learning_rate_functions

    told = json.loads(text)
    if not isinstance(told, dict):
        return told
    if told["class"] not in ("PolynomialDecay",):
        raise ValueError(f"unknown learning rate {told['class']!r}")
    return getattr(learning_rate_functions, told["class"])(**told["arguments"])


def _gradient(told, found: dict[str, Any]):
    if told.indices:
        return tf.IndexedSlices(found[told.values], found[told.indices], found.get(told.dense_shape))
    return found[told.values]


def _feature(told: dict, found: dict[str, Any]):
    if told["is_ragged"]:
        return tf.RaggedTensor.from_row_splits(found[told["values"]], found[told["row_splits"]], validate=False)
    return found[told["name"]]


def _spec(told: dict):
    kind = tf.RaggedTensorSpec if told["is_ragged"] else tf.TensorSpec
    return kind(told["shape"], tf.as_dtype(told["dtype"]))
