"""Load on a model server: one process, many threads, prepared requests. Run by serving.py, or alone:

    serving_load.py PORT REQUESTS.bin CONCURRENCY SECONDS|COUNTn [--tolerate CODE]

REQUESTS.bin: serialized PredictRequests, each behind its length (u64, little endian). Prints one JSON object: requests,
errors by code, seconds, and percentiles of the latency in milliseconds.
"""

import json
import sys
import threading
import time
from pathlib import Path

import grpc


def read_requests(path):
    data, at, requests = Path(path).read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        requests.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return requests


def run(port, requests, concurrency, seconds=None, count=None, check=None):
    """Sends the requests over and over from `concurrency` threads; check(request number, response bytes) may raise."""
    channels = [
        grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
        for _ in range(min(2, concurrency))
    ]
    calls = [c.unary_unary("/tensorflow.serving.PredictionService/Predict") for c in channels]
    for call in calls:
        call(requests[0], wait_for_ready=True, timeout=60)
    latencies, errors, lock = [], {}, threading.Lock()
    numbers = iter(range(count)) if count else iter(int, 1)
    end = time.perf_counter() + (seconds or 1e9)

    def work(which):
        call, own, n = calls[which % len(calls)], [], which
        while time.perf_counter() < end:
            with lock:
                if next(numbers, None) is None:
                    break
            n += concurrency
            at = n % len(requests)
            began = time.perf_counter()
            try:
                response = call(requests[at], timeout=60)
                own.append(time.perf_counter() - began)
                if check:
                    check(at, response)
            except grpc.RpcError as e:
                with lock:
                    errors[e.code().name] = errors.get(e.code().name, 0) + 1
        with lock:
            latencies.extend(own)

    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    latencies.sort()
    at = (
        {
            f"p{p}": round(latencies[min(len(latencies) - 1, int(len(latencies) * p / 100))] * 1e3, 3)
            for p in (50, 90, 99)
        }
        if latencies
        else {}
    )
    return {
        "requests": len(latencies),
        "errors": errors,
        "seconds": round(took, 3),
        "rate": round(len(latencies) / took, 1),
        **at,
    }


if __name__ == "__main__":
    port, path, concurrency, amount = sys.argv[1:5]
    limit = {"count": int(amount[:-1])} if amount.endswith("n") else {"seconds": float(amount)}
    print(json.dumps(run(int(port), read_requests(path), int(concurrency), **limit)))
