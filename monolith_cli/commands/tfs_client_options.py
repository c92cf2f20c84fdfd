"""Options of tfs-client, by what they are about."""

from __future__ import annotations

import click

from monolith_cli.commands import options, serving_options
from monolith_cli.commands.pb_gen import Numbers

VERBS = ["status", "meta", "load", "predict", "profile"]
INPUT_TYPES = [
    "instance",
    "example",
    "example_batch",
    "example_batch_to_instance",
    "json",
    "pbtext",
    "dump",
    "binary",
    "tensors",
]


class Words(click.ParamType):
    """a,b,c."""

    name = "LIST"

    def convert(self, value, param, ctx):
        return value if isinstance(value, tuple) else tuple(word.strip() for word in value.split(",") if word.strip())


class Sizes(Words):
    """1,2,3."""

    def convert(self, value, param, ctx):
        words = super().convert(value, param, ctx)
        if not all(str(w).isdecimal() and len(str(w)) < 8 for w in words):
            self.fail(f"'{value}': write whole numbers apart by commas, for example 1,16", param, ctx)
        return tuple(int(w) for w in words)


def _options(*made):
    def decorate(function):
        for option in reversed(made):
            function = option(function)
        return function

    return decorate


server = _options(
    click.option(
        "--cmd-type",
        type=click.Choice([*VERBS, "get"]),
        help="The verb, as an option; get is predict. [default: predict]",
    ),
    click.option(
        "--conf",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Configuration file of the agent: says model and target that are not named. [default: none]",
    ),
    click.option(
        "--target",
        metavar="HOST:PORT,…",
        help="Servers, apart by commas; all verbs but profile use the first. [default: by --conf, else localhost:8500]",
    ),
    click.option("--model-name", metavar="NAME", help="Model. [default: by --conf, else entry]"),
    click.option(
        "--signature-name", metavar="NAME", default="serving_default", show_default=True, help="Signature of the model."
    ),
    click.option(
        "--model-version", type=click.IntRange(min=0), metavar="N", help="Version of the model. [default: the newest]"
    ),
    click.option("--version-label", metavar="LABEL", help="Version of the model by its label. [default: none]"),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0.001, max=86400),
        metavar="SECONDS",
        help="How long a call may take. [default: 30; load: 600]",
    ),
    serving_options.tls_client_options,
    options.json_output,
    click.option(
        "--metadata-field",
        "metadata_fields",
        multiple=True,
        metavar="NAME",
        help="meta: a field to ask for; TensorFlow Serving itself knows signature_def alone. Repeatable. "
        "[default: signature_def]",
    ),
)

input = _options(
    click.option(
        "--input-file",
        type=click.Path(dir_okay=False, allow_dash=True),
        metavar="FILE",
        help="Records to send, a ModelServerConfig to load; - is standard input. Records of a file that does not "
        "exist are random and written there. [default: random records, in <uuid>.pb]",
    ),
    click.option(
        "--input-type",
        type=click.Choice(INPUT_TYPES),
        help="What the file holds and the model takes; see above. [default: by the "
        "suffix of the file: .json, .pbtxt, .pbtext, .textproto, .dump; else instance; profile: example_batch]",
    ),
    click.option(
        "--file-type",
        type=click.Choice(["pb", "pbtxt", "json"]),
        default="pb",
        show_default=True,
        help="Form of instance, example and example_batch files: framed, text, or JSON objects one after the other.",
    ),
    click.option(
        "--input-name",
        metavar="NAME",
        help="Input of the signature. [default: instances, examples or example_batch, by --input-type]",
    ),
    click.option(
        "--output-filter", multiple=True, metavar="NAME", help="An output to ask for. Repeatable. [default: all]"
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(1, 1 << 20),
        default=8,
        show_default=True,
        metavar="N",
        help="Records of a request, or rows of a random ExampleBatch.",
    ),
    options.framing,
)

random = _options(
    options.feature_list,
    click.option(
        "--slots",
        type=Numbers(),
        default="",
        metavar="LIST",
        help="Random: slots of v1 ids, such as 1,2,10-20. [default: 1-6, when no features are named]",
    ),
    click.option(
        "--sparse-features",
        type=Words(),
        default="",
        metavar="LIST",
        help="Random: names of id features. [default: those of --feature-list]",
    ),
    click.option(
        "--dense-features",
        type=Words(),
        default="",
        metavar="LIST",
        help="Random: names of dense features. [default: none]",
    ),
    click.option(
        "--dense-feature-shapes",
        type=Sizes(),
        default="",
        metavar="LIST",
        help="Random: how many numbers each has. [default: 1]",
    ),
    click.option(
        "--dense-feature-types",
        type=Words(),
        default="",
        metavar="LIST",
        help="Random: their types: float32, float64 or int64. [default: float32]",
    ),
    click.option(
        "--extra-features",
        type=Words(),
        default="",
        metavar="LIST",
        help="Random: fields of the LineId. [default: uid,item_id,req_time,sample_rate,actions; profile: chnid too]",
    ),
    click.option(
        "--extra-feature-shapes",
        type=Sizes(),
        default="",
        metavar="LIST",
        help="Random: how many values each has. [default: 1]",
    ),
    click.option(
        "--user-slots",
        type=Numbers(),
        default="",
        metavar="LIST",
        help="Random: slots whose feature all rows of an ExampleBatch share. [default: none]",
    ),
    click.option(
        "--drop-rate",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        metavar="SHARE",
        help="Random: share of id features that are left empty, but slots 1 and 200.",
    ),
    options.seed,
)

profile = _options(
    click.option(
        "--parallel-num",
        type=click.IntRange(1, 1024),
        default=1,
        show_default=True,
        metavar="N",
        help="profile: requests under way at most.",
    ),
    click.option(
        "--rate",
        type=click.FloatRange(min=0, min_open=True, max=1e6),
        metavar="N",
        help="profile: requests per second that fall due, whether the server keeps up or not; latencies then count "
        "from that moment. [default: each thread sends its next request when it has an answer]",
    ),
    click.option(
        "--profile-duration",
        "--duration",
        "profile_duration",
        type=click.FloatRange(min=0.01, max=30 * 86400),
        default=600.0,
        show_default=True,
        metavar="SECONDS",
        help="profile: how long to measure.",
    ),
    click.option(
        "--warm-up",
        type=click.FloatRange(min=0, max=86400),
        default=0.0,
        show_default=True,
        metavar="SECONDS",
        help="profile: send this long before measuring.",
    ),
    click.option(
        "--profile-data-dir",
        type=click.Path(file_okay=False),
        metavar="FOLDER",
        help="profile: folder of sample records, filled up to --samples files with random ones. "
        "[default: kept in memory]",
    ),
    click.option(
        "--samples",
        type=click.IntRange(1, 100_000),
        default=500,
        show_default=True,
        metavar="N",
        help="profile: different requests to draw from.",
    ),
)
