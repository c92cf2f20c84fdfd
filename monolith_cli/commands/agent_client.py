import click

from monolith_cli.commands import serving_options as so
from monolith_cli.commands.frame import Example, command

_CMDS = ("hb", "gr", "addr", "get", "clean", "load", "unload", "meta", "status", "profile")
_ARGS = ("addr", "portal", "pub", "res", "lock", "elect", "info")
_INPUTS = ("json", "pbtext", "dump", "binary", "instance", "example_batch", "example_batch_to_instance")


@command(
    "agent-client",
    "Ask an agent what is served where, and load, unload and look at models in ZooKeeper.",
    description="""\
CMD, or --cmd-type, is one of

\b
  hb       heartbeat: the addresses that the agent knows for a type
           of server, by task (the default)
  gr       addresses of the replicas of one task, --task
  addr     all replicas of a model in ZooKeeper, with their states
  get      what --args names: addr; portal, pub, res, lock, elect:
           the nodes there; info: sizes and versions of the exported
           models of --model-dir at --ckpt
  load     ask for a model to be served (portal node); one that is
           there is overwritten
  unload   take it out of service again; one that is not there is no
           error
  clean    remove all nodes of --args: portal, pub, addr or res
  meta, status, profile
           of a model server; as tfs-client(1), which has more options

hb and gr ask the agent of this host, at the port agent_port of --conf or --port, or the one that --target names. The
model is base_name of --conf, else --model-name. unload and clean ask before they delete anything; without a terminal
they want --yes. Options may be spelled with underscores.""",
    examples=[
        Example(
            "Ask for a model, see who serves it, and take it out again",
            "agent-client load --zk-servers $ZOOKEEPER --bzid demo --model-name news --model-dir /models/news && "
            "agent-client addr --zk-servers $ZOOKEEPER --bzid demo --model-name news && "
            "agent-client unload --zk-servers $ZOOKEEPER --bzid demo --model-name news --yes",
        ),
        Example(
            "What is asked for, as JSON",
            "agent-client get --args portal --zk-servers $ZOOKEEPER --bzid demo --json | jq keys",
        ),
        Example(
            "What a clean would remove", "agent-client clean --args res --zk-servers $ZOOKEEPER --bzid demo --dry-run"
        ),
    ],
    exits={
        65: "a node holds what it should not",
        66: "the configuration or model folder is not there, or the server has no such model",
        69: "the agent, the model server or ZooKeeper cannot be reached",
        73: "ZooKeeper does not allow it",
    },
    see_also=["serving-client(1)", "tfs-client(1)", "agent-controller(1)", "zk(1)", "monolith-agent(1)"],
    sockets=True,
)
@click.argument("action", metavar="[CMD]", type=click.Choice(_CMDS), required=False)
@click.option(
    "--cmd-type", type=click.Choice(_CMDS), default="hb", show_default=True, help="What to do, where no CMD is given."
)
@click.option("--args", type=click.Choice(_ARGS), default="addr", show_default=True, help="get, clean: what of.")
@click.option(
    "--conf", type=click.Path(dir_okay=False), metavar="FILE", help="Configuration file of the agent. [default: none]"
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="Port of the agent; 0 is agent_port of --conf.",
)
@click.option(
    "--server-type",
    type=click.Choice(["ps", "entry", "dense"]),
    default="ps",
    show_default=True,
    help="hb, gr: what is asked for.",
)
@click.option("--task", type=click.IntRange(min=0), default=0, show_default=True, help="gr: number of the task.")
@click.option("--model-name", metavar="NAME", help="The model. [default: base_name of --conf]")
@click.option("--model-dir", metavar="DIR", help="load, get info: folder of the exported models. [default: none]")
@click.option("--ckpt", metavar="NAME", help="load, get info: the checkpoint. [default: the newest]")
@click.option(
    "--num-shard",
    type=int,
    default=-1,
    show_default=True,
    help="load: into how many shards; -1 leaves it to the scheduler.",
)
@click.option(
    "--bzid", metavar="ID", help="Business id: the top of the namespace in ZooKeeper. [default: bzid of --conf]"
)
@click.option(
    "--target",
    metavar="HOST:PORT,…",
    help="hb, gr: the agent; meta, status, profile: model servers. [default: of this host, by --conf]",
)
@click.option(
    "--input-type",
    type=click.Choice(_INPUTS),
    default="dump",
    show_default=True,
    help="profile: what --input-file holds.",
)
@click.option("--input-file", metavar="FILE", help="profile: records to send. [default: random ones]")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=3600),
    default=10.0,
    show_default=True,
    help="Seconds a call to an agent may take.",
)
@so.JSON
@so.deleting_options
@so.tls_client_options
@so.zookeeper_options
def main(
    action,
    cmd_type,
    args,
    conf,
    port,
    server_type,
    task,
    model_name,
    model_dir,
    ckpt,
    num_shard,
    bzid,
    target,
    input_type,
    input_file,
    timeout,
    as_json,
    dry_run,
    yes,
    run,
    **more,
):
    from monolith_cli.commands import agent_settings as a

    action = action or cmd_type
    if action in ("meta", "status", "profile"):
        return a.ask_server(action, conf, target, model_name, as_json, input_type, input_file, more)
    from monolith_cli.serving.controller import agent_actions as do
    from monolith_cli.serving.zookeeper.records import ModelMeta

    settings = a.settings(conf, port, target, bzid, model_name, timeout, as_json, more, run.log)
    if action == "hb":
        do.heart_beat(settings, server_type)
    elif action == "gr":
        do.get_replicas(settings, server_type, task)
    elif action == "addr" or (action == "get" and args == "addr"):
        do.addresses(settings, run)
    elif action == "get" and args == "info":
        do.model_info(settings, model_dir, ckpt)
    elif action == "get":
        do.listing(settings, args, run)
    elif action == "load":
        do.load(settings, ModelMeta(settings.model_name, model_dir, ckpt, num_shard), True, run)
    elif action == "unload":
        do.unload(settings, dry_run, lambda what: so.confirmed(what, yes), run)
    else:
        do.clean_nodes(settings, args, dry_run, lambda what: so.confirmed(what, yes), run)


so.stock_spelling(main)
