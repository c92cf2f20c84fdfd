from __future__ import annotations

import click

from monolith_cli.commands import options, serving_options
from monolith_cli.commands.frame import Example, command

SORTS = ["model", "server", "state", "version", "rate", "errors", "latency"]


class Server(click.ParamType):
    """HOST:PORT or HOST:PORT/REST_PORT."""

    name = "HOST:PORT[/REST_PORT]"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        from monolith_cli import errors
        from monolith_cli.serving.addresses import join_host_port, split_host_port

        address, slash, rest = value.partition("/")
        try:
            host, _ = split_host_port(address)
        except errors.UsageError as e:
            self.fail(str(e), param, ctx)
        if slash and not (rest.isdecimal() and 0 < int(rest) < 65536):
            self.fail(f"'{value}': write {self.name}, for example localhost:8500/8501", param, ctx)
        return address, join_host_port(host, int(rest)) if slash else None


class Agent(click.ParamType):
    """HOST:PORT."""

    name = "HOST:PORT"

    def convert(self, value, param, ctx):
        from monolith_cli import errors
        from monolith_cli.serving.addresses import split_host_port

        try:
            split_host_port(value)
        except errors.UsageError as e:
            self.fail(str(e), param, ctx)
        return value


@command(
    "monolith-top",
    "Watch models, replicas, versions and their states, rates and latencies.",
    description="""\
Shows each version of each model on each server: its state as the server has it, the state that is registered in
ZooKeeper, requests and errors per second, and latencies. What there is comes from any of three sources: the nodes
below /BZID in ZooKeeper (replicas of agents v1 and v2; bindings, containers and layouts of v3), agents (their
heartbeats), and servers that are named. A source that is down shows as DOWN, with what it last told; the others go
on.

Rates and latencies are those of the server's monitoring page (/monitoring/prometheus/metrics on its REST port),
between two refreshes; the page does not part versions, so they stand beside the newest version that is available.
NOTE says why a version ended or a server does not answer. States besides those of TensorFlow Serving: DOWN, NOT
FOUND (the server does not know the model), UNBOUND (in a layout, but no container serves it), BAD NODE, ERROR.

Keys: q quits, s changes the order and r reverses it, / filters by model (Enter ends, empty takes it away), space
holds the picture, + and - change the interval, arrows and page keys scroll.

--json prints one object a line for every refresh, or a single one with --once: time, sources (kind, name, up,
error, age_s, more) and rows (model, task, replica, location, server, version, state, registered, rate, error_rate,
p50_ms, p99_ms, note).""",
    examples=[
        Example(
            "What a business id has, the slowest first; without --once the live screen",
            "monolith-top --zk-servers $ZOOKEEPER --bzid demo --sort latency --once",
        ),
        Example("One look at a server and its rates", "monolith-top --server $TFS/$TFS_REST --once --interval 0.2"),
        Example(
            "Versions that are not available, for a script",
            "monolith-top --server $TFS/$TFS_REST --once --json --interval 0.2 | jq -c "
            "'.rows[] | select(.state != \"AVAILABLE\") | [.model, .version, .state]'",
        ),
    ],
    exits={69: "--once: no source answers"},
    see_also=["tfs-client(1)", "zk(1)", "monolith-agent(1)", "monolith-serve(1)", "agent-client(1)"],
    sockets=True,
)
@click.option("--bzid", metavar="NAME", help="Business id: what to show of ZooKeeper. [default: nothing of ZooKeeper]")
@serving_options.zookeeper_options
@click.option(
    "--agent",
    "agents",
    type=Agent(),
    multiple=True,
    metavar="HOST:PORT",
    help="An agent to ask. Repeatable. [default: none]",
)
@click.option("--agent-tls", is_flag=True, help="Speak TLS with agents too, with the files that are for servers.")
@click.option(
    "--server",
    "servers",
    type=Server(),
    multiple=True,
    metavar="HOST:PORT[/REST_PORT]",
    help="A model server to ask. Repeatable. [default: those that ZooKeeper and agents tell of]",
)
@click.option(
    "--model-name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A model to ask each --server for, besides those that its monitoring page speaks of. "
    "Repeatable. [default: none]",
)
@click.option(
    "--rest-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="REST port of servers that are found and do not tell theirs. [default: their rates are not shown]",
)
@click.option(
    "--metrics-path",
    default="/monitoring/prometheus/metrics",
    show_default=True,
    metavar="PATH",
    help="Path of the servers' monitoring page.",
)
@serving_options.tls_client_options
@click.option(
    "--model",
    "patterns",
    multiple=True,
    metavar="GLOB",
    help="Only models that fit: the model, the sub graph, or model:sub_graph. Repeatable. [default: all]",
)
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="model",
    show_default=True,
    help="Order of the rows: names upwards, numbers downwards, the worst state first.",
)
@click.option("--reverse", is_flag=True, help="The other way round.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two refreshes, and between the two looks that rates come from.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.05, 60),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an agent or server may take before it counts as down.",
)
@click.option("--once", is_flag=True, help="Print one picture and leave.")
@click.option(
    "--count", type=click.IntRange(min=1), metavar="N", help="--json: leave after this many refreshes. [default: never]"
)
@options.json_output
def main(
    bzid,
    agents,
    agent_tls,
    servers,
    names,
    rest_port,
    metrics_path,
    patterns,
    sort,
    reverse,
    interval,
    timeout,
    once,
    count,
    as_json,
    run,
    **values,
):
    if (bzid is None) != (values["zk_servers"] is None):
        raise click.UsageError("--zk-servers and --bzid go together")
    if count and (once or not as_json):
        raise click.UsageError("--count goes with --json, and without --once")
    if not metrics_path.startswith("/"):
        raise click.UsageError(f"--metrics-path {metrics_path}: must start with /")
    from monolith_cli.serving.top.collector import Sources
    from monolith_cli.serving.top.show import show

    tls = serving_options.client_tls(values)
    zookeeper = (serving_options.zk_config(values), bzid) if bzid else None
    sources = Sources(
        zookeeper,
        tuple(agents),
        tuple(servers),
        tuple(names),
        rest_port,
        tls,
        tls if agent_tls else None,
        timeout,
        interval,
        metrics_path,
    )
    return show(
        sources, once=once, as_json=as_json, patterns=patterns, sort=sort, reverse=reverse, count=count, run=run
    )
