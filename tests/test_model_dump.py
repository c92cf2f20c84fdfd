"""ModelDumps: what is in them, what cannot be written, and what a damaged or foreign one is told with."""

import json
import random
import types

import numpy as np
import pytest
from model_files import COUNTER, instance, items, write_model
from replay_models import PLAIN

tf = pytest.importorskip("tensorflow")

from tensorflow.core.framework.variable_pb2 import SaveSliceInfoDef  # noqa: E402

from monolith_cli.errors import BadDataError, ConfigError, NoInputError, UsageError  # noqa: E402
from monolith_cli.model.errors import ModelError  # noqa: E402
from monolith_cli.training import model_dump  # noqa: E402
from monolith_cli.training.replay_graph import GraphHelper  # noqa: E402
from monolith_cli.training.show import ShowConfig, show  # noqa: E402

tf1 = tf.compat.v1


class Run:
    def __init__(self):
        self.told = []
        self.log = types.SimpleNamespace(verbosity=0, warning=self.told.append)


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    """(model file, what model-show tells of it, its dump)."""
    folder = tmp_path_factory.mktemp("rich")
    model = write_model(folder, PLAIN) + ":Rich"
    found = json.loads(show(ShowConfig(model, dump=str(folder / "dump"), seed=4, as_json=True), Run()))
    return model, found, folder / "dump"


def read(path):
    return model_dump.read(str(path))[0]


def test_shown_without_the_code(rich, run):
    model, found, path = rich
    assert json.loads(show(ShowConfig(str(path), as_json=True), Run())) == found
    assert run("model-show", path).stdout == run("model-show", model).stdout
    assert {s["learning_rate"] for t in found["tables"] for s in t["slices"] if s["slice"] == "group"} == {"PolynomialDecay(0.2, 10, 0.01)"}


def test_the_run_and_the_attributes(rich):
    dump = read(rich[2])
    assert json.loads(dump.run_config) == {"record_type": "instance", "batch_size": 512, "seed": 4} and list(dump.user_params) == ["seed"]
    params = json.loads(dump.model_dump["train"].params)
    assert params["clip_norm"] == 0.5 and params["head_name"] == "pred" and params["ue_fc_names"] == [] and "model_file" not in params
    assert json.loads(dump.model_dump["train"].optimizer)["class"] == "AdamomOptimizer"
    assert set(json.loads(dump.model_dump["train"].optimizer)["arguments"]["learning_rate"]) == {"tensor"}


def test_features_tables_and_lookups(rich):
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    dump = read(rich[2])
    train = dump.model_dump["train"]
    features = {f.feature_name: f for f in train.features}
    assert (features["slot_3"].shared_name, features["slot_3"].max_seq_length, features["slot_3"].combiner) == ("slot_1", 2, "first_n")
    assert (features["slot_1"].occurrence_threshold, features["slot_1"].expire_time, features["slot_1"].shared_name) == (1, 7, "")
    tables = {t.name: t for t in dump.table_configs}
    assert set(tables) == {"slot_1", "slot_2", "slot_4", "slot_5", "slot_6_share"} and tables["slot_6_share"].slot_id == 60
    assert [(s.name, s.dim, s.optimizer.WhichOneof("type")) for s in tables["slot_2"].slices] == [("bias", 1, "ftrl"), ("vec", 4, "adagrad")]
    assert [json.loads(s.learning_rate) for s in tables["slot_4"].slices][1] == 0.03
    assert json.loads(tables["slot_4"].slices[0].learning_rate)["class"] == "PolynomialDecay"
    config = EmbeddingHashTableConfig.FromString(tables["slot_2"].table_config)
    assert config.initial_capacity == 64 and [s.dim_size for s in config.entry_config.segments] == [1, 4]
    assert {(c.name, c.combiner, c.max_seq_length) for c in dump.feature_combiners} >= {("slot_3", 2, 2), ("slot_2", 1, 0), ("slot_4", 0, 0)}
    assert {d.name: list(d.dims) for d in dump.feature_slice_dims}["slot_4"] == [3, 1]
    calls = {s.slice_name: s for s in train.emb_slices}
    assert json.loads(calls["vec"].features) == ["slot_1", "slot_3", "slot_2"] and calls["vec"].slice_dim == 4 and len(calls["vec"].output_tensor_names) == 3
    assert json.loads(calls["group"].features) == [["slot_4", "slot_5"], ["slot_6_share"]] and calls["group"].group_out_type == "add_n"
    assert (calls["wide"].out_type, len(calls["wide"].output_tensor_names)) == ("add_n", 1) and calls["wide"].optimizer.HasField("ftrl")


def test_every_name_is_in_its_graph(rich):
    dump = read(rich[2])
    for key, part in dump.model_dump.items():
        graph = tf.Graph()
        with graph.as_default():
            tf1.import_graph_def(tf1.GraphDef.FromString(part.graph_def), name="")
        told = [json.loads(v) for v in [*part.input_fn.output_features.values(), *part.model_fn.features.values()]]
        names = [n for t in told for n in ((t["values"], t["row_splits"]) if t["is_ragged"] else (t["name"],))]
        names += [*part.model_fn.predict, *part.model_fn.label, part.model_fn.loss, *part.model_fn.extra_losses, part.model_fn.global_step]
        names += [n for s in part.emb_slices for n in s.output_tensor_names] + [g.values for g in part.model_fn.gradients]
        assert all(graph.get_tensor_by_name(n) is not None for n in names if n)
        assert all(graph.get_operation_by_name(op) for op in [*part.model_fn.summary, *part.model_fn.updates])
        heads = zip(part.model_fn.head_name, part.model_fn.kind, part.model_fn.classification)
        assert list(heads) == [("click", "binary", True), ("price", "regression", False)]
        assert bool(part.model_fn.gradients) == bool(part.model_fn.updates) == (key == "train")
        assert list(part.model_fn.label) == ["", ""] if key == "infer" else all(part.model_fn.label)
        assert bool(part.model_fn.loss) == (key != "infer") and set(part.model_fn.non_ragged_features) == {"label", "price", "uid", "req_time"}
    assert set(dump.model_dump) == {"train", "eval", "infer"}
    slices = {name: SaveSliceInfoDef.FromString(data) for name, data in dump.model_dump["train"].save_slice_info.items()}
    parts = {name: (list(s.full_shape), list(s.var_offset)) for name, s in slices.items()}
    assert parts == {"parted/w/part_0": ([21, 6], [0, 0]), "parted/w/part_1": ([21, 6], [11, 0])}


def test_a_server_parses_as_training_does(rich):
    """The graph of prediction has the features of serialized records, and the signature that goes with them."""
    infer = read(rich[2]).model_dump["infer"]
    receiver = infer.serving_input_receiver_fn
    (signature,) = [s for s in infer.signature if s.name == "serving_default"]
    assert receiver.parser_type == "instance" and dict(receiver.receiver_name) == dict(signature.inputs) == {"instances": "serving_input/instances:0"}
    assert dict(signature.outputs) == dict(zip(["click", "price"], infer.model_fn.predict))
    assert [dict(s.outputs).keys() for s in infer.signature if s.name == "logits"] == [{"logit"}]
    told = {name: json.loads(v) for name, v in receiver.features.items()}
    assert told["price"] | {"name": ""} == {"name": "", "is_ragged": False, "dtype": "float32", "last_dim": 3} and told["uid"]["dtype"] == "int64"
    helper = GraphHelper(tf1.GraphDef.FromString(infer.graph_def))
    with tf.Graph().as_default(), tf1.Session() as session:
        records = tf.constant([instance(1.0, uid=7, price=[0.5, 1.0, 2.0])])
        wanted = [told["price"]["name"], told["uid"]["name"], told["slot_4"]["values"], told["slot_4"]["row_splits"]]
        price, uid, values, splits = session.run(list(helper.bring_in(wanted, dict.fromkeys(receiver.receiver_name.values(), records)).values()))
    np.testing.assert_array_equal(price, [[0.5, 1.0, 2.0]])
    assert uid.tolist() == [[7]] and values.tolist() == [] and splits.tolist() == [0, 0]


# --- what cannot be written ------------------------------------------------------------------------------------------

ONE = """
    import tensorflow as tf
    from monolith_cli.model import *

    class MyRate:
        def __call__(self):
            return tf.constant(0.1)

    class MyOptimizer(tf.compat.v1.train.GradientDescentOptimizer):
        pass

    class One(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            (v,) = self.lookup_embedding_slice(["item"], "vec", 1, learning_rate_fn=RATE)
            HERE
            w = tf.compat.v1.get_variable("w", initializer=0.1)
            loss = tf.reduce_sum(v * w)
            return EstimatorSpec(features["label"], v, "x", loss, tf.compat.v1.train.OPTIMIZER(0.1), classification=False)
"""


def one(folder, rate="None", here="pass", optimizer="GradientDescentOptimizer"):
    text = ONE.replace("RATE", rate).replace("HERE", here)
    return write_model(folder, text.replace("tf.compat.v1.train.OPTIMIZER", optimizer if optimizer == "MyOptimizer" else f"tf.compat.v1.train.{optimizer}"))


@pytest.mark.parametrize("change, words", [
    ({"rate": "MyRate()"}, ["slice 'vec'", "table 'item'", "learning_rate_fn", "MyRate"]),
    ({"here": "self.add_training_hook(tf.compat.v1.train.StepCounterHook())"}, ["hooks", "StepCounterHook"]),
    ({"optimizer": "MyOptimizer"}, ["optimizer", "MyOptimizer"]),
    ({"here": "v = v + tf.ensure_shape(tf.numpy_function(lambda x: x, [v], tf.float32), [None, 1])"}, ["PyFunc", "operation", "Python"]),
    ({"here": "v = v + tf.strings.to_number(tf.io.read_file('/etc/hostname'))"}, ["ReadFile", "operation"]),
])  # fmt: skip
def test_what_cannot_be_replayed_is_refused(tmp_path, change, words):
    with pytest.raises(ModelError) as told:
        show(ShowConfig(one(tmp_path, **change), dump=str(tmp_path / "dump")), Run())
    assert all(word in str(told.value) for word in words), str(told.value)
    assert not (tmp_path / "dump").exists()


def test_an_input_that_is_not_of_records_is_refused(tmp_path):
    text = COUNTER.replace("def parse_fn(self, records, mode):", "def input_fn(self, mode):")
    text = text.replace('parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])',
                        'tf.data.Dataset.from_tensors({"item": tf.ragged.constant([[1]], tf.int64), "label": [[1.0]]})')  # fmt: skip
    with pytest.raises(ModelError, match="input_fn of this model cannot be replayed"):
        show(ShowConfig(write_model(tmp_path, text), dump=str(tmp_path / "dump")), Run())


def test_training_refuses_before_it_begins(tmp_path, run):
    done = run("monolith-train", "--model", one(tmp_path, rate="MyRate()"), "--model-dir", tmp_path / "m", "--model-dump", stdin=items([1]), check=False)
    assert done.returncode == 78 and "MyRate" in done.stderr and not list((tmp_path / "m").glob("model.ckpt*"))


def test_a_mode_that_cannot_be_built_is_left_out(tmp_path, run):
    """A dump for training is worth having where predictions cannot be made."""
    told, model = Run(), one(tmp_path, here="assert mode == TRAIN")
    show(ShowConfig(model, dump=str(tmp_path / "dump")), told)
    assert [("'eval'" in t, "'predict'" in t) for t in told.told] == [(True, False), (False, True)]
    run("monolith-train", "--model", tmp_path / "dump", "--model-dir", tmp_path / "m", stdin=items([1, 2]))
    done = run("monolith-predict", "--model", tmp_path / "dump", "--model-dir", tmp_path / "m", stdin=items([1]), check=False)
    assert done.returncode == 78 and "no graph for mode 'predict'" in done.stderr


# --- files that are none ---------------------------------------------------------------------------------------------


def test_damaged_and_foreign_files(rich, tmp_path, run):
    data, path, rng = rich[2].read_bytes(), tmp_path / "bad", random.Random(3)
    cases = [(data[:n], "cut short") for n in (10, 1000, len(data) - 1, *(rng.randrange(10, len(data)) for _ in range(50)))]
    for _ in range(50):
        at = rng.randrange(len(data) - 40)
        cases.append((data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :], "damaged"))
    cases += [(b"", "no ModelDump"), (b"\xff" * 300, "no ModelDump"), (b"PK\x03\x04" + bytes(500), "no ModelDump"), (b"import keras\n" * 9, "no ModelDump")]
    for bad, words in cases:
        path.write_bytes(bad)
        with pytest.raises(BadDataError) as told:
            model_dump.read(str(path))
        assert str(path) in str(told.value) and words in str(told.value)
    path.write_bytes(data[:5000])
    for name, *options in (("model-show", path), ("monolith-train", "--model", path, "--model-dir", tmp_path / "m")):
        done = run(name, *options, check=False)
        assert done.returncode == 65 and f"{path}: cut short" in done.stderr and "Traceback" not in done.stderr


def test_other_mistakes(rich, tmp_path, run):
    with pytest.raises(NoInputError, match="none"):
        show(ShowConfig(str(tmp_path / "none")), Run())
    with pytest.raises(UsageError, match="a dump already"):
        show(ShowConfig(str(rich[2]), dump=str(tmp_path / "x")), Run())
    dump = read(rich[2])
    dump.format = 77
    model_dump.write(dump, str(tmp_path / "new"))
    with pytest.raises(ConfigError, match="format 77"):
        show(ShowConfig(str(tmp_path / "new")), Run())
    done = run("monolith-train", "--model", tmp_path / "none", "--model-dir", tmp_path, check=False)
    assert done.returncode == 66 and "no such file" in done.stderr and "FILE.py:CLASS" in done.stderr
