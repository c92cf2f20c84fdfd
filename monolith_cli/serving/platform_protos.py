"""Messages of TensorFlow Serving that its Python package leaves out: platform and batching configuration, TLS,
monitoring.

They are made here by name and number, since `ConfigProto`, which one of them holds, ships without the file that protoc
would need.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2  # noqa: F401 - wrappers are referred to

from monolith_cli.serving.protos import config_pb2  # noqa: F401 - referred to by name below

_PACKAGE = "tensorflow.serving"
_INT64, _STRING = ".google.protobuf.Int64Value", ".google.protobuf.StringValue"

# message -> (field, number, type); a type with a dot is a message, with [] repeated.
_MESSAGES = {
    "BatchingParameters": (
        ("max_batch_size", 1, _INT64),
        ("batch_timeout_micros", 2, _INT64),
        ("max_enqueued_batches", 3, _INT64),
        ("num_batch_threads", 4, _INT64),
        ("thread_pool_name", 5, _STRING),
        ("allowed_batch_sizes", 6, "int64[]"),
        ("pad_variable_length_inputs", 7, "bool"),
        ("enable_large_batch_splitting", 8, "bool"),
        ("max_execution_batch_size", 9, _INT64),
        ("support_diff_dim_size_inputs", 10, "bool"),
    ),
    "SessionBundleConfig": (
        ("session_target", 1, "string"),
        ("session_config", 2, ".tensorflow.ConfigProto"),
        ("batching_parameters", 3, f".{_PACKAGE}.BatchingParameters"),
        ("saved_model_tags", 6, "string[]"),
        ("enable_model_warmup", 779, "bool"),
        ("remove_unused_fields_from_bundle_metagraph", 782, "bool"),
    ),
    "SavedModelBundleSourceAdapterConfig": (("legacy_config", 1000, f".{_PACKAGE}.SessionBundleConfig"),),
    "SSLConfig": (
        ("server_key", 1, "string"),
        ("server_cert", 2, "string"),
        ("custom_ca", 3, "string"),
        ("client_verify", 4, "bool"),
    ),
    "PrometheusConfig": (("enable", 1, "bool"), ("path", 2, "string")),
    "MonitoringConfig": (("prometheus_config", 1, f".{_PACKAGE}.PrometheusConfig"),),
}


def _describe(name: str, fields) -> descriptor_pb2.DescriptorProto:
    message = descriptor_pb2.DescriptorProto(name=name)
    for field, number, kind in fields:
        made = message.field.add(name=field, number=number)
        made.label = made.LABEL_REPEATED if kind.endswith("[]") else made.LABEL_OPTIONAL
        kind = kind.removesuffix("[]")
        if kind.startswith("."):
            made.type, made.type_name = made.TYPE_MESSAGE, kind
        else:
            made.type = {"int64": made.TYPE_INT64, "bool": made.TYPE_BOOL, "string": made.TYPE_STRING}[kind]
    return message


def _class(name: str):
    pool = descriptor_pool.Default()
    try:
        descriptor = pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto(
            name=f"monolith_cli/serving/{name}.proto", package=_PACKAGE, syntax="proto3"
        )
        file.message_type.append(_describe(name, _MESSAGES[name]))
        kinds = {kind for _, _, kind in _MESSAGES[name] if kind.startswith(".")}
        file.dependency.extend(sorted({pool.FindMessageTypeByName(k.lstrip(".")).file.name for k in kinds}))
        descriptor = pool.AddSerializedFile(file.SerializeToString()).message_types_by_name[name]
    return message_factory.GetMessageClass(descriptor)


BatchingParameters = _class("BatchingParameters")
SessionBundleConfig = _class("SessionBundleConfig")
SavedModelBundleSourceAdapterConfig = _class("SavedModelBundleSourceAdapterConfig")
SSLConfig = _class("SSLConfig")
PrometheusConfig = _class("PrometheusConfig")
MonitoringConfig = _class("MonitoringConfig")
