import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command("pb-pool", "Look at item pools, and put them together.",
         description="""\
PATH is a pool file, or a folder, which stands for all pool files in it, of every step and worker.

\b
stat    one line a file: channels, items, how many of them were drawn, fids
dump    one JSON object a line: channel, id, fids, names of features, counts; the oldest item of a channel first
check   as stat, silent; ends with 65 at the first file that is damaged
merge   one pool of all of them, saved in the folder --output-dir, as --pool-step of worker 0 of 1; of an item that is in several
        the features of the first stay and the counts add up""",
         examples=[Example("What is in the pool", "pb-negative-gen -q --neg-num 1 --pool-dir pool clicks.pb -o all.pb; pb-pool stat pool"),
                   Example("One pool of two workers",
                           "for i in 0 1; do pb-negative-gen -q --neg-num 1 --pool-dir pool --worker-index $i --worker-count 2 clicks.pb -o $i.pb; "
                           "done; pb-pool merge pool --output-dir one && pb-pool dump one | wc -l")],
         exits={65: "a pool file is damaged: the message names it, the byte and the reason", 66: "there is no such file, or no pool in the folder",
                73: "the folder or a file cannot be made"},
         see_also=["pb-negative-gen(1)"])
@click.argument("action", type=click.Choice(["stat", "dump", "check", "merge"]))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--output-dir", type=click.Path(file_okay=False), metavar="DIR", help="Folder of the merged pool. [default: none, needed for merge]")
@click.option("--pool-step", type=click.IntRange(0, (1 << 64) - 1), default=0, show_default=True, metavar="N", help="Step the merged pool is saved as.")
@click.option("--pool-shards", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="N", help="Files the merged pool is saved in.")
@click.option("--max-item-num", type=click.IntRange(1, 1 << 30), default=100_000, show_default=True, metavar="N",
              help="Items a channel of the merged pool holds at most.")
@options.json_output
def main(action, paths, output_dir, pool_step, pool_shards, max_item_num, as_json, run):
    import json

    from monolith_cli.errors import UsageError
    from monolith_cli.operators import pool_tool
    from monolith_cli.operators.item_pool import PoolConfig

    files = pool_tool.files_of(paths)
    if action == "merge":
        if not output_dir:
            raise UsageError("merge: name the folder of the new pool with --output-dir")
        items = pool_tool.merge(files, PoolConfig(output_dir, pool_step, pool_shards, 0, 1).place(), max_item_num)
        run.stats({"files": len(files), "items": items})
        return
    for file in files:
        if action == "dump":
            pool_tool.dump(file, lambda item: click.echo(json.dumps(item)))
            continue
        counts = pool_tool.stat(file)
        if action == "stat":
            click.echo(json.dumps(counts) if as_json else f"{file}: " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in counts.items() if k != "file"))
