import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command("pb-shuffle", "Mix the records of a stream in a bounded buffer.",
         description="""\
Holds up to --buffer records (and no more than --max-bytes of them). Once it is full, each record that comes in pushes out
another, drawn at random; at the end the rest leaves in random order. With a buffer as large as the input the order is evenly
random; with a smaller one a record rarely moves forward by more than the buffer.

The same seed, buffer and input give the same order.""",
         examples=[Example("Mix a file, the same way each time", "pb-shuffle --seed 7 clicks.pb -o mixed.pb"),
                   Example("Mix a running stream a little", "pb-cat 'log/part-*' | pb-shuffle --buffer 10000 | pb-stat")],
         exits={65: "a source is broken: the message names it, the byte and the reason; what came before was passed on",
                66: "a source does not exist, or a pattern matches nothing", 73: "an output cannot be created"},
         see_also=["pb-cat(1)", "pb-head(1)"], binary_output=True, reads_stdin=True)
@options.sources
@click.option("--buffer", type=click.IntRange(min=1), default=100_000, show_default=True, metavar="N", help="Most records held.")
@click.option("--max-bytes", type=click.IntRange(min=1), default=1 << 30, show_default=True, metavar="BYTES",
              help="Most memory for records held; beyond it they leave earlier.")
@options.seed
@options.record_type
@options.framing
@options.on_bad_record
@options.output
def main(sources, buffer, max_bytes, seed, record_type, framing, on_bad_record, output, run):
    from monolith_cli.operators.shuffle import shuffle
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.framing import Framing

    run_chain(sources, [shuffle(buffer, max_bytes, seed)], framing=Framing(**framing, record_type=record_type), output=output,
              on_bad_record=on_bad_record, run=run)
