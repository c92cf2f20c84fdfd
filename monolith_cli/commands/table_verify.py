import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


@command("table-verify", "Look for damage in the tables of a checkpoint.",
         description=table_options.WHERE + """

Every byte is read: checksums, the structure of each row, rows whose dims or optimizers are not those of their table, values
that are not finite, keys that come twice. Memory: 128 MiB at most; keys that do not fit wait in a temporary file in TMPDIR (else
/tmp), 12 bytes each. A finding goes to stderr and names file and
byte, in compressed files the byte of the uncompressed stream; the first hundred of each set of files are shown. What an
interrupted save has left is told too; no reader takes it up, so it is no damage.""",
         examples=[Example("Is the newest checkpoint whole?", "table-verify m"),
                   Example("Rows of each table, once they are known to be whole", "table-verify --json m | jq -c '.tables[] | [.table, .keys]'")],
         exits=table_options.EXITS | {65: "damage was found: each message names the file, the byte and the reason"},
         see_also=["table-stat(1)", "table-dump(1)", "monolith-train(1)"])
@table_options.directory
@table_options.checkpoint
@options.json_output
def main(path, checkpoint, as_json, run):
    from monolith_cli.tables import report, tools

    result = tools.verify(path, checkpoint)
    if as_json:
        import json

        click.echo(json.dumps(result))
    else:
        click.echo(report.verify_text(result))
    for text in result["unfinished"]:
        run.log.warning(text)
    for text in result["findings"]:
        run.log.error(text)
    return 65 if result["damages"] else 0
