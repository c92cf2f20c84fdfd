"""TensorFlow, imported once and silently, when the first model is loaded."""

from __future__ import annotations

import functools
import os
import sys

from monolith_cli.garbage import importing_for_good


@functools.cache
def tensorflow():
    """The module."""
    from monolith_cli.training.runtime import need_no_temporary_directory, quiet_stderr

    verbose = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") < "3"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    if "tensorflow" not in sys.modules:
        need_no_temporary_directory()
        # What stays of it is not looked through again: collections hold up all requests.
        with quiet_stderr(verbose), importing_for_good():
            import tensorflow
    import tensorflow

    if not verbose:
        tensorflow.get_logger().setLevel("ERROR")
    return tensorflow
