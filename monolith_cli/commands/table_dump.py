import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


@command("table-dump", "Print all rows of the tables of a checkpoint as JSON lines, or write them as Parquet.",
         description=table_options.WHERE + """

One JSON object a line and row:

\b
  table        name of the table
  fid          the key, as an unsigned number (jq rounds those past 2^53)
  slot         its slot when it is read as a v2 fid
  last_update  unix seconds of the last update; 0: not known
  weights      the embedding; numbers read back to the same float
  optimizer    of each segment {NAME: {STATE: values}}
A number that is not finite is "NaN", "Infinity" or "-Infinity"; "NaN(0x7fc00001)" is one of other bits than usual. Rows are in the
order of the files. At damage the rows before it have been printed. table-load(1) makes table files of them again.

In Parquet the state is four columns: optimizer has the names of the segments, state the floats of all their fields one after the
other, state_sizes how many each of these fields has, state_steps the fields that are integers. Memory: 128 MiB at most.""",
         examples=[Example("Where the weights of slot 2 stand", "table-dump m | jq -c 'select(.slot == 2) | [.table, .fid, .weights[0]]'"),
                   Example("How many rows each slot has", "table-dump m | jq .slot | sort -n | uniq -c"),
                   Example("For DuckDB, pandas and the like", "table-dump m --format parquet -o rows.parquet")],
         exits=table_options.EXITS, see_also=["table-load(1)", "table-get(1)", "table-stat(1)", "table-verify(1)"],
         binary_output=lambda values: values["file_format"] == "parquet" and values["output"] in (None, "-"))
@table_options.directory
@table_options.checkpoint
@table_options.table
@click.option("--format", "file_format", type=click.Choice(["jsonl", "parquet"]), default="jsonl", show_default=True, help="What is written.")
@click.option("--parquet-codec", type=click.Choice(["none", "snappy", "gzip", "zstd", "lz4"]), default="zstd", show_default=True,
              help="Compression of the Parquet file.")
@options.output
def main(path, checkpoint, table, file_format, parquet_codec, output, run):
    from monolith_cli.tables import rows_io

    if file_format == "parquet":
        rows = rows_io.dump_parquet(path, output, checkpoint, table=table, codec=parquet_codec)
    else:
        rows = rows_io.dump_lines(path, output, checkpoint, table=table)
    run.nothing_to_do = rows == 0
