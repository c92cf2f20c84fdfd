"""TensorFlow, brought up without its banners."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import tempfile

from monolith_cli.garbage import importing_for_good


@contextlib.contextmanager
def quiet_stderr(verbose: bool = False):
    """Keeps what libraries write to file descriptor 2 to itself; an exception brings it out again."""
    if verbose:
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with os.fdopen(os.memfd_create("stderr"), "w+b") as hidden:  # in memory: there need not be a directory that can be written to
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except ImportError:
            hidden.seek(0)
            os.write(saved, hidden.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def need_no_temporary_directory() -> None:
    """TensorFlow asks for the name of one when it is imported, which fails where none can be written to; nothing of ours needs one."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = "/tmp"


def import_tensorflow(verbose: bool = False):
    """The tensorflow module. Its own messages are let through only with `verbose`."""
    if "tensorflow" not in sys.modules:
        if not verbose:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    need_no_temporary_directory()
    with quiet_stderr(verbose), importing_for_good():
        import tensorflow as tf
        import keras  # noqa: F401 - its first import prints too
    if not verbose:
        tf.get_logger().setLevel("ERROR")
        # Python's own warnings of libraries say nothing that a user of the command can act on.
        import warnings

        warnings.simplefilter("ignore")
    return tf


def set_seed(seed: int) -> None:
    """Seeds Python, NumPy and Keras; TensorFlow's graph seed is set by who makes the graph."""
    import keras
    import numpy as np

    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    keras.utils.set_random_seed(seed & 0xFFFFFFFF)
