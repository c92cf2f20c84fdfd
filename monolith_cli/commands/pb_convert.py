import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command
from monolith_cli.commands.operator_command import in_chains
from monolith_cli.records import convert


class NameSlot(click.ParamType):
    name = "NAME=SLOT"

    def convert(self, value, param, ctx):
        name, equals, slot = value.rpartition("=") if isinstance(value, str) else value
        if not equals or not name or not slot.isdecimal():
            self.fail(f"'{value}': write NAME=SLOT, for example user_id=1", param, ctx)
        return name, int(slot)


@command("pb-convert", "Turn records of one kind into another: containers, TensorFlow examples, JSON lines, csv and tsv.",
         description="""\
Containers: an Instance has flat v1 ids and named columns, an Example named features only, an ExampleBatch columns of many rows.
Rows become batches of at most --batch-size rows, batches become their rows. An Instance that becomes an Example loses
dense, label_tag, next_fid and its data source key; an Example that becomes an Instance loses doubles, single scalars and raw
features. Equal types on both sides pass every record on byte for byte, unless --pruning says what to leave out. The v1 ids of a slot become the feature
fc_slot_<n>, or with --feature-list the first feature of version 1 that has the slot there.

JSON lines hold one object a record: original field names, bytes in base64, 64-bit integers as text, NaN and Infinity as text.

csv and tsv need --schema, a TOML file. At its top: separator (one character or more), header, quote, encoding (utf-8 or
latin-1), null (texts that mean missing), skip_empty, short_rows. Then one [[column]] for each use of a column: from (name, or
number from 0), to (fid, float, int64, bytes, label, weight, line_id), name, slot, version (1 or 2), value (integer, hash, log2,
time), separator (of several values in a cell), missing (skip, default, error), default, threshold, map.

tf_example reads tf.train.Example, by default from TFRecord files. Sparse integers become ids as they are, a sparse float v
becomes trunc(log2(|v| + 1)); features that are not asked for are left out.""",
         examples=[Example("Ratings of MovieLens as Instances",
                           "pb-convert --from tsv --schema u.data.toml --to instance u.data > ratings.pb"),
                   Example("Rows into batches of 512 and a look at one",
                           "pb-convert --from instance --to example_batch --batch-size 512 ratings.pb | pb-show -t "
                           "example_batch --limit 1"),
                   Example("TFRecord files of tf.train.Example",
                           "pb-convert --from tf_example --sparse company=1 --dense fare --label tips --to example "
                           "trips-*.gz > trips.pb")],
         exits={65: "a record, line or row cannot be read: the message names source, place and reason; what came "
             "before was passed on",
                66: "a source or the schema does not exist", 73: "an output cannot be created",
                78: "the schema or feature list has a mistake: the message names file and place"},
         see_also=["pb-cat(1)", "pb-show(1)", "pb-gen(1)"], binary_output=lambda options: options.get("to_type") != "jsonl", reads_stdin=True)
@options.sources
@click.option("--from", "from_type", type=click.Choice(convert.FROM), required=True, help="What the sources hold.")
@click.option("--to", "to_type", type=click.Choice(convert.TO), required=True,
              help="What to write. From jsonl it also says of which type the lines are.")
@click.option("--schema", type=click.Path(dir_okay=False), metavar="FILE",
              help="How columns of csv or tsv become fields, in TOML. [required there]")
@click.option("--pruning", type=click.Choice(convert.PRUNINGS), default="as_is", show_default=True,
              help="What to leave out of Examples and ExampleBatches: nothing, the named features without the reserved ones, or the raw features.")
@click.option("--batch-size", type=click.IntRange(min=1), default=256, show_default=True, metavar="ROWS",
              help="Rows of an ExampleBatch made from rows. The last one, and one before another data source, may have fewer.")
@click.option("--sparse", type=NameSlot(), multiple=True,
              help="tf_example: a feature that becomes ids of this slot (1 to 32767). Repeatable.")
@click.option("--dense", metavar="NAME", multiple=True,
              help="tf_example: a feature that is taken over as it is. Repeatable.")
@click.option("--label", metavar="NAME", default="",
              help="tf_example: the float feature that is the label. [default: none]")
@click.option("--instance-weight", metavar="NAME", default="",
              help="tf_example: the float feature that is the weight. [default: every record weighs 1]")
@click.option("--hash-bytes", is_flag=True,
              help="tf_example: make ids of sparse texts, CityHash64 of each. Without it such a feature stays empty.")
@options.framing
@options.feature_list
@options.on_bad_record
@options.output
def main(sources, from_type, to_type, schema, pruning, batch_size, sparse, dense, label, instance_weight, hash_bytes, framing,
         feature_list, on_bad_record, output, run):
    from monolith_cli.records.framing import Framing

    asked = click.get_current_context().get_parameter_source("format")
    if from_type == "tf_example" and asked is click.core.ParameterSource.DEFAULT:
        framing["format"] = "tfrecord"
    record_type = from_type if from_type in convert.RECORDS else "example"
    tf_example = convert.TfExample(list(sparse), list(dense), label, instance_weight, hash_bytes)
    convert.convert(sources, from_type=from_type, to_type=to_type, framing=Framing(**framing, record_type=record_type),
                    schema=schema, tf_example=tf_example, pruning=pruning, batch_size=batch_size, output=output,
                    on_bad_record=on_bad_record, feature_list=feature_list, run=run)


def _operators(record_type, **values):
    return convert.chain_operators(record_type, **values)


in_chains(main, _operators, ["from_type", "to_type", "pruning", "batch_size", "feature_list"],
          type_behind=lambda record_type, values: values["to_type"])
