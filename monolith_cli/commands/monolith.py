"""`monolith VERB`: every command as a verb of one program."""

from __future__ import annotations

import sys

import click

from monolith_cli.commands import load, verbs
from monolith_cli.commands.common import version_line
from monolith_cli.commands.frame import run_guarded


class Verbs(click.Group):
    """Loads a verb's module only when it is used, so that the program starts as fast as one command."""

    short_help_text = "Train, inspect and serve recommendation models on collisionless embedding tables."
    examples = ()

    def list_commands(self, ctx):
        return sorted(verbs())

    def get_command(self, ctx, name):
        command = verbs().get(name)
        return load(command) if command else None

    def format_commands(self, ctx, formatter):
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, load(command).short_help) for verb, command in sorted(verbs().items())])

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        prog = prog_name or "monolith"
        sys.exit(run_guarded(prog, lambda: click.Group.main(self, args, prog, complete_var, standalone_mode=False, **extra)))

    def resolve_command(self, ctx, args):
        name = args[0]
        if name not in verbs() and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, list(verbs()), n=1)
            raise click.UsageError(f"no such verb: {name}" + (f"; did you mean {close[0]}?" if close else ""), ctx)
        return super().resolve_command(ctx, args)



def _show_version(ctx, param, value):
    if value and not ctx.resilient_parsing:
        click.echo(version_line("monolith"))
        ctx.exit()


main = Verbs(
    "monolith",
    help=Verbs.short_help_text + " Each verb is also a command of its own: `monolith train` is monolith-train, `monolith pb-cat` is pb-cat.",
    short_help=Verbs.short_help_text,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=[click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
                         help="Print the version and leave.")],
)
