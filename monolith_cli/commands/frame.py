"""What every command has in common: common options, precedence of settings, exit codes, the last flush.

A command is a click command made by `command`. Its options are the one registry that the parser, `--help`, the man page
and shell completion are made from.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass

import click

from monolith_cli import errors, streams
from monolith_cli.commands import common
from monolith_cli.commands.run import Run

EXIT_CODES = {
    0: "done, also when nothing matched",
    2: "a mistake in the command line",
    65: "bad data: the message names source, byte offset and reason",
    66: "an input is missing or cannot be read",
    69: "a server cannot be reached",
    70: "a bug in this program",
    73: "an output cannot be created",
    74: "reading or writing failed, a full disk under standard output included",
    75: "held by another run (--lock); try again later",
    78: "a configuration or model file with a mistake",
    130: "stopped by SIGINT",
    141: "the reader of standard output went away (killed by SIGPIPE, silently)",
    143: "stopped by SIGTERM after finishing what was begun",
}
_ALWAYS = (0, 2, 70, 74, 75, 78, 130, 143)


@dataclass(frozen=True)
class Example:
    """A line of the manual: tests run it in a shell."""

    caption: str
    line: str


class Command(click.Command):
    """A click command with examples, exit codes and the manners every command shares."""

    def __init__(self, *args, examples=(), exits=None, see_also=(), binary_output=False, reads_stdin=False,
                 sockets=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.exits = {code: EXIT_CODES[code] for code in _ALWAYS} | ({141: EXIT_CODES[141]} if binary_output else {}) | (exits or {})
        self.see_also = tuple(see_also)
        self.binary_output = binary_output
        self.reads_stdin = reads_stdin
        self.sockets = sockets

    def format_help(self, ctx, formatter):
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(self.short_help or "")
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write_text(f"# {example.caption}")
                    formatter.write(f"{'':>{formatter.current_indent}}{example.line}\n")
        if self.help:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(self.help)
        self.format_options(ctx, formatter)
        with formatter.section("Exit status"):
            formatter.write_dl([(str(code), text) for code, text in sorted(self.exits.items())])

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        prog = prog_name or self.name
        sys.exit(run_guarded(prog, lambda: super(Command, self).main(args, prog, complete_var, standalone_mode=False, **extra)))


def _report(prog: str, message: str) -> None:
    try:
        if sys.stdout:
            sys.stdout.flush()
    except (OSError, ValueError):
        pass
    sys.stderr.write(f"{prog}: {message}\n")


def run_guarded(prog: str, call) -> int:
    """Runs a command from its first to its last byte; its exit code."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    streams.prepare()
    return flushed(prog, guarded(prog, call))


def guarded(prog: str, call) -> int:
    """Runs a command and turns whatever happens into an exit code and at most one message."""
    try:
        result = call()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as e:
        return e.exit_code
    except click.UsageError as e:
        hint = f"\nTry '{e.ctx.command_path} -h'." if e.ctx else ""
        _report(prog, e.format_message() + hint)
        return 2
    except click.ClickException as e:
        _report(prog, e.format_message())
        return e.exit_code
    except errors.Error as e:
        _report(prog, str(e))
        _trace()
        return e.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 130
    except OSError as e:
        _report(prog, describe_os_error(e))
        _trace()
        return exit_code_of_os_error(e)
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("monolith_cli"):
            message = f"the native part is not built ({e.name}): `make build` in the checkout, or `pip install .`"
        else:
            message = f"the Python package {e.name} is missing in {sys.prefix}: `make setup` in the checkout, or `pip install .`"
        _report(prog, message)
        _trace()
        return 70
    except Exception as e:  # noqa: BLE001 - the last resort: a bug must not look like a user's mistake
        _report(prog, f"internal error: {type(e).__name__}: {e}\nThis is a bug. Run again with -v for the trace.")
        _trace()
        return 70


def _trace() -> None:
    if Run.debugging:
        import traceback

        traceback.print_exc()


def describe_os_error(e: OSError) -> str:
    import errno

    where = f"{e.filename}: " if e.filename else "standard output: " if e.errno in (errno.ENOSPC, errno.EBADF) else ""
    return f"{where}{e.strerror or e}"


def exit_code_of_os_error(e: OSError) -> int:
    import errno

    if e.errno in (errno.ENOENT, errno.EISDIR, errno.ENOTDIR):
        return 66
    if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST):
        return 73
    return 74


def flushed(prog: str, code: int) -> int:
    """The last flush can fail (a full device): that is an error too."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        common.end_by_sigpipe()
    except OSError as e:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter would try again and complain
        if code != 74:
            _report(prog, f"standard output: {e.strerror}")
        return code or 74
    core = sys.modules.get("monolith_cli._native._core")
    stopped = core.stop_requested() if core else 0
    return 128 + stopped if stopped and code == 0 else code


def command(name: str, summary: str, *, description: str = "", examples=(), exits=None, see_also=(), binary_output=False,
            reads_stdin=False, sockets=False):
    """Decorator: makes a function with click options a command. The function gets its options and `run`, a `Run`.

    summary: one sentence. description: paragraphs. exits: exit code -> meaning, beyond those every command has.
    binary_output: writes records, which a terminal is spared; or a function that tells it from the options.
    reads_stdin: expects data there when no SOURCE is given. sockets: talks to others by Python's sockets, whose going must not end it.
    """
    def decorate(function):
        params = list(reversed(getattr(function, "__click_params__", [])))
        params += common.common_params()
        made = Command(
            name, callback=_callback(function), params=params, help=description, short_help=summary, examples=examples,
            exits=exits, see_also=see_also, binary_output=binary_output, reads_stdin=reads_stdin, sockets=sockets,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        )
        common.name_environment(made)
        return made

    def _callback(function):
        @click.pass_context
        def callback(ctx, **values):
            return common.execute(ctx, function, values)

        return callback

    return decorate
