"""Python's search for garbage, kept away from what is there for good."""

from __future__ import annotations

import contextlib
import gc


@contextlib.contextmanager
def importing_for_good():
    """Around imports: an import of TensorFlow makes 300,000 objects that stay, and they would be looked through again and again, then and
    whenever there is something to collect later. They are looked through once, at the end."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.collect()
        gc.freeze()
    finally:
        if enabled:
            gc.enable()
