"""Slots and slices: which tables a model has, and which columns of them go by which rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from monolith_cli.model.errors import ModelError
from monolith_cli.tables import config as table_config

DEFAULT_EXPIRE_DAYS = 36500


@dataclass
class FeatureSlotConfig:
    """Definition of a table; what a slice leaves out falls back to `default_vec_*`.

    name: default is the text of slot_id. has_bias: slice 0 is one column wide and goes by `bias_*`.
    occurrence_threshold: occurrences of an id that are kept out of the table before it gets a row; 0: none.
    expire_time: days without an update after which an id is dropped when a table is saved or evicted.
    """

    name: str | None = None
    slot_id: int | None = None
    has_bias: bool = False
    bias_initializer: Any = field(default_factory=table_config.ZerosInitializer)
    bias_optimizer: Any = field(
        default_factory=lambda: table_config.FtrlOptimizer(initial_accumulator_value=1e-6, beta=1.0)
    )
    bias_compressor: Any = field(default_factory=table_config.Fp32Compressor)
    bias_learning_rate_fn: Any = None
    default_vec_initializer: Any = field(default_factory=table_config.RandomUniformInitializer)
    default_vec_optimizer: Any = field(
        default_factory=lambda: table_config.AdagradOptimizer(initial_accumulator_value=1.0)
    )
    default_vec_compressor: Any = field(default_factory=table_config.Fp16Compressor)
    default_vec_learning_rate_fn: Any = None
    hashtable_config: Any = field(default_factory=table_config.CuckooHashTableConfig)
    occurrence_threshold: int = 0
    expire_time: int = DEFAULT_EXPIRE_DAYS

    def __post_init__(self):
        if self.name is None:
            self.name = str(self.slot_id)


@dataclass(eq=False)
class FeatureSlice:
    """Columns [start, end) of a slot's embedding."""

    slot: "FeatureSlot"
    index: int
    start: int
    end: int
    initializer: Any
    optimizer: Any
    compressor: Any
    learning_rate_fn: Any

    @property
    def dim(self) -> int:
        return self.end - self.start

    def __repr__(self) -> str:
        return f"[FeatureSlice][slot_{self.slot.name}][{self.index}]"


class FeatureSlot:
    """One embedding table and its slices."""

    def __init__(self, config: FeatureSlotConfig):
        self.config = config
        self.name = config.name
        self.slices: list[FeatureSlice] = []
        self.frozen = False
        # Slices that model_fn added itself, in order; when it runs again for another graph it is given these.
        self._added: list[FeatureSlice] = []
        self._given = 0
        if config.has_bias:
            self.append_slice(
                1,
                config.bias_initializer,
                config.bias_optimizer,
                config.bias_compressor,
                config.bias_learning_rate_fn,
            )

    def add_feature_slice(
        self, dim: int, initializer=None, optimizer=None, compressor=None, learning_rate_fn=None
    ) -> FeatureSlice:
        """The next `dim` columns. What is None comes from the slot's `default_vec_*`."""
        if self.frozen and self._given < len(self._added):
            made = self._added[self._given]
            if made.dim != dim:
                raise ModelError(
                    f"slot {self.name!r}: slice {made.index} is {dim} floats wide here, but model_fn makes it {made.dim} "
                    "wide in mode 'train'"
                )
            self._given += 1
            return made
        made = self.append_slice(dim, initializer, optimizer, compressor, learning_rate_fn)
        self._added.append(made)
        return made

    def append_slice(
        self, dim: int, initializer=None, optimizer=None, compressor=None, learning_rate_fn=None
    ) -> FeatureSlice:
        """The same for a slice that its maker finds again by a name of its own."""
        if not isinstance(dim, int) or dim <= 0:
            raise ModelError(f"slot {self.name!r}: the width of a slice must be a positive number, not {dim!r}")
        if self.frozen:
            raise ModelError(
                f"slot {self.name!r}: a slice of {dim} floats is looked up that model_fn does not look up in mode "
                "'train'"
            )
        c = self.config
        start = self.slices[-1].end if self.slices else 0
        made = FeatureSlice(
            self,
            len(self.slices),
            start,
            start + dim,
            c.default_vec_initializer if initializer is None else initializer,
            c.default_vec_optimizer if optimizer is None else optimizer,
            c.default_vec_compressor if compressor is None else compressor,
            c.default_vec_learning_rate_fn if learning_rate_fn is None else learning_rate_fn,
        )
        self.slices.append(made)
        return made

    def adopt(self, other: "FeatureSlot") -> None:
        """Takes over the slices that another run of the model has made; none can be added to them. Those that this one has
        added already are the first of them."""
        self._given = len(self._added)
        self.slices, self._added, self.frozen = other.slices, other._added, True

    def get_bias_slice(self) -> FeatureSlice:
        if not self.config.has_bias:
            raise ModelError(f"slot {self.name!r} has no bias: make it with has_bias=True")
        return self.slices[0]

    @property
    def dim(self) -> int:
        return self.slices[-1].end if self.slices else 0

    @property
    def slice_dims(self) -> list[int]:
        return [s.dim for s in self.slices]
