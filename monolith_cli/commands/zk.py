import click

from monolith_cli.commands import serving_options as so
from monolith_cli.commands.frame import Example
from monolith_cli.commands.group import group

main = group(
    "zk",
    "Look at and change what serving keeps in ZooKeeper: trees, nodes, backups, health.",
    description="""\
For people; agents need none of it. Nodes of serving are shown decoded: replicas, resources,
models to load, publications, declarations, layouts, containers and bindings. --zk-servers, or the variable
ZK_SERVERS, names the servers; a /PATH at its end puts all paths below that node. Credentials come from files
(--zk-auth-file, --zk-sasl-file) or the variable ZK_AUTH. Settings in the table [zk] of --config are for all commands
that know them, those in [zk.tree] for one.""",
    examples=[
        Example("What is there below /demo, decoded", "zk tree /demo --zk-servers $ZOOKEEPER"),
        Example("Are all servers well", "zk health --zk-servers $ZOOKEEPER"),
        Example(
            "The replicas that serve, as a list",
            "zk tree /demo/service --json --zk-servers $ZOOKEEPER | jq -r 'select(.value.stat == 30) | .path'",
        ),
        Example(
            "Keep a tree in a file, and bring it back under another name",
            "zk backup /demo demo.backup --zk-servers $ZOOKEEPER && "
            "zk restore demo.backup --to /copy --on-exists overwrite --zk-servers $ZOOKEEPER",
        ),
        Example(
            "The first changes of a minute, a line each", "zk watch -r /demo --count 3 --for 60 --zk-servers $ZOOKEEPER"
        ),
    ],
    exits={
        65: "a file is no whole backup, or a node holds what it should not",
        66: "a node or file is not there",
        69: "no server of ZooKeeper can be reached, or it went away meanwhile",
        73: "a node is there already, or ZooKeeper does not allow it",
    },
    see_also=["agent-controller(1)", "serving-client(1)", "agent-client(1)", "monolith-top(1)"],
    sockets=True,
)

_path = click.argument("path", metavar="PATH")


def _session(zk, run):
    from monolith_cli.serving.zookeeper.connection import connect

    return connect(so.zk_config(zk), run.log)


@main.verb(
    "tree",
    "Print a node and all below it, decoded, a line each.",
    description="""\
Of a node: its name, whether it is ephemeral, the kind of record it holds and the fields that
are not as they are by default. What cannot be read as the record it should be is marked with !!. With --json an
object a line: path, kind, value, text or base64, ephemeral_owner, version, children, ctime, mtime, czxid, mzxid.""",
)
@click.argument("path", metavar="[PATH]", default="/")
@click.option("-L", "--depth", type=click.IntRange(min=0), help="How many levels below PATH. [default: all]")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a node, one a line.")
@so.zookeeper_options
def tree(path, depth, as_json, run, **zk):
    from monolith_cli.serving.zookeeper import tools

    with _session(zk, run) as connection:
        tools.print_tree(connection, path, depth, as_json)


@main.verb("get", "Print what a node holds.")
@_path
@click.option(
    "--decode",
    is_flag=True,
    help="Print the record as indented JSON; 65 where the node is none of serving or holds none.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print all that is known of the node as one JSON object, as tree does."
)
@so.zookeeper_options
def get(path, decode, as_json, run, **zk):
    from monolith_cli.serving.zookeeper import tools

    with _session(zk, run) as connection:
        tools.print_node(connection, path, decode, as_json)


@main.verb(
    "set",
    "Replace what a node holds.",
    description="""\
A node of serving takes only what its readers can read; --no-check writes anything. An ephemeral
node of a process that lives is written again by that process at its next change.""",
)
@_path
@click.argument("data", metavar="[DATA]", required=False)
@click.option(
    "-f", "--file", "source", metavar="FILE", help="Take the data from this file, - is stdin. [default: DATA]"
)
@click.option("--create", is_flag=True, help="Make the node, and those above it, where there is none.")
@click.option(
    "--at-version",
    type=click.IntRange(min=0),
    help="Only if the node is at this version still; else 75. [default: any]",
)
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Refuse data that the readers of such a node cannot read.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be changed, and change nothing.")
@so.JSON
@so.zookeeper_options
def set_(path, data, source, create, at_version, check, dry_run, as_json, run, **zk):
    from monolith_cli.serving.zookeeper import tools

    content = tools.read_data(data, source)
    with _session(zk, run) as connection:
        done = tools.set_node(
            connection, path, content, create, -1 if at_version is None else at_version, check, dry_run
        )
    if as_json:
        so.print_json({"path": path, "done": done, "dry_run": dry_run})
    run.log.info(f"{path}: {done}")


@main.verb(
    "watch",
    "Print a line for everything that happens to a node, until a signal comes.",
    description="""\
Events: now (what is there at the start), created, changed, deleted, child-added, child-removed,
and session, with connected, suspended or lost. A lost session is replaced by a new one, and what changed meanwhile
is told then. With -r each node of the tree is followed by itself. Changes in quick succession may come as one.""",
)
@_path
@click.option("-r", "--recursive", is_flag=True, help="Follow all nodes below PATH too.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after this many lines. [default: never]")
@click.option(
    "--for", "seconds", type=click.FloatRange(min=0), metavar="SECONDS", help="End after this time. [default: never]"
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object an event, one a line.")
@so.zookeeper_options
def watch(path, recursive, count, seconds, as_json, run, **zk):
    from monolith_cli.serving.zookeeper import follow

    with _session(zk, run) as connection:
        return follow.follow(connection, path, recursive, as_json, count, seconds)


_on_exists = click.option(
    "--on-exists",
    type=click.Choice(["fail", "skip", "overwrite"]),
    default="fail",
    show_default=True,
    help="A node that is there with other data: leave with 73 before anything is written, leave it as it is, "
    "or write over it.",
)


def _report(counts, verb, dry_run, as_json, run):
    if as_json:
        so.print_json(counts | {"dry_run": dry_run})
    run.log.summary(f"{'would ' if dry_run else ''}{verb}: " + ", ".join(f"{k} {v}" for k, v in counts.items()))


@main.verb(
    "cp",
    "Copy a node, or a tree, within an ensemble, to another one, or to and from a file.",
    description="""\
SOURCE and TARGET are each /PATH, HOST:PORT[,…]/PATH of another ensemble (with the same
credentials), or a file: file:NAME, ./NAME, or -. One node's data are copied; with -r a tree, and a file is then a
backup as zk backup writes it. Ephemeral nodes of a tree are left out.""",
)
@click.argument("source", metavar="SOURCE")
@click.argument("target", metavar="TARGET")
@click.option("-r", "--recursive", is_flag=True, help="Copy all nodes below SOURCE too.")
@_on_exists
@click.option("--dry-run", is_flag=True, help="Count what would be written, and write nothing.")
@so.JSON
@so.zookeeper_options
def cp(source, target, recursive, on_exists, dry_run, as_json, run, **zk):
    from monolith_cli.serving.zookeeper import tools

    places = [tools.Place.parse(t) for t in (source, target)]
    named = next((p.servers for p in places if p.servers), None)
    counts = tools.copy(
        so.zk_config(zk, named), *places, recursive=recursive, on_exists=on_exists, dry_run=dry_run, log=run.log
    )
    if as_json and places[1].path == "-":
        raise click.UsageError("--json and the target - both are standard output")
    _report(counts, "copied", dry_run, as_json, run)


@main.verb(
    "backup",
    "Write a tree to a file.",
    description="""\
The file has a JSON object a node, with ACLs, and ends with a checksum: restore refuses half of
one. It appears whole, readable by its owner alone; - is stdout. Ephemeral nodes are written down and marked. The
tree may change meanwhile: each node is whole, the tree is no moment's.""",
)
@click.argument("path", metavar="PATH")
@click.argument("file", metavar="FILE")
@so.JSON
@so.zookeeper_options
def backup(path, file, as_json, run, **zk):
    from monolith_cli.serving.zookeeper import backup as b

    if as_json and file == "-":
        raise click.UsageError("--json and the file - both are standard output")
    with _session(zk, run) as connection:
        counts = b.backup(connection, path, file)
    _report(counts, "written", False, as_json, run)


@main.verb(
    "restore",
    "Make the nodes of a backup again.",
    description="""\
The whole file is checked before anything is written. Nodes go where they were, or below --to;
ephemeral ones are left out, and nothing is ever deleted. A run that broke off can be run again.""",
)
@click.argument("file", metavar="FILE")
@click.option("--to", "target", metavar="PATH", help="Where the root of the backup goes. [default: where it was]")
@_on_exists
@click.option(
    "--acl", "acls", is_flag=True, help="Give new nodes the ACLs of the backup too. [default: that of --zk-acl]"
)
@click.option("--dry-run", is_flag=True, help="Count what would be written, and write nothing.")
@so.JSON
@so.zookeeper_options
def restore(file, target, on_exists, acls, dry_run, as_json, run, **zk):
    from monolith_cli.serving.zookeeper import backup as b

    config = so.zk_config(zk)
    source = b.BackupFile(file)
    from monolith_cli.serving.zookeeper.connection import connect

    with connect(config, run.log) as connection:
        counts = b.restore(connection, source, target, on_exists, acls, dry_run)
    _report(counts, "restored", dry_run, as_json, run)


@main.verb("rm", "Remove nodes, after a question.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Remove all nodes below them too.")
@click.option("-f", "--force", is_flag=True, help="A node that is not there is no error.")
@so.JSON
@so.deleting_options
@so.zookeeper_options
def rm(paths, recursive, force, as_json, dry_run, yes, run, **zk):
    from monolith_cli.serving.zookeeper import tools

    with _session(zk, run) as connection:
        done = tools.remove(
            connection, list(paths), recursive, force, dry_run, lambda what: so.confirmed(what, yes), run
        )
    if as_json:
        so.print_json(done | {"dry_run": dry_run})
    run.log.summary(f"{'would remove' if dry_run else 'removed'} {done['nodes']} nodes")


@main.verb(
    "health",
    "Tell how each server of an ensemble is, and whether it serves.",
    description="""\
Asks every server of --zk-servers with the words srvr and mntr; one that does not answer these
(4lw.commands.whitelist) is tried with a session. The ensemble serves when a server leads, follows or stands alone.
Latencies are min/avg/max since the server started.""",
    exits={
        1: "it serves, but something is wrong: a server is down, or the servers disagree",
        69: "it does not serve: no server answers, or none has a quorum",
    },
)
@so.JSON
@so.zookeeper_options
def health(as_json, run, **zk):
    from monolith_cli.serving.zookeeper import health as h

    found = h.check(so.zk_config(zk))
    if as_json:
        so.print_json(found.as_json())
    else:
        click.echo(h.table(found))
    return {"healthy": 0, "degraded": 1, "down": 69}[found.status]
