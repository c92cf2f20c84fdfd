import click

from monolith_cli.commands import serving_options as so
from monolith_cli.commands.frame import Example, command

_CMDS = ("decl", "pub", "unpub", "bzid_info")


@command(
    "agent-controller",
    "Declare exported models for serving, and move their sub graphs into and out of layouts.",
    description="""\
Tells the v3 agents, through ZooKeeper, which models there are (declarations) and which of their
sub graphs a group of agents is to serve (a layout). CMD, or --cmd, is one of

\b
  decl       declare the sub graphs of the export --export-base: the
             folders in it, entry with the version policy latest, the
             others with latest_once. The model's name is that which
             the entry of the newest version asks its parameter
             servers for; --model-name where it has none
  pub        add the declared sub graphs that match --model-name,
             MODEL:PATTERN, to the layout --layout
  unpub      take those that match out of the layout
  bzid_info  print all that is declared, served and laid out as JSON
             (the default)

Nodes: /BZID/saved_models/MODEL/SUB_GRAPH, /BZID/layouts/LAYOUT/MODEL:SUB_GRAPH. A layout that starts with a slash is
a path. PATTERN is a shell pattern. Agents follow within a minute. unpub asks before it takes something out, without
a terminal it wants --yes. The output starts with an empty line but for --json. Options may be spelled with
underscores.""",
    examples=[
        Example(
            "Declare an export, have it served by the layout main, and see what is there",
            "agent-controller decl --zk-servers $ZOOKEEPER --bzid demo --export-base export/ffm --overwrite && "
            "agent-controller pub --zk-servers $ZOOKEEPER --bzid demo --model-name 'ffm:*' --layout main && "
            "agent-controller bzid_info --zk-servers $ZOOKEEPER --bzid demo",
        ),
        Example(
            "What taking the parameter servers of a model out of service would change",
            "agent-controller unpub --zk-servers $ZOOKEEPER --bzid demo "
            "--model-name 'ffm:ps_*' --layout main --dry-run",
        ),
    ],
    exits={
        65: "the entry is no SavedModel, or a node holds what it should not",
        66: "the export or its entry is not there, or nothing of the model is declared",
        69: "no server of ZooKeeper can be reached",
        73: "the model is declared already (see --overwrite), or ZooKeeper does not allow it",
    },
    see_also=["serving-client(1)", "agent-client(1)", "zk(1)", "monolith-agent(1)"],
    sockets=True,
)
@click.argument("action", metavar="[CMD]", type=click.Choice(_CMDS), required=False)
@click.option(
    "--cmd", type=click.Choice(_CMDS), default="bzid_info", show_default=True, help="What to do, where no CMD is given."
)
@click.option("--bzid", default="test", show_default=True, help="Business id: the top of the namespace in ZooKeeper.")
@click.option(
    "--export-base",
    default="",
    metavar="DIR",
    help="decl: folder of the export, with the folder entry in it. [default: none]",
)
@click.option(
    "--overwrite",
    type=click.BOOL,
    is_flag=False,
    flag_value=True,
    default=False,
    show_default=True,
    help="decl: declare anew what is declared already.",
)
@click.option(
    "--model-name",
    default="",
    metavar="MODEL[:PATTERN]",
    help="decl: name of the model; pub, unpub: MODEL:PATTERN. [default: decl: that of the export]",
)
@click.option("--layout", default="", metavar="LAYOUT", help="pub, unpub: name or path of the layout. [default: none]")
@click.option(
    "--arch",
    type=click.Choice(["entry_ps"]),
    default="entry_ps",
    show_default=True,
    help="decl: how the model is parted.",
)
@so.JSON
@so.deleting_options
@so.zookeeper_options
def main(action, cmd, bzid, export_base, overwrite, model_name, layout, arch, as_json, dry_run, yes, run, **zk):
    from monolith_cli import errors
    from monolith_cli.serving.controller import actions

    action = action or cmd
    if action == "decl" and not export_base:
        raise errors.UsageError("decl needs --export-base, the folder of the export")
    if action in ("pub", "unpub") and not layout:
        raise errors.UsageError(f"{action} needs --layout, the name of a layout")
    with actions.open_backend(bzid, so.zk_config(zk), run.log) as backend:
        if action == "decl":
            actions.declare(backend, export_base, model_name, overwrite, arch, dry_run, as_json, run)
        elif action == "bzid_info":
            actions.show_info(backend, as_json)
        else:
            actions.publish(
                backend, action, model_name, layout, dry_run, as_json, lambda what: so.confirmed(what, yes), run
            )


so.stock_spelling(main)
