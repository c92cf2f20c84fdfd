import click

from monolith_cli.commands import options, serving_options
from monolith_cli.commands.frame import Example, command

_FILE = click.Path(dir_okay=False)
_THREADS = click.IntRange(min=0, max=4096)

# Flags that deployments pass and that mean nothing here: what they tune is not there, or its answer is fixed.
_STOCK_WITHOUT_EFFECT = (
    "flush_filesystem_caches",
    "per_process_gpu_memory_fraction",
    "allow_growth",
    "rest_api_num_threads",
    "enable_signature_method_name_check",
    "remove_unused_fields_from_bundle_metagraph",
    "xla_cpu_compilation_enabled",
    "enable_profiler",
    "num_request_iterations_for_warmup",
    "enable_grpc_healthcheck_service",
    "prefer_tflite_model",
    "num_tflite_pools",
    "num_tflite_interpreters_per_pool",
    "mixed_precision",
)
_INTERNAL_WITHOUT_EFFECT = (
    "archon_port",
    "archon_rpc_psm",
    "archon_rpc_cluster",
    "archon_entry_to_ps_rpc_timeout",
    "archon_entry_to_ps_long_conn_num",
    "archon_entry_to_ps_long_conn_enable",
    "archon_entry_to_ps_rpc_retry",
    "archon_async_dispatcher_threads",
    "metrics_namespace_prefix",
    "log_conf",
    "conf_file",
)
_IGNORED = (*_STOCK_WITHOUT_EFFECT, *_INTERNAL_WITHOUT_EFFECT)


def _flag(name: str, default: bool, text: str):
    """A boolean as stock has it: --NAME, --NAME=true, --NAME=false."""
    return click.option(
        f"--{name}",
        type=click.BOOL,
        is_flag=False,
        flag_value="true",
        default=default,
        show_default=True,
        metavar="BOOL",
        help=text,
    )


def _ignored_options(function):
    for name in reversed(_IGNORED):
        whose = "the stock server" if name in _STOCK_WITHOUT_EFFECT else "an internal build of it"
        function = click.option(
            f"--{name.replace('_', '-')}",
            metavar="ANY",
            is_flag=False,
            flag_value="true",
            help=f"Taken for those who start {whose} with it; without effect.",
        )(function)
    return function


@command(
    "monolith-serve",
    "Serve SavedModels as TensorFlow Serving does, over gRPC and REST.",
    description="""\
Loads the SavedModels of --model-base-path, or of the models in --model-config-file, each version a folder with a
decimal name, and answers TensorFlow Serving's API: gRPC PredictionService (Predict, GetModelMetadata) and
ModelService (GetModelStatus, HandleReloadConfigRequest), health checks and reflection; REST
/v1/models/NAME[/versions/N|/labels/L][/metadata|:predict], /monitoring/prometheus/metrics and /healthz; a body may come
as gzip. Flags may be spelled as tensorflow_model_server spells them, with underscores.

New versions are found by looking into the folders, loaded, warmed up with assets.extra/tf_serving_warmup_requests,
and only then the old ones unloaded, when their last request is done. A version that cannot be loaded is tried again
and ends with its error in the status; what serves goes on serving. The ports open before the models are loaded:
/healthz and the health check say when they are.

Graphs with ops of this project find them; other ops come with --op-library. Who may reload the configuration may name
folders inside of --model-root alone; without it, those of the configuration the server was started with. With
--tls-cert and --tls-key, gRPC and REST speak TLS, and with --tls-ca only to clients that show a certificate signed by
it.

SIGTERM and SIGINT end it in order: requests at hand are finished, models unloaded. A second one ends it at once.""",
    examples=[
        Example(
            "The newest version of one model, over gRPC and REST",
            'monolith-serve --model-name double --model-base-path "$PWD/models/double" --port 8500 --rest-api-port 8501',
        ),
        Example(
            "Several models of a configuration file, requests computed in batches",
            "monolith-serve --model_config_file=models.conf --port=8500 --rest_api_port=8501 --enable_batching=true "
            "--batching_parameters_file=batching.conf",
        ),
    ],
    exits={
        66: "a configuration file cannot be read",
        73: "a port cannot be listened on",
        78: "a configuration file with a mistake, or a folder that is not allowed",
    },
    see_also=["tfs-client(1)", "monolith-agent(1)"],
    sockets=True,
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8500, show_default=True, help="TCP port of gRPC; 0: none."
)
@click.option(
    "--rest-api-port", type=click.IntRange(0, 65535), default=0, show_default=True, help="TCP port of REST; 0: none."
)
@click.option("--grpc-socket-path", type=_FILE, help="UNIX socket for gRPC, besides the port. [default: none]")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="TCP port on loopback of /metrics and /healthz alone, always plain HTTP; 0: none.",
)
@click.option(
    "--bind",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="IP address gRPC and REST listen on; 0.0.0.0 or :: for all of this host's.",
)
@serving_options.tls_server_options
@click.option(
    "--ssl-config-file",
    type=_FILE,
    help="SSLConfig in text form (server_key, server_cert, custom_ca, client_verify), instead of --tls-*.",
)
@click.option(
    "--model-config-file",
    type=_FILE,
    help="ModelServerConfig in text form: the models to serve. Goes before --model-base-path.",
)
@click.option(
    "--model-config-file-poll-wait-seconds",
    type=click.FloatRange(min=0),
    default=0,
    show_default=True,
    help="Seconds between looks at --model-config-file for changes; 0: it is read once.",
)
@click.option("--model-base-path", type=options.TensorFlowDirectory(), help="Folder with the versions of one model.")
@click.option("--model-name", default="default", show_default=True, help="Name of the model in --model-base-path.")
@click.option(
    "--model-root",
    "model_roots",
    type=click.Path(),
    multiple=True,
    metavar="DIR",
    help="Folder, or prefix of a URI, that models may lie in, links resolved. Repeatable. [default: the folders of the configuration]",
)
@click.option(
    "--file-system-poll-wait-seconds",
    type=float,
    default=1.0,
    show_default=True,
    help="Seconds between looks into the folders for new versions; 0: one look, below 0: none.",
)
@_flag("enable-batching", False, "Compute requests of several callers at once.")
@click.option(
    "--batching-parameters-file",
    type=_FILE,
    help="BatchingParameters in text form. [default: max_batch_size 1000, no waiting]",
)
@_flag("enable-model-warmup", True, "Replay a version's warm-up records before it is available.")
@click.option(
    "--platform-config-file",
    type=_FILE,
    help="PlatformConfigMap in text form: session, batching, tags and warm-up; the flags of these are then without effect.",
)
@click.option(
    "--max-num-load-retries",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Further attempts to load a version that failed.",
)
@click.option(
    "--load-retry-interval-micros",
    type=click.IntRange(min=0),
    default=60_000_000,
    show_default=True,
    help="Microseconds between them.",
)
@click.option(
    "--num-load-threads", type=_THREADS, default=0, show_default=True, help="Versions loaded at once; 0: one."
)
@click.option(
    "--num-unload-threads", type=_THREADS, default=0, show_default=True, help="Versions unloaded at once; 0: one."
)
@_flag("allow-version-labels-for-unavailable-models", False, "New labels may name versions that are not available yet.")
@click.option(
    "--tensorflow-session-parallelism",
    type=click.IntRange(min=0),
    default=0,
    help="Threads within and between ops, for both of the next. [default: what they say]",
)
@click.option(
    "--tensorflow-intra-op-parallelism",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Threads within an op; 0: the cores.",
)
@click.option(
    "--tensorflow-inter-op-parallelism",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Threads between ops; 0: the ops of a request run one after the other, in its own thread.",
)
@click.option(
    "--saved-model-tags", metavar="TAG,…", help="Tags of the graph to load, apart by commas. [default: serve]"
)
@click.option(
    "--op-library",
    "op_libraries",
    type=click.Path(exists=True, dir_okay=False),
    multiple=True,
    help="Shared library of TensorFlow ops that graphs need. Repeatable. [default: none]",
)
@click.option(
    "--rest-api-timeout-in-ms",
    type=click.IntRange(min=1),
    default=30000,
    show_default=True,
    help="Milliseconds a REST request may take.",
)
@click.option(
    "--grpc-max-threads", type=_THREADS, default=0, show_default=True, help="gRPC requests worked on at once; 0: 64."
)
@click.option(
    "--grpc-channel-arguments",
    metavar="KEY=VALUE,…",
    help="Arguments of gRPC's server, as grpc.max_connection_age_ms=60000. [default: none]",
)
@click.option(
    "--max-message-bytes",
    type=click.IntRange(1024, 2**31 - 1),
    default=256 << 20,
    show_default=True,
    help="Largest request, body of a REST request, or tensor, in bytes.",
)
@click.option(
    "--drain-timeout",
    "drain_timeout_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds that requests at hand get to finish when the server ends.",
)
@click.option(
    "--monitoring-config-file",
    type=_FILE,
    help="MonitoringConfig in text form: path of the metrics, or none. [default: /monitoring/prometheus/metrics]",
)
@_ignored_options
def main(run, **settings):
    from monolith_cli.serving.server.config import ServerConfig
    from monolith_cli.serving.server.server import serve

    for name in _IGNORED:
        settings.pop(name)
    return serve(ServerConfig(tls=serving_options.server_tls(settings), **settings), run)


# tensorflow_model_server's spelling of flags
main.context_settings["token_normalize_func"] = lambda name: name.replace("_", "-")
