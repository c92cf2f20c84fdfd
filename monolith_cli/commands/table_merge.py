import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


@command("table-merge", "Put the tables of several checkpoints into one.",
         description="""\
Each DIR is a model directory (its newest checkpoint that is whole), the prefix of a checkpoint (m/model.ckpt-100), a directory of
table files or the base name of one set of them. Tables of different names come to stand side by side; those of one name must have
the same dims and optimizers. Of a fid that is in a table more than once --on-duplicate says what becomes:

\b
  newest  the row that was updated last; of one time, that of the last DIR
  first, last  the row of the first or the last DIR that has it
  sum, mean    the sum or the mean of the weights; time and optimizer state are the newest row's
  fail         ends with 65

Memory is bounded: rows that do not fit into --memory wait in a temporary file, which takes as much room as all uncompressed rows.

""" + table_options.NEW,
         examples=[Example("Two models that were trained on different days", "table-merge yesterday m -o both && table-stat both"),
                   Example("The mean of two runs", "table-merge --on-duplicate mean yesterday m -o mean")],
         exits=table_options.NEW_EXITS, see_also=["table-reshard(1)", "table-diff(1)", "table-load(1)"])
@click.argument("paths", metavar="DIR...", nargs=-1, required=True, type=click.Path())
@table_options.output
@click.option("--on-duplicate", type=click.Choice(["newest", "first", "last", "sum", "mean", "fail"]), default="newest", show_default=True,
              help="What becomes of a fid that is there more than once.")
@click.option("--parts", type=click.IntRange(1, 10000), metavar="N", help="Number of parameter servers of the result. [default: as the checkpoints have it]")
@table_options.shards
@table_options.force
@table_options.memory
@options.json_output
def main(paths, output, on_duplicate, parts, shards, force, memory, spool, as_json, run):
    from monolith_cli.tables import edit, report

    result = edit.merge(list(paths), output, on_duplicate=on_duplicate, shards=shards or 0, parts=parts, force=force, spool=spool, memory=memory,
                        warn=run.log.warning)
    report.show(run, result, as_json, report.merge_text)
