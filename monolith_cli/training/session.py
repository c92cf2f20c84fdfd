"""Sessions, and what their errors mean."""

from __future__ import annotations

import contextlib
import os

import tensorflow as tf

from monolith_cli.errors import Error
from monolith_cli.model.errors import ModelError, short_message, user_line
from monolith_cli.tables.graph import unwrap_error

tf1 = tf.compat.v1


def session_config() -> tf1.ConfigProto:
    """As many threads as this process may use cores, which can be fewer than the machine has."""
    cores = len(os.sched_getaffinity(0))
    return tf1.ConfigProto(intra_op_parallelism_threads=cores, inter_op_parallelism_threads=cores)


def make_session(graph: tf.Graph) -> tf1.Session:
    return tf1.Session(graph=graph, config=session_config())


@contextlib.contextmanager
def running(model_file: str):
    """Turns errors of a running session into ours: those of the core by their mark, others into a ModelError with the line
    of the model file that made the op."""
    try:
        yield
    except tf.errors.OpError as e:
        known = unwrap_error(e)
        if known is not None:
            raise known from e
        frame = user_line(e.op.traceback, model_file) if getattr(e, "op", None) is not None else None
        where = f"{model_file}:{frame.lineno}: " if frame else ""
        code = f" (in {frame.line})" if frame and frame.line else ""
        if not where and not isinstance(e, (tf.errors.InvalidArgumentError, tf.errors.InternalError)):
            raise Error(f"TensorFlow: {short_message(e)}") from e
        raise ModelError(f"{where}{short_message(e)}{code}") from e
