"""Options that the table commands share."""

import click

directory = click.argument("path", metavar="DIR", type=click.Path())
checkpoint = click.option("--checkpoint", metavar="NAME", help="Which checkpoint of a model directory: its name or its step. [default: the newest]")
table = click.option("--table", metavar="NAME", help="Only this table. [default: all]")

# For the manuals.
WHERE = """\
DIR is a model directory (its newest checkpoint that is whole), the prefix of a checkpoint (m/model.ckpt-100), a directory of
table files or the base name of one set of them. Nothing on the disk is changed, and memory does not grow with the table."""
EXITS = {65: "a file is damaged or missing: the message names it, the byte and the reason", 66: "there is no checkpoint"}
