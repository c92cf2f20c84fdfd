import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command("pb-stat", "Count what a stream of records holds.",
         description="""\
One pass in bounded memory: number and sizes of records, slots with their ids and an estimate of how many are different (within
about 2 %), features by name and kind, labels, instance weights, and the fields of the LineId. Sizes are of the messages,
without their frames; p50 and p99 are within 3 %.

Of an example_batch rows are counted, and a shared column once a batch. Slots past 4096 and feature names past 10000 are counted
together as (others).""",
         examples=[Example("What is in a file", "pb-stat clicks.pb"),
                   Example("The share of positive labels, for a script",
                           "pb-stat --json clicks.pb | jq '.labels[0].mean'")],
         exits={65: "a record is broken: the message names source, byte and reason", 66: "a source does not exist"},
         see_also=["pb-show(1)", "pb-gen(1)"], reads_stdin=True)
@options.sources
@options.record_type
@options.json_output
@options.framing
@options.on_bad_record
def main(sources, record_type, as_json, framing, on_bad_record, run):
    from monolith_cli.records import stat
    from monolith_cli.records.framing import Framing

    result = stat.statistics(sources, record_type=record_type, framing=Framing(**framing, record_type=record_type),
                             on_bad_record=on_bad_record, run=run)
    click.echo(stat.as_json(result) if as_json else stat.as_text(result))
