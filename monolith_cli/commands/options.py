"""Options that several commands share: spelled and meant the same everywhere."""

from __future__ import annotations

import click

TYPES = ["instance", "example", "example_batch"]


class Text(click.types.StringParamType):
    """A text that may hold blanks: in the environment, several of them stand on lines of their own."""

    envvar_list_splitter = "\n"


class TensorFlowDirectory(click.Path):
    """A directory that TensorFlow opens, which takes names in UTF-8 alone."""

    def __init__(self):
        super().__init__(file_okay=False)

    def convert(self, value, param, ctx):
        path = super().convert(value, param, ctx)
        try:
            path.encode()
        except UnicodeEncodeError:
            self.fail(f"{path!r} is not UTF-8; TensorFlow takes no other names", param, ctx)
        return path


record_type = click.option(
    "-t", "--type", "record_type", type=click.Choice(TYPES), default="instance", show_default=True,
    envvar="MONOLITH_RECORD_TYPE", help="Record type of the stream.")

sources = click.argument("sources", metavar="[SOURCE]...", nargs=-1)

def _on_bad_record(end: str):
    return click.option(
        "--on-bad-record", metavar="fail|skip|PATH", default="fail", show_default=True,
        help=f"What to do with a record that cannot be read: end with exit code 65 {end}; leave it out "
             "and count it; or keep its bytes, framed, in the file PATH. A cut-off end of a source counts as one bad record.")


on_bad_record = _on_bad_record("after passing on all that came before")

on_bad_record_of_batch = _on_bad_record("in front of its batch")

output = click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="PATH",
    help="Write to this file, which appears whole at the end, instead of standard output.")

stats = click.option(
    "--stats", type=click.Path(dir_okay=False), metavar="FILE",
    help="Write the counts of the end as one JSON object to this file: records in and out, dropped by reason, per operator, seconds, MB/s.")

model = click.option(
    "--model", required=True, metavar="FILE.py:CLASS|DUMP",
    help="Model file and the class in it, which may be left out where there is one; or a dump of model-show(1): the model without its code.")

seed = click.option("--seed", type=click.IntRange(min=0), help="Seed of all random choices. [default: from the system]")

json_output = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


class FeatureListFile(click.ParamType):
    """A path; the command gets the monolith_cli.records.feature_list.FeatureList read from it."""

    name = "FILE"

    def convert(self, value, param, ctx):
        from monolith_cli.records import feature_list

        return value if isinstance(value, feature_list.FeatureList) else feature_list.load(value)

    def shell_complete(self, ctx, param, incomplete):
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


feature_list = click.option("--feature-list", type=FeatureListFile(), metavar="FILE",
                            help="Names, slots and versions of features, one entry a line (feature_list.conf). [default: none]")


def framing(function):
    """How the sources are framed, packed and chosen: one group of options, handed over as `framing`, a dict."""
    import functools

    names = ("has_sort_id", "kafka_dump", "kafka_dump_prefix", "lagrangex_header", "compression", "format", "max_record_size")

    @functools.wraps(function)
    def wrapper(*args, **values):
        return function(*args, framing={name: values.pop(name) for name in names}, **values)

    for option in reversed(_FRAMING):
        wrapper = option(wrapper)
    return wrapper


_FRAMING = (
    click.option("--has-sort-id", is_flag=True, help="Each frame starts with a sort id (length and text)."),
    click.option("--kafka-dump", is_flag=True, help="Each frame has eight more bytes before the length."),
    click.option("--kafka-dump-prefix", is_flag=True, help="Each frame starts with a Kafka dump prefix of 8 or 16 bytes."),
    click.option("--lagrangex-header", is_flag=True,
                 help="Each frame starts with an 8-byte header that holds the data source key; goes before the other framing options."),
    click.option("--compression", type=click.Choice(["auto", "none", "zstd", "gzip", "zlib", "snappy"]), default="auto",
                 show_default=True, help="Compression of the sources; auto tells it by content (snappy by the suffix .snappy)."),
    click.option("--format", type=click.Choice(["pb", "tfrecord"]), default="pb", show_default=True,
                 help="Container of the sources: length-prefixed messages or TFRecord."),
    click.option("--max-record-size", type=click.IntRange(min=1), default=1 << 30, show_default=True, metavar="BYTES",
                 help="A longer record is taken for broken framing."),
)
