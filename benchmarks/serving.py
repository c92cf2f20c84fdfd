"""monolith-serve beside the same SavedModel called in process: make bench-serving.

Model: `saved_models.mlp`, a ranking network of 128 features and layers of 512, 256 and 1: 394 kFLOP a candidate. A
request is --rows candidates; both sides work on the same requests, one request a call in process. The load generator is
a process of its own on the same cores, and what it costs counts against the server. In process:
`tf.saved_model.load(…).signatures[…]`, from one thread and from as many as there are cores; the server's aim is a share
of the better one.

    serving.py [--rows N] [--seconds S] [--soak REQUESTS] [--swaps N]

The soak sends REQUESTS requests (make bench-serving: 100,000; SOAK=1000000 for the hour's worth) while the version is
swapped, and looks at the resident memory after each swap.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import saved_models
from model_server import ModelServer

AIM_RATE, AIM_OVERHEAD_MS, CONCURRENCY = 0.6, 1.0, 32
BATCHING = "max_batch_size { value: 1024 } batch_timeout_micros { value: 0 } max_enqueued_batches { value: 1000 } num_batch_threads { value: 2 }"


def make_requests(path, rows, count=64):
    rng = np.random.default_rng(1)
    arrays = [rng.standard_normal((rows, 128), dtype=np.float32) for _ in range(count)]
    with open(path, "wb") as f:
        for array in arrays:
            raw = saved_models.predict_request("mlp", features=array).SerializeToString()
            f.write(len(raw).to_bytes(8, "little") + raw)
    return arrays


def in_process(path, arrays, threads, seconds):
    """Calls a second, and the median of their milliseconds; a process that has nothing else to do."""
    script = f"""
import json, os, sys, threading, time
import numpy as np, tensorflow as tf
call = tf.saved_model.load({str(path)!r}).signatures["serving_default"]
rng = np.random.default_rng(1)
arrays = [rng.standard_normal(({arrays[0].shape[0]}, 128), dtype=np.float32) for _ in range({len(arrays)})]
for a in arrays:
    call(features=tf.constant(a))["score"].numpy()
times, end = [], time.perf_counter() + {seconds}
def work():
    own, n = [], 0
    while time.perf_counter() < end:
        began = time.perf_counter()
        call(features=tf.constant(arrays[n % len(arrays)]))["score"].numpy()
        own.append(time.perf_counter() - began)
        n += 1
    times.extend(own)
began, used = time.perf_counter(), time.process_time()
threads = [threading.Thread(target=work) for _ in range({threads})]
[t.start() for t in threads]; [t.join() for t in threads]
took, used = time.perf_counter() - began, time.process_time() - used
times.sort()
print(json.dumps({{"rate": len(times) / took, "p50": times[len(times) // 2] * 1e3, "cpu": used / len(times) * 1e3}}))
"""
    return json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)


def load(port, requests, concurrency, amount):
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "serving_load.py"),
        str(port),
        str(requests),
        str(concurrency),
        str(amount),
    ]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def load_on(server, requests, concurrency, amount):
    """What `load` gives, with "cpu": milliseconds of processor time that a request cost the server."""
    import psutil

    process = psutil.Process(server.process.pid)
    before = process.cpu_times()
    result = load(server.port, requests, concurrency, amount)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return result | {"cpu": used / max(1, result["requests"]) * 1e3}


@contextlib.contextmanager
def served(folder, base, *flags):
    server = ModelServer(folder, f"--model_base_path={base}", "--model_name=mlp", *flags)
    try:
        yield server
    finally:
        server.stop()


def rates(folder, base, path, args):
    """Rounds of each subject in turn, so that what disturbs the machine disturbs all; the medians."""
    requests = folder / "requests.bin"
    arrays = make_requests(requests, args.rows)
    (folder / "batching.conf").write_text(BATCHING)
    seconds, cores = args.seconds, os.cpu_count() or 1
    seen = {}
    with (
        served(folder, base) as alone,
        served(folder, base, "--enable_batching=true", f"--batching_parameters_file={folder}/batching.conf") as batched,
    ):
        for server in (alone, batched):
            load(server.port, requests, CONCURRENCY, "500n")
        for _ in range(args.rounds):
            for threads in (1, cores):
                seen.setdefault(f"in process, {threads} thread{'s' if threads > 1 else ''}", []).append(
                    in_process(path, arrays, threads, seconds)
                )
            seen.setdefault("server, concurrency 1", []).append(load_on(alone, requests, 1, seconds))
            seen.setdefault(f"server, concurrency {CONCURRENCY}", []).append(
                load_on(alone, requests, CONCURRENCY, seconds)
            )
            seen.setdefault(f"server with batching, concurrency {CONCURRENCY}", []).append(
                load_on(batched, requests, CONCURRENCY, seconds)
            )
    return {
        name: {k: float(np.median([r[k] for r in rounds])) for k in ("rate", "p50", "cpu")} for name, rounds in seen.items()
    }


def soak(folder, base, args):
    """Requests while versions are swapped: (failed requests, resident MB after each swap, requests sent)."""
    import psutil

    requests = folder / "soak.bin"
    make_requests(requests, args.soak_rows)
    (folder / "batching.conf").write_text(BATCHING)
    per_swap, memory, total, failed = max(1, args.soak // args.swaps), [], 0, 0
    flags = [
        "--enable_batching=true",
        f"--batching_parameters_file={folder}/batching.conf",
        "--file_system_poll_wait_seconds=0.2",
    ]
    with served(folder, base, *flags) as server:
        process = psutil.Process(server.process.pid)
        for number in range(2, args.swaps + 2):
            swapper = threading.Thread(
                target=lambda n=number: (saved_models.mlp(base, n), shutil.rmtree(base / str(n - 1)))
            )
            swapper.start()
            result = load(server.port, requests, CONCURRENCY, f"{per_swap}n")
            swapper.join()
            server.wait_until(lambda n=number: server.states("mlp").get(n) == "AVAILABLE")
            total, failed = total + result["requests"], failed + sum(result["errors"].values())
            memory.append(process.memory_info().rss / 1e6)
            print(
                f"  swap {number - 1}: {total:,} requests, {failed} failed, {memory[-1]:.0f} MB",
                file=sys.stderr,
                flush=True,
            )
    return total, failed, memory


def report(results, rows):
    best = max(r["rate"] for name, r in results.items() if name.startswith("in process"))
    print(f"| subject ({rows} candidates a request) | requests/s | share | median ms | cpu ms a request |\n|---|---|---|---|---|")
    for subject, r in results.items():
        print(f"| {subject} | {r['rate']:,.0f} | {r['rate'] / best:.2f} | {r['p50']:.2f} | {r['cpu']:.2f} |")
    overhead = results["server, concurrency 1"]["p50"] - results["in process, 1 thread"]["p50"]
    share = results[f"server with batching, concurrency {CONCURRENCY}"]["rate"] / best
    print(f"\nshare of the in-process rate with batching at {CONCURRENCY}: {share:.2f} (aim {AIM_RATE})")
    one, batched = results["in process, 1 thread"]["cpu"], results[f"server with batching, concurrency {CONCURRENCY}"]["cpu"]
    print(f"of the processor time of a request with batching, the call in process alone takes {one / batched:.2f}: the share that a client on another machine would see")
    print(f"median overhead at concurrency 1: {overhead:.2f} ms (aim below {AIM_OVERHEAD_MS})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=250, help="candidates in a request")
    parser.add_argument("--seconds", type=float, default=5, help="a round of one subject")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=int, default=100_000, help="requests of the soak; 0 leaves it out")
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--soak-rows", type=int, default=10, help="candidates in a request of the soak")
    parser.add_argument("--soak-only", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = folder / "mlp"
        path = saved_models.mlp(base, 1)
        if not args.soak_only:
            report(rates(folder, base, path, args), args.rows)
        if args.soak:
            total, failed, memory = soak(folder, base, args)
            half = memory[len(memory) // 5 :]
            print(
                f"soak: {total:,} requests, {args.swaps} swaps, {failed} failed; resident MB after a fifth {half[0]:.0f}, at the end {half[-1]:.0f}"
            )


if __name__ == "__main__":
    main()
