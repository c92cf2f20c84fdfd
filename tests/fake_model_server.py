"""A model server for tests that are not about models: starts in half a second, takes the flags of the real one that
matter, and answers Predict with 1."""

import signal
import sys
import threading

import grpc
from fake_tfs import FakeTfs
from google.protobuf import text_format

from monolith_cli.serving.platform_protos import SSLConfig
from monolith_cli.serving.protos import predict_pb2


def predict(request):
    response = predict_pb2.PredictResponse()
    response.outputs["y"].dtype = 1
    response.outputs["y"].float_val.append(1.0)
    return response


def main():
    flags = dict(a.removeprefix("--").split("=", 1) for a in sys.argv[1:] if "=" in a)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    credentials = None
    if path := flags.get("ssl_config_file"):
        ssl = text_format.Parse(open(path, encoding="utf-8").read(), SSLConfig())
        credentials = grpc.ssl_server_credentials([(ssl.server_key.encode(), ssl.server_cert.encode())])
    address = f"127.0.0.1:{flags['port']}"
    with FakeTfs(flags["model_config_file"], address=address, stock=True, predict=predict, credentials=credentials):
        print(" ".join(sys.argv[1:]), flush=True)
        done.wait()


if __name__ == "__main__":
    main()
