"""A running monolith-serve, and clients of it that are not ours: tensorflow-serving-api's stubs, curl."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
from ports import free_port

from monolith_cli.serving.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_server_config_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

ROOT = Path(__file__).resolve().parent.parent


class ModelServer:
    """Started when made, on free ports. flags: as on the command line. credentials: for gRPC and curl with TLS."""

    def __init__(self, folder, *flags, credentials=None, curl_options=(), wait=True, host="127.0.0.1", **environment):
        self.port, self.rest_port = free_port(), free_port()
        self.folder, self.log, self.host = Path(folder), Path(folder) / "server.log", host
        self.curl_options = [*curl_options]
        self.scheme = "https" if credentials else "http"
        env = (
            {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")}
            | {"PYTHONPATH": str(ROOT)}
            | environment
        )
        command = [
            sys.executable,
            "-m",
            "monolith_cli",
            "monolith-serve",
            f"--port={self.port}",
            f"--rest_api_port={self.rest_port}",
            *map(str, flags),
        ]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        target = f"localhost:{self.port}"
        self.channel = grpc.secure_channel(target, credentials) if credentials else grpc.insecure_channel(target)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        if wait:
            self.wait_until(lambda: self.curl("/healthz")[0] == 200)

    def wait_until(self, done, timeout=180.0, every=0.05):
        """Waits for done() to be true and returns it."""
        end = time.monotonic() + timeout
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log.read_text()}")
            value = done()
            if value:
                return value
            assert time.monotonic() < end, f"waited {timeout} s in vain:\n{self.log.read_text()}"
            time.sleep(every)

    def predict(self, request, timeout=90.0):
        return self.prediction.Predict(request, timeout=timeout, wait_for_ready=True)

    def status(self, name, version=None, label=None, timeout=90.0):
        """[(version, state, error code)], as the server gives it."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        response = self.models.GetModelStatus(request, timeout=timeout)
        names = get_model_status_pb2.ModelVersionStatus.State
        return [(s.version, names.Name(s.state), s.status.error_code) for s in response.model_version_status]

    def states(self, name):
        return {version: state for version, state, _ in self.status(name)}

    def metadata(self, name, *fields):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = name
        return self.prediction.GetModelMetadata(request, timeout=90.0)

    def reload(self, *models, timeout=180.0, config=None):
        """HandleReloadConfigRequest with the given ModelConfigs (see `model`)."""
        request = model_management_pb2.ReloadConfigRequest()
        request.config.CopyFrom(config if config is not None else config_of(*models))
        return self.models.HandleReloadConfigRequest(request, timeout=timeout)

    def curl(self, path, body=None, *options):
        """(HTTP status, body) as curl gets it; JSON is parsed. (0, …) where there was no answer."""
        data = ["--data-binary", "@-"] if body is not None else []
        text = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        url = f"{self.scheme}://{self.host}:{self.rest_port}{path}"
        done = subprocess.run(
            ["curl", "-sS", "-m", "120", "-w", "\n%{http_code}", *self.curl_options, *options, *data, url],
            input=text or b"",
            capture_output=True,
            check=False,
        )
        answer, _, code = done.stdout.rpartition(b"\n")
        with contextlib.suppress(ValueError):
            return int(code), json.loads(answer)
        return int(code), answer.decode() if answer else done.stderr.decode()

    def stop(self, number=signal.SIGTERM):
        """Ends it and returns its exit code."""
        self.channel.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(120)
        finally:
            if self.process.poll() is None:
                self.process.kill()


def model(name, base_path, *, latest=None, all_versions=False, specific=(), labels=None):
    """A ModelConfig."""
    made = model_server_config_pb2.ModelConfig(name=name, base_path=str(base_path), model_platform="tensorflow")
    if latest is not None:
        made.model_version_policy.latest.num_versions = latest
    if all_versions:
        made.model_version_policy.all.SetInParent()
    if specific:
        made.model_version_policy.specific.versions.extend(specific)
    for label, version in (labels or {}).items():
        made.version_labels[label] = version
    return made


def config_of(*models):
    made = model_server_config_pb2.ModelServerConfig()
    made.model_config_list.config.extend(models)
    made.model_config_list.SetInParent()
    return made


def write_config(path, *models):
    Path(path).write_text(str(config_of(*models)))
    return path


def code_of(call, *args, **more):
    """(status code, message) of the error that a call ends with."""
    try:
        call(*args, **more)
    except grpc.RpcError as e:
        return e.code().name, e.details()
    raise AssertionError("no error")
