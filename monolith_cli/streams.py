"""Standard input, output and error, which a daemon or `>&-` may have closed."""

import io
import os
import sys

from monolith_cli.errors import IoError

_closed: set[int] = set()  # descriptors that were closed when the command began


def check_output() -> None:
    """Raises IoError where standard output was closed: for who writes records to it, were it none."""
    if sys.stdout is None or 1 in _closed:
        raise IoError("standard output: is closed")


def prepare() -> None:
    """Their descriptors are taken, so that no file is opened in place of one and gets what is meant for it. What was closed is told as
    such: writing to it, or reading, is an error; messages are lost."""
    for fd, way in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, way), True)  # the lowest that is free
            _closed.add(fd)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files go out as the bytes they are
