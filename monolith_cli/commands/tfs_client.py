from __future__ import annotations

import click

from monolith_cli.commands import options, serving_options
from monolith_cli.commands.frame import Example, command
from monolith_cli.commands.pb_gen import Numbers

VERBS = ["status", "meta", "load", "predict", "profile"]
INPUT_TYPES = ["instance", "example", "example_batch", "example_batch_to_instance", "json", "pbtext", "dump", "binary", "tensors"]


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


_server = _options(
    click.option("--cmd-type", type=click.Choice([*VERBS, "get"]), help="The verb, as an option; get is predict. [default: predict]"),
    click.option("--conf", type=click.Path(dir_okay=False), metavar="FILE",
                 help="Configuration file of the agent: says model and target that are not named. [default: none]"),
    click.option("--target", metavar="HOST:PORT,…",
                 help="Servers, apart by commas; all verbs but profile use the first. [default: by --conf, else localhost:8500]"),
    click.option("--model-name", metavar="NAME", help="Model. [default: by --conf, else entry]"),
    click.option("--signature-name", metavar="NAME", default="serving_default", show_default=True, help="Signature of the model."),
    click.option("--model-version", type=click.IntRange(min=0), metavar="N", help="Version of the model. [default: the newest]"),
    click.option("--version-label", metavar="LABEL", help="Version of the model by its label. [default: none]"),
    click.option("--timeout", type=click.FloatRange(min=0.001, max=86400), metavar="SECONDS",
                 help="How long a call may take. [default: 30; load: 600]"),
    serving_options.tls_client_options,
    options.json_output,
    click.option("--metadata-field", "metadata_fields", multiple=True, metavar="NAME",
                 help="meta: a field to ask for; TensorFlow Serving itself knows signature_def alone. Repeatable. [default: signature_def]"),
)

_input = _options(
    click.option("--input-file", type=click.Path(dir_okay=False, allow_dash=True), metavar="FILE",
                 help="Records to send, a ModelServerConfig to load; - is standard input. Records of a file that does not exist are "
                      "random and written there. [default: random records, in <uuid>.pb]"),
    click.option("--input-type", type=click.Choice(INPUT_TYPES), help="What the file holds and the model takes; see above. [default: by the "
                 "suffix of the file: .json, .pbtxt, .pbtext, .textproto, .dump; else instance; profile: example_batch]"),
    click.option("--file-type", type=click.Choice(["pb", "pbtxt", "json"]), default="pb", show_default=True,
                 help="Form of instance, example and example_batch files: framed, text, or JSON objects one after the other."),
    click.option("--input-name", metavar="NAME",
                 help="Input of the signature. [default: instances, examples or example_batch, by --input-type]"),
    click.option("--output-filter", multiple=True, metavar="NAME", help="An output to ask for. Repeatable. [default: all]"),
    click.option("--batch-size", type=click.IntRange(1, 1 << 20), default=8, show_default=True, metavar="N",
                 help="Records of a request, or rows of a random ExampleBatch."),
    options.framing,
)

_random = _options(
    options.feature_list,
    click.option("--slots", type=Numbers(), default="", metavar="LIST",
                 help="Random: slots of v1 ids, such as 1,2,10-20. [default: 1-6, when no features are named]"),
    click.option("--sparse-features", type=Words(), default="", metavar="LIST",
                 help="Random: names of id features. [default: those of --feature-list]"),
    click.option("--dense-features", type=Words(), default="", metavar="LIST", help="Random: names of dense features. [default: none]"),
    click.option("--dense-feature-shapes", type=Sizes(), default="", metavar="LIST", help="Random: how many numbers each has. [default: 1]"),
    click.option("--dense-feature-types", type=Words(), default="", metavar="LIST",
                 help="Random: their types: float32, float64 or int64. [default: float32]"),
    click.option("--extra-features", type=Words(), default="", metavar="LIST",
                 help="Random: fields of the LineId. [default: uid,item_id,req_time,sample_rate,actions; profile: chnid too]"),
    click.option("--extra-feature-shapes", type=Sizes(), default="", metavar="LIST",
                 help="Random: how many values each has. [default: 1]"),
    click.option("--user-slots", type=Numbers(), default="", metavar="LIST",
                 help="Random: slots whose feature all rows of an ExampleBatch share. [default: none]"),
    click.option("--drop-rate", type=click.FloatRange(0, 1), default=0.5, show_default=True, metavar="SHARE",
                 help="Random: share of id features that are left empty, but slots 1 and 200."),
    options.seed,
)

_profile = _options(
    click.option("--parallel-num", type=click.IntRange(1, 1024), default=1, show_default=True, metavar="N",
                 help="profile: requests under way at most."),
    click.option("--rate", type=click.FloatRange(min=0, min_open=True, max=1e6), metavar="N",
                 help="profile: requests per second that fall due, whether the server keeps up or not; latencies then count from that "
                      "moment. [default: each thread sends its next request when it has an answer]"),
    click.option("--profile-duration", "--duration", "profile_duration", type=click.FloatRange(min=0.01, max=30 * 86400), default=600.0,
                 show_default=True, metavar="SECONDS", help="profile: how long to measure."),
    click.option("--warm-up", type=click.FloatRange(min=0, max=86400), default=0.0, show_default=True, metavar="SECONDS",
                 help="profile: send this long before measuring."),
    click.option("--profile-data-dir", type=click.Path(file_okay=False), metavar="FOLDER",
                 help="profile: folder of sample records, filled up to --samples files with random ones. [default: kept in memory]"),
    click.option("--samples", type=click.IntRange(1, 100_000), default=500, show_default=True, metavar="N",
                 help="profile: different requests to draw from."),
)


@command("tfs-client", "Ask, load, call and measure a TensorFlow Serving.",
         description="""\
VERB is one of

\b
  status   states of the versions of a model
  meta     its signatures
  load     hand a ModelServerConfig (text, --input-file) to the server; waits until its models are available
  predict  send one request and print the outputs (the default)
  profile  measure: rate, mean, p50, p90, p99, p99.9 and errors by status code

Input types: instance, example and example_batch are records, framed as the framing options say (or --file-type), sent as the string
tensor instances, examples (--batch-size records) or example_batch (one record). example_batch_to_instance sends the rows of an
ExampleBatch as Instances. json, pbtext, dump and binary hold one Instance, which is sent --batch-size times. tensors is a JSON object of
input name and value for any model; the types come from its signature.

Replies are printed as protobuf text; with --json as the JSON that TensorFlow Serving's REST API gives. --lagrangex-header stands for
all that may come before a length: the other framing options then count for nothing. Underscores in option names are as good as dashes.

profile with --rate measures from the moment a request fell due, so that a server that stalls cannot hide it: requests that wait for a free
thread count their waiting, and those still waiting at the end are told as unsent. SIGINT and SIGTERM end it with the result so far.""",
         examples=[Example("Which versions does a server have", "tfs-client status --target $TFS --model-name m"),
                   Example("Scores of the first 16 Instances of a file",
                           "tfs-client predict --target $TFS --model-name m --input-type instance --input-file clicks.pb --batch-size 16 --json"),
                   Example("Another list of models", "tfs-client load --target $TFS --input-file models.cfg"),
                   Example("Latency at 50 requests a second, in 4 threads",
                           "tfs-client profile --target $TFS --model-name m --input-type instance --rate 50 --parallel-num 4 "
                           "--duration 2 --json")],
         exits={65: "an input file cannot be read (file, byte offset and reason), or the server refuses the request",
                66: "an input file does not exist, or the server has no such model or version",
                69: "a server cannot be reached, does not answer in time, or fails",
                73: "random records cannot be written",
                75: "the server is too busy, or another run holds --lock; try again later",
                78: "the agent's configuration or the ModelServerConfig has a mistake, or the server refuses it"},
         see_also=["monolith-serve(1)", "monolith-top(1)", "monolith-agent(1)", "pb-gen(1)"])
@click.argument("verb", metavar="[VERB]", type=click.Choice(VERBS), required=False)
@_server
@_input
@_random
@_profile
def main(verb, cmd_type, run, **values):
    if verb and cmd_type and cmd_type != verb:
        raise click.UsageError(f"VERB {verb} and --cmd-type {cmd_type} exclude each other")
    verb = verb or ("predict" if cmd_type in (None, "get") else cmd_type)
    from monolith_cli.serving.client import actions

    settings = _settings(values, 600.0 if verb == "load" else 30.0)
    if verb == "profile":
        from monolith_cli.serving.client.profile import ProfileConfig

        config = ProfileConfig(settings.targets, values["parallel_num"], values["rate"], values["profile_duration"], values["warm_up"],
                               settings.timeout_s, values["seed"], settings.tls)
        return actions.profile(settings, config, values["samples"], values["profile_data_dir"], run)
    if verb == "load":
        return actions.load(settings, values["input_file"])
    if verb == "predict":
        return actions.predict(settings, run)
    return (actions.status if verb == "status" else actions.metadata)(settings)


def _settings(values: dict, timeout: float):
    from monolith_cli.serving.client import defaults
    from monolith_cli.serving.client.actions import Settings
    from monolith_cli.serving.client.calls import ModelName
    from monolith_cli.serving.client.inputs import InputConfig

    model, target = values["model_name"], values["target"]
    if model is None or target is None:
        default_model, default_target = defaults.model_and_target(values["conf"])
        model, target = model or default_model, target or default_target
    name = ModelName(model, values["signature_name"], values["model_version"], values["version_label"])
    made = InputConfig(values["input_type"], values["input_file"], values["file_type"], _framing(values), values["batch_size"],
                       values["input_name"], _random_fields(values))
    return Settings(name, defaults.targets(target), serving_options.client_tls(values), values["timeout"] or timeout, values["as_json"], made,
                    tuple(values["output_filter"]), tuple(values["metadata_fields"]) or ("signature_def",))


def _framing(values: dict):
    from monolith_cli.records.framing import Framing

    return Framing(**values["framing"])


def _random_fields(values: dict):
    from monolith_cli.serving.client.random_records import RandomFields

    return RandomFields(
        slots=tuple(values["slots"]), sparse=values["sparse_features"], dense=values["dense_features"],
        dense_shapes=values["dense_feature_shapes"], dense_types=values["dense_feature_types"], extra=values["extra_features"],
        extra_shapes=values["extra_feature_shapes"], user_slots=tuple(values["user_slots"]), feature_list=values["feature_list"],
        drop_rate=values["drop_rate"], seed=values["seed"])


main.context_settings["token_normalize_func"] = lambda name: name.replace("_", "-")
