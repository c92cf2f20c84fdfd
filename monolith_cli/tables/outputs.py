"""Where the table commands write: a new directory that appears whole, or sets of files that take the place of older ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from monolith_cli.errors import BadDataError, CannotCreateError, IoError, UsageError
from monolith_cli.tables import tools

FILTERS = "hash_filter_"


class Stopped(Exception):
    """A signal has asked to stop before the output was there; nothing is left behind."""


def work_through(job) -> None:
    """Runs `job.step()` to its end. Raises Stopped when a signal asks to."""
    while job.step():
        check_stop()


def check_stop() -> None:
    from monolith_cli._native import _core

    if _core.stop_requested():
        raise Stopped


def write(job) -> None:
    """Runs a job to its end and lets it write its files, which are not yet visible."""
    work_through(job)
    finish(job)


def finish(job) -> None:
    if not job.finish():
        raise Stopped
    check_stop()


def stoppable(function):
    """Decorator: SIGINT and SIGTERM end the function in order; it then returns None."""
    import functools

    @functools.wraps(function)
    def wrapper(*args, **values):
        from monolith_cli._native import _core

        _core.install_stop_handlers()
        try:
            return function(*args, **values)
        except Stopped:
            return None

    return wrapper


@contextmanager
def directory(path: str, *, force: bool) -> Iterator[str]:
    """The folder to write sets of table files in, which will be `path`.

    When there is none it is made under a temporary name and renamed when the block ends without an error. A folder that holds
    table files is refused without `force`. Raises CannotCreateError, IoError.
    """
    path = path.rstrip("/") or "/"
    if os.path.isdir(path):
        if (there := tools.sets_in(path)) and not force:
            raise CannotCreateError(f"{path}: holds table files already ({', '.join(there[:5])}); --force replaces them")
        yield path
        return
    if os.path.lexists(path):
        raise CannotCreateError(f"{path}: is no directory")
    import secrets
    import shutil

    temporary = f"{path}.tmp-{secrets.randbits(32)}"
    try:
        os.makedirs(temporary)
    except OSError as e:
        raise CannotCreateError(f"{path}: cannot be made: {e.strerror}") from None
    try:
        yield temporary
        sync(temporary)
        os.rename(temporary, path)
    except OSError as e:
        raise IoError(f"{path}: {e.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync(os.path.dirname(path) or ".")


def sync(path: str) -> None:
    """What a file holds, or a folder lists, is on the disk when this returns."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def refuse_leftovers(folder: str, new: list[str]) -> None:
    """Sets of an older checkpoint that would stand beside the new ones, as if they belonged to them. Raises CannotCreateError."""
    if left := sorted(set(tools.sets_in(folder)) - set(new)):
        raise CannotCreateError(f"{folder}: {', '.join(left[:5])} would be left beside the new files; remove them first, or give another directory")


def refuse_continued(place: tools.Location) -> None:
    """Checkpoints beside this one that are deltas of it would lose what they continue. Raises CannotCreateError."""
    from monolith_cli._native import _core

    folder = folder_of(place)
    beside = os.path.dirname(os.path.abspath(folder))
    mine = {os.path.realpath(base) for base in place.basenames}
    for other in sorted(os.listdir(beside)):
        path = os.path.join(beside, other)
        if not os.path.isdir(path):
            continue
        for base in (os.path.join(path, n) for n in tools.sets_in(path)):
            if os.path.realpath(base) in mine or not os.path.exists(base + ".manifest"):
                continue
            try:
                chain = _core.checkpoint_chain(base)
            except BadDataError:  # is broken already
                continue
            if mine & {os.path.realpath(b) for b in chain}:
                raise CannotCreateError(f"{place.name}: {base} continues it; give a new folder with -o instead of --in-place")


def carry_filters(source: str, folder: str) -> None:
    """Copies the files of hash filters, which hold for the same keys still."""
    import shutil

    for name in filters_in(source):
        with open(os.path.join(source, name), "rb") as f, open(os.path.join(folder, name), "wb") as to:
            shutil.copyfileobj(f, to, 1 << 20)
            to.flush()
            os.fsync(to.fileno())


def filters_in(folder: str) -> list[str]:
    return sorted(n for n in os.listdir(folder) if re.fullmatch(FILTERS + r"\d+-\d{5}-of-\d{5}", n))


class Group:
    """Sets of files that are one: `inputs[i]` has the rows of parameter server i. stem: of their names, without the number."""

    def __init__(self, stem: str, inputs: list[str]):
        self.stem, self.inputs = stem, inputs

    def names(self, parts: int) -> list[str]:
        """Names of the sets when there are `parts` of them; their own when they stay as many."""
        if parts == len(self.inputs):
            return [os.path.basename(base) for base in self.inputs]
        return [f"{self.stem}{i}" for i in range(parts)]


def is_multi(base: str) -> bool:
    """Whether a set of files has several tables. Raises BadDataError when it is not whole."""
    from monolith_cli._native import _core

    return _core.TableLines(base, "", []).multi()


def groups(basenames: list[str]) -> list[Group]:
    """The parts that belong together: names that end in _0, _1, …

    Raises BadDataError when one of several parts of a multi table is missing.
    """
    numbered: dict[str, dict[int, str]] = {}
    alone: list[Group] = []
    for base in basenames:
        name = os.path.basename(base)
        if m := re.fullmatch(r"(.*_)(0|[1-9]\d{0,8})", name):
            numbered.setdefault(m[1], {})[int(m[2])] = base
        else:
            alone.append(Group(name if name.endswith("_") else name + "_", [base]))
    made = []
    for stem, parts in numbered.items():
        missing = sorted(set(range(max(parts) + 1)) - set(parts))
        if not missing:
            made.append(Group(stem, [parts[i] for i in range(len(parts))]))
            continue
        if is_multi(next(iter(parts.values()))):
            base = os.path.join(os.path.dirname(next(iter(parts.values()))), f"{stem}{missing[0]}")
            raise BadDataError(f"{base}-00000-of-00001 (from byte 0 on): part {missing[0]} of {max(parts) + 1} is missing")
        made += [Group(os.path.basename(base) + "_", [base]) for _, base in sorted(parts.items())]
    return made + alone


def folder_of(place: tools.Location) -> str:
    """The folder that the sets of a checkpoint are in."""
    return os.path.dirname(place.basenames[0]) or "."


def not_empty(place: tools.Location) -> tools.Location:
    if not place.basenames:
        raise UsageError(f"{place.name}: has no tables")
    return place
