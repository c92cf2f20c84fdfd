"""Every layer through its config, `.params()`, a checkpoint and a .keras file: the same outputs afterwards, in another process too."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from layer_graph import X, graph, tf, tf1

from monolith_cli import layers

ROOT = Path(__file__).resolve().parent.parent
FLAT, CUBE, WIDE = X((3, 4)), X((3, 2, 4), 2), X((3, 5), 1)
NORMED = {"enable_batch_normalization": True, "kernel_regularizer": "l2", "bias_regularizer": "l1"}

# name -> (layer, inputs); every argument off its default.
EVERY = {
    "dense": (lambda: layers.Dense(2, "sigmoid2", kernel_initializer="he_normal", bias_initializer="ones", kernel_regularizer="l2",
                                   bias_regularizer="l1", allow_kernel_norm=True, kernel_norm_trainable=True,
                                   partitioner=layers.AxisSizePartitioner(8), inactive_relu_monitor=True,
                                   inactive_relu_monitor_decay=.2), FLAT),
    "mlp": (lambda: layers.MLP([3, 2], ["PReLU", "relu6"], ["he_normal", "ones"], use_learnable_weight_norm=False, use_bias=False,
                               batch_normalization_momentum=.9, **NORMED), FLAT),
    "add_bias": (lambda: layers.AddBias("ones", "l2"), CUBE),
    "group_int": (lambda: layers.GroupInt(use_attention=True, attention_units=[2, 1], activation="tanh", regularizer="l2"),
                  ([FLAT, FLAT + 1], [FLAT * 2])),
    "all_int": (lambda: layers.AllInt(2, "he_normal", "l2", use_bias=False, out_type="stack"), CUBE),
    "c_dot": (lambda: layers.CDot(2, [3], "tanh", regularizer="l2"), CUBE),
    "can": (lambda: layers.CAN(1, "tanh", is_stacked=False), (FLAT[:, :2], X((3, 6), 4))),
    "dcn": (lambda: layers.DCN(2, "mixed", num_experts=2, low_rank=2, regularizer="l2", allow_kernel_norm=True, gate="softmax"), FLAT),
    "cin": (lambda: layers.CIN([3, 2], "relu", regularizer="l2"), CUBE),
    "din": (lambda: layers.DIN([2, 1], "PReLU", regularizer="l2", mode="seq", decay=True), (FLAT, X((3, 2, 4)))),
    "dien": (lambda: layers.DIEN(4, "AUGRU", activation="tanh", regularizer="l2"), (FLAT, X((3, 2, 4)))),
    "dmr__u2i": (lambda: layers.DMR_U2I(2, regularizer="l2"), (FLAT, X((3, 2, 4)))),
    "agru_cell": (lambda: layers.AGRUCell(4, "AUGRU", "sigmoid", regularizer="l2"), (WIDE, FLAT, X((3, 1)))),
    "auto_int": (lambda: layers.AutoInt(2, "stack"), CUBE),
    "i_razor": (lambda: layers.iRazor([0, 1, 4], t=.5, regularizer="l2", feature_weight=[1, 2], out_type="stack"), CUBE),
    "se_net": (lambda: layers.SeNet(2, 3, regularizer="l2", out_type="stack"), CUBE),
    "lhuc_tower": (lambda: layers.LHUCTower([3, 2], [2], "tanh", lhuc_use_bias=False, lhuc_kernel_regularizer="l1",
                                            lhuc_initializers="he_normal", lhuc_enable_batch_normalization=False, **NORMED), (FLAT, WIDE)),
    "logit_correction": (lambda: layers.LogitCorrection("tanh", True), (FLAT, np.full((3, 4), .5))),
    "m_mo_e": (lambda: layers.MMoE(2, [3, 2], [tf.nn.relu, "tanh"], gate_type="topk", **NORMED), (FLAT, WIDE)),
    "snr": (lambda: layers.SNR(2, 3, mode="infer", use_ste=True, zeta=1.2, gamma=-.2, beta=.6, regularizer="l2"), [FLAT, FLAT + 1]),
    "batch_norm": (lambda: layers.BatchNorm(.9, gamma_initializer=keras.initializers.Constant(2), regularizer="l2", epsilon=.1, mode="eval"), FLAT),
    "layer_norm": (lambda: layers.LayerNorm(keras.initializers.Constant(2), "l2"), FLAT),
    "sum_pooling": (layers.SumPooling, [FLAT, FLAT * 2]),
    "avg_pooling": (layers.AvgPooling, [FLAT, FLAT * 2]),
    "max_pooling": (layers.MaxPooling, [FLAT, FLAT * 2]),
    "mixed_embed_op_comb": (lambda: layers.MixedEmbedOpComb(["a"], [[4]], 1, 2), FLAT),
    "teacher_embedding_transform": (lambda: layers.TeacherEmbeddingTransform([2, 1], [1, 3]), FLAT),
    "leaky_re_lu": (lambda: layers.LeakyReLU(.2), FLAT),
    "p_re_lu": (lambda: layers.PReLU("ones"), FLAT),
    "re_lu": (lambda: layers.ReLU(.5), FLAT),
}  # fmt: skip


def constants(inputs):
    if isinstance(inputs, (list, tuple)):
        return type(inputs)(constants(i) for i in inputs)
    return tf.constant(inputs, tf.float32)


def trained_outputs(folder, configs=None):
    """All layers in one graph. Without configs: made, trained two steps, saved. With configs: rebuilt from them and restored."""
    with graph("float32") as session:
        outputs, made, losses = {}, {}, []
        for name, (make, inputs) in EVERY.items():
            if configs is None:
                made[name] = layer = make()
                assert layer.name == name or name in ("p_re_lu", "re_lu"), "the names of checkpoints"
            else:
                config = json.loads(configs[name])
                layer = keras.saving.get_registered_object(config["class"]).from_config(config["config"])
                assert json.loads(text(layer)) == config
            out = layer(constants(inputs))
            outputs[name] = tf.nest.flatten(out)
            losses += [tf.reduce_sum(o**2) for o in outputs[name]] + [tf.reduce_sum(loss) for loss in layer.losses]
        saver = tf1.train.Saver()
        if configs is None:
            train = tf1.train.AdagradOptimizer(0.1).minimize(tf.add_n(losses))
            session.run(tf1.global_variables_initializer())
            before = session.run(outputs)
            session.run(train), session.run(train)
            saver.save(session, str(folder / "m"))
            after = session.run(outputs)
            still = {n for n in EVERY if all(np.allclose(a, b) for a, b in zip(before[n], after[n]))}
            # These have no variables, or none that this loss moves.
            assert still == {
                "can",
                "auto_int",
                "logit_correction",
                "sum_pooling",
                "avg_pooling",
                "max_pooling",
                "mixed_embed_op_comb",
                "leaky_re_lu",
                "re_lu",
            }, still
            return after, {name: text(layer) for name, layer in made.items()}
        saver.restore(session, str(folder / "m"))
        return session.run(outputs), configs


def text(layer):
    return json.dumps({"class": keras.saving.get_registered_name(type(layer)), "config": layer.get_config()})


def test_every_layer_of_a_graph_comes_back_in_another_process(tmp_path):
    outputs, configs = trained_outputs(tmp_path)
    (tmp_path / "configs.json").write_text(json.dumps(configs))
    script = "import sys, test_layers_config as t; t.restore_and_print(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, cwd=ROOT / "tests",
                          env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin"}, timeout=900)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    again = json.loads(done.stdout.splitlines()[-1])
    assert sorted(again) == sorted(EVERY)
    for name in EVERY:
        for mine, theirs in zip(outputs[name], again[name], strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=1e-5, atol=1e-6, err_msg=name)


def restore_and_print(folder):
    outputs, _ = trained_outputs(Path(folder), json.loads((Path(folder) / "configs.json").read_text()))
    print(json.dumps({n: [o.tolist() for o in out] for n, out in outputs.items()}))


def test_a_keras_model_of_layers_comes_back_from_a_file(tmp_path):
    keras.backend.clear_session()
    inputs = keras.Input([4])
    tower = layers.LHUCTower([3, 2])(layers.DCN(2)(layers.MLP([4, 4], "sigmoid2")(inputs)))
    tasks = layers.MMoE(2, [2], "tanh", num_experts=2)(tower)
    model = keras.Model(inputs, layers.SumPooling()(tasks))
    x = X((3, 4)).astype(np.float32)
    before = model(x)
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "m.keras")(x), before, rtol=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_params_make_the_same_layer(name):
    layer = EVERY[name][0]()
    config = layer.get_config()
    p = type(layer).params()
    assert p.name == type(layer).__name__ and p.cls is type(layer)
    known = {k: v for k, v in config.items() if k in p and k != "num_experts" or k == "num_experts"}
    assert sorted(known) == sorted(config), "every entry of the config is a parameter"
    made = p.set(**known).instantiate()
    assert made.get_config() == config


def test_params_hand_on_what_keras_takes():
    p = layers.Dense.params()
    p.units, p.trainable, p.dtype = 4, False, "float64"
    layer = p.instantiate()
    assert (layer.name, layer.trainable, layer.compute_dtype) == ("Dense", False, "float64")
    with graph():
        layer(tf.ones([1, 2], tf.float64))
        assert tf1.trainable_variables() == []
    assert layers.BatchNormalization.params().set(momentum=0.5).instantiate().momentum == 0.5
    assert "BatchNormalization" in layers.keras_layers and hasattr(layers.Conv1D, "params")
    q = layers.LHUCTower.params().set(output_dims=[2], lhuc_use_bias=False)
    assert q.instantiate().get_config()["lhuc_use_bias"] is False


def test_names_count_up_as_keras_2_counts():
    keras.backend.clear_session()
    made = [
        layers.DMR_U2I(2),
        layers.DMR_U2I(2),
        layers.MMoE(1, [1], "relu", num_experts=1),
        layers.DIN([1]),
        layers.Dense(1),
    ]
    assert [layer.name for layer in made] == ["dmr__u2i", "dmr__u2i_1", "m_mo_e", "din", "dense"]
    assert keras.layers.Dense(1).name == "dense_1", "one count for both libraries"


def test_a_variable_has_the_optimizer_of_its_layer():
    with graph("float32"):
        optimizer = tf1.train.AdagradOptimizer(0.5)
        layers.Dense(2, optimizer=optimizer)(tf.ones([1, 2]))
        assert [v.optimizer for v in tf1.trainable_variables()] == [optimizer] * 2


def test_the_monitor_of_inactive_units():
    with graph("float32") as session:
        x = tf1.placeholder(tf.float32, [4, 1])
        layer = layers.Dense(2, "relu", kernel_initializer="ones", inactive_relu_monitor=True)
        out = layer(x)
        session.run(tf1.global_variables_initializer())
        for _ in range(2):
            session.run(out, {x: [[-1], [-1], [-1], [1]]})
        average = session.run(layer._inactive.value)
        np.testing.assert_allclose(average, [0.9 * 0.3 + 0.3] * 2, rtol=1e-6)
        assert tf1.get_collection(tf1.GraphKeys.METRIC_VARIABLES) == [layer._inactive.value]
        tags = [
            v.tag
            for t in session.run(tf1.get_collection("summaries"), {x: [[0]] * 4})
            for v in tf1.Summary.FromString(t).value
        ]
        assert len(tags) == 1 and tags[0].endswith("inactive_relu_count_moving_avg")
        layers.Dense(2, "tanh", inactive_relu_monitor=True)(x)  # nothing to watch


def test_unseeded_initializers_draw_anew_for_each_variable():
    with graph("float32") as session:
        layer = layers.DCN(2, "matrix")
        layer(tf.ones([1, 4]))
        mmoe = layers.MMoE(1, [4], "relu", num_experts=2)
        mmoe(tf.ones([1, 4]))
        session.run(tf1.global_variables_initializer())
        kernels = session.run(
            [v.value for v in layer._kernels] + [e.get_layer(0)._kernel_parts[0].value for e in mmoe.experts]
        )
        for i, a in enumerate(kernels):
            assert all(np.abs(a - b).max() > 0.01 for b in kernels[:i])
