"""The requests a profile draws from: random ExampleBatches kept in a folder, random records, or those of a file."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace

from monolith_cli import errors
from monolith_cli.serving.client import inputs
from monolith_cli.serving.client.calls import ModelName
from monolith_cli.serving.client.inputs import InputConfig
from monolith_cli.serving.client.random_records import PROFILE_EXTRA, RandomFields, RandomRecords
from monolith_cli.serving.client.tensors import string_tensor
from monolith_cli.serving.protos import predict_pb2

FOLDER_FILES = 500


def requests(
    model: ModelName, config: InputConfig, samples: int, folder: str | None, output_filter=(), log=None
) -> list[bytes]:
    """Serialized PredictRequests. config: its type is example_batch where none is said. folder: filled up to `samples`
    files `<uuid>.pb` of one random record each, and read. Else the records of the input file, in batches; without one
    `samples` random requests, of which nothing is written."""
    if config.input_type is None and (folder or not config.has_file()):
        config = replace(config, input_type="example_batch")
    kind = config.resolved_type()
    if kind in inputs.ONE_INSTANCE:
        batches = [inputs.request_records(config)]
    else:
        record_type = inputs.RECORDS[kind][0]
        size = 1 if record_type == "example_batch" else config.batch_size
        if folder:
            records = _of_folder(config, record_type, samples, folder, log)
        elif config.has_file():
            records = inputs.read_records(config, record_type, samples * size)
        else:
            generator = RandomRecords(profile_fields(config.random))
            records = [generator.of_type(record_type, config.batch_size) for _ in range(samples * size)]
        if not records:
            raise errors.BadDataError(f"{folder or config.input_file}: holds no record")
        batches = [
            inputs.as_sent(kind, records[i : i + size], config.input_file or "random records")
            for i in range(0, len(records), size)
        ]
    return [
        predict_request(model, {config.tensor_name(): string_tensor(batch)}, output_filter).SerializeToString()
        for batch in batches
    ]


def predict_request(model: ModelName, tensors: dict, output_filter=()) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(model_spec=model.spec(), output_filter=output_filter)
    for name, tensor in tensors.items():
        request.inputs[name].CopyFrom(tensor)
    return request


def profile_fields(fields: RandomFields) -> RandomFields:
    """With the LineId and actions that profiles use, where the user did not name others."""
    return replace(fields, extra=fields.extra or PROFILE_EXTRA, actions=fields.actions or tuple(range(1, 13)))


def _of_folder(config: InputConfig, record_type: str, samples: int, folder: str, log) -> list[bytes]:
    try:
        os.makedirs(folder, exist_ok=True)
        names = sorted(name for name in os.listdir(folder) if name.endswith(".pb"))
        missing = max(0, samples - len(names))
        generator = RandomRecords(profile_fields(config.random))
        for _ in range(missing):
            names.append(f"{uuid.uuid4()}.pb")
            inputs.write_framed(
                os.path.join(folder, names[-1]), [generator.of_type(record_type, config.batch_size)], config.framing
            )
    except OSError as e:
        raise errors.CannotCreateError(f"--profile-data-dir {folder}: {e.strerror}") from None
    if missing and log:
        log.warning(f"{folder}: {missing} files of random records written", files=missing)
    found = []
    for name in names[:samples]:
        one = replace(config, input_file=os.path.join(folder, name), file_type="pb")
        found += inputs.read_records(one, record_type, 1)
    return found
