"""Commands that pass a stream through operators.

Such a command is a function from its own options to native operators; where records come from and go to, framing, bad
records and statistics are the same for all. `pb-run` chains the same functions in one process.
"""

from __future__ import annotations

from monolith_cli.commands import options
from monolith_cli.commands.frame import command

_EXITS = {65: "a source or record is broken: the message names source, byte and reason; what came before was passed on",
          66: "a source does not exist, or a pattern matches nothing", 73: "an output cannot be created"}


def operator_command(name: str, summary: str, *, any_type: bool = False, exits=None, **doc):
    """Decorator: makes `function(record_type, **options) -> list of native operators` a command that reads and writes streams.

    The function gets the options declared under this decorator and returns the operators in the order records pass them;
    it opens nothing that it need not. any_type: it does not look into records, so that the wrong --type does no harm.
    `doc` as for `frame.command`. The click command has it as `.operators`.
    """
    def decorate(function):
        def body(sources, framing, on_bad_record, output, stats, run, **values):
            from monolith_cli.records.chain import run_chain
            from monolith_cli.records.framing import Framing

            run_chain(sources, function(**values), framing=Framing(**framing, record_type=values["record_type"]), output=output,
                      on_bad_record=on_bad_record, stats=stats, record_type=None if any_type else values["record_type"], run=run)

        for option in (options.stats, options.output, options.on_bad_record, options.framing, options.record_type):
            body = option(body)
        body.__click_params__ = body.__click_params__ + getattr(function, "__click_params__", [])
        made = command(name, summary, exits=_EXITS | (exits or {}), binary_output=True, reads_stdin=True, **doc)(options.sources(body))
        made.operators = function
        return made

    return decorate
