"""Sharding of fids: from a batch of records, which fids to look up in which table on which parameter server.

    sharded = shard(records, {"user": ("table_0", (8,)), "item": ("table_1", (1, 16))}, ps_num=2, unique=True)
    sharded.fid_list["table_1:0"]    # int64 array: fids for server 0
    sharded.fid_offset               # where each occurrence of a fid stands in these lists

Features count by name, in byte order; tables too. Row r of feature f has the occurrences
feature_offset[start + r] .. feature_offset[start + r + 1] of fid_offset, where start is nfl_offset[f] without bit 31; when
bit 31 is set the feature has one row for all (r = 0). fid_offset is (hi << 32) | lo: version 1: list, row in it; version 2:
list of feature, table and server, row in the feature's part; versions 3 to 5: list, float in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monolith_cli import errors

VERSIONS = (1, 2, 3, 4, 5)


class ShardedFids(NamedTuple):
    """What `shard` returns, as numpy arrays; None for what a version has not.

    fid_list: int64 by "<table>:<server>"; a list in this order with as_list; version 4: [all of them, by server, then table].
    fid_offset: uint64, one an occurrence. feature_offset: int32, one a row and the end. nfl_offset: uint32, one a feature
    and the end. batch_size: int32 rows, a number, in version 5 an array of one.
    nfl_size, feature_size, fid_size, emb_size: version 5; int32 lengths of nfl_offset, feature_offset and fid_offset, and
    floats a list, tables first. row_splits: versions 2, 3, 5: int64 by list, where the features of the table begin in it; version
    4: [all of them]. row_splits_size: version 5. emb_row_length, table_row_length, shard_row_length: version 4; int32 floats
    and fids a list, fids a server, servers first.
    """

    fid_list: dict | list
    fid_offset: object
    feature_offset: object
    nfl_offset: object
    batch_size: object
    nfl_size: object = None
    feature_size: object = None
    fid_size: object = None
    emb_size: object = None
    row_splits: dict | list | None = None
    row_splits_size: dict | list | None = None
    emb_row_length: object = None
    table_row_length: object = None
    shard_row_length: object = None


def shard(records: bytes | Sequence[bytes], features, *, ps_num: int = 1, unique: bool = False, record_type: str = "example",
          version: int = 5, as_list: bool = False) -> ShardedFids:
    """Shards the fids of one batch: serialized Instances or Examples, or one ExampleBatch.

    features: a FeatureConfigs message, or name -> (table, slice widths). ps_num: parameter servers; 0 counts as 1. unique: a
    fid stands once in the list of its feature. Raises UsageError for a mistake in these, BadDataError for a broken record.
    """
    import numpy as np

    from monolith_cli._native import _core

    batch = [records] if isinstance(records, (bytes, bytearray)) else list(records)
    if record_type in ("example_batch", "examplebatch") and len(batch) != 1:
        raise errors.UsageError(f"an example_batch is a batch for itself, and {len(batch)} were given")
    made = _core.shard_batch([bytes(r) for r in batch], record_type, feature_rows(features), ps_num, unique, version)
    names = [f"{table}:{ps}" for table in made["tables"] for ps in range(ps_num or 1)]

    def array(data, dtype):
        return np.frombuffer(data, dtype)

    def by_name(values):
        return list(values) if as_list else dict(zip(names, values))

    common = {"fid_offset": array(made["fid_offset"], "<u8"), "feature_offset": array(made["feature_offset"], "<i4"),
              "nfl_offset": array(made["nfl_offset"], "<u4"), "batch_size": np.int32(made["batch_size"])}
    if version == 4:
        fids, splits, tables, servers, floats = made["joined"]
        return ShardedFids([array(fids, "<i8")], **common, row_splits=[array(splits, "<i8")], table_row_length=array(tables, "<i4"),
                           shard_row_length=array(servers, "<i4"), emb_row_length=array(floats, "<i4"))
    if version > 1:
        splits = [array(s, "<i8") for s in made["row_splits"]]
        common["row_splits"] = by_name(splits)
    if version == 5:
        common["row_splits_size"] = by_name(np.array([len(s)], "<i4") for s in splits)
        common["emb_size"] = array(made["emb_size"], "<i4")
        common["batch_size"] = np.array([made["batch_size"]], "<i4")
        for size, of in (("nfl_size", "nfl_offset"), ("feature_size", "feature_offset"), ("fid_size", "fid_offset")):
            common[size] = np.array([len(common[of])], "<i4")
    return ShardedFids(by_name(array(f, "<i8") for f in made["fids"]), **common)


def feature_rows(features) -> list[tuple[str, str, list[int]]]:
    """Name, table and slice widths of each feature, from what `shard` takes."""
    if hasattr(features, "feature_configs"):
        return [(name, f.table, list(f.slice_dims)) for name, f in features.feature_configs.items()]
    if not isinstance(features, Mapping):
        raise errors.UsageError("features: give a FeatureConfigs message, or a dict from names to (table, slice widths)")
    return [(name, table, list(dims)) for name, (table, dims) in features.items()]


def parse_features(texts: Sequence[str], option: str = "--feature") -> dict[str, tuple[str, list[int]]]:
    """NAME=TABLE:DIM[,DIM…]. Raises UsageError with a caret."""
    from monolith_cli.operators.feature_rules import Text

    made: dict[str, tuple[str, list[int]]] = {}
    for raw in texts:
        text = Text(option, raw, "NAME=TABLE:DIM[,DIM…]")
        equals = text.cut(0, len(raw), "=")
        colon = text.cut(equals + 1, len(raw), ":", last=True)
        if raw[:equals] in made:
            text.fail(0, f"'{raw[:equals]}' is given twice")
        dims, begin = [], colon + 1
        for piece in raw[colon + 1:].split(","):
            dims.append(text.integer(begin, begin + len(piece), 1, (1 << 31) - 1, "the width of a slice"))
            begin += len(piece) + 1
        made[raw[:equals]] = (raw[equals + 1:colon], dims)
    return made


def load_features(path: str) -> dict[str, tuple[str, list[int]]]:
    """Reads a FeatureConfigs message from a file: JSON (*.json), text (*.txt, *.pbtxt, *.textproto) or serialized.

    Raises NoInputError when it cannot be read, ConfigError for a mistake in it."""
    from google.protobuf import json_format, text_format
    from google.protobuf.message import DecodeError
    from monolith_protos.example_pb2 import FeatureConfigs

    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError as e:
        raise errors.NoInputError(f"{path}: {e.strerror}") from None
    try:
        if path.endswith(".json"):
            message = json_format.Parse(data.decode(), FeatureConfigs())
        elif path.endswith((".txt", ".pbtxt", ".textproto")):
            message = text_format.Parse(data.decode(), FeatureConfigs())
        else:
            message = FeatureConfigs.FromString(data)
    except (json_format.ParseError, text_format.ParseError, DecodeError, UnicodeDecodeError) as e:
        raise errors.ConfigError(f"{path}: this is no FeatureConfigs: {e}") from None
    return {name: (table, dims) for name, table, dims in feature_rows(message)}


def shard_stream(sources, features: Mapping, *, ps_num: int = 1, unique: bool = False, version: int = 5, batch_size: int = 512,
                 drop_remainder: bool = False, form: str = "message", framing=None, output: str | None = None,
                 on_bad_record: str = "fail", stats: str | None = None, run=None) -> dict:
    """The body of shard-fids: one ShardedFids a batch, as framed messages, or as lines (form json or text).

    framing.record_type is the type of the records. Returns the counters of the chain."""
    from monolith_cli._native import _core
    from monolith_cli.records import json_lines
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.sinks import open_sink

    operator = _core.shard_fids_operator(framing.record_type, feature_rows(features), ps_num, unique, version, batch_size, drop_remainder, form)
    return run_chain(sources, [operator], framing=framing, output=output, on_bad_record=on_bad_record, stats=stats,
                     record_type=framing.record_type, run=run,
                     open_output=open_sink if form == "message" else json_lines.open_lines)


def configured(texts: Sequence[str], path: str | None = None, feature_list=None) -> dict[str, tuple[str, list[int]]]:
    """The features of NAME=TABLE:DIM… texts and of a file. Raises UsageError for none at all and for one in both, ConfigError
    for those that a feature list does not have."""
    features, more = load_features(path) if path else {}, parse_features(texts)
    for name in features.keys() & more:
        raise errors.UsageError(f"--feature: '{name}' is in {path} already")
    features |= more
    if not features:
        raise errors.UsageError("name the features to shard: --feature NAME=TABLE:DIM, or --features FILE")
    if feature_list is not None:
        check_names(features, feature_list)
    return features


def check_names(features: Mapping, feature_list) -> None:
    """Raises ConfigError for features that the feature list does not have."""
    from monolith_cli.records.feature_list import NameMapper

    mapper = NameMapper()
    mapper.register_names(features)
    mapper.set_mapping(feature_list)
