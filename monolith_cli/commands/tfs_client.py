from __future__ import annotations

import click

from monolith_cli.commands import serving_options, tfs_client_options
from monolith_cli.commands.frame import Example, command


@command(
    "tfs-client",
    "Ask, load, call and measure a TensorFlow Serving.",
    description="""\
VERB is one of

\b
  status   states of the versions of a model
  meta     its signatures
  load     hand a ModelServerConfig (text, --input-file) to the server; waits until its models are available
  predict  send one request and print the outputs (the default)
  profile  measure: rate, mean, p50, p90, p99, p99.9 and errors by status code

Input types: instance, example and example_batch are records, framed as the framing options say (or --file-type),
sent as the string tensor instances, examples (--batch-size records) or example_batch (one record).
example_batch_to_instance sends the rows of an ExampleBatch as Instances. json, pbtext, dump and binary hold one
Instance, which is sent --batch-size times. tensors is a JSON object of input name and value for any model; the
types come from its signature.

Replies are printed as protobuf text; with --json as the JSON that TensorFlow Serving's REST API gives.
--lagrangex-header stands for all that may come before a length: the other framing options then count for nothing.
Underscores in option names are as good as dashes.

profile with --rate measures from the moment a request fell due, so that a server that stalls cannot hide it:
requests that wait for a free thread count their waiting, and those still waiting at the end are told as unsent.
SIGINT and SIGTERM end it with the result so far.""",
    examples=[
        Example("Which versions does a server have", "tfs-client status --target $TFS --model-name m"),
        Example(
            "Scores of the first 16 Instances of a file",
            "tfs-client predict --target $TFS --model-name m --input-type instance --input-file clicks.pb "
            "--batch-size 16 --json",
        ),
        Example("Another list of models", "tfs-client load --target $TFS --input-file models.cfg"),
        Example(
            "Latency at 50 requests a second, in 4 threads",
            "tfs-client profile --target $TFS --model-name m --input-type instance --rate 50 --parallel-num 4 "
            "--duration 2 --json",
        ),
    ],
    exits={
        65: "an input file cannot be read (file, byte offset and reason), or the server refuses the request",
        66: "an input file does not exist, or the server has no such model or version",
        69: "a server cannot be reached, does not answer in time, or fails",
        73: "random records cannot be written",
        75: "the server is too busy, or another run holds --lock; try again later",
        78: "the agent's configuration or the ModelServerConfig has a mistake, or the server refuses it",
    },
    see_also=["monolith-serve(1)", "monolith-top(1)", "monolith-agent(1)", "pb-gen(1)"],
    sockets=True,
)
@click.argument("verb", metavar="[VERB]", type=click.Choice(tfs_client_options.VERBS), required=False)
@tfs_client_options.server
@tfs_client_options.input
@tfs_client_options.random
@tfs_client_options.profile
def main(verb, cmd_type, run, **values):
    if verb and cmd_type and cmd_type != verb:
        raise click.UsageError(f"VERB {verb} and --cmd-type {cmd_type} exclude each other")
    verb = verb or ("predict" if cmd_type in (None, "get") else cmd_type)
    from monolith_cli.serving.client import actions

    settings = _settings(values, 600.0 if verb == "load" else 30.0)
    if verb == "profile":
        from monolith_cli.serving.client.profile import ProfileConfig

        config = ProfileConfig(
            settings.targets,
            values["parallel_num"],
            values["rate"],
            values["profile_duration"],
            values["warm_up"],
            settings.timeout_s,
            values["seed"],
            settings.tls,
        )
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
    made = InputConfig(
        values["input_type"],
        values["input_file"],
        values["file_type"],
        _framing(values),
        values["batch_size"],
        values["input_name"],
        _random_fields(values),
    )
    return Settings(
        name,
        defaults.targets(target),
        serving_options.client_tls(values),
        values["timeout"] or timeout,
        values["as_json"],
        made,
        tuple(values["output_filter"]),
        tuple(values["metadata_fields"]) or ("signature_def",),
    )


def _framing(values: dict):
    from monolith_cli.records.framing import Framing

    return Framing(**values["framing"])


def _random_fields(values: dict):
    from monolith_cli.serving.client.random_records import RandomFields

    return RandomFields(
        slots=tuple(values["slots"]),
        sparse=values["sparse_features"],
        dense=values["dense_features"],
        dense_shapes=values["dense_feature_shapes"],
        dense_types=values["dense_feature_types"],
        extra=values["extra_features"],
        extra_shapes=values["extra_feature_shapes"],
        user_slots=tuple(values["user_slots"]),
        feature_list=values["feature_list"],
        drop_rate=values["drop_rate"],
        seed=values["seed"],
    )


main.context_settings["token_normalize_func"] = lambda name: name.replace("_", "-")
