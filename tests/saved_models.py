"""Small SavedModels for the tests of serving, built with plain TensorFlow.

Each function writes one version, `<base>/<version>/`, which appears whole (a server that polls the folder never sees
half of one), and returns its path. What was built once in this process is copied afterwards: TensorFlow takes seconds
to start.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

_built: dict[tuple, Path] = {}


def double(base, version=1):
    """x: float [N] -> y = 2 x: float [N]."""

    def build(tf):
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        return {"serving_default": ({"x": x}, {"y": tf.multiply(x, 2.0, "y")})}

    return _write(base, version, ("double",), build)


def two_inputs(base, version=1):
    """a, b: float [N] -> sum, product: float [N]; signature `difference`: a, b -> difference."""

    def build(tf):
        a, b = (tf.compat.v1.placeholder(tf.float32, [None], n) for n in "ab")
        return {
            "serving_default": ({"a": a, "b": b}, {"sum": a + b, "product": a * b}),
            "difference": ({"a": a, "b": b}, {"difference": a - b}),
        }

    return _write(base, version, ("two_inputs",), build)


def constant(base, version=1, value=None):
    """x: float [N] -> y: float [N], each a variable's value, by default the version: versions answer differently."""
    value = float(version if value is None else value)

    def build(tf):
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        v = tf.compat.v1.get_variable("v", initializer=value)
        return {"serving_default": ({"x": x}, {"y": tf.zeros_like(x) + v})}

    return _write(base, version, ("constant", value), build)


def strings(base, version=1):
    """instances: string [N] -> length: int64 [N], echo: string [N]; what models of a stream of samples look like."""

    def build(tf):
        x = tf.compat.v1.placeholder(tf.string, [None], "instances")
        length = tf.cast(tf.strings.length(x), tf.int64)
        return {"serving_default": ({"instances": x}, {"length": length, "echo": tf.identity(x)})}

    return _write(base, version, ("strings",), build)


def ragged(base, version=1):
    """x: float [N, M] -> total: float [N], the sums of rows; y: x itself."""

    def build(tf):
        x = tf.compat.v1.placeholder(tf.float32, [None, None], "x")
        return {"serving_default": ({"x": x}, {"total": tf.reduce_sum(x, 1), "y": tf.identity(x)})}

    return _write(base, version, ("ragged",), build)


def busy(base, version=1):
    """x: int32 [N] -> y = x after the sum of x rounds of work of about a millisecond each: a request that takes its
    time."""

    def build(tf):
        x = tf.compat.v1.placeholder(tf.int32, [None], "x")
        rounds = tf.reduce_sum(x)

        def work(i, m):
            return i + 1, tf.nn.softmax(tf.matmul(m, m))

        i, m = tf.while_loop(lambda i, m: i < rounds, work, [tf.constant(0), tf.eye(200)], parallel_iterations=1)
        return {"serving_default": ({"x": x}, {"y": x + 0 * (i + tf.cast(m[0, 0] * 0.0, tf.int32))})}

    return _write(base, version, ("busy",), build)


def held(base, version, gate):
    """x: int32 [N] -> y = x as soon as there is a file `gate`; a request that has begun leaves a file `gate`.begun."""

    def build(tf):
        x = tf.compat.v1.placeholder(tf.int32, [None], "x")
        with tf.control_dependencies([tf.io.write_file(f"{gate}.begun", "")]):
            begun = tf.identity(0)

        def closed(i, m):
            nothing = tf.strings.substr(tf.strings.as_string(i), 0, 0)  # of the round, so that each one looks anew
            return tf.equal(tf.size(tf.io.matching_files(tf.strings.join([str(gate), nothing]))), 0)

        def work(i, m):
            return i + 1, tf.nn.softmax(tf.matmul(m, m))

        i, m = tf.while_loop(closed, work, [begun, tf.eye(200)], parallel_iterations=1)
        return {"serving_default": ({"x": x}, {"y": x + 0 * (i + tf.cast(m[0, 0] * 0.0, tf.int32))})}

    return _write(base, version, ("held", str(gate)), build)


def failing(base, version=1):
    """x: float [N] -> y = x, but INVALID_ARGUMENT where an x is not a number."""

    def build(tf):
        x = tf.compat.v1.placeholder(tf.float32, [None], "x")
        return {"serving_default": ({"x": x}, {"y": tf.debugging.check_numerics(x, "x is no number")})}

    return _write(base, version, ("failing",), build)


def mlp(base, version=1, width=128, hidden=(512, 256)):
    """features: float [N, width] -> score: float [N]: a ranking model; 2 * (128 * 512 + 512 * 256 + 256) = 394 kFLOP a
    row."""

    def build(tf):
        x = tf.compat.v1.placeholder(tf.float32, [None, width], "features")
        layer, size = x, width
        for i, units in enumerate([*hidden, 1]):
            init = tf.random.stateless_normal([size, units], [i, 7], stddev=(2.0 / size) ** 0.5)
            w, b = tf.compat.v1.get_variable(f"w{i}", initializer=init), tf.compat.v1.get_variable(f"b{i}", [units])
            layer, size = tf.matmul(layer, w) + b, units
            layer = layer if units == 1 else tf.nn.relu(layer)
        return {"serving_default": ({"features": x}, {"score": tf.sigmoid(layer[:, 0], "score")})}

    return _write(base, version, ("mlp", width, tuple(hidden)), build)


def module(base, version=1):
    """x: float [N] -> y = 3 x, saved by tf.saved_model.save (a SavedModel of TensorFlow 2, with a variable and a
    function)."""

    def save(tf, path):
        class Triple(tf.Module):
            def __init__(self):
                self.factor = tf.Variable(3.0)

            @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
            def __call__(self, x):
                return {"y": x * self.factor}

        with tf.init_scope():
            m = Triple()
            tf.saved_model.save(m, path, signatures={"serving_default": m.__call__})

    return _publish(base, version, _cached(("module",), save))


def broken(base, version=1, what="graph"):
    """A version that cannot be loaded. what: "graph" (saved_model.pb is cut short), "variables" (their file is),
    "empty" (no file)."""
    whole = constant(Path(tempfile.mkdtemp(dir=_root())), 1, -1)

    def cut(path):
        os.truncate(path, os.path.getsize(path) // 2)

    if what == "graph":
        cut(whole / "saved_model.pb")
    elif what == "variables":
        cut(whole / "variables" / "variables.index")
    else:
        shutil.rmtree(whole)
        whole.mkdir()
    return _publish(base, version, whole)


def predict_request(name, signature="", version=None, **inputs):
    """A PredictRequest; inputs are numpy arrays or what makes one (bytes and str make string tensors)."""
    import numpy as np

    from monolith_cli.serving.protos import predict_pb2, tensor_pb2, types_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if isinstance(version, str):
        request.model_spec.version_label = version
    elif version is not None:
        request.model_spec.version.value = version
    kinds = {
        "float32": types_pb2.DT_FLOAT,
        "float64": types_pb2.DT_DOUBLE,
        "int32": types_pb2.DT_INT32,
        "int64": types_pb2.DT_INT64,
    }
    for key, value in inputs.items():
        text = not isinstance(value, np.ndarray) and any(
            isinstance(v, (str, bytes)) for v in np.ravel(np.array(value, object))
        )
        array = np.asarray(value, object if text else None)
        tensor = tensor_pb2.TensorProto()
        for size in array.shape:
            tensor.tensor_shape.dim.add(size=size)
        if array.dtype.kind in "SUO":
            tensor.dtype = types_pb2.DT_STRING
            tensor.string_val.extend(v if isinstance(v, bytes) else v.encode() for v in array.reshape(-1).tolist())
        else:
            tensor.dtype, tensor.tensor_content = kinds[array.dtype.name], array.tobytes()
        request.inputs[key].CopyFrom(tensor)
    return request


def write_warmup(version_dir, requests, count=1):
    """assets.extra/tf_serving_warmup_requests: each request `count` times, as PredictionLog in a TFRecord file. Its
    path."""
    from monolith_cli.serving.protos import prediction_log_pb2

    path = Path(version_dir) / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(exist_ok=True)
    with open(path, "wb") as f:
        for request in list(requests) * count:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            f.write(tfrecord(log.SerializeToString()))
    return path


def tfrecord(payload):
    """One record of a TFRecord file: length, masked CRC-32C of it, payload, masked CRC-32C of it."""
    length = len(payload).to_bytes(8, "little")
    return length + _masked_crc(length) + payload + _masked_crc(payload)


def _masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 & -(crc & 1))
    crc ^= 0xFFFFFFFF
    return ((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _write(base, version, key, build):
    def save(tf, path):
        v1 = tf.compat.v1
        with tf.Graph().as_default(), v1.variable_scope("", use_resource=True), v1.Session() as session:
            signatures = build(tf)
            session.run(v1.global_variables_initializer())
            builder = v1.saved_model.builder.SavedModelBuilder(path)
            define = v1.saved_model.signature_def_utils.predict_signature_def
            builder.add_meta_graph_and_variables(
                session, ["serve"], {n: define(i, o) for n, (i, o) in signatures.items()}
            )
            builder.save()

    return _publish(base, version, _cached(key, save))


def _root():
    if () not in _built:
        _built[()] = Path(tempfile.mkdtemp(prefix="saved-models-"))
        atexit.register(shutil.rmtree, _built[()], ignore_errors=True)
    return _built[()]


def _cached(key, save):
    if key not in _built:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        path = Path(tempfile.mkdtemp(dir=_root())) / "model"
        save(tf, str(path))
        _built[key] = path
    return _built[key]


def _publish(base, version, built):
    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=".writing-", dir=base))
    shutil.copytree(built, hidden, dirs_exist_ok=True)
    hidden.chmod(0o755)
    target = base / str(version)
    hidden.rename(target)
    return target
