"""The manners that every command shares: help, version, man page, completion, settings, exit codes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from monolith_cli.commands import COMMANDS, load, verbs
from monolith_cli.commands.common import long_name
from monolith_cli.commands.manpage import files

ROOT = Path(__file__).resolve().parent.parent
STREAM = ["pb-cat", "pb-filter", "pb-head", "pb-merge", "pb-shuffle"]  # records in, records out
LEAVES = [name for name in COMMANDS if name != "monolith"]


def options_of(name):
    command = load(name)
    return [p for p in command.get_params(click.Context(command)) if isinstance(p, click.Option) and not p.hidden]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_option_and_shows_two_examples(run, name):
    text = run(name, "-h").stdout.decode()
    assert text == run(name, "--help").stdout.decode()
    for option in options_of(name):
        for flag in option.opts + option.secondary_opts:
            assert re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text), f"{name} -h does not show {flag}"
        assert option.help, f"{name} {option.opts}: no help"
    if name != "monolith":
        assert len(load(name).examples) >= 2
        for example in load(name).examples:
            assert example.line in text


@pytest.mark.parametrize("name", COMMANDS)
def test_version(run, name):
    done = run(name, "--version")
    assert re.fullmatch(rf"{name} \(monolith-cli\) \d+\.\d+\.\d+\n", done.stdout.decode())
    assert done.stderr == ""


def test_man_pages_and_completion_are_current():
    for path, text in files().items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path} is stale: run `make docs`"


@pytest.mark.parametrize("name", COMMANDS)
def test_man_page_renders_and_names_every_option(name):
    if shutil.which("mandoc") is None:
        if os.environ.get("MONOLITH_REQUIRE_SERVERS"):
            pytest.fail("mandoc is not installed")
        pytest.skip("mandoc is not installed")
    page = ROOT / "man" / "man1" / f"{name}.1"
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "error", page], capture_output=True, text=True, check=False)
    assert lint.returncode == 0, lint.stdout
    text = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=500", page], capture_output=True, text=True, check=True).stdout
    text = re.sub(r".\x08", "", text)
    for option in options_of(name):
        for flag in option.opts:
            assert flag in text
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"):
        assert re.search(rf"^{section}$", text, re.M)
    if name != "monolith":
        for section in ("EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"):
            assert re.search(rf"^{section}$", text, re.M)


def test_every_command_has_launcher_entry_point_and_verb(run):
    scripts = (ROOT / "pyproject.toml").read_text()
    for name, module in COMMANDS.items():
        assert (ROOT / "bin" / name).exists()
        assert f'{name} = "monolith_cli.commands.{module}:main"' in scripts
    text = run("monolith", "-h").stdout.decode()
    for verb, name in verbs().items():
        assert re.search(rf"^\s+{re.escape(verb)}\s", text, re.M), verb
        assert run("monolith", verb, "--version").stdout.decode().startswith(name)


def test_unknown_verb_suggests_a_near_one(run):
    done = run("monolith", "pb-cta", check=False)
    assert done.returncode == 2
    assert "did you mean pb-cat?" in done.stderr


@pytest.mark.parametrize("name", LEAVES)
def test_unknown_option_is_a_usage_error(run, name):
    done = run(name, "--no-such-option", check=False)
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.startswith(f"{name}: ") and "Traceback" not in done.stderr


def test_precedence_flag_environment_file_default(run, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('[pb-head]\nrecords = 7\ntype = "example"\n')

    def shown(*args, env=None):
        lines = run("pb-head", *args, "--show-config", env=env).stdout.decode().splitlines()
        return dict(line.split(" = ", 1) for line in lines)

    assert shown()["records"] == "10  # default"
    assert shown("--config", config)["records"] == f"7  # {config}"
    assert shown("--config", config, env={"MONOLITH_PB_HEAD_RECORDS": "5"})["records"] == "5  # MONOLITH_PB_HEAD_RECORDS"
    assert shown("-n", "3", "--config", config, env={"MONOLITH_PB_HEAD_RECORDS": "5"})["records"] == "3  # flag"
    assert shown(env={"MONOLITH_RECORD_TYPE": "example_batch"})["type"] == "example_batch  # MONOLITH_RECORD_TYPE"
    assert shown("--config", config)["type"] == f"example  # {config}"


def test_an_option_that_may_be_repeated_from_a_file(run, tmp_path):
    config = tmp_path / "config.toml"
    for value in ('"10,20"', '["10", "20"]', '["10,20"]'):
        config.write_text(f"[pb-filter]\nhas-slot = {value}\n")
        shown = run("pb-filter", "--config", config, "--show-config").stdout.decode()
        assert [line for line in shown.splitlines() if line.startswith("has-slot")][0].split("  #")[0] in (
            "has-slot = 10,20", "has-slot = 10 20")
    config.write_text("[pb-filter]\nhas-slot = 10\n")
    assert run("pb-filter", "--config", config, stdin=b"").returncode == 0



def test_mistakes_in_the_config_file(run, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("[pb-head]\nrecrods = 7\n")
    done = run("pb-head", "--config", config, check=False)
    assert done.returncode == 78 and "recrods" in done.stderr and "did you mean records?" in done.stderr
    config.write_text("[pb-head\n")
    assert run("pb-head", "--config", config, check=False).returncode == 78
    assert run("pb-head", "--config", tmp_path / "none.toml", check=False).returncode == 66


def test_lock_is_held_by_one_run(run, tmp_path):
    import fcntl

    lock = tmp_path / "lock"
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run("pb-head", "--lock", lock, check=False)
        assert done.returncode == 75 and str(lock) in done.stderr
    assert run("pb-head", "--lock", lock).returncode == 0


def test_metrics_file_is_written_whole(run, tmp_path):
    path = tmp_path / "m.prom"
    run("pb-cat", "--metrics-file", path, stdin=bytes(8) * 3)
    text = path.read_text()
    assert re.search(r"^monolith_pb_cat_exit_code 0$", text, re.M)
    assert re.search(r"^monolith_pb_cat_records_in 3$", text, re.M)
    run("pb-cat", "--metrics-file", path, stdin=b"\x01", check=False)
    assert re.search(r"^monolith_pb_cat_exit_code 65$", path.read_text(), re.M)
    assert [p.name for p in tmp_path.iterdir()] == ["m.prom"]


def test_quiet_and_json_messages(run):
    assert run("pb-cat", "-q", stdin=bytes(8)).stderr == ""
    lines = run("pb-cat", "--log-format", "json", stdin=bytes(8)).stderr.splitlines()
    assert lines and all("message" in json.loads(line) for line in lines)


@pytest.mark.parametrize("name", STREAM)
def test_full_device_is_an_error(run, name):
    with open("/dev/full", "wb") as full:
        done = run(name, stdin=bytes(8) * 1000, stdout=full, check=False)
    assert done.returncode == 74
    assert "No space left" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", STREAM)
def test_reader_that_leaves_kills_silently(name):
    line = f"yes | {sys.executable} -m monolith_cli pb-gen -n 200000 --seed 1 2>/dev/null | {sys.executable} -m monolith_cli {name} -q"
    if name == "pb-head":
        line += " -n 100000"
    done = subprocess.run(["bash", "-c", line + " | head -c 10 >/dev/null; echo ${PIPESTATUS[2]}"], capture_output=True, text=True,
                          cwd=ROOT, check=True)
    assert done.stdout.strip() == "141"
    assert done.stderr == ""


def test_records_are_refused_to_a_terminal():
    import pty

    master, slave = pty.openpty()
    done = subprocess.run([sys.executable, "-m", "monolith_cli", "pb-cat", "/dev/null"], stdout=slave, stderr=subprocess.PIPE,
                          cwd=ROOT, check=False)
    os.close(slave)
    os.close(master)
    assert done.returncode == 2
    assert b"pb-show" in done.stderr


def test_completion_answers(run):
    done = run("pb-cat", env={"_PB_CAT_COMPLETE": "bash_complete", "COMP_WORDS": "pb-cat --comp", "COMP_CWORD": "1"}, check=False)
    assert b"--compression" in done.stdout


def test_start_imports_nothing_heavy():
    code = "import sys; from monolith_cli.commands import load; load({!r}); print([m for m in sys.modules if m in {!r}])"
    heavy = {"tensorflow", "numpy", "google.protobuf", "zstandard", "keras", "pyarrow"}
    for name in LEAVES:
        out = subprocess.run([sys.executable, "-c", code.format(name, heavy)], capture_output=True, text=True, cwd=ROOT, check=True)
        assert out.stdout.strip() == "[]", name


@pytest.mark.parametrize("other", ["--rejected", "--stats", "--metrics-file", "--on-bad-record"])
def test_two_outputs_in_one_file_are_refused(run, tmp_path, other):
    path = tmp_path / "same"
    done = run("pb-filter", "--label", "1", "-o", path, other, tmp_path / "." / "same", check=False)
    assert done.returncode == 2 and "--output" in done.stderr and other in done.stderr and not path.exists()
    assert run("pb-filter", "--label", "1", "-o", path, other, tmp_path / "else").returncode == 0
    assert run("pb-filter", "--label", "1", "-o", "/dev/null", "--rejected", "/dev/null", check=False).returncode != 2


def test_files_of_the_user_in_a_checkout_stand_for_no_library(tmp_path):
    """The README has a click.py written where one stands, which may be the checkout."""
    (tmp_path / "bin").mkdir()
    for name in ("pb-gen", "monolith-eval"):
        shutil.copy(ROOT / "bin/monolith", tmp_path / "bin" / name)
    for package in ("monolith_cli", "monolith_protos"):
        (tmp_path / package).symlink_to(ROOT / package)
    for library in ("click", "numpy", "json", "random", "google"):
        (tmp_path / f"{library}.py").write_text("raise SystemExit('not the library')")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"MONOLITH_PYTHON": sys.executable}
    for command in (["pb-gen", "-n", "3"], ["monolith-eval", "-h"]):
        line = [f"bin/{command[0]}", *command[1:]]
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, timeout=300, check=False)
        assert done.returncode == 0 and done.stdout, done.stderr.decode()
