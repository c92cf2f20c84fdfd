import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command("pb-merge", "Merge streams into one, in turn.",
         description="""\
Takes a record from each source that has one at hand, in turn, until all have ended; records of a source keep their order. Sources
are as for pb-cat, all of them open at the same time; FIFOs and `-` may keep waiting without holding up the others, and without
more than a buffer of each in memory. Files alone are merged into the same order each time; with pipes it depends on when
records come.

A source that breaks, as when its writer died within a record, ends there, with a warning; the others are read to their end, then
pb-merge ends with 65. A writer that died between records just ends its source.

With --tag each record says where it is from: line_id.data_source_name becomes "data_source" and the data_source_key.""",
         examples=[Example("Two files, record by record", "pb-merge log/part-20260101 log/part-20260102 -o both.pb"),
                   Example("Two live streams, marked by their flow",
                           "mkfifo a b; pb-cat log/20260101 > a & pb-cat log/20260102 > b & pb-merge --tag a b | pb-stat; wait")],
         exits={65: "a source is broken: the message names it, the byte and the reason; all others were passed on",
                66: "a source does not exist, or a pattern matches nothing", 73: "an output cannot be created"},
         see_also=["pb-split(1)", "pb-cat(1)", "pb-shuffle(1)"], binary_output=True, reads_stdin=True)
@options.sources
@options.record_type
@options.framing
@click.option("--tag", is_flag=True, help="Set line_id.data_source_name by the data_source_key.")
@options.on_bad_record
@options.output
@options.stats
def main(sources, record_type, framing, tag, on_bad_record, output, stats, run):
    from monolith_cli._native import _core
    from monolith_cli.operators.flows import merge
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.framing import Framing

    _core.install_stop_handlers()
    reader = merge(sources, Framing(**framing, record_type=record_type), on_bad_record=on_bad_record, warn=run.log.warning)
    run_chain((), [_core.Tag(record_type)] if tag else [], readers=[reader], output=output, on_bad_record=on_bad_record,
              record_type=record_type if tag else None, stats=stats, run=run)
