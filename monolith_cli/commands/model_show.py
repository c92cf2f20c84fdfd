"""model-show: see `monolith_cli.training.describe`."""

from __future__ import annotations

import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command(
    "model-show",
    "Show what a model file describes: features, tables, layers, heads, and what they cost.",
    description=(
        "Builds the model that FILE.py:CLASS describes, as training would, without data and without a checkpoint, and prints its inputs, "
        "features, embedding tables and their slices, dense layers and heads; how many parameters it has; and what one example costs: "
        "floating-point operations of a prediction (training takes about three times that), bytes of embeddings that are read, of dense "
        "parameters and of activations. A feature counts as having one id in a row, a sequence as being full.\n\n"
        "--dump writes the same, with the graphs of training, evaluation and prediction and the configurations of the tables, as a ModelDump "
        "(protos/monolith_protos/model_dump.proto). Such a file takes the place of FILE.py:CLASS: here, to be shown, and as --model of "
        "monolith-train, monolith-eval and monolith-predict, without the model's code. A model with training hooks, with an optimizer or a "
        "learning rate of its own making, or that calls Python functions while it runs, cannot be written. --plot draws what flows where."
    ),
    examples=[
        Example("What a model is made of", "model-show movie.py:MovieRanking"),
        Example("As a picture, and the tables for a script", "model-show movie.py:MovieRanking --json --plot movie.png | jq -c '.tables[]'"),
        Example("Keep it beside the model, and read it without the code",
                "model-show -q movie.py:MovieRanking --dump m/model_dump && model-show m/model_dump"),
    ],
    exits={65: "the file is no ModelDump, or a damaged one", 66: "the model file, or the dump, is missing", 69: "--plot without matplotlib",
           73: "the picture or the dump cannot be made"},
    see_also=["monolith-train(1)", "table-stat(1)"],
)
@click.argument("model", metavar="FILE.py:CLASS|DUMP")
@options.record_type
@click.option("--dump", type=click.Path(dir_okay=False), metavar="FILE", help="Write a ModelDump to this file. [default: none]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Seed of the random numbers that --dump keeps: first values of dense variables.")
@click.option("--plot", type=click.Path(dir_okay=False), metavar="FILE", help="Draw the model to this file, PNG, SVG or PDF by its suffix; needs matplotlib. [default: none]")
@options.json_output
def main(model, record_type, dump, seed, plot, as_json, run):
    from monolith_cli.training.show import ShowConfig, show

    click.echo(show(ShowConfig(model, record_type, dump, seed, plot, as_json), run))
