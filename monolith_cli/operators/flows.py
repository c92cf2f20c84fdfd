"""Splitting a stream into flows and merging streams into one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.records.framing import Framing


@dataclass(frozen=True)
class SplitConfig:
    """Where each record goes; it goes as it came.

    flows: (name, path) pairs; a path is a file, which appears whole at the end, a FIFO, a device, or "-" to pass on.
    by: "flow" by data_source_key, which is that of a flow's name; a field of LineId, whose value is the name;
        "hash:FIELD" or "turn" over all flows alike, whatever their names.
    unmatched: what happens to a record of no flow: "error" (it is a bad record), "drop", or a path.

    Raises UsageError, for two flows that cannot be told apart for one; CannotCreateError for a path.
    """

    flows: tuple[tuple[str, str], ...]
    record_type: str = "instance"
    by: str = "flow"
    unmatched: str = "error"

    def operator(self):
        """The native operator; it belongs to one chain."""
        from monolith_cli._native import _core

        kind, _, field = self.by.partition(":")
        if kind not in ("flow", "turn", "hash") or (kind != "hash" and field):
            kind, field = "field", self.by
        if not self.unmatched:
            raise errors.UsageError("--unmatched: choose drop, error or a path")
        _open_many()
        return _core.Split(self.record_type, kind, field, [(os.fsencode(n), os.fsencode(p)) for n, p in self.flows],
                           os.fsencode(self.unmatched))


def parse_flow(text: str) -> tuple[str, str]:
    """(name, path) of NAME=PATH. Raises UsageError."""
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise errors.UsageError(f"--flow {text}: write NAME=PATH, for example pc=pc.pb")
    return name, path


def _open_many() -> None:
    """As many open files as the system lets this process have. What a shell gives it, 1,024, is less than the minutes of a day."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def merge(sources: Iterable[str], framing: Framing | None = None, *, on_bad_record: str = "fail", warn=None):
    """One reader of all sources: a record from each that has one at hand, in turn.

    FIFOs and standard input are read ahead by a thread each and never hold up the others, nor does one that has no writer
    yet; files alone are merged in the same order each time. on_bad_record: with "fail" an input that breaks ends there, the
    others are read on, and the error comes at the end; warn(message) hears of it at once.
    Raises NoInputError for what cannot be opened.
    """
    from monolith_cli._native import _core
    from monolith_cli.records.sources import expand, open_reader

    _open_many()
    framing = framing or Framing()
    inputs = []
    for name in expand(sources):
        live = _is_live(name)
        inputs.append((_live_reader(name, framing) if live else open_reader(name, framing), live))
    return _core.merge_reader(inputs, on_bad_record, warn)


def _is_live(name: str) -> bool:
    import stat

    try:
        mode = os.stat(0 if name == "-" else name).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _live_reader(name: str, framing: Framing):
    from monolith_cli._native import _core

    file = _LiveInput(name, framing.compression)
    source = file.raw if framing.compression == "none" else _core.callback_source(file, file.raw.name)
    return _core.reader(source, framing.options(), framing.format, 0)


class _LiveInput:
    """Bytes of a pipe, unpacked; what they are packed in is looked at when they come."""

    def __init__(self, name: str, compression: str):
        import sys

        from monolith_cli._native import _core

        if name == "-":
            if sys.stdin is None:
                raise errors.NoInputError("stdin: is closed")
            self.raw = _core.fd_source(0, "stdin")
        else:
            try:  # without waiting for a writer; reading waits for it
                fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as e:
                raise errors.NoInputError(f"{name}: {e.strerror}") from None
            self.raw = _core.fd_source(fd, name, True)
        self.compression, self.unpacked = compression, None

    def readinto(self, buffer) -> int:
        if self.unpacked is None:
            self.unpacked = self._open()
        return self.unpacked.readinto(buffer)

    def cancel(self) -> None:
        self.raw.cancel()

    def _open(self):
        from monolith_cli._native import _core
        from monolith_cli.records import compression as packing

        kind, head, piece = self.compression, b"", bytearray(10)
        if kind == "auto":
            while packing.undecided(head):
                n = self.raw.readinto(memoryview(piece)[: 10 - len(head)])
                if n == 0:
                    break
                head += piece[:n]
            kind = packing.detect(head)
        source = _core.callback_source(_Joined(head, self.raw), self.raw.name) if head else self.raw
        return source if kind == "none" else packing.unpack(source, kind)


class _Joined:
    """Bytes already read, then those of a source."""

    def __init__(self, head: bytes, source):
        self.head, self.source = head, source

    def readinto(self, buffer) -> int:
        if not self.head:
            return self.source.readinto(buffer)
        n = min(len(buffer), len(self.head))
        buffer[:n], self.head = self.head[:n], self.head[n:]
        return n

    def cancel(self) -> None:
        self.source.cancel()
