import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command
from monolith_cli.commands.operator_command import in_chains


@command("pb-head", "Pass on the first records of a stream.",
         description="""\
Writes the first records of all sources together and leaves; the writer before it in a pipe is then ended by SIGPIPE, as with
head(1).""",
         examples=[Example("Show three records", "pb-head -n 3 clicks.pb | pb-show"),
                   Example("A sample of a running stream", "pb-cat 'log/part-*' | pb-head -n 1000 -o sample.pb")],
         exits={65: "a source is broken: the message names it, the byte and the reason; what came before was passed on",
                66: "a source does not exist, or a pattern matches nothing", 73: "an output cannot be created"},
         see_also=["pb-cat(1)", "pb-show(1)"], binary_output=True, reads_stdin=True)
@options.sources
@click.option("-n", "--records", type=click.IntRange(min=0), default=10, show_default=True, help="How many records to pass on.")
@options.record_type
@options.framing
@options.on_bad_record
@options.output
def main(sources, records, record_type, framing, on_bad_record, output, run):
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.framing import Framing

    run_chain(sources, framing=Framing(**framing, record_type=record_type), output=output, limit_out=records,
              on_bad_record=on_bad_record, run=run)


def _operators(record_type, records):
    from monolith_cli.operators.limit import limit

    return [limit(records)]


in_chains(main, _operators, ["records"], any_type=True)
