"""Random records of tfs-client: what they hold, their framing (T18), and that the same flags read them back."""

import struct

import pytest
from fake_tfs import FakeTfs, Model

from monolith_cli import errors
from monolith_cli.records import feature_list
from monolith_cli.records.framing import Framing, lagrangex_header
from monolith_cli.serving.client.inputs import frame_header
from monolith_cli.serving.client.random_records import RandomFields, RandomRecords
from monolith_cli.serving.protos import predict_pb2
from monolith_protos import example_pb2, proto_parser_pb2
from monolith_protos.line_id_pb2 import LineId

LIST = """\
feature_name=f_user; depend=uid; method=DirectInt64; slot=1
feature_name=f_item; depend=item_id; method=DirectInt64; slot=200; feature_version=2
feature_name=f_tag; depend=tag; method=VectorTopString; slot=4791; feature_version=2
feature_name=f_x_recent; depend=x; method=DirectInt64; slot=7
feature_name=f_plain; depend=y; method=DirectInt64; slot=8
"""


@pytest.fixture
def tfs():
    with FakeTfs([Model("m")], predict=lambda r: predict_pb2.PredictResponse()) as made:
        yield made.settle()


def values(tfs):
    return list(next(iter(tfs.calls("Predict")[-1].inputs.values())).string_val)


def instances(fields, count=200):
    made = RandomRecords(fields)
    return [proto_parser_pb2.Instance.FromString(made.instance()) for _ in range(count)]


def batch(fields, rows):
    return example_pb2.ExampleBatch.FromString(RandomRecords(fields).example_batch(rows))


def test_default_instance_has_five_ids_of_six_slots():
    seen = {}
    for instance in instances(RandomFields(seed=1)):
        assert len(instance.fid) == 30
        for i, value in enumerate(instance.fid):
            assert value >> 54 == i // 5 + 1
            seen.setdefault(value >> 54, set()).add(value & (1 << 54) - 1)
        assert len(instance.label) == 1 and instance.label[0] in (0, 1)
        line_id = instance.line_id
        assert line_id.uid >> 48 == 1 and line_id.item_id >> 48 == 200 and line_id.req_time > 1_600_000_000
        assert line_id.sample_rate == 1.0 and line_id.HasField("sample_rate") and 0 <= line_id.actions[0] <= 10
    assert seen == {slot: {5 * (slot - 1) + n for n in (1, 2, 3, 4, 5)} for slot in range(1, 7)}


def test_slots_dense_and_extra_of_instances():
    fields = RandomFields(
        slots=(1, 3, 200),
        dense=("a", "b", "label", "n", "z"),
        dense_shapes=(2, 1, 3, 1, 1),
        dense_types=("float", "double", "1", "long", "int32"),
        extra=("chnid", "actions", "user_id", "is_draw", "rank"),
        extra_shapes=(1, 3, 1, 1, 1),
        actions=(4,),
        seed=2,
    )
    assert fields.undrawn() == ["z"]
    counts = {1: set(), 3: set(), 200: set()}
    for instance in instances(fields):
        slots = [v >> 54 for v in instance.fid]
        for slot, seen in counts.items():
            seen.add(slots.count(slot))
        made = {f.name: f for f in instance.feature}
        assert set(made) == {"a", "b", "n"}
        assert (
            len(made["a"].float_value) == 2
            and len(made["b"].float_value) == 1
            and all(0 <= v < 1 for v in made["a"].float_value)
        )
        assert 2**62 - 1 <= made["n"].int64_value[0] < 2**63
        assert len(instance.label) == 3 and set(instance.label) <= {0, 1}
        assert list(instance.line_id.actions) == [4, 4, 4] and instance.line_id.user_id == "hello world"
        assert (
            not instance.line_id.HasField("uid")
            and 0 <= instance.line_id.chnid <= 10
            and instance.line_id.is_draw is False
        )
    assert counts == {1: {1}, 3: {0, 1, 2, 3}, 200: {1}}


@pytest.mark.parametrize("drop_rate", [0.0, 0.5, 1.0])
def test_feature_list_says_slot_version_and_how_many(drop_rate):
    fields = RandomFields(feature_list=feature_list.parse(LIST), drop_rate=drop_rate, seed=3)
    made = batch(fields, 300)
    columns = {c.name: c for c in made.named_feature_list}
    assert list(columns) == ["f_user", "f_item", "f_tag", "f_x_recent", "f_plain", "__LINE_ID__", "__LABEL__"]
    assert [columns[n].id for n in ("f_user", "f_item", "f_tag")] == [1, 200, 4791]

    def counts(name, kind):
        assert all(f.WhichOneof("type") in (kind, None) for f in columns[name].feature)
        return {len(getattr(f, kind).value) for f in columns[name].feature}

    assert counts("f_user", "fid_v1_list") == {1} and counts("f_item", "fid_v2_list") == {1}  # slots 1 and 200
    sequences = {0.0: {0}, 0.5: {0, 1, 2}, 1.0: {0}}[drop_rate]
    assert counts("f_tag", "fid_v2_list") == sequences and counts("f_x_recent", "fid_v1_list") == sequences
    assert counts("f_plain", "fid_v1_list") == {0.0: {1}, 0.5: {0, 1}, 1.0: {0}}[drop_rate]
    assert columns["f_user"].feature[0].fid_v1_list.value[0] >> 54 == 1
    assert columns["f_item"].feature[0].fid_v2_list.value[0] >> 48 == 200
    assert [f.float_list.value[0] for f in columns["__LABEL__"].feature[:4]] == [0, 1, 0, 1]
    assert LineId.FromString(columns["__LINE_ID__"].feature[5].bytes_list.value[0]).uid >> 48 == 1


def test_names_without_a_list_are_numbered_or_say_their_slot():
    made = batch(RandomFields(sparse=("slot_9", "x", "fc_slot_12", "y"), user_slots=(9,), drop_rate=0, seed=1), 3)
    assert [(c.name, c.id, c.type, len(c.feature)) for c in made.named_feature_list[:4]] == [
        ("slot_9", 9, 1, 3),
        ("x", 1, 0, 3),
        ("fc_slot_12", 12, 0, 3),
        ("y", 2, 0, 3),
    ]
    shared = made.named_feature_list[0].feature
    assert shared[0] == shared[1] == shared[2]
    example = example_pb2.Example.FromString(
        RandomRecords(RandomFields(sparse=("slot_9",), drop_rate=0, dense=("d",))).example()
    )
    assert [f.name for f in example.named_feature] == ["slot_9", "d"] and len(example.label) == 1


def test_the_same_seed_gives_the_same_records():
    fields = {"slots": (3,), "extra": ("uid",), "seed": 5}
    assert RandomRecords(RandomFields(**fields)).instance() == RandomRecords(RandomFields(**fields)).instance()


@pytest.mark.parametrize(
    "more",
    [
        {"sparse": ("a", "a")},
        {"dense": ("a",), "dense_shapes": (1, 2)},
        {"dense": ("a",), "dense_types": ("flaot",)},
        {"slots": (0,)},
    ],
)
def test_settings_that_cannot_be(more):
    with pytest.raises(errors.UsageError):
        RandomFields(**more)


def test_a_line_id_field_that_is_none(run):
    done = run("tfs-client", "--target", "h:1", "--extra-features", "uid,page", check=False)
    assert done.returncode == 2 and "page" in done.stderr and "item_id" in done.stderr


def test_t18_headers():
    assert lagrangex_header("").hex() == "0000000000000000"
    assert lagrangex_header("a").hex() == "0061000000000000"
    assert lagrangex_header("abc").hex() == "0062780100000000"
    assert frame_header(Framing()) == b""
    assert frame_header(Framing(lagrangex_header=True), "a").hex() == "0061000000000000"
    assert frame_header(Framing(has_sort_id=True)) == bytes(8)
    assert frame_header(Framing(has_sort_id=True, kafka_dump=True)) == bytes(16)
    assert frame_header(Framing(has_sort_id=True, kafka_dump_prefix=True)) == bytes(24)
    for parts in (
        {"has_sort_id": True, "kafka_dump": True, "kafka_dump_prefix": True},
        {"kafka_dump": True},
        {"kafka_dump_prefix": True},
    ):
        with pytest.raises(errors.UsageError):
            frame_header(Framing(**parts))


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--has-sort-id"],
        ["--has-sort-id", "--kafka-dump"],
        ["--has_sort_id", "--kafka_dump_prefix"],
        ["--lagrangex-header"],
    ],
    ids=" ".join,
)
def test_random_files_are_read_back_with_the_flags_they_were_written_with(run, tfs, tmp_path, flags):
    path = tmp_path / "r.pb"
    args = [
        "predict",
        "--target",
        tfs.target,
        "--input-type",
        "instance",
        "--input-file",
        path,
        "--batch-size",
        3,
        *flags,
    ]
    done = run("tfs-client", *args)
    first = values(tfs)
    assert len(first) == 3 and "3 random instance records written" in done.stderr and str(path) in done.stderr
    assert path.stat().st_size == sum(
        len(v) + 8 + {0: 0, 1: 8, 2: 16}[len(flags)] + 8 * ("--kafka_dump_prefix" in flags) for v in first
    )
    assert run("tfs-client", *args).stderr == ""
    assert values(tfs) == first


def test_unnamed_random_data_lands_in_a_file_here(run, tfs, tmp_path):
    run("tfs-client", "--target", tfs.target, "--input-type", "example_batch", "--batch-size", 4, cwd=tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".pb" and len(path.stem) == 36
    data = path.read_bytes()
    assert struct.unpack_from("<Q", data)[0] == len(data) - 8 and data[8:] == values(tfs)[0]
    assert example_pb2.ExampleBatch.FromString(data[8:]).batch_size == 4
    run("tfs-client", "--target", tfs.target, "--input-type", "example_batch_to_instance", "--input-file", path)
    assert len(values(tfs)) == 4
