import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example
from monolith_cli.commands.operator_command import operator_command


@operator_command("pb-label", "Make labels from actions, fields and other labels.",
         description="""\
Changes the labels of records (and their actions, with --if). What is not changed leaves as it came, byte for byte; a record
that no operation changes leaves as a whole as it came.

Operations, in the order in which they apply when several are given, whatever the order on the command line:

\b
  1. --if, --action   append actions
  2. --label-from     raise labels to a number of the line id
  3. --upper-bound    cap labels
  4. --norm           rescale labels
  5. --head           one label in the place of the record's head
  6. --scatter        the label into the place of its channel
  7. --task           append one label for each task
  8. --rank-from      append the rank

First comes what the others look at, then what changes labels in their places, then what makes new places, and last what is
appended. For another order put several pb-label one behind the other.

An invalid label (the lowest finite float) stands for a task that the record says nothing about. Send what has no valid label
away with pb-filter --label, or it gets into the training. For --norm an invalid label is a number like others, unless
--skip-invalid is given.

--task POS:NEG:RATE appends a label: 1 when the record has an action of the comma list POS; else the negative value when it has
one of NEG, or NEG is empty; else invalid. Of the negatives only the part RATE (0 to 1) is taken, by a draw each; the others
become invalid. Several tasks: repeat the option, or put ; between them. A first label that was there and is at most 0 becomes
invalid, and line_id.sample_rate becomes --new-sample-rate in every record.

--head HEAD=INDEX makes all labels invalid but the one at the INDEX of the record's head, the text of --head-field. That one
comes from the record's action: among --pos it is --pos-label, else among --neg it is --neg-label, else invalid. Of several
actions the one that stands first in --priority counts, or else the first. With --from-label it is the first label instead.

Records must be rows: pb-convert --from example_batch --to example expands batches. In an example the features __LINE_ID__,
__LABEL__ and instance_weight stand for its fields; where one of them is changed the feature makes room for the field.

\b
Methods of --norm, for a label x and a value v, in single precision:
  log        ln(max(x+v, 0))      scale     x/v
  scale2int  x/v, cut to a 32-bit integer
  pow        (x+1)**v             repow     x**v where x > 0, else 0
  scalelog   ln(max(x/v+1, 0))""",
         examples=[Example("Two tasks, a tenth of the negatives of the second; then only records with a valid label",
                           "pb-label --task '1:2:1.0;3::0.1' --negative-value -1 --new-sample-rate 0.1 --seed 7 clicks.pb "
                           "| pb-filter --label=-100,-100,-100 -o labelled.pb"),
                   Example("Count an early request as action 9, and label by channel",
                           "pb-label --if 'req_time < 1622667900' --action 9 --head 1=0,2=1 --pos 1,9 --neg 2 clicks.pb | pb-stat"),
                   Example("Cap watch time and take its logarithm", "pb-cat clicks.pb | pb-label --upper-bound 3600 --norm log=1 | pb-head -n 3 | pb-show")],
         see_also=["pb-filter(1)", "pb-reweight(1)", "pb-show(1)"])
@click.option("--if", "conditions", type=options.Text(), multiple=True, metavar="EXPR",
              help="Append the actions of the --action that belongs to it where this holds; an expression as of pb-filter --where. May be "
                   "repeated: the first --if belongs to the first --action, and so on. [default: append none]")
@click.option("--action", "actions", multiple=True, metavar="N,…", help="Append these actions to line_id.actions, by its --if.")
@click.option("--label-from", metavar="FIELD",
              help="Raise every label to this number of the line id, where it is greater. [default: do not]")
@click.option("--zero-at-or-above", type=float, metavar="X",
              help="For --label-from: a value of at least X counts as 0. [default: no limit]")
@click.option("--upper-bound", "upper_bounds", multiple=True, metavar="X,…",
              help="Let label i be at most the i-th X; a record with fewer labels passes as it came. [default: no bound]")
@click.option("--norm", "norms", type=options.Text(), multiple=True, metavar="METHOD=V,…",
              help="Rescale every label by this method; several one after the other. [default: do not]")
@click.option("--skip-invalid", is_flag=True, help="For --norm: leave invalid labels as they are.")
@click.option("--head", "heads", type=options.Text(), multiple=True, metavar="HEAD=INDEX,…",
              help="Make one label, at the index of the record's head (0 to 65535). Of equal heads the first holds. [default: do not]")
@click.option("--head-field", metavar="FIELD", help="For --head: an integer or string of the line id. [default: chnid]")
@click.option("--task-num", type=click.IntRange(min=0), metavar="N",
              help="For --head: number of labels; 0 for as many as the greatest index says. [default: 0]")
@click.option("--pos", "positive", multiple=True, metavar="N,…", help="For --head: positive actions. [default: none]")
@click.option("--neg", "negative", multiple=True, metavar="N,…", help="For --head: negative actions. [default: none]")
@click.option("--pos-label", type=float, metavar="X", help="For --head: label of a positive action. [default: 1]")
@click.option("--neg-label", type=float, metavar="X", help="For --head: label of a negative action. [default: 0]")
@click.option("--priority", multiple=True, metavar="N,…", help="For --head: actions, the most important first. [default: none]")
@click.option("--from-label", is_flag=True, help="For --head: take the first label; no actions are given then.")
@click.option("--scatter", type=options.Text(), multiple=True, metavar="CHNID:INDEX,…",
              help="Make all labels invalid but the one at the index of the record's channel (0 to 65535), which becomes the first "
                   "label. Of equal channels the last holds. [default: do not]")
@click.option("--task", "--add-label", "tasks", type=options.Text(), multiple=True, metavar="POS:NEG:RATE[;…]",
              help="Append a label by actions, and sample negatives; see above. [default: do not]")
@click.option("--negative-value", type=float, metavar="X", help="For --task: label of a negative. [default: 0]")
@click.option("--new-sample-rate", type=float, metavar="X",
              help="For --task: what line_id.sample_rate becomes; above 0, at most 1. [default: 1]")
@click.option("--rank-from", type=click.Choice(["draw", "chnid", "rank"]),
              help="Append a label: draw is 1 for line_id.is_draw, else 0; chnid is the channel where it is 0 or 1, else 2; rank is "
                   "line_id.rank, at most one below --rank-num. [default: do not]")
@click.option("--rank-num", type=click.IntRange(1, (1 << 31) - 1), metavar="N", help="For --rank-from rank: number of ranks. [default: 18]")
@options.seed
def main(record_type, **values):
    from monolith_cli.operators.labels import operators

    return operators(record_type, **values)
