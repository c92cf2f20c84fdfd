"""Commands that pass a stream through operators.

Such a command is a function from its own options to native operators; where records come from and go to, framing, bad
records and statistics are the same for all. `pb-run` chains the same functions in one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from monolith_cli.commands import options
from monolith_cli.commands.frame import Command, command

EXITS = {65: "a source or record is broken: the message names source, byte and reason; what came before was passed on",
         66: "a source does not exist, or a pattern matches nothing", 73: "an output cannot be created"}


def operator_command(name: str, summary: str, *, any_type: bool = False, exits=None, binary_output=True, **doc):
    """Decorator: makes `function(record_type, **options) -> list of native operators` a command that reads and writes streams.

    The function gets the options declared under this decorator and returns the operators in the order records pass them;
    it opens nothing that it need not. any_type: it does not look into records, so that the wrong --type does no harm.
    `doc` as for `frame.command`. The click command is made for chains by `in_chains`.
    """
    def decorate(function):
        own = getattr(function, "__click_params__", [])

        def body(sources, framing, on_bad_record, output, stats, run, **values):
            from monolith_cli.records.chain import run_chain
            from monolith_cli.records.framing import Framing

            run_chain(sources, function(**values), framing=Framing(**framing, record_type=values["record_type"]), output=output,
                      on_bad_record=on_bad_record, stats=stats, record_type=None if any_type else values["record_type"], run=run)

        for option in (options.stats, options.output, options.on_bad_record, options.framing, options.record_type):
            body = option(body)
        body.__click_params__ = body.__click_params__ + own
        made = command(name, summary, exits=EXITS | (exits or {}), binary_output=binary_output, reads_stdin=True, **doc)(options.sources(body))
        return in_chains(made, function, [p.name for p in own], any_type=any_type)

    return decorate


def in_chains(made: Command, operators: Callable, operator_options: Iterable[str], *, any_type: bool = False,
              type_behind: Callable[[str, dict], str] | None = None) -> Command:
    """Lets `pb-run` use a command as a stage; returns the command.

    operators: function(record_type, **values of operator_options) -> list of native operators. operator_options: names of
    the parameters it takes. type_behind: the type of the records that come out, from that of those that go in and the
    values; the same without it.
    """
    made.operators, made.operator_options, made.any_type = operators, frozenset(operator_options), any_type
    made.type_behind = type_behind or (lambda record_type, values: record_type)
    return made
