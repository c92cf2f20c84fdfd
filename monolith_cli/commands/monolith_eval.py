"""monolith-eval: see `monolith_cli.training.evaluator`."""

from __future__ import annotations

import json

import click

from monolith_cli.commands import head_lines, insight_options, options
from monolith_cli.commands.frame import Example, command


@command(
    "monolith-eval",
    "Judge a trained model on records.",
    description=(
        "Runs the model at a checkpoint on SOURCE, or standard input, and prints what its heads are judged by: AUC and log loss for a "
        "classification, RMSE and MAE for a regression, accuracy for classes; copc, labels over predictions, is 1 where a head is "
        "calibrated. Rows without a valid label for a head do not count for it.\n\n"
        "The AUC is taken from 2^20 buckets of equal width, so that memory does not grow with the input; auc_error is the most that "
        "this can be off."
    ),
    examples=[
        Example("Judge the newest checkpoint", "monolith-eval --model movie.py:MovieRanking --model-dir m test.pb"),
        Example("Judge an older one, as JSON", "monolith-eval --model movie.py:MovieRanking --model-dir m --checkpoint 1000 --json test.pb"),
    ],
    exits={65: "bad data: a broken record, a damaged checkpoint or dump", 66: "a source, the model file or the checkpoint is missing"},
    see_also=["monolith-train(1)", "monolith-predict(1)"],
    reads_stdin=True,
)
@options.model
@click.option("--model-dir", required=True, type=options.TensorFlowDirectory(), help="Directory that monolith-train has written.")
@options.record_type
@click.option("--checkpoint", "step", type=click.IntRange(min=0), metavar="STEP", help="Global step of the checkpoint. [default: the newest]")
@click.option("--batch-size", type=click.IntRange(min=1), default=1024, show_default=True, help="Records in a batch.")
@insight_options.insight
@options.json_output
@options.on_bad_record_of_batch
@options.framing
@options.sources
def main(as_json, run, **settings):
    from monolith_cli.training.evaluator import evaluate
    from monolith_cli.training.reading import ReadConfig

    result = evaluate(ReadConfig(**settings), run)
    run.metrics.update({k: v for k, v in result.items() if isinstance(v, (int, float))})
    head_lines.to_metrics(run, result["heads"])
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"examples {result['examples']}\nglobal_step {result['global_step']}")
    for head, metrics in result["heads"].items():
        for name, value in metrics.items():
            click.echo(f"{head} {name} {'-' if value is None else format(value, '.6g')}")
