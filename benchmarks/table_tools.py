"""`make bench-table-tools`: the table commands on a checkpoint of 2 M rows, beside `cat` of the same bytes and a Python loop with protobuf.

Counted are CPU seconds (user and system) of the whole process, start included, and rows and bytes of the table files a CPU second.
The Python loop reads the uncompressed entries of a part of the rows with the generated classes and is scaled to all. Prints a
table and one JSON object per subject.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def make(folder: str, rows: int, dim: int) -> None:
    import numpy as np

    from monolith_cli._native import _core
    from monolith_cli.tables.config import AdagradOptimizer, CombineAsSegment, CuckooHashTableConfig, Fp32Compressor, ZerosInitializer
    from monolith_protos.embedding_hash_table_pb2 import EmbeddingHashTableConfig

    config = EmbeddingHashTableConfig()
    config.entry_config.segments.append(CombineAsSegment(dim, ZerosInitializer(), AdagradOptimizer(0.1, 0.1), Fp32Compressor()))
    CuckooHashTableConfig().mutate_table(config)
    table = _core.MultiTable("bench", {"t": config.SerializeToString()})
    rng = np.random.default_rng(1)
    keys = rng.permutation(rows).astype(np.int64) << 20 | 1 << 48
    for at in range(0, rows, 1 << 16):
        part = keys[at:at + (1 << 16)]
        table.optimize("t", part, rng.standard_normal((len(part), dim)).astype(np.float32), [0.1], 1_700_000_000)
    table.save(f"{folder}/a/MonolithMultiHashTable_0", 2)
    part = keys[:rows // 100]
    table.optimize("t", part, rng.standard_normal((len(part), dim)).astype(np.float32), [0.1], 1_700_000_100)
    table.save(f"{folder}/b/MonolithMultiHashTable_0", 2)
    table.close()


def cpu(argv: list[str], output: str = "/dev/null", codes=(0,)) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(output, "wb") as out:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, check=False, env=os.environ | {"MONOLITH_PYTHON": sys.executable})
    if done.returncode not in codes:
        sys.exit(f"{' '.join(argv)}: exit {done.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def python_loop(folder: str, rows: int) -> float:
    """CPU seconds per row of reading entries with protobuf's classes, framing and decompression not counted."""
    from monolith_cli.tables import rows_io
    from monolith_protos.embedding_hash_table_pb2 import EntryDump

    rows_io.dump_lines(f"{folder}/a", f"{folder}/sample.jsonl")
    with open(f"{folder}/sample.jsonl") as lines, open(f"{folder}/part.jsonl", "w") as part:
        part.writelines(line for _, line in zip(range(rows), lines))
    rows_io.load([f"{folder}/part.jsonl"], f"{folder}/plain", single=True, shards=1)
    data = Path(f"{folder}/plain/t-00000-of-00001").read_bytes()
    start, at, n = time.process_time(), 0, 0
    while at < len(data):
        size = struct.unpack_from("<Q", data, at)[0]
        entry = EntryDump.FromString(data[at + 12:at + 12 + size])
        json.dumps({"fid": entry.id, "weights": list(entry.num), "optimizer": [list(d.adagrad.norm) for d in entry.opt.dump]})
        at += 16 + size
        n += 1
    return (time.process_time() - start) / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--dim", type=int, default=16)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(folder, args.rows, args.dim)
        a, b = f"{folder}/a", f"{folder}/b"
        data = [f"{a}/{n}" for n in sorted(os.listdir(a))]
        size = sum(os.path.getsize(p) for p in data)
        tool = lambda name, *more: [str(ROOT / "bin" / name), *more]  # noqa: E731
        lines = f"{folder}/rows.jsonl"
        seconds = {"cat": cpu(["cat", *data]), "table-verify": cpu(tool("table-verify", a)), "table-stat": cpu(tool("table-stat", a)),
                   "table-dump": cpu(tool("table-dump", a)),
                   "table-dump, Parquet": cpu(tool("table-dump", a, "--format", "parquet", "-o", f"{folder}/rows.parquet"))}
        cpu(tool("table-dump", a), lines)
        seconds["cat of the JSON lines"] = cpu(["cat", lines])
        for name, path in (("table-load", lines), ("table-load, Parquet", f"{folder}/rows.parquet")):
            seconds[name] = cpu(tool("table-load", path, "-o", f"{folder}/out-{len(seconds)}"))
        seconds["table-diff"] = cpu(tool("table-diff", a, b), codes=(1,))
        seconds["table-merge"] = cpu(tool("table-merge", a, b, "-o", f"{folder}/merged"))
        seconds["table-reshard"] = cpu(tool("table-reshard", a, "--shards", "5", "-o", f"{folder}/five"))
        seconds["table-evict"] = cpu(tool("table-evict", a, "--min-norm", "0.1", "-o", f"{folder}/evicted"))
        sides = {"table-diff": 2, "table-merge": 2}
        seconds["Python with protobuf"] = python_loop(folder, min(args.rows, 100_000)) * args.rows
        text = os.path.getsize(lines)
    print(f"{args.rows:,} rows of {args.dim} floats with Adagrad: {size / 1e6:,.0f} MB of table files, {text / 1e6:,.0f} MB of JSON lines")
    print(f"{'subject':<24}{'CPU s':>8}{'rows/s':>14}{'MB/s':>9}")
    for name, s in seconds.items():
        n = sides.get(name, 1)
        moved = text if name == "cat of the JSON lines" else n * size
        print(f"{name:<24}{s:>8.2f}{n * args.rows / max(s, 1e-3):>14,.0f}{moved / max(s, 1e-3) / 1e6:>9,.0f}")
    for name, s in seconds.items():
        print(json.dumps({"subject": name, "cpu_seconds": round(s, 3), "rows_per_cpu_second": round(sides.get(name, 1) * args.rows / max(s, 1e-3))}))


if __name__ == "__main__":
    main()
