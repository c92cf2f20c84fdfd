"""monolith-agent as a command: what it would start, and mistakes at the start."""

import json
import os
import time

import pytest

T7 = {
    "PORT": "9000",
    "PORT3": "8500",
    "PORT4": "8501",
    "PORT5": "8600",
    "PORT6": "8601",
    "PORT7": "8602",
    "PORT8": "8700",
    "PORT9": "8701",
    "PORT10": "8702",
    "SHARD_ID": "1",
    "MONOLITH_HOST_SHARD_N": "5",
    "TCE_PSM": "data.reco.tfs",
    "TCE_CLUSTER": "default",
    "TCE_INTERNAL_IDC": "LF",
    "TCE_LOGICAL_CLUSTER": "Default",
    "MY_POD_NAME": "pod-abc",
}
CONF = """bzid bzid
base_name test_model
base_path /model/test_model/saved_models
num_ps 12
server_type mixed
dense_alone true
dc_aware true
zk_servers 127.0.0.1:1
"""


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "agent.conf"
    path.write_text(CONF)
    return path


def test_dry_run(run, conf, tmp_path):
    """T7, with the flags a stock server knows, and what monolith-serve is told beside them."""
    (tmp_path / "tmp").mkdir()
    env = T7 | {"TMPDIR": str(tmp_path / "tmp")}
    (one,) = json.loads(
        run("monolith-agent", "--conf", conf, "--dry-run", "--json", "--host", "0.0.0.0", env=env).stdout
    )
    assert (one["replica_id"], one["shard_id"], one["num_shard"]) == (294473408336, 1, 5)
    assert one["path_prefix"] == "/bzid/service/test_model/lf:default" and one["location"] == "lf:default"
    assert (one["ports"]["tfs_ps_port"], one["ports"]["tfs_entry_port"], one["ports"]["tfs_dense_archon_port"]) == (
        8600,
        8500,
        8702,
    )
    ps, dense, entry = one["servers"]
    assert [s["server"] for s in one["servers"]] == ["ps", "dense", "entry"]
    assert ps["command"][0] == "monolith-serve" and ps["command"][-1] == "--bind=0.0.0.0"
    assert ps["command"][2:5] == ["--port=8600", "--rest_api_port=8601", "--file_system_poll_wait_seconds=0"]
    assert [line.split('"')[1] for line in ps["model_config"].splitlines() if "name:" in line] == [
        "ps_1",
        "ps_6",
        "ps_11",
    ]
    assert (
        "--port=8700" in dense["command"] and "dense_0" in dense["model_config"] and "--port=8500" in entry["command"]
    )
    assert os.listdir(tmp_path / "tmp") == []  # nothing is left behind
    text = run("monolith-agent", "--conf", conf, "--print-command-lines", env=T7).stdout.decode()
    assert "replica_id 294473408336\n" in text and "[ps]\nmonolith-serve --model_config_file=" in text


def test_dry_run_of_a_dense_deployment(run, tmp_path):
    path = tmp_path / "dense.conf"
    path.write_text(CONF.replace("mixed", "dense") + "agent_version 1\ndense_service_num 3\nagent_port 7777\n")
    env = {k: v for k, v in T7.items() if k != "MONOLITH_HOST_SHARD_N"} | {"SHARD_ID": "0"}
    described = json.loads(run("monolith-agent", "--conf", path, "--dry-run", "--json", env=env).stdout)
    assert [d["replica_id"] for d in described] == [294473408336 * 3 + i for i in range(3)]
    assert [d["ports"]["agent_port"] == 7777 for d in described] == [True, False, False]
    assert (
        len({d["ports"]["tfs_dense_port"] for d in described}) == 3 and described[0]["ports"]["tfs_dense_port"] == 8500
    )


@pytest.mark.parametrize(
    "lines,args,code,message",
    [
        ("agent_version 4", (), 78, "agent_version is 4: must be 1, 2 or 3"),
        ("agent_version 2", (), 78, "say where they may lie by --model-root DIR"),
        ("agent_version 2", ("--model-root", "/"), 69, "ZooKeeper 127.0.0.1:1: cannot be reached"),
        ("", ("--json",), 2, "--json goes with --dry-run"),
        ("", ("--tls-cert", "x"), 2, "--tls-key"),
        ("dense_service_num 0", (), 78, "dense_service_num is 0"),
        ("num_shard 9", (), 78, "num_shard is 9"),
    ],
)
def test_mistakes(run, tmp_path, lines, args, code, message):
    path = tmp_path / "agent.conf"
    path.write_text(
        (CONF.replace("base_path /model/test_model/saved_models\n", "") if "agent_version 2" in lines else CONF)
        + lines
        + "\n"
    )
    begun = time.monotonic()
    done = run("monolith-agent", "--conf", path, "--zk-connect-timeout", "0.5", *args, env=T7, check=False)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr
    assert time.monotonic() - begun < 60


def test_a_configuration_that_is_not_there(run, tmp_path):
    done = run("monolith-agent", "--conf", tmp_path / "none.conf", check=False)
    assert done.returncode == 66 and "none.conf" in done.stderr
