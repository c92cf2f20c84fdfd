"""From the text of a chain to native operators: each stage is parsed by its own command's options."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import click

from monolith_cli import errors
from monolith_cli.commands import COMMANDS, load, verbs
from monolith_cli.operators.pipeline import Pipeline, Stage, Word


@dataclass
class Chain:
    """What a text stands for."""

    pipeline: Pipeline
    input_type: str | None = None  # what the first operator that looks into records takes them for; None: none does
    operators: list = field(default_factory=list)
    stages: list[dict] = field(default_factory=list)  # of each operator: number of its stage, and command


def pipeline_of(chain: str) -> Pipeline:
    """The chain that an argument names: a file, or the text itself when it begins with a command."""
    first = (chain.split(maxsplit=1) or [""])[0]
    if first not in COMMANDS and first not in verbs() and not chain.lstrip().startswith("#") and os.path.exists(chain):
        try:
            with open(chain, encoding="utf-8") as f:
                return Pipeline(f.read(), chain)
        except OSError as e:
            raise errors.NoInputError(f"{chain}: {e.strerror}") from None
        except UnicodeDecodeError:
            raise errors.ConfigError(f"{chain}: not a text file") from None
    return Pipeline(chain)


def build(pipeline: Pipeline, record_type: str, whole: click.Command) -> Chain:
    """Native operators of all stages; record_type is that of the input, `whole` the command that runs the chain.

    Raises the errors of `monolith_cli.errors` with number, text and place of the stage.
    """
    made = Chain(pipeline)
    current = record_type
    for stage in pipeline.stages:
        command, words = _command(pipeline, stage)
        values = _values(pipeline, stage, command, words, current, whole)
        try:
            operators = command.operators(record_type=current, **values)
        except errors.Error as e:
            raise _mistake(pipeline, stage, str(e), type(e)) from None
        made.operators += operators
        made.stages += [{"stage": stage.number, "command": command.name}] * len(operators)
        if made.input_type is None and not command.any_type:
            made.input_type = current
        current = command.type_behind(current, values)
    return made


def _mistake(pipeline: Pipeline, stage: Stage, what: str, kind=errors.UsageError, word: Word | None = None) -> errors.Error:
    place = word or stage
    if "\n" in what:  # has a caret of its own, under a part of an option
        what += "\nin this stage:"
    return pipeline.mistake(f"stage {stage.number}: {what}", place.begin, place.end, kind)


def _command(pipeline: Pipeline, stage: Stage):
    """The click command of a stage, and its arguments."""
    words = stage.words[1:] if stage.words[0].text == "monolith" and len(stage.words) > 1 else stage.words
    by_verb = words is not stage.words
    name = verbs().get(words[0].text, "") if by_verb else words[0].text
    if name not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(words[0].text, list(verbs() if by_verb else COMMANDS), n=1)
        or_file = " and no such file" if not pipeline.name and pipeline.text == words[0].text else ""
        raise _mistake(pipeline, stage, f"{words[0].text}: no such command{or_file}" + (f"; did you mean {close[0]}?" if close else ""),
                       word=words[0])
    command = load(name)
    if getattr(command, "operators", None) is None:
        raise _mistake(pipeline, stage, f"{name} is no operator: name sources behind the chain, and pipe what comes out of pb-run into "
                       "the commands that take it", word=words[0])
    return command, words[1:]


def _values(pipeline: Pipeline, stage: Stage, command, words: tuple[Word, ...], current: str, whole: click.Command) -> dict:
    """What the options of a stage say, parsed by the command itself."""
    own = [p for p in command.params if p.name in command.operator_options]
    sources = click.Argument(["sources"], nargs=-1)
    record_type = click.Option(["-t", "--type", "record_type"])
    parser = click.Command(command.name, params=[*own, record_type, sources], add_help_option=False)
    try:
        values = parser.make_context(command.name, [w.text for w in words]).params
    except click.UsageError as e:
        raise _usage_mistake(pipeline, stage, command, words, whole, e) from None
    except errors.Error as e:
        raise _mistake(pipeline, stage, str(e), type(e)) from None
    stray = values.pop("sources")
    if stray:
        word = next(w for w in reversed(words) if w.text == stray[0])
        is_command = word.text in COMMANDS or word.text == "monolith"
        raise _mistake(pipeline, stage, f"{word.text}: " + ("a | is missing before it" if is_command else "sources are named behind the chain"),
                       word=word)
    given = values.pop("record_type")
    if given is not None and given != current:
        raise _mistake(pipeline, stage, f"--type {given}: the records are of type {current} here; pb-run has the type of the input, and "
                       "only pb-convert changes it", word=_word_of(words, ("-t", "--type")))
    return values


def _usage_mistake(pipeline, stage, command, words, whole, error: click.UsageError) -> errors.Error:
    param = getattr(error, "param", None)
    flags = (error.option_name,) if isinstance(error, click.NoSuchOption | click.BadOptionUsage) else tuple(param.opts) if param else ()
    message = error.format_message()
    if isinstance(error, click.NoSuchOption) and _has(command, flags[0]):
        message = (f"{flags[0]}: belongs to the whole chain; give it to pb-run" if _has(whole, flags[0])
                   else f"{flags[0]}: is not for a stage of a chain, whose records come in and go out as they are")
    return _mistake(pipeline, stage, f"{command.name}: {message}", word=_word_of(words, flags))


def _has(command: click.Command, flag: str) -> bool:
    names = {name for p in command.get_params(click.Context(command)) for name in (*p.opts, *p.secondary_opts)}
    return flag in names


def _word_of(words: tuple[Word, ...], flags: tuple[str, ...]) -> Word | None:
    for word in words:
        for flag in flags:
            if word.text == flag or word.text.startswith(flag + "=") or (not flag.startswith("--") and word.text.startswith(flag)):
                return word
    return None
