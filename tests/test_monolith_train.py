"""monolith-train through its command line: what it trains, writes and says."""

import json
import struct

import pytest
from model_files import COUNTER, fid, instance, items, wire, write_model

pytest.importorskip("tensorflow")

LINEAR = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Linear(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["user", "tags"], dense_features=["label", "x"],
                                   dense_feature_shapes=[1, 2])

        def model_fn(self, features, mode):
            self.create_embedding_feature_column("tags", combiner="reduce_mean")
            self.add_training_hook(Hook())
            user, tags = self.lookup_embedding_slice({"user": 4, "tags": 2}, "vec", optimizer=AdagradOptimizer(learning_rate=0.1))
            bias, = self.lookup_embedding_slice(["user"], "bias", 1, initializer=ZerosInitializer(),
                                                optimizer=SgdOptimizer(learning_rate=0.1))
            h = tf.concat([user, tags, bias, features["x"]], axis=1)
            h = tf.keras.layers.Dense(8, activation="relu")(h)
            h = tf.keras.layers.BatchNormalization()(h, training=mode == TRAIN)
            pred = tf.keras.layers.Dense(1)(h)
            loss = tf.reduce_mean(tf.square(pred - features["label"]))
            self.add_loss(1e-4 * tf.reduce_sum(tf.square(user)))
            return EstimatorSpec(features["label"], pred, "y", loss, tf.compat.v1.train.AdamOptimizer(0.05), False)

    class Hook(tf.compat.v1.train.SessionRunHook):
        runs = 0
        def after_run(self, context, values):
            Hook.runs += 1
        def end(self, session):
            print("hook ran", Hook.runs, file=__import__("sys").stderr)
"""


def linear_records(n, seed=0):
    import random

    rng = random.Random(seed)
    for i in range(n):
        user, x = rng.randrange(20), rng.random()
        tags = [fid(2, rng.randrange(9)) for _ in range(rng.randrange(3))]
        yield instance(label=user / 10 + x, uid=user, user=[fid(1, user)], tags=tags, x=[x, 1.0])


def test_trains_a_network_and_writes_what_it_should(run, tmp_path):
    """Keras layers, several slices and combiners, hooks and extra losses; files, summaries and messages."""
    model = write_model(tmp_path, LINEAR)
    data = tmp_path / "data.pb"
    data.write_bytes(wire(linear_records(2050)))
    args = ["--model", f"{model}:Linear", "--seed", "3", "--batch-size", "32", "--json", data]
    done = run("monolith-train", *args, "--model-dir", tmp_path / "m", "--save-every-steps", "20", "--max-to-keep", "2",
               "--log-every-steps", "30", "--summary-every-steps", "10")  # fmt: skip
    summary = json.loads(done.stdout.decode().splitlines()[-1])
    assert (summary["examples"], summary["steps"], summary["global_step"]) == (2050, 65, 65)  # the last batch has two records
    assert summary["tables"] == {"tags": 9, "user": 20}
    assert summary["loss"] < 0.5 and summary["examples_per_second"] > 0 and summary["seconds"] > 0
    assert "step 30, 960 examples" in done.stderr and "step 60" in done.stderr
    assert "hook ran 65" in done.stderr
    assert all(line.startswith(("monolith-train: ", "hook ran")) for line in done.stderr.splitlines())

    left = {p.name for p in (tmp_path / "m").iterdir()}
    assert {n for n in left if n.endswith(".index")} == {"model.ckpt-60.index", "model.ckpt-65.index"}
    assert {n for n in left if n.startswith("ckpt.info")} == {"ckpt.info-60", "ckpt.info-65"}
    assert {n for n in left if n.endswith(".assets")} == {"model.ckpt-60.assets", "model.ckpt-65.assets"}
    assert not [n for n in left if ".tmp-" in n]

    import tensorflow as tf
    from google.protobuf import text_format
    from monolith_protos.monolith_checkpoint_state_pb2 import MonolithCheckpointState

    # TensorFlow's own readers see the checkpoint and the summaries.
    assert tf.train.latest_checkpoint(str(tmp_path / "m")).endswith("model.ckpt-65")
    variables = dict(tf.train.list_variables(str(tmp_path / "m")))
    assert variables["global_step"] == [] and [7 + 2, 8] in variables.values()
    moving = [tf.train.load_variable(str(tmp_path / "m"), n) for n in variables if "moving_mean" in n or n.endswith("moving_mean")]
    assert moving and abs(moving[0]).max() > 0
    state = text_format.Parse((tmp_path / "m/monolith_checkpoint").read_text(), MonolithCheckpointState())
    assert state.builtin_hash_table_type == MonolithCheckpointState.MULTI_CUCKOO_HASH_MAP
    assert state.last_checkpoint_save_timestamp > 0
    events = [p for p in (tmp_path / "m").iterdir() if "tfevents" in p.name]
    seen = [(e.step, v.tag) for e in tf.compat.v1.train.summary_iterator(str(events[0])) for v in e.summary.value]
    assert (10, "loss") in seen and (60, "examples_per_second") in seen and (10, "y/rmse") in seen

    # The same seed and input give the same result, bit for bit.
    again = run("monolith-train", *args, "--model-dir", tmp_path / "m2", "-q")
    assert again.stderr == "hook ran 65\n"
    second = json.loads(again.stdout)
    assert second["loss"] == summary["loss"]
    for name in variables:
        a, b = (tf.train.load_variable(str(tmp_path / d), name) for d in ("m", "m2"))
        assert a.tobytes() == b.tobytes(), name


def test_counts_every_record_once_with_duplicates_in_a_batch(run, tmp_path):
    """An exact count by an independent reader of the table files would need the tables; monolith-predict reads them."""
    model = write_model(tmp_path, COUNTER)
    values = [1, 1, 1, 2, 3, 3, 2, 1, 5, 1]
    done = run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", "--batch-size", "4", "--json",
               stdin=items(values))  # fmt: skip
    assert json.loads(done.stdout)["tables"] == {"item": 4}
    counts = run("monolith-predict", "--model", model, "--model-dir", tmp_path / "m", stdin=items([1, 2, 3, 4, 5]))
    assert counts.stdout.decode().split() == ["5.0", "2.0", "2.0", "0.0", "1.0"]


def test_empty_input_saves_nothing(run, tmp_path):
    model = write_model(tmp_path, COUNTER)
    done = run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", "--json", "--skip-exit-code", "9", check=False)
    assert done.returncode == 9
    assert "nothing to train" in done.stderr
    summary = json.loads(done.stdout)
    assert summary["examples"] == 0 and summary["loss"] is None
    assert not (tmp_path / "m/checkpoint").exists()


def test_broken_input_keeps_what_came_before(run, tmp_path):
    model = write_model(tmp_path, COUNTER)
    bad = items([1, 2, 3]) + struct.pack("<Q", 50) + b"short"
    done = run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", "--batch-size", "2", stdin=bad, check=False)
    assert done.returncode == 65
    assert "stdin" in done.stderr and "byte" in done.stderr and "Traceback" not in done.stderr
    counts = run("monolith-predict", "--model", model, "--model-dir", tmp_path / "m", stdin=items([1, 2, 3]))
    assert counts.stdout.decode().split() == ["1.0", "1.0", "1.0"]
    missing = run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", tmp_path / "none.pb", check=False)
    assert missing.returncode == 66 and "none.pb" in missing.stderr


def test_a_loss_that_is_no_number_ends_training(run, tmp_path):
    model = write_model(tmp_path, COUNTER.replace("- steps", '- steps + 0.0 * tf.reduce_sum(features["label"])'))
    data = items([1, 1, 1]) + wire([instance(label=float("nan"), item=[fid(1, 1)])]) + items([1, 1])
    done = run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", "--batch-size", "1", "--save-every-steps", "2",
               stdin=data, check=False)  # fmt: skip
    assert done.returncode == 65
    assert "at step 4" in done.stderr and "model.ckpt-2" in done.stderr and "Traceback" not in done.stderr


def test_an_input_fn_of_the_model(run, tmp_path):
    """Any tf.data dataset of dicts; sources are not read."""
    text = COUNTER.replace("def parse_fn(self, records, mode):", "def input_fn(self, mode):").replace(
        'return parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])',
        "return tf.data.Dataset.range(10).batch(4).map(lambda x: {"
        "'item': tf.RaggedTensor.from_tensor(tf.reshape(x % 3, [-1, 1])), 'label': tf.reshape(tf.cast(x, tf.float32), [-1, 1])})",
    )
    model = write_model(tmp_path, text)
    done = run("monolith-train", "--model", model, "--model-dir", tmp_path / "m", "--json")
    summary = json.loads(done.stdout)
    assert (summary["examples"], summary["steps"], summary["tables"]) == (10, 3, {"item": 3})
    counts = run("monolith-predict", "--model", model, "--model-dir", tmp_path / "m")
    assert counts.stdout.decode().split() == ["4.0", "3.0", "3.0", "4.0", "3.0", "3.0", "4.0", "3.0", "3.0", "4.0"]


AVERAGED = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Averaged(MonolithModel):
        dense_moving_average = 0.5

        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            w = tf.compat.v1.get_variable("w", initializer=0.0)
            pred = w + 0.0 * features["label"]
            optimizer = tf.compat.v1.train.GradientDescentOptimizer(1.0)
            return EstimatorSpec(features["label"], pred, "y", -w, optimizer, False)
"""


PARTS = """parts = tf.compat.v1.get_variable(
                "w", [5], initializer=tf.zeros_initializer(), partitioner=tf.compat.v1.fixed_size_partitioner(2))
            w = tf.reduce_sum(parts) / 5**0.5"""
LAYER = """from monolith_cli.layers import Dense
            dense = Dense(
                4, kernel_initializer="zeros", bias_initializer="zeros",
                partitioner=tf.compat.v1.fixed_size_partitioner(2))
            w = tf.reduce_sum(dense(tf.ones([2, 3]))) / 8"""


@pytest.mark.parametrize("variable", [None, PARTS, LAYER], ids=["whole", "parts", "parts of a layer"])
def test_whole_batches_alone_and_averaged_variables(run, tmp_path, variable):
    """w grows by 1 a step; its average is d * average + (1 - d) * w with d = min(0.5, (1 + step) / (10 + step)). The two records
    that fill no batch wait for the next run. The same where w is made of variables that are kept in parts."""
    text = AVERAGED.replace('w = tf.compat.v1.get_variable("w", initializer=0.0)', variable) if variable else AVERAGED
    model = f"{write_model(tmp_path, text)}:Averaged"
    data = tmp_path / "data.pb"
    data.write_bytes(items(range(10)))
    args = ["--model", model, "--model-dir", tmp_path / "m"]
    train = ["monolith-train", *args, "--batch-size", "4", "--drop-remainder", "--json", data]
    summary = json.loads(run(*train).stdout.splitlines()[-1])
    assert (summary["examples"], summary["global_step"]) == (8, 2)
    one = tmp_path / "one.pb"
    one.write_bytes(items([1]))
    average = 2 / 11 * (9 / 10 * 1) + 9 / 11 * 2
    assert float(run("monolith-predict", *args, one).stdout) == pytest.approx(average, abs=1e-5)
    data.write_bytes(items(range(13)))
    summary = json.loads(run(*train).stdout.splitlines()[-1])
    assert (summary["examples"], summary["global_step"], summary["records_trained"]) == (4, 3, 12)


def test_features_of_any_make_reach_model_fn(run, tmp_path):
    """Ragged, sparse and dense ones, in dicts of dicts, and numbers: as parse_fn gave them, in its order."""
    model = write_model(tmp_path, """
        import tensorflow as tf
        from monolith_cli.model import *

        class Odd(MonolithModel):
            def parse_fn(self, records, mode):
                features = parse_instances(records, fidv2_features=["user"], dense_features=["label"], dense_feature_shapes=[1])
                sparse = tf.sparse.from_dense(tf.cast(features["label"], tf.int64))
                return features | {"z": {"twice": tf.concat([features["user"], features["user"]], axis=1), "sparse": sparse}, "half": 0.5}

            def model_fn(self, features, mode):
                assert list(features) == ["user", "label", "z", "half"] and list(features["z"]) == ["twice", "sparse"]
                assert isinstance(features["z"]["sparse"], tf.SparseTensor) and features["half"].shape == []
                (user,) = self.lookup_embedding_slice(["user"], "vec", 1, initializer=ZerosInitializer(), optimizer=SgdOptimizer(learning_rate=0.0))
                ids = tf.cast(features["z"]["twice"].row_lengths(), tf.float32) * features["half"]
                values = tf.reshape(tf.sparse.to_dense(features["z"]["sparse"]), [-1, 1])
                pred = tf.reshape(ids, [-1, 1]) * tf.cast(values, tf.float32) + 0.0 * user
                return EstimatorSpec(features["label"], pred, loss=tf.reduce_mean(user), optimizer=None, classification=False)
        """)  # fmt: skip
    data = tmp_path / "data.pb"
    data.write_bytes(wire(instance(label=i, user=[fid(1, 7)] * (i % 3)) for i in range(40)))
    args = ["--model", f"{model}:Odd", "--model-dir", tmp_path / "m", data]
    run("monolith-train", *args, "--batch-size", "16")
    scores = [float(line) for line in run("monolith-predict", *args).stdout.split()]
    assert scores == [float(i * (i % 3)) for i in range(40)]
