"""How a chain was understood and what its operators did, for people and as JSON."""

from __future__ import annotations

import sys
import time


class Explanation:
    """Written to standard error: the stages by begin(), what became of records by end(). as_json: one object by end()."""

    def __init__(self, pipeline, as_json: bool = False):
        self._texts = [(stage.number, " ".join(pipeline.text[stage.begin:stage.end].split("\n"))) for stage in pipeline.stages]
        self._as_json = as_json
        self._started = time.monotonic()

    def begin(self) -> None:
        if not self._as_json:
            sys.stderr.write("".join(f"stage {number}: {text}\n" for number, text in self._texts))

    def end(self, counters: dict) -> None:
        """counters: as `run_chain` makes them."""
        seconds = round(time.monotonic() - self._started, 3)
        if not self._as_json:
            sys.stderr.write(table(counters["operators"]))
            return
        import json

        stages = [{"stage": number, "text": text} for number, text in self._texts]
        sys.stderr.write(json.dumps({"stages": stages, **counters, "seconds": seconds}) + "\n")


def table(operators: list[dict]) -> str:
    """One line for each operator: stage, name, records in and out, bad ones, seconds, and what was dropped."""
    rows = [("stage", "operator", "in", "out", "bad", "seconds", "dropped")]
    for o in operators:
        dropped = ", ".join(f"{reason} {records}" for reason, records in o["dropped"].items())
        rows.append((str(o["stage"]), o["name"], str(o["in"]), str(o["out"]), str(o["bad"]), f"{o['seconds']:.3f}", dropped or "-"))
    widths = [max(len(row[i]) for row in rows) for i in range(7)]
    text = ""
    for row in rows:
        left = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        text += "  ".join([*left, *(row[i].rjust(widths[i]) for i in range(2, 6)), row[6]]) + "\n"
    return text
