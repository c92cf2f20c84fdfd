"""Opens sources: paths, globs, folders, date and number ranges, standard input, topics of Kafka."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator

from monolith_cli.errors import IoError, NoInputError, UsageError
from monolith_cli.records.delivery import Delivery
from monolith_cli.records.framing import Framing

STDIN = "-"
_KAFKA = "kafka://"
_GLOB = re.compile(r"[*?\[]")
_UNFINISHED = re.compile(r"\.tmp-[0-9a-f]+$")  # what a writer has not yet renamed into place


def expand(sources: Iterable[str]) -> list[str]:
    """Names of all sources in reading order; standard input is `-`, and so is an empty list of sources.

    A path stands for itself; a folder for all regular files below it, ascending by path, without hidden and unfinished
    ones; a glob (`**` included) and a pattern with {DATE(a,b)} or {INT(a,b)} for what they match, ascending within each;
    kafka://… (see `kafka_url`) for itself.
    Raises NoInputError naming what is missing or matches nothing, UsageError for a malformed pattern.
    """
    names: list[str] = []
    for source in sources:
        names += _expand_one(os.fspath(source))
    return names if names or sources else [STDIN]


def _expand_one(source: str) -> list[str]:
    if source == STDIN:
        return [STDIN]
    if source.startswith(_KAFKA):
        from monolith_cli.records import kafka_url

        kafka_url.parse(source)
        return [source]
    if os.path.lexists(source):
        return _files_of(source)
    if "{" in source:
        from monolith_cli.records import patterns

        if patterns.has_placeholder(source):
            names = [f for name in patterns.expand(source) for f in _matches(name)]
            if not names:
                raise NoInputError(f"{source}: no file matches")
            return names
    if _GLOB.search(source):
        names = _matches(source)
        if not names:
            raise NoInputError(f"{source}: no file matches")
        return names
    raise NoInputError(f"{source}: no such file")


def _matches(name: str) -> list[str]:
    if not _GLOB.search(name):
        return _files_of(name) if os.path.exists(name) else []
    import glob

    found = sorted(glob.glob(name, recursive=True))
    return [f for path in found for f in (_walk(path) if os.path.isdir(path) else [path])]


def _files_of(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    names = _walk(path)
    if not names:
        raise NoInputError(f"{path}: no files in this folder")
    return names


def _walk(folder: str) -> list[str]:
    def unreadable(e: OSError):
        raise NoInputError(f"{e.filename}: {e.strerror}")

    names = []
    for base, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = [f for f in folders if not f.startswith(".")]
        names += [os.path.join(base, f) for f in files if not f.startswith(".") and not _UNFINISHED.search(f)]
    return sorted(name for name in names if os.path.isfile(name))


def open_bytes(source: str, compression: str = "auto"):
    """A ByteSource (readinto, name, cancel) of the uncompressed bytes of one source, as `expand` names it."""
    from monolith_cli._native import _core

    if source.startswith(_KAFKA):
        raise UsageError("this command reads bytes, not messages; make a stream of them: pb-cat 'kafka://…' | …")
    if source == STDIN:
        fd, name, owned = 0, "stdin", False
        if sys.stdin is None:
            raise NoInputError("stdin: is closed")
    else:
        name, owned = source, True
        try:
            fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as e:
            raise NoInputError(f"{source}: {e.strerror}") from None
    kind, head = compression, b""
    if kind == "auto" and name.endswith(".snappy"):
        kind = "snappy"
    packed = None
    try:
        if kind == "auto":
            kind, head = _detect(fd, name)
        packed = _core.fd_source(fd, name, owned, head)
    except _core.Interrupted:  # asked to stop while waiting for the first bytes
        packed, kind = _core.memory_source(b"", name), "stopped"
    except OSError as e:
        raise IoError(f"{name}: cannot read: {e.strerror}") from None
    finally:
        if owned and (packed is None or kind == "stopped"):
            os.close(fd)
    if kind in ("none", "stopped"):
        return packed
    from monolith_cli.records import compression as packing

    return packing.unpack(packed, kind)


def _detect(fd: int, name: str) -> tuple[str, bytes]:
    """Kind of compression, and the bytes that had to be taken from a pipe to see it."""
    import stat

    from monolith_cli.records import compression

    if stat.S_ISREG(os.fstat(fd).st_mode):
        here = os.lseek(fd, 0, os.SEEK_CUR)
        return compression.detect(os.pread(fd, 10, here)), b""
    from monolith_cli._native import _core

    source, head, piece = _core.fd_source(fd, name), b"", bytearray(10)
    while compression.undecided(head):
        n = source.readinto(memoryview(piece)[: 10 - len(head)])
        if n == 0:
            break
        head += piece[:n]
    return compression.detect(head), bytes(head)


def open_reader(source: str, framing: Framing | None = None, start_offset: int = 0, *, delivery: Delivery | None = None, log=None):
    """A reader of the records of one source, as `expand` names it; iterating yields their bytes.

    start_offset: byte in the uncompressed source where reading begins; it must be the start of a frame.
    delivery: tells a topic of Kafka when its records have been taken; needed for that alone. log: hears warnings.
    Raises NoInputError when it cannot be opened, UnavailableError when its server cannot be reached.
    """
    from monolith_cli._native import _core

    framing = framing or Framing()
    if source.startswith(_KAFKA):
        if delivery is None:
            raise UsageError("this command reads Kafka through a pipe: pb-cat 'kafka://…' | …")
        from monolith_cli.records import kafka_source

        return kafka_source.open_reader(source, framing, delivery, log)
    return _core.reader(open_bytes(source, framing.compression), framing.options(), framing.format, start_offset)


def open_readers(sources: Iterable[str], framing: Framing | None = None, *, shard: str | tuple[int, int] | None = None,
                 repeat: int = 1, delivery: Delivery | None = None, log=None) -> Iterator:
    """Readers of all sources, each opened when its turn comes. What is missing is reported here, before any is read.

    shard: "I/N" or (I, N): of several sources every N-th from the I-th (from 0); of a single one every N-th record.
    repeat: how many times the whole list is read; 0 means without end. Standard input and Kafka can be read once only.
    delivery, log: as `open_reader`.
    """
    names = expand(sources)
    framing = framing or Framing()
    if repeat != 1 and STDIN in names:
        raise UsageError("--repeat: standard input can be read only once; name files instead")
    if repeat != 1 and any(name.startswith(_KAFKA) for name in names):
        raise UsageError("--repeat: a topic of Kafka can be read only once")

    def reader(name):
        return open_reader(name, framing, delivery=delivery, log=log)

    if shard is None:
        return _open_all(names, reader, repeat, None)
    index, count = parse_shard(shard)
    if len(names) == 1:
        return _open_all(names, reader, repeat, (index, count))
    return _open_all(names[index::count], reader, repeat, None)


def _open_all(names: list[str], open_one: Callable, repeat: int, shard: tuple[int, int] | None) -> Iterator:
    turn = 0
    while names and (repeat == 0 or turn < repeat):
        turn += 1
        for name in names:
            reader = open_one(name)
            if shard:
                from monolith_cli._native import _core

                reader = _core.shard_reader(reader, *shard)
            yield reader


def parse_shard(shard: str | tuple[int, int]) -> tuple[int, int]:
    """(I, N) of "I/N"; 0 <= I < N. Raises UsageError."""
    if isinstance(shard, str):
        parts = shard.split("/")
        if len(parts) != 2 or not all(p.isdecimal() for p in parts):
            raise UsageError(f"--shard {shard}: write I/N, for example 0/4 for the first of four")
        shard = (int(parts[0]), int(parts[1]))
    index, count = shard
    if not 0 <= index < count:
        raise UsageError(f"--shard {index}/{count}: the shards of {count} are 0 to {max(count - 1, 0)}")
    return index, count
