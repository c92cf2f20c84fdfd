"""Where records go: standard output, or a file that appears whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from monolith_cli.streams import check_output


@contextmanager
def open_sink(output: str | None = None) -> Iterator:
    """A sink of the bare wire. output: a path, None or `-` for standard output.

    A file is written beside its place and renamed when the block ends without an error; after an error nothing has
    happened to it. Devices and pipes are written directly. Raises CannotCreateError, IoError.
    """
    from monolith_cli._native import _core

    if output in (None, "-"):
        check_output()
        yield _core.FdSink(1, "standard output")
        return
    file = _core.AtomicFile(output)
    sink = _core.FdSink(file.fileno(), output)
    yield sink
    sink.flush()
    file.commit()
