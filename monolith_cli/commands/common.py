"""The options every command has, and how a command is executed between them."""

from __future__ import annotations

import os
import signal
import sys

import click

from monolith_cli import __version__, errors
from monolith_cli.commands.run import Log, Run


def common_params() -> list[click.Parameter]:
    def show_version(ctx, param, value):
        if value and not ctx.resilient_parsing:
            click.echo(version_line(ctx.command.name))
            ctx.exit()

    return [
        click.Option(["-v", "--verbose"], count=True, help="Say more on stderr; errors show their trace."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing on stderr but errors."),
        click.Option(["--log-format"], type=click.Choice(["text", "json"]), default="text", show_default=True,
                     help="Form of the messages on stderr."),
        click.Option(["--progress/--no-progress"], default=None, help="Show progress on stderr. [default: when it is a terminal]"),
        click.Option(["--config"], type=click.Path(dir_okay=False), is_eager=True, callback=_load_config, expose_value=False,
                     help="TOML file with settings: a table per command, keys as the long options; flags and environment go before."),
        click.Option(["--show-config"], is_flag=True, help="Print each setting, its value and where it comes from, and leave."),
        click.Option(["--metrics-file"], type=click.Path(dir_okay=False), help="Write counters for Prometheus' textfile collector to this file at the end."),
        click.Option(["--lock"], type=click.Path(dir_okay=False), help="Hold a lock on this file while running; leave with 75 if another run holds it."),
        click.Option(["--skip-exit-code"], type=click.IntRange(1, 255), help="Exit with this code when there was nothing to do. [default: 0]"),
        click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=show_version, help="Print the version and leave."),
    ]


def version_line(name: str) -> str:
    return f"{name} (monolith-cli) {__version__}"


def environment_prefix(name: str) -> str:
    """pb-head -> MONOLITH_PB_HEAD, monolith-train -> MONOLITH_TRAIN, zk tree -> MONOLITH_ZK_TREE."""
    return "MONOLITH" + ("_" + name.removeprefix("monolith").lstrip("-") if name != "monolith" else "").upper().replace("-", "_").replace(" ", "_")


def long_name(param: click.Parameter) -> str:
    """The long option without its dashes: what settings are called in a file."""
    names = [o for o in param.opts if o.startswith("--")]
    return (names[0] if names else param.opts[0]).lstrip("-")


def name_environment(command: click.Command) -> None:
    """Gives every option its environment variable, in front of those it has."""
    prefix = environment_prefix(command.name)
    for param in command.params:
        if isinstance(param, click.Option) and long_name(param) not in ("version", "show-config"):
            own = f"{prefix}_{long_name(param).upper().replace('-', '_')}"
            more = [param.envvar] if isinstance(param.envvar, str) else list(param.envvar or [])
            param.envvar = [own, *[m for m in more if m != own]] + (["MONOLITH_CONFIG"] if long_name(param) == "config" else [])
            param.allow_from_autoenv = False


def _load_config(ctx: click.Context, param, path: str | None):
    if path is None or ctx.resilient_parsing:
        return
    import tomllib

    try:
        with open(path, "rb") as f:
            tables = tomllib.load(f)
    except FileNotFoundError:
        raise errors.NoInputError(f"--config {path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise errors.ConfigError(f"--config {path}: {e}") from None
    settings = _settings_of(tables, ctx, path)
    known = {long_name(p): p for p in ctx.command.params if isinstance(p, click.Option)}
    for key in settings:
        if key not in known:
            raise errors.ConfigError(f"--config {path}: [{ctx.command.name}] {key}: no such setting{_near(key, known)}")
    # One value of an option that may be repeated need not be a list; click would take a string for a list of letters.
    ctx.default_map = {known[k].name: [v] if known[k].multiple and not isinstance(v, list) else v for k, v in settings.items()}
    ctx.meta["monolith.config"] = path


def _settings_of(tables: dict, ctx: click.Context, path: str) -> dict:
    """The table of a command; for one of a group, [group.command] over what of [group] it knows."""
    name, _, verb = ctx.command.name.partition(" ")
    settings = tables.get(name, {})
    own = settings.get(verb, {}) if verb and isinstance(settings, dict) else {}
    for table, called in ((settings, name), (own, f"{name}.{verb}")):
        if not isinstance(table, dict):
            raise errors.ConfigError(f"--config {path}: [{called}] must be a table")
    if not verb:
        return settings
    siblings = ctx.parent.command.commands.values()
    of_siblings = {long_name(p) for c in siblings for p in c.params if isinstance(p, click.Option)}
    shared = {k: v for k, v in settings.items() if not isinstance(v, dict)}
    for key in shared:
        if key not in of_siblings:
            raise errors.ConfigError(f"--config {path}: [{name}] {key}: no such setting{_near(key, of_siblings)}")
    mine = {long_name(p) for p in ctx.command.params}
    return {k: v for k, v in shared.items() if k in mine} | own


def _near(word: str, words) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _show_config(ctx: click.Context) -> None:
    from click.core import ParameterSource

    for param in ctx.command.params:
        if param.name not in ctx.params or param.name == "show_config":
            continue
        source = ctx.get_parameter_source(param.name)
        origin = {ParameterSource.COMMANDLINE: "flag", ParameterSource.DEFAULT_MAP: ctx.meta.get("monolith.config")}.get(source, "default")
        if source == ParameterSource.ENVIRONMENT:
            names = param.envvar if isinstance(param.envvar, (list, tuple)) else [param.envvar]
            origin = next((n for n in names if n and os.environ.get(n)), "environment")
        value = ctx.params[param.name]
        name = long_name(param) if isinstance(param, click.Option) else param.name.upper()
        shown = "" if value is None else " ".join(map(str, value)) if isinstance(value, tuple) else value
        click.echo(f"{name} = {shown}  # {origin}")


def _hold_lock(path: str):
    import fcntl

    try:
        handle = open(path, "a", encoding="utf-8")  # noqa: SIM115 - held until the process ends
    except OSError as e:
        raise errors.CannotCreateError(f"--lock {path}: {e.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise errors.TryAgainError(f"--lock {path}: another run holds it") from None
    return handle


def _spare_terminal(ctx: click.Context) -> None:
    command = ctx.command
    to_stdout = ctx.params.get("output") in (None, "-")
    binary = command.binary_output(ctx.params) if callable(command.binary_output) else command.binary_output
    if binary and to_stdout and sys.stdout is not None and sys.stdout.isatty():
        raise errors.UsageError(f"records are binary and not for a terminal; pipe them on: {ctx.command_path} … | pb-show")
    if command.reads_stdin and not ctx.params.get("sources") and sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("nothing to read: name a SOURCE or pipe records in", ctx)


_OUTPUTS = ("output", "rejected", "stats", "on_bad_record", "metrics_file")


def _keep_outputs_apart(ctx: click.Context) -> None:
    """Two options with one file: what is put into place last would take the other away, without a word."""
    options = {p.name: p.opts[0] if len(p.opts) == 1 else f"--{long_name(p)}" for p in ctx.command.params}
    taken: dict[str, str] = {}
    for name in _OUTPUTS:
        path = ctx.params.get(name)
        if not path or path == "-" or (name == "on_bad_record" and path in ("fail", "skip")):
            continue
        place = os.path.realpath(path)
        if os.path.exists(place) and not os.path.isfile(place):
            continue  # a device or a pipe
        if place in taken:
            raise click.UsageError(f"{options[taken[place]]} and {options[name]} name one file, {path}: give each its own", ctx)
        taken[place] = name


def execute(ctx: click.Context, function, values: dict):
    """Runs the body of a command with its common options taken care of."""
    verbose, quiet, as_json = values.pop("verbose"), values.pop("quiet"), values.pop("log_format") == "json"
    if verbose and quiet:
        raise click.UsageError("-v and -q exclude each other", ctx)
    progress, lock = values.pop("progress"), values.pop("lock")
    metrics_file, skip_code = values.pop("metrics_file"), values.pop("skip_exit_code")
    if values.pop("show_config"):
        _show_config(ctx)
        return 0
    _spare_terminal(ctx)
    _keep_outputs_apart(ctx)
    Run.debugging = bool(verbose)
    log = Log(ctx.command_path, -1 if quiet else verbose, as_json)
    run = Run(ctx.command_path, log, sys.stderr.isatty() and not quiet if progress is None else progress)
    held = _hold_lock(lock) if lock else None
    if ctx.command.sockets:
        # Written to a connection that is gone the signal would end a server, or an agent whose session has expired.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        # What goes wrong is told by the command, in a line of its own.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    code = 70
    try:
        result = function(run=run, **values)
        code = result if isinstance(result, int) else skip_code if run.nothing_to_do and skip_code else 0
    except errors.Error as e:
        code = e.exit_code
        raise
    except (KeyboardInterrupt, click.Abort):
        code = 130
        raise
    except BrokenPipeError:
        code = 141
    finally:
        if metrics_file:
            run.write_metrics(metrics_file, code)
        del held
    if code == 141:
        end_by_sigpipe()
    return code


def end_by_sigpipe() -> None:
    """The reader of standard output went away: ends the process as the signal does where it is not ignored."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
