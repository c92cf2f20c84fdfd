import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command("pb-show", "Print records as JSON, one a line, or as text.",
         description="""\
JSON is protobuf's: original field names, 64-bit integers as text, bytes in base64; fields that are not set are left out. The
bytes of a __LINE_ID__ feature are shown as the LineId they hold. Unknown fields do not show.

--fids decoded prints each id as VALUE(v1|slot=S|sig=X), in the order it has in the record.""",
         examples=[Example("The first record, nicely laid out", "pb-show --limit 1 clicks.pb | jq ."),
                   Example("Who, when, and the label", "pb-show --fields line_id.uid,line_id.req_time,label clicks.pb"),
                   Example("Slots and signatures of the ids", "pb-show --fids decoded --limit 3 clicks.pb")],
         exits={65: "a record is broken: the message names source, byte and reason; what came before was printed",
                66: "a source does not exist", 73: "an output cannot be created"},
         see_also=["pb-stat(1)", "pb-convert(1)"], reads_stdin=True)
@options.sources
@options.record_type
@click.option("--text", is_flag=True, help="Print protobuf's text format, with an empty line behind each record.")
@click.option("--fields", metavar="PATHS", default="",
              help="Show these fields only: paths such as line_id.uid, with commas. [default: all]")
@click.option("--fids", type=click.Choice(["raw", "decoded"]), default="raw", show_default=True,
              help="Show ids as numbers, or with version, slot and signature.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="End after N records. [default: no limit]")
@options.framing
@options.on_bad_record
@options.output
def main(sources, record_type, text, fields, fids, limit, framing, on_bad_record, output, run):
    from monolith_cli.records import show
    from monolith_cli.records.framing import Framing

    paths = [p.strip() for p in fields.split(",") if p.strip()]
    if text and paths:
        raise click.UsageError("--fields goes with JSON, not with --text")
    show.show(sources, record_type=record_type, framing=Framing(**framing, record_type=record_type), text=text, fields=paths,
              fids=fids, limit=limit, output=output, on_bad_record=on_bad_record, run=run)
