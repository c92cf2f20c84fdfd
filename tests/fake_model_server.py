"""A model server for tests that are not about models: starts in half a second, takes the flags of the real one that matter, and answers
Predict with the version it has. A model whose name has `broken` in it never becomes available."""

import signal
import sys
import threading

from fake_tfs import FakeTfs

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
    with FakeTfs(flags["model_config_file"], address=f"127.0.0.1:{flags['port']}", stock=True, predict=predict):
        print(" ".join(sys.argv[1:]), flush=True)
        done.wait()


if __name__ == "__main__":
    main()
