"""The records of a command: where they come from, and where training stands in them."""

from __future__ import annotations

import itertools
import os
from typing import Any

from monolith_cli.errors import BadDataError, ConfigError, UsageError
from monolith_cli.model.model import HIDDEN
from monolith_cli.records.framing import Framing
from monolith_cli.records.sources import STDIN, expand, open_reader

RECORDS_END = HIDDEN + "records_end"
ID_FIELD = HIDDEN + "id_"

_numbers = itertools.count()


class RecordInput:
    """Batches of records of the sources, for the graph; a context manager that ends their reading.

    position: what `position_after` gave when a checkpoint was made; {} at the beginning. In it stand `names`, the files
    read so far, `offset` and `size` of the last one, `at_end`, and `records`, how many were read.
    on_bad_record: fail, skip, or the path of a file that keeps the bytes; warn(message) hears of the first ones left out.
    """

    def __init__(self, sources, record_type: str, framing: dict, batch_size: int, *, position: dict | None = None,
                 skip_consumed: bool = False, id_fields: tuple[str, ...] = (), count: bool = False,
                 drop_remainder: bool = False, on_bad_record: str = "fail", warn=None):  # fmt: skip
        self._sources, self._record_type, self._batch_size = tuple(sources), record_type, batch_size
        self._framing = Framing(**framing, record_type=record_type)
        self._position = position or {}
        self._skip_consumed, self._id_fields, self._count = skip_consumed, id_fields, count
        self._drop_remainder, self._on_bad_record, self._warn = drop_remainder, on_bad_record, warn
        self._stream: Any = None
        self._stream_name = f"input_{next(_numbers)}"
        self._names: list[str] = []

    @classmethod
    def for_training(cls, config, state, warn) -> "RecordInput":
        position = {} if config.from_start else state.input
        return cls(config.sources, config.record_type, config.framing, config.batch_size, position=position,
                   skip_consumed=config.skip_consumed, count=True, drop_remainder=config.drop_remainder,
                   on_bad_record=config.on_bad_record, warn=warn,
                   id_fields=config.insight.line_id_fields() if config.insight else ())  # fmt: skip

    @classmethod
    def for_reading(cls, config, warn) -> "RecordInput":
        more = config.insight.line_id_fields() if config.insight else ()
        fields = tuple(dict.fromkeys((*config.id_fields, *more)))
        return cls(config.sources, config.record_type, config.framing, config.batch_size, id_fields=fields,
                   on_bad_record=config.on_bad_record, warn=warn)  # fmt: skip

    def __enter__(self) -> "RecordInput":
        from monolith_cli._native import _core

        _core.install_stop_handlers()
        return self

    def __exit__(self, *exc) -> None:
        if self._stream is not None:
            from monolith_cli._native import _core

            _core.unregister_stream(self._stream_name)
            self._stream.stop()

    # --- for the graph -----------------------------------------------------------------------------------------------

    def records(self):
        """Dataset of record batches; they come once `start` was called. Raises what is wrong with the sources."""
        from monolith_cli.tables.graph import batch_position, record_dataset

        if not self._names:
            self._resolve()
        batches = record_dataset(self._stream_name)
        if self._drop_remainder:
            batches = batches.filter(lambda records: batch_position(records)[1] >= self._batch_size)
        return batches

    def start(self, graph) -> None:
        """Begins to read, if the model asked for records. Standard input stays untouched until then. graph: that parses the records."""
        if self._names and self._stream is None:
            self._open(graph)

    @property
    def bad_records(self) -> int:
        """How many were left out so far."""
        return 0 if self._stream is None else self._stream.bad_records

    def hidden(self, records) -> dict:
        """Of each batch: the number of the record after it, and the id fields."""
        from monolith_cli.model import parsers
        from monolith_cli.tables.graph import batch_end

        out = {}
        if self._count:
            out[RECORDS_END] = batch_end(records)
        if self._id_fields:
            parse = {"instance": parsers.parse_instances, "example": parsers.parse_examples}.get(
                self._record_type, parsers.parse_example_batch
            )
            with parsers.ParserContext():  # what the model parsed stays the last that was parsed
                try:
                    ids = parse(records, extra_features=list(self._id_fields), extra_feature_shapes=[1] * len(self._id_fields))
                except ConfigError as e:
                    raise UsageError(f"--id-fields: {e}") from None
            out |= {ID_FIELD + name: value for name, value in ids.items()}
        return out

    # --- positions ---------------------------------------------------------------------------------------------------

    def _resolve(self) -> None:
        names = expand(self._sources)
        if STDIN in names and len(names) > 1:
            raise UsageError("standard input (-) has no position to go on from: name it alone, or files alone")
        self._names = names

    def _open(self, graph) -> None:
        from monolith_cli._native import _core
        from monolith_cli.training.record_check import parsers_of

        skip, start_records, start_index, offset = 0, 0, 0, 0
        done = self._position.get("records", 0)
        if self._names == [STDIN]:
            skip, start_records = (done, 0) if self._skip_consumed else (0, done)
        elif self._position.get("names"):
            start_index, offset = self._find()
            start_records = done
        names = iter(self._names[start_index:])
        first = [offset]

        def next_reader():
            name = next(names, None)
            return None if name is None else open_reader(name, self._framing, first.pop() if first else 0)

        self._stream = _core.RecordStream(
            self._record_type, self._batch_size, next_reader, skip_records=skip, start_records=start_records,
            start_source_index=start_index, on_bad_record=self._on_bad_record, warn=self._warn,
            parsers=[] if self._on_bad_record == "fail" else parsers_of(graph, self._record_type),
        )  # fmt: skip
        _core.register_stream(self._stream_name, self._stream)

    def _find(self) -> tuple[int, int]:
        """(index of the source, byte in it) where training goes on. Raises BadDataError when the sources are not those that
        were trained on, with later ones at the end."""
        read = self._position["names"]
        current, offset = read[-1], self._position["offset"]
        places = [i for i, name in enumerate(self._names) if name == current]
        turn = read.count(current) - 1
        if len(places) > turn:
            index = places[turn]
            self._check_size(current, offset)
        elif self._position["at_end"]:
            index, offset = max((i for i, name in enumerate(self._names) if name in read), default=-1) + 1, 0
        else:
            raise BadDataError(
                f"{current}: training stopped at byte {offset} of this source, and it is not among those given now; give it "
                "again, or --from-start to read what is given from its beginning"
            )
        for name in self._names[:index]:
            if name not in read:
                raise BadDataError(
                    f"{name}: comes before {current}, where training stands, but was not trained on; put it behind, or "
                    "--from-start to read everything from its beginning"
                )
        return index, offset

    def _check_size(self, name: str, offset: int) -> None:
        before, now = self._position["size"], _size(name)
        if before is not None and now is not None and now < before:
            raise BadDataError(
                f"{name}: has {now} bytes, but had {before} when training stood at byte {offset}: it is another file; put "
                "the old one back, or --from-start to read what is given from its beginning"
            )

    def position_after(self, records: int, at_end: bool) -> dict:
        """What a checkpoint keeps after so many records; at_end: nothing followed them."""
        if self._stream is None:
            return {"records": records}
        at = self._stream.position_after(records)
        if self._names == [STDIN]:
            return {"records": at["records"]}
        names = self._names[: at["source_index"] + 1] if at["source"] else []
        known = set(names)
        older = [n for n in self._position.get("names", []) if n not in known]
        return {
            "records": at["records"],
            "names": older + names,
            "offset": at["offset"],
            "size": _size(names[-1]) if names else None,
            "at_end": at_end and not self._drop_remainder,
        }


def _size(name: str) -> int | None:
    """Bytes of a regular file, None for anything else."""
    return os.stat(name).st_size if os.path.isfile(name) else None
