import click

from monolith_cli.commands import serving_options as so
from monolith_cli.commands.frame import Example
from monolith_cli.commands.group import group

main = group(
    "serving-client",
    "Load, unload and look at what is served, in one place: portal, layouts, agents.",
    description="""\
The commands an operator needs for both ways of serving: load, unload and status speak to the
scheduler of agents that share many models (portal nodes); declare, publish, unpublish and info to unified agents
(declarations and layouts); heartbeat and replicas ask an agent; addresses and clean look at and remove what agents
registered. What deletes asks first; without a terminal it wants --yes.""",
    examples=[
        Example(
            "Ask for a model, look, and take it out again",
            "serving-client load --zk-servers $ZOOKEEPER --bzid demo --model-name sports --model-dir /models/sports && "
            "serving-client status --zk-servers $ZOOKEEPER --bzid demo --model-name sports && "
            "serving-client unload --zk-servers $ZOOKEEPER --bzid demo --model-name sports --yes",
        ),
        Example(
            "An export into the layout main, and out of it",
            "serving-client declare --zk-servers $ZOOKEEPER --bzid demo --overwrite export/ffm && "
            "serving-client publish --zk-servers $ZOOKEEPER --bzid demo --layout main 'ffm:*' && "
            "serving-client unpublish --zk-servers $ZOOKEEPER --bzid demo --layout main 'ffm:*' --yes",
        ),
        Example(
            "All that is declared, laid out and served",
            "serving-client info --zk-servers $ZOOKEEPER --bzid demo --json | jq .layout_info",
        ),
    ],
    exits={
        65: "a node or file holds what it should not",
        66: "an export or configuration file is not there, or nothing of the model is declared",
        69: "the agent or ZooKeeper cannot be reached",
        73: "the model is there already, or ZooKeeper does not allow it",
    },
    see_also=["agent-controller(1)", "agent-client(1)", "tfs-client(1)", "zk(1)"],
    sockets=True,
)

_conf = click.option(
    "--conf",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Configuration file of an agent: says what is not named. [default: none]",
)
_model = click.option("--model-name", metavar="NAME", help="The model. [default: base_name of --conf]")
_bzid = click.option(
    "--bzid", metavar="ID", help="Business id: the top of the namespace in ZooKeeper. [default: bzid of --conf]"
)
_layout = click.option("--layout", required=True, metavar="LAYOUT", help="Name of the layout, or its path.")


def _settings(values, run, model_name=None, port=0, target=None, timeout=10.0):
    from monolith_cli.commands.agent_settings import settings

    taken = [values.pop(n) for n in ("conf", "bzid", "as_json")]
    return settings(taken[0], port, target, taken[1], model_name, timeout, taken[2], values, run.log)


def _in_zookeeper(function):
    """Options of every command that speaks to ZooKeeper."""
    for option in reversed((_conf, _bzid, so.JSON, so.zookeeper_options)):
        function = option(function)
    return function


def _asker(yes):
    return lambda what: so.confirmed(what, yes)


@main.verb("load", "Ask for a model to be served.")
@_model
@click.option("--model-dir", required=True, metavar="DIR", help="Folder of the exported models, as the agents see it.")
@click.option("--ckpt", metavar="NAME", help="The checkpoint to serve. [default: the newest]")
@click.option(
    "--num-shard", type=int, default=-1, show_default=True, help="Into how many shards; -1 leaves it to the scheduler."
)
@click.option(
    "--overwrite", is_flag=True, help="Ask anew for a model that is asked for already; else that is an error (73)."
)
@_in_zookeeper
def load(model_name, model_dir, ckpt, num_shard, overwrite, run, **values):
    from monolith_cli.serving.controller import agent_actions
    from monolith_cli.serving.zookeeper.records import ModelMeta

    settings = _settings(values, run, model_name)
    agent_actions.load(settings, ModelMeta(settings.model_name, model_dir, ckpt, num_shard), overwrite, run)


@main.verb("unload", "Take a model out of service.")
@_model
@so.deleting_options
@_in_zookeeper
def unload(model_name, dry_run, yes, run, **values):
    from monolith_cli.serving.controller import agent_actions

    agent_actions.unload(_settings(values, run, model_name), dry_run, _asker(yes), run)


@main.verb("status", "Tell whether a model is asked for and published, and the state of each replica.")
@_model
@_in_zookeeper
def status(model_name, run, **values):
    from monolith_cli.serving.controller import agent_actions

    agent_actions.status(_settings(values, run, model_name), run)


@main.verb("addresses", "Print all replicas of a model with addresses and states.")
@_model
@_in_zookeeper
def addresses(model_name, run, **values):
    from monolith_cli.serving.controller import agent_actions

    agent_actions.addresses(_settings(values, run, model_name), run)


def _ask_agent(function):
    """Options of the commands that ask an agent."""
    more = (
        click.option(
            "--server-type",
            type=click.Choice(["ps", "entry", "dense"]),
            default="ps",
            show_default=True,
            help="What is asked for.",
        ),
        click.option(
            "--target", metavar="HOST:PORT", help="The agent. [default: that of this host, by --port or --conf]"
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=0,
            show_default=True,
            help="Port of the agent; 0 is agent_port of --conf.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0.1, max=3600),
            default=10.0,
            show_default=True,
            help="Seconds the call may take.",
        ),
        _conf,
        so.JSON,
        so.tls_client_options,
    )
    for option in reversed(more):
        function = option(function)
    return function


@main.verb("heartbeat", "Print the addresses an agent knows for a type of server, by task.")
@_ask_agent
def heartbeat(server_type, target, port, timeout, run, **values):
    from monolith_cli.serving.controller import agent_actions

    agent_actions.heart_beat(_settings(values | {"bzid": None}, run, None, port, target, timeout), server_type)


@main.verb("replicas", "Print the addresses of the replicas of one task, as an agent knows them.")
@click.option("--task", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the task.")
@_model
@_ask_agent
def replicas(task, model_name, server_type, target, port, timeout, run, **values):
    from monolith_cli.serving.controller import agent_actions

    agent_actions.get_replicas(
        _settings(values | {"bzid": None}, run, model_name, port, target, timeout), server_type, task
    )


@main.verb("clean", "Remove all nodes that agents and clients left in a place.")
@click.argument("what", metavar="PLACE", type=click.Choice(["portal", "pub", "addr", "res"]))
@so.deleting_options
@_in_zookeeper
def clean(what, dry_run, yes, run, **values):
    from monolith_cli.serving.controller import agent_actions

    agent_actions.clean_nodes(_settings(values, run), what, dry_run, _asker(yes), run)


def _backend(values, run):
    from monolith_cli import errors
    from monolith_cli.serving.controller import actions

    settings = _settings(values, run)
    if not settings.bzid:
        raise errors.UsageError("no business id: give --bzid, or --conf with a file that has it")
    return actions.open_backend(settings.bzid, settings.zk(), run.log)


@main.verb("declare", "Declare the sub graphs of an export.")
@click.argument("export_base", metavar="DIR")
@_model
@click.option("--overwrite", is_flag=True, help="Declare anew what is declared already.")
@click.option("--dry-run", is_flag=True, help="Say what would be declared, and change nothing.")
@_in_zookeeper
def declare(export_base, model_name, overwrite, dry_run, run, **values):
    from monolith_cli.serving.controller import actions

    as_json = values["as_json"]
    with _backend(values, run) as backend:
        actions.declare(backend, export_base, model_name or "", overwrite, "entry_ps", dry_run, as_json, run)


def _lay_out(action, pattern, layout, dry_run, yes, run, values):
    from monolith_cli.serving.controller import actions

    as_json = values["as_json"]
    with _backend(values, run) as backend:
        actions.publish(backend, action, pattern, layout, dry_run, as_json, _asker(yes), run)


@main.verb("publish", "Add declared sub graphs to a layout.")
@click.argument("pattern", metavar="MODEL:PATTERN")
@_layout
@click.option("--dry-run", is_flag=True, help="Say what would be added, and change nothing.")
@_in_zookeeper
def publish(pattern, layout, dry_run, run, **values):
    _lay_out("pub", pattern, layout, dry_run, True, run, values)


@main.verb("unpublish", "Take sub graphs out of a layout.")
@click.argument("pattern", metavar="MODEL:PATTERN")
@_layout
@so.deleting_options
@_in_zookeeper
def unpublish(pattern, layout, dry_run, yes, run, **values):
    _lay_out("unpub", pattern, layout, dry_run, yes, run, values)


@main.verb("info", "Print all that is declared, laid out and served, as JSON.")
@_in_zookeeper
def info(run, **values):
    from monolith_cli.serving.controller import actions

    as_json = values["as_json"]
    with _backend(values, run) as backend:
        actions.show_info(backend, as_json)
