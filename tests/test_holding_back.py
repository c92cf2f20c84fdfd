"""Operators that keep records say so: a source of messages commits nothing then (see records/delivery.py)."""

import pytest

from monolith_cli._native import _core
from monolith_cli.operators.filter import FilterConfig
from monolith_cli.operators.flows import SplitConfig
from monolith_cli.operators.shuffle import shuffle
from monolith_cli.records.convert import convert_operator
from monolith_cli.records.shard_fids import feature_rows
from monolith_protos.proto_parser_pb2 import Instance

RECORD = Instance(fid=[7 << 54 | 1], label=[1.0]).SerializeToString()


def shard(batch_size):
    features = feature_rows({"slot_7": ("users", [8])})
    return _core.shard_fids_operator("instance", features, 2, True, 5, batch_size, False, "message")


def split(folder):
    return SplitConfig((("a", str(folder / "a.pb")), ("b", "-")), by="turn").operator()


@pytest.mark.parametrize(("make", "held"), [
    (lambda folder: FilterConfig().operator(), False),
    (lambda folder: FilterConfig(rejected=str(folder / "rejected.pb")).operator(), True),
    (lambda folder: shuffle(10, seed=1), True),
    (lambda folder: convert_operator("instance", "example"), False),
    (lambda folder: convert_operator("instance", "example_batch", batch_size=2), True),
    (lambda folder: shard(2), True),
    (lambda folder: shard(1), False),
    (split, True),
], ids=["filter", "rejected", "shuffle", "convert", "batch", "part of a batch", "whole batch", "split"])
def test_holds_back(tmp_path, make, held):
    operator = make(tmp_path)
    _core.apply(operator, RECORD)
    assert operator.holds_back is held
