import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example
from monolith_cli.commands.operator_command import operator_command


@operator_command("pb-feature", "Change the features of records: slots, crosses, hashes, masks, tables, names.",
         description="""\
A record without the named features passes byte for byte as it came; in others all that is not named stays as it is, unknown
fields included. Without options all records pass.

Of an example NAME is a named feature, of an example_batch a column. In an instance NAME is a feature column; slot_7 (or
fc_slot_7, or 7) stands for the v1 fids of slot 7. With --feature-list the names of its v1 features stand for their slots
there, and SLOT may be the name of a feature.

Whatever the order on the command line, this is done in this order, and several of one kind in the order given:

\b
  1. --hash       integers and bytes become fids
  2. --map-id     integers by a table
  3. --slot, --share     fids get another slot, in place or as a copy
  4. --combine    crosses of two features
  5. --fid-mask, --seq-mask     masks
  6. --drop, --keep, --prune, --rename     by the names as they are then; --rename last

Slots: v1 and v2 fid lists are rewritten, sequences stay. A copy is a feature NAME_share with the same id and type; the copy of a
slot of an instance joins its v1 fids. Crosses: for every fid of F1 and every fid of F2 one v2 fid in SLOT, from their product;
v1 fids count as their v2 form. Masks: a float 1 or 0 for whether FEATURE has the fid, as it stands in the record; or LEN
integers, 1 for each element of the sequence FEATURE, then 0. A new feature replaces one of its name and stands at the end.

Hashes: an integer becomes the CityHash64 of its eight bytes, bytes that of the bytes, a dash and the name. A raw feature of
an example becomes a feature (numbers as they are, bytes as fids), when there is none of its name; hash it twice to make fids of
its integers. Of a product and of an integer's hash 49 bits are kept, so that half the fids of an even slot land in the next
one: models trained so far have it so. --exact-slot keeps 48.

Batches take --slot, --share, --map-id, --drop, --keep, --prune and --rename; expand them for the rest: pb-convert --from
example_batch --to example.""",
         examples=[Example("Two features share the embeddings of slot 10", "pb-feature --share slot_1=10 --slot slot_2=10 clicks.pb -o shared.pb"),
                   Example("A cross of user and item, and nothing but these three",
                           "pb-feature -t example --combine user_item=fc_slot_1*fc_slot_2@505 --keep fc_slot_1,fc_slot_2,user_item "
                           "examples.pb | pb-show -t example --limit 1"),
                   Example("Only what the feature list names, of batches",
                           "pb-cat batches.pb | pb-feature -t example_batch --feature-list feature_list.conf --prune | pb-stat -t example_batch")],
         exits={78: "the feature list has a mistake: the message names file, line and column; or lacks a name"},
         see_also=["pb-filter(1)", "pb-convert(1)", "pb-show(1)", "shard-fids(1)"])
@click.option("--hash", "hashes", multiple=True, metavar="NAME@SLOT",
              help="Make fids of the integers or bytes of NAME, in slot SLOT (0 to 32767). [default: none]")
@click.option("--map-id", "tables", multiple=True, metavar="NAME=FROM:TO,…[,DEFAULT]",
              help="Replace the integers of NAME; what is not in the table becomes DEFAULT, or -1. [default: none]")
@click.option("--slot", "slots", multiple=True, metavar="NAME=SLOT", help="Move the fids of NAME to slot SLOT. [default: none]")
@click.option("--share", "shares", multiple=True, metavar="NAME=SLOT",
              help="Add a copy of NAME whose fids are in slot SLOT, named NAME_share. [default: none]")
@click.option("--suffix", default="share", show_default=True, metavar="TEXT", help="What --share puts behind the name, after a _.")
@click.option("--combine", "combines", multiple=True, metavar="NAME=F1*F2@SLOT",
              help="Add feature NAME: the cross of F1 and F2 in slot SLOT (1 to 32767). [default: none]")
@click.option("--fid-mask", "fid_masks", multiple=True, metavar="NAME=FEATURE:FID",
              help="Add the float NAME: 1 when FEATURE has this fid, else 0. [default: none]")
@click.option("--seq-mask", "seq_masks", multiple=True, metavar="NAME=FEATURE:LEN",
              help="Add the LEN (1 to 65536) integers NAME: 1 for each element of FEATURE, then 0. [default: none]")
@click.option("--drop", multiple=True, metavar="NAME,…", help="Leave these features out. [default: none]")
@click.option("--keep", multiple=True, metavar="NAME,…",
              help="Leave out all features but these and __LINE_ID__, __LABEL__ and instance_weight. [default: all]")
@click.option("--rename", "renames", multiple=True, metavar="OLD=NEW", help="Give a feature another name. [default: none]")
@click.option("--exact-slot", is_flag=True, help="Let --hash and --combine keep 48 bits, so that every fid lies in its slot.")
@options.feature_list
@click.option("--prune", is_flag=True, help="Keep only features and raw columns that --feature-list names, as --keep does, and what is made here.")
@click.option("--keep-fid", "keep_fids", multiple=True, metavar="FID,…",
              help="Keep the features of --feature-list that can hold these fids, as --keep does. [default: none]")
def main(record_type, hashes, tables, slots, shares, suffix, combines, fid_masks, seq_masks, drop, keep, renames, exact_slot,
         feature_list, prune, keep_fids):
    from monolith_cli.operators import feature_rules as rules
    from monolith_cli.operators import numbers
    from monolith_cli.operators.features import FeatureConfig

    config = FeatureConfig(
        record_type=record_type, hash=rules.hashes(hashes, "--hash"), map_id=rules.tables(tables, "--map-id"),
        slot=rules.slots(slots, "--slot"), share=rules.slots(shares, "--share"), suffix=suffix,
        combine=rules.combines(combines, "--combine"),
        fid_mask=rules.masks(fid_masks, "--fid-mask", "fid", -(1 << 63), (1 << 64) - 1),
        seq_mask=rules.masks(seq_masks, "--seq-mask", "length", 1, 65536),
        drop=rules.names(drop, "--drop"), keep=rules.names(keep, "--keep") or None, prune=prune,
        keep_fids=numbers.integers(keep_fids, "--keep-fid", -(1 << 63), (1 << 64) - 1),
        rename=rules.renames(renames, "--rename"), exact=exact_slot, feature_list=feature_list)
    return config.operators()
