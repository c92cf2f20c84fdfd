import sys

import click

from monolith_cli.commands import table_options
from monolith_cli.commands.frame import Example, command


@command("table-get", "Print the rows of some fids from the tables of a checkpoint.",
         description=table_options.WHERE + """

One JSON object a line and row, as table-dump(1) prints them. FID is decimal (negative ones, as int64 shows them, after --),
hexadecimal with 0x in front, or SLOT:SIGNATURE of a v2 fid. All files are read. Fids that are in no table are named on
stderr; that is no error.""",
         examples=[Example("The row of a movie", "table-get m 1:100 2:200"),
                   Example("Its weights alone", "table-get m 2:200 | jq -c .weights")],
         exits=table_options.EXITS, see_also=["table-dump(1)", "table-stat(1)"])
@table_options.directory
@click.argument("fids", metavar="FID...", nargs=-1, required=True)
@table_options.checkpoint
@table_options.table
def main(path, fids, checkpoint, table, run):
    from monolith_cli.tables import tools

    keys = {text: tools.parse_fid(text) for text in fids}
    found = tools.json_lines(path, checkpoint, table=table, keys=set(keys.values()), write=sys.stdout.buffer.write)
    missing = [text for text, key in keys.items() if key not in found]
    where = f"table {table}" if table else "any table"
    if missing:
        run.log.warning(f"not in {where}: {', '.join(missing)}")
    run.nothing_to_do = not found
