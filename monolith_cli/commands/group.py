"""A command with commands of its own: `zk tree`, `serving-client load`. Each has the manners of a command; the group
shows them together."""

from __future__ import annotations

import sys

import click

from monolith_cli.commands.common import version_line
from monolith_cli.commands.frame import EXIT_CODES, command, run_guarded


class CommandGroup(click.Group):
    """Made by `group`; its commands are made by its `verb`."""

    def __init__(self, *args, examples=(), exits=None, see_also=(), sockets=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.sockets = sockets
        self.examples = tuple(examples)
        self.exits = {code: EXIT_CODES[code] for code in (0, 2, 70, 74, 75, 78, 130, 143)} | (exits or {})
        self.see_also = tuple(see_also)

    def verb(self, name: str, summary: str, **more):
        """Decorator: `frame.command` for a command of this group. Its exit codes are the group's, with what it adds."""
        exits = {c: t for c, t in self.exits.items() if c not in EXIT_CODES or EXIT_CODES[c] != t} | more.pop(
            "exits", {}
        )

        def decorate(function):
            made = command(f"{self.name} {name}", summary, exits=exits, see_also=[f"{self.name}(1)"],
                           sockets=self.sockets, **more)(function)
            self.add_command(made, name)
            return made

        return decorate

    def format_help(self, ctx, formatter):
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(self.short_help or "")
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write_text(f"# {example.caption}")
                formatter.write(f"{'':>{formatter.current_indent}}{example.line}\n")
        if self.help:
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(self.help)
        with formatter.section(f"Commands ({self.name} COMMAND -h says more)"):
            formatter.write_dl([(name, c.short_help) for name, c in self.commands.items()])
        super(click.Group, self).format_options(ctx, formatter)
        with formatter.section("Exit status"):
            formatter.write_dl([(str(code), text) for code, text in sorted(self.exits.items())])

    def list_commands(self, ctx):
        return list(self.commands)

    def resolve_command(self, ctx, args):
        if args[0] not in self.commands and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], list(self.commands), n=1)
            raise click.UsageError(
                f"no such command: {args[0]}" + (f"; did you mean {close[0]}?" if close else ""), ctx
            )
        return super().resolve_command(ctx, args)

    def main(self, args=None, prog_name=None, complete_var=None, standalone_mode=True, **extra):
        prog = prog_name or self.name
        sys.exit(run_guarded(prog, lambda: super(CommandGroup, self).main(args, prog, complete_var, standalone_mode=False, **extra)))


def group(name: str, summary: str, *, description: str = "", examples=(), exits=None, see_also=(), sockets=False) -> CommandGroup:
    """A command that has only commands. exits: codes they share beyond those every command has. sockets: as `frame.command` has it."""

    def show_version(ctx, param, value):
        if value and not ctx.resilient_parsing:
            click.echo(version_line(name))
            ctx.exit()

    return CommandGroup(
        name,
        help=description,
        short_help=summary,
        examples=examples,
        exits=exits,
        see_also=see_also,
        sockets=sockets,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        params=[
            click.Option(
                ["--version"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=show_version,
                help="Print the version and leave.",
            )
        ],
    )
