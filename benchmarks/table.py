"""`make bench-table`: the embedding table beside what one would pick instead, and beside the limit of the memory.

Compiles the peers, then runs ours and theirs in turn, several rounds in one run; the median of each is reported, as a ratio to
`limit_known_row` (rows whose number is known already: no hashing, no index). Prints a table per size and one JSON object per
subject and size. Without the peers' sources or libraries (Debian: libcuckoo-dev libabsl-dev libboost1.81-dev) ours runs alone and
the reason is said. The default takes about three minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ["-labsl_hash", "-labsl_raw_hash_set", "-labsl_city", "-labsl_low_level_hash"]
RATES = ("insert_mkeys_s", "lookup_mkeys_s", "update_mkeys_s")
LIMIT, OURS = "limit_known_row", "monolith_core"
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


def run(program: Path, keys: int, dim: int, threads: int, subject: str = "") -> dict:
    line = [str(program), str(keys), str(dim), str(threads), *([subject] if subject else [])]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        sys.exit(f"{' '.join(line)}: exit {done.returncode}\n{done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(ours: Path, peers: Path | None, keys: int, dim: int, threads: int, rounds: int) -> list[dict]:
    """One result per subject: the median of each figure over the rounds, and the median of the rounds' ratios to the limit."""
    runs: dict[str, list[dict]] = {}
    for number in range(rounds):
        # The limit stands right beside ours in time; peers that are far away need fewer rounds.
        turn = [(ours, "")] if peers is None else [(peers, LIMIT), (ours, "")]
        if peers is not None and number == 0:
            turn += [(peers, name) for name in PEERS]
        for program, subject in turn:
            result = run(program, keys, dim, threads, subject)
            runs.setdefault(result["subject"], []).append(result)
    results = []
    for subject, of_subject in runs.items():
        result = {k: of_subject[0][k] for k in ("subject", "keys", "dim", "threads")}
        for figure in (*RATES, "bytes_per_key"):
            result[figure] = round(statistics.median(r[figure] for r in of_subject), 2)
        if LIMIT in runs:
            for figure in RATES[1:]:
                pairs = zip(of_subject, runs[LIMIT], strict=False)
                result[figure.split("_")[0] + "_of_limit"] = round(statistics.median(a[figure] / b[figure] for a, b in pairs), 3)
        results.append(result)
    return results


def show(results: list[dict]) -> None:
    head = results[0]
    useful = 8 + 4 + 8 * head["dim"]  # key, timestamp, weights and accumulators
    print(f"\n{head['keys']:,} keys x {head['dim']} floats, {head['threads']} thread(s); a row is {useful} bytes with key and timestamp")
    print(f"{'subject':26}{'insert M/s':>11}{'lookup M/s':>12}{'of limit':>9}{'update M/s':>12}{'of limit':>9}{'bytes/key':>11}{'of row':>8}")
    for r in results:
        ratios = [f"{r[k]:.2f}" if k in r else "-" for k in ("lookup_of_limit", "update_of_limit")]
        print(f"{r['subject']:26}{r['insert_mkeys_s']:11.2f}{r['lookup_mkeys_s']:12.2f}{ratios[0]:>9}{r['update_mkeys_s']:12.2f}"
              f"{ratios[1]:>9}{r['bytes_per_key']:11.1f}{r['bytes_per_key'] / useful:8.3f}")
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
    parser.add_argument("--rounds", type=int, default=3, help="rounds of ours and the limit (default: 3)")
    args = parser.parse_args()
    ours = args.build.resolve() / "native" / "bench" / "table_bench"
    if not ours.is_file():
        sys.exit(f"{ours} is not built: cmake -S . -B {args.build} -DMONOLITH_TESTS=ON && ninja -C {args.build} table_bench")
    peers = compile_peers(args.peers, args.build.resolve())
    for keys in args.keys:
        for dim in args.dim:
            for threads in args.threads:
                show(measure(ours, peers, keys, dim, threads, args.rounds))


if __name__ == "__main__":
    main()
