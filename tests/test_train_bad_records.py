"""Records that cannot be read, in the input of monolith-train, monolith-eval and monolith-predict."""

import json
import random
import struct
from collections import Counter

import pytest
from model_files import COUNTER, fid, instance, items, wire, write_model

pytest.importorskip("tensorflow")

BROKEN = b"\x0a\xff\xff\xff\xff\x7fno instance"
WHY = "a field reaches over the end at byte 6 of the record"

EXAMPLES = """
    from monolith_cli.model import *
    import tensorflow as tf

    class Counter(MonolithModel):
        head_name = "count"

        def parse_fn(self, records, mode):
            features = parse_examples(records, sparse_features=["item"])
            return features | parse_examples(records, dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            (count,) = self.lookup_embedding_slice(
                ["item"], "count", 1, initializer=ZerosInitializer(), optimizer=SgdOptimizer(learning_rate=1.0))
            return EstimatorSpec(features["label"], count, loss=-tf.reduce_sum(count), optimizer=None, classification=False)
"""


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path, COUNTER)


def mixed(n=400, every=9, seed=0):
    """(ids of the good records, all records, the places of the broken ones)."""
    rng = random.Random(seed)
    ids, records, broken, at = [], [], [], 0
    for i in range(n):
        if i % every == 4 or 100 <= i < 110:
            record = BROKEN
            broken.append(at)
        else:
            ids.append(rng.randrange(20))
            record = instance(uid=i, item=[fid(1, ids[-1])])
        records.append(record)
        at += 8 + len(record)
    return ids, records, broken


def counts(run, model, model_dir) -> dict[int, int]:
    out = run("monolith-predict", "-q", "--model", model, "--model-dir", model_dir, stdin=items(range(20))).stdout.decode().split()
    return {i: int(float(v)) for i, v in enumerate(out) if float(v)}


def train(run, model, folder, *args, **kwargs):
    return run("monolith-train", "--model", model, "--model-dir", folder, "--batch-size", "32", "--json", *args, **kwargs)


def test_the_first_one_ends_it_in_front_of_its_batch(run, tmp_path, model):
    """It is named by source and byte, and what came before is saved."""
    data = tmp_path / "data.pb"
    good = [instance(uid=i, item=[fid(1, 3)]) for i in range(70)]
    data.write_bytes(wire([*good, BROKEN, *good]))
    place = len(wire(good))
    done = train(run, model, tmp_path / "m", data, check=False)
    assert done.returncode == 65 and f"{data}: byte {place}: {WHY} (--on-bad-record skip leaves such records out)" in done.stderr
    assert "Traceback" not in done.stderr
    assert counts(run, model, tmp_path / "m") == {3: 64}
    summary = json.loads(train(run, model, tmp_path / "m", "--on-bad-record", "skip", data).stdout)
    assert (summary["examples"], summary["records_trained"], summary["bad_records"]) == (76, 140, 1)
    assert counts(run, model, tmp_path / "m") == {3: 140}


def test_left_out_as_if_they_were_not_there(run, tmp_path, model):
    """The same batches, hence the same steps, as from the good records alone; the others are told of and kept."""
    ids, records, broken = mixed()
    data, kept, clean = tmp_path / "data.pb", tmp_path / "kept.pb", tmp_path / "clean.pb"
    data.write_bytes(wire(records))
    clean.write_bytes(wire(r for r in records if r != BROKEN))
    done = train(run, model, tmp_path / "m", "--on-bad-record", kept, data)
    other = train(run, model, tmp_path / "other", clean)
    summary, wanted = json.loads(done.stdout), json.loads(other.stdout)
    assert summary["bad_records"] == len(broken) and wanted["bad_records"] == 0
    assert (summary["examples"], summary["steps"], summary["loss"]) == (len(ids), wanted["steps"], wanted["loss"])
    assert kept.read_bytes() == wire([BROKEN] * len(broken))
    assert counts(run, model, tmp_path / "m") == Counter(ids)
    warnings = [line for line in done.stderr.splitlines() if "warning" in line]
    assert len(warnings) == 10 and warnings[0].endswith(f"{data}: byte {broken[0]}: {WHY}") and "only counted" in warnings[-1]
    assert f"bad records {len(broken)}" in done.stderr


@pytest.mark.parametrize("piped", [False, True], ids=["file", "pipe"])
def test_goes_on_behind_them(run, tmp_path, model, piped):
    """Stopped in between: positions count what was left out, so that every good record is trained on once."""
    ids, records, _ = mixed()
    data = tmp_path / "data.pb"
    data.write_bytes(wire(records))
    source = {"stdin": data.read_bytes()} if piped else {}
    args = ["--on-bad-record", "skip", *(["--skip-consumed"] if piped else [data])]
    for step in (3, 8):
        train(run, model, tmp_path / "m", "--max-steps", step, *args, **source)
    done = train(run, model, tmp_path / "m", *args, **source)
    assert json.loads(done.stdout)["records_trained"] == len(ids)
    assert counts(run, model, tmp_path / "m") == Counter(ids)


def test_a_source_that_breaks_is_left_at_that_place(run, tmp_path, model):
    first, second, kept = tmp_path / "a.pb", tmp_path / "b.pb", tmp_path / "kept.pb"
    tail = struct.pack("<Q", 100) + b"cut"
    first.write_bytes(items([1] * 40) + tail)
    second.write_bytes(items([2] * 40))
    done = train(run, model, tmp_path / "m", "--on-bad-record", kept, first, second)
    assert json.loads(done.stdout)["bad_records"] == 1 and "the rest of this source is left out" in done.stderr
    assert counts(run, model, tmp_path / "m") == {1: 40, 2: 40}
    assert kept.read_bytes() == wire([tail])


def test_what_the_model_cannot_use_is_left_out_too(run, tmp_path):
    """Whole protobufs, but a feature holds something else than the model reads; any of its parse calls counts."""
    from monolith_protos.example_pb2 import Example

    def example(value, label=1.0):
        record = Example(label=[label])
        feature = record.named_feature.add(name="item")
        if isinstance(value, int):
            feature.feature.fid_v2_list.value.append(value)
        else:
            feature.feature.float_list.value.append(value)
        return record.SerializeToString()

    model = write_model(tmp_path, EXAMPLES)
    data = tmp_path / "data.pb"
    data.write_bytes(wire([example(fid(1, 5)), example(0.5)]))
    failed = train(run, model, tmp_path / "m", "-t", "example", data, check=False)
    assert failed.returncode == 65 and f"{data}: byte " in failed.stderr and "feature item: holds float_list, wanted are fids" in failed.stderr
    data.write_bytes(wire([example(fid(1, 5)), example(0.5), example(fid(1, 5)), BROKEN, example(fid(1, 6))]))
    done = train(run, model, tmp_path / "m", "-t", "example", "--on-bad-record", "skip", data)
    summary = json.loads(done.stdout)
    assert (summary["examples"], summary["bad_records"], summary["tables"]) == (3, 2, {"item": 2})
    assert "feature item: holds float_list, wanted are fids" in done.stderr


def test_all_of_them(run, tmp_path, model):
    done = train(run, model, tmp_path / "m", "--on-bad-record", "skip", stdin=wire([BROKEN] * 50))
    assert json.loads(done.stdout)["bad_records"] == 50
    assert "nothing to train: no record of the input could be read" in done.stderr


def test_judged_and_scored_without_them(run, tmp_path, model):
    """Judged from a dump of the model, which knows as well what it reads."""
    ids, records, broken = mixed(60)
    data, kept = tmp_path / "data.pb", tmp_path / "kept.pb"
    data.write_bytes(wire(records))
    train(run, model, tmp_path / "m", "--model-dump", "--on-bad-record", "skip", data)
    args = ["--model-dir", tmp_path / "m", "--json", data]
    dump = tmp_path / "m/model_dump"
    judged = json.loads(run("monolith-eval", "--model", dump, "--on-bad-record", "skip", *args).stdout)
    assert (judged["examples"], judged["bad_records"]) == (len(ids), len(broken))
    scored = run("monolith-predict", "--model", model, "--on-bad-record", kept, *args).stdout.splitlines()
    assert [json.loads(line)["uid"] for line in scored] == [i for i, r in enumerate(records) if r != BROKEN]
    assert kept.read_bytes() == wire([BROKEN] * len(broken))
    failed = run("monolith-predict", "--model", model, *args, check=False)
    assert failed.returncode == 65 and f"{data}: byte {broken[0]}: {WHY}" in failed.stderr


def test_a_file_for_them_that_cannot_be_made(run, tmp_path, model):
    done = train(run, model, tmp_path / "m", "--on-bad-record", tmp_path / "none/kept.pb", stdin=items([1]), check=False)
    assert done.returncode == 73 and "cannot open for bad records" in done.stderr
    both = train(run, model, tmp_path / "m", "--on-bad-record", tmp_path / "x", "--metrics-file", tmp_path / "x", stdin=b"", check=False)
    assert both.returncode == 2 and "name one file" in both.stderr
