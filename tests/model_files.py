"""Records and model files for the tests of training."""

import struct
import textwrap

# Counts how often every id was trained: SGD with rate 1 and a gradient of -1 from zeros, plus one dense variable.
COUNTER = """
    import tensorflow as tf
    from monolith_cli.model import *

    class Counter(MonolithModel):
        head_name = "count"

        def parse_fn(self, records, mode):
            return parse_instances(records, fidv2_features=["item"], dense_features=["label"], dense_feature_shapes=[1])

        def model_fn(self, features, mode):
            (count,) = self.lookup_embedding_slice(
                ["item"], "count", 1, initializer=ZerosInitializer(), optimizer=SgdOptimizer(learning_rate=1.0))
            steps = tf.compat.v1.get_variable("steps", initializer=0.0)
            loss = -tf.reduce_sum(count) - steps
            optimizer = tf.compat.v1.train.GradientDescentOptimizer(1.0)
            return EstimatorSpec(features["label"], count, loss=loss, optimizer=optimizer, classification=False)
"""


def fid(slot: int, value: int) -> int:
    return (slot << 48) | value


def instance(label: float = 0.0, uid: int = 0, **features) -> bytes:
    """A serialized Instance: keyword = list of fids (ints) or floats."""
    from monolith_protos.proto_parser_pb2 import Instance

    record = Instance(label=[label])
    record.line_id.uid = uid
    for name, values in features.items():
        column = record.feature.add(name=name)
        (column.fid if all(isinstance(v, int) for v in values) else column.float_value).extend(values)
    return record.SerializeToString()


def wire(records) -> bytes:
    return b"".join(struct.pack("<Q", len(r)) + r for r in records)


def items(values, start: int = 0) -> bytes:
    """One record per value, its label the running number."""
    return wire(instance(label=start + i, uid=start + i, item=[fid(1, v)]) for i, v in enumerate(values))


def write_model(folder, text: str, name: str = "model.py") -> str:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return str(path)
