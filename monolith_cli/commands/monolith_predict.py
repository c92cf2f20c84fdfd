"""monolith-predict: see `monolith_cli.training.predictor`."""

from __future__ import annotations

import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command(
    "monolith-predict",
    "Print the score of each record.",
    description=(
        "Runs the model at a checkpoint on SOURCE, or standard input, and prints a line per record, in their order: the score, or with "
        "several heads their scores separated by tabs. With --json a line is an object of the id fields and `pred`, head by head. "
        "A record that --on-bad-record leaves out has no line."
    ),
    examples=[
        Example("Scores of a file", "monolith-predict --model movie.py:MovieRanking --model-dir m test.pb"),
        Example(
            "With user and item",
            "monolith-predict --model movie.py:MovieRanking --model-dir m --json --id-fields uid,item_id test.pb",
        ),
    ],
    exits={65: "bad data: a broken record, a damaged checkpoint or dump", 66: "a source, the model file or the checkpoint is missing"},
    see_also=["monolith-train(1)", "monolith-eval(1)"],
    reads_stdin=True,
)
@options.model
@click.option("--model-dir", required=True, type=options.TensorFlowDirectory(), help="Directory that monolith-train has written.")
@options.record_type
@click.option("--checkpoint", "step", type=click.IntRange(min=0), metavar="STEP", help="Global step of the checkpoint. [default: the newest]")
@click.option("--batch-size", type=click.IntRange(min=1), default=1024, show_default=True, help="Records in a batch.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line: id fields and the scores of all heads.")
@click.option("--id-fields", default="uid,item_id", show_default=True, metavar="NAMES", help="Fields of the LineId in a line of --json, separated by commas.")
@options.on_bad_record_of_batch
@options.framing
@options.sources
def main(as_json, id_fields, run, **settings):
    import sys

    from monolith_cli.training.predictor import predict
    from monolith_cli.training.reading import ReadConfig

    fields = tuple(f.strip() for f in id_fields.split(",") if f.strip()) if as_json else ()
    for lines in predict(ReadConfig(id_fields=fields, **settings), as_json, run):
        sys.stdout.write(lines)
        sys.stdout.flush()  # a live stream's scores are not held back
