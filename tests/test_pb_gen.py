"""pb-gen: what was asked for is there, and the same seed gives the same bytes."""

import pytest
from test_pb_convert import unframed

from monolith_cli.records.messages import message_class


def generate(run, *args, record_type="instance"):
    return [message_class(record_type).FromString(r) for r in unframed(run("pb-gen", "-t", record_type, *args).stdout)]


def test_instances(run):
    records = generate(run, "-n", 200, "--slots", "1,5-6,200", "--fids-per-slot", "2-3", "--v2-feature", "hist:300", "--dense", "price:4", "--labels", 2,
                       "--vocab", 50, "--line-id", "uid,req_time,actions", "--start-time", 1000)
    assert len(records) == 200
    for i, r in enumerate(records):
        by_slot = {}
        for f in r.fid:
            by_slot.setdefault(f >> 54, []).append(f & (1 << 54) - 1)
        assert set(by_slot) == {1, 5, 6, 200} and len(by_slot[1]) == len(by_slot[200]) == 1
        assert all(2 <= len(by_slot[s]) <= 3 for s in (5, 6)) and all(1 <= x <= 50 for xs in by_slot.values() for x in xs)
        columns = {c.name: c for c in r.feature}
        assert set(columns) == {"hist", "price"} and {f >> 48 for f in columns["hist"].fid} == {300}
        assert len(columns["price"].float_value) == 4 and all(0 <= x < 1 for x in columns["price"].float_value)
        assert len(r.label) == 2 and set(r.label) <= {0, 1}
        assert r.line_id.req_time == 1000 + i and len(r.line_id.actions) == 1 and r.line_id.uid == 1 << 48 | by_slot[1][0]
    assert 0.3 < sum(r.label[0] for r in records) / 200 < 0.7


def test_examples_and_batches_hold_the_same_rows(run):
    args = ["-n", 50, "--slots", "1-3", "--v2-feature", "h:9", "--dense", "d:2", "--seed", 3]
    examples = generate(run, *args, record_type="example")
    assert [(n.name, n.id, n.feature.WhichOneof("type")) for n in examples[0].named_feature] == [
        ("fc_slot_1", 1, "fid_v1_list"), ("fc_slot_2", 2, "fid_v1_list"), ("fc_slot_3", 3, "fid_v1_list"), ("h", 9, "fid_v2_list"), ("d", 0, "float_list")]
    batches = run("pb-gen", "-t", "example_batch", *args, "--batch-size", 20).stdout
    assert [message_class("example_batch").FromString(b).batch_size for b in unframed(batches)] == [20, 20, 10]
    rows = run("pb-convert", "--from", "example_batch", "--to", "example", stdin=batches).stdout
    assert [message_class("example").FromString(r) for r in unframed(rows)] == examples


def test_seeds(run):
    one, same, other = (run("pb-gen", "-n", 20, "--zipf", "1.2", "--learnable", "--seed", s).stdout for s in (1, 1, 2))
    assert one == same != other


def test_learnable_labels_can_be_learned(run):
    """Rows that share all their ids mostly share the label's probability: an id's mean label differs from id to id."""
    records = generate(run, "-n", 4000, "--slots", "2", "--vocab", 4, "--learnable")
    means = {}
    for r in records:
        means.setdefault(r.fid[0], []).append(r.label[0])
    rates = [sum(v) / len(v) for v in means.values()]
    assert max(rates) - min(rates) > 0.2


def test_positive_rate_and_no_records(run):
    assert all(r.label[0] == 0 for r in generate(run, "-n", 50, "--positive-rate", 0))
    assert run("pb-gen", "-n", 0).stdout == b""


@pytest.mark.parametrize("args", [["--slots", "1024"], ["--slots", "a"], ["--slots", "1-"], ["--v2-feature", "x"], ["--v2-feature", "x:40000"], ["--fids-per-slot", "3-1"],
                                  ["--line-id", "nope"], ["--dense", "x:y"]])
def test_mistakes(run, args):
    done = run("pb-gen", *args, check=False)
    assert done.returncode == 2 and done.stderr and "Traceback" not in done.stderr
