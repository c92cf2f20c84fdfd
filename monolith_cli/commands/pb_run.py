import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command
from monolith_cli.commands.operator_command import EXITS


@command("pb-run", "Run a chain of operators in one process.",
         description="""\
CHAIN is a shell pipe of operators, or a file that holds one, without the sources before it and without what comes behind it:

\b
  pb-filter --where 'chnid in [1, 2]' | pb-label --task 1,2:3:1.0 | pb-shuffle --seed 7

What comes out is, byte for byte, what the same pipe of processes makes, but no record is copied from process to process. A
stage is any command that takes records and gives records with options of its own: pb-filter, pb-label, pb-shuffle, pb-convert
between record types, pb-head, … `monolith VERB` is understood as well. Sources, framing, output, bad records and statistics
belong to the whole, and are given to pb-run.

In a file a chain may stand on several lines, with # comments; its first line may be #!/usr/bin/env pb-run. Words are quoted as in
a shell, but nothing is expanded and no shell is started: what a shell would act upon (a variable, a redirection, a second
command) is refused. A text that begins with the name of a command is a chain, everything else a file.

--type is the type of the input; behind a pb-convert it is what that makes. pb-head ends the reading once it has its records, as
it would end a pipe; the stages before it finish then (and their files appear), where in a pipe they are killed.

A record that a stage cannot read is counted for that stage, and kept by --on-bad-record PATH as it came to that stage. Random
choices go by the --seed of each stage.

--explain shows on stderr how the chain was understood and, at the end, for each operator the records in and out, what was dropped
by reason, what was bad, and the seconds it took by itself. Measuring takes time: two looks at the clock for each record and
operator.""",
         examples=[Example("Filter, label and mix in one process, and see what happens on the way",
                           "pb-run --explain \"pb-filter --where 'chnid in [1, 2]' | pb-label --task 1,2:3:1.0 | pb-shuffle --seed 7\" clicks.pb -o train-part.pb"),
                   Example("The same chain every day, kept in a file",
                           "printf 'pb-filter --label 1  # clicks only\\n| pb-shuffle --seed 7\\n' > daily.chain; pb-cat 'log/{DATE(20260101,20260102)}/part-*' | "
                           "pb-run daily.chain | pb-stat"),
                   Example("Batches of the first hundred", "pb-run 'pb-head -n 100 | pb-convert --from instance --to example_batch' clicks.pb | pb-show -t example_batch --limit 1")],
         exits=EXITS | {78: "a chain in a file has a mistake: the message names file, line and stage"},
         see_also=["pb-filter(1)", "pb-label(1)", "pb-reweight(1)", "pb-shuffle(1)", "pb-transform(1)"], binary_output=True, reads_stdin=True)
@click.argument("chain", metavar="CHAIN")
@options.sources
@options.record_type
@options.framing
@options.on_bad_record
@options.output
@options.stats
@click.option("--explain", is_flag=True, help="Show the chain, and at the end counts and seconds of each operator, on stderr.")
@click.option("--json", "as_json", is_flag=True, help="For --explain: one JSON object at the end, instead of text.")
def main(chain, sources, record_type, framing, on_bad_record, output, stats, explain, as_json, run):
    from monolith_cli.commands import stages
    from monolith_cli.records import explanation
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.framing import Framing

    if as_json and not explain:
        raise click.UsageError("--json is a form of --explain, which is not given", click.get_current_context())
    made = stages.build(stages.pipeline_of(chain), record_type, main)
    shown = explanation.Explanation(made.pipeline, as_json) if explain else None
    if shown:
        shown.begin()
    run_chain(sources, made.operators, framing=Framing(**framing, record_type=record_type), output=output, on_bad_record=on_bad_record,
              stats=stats, record_type=made.input_type, run=run, stages=made.stages, time_operators=explain, report=shown and shown.end)
