import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example
from monolith_cli.commands.operator_command import operator_command


@operator_command("pb-reweight", "Relabel records by their most important action, and repeat them.",
         description="""\
Repeats each record a whole number of times, 0 included, by its actions, and sets its first label. Copies follow each other;
nothing but the first label changes. Made for streams in which a record comes first without its actions and again once they are
known, with what was known before in line_id.pre_actions.

The best of a list of actions is the one that stands first in --action-priority (of the first 999 there). A list is worth 1 times
the weights of its actions; listed actions that are not the best are left out. An empty list is worth 0.

\b
A record
  without labels                                     is dropped
  without actions and pre_actions                    leaves once, as it came
  whose best action does not go before that of its
  pre_actions (none at all is last, none listed is
  next to last)                                      is dropped
  else gets the label of its best action, if it has one, and leaves
    worth(actions) times                             when the best of pre_actions has no label
    worth(pre_actions) + worth(actions) times        when that has another label
    worth(actions) - worth(pre_actions) times        when that has the same; below 0 the label changes its sign

A record whose list is worth more than a million copies counts as broken. Records must be rows: pb-convert --from example_batch
--to example expands batches.""",
         examples=[Example("Shares (2) three times as negative, likes (7) six times, the rest not at all",
                           "pb-reweight --action-priority 2,7,0,1 --reweight 0:0:1,1:0:1,2:3:-1,7:6:1 clicks.pb -o weighted.pb"),
                   Example("Label, then weight", "pb-label --task 1::1 clicks.pb | pb-reweight --action-priority 1,2 --reweight 1:2:1,2:1:0 | pb-stat")],
         see_also=["pb-label(1)", "pb-filter(1)"])
@click.option("--action-priority", multiple=True, metavar="N,…",
              help="Actions, the most important first; of equal ones the last holds. Required.")
@click.option("--reweight", type=options.Text(), multiple=True, metavar="ACTION:WEIGHT:LABEL,…",
              help="What an action is worth (0 to 1000000) and the label it gives; of equal actions the last holds. Required.")
@click.option("--method", type=click.Choice(["mul", "add"]), default="mul", show_default=True,
              help="Multiply the weights of a list, or add them to 1.")
def main(record_type, action_priority, reweight, method):
    from monolith_cli.operators.instance_reweight import InstanceReweightConfig

    config = InstanceReweightConfig.parse(action_priority, reweight, method=method, record_type=record_type)
    return [config.operator()]
