import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command("pb-cat", "Read records from any source and write them as a plain stream.",
         description="""\
SOURCE is a file, a folder (all files below it, by name, without hidden ones), a glob, `-` for standard input, or a pattern:
{DATE(20260101,20260131)} stands for days or, with ten digits, hours; {INT(0,15)} for numbers; both ends are included. Names a
pattern stands for that do not exist are left out, as long as one exists. Sources are read in the order given.

The output is the bare wire that all stream commands read: an eight-byte little-endian length, then the message. Records
leave byte for byte as they came; with --lagrangex-header the data source key is put into the record, since the wire has no
place for it.

Reads in constant memory. A record that is cut off at the end of a source is an error; --on-bad-record skip tolerates it.""",
         examples=[Example("All of January, whatever it is packed in, ten records of it", "pb-cat --limit 10 'log/{DATE(20260101,20260131)}/part-*' | pb-show"),
                   Example("TFRecord in, plain stream out", "pb-cat --format tfrecord train.tfrecord -o train.pb"),
                   Example("The second of four workers takes its share", "pb-cat --shard 1/4 'log/part-*.zst' | pb-stat")],
         exits={65: "a source is broken: the message names it, the byte and the reason; what came before was passed on",
                66: "a source does not exist, or a pattern matches nothing", 73: "an output cannot be created"},
         see_also=["pb-head(1)", "pb-show(1)", "pb-filter(1)"], binary_output=True, reads_stdin=True)
@options.sources
@options.record_type
@options.framing
@click.option("--shard", metavar="I/N", help="Take share I (from 0) of N: every N-th file, or of a single source every N-th record. [default: all]")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="End after N records. [default: no limit]")
@click.option("--repeat", type=click.IntRange(min=0), metavar="N", default=1, show_default=True,
              help="Read all sources N times over; 0 means without end. Standard input can be read once only.")
@options.on_bad_record
@options.output
def main(sources, record_type, framing, shard, limit, repeat, on_bad_record, output, run):
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.framing import Framing

    run_chain(sources, framing=Framing(**framing, record_type=record_type), output=output, limit_in=limit, shard=shard,
              repeat=repeat, on_bad_record=on_bad_record, run=run)
