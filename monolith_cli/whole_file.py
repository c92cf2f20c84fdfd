"""Files that appear whole, or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def whole_file(path: str, mode: int | None = None) -> Iterator:
    """What `write(bytes)` of the object that is given has been called with stands at `path` when the block has ended without an error, and
    is on the disk then.

    A link stays and what it leads to is replaced; a pipe, a device or an open descriptor (/dev/stdout) is written to. mode: permissions; None:
    those of the file that was there, or what the umask leaves. Raises CannotCreateError where no file can be made there, IoError where it
    cannot be written; both name `path`, and what was there stays.
    """
    from monolith_cli._native import _core

    file = _core.AtomicFile(path, mode or 0)
    try:
        yield file
        file.commit()
    except BaseException:
        file.abandon()
        raise


def write_whole(path: str, data: bytes | str, mode: int | None = None) -> None:
    """`whole_file` with these bytes, or this text in UTF-8."""
    with whole_file(path, mode) as f:
        f.write(data.encode() if isinstance(data, str) else data)
