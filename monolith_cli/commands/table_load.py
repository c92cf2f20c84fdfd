import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


@command("table-load", "Make table files of rows in JSON lines or Parquet.",
         description="""\
FILE has rows as table-dump(1) writes them: JSON lines, or Parquet when its name ends in .parquet; none, or -, is standard input.
JSON lines may be compressed. What was dumped comes back row by row, bit by bit; a table without rows leaves no trace in a dump.

Nothing is guessed: a field that is unknown, missing or comes twice, a number that is none, a row whose dims or optimizers are not
those of its table and a fid that comes twice in a table end with 65, naming file and row. What rows may leave out is what an option
gives: table, last_update, and the optimizer state, which then starts as the optimizer of each segment starts it:

\b
  --optimizer adagrad             norm is 0.1; adam: beta1_power is 0.9 and so on, as the defaults of the configuration are
  --optimizer adagrad:norm=0.5    or another value
  --optimizer ftrl/1 --optimizer adagrad
                                  two segments, the first of one weight
  --optimizer none                an optimizer that keeps no state in checkpoints (moving_average)

""" + table_options.NEW,
         examples=[Example("There and back", "table-dump m | table-load -o copy && table-diff m copy"),
                   Example("Weights from elsewhere into a table of their own",
                           """printf '{"fid": 7, "weights": [0.5, 1]}\\n' | table-load --table movie --optimizer adagrad --last-update 1700000000 -o one"""),
                   Example("Change rows on the way", "table-dump m | jq -c '.weights |= map(. * 2)' | table-load -o doubled")],
         exits=table_options.NEW_EXITS | {65: "a row cannot be taken: the message names file, row, byte and column", 66: "a FILE is not there"},
         see_also=["table-dump(1)", "table-diff(1)", "table-merge(1)"], reads_stdin=True)
@click.argument("sources", metavar="[FILE]...", nargs=-1)
@table_options.output
@click.option("--format", "file_format", type=click.Choice(["jsonl", "parquet"]), help="What the files are. [default: by their names]")
@click.option("--name", metavar="NAME", help="Base name of the files. [default: MonolithMultiHashTable_0; with --single the table's]")
@click.option("--single", is_flag=True, help="Each table in files of its own, without metadata: the form of a single table.")
@table_options.shards
@click.option("--table", metavar="NAME", help="Table of rows that name none. [default: such rows are an error]")
@click.option("--last-update", metavar="TIME", help="When rows were last updated that do not say: unix seconds, or a date or time of ISO 8601 "
              "(UTC). [default: such rows are an error]")
@click.option("--optimizer", "optimizers", multiple=True, metavar="NAME[/DIM][:STATE=VALUE,...]",
              help="What the state of rows without state starts as; once for each segment. [default: such rows are an error]")
@table_options.force
@table_options.memory
@options.json_output
def main(sources, output, file_format, name, single, shards, table, last_update, optimizers, force, memory, spool, as_json, run):
    from monolith_cli.tables import edit, report, rows_io

    result = rows_io.load(sources, output, file_format=file_format, name=name, single=single, shards=shards or 0, table=table,
                          last_update=edit.parse_time(last_update) if last_update else None, optimizers=optimizers, force=force, spool=spool,
                          memory=memory)
    report.show(run, result, as_json, report.load_text)
