"""The batches of a model's input, as tensors of its graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from monolith_cli.model.errors import ModelError, user_code
from monolith_cli.model.model import HIDDEN, MonolithModel


def next_batch(model: MonolithModel, mode: str) -> tuple[dict[str, Any], dict[str, Any], tf.Operation]:
    """(features, what is kept beside them, the operation that begins to read). Raises ModelError, which names FILE:LINE."""
    packed: list[dict] = []
    with user_code(model.model_file, "input_fn"):
        dataset = model.input_fn(mode) if model.has_own_input(mode) else model.parsed_records(mode, lambda f: _parts(f, packed))
        if not isinstance(dataset, tf.data.Dataset):
            raise ModelError(f"input_fn must return a tf.data.Dataset, not {type(dataset).__name__}")
        if not packed and not isinstance(dataset.element_spec, dict):
            raise ModelError(f"parse_fn must return a dict of features, not {dataset.element_spec!r}")
    iterator = tf.compat.v1.data.make_initializable_iterator(dataset.prefetch(2))
    batch = iterator.get_next()
    if packed:
        batch = tf.nest.pack_sequence_as(packed[-1], batch, expand_composites=True)
    hidden = {k: v for k, v in batch.items() if k.startswith(HIDDEN)}
    return {k: v for k, v in batch.items() if k not in hidden}, hidden, iterator.initializer


def _parts(features: dict, packed: list[dict]) -> tuple | dict:
    """The tensors that features are made of: tf.data packs a ragged one into a single tensor and takes it apart again, for each batch. What they
    have to be put together to is left in `packed`."""
    parts = tuple(tf.nest.flatten(features, expand_composites=True))
    if not parts:
        return features
    packed.append(features)
    return parts
