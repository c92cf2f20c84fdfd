"""The operator part of `make bench-stream`: each command through a pipe, beside cat, with its peak of memory.

    pb-cat FILE… | COMMAND | wc -c      beside      cat FILE… | cat | wc -c
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path

TEXT = """
configs { basic_config { filter_by_value { field_name: "chnid" op: "in" int_operand: [1, 2, 3, 4, 5, 6] } } }
configs { logical_or_config { x { filter_by_value { field_name: "uid" op: "neq" int_operand: 7 } } y { filter_by_action { has_actions: 2 } } } }
"""
WEIGHTS = "--action-priority 1,2,3,4,5,6,7,8,9,0 --reweight " + ",".join(f"{a}:1:{a % 2}" for a in range(10))


def lines(since: int, where: Path) -> dict[str, str]:
    """Name -> command with representative options."""
    (where / "transform.textproto").write_text(TEXT)
    conditions = f"--where 'req_time >= {since} and chnid >= 1 and chnid <= 10' --has-slot 7"
    return {
        "pb-filter": f"pb-filter {conditions}",
        "pb-filter --field": "pb-filter --field uid --op neq --value 7",
        "pb-filter --drop-rate": "pb-filter --drop-rate 0.5 --threshold 1 --seed 1",
        "pb-label --if": "pb-label --if 'chnid == 1' --action 2",
        "pb-label --task": "pb-label --task 1,2:3:1.0 --seed 1",
        "pb-label --norm": "pb-label --norm scale=2",
        "pb-feature --slot": "pb-feature --slot slot_1=100",
        "pb-feature --drop": "pb-feature --drop slot_1",
        "pb-shuffle": "pb-shuffle --buffer 100000 --seed 1",
        "pb-split": "pb-split --by turn --flow a=- --flow b=/dev/null",
        "pb-merge": "pb-merge -",
        "pb-transform": f"pb-transform --transform {where}/transform.textproto",
        "pb-run, filter and label": f"pb-run \"pb-filter {conditions} | pb-label --if 'chnid == 1' --action 2\"",
    }


def heavy_lines() -> dict[str, str]:
    """Those that make records of their own."""
    return {"pb-reweight": f"pb-reweight {WEIGHTS}",
            "pb-negative-gen": "pb-negative-gen --neg-num 2 --item-feature 1 --positive-label 1 --seed 1"}


def through_pipe(commands: list[list[str]], env: dict) -> tuple[float, float]:
    """Seconds of a pipe, and the peak of memory of its second process in MB."""
    start = time.perf_counter()
    running: list[subprocess.Popen] = []
    for i, command in enumerate(commands):
        source = running[-1].stdout if running else subprocess.DEVNULL
        sink = subprocess.PIPE if i + 1 < len(commands) else subprocess.DEVNULL
        running.append(subprocess.Popen(command, stdin=source, stdout=sink, env=env))
        if i:
            source.close()
    peak = 0.0
    for i, process in enumerate(running):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"exit {process.returncode}: {shlex.join(commands[i])}")
        if i == 1:
            peak = usage.ru_maxrss / 1024
    return time.perf_counter() - start, peak


def measure(bin_folder: Path, env: dict, lines_: dict[str, str], path: Path, records: int, times: int, rounds: int) -> list[dict]:
    """One result for each line and for cat; the ratio is to cat. peak_mb: of the file once; peak_mb_longer: of it `times` times."""
    def pipe(line: str | None, n: int):
        files = [str(path)] * n
        if line is None:
            return through_pipe([["cat", *files], ["cat"], ["wc", "-c"]], env)
        name, *options = shlex.split(line)
        return through_pipe([[f"{bin_folder}/pb-cat", "-q", *files], [f"{bin_folder}/{name}", "-q", *options], ["wc", "-c"]], env)

    subjects = {"cat | cat": None, **lines_}
    once = {name: pipe(line, 1) for name, line in subjects.items()}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, line in subjects.items():
            runs[name].append(pipe(line, times))
    seconds = {name: statistics.median(s for s, _ in done) for name, done in runs.items()}
    size = path.stat().st_size * times
    return [{"subject": name, "size_mb": round(size / 1e6), "seconds": round(seconds[name], 4), "mb_s": round(size / seconds[name] / 1e6, 1),
             "records_s": round(records * times / seconds[name]), "peer": "cat | cat", "ratio": round(seconds["cat | cat"] / seconds[name], 3),
             "peak_mb": round(once[name][1], 1), "peak_mb_longer": round(max(p for _, p in runs[name]), 1)} for name in subjects]


def show(title: str, results: list[dict], records: int, aim: str) -> None:
    print(f"\n{title}: {results[0]['size_mb']:,} MB, {records:,} records in the file; aim {aim}")
    print(f"{'subject':<28}{'seconds':>9}{'MB/s':>9}{'M records/s':>13}{'x cat | cat':>13}{'peak MB':>9}{'longer':>9}")
    for r in results:
        print(f"{r['subject']:<28}{r['seconds']:>9.3f}{r['mb_s']:>9.0f}{r['records_s'] / 1e6:>13.2f}{r['ratio']:>13.2f}{r['peak_mb']:>9.1f}"
              f"{r['peak_mb_longer']:>9.1f}")
