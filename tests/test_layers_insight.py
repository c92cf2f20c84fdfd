"""The vectors TV-N of the specification that are summaries: what TensorBoard's plugin `monolith` reads."""

import pytest
from layer_graph import graph, tf, tf1

from monolith_cli import layers
from monolith_cli.layers.insight import get_nas_weight_json, prepare_head


def test_tvn_prepare_head():
    names = ["f1", "f2", "f3"]
    text, kind = prepare_head(names, [3, 5, 9], [["f1", "f2"], ["f3", "f4"], ["f5", "f6"]], out_type="bytes")
    assert kind == "gating"
    assert (
        text
        == '{"tag_type": "gating", "segment_names": ["f1", "f2", "f3"], "segment_sizes": [3, 5, 9], "group_index": [0, 0, 1]}'
    )
    text, kind = prepare_head(names, [[3, 6], [5, 10], [4, 8, 16]], out_type="bytes")
    assert kind == "selecting"
    assert (
        text
        == '{"tag_type": "selecting", "segment_names": ["f1", "f2", "f3"], "segment_sizes": [[3, 6], [5, 10], [4, 8, 16]]}'
    )
    head, _ = prepare_head(["b", "a", "c"], [1, 2, 3], [["c"], ["x"], ["a", "b"]], out_type="json")
    assert head["group_index"] == [1, 1, 0]
    assert prepare_head(["é", "é"], [1, 1], out_type="bytes")[0].count("\\u00e9") == 2
    assert prepare_head([], [], raw_tag="mixed", out_type="bytes") == ("", "mixed")
    with pytest.raises(AssertionError, match="f3"):
        prepare_head(names, [1, 2, 3], [["f1", "f2"]])


def summaries(session):
    for text in session.run(tf1.get_collection("summaries")):
        (value,) = tf1.Summary.FromString(text).value
        yield (
            value.tag,
            value.metadata.plugin_data.content.decode(),
            tf.make_ndarray(value.tensor).shape,
            value.metadata,
        )


def test_tvn_tags():
    with graph("float32") as session:
        for name in (None, None, "x"):
            layers.nas_data(tf.ones([2]), ["a", "b"], [1, 1], name=name)
        with tf.name_scope("a"), tf.name_scope("b"):
            layers.nas_data(tf.ones([2]), ["a"], [[1, 2]])
        with pytest.raises(ValueError, match="raw_tag"):
            layers.nas_data(tf.ones([2]))
        found = list(summaries(session))
    assert [f[0] for f in found] == ["gating/monolith_nas_weight", "gating_1/monolith_nas_weight", "x_gating/monolith_nas_weight",
                                     "a/b/selecting/monolith_nas_weight"]  # fmt: skip
    metadata = found[0][3]
    assert (
        metadata.plugin_data.plugin_name == "monolith"
        and metadata.summary_description == "gating"
        and metadata.data_class == 2
    )


def test_tvn_feature_insight():
    with graph("float32") as session:
        label = tf.constant([1, 0, 1])
        layers.feature_insight_data(
            tf.ones([3, 17]), ["f1", "f2", "f3"], [3, 5, 9], weight=tf.ones([17, 2]), label=label
        )
        mlp = layers.MLP([3, 2])
        x = tf.ones([2, 5])
        mlp(x, segment_names=["u", "v"], segment_sizes=[2, 3])
        session.run(tf1.global_variables_initializer())
        train, direct = summaries(session)
    assert train[:3] == (
        "fi_train/monolith_feature_insight",
        '{"tag_type": "fi_train", "segment_names": ["f1", "f2", "f3"], "segment_sizes": [2, 2, 2], "group_index": [0, 1, 2], '
        '"label_size": 1}', (3, 7))  # fmt: skip
    assert direct[:3] == (
        "mlp/fi_direct/monolith_feature_insight",
        '{"tag_type": "fi_direct", "segment_names": ["u", "v"], "segment_sizes": [1, 1], "label_size": 0}', (2, 2))  # fmt: skip


def test_nas_weights_of_a_checkpoint(tmp_path):
    with graph("float32") as session:
        tf.Variable([[0.5, 1]], name="other")
        tf.Variable([[0.25, 2]], name="arch_weights")
        session.run(tf1.global_variables_initializer())
        tf1.train.Saver().save(session, str(tmp_path / "m"))
    assert get_nas_weight_json(str(tmp_path / "m")) == ["0.25", "2.0"]
    with pytest.raises(ValueError, match="no variable has 'nothing'"):
        get_nas_weight_json(str(tmp_path / "m"), "nothing")
