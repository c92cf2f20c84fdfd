"""Writing a model's dump: what model-show --dump and monolith-train --model-dump share."""

from __future__ import annotations

import os
from collections.abc import Callable

from monolith_cli.model.errors import ModelError
from monolith_cli.model.model import TRAIN
from monolith_cli.training import describe, drawing, graph, model_dump, runtime
from monolith_cli.training.replay import DumpedModel


def described(model, record_type: str) -> tuple[graph.Collected, dict]:
    """A model collected on records that never come, and what model-show tells of it."""
    collected = describe.build(model, record_type)
    found = describe.describe(collected, record_type)
    found["flow"] = drawing.flow_of(collected, found)
    return collected, found


def write(model, collected: graph.Collected, found: dict, path: str, run_config: dict, defaults: dict, warn: Callable, train=None) -> None:
    """Writes the dump of a model to `path`.

    collected, found: as `described` gives them. run_config, defaults: as for `model_dump.make`; in it `record_type` and `seed`. train: the graph of
    training where there is one already. warn(text) is told of a mode in which the model cannot be built. Raises ModelError,
    CannotCreateError.
    """
    record_type, seed = run_config["record_type"], run_config["seed"]

    def build(mode: str):
        if mode == TRAIN and train is not None:
            return train
        # Keras draws the seeds of initializers where a layer is made: as monolith-train does with this seed.
        runtime.set_seed(seed)
        other = model.fresh()
        try:
            with describe.no_records(other, record_type):
                return graph.build(other, mode, seed)
        except ModelError as e:
            if mode == TRAIN:
                raise
            warn(f"the dump will do for training alone, not for mode {mode!r}: {e}")
            return None

    model_dump.write(model_dump.make(collected, found, record_type, run_config, defaults, build), path)


def write_beside(built: graph.BuiltGraph, model_dir: str, config, seed: int, warn: Callable) -> None:
    """Writes `<model_dir>/model_dump` of a model that is about to be trained; config: a `trainer.TrainConfig`."""
    path = os.path.join(model_dir, model_dump.FILE_NAME)
    model = built.model
    if isinstance(model, DumpedModel):
        model.copy(path)
        return
    collected, found = described(model.fresh(), config.record_type)
    defaults = model_dump.fields_of(type(config)("", "")) | ({"seed": seed} if config.seed is None else {})
    overlapping = built.prefetch is not None or built.postpush is not None
    write(model, collected, found, path, model_dump.fields_of(config) | {"seed": seed}, defaults, warn, None if overlapping else built)
