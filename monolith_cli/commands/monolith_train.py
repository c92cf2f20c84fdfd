"""monolith-train: see `monolith_cli.training.trainer`."""

from __future__ import annotations

import json

import click

from monolith_cli.commands import head_lines, insight_options, options, telemetry_options
from monolith_cli.commands.frame import Example, command
from monolith_cli.commands.table_options import Size


@command(
    "monolith-train",
    "Train a model on records, from where its directory stands.",
    description=(
        "Reads records from SOURCE, or standard input, and trains the model that FILE.py:CLASS, or a dump of it, describes. The model directory gets "
        "checkpoints, TensorBoard summaries and, at the end, a checkpoint of the last step. Each batch is judged before it is trained "
        "on: what the heads reach (AUC, log loss and calibration, RMSE, accuracy) is on stderr, in the summaries, in --json and in "
        "--metrics-file.\n\n"
        "Started again on the same directory it goes on where it stood: the checkpoint keeps the position in the files, so give the "
        "same SOURCE again (more may follow at the end). Standard input has no position: it is trained on as it comes, unless "
        "--skip-consumed passes over what was trained.\n\n"
        "A record that the model cannot read ends the training in front of its batch, with a checkpoint; --on-bad-record skip leaves such records out and "
        "goes on, with batches as large as without them. Each is parsed twice then.\n\n"
        "SIGINT and SIGTERM end it in order: the batch at hand is finished, a checkpoint is written, and the exit code is 130 or 143. "
        "A second one ends it at once."
    ),
    examples=[
        Example(
            "Train from a pipe, with a checkpoint every 1000 steps",
            "pb-cat train.pb | monolith-train --model movie.py:MovieRanking --model-dir m --save-every-steps 1000",
        ),
        Example(
            "Train on files; run the same line again to go on",
            "monolith-train --model movie.py:MovieRanking --model-dir m --json train.pb",
        ),
    ],
    exits={
        65: "bad data: a broken record, a damaged checkpoint or dump, or a loss that is no number",
        66: "a source or the model file is missing",
        73: "the model directory cannot be made",
        75: "another training writes to the model directory, or --lock is held",
    },
    see_also=["monolith-eval(1)", "monolith-predict(1)", "pb-cat(1)"],
    reads_stdin=True,
)
@options.model
@click.option("--model-dir", required=True, type=options.TensorFlowDirectory(), help="Directory of checkpoints and summaries; made if missing.")
@click.option("--model-dump", is_flag=True, help="Write MODEL-DIR/model_dump before the first step: the model, to be used without its code. See model-show(1).")
@options.record_type
@click.option("--batch-size", type=click.IntRange(min=1), default=512, show_default=True, help="Records in a batch; the last one may be smaller.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Global step to end at, earlier runs included. [default: the end of the input]")
@click.option("--save-every-steps", type=click.IntRange(min=1), help="Steps between checkpoints. [default: at the end alone]")
@click.option("--save-every-secs", type=click.FloatRange(min=0, min_open=True), help="Seconds between checkpoints. [default: at the end alone]")
@click.option("--max-to-keep", type=click.IntRange(min=0), default=10, show_default=True, help="Checkpoints that stay; 0 keeps all.")
@click.option("--incremental-checkpoints", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Checkpoints after a whole one that hold only the table rows changed since; 0: all are whole.")
@click.option("--restore-mode", "restore_modes", multiple=True, type=click.Choice(["pad", "truncate", "reset-state", "reset-dense", "drop-tables"]),
              help="What may differ from the checkpoint: pad, the model's embeddings are wider; truncate, narrower; reset-state, another "
              "optimizer; reset-dense, other dense variables; drop-tables, fewer tables. May be repeated. [default: nothing]")
@click.option("--table-memory", type=Size(), metavar="SIZE",
              help="Most memory for embedding tables, as 8G: a run that needs more ends with 69 and leaves the last checkpoint. [default: no limit]")
@click.option("--skip-consumed", is_flag=True, help="Pass over the records of standard input that were trained on before.")
@click.option("--from-start", is_flag=True, help="Read SOURCE from its beginning, whatever the checkpoint says: another pass.")
@click.option("--drop-remainder", is_flag=True, help="Leave a last batch that is not full for the next run, which begins with its records.")
@click.option("--use-previous", is_flag=True, help="Where the newest checkpoint is damaged, go back to the one before it.")
@click.option("--log-every-steps", type=click.IntRange(min=0), default=0, show_default=True, help="Steps between lines on stderr; 0: a line every 10 seconds.")
@click.option("--summary-every-steps", type=click.IntRange(min=0), default=100, show_default=True, help="Steps between TensorBoard summaries; 0: none.")
@click.option("--variable-postpush", is_flag=True, help="Update dense variables one step later, while the next batch is computed.")
@click.option("--embedding-postpush", is_flag=True, help="Update embedding tables one step later, while the next batch is computed.")
@click.option("--embedding-prefetch-capacity", type=click.IntRange(min=0, max=1000), default=0, show_default=True, metavar="N",
              help="Look embeddings up for N batches ahead, so that a batch reads them as they were N steps before; 0: not ahead.")
@options.seed
@insight_options.insight
@telemetry_options.telemetry
@options.json_output
@options.on_bad_record_of_batch
@options.framing
@options.sources
def main(as_json, run, **settings):
    from monolith_cli.training.trainer import TrainConfig, train

    summary = train(TrainConfig(**settings), run)
    counters = {k: summary[k] for k in ("examples", "steps", "examples_per_second", "loss", "global_step", "bad_records")}
    run.stats({k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in counters.items()})
    head_lines.report(run, summary["heads"])
    if as_json:
        click.echo(json.dumps(summary))
