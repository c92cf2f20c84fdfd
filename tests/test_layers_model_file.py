"""Layers in a model file: trained, saved and judged by the commands; and what a mistake is told with."""

import json

import numpy as np
import pytest
from layer_graph import graph, tf
from model_files import write_model

from monolith_cli import layers

MODEL = """
    import tensorflow as tf
    from monolith_cli import layers, metrics, optimizers
    from monolith_cli.losses import inbatch_auc_loss
    from monolith_cli.model import *

    SPARSE = [f"slot_{s}" for s in range(1, 5)]

    class Clicks(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv1_features=[1, 2, 3, 4], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            training = mode == TRAIN
            for name in SPARSE[2:]:
                self.create_embedding_feature_column(name, max_seq_length=2)
            rows = {"initializer": RandomUniformInitializer(-.5, .5),
                    "optimizer": AdagradOptimizer(learning_rate=.1, initial_accumulator_value=.01)}
            user, item = self.lookup_embedding_slice(SPARSE[:2], "vec", 4, **rows)
            seen, bought = self.lookup_embedding_slice(SPARSE[2:], "vec", 4, **rows)
            fields = tf.stack([user, item, tf.reduce_sum(seen, 1)], axis=1)
            crossed = [
                layers.GroupInt()(([user], [item])), layers.AllInt(2)(fields), layers.CIN([2])(fields), layers.SeNet(3, 2)(fields),
                layers.DCN(2)(tf.concat([user, item], axis=1)), layers.DIN([4, 1], "relu")((item, seen)),
                layers.DIEN(4)((item, bought)), layers.DMR_U2I(2)((item, seen)),
            ]
            tower = layers.LHUCTower([8, 4], enable_batch_normalization=True)((tf.concat(crossed, axis=1), user), training=training)
            (hidden,) = layers.MMoE(1, [4], "relu", num_experts=2)(tower)
            logit = layers.MLP([DIMS], use_weight_norm=False)(hidden)
            loss, pred = self.get_sigmoid_loss_and_pred("click", logit, features["label"], mode=mode)
            if training:
                self.add_loss(-.001 * inbatch_auc_loss(features["label"], logit))
            return EstimatorSpec(features["label"], pred, "click", loss, optimizers.RmspropOptimizer(PolynomialDecay(.0001, 100)))
"""


def test_a_model_of_many_layers_through_the_commands(run, tmp_path):
    records = tmp_path / "train.pb"
    records.write_bytes(run("pb-gen", "-n", 2000, "--seed", 3, "--learnable", "--slots", "1-4", "--fids-per-slot", "1-3").stdout)
    model = write_model(tmp_path, MODEL.replace("DIMS", "1")) + ":Clicks"
    run(
        "monolith-train",
        "--model",
        model,
        "--model-dir",
        tmp_path / "m",
        "--batch-size",
        64,
        "--seed",
        1,
        records,
    )
    names = [n for n, _ in tf.train.list_variables(tf.train.latest_checkpoint(str(tmp_path / "m")))]
    for expected in ("dcn/kernel_1", "din/compress_tower/dense_0/kernel", "lhuc_tower/layer_1/batch_norm/moving_mean", "dmr__u2i/pos_emb",
                     "lhuc_tower/layer_2/lhuc/dense_0/bias", "m_mo_e/expert_1/dense_0/kernel/Rmsprop/m"):  # fmt: skip
        assert expected in names, names
    moved = tf.train.load_variable(
        tf.train.latest_checkpoint(str(tmp_path / "m")), "lhuc_tower/layer_1/batch_norm/moving_mean"
    )
    assert np.abs(moved).max() > 0, "the batch normalisation follows its batches"
    result = json.loads(
        run("monolith-eval", "--model", model, "--model-dir", tmp_path / "m", "--json", records).stdout
    )
    assert result["examples"] == 2000 and np.isfinite(result["log_loss"])


def test_a_mistake_in_a_model_file_names_the_layer_and_the_shapes(run, tmp_path):
    (tmp_path / "train.pb").write_bytes(run("pb-gen", "-n", 100, "--slots", "1-4").stdout)
    model = write_model(tmp_path, MODEL.replace("DIMS", "1").replace("layers.DIEN(4)", "layers.DIEN(5)"))
    done = run(
        "monolith-train",
        "--model",
        model + ":Clicks",
        "--model-dir",
        tmp_path / "m",
        tmp_path / "train.pb",
        check=False,
    )
    assert done.returncode == 78
    assert (
        "model.py:" in done.stderr
        and "DIEN 'dien': queries must be [batch, 5] (num_units wide), not [?, 4]" in done.stderr
    )
    assert "Traceback" not in done.stderr and "Arguments received" not in done.stderr


def ones(*shape):
    return tf.ones(shape)


@pytest.mark.parametrize("act, message", [
    (lambda: layers.Dense(0), "Dense 'dense': units must be a whole number above 0, not 0"),
    (lambda: layers.MLP([]), "MLP 'mlp': output_dims must name at least one width"),
    (lambda: layers.MLP([2], batch_normalization_renorm=True), "MLP 'mlp': batch_normalization_renorm is not there in Keras 3"),
    (lambda: layers.DCN(dcn_type="tensor"), "DCN 'dcn': dcn_type must be one of vector, matrix, mixed, not 'tensor'"),
    (lambda: layers.DCN(dcn_type="mixed"), "DCN 'dcn': low_rank must be above 0"),
    (lambda: layers.GroupInt("sum"), "GroupInt 'group_int': interaction_type must be multiply or dot, not 'sum'"),
    (lambda: layers.GroupInt(use_attention=True, attention_units=[2]), "the last of attention_units must be 1, not [2]"),
    (lambda: layers.GroupInt()(([ones(2, 3)], [ones(2, 4)])), "all inputs must have the same width, not (([2, 3]), ([2, 4]))"),
    (lambda: layers.AllInt(2)(ones(2, 3)), "AllInt 'all_int': input must be [batch, features, width] with known features and width, not [2, 3]"),
    (lambda: layers.CAN()((ones(2, 3, 2), ones(2, 5))), "item must be [batch, 12] for a user [2, 3, 2] and layer_num 2"),
    (lambda: layers.DIN([2]), "DIN 'din': the last of hidden_units must be 1, not [2]"),
    (lambda: layers.DIN([1])((ones(2, 3), ones(2, 4, 5))), "must have the same d, not [2, 3] and [2, 4, 5]"),
    (lambda: layers.DMR_U2I(2)((ones(2, 3), ones(4, 4, 5))), "items [2, 3] and user_seq [4, 4, 5] are not of the same batch"),
    (lambda: layers.AGRUCell(2, "GRU"), "AGRUCell 'agru_cell': att_type must be AGRU or AUGRU, not 'GRU'"),
    (lambda: layers.AGRUCell(2)((ones(2, 3), ones(2, 3), ones(2, 1))), "the state must be [batch, 2], not [2, 3]"),
    (lambda: layers.iRazor([1, 2]), "iRazor 'i_razor': nas_space must ascend from 0"),
    (lambda: layers.iRazor([0, 2])(ones(2, 2, 3)), "nas_space [0, 2] must end at the width 3"),
    (lambda: layers.SeNet(3, 2)(ones(2, 2, 3)), "was made for 3 features, its input has 2: [2, 2, 3]"),
    (lambda: layers.LHUCTower([2], lhuc_colour=1), "unknown arguments lhuc_colour"),
    (lambda: layers.LHUCTower([2])((ones(2, 2), ones(2, 2), ones(2, 2))), "takes one tensor or (dense_input, lhuc_input), not 3"),
    (lambda: layers.MMoE(2, [2], "relu"), "MMoE 'm_mo_e': num_experts not set"),
    (lambda: layers.MMoE(2, [[2], [3]], "relu"), "the last widths of expert_output_dims must be the same, not [2, 3]"),
    (lambda: layers.MMoE(2, [2], ["relu"] * 3, num_experts=2), "expert_activations has 3 entries for 2 experts"),
    (lambda: layers.MMoE(2, [2], "relu", num_experts=2, top_k=3), "top_k must be 1 to 2"),
    (lambda: layers.SNR(2, 3, "aver")([ones(2, 2)]), "aver needs inputs of the width of the output, 3, not ([2, 2])"),
    (lambda: layers.SNR(2, 3)([ones(2, 2), ones(2, 3)]), "all inputs must have the same width, not ([2, 2], [2, 3])"),
    (lambda: layers.LogitCorrection()((ones(2, 2, 2), ones(2))), "logits must have at most 2 dimensions, not [2, 2, 2]"),
    (lambda: layers.GradNorm(["a"])(([ones(), ones()], ones(2))), "was made for the 1 losses ['a'], not for 2"),
    (lambda: layers.BatchNorm()(ones(2, 3, 4)), "BatchNorm 'batch_norm': input must have 2 dimensions"),
])  # fmt: skip
def test_mistakes_name_the_layer_and_the_shapes(act, message):
    with graph("float32"):
        with pytest.raises(layers.LayerError) as e:
            act()
        assert message in str(e.value)
