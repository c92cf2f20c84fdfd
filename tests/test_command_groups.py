"""Commands that have commands: each of these has the manners of a command, and stands in the manual of the group."""

import re

import click
import pytest
from conftest import ROOT

from monolith_cli.commands import COMMANDS, load
from monolith_cli.commands.group import CommandGroup

GROUPS = [name for name in COMMANDS if isinstance(load(name), CommandGroup)]
VERBS = [(name, verb) for name in GROUPS for verb in load(name).commands]


def options_of(name, verb):
    command = load(name).commands[verb]
    return [p for p in command.get_params(click.Context(command)) if isinstance(p, click.Option)]


def test_there_are_groups():
    assert {"zk", "serving-client"} <= set(GROUPS)


@pytest.mark.parametrize("name", GROUPS)
def test_the_manual_and_help_of_the_group_name_everything(run, name):
    text = run(name, "-h").stdout.decode()
    page = (ROOT / "man" / "man1" / f"{name}.1").read_text(encoding="utf-8").replace("\\-", "-")
    page = re.sub(r"\\f[BIRP]", " ", page)
    for verb, command in load(name).commands.items():
        assert re.search(rf"^  {re.escape(verb)}\s", text, re.M) and f".SS {name} {verb} [OPTION]..." in page
        for option in options_of(name, verb):
            assert option.help, f"{name} {verb} {option.opts}: no help"
            assert all(re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", page) for flag in option.opts), option.opts
            if isinstance(option.envvar, list) and option.name not in ("version", "help"):
                variable = f"MONOLITH_{name}_{verb}_".upper().replace("-", "_")
                assert option.envvar[0].startswith(variable)
    done = run(name, check=False)
    assert done.returncode == 2
    done = run(name, "no-such-verb", check=False)
    assert done.returncode == 2 and "no such command: no-such-verb" in done.stderr


@pytest.mark.parametrize("name,verb", VERBS, ids=[f"{n} {v}" for n, v in VERBS])
def test_every_command_of_a_group(name, verb):
    from click.testing import CliRunner

    command = load(name).commands[verb]
    shown = CliRunner().invoke(command, ["--help"], prog_name=f"{name} {verb}").output
    for option in options_of(name, verb):
        assert all(flag in shown for flag in option.opts), option.opts
    assert "Exit status" in shown and command.short_help in " ".join(shown.split())
    assert set(load(name).exits) <= set(command.exits)


def test_a_settings_file_for_one_command_and_for_all(run, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('[zk]\nzk-servers = "h:1"\ndepth = 3\n[zk.tree]\ndepth = 1\n')
    shown = run("zk", "tree", "--config", config, "--show-config").stdout.decode()
    assert f"depth = 1  # {config}" in shown and f"zk-servers = h:1  # {config}" in shown
    shown = run("zk", "get", "/x", "--config", config, "--show-config").stdout.decode()
    assert "depth" not in shown and "zk-servers = h:1" in shown
    for text, part in (
        ("[zk]\nnone = 1\n", "[zk] none"),
        ("[zk.tree]\ndepht = 1\n", "did you mean depth?"),
        ("zk = 3\n", "must be a table"),
        ("[zk]\ntree = 3\n", "[zk.tree] must be a table"),
    ):
        config.write_text(text)
        done = run("zk", "tree", "--config", config, check=False)
        assert done.returncode == 78 and part in done.stderr, done.stderr
