"""`make bench-table`: the embedding table beside what one would pick instead, and beside the limit of the memory.

Compiles the peers, then runs ours beside the limit (rows whose number is known already: no hashing, no index), in turn in one process, and
then theirs; the median of several rounds is reported, as a ratio to the limit. Prints a table per size and one JSON object per
subject and size. Without the peers' sources or libraries (Debian: libcuckoo-dev libabsl-dev libboost1.81-dev) ours runs alone and
the reason is said. The default takes about three minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ["-labsl_hash", "-labsl_raw_hash_set", "-labsl_city", "-labsl_low_level_hash"]
LIMIT = "limit_known_row"
PEERS = ["absl_flat_hash_map", "boost_unordered_flat_map", "libcuckoo"]


def compile_peers(folder: Path, build: Path) -> Path | None:
    """The program of the peers, or None with the reason on stderr."""
    source, program = folder / "table_peers.cc", build / "table_peers"
    if not source.is_file():
        print(f"no peers: there is no {source} (say --peers DIR)", file=sys.stderr)
        return None
    if program.is_file() and program.stat().st_mtime > source.stat().st_mtime:
        return program
    line = ["g++", "-O3", "-march=native", "-std=c++17", str(source), "-o", str(program), "-pthread", *LIBRARIES]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        print("no peers: there is no g++", file=sys.stderr)
        return None
    if done.returncode:
        first = next((text for text in done.stderr.splitlines() if "error" in text), done.stderr.strip()[:200])
        print(f"no peers: {source} does not compile: {first}", file=sys.stderr)
        return None
    return program


def touch_memory(size: int) -> None:
    """Takes so many bytes from the system and gives them back. A virtual machine gets memory from its host when it first touches
    it, which costs ten times what a page costs later: whoever came first would pay for the others."""
    with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        zeros = bytes(1 << 20)
        while memory.tell() + len(zeros) <= size:
            memory.write(zeros)


def run(program: Path, keys: int, dim: int, *words: object) -> dict:
    line = [str(program), str(keys), str(dim), *map(str, words)]
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    touch_memory(min(keys * (dim * 8 + 64) * 3, free // 2))
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        sys.exit(f"{' '.join(line)}: exit {done.returncode}\n{done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(ours: Path, peers: Path | None, keys: int, dim: int, threads: int, draw: str, rounds: int) -> list[dict]:
    """One result per subject: the median of each figure over the rounds. The limit is measured in turn with ours, in one process;
    the peers know uniform draws alone, and take more memory than is here at 100 M keys."""
    runs = [run(ours, keys, dim, threads, draw) for _ in range(rounds)]
    result = {k: runs[0][k] for k in ("subject", "keys", "dim", "threads", "draw")}
    for figure in runs[0].keys() - result.keys():
        result[figure] = round(statistics.median(r[figure] for r in runs), 3)
    limit = {k: result[k] for k in ("keys", "dim", "threads", "draw")} | {
        "subject": LIMIT, "insert_mkeys_s": None, "bytes_per_key": 8.0 * dim,
        "lookup_mkeys_s": result.pop("limit_lookup_mkeys_s"), "update_mkeys_s": result.pop("limit_update_mkeys_s")}
    results = [limit, result]
    if peers is not None and draw == "uniform" and keys <= 10_000_000:
        results += [run(peers, keys, dim, threads, name) | {"draw": draw} for name in PEERS]
    for r in results:
        for figure in ("lookup", "update"):
            r.setdefault(f"{figure}_of_limit", round(r[f"{figure}_mkeys_s"] / limit[f"{figure}_mkeys_s"], 3))
    return results


def show(results: list[dict]) -> None:
    head = results[0]
    useful = 8 + 4 + 8 * head["dim"]  # key, timestamp, weights and accumulators
    print(f"\n{head['keys']:,} keys x {head['dim']} floats, {head['threads']} thread(s), {head['draw']}; a row is {useful} bytes with key and timestamp")
    print(f"{'subject':26}{'insert M/s':>11}{'lookup M/s':>12}{'of limit':>9}{'update M/s':>12}{'of limit':>9}{'bytes/key':>11}{'of row':>8}")
    for r in results:
        insert = "-" if r["insert_mkeys_s"] is None else f"{r['insert_mkeys_s']:.2f}"
        print(f"{r['subject']:26}{insert:>11}{r['lookup_mkeys_s']:12.2f}{r['lookup_of_limit']:9.2f}{r['update_mkeys_s']:12.2f}"
              f"{r['update_of_limit']:9.2f}{r['bytes_per_key']:11.1f}{r['bytes_per_key'] / useful:8.3f}")
    print(flush=True)
    for r in results:
        print(json.dumps(r), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where table_bench was built (default: build)")
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "bench", help="folder of table_peers.cc")
    parser.add_argument("--keys", type=int, nargs="+", default=[1_000_000, 10_000_000], help="sizes (default: 1 M and 10 M)")
    parser.add_argument("--dim", type=int, nargs="+", default=[16], help="floats in an embedding (default: 16)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="threads (default: 1)")
    parser.add_argument("--draw", nargs="+", choices=["uniform", "zipf"], default=["uniform"], help="how keys are drawn (default: uniform)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of ours and the limit (default: 3)")
    args = parser.parse_args()
    ours = args.build.resolve() / "native" / "bench" / "table_bench"
    if not ours.is_file():
        sys.exit(f"{ours} is not built: cmake -S . -B {args.build} -DMONOLITH_TESTS=ON && ninja -C {args.build} table_bench")
    peers = compile_peers(args.peers, args.build.resolve())
    for keys in args.keys:
        for dim in args.dim:
            for threads in args.threads:
                for draw in args.draw:
                    show(measure(ours, peers, keys, dim, threads, draw, args.rounds))


if __name__ == "__main__":
    main()
