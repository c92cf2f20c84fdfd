"""Tables of a graph as protos, given back to a graph that was imported."""

import uuid

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tf_table_helpers import ids, rows, table_config  # noqa: E402

from monolith_cli import errors  # noqa: E402
from monolith_cli.tables import hash_table  # noqa: E402
from monolith_cli.tables.hash_table import HashTable  # noqa: E402
from monolith_cli.tables.multi_hash_table import MultiHashTable  # noqa: E402
from monolith_protos.hash_table_ops_pb2 import HashTableProto, MultiHashTableProto  # noqa: E402

tf1 = tf.compat.v1


def moved(build):
    """The proto of what build() makes in the scope `model` of a graph, over the wire, and a graph that has it in the scope `again`."""
    with tf.Graph().as_default():
        with tf.name_scope("model"):
            made = build()
        proto = made.to_proto("model")
        assert made.to_proto("elsewhere") is None and made.to_proto("mod") is None
        assert made.to_proto("model/").shared_name == proto.shared_name
        exported = tf1.train.export_meta_graph(export_scope="model", clear_extraneous_savers=True)
    graph = tf.Graph()
    with graph.as_default():
        tf1.train.import_meta_graph(exported, import_scope="again")
    return type(proto).FromString(proto.SerializeToString()), graph


def test_one_table(tmp_path):
    suffix = uuid.uuid4().hex
    config = table_config(2, rate=0.5, days=7)
    config.extra_restore_names = ["old"]

    def build():
        made = hash_table.hash_table_from_config(config, name_suffix=suffix, saver_parallel=2)
        made.export_share_embedding = True
        return made.assign(ids(1), rows([1, 2]))

    proto, graph = moved(build)
    assert isinstance(proto, HashTableProto)
    assert (proto.dim_size, proto.shared_name, proto.saver_parallel) == (2, f"MonolithHashTable_{suffix}", 2)
    assert proto.extra_restore_names == ["old"] and proto.export_share_embedding == HashTableProto.kTrue
    assert proto.slot_expire_time_config == config.table_config.slot_expire_time_config.SerializeToString() != b""
    assert not proto.table_tensor.startswith("model") and not proto.learning_rate_tensor.startswith("model")
    with graph.as_default(), tf1.Session() as session:
        made = HashTable.from_proto(proto, "again")
        assert (made.name, made.dim_size, made.export_share_embedding) == (proto.shared_name, 2, True)
        assert made.extra_restore_names == ["old"]
        trained = made.apply_gradients(ids(1), rows([1, 1]), 0)
        np.testing.assert_allclose(session.run(trained.lookup(ids(1, 2))), [[0.5, 1.5], [0, 0]])
        session.run(trained.save(str(tmp_path / "t")).as_op())
    assert sorted(f.name for f in tmp_path.glob("t-*")) == ["t-00000-of-00002", "t-00001-of-00002"]


@pytest.mark.parametrize("share, number", [(None, -1), (False, 0), (True, 1)])
def test_whether_embeddings_are_shared(share, number):
    def build():
        made = hash_table.test_hash_table(1)
        made.export_share_embedding = share
        return made

    proto, graph = moved(build)
    assert proto.export_share_embedding == number
    with graph.as_default():
        assert HashTable.from_proto(proto, "again").export_share_embedding is share


def test_several_tables(tmp_path):
    suffix, base = uuid.uuid4().hex, str(tmp_path / "t")
    configs = {"b": table_config(2, rate=0.5), "a": table_config(1, rate=0.25, days=3)}

    def build():
        made = MultiHashTable.from_configs(configs, name_suffix=suffix, saver_parallel=1)
        return made.assign({"a": (ids(1), rows([1])), "b": (ids(1), rows([1, 2]))})

    proto, graph = moved(build)
    assert isinstance(proto, MultiHashTableProto)
    assert list(proto.table_names) == ["a", "b"] and list(proto.dims) == [1, 2] and proto.saver_parallel == 1
    assert proto.slot_expire_time_config == configs["a"].table_config.slot_expire_time_config.SerializeToString()
    with graph.as_default(), tf1.Session() as session:
        made = MultiHashTable.from_proto(proto, "again")
        assert made.shared_name == f"MonolithMultiHashTable_{suffix}" and made.table_names == ["a", "b"]
        session.run(made.initializer)
        trained = made.apply_gradients({"a": (ids(1), rows([1])), "b": (ids(1), rows([1, 1]))}, 0)
        seen = session.run(trained.lookup({"a": ids(1), "b": ids(1)}))
        np.testing.assert_allclose(seen["a"], [[0.75]])
        np.testing.assert_allclose(seen["b"], [[0.5, 1.5]])
        session.run(trained.save(base).as_op())
        # What the tables are bound to in the graph, the assignment, comes before the restore.
        seen = session.run(made.restore(base).lookup({"a": ids(1), "b": ids(1)}))
        np.testing.assert_allclose(seen["a"], [[0.75]])


def test_eager_tables_have_no_names():
    with pytest.raises(errors.ConfigError, match="need a graph"):
        hash_table.test_hash_table(1).to_proto()
    with pytest.raises(errors.ConfigError, match="need a graph"):
        HashTable.from_proto(HashTableProto())
