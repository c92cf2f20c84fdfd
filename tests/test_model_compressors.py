"""Compressors, stochastic rounding and serving tables as a model file and the ops of a graph have them."""

import uuid

import numpy as np
import pytest
from model_files import fid, items, write_model

tf = pytest.importorskip("tensorflow")

from monolith_cli._native import _core  # noqa: E402
from monolith_cli.errors import UsageError  # noqa: E402
from monolith_cli.tables import config  # noqa: E402
from monolith_cli.tables.graph import FeaturePlan, MultiTable, unwrap_error  # noqa: E402

tf1 = tf.compat.v1
TRAINING, SERVING = 1, 2

# Every slice has the gradient -1 at its output. A record an item, so that each step is one update.
CODECS = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Codecs(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            def look(name, dim, initializer, optimizer, compressor=None):
                return self.lookup_embedding_slice(["item"], name, dim, initializer, optimizer, compressor)[0]

            outputs = [
                look("half", 3, ConstantsInitializer(1.0),
                     StochasticRoundingFloat16OptimizerWrapper(SgdOptimizer(learning_rate=0.0001)), Fp16Compressor()),
                look("r8", 2, ZerosInitializer(), SgdOptimizer(learning_rate=0.1), FixedR8Compressor(2.0)),
                look("bit", 2, ConstantsInitializer(0.5), SgdOptimizer(learning_rate=1.0), OneBitCompressor(4, 0.25)),
                look("often", 1, BatchSoftmaxInitializer(1.0), BatchSoftmaxOptimizer(learning_rate=0.5)),
                look("plain", 1, ConstantsInitializer(-1.0), SgdOptimizer(learning_rate=0.1), Fp32Compressor()),
            ]
            every = tf.concat(outputs, axis=1)
            steps = tf.compat.v1.get_variable("steps", initializer=0.0)
            return EstimatorSpec(features["label"], tf.reduce_sum(every, axis=1, keepdims=True), "y", -tf.reduce_sum(every) - steps,
                                 tf.compat.v1.train.GradientDescentOptimizer(1.0), False)
"""


def segments():
    """The same slices, which are one segment each."""
    sgd = config.SgdOptimizer
    return [
        (3, config.ConstantsInitializer(1.0), config.StochasticRoundingFloat16OptimizerWrapper(sgd(0.0001)), config.Fp16Compressor()),
        (2, config.ZerosInitializer(), sgd(0.1), config.FixedR8Compressor(2.0)),
        (2, config.ConstantsInitializer(0.5), sgd(1.0), config.OneBitCompressor(4, 0.25)),
        (1, config.BatchSoftmaxInitializer(1.0), config.BatchSoftmaxOptimizer(0.5), config.Fp16Compressor()),
        (1, config.ConstantsInitializer(-1.0), sgd(0.1), config.Fp32Compressor()),
    ]


def table_proto(parts, entry_type=TRAINING):
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    proto = EmbeddingHashTableConfig()
    proto.entry_config.segments.extend(config.CombineAsSegment(*p) for p in parts)
    proto.entry_config.entry_type = entry_type
    config.CuckooHashTableConfig().mutate_table(proto)
    return proto


def expected_rows(n):
    """Weights of an item after n records of it alone but for "half"."""
    bit = np.array([0.5, 0.5])
    for step in range(n):
        scale = np.sqrt(1 + 0.005 * (step - step % 4))
        bit = bit + 0.25 * scale * (1 - np.tanh(scale * bit) ** 2)
    often = 1.0
    for step in range(n):
        often = 0.5 * often + 0.5 * (1 if step else 0)
    return np.r_[[0.1 * n] * 2, bit, often, -1 + 0.1 * n]


def test_a_model_file_chooses_compressors(run, tmp_path):
    n = 15
    model = write_model(tmp_path, CODECS)
    data = tmp_path / "data.pb"
    data.write_bytes(items([9] * n))
    run("monolith-train", "--model", f"{model}:Codecs", "--model-dir", tmp_path / "m", "--batch-size", "1", "--seed", "3", data)
    base = str(tmp_path / "m" / f"model.ckpt-{n}.assets" / "MonolithMultiHashTable_0")
    names = {entry_type: f"codecs_{uuid.uuid4().hex}" for entry_type in (TRAINING, SERVING)}
    opened = {}
    for entry_type, name in names.items():
        opened[entry_type] = _core.MultiTable(name, {"item": table_proto(segments(), entry_type).SerializeToString()})
        opened[entry_type].restore(base)
    key = fid(1, 9)
    weights = np.array(opened[TRAINING].row("item", key)[0][:9], np.float32)
    np.testing.assert_allclose(weights[3:], expected_rows(n), rtol=1e-5)
    half = weights[:3].astype(np.float16).astype(np.float32)
    assert weights[:3].tobytes() == half.tobytes() and (weights[:3] >= 1).all()
    served = opened[SERVING].lookup("item", np.array([key]))[0]
    step = np.float32(2) / 128
    expected = np.r_[half, np.trunc((weights[3:5] + step / 2) / step) * step, 0.25, 0.25, np.float16(weights[7]), weights[8]]
    np.testing.assert_array_equal(served, expected.astype(np.float32))
    for t in opened.values():
        t.close()
    # A second run goes on where the first one ended: the same as one run of all.
    data.write_bytes(items([9] * n, start=n))
    more = ["--model", f"{model}:Codecs", "--batch-size", "1", "--seed", "3"]
    run("monolith-train", *more, "--model-dir", tmp_path / "m", "--from-start", data)
    data.write_bytes(items([9] * 2 * n))
    run("monolith-train", *more, "--model-dir", tmp_path / "whole", data)
    rows = []
    for folder in ("m", "whole"):
        t = _core.MultiTable(f"codecs_{uuid.uuid4().hex}", {"item": table_proto(segments()).SerializeToString()})
        t.restore(str(tmp_path / folder / f"model.ckpt-{2 * n}.assets" / "MonolithMultiHashTable_0"))
        rows.append(t.row("item", key)[0])
        t.close()
    # The scale of one_bit is in no checkpoint: it begins anew at the next multiple of 4 steps.
    np.testing.assert_allclose(rows[0][5:7], rows[1][5:7], rtol=1e-3)
    assert rows[0][:5] + rows[0][7:] == rows[1][:5] + rows[1][7:]


class Graph:
    """Tables with a name of their own, run at once."""

    def __init__(self, **protos):
        self.graph = tf.Graph()
        self.session = tf1.Session(graph=self.graph)
        configs = {name: config.HashTableConfigInstance(p, [1.0] * len(p.entry_config.segments)) for name, p in protos.items()}
        self.tables = MultiTable(f"codecs_{uuid.uuid4().hex}", configs)

    def run(self, make):
        with self.graph.as_default():
            fetch = make(self.tables)
        try:
            return self.session.run(fetch)
        except tf.errors.OpError as e:
            raise unwrap_error(e) or e from None


def test_ops_look_up_what_the_compressor_gives():
    """The fused lookup, the lookup of ids and the step all go by the retriever of each segment."""
    parts = [(2, config.ZerosInitializer(), config.SgdOptimizer(), config.OneBitCompressor(4, 0.5)),
             (1, config.ZerosInitializer(), config.SgdOptimizer(), config.FixedR8Compressor(1.0))]  # fmt: skip
    g = Graph(t=table_proto(parts))
    weights = np.float32([[0.3, -2, 0.3], [1, 0, 0.1]])
    g.run(lambda t: t.assign("t", tf.constant([1, 2], tf.int64), tf.constant(weights)))
    seen = np.c_[0.5 * np.tanh(weights[:, :2]), np.float32([38, 13]) / 128]
    np.testing.assert_allclose(g.run(lambda t: t.lookup_ids("t", tf.constant([1, 2], tf.int64))), seen, rtol=1e-6)
    features = [[1, 2], [2]]
    plan = [FeaturePlan("f", "t", (2, 1))]

    def ragged():
        return {"f": tf.ragged.constant(features, dtype=tf.int64, ragged_rank=1)}

    out = g.run(lambda t: t.lookup(ragged(), plan))["f"]
    np.testing.assert_allclose(np.c_[out[0], out[1]], [seen.sum(axis=0), seen[1]], rtol=1e-6)
    grads = np.float32([[1, 2, 3], [10, 20, 30]])
    rates = {"t": [0.1, 0.1]}
    g.run(lambda t: t.apply_gradients(ragged(), plan, {"f": [tf.constant(grads[:, :2]), tf.constant(grads[:, 2:])]}, rates, 0))
    summed = np.array([grads[0], grads.sum(axis=0)])
    summed[:, :2] *= 0.5 * (1 - np.tanh(weights[:, :2]) ** 2)
    after = weights - 0.1 * summed
    seen = np.c_[0.5 * np.tanh(after[:, :2]), np.clip(np.trunc(after[:, 2] * 128 + np.sign(after[:, 2]) / 2), -128, 127) / 128]
    np.testing.assert_allclose(g.run(lambda t: t.lookup_ids("t", tf.constant([1, 2], tf.int64))), seen, rtol=1e-5, atol=1e-7)


def test_ops_on_a_serving_table(tmp_path):
    parts = [(2, config.ZerosInitializer(), config.SgdOptimizer(), config.Fp16Compressor())]
    g = Graph(ranks=table_proto(parts, SERVING))
    ids = np.array([5, 6], np.int64)
    g.run(lambda t: t.assign("ranks", tf.constant(ids), tf.constant(np.float32([[0.1, 1], [2, 3]]))))
    g.run(lambda t: t.assign_add("ranks", tf.constant(ids[1:]), tf.constant(np.float32([[1, 1]]))))
    expected = np.float32(np.float16([[0.1, 1], [3, 4]]))
    np.testing.assert_array_equal(g.run(lambda t: t.lookup_ids("ranks", tf.constant(ids))), expected)
    features = {"f": [[5, 6], [7]]}
    plan = [FeaturePlan("f", "ranks", (2,))]

    def feature():
        return {k: tf.ragged.constant(v, dtype=tf.int64, ragged_rank=1) for k, v in features.items()}

    out = g.run(lambda t: t.lookup(feature(), plan))["f"][0]
    np.testing.assert_array_equal(out, [expected.sum(axis=0), [0, 0]])
    with pytest.raises(UsageError, match="table 'ranks' is for serving"):
        g.run(lambda t: t.apply_gradients(feature(), plan, {"f": [tf.ones([2, 2])]}, {"ranks": [0.1]}, 0))
    with pytest.raises(UsageError, match="table 'ranks' is for serving"):
        g.run(lambda t: t.save(str(tmp_path / "t")))
    np.testing.assert_array_equal(g.run(lambda t: t.lookup_ids("ranks", tf.constant(ids))), expected)
