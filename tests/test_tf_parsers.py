"""parse_instances, parse_examples and parse_example_batch in a graph, against the vectors of the format."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from monolith_cli.errors import BadDataError, ConfigError, Error  # noqa: E402
from monolith_cli.model import parsers  # noqa: E402
from monolith_cli.model.parsers import parse_example_batch, parse_examples, parse_instances  # noqa: E402
from monolith_cli.tables import graph  # noqa: E402

INVALID_LABEL = np.float32(-3.4028235e38)


def v1(slot, signature):
    return slot << 54 | signature


def v2(slot, signature):
    return slot << 48 | signature


def run(parse, records, *args, rows=None, **kwargs):
    """Parses through a v1 session, fed as a string vector of unknown (or given) length; ragged ones become lists."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        serialized = tf.compat.v1.placeholder(tf.string, [rows])
        features = parse(serialized, *args, **kwargs)
        try:
            out = session.run(features, {serialized: records})
        except tf.errors.OpError as e:
            raise graph.unwrap_error(e) or e from None
    return {k: v.to_list() if isinstance(v, tf.compat.v1.ragged.RaggedTensorValue) else v for k, v in out.items()}


@pytest.fixture(scope="module")
def instance():
    from monolith_protos.proto_parser_pb2 import Instance

    made = Instance(fid=[v1(i, i) for i in range(10)], label=[1.1, 2.2, 3.3])
    made.feature.add(name="fidv2", fid=[v2(100, i) for i in range(10)])
    made.feature.add(name="ue", float_value=[i * 1e-5 for i in range(16)])
    made.feature.add(name="int64_feature", int64_value=[100])
    made.feature.add(name="string_feature", bytes_value=[b"test_string"])
    made.line_id.uid, made.line_id.sample_rate, made.line_id.req_time = 110, 0.5, 64
    made.line_id.actions.extend([0, 100])
    made.line_id.user_id = "123"
    return made.SerializeToString()


def example(**fields):
    from monolith_protos.example_pb2 import Example

    made = Example(**fields)
    return made


# --- instances --------------------------------------------------------------------------------------------------------


def test_v1_fids_become_v2_when_v2_features_are_asked_for(instance):
    out = run(parse_instances, [instance] * 2, list(range(10)), ["fidv2"])
    assert sorted(out) == sorted([f"slot_{i}" for i in range(10)] + ["fidv2"])
    assert out["slot_1"] == [[281474976710657]] * 2
    assert out["fidv2"] == [list(range(28147497671065600, 28147497671065610))] * 2


def test_v1_fids_stay_v1_otherwise(instance):
    assert run(parse_instances, [instance], [1]) == {"slot_1": [[18014398509481985]]}


def test_dense_columns(instance):
    out = run(parse_instances, [instance] * 2, None, None, ["ue", "int64_feature", "string_feature"], [16, 1, 1],
              [tf.float32, tf.int64, tf.string])
    np.testing.assert_array_equal(out["ue"], np.float32([[i * 1e-5 for i in range(16)]] * 2))
    np.testing.assert_array_equal(out["int64_feature"], [[100]] * 2)
    assert out["int64_feature"].dtype == np.int64
    assert out["string_feature"].tolist() == [[b"test_string"]] * 2


def test_line_id_and_label(instance):
    out = run(parse_instances, [instance] * 2, None, None, ["label", "instance_weight"], [3, 1], None,
              ["sample_rate", "uid", "actions", "user_id"], [1, 1, 2, 1])
    np.testing.assert_array_equal(out["label"], np.float32([[1.1, 2.2, 3.3]] * 2))
    np.testing.assert_array_equal(out["instance_weight"], [[1.0]] * 2)
    np.testing.assert_array_equal(out["sample_rate"], [[0.5]] * 2)
    np.testing.assert_array_equal(out["uid"], [[110]] * 2)
    np.testing.assert_array_equal(out["actions"], [[0, 100]] * 2)
    assert out["user_id"].tolist() == [[b"123"]] * 2
    assert out["uid"].dtype == out["actions"].dtype == np.int64 and out["sample_rate"].dtype == np.float32


def test_missing_features_are_empty_or_zero(instance):
    out = run(parse_instances, [instance] * 2, [10], ["fidv2_2"], ["ue2", "no_int", "no_string"], [8, 10, 10],
              [tf.float32, tf.int64, tf.string])
    assert out["slot_10"] == [[], []] and out["fidv2_2"] == [[], []]
    np.testing.assert_array_equal(out["ue2"], np.zeros([2, 8]))
    np.testing.assert_array_equal(out["no_int"], np.zeros([2, 10]))
    assert out["no_string"].tolist() == [[b""] * 10] * 2


def test_a_dense_column_of_another_length_is_zeros(instance):
    out = run(parse_instances, [instance], None, None, ["ue", "label"], [15, 5])
    np.testing.assert_array_equal(out["ue"], np.zeros([1, 15]))
    np.testing.assert_array_equal(out["label"], np.float32([[1.1, 2.2, 3.3, 0, 0]]))


def test_rows_of_different_lengths(instance):
    from monolith_protos.proto_parser_pb2 import Instance

    empty, two = Instance(), Instance(fid=[v1(3, 8), v1(5, 1), v1(3, 7), v1(3, 8)])
    out = run(parse_instances, [instance, empty.SerializeToString(), two.SerializeToString()], [3])
    assert out["slot_3"] == [[v1(3, 3)], [], [v1(3, 8), v1(3, 7), v1(3, 8)]]


def test_slots_by_name(instance):
    out = run(parse_instances, [instance], ["fc_slot_4", "slot_5"])
    assert out == {"fc_slot_4": [[v1(4, 4)]], "slot_5": [[v1(5, 5)]]}
    with parsers.ParserContext(feature_list={"f_movie": 7}):
        assert run(parse_instances, [instance], ["f_movie", 7 - 1]) == {"f_movie": [[v1(7, 7)]], "slot_6": [[v1(6, 6)]]}
        assert list(run(parse_instances, [instance], [7])) == ["f_movie"]


# --- examples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape, expected", [(1, [0.5]), (3, [0.5, INVALID_LABEL, INVALID_LABEL])])
def test_example_label(shape, expected):
    out = run(parse_examples, [example(label=[0.5]).SerializeToString()], None, ["label"], [shape])
    np.testing.assert_array_equal(out["label"], np.float32([expected]))


def test_example_without_label_or_weight():
    out = run(parse_examples, [b""], None, ["label", "instance_weight"], [2, 1])
    np.testing.assert_array_equal(out["label"], [[INVALID_LABEL, INVALID_LABEL]])
    np.testing.assert_array_equal(out["instance_weight"], [[1.0]])


@pytest.mark.parametrize("values, shape, expected", [
    ([], 1, [1.17549435e-38]), (None, 1, [0]), ([1, 2, 3], 2, [1, 2]), ([1, 2, 3], 4, [1, 2, 3, 0])])
def test_example_floats(values, shape, expected):
    made = example()
    if values is not None:
        made.named_feature.add(name="x").feature.float_list.value.extend(values)
        if not values:
            made.named_feature[0].feature.float_list.SetInParent()
    out = run(parse_examples, [made.SerializeToString()], ["y"], ["x"], [shape])
    np.testing.assert_array_equal(out["x"], np.float32([expected]))
    assert out["y"] == [[]]


def test_example_fids_become_v2():
    made = example()
    made.named_feature.add(name="f_u").feature.fid_v1_list.value.append(v1(1, 9))
    made.named_feature.add(name="f_v").feature.fid_v2_list.value.extend([v2(2, 3), v2(2, 1)])
    out = run(parse_examples, [made.SerializeToString(), b""], ["f_u", "f_v"])
    assert out == {"f_u": [[281474976710665], []], "f_v": [[v2(2, 3), v2(2, 1)], []]}


def test_a_list_of_another_kind_is_an_error_that_names_the_feature():
    made = example()
    made.named_feature.add(name="f_u").feature.float_list.value.append(1)
    with pytest.raises(BadDataError, match="f_u") as failed:
        run(parse_examples, [made.SerializeToString()], ["f_u"])
    assert "node" not in str(failed.value) and "[exit" not in str(failed.value)


def test_garbage_is_bad_data():
    with pytest.raises(BadDataError):
        run(parse_examples, [b"\x0a\xff\xff"], ["f_u"])


# --- example batches --------------------------------------------------------------------------------------------------

BATCH = bytes.fromhex(
    "0a150a0175120c0a0a0a080900000000004000180120010a1d0a0164120c1a0a0a080000803f0000004012081a060a04000040402002"
    "0a2b0a0b"
    "5f5f4c494e455f49445f5f120d320b0a09110700000000000000120d320b0a09110800000000000000"
    "0a1f0a095f5f4c4142454c5f5f12081a06"
    "0a040000000012081a060a040000803f1802")


def test_example_batch():
    out = run(parse_example_batch, [BATCH], ["u", "none"], ["d", "label", "instance_weight"], [2, 1, 1],
              None, ["uid"], [1])
    assert out["u"] == [[281474976710665]] * 2 and out["none"] == [[], []]
    np.testing.assert_array_equal(out["d"], [[1, 2], [3, 0]])
    np.testing.assert_array_equal(out["label"], [[0], [1]])
    np.testing.assert_array_equal(out["instance_weight"], [[1], [1]])
    np.testing.assert_array_equal(out["uid"], [[7], [8]])


def test_rows_of_several_example_batches_follow_each_other():
    out = run(parse_example_batch, [BATCH, BATCH], ["u"], None, None, None, ["uid"], [1])
    assert out["u"] == [[281474976710665]] * 4
    np.testing.assert_array_equal(out["uid"], [[7], [8], [7], [8]])


# --- graph ------------------------------------------------------------------------------------------------------------


def shapes_of(parse, rows, *args):
    with tf.Graph().as_default():
        out = parse(tf.compat.v1.placeholder(tf.string, rows), *args)
        return {k: (v.row_splits.shape, v.values.shape) if isinstance(v, tf.RaggedTensor) else v.shape
                for k, v in out.items()}


def test_static_shapes():
    known = shapes_of(parse_instances, [5], [1], None, ["label"], [3])
    assert known["slot_1"][0].as_list() == [6] and known["slot_1"][1].as_list() == [None]
    assert known["label"].as_list() == [5, 3]
    unknown = shapes_of(parse_instances, [None], [1], None, ["label"], [3])
    assert unknown["slot_1"][0].as_list() == [None] and unknown["label"].as_list() == [None, 3]
    assert shapes_of(parse_example_batch, [1], ["u"], ["label"], [1])["label"].as_list() == [None, 1]
    with parsers.ParserContext(batch_size=8):
        given = shapes_of(parse_example_batch, [1], ["u"], ["label"], [1])
    assert given["label"].as_list() == [8, 1] and given["u"][0].as_list() == [9]


def test_arguments_are_remembered():
    with tf.Graph().as_default(), parsers.ParserContext() as context:
        parse_instances(tf.compat.v1.placeholder(tf.string, [None]), [1, 2], ["a"], ["label"], [1], None, ["uid"], [1])
    assert context.parser_type == "instance"
    assert context.arguments == {
        "fidv1_features": [1, 2], "fidv2_features": ["a"], "dense_features": ["label"], "dense_feature_shapes": [1],
        "dense_feature_types": None, "extra_features": ["uid"], "extra_feature_shapes": [1]}


@pytest.mark.parametrize("args, named", [
    (([1], ["slot_1"]), "slot_1"),
    (([1024],), "1024"),
    ((["movie"],), "movie"),
    ((None, None, ["a", "b"], [1]), "2 dense_features"),
    ((None, None, ["a"], [0]), "'a'"),
    ((None, None, ["a"], [1], [tf.float64]), "float64"),
    ((None, None, ["a"], [1], [tf.float32, tf.int64]), "2 dense_feature_types"),
    ((None, None, None, None, None, ["nothing"], [1]), "'nothing' is not in line id"),
    ((None, None, None, None, None, ["is_draw"], [1]), "is_draw"),
    ((None, None, None, None, None, ["uid"], []), "1 extra_features"),
    ((), "no feature"),
])
def test_wrong_requests_name_what_is_wrong(args, named):
    with tf.Graph().as_default(), pytest.raises(ConfigError, match=named):
        parse_instances(tf.compat.v1.placeholder(tf.string, [None]), *args)


def test_label_of_another_type_is_refused():
    with pytest.raises(Error, match="label"):
        run(parse_instances, [b""], None, None, ["label"], [1], [tf.int64])


def test_eager():
    out = parse_examples(tf.constant([example(label=[2.5]).SerializeToString()]), ["f"], ["label"], [1])
    assert out["label"].numpy().tolist() == [[2.5]] and out["f"].to_list() == [[]]
