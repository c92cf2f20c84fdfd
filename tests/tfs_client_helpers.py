"""A server for tests of tfs-client, and what it was sent."""

import struct

import pytest
from fake_tfs import FakeTfs, Model

from monolith_cli.serving.protos import get_model_metadata_pb2, predict_pb2, types_pb2

T11_JSON = '{"fid": [12345], "label": [0, 1], "line_id": {"actions": [1]}}'
T11_BYTES = bytes.fromhex("0a0839300000000000001a08000000000000803f2a03320101")
T11_DUMP = '"root":\n"fid":\n0: 12345\n"label":\n0: 0\n1: 1\n"line_id":\n"actions":\n0: 1\n'
T11_TEXT = "  fid: 12345\n  label: 0\n  label: 1\n  line_id {\n  actions: 1 }\n"


def sizes_of(request):
    """An output with the number of values of the request's first input."""
    reply = predict_pb2.PredictResponse(model_spec=request.model_spec)
    count = len(next(iter(request.inputs.values())).string_val)
    output = reply.outputs["output"]
    output.dtype = types_pb2.DT_FLOAT
    output.tensor_shape.dim.add(size=count)
    output.float_val.extend(0.1 * i for i in range(count))
    return reply


@pytest.fixture
def tfs():
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.inputs["x"].dtype = types_pb2.DT_FLOAT
    signature.inputs["s"].dtype = types_pb2.DT_STRING
    signature.method_name = "tensorflow/serving/predict"
    with FakeTfs([Model("m", data=2)], predict=sizes_of, stock=True, signatures={"m": signatures}) as made:
        yield made.settle()


def sent(tfs, name=None):
    """The values of the only input of the last request."""
    inputs = tfs.calls("Predict")[-1].inputs
    assert list(inputs) == [name or next(iter(inputs))]
    tensor = next(iter(inputs.values()))
    assert tensor.dtype == 7 and [d.size for d in tensor.tensor_shape.dim] == [len(tensor.string_val)]
    return list(tensor.string_val)


def framed(*records, before=b""):
    return b"".join(before + struct.pack("<Q", len(r)) + r for r in records)
