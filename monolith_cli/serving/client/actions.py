"""What tfs-client does: each function is one verb, from its settings to what is printed."""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import dataclass, field

from google.protobuf import json_format, text_format

from monolith_cli import errors
from monolith_cli.serving.channel import Tls
from monolith_cli.serving.client import samples, tensors
from monolith_cli.serving.client.calls import ModelName, TfsClient, check_reload, error_of
from monolith_cli.serving.client.inputs import InputConfig, read_tensors, request_records
from monolith_cli.serving.client.profile import PERCENTILES, Profile, ProfileConfig, Profiler
from monolith_cli.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_server_config_pb2,
    predict_pb2,
)

_REPORT_EVERY_S = 60.0


@dataclass(frozen=True)
class Settings:
    """targets: host:port each; all verbs but profile use the first. timeout_s: of a call. as_json: print JSON."""

    model: ModelName
    targets: tuple[str, ...]
    tls: Tls | None = None
    timeout_s: float = 30.0
    as_json: bool = False
    input: InputConfig = field(default_factory=InputConfig)
    output_filter: tuple[str, ...] = ()
    metadata_fields: tuple[str, ...] = ("signature_def",)

    def client(self) -> TfsClient:
        return TfsClient(self.targets[0], self.tls, self.timeout_s)


def status(settings: Settings) -> None:
    """Prints the states of the versions. NoInputError when the server knows no version of the model."""
    with settings.client() as client:
        reply = client.status(settings.model)
    _print(reply, settings.as_json)
    versions = reply.model_version_status
    if len(versions) == 1 and versions[0].version == -1 and versions[0].status.error_code:
        raise errors.NoInputError(f"{settings.targets[0]}: {versions[0].status.error_message}")


def metadata(settings: Settings) -> None:
    """Prints signatures, or the fields that were asked for."""
    with settings.client() as client:
        reply = client.metadata(settings.model, settings.metadata_fields)
    if not settings.as_json:
        _print(reply, False)
        return
    shown = {
        "model_spec": _to_dict(reply.model_spec),
        "metadata": {name: _any_to_json(value) for name, value in sorted(reply.metadata.items())},
    }
    print(json.dumps(shown))


def load(settings: Settings, path: str | None) -> None:
    """Has the server take over the ModelServerConfig of a text file, and prints the status it answers with."""
    config = read_model_config(path)
    with settings.client() as client:
        reply = client.reload(config)
    _print(reply.status, settings.as_json)
    check_reload(reply.status, settings.targets[0])


def read_model_config(path: str | None):
    """A ModelServerConfig from text. UsageError, NoInputError, ConfigError with file and place."""
    if path is None:
        raise errors.UsageError("load needs --input-file: a text file with a ModelServerConfig")
    try:
        with sys.stdin if path == "-" else open(path, encoding="utf-8") as f:
            text = f.read(1 << 28)
    except OSError as e:
        raise errors.NoInputError(f"{path}: {e.strerror}") from None
    except UnicodeDecodeError as e:
        raise errors.ConfigError(f"{path}: byte {e.start}: not UTF-8") from None
    try:
        return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except text_format.ParseError as e:
        raise errors.ConfigError(f"{path}:{e.GetLine() or 1}: {e}") from None


def predict(settings: Settings, run) -> None:
    """Sends one request and prints the outputs."""
    with settings.client() as client:
        reply = client.predict(_request(settings, client, run.log))
    if not settings.as_json:
        _print(reply, False)
        return
    outputs = {name: tensors.to_value(tensor) for name, tensor in sorted(reply.outputs.items())}
    print(json.dumps({"model_spec": _to_dict(reply.model_spec), "outputs": outputs}))


def _request(settings: Settings, client: TfsClient, log) -> predict_pb2.PredictRequest:
    config = settings.input
    if config.resolved_type() == "tensors":
        given = _typed(settings, client, read_tensors(config.input_file))
    else:
        given = {config.tensor_name(): tensors.string_tensor(request_records(config, log))}
    return samples.predict_request(settings.model, given, settings.output_filter)


def _typed(settings: Settings, client: TfsClient, values: dict) -> dict:
    """Tensors of the types that the model's signature has."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    client.metadata(settings.model).metadata["signature_def"].Unpack(signatures)
    name = settings.model.signature or "serving_default"
    if name not in signatures.signature_def:
        raise errors.BadDataError(
            f"{settings.model.name}: no signature {name}; "
            f"there are {', '.join(sorted(signatures.signature_def)) or 'none'}"
        )
    known = signatures.signature_def[name].inputs
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise errors.BadDataError(
            f"signature {name} has no input {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    return {key: tensors.from_value(value, known[key].dtype, key) for key, value in values.items()}


def profile(settings: Settings, config: ProfileConfig, sample_count: int, folder: str | None, run) -> int:
    """Measures Predict and prints the result; the exit code: 128 + signal when it was stopped."""
    if settings.input.resolved_type() == "tensors":
        with settings.client() as client:
            requests = [_request(settings, client, run.log).SerializeToString()]
    else:
        requests = samples.requests(
            settings.model, settings.input, sample_count, folder, settings.output_filter, run.log
        )
    profiler = Profiler(config, requests)
    stopped = _stop_on_signals(profiler)
    made = profiler.run(_reporter(profiler, run))
    _print_profile(made, config, settings, run)
    if stopped:
        return 128 + stopped[0]
    if made.count == 0:
        if made.last_error is not None:
            raise error_of(made.last_error, ",".join(config.targets))
        raise errors.UnavailableError(
            f"{','.join(config.targets)}: no request was answered within {config.duration_s:g} s"
        )
    return 0


def _stop_on_signals(profiler: Profiler) -> list[int]:
    """The first SIGTERM or SIGINT ends the run in order, a second one at once. Returns where the number will be."""
    seen: list[int] = []

    def handle(number, frame):
        seen.append(number)
        signal.signal(number, signal.SIG_DFL)
        profiler.stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    return seen


def _reporter(profiler: Profiler, run):
    """Progress: a line that is refreshed each second where progress is on, else a message a minute."""
    last = [time.monotonic()]

    def tick() -> None:
        count, failed, seconds = profiler.progress()
        text = f"{count:,} answers, {failed:,} errors, {count / seconds if seconds else 0:,.0f}/s, {seconds:.0f} s"
        if run.progress:
            sys.stderr.write(f"\r{run.prog}: {text} \033[K")
        elif time.monotonic() - last[0] >= _REPORT_EVERY_S:
            last[0] = time.monotonic()
            run.log.summary(text, count=count, errors=failed, seconds=round(seconds, 1))

    return tick


def _print_profile(made: Profile, config: ProfileConfig, settings: Settings, run) -> None:
    if run.progress:
        sys.stderr.write("\r\033[K")
    shown = made.to_dict()
    run.metrics.update({key: value for key, value in shown.items() if isinstance(value, (int, float))})
    if settings.as_json:
        described = {
            "model": settings.model.name,
            "targets": list(config.targets),
            "parallel_num": config.parallel_num,
            "rate": config.rate,
        }
        print(json.dumps(described | shown))
        return
    print(f"answers  {made.count} in {made.elapsed_s:.1f} s, {made.rate():.1f}/s")
    print(
        "latency  mean "
        + f"{made.mean_ms():.3f} ms, "
        + ", ".join(f"p{p:g} {made.percentile_ms(p):.3f} ms" for p in PERCENTILES)
        + f", max {shown['max_ms']:.3f} ms"
    )
    print("errors   " + (", ".join(f"{code} {count}" for code, count in made.errors.most_common()) or "none"))
    if made.unsent:
        print(f"unsent   {made.unsent} fell due and found no free thread (--parallel-num {config.parallel_num})")
    print(made.line())


def _print(message, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_to_dict(message)))
        return
    sys.stdout.write(text_format.MessageToString(message, as_utf8=True))


def _to_dict(message) -> dict:
    """JSON as the REST API has it: original field names; of a status all fields."""
    whole = isinstance(message, get_model_status_pb2.GetModelStatusResponse) or message.DESCRIPTOR.name == "StatusProto"
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=whole
    )


def _any_to_json(value):
    """A packed message as JSON; plain bytes without a type as text."""
    if value.type_url:
        return json_format.MessageToDict(value, preserving_proto_field_name=True)
    return value.value.decode("utf-8", "replace")
