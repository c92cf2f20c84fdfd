"""`make bench-stream`: stream commands beside their peers, in one run.

filter    pb-filter from a file, beside a filter written with libprotobuf (--peers DIR holds its source)
pipe      pb-cat | pb-filter | wc -c and pb-cat | pb-cat | wc -c, beside cat | cat | wc -c
operators pb-cat | OPERATOR | wc -c for every operator command, beside the same, with the peak of its memory

The file of pb-filter is longer, and that of the pipes is read several times over, so that each runs for a second or more. Every round runs each subject once, in turn; medians of wall time are compared. The start of a command is part of it. Prints
a table and one JSON object per subject.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import operators

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "bin"
START = 1_609_459_200  # req_time of the first record
SLOT = 7
# Python code is compiled once, as in an installed package, also where the environment says to keep nothing compiled.
ENV = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"MONOLITH_PYTHON": sys.executable}


def shell(line: str) -> bytes:
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], env=ENV, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"exit {done.returncode}: {line}")
    return done.stdout


def build_peer(peers: Path, where: Path) -> Path | str:
    """The libprotobuf filter, or why there is none."""
    source = peers / "filter_peer.cc"
    if not source.is_file():
        return f"{source} is not there (--peers DIR)"
    for tool in ("protoc", "g++"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (Debian: protobuf-compiler, libprotobuf-dev, g++)"
    generated = where / "gen"
    generated.mkdir()
    names = ["line_id", "feature", "proto_parser"]
    protos = [f"monolith_protos/{name}.proto" for name in names]
    steps = [
        ["protoc", f"-I{ROOT / 'protos'}", f"--cpp_out={generated}", *protos],
        ["g++", "-O3", "-march=native", "-std=c++17", f"-I{generated}", '-DPEER_HEADER="monolith_protos/proto_parser.pb.h"',
         str(source), *(f"{generated}/monolith_protos/{name}.pb.cc" for name in names), "-lprotobuf", "-pthread", "-o", str(where / "filter_peer")],
    ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"it does not build: {step[0]}: {(done.stderr.strip().splitlines() or ['no message'])[0]}"
    return where / "filter_peer"


def measure(subjects: dict[str, str], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for line in subjects.values():
        shell(line)
    for _ in range(rounds):
        for name, line in subjects.items():
            start = time.perf_counter()
            shell(line)
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def report(title: str, peer: str, times: dict[str, float], size: int, records: int, aim: float) -> list[dict]:
    print(f"\n{title}: {records:,} records, {size / 1e6:,.0f} MB; aim {aim} x {peer}")
    print(f"{'subject':<28}{'seconds':>9}{'MB/s':>9}{'M records/s':>13}{'x ' + peer:>20}")
    results = []
    for name, seconds in times.items():
        ratio = times[peer] / seconds if peer in times else None
        shown = f"{ratio:.2f}" if ratio is not None else "-"
        print(f"{name:<28}{seconds:>9.3f}{size / seconds / 1e6:>9.0f}{records / seconds / 1e6:>13.2f}{shown:>20}")
        results.append({"subject": name, "size_mb": round(size / 1e6), "seconds": round(seconds, 4), "mb_s": round(size / seconds / 1e6, 1),
                        "records_s": round(records / seconds), "peer": peer, "ratio": ratio and round(ratio, 3)})
    return results


def filter_lines(path: Path, since: int, peer: Path | str) -> dict[str, str]:
    condition = f"'req_time >= {since} and chnid >= 1 and chnid <= 10'"
    lines = {"pb-filter": f"{BIN}/pb-filter -q --where {condition} --has-slot {SLOT} {path} >/dev/null"}
    if isinstance(peer, Path):
        lines["libprotobuf"] = f"{peer} {since} {SLOT} <{path} 2>/dev/null >/dev/null"
        kept = [shell(line.replace(">/dev/null", "| wc -c") if i == 0 else line.removesuffix(">/dev/null") + "| wc -c")
                for i, line in enumerate(lines.values())]
        if kept[0] != kept[1]:
            sys.exit(f"pb-filter kept {int(kept[0])} bytes, the peer {int(kept[1])}: they must agree")
    return lines


def generate(path: Path, records: int, line_id: str) -> None:
    shell(f"{BIN}/pb-gen -q -n {records} --slots 1-30 --fids-per-slot 0-2 --line-id {line_id} --seed 1 --start-time {START} -o {path}")


def from_file(path: Path, since: int, where: Path, options) -> list[dict]:
    peer = build_peer(options.peers, where)
    if isinstance(peer, str):
        print(f"libprotobuf filter: skipped, {peer}")
    times = measure(filter_lines(path, since, peer), options.rounds)
    return report("filter from a file", "libprotobuf", times, path.stat().st_size, options.records, 3)


def through_pipes(path: Path, since: int, options) -> list[dict]:
    files = " ".join([str(path)] * options.times)
    pipes = {"cat | cat": f"cat {files} | cat | wc -c",
             "pb-cat | pb-cat": f"{BIN}/pb-cat -q {files} | {BIN}/pb-cat -q | wc -c",
             "pb-cat | pb-filter": f"{BIN}/pb-cat -q {files} | {BIN}/pb-filter -q --where 'req_time >= {since}' --has-slot {SLOT} | wc -c"}
    return report("through a pipe to wc -c", "cat | cat", measure(pipes, options.rounds), path.stat().st_size * options.times,
                  options.records * options.times, 1)


def all_operators(path: Path, since: int, where: Path, options) -> list[dict]:
    generate(path, options.records, "uid,item_id,req_time,chnid,actions")
    results = []
    for title, lines, aim in (("operators through a pipe", operators.lines(since, where), "0.5, pb-filter 1"),
                              ("records repeated and made", operators.heavy_lines(), "none")):
        made = operators.measure(BIN, ENV, lines, path, options.records, options.times, options.rounds)
        operators.show(title, made, options.records, aim)
        results += made
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "bench", help="folder of filter_peer.cc")
    parser.add_argument("--records", type=int, default=2_000_000, help="how many to generate for the pipes")
    parser.add_argument("--file-records", type=int, default=8_000_000, help="how many to generate for pb-filter from a file")
    parser.add_argument("--times", type=int, default=5, help="how often the file is read in a row for the pipes")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", default="filter,pipe,operators", help="which parts to run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monolith-bench-") as folder:
        where = Path(folder)
        ENV["PYTHONPYCACHEPREFIX"] = str(where / "compiled")
        parts, results = options.parts.split(","), []
        path, since = where / "in.pb", START + options.records // 4
        fields = "uid,item_id,req_time,chnid"
        if "filter" in parts:
            generate(path, options.file_records, fields)
            long = argparse.Namespace(**vars(options) | {"records": options.file_records})
            results += from_file(path, START + options.file_records // 4, where, long)
        if "pipe" in parts:
            generate(path, options.records, fields)
            results += through_pipes(path, since, options)
        path.unlink(missing_ok=True)
        if "operators" in parts:
            results += all_operators(path, since, where, options)
    for result in results:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
