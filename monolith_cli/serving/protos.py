"""Messages and stubs of TensorFlow Serving, without the seconds that TensorFlow takes to start.

The generated modules of `tensorflow-serving-api` need messages of TensorFlow (`TensorProto`, `ConfigProto`), whose modules live in the
package `tensorflow`; importing one of them the common way runs the whole of `tensorflow/__init__.py`. While the messages are imported here
a bare package stands in for it, which has the same folders and runs nothing. A process that wants TensorFlow itself imports it as ever.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import types


@contextlib.contextmanager
def _messages_only():
    """`tensorflow` as a package of folders, if it has not been imported for real."""
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("tensorflow is not installed")
    package = types.ModuleType("tensorflow")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        # Modules of messages stay; their packages go, so that a later import of TensorFlow builds its own and finds the messages.
        del sys.modules["tensorflow"]
        for name in [n for n in sys.modules if n.startswith("tensorflow.") and not n.endswith("_pb2")]:
            del sys.modules[name]


with _messages_only():
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorflow.core.protobuf import config_pb2, error_codes_pb2, meta_graph_pb2, saved_model_pb2
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        get_model_status_pb2,
        model_management_pb2,
        model_pb2,
        model_service_pb2,
        model_service_pb2_grpc,
        predict_pb2,
        prediction_log_pb2,
        prediction_service_pb2,
        prediction_service_pb2_grpc,
        status_pb2,
    )
    from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2, platform_config_pb2

__all__ = [
    "config_pb2",
    "error_codes_pb2",
    "file_system_storage_path_source_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "model_service_pb2",
    "model_service_pb2_grpc",
    "platform_config_pb2",
    "predict_pb2",
    "prediction_log_pb2",
    "prediction_service_pb2",
    "prediction_service_pb2_grpc",
    "saved_model_pb2",
    "status_pb2",
    "tensor_pb2",
    "tensor_shape_pb2",
    "types_pb2",
]
