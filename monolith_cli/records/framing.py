"""How records stand in a source: framing, container and compression, in one object."""

from __future__ import annotations

import struct

FORMATS = ("pb", "tfrecord")
COMPRESSIONS = ("auto", "none", "zstd", "gzip", "zlib", "snappy")


class Framing:
    """What the options of `commands.options.framing` say; `Framing(**framing)` takes them as they come.

    has_sort_id, kafka_dump, kafka_dump_prefix, lagrangex_header: parts of each frame before the length; the last goes
        before the others. All default to False: the bare wire.
    compression: auto (by content; snappy by the suffix `.snappy`), none, zstd, gzip, zlib or snappy (Hadoop blocks).
    format: pb (length-prefixed messages) or tfrecord.
    max_record_size: bytes; a longer record is taken for broken framing. Default 1 GiB.
    record_type: instance, example or example_batch; decides where the data source key of a lagrangex header goes.
    """

    def __init__(self, *, has_sort_id: bool = False, kafka_dump: bool = False, kafka_dump_prefix: bool = False,
                 lagrangex_header: bool = False, compression: str = "auto", format: str = "pb",  # noqa: A002
                 max_record_size: int = 1 << 30, record_type: str = "instance"):
        self.has_sort_id, self.kafka_dump, self.kafka_dump_prefix = has_sort_id, kafka_dump, kafka_dump_prefix
        self.lagrangex_header, self.compression, self.format = lagrangex_header, compression, format
        self.max_record_size, self.record_type = max_record_size, record_type
        if format not in FORMATS:
            raise _usage(f"format {format!r}: choose {' or '.join(FORMATS)}")
        if compression not in COMPRESSIONS:
            raise _usage(f"compression {compression!r}: choose one of {', '.join(COMPRESSIONS)}")
        if format == "tfrecord" and (has_sort_id or kafka_dump or kafka_dump_prefix or lagrangex_header):
            raise _usage("--format tfrecord has frames of its own: leave out --has-sort-id, --kafka-dump, "
                         "--kafka-dump-prefix and --lagrangex-header")

    def options(self):
        """The same for the native core."""
        from monolith_cli._native import _core

        return _core.FrameOptions(
            has_sort_id=self.has_sort_id, kafka_dump=self.kafka_dump, kafka_dump_prefix=self.kafka_dump_prefix,
            lagrangex_header=self.lagrangex_header, type=self.record_type, max_record_size=self.max_record_size)


def _usage(message: str):
    from monolith_cli.errors import UsageError

    return UsageError(message)


def data_source_key(name: str) -> int:
    """The key of a data flow: the Java hash of its name (over UTF-8 bytes), shifted left by 8, as unsigned 32 bits."""
    value = 0
    for byte in name.encode():
        value = (31 * value + (byte - 256 if byte > 127 else byte)) & 0xFFFFFFFF
    return value << 8 & 0xFFFFFFFF


def lagrangex_header(name: str = "", pb_type: int = 0) -> bytes:
    """The 8 bytes before a frame of the flow `name`; no name, no key. pb_type: 0 for Instance."""
    return struct.pack("<Q", data_source_key(name) | pb_type)


def sort_header(sort_id: bool = True, kafka_dump: bool = False, kafka_dump_prefix: bool = False) -> bytes:
    """The zero bytes before the length of a frame with these parts."""
    return bytes(16 * kafka_dump_prefix + 8 * sort_id + 8 * kafka_dump)
