"""Options that the table commands share."""

import click

directory = click.argument("path", metavar="DIR", type=click.Path())
checkpoint = click.option("--checkpoint", metavar="NAME", help="Which checkpoint of a model directory: its name or its step. [default: the newest]")
table = click.option("--table", metavar="NAME", help="Only this table. [default: all]")
output = click.option("-o", "--output", metavar="OUT", type=click.Path(file_okay=False), required=True,
                      help="Folder of the new table files; it is made, and appears whole.")
force = click.option("--force", is_flag=True, help="Replace table files that are in OUT already.")
shards = click.option("--shards", type=click.IntRange(1, 99999), metavar="N", help="Files of each set. [default: one for each million rows, at most 4]")


class Size(click.ParamType):
    """A number of bytes: 64M, 1G."""

    name = "SIZE"

    def convert(self, value, param, ctx):
        import re

        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+)([KMGT]?)i?B?", value.strip(), re.IGNORECASE)
        if not found:
            self.fail(f"{value!r} is no size: give 64M, 1G or a number of bytes", param, ctx)
        size = int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[found[2].upper()]
        if size < 1 << 20:
            self.fail(f"{value!r} is too little: 1M at least", param, ctx)
        return size


def memory(function):
    """How much memory a command takes for rows, and where the others wait meanwhile: handed over as memory and spool."""
    function = click.option("-T", "--temporary-directory", "spool", type=click.Path(exists=True, file_okay=False), metavar="DIR",
                            help="Folder for rows that do not fit into memory. [default: TMPDIR, else /tmp]")(function)
    return click.option("--memory", type=Size(), default="256M", show_default=True, metavar="SIZE",
                        help="Memory for rows; what is more waits in a temporary file without a name.")(function)


# For the manuals.
PLACE = """\
DIR is a model directory (its newest checkpoint that is whole), the prefix of a checkpoint (m/model.ckpt-100), a directory of
table files or the base name of one set of them."""
WHERE = PLACE + " Nothing on the disk is changed, and memory does not grow with the table."
NEW = """\
OUT is made and appears whole, after an error or a signal not at all. A folder that holds table files is refused without --force;
with it each set of files takes the place of the older one, all of it or nothing. To train with the new files, put them in the
place of a checkpoint's tables: OUT is what PREFIX.assets is."""
EXITS = {65: "a file is damaged or missing: the message names it, the byte and the reason", 66: "there is no checkpoint"}
NEW_EXITS = EXITS | {73: "OUT cannot be made, or table files are there already"}
