"""Man pages and shell completion, made from the click commands: `python -m monolith_cli.commands.manpage ROOT`.

Writes ROOT/man/man1/*.1 and ROOT/completions/*; a test holds the committed files against what this makes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from monolith_cli import __version__
from monolith_cli.commands import COMMANDS, load, verbs
from monolith_cli.commands.common import environment_prefix
from monolith_cli.commands.group import CommandGroup

FILES_TEXT = "Files that a command writes appear whole: they are written beside their name and renamed when they are complete."


def escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line.startswith((".", "'")) else line for line in text.split("\n"))


def _option_lines(command: click.Command, wanted=lambda param: True) -> list[str]:
    lines = []
    ctx = click.Context(command, info_name=command.name)
    for param in command.get_params(ctx):
        if not isinstance(param, click.Option) or not wanted(param):
            continue
        record = param.get_help_record(ctx)
        if record is None:
            continue
        names, text = record
        lines += [".TP", f"\\fB{escape(names)}\\fR", escape(" ".join(text.split()))]
        variable = param.envvar[0] if isinstance(param.envvar, list) and param.envvar else None
        if variable:
            lines.append(f"Environment: {escape(', '.join(param.envvar))}.")
    return lines


def _verb_lines(group: click.Group) -> list[str]:
    """A sub-section for each command of a group: what it does and the options that are its own; at the end those all share."""
    common = set.intersection(*({p.name for p in c.params if isinstance(p, click.Option)} for c in group.commands.values()))
    lines = [".SH COMMANDS"]
    for name, command in group.commands.items():
        lines += [f".SS {escape(f'{group.name} {name} [OPTION]... {_arguments(command)}'.rstrip())}", *_paragraphs(command.short_help), *_paragraphs(command.help)]
        lines += _option_lines(command, lambda p: p.name not in common and p.name != "help")
    first = next(iter(group.commands.values()))
    return [*lines, ".SS Options of every command", *_option_lines(first, lambda p: p.name in common)]


def _arguments(command: click.Command) -> str:
    return " ".join(p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument))


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in (text or "").split("\n\n"):
        stripped = paragraph.strip("\n")
        if not stripped.strip():
            continue
        if stripped.startswith("\b"):
            body = stripped.lstrip("\b").strip("\n")
            lines += [".PP", ".nf", escape(body), ".fi"]
        else:
            lines += [".PP", escape(" ".join(stripped.split()))]
    return lines


def man_page(name: str) -> str:
    """The man page of one command, in man(7) macros."""
    command = load(name)
    out = [f'.TH {name.upper()} 1 "" "monolith\\-cli {__version__}" "monolith\\-cli manual"', ".SH NAME",
           f"{escape(name)} \\- {escape((command.short_help or '').rstrip('.'))}", ".SH SYNOPSIS",
           f"\\fB{escape(name)}\\fR " + (escape("COMMAND [OPTION]... [ARGUMENT]...") if isinstance(command, CommandGroup) else
                                    f"[\\fIOPTION\\fR]... {escape(_arguments(command))}".rstrip()), ".SH DESCRIPTION"]
    out += _paragraphs(command.help or command.short_help)
    if isinstance(command, CommandGroup):
        out += _verb_lines(command)
    elif isinstance(command, click.Group):
        out += [".SH VERBS"]
        for verb, target in sorted(verbs().items()):
            out += [".TP", f"\\fB{escape(verb)}\\fR", f"{escape(load(target).short_help)} See {escape(target)}(1)."]
    out += [".SH OPTIONS", *_option_lines(command)]
    exits = getattr(command, "exits", None)
    if exits:
        out += [".SH EXIT STATUS"]
        for code, text in sorted(exits.items()):
            out += [".TP", str(code), escape(text)]
        out += [".SH ENVIRONMENT", f"Every option has a variable {escape(environment_prefix(name))}_\\fIOPTION\\fR, named with it above; a flag goes before "
                "its variable, a variable before the file of \\-\\-config, and that before the default."]
        out += [".SH FILES", escape(FILES_TEXT)]
    if getattr(command, "examples", ()):
        out += [".SH EXAMPLES"]
        for example in command.examples:
            out += [".TP", escape(example.caption), ".nf", escape(example.line), ".fi"]
    see = getattr(command, "see_also", ()) or tuple(f"{c}(1)" for c in sorted(COMMANDS) if c != name)
    out += [".SH SEE ALSO", escape(", ".join(see))]
    return "\n".join(out) + "\n"


def completions() -> dict[str, str]:
    """File name -> content: one file per shell that completes all commands."""
    names = sorted(COMMANDS)
    bash = f"""# Completion of all monolith-cli commands; bash 4.4 or newer. Source it, or put it where bash-completion looks.
_monolith_cli() {{
    local name=${{1##*/}} line kind value
    local variable=_$(printf %s "$name" | tr a-z- A-Z_)_COMPLETE
    COMPREPLY=()
    while IFS= read -r line; do
        kind=${{line%%,*}} value=${{line#*,}}
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD="$COMP_CWORD" "$variable=bash_complete" "$1")
}}
complete -o nosort -F _monolith_cli {' '.join(names)}
"""
    zsh = f"""#compdef {' '.join(names)}
# Completion of all monolith-cli commands for zsh: put it into a folder of $fpath as _monolith-cli.
local -a replies plain described
local variable="_${{(U)${{words[1]:t}}//-/_}}_COMPLETE" type key text
replies=("${{(@f)$(env COMP_WORDS="${{words[*]}}" COMP_CWORD=$((CURRENT-1)) $variable=zsh_complete ${{words[1]}})}}")
for type key text in ${{replies}}; do
    case $type in
        plain) if [[ $text == _ ]]; then plain+=("$key"); else described+=("$key:$text"); fi ;;
        dir) _path_files -/ ;;
        file) _path_files -f ;;
    esac
done
(( ${{#described}} )) && _describe -V unsorted described -U
(( ${{#plain}} )) && compadd -U -V unsorted -a plain
"""
    fish = "# Completion of all monolith-cli commands for fish.\n" + f"""function _monolith_cli
    set -l name (commandline -cp | string split -n ' ')[1]
    set -l variable _(basename $name | string upper | string replace -a - _)_COMPLETE
    for line in (env $variable=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) $name)
        set -l part (string split -m 1 ',' -- $line)
        switch $part[1]
            case dir
                __fish_complete_directories $part[2]
            case file
                __fish_complete_path $part[2]
            case plain
                echo $part[2]
        end
    end
end
for name in {' '.join(names)}
    complete --no-files --command $name --arguments '(_monolith_cli)'
end
"""
    return {"monolith-cli.bash": bash, "_monolith-cli": zsh, "monolith-cli.fish": fish}


def files() -> dict[str, str]:
    """Path below the root of the project -> content."""
    made = {f"man/man1/{name}.1": man_page(name) for name in COMMANDS}
    return made | {f"completions/{name}": text for name, text in completions().items()}


def main() -> None:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    for path, text in files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
