"""The TensorFlow ops of the native library, loaded once."""

from __future__ import annotations

import functools
import pathlib
from types import ModuleType

from monolith_cli.errors import ConfigError


@functools.cache
def library() -> ModuleType:
    """The module of generated op functions. Raises ConfigError when the library was not built or cannot be loaded."""
    import tensorflow as tf

    path = pathlib.Path(__file__).resolve().parent.parent / "_native" / "_monolith_ops.so"
    if not path.exists():
        raise ConfigError(f"{path} is missing: build the TensorFlow ops (cmake -DMONOLITH_TENSORFLOW=ON, then install)")
    try:
        ops = tf.load_op_library(str(path))
    except tf.errors.OpError as e:
        raise ConfigError(f"{path} cannot be loaded by TensorFlow {tf.__version__}: {e.message}") from None
    for op in ("MonolithTablesLookup", "MonolithTablesLookupIds", "MonolithParseRecords", "MonolithRecordBatchInfo"):
        tf.no_gradient(op)
    return ops
