import click

from monolith_cli.commands import options, table_options
from monolith_cli.commands.frame import Example, command


class SlotDays(click.ParamType):
    """SLOT:DAYS as a pair of numbers."""

    name = "SLOT:DAYS"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        slot, colon, days = value.partition(":")
        if not (colon and slot.isdigit() and days.isdigit() and int(slot) < 1 << 15 and int(days) < 1 << 32):
            self.fail(f"{value!r}: give SLOT:DAYS, a slot below 32768", param, ctx)
        return int(slot), int(days)


class Slots(click.ParamType):
    """Slots as a list of numbers."""

    name = "SLOTS"

    def convert(self, value, param, ctx):
        if isinstance(value, list):
            return value
        slots = [s.strip() for s in value.split(",")]
        if not all(s.isdigit() and int(s) < 1 << 15 for s in slots):
            self.fail(f"{value!r}: give slots below 32768, parted by commas", param, ctx)
        return [int(s) for s in slots]


@command("table-evict", "Leave rows out of the tables of a checkpoint: old ones, small ones, some slots or fids.",
         description=table_options.PLACE + """

A row goes when any of the conditions holds. Days count back from the newest update of the row's table, as when a training saves;
a row that was never updated at a known time (0) counts as updated in 1970. The slot is that of the v2 fid. With --dry-run nothing
is written: it tells how many rows of which table and slot would go. What is kept goes through as it stands, byte for byte, and files
of hash filters go along.

--in-place replaces the files of the checkpoint itself, each set all at once: a reader, and a restart after a crash, find the old
ones or the new ones. Nothing else may write to them meanwhile. A checkpoint that deltas continue is refused.

""" + table_options.NEW,
         examples=[Example("What would go if rows were kept for 30 days, those of slot 2 for 7", "table-evict m --expire-days 30 --slot-expire 2:7 --dry-run"),
                   Example("Without the rows that hardly matter", "table-evict m --min-norm 0.3 -o larger && table-stat larger"),
                   Example("Some fids, at a user's request", "printf '2:200\\n1:100\\n' > forget; table-evict m --keys forget -o without --json | jq .evicted")],
         exits=table_options.NEW_EXITS, see_also=["table-stat(1)", "table-diff(1)"])
@table_options.directory
@table_options.checkpoint
@table_options.table
@click.option("-o", "--output", metavar="OUT", type=click.Path(file_okay=False), help="Folder of the new table files; it is made, and appears whole. "
              "[default: none, needed without --in-place and --dry-run]")
@click.option("--in-place", is_flag=True, help="Replace the files of the checkpoint.")
@click.option("--dry-run", is_flag=True, help="Write nothing, only count.")
@click.option("--expire-days", type=click.IntRange(0, (1 << 32) - 1), metavar="DAYS", help="Rows last updated so many days before the newest of their table, "
              "or more. [default: never]")
@click.option("--slot-expire", type=SlotDays(), multiple=True, metavar="SLOT:DAYS", help="The same for rows of one slot, instead of --expire-days. [default: none]")
@click.option("--before", metavar="TIME", help="Rows last updated before this: unix seconds, or a date or time of ISO 8601 (UTC). [default: none]")
@click.option("--min-norm", type=click.FloatRange(min=0), metavar="X", help="Rows whose weights have a Euclidean norm below X. [default: none]")
@click.option("--slots", type=Slots(), metavar="SLOT,...", help="All rows of these slots. [default: none]")
@click.option("--keys", type=click.Path(), metavar="FILE", help="Rows of the fids in FILE, one a line as table-get(1) takes them. [default: none]")
@click.option("--shards", type=click.IntRange(1, 99999), metavar="N", help="Files of each set. [default: as there are]")
@table_options.force
@table_options.memory
@options.json_output
def main(path, checkpoint, table, output, in_place, dry_run, expire_days, slot_expire, before, min_norm, slots, keys, shards, force, memory, spool,
         as_json, run):
    from monolith_cli.errors import UsageError
    from monolith_cli.tables import edit, report

    if sum((output is not None, in_place, dry_run)) != 1:
        raise UsageError("say where the rest goes, once: -o OUT, --in-place, or --dry-run to count only")
    rules = {"expire_days": expire_days, "slot_expire_days": dict(slot_expire) or None, "before": edit.parse_time(before) if before else None,
             "min_norm": min_norm, "slots": set(slots) if slots else None, "keys": edit.read_keys(keys) if keys else None}
    if all(v is None for v in rules.values()):
        raise UsageError("say which rows go: --expire-days, --slot-expire, --before, --min-norm, --slots or --keys")
    result = edit.evict(path, output, rules=rules | {"table": table}, checkpoint=checkpoint, in_place=in_place, dry_run=dry_run, shards=shards or 0,
                        force=force, spool=spool, memory=memory)
    report.show(run, result, as_json, report.evict_text)
    run.nothing_to_do = result is not None and not result["evicted"]
