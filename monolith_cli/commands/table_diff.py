import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


@command("table-diff", "Compare the tables of two checkpoints.",
         description="""\
A and B are each a model directory (its newest checkpoint that is whole), the prefix of a checkpoint (m/model.ckpt-100), a
directory of table files or the base name of one set of them. Rows are compared by table and fid, wherever in the files they are.

For each table: rows that are in one of them only, rows whose weights, optimizer state or time differ, the largest difference of
one weight, and the distances between the embeddings in bins that double. Numbers are compared as numbers: 0 is -0. Like diff(1),
the exit status tells whether there is a difference: 0 none, 1 some.

Nothing on the disk is changed, and memory is bounded: rows that do not fit into --memory wait in a temporary file, which takes as
much room as the uncompressed rows of both.""",
         examples=[Example("What a run of training has changed", "table-diff yesterday m || test $? -eq 1"),
                   Example("Is a copy the same? Times aside, to a millionth",
                           "table-dump m | table-load -o copy && table-diff --ignore time --tolerance 1e-6 m copy"),
                   Example("Fids of rows that differ", "{ table-diff --json --limit 100 yesterday m || test $? -eq 1; } | jq '.differences[].fid'")],
         exits=table_options.EXITS | {0: "no difference", 1: "there are differences"},
         see_also=["table-verify(1)", "table-dump(1)", "diff(1)"])
@click.argument("a", metavar="A", type=click.Path())
@click.argument("b", metavar="B", type=click.Path())
@table_options.table
@click.option("--tolerance", type=click.FloatRange(min=0), default=0, show_default=True, metavar="X",
              help="Weights and state that are no further apart are equal.")
@click.option("--ignore", multiple=True, type=click.Choice(["state", "time"]), help="Do not compare optimizer state, or the time of the last update.")
@click.option("--limit", type=click.IntRange(min=0), default=10, show_default=True, metavar="N", help="How many rows that differ to list.")
@table_options.memory
@options.json_output
def main(a, b, table, tolerance, ignore, limit, memory, spool, as_json, run):
    from monolith_cli.tables import diff, report

    result = diff.diff(a, b, table=table, tolerance=tolerance, ignore=ignore, limit=limit, spool=spool, memory=memory)
    report.show(run, result, as_json, report.diff_text)
    return 0 if result is None or result["same"] else 1
