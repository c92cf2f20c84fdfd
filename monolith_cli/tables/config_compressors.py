"""Compressors of embedding tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monolith_cli.tables.config_choice import OneOf


class Compressor(OneOf):
    """Base of the compressors: how serving stores weights, and what training reads for them. Training always keeps float32, and
    checkpoints hold that."""

    _message = "FloatCompressorConfig"


@dataclass
class Fp32Compressor(Compressor):
    """Weights as they are: 4 bytes each in serving."""

    _choice: ClassVar[str] = "fp32"


@dataclass
class Fp16Compressor(Compressor):
    """Half precision in serving, rounded to nearest: 2 bytes a weight; beyond 65504 infinity. Training reads float32."""

    _choice: ClassVar[str] = "fp16"


@dataclass
class FixedR8Compressor(Compressor):
    """One byte a weight in serving: multiples of fixed_range / 128 in [-fixed_range, fixed_range). Training reads weights rounded
    like that too, while gradients go to the float32 ones as they are. fixed_range is above 0, by default 1."""

    _choice: ClassVar[str] = "fixed_r8"
    _renamed: ClassVar[dict[str, str]] = {"fixed_range": "r"}
    fixed_range: float = 1.0


@dataclass
class OneBitCompressor(Compressor):
    """HashNet: serving gives amplitude for a weight above 0, else -amplitude, in one byte. Training reads amplitude * tanh(scale * w)
    and sends gradients through that; the scale begins at 1 and becomes sqrt(1 + 0.005 * global step) at every `step_size`-th global
    step. Checkpoints do not hold it. By default step_size is 200 steps and amplitude 0.05."""

    _choice: ClassVar[str] = "one_bit"
    step_size: int = 200
    amplitude: float = 0.05
