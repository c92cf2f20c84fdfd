"""Options for deep-insight messages, of the commands that have labels and predictions; handed over as `insight`."""

from __future__ import annotations

import functools

import click


def insight(function):
    @functools.wraps(function)
    def wrapper(*args, **values):
        target, ratio, name, fields = (values.pop(f"deep_insight{n}") for n in ("", "_ratio", "_name", "_fields"))
        config = None
        if target:
            from monolith_cli.training.deep_insight import InsightConfig

            config = InsightConfig(target, ratio, name or "", tuple(f.strip() for f in fields.split(",") if f.strip()))
        return function(*args, insight=config, **values)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper


_OPTIONS = (
    click.option("--deep-insight", metavar="TARGET",
                 help="Write a message about each of a part of the rows, with predictions and labels by head: to a topic, kafka://HOST:PORT/TOPIC; "
                 "a file of JSON lines, PATH.jsonl; TFRecord, PATH.tfrecord; or text files in folders by model and day in the folder TARGET. "
                 "[default: none]"),
    click.option("--deep-insight-ratio", type=click.FloatRange(0, 1, min_open=True), default=0.01, show_default=True,
                 help="Share of the rows that --deep-insight is about, chosen by a hash of uid and req_time."),
    click.option("--deep-insight-name", metavar="NAME", help="Name of the model in the messages of --deep-insight. [default: its class]"),
    click.option("--deep-insight-fields", metavar="NAMES", default="",
                 help="Further fields in the messages of --deep-insight, separated by commas: of the LineId or dense features. [default: none]"),
)
