import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


def make(name: str) -> click.Command:
    """The command under one of its two names."""
    @command(name, "Shard the fids of batches over tables and parameter servers.",
             description="""\
Takes batches of records and works out which fids are to be looked up in which embedding table on which parameter server (fid
mod N), and for each occurrence of a fid where it stands in these lists. For every batch one ShardedFids message leaves, framed
(sharded_fids.proto); or with --json a line, with --text lines for people.

Of an example or example_batch the v1 (as v2) or v2 fids of a feature count; of an instance for slot_7 or fc_slot_7 the v1
fids of slot 7 (as v2), and for any name the columns of that name. Of two features of one name in a record the last counts.
An example_batch is a batch for itself; one of its columns that is not there is empty.

\b
The message has for every list (tables by name, in each the servers):
  fid             the fids, features by name, each in the order they came
  row_splits      where the features begin in it, and the end (not in version 1)
and for the whole batch:
  fid_offset      of each occurrence, features by name, then rows: which list << 32 | where in it
  feature_offset  of each row its first occurrence, and the end
  nfl_offset      of each feature its first row, and the end + 1; bit 31: one row for all
  emb_size        floats a list (version 5); and the lengths of all these
fid_offset counts rows in version 1, rows of the feature's own part in version 2, floats in the others. Version 4 joins all
lists into one, servers first.""",
             examples=[Example("What goes where, of the first two records",
                               f"pb-head -n 2 clicks.pb | {name} --ps-num 2 --feature slot_1=users:8 --feature slot_2=items:1,16 --text"),
                       Example("Batches for four servers, each fid once a feature",
                               f"pb-cat examples.pb | {name} -t example --ps-num 4 --unique --feature fc_slot_1=users:8 --batch-size 256 -o sharded.pb")],
             exits={65: "a source or record is broken: the message names source, byte and reason; what came before was passed on",
                    66: "a source does not exist, or a pattern matches nothing", 73: "an output cannot be created"},
             see_also=["pb-feature(1)", "pb-convert(1)", "monolith-train(1)"], reads_stdin=True,
             binary_output=lambda values: not (values["as_json"] or values["as_text"]))
    @options.sources
    @options.record_type
    @click.option("--ps-num", type=click.IntRange(0, 65536), default=1, show_default=True, metavar="N",
                  help="Parameter servers; 0 counts as 1.")
    @click.option("--feature", "feature_texts", multiple=True, metavar="NAME=TABLE:DIM[,DIM…]",
                  help="A feature, its table and the widths of its slices in floats. [default: none]")
    @click.option("--features", "features_file", type=click.Path(dir_okay=False), metavar="FILE",
                  help="A FeatureConfigs message: JSON (.json), text (.txt, .pbtxt, .textproto) or serialized. [default: none]")
    @click.option("--unique", is_flag=True, help="Put a fid once into the list of its feature, where it came first.")
    @click.option("--output-version", type=click.IntRange(1, 5), default=5, show_default=True,
                  help="Layout of the output.")
    @click.option("--batch-size", type=click.IntRange(min=1), default=512, show_default=True, metavar="N", help="Rows of a batch.")
    @click.option("--drop-remainder", is_flag=True, help="Leave out a last batch that has fewer rows.")
    @options.json_output
    @click.option("--text", "as_text", is_flag=True, help="Print lines for people instead of messages.")
    @options.feature_list
    @options.framing
    @options.on_bad_record
    @options.output
    @options.stats
    def main(sources, record_type, ps_num, feature_texts, features_file, unique, output_version, batch_size, drop_remainder, as_json, as_text,
             feature_list, framing, on_bad_record, output, stats, run):
        from monolith_cli.records import shard_fids
        from monolith_cli.records.framing import Framing

        if as_json and as_text:
            raise click.UsageError("--json and --text exclude each other")
        features = shard_fids.configured(feature_texts, features_file, feature_list)
        shard_fids.shard_stream(
            sources, features, ps_num=ps_num, unique=unique, version=output_version, batch_size=batch_size, drop_remainder=drop_remainder,
            form="json" if as_json else "text" if as_text else "message", framing=Framing(**framing, record_type=record_type),
            output=output, on_bad_record=on_bad_record, stats=stats, run=run)

    return main


main = make("shard-fids")
