"""Uncompressed bytes of a source, whatever it is packed in.

The kind is told by the first bytes: zstd and gzip by their magic numbers, zlib by its checked header. None of them can
begin a stream of records with an ordinary length, so that plain streams are never mistaken (but see `--kafka-dump`,
whose first bytes are arbitrary: `--compression none` says what is meant). Hadoop block snappy has no mark: it is told by
the suffix `.snappy` alone.
"""

from __future__ import annotations

import io

from monolith_cli.errors import BadDataError

_ENOUGH = 10  # bytes that decide
_PIECE = 64 << 10
_OUTPUT = 1 << 20
_ZSTD_MAGIC, _ZSTD_SKIPPABLE = 0xFD2FB528, 0x184D2A50


def detect(head: bytes) -> str:
    """Kind of the content that starts with `head` (ten bytes or all there are): zstd, gzip, zlib or none."""
    word = int.from_bytes(head[:4], "little")
    frame_like = head[4:8] == bytes(4)  # the upper half of an ordinary record length
    if len(head) >= 4 and (word == _ZSTD_MAGIC or (word & ~0xF == _ZSTD_SKIPPABLE and not frame_like)):
        return "zstd"
    if len(head) >= 10 and head[:3] == b"\x1f\x8b\x08" and not head[3] & 0xE0 and (head[8] in (0, 2, 4) or not frame_like):
        return "gzip"
    if len(head) >= 8 and head[0] & 0x8F == 8 and not head[1] & 0x20 and (head[0] << 8 | head[1]) % 31 == 0 and not frame_like:
        return "zlib"
    return "none"


def undecided(head: bytes) -> bool:
    """True while more bytes may still turn `head` into the start of a compressed stream."""
    marks = [b"\x28\xb5\x2f\xfd", b"\x1f\x8b\x08"] + [bytes([m]) + b"\x2a\x4d\x18" for m in range(0x50, 0x60)]
    marks += [bytes([c]) for c in range(0x08, 0x88, 0x10)]
    return len(head) < _ENOUGH and any(mark.startswith(head) or head.startswith(mark) for mark in marks)


def unpack(source, kind: str):
    """A ByteSource of the content of `source`, a ByteSource packed as `kind` (none, zstd, gzip, zlib, snappy)."""
    from monolith_cli._native import _core

    if kind == "none":
        return source
    if kind == "snappy":
        return _core.snappy_source(source)
    files = {"zstd": _ZstdFile, "gzip": _GzipFile, "zlib": _ZlibFile}
    return _core.callback_source(files[kind](source), source.name)


class _Raw(io.RawIOBase):
    """A ByteSource as a Python file."""

    def __init__(self, source):
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._source.readinto(buffer)


class _Unpacked:
    """What the core reads from: hands on pieces, and an error only when all before it has gone."""

    kind = ""

    def __init__(self, source):
        self._source, self._name = source, source.name
        self._raw = io.BufferedReader(_Raw(source), _OUTPUT)
        self._at = 0  # compressed bytes taken so far
        self._piece = memoryview(b"")
        self._error: Exception | None = None
        self._ended = False

    def cancel(self) -> None:
        self._source.cancel()

    def readinto(self, buffer) -> int:
        while not self._piece:
            if self._error:
                raise self._error
            if self._ended:
                return 0
            self._piece = memoryview(self._advance())
        n = min(len(buffer), len(self._piece))
        buffer[:n] = self._piece[:n]
        self._piece = self._piece[n:]
        return n

    def _advance(self) -> bytes:
        """The next piece of content, of bounded size; may be empty. Sets _ended, or _error for later."""
        raise NotImplementedError

    def _fail(self, reason: str) -> None:
        self._error = BadDataError(f"{self._name}: byte {self._at} of the compressed file: {reason}")

    def _cut_short(self) -> None:
        self._fail(f"the {self.kind} data is cut short")


class _ZlibFile(_Unpacked):
    """RFC 1950; one stream, what follows it is not read."""

    kind, window = "zlib", 15

    def __init__(self, source):
        super().__init__(source)
        self._input = b""
        self._new_stream()

    def _new_stream(self) -> None:
        import zlib

        self._zlib, self._inflate, self._fresh = zlib, zlib.decompressobj(self.window), True

    def _advance(self) -> bytes:
        if not self._input:
            self._input = self._raw.read1(_PIECE)
            self._at += len(self._input)
            if not self._input:
                self._at_end_of_input()
                return b""
        before, given = self._inflate.copy(), self._input
        try:
            out = self._inflate.decompress(given, _OUTPUT)
        except self._zlib.error as e:
            return self._salvage(before, given, e)
        self._fresh = False
        self._input = self._inflate.unconsumed_tail
        if self._inflate.eof:
            self._input = self._inflate.unused_data
            self._end_of_stream()
        return out

    def _salvage(self, inflate, given: bytes, error) -> bytes:
        """zlib keeps back what it had unpacked before the broken place: goes there again byte by byte."""
        out = []
        try:
            for i in range(len(given)):
                out.append(inflate.decompress(given[i:i + 1]))
        except self._zlib.error as e:
            error = e
        self._at -= len(given) - i
        self._fail(f"the {self.kind} data is corrupt: {error}")
        return b"".join(out)

    def _at_end_of_input(self) -> None:
        self._cut_short()

    def _end_of_stream(self) -> None:
        self._ended = True


class _GzipFile(_ZlibFile):
    """RFC 1952; members one after the other, zero bytes behind the last allowed."""

    kind, window = "gzip", 31

    def _end_of_stream(self) -> None:
        self._new_stream()
        self._skip_padding()

    def _skip_padding(self) -> None:
        self._input = self._input.lstrip(b"\0")

    def _advance(self) -> bytes:
        if self._fresh and self._input == b"":
            self._input = self._raw.read1(_PIECE)
            self._at += len(self._input)
            if not self._input:
                self._ended = True
                return b""
            if self._at > len(self._input):
                self._skip_padding()
            return b""
        return super()._advance()

    def _at_end_of_input(self) -> None:
        self._cut_short()


class _ZstdFile(_Unpacked):
    """Zstandard frames one after the other. The library is fed block by block: each gives at most 128 KiB, and what
    came before a broken block is never lost with it."""

    kind = "zstd"

    def __init__(self, source):
        super().__init__(source)
        import zstandard

        self._zstd = zstandard
        self._frame = None
        self._last_block = self._checksum = False

    def _take(self, n: int) -> bytes | None:
        data = self._raw.read(n)
        self._at += len(data)
        if len(data) == n:
            return data
        self._cut_short()
        return None

    def _advance(self) -> bytes:
        if self._frame is None:
            return self._begin_frame()
        if self._last_block:
            return self._end_frame()
        head = self._take(3)
        if head is None:
            return b""
        word = int.from_bytes(head, "little")
        self._last_block, kind, size = bool(word & 1), word >> 1 & 3, word >> 3
        body = self._take(1 if kind == 1 else size)
        return b"" if body is None else self._feed(head + body)

    def _begin_frame(self) -> bytes:
        magic = self._raw.read(4)
        if not magic:
            self._ended = True
            return b""
        self._at += len(magic)
        word = int.from_bytes(magic, "little")
        if len(magic) < 4:
            self._cut_short()
        elif word & ~0xF == _ZSTD_SKIPPABLE:
            self._skip_frame()
        elif word != _ZSTD_MAGIC:
            self._at -= 4
            self._fail("no zstd frame begins here")
        elif (descriptor := self._take(1)) is not None:
            flags = descriptor[0]
            single = flags >> 5 & 1
            size = (0 if single else 1) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
            self._checksum, self._last_block = bool(flags & 4), False
            rest = self._take(size)
            if rest is not None:
                self._frame = self._zstd.ZstdDecompressor().decompressobj()
                return self._feed(magic + descriptor + rest)
        return b""

    def _skip_frame(self) -> None:
        head = self._take(4)
        left = int.from_bytes(head or b"", "little")
        while left and (data := self._take(min(left, _PIECE))) is not None:
            left -= len(data)

    def _end_frame(self) -> bytes:
        tail = self._take(4) if self._checksum else b""
        out = self._feed(tail) if tail else b""
        self._frame = None
        return out

    def _feed(self, data: bytes) -> bytes:
        try:
            return self._frame.decompress(data)
        except self._zstd.ZstdError as e:
            self._at -= len(data)
            self._fail(f"the zstd data is corrupt: {e}")
            return b""
