"""What goes into a PredictRequest: records from files in all their forms, random ones, and plain tensors."""

from __future__ import annotations

import os
import sys
import uuid
from dataclasses import dataclass, field

from monolith_cli import errors
from monolith_cli.records import messages
from monolith_cli.records.framing import Framing, lagrangex_header
from monolith_cli.serving.client.random_records import RandomFields, RandomRecords
from monolith_cli.whole_file import whole_file

# Input type -> (record type, name of the model's input).
RECORDS = {
    "instance": ("instance", "instances"),
    "example": ("example", "examples"),
    "example_batch": ("example_batch", "example_batch"),
    "example_batch_to_instance": ("example_batch", "instances"),
}
ONE_INSTANCE = ("json", "pbtext", "dump", "binary")  # one Instance, sent batch_size times
TYPES = (*RECORDS, *ONE_INSTANCE, "tensors")
FILE_TYPES = ("pb", "pbtxt", "json")
_BY_SUFFIX = {".json": "json", ".pbtxt": "pbtext", ".pbtext": "pbtext", ".textproto": "pbtext", ".dump": "dump"}
_MAX_TEXT = 1 << 28


@dataclass
class InputConfig:
    """input_type: of TYPES; None tells it from the suffix of the file, else instance. input_file: None, or a file that
    does not exist, is random records, which are written there. file_type: of FILE_TYPES, of files of records.
    batch_size: records of one request, or rows of a random ExampleBatch. input_name: instead of the usual one."""

    input_type: str | None = None
    input_file: str | None = None
    file_type: str = "pb"
    framing: Framing = field(default_factory=Framing)
    batch_size: int = 8
    input_name: str | None = None
    random: RandomFields = field(default_factory=RandomFields)

    def resolved_type(self) -> str:
        if self.input_type:
            return self.input_type
        return _BY_SUFFIX.get(os.path.splitext(self.input_file or "")[1], "instance")

    def tensor_name(self) -> str:
        kind = self.resolved_type()
        return self.input_name or (RECORDS[kind][1] if kind in RECORDS else "instances")

    def has_file(self) -> bool:
        return self.input_file is not None and (self.input_file == "-" or os.path.exists(self.input_file))


def request_records(config: InputConfig, log=None) -> list[bytes]:
    """The serialized records of one request: the values of its string tensor. log: hears what was made and where.

    Raises BadDataError with file, byte offset and reason, NoInputError for a missing file of a type that is never
    random."""
    kind = config.resolved_type()
    if kind in ONE_INSTANCE:
        return [_one_instance(config.input_file, kind)] * config.batch_size
    record_type, _ = RECORDS[kind]
    wanted = 1 if record_type == "example_batch" else config.batch_size
    if config.has_file():
        found = read_records(config, record_type, wanted)
        if not found:
            raise errors.BadDataError(f"{config.input_file}: holds no record")
    else:
        found = random_file(config, record_type, wanted, log)
    return as_sent(kind, found, config.input_file or "random records")


def as_sent(kind: str, records: list[bytes], name: str) -> list[bytes]:
    """The records in the form that the input type `kind` sends."""
    if kind != "example_batch_to_instance":
        return records
    from monolith_cli.serving.client.rows import instances_of

    batches = (messages.parse(messages.message_class("example_batch")(), record) for record in records)
    return [row.SerializeToString(deterministic=True) for batch in batches for row in instances_of(batch, name)]


def read_records(config: InputConfig, record_type: str, limit: int | None = None) -> list[bytes]:
    """The first `limit` records of the file, each checked to be one."""
    readers = {"pb": _framed, "pbtxt": _text, "json": _json}
    return readers[config.file_type](config, record_type, limit)


def _framed(config, record_type: str, limit: int | None) -> list[bytes]:
    from monolith_cli.records.sources import open_reader

    found, at = [], 0
    message = messages.message_class(record_type)()
    reader = open_reader(config.input_file, reading(config.framing, record_type))
    try:
        while (limit is None or len(found) < limit) and (record := next(reader, None)) is not None:
            try:
                messages.parse(message, record)
            except ValueError as e:
                raise errors.BadDataError(f"{config.input_file}: byte {at}: {e}") from None
            found.append(record)
            at = reader.offset
    except errors.BadDataError as e:
        raise errors.BadDataError(str(e).partition(" (--on-bad-record")[0]) from None
    return found


def reading(framing: Framing, record_type: str) -> Framing:
    """A lagrangex header stands for all that may come before a length: the other parts then count for nothing. Its
    eight bytes are passed over, as those of kafka_dump are: its key does not become a field of the record, which is
    sent as it is."""
    alone = framing.lagrangex_header
    return Framing(
        has_sort_id=framing.has_sort_id and not alone,
        kafka_dump=framing.kafka_dump or alone,
        kafka_dump_prefix=framing.kafka_dump_prefix and not alone,
        compression=framing.compression,
        format=framing.format,
        max_record_size=framing.max_record_size,
        record_type=record_type,
    )


def _text(config, record_type: str, limit: int | None) -> list[bytes]:
    return [_text_record(_read_text(config.input_file), record_type, config.input_file)]


def _text_record(text: str, record_type: str, name: str) -> bytes:
    from google.protobuf import text_format

    made = messages.message_class(record_type)()
    try:
        text_format.Parse("\n".join(line.strip() for line in text.splitlines()), made)
    except text_format.ParseError as e:
        raise errors.BadDataError(f"{name}: line {e.GetLine() or '?'}: {e}") from None
    return made.SerializeToString(deterministic=True)


def _json(config, record_type: str, limit: int | None) -> list[bytes]:
    """JSON lines, or objects one after the other over several lines."""
    return _json_records(_read_text(config.input_file), record_type, config.input_file, limit)


def _json_records(text: str, record_type: str, name: str, limit: int | None) -> list[bytes]:
    import json

    from monolith_cli.records.json_lines import from_json

    found, at, decoder, to_record = [], 0, json.JSONDecoder(), from_json(record_type)
    while limit is None or len(found) < limit:
        while at < len(text) and text[at].isspace():
            at += 1
        if at == len(text):
            break
        try:
            _, end = decoder.raw_decode(text, at)
            found.append(to_record(text[at:end].encode()))
        except (ValueError, RecursionError) as e:
            raise errors.BadDataError(f"{name}: byte {len(text[:at].encode())}: {e}") from None
        at = end
    return found


def _one_instance(path: str | None, form: str) -> bytes:
    if path is None:
        raise errors.UsageError(f"--input-type {form} needs --input-file")
    if form == "binary":
        payload = _read(path)
        try:
            messages.parse(messages.message_class("instance")(), payload)
        except ValueError as e:
            raise errors.BadDataError(f"{path}: byte 0: {e}") from None
        return payload
    text = _read_text(path)
    if form == "json":
        found = _json_records(text, "instance", path, 1)
        if not found:
            raise errors.BadDataError(f"{path}: holds no record")
        return found[0]
    if form == "pbtext":
        return _text_record(text, "instance", path)
    from monolith_cli.serving.client.dump_form import parse_dump

    return parse_dump(text, path).SerializeToString(deterministic=True)


def read_tensors(path: str | None) -> dict:
    """A JSON object of input name -> nested lists. NoInputError, BadDataError."""
    import json

    if path is None:
        raise errors.UsageError("--input-type tensors needs --input-file: a JSON object of input name and value")
    try:
        made = json.loads(_read_text(path))
    except (ValueError, RecursionError) as e:
        raise errors.BadDataError(f"{path}: {e}") from None
    if not isinstance(made, dict) or not made:
        raise errors.BadDataError(f"{path}: must be one JSON object of input name and value")
    return made


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read(_MAX_TEXT)
        with open(path, "rb") as f:
            return f.read(_MAX_TEXT)
    except OSError as e:
        raise errors.NoInputError(f"{path}: {e.strerror}") from None


def _read_text(path: str) -> str:
    data = _read(path)
    try:
        return data.decode()
    except UnicodeDecodeError as e:
        raise errors.BadDataError(f"{path}: byte {e.start}: not UTF-8") from None


def random_file(config: InputConfig, record_type: str, count: int, log=None) -> list[bytes]:
    """Random records, also written to the input file, or `<uuid>.pb` here where none is named."""
    generator = RandomRecords(config.random)
    made = [generator.of_type(record_type, config.batch_size) for _ in range(count)]
    path = config.input_file or f"{uuid.uuid4()}.pb"
    try:
        write_framed(path, made, config.framing)
    except (errors.CannotCreateError, errors.IoError):
        if config.input_file:
            raise
        return made
    if log:
        undrawn = config.random.undrawn()
        log.warning(
            f"{path}: {count} random {record_type} record{'s' * (count != 1)} written"
            + (f"; nothing is drawn for {', '.join(undrawn)}" if undrawn else ""),
            path=path,
        )
    return made


def write_framed(path: str, records: list[bytes], framing: Framing) -> None:
    """The records with what `framing` reads before each length. Raises what `whole_file` does."""
    header = frame_header(framing)
    with whole_file(path) as f:
        for record in records:
            f.write(header + len(record).to_bytes(8, "little") + record)


def frame_header(framing: Framing, source: str = "") -> bytes:
    """What stands before the length of a written record, so that the same flags read it. UsageError for parts that do
    not go together (spec 60, T18)."""
    if framing.lagrangex_header:
        return lagrangex_header(source)
    parts = (framing.has_sort_id, framing.kafka_dump, framing.kafka_dump_prefix)
    size = {(False, False, False): 0, (True, False, False): 8, (True, True, False): 16, (True, False, True): 24}.get(
        parts
    )
    if size is None:
        raise errors.UsageError(
            "random records are written with --has-sort-id, alone or with one of --kafka-dump and --kafka-dump-prefix, "
            "with --lagrangex-header, or with none of them"
        )
    return bytes(size)
