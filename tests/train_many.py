"""Runs monolith-train once for each line of standard input, [model file, model dir, data], in one process: prints [exit code, stderr] of
each. Starting TensorFlow takes longer than making a graph."""

import contextlib
import io
import json
import sys

from monolith_cli.commands import load

for serial, line in enumerate(sys.stdin):
    model, folder, data = json.loads(line)
    said = io.StringIO()
    if serial:  # the tables of the run before are still there
        sys.modules["monolith_cli.training.graph"].TABLES_NAME = f"tables_{serial}"
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            load("monolith-train").main(["--model", f"{model}:Model", "--model-dir", folder, "--seed", "1", data], prog_name="monolith-train")
        except SystemExit as e:
            code = e.code
    print(json.dumps([code, said.getvalue()]), flush=True)
