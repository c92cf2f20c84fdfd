"""examples/serving: ZooKeeper, two agents, a model, as its script tells."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def test_example_runs_from_start_to_end(zookeeper, tmp_path):
    for program in ("jq", "curl"):
        if subprocess.run(["which", program], capture_output=True, check=False).returncode and not os.environ.get(
            "MONOLITH_REQUIRE_SERVERS"
        ):
            pytest.skip(f"{program} is not installed")
    env = {k: v for k, v in os.environ.items() if not k.startswith("MONOLITH_")}
    env |= {
        "MONOLITH_PYTHON": sys.executable,
        "ZK_SERVERS": zookeeper.servers,
        "PATH": f"{ROOT / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        [ROOT / "examples" / "serving" / "run.sh", tmp_path],
        env=env,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    logs = "\n".join(p.read_text()[-2000:] for p in tmp_path.glob("agent-*/*log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    both, killed, new = (
        done.stdout.split(f"== {title}")[1].split("==")[0]
        for title in ("Both answer", "A model server is killed", "A new version")
    )
    assert both.count("[1,2,3]") == 2
    assert killed.count("[1,2,3]") == 1 and killed.count("does not answer") == 1
    assert new.count("[2,4,6]") == 2
    assert done.stdout.rstrip().splitlines()[-1] in (
        '{"sub_graphs_total":2,"sub_graphs_available":null}',
        '{"sub_graphs_total":2,"sub_graphs_available":0}',
    )
