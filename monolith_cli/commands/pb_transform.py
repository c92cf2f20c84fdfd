import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example
from monolith_cli.commands.operator_command import operator_command


@operator_command("pb-transform", "Filter and label records by one declared chain, alternatives included.",
         description="""\
Runs the filters and labels of a TransformConfig, a message that is written by hand (as protobuf's text form, or as JSON) or made
in Python by monolith_cli.operators.transform and kept in serialized form. Which of the three a file holds is told by its content.

\b
  configs { basic_config { filter_by_value { field_name: "chnid" op: "in" int_operand: [1, 2] } } }
  configs {
    logical_or_config {
      x { filter_by_value { field_name: "rank" op: "eq" int_operand: 0 } }
      y { filter_by_action { has_actions: 2 } }
    }
  }

Configs apply in order: what one drops is not seen by the next. A basic_config is one of

\b
  filter_by_fid    { has_fids filter_fids select_fids }   as pb-filter --has-fid, --filter-fid, --select-fid
  filter_by_action { has_actions }                        as pb-filter --has-action
  filter_by_label  { thresholds }                         as pb-filter --label; without thresholds nothing is kept
  filter_by_value  { field_name op float_operand int_operand string_operand keep_empty operand_filepath }
                                                          as pb-filter --field, --op, --value, --values-file
  add_label        { task_label_configs { pos_actions neg_actions sample_rate } negative_value new_sample_rate }
                                                          as pb-label --task

The first two also drop records with a negative line_id.req_time, as pb-filter does. A logical_or_config keeps what one of x and y
keeps. Both see every record, y after x, so that a label added in x is there whatever y says, and twice when both add it; what a
pipe of commands cannot say. A condition on a field that LineId does not have drops every record, with a warning. No configs at all
pass everything on.

At the end there is a line on stderr for each step and for the whole, with records in and out and their ratio; with -v every five
minutes too.""",
         examples=[Example("Two channels, and of them what ranks first or was liked",
                           "pb-transform --transform chain.textproto clicks.pb | pb-stat"),
                   Example("The same in a pipe, from JSON",
                           "echo '{\"configs\": [{\"basic_config\": {\"filter_by_label\": {\"thresholds\": [1]}}}]}' > positive.json; "
                           "pb-cat clicks.pb | pb-transform --transform positive.json | pb-head -n 5 | pb-show")],
         exits={78: "the transform has a mistake: the message names file, line and column, or the config"},
         see_also=["pb-filter(1)", "pb-label(1)", "pb-run(1)"])
@click.option("--transform", "path", type=click.Path(dir_okay=False), required=True, metavar="FILE",
              help="The TransformConfig. Required.")
@click.option("--transform-format", "form", type=click.Choice(["auto", "text", "json", "binary"]), default="auto", show_default=True,
              help="Form of that file: protobuf's text form, JSON, or serialized; auto tells it by content.")
@options.seed
def main(record_type, path, form, seed):
    from monolith_cli.operators.transform_file import operator

    return [operator(path, form, record_type, seed)]
