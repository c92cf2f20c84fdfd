"""monolith-agent as a process, for tests: configuration, environment, log; what it answers; and a client that
predicts all the while."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import grpc
from ports import free_port

from monolith_cli.serving import agent_rpc
from monolith_cli.serving.protos import predict_pb2, prediction_service_pb2_grpc
from monolith_cli.serving.zookeeper.connection import ZkConfig, connect
from monolith_protos import agent_service_pb2 as pb

WITH_US = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []  # a killed test run leaves no agent
ROOT = Path(__file__).resolve().parent.parent
SESSION_S = 5.0  # where a drill waits for a session's end; longer than a busy machine stands still
AT_ONCE_S = 10.0  # what agents take away themselves is gone by then; a session of theirs ends later, unless a test wants it
CALL_S = 30.0
PS, ENTRY, DENSE = pb.ServerType.PS, pb.ServerType.ENTRY, pb.ServerType.DENSE


def wait_until(done, limit_s=90.0, what="it"):
    """The first true value of done(); an error of it counts as not yet. The limit tells what hangs from what is slow:
    a shorter one belongs to a bound that is promised."""
    end, last = time.monotonic() + limit_s, None
    while time.monotonic() < end:
        try:
            if value := done():
                return value
            last = value
        except Exception as e:  # noqa: BLE001
            last = e
        time.sleep(0.05)
    raise AssertionError(f"waited {limit_s} s for {what}: {last!r}")


def fake_server(folder) -> str:
    """A program that stands for a model server; its path."""
    path = Path(folder) / "fake-model-server"
    path.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT}:{ROOT / "tests"} exec {sys.executable} {ROOT / "tests" / "fake_model_server.py"} "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


class Agent:
    """One agent. conf: keys of its configuration; environment: as the container has it. The server is monolith-serve
    unless conf has tfs_binary. Ends with the test, its servers with it."""

    def __init__(self, folder, zookeeper, conf, *flags, start=True, session_s=3 * AT_ONCE_S, **environment):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.metrics_port = free_port()
        lines = [
            f"{k} {v}"
            for k, value in ({"zk_servers": zookeeper} | conf).items()
            for v in (value if isinstance(value, list) else [value])
        ]
        (self.folder / "agent.conf").write_text(
            "\n".join([*lines, f"agent_port {self.port}", f"run_dir {self.folder / 'run'}"]) + "\n"
        )
        self.log = self.folder / "agent.log"
        self.env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("MONOLITH_", "TCE_", "MY_", "PORT", "SHARD_ID", "REPLICA_ID"))
        }
        self.env |= {
            "PYTHONPATH": str(ROOT),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.env |= {"MONOLITH_PYTHON": sys.executable} | environment
        self.command = [
            sys.executable,
            "-m",
            "monolith_cli",
            "monolith-agent",
            "--conf",
            str(self.folder / "agent.conf"),
            "-v",
            "--tfs-log",
            str(self.folder / "tfs.log"),
            "--zk-session-timeout",
            str(session_s),
            "--status-interval",
            "0.2",
            "--drain",
            "0.5",
            "--restart-pause",
            "0.2",
            "--metrics-port",
            str(self.metrics_port),
            *map(str, flags),
        ]
        self.process = None
        if start:
            self.start()

    def start(self):
        with open(self.log, "ab") as log:
            # A session of its own: the kernel hangs up on what is stopped in a process group that a test run's shell leaves behind.
            self.process = subprocess.Popen(
                [*WITH_US, *self.command], stdout=log, stderr=log, env=self.env, cwd=self.folder, start_new_session=True
            )
        return self

    def stop(self, limit_s=120.0) -> int:
        self.process.terminate()
        return self.process.wait(limit_s)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        assert self.process.poll() is None, f"the agent ended with {self.process.returncode} while it stood still"
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(180)
            except subprocess.TimeoutExpired:
                self.kill()
        if kind is not None:
            for path in sorted(self.folder.glob("*.log")):
                print(f"--- {path}\n{path.read_text()[-4000:]}")

    @contextlib.contextmanager
    def stub(self):
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            yield agent_rpc.AgentServiceStub(channel)

    def heart_beat(self, server_type=PS) -> dict[str, list[str]]:
        with self.stub() as stub:
            response = stub.HeartBeat(pb.HeartBeatRequest(server_type=server_type), timeout=CALL_S)
        return {key: list(found.address) for key, found in sorted(response.addresses.items())}

    def replicas(self, server_type, task=0, model_name="") -> list[str]:
        with self.stub() as stub:
            request = pb.GetReplicasRequest(server_type=server_type, task=task, model_name=model_name)
            return list(stub.GetReplicas(request, timeout=CALL_S).address_list.address)

    def http(self, path):
        """(status, body) of the monitoring port."""
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=CALL_S) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def server_pids(self) -> dict[str, int]:
        """Server type or port → process of the model servers, found by the run directory in their command lines."""
        import psutil

        found = {}
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if "--model_config_file" in line and "warden" not in line and "/bin/sh" not in line:
                    found[next(a for a in process.cmdline() if a.startswith("--port=")).removeprefix("--port=")] = (
                        process.pid
                    )
        return found


class Client:
    """Predicts again and again, at addresses that `find()` gives (asked for every 0.2 s, the last good answer is
    kept), one after the other; a call that fails is tried at the other addresses before it counts as a failure."""

    def __init__(self, find, model, threads=2, inputs=None):
        self._find, self._model, self._inputs = find, model, inputs
        self.addresses, self.ok, self.failures, self.values = [], 0, [], set()
        self.answered = Counter()  # by address
        self._recent = set()
        self._done, self._channels = threading.Event(), {}
        self._threads = [
            threading.Thread(target=self._look, daemon=True),
            *(threading.Thread(target=self._call, daemon=True) for _ in range(threads)),
        ]

    def __enter__(self):
        for t in self._threads:
            t.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        for t in self._threads:
            t.join(2 * CALL_S)

    def seen_within(self, seconds) -> set[float]:
        """Values that are answered from now on, for so long."""
        self._recent = set()
        time.sleep(seconds)
        return self._recent

    def _look(self):
        while not self._done.is_set():
            with contextlib.suppress(Exception):
                self.addresses = self._find() or self.addresses
            self._done.wait(0.2)

    def _stub(self, address):
        if address not in self._channels:
            options = [
                ("grpc.max_reconnect_backoff_ms", 200),
                ("grpc.initial_reconnect_backoff_ms", 50),
                ("grpc.min_reconnect_backoff_ms", 20_000),  # how long one try to connect may take
            ]
            self._channels[address] = prediction_service_pb2_grpc.PredictionServiceStub(
                grpc.insecure_channel(address, options)
            )
        return self._channels[address]

    def _call(self):
        turn = 0
        while not self._done.is_set():
            found = list(self.addresses)
            if not found:
                self._done.wait(0.05)
                continue
            turn, error = turn + 1, None
            for i in range(len(found)):
                address = found[(turn + i) % len(found)]
                request = predict_pb2.PredictRequest()
                request.model_spec.name = self._model
                request.inputs["x"].dtype = 1
                request.inputs["x"].tensor_shape.dim.add(size=1)
                request.inputs["x"].float_val.append(1.0)
                try:
                    response = self._stub(address).Predict(request, timeout=CALL_S)
                except grpc.RpcError as e:
                    error = f"{address}: {e.code().name} {e.details()}"
                    continue
                self.ok += 1
                self.answered[address] += 1
                found = {*response.outputs["y"].float_val, *_floats(response.outputs["y"].tensor_content)}
                self.values |= found
                self._recent |= found
                break
            else:
                self.failures.append(error)
            self._done.wait(0.01)


def _floats(content):
    import struct

    return struct.unpack(f"<{len(content) // 4}f", content)


@contextlib.contextmanager
def zk(servers, session_s=10.0):
    """A connection of the test's own."""
    connection = connect(ZkConfig(servers, session_timeout_s=session_s, connect_timeout_s=20))
    try:
        yield connection
    finally:
        connection.close()
