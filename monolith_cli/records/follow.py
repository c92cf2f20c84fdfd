"""Files that grow and folders that fill: their records as they come, as `tail -F` gives lines."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator

from monolith_cli.errors import NoInputError, UsageError
from monolith_cli.records.framing import Framing

_NAP = 0.1  # seconds between looks at the stop flag
_OPEN_FILES = 512  # that stay open, so that nothing of them is lost when they are renamed or removed


def follow_readers(sources, framing: Framing | None = None, *, interval: float = 0.5, timeout: float | None = None, log=None) -> Iterator:
    """Readers of what the sources have now and of what comes to them, without end.

    interval: seconds between looks. timeout: seconds in which nothing comes, after which it ends. log: hears of files that
    were truncated, replaced or removed. Files that appear in folders or match globs are read when they are first seen. A
    record that is not whole yet is waited for; one that can never be whole is broken. Packed files are read once they are
    there, and have to appear whole. Ends as well when a stop was requested.
    Raises UsageError for standard input and Kafka, which are followed anyway.
    """
    for source in sources:
        if source == "-" or source.startswith("kafka://"):
            raise UsageError(f"--follow: {'standard input' if source == '-' else 'Kafka'} is followed without it; name files and folders")
    if not sources:
        raise UsageError("--follow: name files, folders or globs")
    return Follower(list(map(os.fspath, sources)), framing or Framing(), interval, timeout, log).readers()


class _File:
    """One file that is followed."""

    def __init__(self, name: str):
        self.name, self.fd = name, -1
        self.identity: tuple[int, int] | None = None
        self.offset = 0  # where the next record begins
        self.seen = 0  # size at the last look
        self.changed = 0.0
        self.done = False  # packed and read, or broken: nothing more is to come

    def open(self) -> None:
        self.fd = os.open(self.name, os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(self.fd)
        self.identity, self.changed = (status.st_dev, status.st_ino), time.monotonic()

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class Follower:
    def __init__(self, sources: list[str], framing: Framing, interval: float, timeout: float | None, log):
        self._sources, self._framing, self._interval, self._timeout, self._log = sources, framing, interval, timeout, log
        self._files: dict[str, _File] = {}
        self._missing: set[str] = set()

    def readers(self) -> Iterator:
        silent_since = time.monotonic()
        try:
            while not _stopped():
                came = False
                for name in self._names():
                    for reader in self._look(name):
                        came = True
                        yield reader
                for name in [n for n in self._files if not os.path.lexists(n)]:
                    yield from self._last(self._files.pop(name), "was removed")
                if came:
                    silent_since = time.monotonic()
                elif self._timeout is not None and time.monotonic() - silent_since >= self._timeout:
                    break
                else:
                    self._wait()
            for file in self._files.values():
                if file.seen > file.offset and not file.done:
                    self._say(f"{file.name}: byte {file.offset}: {file.seen - file.offset} bytes of an incomplete record were left")
        finally:
            for file in self._files.values():
                file.close()

    def _names(self) -> list[str]:
        from monolith_cli.records.sources import expand

        names: dict[str, None] = {}
        for source in self._sources:
            try:
                names.update(dict.fromkeys(expand([source])))
                self._missing.discard(source)
            except NoInputError:
                if source not in self._missing:
                    self._missing.add(source)
                    self._say(f"{source}: nothing is there yet; waits for it")
        return list(names)

    def _look(self, name: str) -> Iterator:
        """Readers of what has come to one file."""
        file = self._files.get(name)
        try:
            status = os.stat(name)
            if file is None:
                if not stat.S_ISREG(status.st_mode):
                    raise UsageError(f"--follow: {name}: is no file")
                file = self._files[name] = _File(name)
            elif file.identity != (status.st_dev, status.st_ino):
                yield from self._last(file, "was replaced: reads the new file")
                file = self._files[name] = _File(name)
            elif status.st_size < file.seen:
                self._say(f"{name}: was truncated: begins at its start again")
                file.offset, file.seen, file.done = 0, 0, False
            if status.st_size == file.seen:
                return
            if file.fd < 0:
                self._close_oldest()
                file.open()
        except FileNotFoundError:
            return
        except OSError as e:
            raise NoInputError(f"{name}: {e.strerror}") from None
        yield from self._read(file, open_end=True)

    def _close_oldest(self) -> None:
        held = [f for f in self._files.values() if f.fd >= 0]
        if len(held) >= _OPEN_FILES:
            min(held, key=lambda f: f.changed).close()

    def _last(self, file: _File, why: str) -> Iterator:
        """What is left of a file whose name is gone: nothing more will come to it."""
        self._say(f"{file.name}: {why}")
        if file.fd >= 0 and os.fstat(file.fd).st_size > file.offset:
            yield from self._read(file, open_end=False)
        file.close()

    def _read(self, file: _File, open_end: bool) -> Iterator:
        if file.done:
            return
        from monolith_cli._native import _core
        from monolith_cli.records import compression, sources

        status = os.fstat(file.fd)
        file.seen, file.changed = status.st_size, time.monotonic()
        framing, packed = self._framing, False
        if file.offset == 0:
            kind = framing.compression
            if kind == "auto":
                kind = "snappy" if file.name.endswith(".snappy") else compression.detect(os.pread(file.fd, 10, 0))
            packed = kind != "none"
        if packed:
            reader = sources.open_reader(file.name, framing)
        else:
            fd = os.dup(file.fd)
            os.lseek(fd, 0, os.SEEK_SET)
            reader = _core.FdReader(fd, file.name, framing.options(), framing.format, file.offset, True)
            if open_end:
                reader.set_open_end()
        yield reader
        file.done = packed or reader.broken
        file.offset = file.seen if packed else reader.offset
        file.seen = max(file.seen, file.offset)

    def _wait(self) -> None:
        until = time.monotonic() + self._interval
        while not _stopped() and (left := until - time.monotonic()) > 0:
            time.sleep(min(_NAP, left))

    def _say(self, message: str) -> None:
        if self._log:
            self._log.warning(message)


def _stopped() -> bool:
    from monolith_cli._native import _core

    return bool(_core.stop_requested())
