"""monolith-serve's command line and files: what is refused at the start, what stock flags do, how it ends."""

import signal
import time

import numpy as np
import pytest
import saved_models
from model_server import ModelServer, code_of, model, write_config
from ports import free_port
from saved_models import predict_request

ONE = np.ones(1, np.float32)

# Every flag that the agent may pass (group A), and those of the internal build that it passes for compatibility.
AGENTS = {
    "enable_batching": "true", "allow_version_labels_for_unavailable_models": "true", "num_load_threads": 2, "num_unload_threads": 2,
    "max_num_load_retries": 1, "load_retry_interval_micros": 1000, "file_system_poll_wait_seconds": 0, "flush_filesystem_caches": "false",
    "tensorflow_session_parallelism": 0, "tensorflow_intra_op_parallelism": 1, "tensorflow_inter_op_parallelism": 1,
    "per_process_gpu_memory_fraction": 0.5, "allow_growth": "false", "saved_model_tags": "serve", "grpc_channel_arguments": "grpc.max_connection_age_ms=60000",
    "grpc_max_threads": 8, "enable_model_warmup": "true", "remove_unused_fields_from_bundle_metagraph": "false",
    "enable_signature_method_name_check": "true", "xla_cpu_compilation_enabled": "true", "enable_profiler": "false",
    "model_config_file_poll_wait_seconds": 0, "archon_port": 1, "archon_rpc_psm": "p.s.m", "archon_rpc_cluster": "default",
    "metrics_namespace_prefix": "p.s.m", "log_conf": "conf/log4j.properties", "conf_file": "conf/service.conf", "archon_entry_to_ps_rpc_timeout": 200,
    "archon_entry_to_ps_long_conn_num": 100, "archon_entry_to_ps_rpc_retry": 2, "archon_async_dispatcher_threads": 30,
    "archon_entry_to_ps_long_conn_enable": "false",
}  # fmt: skip


@pytest.mark.parametrize("arguments,code,words", [
    ([], 2, "--model_config_file"),
    (["--model_base_path=/m", "--port=0"], 2, "nothing to listen on"),
    (["--model_base_path=/m", "--no_such_flag=1"], 2, "no-such-flag"),
    (["--model_base_path=/m", "--port=x"], 2, "port"),
    (["--model_base_path=/m", "--enable_batching=perhaps"], 2, "boolean"),
    (["--model_base_path=/m", "--batching_parameters_file=b"], 2, "--enable_batching"),
    (["--model_base_path=/m", "--tensorflow_session_parallelism=1", "--tensorflow_intra_op_parallelism=1"], 2, "excludes"),
    (["--model_base_path=/m", "--tls-cert=a"], 2, "--tls-key"),
    (["--model_base_path=/m", "--tls-ca=a"], 2, "--tls-cert"),
    (["--model_base_path=/m", "--grpc_channel_arguments=a"], 2, "KEY=VALUE"),
    (["--model_base_path=relative"], 78, "absolute"),
    (["--model_base_path=/m", "--model-root=/n"], 78, "--model-root"),
    (["--model_config_file=missing"], 66, "missing"),
    (["--model_config_file=bad"], 78, "bad"),
    (["--model_config_file=twice"], 78, "twice"),
    (["--model_base_path=/m", "--enable_batching", "--batching_parameters_file=bad"], 78, "bad"),
    (["--model_base_path=/m", "--platform_config_file=bad"], 78, "bad"),
    (["--model_base_path=/m", "--platform_config_file=empty"], 78, "tensorflow"),
    (["--model_base_path=/m", "--ssl_config_file=empty"], 78, "server_key"),
    (["--model_base_path=/m", "--monitoring_config_file=bad"], 78, "bad"),
    (["--model_base_path=/m", "--bind=203.0.113.1"], 73, "203.0.113.1"),
])  # fmt: skip
def test_mistakes_are_found_at_the_start(run, tmp_path, arguments, code, words):
    (tmp_path / "bad").write_text("no { such message")
    (tmp_path / "empty").write_text("")
    write_config(tmp_path / "twice", model("m", "/a"), model("m", "/b"))
    done = run("monolith-serve", *arguments, check=False, cwd=tmp_path)
    assert done.returncode == code and words in done.stderr
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr


def test_both_spellings_and_bare_booleans(run):
    shown = run(
        "monolith-serve",
        "--rest_api_port=1",
        "--model-base-path",
        "/m",
        "--enable_batching",
        "--enable_model_warmup=false",
        "--show-config",
    ).stdout.decode()
    for line in (
        "rest-api-port = 1  # flag",
        "enable-batching = True  # flag",
        "enable-model-warmup = False  # flag",
        "bind = 127.0.0.1  # default",
    ):
        assert line in shown


def test_every_flag_of_the_agent(tmp_path):
    saved_models.constant(tmp_path / "m", 1)
    config = write_config(tmp_path / "models.conf", model("m", tmp_path / "m", labels={"next": 2}))
    server = ModelServer(
        tmp_path, f"--model_config_file={config}", *(f"--{name}={value}" for name, value in AGENTS.items())
    )
    try:
        assert server.status("m") == [(1, "AVAILABLE", 0)]
        server.predict(predict_request("m", x=ONE))
        # The label of a version that is not there yet was taken, as the flag says; the folder is looked at once.
        saved_models.constant(tmp_path / "m", 2)
        assert code_of(server.predict, predict_request("m", version="next", x=ONE))[0] == "NOT_FOUND"
        time.sleep(0.3)
        assert server.status("m") == [(1, "AVAILABLE", 0)]
        server.reload(model("m", tmp_path / "m", labels={"next": 2}))
        server.wait_until(lambda: server.states("m") == {2: "AVAILABLE", 1: "END"})
    finally:
        assert server.stop() == 143


PLATFORM = """platform_configs { key: "tensorflow" value { source_adapter_config {
  [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] { legacy_config {
    session_config { intra_op_parallelism_threads: 1 inter_op_parallelism_threads: 1 allow_soft_placement: true }
    enable_model_warmup: false
    batching_parameters { max_batch_size { value: 4 } }
  } } } } }
"""


def test_platform_file_config_polling_metrics_and_sockets(tmp_path):
    """The platform file alone says what is batched and warmed up; a changed configuration file is taken, a bad one is
    not."""
    cold = saved_models.constant(tmp_path / "m", 1)
    saved_models.write_warmup(cold, [predict_request("m", x=["this would fail"])])
    (tmp_path / "platform").write_text(PLATFORM)
    (tmp_path / "monitoring").write_text('prometheus_config { enable: true path: "/stats" }')
    config = write_config(tmp_path / "models.conf", model("m", tmp_path / "m"))
    metrics = free_port()
    server = ModelServer(
        tmp_path,
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=0.1",
        f"--platform_config_file={tmp_path}/platform",
        "--enable_model_warmup=true",
        "--saved_model_tags=nonsense",
        f"--monitoring_config_file={tmp_path}/monitoring",
        f"--metrics-port={metrics}",
        f"--grpc_socket_path={tmp_path}/socket",
    )
    try:
        assert server.status("m") == [(1, "AVAILABLE", 0)]
        code, message = code_of(server.predict, predict_request("m", x=np.ones(5, np.float32)))
        assert code == "INVALID_ARGUMENT" and "larger than a batch" in message
        assert server.curl("/stats")[0] == 200 and server.curl("/monitoring/prometheus/metrics")[0] == 400

        server.rest_port, rest = metrics, server.rest_port
        assert (
            server.curl("/metrics")[0] == 200
            and server.curl("/healthz")[0] == 200
            and server.curl("/v1/models/m")[0] == 404
        )
        server.rest_port = rest

        import grpc

        from monolith_cli.serving.protos import prediction_service_pb2_grpc

        with grpc.insecure_channel(f"unix:{tmp_path}/socket") as channel:
            assert (
                prediction_service_pb2_grpc.PredictionServiceStub(channel)
                .Predict(predict_request("m", x=ONE), timeout=90)
                .model_spec.version.value
                == 1
            )

        saved_models.double(tmp_path / "d")
        config.write_text("model_config_list { config { name: ")
        server.wait_until(lambda: "read again" in server.log.read_text())
        assert server.status("m") == [(1, "AVAILABLE", 0)]
        write_config(config, model("m", tmp_path / "m"), model("d", tmp_path / "d"))
        server.wait_until(lambda: code_or_status(server, "d") == [(1, "AVAILABLE", 0)])
    finally:
        assert server.stop(signal.SIGINT) == 130


def code_or_status(server, name):
    import grpc

    try:
        return server.status(name)
    except grpc.RpcError as e:
        return e.code()


def test_warm_up_runs_before_a_version_is_available_and_too_many_records_fail_it(tmp_path):
    good, many = saved_models.constant(tmp_path / "good", 1), saved_models.constant(tmp_path / "many", 1)
    saved_models.write_warmup(good, [predict_request("any", x=ONE)], 1000)
    saved_models.write_warmup(many, [predict_request("any", x=ONE)], 1001)
    torn = saved_models.constant(tmp_path / "torn", 1)
    warmup = saved_models.write_warmup(torn, [predict_request("any", x=ONE)], 3)
    warmup.write_bytes(warmup.read_bytes()[:-5])
    config = write_config(tmp_path / "models.conf", *(model(n, tmp_path / n) for n in ("good", "many", "torn")))
    server = ModelServer(tmp_path, f"--model_config_file={config}", "--max_num_load_retries=0")
    try:
        assert server.status("good") == [(1, "AVAILABLE", 0)]
        assert (
            ':tensorflow:serving:model_warmup_records{model_name="good"} 1000'
            in server.curl("/monitoring/prometheus/metrics")[1]
        )
        assert server.status("many") == [(1, "END", 3)]
        assert server.status("torn") == [(1, "END", 15)]
    finally:
        server.stop()


def test_requests_at_hand_finish_when_it_ends_and_a_second_signal_does_not_wait(tmp_path):
    for finishes in (True, False):
        folder = tmp_path / str(finishes)
        gate, begun = folder / "gate", folder / "gate.begun"
        saved_models.held(folder / "m", 1, gate)
        server = ModelServer(folder, f"--model_base_path={folder}/m", "--model_name=m", "--drain-timeout=600")
        pending = server.prediction.Predict.future(predict_request("m", x=np.array([1], np.int32)), timeout=600)
        server.wait_until(begun.exists)
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda s=server: "SIGTERM: finishing the requests at hand" in s.log.read_text())
        time.sleep(0.5)
        assert server.process.poll() is None and not pending.done()
        gate.touch() if finishes else server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 143
        assert (pending.exception(120) is None) == finishes
        assert server.stop() == 143


def test_ops_of_this_project_are_found(tmp_path):
    """A graph with an op of the native library."""
    import tensorflow as tf

    from monolith_cli.tables.entries import extract_slot_from_entry

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.string, [None], "x")
        y = extract_slot_from_entry(x)
        builder = tf.compat.v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "m" / "1"))
        define = tf.compat.v1.saved_model.signature_def_utils.predict_signature_def
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": define({"x": x}, {"y": y})})
        builder.save()
    server = ModelServer(tmp_path, f"--model_base_path={tmp_path}/m", "--model_name=m", "--max_num_load_retries=0")
    try:
        assert server.status("m") == [(1, "AVAILABLE", 0)]
    finally:
        server.stop()
