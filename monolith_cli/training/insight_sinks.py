"""Where deep-insight messages go: folders of text files, a file of JSON lines, a TFRecord file, or a topic of Kafka."""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import os
import re
from collections.abc import Callable

from monolith_cli.errors import CannotCreateError

BATCH, PART = 1024, 1_000_000  # lines that are written at once, and lines of a file
_OPEN = 64  # folders of text files with lines at hand


def open_sink(target: str, worker: int = 0):
    """A context manager with `send(list of messages)` and `flush()`.

    target: kafka://HOST:PORT/TOPIC, a message of the topic each, its key the uid; PATH.jsonl, a JSON object a line at the end of the
    file; PATH.tfrecord, a record each in the new file PATH.tfrecord.part-<worker, 5 digits>; anything else is a folder with the
    files `<model_name>/<day>/worker_<worker>/part_000000.txt`.
    Raises CannotCreateError, UnavailableError, UsageError on entering.
    """
    from monolith_cli.records.kafka_url import is_kafka

    if is_kafka(target):
        return _Topic(target)
    if target.endswith(".jsonl"):
        return _Lines(target)
    if target.endswith(".tfrecord"):
        return _TfRecord(f"{target}.part-{worker:05d}")
    return Folders(target, worker)


@contextlib.contextmanager
def _making(path: str):
    try:
        yield
    except OSError as e:
        raise CannotCreateError(f"{path}: {e.strerror or e}") from None


class _Topic(contextlib.ExitStack):
    def __init__(self, target: str):
        super().__init__()
        self._target = target

    def __enter__(self):
        from monolith_cli.records.kafka_sink import KafkaSink, PublishConfig

        self._topic = KafkaSink(PublishConfig(self._target))
        self.enter_context(self._topic.open())
        return self

    def send(self, messages: list[dict]) -> None:
        self._topic.send([json.dumps(m).encode() for m in messages], [str(m["uid"]).encode() for m in messages])

    def flush(self) -> None:
        self._topic.confirm()


class _Lines:
    def __init__(self, path: str):
        self._path = path

    def __enter__(self):
        with _making(self._path):
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
            self._file = open(self._path, "a", encoding="utf-8")
        return self

    def __exit__(self, *exc) -> None:
        with _making(self._path):
            self._file.close()

    def send(self, messages: list[dict]) -> None:
        self._file.write("".join(json.dumps(m) + "\n" for m in messages))

    def flush(self) -> None:
        self._file.flush()


class _TfRecord:
    def __init__(self, path: str):
        self._path = path

    def __enter__(self):
        import tensorflow as tf

        with _making(self._path):
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
            open(self._path, "wb").close()
        self._writer = tf.io.TFRecordWriter(self._path)
        return self

    def __exit__(self, *exc) -> None:
        self._writer.close()

    def send(self, messages: list[dict]) -> None:
        for m in messages:
            self._writer.write(json.dumps(m).encode())

    def flush(self) -> None:
        self._writer.flush()


def text_line(message: dict) -> str:
    """`<req_time>;<gid>;<uid>;<predict>;<label>`, the last two as JSON; gid is the item, where the message has it."""
    def first(names: tuple, default):
        found = [m[n] for m in (message, message.get("extra_int", {}), message.get("extra_str", {})) for n in names if n in m]
        return found[0] if found else default

    cells = [first(("__REQ_TIME__", "req_time"), ""), first(("__FEED_ID__", "feedid", "gid", "item_id"), "gid"),
             first(("__UID__", "userid", "uid"), "uid")]  # fmt: skip
    return ";".join([*map(str, cells), json.dumps(message.get("predict")), json.dumps(message.get("label"))])


def day_of(req_time) -> str:
    """YYYYMMDD, in UTC, of unix seconds; a text of another form as it is."""
    text = str(req_time)
    if re.fullmatch(r"\d{9,10}", text):
        return datetime.datetime.fromtimestamp(int(text), datetime.timezone.utc).strftime("%Y%m%d")
    return re.sub(r"[^\w.-]", "_", text).lstrip(".") or "_"


def folder_of(message: dict, worker: int, base: str) -> str:
    """`<base>/<model_name>/<day of req_time>/worker_<worker>`."""
    name = re.sub(r"[^\w.-]", "_", str(message.get("model_name") or "model_name")).lstrip(".") or "model_name"
    return os.path.join(base, name, day_of(message.get("__REQ_TIME__", message.get("req_time", ""))), f"worker_{worker}")


class PartWriter:
    """Lines into `<folder>/part_<n, 6 digits>.<extension>`: written when `batch` lines are at hand, and a next file begun once one has
    `part` lines or more. A folder that has files is gone on with behind the last one."""

    def __init__(self, folder: str, layout: Callable = text_line, batch: int = BATCH, part: int = PART, extension: str = "txt"):
        self._folder, self._layout, self._batch, self._part, self._extension = folder, layout, batch, part, extension
        self._lines: list[str] = []
        self._written = 0
        self._number: int | None = None
        self._file = None

    def write(self, message) -> None:
        """Adds a message; None is passed over."""
        if message is None:
            return
        if len(self._lines) >= self._batch:
            self.flush()
        self._lines.append(self._layout(message))

    def flush(self) -> None:
        if not self._lines:
            return
        with _making(self._folder):
            file = self._file or self._next()
            file.write("\n".join(self._lines) + "\n")
            file.flush()
        self._written += len(self._lines)
        self._lines.clear()
        if self._written >= self._part:
            self._end()

    def _next(self):
        os.makedirs(self._folder, exist_ok=True)
        if self._number is None:
            there = [int(m[1]) for n in os.listdir(self._folder) if (m := re.fullmatch(r"part_(\d{6,})\.\w+", n))]
            self._number = max(there, default=-1)
        self._number += 1
        self._file = open(os.path.join(self._folder, f"part_{self._number:06d}.{self._extension}"), "x", encoding="utf-8")
        return self._file

    def _end(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._written = None, 0

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._end()


class Folders:
    """A folder for each model, day and worker; those that were longest without a line are closed."""

    def __init__(self, base: str, worker: int):
        self._base, self._worker = base, worker
        self._writers: collections.OrderedDict[str, PartWriter] = collections.OrderedDict()

    def __enter__(self):
        with _making(self._base):
            os.makedirs(self._base, exist_ok=True)
        return self

    def __exit__(self, *exc) -> None:
        while self._writers:
            self._writers.popitem()[1].close()

    def send(self, messages: list[dict]) -> None:
        for message in messages:
            folder = folder_of(message, self._worker, self._base)
            if folder not in self._writers:
                if len(self._writers) >= _OPEN:
                    self._writers.popitem(last=False)[1].close()
                self._writers[folder] = PartWriter(folder)
            self._writers.move_to_end(folder)
            self._writers[folder].write(message)

    def flush(self) -> None:
        for writer in self._writers.values():
            writer.flush()
