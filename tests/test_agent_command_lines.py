"""Command lines and platform configurations of the model servers (spec 60, 3.4 and 3.5)."""

import itertools
import subprocess
from pathlib import Path

import pytest
from google.protobuf import text_format
from test_agent_config import MIXED

from monolith_cli import errors
from monolith_cli.serving.agent.command_lines import (
    child_environment,
    command_line,
    command_line_v3,
    has_grpc_remote_op,
    proxy_command_line,
    server_command,
)
from monolith_cli.serving.agent.config import PASS_THROUGH, AgentConfig
from monolith_cli.serving.agent.model_config import write_config
from monolith_cli.serving.agent.platform_config import platform_config_text, write_platform_config
from monolith_cli.serving.platform_protos import SavedModelBundleSourceAdapterConfig
from monolith_cli.serving.protos import model_server_config_pb2, platform_config_pb2


def mixed(**settings):
    return AgentConfig(**{
        "deploy_type": "mixed", "base_path": "/model/test_model/saved_models", "bzid": "bzid", "base_name": "test_model", "num_ps": 12,
        "dense_alone": True, "dc_aware": True, "tfs_flags": "internal", "platform_config_file": "<p>", "environ": MIXED, **settings})


def v3(environ=None, **settings):
    environ = {"PORT": "9000", "PORT3": "8500", "PORT4": "8501", "TCE_PSM": "p.s.m", "TCE_CLUSTER": "default"} | (environ or {})
    return AgentConfig(**{"deploy_type": "unified", "agent_version": 3, "tfs_flags": "internal", "platform_config_file": "<p>",
                          "fetch_ps_timeout_ms": 10000, "environ": environ, **settings})


def line(result):
    arguments, _ = result
    return " ".join(arguments)


def test_the_parameter_server_of_a_mixed_agent():
    """T7."""
    result = command_line(mixed(), "ps", "<f>", ["tensorflow_model_server"])
    assert line(result) == (
        "tensorflow_model_server --model_config_file=<f> --archon_rpc_psm=data.reco.tfs_ps --archon_rpc_cluster=default "
        "--metrics_namespace_prefix=data.reco.tfs_ps --log_conf=../conf/log4j_ps.properties --port=8600 --rest_api_port=8601 "
        "--archon_port=8602 --file_system_poll_wait_seconds=0 --platform_config_file=<p>")
    assert result[1] == 8600


def test_entry_and_dense_of_a_mixed_agent():
    c = mixed(enable_batching=True, fetch_ps_long_conn_enable=False, file_system_poll_wait_seconds=9, aio_thread_num=20)
    fetching = ("--archon_entry_to_ps_rpc_timeout=200 --archon_entry_to_ps_long_conn_num=100 --archon_entry_to_ps_rpc_retry=2 "
                "--archon_async_dispatcher_threads=20 --archon_entry_to_ps_long_conn_enable=false")
    rest = "--file_system_poll_wait_seconds=9 --platform_config_file=<p>"
    assert line(command_line(c, "entry", "<f>", ["t"])) == (
        "t --model_config_file=<f> --archon_rpc_psm=data.reco.tfs --archon_rpc_cluster=default --metrics_namespace_prefix=data.reco.tfs "
        f"--log_conf=../conf/log4j.properties --port=8500 --rest_api_port=8501 --archon_port=9000 {fetching} --enable_batching=true {rest}")
    assert line(command_line(c, "dense", "<f>", ["t"])) == (
        "t --model_config_file=<f> --archon_rpc_psm=data.reco.tfs_dense --archon_rpc_cluster=default "
        "--metrics_namespace_prefix=data.reco.tfs_dense --log_conf=../conf/log4j_dense.properties --port=8700 --rest_api_port=8701 "
        f"--archon_port=8702 --enable_batching=true {fetching} --enable_batching=true {rest}")


def test_agent_version_2_looks_at_no_file():
    c = AgentConfig(deploy_type="ps", agent_version=2, tfs_flags="internal", platform_config_file="<p>", file_system_poll_wait_seconds=5,
                    environ={"PORT": "1", "PORT3": "2", "PORT4": "3"})
    assert line(command_line(c, None, "<f>", ["t"])) == (
        "t --model_config_file=<f> --archon_rpc_psm= --archon_rpc_cluster= --metrics_namespace_prefix= --log_conf=../conf/log4j.properties "
        "--port=2 --rest_api_port=3 --archon_port=1 --model_config_file_poll_wait_seconds=0 --platform_config_file=<p>")


def test_the_server_of_version_3(tmp_path):
    """T36."""
    bare = tmp_path / "bare server"
    bare.write_bytes(b"\x7fELF nothing")
    bare.chmod(0o755)
    c = v3(file_system_poll_wait_seconds=60, tfs_binary=str(bare))
    start = f"{bare} --model_config_file=<f> --port=8500 --rest_api_port=8501 --model_config_file_poll_wait_seconds=60 " \
            "--archon_port=9000 --archon_rpc_psm=p.s.m --archon_rpc_cluster=default --metrics_namespace_prefix=p.s.m "
    end = "--conf_file=conf/service.conf --log_conf=conf/log4j.properties --file_system_poll_wait_seconds=60 --platform_config_file=<p>"
    result = command_line_v3(c, "<f>")
    assert line(result) == start + "--archon_entry_to_ps_rpc_timeout=10000 " + end
    assert result[1] == 8500 and result[0][0] == str(bare)
    bare.write_bytes(b"\x7fELF" + bytes(5000) + b"PredictionServiceGrpc")
    assert has_grpc_remote_op(c) and line(command_line_v3(c, "<f>")) == start + end
    assert not has_grpc_remote_op(v3(tfs_binary="no-such-server")) and has_grpc_remote_op(v3(tfs_flags="stock", tfs_binary="no-such-server"))


def other_value(f):
    return {"bool": not f.default, "int": 17, "float": 0.5, "str": "x y"}[f.type.split(" ")[0]]


@pytest.mark.parametrize("field", PASS_THROUGH, ids=lambda f: f.name)
def test_each_handed_on_field_is_a_flag_when_it_is_not_its_default(field):
    value = other_value(field)
    want = f"--{field.name}={str(value).lower() if isinstance(value, bool) else value}"
    for c, make in ((mixed(**{field.name: value}), lambda c: command_line(c, "entry", "<f>")), (v3(**{field.name: value}),
                                                                                               lambda c: command_line_v3(c, "<f>"))):
        for flags in ("internal", "stock"):
            c.tfs_flags = flags
            there = want in make(c)[0]
            assert there == (flags == "internal" or field.name not in ("allow_growth", "version"))
        setattr(c, field.name, field.default)
        alone = [a for a in make(c)[0] if a.startswith(f"--{field.name}=")]
        assert len(alone) == (field.name == "platform_config_file")


def test_stock_servers_get_only_flags_they_know(tmp_path):
    c = mixed(tfs_flags="stock", enable_batching=True, tfs_extra_flags=["--a=b c"], run_dir=str(tmp_path / "my run"), platform_config_file=None,
              num_load_threads=4)
    known = {"model_config_file", "port", "rest_api_port", "enable_batching", "num_load_threads", "file_system_poll_wait_seconds",
             "platform_config_file", "a"}
    arguments = command_line(c, "dense", None, ["/opt/my server"])[0]
    names = [a.split("=")[0].removeprefix("--") for a in arguments[1:]]
    assert set(names) <= known and len(names) == len(set(names))
    assert arguments[0] == "/opt/my server" and arguments[-1] == "--a=b c"
    assert f"--platform_config_file={tmp_path}/my run/platform_config_file.cfg" in arguments
    written = next(a for a in arguments if a.startswith("--model_config_file=")).partition("=")[2]
    read = text_format.Parse(open(written).read(), model_server_config_pb2.ModelServerConfig())
    assert [m.name for m in read.model_config_list.config] == ["dense_0"]
    assert command_line_v3(v3(tfs_flags="stock"), "<f>", ["t"])[0] == [
        "t", "--model_config_file=<f>", "--port=8500", "--rest_api_port=8501", "--model_config_file_poll_wait_seconds=60",
        "--platform_config_file=<p>"]


def test_which_server_is_started(tmp_path):
    server = tmp_path / "monolith-serve"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    assert server_command(v3({"PATH": str(tmp_path)})) == ["monolith-serve"]
    assert server_command(v3({"PATH": "/nowhere"})) == [str(Path(__file__).resolve().parent.parent / "bin" / "monolith-serve")]
    assert server_command(v3({"MONOLITH_TFS_BINARY": "/t/tensorflow_model_server"})) == ["/t/tensorflow_model_server"]
    assert server_command(v3({"MONOLITH_TFS_BINARY": "/t/x"}, tfs_binary="/u/y")) == ["/u/y"]


def test_what_lies_about_is_not_started(tmp_path):
    """Not on the PATH, from a directory that has a package and a library of the same names."""
    for name in ("monolith_cli", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    config = v3({"PATH": "/usr/bin:/bin"})
    done = subprocess.run([*server_command(config), "--version"], cwd=tmp_path, env=child_environment(config, "dense"), capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("monolith-serve"), done.stderr


def test_servers_that_call_others_find_the_agent():
    c = mixed(agent_port=7777)
    assert [child_environment(c, t).get("PORT2") for t in ("entry", "ps", "dense")] == ["7777", None, None]
    assert child_environment(v3(agent_port=7778), "unified")["PORT2"] == "7778"


def test_proxy(tmp_path):
    c = mixed()
    plain = ["server", f"--port={c.proxy_port}", "--grpc_target=localhost:8500"]
    assert proxy_command_line(c, "server", str(tmp_path)) == (plain, c.proxy_port)
    (tmp_path / "proxy.conf").write_text("")
    assert proxy_command_line(c, "server", str(tmp_path))[0] == [*plain, f"--conf_file={tmp_path}/proxy.conf"]


DEFAULT_PLATFORM = """platform_configs {
  key: "tensorflow"
  value {
    source_adapter_config {
      [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
        legacy_config {
          session_config {
            intra_op_parallelism_threads: 16
            inter_op_parallelism_threads: 16
            gpu_options {
              allow_growth: true
            }
            allow_soft_placement: true
          }
          enable_model_warmup: true
        }
      }
    }
  }
}
"""


@pytest.mark.parametrize("flags", ["internal", "stock"])
def test_platform_configuration_by_default(flags, tmp_path):
    """T8."""
    c = AgentConfig(deploy_type="mixed", tfs_flags=flags, run_dir=str(tmp_path / "r"), environ={})
    assert platform_config_text(c) == DEFAULT_PLATFORM
    path = write_platform_config(c)
    assert path == c.platform_config_file == f"{tmp_path}/r/platform_config_file.cfg" and open(path).read() == DEFAULT_PLATFORM
    c.enable_model_warmup = False
    write_platform_config(c)
    assert "warmup" not in open(path).read()


def bundle(c):
    message = text_format.Parse(platform_config_text(c), platform_config_pb2.PlatformConfigMap())
    adapter = SavedModelBundleSourceAdapterConfig()
    assert message.platform_configs["tensorflow"].source_adapter_config.Unpack(adapter)
    return adapter.legacy_config


def test_threads_come_from_the_keys_then_from_the_limit():
    for intra, inter, limit in itertools.product((0, 3), (0, 5), (0, 7)):
        c = AgentConfig(deploy_type="entry", tensorflow_intra_op_parallelism=intra, tensorflow_inter_op_parallelism=inter,
                        environ={"MY_CPU_LIMIT": str(limit)} if limit else {})
        session = bundle(c).session_config
        assert (session.intra_op_parallelism_threads, session.inter_op_parallelism_threads) == (intra or limit or 16, inter or limit or 16)


@pytest.mark.parametrize("settings, differing", [
    ({}, True), ({"tfs_binary": "/x/tensorflow_model_server"}, False), ({"tfs_binary": "/x/tensorflow_model_server", "tfs_flags": "internal"}, True),
    ({"tfs_binary": "/y/monolith-serve"}, True)])
def test_batching_of_a_dense_part_served_alone(settings, differing):
    """A stock server refuses a file with the field it does not know."""
    c = AgentConfig(deploy_type="mixed", dense_alone=True, enable_batching=True, environ={}, **settings)
    batching = bundle(c).batching_parameters
    sizes = [getattr(batching, n).value for n in ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")]
    assert sizes == [1024, 800, 100000, 8] and batching.support_diff_dim_size_inputs == differing
    c.dense_alone = False
    assert not bundle(c).HasField("batching_parameters")


def test_what_the_flags_would_say_to_a_stock_server_is_in_the_file(tmp_path):
    (tmp_path / "b").write_text("max_batch_size { value: 64 }\n")
    settings = {"enable_batching": True, "batching_parameters_file": f"{tmp_path}/b", "saved_model_tags": "serve,gpu",
                "per_process_gpu_memory_fraction": 0.5}
    stock, internal = (bundle(AgentConfig(deploy_type="entry", tfs_flags=f, environ={}, **settings)) for f in ("stock", "internal"))
    assert stock.batching_parameters.max_batch_size.value == 64 and list(stock.saved_model_tags) == ["serve", "gpu"]
    assert stock.session_config.gpu_options.per_process_gpu_memory_fraction == 0.5
    assert not internal.HasField("batching_parameters") and not internal.saved_model_tags


def test_an_operators_file_stays_and_a_failure_is_told(tmp_path):
    (tmp_path / "own.cfg").write_text("platform_configs {}\n")
    c = AgentConfig(deploy_type="entry", platform_config_file=f"{tmp_path}/own.cfg", environ={})
    assert write_platform_config(c) == f"{tmp_path}/own.cfg" and (tmp_path / "own.cfg").read_text() == "platform_configs {}\n"
    told = []
    c = AgentConfig(deploy_type="entry", platform_config_file=f"{tmp_path}/absent/p.cfg", environ={})
    write_platform_config(c, told.append)
    assert "No such file or directory" in told[0]
    c = AgentConfig(deploy_type="entry", run_dir=str(tmp_path), enable_batching=True, batching_parameters_file=f"{tmp_path}/none", environ={})
    write_platform_config(c, told.append)
    assert "batching_parameters_file" in told[1] and sorted(p.name for p in tmp_path.iterdir()) == ["own.cfg"]


def test_a_file_that_cannot_be_put_into_place_leaves_nothing_half_written(tmp_path):
    (tmp_path / "p.cfg").mkdir()
    with pytest.raises(errors.CannotCreateError, match="p.cfg: cannot create: Is a directory"):
        write_config(str(tmp_path / "p.cfg"), "text")
    assert [p.name for p in tmp_path.iterdir()] == ["p.cfg"]
    write_config(str(tmp_path / "q"), "text")
    assert (tmp_path / "q").read_text() == "text" and (tmp_path / "q").stat().st_mode & 0o777 == 0o644


def test_a_server_this_container_does_not_have():
    """T9."""
    c = AgentConfig(deploy_type="entry", environ={})
    with pytest.raises(errors.ConfigError, match="no server of type ps"):
        command_line(c, "ps", "<f>")
    with pytest.raises(errors.ConfigError, match="say which server type"):
        command_line(mixed(), None, "<f>")
