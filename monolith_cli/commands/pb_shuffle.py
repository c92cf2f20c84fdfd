import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example
from monolith_cli.commands.operator_command import operator_command


@operator_command("pb-shuffle", "Mix the records of a stream in a bounded buffer.",
         description="""\
Holds up to --buffer records (and no more than --max-bytes of them). Once it is full, each record that comes in pushes out
another, drawn at random; at the end the rest leaves in random order. With a buffer as large as the input the order is evenly
random; with a smaller one a record rarely moves forward by more than the buffer.

The same seed, buffer and input give the same order.""",
         examples=[Example("Mix a file, the same way each time", "pb-shuffle --seed 7 clicks.pb -o mixed.pb"),
                   Example("Mix a running stream a little", "pb-cat 'log/part-*' | pb-shuffle --buffer 10000 | pb-stat")],
         see_also=["pb-cat(1)", "pb-head(1)"], any_type=True)
@click.option("--buffer", type=click.IntRange(min=1), default=100_000, show_default=True, metavar="N", help="Most records held.")
@click.option("--max-bytes", type=click.IntRange(min=1), default=1 << 30, show_default=True, metavar="BYTES",
              help="Most memory for records held; beyond it they leave earlier.")
@options.seed
def main(record_type, buffer, max_bytes, seed):
    from monolith_cli.operators.shuffle import shuffle

    return [shuffle(buffer, max_bytes, seed)]
