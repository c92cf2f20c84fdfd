import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


@command("table-stat", "Show what the tables of a checkpoint hold.",
         description=table_options.WHERE + """

For each table: keys, bytes of the rows as they are stored before compression, dims and optimizer of each segment, slots of the
keys read as v2 fids, how long ago rows were last updated, and the Euclidean norms of the weights in bins that double. A dim
that the files do not tell, of several segments without state, is shown as ?.""",
         examples=[Example("What a model has learnt so far", "table-stat m"),
                   Example("Keys of each slot, for a script", "table-stat --json m | jq -c '.tables[] | {table, slots}'")],
         exits=table_options.EXITS, see_also=["table-verify(1)", "table-get(1)", "table-dump(1)"])
@table_options.directory
@table_options.checkpoint
@table_options.table
@options.json_output
def main(path, checkpoint, table, as_json, run):
    from monolith_cli.tables import report, tools

    result = tools.statistics(path, checkpoint, table=table)
    if as_json:
        import json

        click.echo(json.dumps(result, allow_nan=False))
    else:
        click.echo(report.statistics_text(result))
    run.nothing_to_do = not any(t["keys"] for t in result["tables"])
