import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


@command("table-stat", "Show what the tables of a checkpoint hold.",
         description=table_options.WHERE + """

For each table: keys, bytes of the rows as they are stored before compression, dims and optimizer of each segment, slots of the
keys read as v2 fids (the twelve largest), how long ago rows were last updated, and the Euclidean norms of the weights in bins that double. A dim
that the files do not tell, of several segments without state, is shown as ?. Bars are as wide as the terminal. --plot draws the
same as a picture.""",
         examples=[Example("What a model has learnt so far", "table-stat m"),
                   Example("As a picture", "table-stat m --plot m.png"),
                   Example("Keys of each slot, for a script", "table-stat --json m | jq -c '.tables[] | {table, slots}'")],
         exits=table_options.EXITS | {69: "--plot without matplotlib", 73: "the picture cannot be made"}, see_also=["table-verify(1)", "table-get(1)", "table-dump(1)"])
@table_options.directory
@table_options.checkpoint
@table_options.table
@click.option("--plot", type=click.Path(dir_okay=False), metavar="FILE.png", help="Draw the histograms to this file too; needs matplotlib. [default: none]")
@options.json_output
def main(path, checkpoint, table, plot, as_json, run):
    from monolith_cli.tables import plot as picture
    from monolith_cli.tables import report, tools

    if plot:
        picture.check_matplotlib()
    result = tools.statistics(path, checkpoint, table=table)
    if as_json:
        import json

        click.echo(json.dumps(result, allow_nan=False))
    else:
        click.echo(report.statistics_text(result))
    if plot:
        picture.statistics(result, plot)
    run.nothing_to_do = not any(t["keys"] for t in result["tables"])
