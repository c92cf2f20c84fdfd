"""TensorBoard event files of a model directory."""

from __future__ import annotations

import tensorflow as tf

tf1 = tf.compat.v1


class SummaryWriter:
    """Scalars by global step."""

    def __init__(self, folder: str, graph: tf.Graph):
        with graph.as_default():
            self._writer = tf1.summary.FileWriter(folder)

    def write(self, step: int, values: dict[str, float | None], of_model: bytes | None = None) -> None:
        """Writes scalars by their tag, None left out, and a serialized Summary of the model's own."""
        summary = tf1.Summary() if of_model is None else tf1.Summary.FromString(of_model)
        for tag, value in values.items():
            if value is not None:
                summary.value.add(tag=tag, simple_value=value)
        self._writer.add_summary(summary, step)

    def close(self) -> None:
        self._writer.close()
