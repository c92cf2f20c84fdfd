"""`make bench-start`: how long a stream command takes to start, beside `python -c 'import click'`.

Every round runs each subject once, in turn; medians are compared. Prints a table and one JSON object per subject.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AIM = 1.5


def once(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True,
                   env=os.environ | {"MONOLITH_PYTHON": sys.executable})
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    subjects = {"click": [sys.executable, "-c", "import click"]}
    subjects |= {name: [str(ROOT / "bin" / name)] for name in ("pb-cat", "pb-head", "pb-filter")}
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, argv in subjects.items():
            times[name].append(once(argv))
    base = statistics.median(times["click"])
    print(f"{'subject':<12}{'median ms':>10}{'x click':>9}   aim {AIM}")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"{name:<12}{median * 1e3:>10.1f}{median / base:>9.2f}")
    for name, values in times.items():
        median = statistics.median(values)
        print(json.dumps({"subject": name, "start_ms": round(median * 1e3, 2), "ratio": round(median / base, 3)}))


if __name__ == "__main__":
    main()
