import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


class Named(click.ParamType):
    """NAME:NUMBER."""

    def __init__(self, number: str):
        self.name = f"NAME:{number}"

    def convert(self, value, param, ctx):
        name, colon, number = value.rpartition(":") if isinstance(value, str) else (value[0], ":", str(value[1]))
        if not colon or not name or not number.isdecimal():
            self.fail(f"'{value}': write {self.name}, for example price:1", param, ctx)
        return name, int(number)


class Numbers(click.ParamType):
    """1,2,10-20."""

    name = "LIST"

    def convert(self, value, param, ctx):
        numbers: list[int] = []
        for part in value.split(",") if value else []:
            first, dash, last = part.partition("-")
            if not first.isdecimal() or (dash and not last.isdecimal()) or len(first + last) > 10:
                self.fail(f"'{part}': write numbers and ranges, for example 1,2,10-20", param, ctx)
            if int(last or first) - int(first) > 32768:
                self.fail(f"'{part}': there are at most 32768 slots", param, ctx)
            numbers += range(int(first), int(last or first) + 1)
        return numbers


class Range(click.ParamType):
    """MIN-MAX or one number."""

    name = "MIN-MAX"

    def convert(self, value, param, ctx):
        first, dash, last = value.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(first + last) > 10:
            self.fail(f"'{value}': write a number or a range, for example 0-3", param, ctx)
        return int(first), int(last or first)


@command("pb-gen", "Make random records, the same for the same seed.",
         description="""\
Each record has v1 ids of the given slots (in an Instance the flat list, in an Example features named fc_slot_N), v2 ids, dense
features, labels and a LineId. Slots 1 and 200 are taken for user and item: they always have one id, and uid and item_id of the
LineId are those ids under slots 1 and 200. req_time starts at --start-time and grows by a second a record.

Labels are 0 or 1 by chance; with --learnable every id has a hidden weight and the label follows their sum, so that a model that
is trained on the records gets better.""",
         examples=[Example("A thousand Instances, and what is in them", "pb-gen | pb-stat"),
                   Example("Click data a model can learn from, with few frequent and many rare ids",
                           "pb-gen -n 100000 --slots 1-20 --zipf 1.1 --learnable --seed 7 -o clicks.pb"),
                   Example("Batches of Examples with a dense feature",
                           "pb-gen -t example_batch --batch-size 512 --dense price:1 | pb-show -t example_batch "
                           "--limit 1")],
         exits={73: "an output cannot be created"}, see_also=["pb-stat(1)", "pb-show(1)", "pb-convert(1)"], binary_output=True)
@options.record_type
@click.option("-n", "--records", type=click.IntRange(min=0), default=1000, show_default=True, metavar="N",
              help="How many records; of example_batch, how many rows.")
@click.option("--slots", type=Numbers(), default="1-10", show_default=True,
              help="Slots of v1 ids (0 to 1023): numbers and ranges, such as 1,2,10-20; empty for none.")
@click.option("--v2-feature", "v2_features", type=Named("SLOT"), multiple=True,
              help="A feature of v2 ids of this slot (0 to 32767). Repeatable.")
@click.option("--fids-per-slot", "fids", type=Range(), default="1", show_default=True,
              help="How many ids a slot or feature has in a record.")
@click.option("--dense", type=Named("SIZE"), multiple=True,
              help="A feature of SIZE floats between 0 and 1. Repeatable.")
@click.option("--labels", type=click.IntRange(0, 1024), default=1, show_default=True, help="How many labels.")
@click.option("--positive-rate", type=click.FloatRange(0, 1), default=0.5, show_default=True, metavar="SHARE",
              help="Share of labels that are 1, between 0 and 1.")
@click.option("--learnable", is_flag=True,
              help="Labels follow hidden weights of the ids, and --positive-rate counts for nothing.")
@click.option("--vocab", type=click.IntRange(min=1), default=100_000, show_default=True, metavar="N",
              help="Different ids of each slot.")
@click.option("--zipf", type=click.FloatRange(0, 10), default=0.0, show_default=True, metavar="EXPONENT",
              help="How unevenly ids come: the k-th as often as 1/k^EXPONENT; 0 is evenly.")
@click.option("--line-id", metavar="FIELDS", default="uid,item_id,req_time", show_default=True,
              help="Fields of the LineId to fill, with commas; empty for no LineId.")
@click.option("--start-time", type=int, default=1_609_459_200, show_default=True, metavar="SECONDS",
              help="req_time of the first record, in seconds since 1970.")
@click.option("--batch-size", type=click.IntRange(min=1), default=64, show_default=True, metavar="ROWS",
              help="Rows of an example_batch.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=1, show_default=True, metavar="N",
              help="Seed of all random choices.")
@options.output
def main(output, run, line_id, v2_features, dense, **values):
    from monolith_cli.records.gen import Generator, generate

    fields = [name.strip() for name in line_id.split(",") if name.strip()]
    generate(Generator(line_id=fields, v2_features=list(v2_features), dense=list(dense), **values), output=output, run=run)
