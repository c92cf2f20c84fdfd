"""A stream of another type than asked for is named, not read as empty records."""

import pytest

from conftest import run_command

from monolith_protos.example_pb2 import Example, ExampleBatch
from monolith_protos.proto_parser_pb2 import Instance

TYPES = ["instance", "example", "example_batch"]


def frame(payload: bytes) -> bytes:
    return len(payload).to_bytes(8, "little") + payload


def typical(record_type: str) -> bytes:
    if record_type == "instance":
        made = Instance(fid=[7 << 54 | 1, 8 << 54 | 2], label=[1.0])
        made.line_id.uid = 7
        made.feature.add(name="f", fid=[1 << 48])
    elif record_type == "example":
        made = Example(label=[1.0])
        made.line_id.uid = 7
        made.named_feature.add(name="f", id=3).feature.fid_v1_list.value.extend([1, 2])
    else:
        made = ExampleBatch(batch_size=2)
        column = made.named_feature_list.add(name="f", id=3)
        column.feature.add().fid_v1_list.value.append(1)
        column.feature.add().fid_v1_list.value.append(2)
    return made.SerializeToString()


def bare(record_type: str) -> bytes:
    """The least of it that still tells the type."""
    return {"instance": Instance(instance_weight=2.0), "example": Example(instance_weight=2.0),
            "example_batch": ExampleBatch(batch_size=2)}[record_type].SerializeToString()


def readers_of(command_type: str) -> list[list[str]]:
    to_type = "example" if command_type == "instance" else "instance"
    commands = [["pb-show", "-t", command_type], ["pb-show", "--text", "-t", command_type], ["pb-stat", "-t", command_type],
                ["pb-convert", "--from", command_type, "--to", to_type], ["pb-convert", "--from", command_type, "--to", "jsonl"]]
    return commands + ([["pb-filter", "-t", command_type, "--label", "0"]] if command_type != "example_batch" else [])


@pytest.mark.parametrize("record", [typical, bare])
@pytest.mark.parametrize("actual", TYPES)
def test_every_reader_names_both_types(tmp_path, actual, record):
    path = tmp_path / "records.pb"
    path.write_bytes(frame(record(actual)) * 3)
    for asked in TYPES:
        for command in readers_of(asked):
            done = run_command(*command, path, check=False)
            if asked == actual:
                assert done.returncode == 0, (command, done.stderr)
                continue
            assert done.returncode == 65, (command, done.stdout)
            assert done.stderr.startswith(f"{command[0]}: {path}: byte 0: this record is of type {actual}, not {asked}"), command
            assert len(done.stderr.splitlines()) == 1


def test_what_came_before_is_passed_on_and_skipping_does_not_hide_it(run, tmp_path):
    good, wrong = tmp_path / "good.pb", tmp_path / "wrong.pb"
    good.write_bytes(frame(typical("example")))
    wrong.write_bytes(frame(typical("instance")) * 2)
    for policy in ("fail", "skip", tmp_path / "bad.pb"):
        done = run("pb-filter", "-t", "example", "--on-bad-record", policy, good, wrong, check=False)
        assert done.returncode == 65 and done.stdout == good.read_bytes()
        assert str(wrong) in done.stderr


def test_a_type_that_shows_only_later(run, tmp_path):
    """An empty record is of every type."""
    done = run("pb-show", "-t", "example", stdin=frame(b"") + frame(typical("instance")), check=False)
    assert done.returncode == 65 and "stdin: byte 8: " in done.stderr and done.stdout == b"{}\n"


def test_unknown_fields_are_no_other_type(run):
    """A newer producer's fields pass: no other type has them all."""
    for record_type in TYPES:
        record = typical(record_type) + b"\xc2\x3e\x03new"  # field 1000
        assert run("pb-show", "-t", record_type, stdin=frame(record)).stdout.count(b"\n") == 1


def test_commands_that_do_not_look_inside_take_any_type(run):
    stream = frame(typical("example")) * 2
    for command in ("pb-cat", "pb-head", "pb-shuffle"):
        assert run(command, stdin=stream).stdout == stream


def test_training_evaluation_and_prediction(run, tmp_path):
    pytest.importorskip("tensorflow")
    from model_files import COUNTER, items, write_model

    model, path, good = write_model(tmp_path, COUNTER), tmp_path / "examples.pb", tmp_path / "good.pb"
    path.write_bytes(frame(typical("example")) * 8)
    good.write_bytes(items(range(8)))
    run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", good)
    for command in ("monolith-train", "monolith-eval", "monolith-predict"):
        done = run(command, "--model", model, "--model-dir", tmp_path / "m", "-t", "instance", path, check=False)
        assert done.returncode == 65, (command, done.stderr)
        assert f"{path}: byte 0: this record is of type example, not instance" in done.stderr
        assert "Traceback" not in done.stderr
