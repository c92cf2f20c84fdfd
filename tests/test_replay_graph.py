"""Parts of recorded graphs: what a part has in it, where it may go, which operations are refused, and other random numbers."""

import json

import pytest
from model_files import items
from test_model_dump import Run, one

tf = pytest.importorskip("tensorflow")

from monolith_cli.errors import BadDataError  # noqa: E402
from monolith_cli.training import model_dump  # noqa: E402
from monolith_cli.training.replay_graph import GraphHelper  # noqa: E402
from monolith_cli.training.show import ShowConfig, show  # noqa: E402

tf1 = tf.compat.v1


@pytest.fixture
def recorded():
    """x -> twice -> cond (a function) -> y, with devices, colocation and a control dependency; `far` is of no use for y."""
    graph = tf1.Graph()
    with graph.as_default(), tf1.device("/job:ps/task:3"):
        x = tf1.placeholder(tf.float32, [], name="x")
        with tf1.control_dependencies([tf.identity(x, name="first")]):
            twice = tf.multiply(x, 2.0, name="twice")
        with graph.colocate_with(twice.op):
            y = tf.add(tf.cond(x > 0, lambda: twice + 1.0, lambda: twice - 1.0), 0.5, name="y")
        tf.negative(y, name="far")
    return graph.as_graph_def()


def test_sub_graph(recorded):
    part = GraphHelper(recorded).sub_graph(["y:0"])
    names = [n.name for n in part.node]
    assert {"x", "first", "twice", "y"} <= set(names) and "far" not in names
    order = {n.name: i for i, n in enumerate(recorded.node)}
    assert names == sorted(names, key=order.__getitem__)
    assert not any(n.device or "_class" in n.attr for n in part.node)
    assert any(n.device for n in recorded.node) and any("_class" in n.attr for n in recorded.node)
    called = {n.attr[k].func.name for n in part.node for k in n.attr if n.attr[k].HasField("func")}
    assert called == {f.signature.name for f in part.library.function} and len(called) == 2
    ended = [n.name for n in GraphHelper(recorded).sub_graph(["y"], ["twice:0"]).node]
    assert "first" not in ended and "twice" not in ended and "x" in ended
    assert not GraphHelper(recorded).sub_graph(["first:0"]).library.function
    with pytest.raises(KeyError):
        GraphHelper(recorded).sub_graph(["nothing:0"])


def test_bring_in_beside_what_is_there(recorded):
    """Names that are taken are given up; what is given is used, by operations that wait for it too; what is asked for and given is itself."""
    helper = GraphHelper(recorded)
    with tf.Graph().as_default(), tf1.Session() as session:
        mine = tf.constant(5.0, name="y")
        given = tf.constant(10.0, name="x")
        found = helper.bring_in(["y:0", "x:0", "y"], {"x": given})
        assert found["x:0"] is given and found["y:0"].name == "y_1:0" and found["y"].type == "AddV2"
        assert session.run([mine, found["y:0"]]) == [5.0, 21.5]
        cut = helper.bring_in(["y:0"], {"x:0": tf.constant(-1.0), "twice:0": tf.constant(7.0)})
        assert session.run(cut["y:0"]) == 6.5


def graph_of(make):
    graph = tf1.Graph()
    with graph.as_default():
        out = make()
    return GraphHelper(graph.as_graph_def()), (out if isinstance(out, tf.Operation) else out.op).name


@pytest.mark.parametrize("op, make", [
    ("EagerPyFunc", lambda: tf.py_function(lambda: 1.0, [], tf.float32)),
    ("PyFunc", lambda: tf.numpy_function(lambda: 1.0, [], tf.float64)),
    ("PyFuncStateless", lambda: tf.numpy_function(lambda: 1.0, [], tf.float64, stateful=False)),
    ("WriteFile", lambda: tf.raw_ops.WriteFile(filename="/tmp/x", contents="x")),
    ("ReadFile", lambda: tf.io.read_file("/etc/hostname")),
    ("SaveV2", lambda: tf.raw_ops.SaveV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1.0)])),
    ("PrintV2", lambda: tf.print("x", output_stream="file:///tmp/x")),
    ("TextLineDataset", lambda: tf.data.TextLineDataset("/etc/hostname")._variant_tensor),
    ("CacheDataset", lambda: tf.data.Dataset.range(3).cache("/tmp/x")._variant_tensor),
    ("MatchingFiles", lambda: tf.io.matching_files("/etc/*")),
    ("WriteFile", lambda: tf.cond(tf.constant(1.0) > 0, lambda: writes(), lambda: tf.constant(0.0))),
    ("DebugIdentity", lambda: tf.raw_ops.DebugIdentity(input=1.0, debug_urls=["file:///tmp/x"])),
])  # fmt: skip
def test_operations_that_reach_out_are_refused(op, make):
    helper, name = graph_of(make)
    with tf.Graph().as_default(), pytest.raises(BadDataError) as told:
        helper.bring_in([name], {})
    assert f"is a {op}:" in str(told.value) and "operation '" in str(told.value)


def writes():
    with tf1.control_dependencies([tf.raw_ops.WriteFile(filename="/tmp/x", contents="x")]):
        return tf.constant(1.0)


def test_operations_on_tables_and_unknown_ones_are_refused():
    graph = tf1.GraphDef()
    graph.node.add(name="save", op="MonolithTablesSave")
    graph.node.add(name="odd", op="NoSuchOperation")
    for name, words in (("save", "on tables or files"), ("odd", "no such operation")):
        with tf.Graph().as_default(), pytest.raises(BadDataError, match=words):
            GraphHelper(graph).bring_in([name], {})


def test_ordinary_networks_are_not_refused():
    def network():
        x = tf.random.stateless_normal([2, 3], [1, 2]) + tf.random.normal([2, 3], seed=3)
        x = tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, tf.nn.relu(v)), [0, x])[1]
        w = tf1.get_variable("w", [3, 3])
        return tf.debugging.check_numerics(tf.linalg.cholesky(tf.matmul(w, w, transpose_b=True) + tf.eye(3)) @ tf.transpose(x), "x")

    helper, name = graph_of(network)
    with tf.Graph().as_default():
        assert helper.bring_in([f"{name}:0"], {})[f"{name}:0"].shape == [3, 2]


def test_seeds():
    """The numbers of the recorded seed again; by another seed others, of operations with state those that a graph with that seed has."""
    def make():
        return tf.concat([tf.random.uniform([4]), tf.random.stateless_uniform([4], tf.constant([7, 0]))], 0)

    def values(seed, helper=None, name=None):
        with tf.Graph().as_default() as graph, tf1.Session() as session:
            tf1.set_random_seed(seed)
            out = make() if helper is None else helper.bring_in([name], {})[name]
            return graph.as_graph_def(), out.name, session.run(out).tolist()

    definition, name, first = values(1)
    helper = GraphHelper(definition, 1)
    assert values(1, helper, name)[2] == first
    other, again = values(2, helper, name)[2], values(2, helper, name)[2]
    assert other == again and not set(other) & set(first) and other[:4] == values(2)[2][:4]
    assert len(set(map(tuple, (values(s, helper, name)[2][4:] for s in range(1, 9))))) == 8


# --- dumps that are whole, and wrong ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    show(ShowConfig(one(folder), dump=str(folder / "dump")), Run())
    return folder / "dump"


def add_node(dump, **node):
    """An operation that the prediction of training waits for."""
    part = dump.model_dump["train"]
    graph = tf1.GraphDef.FromString(part.graph_def)
    graph.node.add(**node)
    next(n for n in graph.node if n.name == part.model_fn.loss.partition(":")[0]).input.append(f"^{node['name']}")
    part.graph_def = graph.SerializeToString()


def evil(dump):
    add_node(dump, name="innocent", op="WriteFile")


def no_loss(dump):
    dump.model_dump["train"].model_fn.loss = "nowhere:0"


def other_width(dump):
    dump.table_configs[0].slices[0].dim = 9


def other_table(dump):
    dump.table_configs[0].slices[0].optimizer.Clear()
    dump.table_configs[0].slices[0].optimizer.sgd.SetInParent()


def no_graph(dump):
    dump.model_dump["train"].graph_def = b"\x0a\xff"


def other_optimizer(dump):
    dump.model_dump["train"].optimizer = json.dumps({"class": "os.system", "arguments": {"command": "true"}}).encode()


def missing_feature(dump):
    dump.model_dump["train"].model_fn.features["gone"] = json.dumps({"name": "a:0", "is_ragged": False})


@pytest.mark.parametrize("change, words", [
    (evil, "'innocent' is a WriteFile"), (no_loss, "nowhere"), (other_width, "damaged"), (other_table, "differ"), (no_graph, "damaged"),
    (other_optimizer, "os.system"), (missing_feature, "gone"),
], ids=lambda c: getattr(c, "__name__", ""))  # fmt: skip
def test_a_wrong_dump_is_bad_data(small, tmp_path, change, words):
    from monolith_cli.errors import ConfigError
    from monolith_cli.training import replay
    from monolith_cli.training.describe import no_records
    from monolith_cli.training.graph import TRAIN, build

    dump, _ = model_dump.read(str(small))
    change(dump)
    path = str(tmp_path / "wrong")
    model_dump.write(dump, path)
    with pytest.raises(BadDataError) as told:
        model = replay.load(path)
        with no_records(model, "instance"):
            build(model, TRAIN, 0)
    assert path in str(told.value) and words in str(told.value) and not isinstance(told.value, ConfigError), str(told.value)


def test_a_wrong_dump_through_the_command(small, tmp_path, run):
    dump, _ = model_dump.read(str(small))
    evil(dump)
    model_dump.write(dump, str(tmp_path / "wrong"))
    done = run("monolith-train", "--model", tmp_path / "wrong", "--model-dir", tmp_path / "m", stdin=items([1]), check=False)
    assert done.returncode == 65 and "operation 'innocent' is a WriteFile" in done.stderr and str(tmp_path / "wrong") in done.stderr
    assert "Traceback" not in done.stderr
