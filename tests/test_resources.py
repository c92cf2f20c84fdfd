"""Resources of a container, and sizes of exported models (spec 60, 3.15)."""

import time

import psutil
import pytest

from monolith_cli import errors
from monolith_cli.serving.agent.resources import Cgroup, CpuUsage, memory, model_info, processors

GIB = 1 << 30


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Cgroup(str(root))


V2 = {"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/box/memory.max": "max\n", "sys/fs/cgroup/pod/memory.max": f"{GIB // 4}\n",
      "sys/fs/cgroup/pod/box/memory.current": f"{GIB // 8}\n", "sys/fs/cgroup/pod/box/memory.stat": f"anon 5\ninactive_file {GIB // 16}\n",
      "sys/fs/cgroup/pod/box/cpu.max": "50000 100000\n", "sys/fs/cgroup/pod/cpu.max": "max 100000\n",
      "sys/fs/cgroup/pod/box/cpu.stat": "usage_usec 2500000\nuser_usec 1\n"}
V1 = {"proc/self/cgroup": "4:memory:/d/x\n2:cpu,cpuacct:/d/x\n0::/\n", "sys/fs/cgroup/memory/d/x/memory.limit_in_bytes": f"{GIB // 4}\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/d/x/memory.usage_in_bytes": f"{GIB // 8}\n",
      "sys/fs/cgroup/memory/d/x/memory.stat": f"cache 1\ntotal_inactive_file {GIB // 16}\n", "sys/fs/cgroup/cpu/d/x/cpu.cfs_quota_us": "50000\n",
      "sys/fs/cgroup/cpu/d/x/cpu.cfs_period_us": "100000\n", "sys/fs/cgroup/cpuacct/d/x/cpuacct.usage": "2500000000\n"}


@pytest.mark.parametrize("files", [V2, V1], ids=["version 2", "version 1"])
def test_a_control_group_limits_memory_and_processors(tmp_path, files):
    group = write(tmp_path, files)
    found = memory({"MY_MEM_LIMIT": "1"}, group)
    assert found.total == GIB // 4 and found.available == min(GIB // 4 - GIB // 16, found.available)
    assert found.available >= min(GIB // 4 - GIB // 16, psutil.virtual_memory().available) - GIB // 8
    assert (group.memory_used(), group.processors(), group.processor_seconds()) == (GIB // 16, 0.5, 2.5)
    assert processors({"MY_CPU_LIMIT": "1"}, group) == 0.5


def test_groups_out_of_sight_in_a_container_are_those_at_the_mount(tmp_path):
    group = write(tmp_path, {"proc/self/cgroup": "4:memory:/kubepods/x\n0::/../../y\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n",
                             "sys/fs/cgroup/unified/cpu.max": "150000 100000\n"})
    assert (group.memory_limit(), group.processors()) == (4096, 1.5)


@pytest.mark.parametrize("files", [{}, {"proc/self/cgroup": "garbage\n::\n4:memory:/x\n"}, {
    "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/cpu.stat": "x\n"}, {
    "proc/self/cgroup": "1:memory:/\n2:cpu:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}])
def test_without_limits_the_environment_counts_and_then_the_host(tmp_path, files):
    group, host = write(tmp_path, files), psutil.virtual_memory()
    limited = memory({"MY_MEM_LIMIT": str(GIB // 2)}, group)
    assert limited.total == GIB // 2 and 0 < limited.available <= GIB // 2
    assert memory({}, group).total == host.total and 0 < memory({}, group).available < host.total
    assert processors({"MY_CPU_LIMIT": "1"}, group) == 1 and processors({}, group) == psutil.cpu_count()
    assert processors({"MY_CPU_LIMIT": "100000"}, group) == psutil.cpu_count()
    with pytest.raises(errors.ConfigError, match="MY_MEM_LIMIT"):
        memory({"MY_MEM_LIMIT": "4G"}, group)


def test_of_this_host():
    found = memory({})
    assert 0 < found.available < found.total <= psutil.virtual_memory().total and 0 < processors({}) <= psutil.cpu_count()
    usage = CpuUsage({})
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    assert 0 < usage.percent() <= 100 and 0 <= usage.percent() <= 100


def test_processor_use_is_of_what_may_be_used(tmp_path):
    group = write(tmp_path, V2)
    usage = CpuUsage({}, group)
    time.sleep(0.2)
    write(tmp_path, {"sys/fs/cgroup/pod/box/cpu.stat": f"usage_usec {2500000 + 20000}\n"})  # 0.02 s of at least 0.2 s on half a processor
    assert 0 < usage.percent() <= 20
    write(tmp_path, {"sys/fs/cgroup/pod/box/cpu.stat": "usage_usec 99000000\n"})
    assert usage.percent() == 100


@pytest.fixture
def exported(tmp_path):
    """T24: three sub models with two versions of 15 bytes, a checkpoint with table files."""
    root = tmp_path / "m" / "exported_models"
    for name in ("entry", "ps_0", "ps_1"):
        write(root / name, {"100/saved_model.pb": "x" * 15, "200/saved_model.pb": "x" * 10, "200/variables/v": "y" * 5})
        write(root / name, {"ExportSaverListenerState": "".join(
            f'entries {{\n  export_dir: "{root}/{name}/{v}"\n  global_step: {s}\n}}\n' for v, s in ((100, 10), (200, 20)))})
    write(root, {".hidden/1/f": "", "a file": ""})
    write(tmp_path / "m", {
        "checkpoint": 'model_checkpoint_path: "model.ckpt-20"\nall_model_checkpoint_paths: "model.ckpt-10"\n',
        "model.ckpt-20.assets/MonolithHashTable_abc_0-00000-of-00002": "z" * 7, "model.ckpt-20.assets/MonolithMultiHashTable_1-00001-of-00002": "z" * 9,
        "model.ckpt-20.assets/MonolithMultiHashTable_1.meta-00001-of-00002": "z" * 99, "model.ckpt-20.assets/other": "z" * 50,
        "model.ckpt-20.assets/T_7-00000-of-00001": "z" * 3})
    return root


def info(root, *args, **kwargs):
    return {n: (size, path.removeprefix(str(root))) for n, (size, path) in model_info(str(root), *args, **kwargs).items()}


def test_model_info(exported):
    """T24."""
    want = {"entry": (15, "/entry/200"), "ps_0": (22, "/ps_0/200"), "ps_1": (24, "/ps_1/200")}
    assert info(exported, "model.ckpt-20") == want == info(exported)
    assert info(exported, "model.ckpt-10") == {n: (15, f"/{n}/100") for n in want}
    assert info(exported, "model.ckpt-20", 100)["ps_0"] == (22, "/ps_0/100")


def test_model_info_seen_from_its_folder(exported, monkeypatch):
    monkeypatch.chdir(exported.parent)
    assert model_info("exported_models/")["entry"] == (15, f"{exported}/entry/200")


def test_model_info_without_checkpoints_or_states(exported):
    assert info(exported, "model.ckpt-5")["entry"] == (15, "/entry/200")  # no version of that step: the newest of those known
    for name in ("entry", "ps_0", "ps_1"):
        (exported / name / "ExportSaverListenerState").unlink()
    (exported / "ps_1" / "300").mkdir()
    assert info(exported, "model.ckpt-10")["entry"] == (15, "/entry/200")
    (exported.parent / "checkpoint").unlink()
    assert info(exported) == {n: (15, f"/{n}/200") for n in ("entry", "ps_0", "ps_1")}


def test_model_info_that_cannot_be(exported, tmp_path):
    with pytest.raises(errors.NoInputError, match="no such directory"):
        model_info(str(tmp_path / "absent"))
    with pytest.raises(errors.BadDataError, match="-<step>"):
        model_info(str(exported), "model.ckpt")
    with pytest.raises(errors.NoInputError, match="no such version"):
        model_info(str(exported), version=999)
    state = exported / "ps_0" / "ExportSaverListenerState"
    state.write_text('entries { export_dir: "/x/ps_0/100" global_step: 20 }')
    with pytest.raises(errors.BadDataError, match="ps_0 has 100"):
        model_info(str(exported), "model.ckpt-20")
    state.write_text("entries {")
    with pytest.raises(errors.BadDataError, match="ExportSaverListenerState"):
        model_info(str(exported))
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.NoInputError, match="no exported models"):
        model_info(str(tmp_path / "empty"))
    write(tmp_path / "apart", {"a/1/f": "", "b/2/f": ""})
    with pytest.raises(errors.NoInputError, match="that all sub models have"):
        model_info(str(tmp_path / "apart"))
