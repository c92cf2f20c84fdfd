import click

from monolith_cli.commands import options
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
  VALUE in @FILE      also not in; the values of a file, @"FILE" when its name has blanks
  VALUE between 1 and 5          from 1 on and below 5
  STRING startswith "a"          also endswith; or a list: one of them
  LIST any [1, 2]     one of them is there; all: each of them; diff: none of them
  is_draw             a bool
  has_slot(3)         a fid of this slot is there
  has_fid(36028797018963969)     this fid is there
VALUE is a field of LineId (uid, req_time, item_id, chnid, sample_rate, device_type, cid, user_id, rank, data_source_name),
label (the first), label[2], instance_weight, or feature("NAME") of an example; LIST is actions, pre_actions or
special_strategies, or a feature. Strings stand in single or double quotes, with \\n \\t \\\\ \\" \\' and \\xHH; numbers may be negative or
hexadecimal.

Fields that are not set read as their default: 0, "", and 1.0 for sample_rate and instance_weight. A condition on a label that
is not there does not hold. On an empty list any, all and diff do not hold, unless --keep-empty is given. Floats compare in single
precision. Features __LINE_ID__, __LABEL__ and instance_weight of an example go before its fields, as in training.

feature("NAME") is the last feature of that name, taken for what it is compared with: bytes with a string, float when a float is among
the numbers, else int64; feature("NAME", int64), or float, double or bytes, says it. Only a list of that type counts (int64_list and so
on), with one value, or any number for any, all and diff. A condition on a feature that is not there, of another type, empty, or
of several values does not hold, unless --keep-empty is given. Doubles compare with operands of single precision: 0.1 == 0.1 is
false, 0.1 in [0.1] is true.

--field, --feature and --op say one such condition without quoting: --field user_id --op in --values-file users.txt. Its operands
are given by --value or --values-file. A file of operands is a serialized FilterValues message (float_list for floats, int64_list for
integers, bytes_list for strings), or text with one value a line. An empty line alone is an empty list; an empty file is an error.

--special-strategy and --drop-rate draw random numbers; --seed makes the choice repeatable for the same input and options. They
see only records that fulfil all else, first --drop-rate, then --special-strategy. A record with a negative label (below
--threshold) draws one of 0, 0.001 ... 0.999 and is dropped when it is below the rate, so that rates act in steps of 0.001. Of the
strategies of a record the one that stands first in --special-strategy decides: kept without a rule, else with the rate of its
rule, and with the rule's label, if it has one, in the place of the first label. This is the only change pb-filter makes to
a record. Records with strategies of which none is listed are dropped.

A record is broken when its fields cannot be walked from end to end, or a part that a condition looks at cannot be read; what no
condition asks for is passed over and not checked.

Batches (example_batch) have to be expanded first: pb-convert --from example_batch --to example; only --drop-empty works on them.""",
         examples=[Example("Three conditions on the line id and a slot",
                           "pb-filter --where 'req_time >= 1622667900 and chnid between 1 and 11' --has-slot 200 clicks.pb -o some.pb"),
                   Example("Likes and shares of two users, and what is left",
                           "pb-filter --where 'actions any [1, 2] and uid in [7, 8]' --rejected rest.pb clicks.pb | pb-stat"),
                   Example("Leave out the users of a list", "printf '7\\n8\\n' > users.txt; pb-filter --where 'uid not in @users.txt' clicks.pb -o others.pb"),
                   Example("By named features of examples",
                           "pb-convert --from tf_example --to example --dense fare --dense company trips-0.gz "
                           "| pb-filter --type example --where 'feature(\"fare\") >= 3.5 and feature(\"company\") in [1, 2]' | pb-show --type example"),
                   Example("The same with options, for one of them",
                           "pb-convert --from tf_example --to example --dense company trips-0.gz "
                           "| pb-filter --type example --feature company --feature-type int64 --op in --value 1,2 -o some.pb"),
                   Example("Drop nine of ten negatives, but one of ten of those with action 2",
                           "pb-filter --drop-rate 0.9 --threshold 0.5 --action-priority 2 --action-rate 2:0.1 --seed 1 clicks.pb | pb-stat"),
                   Example("Positive samples", "pb-cat clicks.pb | pb-filter --label 1 | pb-head -n 5 | pb-show")],
         see_also=["pb-cat(1)", "pb-show(1)", "pb-convert(1)"])
@click.option("--where", metavar="EXPR", help="Keep records for which this expression holds; see above. [default: all]")
@click.option("--field", default="", metavar="NAME", help="Keep records whose LineId field compares as --op says. [default: none]")
@click.option("--feature", metavar="NAME",
              help="Keep examples whose feature of this name compares as --op says; needs --feature-type. [default: none]")
@click.option("--feature-type", type=click.Choice(["int64", "float", "double", "bytes"]), help="What --feature holds. [default: none]")
@click.option("--op", type=click.Choice(["gt", "ge", "eq", "lt", "le", "neq", "between", "in", "not-in", "all", "any", "diff", "startswith",
                                         "endswith"]), help="For --field and --feature: how to compare. [default: none]")
@click.option("--value", "values", multiple=True, metavar="V",
              help="For --field and --feature: an operand; repeat it for several, numbers may be a comma list. [default: none]")
@click.option("--values-file", type=click.Path(dir_okay=False), default="", metavar="FILE",
              help="For --op in and not-in: the operands, as FilterValues or text with one a line. [default: none]")
@click.option("--keep-empty", is_flag=True,
              help="Let any, all and diff hold on an empty list, and conditions on features that are missing or do not fit.")
@click.option("--has-slot", "--select-slot", "select_slots", multiple=True, metavar="N,…",
              help="Keep records that have a fid in each of these slots (0 to 32767), of v1 or v2. [default: any]")
@click.option("--has-fid", "has_fids", multiple=True, metavar="FID,…", help="Keep records that have one of these fids. [default: any]")
@click.option("--select-fid", "select_fids", multiple=True, metavar="FID,…", help="Keep records that have all of these fids. [default: any]")
@click.option("--filter-fid", "filter_fids", multiple=True, metavar="FID,…", help="Drop records that have one of these fids. [default: none]")
@click.option("--include-v2-fids", is_flag=True, help="For fids of an instance: those of its feature columns (v2) count as well.")
@click.option("--has-action", "has_actions", multiple=True, metavar="N,…",
              help="Keep records with one of these in line_id.actions. [default: any]")
@click.option("--req-time-min", type=click.IntRange(-(1 << 63), (1 << 63) - 1), metavar="SECONDS",
              help="Keep records with at least this line_id.req_time. [default: 0 when a fid, slot or action option is given, or no "
                   "condition at all; else no limit]")
@click.option("--label", "labels", multiple=True, metavar="X,…",
              help="Keep records with as many labels as numbers are given here, one of which at least reaches its number. [default: any]")
@click.option("--label-strict", is_flag=True, help="For --label: a label equal to its number does not reach it.")
@click.option("--drop-rate", type=click.FloatRange(0, 1), metavar="R",
              help="Drop negatives with this probability (0 to 1, in steps of 0.001). [default: none]")
@click.option("--threshold", type=float, metavar="X", help="For --drop-rate: labels below this are negative. [default: 0]")
@click.option("--label-index", type=click.IntRange(0, (1 << 31) - 1), metavar="N",
              help="For --drop-rate: the label to look at, counting from 0. [default: 0]")
@click.option("--action-priority", multiple=True, metavar="N,…",
              help="For --drop-rate: actions, the most important one first; a negative goes by the first of them that it has. [default: none]")
@click.option("--action-rate", "action_rates", multiple=True, metavar="N:R,…",
              help="For --drop-rate: drop negatives of these (positive) actions with rates of their own. [default: --drop-rate]")
@click.option("--special-strategy", multiple=True, metavar="N,…",
              help="Keep records that have one of these special strategies; the first one listed counts. [default: any]")
@click.option("--strategy-conf", multiple=True, metavar="N:R[:X],…",
              help="For --special-strategy: keep records of strategy N with probability R (0 to 1), and make X their first label. "
                   "[default: keep all as they are]")
@click.option("--strategy-drop-empty", is_flag=True, help="For --special-strategy: drop records without any special strategy.")
@options.seed
@click.option("--drop-empty", is_flag=True, help="Drop records of no bytes, which stand for an empty poll of a queue.")
@click.option("--invert", is_flag=True, help="Keep what would be dropped, drop what would be kept.")
@click.option("--rejected", type=click.Path(dir_okay=False), default="", metavar="PATH",
              help="Write dropped records to this file, which appears whole at the end. [default: nowhere]")
def main(record_type, where, field, feature, feature_type, op, values, values_file, keep_empty, select_slots, has_fids, select_fids,
         filter_fids, include_v2_fids, has_actions, req_time_min, labels, label_strict, drop_rate, threshold, label_index, action_priority,
         action_rates, special_strategy, strategy_conf, strategy_drop_empty, seed, drop_empty, invert, rejected):
    from monolith_cli.operators import filter as config
    from monolith_cli.operators import numbers

    value = config.value_of_options(field, feature, feature_type, op, values, values_file)
    sample = config.sample_of_options(
        drop_rate, threshold, label_index, numbers.integers(action_priority, "--action-priority", *numbers.INT32),
        config.action_rates(action_rates, "--action-rate"))
    return [config.FilterConfig(
        record_type=record_type, drop_empty=drop_empty, where=where, value=value, keep_empty=keep_empty, req_time_min=req_time_min,
        filter_fids=numbers.integers(filter_fids, "--filter-fid", *numbers.FID),
        has_fids=numbers.integers(has_fids, "--has-fid", *numbers.FID),
        select_fids=numbers.integers(select_fids, "--select-fid", *numbers.FID), include_v2_fids=include_v2_fids,
        select_slots=numbers.integers(select_slots, "--has-slot", 0, 32767),
        has_actions=numbers.integers(has_actions, "--has-action", *numbers.INT32),
        label_thresholds=numbers.floats(labels, "--label"), label_strict=label_strict, negative_sample=sample,
        special_strategies=numbers.integers(special_strategy, "--special-strategy", *numbers.INT32) if special_strategy else None,
        strategy_rules=config.strategy_rules(strategy_conf, "--strategy-conf"), strategy_keep_empty=not strategy_drop_empty, seed=seed,
        invert=invert, rejected=rejected).operator()]
