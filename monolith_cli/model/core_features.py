"""Slots, slices and columns of their own environment, whose embeddings come from anywhere: a dict of tensors.

    env = Env(merge_vector=True)
    slot = FeatureSlot(env, slot_id=3, has_bias=True)
    vec = slot.add_feature_slice(8)
    user = FeatureColumnV1(slot, "user")
    env.finalize()
    env.look_up(self)                  # in model_fn: of this model's tables; or env.set_features({"user_0": ..., ...})
    user.embedding_lookup(vec), user.get_bias()

The embedding of slice i of column c is the feature `<c>_<i>`. Until there are features a lookup gives a placeholder.
With merge_vector all slices of a slot but its bias are one vector, which is cut into the slices when features are set.
"""

from __future__ import annotations

import tensorflow as tf

from monolith_cli.model.errors import ModelError
from monolith_cli.model.params import Params
from monolith_cli.model.slots import DEFAULT_EXPIRE_DAYS, FeatureSlotConfig
from monolith_cli.tables.config import AdagradOptimizer, FtrlOptimizer, RandomUniformInitializer, ZerosInitializer

_NO_ROW = 1e-10  # norm below which an embedding is that of an unknown id


class EnvError(ModelError, AssertionError):
    """A slot, column or environment is used as it cannot be."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise EnvError(message)


class FeatureSlice:
    """`dim` floats of a slot's embedding, the slice_index-th piece of it."""

    def __init__(
        self,
        feature_slot: "FeatureSlot",
        dim: int,
        slice_index: int,
        optimizer=None,
        initializer=None,
        learning_rate_fn=None,
    ):
        _require(
            isinstance(dim, int) and dim > 0,
            f"slot {feature_slot.slot_id()}: the width of a slice must be a positive number, not {dim!r}",
        )
        self.feature_slot, self.dim, self.slice_index = feature_slot, dim, slice_index
        self.optimizer, self.initializer, self.learning_rate_fn = optimizer, initializer, learning_rate_fn

    def __repr__(self) -> str:
        return f"[FeatureSlice][slot_{self.feature_slot.slot_id()}][{self.slice_index}]"

    def __hash__(self) -> int:
        return hash((self.feature_slot.slot_id(), self.slice_index))


class FeatureSlot:
    """A slot of `env`: its slices and columns. With has_bias slice 0 is one float wide and goes by bias_*; slices that
    say nothing themselves go by default_vec_*.

    occurrence_threshold, expire_time (days): None is none. EnvError where env has the slot already.
    """

    def __init__(
        self,
        env: "Env",
        slot_id: int,
        has_bias: bool = False,
        bias_optimizer=None,
        bias_initializer=None,
        bias_learning_rate_fn=None,
        default_vec_optimizer=None,
        default_vec_initializer=None,
        default_vec_learning_rate_fn=None,
        occurrence_threshold: int | None = None,
        expire_time: int | None = None,
    ):
        self.env, self._slot_id, self.has_bias = env, slot_id, has_bias
        self.bias_optimizer = bias_optimizer or FtrlOptimizer(learning_rate=0.01)
        self.bias_initializer = bias_initializer or ZerosInitializer()
        self.bias_learning_rate_fn = bias_learning_rate_fn
        self.default_vec_optimizer = default_vec_optimizer or AdagradOptimizer(learning_rate=0.01)
        self.default_vec_initializer = default_vec_initializer or RandomUniformInitializer(-0.001, 0.001)
        self.default_vec_learning_rate_fn = default_vec_learning_rate_fn
        self.occurrence_threshold, self.expire_time = occurrence_threshold, expire_time
        self.feature_slices: list[FeatureSlice] = []
        self.merged_feature_slices: list[FeatureSlice] = []
        self.feature_columns: list[FeatureColumnV1] = []
        env.set_feature_slot(slot_id, self)
        if has_bias:
            rules = (self.bias_optimizer, self.bias_initializer, bias_learning_rate_fn)
            self.feature_slices.append(FeatureSlice(self, 1, 0, *rules))

    def slot_id(self) -> int:
        return self._slot_id

    def add_feature_slice(self, dim: int, optimizer=None, initializer=None, learning_rate_fn=None) -> FeatureSlice:
        """The next slice; what is None is that of the slot."""
        return self._add(self.feature_slices, dim, optimizer, initializer, learning_rate_fn)

    def _add(self, slices: list[FeatureSlice], dim: int, optimizer, initializer, learning_rate_fn) -> FeatureSlice:
        rules = (
            optimizer or self.default_vec_optimizer,
            initializer or self.default_vec_initializer,
            learning_rate_fn or self.default_vec_learning_rate_fn,
        )
        slices.append(FeatureSlice(self, dim, len(slices), *rules))
        return slices[-1]

    @property
    def vectors(self) -> list[FeatureSlice]:
        """The slices but the bias."""
        return self.feature_slices[1 if self.has_bias else 0 :]

    def merge(self) -> None:
        """Makes merged_feature_slices: the bias as it is, then one slice as wide as all vectors. EnvError where those
        do not agree on optimizer, initializer and learning rate."""
        self.merged_feature_slices = self.feature_slices[: 1 if self.has_bias else 0]
        if not self.vectors:
            return
        first, *others = ((s.optimizer, s.initializer, s.learning_rate_fn) for s in self.vectors)
        _require(
            all(_texts(o) == _texts(first) for o in others),
            f"slot {self._slot_id}: merge_vector makes one slice of all, and they differ in optimizer, initializer or "
            "learning rate: make them alike, or do without merge_vector",
        )
        self._add(self.merged_feature_slices, sum(s.dim for s in self.vectors), *first)


def _texts(rules: tuple) -> list[str]:
    return [str(r.as_proto()) if hasattr(r, "as_proto") else str(r) for r in rules]


class FeatureColumnV1:
    """The feature fc_name in a slot, its ids summed: embeddings are [B, dim]."""

    max_seq_length = 0

    def __init__(self, feature_slot: FeatureSlot, fc_name: str):
        self.feature_slot, self.fc_name, self.env = feature_slot, fc_name, feature_slot.env
        self._placeholders: dict[FeatureSlice, tf.Tensor] = {}
        self._merged_placeholders: dict[FeatureSlice, tf.Tensor] = {}
        feature_slot.feature_columns.append(self)

    def embedding_lookup(
        self,
        feature_slice: FeatureSlice,
        init_minval_for_oov: float | None = None,
        init_maxval_for_oov: float | None = None,
    ) -> tf.Tensor:
        """[B, dim] of a slice; [B, max_seq_length, dim] of a FeatureColumn3D.

        With use_random_init_embedding_for_oov of the environment, embeddings of norm 0 are uniform numbers from
        init_minval_for_oov to init_maxval_for_oov, where these are given; the padding of sequences stays as it is.
        """
        return self.env.embedding_lookup(self, feature_slice, init_minval_for_oov, init_maxval_for_oov)

    def get_bias(self) -> tf.Tensor:
        """The bias slice: [B, 1]; [B, max_seq_length, 1] of a FeatureColumn3D."""
        _require(
            self.feature_slot.has_bias,
            f"column {self.fc_name!r}: slot {self.feature_slot.slot_id()} has no bias: make it with has_bias=True",
        )
        return self.embedding_lookup(self.feature_slot.feature_slices[0])

    @property
    def feature_slice_to_tf_placeholder(self) -> dict[FeatureSlice, tf.Tensor]:
        """Slice -> placeholder, merged slices with merge_vector. EnvError before finalize."""
        _require(self.env.is_finalized, "feature_slice_to_tf_placeholder is there once env.finalize() was called")
        return self._merged_placeholders if self.env.merge_vector else self._placeholders

    def embedding_shape(self, dim: int) -> list[int | None]:
        return [None, dim]

    def placeholder(self, s: FeatureSlice) -> tf.Tensor:
        """The same for the same slice each time."""
        return self._made(self._placeholders, s)

    def merged_placeholders(self) -> None:
        """Makes those of the merged slices."""
        for s in self.feature_slot.merged_feature_slices:
            self._made(self._merged_placeholders, s)

    def _made(self, placeholders: dict, s: FeatureSlice) -> tf.Tensor:
        if s not in placeholders:
            placeholders[s] = tf.compat.v1.placeholder(tf.float32, self.embedding_shape(s.dim))
        return placeholders[s]


class FeatureColumn3D(FeatureColumnV1):
    """The feature fc_name in a slot as a sequence of its first max_seq_length ids: embeddings are [B, max_seq_length,
    dim], padded with zeros."""

    def __init__(self, feature_slot: FeatureSlot, max_seq_length: int, fc_name: str):
        _require(
            isinstance(max_seq_length, int) and max_seq_length > 0,
            f"column {fc_name!r}: max_seq_length must be a positive number, not {max_seq_length!r}",
        )
        super().__init__(feature_slot, fc_name)
        self.max_seq_length = max_seq_length
        self._size: tf.Tensor | None = None

    def embedding_shape(self, dim: int) -> list[int | None]:
        return [None, self.max_seq_length, dim]

    def size_tensor_lookup(self) -> tf.Tensor:
        """int32 [B, max_seq_length]: 1 where the sequence has an id, by the feature `<fc_name>_0_row_lengths`; until
        there are features a placeholder of floats named `<fc_name>_size`."""
        if self.env.features is not None:
            lengths = tf.reshape(self.env.feature(f"{self.fc_name}_0_row_lengths"), [-1])
            return tf.sequence_mask(lengths, self.max_seq_length, dtype=tf.int32)
        if self._size is None:
            name = f"{self.fc_name}_size"
            self._size = tf.compat.v1.placeholder(tf.float32, [None, self.max_seq_length], name)
        return self._size


class Env:
    """The slots of a model, and the features that their columns are looked up in.

    vocab_size_dict: slot -> ids in it. qr_multi_hashing: the embedding of a slot with more than qr_hashing_threshold
    ids is the sum of the features `<column>_<slice>_0` and `<column>_<slice>_1`. use_random_init_embedding_for_oov: see
    `FeatureColumnV1.embedding_lookup`. merge_vector: the slices of a slot but its bias are one vector.
    """

    def __init__(
        self,
        vocab_size_dict: dict[int, int] | None = None,
        qr_multi_hashing: bool = False,
        qr_hashing_threshold: int = 0,
        use_random_init_embedding_for_oov: bool = False,
        merge_vector: bool = False,
    ):
        self.vocab_size_dict = dict(vocab_size_dict or {})
        self.qr_multi_hashing, self.qr_hashing_threshold = qr_multi_hashing, qr_hashing_threshold
        self.use_random_init_embedding_for_oov = use_random_init_embedding_for_oov
        self.merge_vector = merge_vector
        self.features: dict[str, tf.Tensor] | None = None
        self._slots: dict[int, FeatureSlot] = {}
        self._finalized = False

    def set_params(self, params: Params) -> None:
        """Takes over the settings that `params` has of the arguments of this class, vocab_size_dict apart."""
        for name in ("qr_multi_hashing", "qr_hashing_threshold", "use_random_init_embedding_for_oov", "merge_vector"):
            if name in params:
                setattr(self, name, params.get(name))

    @property
    def is_finalized(self) -> bool:
        return self._finalized

    @property
    def slot_id_to_feature_slot(self) -> dict[int, FeatureSlot]:
        """EnvError before finalize."""
        _require(self._finalized, "slot_id_to_feature_slot is there once env.finalize() was called")
        return self._slots

    def set_feature_slot(self, slot_id: int, slot: FeatureSlot) -> None:
        """A slot makes itself known; after finalize it is a slot of a later run of the same code, and not noted."""
        if self._finalized:
            return
        _require(slot_id not in self._slots, f"slot {slot_id} exists already: several columns may be of one slot")
        self._slots[slot_id] = slot

    def finalize(self) -> None:
        """All slots and slices are made. EnvError for a second time."""
        _require(not self._finalized, "env.finalize() was called already")
        self._finalized = True
        if self.merge_vector:
            for slot in self._slots.values():
                slot.merge()
                for column in slot.feature_columns:
                    column.merged_placeholders()

    # --- features ----------------------------------------------------------------------------------------------------

    def set_features(self, features: dict[str, tf.Tensor]) -> None:
        """What columns are looked up in from here on; merged vectors are cut into their slices. EnvError with
        merge_vector before finalize, and for a vector of another width."""
        _require(
            self._finalized or not self.merge_vector,
            "merge_vector cuts features into slices: call env.finalize() first",
        )
        self.features = dict(features)
        if self.merge_vector:
            for slot in self._slots.values():
                for column in slot.feature_columns:
                    self._cut(slot, column)

    set_tpu_features = set_features

    def _cut(self, slot: FeatureSlot, column: FeatureColumnV1) -> None:
        if not slot.vectors:
            return
        dims = [s.dim for s in slot.vectors]
        for suffix in self._suffixes(slot.slot_id()):
            key = f"{column.fc_name}_{slot.merged_feature_slices[-1].slice_index}{suffix}"
            merged = tf.convert_to_tensor(self.feature(key))
            _require(
                merged.shape[-1] in (sum(dims), None),
                f"feature {key!r} has shape {merged.shape}: slot {slot.slot_id()} has vectors of {dims}, "
                f"{sum(dims)} floats",
            )
            for s, part in zip(slot.vectors, tf.split(merged, dims, axis=-1)):
                self.features[f"{column.fc_name}_{s.slice_index}{suffix}"] = part

    def _suffixes(self, slot_id: int) -> list[str]:
        """Of the features that make up one embedding."""
        if self.qr_multi_hashing and self.vocab_size_dict.get(slot_id, 0) > self.qr_hashing_threshold:
            return ["_0", "_1"]
        return [""]

    def feature(self, key: str) -> tf.Tensor:
        """The feature of that name. EnvError where there is none."""
        known = ", ".join(sorted(self.features)) or "none"
        _require(key in self.features, f"unknown feature {key!r}: there are {known}")
        return self.features[key]

    def look_up(self, model) -> dict[str, tf.Tensor]:
        """Sets the features from the embedding tables of a MonolithModel, in its model_fn: a table `slot_<id>` for each
        slot, sequences for FeatureColumn3D. Returns them, merged vectors whole. EnvError before finalize, and with
        multi-hashing, which tables without collisions do not need."""
        _require(self._finalized, "look_up makes tables of all slots: call env.finalize() first")
        for slot_id in self._slots:
            _require(
                self._suffixes(slot_id) == [""],
                f"slot {slot_id}: multi-hashing is for embeddings that are given by set_features; tables have no "
                "collisions",
            )
        features: dict[str, tf.Tensor] = {}
        for slot in self._slots.values():
            slices = slot.merged_feature_slices if self.merge_vector else slot.feature_slices
            features |= _looked_up(model, slot, slices)
        self.set_features(features)
        return features

    # --- lookups -----------------------------------------------------------------------------------------------------

    def embedding_lookup(
        self, column: FeatureColumnV1, s: FeatureSlice, minimum: float | None = None, maximum: float | None = None
    ) -> tf.Tensor:
        """See `FeatureColumnV1.embedding_lookup`."""
        slot_id = column.feature_slot.slot_id()
        _require(
            s.feature_slot.slot_id() == slot_id,
            f"column {column.fc_name!r} is of slot {slot_id}, the slice of slot {s.feature_slot.slot_id()}",
        )
        if self.features is None:
            return column.placeholder(s)
        parts = [self.feature(f"{column.fc_name}_{s.slice_index}{suffix}") for suffix in self._suffixes(slot_id)]
        embedding = parts[0] if len(parts) == 1 else tf.add_n(parts)
        if not self.use_random_init_embedding_for_oov or minimum is None:
            return embedding
        _require(
            maximum is not None and maximum > minimum,
            f"column {column.fc_name!r}: init_maxval_for_oov must be above init_minval_for_oov {minimum}, not "
            f"{maximum}",
        )
        unknown = tf.norm(embedding, axis=-1, keepdims=True) < _NO_ROW
        if f"{column.fc_name}_0_row_lengths" in self.features:  # the padding of a sequence stays zeros
            unknown = tf.logical_and(unknown, tf.cast(column.size_tensor_lookup()[:, :, tf.newaxis], tf.bool))
        drawn = tf.random.uniform(tf.shape(embedding), minimum, maximum, dtype=embedding.dtype)
        return tf.where(unknown, drawn, embedding)


def _looked_up(model, slot: FeatureSlot, slices: list[FeatureSlice]) -> dict[str, tf.Tensor]:
    """Feature name -> embedding, of all columns of a slot in a table of the model."""
    table = model.create_feature_slot(
        FeatureSlotConfig(
            name=f"slot_{slot.slot_id()}",
            slot_id=slot.slot_id(),
            has_bias=slot.has_bias,
            bias_initializer=slot.bias_initializer,
            bias_optimizer=slot.bias_optimizer,
            bias_learning_rate_fn=slot.bias_learning_rate_fn,
            occurrence_threshold=slot.occurrence_threshold or 0,
            expire_time=DEFAULT_EXPIRE_DAYS if slot.expire_time is None else slot.expire_time,
        )
    )
    made = {}
    for s in slices:
        if slot.has_bias and s.slice_index == 0:
            made[s] = table.get_bias_slice()
        else:
            made[s] = table.add_feature_slice(s.dim, s.initializer, s.optimizer, learning_rate_fn=s.learning_rate_fn)
    features = {}
    for column in slot.feature_columns:
        looked = model.create_feature_column(table, column.fc_name, max_seq_length=column.max_seq_length)
        features |= {f"{column.fc_name}_{s.slice_index}": looked.embedding_lookup(t) for s, t in made.items()}
        if column.max_seq_length:
            features[f"{column.fc_name}_0_row_lengths"] = looked.get_lengths()
    return features
