"""What monolith-top looks at in tests: a monitoring page that counts, an agent, and a terminal."""

import codecs
import fcntl
import http.server
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from concurrent import futures

import grpc
import pyte
from conftest import ROOT
from monolith_protos import agent_service_pb2

from monolith_cli.serving.agent_rpc import AgentServiceServicer, add_servicer

PATH = "/monitoring/prometheus/metrics"
BOUNDS = (10, 18, 32.4, 1000, 10_000, 1_000_000)


class Page:
    """A server of one monitoring page. `add` counts requests of a latency in microseconds."""

    def __init__(self):
        self.counts, self.latencies, self.status, self.body = {}, {}, 200, None
        self.before_each = lambda: None  # what happens on the server between two looks at its page
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                page.before_each()
                body = page.text().encode() if self.path == PATH else b""
                self.send_response(page.status if self.path == PATH else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, model, count, microseconds=None, status="OK"):
        self.counts[model, status] = self.counts.get((model, status), 0) + count
        if microseconds is not None:
            self.latencies.setdefault(model, []).extend([microseconds] * count)

    def reset(self):
        self.counts, self.latencies = {}, {}

    def text(self):
        if self.body is not None:
            return self.body
        lines = ["# TYPE :tensorflow:serving:request_count counter", "some_other_metric 1", "broken line {"]
        for (model, status), count in self.counts.items():
            lines.append(f':tensorflow:serving:request_count{{model_name="{model}",status="{status}"}} {count}')
        for model, values in self.latencies.items():
            for bound in (*BOUNDS, float("inf")):
                le = "+Inf" if bound == float("inf") else f"{bound:g}"
                lines.append(
                    f':tensorflow:serving:request_latency_bucket{{model_name="{model}",API="Predict",entrypoint="GRPC",'
                    f'le="{le}"}} '
                    f"{sum(v <= bound for v in values)}"
                )
        return "\n".join(lines) + "\n"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class FakeAgent(AgentServiceServicer):
    """Answers HeartBeat with `addresses`: server type number -> {key: [address]}."""

    def __init__(self, addresses):
        self.addresses = addresses
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        add_servicer(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def HeartBeat(self, request, context):
        reply = agent_service_pb2.HeartBeatResponse()
        for key, addresses in self.addresses.get(request.server_type, {}).items():
            reply.addresses[key].address.extend(addresses)
        return reply

    def GetResource(self, request, context):
        return agent_service_pb2.GetResourceResponse(address=self.address, shard_id=2, replica_id=7, memory=123)

    def close(self):
        self._server.stop(None)


class Terminal:
    """A command on a terminal of its own. `text` is all it has written, `display` what is to be seen of that."""

    def __init__(self, *args, rows=24, columns=120, env=None, command=()):
        self.master, self.slave = pty.openpty()
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(self.slave)
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_") and k not in ("LINES", "COLUMNS")
        }
        environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LANG": "C.UTF-8"} | (env or {})
        command = command or [sys.executable, "-m", "monolith_cli", *map(str, args)]
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=environment, start_new_session=True
        )
        self.text = ""

    @property
    def display(self):
        return "\n".join(line.rstrip() for line in self._screen.display)

    def resize(self, rows, columns, tell=True):
        self._screen.resize(rows, columns)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def read(self, seconds=0.2):
        """What comes within this time."""
        new, until = "", time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and select.select([self.master], [], [], left)[0]:
            new += self._decoder.decode(os.read(self.master, 65536))  # may end inside a character
        self.text += new
        self._stream.feed(new)
        return new

    def wait_for(self, *words, timeout=90):
        """Until all the words are to be seen."""
        self.wait_until(lambda: all(word in self.display for word in words), f"{words} did not come", timeout)

    def wait_until(self, seen, why="it did not come", timeout=90):
        """Until seen() is true of the display."""
        until = time.monotonic() + timeout
        while not seen():
            assert time.monotonic() < until and self.process.poll() is None, f"{why}:\n{self.display}"
            self.read()

    def press(self, keys):
        os.write(self.master, keys.encode())

    def end(self, timeout=60):
        """The exit code, when it has ended."""
        until = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < until, "it does not end"
            self.read(0.05)
        self.read(0.05)
        return self.process.returncode

    def is_restored(self):
        """Whether the terminal has its settings again, and shows again what it showed before."""
        return termios.tcgetattr(self.slave) == self.before and "\x1b[?1049l" in self.text[-300:]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
