import click

from monolith_cli.commands.frame import Example
from monolith_cli.commands.operator_command import operator_command


@operator_command("pb-filter", "Keep the records that fulfil all conditions.",
         description="""\
Passes on every record for which all given conditions hold, byte for byte as it came. Counts of what was dropped, by the first
condition that failed, are reported at the end.

Lists of numbers are given as comma lists, by repeating the option, or as @FILE with one number a line.

\b
An expression of --where is made of conditions joined by and, or, not and parentheses:
  VALUE >= 3          also > <= < == != (or ge gt le lt eq neq)
  VALUE in [1, 2]     also not in
  VALUE between 1 and 5          from 1 on and below 5
  STRING startswith "a"          also endswith; or a list: one of them
  LIST any [1, 2]     one of them is there; all: each of them; diff: none of them
  is_draw             a bool
  has_slot(3)         a fid of this slot is there
  has_fid(36028797018963969)     this fid is there
VALUE is a field of LineId (uid, req_time, item_id, chnid, sample_rate, device_type, cid, user_id, rank, data_source_name),
label (the first), label[2], or instance_weight; LIST is actions, pre_actions or special_strategies. Strings stand in single or
double quotes, with \\n \\t \\\\ \\" \\' and \\xHH; numbers may be negative or hexadecimal.

Fields that are not set read as their default: 0, "", and 1.0 for sample_rate and instance_weight. A condition on a label that
is not there does not hold. On an empty list any, all and diff do not hold, unless --keep-empty is given. Floats compare in single
precision. Features __LINE_ID__, __LABEL__ and instance_weight of an example go before its fields, as in training.

A record is broken when its fields cannot be walked from end to end, or a part that a condition looks at cannot be read; what no
condition asks for is passed over and not checked.

Batches (example_batch) have to be expanded first: pb-convert --from example_batch --to example.""",
         examples=[Example("Three conditions on the line id and a slot",
                           "pb-filter --where 'req_time >= 1622667900 and chnid between 1 and 11' --has-slot 200 clicks.pb -o some.pb"),
                   Example("Likes and shares of two users, and what is left",
                           "pb-filter --where 'actions any [1, 2] and uid in [7, 8]' --rejected rest.pb clicks.pb | pb-stat"),
                   Example("Positive samples", "pb-cat clicks.pb | pb-filter --label 1 | pb-head -n 5 | pb-show")],
         see_also=["pb-cat(1)", "pb-show(1)", "pb-convert(1)"])
@click.option("--where", metavar="EXPR", help="Keep records for which this expression holds; see above. [default: all]")
@click.option("--keep-empty", is_flag=True, help="Let any, all and diff in --where hold on an empty list.")
@click.option("--has-slot", "--select-slot", "select_slots", multiple=True, metavar="N,…",
              help="Keep records that have a fid in each of these slots (0 to 32767), of v1 or v2. [default: any]")
@click.option("--has-fid", "has_fids", multiple=True, metavar="FID,…", help="Keep records that have one of these fids. [default: any]")
@click.option("--select-fid", "select_fids", multiple=True, metavar="FID,…", help="Keep records that have all of these fids. [default: any]")
@click.option("--filter-fid", "filter_fids", multiple=True, metavar="FID,…", help="Drop records that have one of these fids. [default: none]")
@click.option("--has-action", "has_actions", multiple=True, metavar="N,…",
              help="Keep records with one of these in line_id.actions. [default: any]")
@click.option("--req-time-min", type=click.IntRange(-(1 << 63), (1 << 63) - 1), metavar="SECONDS",
              help="Keep records with at least this line_id.req_time. [default: 0 when a fid, slot or action option is given, or no "
                   "condition at all; else no limit]")
@click.option("--label", "labels", multiple=True, metavar="X,…",
              help="Keep records with as many labels as numbers are given here, one of which at least reaches its number. [default: any]")
@click.option("--label-strict", is_flag=True, help="For --label: a label equal to its number does not reach it.")
@click.option("--invert", is_flag=True, help="Keep what would be dropped, drop what would be kept.")
@click.option("--rejected", type=click.Path(dir_okay=False), default="", metavar="PATH",
              help="Write dropped records to this file, which appears whole at the end. [default: nowhere]")
def main(record_type, where, keep_empty, select_slots, has_fids, select_fids, filter_fids, has_actions, req_time_min, labels,
         label_strict, invert, rejected):
    from monolith_cli.operators import numbers
    from monolith_cli.operators.filter import FilterConfig

    fid, action = (-(1 << 63), (1 << 64) - 1), (-(1 << 31), (1 << 31) - 1)
    config = FilterConfig(
        record_type=record_type, where=where, keep_empty=keep_empty, req_time_min=req_time_min,
        filter_fids=numbers.integers(filter_fids, "--filter-fid", *fid),
        has_fids=numbers.integers(has_fids, "--has-fid", *fid),
        select_fids=numbers.integers(select_fids, "--select-fid", *fid),
        select_slots=numbers.integers(select_slots, "--has-slot", 0, 32767),
        has_actions=numbers.integers(has_actions, "--has-action", *action),
        label_thresholds=numbers.floats(labels, "--label"), label_strict=label_strict, invert=invert, rejected=rejected)
    return [config.operator()]
