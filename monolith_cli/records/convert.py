"""Conversion between containers, and from and to other formats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from monolith_cli.errors import UsageError
from monolith_cli.records.framing import Framing

RECORDS = ("instance", "example", "example_batch")
FROM = (*RECORDS, "tf_example", "jsonl", "csv", "tsv")
TO = (*RECORDS, "jsonl")
PRUNINGS = ("as_is", "feature", "raw_feature")


@dataclass
class TfExample:
    """Which features of a tf.train.Example go where; see `pb-convert --help`."""

    sparse: list[tuple[str, int]] = field(default_factory=list)  # name, slot
    dense: list[str] = field(default_factory=list)
    label: str = ""
    instance_weight: str = ""
    hash_bytes: bool = False

    def operator(self):
        from monolith_cli._native import _core

        return _core.TfExampleOperator(sparse=self.sparse, dense=self.dense, label=self.label,
                                       instance_weight=self.instance_weight, hash_bytes=self.hash_bytes)


def convert_operator(from_type: str, to_type: str, *, pruning: str = "as_is", batch_size: int = 256):
    """A native operator from one container to another (instance, example, example_batch).

    pruning: as_is, feature or raw_feature: what is left out of Examples and ExampleBatches. batch_size: rows of an
    ExampleBatch made from rows.
    """
    from monolith_cli._native import _core

    return _core.convert_operator(from_type, to_type, pruning, batch_size)


def chain_operators(record_type: str, from_type: str, to_type: str, *, feature_list=None, **options) -> list:
    """The operators of a conversion within a chain that holds records of `record_type`; options as `convert_operator`.

    feature_list: as `convert`. Raises UsageError when the records are not of from_type, or a side is no record type.
    """
    for option, name in (("--from", from_type), ("--to", to_type)):
        if name not in RECORDS:
            raise UsageError(f"{option} {name}: a chain takes and gives records; convert others by a pb-convert of its own")
    if from_type != record_type:
        raise UsageError(f"--from {from_type}: the records are of type {record_type} here; --type of pb-run is that of the input")
    return record_operators(from_type, to_type, feature_list, **options)


def record_operators(from_type: str, to_type: str, feature_list=None, *, pruning: str = "as_is", batch_size: int = 256) -> list:
    """Native operators from one container to another, with the names of a feature list if there is one."""
    if feature_list is None:
        return [convert_operator(from_type, to_type, pruning=pruning, batch_size=batch_size)]
    if from_type != "instance" or to_type not in ("example", "example_batch"):
        raise UsageError("--feature-list names the features of Examples and ExampleBatches made from Instances: it goes with "
                         "--from instance --to example or example_batch")
    return named_by_list(feature_list, to_type, batch_size)


def named_by_list(feature_list, to_type: str, batch_size: int = 256) -> list:
    """Native operators from Instances to Examples or ExampleBatches, in which the v1 fids of a slot go by the name of its
    first v1 feature in the list; those of other slots by fc_slot_<n>, as without a list."""
    from monolith_cli.operators.features import FeatureConfig, names_of_slots

    operators = [convert_operator("instance", "example"),
                 *FeatureConfig(record_type="example", rename=names_of_slots(feature_list)).operators()]
    return operators if to_type == "example" else [*operators, convert_operator("example", to_type, batch_size=batch_size)]


def convert_records(payloads: Iterable[bytes], from_type: str, to_type: str, *, pruning: str = "as_is",
                    batch_size: int = 256) -> list[bytes]:
    """Serialized records converted in memory; see `convert_operator`. Raises BadDataError."""
    from monolith_cli._native import _core

    operator = convert_operator(from_type, to_type, pruning=pruning, batch_size=batch_size)
    out = [made for payload in payloads for made in _core.apply(operator, payload)]
    return out + _core.finish(operator)


def convert(sources, *, from_type: str, to_type: str, framing: Framing, schema: str | None = None,
            tf_example: TfExample | None = None, pruning: str = "as_is", batch_size: int = 256, output: str | None = None,
            on_bad_record: str = "fail", feature_list=None, run=None) -> dict:
    """The body of pb-convert. feature_list: names the features that the v1 fids of Instances become (a FeatureList).
    Returns the counters of the chain."""
    from monolith_cli.records.chain import run_chain

    common = {"output": output, "on_bad_record": on_bad_record, "run": run}
    if (from_type in ("csv", "tsv")) != (schema is not None):
        raise UsageError(f"--from {from_type} needs --schema FILE" if schema is None else "--schema goes with --from csv or tsv")
    if feature_list is not None or (from_type in RECORDS and to_type in RECORDS):
        operators = record_operators(from_type, to_type, feature_list, pruning=pruning, batch_size=batch_size)
        looks = from_type != to_type or pruning != "as_is"  # a plain copy looks at nothing
        return run_chain(sources, operators, framing=framing, record_type=from_type if looks else None, **common)
    if to_type == "jsonl":
        return _to_jsonl(sources, from_type, framing, common)
    if from_type == "jsonl":
        return _from_jsonl(sources, to_type, framing, common)
    rest = [] if to_type == "example" else [convert_operator("example", to_type, batch_size=batch_size)]
    if from_type == "tf_example":
        operator = (tf_example or TfExample()).operator()
        counters = run_chain(sources, [operator, *rest], framing=framing, **common)
        _warn(operator.notes(), run)
        return counters
    return _from_rows(sources, from_type, to_type, schema, batch_size, framing, common)


def _from_rows(sources, from_type, to_type, schema_path, batch_size, framing, common) -> dict:
    from monolith_cli._native import _core
    from monolith_cli.records import csv_schema, json_lines
    from monolith_cli.records.chain import run_chain

    schema = csv_schema.load(schema_path, from_type, "instance" if to_type == "instance" else "example")
    schema.max_row_bytes = framing.max_record_size
    operators = [_core.CsvOperator(schema)]
    readers = json_lines.line_readers(sources, framing.compression, current=[], schema=schema, begin=operators[0].begin)
    if to_type == "example_batch":
        operators.append(convert_operator("example", to_type, batch_size=batch_size))
    return run_chain((), operators, readers=readers, **common)


def _from_jsonl(sources, to_type, framing, common) -> dict:
    from monolith_cli._native import _core
    from monolith_cli.records import json_lines
    from monolith_cli.records.chain import run_chain

    current: list = []
    parse = json_lines.from_json(to_type)

    def record(line: bytes) -> bytes:
        try:
            return parse(line)
        except ValueError as e:
            raise ValueError(f"line {current[0].line}: {e}") from None

    readers = json_lines.line_readers(sources, framing.compression, current=current)
    return run_chain((), [_core.callback_operator(record, "jsonl")], readers=readers, **common)


def _to_jsonl(sources, from_type, framing, common) -> dict:
    from monolith_cli._native import _core
    from monolith_cli.records import json_lines
    from monolith_cli.records.chain import run_chain

    if from_type not in RECORDS:
        raise UsageError(f"--from {from_type} --to jsonl: convert to a record type first, and that to jsonl in a second pb-convert")
    operator = _core.callback_operator(json_lines.to_json(from_type), "jsonl")
    return run_chain(sources, [operator], framing=framing, record_type=from_type, open_output=json_lines.open_lines, **common)


_NOTES = {
    "label_missing": "records have no feature of the label's name; they leave without a label",
    "label_not_float": "records hold a label that is no list of floats; they leave without a label",
    "weight_not_one_float": "records have no instance weight of one float; they weigh 1",
    "bytes_not_hashed": "sparse features hold bytes and leave without ids; --hash-bytes makes ids of them",
}


def _warn(notes: dict[str, int], run) -> None:
    if run is not None:
        for key, count in notes.items():
            run.log.warning(f"{count} {_NOTES[key]}")
