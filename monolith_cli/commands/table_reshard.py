import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


@command("table-reshard", "Spread the tables of a checkpoint over another number of files or parameter servers.",
         description=table_options.PLACE + """

--shards N puts each set of files into N files, which any reader takes as well as any other number. --parts N makes a set for each
of N parameter servers, MonolithMultiHashTable_0 to N-1, from those of all parameter servers there were: a fid belongs to server
fid modulo N, never negative. A row that is not where it belongs ends with 65. Rows go through as they stand, byte for byte.

Files of hash filters go along as they are when the parameter servers stay as many; a filter knows no fids, so with --parts they are
left out, with a warning. Memory is bounded: rows that do not fit into --memory wait in a temporary file, which takes as much room
as all uncompressed rows.

""" + table_options.NEW,
         examples=[Example("Eight files, to be read by eight threads", "table-reshard m --shards 8 -o eight && ls eight | wc -l"),
                   Example("From one parameter server to three", "table-reshard m --parts 3 -o three && table-stat --json three | jq -c '.tables[] | [.table, .keys]'")],
         exits=table_options.NEW_EXITS, see_also=["table-merge(1)", "table-verify(1)"])
@table_options.directory
@table_options.checkpoint
@table_options.output
@click.option("--shards", type=click.IntRange(1, 99999), metavar="N", help="Files of each set. [default: as there are; with --parts by the number of rows]")
@click.option("--parts", type=click.IntRange(1, 10000), metavar="N", help="Number of parameter servers. [default: as there are]")
@table_options.force
@table_options.memory
@options.json_output
def main(path, checkpoint, output, shards, parts, force, memory, spool, as_json, run):
    from monolith_cli.errors import UsageError
    from monolith_cli.tables import edit, report

    if shards is None and parts is None:
        raise UsageError("say how many: --shards N files, or --parts N parameter servers")
    result = edit.reshard(path, output, checkpoint=checkpoint, shards=shards or 0, parts=parts, force=force, spool=spool, memory=memory,
                          warn=run.log.warning)
    report.show(run, result, as_json, report.reshard_text)
