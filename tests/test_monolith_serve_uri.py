"""monolith-serve where --model-base-path is a URI: of local files, and of a file system that TensorFlow alone can read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import saved_models
from model_server import ModelServer
from ports import free_port

pytest.importorskip("tensorflow")

ROOT = Path(__file__).resolve().parent.parent

# ram:// is seen by its own process alone, so server and client are one: predicts with version 1, rolls version 2 in, ends the server.
IN_MEMORY = """
import json, os, signal, sys, threading, time, urllib.request
import tensorflow as tf

port, local = sys.argv[1:]
base = "ram://models/constant"

def put(version):
    for folder, _, names in os.walk(os.path.join(local, str(version))):
        to = folder.replace(local, base)
        tf.io.gfile.makedirs(to)
        for name in names:
            tf.io.gfile.copy(os.path.join(folder, name), f"{to}/{name}")

def predict():
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/models/constant:predict", b'{"instances": [0]}')
    try:
        return json.load(urllib.request.urlopen(request, timeout=60))["predictions"]
    except OSError:
        return None

def client():
    try:
        for version in (1, 2):
            if version == 2:
                put(version)
            end = time.monotonic() + 120
            while (answer := predict()) != [version]:
                assert time.monotonic() < end, answer
                time.sleep(0.1)
            print("served", version, flush=True)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)

put(1)
threading.Thread(target=client).start()
sys.argv = ["monolith", "monolith-serve", "--port=0", f"--rest_api_port={port}", "--model_name=constant",
            f"--model_base_path={base}", "--file_system_poll_wait_seconds=1", "--load_retry_interval_micros=200000",
            "--max_num_load_retries=1000"]  # a version comes file by file there
from monolith_cli.__main__ import main
main()
"""


@pytest.fixture
def versions(tmp_path):
    for version in (1, 2):
        saved_models.constant(tmp_path / "m", version)
    return tmp_path / "m"


def test_files_by_uri(tmp_path, versions):
    shutil.move(versions / "2", tmp_path / "2")
    server = ModelServer(tmp_path, f"--model_base_path=file://{versions}", "--model_name=c", "--file_system_poll_wait_seconds=1")
    try:
        assert server.curl("/v1/models/c:predict", {"instances": [0]}) == (200, {"predictions": [1]})
        shutil.move(tmp_path / "2", versions / "2")
        server.wait_until(lambda: server.curl("/v1/models/c:predict", {"instances": [0]}) == (200, {"predictions": [2]}))
    finally:
        server.stop()


def test_a_file_system_of_tensorflow(versions):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", IN_MEMORY, str(free_port()), str(versions)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)
    assert done.stdout.split() == ["served", "1", "served", "2"], done.stderr
    assert done.returncode == 143, done.stderr


def test_a_file_system_that_is_not_there(tmp_path):
    server = ModelServer(tmp_path, "--model_base_path=hdfs://nowhere/m", "--model_name=c", wait=False)
    try:
        server.wait_until(lambda: "this TensorFlow has no file system hdfs://, it has " in server.log.read_text())
    finally:
        server.stop()
