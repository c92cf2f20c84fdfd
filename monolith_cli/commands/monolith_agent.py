import click

from monolith_cli.commands import serving_options
from monolith_cli.commands.frame import Example, command

_FILE = click.Path(dir_okay=False)
_SECONDS = click.FloatRange(min=0)


@command(
    "monolith-agent",
    "Run the model servers of a container and register them in ZooKeeper.",
    description="""\
Reads a configuration file (KEY VALUE a line; docs/operations.md has all keys), starts the model servers it asks for,
registers what they serve, and answers the gRPC service AgentService, of which entry graphs and tools ask who serves
what. agent_version in the file chooses:

1: the servers of one model, deploy_type ps, dense, entry or mixed (all in one container). Each replica is a node
under /BZID/service/MODEL; the entry's server starts when every task it calls has a replica.

2: many models over shards. What a person wants served stands in /BZID/portal; one of the agents leads and parts each
model over the shards by their memory; every agent loads what its orders say and lists it under /BZID/service.

3: deploy_type unified: one server with the sub graphs of a layout, /BZID/layouts/NAME, that layout_filters let in.
What it serves is listed under /BZID/binding.

The model server is monolith-serve, or the program that tfs_binary or MONOLITH_TFS_BINARY names. A server that ends is
started again, after a pause that doubles; --max-restarts in a row, and the agent takes its registrations away, ends
the others and leaves with 69. Servers never outlive their agent. While ZooKeeper is away, what is served goes on;
registrations and watches come back with it.

Everything listens on loopback unless --host says otherwise; others are told MY_HOST_IP, else the address of --host.
SIGTERM, SIGINT and SIGHUP end it in order: registrations, a pause of --drain, servers, service; a second one ends it
at once. PORT to PORT10, SHARD_ID, REPLICA_ID, MONOLITH_HOST_SHARD_N, MY_POD_NAME and TCE_* of the environment count
as in the original.""",
    examples=[
        Example(
            "Which ports, command lines and model configs a configuration means, without starting anything",
            "monolith-agent --conf agent.conf --dry-run",
        ),
        Example(
            "The same for a program",
            "monolith-agent --conf agent.conf --dry-run --json | jq -r '.[0].servers[].server'",
        ),
    ],
    exits={
        66: "the configuration file or a file it names does not exist",
        69: "ZooKeeper cannot be reached at the start, a port is taken, or a model "
        "server ended too often: the message names it",
        73: "the run directory or the log cannot be written, or --metrics-port is taken",
        78: "a mistake in the configuration file or the environment",
        129: "stopped by SIGHUP, as by SIGTERM",
    },
    see_also=["monolith-serve(1)", "tfs-client(1)"],
    sockets=True,
)
@click.option("--conf", required=True, type=_FILE, help="Configuration file.")
@click.option(
    "--tfs-log",
    type=_FILE,
    default="/var/log/tfs.std.log",
    show_default=True,
    help="Log of the model servers; those of version 1 and 2 put their type before its name. With MLP_POD_NAME set they "
    "write to the agent's output.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="IP address that the agent's service and monolith-serve listen on; 0.0.0.0 or :: for all of this host's.",
)
@click.option(
    "--model-root",
    "model_roots",
    type=click.Path(),
    multiple=True,
    metavar="DIR",
    help="Folder that models named in ZooKeeper must lie in. Repeatable. [default: base_path of the configuration]",
)
@serving_options.tls_server_options
@click.option(
    "--server-tls-ca",
    type=_FILE,
    help="PEM file the model servers' certificates are checked against, where they have TLS (ssl_config_file).",
)
@click.option(
    "--server-tls-cert",
    type=_FILE,
    help="PEM file of the certificate shown to the model servers; goes with --server-tls-key.",
)
@click.option("--server-tls-key", type=_FILE, help="PEM file of the private key of --server-tls-cert.")
@click.option(
    "--server-tls-name", metavar="NAME", help="Name the model servers' certificates must carry. [default: 127.0.0.1]"
)
@serving_options.zookeeper_options
@click.option(
    "--status-interval",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    help="Seconds between two looks at the state of the model servers.",
)
@click.option(
    "--max-restarts",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="How often in a row a model server is started again; a minute of serving ends the row.",
)
@click.option(
    "--restart-pause",
    type=_SECONDS,
    default=1.0,
    show_default=True,
    help="Seconds before the first new start; they double up to a minute.",
)
@click.option(
    "--start-timeout",
    type=_SECONDS,
    default=3600.0,
    show_default=True,
    help="Seconds a model server may take to open its port, and the entry to wait for others.",
)
@click.option(
    "--drain",
    type=_SECONDS,
    default=1.0,
    show_default=True,
    help="Seconds between taking a registration away and unloading or ending what it named.",
)
@click.option(
    "--stop-grace",
    type=_SECONDS,
    default=30.0,
    show_default=True,
    help="Seconds that model servers get to end after SIGTERM.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Port on loopback for /metrics (Prometheus) and /healthz; 0: a free one, which -v "
    "tells. Process I of a dense deployment takes the port I after it. [default: none]",
)
@click.option(
    "--dry-run",
    "--print-command-lines",
    "dry_run",
    is_flag=True,
    help="Print ports, command lines and model configs on standard output, and leave.",
)
@click.option("--json", "as_json", is_flag=True, help="With --dry-run: as JSON, an object for each process.")
def main(conf, run, dry_run, as_json, metrics_port, **values):
    import os

    environ = dict(os.environ)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # a server that comes and goes is no news
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run")
    from monolith_cli.serving.agent.config import load_config
    from monolith_cli.serving.agent.options import AgentOptions

    own = serving_options.server_tls(values)
    servers = serving_options.client_tls(
        {
            f"tls_{n}": values.pop(f"server_tls_{m}")
            for n, m in (("ca", "ca"), ("cert", "cert"), ("key", "key"), ("server_name", "name"))
        }
    )
    overrides = {"zk_servers": values["zk_servers"]} if values["zk_servers"] else {}
    config = load_config(conf, environ, run.log.warning, **overrides)
    config.check()
    options = AgentOptions(
        zk=serving_options.zk_config(values, servers=config.zk_servers),
        host=values["host"],
        tls=own,
        server_tls=servers,
        tfs_log=values["tfs_log"],
        model_roots=values["model_roots"],
        status_interval_s=values["status_interval"],
        max_restarts=values["max_restarts"],
        restart_backoff_s=values["restart_pause"],
        stop_grace_s=values["stop_grace"],
        start_timeout_s=values["start_timeout"],
        drain_s=values["drain"],
        environ=environ,
        config_overrides=overrides,
    )
    if dry_run:
        import json

        from monolith_cli.serving.agent import dry_run as plan

        described = plan.describe(config, conf, options)
        click.echo(json.dumps(described, indent=2) if as_json else plan.as_text(described), nl=as_json)
        return 0
    from monolith_cli.serving.agent import agent

    return agent.run(config, conf, options, metrics_port, run.log)
