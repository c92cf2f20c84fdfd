"""Slots of an environment of their own: features given as tensors, merged vectors, two hashes, unknown ids, and tables of a model.

Vectors: TV-O of the specification (merged slices) and its section 4.5 of training.
"""

import json

import numpy as np
import pytest
from layer_graph import graph, tf

from monolith_cli.model import Env, FeatureColumn3D, FeatureColumnV1, ModelError, SgdOptimizer
from monolith_cli.model.core_features import EnvError, FeatureSlot
from monolith_cli.model.params import Params


def row(*values):
    return tf.constant([values], tf.float32)


def slots_of_the_vectors(env):
    """Slots 1 to 4 with {bias, 2}, {bias}, {2, 3}, {bias, 2, 3, 4}, a column each; columns and slices by slot."""
    out = {}
    for slot_id, has_bias, dims in ((1, True, [2]), (2, True, []), (3, False, [2, 3]), (4, True, [2, 3, 4])):
        slot = FeatureSlot(env, slot_id, has_bias=has_bias)
        out[slot_id] = FeatureColumnV1(slot, f"fc_{slot_id}"), [slot.add_feature_slice(d) for d in dims]
    return out


def test_slices_of_a_slot():
    env = Env()
    slot = FeatureSlot(env, 3, has_bias=True)
    own = SgdOptimizer(learning_rate=0.5)
    vec, other = slot.add_feature_slice(4), slot.add_feature_slice(2, optimizer=own, learning_rate_fn=0.25)
    assert [(s.dim, s.slice_index) for s in slot.feature_slices] == [(1, 0), (4, 1), (2, 2)]
    assert repr(other) == "[FeatureSlice][slot_3][2]" and hash(other) == hash((3, 2)) and other != vec
    assert other.optimizer is own and other.learning_rate_fn == 0.25 and vec.learning_rate_fn is None
    assert vec.optimizer is slot.default_vec_optimizer and vec.initializer is slot.default_vec_initializer
    assert slot.feature_slices[0].optimizer is slot.bias_optimizer
    rates = [r.as_proto() for r in (slot.bias_optimizer, slot.default_vec_optimizer)]
    assert [round(getattr(p, p.WhichOneof("type")).learning_rate, 6) for p in rates] == [0.01, 0.01]
    uniform = slot.default_vec_initializer.as_proto().random_uniform
    np.testing.assert_allclose([uniform.minval, uniform.maxval], [-0.001, 0.001], rtol=1e-6)
    assert slot.occurrence_threshold is None and slot.expire_time is None
    column = FeatureColumnV1(slot, "user")
    assert slot.feature_columns == [column]


def test_lookups_are_placeholders_before_there_are_features():
    with graph("float32"):
        env = Env()
        slot = FeatureSlot(env, 1, has_bias=True)
        vec = slot.add_feature_slice(4)
        flat, sequence = FeatureColumnV1(slot, "a"), FeatureColumn3D(slot, 5, "s")
        assert flat.embedding_lookup(vec).shape.as_list() == [None, 4] and flat.get_bias().shape.as_list() == [None, 1]
        assert sequence.embedding_lookup(vec).shape.as_list() == [None, 5, 4]
        assert sequence.get_bias().shape.as_list() == [None, 5, 1], "a sequence on a slot with a bias"
        size = sequence.size_tensor_lookup()
        assert (size.op.name, size.shape.as_list(), size.dtype, size.op.type) == ("s_size", [None, 5], tf.float32, "Placeholder")
        assert sequence.size_tensor_lookup() is size and flat.embedding_lookup(vec) is flat.embedding_lookup(vec)
        with pytest.raises(EnvError, match="finalize"):
            flat.feature_slice_to_tf_placeholder
        env.finalize()
        assert flat.feature_slice_to_tf_placeholder == {slot.feature_slices[0]: flat.get_bias(), vec: flat.embedding_lookup(vec)}
        assert env.is_finalized and env.slot_id_to_feature_slot == {1: slot}


def test_tvo_merged_slices():
    with graph("float32") as session:
        env = Env(merge_vector=True)
        made = slots_of_the_vectors(env)
        env.finalize()
        merged = {i: [s.dim for s in column.feature_slot.merged_feature_slices] for i, (column, _) in made.items()}
        assert merged == {1: [1, 2], 2: [1], 3: [5], 4: [1, 9]}
        shapes = [p.shape.as_list() for p in made[4][0].feature_slice_to_tf_placeholder.values()]
        assert shapes == [[None, 1], [None, 9]]
        given = {"fc_1_0": row(1), "fc_1_1": row(2, 3), "fc_2_0": row(4), "fc_3_0": row(7, 8, 9, 10, 11), "fc_4_0": row(12),
                 "fc_4_1": row(*range(13, 22))}  # fmt: skip
        env.set_features(given)
        found = session.run({i: [c.embedding_lookup(s) for s in slices] for i, (c, slices) in made.items()})
        assert [v.tolist() for v in found[4]] == [[[13, 14]], [[15, 16, 17]], [[18, 19, 20, 21]]]
        assert [v.tolist() for v in found[3]] == [[[7, 8]], [[9, 10, 11]]] and found[1][0].tolist() == [[2, 3]]
        assert session.run(made[4][0].get_bias()).tolist() == [[12]] and session.run(made[2][0].get_bias()).tolist() == [[4]]
        assert given["fc_3_0"].shape == [1, 5], "the dict of the caller is as it was"
        with pytest.raises(EnvError, match=r"'fc_3_0' has shape \(1, 4\): slot 3 has vectors of \[2, 3\], 5 floats"):
            env.set_features(given | {"fc_3_0": row(1, 2, 3, 4)})


def test_sequences_are_cut_on_their_last_axis():
    with graph("float32") as session:
        params = Params()
        params.define("merge_vector", True)
        env = Env()
        env.set_params(params)
        slot = FeatureSlot(env, 1)
        column = FeatureColumn3D(slot, 2, "s")
        first, second = slot.add_feature_slice(1), slot.add_feature_slice(2)
        env.finalize()
        env.set_features({"s_0": tf.reshape(tf.range(12.0), [2, 2, 3]), "s_0_row_lengths": tf.constant([1, 5])})
        assert session.run(column.embedding_lookup(first)).tolist() == [[[0], [3]], [[6], [9]]]
        assert session.run(column.embedding_lookup(second)).tolist() == [[[1, 2], [4, 5]], [[7, 8], [10, 11]]]
        mask = session.run(column.size_tensor_lookup())
        assert mask.tolist() == [[1, 0], [1, 1]] and mask.dtype == np.int32


@pytest.mark.parametrize("merge", [False, True])
def test_two_hashes_of_a_large_slot(merge):
    with graph("float32") as session:
        env = Env({1: 100, 2: 101}, qr_multi_hashing=True, qr_hashing_threshold=100, merge_vector=merge)
        columns = {i: FeatureColumnV1(FeatureSlot(env, i), f"c{i}") for i in (1, 2)}
        slices = {i: [c.feature_slot.add_feature_slice(1) for _ in range(2)] for i, c in columns.items()}
        env.finalize()
        if merge:
            env.set_features({"c1_0": row(1, 2), "c2_0_0": row(10, 20), "c2_0_1": row(300, 400)})
        else:
            env.set_features({"c1_0": row(1), "c1_1": row(2), "c2_0_0": row(10), "c2_0_1": row(300), "c2_1_0": row(20), "c2_1_1": row(400)})  # fmt: skip
        found = session.run({i: [columns[i].embedding_lookup(s) for s in slices[i]] for i in columns})
        assert {i: [v.tolist() for v in values] for i, values in found.items()} == {1: [[[1]], [[2]]], 2: [[[310]], [[420]]]}
        with pytest.raises(EnvError, match="multi-hashing"):
            env.look_up(None)


def test_unknown_ids_start_from_random_numbers():
    with graph("float32") as session:
        env = Env(use_random_init_embedding_for_oov=True)
        slot = FeatureSlot(env, 1)
        vec = slot.add_feature_slice(3)
        flat, sequence = FeatureColumnV1(slot, "a"), FeatureColumn3D(slot, 2, "s")
        rows = tf.constant([[0, 0, 0], [1e-9, 0, 0], [0, 0, 1e-11]])
        env.set_features({"a_0": rows, "s_0": tf.stack([rows[:2], rows[1:], rows[::2]]), "s_0_row_lengths": tf.constant([2, 2, 1])})
        found, plain, seq = session.run([flat.embedding_lookup(vec, 0.5, 0.75), flat.embedding_lookup(vec), sequence.embedding_lookup(vec, 0.5, 0.75)])
        drawn = (found >= 0.5) & (found < 0.75)
        assert drawn.all(axis=1).tolist() == [True, False, True] and found[1].tolist() == plain[1].tolist()
        assert len(set(found[[0, 2]].ravel().tolist())) == 6 and plain[0].tolist() == [0, 0, 0]
        assert ((seq >= 0.5) & (seq < 0.75)).all(axis=2).tolist() == [[True, False], [False, True], [True, False]]
        assert seq[2, 1].tolist() == [0, 0, np.float32(1e-11)], "padding stays"
        with pytest.raises(EnvError, match="init_maxval_for_oov must be above"):
            flat.embedding_lookup(vec, 0.5)
    with graph("float32") as session:
        env.use_random_init_embedding_for_oov = False
        env.set_features({"a_0": tf.zeros([1, 3])})
        assert session.run(flat.embedding_lookup(vec, 0.5, 0.75)).tolist() == [[0, 0, 0]]


def test_mistakes_name_what_is_wrong():
    with graph("float32"):
        env = Env(merge_vector=True)
        one, two = FeatureSlot(env, 1), FeatureSlot(env, 2)
        column = FeatureColumnV1(one, "a")
        for call, message in [
            (lambda: FeatureSlot(env, 1), "slot 1 exists already"),
            (lambda: column.embedding_lookup(two.add_feature_slice(2)), "'a' is of slot 1, the slice of slot 2"),
            (column.get_bias, "'a': slot 1 has no bias"),
            (lambda: one.add_feature_slice(0), "slot 1: the width of a slice must be a positive number, not 0"),
            (lambda: FeatureColumn3D(one, 0, "s"), "'s': max_seq_length must be a positive number"),
            (lambda: env.set_features({}), "call env.finalize"),
            (lambda: env.look_up(None), "call env.finalize"),
            (lambda: env.slot_id_to_feature_slot, "finalize"),
        ]:
            with pytest.raises(EnvError, match=message) as caught:
                call()
            assert isinstance(caught.value, (AssertionError, ModelError))
        vec = one.add_feature_slice(2)
        one.add_feature_slice(2, optimizer=SgdOptimizer(learning_rate=1.0))
        with pytest.raises(EnvError, match="slot 1: merge_vector makes one slice of all, and they differ"):
            env.finalize()
        with pytest.raises(EnvError, match="called already"):
            env.finalize()
        assert FeatureSlot(env, 1).slot_id() == 1, "model_fn runs again for another graph"
        env.merge_vector = False
        env.set_features({"b_0": tf.zeros([1, 1])})
        with pytest.raises(EnvError, match="unknown feature 'a_0': there are b_0"):
            column.embedding_lookup(vec)


MODEL = """
    import tensorflow as tf
    from monolith_cli.model import *
    from monolith_cli.model.core_features import FeatureSlot

    class Packed(MonolithModel):
        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["user", "recent"], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            env = Env(merge_vector=MERGE)
            sgd = SgdOptimizer(learning_rate=1.0)
            slot = FeatureSlot(env, 1, has_bias=True, bias_optimizer=sgd, default_vec_optimizer=sgd, default_vec_initializer=ZerosInitializer())
            a, b = slot.add_feature_slice(1), slot.add_feature_slice(2)
            user, recent = FeatureColumnV1(slot, "user"), FeatureColumn3D(slot, 2, "recent")
            env.finalize()
            env.look_up(self)
            mask = tf.cast(recent.size_tensor_lookup(), tf.float32)[:, :, tf.newaxis]
            parts = [user.get_bias(), 2 * user.embedding_lookup(a), 3 * user.embedding_lookup(b), mask * recent.embedding_lookup(b)]
            loss = -tf.add_n([tf.reduce_sum(p) for p in parts])
            return EstimatorSpec(features["label"], user.get_bias(), loss=loss, classification=False)
"""


@pytest.mark.parametrize("merge", [False, True])
def test_a_model_file_trains_on_them(run, tmp_path, merge):
    from model_files import fid, instance, wire, write_model

    model = write_model(tmp_path, MODEL.replace("MERGE", str(merge)))
    records = [instance(label=0.0, user=[fid(1, 5)], recent=[fid(1, 6), fid(1, 7), fid(1, 8)]), instance(label=0.0, user=[fid(1, 5)], recent=[])]
    (tmp_path / "data.pb").write_bytes(wire(records))
    run("monolith-train", "--model", f"{model}:Packed", "--model-dir", tmp_path / "m", "--batch-size", "2", tmp_path / "data.pb")
    got = run("table-get", tmp_path / "m", "--table", "slot_1", *[f"1:{i}" for i in range(5, 9)])
    rows = {row["fid"] & 15: row["weights"] for row in map(json.loads, got.stdout.splitlines())}
    assert rows == {5: [2, 4, 6, 6], 6: [0, 0, 1, 1], 7: [0, 0, 1, 1]}, "bias, a and b; a third id is beyond the sequence"
