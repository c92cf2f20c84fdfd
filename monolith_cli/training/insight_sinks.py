"""Where deep-insight messages go: folders of text files, a file of JSON lines, a TFRecord file, or a topic of Kafka."""

from __future__ import annotations

import collections
import contextlib
import datetime
import json
import os
import re

from monolith_cli.errors import CannotCreateError

_OPEN = 64  # folders of text files with lines at hand


def open_sink(target: str, worker: int = 0):
    """A context manager with `send(messages)` and `flush()`; a message is (uid, JSON).

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
        return _TfRecord(target, worker)
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

    def send(self, messages: list) -> None:
        self._topic.send([text for _, text in messages], [str(uid).encode() for uid, _ in messages])

    def flush(self) -> None:
        self._topic.confirm()


class _Lines:
    def __init__(self, path: str):
        self._path = path

    def __enter__(self):
        with _making(self._path):
            os.makedirs(os.path.dirname(self._path) or ".", exist_ok=True)
            self._file = open(self._path, "ab")
        return self

    def __exit__(self, *exc) -> None:
        with _making(self._path):
            self._file.close()

    def send(self, messages: list) -> None:
        self._file.write(b"".join(text + b"\n" for _, text in messages))

    def flush(self) -> None:
        self._file.flush()


class _TfRecord:
    def __init__(self, target: str, worker: int):
        self._target, self._worker = target, worker

    def __enter__(self):
        from monolith_cli.metrics.deep_insight import MessageDump, dump_name

        path = dump_name(self._target, self._worker)
        with _making(path):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            open(path, "wb").close()
        self._dump = MessageDump(path)
        return self

    def __exit__(self, *exc) -> None:
        self._dump.close()

    def send(self, messages: list) -> None:
        for _, text in messages:
            self._dump.put(text)

    def flush(self) -> None:
        """Its thread writes what it is given."""


def day_of(req_time) -> str:
    """YYYYMMDD, in UTC, of unix seconds; another text as it is."""
    text = str(req_time)
    if re.fullmatch(r"\d{9,10}", text):
        return datetime.datetime.fromtimestamp(int(text), datetime.timezone.utc).strftime("%Y%m%d")
    return text


class Folders:
    """A folder for each model, day and worker; of many, those that were longest without a line are closed."""

    def __init__(self, base: str, worker: int):
        self._base, self._worker = base, worker
        self._files: collections.OrderedDict = collections.OrderedDict()  # folder -> WriteOnlyFileAndStat

    def __enter__(self):
        with _making(self._base):
            os.makedirs(self._base, exist_ok=True)
        return self

    def __exit__(self, *exc) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def send(self, messages: list) -> None:
        from monolith_cli.metrics.message_sinks import WriteOnlyFileAndStat, vepfs_key_fn, vepfs_layout_fn

        for _, text in messages:
            message = json.loads(text)
            folder = vepfs_key_fn(message | {"req_time": day_of(message["req_time"])}, self._worker, self._base)
            if folder not in self._files:
                if len(self._files) >= _OPEN:
                    self._files.popitem(last=False)[1].close()
                self._files[folder] = WriteOnlyFileAndStat(folder, vepfs_layout_fn)
            self._files.move_to_end(folder)
            self._files[folder].write(message)

    def flush(self) -> None:
        for file in self._files.values():
            file.flush()
