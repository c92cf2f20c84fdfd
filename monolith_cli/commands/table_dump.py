import sys

from monolith_cli.commands import table_options
from monolith_cli.commands.frame import Example, command


@command("table-dump", "Print all rows of the tables of a checkpoint as JSON lines.",
         description=table_options.WHERE + """

One JSON object a line and row:

\b
  table        name of the table
  fid          the key, as an unsigned number (jq rounds those past 2^53)
  slot         its slot when it is read as a v2 fid
  last_update  unix seconds of the last update; 0: not known
  weights      the embedding; numbers read back to the same float
  optimizer    of each segment {NAME: {STATE: values}}
A number that is not finite is "NaN", "Infinity" or "-Infinity". Rows are in the order of the files. At damage the rows before
it have been printed.""",
         examples=[Example("Where the weights of slot 2 stand", "table-dump m | jq -c 'select(.slot == 2) | [.table, .fid, .weights[0]]'"),
                   Example("How many rows each slot has", "table-dump m | jq .slot | sort -n | uniq -c")],
         exits=table_options.EXITS, see_also=["table-get(1)", "table-stat(1)", "table-verify(1)"])
@table_options.directory
@table_options.checkpoint
@table_options.table
def main(path, checkpoint, table, run):
    from monolith_cli.tables import tools

    lines = 0

    def write(text):
        nonlocal lines
        lines += 1
        sys.stdout.buffer.write(text)

    try:
        tools.json_lines(path, checkpoint, table=table, write=write)
    finally:
        sys.stdout.buffer.flush()
    run.nothing_to_do = lines == 0
