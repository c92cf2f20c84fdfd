"""Options that the serving commands share: TLS files and ZooKeeper."""

from __future__ import annotations

import click

_FILE = click.Path(dir_okay=False)

_TLS = (
    click.option("--tls-ca", type=_FILE, help="PEM file of the certificates that the other side is checked against."),
    click.option(
        "--tls-cert", type=_FILE, help="PEM file of the certificate that this side shows; goes with --tls-key."
    ),
    click.option("--tls-key", type=_FILE, help="PEM file of the private key of --tls-cert."),
)
_TLS_NAME = click.option(
    "--tls-server-name", help="Name the server's certificate must carry. [default: the host of the target]"
)

_ZOOKEEPER = (
    click.option(
        "--zk-servers",
        envvar="ZK_SERVERS",
        metavar="HOST:PORT,…",
        help="ZooKeeper servers, host:port, apart by commas.",
    ),
    click.option(
        "--zk-auth-file",
        type=_FILE,
        help="File with user:password for ZooKeeper's digest authentication. [default: the variable ZK_AUTH]",
    ),
    click.option("--zk-sasl-file", type=_FILE, help="File with user:password for SASL DIGEST-MD5 with ZooKeeper."),
    click.option(
        "--zk-tls-ca",
        type=_FILE,
        help="PEM file of the certificates ZooKeeper's servers are checked against; turns TLS on.",
    ),
    click.option(
        "--zk-tls-cert", type=_FILE, help="PEM file of the certificate shown to ZooKeeper; goes with --zk-tls-key."
    ),
    click.option("--zk-tls-key", type=_FILE, help="PEM file of the private key of --zk-tls-cert."),
    click.option(
        "--zk-session-timeout",
        type=click.FloatRange(1, 600),
        default=10.0,
        show_default=True,
        help="Seconds without contact after which ZooKeeper ends the session and takes its ephemeral nodes away.",
    ),
    click.option(
        "--zk-connect-timeout",
        type=click.FloatRange(0.1, 600),
        default=10.0,
        show_default=True,
        help="Seconds to wait for a server, when connecting and in every operation, before leaving with 69.",
    ),
    click.option(
        "--zk-acl",
        type=click.Choice(["open", "owner"]),
        default="open",
        show_default=True,
        help="Who may change the nodes that are made: everybody, or only who has the same credentials, "
        "while everybody may read.",
    ),
)

_DELETING = (
    click.option("--dry-run", is_flag=True, help="Say what would be changed, and change nothing."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask before something is deleted."),
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def _apply(options):
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def tls_client_options(function):
    """--tls-ca, --tls-cert, --tls-key, --tls-server-name; see `client_tls`."""
    return _apply((*_TLS, _TLS_NAME))(function)


def tls_server_options(function):
    """--tls-ca, --tls-cert, --tls-key of a server; see `server_tls`."""
    return _apply(_TLS)(function)


def zookeeper_options(function):
    """--zk-servers, --zk-auth-file and what else a session with ZooKeeper needs; see `zk_config`."""
    return _apply(_ZOOKEEPER)(function)


def client_tls(values: dict):
    """Takes the TLS options out of `values`; `serving.channel.Tls`, or None where none was given (plain text)."""
    from monolith_cli.serving.channel import Tls

    files = {n: values.pop(f"tls_{n}", None) for n in ("ca", "cert", "key", "server_name")}
    return Tls(**files) if any(files.values()) else None


server_tls = client_tls


def zk_config(values: dict, servers: str | None = None):
    """Takes the ZooKeeper options out of `values`; `serving.zookeeper.connection.ZkConfig`. `servers` stands in for
    --zk-servers."""
    from monolith_cli import errors
    from monolith_cli.serving.zookeeper.connection import ZkConfig

    taken = {
        n: values.pop(f"zk_{n}") for n in ("servers", "auth_file", "sasl_file", "tls_ca", "tls_cert", "tls_key", "acl")
    }
    taken["session_timeout_s"], taken["connect_timeout_s"] = (
        values.pop("zk_session_timeout"),
        values.pop("zk_connect_timeout"),
    )
    taken["servers"] = taken["servers"] or servers
    if not taken["servers"]:
        raise errors.UsageError("no ZooKeeper named: give --zk-servers HOST:PORT")
    return ZkConfig(**taken)


def deleting_options(function):
    """--dry-run and --yes; see `confirmed`."""
    return _apply(_DELETING)(function)


def confirmed(what: str, yes: bool) -> bool:
    """Whether `what` ("delete 3 nodes below /a") is to be done: as --yes or the person at the terminal says.
    UsageError where there is none."""
    import sys

    from monolith_cli import errors

    if yes:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise errors.UsageError(f"{what}: nobody is here to be asked. Give --yes to do it, --dry-run to see what it is")
    return click.confirm(f"{what[0].upper()}{what[1:]}?", err=True)


def stock_spelling(command):
    """Takes a command's options with underscores too (--zk_servers), as the original's tools spell them."""
    parse = command.parse_args

    def dashed(arg: str) -> str:
        name, equals, value = arg.partition("=")
        return name.replace("_", "-") + equals + value if name.startswith("--") else arg

    command.parse_args = lambda ctx, args: parse(ctx, [dashed(a) for a in args])
    return command


def print_json(value, indent: int | None = None) -> None:
    """One JSON object on stdout."""
    import json

    click.echo(json.dumps(value, indent=indent, ensure_ascii=False))
