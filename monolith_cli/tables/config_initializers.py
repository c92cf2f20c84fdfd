"""Initializers of embedding tables: the weights of a key that is seen for the first time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monolith_cli.tables.config_choice import OneOf


class Initializer(OneOf):
    """Base of the initializers: the weights of a key that is seen for the first time."""

    _message = "InitializerConfig"


@dataclass
class ZerosInitializer(Initializer):
    """All 0."""

    _choice: ClassVar[str] = "zeros"


@dataclass
class ConstantsInitializer(Initializer):
    """All `constant`."""

    _choice: ClassVar[str] = "constants"
    constant: float


@dataclass
class RandomUniformInitializer(Initializer):
    """Evenly in [minval, maxval), by default [-0.05, 0.05); the same key starts the same in every run and thread."""

    _choice: ClassVar[str] = "random_uniform"
    minval: float | None = None
    maxval: float | None = None


@dataclass
class BatchSoftmaxInitializer(Initializer):
    """All `init_step_interval`, which is at least 1 (ValueError otherwise)."""

    _choice: ClassVar[str] = "constants"
    _renamed: ClassVar[dict[str, str]] = {"init_step_interval": "constant"}
    init_step_interval: float

    def __post_init__(self):
        if not self.init_step_interval >= 1:
            raise ValueError(f"init_step_interval must be at least 1, not {self.init_step_interval}")
