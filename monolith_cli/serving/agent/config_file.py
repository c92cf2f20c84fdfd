"""The agent's configuration file: a key and a value a line, comments, includes.

    # who we are
    bzid = gip
    include common.conf
    load_retry_interval_micros  60 * 1000 * 1000
    layout_filters  entry; True
    layout_filters  ps_{i}; i % 2 == 1

Key and value are apart by the first run of blanks, tabs or `=`. A key that comes several times has all its values. An
include is read as if its lines stood there; its path is relative to the working directory. What cannot be used is
left out with a warning that names file and line.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from typing import Any

from monolith_cli import errors
from monolith_cli.serving.agent.expression import ARITHMETIC, Expression

MAX_FILE_BYTES = 1 << 20
MAX_INCLUDE_DEPTH = 16
MAX_FILES = 256

_APART = re.compile(r"[ =\t]+")
_TRUE, _FALSE = ("true", "y", "t", "yes", "1"), ("false", "n", "f", "no", "0")


@dataclass(frozen=True)
class Setting:
    """One line's value and where it stands."""

    value: str
    file: str
    line: int

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class ConfigFile:
    """Settings in the order of the lines, by key."""

    settings: dict[str, list[Setting]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def as_map(self) -> dict[str, str | list[str]]:
        """Key -> its value, or the list of its values where it comes several times."""
        return {k: s[0].value if len(s) == 1 else [one.value for one in s] for k, s in self.settings.items()}


def read_config_file(path: str | os.PathLike[str]) -> ConfigFile:
    """Reads a file and what it includes. NoInputError where it cannot be read, ConfigError where it is no text,
    larger than 1 MiB, or includes more than 256 files."""
    result = ConfigFile()
    text = _read(os.fspath(path))
    _Reader(result).lines(os.fspath(path), text, ())
    return result


def _read(path: str) -> str:
    try:
        with open(path, "rb") as f:
            data = f.read(MAX_FILE_BYTES + 1)
    except OSError as e:
        raise errors.NoInputError(f"configuration file {path}: {e.strerror}") from None
    except ValueError:
        raise errors.NoInputError(f"configuration file {path!r}: this is no path") from None
    if len(data) > MAX_FILE_BYTES:
        raise errors.ConfigError(f"{path}: larger than {MAX_FILE_BYTES} bytes: this is no configuration file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise errors.ConfigError(f"{path}: byte {e.start} is not UTF-8: this is no configuration file") from None


class _Reader:
    def __init__(self, result: ConfigFile):
        self.result, self.files = result, 0

    def lines(self, path: str, text: str, inside: tuple[str, ...]) -> None:
        self.files += 1
        if self.files > MAX_FILES:
            raise errors.ConfigError(f"{path}: more than {MAX_FILES} files are included")
        within = (*inside, os.path.realpath(path))
        for number, line in enumerate(text.split("\n"), 1):
            line = line.strip()
            if line and not line.startswith("#"):
                self._line(line.split("#", 1)[0].strip(), f"{path}:{number}", within)

    def _line(self, line: str, place: str, inside: tuple[str, ...]) -> None:
        words = line.split()
        if words[0] == "include":
            self._include(words, place, inside)
            return
        key, *value = _APART.split(line, maxsplit=1)
        if not value or not key:
            self._warn(place, f"{line!r} is not a key and a value: left out")
        elif not value[0]:
            self._warn(place, f"{key} has no value: left out")
        else:
            file, _, number = place.rpartition(":")
            self.result.settings.setdefault(key, []).append(Setting(value[0], file, int(number)))

    def _include(self, words: list[str], place: str, inside: tuple[str, ...]) -> None:
        path = words[-1]
        if len(words) == 1:
            self._warn(place, "include names no file: left out")
        elif "\0" in path or not os.path.exists(path):
            self._warn(place, f"include {path!r}: no such file: left out")
        elif os.path.realpath(path) in inside:
            self._warn(place, f"include {path}: the file includes itself: left out")
        elif len(inside) >= MAX_INCLUDE_DEPTH:
            self._warn(place, f"include {path}: includes are nested deeper than {MAX_INCLUDE_DEPTH} levels: left out")
        else:
            self._included(path, place, inside)

    def _included(self, path: str, place: str, inside: tuple[str, ...]) -> None:
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):
                raise errors.NoInputError("this is no file")
            text = _read(path)
        except (errors.NoInputError, OSError) as e:
            self._warn(place, f"include {path}: {e}: left out")
            return
        self.lines(path, text, inside)

    def _warn(self, place: str, message: str) -> None:
        self.result.warnings.append(f"{place}: {message}")


def convert(settings: list[Setting], kind: str) -> Any:
    """The value of a field of type `kind` (bool, int, float, str, list). Numbers may be arithmetic, such as `60 *
    1000`. ValueError, or ConfigError of an expression, where the text is not of this type; its message is for
    people."""
    if kind == "list":
        return [s.value for s in settings]
    if len(settings) > 1:
        raise ValueError(f"comes again at {', '.join(s.place for s in settings[1:])}, and takes one value")
    text = settings[0].value
    if kind == "bool":
        return text.lower() in _TRUE or text.lower() not in _FALSE
    if kind == "str":
        return None if text.lower() == "none" else text
    value = Expression(text, ARITHMETIC).evaluate()
    if kind == "float":
        return float(value)
    if int(value) != value:
        raise ValueError(f"{text} is {value}, not a whole number")
    return int(value)
